/*
 * regex_parse.c
 *		Regular expressions of Python to instructions.
 *
 * A pattern is parsed to a tree, and the tree is written out as instructions;
 * what is repeated a number of times is written out so often, within a limit.
 */
#include "base/compat.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "jinja/regex.h"

#define MAX_CODE 100000
#define MAX_GROUPS 1000
#define NO_LIMIT (-1)

typedef enum NodeType
{
	NODE_EMPTY,
	NODE_INST,					/* one instruction */
	NODE_SEQUENCE,				/* left, then right */
	NODE_EITHER,
	NODE_REPEAT,
	NODE_GROUP,
	NODE_LOOK,
	NODE_CONDITION,
} NodeType;

typedef struct Node
{
	NodeType	type;
	JnReInst	inst;
	struct Node *left;
	struct Node *right;
	int			min;
	int			max;			/* NO_LIMIT: none */
	bool		lazy;
	int			number;			/* GROUP, CONDITION */
	JnReLook	look;
} Node;

typedef struct Parser
{
	JinjaEnv   *env;
	const char *start;
	const char *p;
	const char *end;
	const char *prelude;		/* end of the (?i) and comments it begins with */
	int			flags;
	JnRegex    *regex;
	int			nloops;
	bool		open_groups[MAX_GROUPS + 1];
} Parser;

static Node *parse_alternatives(Parser *p);

static void bad_pattern(Parser *p, const char *message)
			pg_attribute_noreturn();

static void
bad_pattern(Parser *p, const char *message)
{
	jn_raise_type(p->env, "regular expression: %s at position %d", message,
				  pg_mbstrlen_with_len(p->start, p->p - p->start));
}

/* The code point at "p"; "len" is what it takes. */
uint32
jn_regex_char(const char *p, const char *end, int *len)
{
	uint32		c = 0;

	*len = jn_char_len(p, end);
	if (!IS_HIGHBIT_SET(*p))
		return (unsigned char) *p;
	if (GetDatabaseEncoding() == PG_UTF8)
		return utf8_to_unicode((const unsigned char *) p);
	for (int i = 0; i < *len; i++)
		c = (c << 8) | (unsigned char) p[i];
	return c;
}

static bool
at_end(const Parser *p)
{
	return p->p >= p->end;
}

static bool
at(const Parser *p, const char *s)
{
	size_t		n = strlen(s);

	return p->end - p->p >= n && memcmp(p->p, s, n) == 0;
}

static bool
skip(Parser *p, const char *s)
{
	if (!at(p, s))
		return false;
	p->p += strlen(s);
	return true;
}

static uint32
next_char(Parser *p)
{
	int			len;
	uint32		c;

	if (at_end(p))
		bad_pattern(p, "unexpected end");
	c = jn_regex_char(p->p, p->end, &len);
	p->p += len;
	return c;
}

static Node *
make(Parser *p, NodeType type)
{
	Node	   *node = jn_alloc(p->env, sizeof(Node));

	memset(node, 0, sizeof(*node));
	node->type = type;
	return node;
}

static Node *
make_inst(Parser *p, JnReOp op, int x)
{
	Node	   *node = make(p, NODE_INST);

	node->inst.op = op;
	node->inst.flags = p->flags;
	node->inst.x = x;
	return node;
}

/* ---------- sets ---------- */

static int
add_set(Parser *p)
{
	JnRegex    *r = p->regex;
	JnReSet    *sets;

	if (r->nsets % 16 == 0)
	{
		sets = jn_alloc(p->env, (r->nsets + 16) * sizeof(JnReSet));
		if (r->nsets > 0)
			memcpy(sets, r->sets, r->nsets * sizeof(JnReSet));
		r->sets = sets;
	}
	memset(&r->sets[r->nsets], 0, sizeof(JnReSet));
	return r->nsets++;
}

