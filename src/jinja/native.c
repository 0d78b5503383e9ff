/*
 * native.c
 *		Rendering to a value instead of a text.
 *
 * The rules are those of dbt's variant of Jinja2's native environment. What is
 * printed is collected in pieces; a single piece keeps its type, several are
 * joined as text. An expression that Jinja2 would calculate when it compiles
 * is text to begin with, {{ 1 }} as well as 1, so constants have to be told
 * from other expressions as its optimizer does it. A text marked by as_bool,
 * as_number or as_native is read as a Python literal when it is the only piece.
 */
#include "base/compat.h"

#include <ctype.h>

#include "miscadmin.h"

#include "jinja/bigint.h"

static bool is_constant(JinjaEnv *env, const JnNode *node);

/* ---------- pieces ---------- */

/* Another piece: the one before it, if it was a value, becomes text. */
static void
next_piece(JinjaEnv *env)
{
	JnNative   *native = env->native;

	native->npieces++;
	if (native->only == NULL)
		return;
	jn_str(env, native->out, native->only);
	native->only = NULL;
}

/* Text of the template follows. */
void
jn_native_text(JinjaEnv *env)
{
	next_piece(env);
}

/* Values that Jinja2 writes into the code it compiles. */
static bool
has_safe_repr(const JinjaValue *v)
{
	check_stack_depth();
	switch (v->kind)
	{
		case JINJA_NONE:
		case JINJA_BOOL:
		case JINJA_INT:
		case JINJA_BIGINT:
		case JINJA_FLOAT:
		case JINJA_RANGE:
			return true;
		case JINJA_STRING:
			return v->u.string.marker == '\0' ||
				v->u.string.marker == JN_MARKUP;
		case JINJA_LIST:
		case JINJA_TUPLE:
			for (int i = 0; i < v->u.list.n; i++)
				if (!has_safe_repr(v->u.list.items[i]))
					return false;
			return true;
		case JINJA_DICT:
		case JINJA_SET:
			for (int i = 0; i < v->u.dict->n; i++)
				if (!has_safe_repr(v->u.dict->entries[i].key) ||
					!has_safe_repr(v->u.dict->entries[i].value))
					return false;
			return true;
		default:
			return false;
	}
}

static bool
all_constant(JinjaEnv *env, const JnNodeList *list)
{
	for (int i = 0; i < list->n; i++)
		if (!is_constant(env, list->items[i]))
			return false;
	return true;
}

static bool
optional_constant(JinjaEnv *env, const JnNode *node)
{
	return node == NULL || is_constant(env, node);
}

/* Filters that need the context of their use are not calculated early. */
static bool
is_constant_call(JinjaEnv *env, const JnNode *node)
{
	static const char *const with_context[] = {
		"map", "select", "reject", "selectattr", "rejectattr", "random",
	};
	const JnCallArgs *args = &node->u.apply.args;

	if (node->u.apply.builtin == NULL || node->u.apply.input == NULL)
		return false;
	if (node->type == JN_FILTER)
		for (int i = 0; i < lengthof(with_context); i++)
			if (strcmp(with_context[i], node->u.apply.name) == 0)
				return false;
	return is_constant(env, node->u.apply.input) &&
		all_constant(env, &args->args) && all_constant(env, &args->kwvalues) &&
		optional_constant(env, args->star) &&
		optional_constant(env, args->starstar);
}

/* Comparisons that fail end there: what follows may be anything. */
static bool
is_constant_comparison(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *left;

	if (!is_constant(env, node->u.compare.first))
		return false;
	left = jn_eval(env, node->u.compare.first);
	for (int i = 0; i < node->u.compare.operands.n; i++)
	{
		JinjaValue *right;

		if (!is_constant(env, node->u.compare.operands.items[i]))
			return false;
		right = jn_eval(env, node->u.compare.operands.items[i]);
		if (!jn_compare_op(env, node->u.compare.ops[i], left, right))
			return true;
		left = right;
	}
	return true;
}

