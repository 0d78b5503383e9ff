/*
 * operators.c
 *		Arithmetic, comparison, containment and sorting.
 *
 * The rules are Python's. Numbers are calculated with in numbers.c.
 */
#include "base/compat.h"

#include <math.h>

#include "common/int.h"
#include "utils/memutils.h"

#include "jinja/decimal.h"
#include "jinja/markup.h"

static const char *const op_names[] = {
	"+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=",
	"in", "not in",
};

static void
unsupported(JinjaEnv *env, JinjaOp op, const JinjaValue *a, const JinjaValue *b)
{
	if (a->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, a);
	if (b->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, b);
	jn_raise_type(env, "operator %s cannot be applied to %s and %s",
				  op_names[op], jinja_type_name(a), jinja_type_name(b));
}

/* ---------- sequences ---------- */

static JinjaValue *
concat_strings(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	bool		markup = jn_is_markup(a) || jn_is_markup(b);
	uint64		len;
	JinjaValue *v;
	char	   *data;

	if (markup)
	{
		a = jn_escape(env, a);
		b = jn_escape(env, b);
	}
	len = (uint64) a->u.string.len + b->u.string.len;
	jn_check_size(env, len);
	if (len > MaxAllocSize / 2)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "string is too long");
	jn_work_bytes(env, len);
	v = jn_string_buffer(env, len, &data);
	memcpy(data, a->u.string.data, a->u.string.len);
	memcpy(data + a->u.string.len, b->u.string.data, b->u.string.len);
	if (markup)
		v->u.string.marker = JN_MARKUP;
	return v;
}

static JinjaValue *
concat_lists(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	int64		n = (int64) a->u.list.n + b->u.list.n;
	JinjaValue *v = jn_list_sized(env, a->kind, n);

	jn_work(env, n / 16);
	if (a->u.list.n > 0)
		memcpy(v->u.list.items, a->u.list.items,
			   a->u.list.n * sizeof(JinjaValue *));
	if (b->u.list.n > 0)
		memcpy(v->u.list.items + a->u.list.n, b->u.list.items,
			   b->u.list.n * sizeof(JinjaValue *));
	v->u.list.n = n;
	return v;
}

/* May "n" copies of "unit" bytes be made? */
static void
check_repeat(JinjaEnv *env, int64 unit, int64 n)
{
	int64		total;

	if (pg_mul_s64_overflow(unit, n, &total) || total > MaxAllocSize / 2)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"repetition makes too large a value");
	jn_check_size(env, total);
	jn_work_bytes(env, total);
}

static JinjaValue *
repeat(JinjaEnv *env, JinjaValue *v, int64 n)
{
	JinjaValue *result;

	if (n < 0)
		n = 0;
	if (v->kind == JINJA_STRING)
	{
		int			len = v->u.string.len;
		char	   *data;

		if (len == 0 || n == 0)
			return jn_markup_like(env, v, env->empty_string);
		check_repeat(env, len, n);
		result = jn_string_buffer(env, len * n, &data);
		for (int64 i = 0; i < n; i++)
			memcpy(data + i * len, v->u.string.data, len);
		return jn_markup_like(env, v, result);
	}
	if (v->u.list.n == 0 || n == 0)
		return jn_list_sized(env, v->kind, 0);
	check_repeat(env, v->u.list.n * sizeof(JinjaValue *), n);
	result = jn_list_sized(env, v->kind, v->u.list.n * n);
	for (int64 i = 0; i < n; i++)
		memcpy(result->u.list.items + i * v->u.list.n, v->u.list.items,
			   v->u.list.n * sizeof(JinjaValue *));
	result->u.list.n = v->u.list.n * n;
	return result;
}

static bool
is_repeatable(const JinjaValue *v)
{
	return v->kind == JINJA_STRING || v->kind == JINJA_LIST ||
		v->kind == JINJA_TUPLE;
}

/* ---------- arithmetic ---------- */

/* What an object makes of an operator; NULL: nothing. */
JinjaValue *
jn_object_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *v = NULL;

	if (a->kind == JINJA_OBJECT && a->u.object.ops->binary != NULL)
		v = a->u.object.ops->binary(env, op, a->u.object.object, b, false);
	if (v == NULL && b->kind == JINJA_OBJECT &&
		b->u.object.ops->binary != NULL)
		v = b->u.object.ops->binary(env, op, b->u.object.object, a, true);
	return v;
}

