/*
 * expression.c
 *		Expressions: tokens to a tree.
 *
 * Precedence, from loose to tight: conditional, or, and, not, comparison,
 * + and -, ~, * / // %, ** (which is left-associative in Jinja2), unary signs,
 * and then calls, subscripts, filters and tests. A filter binds tighter than
 * any binary operator and looser than a sign: -1|abs is (-1)|abs.
 */
#include "base/compat.h"

#include <ctype.h>

#include "jinja/parser.h"

static JnNode *parse_primary(JnParser *p, bool with_namespace);
static JnNode *parse_postfix(JnParser *p, JnNode *node);

static JnNode *
binary_node(JnParser *p, JnNodeType type, JinjaOp op, JnNode *left,
			JnNode *right, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, type, tok);

	node->u.binary.op = op;
	node->u.binary.left = left;
	node->u.binary.right = right;
	return node;
}

static JnNode *
const_node(JnParser *p, JinjaKind kind, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, JN_CONST, tok);

	node->u.value = palloc0(sizeof(JinjaValue));
	node->u.value->kind = kind;
	return node;
}

static JnNode *
int_node(JnParser *p, const JnToken *tok)
{
	JnNode	   *node = const_node(p, JINJA_INT, tok);

	if (tok->big == NULL)
		node->u.value->u.integer = tok->integer;
	else
	{
		node->u.value->kind = JINJA_BIGINT;
		node->u.value->u.big = tok->big;
	}
	return node;
}

static JnNode *
unary_node(JnParser *p, JnNodeType type, JnNode *operand, const JnToken *tok)
{
	JnNode	   *node = jn_node(p, type, tok);

	node->u.operand = operand;
	return node;
}

/* ---------- calls ---------- */

static void
add_keyword(JnParser *p, JnCallArgs *args)
{
	int			n = args->kwvalues.n;

	if (n >= JN_MAX_ARGS)
		jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
						"too many keyword arguments");
	args->kwnames = n == 0 ? palloc(sizeof(JinjaValue *)) :
		repalloc(args->kwnames, (n + 1) * sizeof(JinjaValue *));
	args->kwnames[n] = jn_expect_identifier(p);
	for (int i = 0; i < n; i++)
		if (jn_string_is(args->kwnames[i], args->kwnames[n]->u.string.data))
			jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
							"keyword argument \"%s\" is given twice",
							args->kwnames[n]->u.string.data);
	jn_expect_op(p, "=");
	jn_node_append(&args->kwvalues, jn_parse_expression(p));
}

static void
ensure_order(JnParser *p, bool ok, const JnToken *tok)
{
	if (!ok)
		jn_syntax_error(&p->lex, tok->line, tok->col,
						"invalid order of arguments");
}

static void
parse_call_args(JnParser *p, JnCallArgs *args)
{
	bool		first = true;

	jn_expect_op(p, "(");
	for (; !jn_at_op(p, ")"); first = false)
	{
		JnToken		tok;

		if (!first)
		{
			jn_expect_op(p, ",");
			if (jn_at_op(p, ")"))
				break;
		}
		tok = p->tok;
		if (jn_skip_op(p, "*"))
		{
			ensure_order(p, args->star == NULL && args->starstar == NULL,
						 &tok);
			args->star = jn_parse_expression(p);
		}
		else if (jn_skip_op(p, "**"))
		{
			ensure_order(p, args->starstar == NULL, &tok);
			args->starstar = jn_parse_expression(p);
		}
		else if (tok.type == JN_TOK_NAME &&
				 p->ahead.type == JN_TOK_OPERATOR &&
				 strcmp(p->ahead.data, "=") == 0)
		{
			ensure_order(p, args->starstar == NULL, &tok);
			add_keyword(p, args);
		}
		else
		{
			ensure_order(p, args->star == NULL && args->starstar == NULL &&
						 args->kwvalues.n == 0, &tok);
			jn_node_append(&args->args, jn_parse_expression(p));
		}
	}
	jn_expect_op(p, ")");
}

static JnNode *
parse_call(JnParser *p, JnNode *callee)
{
	JnNode	   *node = jn_node(p, JN_CALL, &p->tok);

	/* The place of a call is what is called, not its parenthesis. */
	node->line = callee->line;
	node->col = callee->col;
	node->u.call.callee = callee;
	parse_call_args(p, &node->u.call.args);
	return node;
}