static void
add_range(Parser *p, JnReSet *set, uint32 from, uint32 to)
{
	if (set->nranges % 16 == 0)
	{
		uint32		(*ranges)[2] = jn_alloc(p->env, (set->nranges + 16) *
											sizeof(*ranges));

		if (set->nranges > 0)
			memcpy(ranges, set->ranges, set->nranges * sizeof(*ranges));
		set->ranges = ranges;
	}
	set->ranges[set->nranges][0] = from;
	set->ranges[set->nranges][1] = to;
	set->nranges++;
}

static void
add_class(Parser *p, JnReSet *set, char class)
{
	char	   *classes = jn_alloc(p->env, set->nclasses + 1);

	if (set->nclasses > 0)
		memcpy(classes, set->classes, set->nclasses);
	classes[set->nclasses++] = class;
	set->classes = classes;
}

static Node *
class_node(Parser *p, char class)
{
	int			set = add_set(p);

	add_class(p, &p->regex->sets[set], class);
	return make_inst(p, JN_RE_SET, set);
}

static uint32
hex_escape(Parser *p, int digits)
{
	uint32		c = 0;

	for (int i = 0; i < digits; i++, p->p++)
	{
		if (at_end(p) || !isxdigit((unsigned char) *p->p))
			bad_pattern(p, "incomplete escape");
		c = c * 16 + (isdigit((unsigned char) *p->p) ? *p->p - '0' :
					  tolower((unsigned char) *p->p) - 'a' + 10);
	}
	if (!is_valid_unicode_codepoint(c) && c != 0)
		bad_pattern(p, "bad escape");
	return c;
}

/* An escape that is one character in and outside of sets; false: none. */
static bool
simple_escape(Parser *p, uint32 c, uint32 *result)
{
	static const char from[] = "abfnrtv\\";
	static const char to[] = "\a\b\f\n\r\t\v\\";
	const char *f;

	if (c == 'x' || c == 'u' || c == 'U')
		*result = hex_escape(p, c == 'x' ? 2 : c == 'u' ? 4 : 8);
	else if (c != 'b' && c > 0 && c < 128 && (f = strchr(from, c)) != NULL)
		*result = (unsigned char) to[f - from];
	else if (c >= 128 || !isalnum((unsigned char) c))
		*result = c;
	else
		return false;
	return true;
}

/* Up to three octal digits, the first of which is "c". */
static uint32
octal_escape(Parser *p, uint32 c)
{
	uint32		value = c - '0';

	for (int i = 0; i < 2 && !at_end(p) && *p->p >= '0' && *p->p <= '7'; i++)
		value = value * 8 + (*p->p++ - '0');
	if (value > 0377)
		bad_pattern(p, "octal escape outside of the range 0-0o377");
	return value;
}

/* One item of a set: a character, or a class (then *class). */
static uint32
set_item(Parser *p, char *class)
{
	uint32		c = next_char(p);
	uint32		result;

	*class = '\0';
	if (c != '\\')
		return c;
	c = next_char(p);
	if (c < 128 && c > 0 && strchr("dDwWsS", c) != NULL)
	{
		*class = (char) c;
		return 0;
	}
	if (c == 'b')
		return '\b';
	if (c >= '0' && c <= '7')
		return octal_escape(p, c);
	if (!simple_escape(p, c, &result))
		bad_pattern(p, "bad escape");
	return result;
}

/* Behind the "[". */
static Node *
parse_set(Parser *p)
{
	int			number = add_set(p);
	JnReSet    *set = &p->regex->sets[number];
	bool		first = true;

	set->negated = skip(p, "^");
	for (;; first = false)
	{
		uint32		from;
		uint32		to;
		char		class;

		if (at_end(p))
			bad_pattern(p, "unterminated character set");
		if (!first && skip(p, "]"))
			break;
		from = set_item(p, &class);
		if (at(p, "-") && p->p + 1 < p->end && p->p[1] != ']')
		{
			char		to_class;

			p->p++;
			to = set_item(p, &to_class);
			if (class != '\0' || to_class != '\0' || to < from)
				bad_pattern(p, "bad character range");
			add_range(p, set, from, to);
		}
		else if (class != '\0')
			add_class(p, set, class);
		else
			add_range(p, set, from, from);
	}
	return make_inst(p, JN_RE_SET, number);
}