JinjaValue *
jn_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *v = jn_number_binary(env, op, a, b);
	int64		i;
	int64		j;

	if (v != NULL)
		return v;
	if (a->kind == JINJA_STRING && op == JINJA_OP_MOD)
		return jn_format_percent(env, a, b);
	if ((v = jn_object_binary(env, op, a, b)) != NULL)
		return v;
	if (op == JINJA_OP_ADD && a->kind == b->kind)
	{
		if (a->kind == JINJA_STRING)
			return concat_strings(env, a, b);
		if (a->kind == JINJA_LIST || a->kind == JINJA_TUPLE)
			return concat_lists(env, a, b);
	}
	if (op == JINJA_OP_MUL && is_repeatable(a) && jn_is_int(b, &j))
		return repeat(env, a, j);
	if (op == JINJA_OP_MUL && is_repeatable(b) && jn_is_int(a, &i))
		return repeat(env, b, i);
	if (op == JINJA_OP_SUB && jn_is_set_like(a) &&
		(jn_is_set_like(b) || a->kind == JINJA_VIEW))
		return jn_set_difference(env, a, b);
	unsupported(env, op, a, b);
	return NULL;				/* keep the compiler quiet */
}

/* ---------- comparison ---------- */

/* By code point, which in UTF-8 is by byte. */
static int
compare_strings(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	int			n = Min(a->u.string.len, b->u.string.len);
	int			c = memcmp(a->u.string.data, b->u.string.data, n);

	jn_work_bytes(env, n);
	if (c == 0)
		c = a->u.string.len - b->u.string.len;
	return c < 0 ? -1 : c > 0;
}

static inline bool
equal_strings(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	int			n = a->u.string.len;

	if (a == b)
		return true;
	if (n != b->u.string.len)
		return false;
	jn_work_bytes(env, n);
	return memcmp(a->u.string.data, b->u.string.data, n) == 0;
}

static bool
equal_lists(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	if (a->u.list.n != b->u.list.n)
		return false;
	for (int i = 0; i < a->u.list.n && i < b->u.list.n; i++)
		if (!jinja_equal(env, a->u.list.items[i], b->u.list.items[i]))
			return false;
	return true;
}

static bool
equal_dicts(JinjaEnv *env, const JnDict *a, const JnDict *b)
{
	if (a->n != b->n)
		return false;
	for (int i = 0; i < a->n; i++)
	{
		JinjaValue *other = jn_dict_lookup(env, b, a->entries[i].key);

		if (other == NULL || !jinja_equal(env, a->entries[i].value, other))
			return false;
	}
	return true;
}

/* Sets, keys() and items() compare as sets, values() by identity. */
static bool
equal_sets(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	return jn_length(env, a) == jn_length(env, b) && jn_is_subset(env, a, b);
}

static bool
equal_ranges(const JnRange *a, const JnRange *b)
{
	if (a->length != b->length)
		return false;
	if (a->length == 0)
		return true;
	return a->start == b->start && (a->length == 1 || a->step == b->step);
}

/* The host's are made anew each time that they are found. */
static bool
equal_macros(const JnMacro *a, const JnMacro *b)
{
	return a->seen < 0 && b->seen < 0 && a->def == b->def && a->context == b->context;
}

static bool
equal_objects(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *v = jn_object_binary(env, JINJA_OP_EQ, a, b);

	if (v != NULL)
		return jinja_truth(env, v);
	return a->kind == b->kind && a->u.object.ops == b->u.object.ops &&
		a->u.object.object == b->u.object.object;
}

bool
jinja_equal(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	bool		result;

	jn_work(env, 1);
	if (a->kind == JINJA_STRING && b->kind == JINJA_STRING)
		return equal_strings(env, a, b);
	if (jn_is_numeric(a) && jn_is_numeric(b))
		return jn_compare_numbers(env, a, b) == 0;
	if (a->kind == JINJA_OBJECT || b->kind == JINJA_OBJECT)
		return equal_objects(env, a, b);
	if (jn_is_set_like(a) && jn_is_set_like(b))
		return equal_sets(env, a, b);
	if (a->kind != b->kind)
		return false;
	if (a == b)
		return true;
	switch (a->kind)
	{
		case JINJA_UNDEFINED:
		case JINJA_NONE:
			return true;
		case JINJA_RANGE:
			return equal_ranges(&a->u.range, &b->u.range);
		case JINJA_FUNCTION:
			return a->u.function.fn == b->u.function.fn &&
				a->u.function.arg == b->u.function.arg;
		case JINJA_MACRO:
			return equal_macros(&a->u.macro, &b->u.macro);
		case JINJA_METHOD:
			return a->u.method.builtin == b->u.method.builtin &&
				a->u.method.self == b->u.method.self;
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_DICT:
			break;
		default:
			return false;
	}
	jn_enter(env);
	if (a->kind == JINJA_DICT)
		result = equal_dicts(env, a->u.dict, b->u.dict);
	else
		result = equal_lists(env, a, b);
	jn_leave(env);
	return result;
}

