/*
 * operators.c
 *		Arithmetic, comparison, containment and sorting.
 *
 * The rules are Python's. Integers have 64 bits: what does not fit is an
 * error, never a wrong number.
 */
#include "base/compat.h"

#include <math.h>

#include "common/int.h"
#include "utils/memutils.h"

#include "jinja/jinja_internal.h"

static const char *const op_names[] = {
	"+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=",
	"in", "not in",
};

static void
unsupported(JinjaEnv *env, JnOp op, const JinjaValue *a, const JinjaValue *b)
{
	if (a->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, a);
	if (b->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, b);
	jn_raise_type(env, "operator %s cannot be applied to %s and %s",
				  op_names[op], jn_type_name(a), jn_type_name(b));
}

static void
out_of_range(JinjaEnv *env)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("integer out of range"),
			 errdetail("Integers in templates are limited to 64 bits.")));
}

static void
division_by_zero(JinjaEnv *env)
{
	jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
}

/* ---------- numbers ---------- */

static int64
floor_div(JinjaEnv *env, int64 a, int64 b)
{
	int64		q;

	if (b == 0)
		division_by_zero(env);
	if (b == -1)
	{
		if (a == PG_INT64_MIN)
			out_of_range(env);
		return -a;
	}
	q = a / b;
	if ((a % b != 0) && ((a < 0) != (b < 0)))
		q--;
	return q;
}

static int64
floor_mod(JinjaEnv *env, int64 a, int64 b)
{
	int64		r;

	if (b == 0)
		division_by_zero(env);
	if (b == -1)
		return 0;
	r = a % b;
	if (r != 0 && ((r < 0) != (b < 0)))
		r += b;
	return r;
}

/* b >= 0 */
static int64
int_power(JinjaEnv *env, int64 a, int64 b)
{
	int64		result = 1;

	if (a == 0 || a == 1)
		return b == 0 ? 1 : a;
	if (a == -1)
		return (b % 2 == 0) ? 1 : -1;
	if (b >= 64)
		out_of_range(env);
	for (int64 i = 0; i < b; i++)
		if (pg_mul_s64_overflow(result, a, &result))
			out_of_range(env);
	return result;
}

static JinjaValue *
float_power(JinjaEnv *env, double a, double b)
{
	double		r;

	if (a == 0 && b < 0)
		jinja_raise(env, ERRCODE_DIVISION_BY_ZERO,
					"0.0 cannot be raised to a negative power");
	r = pow(a, b);
	if (isnan(r) && !isnan(a) && !isnan(b))
		jn_raise_type(env, "complex numbers are not supported");
	if (isinf(r) && !isinf(a) && !isinf(b))
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"float out of range");
	return jinja_float(env, r);
}

/* Rounded once where both numbers fit a double's 53 bits. */
static double
divide(int64 a, int64 b)
{
	const int64 exact = INT64CONST(1) << 53;

	if (a <= exact && a >= -exact && b <= exact && b >= -exact)
		return (double) a / (double) b;
	return (double) ((long double) a / (long double) b);
}

static JinjaValue *
int_arithmetic(JinjaEnv *env, JnOp op, int64 a, int64 b)
{
	int64		r = 0;
	bool		overflow = false;

	switch (op)
	{
		case JN_OP_ADD:
			overflow = pg_add_s64_overflow(a, b, &r);
			break;
		case JN_OP_SUB:
			overflow = pg_sub_s64_overflow(a, b, &r);
			break;
		case JN_OP_MUL:
			overflow = pg_mul_s64_overflow(a, b, &r);
			break;
		case JN_OP_DIV:
			if (b == 0)
				division_by_zero(env);
			return jinja_float(env, divide(a, b));
		case JN_OP_FLOORDIV:
			r = floor_div(env, a, b);
			break;
		case JN_OP_MOD:
			r = floor_mod(env, a, b);
			break;
		default:
			Assert(op == JN_OP_POW);
			if (b < 0)
				return float_power(env, (double) a, (double) b);
			r = int_power(env, a, b);
	}
	if (overflow)
		out_of_range(env);
	return jinja_int(env, r);
}

