/*
 * parser.c
 *		Statements: tokens to a tree. Expressions are in expression.c.
 *
 * The grammar is Jinja2's, with the extensions "do" and "loopcontrols".
 * Everything the parser makes lives in the template's own memory context; its
 * size is bounded by dpipe.template_max_memory, the nesting of the tree by
 * dpipe.template_max_depth.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "jinja/parser.h"

static JnNode *parse_statement(JnParser *p);

void
jn_parser_next(JnParser *p)
{
	p->tok = p->ahead;
	if (p->tok.type != JN_TOK_EOF)
		jn_lex(&p->lex, &p->ahead);
	p->lex.err_line = p->tok.line;
	p->lex.err_col = p->tok.col;
	if (++p->ntokens % 1024 == 0 &&
		MemoryContextMemAllocated(p->cxt, true) / 1024 >
		dpipe_jinja_max_memory_kb)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template is too large"),
				 errdetail("Its parsed form exceeds dpipe.template_max_memory.")));
}

void
jn_parser_enter(JnParser *p)
{
	check_stack_depth();
	if (++p->depth > dpipe_jinja_max_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("template is nested too deeply"),
				 errdetail("The limit is dpipe.template_max_depth (%d).",
						   dpipe_jinja_max_depth)));
}

JnNode *
jn_node(JnParser *p, JnNodeType type, const JnToken *tok)
{
	JnNode	   *node = palloc0(sizeof(JnNode));

	node->type = type;
	node->line = tok->line;
	node->col = tok->col;
	return node;
}

void
jn_node_append(JnNodeList *list, JnNode *node)
{
	if (list->n >= list->cap)
	{
		list->cap = Max(4, list->cap * 2);
		list->items = list->items == NULL ?
			palloc(list->cap * sizeof(JnNode *)) :
			repalloc(list->items, list->cap * sizeof(JnNode *));
	}
	list->items[list->n++] = node;
}

static const char *
describe(const JnToken *tok)
{
	switch (tok->type)
	{
		case JN_TOK_EOF:
			return "end of template";
		case JN_TOK_DATA:
			return "template text";
		case JN_TOK_BLOCK_BEGIN:
			return "begin of statement";
		case JN_TOK_BLOCK_END:
			return "end of statement";
		case JN_TOK_VARIABLE_BEGIN:
			return "begin of print statement";
		case JN_TOK_VARIABLE_END:
			return "end of print statement";
		case JN_TOK_STRING:
			return "a string";
		case JN_TOK_INTEGER:
		case JN_TOK_FLOAT:
			return "a number";
		case JN_TOK_NAME:
		case JN_TOK_OPERATOR:
			break;
	}
	return psprintf("\"%s\"", tok->data);
}

void
jn_unexpected(JnParser *p, const char *expected)
{
	if (expected == NULL)
		jn_syntax_error(&p->lex, p->tok.line, p->tok.col, "unexpected %s",
						describe(&p->tok));
	jn_syntax_error(&p->lex, p->tok.line, p->tok.col, "expected %s, got %s",
					expected, describe(&p->tok));
}

bool
jn_at_op(JnParser *p, const char *op)
{
	return p->tok.type == JN_TOK_OPERATOR && strcmp(p->tok.data, op) == 0;
}

bool
jn_at_name(JnParser *p, const char *name)
{
	return p->tok.type == JN_TOK_NAME && strcmp(p->tok.data, name) == 0;
}

bool
jn_skip_op(JnParser *p, const char *op)
{
	if (!jn_at_op(p, op))
		return false;
	jn_parser_next(p);
	return true;
}

bool
jn_skip_name(JnParser *p, const char *name)
{
	if (!jn_at_name(p, name))
		return false;
	jn_parser_next(p);
	return true;
}

void
jn_expect_op(JnParser *p, const char *op)
{
	if (!jn_skip_op(p, op))
		jn_unexpected(p, psprintf("\"%s\"", op));
}

static void
expect_name(JnParser *p, const char *name)
{
	if (!jn_skip_name(p, name))
		jn_unexpected(p, psprintf("\"%s\"", name));
}

static void
expect_block_end(JnParser *p)
{
	if (p->tok.type != JN_TOK_BLOCK_END)
		jn_unexpected(p, "end of statement");
	jn_parser_next(p);
}

JinjaValue *
jn_expect_identifier(JnParser *p)
{
	JinjaValue **known;
	JinjaValue *name;
	uint32		hash;

	if (p->tok.type != JN_TOK_NAME)
		jn_unexpected(p, "a name");
	hash = jn_hash_text(p->tok.data, p->tok.len);
	known = &p->names[hash % JN_NAMES_KEPT];
	name = *known;
	if (name == NULL || name->u.string.len != p->tok.len ||
		memcmp(name->u.string.data, p->tok.data, p->tok.len) != 0)
	{
		name = jn_string_static(CurrentMemoryContext, p->tok.data,
								p->tok.len);
		name->u.string.hash = hash;
		*known = name;
	}
	jn_parser_next(p);
	return name;
}

/*
 * caller, kwargs and varargs are parameters only of macros that mention them,
 * unless they assign to the name first.
 */