static bool
ordered(JinjaOp op, int c)
{
	switch (op)
	{
		case JINJA_OP_LT:
			return c == -1;
		case JINJA_OP_LE:
			return c == -1 || c == 0;
		case JINJA_OP_GT:
			return c == 1;
		default:
			Assert(op == JINJA_OP_GE);
			return c == 1 || c == 0;
	}
}

static bool
compare_lists(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	int			n = Min(a->u.list.n, b->u.list.n);
	bool		result;
	int			i;

	jn_enter(env);
	for (i = 0; i < n; i++)
		if (a->u.list.items[i] != b->u.list.items[i] &&
			!jinja_equal(env, a->u.list.items[i], b->u.list.items[i]))
			break;
	if (i < n)
		result = jn_compare_op(env, op, a->u.list.items[i],
							   b->u.list.items[i]);
	else
		result = ordered(op, a->u.list.n < b->u.list.n ? -1 :
						 a->u.list.n > b->u.list.n);
	jn_leave(env);
	return result;
}

/* Sets, keys() and items() are ordered by inclusion. */
static bool
compare_sets(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	int64		n = jn_length(env, a);
	int64		m = jn_length(env, b);

	if (op == JINJA_OP_GT || op == JINJA_OP_GE)
		return compare_sets(env, op == JINJA_OP_GT ? JINJA_OP_LT : JINJA_OP_LE,
							b, a);
	if (op == JINJA_OP_LT ? n >= m : n > m)
		return false;
	return jn_is_subset(env, a, b);
}

/* <, <=, >, >=, ==, !=, in, not in */
bool
jn_compare_op(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *v;

	switch (op)
	{
		case JINJA_OP_EQ:
			return jinja_equal(env, a, b);
		case JINJA_OP_NE:
			return !jinja_equal(env, a, b);
		case JINJA_OP_IN:
			return jn_contains(env, b, a);
		case JINJA_OP_NOT_IN:
			return !jn_contains(env, b, a);
		default:
			break;
	}
	jn_work(env, 1);
	if (jn_is_numeric(a) && jn_is_numeric(b))
		return ordered(op, jn_compare_numbers(env, a, b));
	if (a->kind == JINJA_STRING && b->kind == JINJA_STRING)
		return ordered(op, compare_strings(env, a, b));
	if (a->kind == b->kind &&
		(a->kind == JINJA_LIST || a->kind == JINJA_TUPLE))
		return compare_lists(env, op, a, b);
	if (jn_is_set_like(a) && jn_is_set_like(b))
		return compare_sets(env, op, a, b);
	if ((v = jn_object_binary(env, op, a, b)) != NULL)
		return jinja_truth(env, v);
	unsupported(env, op, a, b);
	return false;				/* keep the compiler quiet */
}

/* ---------- containment ---------- */

/* The integer that "v" is equal to, if it is one of 64 bits. */
static bool
whole_number(JinjaEnv *env, JinjaValue *v, int64 *i)
{
	JinjaValue *whole;

	if (v->kind == JINJA_FLOAT)
	{
		if (v->u.real != floor(v->u.real) || fabs(v->u.real) > 9e18)
			return false;
		*i = (int64) v->u.real;
		return true;
	}
	if (v->kind != JINJA_DECIMAL)
		return jn_is_int(v, i);
	whole = jn_big_value(env, jn_decimal_to_big(env, v->u.decimal));
	return jn_is_int(whole, i) && jinja_equal(env, whole, v);
}

