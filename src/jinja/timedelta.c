/*
 * timedelta.c
 *		datetime.timedelta: a number of microseconds.
 *
 * It is kept as days and microseconds of a day, as Python shows it; products
 * and quotients are calculated in 128 bits, which hold every span.
 */
#include "base/compat.h"

#include <math.h>

#include "jinja/bigint.h"
#include "jinja/datetime.h"

#define MAX_SPAN_DAYS 999999999

static int128
total(const JnDelta *d)
{
	return (int128) d->days * JN_DAY_US + d->us;
}

static JinjaValue *
from_total(JinjaEnv *env, int128 us)
{
	int128		days = us / JN_DAY_US;
	int128		rest = us % JN_DAY_US;
	JnDelta    *d = jn_alloc(env, sizeof(JnDelta));

	if (rest < 0)
	{
		rest += JN_DAY_US;
		days--;
	}
	if (days > MAX_SPAN_DAYS || days < -MAX_SPAN_DAYS)
		jinja_raise(env, ERRCODE_INTERVAL_FIELD_OVERFLOW,
					"days of a timedelta must have magnitude <= %d",
					MAX_SPAN_DAYS);
	d->days = days;
	d->us = rest;
	return jinja_object(env, &jn_delta_ops, d);
}

JinjaValue *
jn_make_delta(JinjaEnv *env, int64 days, int64 us)
{
	return from_total(env, (int128) days * JN_DAY_US + us);
}

/* False: "v" is no timedelta. */
bool
jn_delta_get(const JinjaValue *v, int64 *days, int64 *us)
{
	JnDelta    *d = jinja_object_get(v, &jn_delta_ops);

	if (d == NULL)
		return false;
	*days = d->days;
	*us = d->us;
	return true;
}

static double
round_half_even(double d)
{
	return rint(d);
}

/* ---------- the class ---------- */

static JinjaValue *
delta_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	static const char *const names[] = {
		"days", "seconds", "microseconds", "milliseconds", "minutes", "hours",
		"weeks", NULL
	};
	static const int64 units[] = {
		JN_DAY_US, 1000000, 1, 1000, 60000000, INT64CONST(3600000000),
		7 * JN_DAY_US
	};
	int128		us = 0;
	double		fraction = 0;

	jn_check_args(env, args, lengthof(units), names);
	for (int i = 0; i < lengthof(units); i++)
	{
		JinjaValue *v = jinja_arg(args, i, names[i]);
		int64		n;

		if (v == NULL)
			continue;
		if (jn_is_int(v, &n))
			us += (int128) n * units[i];
		else if (v->kind == JINJA_FLOAT && fabs(v->u.real) < 1e15)
		{
			double		whole;
			double		part = modf(v->u.real, &whole) * units[i];

			us += (int128) (int64) whole * units[i];
			us += (int64) trunc(part);
			fraction += part - trunc(part);
		}
		else
			jn_raise_type(env, "%s of a timedelta must be a number", names[i]);
	}
	us += (int64) round_half_even(fraction);
	return from_total(env, us);
}

static JinjaValue *
class_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "max") == 0)
		return jn_make_delta(env, MAX_SPAN_DAYS, JN_DAY_US - 1);
	if (strcmp(name, "min") == 0)
		return jn_make_delta(env, -MAX_SPAN_DAYS, 0);
	if (strcmp(name, "resolution") == 0)
		return jn_make_delta(env, 0, 1);
	return NULL;
}

static char *
class_to_string(JinjaEnv *env, void *object)
{
	return pstrdup("<class 'datetime.timedelta'>");
}

static const JinjaObjectOps class_ops = {
	.type_name = "type",
	.get_attribute = class_attribute,
	.to_string = class_to_string,
	.call = delta_call,
};

JinjaValue *
jn_delta_class(JinjaEnv *env)
{
	return jinja_object(env, &class_ops, NULL);
}

/* ---------- instances ---------- */

static JinjaValue *
total_seconds(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_float(env, (double) ((long double) total(arg) / 1000000));
}

static JinjaValue *
delta_attribute(JinjaEnv *env, void *object, const char *name)
{
	JnDelta    *d = object;

	if (strcmp(name, "days") == 0)
		return jinja_int(env, d->days);
	if (strcmp(name, "seconds") == 0)
		return jinja_int(env, d->us / 1000000);
	if (strcmp(name, "microseconds") == 0)
		return jinja_int(env, d->us % 1000000);
	if (strcmp(name, "total_seconds") == 0)
		return jinja_function(env, name, total_seconds, object);
	return class_attribute(env, NULL, name);
}

static char *
delta_to_string(JinjaEnv *env, void *object)
{
	JnDelta    *d = object;
	int64		seconds = d->us / 1000000;
	int			us = d->us % 1000000;
	char	   *days = d->days == 0 ? "" :
		psprintf(INT64_FORMAT " day%s, ", d->days, llabs(d->days) == 1 ? "" : "s");
	char	   *text = psprintf("%s%d:%02d:%02d", days, (int) (seconds / 3600),
								(int) (seconds / 60 % 60), (int) (seconds % 60));

	return us == 0 ? text : psprintf("%s.%06d", text, us);
}

static char *
delta_repr(JinjaEnv *env, void *object)
{
	JnDelta    *d = object;
	StringInfoData buf;

	initStringInfo(&buf);
	if (d->days != 0)
		appendStringInfo(&buf, ", days=" INT64_FORMAT, d->days);
	if (d->us >= 1000000)
		appendStringInfo(&buf, ", seconds=%d", (int) (d->us / 1000000));
	if (d->us % 1000000 != 0)
		appendStringInfo(&buf, ", microseconds=%d", (int) (d->us % 1000000));
	return psprintf("datetime.timedelta(%s)", buf.len == 0 ? "0" : buf.data + 2);
}