/* ---------- subscripts ---------- */

static JnNode *
parse_subscribed(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *start = NULL;
	JnNode	   *node;

	if (!jn_at_op(p, ":"))
	{
		start = jn_parse_expression(p);
		if (!jn_at_op(p, ":"))
			return start;
	}
	jn_parser_next(p);
	node = jn_node(p, JN_SLICE, &tok);
	node->u.slice.start = start;
	if (!jn_at_op(p, ":") && !jn_at_op(p, "]") && !jn_at_op(p, ","))
		node->u.slice.stop = jn_parse_expression(p);
	if (jn_skip_op(p, ":") && !jn_at_op(p, "]") && !jn_at_op(p, ","))
		node->u.slice.step = jn_parse_expression(p);
	return node;
}

static JnNode *
parse_brackets(JnParser *p, JnNode *object)
{
	JnNode	   *node = jn_node(p, JN_GETITEM, &p->tok);
	JnNode	   *index = jn_node(p, JN_TUPLE, &p->tok);

	jn_parser_next(p);
	while (!jn_at_op(p, "]"))
	{
		if (index->u.list.n > 0)
			jn_expect_op(p, ",");
		jn_node_append(&index->u.list, parse_subscribed(p));
	}
	jn_expect_op(p, "]");
	node->u.item.object = object;
	node->u.item.index = index->u.list.n == 1 ? index->u.list.items[0] : index;
	return node;
}

static JnNode *
parse_dot(JnParser *p, JnNode *object)
{
	JnNode	   *node;

	jn_parser_next(p);
	if (p->tok.type == JN_TOK_INTEGER)
	{
		node = jn_node(p, JN_GETITEM, &p->tok);
		node->u.item.object = object;
		node->u.item.index = int_node(p, &p->tok);
		jn_parser_next(p);
		return node;
	}
	if (p->tok.type != JN_TOK_NAME)
		jn_unexpected(p, "a name or a number");
	node = jn_node(p, JN_GETATTR, &p->tok);
	node->u.attr.object = object;
	node->u.attr.name = jn_expect_identifier(p);
	return node;
}

static JnNode *
parse_postfix(JnParser *p, JnNode *node)
{
	for (;;)
	{
		if (jn_at_op(p, "."))
			node = parse_dot(p, node);
		else if (jn_at_op(p, "["))
			node = parse_brackets(p, node);
		else if (jn_at_op(p, "("))
			node = parse_call(p, node);
		else
			return node;
	}
}

/* ---------- filters and tests ---------- */

/* A name that may have dots in it. */
static const char *
parse_dotted_name(JnParser *p)
{
	const char *name = jn_expect_identifier(p)->u.string.data;

	while (jn_skip_op(p, "."))
		name = psprintf("%s.%s", name, jn_expect_identifier(p)->u.string.data);
	return name;
}

JnNode *
jn_parse_filter_name(JnParser *p, JnNode *input)
{
	JnNode	   *node = jn_node(p, JN_FILTER, &p->tok);

	node->u.apply.input = input;
	node->u.apply.name = parse_dotted_name(p);
	node->u.apply.builtin = jn_find_filter(node->u.apply.name);
	if (node->u.apply.builtin == NULL && p->unknown == NULL)
		p->unknown = node;
	if (jn_at_op(p, "("))
		parse_call_args(p, &node->u.apply.args);
	return node;
}

JnNode *
jn_parse_filters(JnParser *p, JnNode *input)
{
	while (jn_skip_op(p, "|"))
		input = jn_parse_filter_name(p, input);
	return input;
}

/* Does the argument of a test without parentheses start here? */
static bool
at_test_argument(JnParser *p)
{
	switch (p->tok.type)
	{
		case JN_TOK_NAME:
			return !jn_at_name(p, "else") && !jn_at_name(p, "or") &&
				!jn_at_name(p, "and");
		case JN_TOK_STRING:
		case JN_TOK_INTEGER:
		case JN_TOK_FLOAT:
			return true;
		default:
			return jn_at_op(p, "[") || jn_at_op(p, "{");
	}
}

