/*
 * tests.c
 *		The built-in tests: "x is defined", "x is divisibleby 3", ...
 */
#include "base/compat.h"

#include <math.h>

#include "jinja/markup.h"

#define TEST_ARGS JinjaEnv *env, JinjaValue *v, JinjaValue **argv, \
	const JinjaArgs *args

static JinjaValue *
test_defined(TEST_ARGS)
{
	return jinja_bool(env, v->kind != JINJA_UNDEFINED);
}

static JinjaValue *
test_undefined(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_UNDEFINED);
}

static JinjaValue *
test_none(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_NONE);
}

static JinjaValue *
test_boolean(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_BOOL);
}

static JinjaValue *
test_true(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_BOOL && v->u.boolean);
}

static JinjaValue *
test_false(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_BOOL && !v->u.boolean);
}

static JinjaValue *
test_integer(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_INT || v->kind == JINJA_BIGINT);
}

static JinjaValue *
test_float(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_FLOAT);
}

static JinjaValue *
test_number(TEST_ARGS)
{
	return jinja_bool(env, jn_is_numeric(v));
}

static JinjaValue *
test_string(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_STRING);
}

static JinjaValue *
test_mapping(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_DICT ||
					  (v->kind == JINJA_OBJECT && v->u.object.ops->is_mapping));
}

static JinjaValue *
test_sequence(TEST_ARGS)
{
	/* What has a length and subscripts; in Python an undefined has both. */
	if (v->kind == JINJA_OBJECT)
		return jinja_bool(env, v->u.object.ops->is_sequence);
	return jinja_bool(env, jn_length(env, v) >= 0 && v->kind != JINJA_VIEW &&
					  v->kind != JINJA_SET);
}

static JinjaValue *
test_iterable(TEST_ARGS)
{
	return jinja_bool(env, jn_iterable(v));
}

static JinjaValue *
test_callable(TEST_ARGS)
{
	return jinja_bool(env, v->kind == JINJA_FUNCTION ||
					  v->kind == JINJA_METHOD || v->kind == JINJA_MACRO ||
					  v->kind == JINJA_UNDEFINED ||
					  (v->kind == JINJA_OBJECT &&
					   v->u.object.ops->call != NULL));
}

static JinjaValue *
test_lower(TEST_ARGS)
{
	return jinja_bool(env, jn_is_cased(env, jn_str_value(env, v), false));
}

static JinjaValue *
test_upper(TEST_ARGS)
{
	return jinja_bool(env, jn_is_cased(env, jn_str_value(env, v), true));
}

static JinjaValue *
test_filter(TEST_ARGS)
{
	(void) jn_hash(env, v);		/* a list is an error, as in Python */
	return jinja_bool(env, v->kind == JINJA_STRING &&
					  jn_find_filter(v->u.string.data) != NULL);
}

static JinjaValue *
test_test(TEST_ARGS)
{
	(void) jn_hash(env, v);
	return jinja_bool(env, v->kind == JINJA_STRING &&
					  jn_find_test(v->u.string.data) != NULL);
}

static JinjaValue *
test_escaped(TEST_ARGS)
{
	return jinja_bool(env, jn_is_markup(v));
}

static bool
remainder_is(JinjaEnv *env, JinjaValue *v, JinjaValue *divisor, int64 rest)
{
	return jinja_equal(env, jn_binary(env, JINJA_OP_MOD, v, divisor),
					jinja_int(env, rest));
}

static JinjaValue *
test_odd(TEST_ARGS)
{
	return jinja_bool(env, remainder_is(env, v, jinja_int(env, 2), 1));
}

static JinjaValue *
test_even(TEST_ARGS)
{
	return jinja_bool(env, remainder_is(env, v, jinja_int(env, 2), 0));
}

static JinjaValue *
test_divisibleby(TEST_ARGS)
{
	return jinja_bool(env, remainder_is(env, v, argv[0], 0));
}

static JinjaValue *
test_in(TEST_ARGS)
{
	return jinja_bool(env, jn_contains(env, argv[0], v));
}