void
jn_mention(JnParser *p, const char *name, bool load)
{
	for (JnMacroScan *m = p->macros; m != NULL; m = m->outer)
	{
		bool	   *mentioned;
		bool	   *hidden;

		if (strcmp(name, "caller") == 0)
		{
			mentioned = &m->def->uses_caller;
			hidden = &m->hide_caller;
		}
		else if (strcmp(name, "kwargs") == 0)
		{
			mentioned = &m->def->uses_kwargs;
			hidden = &m->hide_kwargs;
		}
		else if (strcmp(name, "varargs") == 0)
		{
			mentioned = &m->def->uses_varargs;
			hidden = &m->hide_varargs;
		}
		else
			return;
		if (!load)
			*hidden = true;
		else if (!*hidden)
			*mentioned = true;
	}
}

/* An unknown filter or test is an error at once, except under a condition. */
static void
check_unknown(JnParser *p)
{
	JnNode	   *node = p->unknown;

	p->unknown = NULL;
	if (node == NULL || p->conditional > 0)
		return;
	p->lex.err_line = node->line;
	p->lex.err_col = node->col;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("no %s named \"%s\"",
					node->type == JN_FILTER ? "filter" : "test",
					node->u.apply.name)));
}

/* ---------- bodies ---------- */

static bool
at_any(JnParser *p, const char *const *names)
{
	for (; *names != NULL; names++)
		if (jn_at_name(p, *names))
			return true;
	return false;
}

static const char *
join_names(const char *const *names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; names[i] != NULL; i++)
		appendStringInfo(&buf, "%s\"%s\"", i == 0 ? "" : " or ", names[i]);
	return buf.data;
}

/* Text, print statements and statements up to one of "ends" (NULL: all). */
static void
parse_nodes(JnParser *p, JnNodeList *list, const char *const *ends,
			const JnToken *opening)
{
	const char *const *outer = p->ends;

	p->ends = ends;
	while (p->tok.type != JN_TOK_EOF)
	{
		JnToken		tok = p->tok;
		JnNode	   *node;

		if (tok.type == JN_TOK_DATA)
		{
			node = jn_node(p, JN_DATA, &tok);
			node->u.value = jn_string_static(CurrentMemoryContext, tok.data,
											 tok.len);
			jn_parser_next(p);
		}
		else if (tok.type == JN_TOK_VARIABLE_BEGIN)
		{
			jn_parser_next(p);
			node = jn_node(p, JN_OUTPUT, &tok);
			jn_node_append(&node->u.list, jn_parse_tuple(p, true, NULL, false));
			if (p->tok.type != JN_TOK_VARIABLE_END)
				jn_unexpected(p, "end of print statement");
			jn_parser_next(p);
		}
		else
		{
			Assert(tok.type == JN_TOK_BLOCK_BEGIN);
			p->tag_start = tok.start;
			jn_parser_next(p);
			if (ends != NULL && at_any(p, ends))
			{
				p->ends = outer;
				return;
			}
			node = parse_statement(p);
			if (node->type == JN_MACRO || node->type == JN_BLOCK)
			{
				node->u.macro.start = tok.start;
				node->u.macro.end = p->tok.end;
			}
			expect_block_end(p);
		}
		check_unknown(p);
		jn_node_append(list, node);
	}
	p->ends = outer;
	if (ends != NULL)
		jn_syntax_error(&p->lex, opening->line, opening->col,
						"unexpected end of template: \"%s\" is not closed by %s",
						opening->data, join_names(ends));
}