static bool
is_constant_condition(JinjaEnv *env, const JnNode *node)
{
	if (!is_constant(env, node->u.cond.test))
		return false;
	if (jinja_truth(env, jn_eval(env, node->u.cond.test)))
		return is_constant(env, node->u.cond.yes);
	return node->u.cond.no != NULL && is_constant(env, node->u.cond.no);
}

/* The expression was evaluated before without an error. */
static bool
is_constant(JinjaEnv *env, const JnNode *node)
{
	bool		truth;

	check_stack_depth();
	switch (node->type)
	{
		case JN_CONST:
			return true;
		case JN_TUPLE:
		case JN_LIST:
		case JN_CONCAT:
			return all_constant(env, &node->u.list);
		case JN_DICT:
			return all_constant(env, &node->u.dict.keys) &&
				all_constant(env, &node->u.dict.values);
		case JN_NOT:
		case JN_NEG:
		case JN_POS:
			return is_constant(env, node->u.operand);
		case JN_BINARY:
			return is_constant(env, node->u.binary.left) &&
				is_constant(env, node->u.binary.right);
		case JN_AND:
		case JN_OR:
			if (!is_constant(env, node->u.binary.left))
				return false;
			truth = jinja_truth(env, jn_eval(env, node->u.binary.left));
			return truth == (node->type == JN_OR) ||
				is_constant(env, node->u.binary.right);
		case JN_COMPARE:
			return is_constant_comparison(env, node);
		case JN_COND:
			return is_constant_condition(env, node);
		case JN_GETATTR:
			return is_constant(env, node->u.attr.object);
		case JN_GETITEM:
			return is_constant(env, node->u.item.object) &&
				is_constant(env, node->u.item.index);
		case JN_SLICE:
			return optional_constant(env, node->u.slice.start) &&
				optional_constant(env, node->u.slice.stop) &&
				optional_constant(env, node->u.slice.step);
		case JN_FILTER:
		case JN_TEST:
			return is_constant_call(env, node);
		default:
			return false;
	}
}

/* "v" is printed, the value of the expression "node" (NULL: of a statement). */
void
jn_native_piece(JinjaEnv *env, const JnNode *node, JinjaValue *v)
{
	next_piece(env);
	if (env->native->npieces > 1 ||
		(node != NULL && has_safe_repr(v) && is_constant(env, node)))
		jn_str(env, env->native->out, v);
	else
		env->native->only = v;
}

/* ---------- markers ---------- */

/* str(v) with a marker: 't', 'n', 'b', '#', JN_MARKUP, or '\0' for none. */
JinjaValue *
jn_mark(JinjaEnv *env, JinjaValue *v, char marker)
{
	JinjaValue *text = jn_str_value(env, v);
	JinjaValue *marked = jn_value(env, JINJA_STRING);

	marked->u.string = text->u.string;
	marked->u.string.marker = marker;
	return marked;
}

/* What the only piece of a template stands for. */
JinjaValue *
jn_native_value(JinjaEnv *env, JinjaValue *v)
{
	JinjaValue *result;
	char		marker;

	if (v->kind != JINJA_STRING || v->u.string.marker == '\0' ||
		v->u.string.marker == JN_MARKUP)
		return v;
	marker = v->u.string.marker;
	if (marker == 't')
		return jinja_string_len(env, v->u.string.data, v->u.string.len);
	result = jn_literal(env, v->u.string.data, v->u.string.len);
	if (result == NULL)
		result = jinja_string_len(env, v->u.string.data, v->u.string.len);
	if (marker == 'b' && result->kind != JINJA_BOOL)
		jn_raise_type(env, "Could not convert value '%s' into type 'bool'",
					  v->u.string.data);
	if (marker == '#' && result->kind != JINJA_INT &&
		result->kind != JINJA_BIGINT && result->kind != JINJA_FLOAT)
		jn_raise_type(env, "Could not convert value '%s' into type 'number'",
					  v->u.string.data);
	return result;
}