static JnNode *
parse_test(JnParser *p, JnNode *input)
{
	JnToken		tok = p->tok;
	JnNode	   *node = jn_node(p, JN_TEST, &tok);
	bool		negated;

	jn_parser_next(p);
	negated = jn_skip_name(p, "not");
	node->u.apply.input = input;
	node->u.apply.name = parse_dotted_name(p);
	node->u.apply.builtin = jn_find_test(node->u.apply.name);
	if (node->u.apply.builtin == NULL && p->unknown == NULL)
		p->unknown = node;
	if (jn_at_op(p, "("))
		parse_call_args(p, &node->u.apply.args);
	else if (at_test_argument(p))
	{
		if (jn_at_name(p, "is"))
			jn_syntax_error(&p->lex, p->tok.line, p->tok.col,
							"tests cannot be chained with \"is\"");
		jn_node_append(&node->u.apply.args.args,
					   parse_postfix(p, parse_primary(p, false)));
	}
	return negated ? unary_node(p, JN_NOT, node, &tok) : node;
}

static JnNode *
parse_filter_expr(JnParser *p, JnNode *node)
{
	for (;;)
	{
		if (jn_at_op(p, "|"))
			node = jn_parse_filters(p, node);
		else if (jn_at_name(p, "is"))
			node = parse_test(p, node);
		else if (jn_at_op(p, "("))
			node = parse_call(p, node);
		else
			return node;
	}
}

/* ---------- operands ---------- */

static JnNode *
parse_list(JnParser *p)
{
	JnNode	   *node = jn_node(p, JN_LIST, &p->tok);

	jn_parser_next(p);
	while (!jn_at_op(p, "]"))
	{
		if (node->u.list.n > 0)
		{
			jn_expect_op(p, ",");
			if (jn_at_op(p, "]"))
				break;
		}
		jn_node_append(&node->u.list, jn_parse_expression(p));
	}
	jn_expect_op(p, "]");
	return node;
}

static JnNode *
parse_dict(JnParser *p)
{
	JnNode	   *node = jn_node(p, JN_DICT, &p->tok);

	jn_parser_next(p);
	while (!jn_at_op(p, "}"))
	{
		if (node->u.dict.keys.n > 0)
		{
			jn_expect_op(p, ",");
			if (jn_at_op(p, "}"))
				break;
		}
		jn_node_append(&node->u.dict.keys, jn_parse_expression(p));
		jn_expect_op(p, ":");
		jn_node_append(&node->u.dict.values, jn_parse_expression(p));
	}
	jn_expect_op(p, "}");
	return node;
}

static JnNode *
parse_name(JnParser *p, bool with_namespace)
{
	JnToken		tok = p->tok;
	const char *s = tok.data;
	JnNode	   *node;

	if (strcmp(s, "true") == 0 || strcmp(s, "True") == 0 ||
		strcmp(s, "false") == 0 || strcmp(s, "False") == 0)
	{
		node = const_node(p, JINJA_BOOL, &tok);
		node->u.value->u.boolean = (tolower((unsigned char) s[0]) == 't');
		jn_parser_next(p);
		return node;
	}
	if (strcmp(s, "none") == 0 || strcmp(s, "None") == 0)
	{
		node = const_node(p, JINJA_NONE, &tok);
		jn_parser_next(p);
		return node;
	}
	node = jn_node(p, JN_NAME, &tok);
	node->u.value = jn_expect_identifier(p);
	if (with_namespace && jn_at_op(p, "."))
	{
		JnNode	   *ref = jn_node(p, JN_NSREF, &tok);

		jn_parser_next(p);
		ref->u.attr.object = node;
		ref->u.attr.name = jn_expect_identifier(p);
		jn_mention(p, node->u.value->u.string.data, true);
		return ref;
	}
	if (!p->in_target)
		jn_mention(p, node->u.value->u.string.data, true);
	return node;
}

static JnNode *
parse_strings(JnParser *p)
{
	JnNode	   *node = jn_node(p, JN_CONST, &p->tok);
	StringInfoData buf;

	initStringInfo(&buf);
	while (p->tok.type == JN_TOK_STRING)
	{
		appendBinaryStringInfo(&buf, p->tok.data, p->tok.len);
		jn_parser_next(p);
	}
	node->u.value = jn_string_static(CurrentMemoryContext, buf.data, buf.len);
	pfree(buf.data);
	return node;
}