/* ---------- escapes ---------- */

static Node *
backref(Parser *p, int group)
{
	if (group > p->regex->ngroups)
		bad_pattern(p, "invalid group reference");
	if (p->open_groups[group])
		bad_pattern(p, "cannot refer to an open group");
	return make_inst(p, JN_RE_BACKREF, group);
}

static Node *
number_escape(Parser *p, uint32 c)
{
	int			group = c - '0';

	if (c == '0')
		return make_inst(p, JN_RE_CHAR, octal_escape(p, c));
	if (!at_end(p) && isdigit((unsigned char) *p->p))
	{
		if (c <= '3' && p->end - p->p >= 2 && *p->p >= '0' && *p->p <= '7' &&
			p->p[1] >= '0' && p->p[1] <= '7')
			return make_inst(p, JN_RE_CHAR, octal_escape(p, c));
		group = group * 10 + (*p->p++ - '0');
	}
	return backref(p, group);
}

/* Behind the backslash. */
static Node *
parse_escape(Parser *p)
{
	uint32		c = next_char(p);
	uint32		literal;
	Node	   *node;

	switch (c)
	{
		case 'A':
			node = make_inst(p, JN_RE_BEGIN, 0);
			node->inst.flags &= ~JN_RE_MULTILINE;
			return node;
		case 'Z':
			return make_inst(p, JN_RE_VERY_END, 0);
		case 'b':
		case 'B':
			return make_inst(p, JN_RE_BOUNDARY, c == 'B');
		case 'd':
		case 'D':
		case 'w':
		case 'W':
		case 's':
		case 'S':
			return class_node(p, (char) c);
		default:
			break;
	}
	if (c >= '0' && c <= '9')
		return number_escape(p, c);
	if (!simple_escape(p, c, &literal))
		bad_pattern(p, "bad escape");
	return make_inst(p, JN_RE_CHAR, literal);
}

/* ---------- groups ---------- */

static JinjaValue *
group_name(Parser *p, const char *close)
{
	const char *from = p->p;
	int			len;

	while (!at_end(p) && !at(p, close))
		p->p++;
	len = p->p - from;
	if (!skip(p, close))
		bad_pattern(p, "unterminated group name");
	if (len == 0)
		bad_pattern(p, "missing group name");
	return jinja_string_len(p->env, from, len);
}

/* The number of a group by its name or number; -1: there is none. */
static int
find_group(const JnRegex *r, const char *name)
{
	if (isdigit((unsigned char) *name) &&
		strspn(name, "0123456789") == strlen(name))
		return strlen(name) < 5 && atoi(name) <= r->ngroups ? atoi(name) : -1;
	for (int i = 1; i <= r->ngroups; i++)
		if (r->names[i] != NULL && jn_string_is(r->names[i], name))
			return i;
	return -1;
}

static void
check_name(Parser *p, const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!(isalpha((unsigned char) *c) || *c == '_' || IS_HIGHBIT_SET(*c) ||
			  (c > name && isdigit((unsigned char) *c))))
			bad_pattern(p, "bad character in group name");
	if (find_group(p->regex, name) >= 0)
		bad_pattern(p, "redefinition of group name");
}

static int
new_group(Parser *p, JinjaValue *name)
{
	if (p->regex->ngroups >= MAX_GROUPS)
		bad_pattern(p, "too many groups");
	p->regex->names[++p->regex->ngroups] = name;
	return p->regex->ngroups;
}

static void
close_group(Parser *p)
{
	if (!skip(p, ")"))
		bad_pattern(p, "missing ), unterminated subpattern");
}