/* The rest of an opening tag, then its body; stops at the ending name. */
static void
parse_body(JnParser *p, JnNodeList *list, const char *const *ends,
		   const JnToken *opening)
{
	jn_skip_op(p, ":");
	expect_block_end(p);
	check_unknown(p);
	parse_nodes(p, list, ends, opening);
}

static void
parse_body_until(JnParser *p, JnNodeList *list, const char *end,
				 const JnToken *opening)
{
	const char *const ends[] = {end, NULL};

	parse_body(p, list, ends, opening);
	jn_parser_next(p);
}

/* ---------- assignment targets ---------- */

static void
check_target(JnParser *p, JnNode *node)
{
	switch (node->type)
	{
		case JN_NAME:
			jn_mention(p, node->u.value->u.string.data, false);
			if (p->in_loop_body > 0 && jn_string_is(node->u.value, "loop"))
				jn_syntax_error(&p->lex, node->line, node->col,
								"cannot assign to \"loop\" inside a for loop");
			return;
		case JN_NSREF:
			return;
		case JN_TUPLE:
			for (int i = 0; i < node->u.list.n; i++)
				check_target(p, node->u.list.items[i]);
			return;
		default:
			jn_syntax_error(&p->lex, node->line, node->col,
							"cannot assign to this expression");
	}
}

static JnNode *
parse_target(JnParser *p, const char *end, bool with_namespace)
{
	JnNode	   *node;

	p->in_target = true;
	node = jn_parse_target_tuple(p, end, with_namespace);
	p->in_target = false;
	check_target(p, node);
	return node;
}

/* ---------- statements ---------- */

static JnNode *
parse_if(JnParser *p, const JnToken *tok)
{
	static const char *const ends[] = {"elif", "else", "endif", NULL};
	JnNode	   *node = jn_node(p, JN_IF, tok);

	node->u.branch.bodies = NULL;
	p->conditional++;
	for (;;)
	{
		int			n = node->u.branch.tests.n;
		JnToken		opening = p->tok;

		jn_parser_next(p);
		jn_node_append(&node->u.branch.tests,
					   jn_parse_tuple(p, false, NULL, false));
		node->u.branch.bodies = n == 0 ? palloc(sizeof(JnNodeList)) :
			repalloc(node->u.branch.bodies, (n + 1) * sizeof(JnNodeList));
		memset(&node->u.branch.bodies[n], 0, sizeof(JnNodeList));
		parse_body(p, &node->u.branch.bodies[n], ends, &opening);
		if (!jn_at_name(p, "elif"))
			break;
	}
	if (jn_skip_name(p, "else"))
		parse_body_until(p, &node->u.branch.orelse, "endif", tok);
	else
		jn_parser_next(p);
	p->conditional--;
	return node;
}

static JnNode *
parse_for(JnParser *p, const JnToken *tok)
{
	static const char *const ends[] = {"endfor", "else", NULL};
	JnNode	   *node = jn_node(p, JN_FOR, tok);
	int			save_loops = p->loops;

	jn_parser_next(p);
	node->u.loop.target = parse_target(p, "in", false);
	if (node->u.loop.target->type == JN_NAME &&
		jn_string_is(node->u.loop.target->u.value, "loop"))
		jn_syntax_error(&p->lex, node->u.loop.target->line,
						node->u.loop.target->col,
						"cannot assign to \"loop\" inside a for loop");
	expect_name(p, "in");
	node->u.loop.iter = jn_parse_tuple(p, false, "recursive", false);
	if (jn_skip_name(p, "if"))
		node->u.loop.test = jn_parse_expression(p);
	node->u.loop.recursive = jn_skip_name(p, "recursive");
	p->loops++;
	p->in_loop_body++;
	parse_body(p, &node->u.loop.body, ends, tok);
	p->in_loop_body--;
	p->loops = save_loops;
	if (jn_skip_name(p, "else"))
		parse_body_until(p, &node->u.loop.orelse, "endfor", tok);
	else
		jn_parser_next(p);
	return node;
}

static JnNode *
parse_set(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_SET, tok);

	jn_parser_next(p);
	node->u.assign.target = parse_target(p, NULL, true);
	if (jn_skip_op(p, "="))
	{
		node->u.assign.value = jn_parse_tuple(p, true, NULL, false);
		return node;
	}
	node->type = JN_SET_BLOCK;
	node->u.assign.value = jn_parse_filters(p, NULL);
	parse_body_until(p, &node->u.assign.body, "endset", tok);
	return node;
}

