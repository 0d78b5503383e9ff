/*
 * regex_match.c
 *		Runs the instructions of a regular expression.
 *
 * A backtracking matcher with a stack of its own: entries are places to go
 * back to, and values of slots to put back on the way there. Patterns can take
 * exponential time; every instruction is charged, so that the limit on steps
 * and cancel end it. Positions are bytes of the text.
 */
#include "base/compat.h"

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "jinja/regex.h"

typedef struct Entry
{
	int			code;			/* -1: put "low" into slot "pos" */
	int			pos;
	int			low;			/* of a repetition: as far back as it goes */
} Entry;

#define PLAIN_CHOICE (-1)

typedef struct Matcher
{
	JinjaEnv   *env;
	const JnRegex *regex;
	const char *text;
	int			from;
	int			to;
	int			start;			/* of the match tried */
	bool		full;
	bool		must_advance;
	int		   *slots;
	Entry	   *stack;
	int			n;
	int			cap;
} Matcher;

static bool run(Matcher *m, int pc, int pos, int *end);

/* ---------- characters ---------- */

static bool
is_word(uint32 c, int flags)
{
	return c == '_' || ((c < 128 || (flags & JN_RE_ASCII) == 0) && jn_code_is(c, JN_CHAR_ALNUM));
}

static bool
is_space(uint32 c, int flags)
{
	if (c < 128)
		return c == ' ' || (c >= 9 && c <= 13) ||
			((flags & JN_RE_ASCII) == 0 && c >= 0x1c && c <= 0x1f);
	return (flags & JN_RE_ASCII) == 0 &&
		(c == 0x85 || c == 0xa0 || c == 0x1680 ||
		 (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
		 c == 0x202f || c == 0x205f || c == 0x3000);
}

static bool
in_class(char class, uint32 c, int flags)
{
	switch (class)
	{
		case 'd':
			return c < 128 && isdigit((unsigned char) c);
		case 'D':
			return !in_class('d', c, flags);
		case 'w':
			return is_word(c, flags);
		case 'W':
			return !is_word(c, flags);
		case 's':
			return is_space(c, flags);
		default:
			return !is_space(c, flags);
	}
}

static bool
in_set(const JnReSet *set, uint32 c, int flags)
{
	for (int i = 0; i < set->nranges; i++)
		if (c >= set->ranges[i][0] && c <= set->ranges[i][1])
			return true;
	for (int i = 0; i < set->nclasses; i++)
		if (in_class(set->classes[i], c, flags))
			return true;
	return false;
}

/* The other case of a character, itself if it has none. */
static uint32
other_case(Matcher *m, uint32 c, int flags)
{
	unsigned char text[MAX_UNICODE_EQUIVALENT_STRING + 1];
	JinjaValue *s;
	JinjaValue *changed;
	int			len;

	if (c < 128)
		return isupper((unsigned char) c) ? tolower((unsigned char) c) :
			toupper((unsigned char) c);
	if ((flags & JN_RE_ASCII) != 0 || GetDatabaseEncoding() != PG_UTF8)
		return c;
	unicode_to_utf8(c, text);
	len = pg_mblen((char *) text);
	s = jinja_string_len(m->env, (char *) text, len);
	changed = jn_lower(m->env, s);
	if (jinja_equal(m->env, s, changed))
		changed = jn_upper(m->env, s);
	if (changed->u.string.len == 0)
		return c;
	return jn_regex_char(changed->u.string.data,
						 changed->u.string.data + changed->u.string.len, &len);
}

static bool
matches_char(Matcher *m, const JnReInst *inst, uint32 c)
{
	const JnReSet *set;
	bool		found;

	switch (inst->op)
	{
		case JN_RE_CHAR:
			return c == (uint32) inst->x ||
				((inst->flags & JN_RE_IGNORECASE) != 0 &&
				 other_case(m, c, inst->flags) == (uint32) inst->x);
		case JN_RE_ANY:
			return c != '\n' || (inst->flags & JN_RE_DOTALL) != 0;
		default:
			set = &m->regex->sets[inst->x];
			found = in_set(set, c, inst->flags) ||
				((inst->flags & JN_RE_IGNORECASE) != 0 &&
				 in_set(set, other_case(m, c, inst->flags), inst->flags));
			return found != set->negated;
	}
}

/* Step over one character if it matches: its length, else 0. */
static int
step(Matcher *m, const JnReInst *inst, int pos)
{
	const char *p = m->text + pos;
	int			len;
	uint32		c;

	if (pos >= m->to)
		return 0;
	c = jn_regex_char(p, m->text + m->to, &len);
	return matches_char(m, inst, c) ? len : 0;
}

static int
step_back(Matcher *m, int pos)
{
	return pos - jn_char_len_before(m->env, m->text + m->from, m->text + pos);
}

/* ---------- the stack ---------- */

static void
push(Matcher *m, int code, int pos, int low)
{
	Entry	   *e;

	if (m->n >= m->cap)
	{
		int64		cap = Max(64, (int64) m->cap * 2);
		Entry	   *stack = jn_palloc(m->env, cap * sizeof(Entry));

		if (m->n > 0)
			memcpy(stack, m->stack, m->n * sizeof(Entry));
		if (m->stack != NULL)
			pfree(m->stack);
		m->stack = stack;
		m->cap = cap;
	}
	e = &m->stack[m->n++];
	e->code = code;
	e->pos = pos;
	e->low = low;
}

static void
set_slot(Matcher *m, int slot, int value)
{
	push(m, -1, slot, m->slots[slot]);
	m->slots[slot] = value;
}

/* Go back to the last choice above "base"; false: there is none. */
static bool
backtrack(Matcher *m, int base, int *pc, int *pos)
{
	while (m->n > base)
	{
		Entry	   *e = &m->stack[--m->n];

		if (e->code < 0)
		{
			m->slots[e->pos] = e->low;
			continue;
		}
		*pc = e->code;
		*pos = e->pos;
		/* One character less of a repetition, and it is a choice again. */
		if (e->low != PLAIN_CHOICE)
		{
			*pos = step_back(m, e->pos);
			if (*pos > e->low)
			{
				e->pos = *pos;
				m->n++;
			}
		}
		return true;
	}
	return false;
}

/* Drop the choices above "base", but keep what puts slots back. */
static void
commit(Matcher *m, int base)
{
	int			n = base;

	for (int i = base; i < m->n; i++)
		if (m->stack[i].code < 0)
			m->stack[n++] = m->stack[i];
	jn_work(m->env, m->n - base);
	m->n = n;
}

static void
undo(Matcher *m, int base)
{
	while (m->n > base)
	{
		Entry	   *e = &m->stack[--m->n];

		if (e->code < 0)
			m->slots[e->pos] = e->low;
	}
}

/* ---------- instructions ---------- */

static bool
at_boundary(Matcher *m, int pos, int flags)
{
	bool		before = false;
	bool		after = false;
	int			len;

	if (pos > m->from)
		before = is_word(jn_regex_char(m->text + step_back(m, pos),
									   m->text + m->to, &len), flags);
	if (pos < m->to)
		after = is_word(jn_regex_char(m->text + pos, m->text + m->to, &len),
						flags);
	return before != after;
}

/* Instructions that only look at the place. */
static bool
holds(Matcher *m, const JnReInst *inst, int pos)
{
	bool		multiline = (inst->flags & JN_RE_MULTILINE) != 0;

	switch (inst->op)
	{
		case JN_RE_BEGIN:
			return pos == 0 || (multiline && m->text[pos - 1] == '\n');
		case JN_RE_END:
			return pos == m->to ||
				(m->text[pos] == '\n' && (multiline || pos + 1 == m->to));
		case JN_RE_VERY_END:
			return pos == m->to;
		default:
			/* Python finds neither \b nor \B in an empty text. */
			return m->to > m->from &&
				at_boundary(m, pos, inst->flags) != (inst->x != 0);
	}
}

/* The text of a group again: where it ends, or -1. */
static int
match_backref(Matcher *m, const JnReInst *inst, int pos)
{
	int			from = m->slots[inst->x * 2];
	int			to = m->slots[inst->x * 2 + 1];
	int			len = to - from;

	if (from < 0 || to < 0)
		return -1;
	jn_work(m->env, 1 + len / 16);
	if ((inst->flags & JN_RE_IGNORECASE) == 0)
		return m->to - pos >= len &&
			memcmp(m->text + pos, m->text + from, len) == 0 ? pos + len : -1;
	while (from < to)
	{
		int			n;
		int			k;
		uint32		a = jn_regex_char(m->text + from, m->text + to, &n);
		uint32		b;

		if (pos >= m->to)
			return -1;
		b = jn_regex_char(m->text + pos, m->text + m->to, &k);
		if (a != b && other_case(m, a, inst->flags) != b)
			return -1;
		from += n;
		pos += k;
	}
	return pos;
}

/* Up to "y" characters; how many at least, is a matter of going back. */
static bool
repeat(Matcher *m, int pc, int *pos)
{
	const JnReInst *inst = &m->regex->code[pc];
	int			low = -1;
	int			p = *pos;
	int			n = 0;

	if (inst->x == 0)
		low = p;
	while (inst->y < 0 || n < inst->y)
	{
		int			len = step(m, inst + 1, p);

		if (len == 0)
			break;
		jn_work(m->env, 1);
		p += len;
		if (++n == inst->x)
			low = p;
	}
	if (n < inst->x)
		return false;
	if (p > low)
		push(m, pc + 2, p, low);
	*pos = p;
	return true;
}

static bool
look(Matcher *m, int pc, int *pos)
{
	const JnReInst *inst = &m->regex->code[pc];
	int			base = m->n;
	int			from = *pos;
	int			end;
	bool		found;

	if (inst->y == JN_RE_BEHIND || inst->y == JN_RE_NOT_BEHIND)
		for (int i = 0; i < inst->z && from >= 0; i++)
			from = from > m->from ? step_back(m, from) : -1;
	jn_enter(m->env);
	found = from >= 0 && run(m, pc + 1, from, &end);
	jn_leave(m->env);
	if (inst->y == JN_RE_NOT_AHEAD || inst->y == JN_RE_NOT_BEHIND)
	{
		undo(m, base);
		return !found;
	}
	if (!found)
		return false;
	commit(m, base);
	if (inst->y == JN_RE_ATOMIC)
		*pos = end;
	return true;
}

/* An instruction that takes some of the text, or only looks at it; false: not here. */
static inline bool
take(Matcher *m, const JnReInst *inst, int *pc, int *pos)
{
	int			n;
	bool		ok;

	switch (inst->op)
	{
		case JN_RE_CHAR:
		case JN_RE_ANY:
		case JN_RE_SET:
			n = step(m, inst, *pos);
			*pos += n;
			(*pc)++;
			return n > 0;
		case JN_RE_REPEAT:
			ok = repeat(m, *pc, pos);
			*pc += 2;
			return ok;
		case JN_RE_BACKREF:
			*pos = match_backref(m, inst, *pos);
			(*pc)++;
			return *pos >= 0;
		case JN_RE_LOOK:
			ok = look(m, *pc, pos);
			*pc = inst->x;
			return ok;
		default:
			(*pc)++;
			return holds(m, inst, *pos);
	}
}

/*
 * Match from "pc" at "pos" up to a LOOK_END or MATCH; *end is where. Choices
 * that are left stay on the stack above what was there.
 */
static bool
run(Matcher *m, int pc, int pos, int *end)
{
	int			base = m->n;

	for (;;)
	{
		const JnReInst *inst = &m->regex->code[pc];
		bool		ok = true;

		jn_work(m->env, 1);
		switch (inst->op)
		{
			case JN_RE_SPLIT:
				push(m, inst->y, pos, PLAIN_CHOICE);
				pc = inst->x;
				break;
			case JN_RE_JUMP:
				pc = inst->x;
				break;
			case JN_RE_SAVE:
				set_slot(m, inst->x, pos);
				pc++;
				break;
			case JN_RE_LOOP:
				pc = m->slots[inst->y] != pos ? inst->x : pc + 1;
				break;
			case JN_RE_CONDITION:
				pc = m->slots[inst->x * 2 + 1] >= 0 ? pc + 1 : inst->y;
				break;
			case JN_RE_MATCH:
				ok = (!m->full || pos == m->to) &&
					!(m->must_advance && pos == m->start);
				if (!ok)
					break;
				*end = pos;
				return true;
			case JN_RE_LOOK_END:
				*end = pos;
				return true;
			default:
				ok = take(m, inst, &pc, &pos);
		}
		if (!ok && !backtrack(m, base, &pc, &pos))
			return false;
	}
}

/* The group that was closed last, for Match.lastindex. */
static int
last_group(const Matcher *m)
{
	int			last = -1;

	/* The stack has the order in which slots were set. */
	for (int i = m->n - 1; i >= 0 && last < 0; i--)
	{
		int			slot = m->stack[i].pos;

		if (m->stack[i].code < 0 && slot > 1 && slot % 2 == 1 &&
			slot < 2 * (m->regex->ngroups + 1))
			last = slot / 2;
	}
	return last;
}

/*
 * Match at "from", or, with "search", at the first place from there on; up to
 * "to", exactly if "full". With "must_advance" a match at "from" must not be
 * empty. NULL: no match.
 */
JnReMatch *
jn_regex_match(JinjaEnv *env, const JnRegex *regex, JinjaValue *text,
			   int from, int to, bool search, bool full, bool must_advance)
{
	Matcher		m = {env, regex, text->u.string.data};
	const JnReInst *first = &regex->code[0];
	JnReMatch  *match;
	int			pos = from;
	int			end = -1;

	m.from = 0;
	m.to = to;
	m.full = full;
	m.slots = jn_palloc(env, (uint64) regex->nslots * sizeof(int));
	for (;;)
	{
		/* A letter to begin with can be looked for quickly. */
		if (search && first->op == JN_RE_CHAR && first->x < 128 &&
			(first->flags & JN_RE_IGNORECASE) == 0)
		{
			const char *hit = memchr(m.text + pos, first->x, to - pos);

			if (hit == NULL)
				break;
			jn_work_bytes(env, hit - (m.text + pos));
			pos = hit - m.text;
		}
		m.n = 0;
		m.start = pos;
		m.must_advance = must_advance && pos == from;
		memset(m.slots, -1, regex->nslots * sizeof(int));
		if (run(&m, 0, pos, &end))
			break;
		end = -1;
		if (!search || pos >= to)
			break;
		pos += jn_char_len(m.text + pos, m.text + to);
	}
	match = NULL;
	if (end >= 0)
	{
		match = jn_alloc(env, sizeof(JnReMatch));
		match->regex = regex;
		match->text = text;
		match->from = from;
		match->to = to;
		match->last_group = last_group(&m);
		match->slots = m.slots;
		m.slots[0] = m.start;
		m.slots[1] = end;
	}
	else
		pfree(m.slots);
	if (m.stack != NULL)
		pfree(m.stack);
	return match;
}