static Node *
capture(Parser *p, JinjaValue *name)
{
	Node	   *node = make(p, NODE_GROUP);
	int			flags = p->flags;

	node->number = new_group(p, name);
	p->open_groups[node->number] = true;
	node->left = parse_alternatives(p);
	p->open_groups[node->number] = false;
	p->flags = flags;
	close_group(p);
	return node;
}

static Node *
look(Parser *p, JnReLook how)
{
	Node	   *node = make(p, NODE_LOOK);
	int			flags = p->flags;

	node->look = how;
	node->left = parse_alternatives(p);
	p->flags = flags;
	close_group(p);
	return node;
}

/* (?(group)yes|no) */
static Node *
parse_condition(Parser *p)
{
	Node	   *node = make(p, NODE_CONDITION);
	JinjaValue *name = group_name(p, ")");
	Node	   *branches;

	node->number = find_group(p->regex, name->u.string.data);
	if (node->number < 1)
		bad_pattern(p, "invalid group reference");
	branches = parse_alternatives(p);
	close_group(p);
	node->left = branches;
	if (branches->type == NODE_EITHER)
	{
		if (branches->right->type == NODE_EITHER)
			bad_pattern(p, "conditional backref with more than two branches");
		node->left = branches->left;
		node->right = branches->right;
	}
	else
		node->right = make(p, NODE_EMPTY);
	return node;
}

static int
flag_of(Parser *p, char c)
{
	switch (c)
	{
		case 'i':
			return JN_RE_IGNORECASE;
		case 'm':
			return JN_RE_MULTILINE;
		case 's':
			return JN_RE_DOTALL;
		case 'x':
			return JN_RE_VERBOSE;
		case 'a':
			return JN_RE_ASCII;
		case 'u':
			return JN_RE_UNICODE;
		default:
			bad_pattern(p, "unknown extension or flag");
	}
}

/* (?aimsux-imsx:...) or, at the start of the pattern, (?aimsux) */
static Node *
parse_flags(Parser *p, const char *open)
{
	int			set = 0;
	int			cleared = 0;
	int			outer = p->flags;
	Node	   *node;

	while (!at_end(p) && isalpha((unsigned char) *p->p))
		set |= flag_of(p, *p->p++);
	if (skip(p, ")"))
	{
		if (open != p->prelude)
			bad_pattern(p, "global flags not at the start of the expression");
		p->prelude = p->p;
		p->flags |= set;
		p->regex->flags |= set;
		return make(p, NODE_EMPTY);
	}
	if (skip(p, "-"))
	{
		if (at(p, ":"))
			bad_pattern(p, "missing flag");
		while (!at_end(p) && isalpha((unsigned char) *p->p))
			cleared |= flag_of(p, *p->p++);
	}
	if (!skip(p, ":"))
		bad_pattern(p, "missing -, : or )");
	p->flags = (p->flags | set) & ~cleared;
	if (set & JN_RE_UNICODE)
		p->flags &= ~JN_RE_ASCII;
	node = make(p, NODE_SEQUENCE);
	node->left = parse_alternatives(p);
	node->right = make(p, NODE_EMPTY);
	p->flags = outer;
	close_group(p);
	return node;
}

/* Behind the "(". */
static Node *
parse_group(Parser *p)
{
	const char *open = p->p - 1;
	JinjaValue *name;
	int			flags = p->flags;
	int			group;
	Node	   *node;

	if (!skip(p, "?"))
		return capture(p, NULL);
	if (skip(p, "P<"))
	{
		name = group_name(p, ">");
		check_name(p, name->u.string.data);
		return capture(p, name);
	}
	if (skip(p, "P="))
	{
		group = find_group(p->regex, group_name(p, ")")->u.string.data);
		if (group < 1)
			bad_pattern(p, "unknown group name");
		return backref(p, group);
	}
	if (skip(p, ":"))
	{
		/* Not bare: an assertion can be repeated in a group only. */
		node = make(p, NODE_SEQUENCE);
		node->left = parse_alternatives(p);
		node->right = make(p, NODE_EMPTY);
		p->flags = flags;
		close_group(p);
		return node;
	}
	if (skip(p, "#"))
	{
		while (!at_end(p) && !at(p, ")"))
			p->p++;
		close_group(p);
		if (open == p->prelude)
			p->prelude = p->p;
		return make(p, NODE_EMPTY);
	}
	if (skip(p, "="))
		return look(p, JN_RE_AHEAD);
	if (skip(p, "!"))
		return look(p, JN_RE_NOT_AHEAD);
	if (skip(p, "<="))
		return look(p, JN_RE_BEHIND);
	if (skip(p, "<!"))
		return look(p, JN_RE_NOT_BEHIND);
	if (skip(p, ">"))
		return look(p, JN_RE_ATOMIC);
	if (skip(p, "("))
		return parse_condition(p);
	return parse_flags(p, open);
}