/* A name with parameters: Dict[str, List[int]]; its text. */
static const char *
parse_annotation(JnParser *p)
{
	const char *text = jn_expect_identifier(p)->u.string.data;
	const char *separator = "[";

	jn_parser_enter(p);
	if (jn_skip_op(p, "["))
	{
		while (!jn_at_op(p, "]"))
		{
			if (*separator == ',')
				jn_expect_op(p, ",");
			text = psprintf("%s%s%s", text, separator, parse_annotation(p));
			separator = ", ";
		}
		jn_parser_next(p);
		text = psprintf("%s%s", text, *separator == '[' ? "[]" : "]");
	}
	p->depth--;
	return text;
}

/* Of the parameter to come; "cap" is what params has room for. */
static void
set_annotation(JnMacroDef *def, int cap, const char *text)
{
	const char **types = palloc0((cap + 1) * sizeof(char *));

	if (def->types != NULL)
		memcpy(types, def->types, def->nparams * sizeof(char *));
	types[def->nparams] = text;
	def->types = types;
}

static void
parse_signature(JnParser *p, JnMacroDef *def)
{
	int			cap = 0;

	jn_expect_op(p, "(");
	while (!jn_at_op(p, ")"))
	{
		if (def->nparams > 0)
			jn_expect_op(p, ",");
		if (def->nparams >= JN_MAX_ARGS)
			jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
							"too many parameters");
		if (def->nparams >= cap)
		{
			cap = Max(8, cap * 2);
			def->params = def->params == NULL ?
				palloc(cap * sizeof(JinjaValue *)) :
				repalloc(def->params, cap * sizeof(JinjaValue *));
		}
		def->params[def->nparams] = jn_expect_identifier(p);
		for (int i = 0; i < def->nparams; i++)
			if (strcmp(def->params[i]->u.string.data,
					   def->params[def->nparams]->u.string.data) == 0)
				jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
								"duplicate parameter \"%s\"",
								def->params[i]->u.string.data);
		if (p->dialect != NULL && p->dialect->annotations &&
			jn_skip_op(p, ":"))
			set_annotation(def, cap, parse_annotation(p));
		def->nparams++;
		if (jn_skip_op(p, "="))
			jn_node_append(&def->defaults, jn_parse_expression(p));
		else if (def->defaults.n > 0)
			jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
							"non-default parameter follows default parameter");
	}
	jn_expect_op(p, ")");
}

/* "caller" may be declared only with a default, if it is used. */
static void
check_caller_param(JnParser *p, const JnMacroDef *def, const JnToken *tok)
{
	if (!def->uses_caller)
		return;
	for (int i = 0; i < def->nparams - def->defaults.n; i++)
		if (jn_string_is(def->params[i], "caller"))
			jn_syntax_error(&p->lex, tok->line, tok->col,
							"parameter \"caller\" must be omitted or have a default");
}

static void
parse_macro_body(JnParser *p, JnMacroDef *def, const char *end,
				 const JnToken *tok)
{
	JnMacroScan scan = {0};
	int			loops = p->loops;
	int			in_loop_body = p->in_loop_body;
	int			conditional = p->conditional;

	scan.def = def;
	scan.outer = p->macros;
	p->macros = &scan;
	p->loops = 0;
	p->conditional = 0;
	jn_skip_op(p, ":");
	def->body_start = p->tok.end;
	parse_body_until(p, &def->body, end, tok);
	def->body_end = p->tag_start;
	p->macros = scan.outer;
	p->loops = loops;
	p->in_loop_body = in_loop_body;
	p->conditional = conditional;
	check_caller_param(p, def, tok);
}

static JnNode *
parse_macro(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_MACRO, tok);

	if (p->dialect != NULL && p->dialect->macros_hidden)
		node->type = JN_BLOCK;
	node->u.macro.tag = "macro";
	jn_parser_next(p);
	node->u.macro.name = jn_expect_identifier(p);
	parse_signature(p, &node->u.macro);
	parse_macro_body(p, &node->u.macro, "endmacro", tok);
	return node;
}

