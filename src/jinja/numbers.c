/*
 * numbers.c
 *		Arithmetic and comparison of numbers.
 *
 * The rules are Python's: integers of any size, floats, and Decimals, which
 * mix with integers but not with floats. Integers of 64 bits take the short
 * way; what overflows is calculated again by bigint.c.
 */
#include "base/compat.h"

#include <math.h>

#include "common/int.h"

#include "jinja/decimal.h"

static void
division_by_zero(JinjaEnv *env)
{
	jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
}

static void
float_out_of_range(JinjaEnv *env)
{
	jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "float out of range");
}

/* ---------- floats ---------- */

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
		float_out_of_range(env);
	return jinja_float(env, r);
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
float_arithmetic(JinjaEnv *env, JinjaOp op, double a, double b)
{
	double		quotient;
	double		modulo;

	switch (op)
	{
		case JINJA_OP_ADD:
			return jinja_float(env, a + b);
		case JINJA_OP_SUB:
			return jinja_float(env, a - b);
		case JINJA_OP_MUL:
			return jinja_float(env, a * b);
		case JINJA_OP_DIV:
			if (b == 0)
				division_by_zero(env);
			return jinja_float(env, a / b);
		case JINJA_OP_POW:
			return float_power(env, a, b);
		default:
			float_divmod(env, a, b, &quotient, &modulo);
			return jinja_float(env, op == JINJA_OP_MOD ? modulo : quotient);
	}
}

/* ---------- integers ---------- */

static JinjaValue *
big_arithmetic(JinjaEnv *env, JinjaOp op, const JnBig *a, const JnBig *b)
{
	JnBig	   *rest;
	JnBig	   *q;
	int64		exponent;
	double		d;

	switch (op)
	{
		case JINJA_OP_ADD:
			return jn_big_value(env, jn_big_add(env, a, b));
		case JINJA_OP_SUB:
			return jn_big_value(env, jn_big_subtract(env, a, b));
		case JINJA_OP_MUL:
			return jn_big_value(env, jn_big_multiply(env, a, b));
		case JINJA_OP_POW:
			if (b->negative)
				return float_arithmetic(env, op, jn_big_to_double(a),
										jn_big_to_double(b));
			if (!jn_big_to_int64(b, &exponent))
				exponent = a->n == 1 && a->d[0] == 1 ? b->d[0] % 2 :
					PG_INT64_MAX;
			return jn_big_value(env, jn_big_power(env, a, exponent));
		default:
			break;
	}
	if (b->n == 0)
		division_by_zero(env);
	if (op == JINJA_OP_DIV)
	{
		d = jn_big_true_divide(env, a, b);
		if (isinf(d))
			float_out_of_range(env);
		return jinja_float(env, d);
	}
	q = jn_big_divmod(env, a, b, &rest);
	return jn_big_value(env, op == JINJA_OP_MOD ? rest : q);
}

/* Exact where both numbers fit a double's 53 bits. */
static bool
fit_doubles(int64 a, int64 b)
{
	const int64 exact = INT64CONST(1) << 53;

	return a <= exact && a >= -exact && b <= exact && b >= -exact;
}

/* The value, or NULL: it takes more than 64 bits. */
static JinjaValue *
small_arithmetic(JinjaEnv *env, JinjaOp op, int64 a, int64 b)
{
	int64		r;

	switch (op)
	{
		case JINJA_OP_ADD:
			return pg_add_s64_overflow(a, b, &r) ? NULL : jinja_int(env, r);
		case JINJA_OP_SUB:
			return pg_sub_s64_overflow(a, b, &r) ? NULL : jinja_int(env, r);
		case JINJA_OP_MUL:
			return pg_mul_s64_overflow(a, b, &r) ? NULL : jinja_int(env, r);
		case JINJA_OP_DIV:
			return b != 0 && fit_doubles(a, b) ?
				jinja_float(env, (double) a / (double) b) : NULL;
		case JINJA_OP_FLOORDIV:
			if (b == 0 || b == -1)
				return NULL;
			r = a / b - (a % b != 0 && (a < 0) != (b < 0));
			return jinja_int(env, r);
		case JINJA_OP_MOD:
			if (b == 0 || b == -1)
				return NULL;
			r = a % b;
			return jinja_int(env, r != 0 && (r < 0) != (b < 0) ? r + b : r);
		default:
			return NULL;
	}
}

static JinjaValue *
int_arithmetic(JinjaEnv *env, JinjaOp op, const JinjaValue *a,
			   const JinjaValue *b)
{
	JinjaValue *v;
	int64		i;
	int64		j;

	if (jn_is_int(a, &i) && jn_is_int(b, &j) &&
		(v = small_arithmetic(env, op, i, j)) != NULL)
		return v;
	return big_arithmetic(env, op, jn_big_of(env, a), jn_big_of(env, b));
}

/* ---------- all numbers ---------- */