/* ---------- sequences ---------- */

/* {m}, {m,}, {,n}, {m,n}; false: a brace that is only a character. */
static bool
parse_bounds(Parser *p, int *min, int *max)
{
	const char *from = p->p++;
	int64		low = 0;
	int64		high = 0;
	const char *digits = p->p;
	bool		some;

	for (; !at_end(p) && isdigit((unsigned char) *p->p); p->p++)
		low = Min(low * 10 + (*p->p - '0'), PG_INT32_MAX);
	some = p->p > digits;
	if (skip(p, ","))
	{
		digits = p->p;
		for (; !at_end(p) && isdigit((unsigned char) *p->p); p->p++)
			high = Min(high * 10 + (*p->p - '0'), PG_INT32_MAX);
		if (p->p == digits)
			high = NO_LIMIT;
		some = true;
	}
	else
		high = low;
	if (!some || !skip(p, "}"))
	{
		p->p = from;
		return false;
	}
	if (high != NO_LIMIT && high < low)
		bad_pattern(p, "min repeat greater than max repeat");
	*min = low;
	*max = high;
	return true;
}

static bool
parse_quantifier(Parser *p, int *min, int *max)
{
	*min = 0;
	*max = NO_LIMIT;
	if (skip(p, "*"))
		return true;
	if (skip(p, "+"))
	{
		*min = 1;
		return true;
	}
	if (skip(p, "?"))
	{
		*max = 1;
		return true;
	}
	return at(p, "{") && parse_bounds(p, min, max);
}

static void
skip_verbose(Parser *p)
{
	bool		prelude = p->p == p->prelude;

	if ((p->flags & JN_RE_VERBOSE) == 0)
		return;
	while (!at_end(p))
	{
		if (isspace((unsigned char) *p->p))
			p->p++;
		else if (*p->p == '#')
			while (!at_end(p) && *p->p != '\n')
				p->p++;
		else
			break;
	}
	if (prelude)
		p->prelude = p->p;
}

static Node *
parse_atom(Parser *p)
{
	uint32		c = next_char(p);

	switch (c)
	{
		case '\\':
			return parse_escape(p);
		case '.':
			return make_inst(p, JN_RE_ANY, 0);
		case '^':
			return make_inst(p, JN_RE_BEGIN, 0);
		case '$':
			return make_inst(p, JN_RE_END, 0);
		case '[':
			return parse_set(p);
		case '(':
			return parse_group(p);
		case '*':
		case '+':
		case '?':
			p->p--;
			bad_pattern(p, "nothing to repeat");
		default:
			return make_inst(p, JN_RE_CHAR, c);
	}
}

static bool
is_assertion(const Node *node)
{
	return node->type == NODE_EMPTY ||
		(node->type == NODE_INST &&
		 (node->inst.op == JN_RE_BEGIN || node->inst.op == JN_RE_END ||
		  node->inst.op == JN_RE_VERY_END || node->inst.op == JN_RE_BOUNDARY));
}