static JinjaValue *
compare(JinjaEnv *env, JinjaOp op, const JnDelta *a, const JnDelta *b)
{
	int128		x = total(a);
	int128		y = total(b);

	switch (op)
	{
		case JINJA_OP_EQ:
			return jinja_bool(env, x == y);
		case JINJA_OP_LT:
			return jinja_bool(env, x < y);
		case JINJA_OP_LE:
			return jinja_bool(env, x <= y);
		case JINJA_OP_GT:
			return jinja_bool(env, x > y);
		case JINJA_OP_GE:
			return jinja_bool(env, x >= y);
		default:
			return NULL;
	}
}

static int128
floor_div(JinjaEnv *env, int128 a, int128 b)
{
	int128		q;

	if (b == 0)
		jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
	q = a / b;
	return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* Two spans, in the order of the operator. */
static JinjaValue *
both(JinjaEnv *env, JinjaOp op, const JnDelta *a, const JnDelta *b)
{
	int128		x = total(a);
	int128		y = total(b);
	int128		q;

	switch (op)
	{
		case JINJA_OP_ADD:
			return from_total(env, x + y);
		case JINJA_OP_SUB:
			return from_total(env, x - y);
		case JINJA_OP_DIV:
			if (y == 0)
				jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
			return jinja_float(env, (double) ((long double) x / (long double) y));
		case JINJA_OP_FLOORDIV:
			q = floor_div(env, x, y);
			if (q > PG_INT64_MAX || q < PG_INT64_MIN)
				return jinja_float(env, (double) q);
			return jinja_int(env, (int64) q);
		case JINJA_OP_MOD:
			return from_total(env, x - floor_div(env, x, y) * y);
		default:
			return compare(env, op, a, b);
	}
}

/* A quotient rounded half to even. */
static int128
divide_rounded(JinjaEnv *env, int128 a, int128 b)
{
	int128		q = floor_div(env, a, b);
	int128		twice = 2 * (a - q * b);

	if (b < 0)
	{
		twice = -twice;
		b = -b;
	}
	return q + (twice > b || (twice == b && q % 2 != 0));
}

/* An integer of more than 64 bits; beyond 120 it makes no difference. */
static int128
big_to_int128(const JnBig *b)
{
	int128		n = 0;

	if (jn_big_bits(b) > 120)
		n = (int128) 1 << 120;
	else
		for (int i = b->n - 1; i >= 0; i--)
			n = n << 32 | b->d[i];
	return b->negative ? -n : n;
}

static JinjaValue *
with_int(JinjaEnv *env, JinjaOp op, const JnDelta *d, int128 n,
		 bool reflected)
{
	int128		us = total(d);

	if (op == JINJA_OP_MUL)
	{
		/* Beyond this the product cannot be a span anyway. */
		if (us != 0 && (n > INT64CONST(1) << 60 || n < -(INT64CONST(1) << 60)))
			jinja_raise(env, ERRCODE_INTERVAL_FIELD_OVERFLOW,
						"timedelta is out of range");
		if (us != 0 && (n < 0 ? -n : n) > ((int128) 1 << 120) / (us < 0 ? -us : us))
			jinja_raise(env, ERRCODE_INTERVAL_FIELD_OVERFLOW,
						"timedelta is out of range");
		return from_total(env, us * n);
	}
	if (reflected)
		return NULL;
	if (op == JINJA_OP_DIV)
		return from_total(env, divide_rounded(env, us, n));
	if (op == JINJA_OP_FLOORDIV)
		return from_total(env, floor_div(env, us, n));
	return NULL;
}

static JinjaValue *
with_float(JinjaEnv *env, JinjaOp op, const JnDelta *d, double f,
		   bool reflected)
{
	long double us = (long double) total(d);

	if (op == JINJA_OP_MUL)
		us *= f;
	else if (op == JINJA_OP_DIV && !reflected)
	{
		if (f == 0)
			jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
		us /= f;
	}
	else
		return NULL;
	if (!(fabsl(us) < 1e20L))
		jinja_raise(env, ERRCODE_INTERVAL_FIELD_OVERFLOW,
					"timedelta is out of range");
	return from_total(env, (int128) rintl(us));
}

static JinjaValue *
delta_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
			 bool reflected)
{
	JnDelta    *b = jinja_object_get(other, &jn_delta_ops);
	int64		n;

	if (b != NULL)
		return reflected ? both(env, op, b, object) : both(env, op, object, b);
	if (jn_is_int(other, &n))
		return with_int(env, op, object, n, reflected);
	if (other->kind == JINJA_BIGINT)
		return with_int(env, op, object, big_to_int128(other->u.big),
						reflected);
	if (other->kind == JINJA_FLOAT)
		return with_float(env, op, object, other->u.real, reflected);
	return NULL;
}

static uint32
delta_hash(JinjaEnv *env, void *object)
{
	JnDelta    *d = object;

	return jn_hash(env, jinja_int(env, d->days * 31 + d->us));
}

static bool
delta_truth(JinjaEnv *env, void *object)
{
	return total(object) != 0;
}

const JinjaObjectOps jn_delta_ops = {
	.type_name = "datetime.timedelta",
	.get_attribute = delta_attribute,
	.to_string = delta_to_string,
	.repr = delta_repr,
	.binary = delta_binary,
	.hash = delta_hash,
	.truth = delta_truth,
};