/* , name = value, name, ... */
static void
parse_options(JnParser *p, JnMacroDef *def)
{
	while (jn_skip_op(p, ","))
	{
		int			n = def->options.n;
		JnNode	   *value;

		if (n >= JN_MAX_ARGS)
			jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
							"too many options");
		def->option_names = n == 0 ? palloc(sizeof(JinjaValue *)) :
			repalloc(def->option_names, (n + 1) * sizeof(JinjaValue *));
		def->option_names[n] = jn_expect_identifier(p);
		if (jn_skip_op(p, "="))
			value = jn_parse_expression(p);
		else
		{
			value = jn_node(p, JN_CONST, &p->tok);
			value->u.value = palloc0(sizeof(JinjaValue));
			value->u.value->kind = JINJA_BOOL;
			value->u.value->u.boolean = true;
		}
		jn_node_append(&def->options, value);
	}
}

/* A block of the dialect. */
static JnNode *
parse_dialect_block(JnParser *p, const JinjaTag *tag, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_BLOCK, tok);

	node->u.macro.tag = tag->name;
	jn_parser_next(p);
	node->u.macro.name = jn_expect_identifier(p);
	if (tag->shape == JINJA_TAG_SIGNATURE)
		parse_signature(p, &node->u.macro);
	else if (tag->shape == JINJA_TAG_OPTIONS)
		parse_options(p, &node->u.macro);
	parse_macro_body(p, &node->u.macro, psprintf("end%s", tag->name), tok);
	return node;
}

static JnNode *
parse_call_block(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_CALL_BLOCK, tok);

	jn_parser_next(p);
	if (jn_at_op(p, "("))
		parse_signature(p, &node->u.callblock.caller);
	node->u.callblock.call = jn_parse_expression(p);
	if (node->u.callblock.call->type != JN_CALL)
		jn_syntax_error(&p->lex, tok->line, tok->col,
						"a call block needs a call");
	parse_macro_body(p, &node->u.callblock.caller, "endcall", tok);
	return node;
}

static JnNode *
parse_filter_block(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_FILTER_BLOCK, tok);

	jn_parser_next(p);
	node->u.filterblock.filter = jn_parse_filter_name(p, NULL);
	node->u.filterblock.filter = jn_parse_filters(p,
												  node->u.filterblock.filter);
	parse_body_until(p, &node->u.filterblock.body, "endfilter", tok);
	return node;
}

static JnNode *
parse_with(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_WITH, tok);

	jn_parser_next(p);
	while (p->tok.type != JN_TOK_BLOCK_END)
	{
		if (node->u.with.targets.n > 0)
			jn_expect_op(p, ",");
		jn_node_append(&node->u.with.targets, parse_target(p, NULL, false));
		jn_expect_op(p, "=");
		jn_node_append(&node->u.with.values, jn_parse_expression(p));
	}
	parse_body_until(p, &node->u.with.body, "endwith", tok);
	return node;
}

static JnNode *
parse_print(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_OUTPUT, tok);

	jn_parser_next(p);
	while (p->tok.type != JN_TOK_BLOCK_END)
	{
		if (node->u.list.n > 0)
			jn_expect_op(p, ",");
		jn_node_append(&node->u.list, jn_parse_expression(p));
	}
	return node;
}

static JnNode *
parse_do(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_DO, tok);

	jn_parser_next(p);
	node->u.operand = jn_parse_tuple(p, true, NULL, false);
	return node;
}

static JnNode *
parse_loop_control(JnParser *p, const JnToken *tok)
{
	bool		is_break = strcmp(tok->data, "break") == 0;

	if (p->loops == 0)
		jn_syntax_error(&p->lex, tok->line, tok->col,
						"\"%s\" outside of a for loop", tok->data);
	jn_parser_next(p);
	return jn_node(p, is_break ? JN_BREAK : JN_CONTINUE, tok);
}

typedef JnNode *(*StatementParser) (JnParser *p, const JnToken *tok);

static const struct
{
	const char *name;
	StatementParser parse;
}			statements[] =
{
	{"if", parse_if},
	{"for", parse_for},
	{"set", parse_set},
	{"do", parse_do},
	{"macro", parse_macro},
	{"call", parse_call_block},
	{"filter", parse_filter_block},
	{"with", parse_with},
	{"print", parse_print},
	{"break", parse_loop_control},
	{"continue", parse_loop_control},
};

/* Tags that Jinja2 knows and this engine refuses. */
static const char *const unsupported[] = {
	"block", "extends", "include", "import", "from", "autoescape",
};