/* Is "v" in the range, and which of its numbers is it? */
bool
jn_range_position(JinjaEnv *env, const JnRange *r, JinjaValue *v, int64 *pos)
{
	int64		i;
	uint64		step = r->step > 0 ? (uint64) r->step : -(uint64) r->step;
	uint64		from_start;

	if (!whole_number(env, v, &i))
		return false;
	if (r->step > 0 ? (i < r->start || i >= r->stop) :
		(i > r->start || i <= r->stop))
		return false;
	from_start = r->step > 0 ? (uint64) i - (uint64) r->start :
		(uint64) r->start - (uint64) i;
	*pos = from_start / step;
	return from_start % step == 0;
}

static bool
string_contains(JinjaEnv *env, const JinjaValue *s, const JinjaValue *v)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind != JINJA_STRING)
		jn_raise_type(env, "\"in <string>\" requires a string, not %s",
					  jinja_type_name(v));
	jn_work_bytes(env, s->u.string.len);
	return v->u.string.len == 0 ||
		jn_find(s->u.string.data, s->u.string.len,
				v->u.string.data, v->u.string.len) != NULL;
}

/* Is the pair "v" in items()? */
static bool
items_contain(JinjaEnv *env, const JnDict *d, const JinjaValue *v)
{
	JinjaValue *value;

	if (v->kind != JINJA_TUPLE || v->u.list.n != 2)
		return false;
	value = jn_dict_lookup(env, d, v->u.list.items[0]);
	return value != NULL && jinja_equal(env, value, v->u.list.items[1]);
}

bool
jn_contains(JinjaEnv *env, JinjaValue *container, JinjaValue *v)
{
	JinjaValue *item;
	int64		pos;
	JnIter		it;

	switch (container->kind)
	{
		case JINJA_STRING:
			return string_contains(env, container, v);
		case JINJA_DICT:
		case JINJA_SET:
			return jn_dict_find(env, container->u.dict, v) != NULL;
		case JINJA_RANGE:
			return jn_range_position(env, &container->u.range, v, &pos);
		case JINJA_VIEW:
			if (container->u.view.kind == JN_VIEW_KEYS)
				return jn_dict_find(env, container->u.view.dict->u.dict,
									v) != NULL;
			if (container->u.view.kind == JN_VIEW_ITEMS)
				return items_contain(env, container->u.view.dict->u.dict, v);
			break;
		case JINJA_OBJECT:
			item = jn_object_binary(env, JINJA_OP_IN, container, v);
			if (item != NULL)
				return jinja_truth(env, item);
			break;
		case JINJA_NONE:
		case JINJA_BOOL:
		case JINJA_INT:
		case JINJA_BIGINT:
		case JINJA_DECIMAL:
		case JINJA_FLOAT:
			jn_raise_type(env, "argument of type %s is not iterable",
						  jinja_type_name(container));
		default:
			break;
	}
	jn_iter_init(env, &it, container);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if (item == v || jinja_equal(env, item, v))
			return true;
	return false;
}

/* ---------- sorting ---------- */

/*
 * A stable merge sort of "items" by "keys"; keys are moved along. Only "<" is
 * asked, as in Python. With "reverse", equal items keep their order too.
 */
static void
merge_sort(JinjaEnv *env, JinjaValue **keys, JinjaValue **items,
		   JinjaValue **tmp_keys, JinjaValue **tmp_items, int n, bool reverse)
{
	int			half = n / 2;
	int			i = 0;
	int			j = half;

	if (n < 2)
		return;
	merge_sort(env, keys, items, tmp_keys, tmp_items, half, reverse);
	merge_sort(env, keys + half, items + half, tmp_keys, tmp_items, n - half,
			   reverse);
	for (int k = 0; k < n; k++)
	{
		bool		right;

		if (i >= half || j >= n)
			right = i >= half;
		else if (reverse)
			right = jn_compare_op(env, JINJA_OP_LT, keys[i], keys[j]);
		else
			right = jn_compare_op(env, JINJA_OP_LT, keys[j], keys[i]);
		tmp_keys[k] = right ? keys[j] : keys[i];
		tmp_items[k] = right ? items[j++] : items[i++];
	}
	memcpy(keys, tmp_keys, n * sizeof(JinjaValue *));
	memcpy(items, tmp_items, n * sizeof(JinjaValue *));
}

void
jn_sort(JinjaEnv *env, JinjaValue **keys, JinjaValue **items, int n,
		bool reverse)
{
	JinjaValue **tmp;

	if (n < 2)
		return;
	tmp = jn_palloc(env, 2 * (uint64) n * sizeof(JinjaValue *));
	merge_sort(env, keys, items, tmp, tmp + n, n, reverse);
	pfree(tmp);
}