/* CPython's float_divmod. */
static void
float_divmod(JinjaEnv *env, double a, double b, double *quotient,
			 double *modulo)
{
	double		mod;
	double		div;

	if (b == 0)
		division_by_zero(env);
	mod = fmod(a, b);
	div = (a - mod) / b;
	if (mod != 0)
	{
		if ((b < 0) != (mod < 0))
		{
			mod += b;
			div -= 1.0;
		}
	}
	else
		mod = copysign(0.0, b);
	if (div != 0)
	{
		double		f = floor(div);

		if (div - f > 0.5)
			f += 1.0;
		div = f;
	}
	else
		div = copysign(0.0, a / b);
	*quotient = div;
	*modulo = mod;
}

static JinjaValue *
float_arithmetic(JinjaEnv *env, JnOp op, double a, double b)
{
	double		quotient;
	double		modulo;

	switch (op)
	{
		case JN_OP_ADD:
			return jinja_float(env, a + b);
		case JN_OP_SUB:
			return jinja_float(env, a - b);
		case JN_OP_MUL:
			return jinja_float(env, a * b);
		case JN_OP_DIV:
			if (b == 0)
				division_by_zero(env);
			return jinja_float(env, a / b);
		case JN_OP_POW:
			return float_power(env, a, b);
		default:
			float_divmod(env, a, b, &quotient, &modulo);
			return jinja_float(env, op == JN_OP_MOD ? modulo : quotient);
	}
}

/* ---------- sequences ---------- */

static JinjaValue *
concat_strings(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	uint64		len = (uint64) a->u.string.len + b->u.string.len;
	JinjaValue *v;
	char	   *data;

	jn_check_size(env, len);
	if (len > MaxAllocSize / 2)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "string is too long");
	jn_work_bytes(env, len);
	v = jn_string_buffer(env, len, &data);
	memcpy(data, a->u.string.data, a->u.string.len);
	memcpy(data + a->u.string.len, b->u.string.data, b->u.string.len);
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
			return env->empty_string;
		check_repeat(env, len, n);
		result = jn_string_buffer(env, len * n, &data);
		for (int64 i = 0; i < n; i++)
			memcpy(data + i * len, v->u.string.data, len);
		return result;
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

JinjaValue *
jn_binary(JinjaEnv *env, JnOp op, JinjaValue *a, JinjaValue *b)
{
	int64		i;
	int64		j;
	double		x;
	double		y;

	if (jn_is_int(a, &i) && jn_is_int(b, &j))
		return int_arithmetic(env, op, i, j);
	if (jn_is_number(a, &x) && jn_is_number(b, &y))
		return float_arithmetic(env, op, x, y);
	if (a->kind == JINJA_STRING && op == JN_OP_MOD)
		return jn_format_percent(env, a, b);
	if (op == JN_OP_ADD && a->kind == b->kind)
	{
		if (a->kind == JINJA_STRING)
			return concat_strings(env, a, b);
		if (a->kind == JINJA_LIST || a->kind == JINJA_TUPLE)
			return concat_lists(env, a, b);
	}
	if (op == JN_OP_MUL && is_repeatable(a) && jn_is_int(b, &j))
		return repeat(env, a, j);
	if (op == JN_OP_MUL && is_repeatable(b) && jn_is_int(a, &i))
		return repeat(env, b, i);
	unsupported(env, op, a, b);
	return NULL;				/* keep the compiler quiet */
}

static void
bad_operand(JinjaEnv *env, const char *op, const JinjaValue *v)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	jn_raise_type(env, "bad operand type for unary %s: %s", op,
				  jn_type_name(v));
}

JinjaValue *
jn_negate(JinjaEnv *env, JinjaValue *v)
{
	int64		i;

	if (v->kind == JINJA_FLOAT)
		return jinja_float(env, -v->u.real);
	if (!jn_is_int(v, &i))
		bad_operand(env, "-", v);
	if (i == PG_INT64_MIN)
		out_of_range(env);
	return jinja_int(env, -i);
}

JinjaValue *
jn_positive(JinjaEnv *env, JinjaValue *v)
{
	int64		i;

	if (v->kind == JINJA_FLOAT)
		return v;
	if (!jn_is_int(v, &i))
		bad_operand(env, "+", v);
	return jinja_int(env, i);
}

/* ---------- comparison ---------- */

/* Compare exactly: a large integer is not rounded to a double. */
static int
compare_int_float(int64 i, double d)
{
	int64		t;

	if (d >= 9223372036854775808.0)
		return -1;
	if (d < -9223372036854775808.0)
		return 1;
	t = (int64) d;
	if (i != t)
		return i < t ? -1 : 1;
	return d > (double) t ? -1 : d < (double) t ? 1 : 0;
}