static void
unknown_tag(JnParser *p, const JnToken *tok)
{
	for (int i = 0; i < lengthof(unsupported); i++)
		if (strcmp(unsupported[i], tok->data) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("tag \"%s\" is not supported", tok->data)));
	if (p->ends != NULL)
		jn_syntax_error(&p->lex, tok->line, tok->col,
						"unknown tag \"%s\", looking for %s", tok->data,
						join_names(p->ends));
	jn_syntax_error(&p->lex, tok->line, tok->col, "unknown tag \"%s\"",
					tok->data);
}

/*
 * An end tag with nothing open, or one that nobody knows, outside of all
 * blocks: no text, if the dialect takes that.
 */
static JnNode *
parse_stray(JnParser *p, const JnToken *tok)
{
	JnNode	   *stray;
	JnNode	   *nothing;

	if (p->dialect == NULL || !p->dialect->strays_skipped || p->ends != NULL ||
		strcmp(tok->data, "endif") == 0 || strcmp(tok->data, "endfor") == 0)
		return NULL;
	stray = jn_node(p, JN_CONST, tok);
	stray->u.value = jn_string_static(CurrentMemoryContext, tok->data, strlen(tok->data));
	jn_node_append(&p->strays, stray);
	nothing = jn_node(p, JN_DATA, tok);
	nothing->u.value = jn_string_static(CurrentMemoryContext, "", 0);
	do
		jn_parser_next(p);
	while (p->tok.type != JN_TOK_BLOCK_END && p->tok.type != JN_TOK_EOF);
	return nothing;
}

static JnNode *
parse_statement(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *node = NULL;

	if (tok.type != JN_TOK_NAME)
		jn_unexpected(p, "a tag name");
	jn_parser_enter(p);
	for (int i = 0; i < lengthof(statements) && node == NULL; i++)
		if (strcmp(statements[i].name, tok.data) == 0)
			node = statements[i].parse(p, &tok);
	if (node == NULL && p->dialect != NULL && p->dialect->tags != NULL)
		for (const JinjaTag *tag = p->dialect->tags;
			 tag->name != NULL && node == NULL; tag++)
			if (strcmp(tag->name, tok.data) == 0)
				node = parse_dialect_block(p, tag, &tok);
	if (node == NULL)
		node = parse_stray(p, &tok);
	if (node == NULL)
		unknown_tag(p, &tok);
	p->depth--;
	return node;
}

static void
parse_error_context(void *arg)
{
	JnLexer    *lex = (JnLexer *) arg;

	errcontext("template \"%s\", line %d, column %d", lex->name,
			   lex->err_line, lex->err_col);
}

JinjaTemplate *
jinja_parse(MemoryContext cxt, const char *name, const char *text, int len)
{
	return jinja_parse_dialect(cxt, name, text, len, NULL);
}

JinjaTemplate *
jinja_parse_dialect(MemoryContext cxt, const char *name, const char *text,
					int len, const JinjaDialect *dialect)
{
	MemoryContext own;
	MemoryContext scratch;
	MemoryContext old;
	JinjaTemplate *tmpl;
	JnParser	p;
	ErrorContextCallback callback;

	/* Under the caller's context until it is whole: an error leaves nothing. */
	own = AllocSetContextCreate(CurrentMemoryContext, "dpipe template",
								ALLOCSET_SMALL_SIZES);
	scratch = CurrentMemoryContext;
	old = MemoryContextSwitchTo(own);
	tmpl = palloc0(sizeof(JinjaTemplate));
	tmpl->cxt = own;
	tmpl->name = pstrdup(name);
	tmpl->dialect = dialect;

	memset(&p, 0, sizeof(p));
	p.cxt = own;
	p.dialect = dialect;
	p.lex.name = tmpl->name;
	p.lex.err_line = p.lex.err_col = 1;
	callback.callback = parse_error_context;
	callback.arg = &p.lex;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	jn_lexer_init(&p.lex, tmpl->name, text, len);
	jn_lex(&p.lex, &p.ahead);
	jn_parser_next(&p);
	parse_nodes(&p, &tmpl->body, NULL, NULL);
	tmpl->strays = p.strays;
	jn_analyze_scopes(&tmpl->body);
	jn_list_macros(tmpl);

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	if (cxt != scratch)
		MemoryContextSetParent(own, cxt);
	return tmpl;
}

void
jinja_template_free(JinjaTemplate *tmpl)
{
	MemoryContextDelete(tmpl->cxt);
}