static JnNode *
parse_primary(JnParser *p, bool with_namespace)
{
	JnToken		tok = p->tok;
	JnNode	   *node;

	switch (tok.type)
	{
		case JN_TOK_NAME:
			return parse_name(p, with_namespace);
		case JN_TOK_STRING:
			return parse_strings(p);
		case JN_TOK_INTEGER:
			node = int_node(p, &tok);
			jn_parser_next(p);
			return node;
		case JN_TOK_FLOAT:
			node = const_node(p, JINJA_FLOAT, &tok);
			node->u.value->u.real = tok.real;
			jn_parser_next(p);
			return node;
		default:
			break;
	}
	if (jn_skip_op(p, "("))
	{
		node = jn_parse_tuple(p, true, NULL, true);
		jn_expect_op(p, ")");
		return node;
	}
	if (jn_at_op(p, "["))
		return parse_list(p);
	if (jn_at_op(p, "{"))
		return parse_dict(p);
	jn_unexpected(p, NULL);
}

/* ---------- operators ---------- */

static JnNode *
parse_unary(JnParser *p, bool with_filter)
{
	JnToken		tok = p->tok;
	JnNode	   *node;

	if (jn_at_op(p, "-") || jn_at_op(p, "+"))
	{
		JnNodeType	type = jn_at_op(p, "-") ? JN_NEG : JN_POS;

		jn_parser_enter(p);
		jn_parser_next(p);
		node = unary_node(p, type, parse_unary(p, false), &tok);
		p->depth--;
	}
	else
		node = parse_primary(p, false);
	node = parse_postfix(p, node);
	return with_filter ? parse_filter_expr(p, node) : node;
}

static JnNode *
parse_power(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *left = parse_unary(p, true);

	while (jn_skip_op(p, "**"))
		left = binary_node(p, JN_BINARY, JINJA_OP_POW, left,
						   parse_unary(p, true), &tok);
	return left;
}

static JnNode *
parse_product(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *left = parse_power(p);

	for (;;)
	{
		JinjaOp		op;

		if (jn_at_op(p, "*"))
			op = JINJA_OP_MUL;
		else if (jn_at_op(p, "/"))
			op = JINJA_OP_DIV;
		else if (jn_at_op(p, "//"))
			op = JINJA_OP_FLOORDIV;
		else if (jn_at_op(p, "%"))
			op = JINJA_OP_MOD;
		else
			return left;
		jn_parser_next(p);
		left = binary_node(p, JN_BINARY, op, left, parse_power(p), &tok);
	}
}

static JnNode *
parse_concat(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *first = parse_product(p);
	JnNode	   *node;

	if (!jn_at_op(p, "~"))
		return first;
	node = jn_node(p, JN_CONCAT, &tok);
	jn_node_append(&node->u.list, first);
	while (jn_skip_op(p, "~"))
		jn_node_append(&node->u.list, parse_product(p));
	return node;
}

static JnNode *
parse_sum(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *left = parse_concat(p);

	for (;;)
	{
		JinjaOp		op = jn_at_op(p, "+") ? JINJA_OP_ADD : JINJA_OP_SUB;

		if (!jn_skip_op(p, "+") && !jn_skip_op(p, "-"))
			return left;
		left = binary_node(p, JN_BINARY, op, left, parse_concat(p), &tok);
	}
}

/* The comparison at the current token, -1 if it is none. Skips it. */
static int
comparison(JnParser *p)
{
	static const struct
	{
		const char *name;
		JinjaOp		op;
	}			ops[] =
	{
		{"==", JINJA_OP_EQ},
		{"!=", JINJA_OP_NE},
		{"<", JINJA_OP_LT},
		{"<=", JINJA_OP_LE},
		{">", JINJA_OP_GT},
		{">=", JINJA_OP_GE},
	};

	for (int i = 0; i < lengthof(ops); i++)
		if (jn_skip_op(p, ops[i].name))
			return ops[i].op;
	if (jn_skip_name(p, "in"))
		return JINJA_OP_IN;
	if (jn_at_name(p, "not") && p->ahead.type == JN_TOK_NAME &&
		strcmp(p->ahead.data, "in") == 0)
	{
		jn_parser_next(p);
		jn_parser_next(p);
		return JINJA_OP_NOT_IN;
	}
	return -1;
}