static Node *
parse_repeated(Parser *p)
{
	Node	   *node = parse_atom(p);
	Node	   *repeat;
	int			min;
	int			max;

	skip_verbose(p);
	if (at_end(p) || strchr("*+?{", *p->p) == NULL ||
		!parse_quantifier(p, &min, &max))
		return node;
	if (is_assertion(node))
		bad_pattern(p, "nothing to repeat");
	repeat = make(p, NODE_REPEAT);
	repeat->left = node;
	repeat->min = min;
	repeat->max = max;
	repeat->lazy = skip(p, "?");
	if (!repeat->lazy && skip(p, "+"))
	{
		Node	   *atomic = make(p, NODE_LOOK);

		atomic->look = JN_RE_ATOMIC;
		atomic->left = repeat;
		repeat = atomic;
	}
	skip_verbose(p);
	if (!at_end(p) && strchr("*+?", *p->p) != NULL)
		bad_pattern(p, "multiple repeat");
	if (at(p, "{") && parse_quantifier(p, &min, &max))
		bad_pattern(p, "multiple repeat");
	return repeat;
}

static Node *
parse_sequence(Parser *p)
{
	Node	   *first = NULL;
	Node	   *last = NULL;

	for (;;)
	{
		Node	   *node;

		skip_verbose(p);
		if (at_end(p) || *p->p == '|' || *p->p == ')')
			break;
		node = parse_repeated(p);
		if (first == NULL)
			first = node;
		else
		{
			/* A chain to the right: a, (b, (c, d)). */
			Node	   *pair = make(p, NODE_SEQUENCE);

			if (last == NULL)
			{
				pair->left = first;
				first = pair;
			}
			else
			{
				pair->left = last->right;
				last->right = pair;
			}
			pair->right = node;
			last = pair;
		}
	}
	return first == NULL ? make(p, NODE_EMPTY) : first;
}

static Node *
parse_alternatives(Parser *p)
{
	Node	   *left;
	Node	   *either;

	jn_enter(p->env);
	left = parse_sequence(p);
	if (skip(p, "|"))
	{
		either = make(p, NODE_EITHER);
		either->left = left;
		either->right = parse_alternatives(p);
		left = either;
	}
	jn_leave(p->env);
	return left;
}

/* ---------- instructions ---------- */

static void emit(Parser *p, const Node *node);

static int
emit_inst(Parser *p, JnReOp op, int x, int y)
{
	JnRegex    *r = p->regex;

	if (r->ncode >= MAX_CODE)
		jinja_raise(p->env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"regular expression is too large");
	jn_work(p->env, 1);
	if ((r->ncode & (r->ncode - 1)) == 0 && (r->ncode == 0 || r->ncode >= 64))
	{
		int			room = r->ncode == 0 ? 64 : r->ncode * 2;
		JnReInst   *code = jn_palloc(p->env, room * sizeof(JnReInst));

		if (r->ncode > 0)
		{
			memcpy(code, r->code, r->ncode * sizeof(JnReInst));
			pfree(r->code);
		}
		r->code = code;
	}
	memset(&r->code[r->ncode], 0, sizeof(JnReInst));
	r->code[r->ncode].op = op;
	r->code[r->ncode].x = x;
	r->code[r->ncode].y = y;
	return r->ncode++;
}

static bool
is_one_char(const Node *node)
{
	return node->type == NODE_INST &&
		(node->inst.op == JN_RE_CHAR || node->inst.op == JN_RE_ANY ||
		 node->inst.op == JN_RE_SET);
}

/* "node" once more, or not, as "lazy" wants it tried first. */
static int
emit_choice(Parser *p, bool lazy)
{
	int			split = emit_inst(p, JN_RE_SPLIT, 0, 0);

	if (lazy)
		p->regex->code[split].y = split + 1;
	else
		p->regex->code[split].x = split + 1;
	return split;
}

static void
set_exit(Parser *p, int split, bool lazy)
{
	if (lazy)
		p->regex->code[split].x = p->regex->ncode;
	else
		p->regex->code[split].y = p->regex->ncode;
}