/* The same object: for values without identity, the same value. */
static JinjaValue *
test_sameas(TEST_ARGS)
{
	bool		same = v == argv[0];

	if (!same && v->kind == argv[0]->kind)
		switch (v->kind)
		{
			case JINJA_NONE:
			case JINJA_BOOL:
			case JINJA_INT:
			case JINJA_STRING:
			case JINJA_FUNCTION:
			case JINJA_MACRO:
				same = jinja_equal(env, v, argv[0]);
				break;
			default:
				break;
		}
	return jinja_bool(env, same);
}

static JinjaValue *
test_eq(TEST_ARGS)
{
	return jinja_bool(env, jinja_equal(env, v, argv[0]));
}

static JinjaValue *
test_ne(TEST_ARGS)
{
	return jinja_bool(env, !jinja_equal(env, v, argv[0]));
}

static JinjaValue *
test_lt(TEST_ARGS)
{
	return jinja_bool(env, jn_compare_op(env, JINJA_OP_LT, v, argv[0]));
}

static JinjaValue *
test_le(TEST_ARGS)
{
	return jinja_bool(env, jn_compare_op(env, JINJA_OP_LE, v, argv[0]));
}

static JinjaValue *
test_gt(TEST_ARGS)
{
	return jinja_bool(env, jn_compare_op(env, JINJA_OP_GT, v, argv[0]));
}

static JinjaValue *
test_ge(TEST_ARGS)
{
	return jinja_bool(env, jn_compare_op(env, JINJA_OP_GE, v, argv[0]));
}

static const JnBuiltin tests[] = {
	{"!=", test_ne, 1, 1, {NULL}},
	{"<", test_lt, 1, 1, {NULL}},
	{"<=", test_le, 1, 1, {NULL}},
	{"==", test_eq, 1, 1, {NULL}},
	{">", test_gt, 1, 1, {NULL}},
	{">=", test_ge, 1, 1, {NULL}},
	{"boolean", test_boolean, 0, 0, {NULL}},
	{"callable", test_callable, 0, 0, {NULL}},
	{"defined", test_defined, 0, 0, {NULL}},
	{"divisibleby", test_divisibleby, 1, 1, {"num"}},
	{"eq", test_eq, 1, 1, {NULL}},
	{"equalto", test_eq, 1, 1, {NULL}},
	{"escaped", test_escaped, 0, 0, {NULL}},
	{"even", test_even, 0, 0, {NULL}},
	{"false", test_false, 0, 0, {NULL}},
	{"filter", test_filter, 0, 0, {NULL}},
	{"float", test_float, 0, 0, {NULL}},
	{"ge", test_ge, 1, 1, {NULL}},
	{"greaterthan", test_gt, 1, 1, {NULL}},
	{"gt", test_gt, 1, 1, {NULL}},
	{"in", test_in, 1, 1, {"seq"}},
	{"integer", test_integer, 0, 0, {NULL}},
	{"iterable", test_iterable, 0, 0, {NULL}},
	{"le", test_le, 1, 1, {NULL}},
	{"lessthan", test_lt, 1, 1, {NULL}},
	{"lower", test_lower, 0, 0, {NULL}},
	{"lt", test_lt, 1, 1, {NULL}},
	{"mapping", test_mapping, 0, 0, {NULL}},
	{"ne", test_ne, 1, 1, {NULL}},
	{"none", test_none, 0, 0, {NULL}},
	{"number", test_number, 0, 0, {NULL}},
	{"odd", test_odd, 0, 0, {NULL}},
	{"sameas", test_sameas, 1, 1, {"other"}},
	{"sequence", test_sequence, 0, 0, {NULL}},
	{"string", test_string, 0, 0, {NULL}},
	{"test", test_test, 0, 0, {NULL}},
	{"true", test_true, 0, 0, {NULL}},
	{"undefined", test_undefined, 0, 0, {NULL}},
	{"upper", test_upper, 0, 0, {NULL}},
};

const JnBuiltin *
jn_find_test(const char *name)
{
	for (int i = 0; i < lengthof(tests); i++)
		if (strcmp(tests[i].name, name) == 0)
			return &tests[i];
	return NULL;
}