static JnNode *
parse_compare(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *first = parse_sum(p);
	JnNode	   *node = NULL;
	int			op;

	while ((op = comparison(p)) >= 0)
	{
		int			n;

		if (node == NULL)
		{
			node = jn_node(p, JN_COMPARE, &tok);
			node->u.compare.first = first;
		}
		n = node->u.compare.operands.n;
		node->u.compare.ops = n == 0 ? palloc(sizeof(JinjaOp)) :
			repalloc(node->u.compare.ops, (n + 1) * sizeof(JinjaOp));
		node->u.compare.ops[n] = op;
		jn_node_append(&node->u.compare.operands, parse_sum(p));
	}
	return node != NULL ? node : first;
}

static JnNode *
parse_not(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *node;

	if (!jn_skip_name(p, "not"))
		return parse_compare(p);
	jn_parser_enter(p);
	node = unary_node(p, JN_NOT, parse_not(p), &tok);
	p->depth--;
	return node;
}

static JnNode *
parse_and(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *left = parse_not(p);

	while (jn_skip_name(p, "and"))
		left = binary_node(p, JN_AND, 0, left, parse_not(p), &tok);
	return left;
}

static JnNode *
parse_or(JnParser *p)
{
	JnToken		tok = p->tok;
	JnNode	   *left = parse_and(p);

	while (jn_skip_name(p, "or"))
		left = binary_node(p, JN_OR, 0, left, parse_and(p), &tok);
	return left;
}

/* A condition makes an unknown filter before it an error of evaluation. */
JnNode *
jn_parse_expression(JnParser *p)
{
	JnNode	   *unknown = p->unknown;
	JnToken		tok = p->tok;
	JnNode	   *expr;

	jn_parser_enter(p);
	expr = parse_or(p);
	while (jn_skip_name(p, "if"))
	{
		JnNode	   *node = jn_node(p, JN_COND, &tok);

		node->u.cond.yes = expr;
		node->u.cond.test = parse_or(p);
		if (jn_skip_name(p, "else"))
			node->u.cond.no = jn_parse_expression(p);
		expr = node;
		p->unknown = unknown;
	}
	p->depth--;
	return expr;
}

static bool
at_tuple_end(JnParser *p, const char *end)
{
	return p->tok.type == JN_TOK_VARIABLE_END ||
		p->tok.type == JN_TOK_BLOCK_END || jn_at_op(p, ")") ||
		(end != NULL && jn_at_name(p, end));
}

typedef enum TupleItem
{
	ITEM_EXPRESSION,
	ITEM_NO_CONDITION,
	ITEM_TARGET,
	ITEM_TARGET_NAMESPACE,
} TupleItem;

static JnNode *
parse_tuple_item(JnParser *p, TupleItem item)
{
	switch (item)
	{
		case ITEM_EXPRESSION:
			return jn_parse_expression(p);
		case ITEM_NO_CONDITION:
			return parse_or(p);
		case ITEM_TARGET:
			return parse_primary(p, false);
		case ITEM_TARGET_NAMESPACE:
			return parse_primary(p, true);
	}
	return NULL;				/* keep the compiler quiet */
}

/* One item, or a tuple when there is a comma. */
static JnNode *
parse_tuple_of(JnParser *p, TupleItem item, const char *end,
			   bool in_parentheses)
{
	JnNode	   *node = jn_node(p, JN_TUPLE, &p->tok);
	bool		is_tuple = false;

	for (;;)
	{
		if (node->u.list.n > 0)
			jn_expect_op(p, ",");
		if (at_tuple_end(p, end))
			break;
		jn_node_append(&node->u.list, parse_tuple_item(p, item));
		if (!jn_at_op(p, ","))
			break;
		is_tuple = true;
	}
	if (is_tuple)
		return node;
	if (node->u.list.n > 0)
		return node->u.list.items[0];
	if (!in_parentheses)
		jn_unexpected(p, "an expression");
	return node;
}

JnNode *
jn_parse_tuple(JnParser *p, bool with_condition, const char *end,
			   bool in_parentheses)
{
	return parse_tuple_of(p, with_condition ? ITEM_EXPRESSION :
						  ITEM_NO_CONDITION, end, in_parentheses);
}

JnNode *
jn_parse_target_tuple(JnParser *p, const char *end, bool with_namespace)
{
	return parse_tuple_of(p, with_namespace ? ITEM_TARGET_NAMESPACE :
						  ITEM_TARGET, end, false);
}