/*
 * A loop without a limit. An iteration that matches nothing ends it, or it
 * would never end.
 */
static void
emit_loop(Parser *p, const Node *node)
{
	int			slot = p->nloops++;
	int			split = emit_choice(p, node->lazy);

	emit_inst(p, JN_RE_SAVE, -1 - slot, 0);
	emit(p, node->left);
	emit_inst(p, JN_RE_LOOP, split, -1 - slot);
	set_exit(p, split, node->lazy);
}

/*
 * Up to "n" more: each of them inside the one before, and none after one that
 * matched nothing.
 */
static void
emit_optional(Parser *p, const Node *node, int n)
{
	int		   *splits = jn_palloc(p->env, 2 * (uint64) n * sizeof(int));
	int		   *jumps = splits + n;
	int			slot = p->nloops++;

	for (int i = 0; i < n; i++)
	{
		splits[i] = emit_choice(p, node->lazy);
		emit_inst(p, JN_RE_SAVE, -1 - slot, 0);
		emit(p, node->left);
		emit_inst(p, JN_RE_LOOP, p->regex->ncode + 2, -1 - slot);
		jumps[i] = emit_inst(p, JN_RE_JUMP, 0, 0);
	}
	for (int i = 0; i < n; i++)
	{
		set_exit(p, splits[i], node->lazy);
		p->regex->code[jumps[i]].x = p->regex->ncode;
	}
	pfree(splits);
}

static void
emit_repeat(Parser *p, const Node *node)
{
	if (is_one_char(node->left) && !node->lazy)
	{
		emit_inst(p, JN_RE_REPEAT, node->min, node->max);
		emit(p, node->left);
		return;
	}
	if (node->min > MAX_CODE || node->max > MAX_CODE)
		jinja_raise(p->env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"regular expression is too large");
	for (int i = 0; i < node->min; i++)
		emit(p, node->left);
	if (node->max == NO_LIMIT)
		emit_loop(p, node);
	else if (node->max > node->min)
		emit_optional(p, node, node->max - node->min);
}

/* The width that all a node matches has, in characters; -1: it varies. */
static int
fixed_width(const Node *node)
{
	int			left;
	int			right;

	check_stack_depth();
	switch (node->type)
	{
		case NODE_EMPTY:
			return 0;
		case NODE_INST:
			return is_one_char(node) ? 1 :
				node->inst.op == JN_RE_BACKREF ? -1 : 0;
		case NODE_LOOK:
			return node->look == JN_RE_ATOMIC ? fixed_width(node->left) : 0;
		case NODE_GROUP:
			return fixed_width(node->left);
		default:
			break;
	}
	left = fixed_width(node->left);
	if (node->type == NODE_REPEAT)
		return left < 0 || node->min != node->max ||
			(int64) left * node->min > MAX_CODE ? -1 : left * node->min;
	right = fixed_width(node->right);
	if (left < 0 || right < 0)
		return -1;
	if (node->type == NODE_SEQUENCE)
		return left + right > MAX_CODE ? -1 : left + right;
	return left == right ? left : -1;
}

static void
emit_look(Parser *p, const Node *node)
{
	int			at = emit_inst(p, JN_RE_LOOK, 0, node->look);

	if (node->look == JN_RE_BEHIND || node->look == JN_RE_NOT_BEHIND)
	{
		int			width = fixed_width(node->left);

		if (width < 0)
			bad_pattern(p, "look-behind requires fixed-width pattern");
		p->regex->code[at].z = width;
	}
	emit(p, node->left);
	emit_inst(p, JN_RE_LOOK_END, 0, 0);
	p->regex->code[at].x = p->regex->ncode;
}

static void
emit_either(Parser *p, const Node *node)
{
	int			split = emit_inst(p, JN_RE_SPLIT, p->regex->ncode + 1, 0);
	int			jump;

	emit(p, node->left);
	jump = emit_inst(p, JN_RE_JUMP, 0, 0);
	p->regex->code[split].y = p->regex->ncode;
	emit(p, node->right);
	p->regex->code[jump].x = p->regex->ncode;
}