/* -1, 0, 1; 2 when one of them is not a number. */
static int
compare_numbers(const JinjaValue *a, const JinjaValue *b)
{
	int64		i;
	int64		j;
	bool		a_int = jn_is_int(a, &i);
	bool		b_int = jn_is_int(b, &j);

	if (a_int && b_int)
		return i < j ? -1 : i > j;
	if (a_int)
		return isnan(b->u.real) ? 2 : compare_int_float(i, b->u.real);
	if (b_int)
		return isnan(a->u.real) ? 2 : -compare_int_float(j, a->u.real);
	if (isnan(a->u.real) || isnan(b->u.real))
		return 2;
	return a->u.real < b->u.real ? -1 : a->u.real > b->u.real;
}

static bool
is_numeric(const JinjaValue *v)
{
	return v->kind == JINJA_INT || v->kind == JINJA_FLOAT ||
		v->kind == JINJA_BOOL;
}

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

static bool
equal_lists(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	if (a->u.list.n != b->u.list.n)
		return false;
	for (int i = 0; i < a->u.list.n && i < b->u.list.n; i++)
		if (!jn_equal(env, a->u.list.items[i], b->u.list.items[i]))
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

		if (other == NULL || !jn_equal(env, a->entries[i].value, other))
			return false;
	}
	return true;
}

/* keys() and items() compare as sets, values() by identity. */
static bool
equal_views(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	JnDict	   *d = a->u.view.dict->u.dict;
	JinjaValue *item;
	JnIter		it;

	if (a->u.view.kind == JN_VIEW_VALUES || b->u.view.kind == JN_VIEW_VALUES ||
		d->n != b->u.view.dict->u.dict->n)
		return false;
	jn_iter_init(env, &it, a);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if (!jn_contains(env, b, item))
			return false;
	return true;
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

bool
jn_equal(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	bool		result;

	jn_work(env, 1);
	if (is_numeric(a) && is_numeric(b))
		return compare_numbers(a, b) == 0;
	if (a->kind != b->kind)
		return false;
	if (a == b)
		return true;
	switch (a->kind)
	{
		case JINJA_UNDEFINED:
		case JINJA_NONE:
			return true;
		case JINJA_STRING:
			return a->u.string.len == b->u.string.len &&
				compare_strings(env, a, b) == 0;
		case JINJA_RANGE:
			return equal_ranges(&a->u.range, &b->u.range);
		case JINJA_FUNCTION:
			return a->u.function.fn == b->u.function.fn &&
				a->u.function.arg == b->u.function.arg;
		case JINJA_METHOD:
			return a->u.method.builtin == b->u.method.builtin &&
				a->u.method.self == b->u.method.self;
		case JINJA_OBJECT:
			return a->u.object.ops == b->u.object.ops &&
				a->u.object.object == b->u.object.object;
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_DICT:
		case JINJA_VIEW:
			break;
		default:
			return false;
	}
	jn_enter(env);
	if (a->kind == JINJA_DICT)
		result = equal_dicts(env, a->u.dict, b->u.dict);
	else if (a->kind == JINJA_VIEW)
		result = equal_views(env, a, b);
	else
		result = equal_lists(env, a, b);
	jn_leave(env);
	return result;
}

static bool
ordered(JnOp op, int c)
{
	switch (op)
	{
		case JN_OP_LT:
			return c == -1;
		case JN_OP_LE:
			return c == -1 || c == 0;
		case JN_OP_GT:
			return c == 1;
		default:
			Assert(op == JN_OP_GE);
			return c == 1 || c == 0;
	}
}

static bool
compare_lists(JinjaEnv *env, JnOp op, JinjaValue *a, JinjaValue *b)
{
	int			n = Min(a->u.list.n, b->u.list.n);
	bool		result;
	int			i;

	jn_enter(env);
	for (i = 0; i < n; i++)
		if (a->u.list.items[i] != b->u.list.items[i] &&
			!jn_equal(env, a->u.list.items[i], b->u.list.items[i]))
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

/* keys() and items() are ordered by inclusion. */
static bool
compare_views(JinjaEnv *env, JnOp op, JinjaValue *a, JinjaValue *b)
{
	int			n = a->u.view.dict->u.dict->n;
	int			m = b->u.view.dict->u.dict->n;
	JinjaValue *item;
	JnIter		it;

	if (op == JN_OP_GT || op == JN_OP_GE)
		return compare_views(env, op == JN_OP_GT ? JN_OP_LT : JN_OP_LE, b, a);
	if (op == JN_OP_LT ? n >= m : n > m)
		return false;
	jn_iter_init(env, &it, a);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if (!jn_contains(env, b, item))
			return false;
	return true;
}

/* <, <=, >, >=, ==, !=, in, not in */
bool
jn_compare_op(JinjaEnv *env, JnOp op, JinjaValue *a, JinjaValue *b)
{
	switch (op)
	{
		case JN_OP_EQ:
			return jn_equal(env, a, b);
		case JN_OP_NE:
			return !jn_equal(env, a, b);
		case JN_OP_IN:
			return jn_contains(env, b, a);
		case JN_OP_NOT_IN:
			return !jn_contains(env, b, a);
		default:
			break;
	}
	jn_work(env, 1);
	if (is_numeric(a) && is_numeric(b))
		return ordered(op, compare_numbers(a, b));
	if (a->kind == JINJA_STRING && b->kind == JINJA_STRING)
		return ordered(op, compare_strings(env, a, b));
	if (a->kind == b->kind &&
		(a->kind == JINJA_LIST || a->kind == JINJA_TUPLE))
		return compare_lists(env, op, a, b);
	if (a->kind == JINJA_VIEW && b->kind == JINJA_VIEW &&
		a->u.view.kind != JN_VIEW_VALUES && b->u.view.kind != JN_VIEW_VALUES)
		return compare_views(env, op, a, b);
	unsupported(env, op, a, b);
	return false;				/* keep the compiler quiet */
}

/* ---------- containment ---------- */

static bool
range_contains(const JnRange *r, const JinjaValue *v)
{
	int64		i;

	if (v->kind == JINJA_FLOAT)
	{
		if (v->u.real != floor(v->u.real) || fabs(v->u.real) > 9e18)
			return false;
		i = (int64) v->u.real;
	}
	else if (!jn_is_int(v, &i))
		return false;
	if (r->step > 0 ? (i < r->start || i >= r->stop) :
		(i > r->start || i <= r->stop))
		return false;
	return r->step > 0 ?
		((uint64) i - (uint64) r->start) % (uint64) r->step == 0 :
		((uint64) r->start - (uint64) i) % (-(uint64) r->step) == 0;
}

static bool
string_contains(JinjaEnv *env, const JinjaValue *s, const JinjaValue *v)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind != JINJA_STRING)
		jn_raise_type(env, "\"in <string>\" requires a string, not %s",
					  jn_type_name(v));
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
	return value != NULL && jn_equal(env, value, v->u.list.items[1]);
}