bool
jn_is_numeric(const JinjaValue *v)
{
	return v->kind == JINJA_INT || v->kind == JINJA_FLOAT ||
		v->kind == JINJA_BOOL || v->kind == JINJA_BIGINT ||
		v->kind == JINJA_DECIMAL;
}

/* Any number as a float; an integer may be too large for one. */
double
jn_to_double(JinjaEnv *env, const JinjaValue *v)
{
	double		d;

	if (v->kind == JINJA_DECIMAL)
		return jn_decimal_to_double(env, v->u.decimal);
	if (jn_is_number(v, &d))
		return d;
	Assert(v->kind == JINJA_BIGINT);
	d = jn_big_to_double(v->u.big);
	if (isinf(d))
		float_out_of_range(env);
	return d;
}

static void
no_floats_with_decimals(JinjaEnv *env)
{
	jn_raise_type(env, "a Decimal and a float cannot be calculated with together");
}

/* NULL: not both are numbers. */
JinjaValue *
jn_number_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a, JinjaValue *b)
{
	bool		decimal = a->kind == JINJA_DECIMAL || b->kind == JINJA_DECIMAL;
	bool		real = a->kind == JINJA_FLOAT || b->kind == JINJA_FLOAT;

	if (!jn_is_numeric(a) || !jn_is_numeric(b))
		return NULL;
	if (decimal && real)
		no_floats_with_decimals(env);
	if (decimal)
		return jn_decimal_binary(env, op, jn_decimal_of(env, a),
								 jn_decimal_of(env, b));
	if (real)
		return float_arithmetic(env, op, jn_to_double(env, a),
								jn_to_double(env, b));
	return int_arithmetic(env, op, a, b);
}

static void
bad_operand(JinjaEnv *env, const char *op, const JinjaValue *v)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	jn_raise_type(env, "bad operand type for unary %s: %s", op,
				  jinja_type_name(v));
}

JinjaValue *
jn_negate(JinjaEnv *env, JinjaValue *v)
{
	int64		i;

	if (jn_is_int(v, &i) && i != PG_INT64_MIN)
		return jinja_int(env, -i);
	if (v->kind == JINJA_FLOAT)
		return jinja_float(env, -v->u.real);
	if (v->kind == JINJA_DECIMAL)
		return jn_decimal_negate(env, v->u.decimal);
	if (v->kind == JINJA_OBJECT)
		return jn_binary(env, JINJA_OP_MUL, v, jinja_int(env, -1));
	if (!jn_is_numeric(v))
		bad_operand(env, "-", v);
	return jn_big_value(env, jn_big_negate(env, jn_big_of(env, v)));
}

JinjaValue *
jn_positive(JinjaEnv *env, JinjaValue *v)
{
	if (v->kind == JINJA_BOOL)
		return jinja_int(env, v->u.boolean);
	if (v->kind == JINJA_DECIMAL)
		return jn_decimal_binary(env, JINJA_OP_ADD, v->u.decimal,
								 jn_decimal_of(env, jinja_int(env, 0)));
	if (v->kind == JINJA_OBJECT)
		return jn_binary(env, JINJA_OP_MUL, v, jinja_int(env, 1));
	if (!jn_is_numeric(v))
		bad_operand(env, "+", v);
	return v;
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

/* One of them is no int of 64 bits, and neither is nan. */
static int
compare_large(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	if (a->kind == JINJA_FLOAT && isinf(a->u.real))
		return a->u.real > 0 ? 1 : -1;
	if (b->kind == JINJA_FLOAT && isinf(b->u.real))
		return b->u.real > 0 ? -1 : 1;
	if (a->kind == JINJA_FLOAT || b->kind == JINJA_FLOAT ||
		a->kind == JINJA_DECIMAL || b->kind == JINJA_DECIMAL)
		return jn_decimal_compare(env, jn_decimal_of(env, a),
								  jn_decimal_of(env, b));
	return jn_big_compare(jn_big_of(env, a), jn_big_of(env, b));
}

/* -1, 0, 1; 2 when one of them is not a number. */
int
jn_compare_numbers(JinjaEnv *env, const JinjaValue *a, const JinjaValue *b)
{
	int64		i;
	int64		j;
	bool		a_int = jn_is_int(a, &i);
	bool		b_int = jn_is_int(b, &j);

	if (a_int && b_int)
		return i < j ? -1 : i > j;
	if ((a->kind == JINJA_FLOAT && isnan(a->u.real)) ||
		(b->kind == JINJA_FLOAT && isnan(b->u.real)))
		return 2;
	if (a_int && b->kind == JINJA_FLOAT)
		return compare_int_float(i, b->u.real);
	if (b_int && a->kind == JINJA_FLOAT)
		return -compare_int_float(j, a->u.real);
	if (a->kind == JINJA_FLOAT && b->kind == JINJA_FLOAT)
		return a->u.real < b->u.real ? -1 : a->u.real > b->u.real;
	return compare_large(env, a, b);
}