static void
emit_condition(Parser *p, const Node *node)
{
	int			condition = emit_inst(p, JN_RE_CONDITION, node->number, 0);
	int			jump;

	emit(p, node->left);
	jump = emit_inst(p, JN_RE_JUMP, 0, 0);
	p->regex->code[condition].y = p->regex->ncode;
	emit(p, node->right);
	p->regex->code[jump].x = p->regex->ncode;
}

static void
emit(Parser *p, const Node *node)
{
	int			at;

	check_stack_depth();
	/* Sequences are long chains: no recursion along them. */
	while (node->type == NODE_SEQUENCE)
	{
		emit(p, node->left);
		node = node->right;
	}
	switch (node->type)
	{
		case NODE_INST:
			at = emit_inst(p, node->inst.op, node->inst.x, node->inst.y);
			p->regex->code[at].flags = node->inst.flags;
			break;
		case NODE_EITHER:
			emit_either(p, node);
			break;
		case NODE_REPEAT:
			emit_repeat(p, node);
			break;
		case NODE_GROUP:
			emit_inst(p, JN_RE_SAVE, node->number * 2, 0);
			emit(p, node->left);
			emit_inst(p, JN_RE_SAVE, node->number * 2 + 1, 0);
			break;
		case NODE_LOOK:
			emit_look(p, node);
			break;
		case NODE_CONDITION:
			emit_condition(p, node);
			break;
		default:
			break;
	}
}

/* Loops were numbered from -1 downwards: their slots follow the groups'. */
static void
number_slots(Parser *p)
{
	JnRegex    *r = p->regex;
	int			first = 2 * (r->ngroups + 1);

	r->nslots = first + p->nloops;
	for (int i = 0; i < r->ncode; i++)
	{
		if (r->code[i].op == JN_RE_SAVE && r->code[i].x < 0)
			r->code[i].x = first - 1 - r->code[i].x;
		if (r->code[i].op == JN_RE_LOOP)
			r->code[i].y = first - 1 - r->code[i].y;
	}
}

JnRegex *
jn_regex_compile(JinjaEnv *env, JinjaValue *pattern, int flags)
{
	Parser	   *p = jn_palloc(env, sizeof(Parser));
	JnRegex    *r = jn_alloc(env, sizeof(JnRegex));
	Node	   *node;

	memset(p, 0, sizeof(*p));
	memset(r, 0, sizeof(*r));
	r->pattern = pattern;
	r->flags = flags;
	r->names = jn_alloc(env, (MAX_GROUPS + 1) * sizeof(JinjaValue *));
	memset(r->names, 0, (MAX_GROUPS + 1) * sizeof(JinjaValue *));
	p->env = env;
	p->regex = r;
	p->start = p->p = p->prelude = pattern->u.string.data;
	p->end = p->p + pattern->u.string.len;
	p->flags = flags;
	node = parse_alternatives(p);
	if (!at_end(p))
		bad_pattern(p, "unbalanced parenthesis");
	emit(p, node);
	emit_inst(p, JN_RE_MATCH, 0, 0);
	number_slots(p);
	if ((r->flags & JN_RE_ASCII) == 0)
		r->flags |= JN_RE_UNICODE;
	pfree(p);
	return r;
}

/* The number of a group that a template names; an error if there is none. */
int
jn_regex_group(JinjaEnv *env, const JnRegex *regex, JinjaValue *group)
{
	int64		i;
	int			found = -1;

	if (jn_is_int(group, &i))
		found = i >= 0 && i <= regex->ngroups ? i : -1;
	else if (group->kind == JINJA_STRING &&
			 !isdigit((unsigned char) group->u.string.data[0]))
		found = find_group(regex, group->u.string.data);
	if (found < 0)
		jn_raise_type(env, "no such group");
	return found;
}