bool
jn_contains(JinjaEnv *env, JinjaValue *container, JinjaValue *v)
{
	JinjaValue *item;
	JnIter		it;

	switch (container->kind)
	{
		case JINJA_STRING:
			return string_contains(env, container, v);
		case JINJA_DICT:
			return jn_dict_find(env, container->u.dict, v) != NULL;
		case JINJA_RANGE:
			return range_contains(&container->u.range, v);
		case JINJA_VIEW:
			if (container->u.view.kind == JN_VIEW_KEYS)
				return jn_dict_find(env, container->u.view.dict->u.dict,
									v) != NULL;
			if (container->u.view.kind == JN_VIEW_ITEMS)
				return items_contain(env, container->u.view.dict->u.dict, v);
			break;
		case JINJA_OBJECT:
		case JINJA_NONE:
		case JINJA_BOOL:
		case JINJA_INT:
		case JINJA_FLOAT:
			jn_raise_type(env, "argument of type %s is not iterable",
						  jn_type_name(container));
		default:
			break;
	}
	jn_iter_init(env, &it, container);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if (item == v || jn_equal(env, item, v))
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
			right = jn_compare_op(env, JN_OP_LT, keys[i], keys[j]);
		else
			right = jn_compare_op(env, JN_OP_LT, keys[j], keys[i]);
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
	tmp = jn_alloc(env, 2 * (uint64) n * sizeof(JinjaValue *));
	merge_sort(env, keys, items, tmp, tmp + n, n, reverse);
	pfree(tmp);
}
