/*
 * decimal.c
 *		Python's Decimal in its default context: 28 digits, half to even.
 *
 * Numbers of the database come to templates as this kind. Results keep the
 * exponent that Python gives them, since it shows when they are printed. There
 * are no infinities and no NaN, and exponents are bounded, so that numbers can
 * be aligned by writing them out.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "jinja/decimal.h"

#define PRECISION 28
#define MAX_EXPONENT 6144

static JnBig *
power_of_ten(JinjaEnv *env, int64 n)
{
	return jn_big_power(env, jn_big_from_int64(env, 10), n);
}

static int
count_digits(JinjaEnv *env, const JnBig *b)
{
	return b->n == 0 ? 1 : strlen(jn_big_digits(env, b, 10, false));
}

static JnDecimal *
make(JinjaEnv *env, bool negative, JnBig *coefficient, int64 exponent)
{
	JnDecimal  *d = jn_alloc(env, sizeof(JnDecimal));

	if (exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"exponent of a Decimal is out of range");
	coefficient->negative = false;
	d->negative = negative;
	d->coefficient = coefficient;
	d->exponent = exponent;
	return d;
}

JinjaValue *
jn_decimal_value(JinjaEnv *env, const JnDecimal *d)
{
	JinjaValue *v = jn_value(env, JINJA_DECIMAL);

	v->u.decimal = (JnDecimal *) d;
	return v;
}

bool
jn_decimal_is_zero(const JnDecimal *d)
{
	return d->coefficient->n == 0;
}

/* coefficient / 10 ** digits, half to even */
static JnBig *
drop_digits(JinjaEnv *env, const JnBig *coefficient, int64 digits)
{
	JnBig	   *scale = power_of_ten(env, digits);
	JnBig	   *rest;
	JnBig	   *q = jn_big_divide_magnitude(env, coefficient, scale, &rest);
	int			c = jn_big_compare(jn_big_shift(env, rest, 1), scale);

	if (c > 0 || (c == 0 && q->n > 0 && q->d[0] % 2 == 1))
		q = jn_big_add(env, q, jn_big_from_int64(env, 1));
	return q;
}

/* Round to the context's precision. */
static const JnDecimal *
fix(JinjaEnv *env, const JnDecimal *d)
{
	int			excess = count_digits(env, d->coefficient) - PRECISION;
	JnBig	   *coefficient;

	if (excess <= 0)
		return d;
	coefficient = drop_digits(env, d->coefficient, excess);
	if (count_digits(env, coefficient) > PRECISION)
	{
		coefficient = drop_digits(env, coefficient, 1);
		excess++;
	}
	return make(env, d->negative, coefficient, (int64) d->exponent + excess);
}

/* NULL: no number. */
JnDecimal *
jn_decimal_parse(JinjaEnv *env, const char *s, int len)
{
	const char *end = s + len;
	char	   *digits = palloc(len + 1);
	bool		negative = false;
	bool		point = false;
	int64		exponent = 0;
	int			n = 0;

	if (s < end && (*s == '-' || *s == '+'))
		negative = *s++ == '-';
	for (; s < end && (isdigit((unsigned char) *s) || (*s == '.' && !point));
		 s++)
	{
		if (*s == '.')
			point = true;
		else
		{
			digits[n++] = *s;
			exponent -= point;
		}
	}
	if (n == 0)
		return NULL;
	if (s < end && (*s == 'e' || *s == 'E'))
	{
		char		text[12];
		char	   *stop;
		int			more = end - s - 1;

		if (more < 1 || more >= (int) sizeof(text))
			return NULL;
		memcpy(text, s + 1, more);
		text[more] = '\0';
		if (isspace((unsigned char) text[0]))
			return NULL;
		exponent += strtol(text, &stop, 10);
		if (*stop != '\0' || stop == text)
			return NULL;
		s = end;
	}
	if (s < end)
		return NULL;
	return make(env, negative, jn_big_parse(env, digits, n, 10), exponent);
}

JinjaValue *
jinja_decimal(JinjaEnv *env, const char *text)
{
	JnDecimal  *d = jn_decimal_parse(env, text, strlen(text));

	if (d == NULL)
		jn_raise_type(env, "\"%s\" is not a decimal number", text);
	return jn_decimal_value(env, d);
}

/* A float's exact value: every one has a finite number of decimals. */
static JnDecimal *
from_double(JinjaEnv *env, double d)
{
	int			exponent;
	double		fraction = frexp(fabs(d), &exponent);
	JnBig	   *m = jn_big_from_uint64(env, (uint64) ldexp(fraction, 53), false);

	exponent -= 53;
	if (exponent >= 0)
		return make(env, signbit(d), jn_big_shift(env, m, exponent), 0);
	while (exponent < 0 && m->n > 0 && m->d[0] % 2 == 0)
	{
		m = jn_big_shift(env, m, -1);
		exponent++;
	}
	if (m->n == 0)
		exponent = 0;
	m = jn_big_multiply(env, m, jn_big_power(env, jn_big_from_int64(env, 5),
											 -exponent));
	return make(env, signbit(d), m, exponent);
}

/* Any finite number as a decimal; NULL for what is none. */
const JnDecimal *
jn_decimal_of(JinjaEnv *env, const JinjaValue *v)
{
	const JnBig *b;
	JnBig	   *m;

	if (v->kind == JINJA_DECIMAL)
		return v->u.decimal;
	if (v->kind == JINJA_FLOAT)
		return isfinite(v->u.real) ? from_double(env, v->u.real) : NULL;
	b = jn_big_of(env, v);
	if (b == NULL)
		return NULL;
	m = b->negative ? jn_big_negate(env, b) : (JnBig *) b;
	return make(env, b->negative, m, 0);
}

/* ---------- text and other kinds ---------- */

/*
 * The number without its sign, as one of Python's styles has it: 'f' without
 * an exponent, 'e' always with one and "point" digits before it, 'g' as needed.
 * Palloc'd.
 */
char *
jn_decimal_layout(JinjaEnv *env, const JnDecimal *d, char style, int point,
				  bool upper)
{
	char	   *digits = jn_big_digits(env, d->coefficient, 10, false);
	int			n = strlen(digits);
	int			left = d->exponent + n;
	StringInfoData buf;

	if (style == 'f' || (style == 'g' && d->exponent <= 0 && left > -6))
		point = left;
	jn_buffer_init(env, &buf);
	if (point <= 0)
	{
		jn_append(env, &buf, "0.", 2);
		jn_append_fill(env, &buf, '0', -point);
		jn_append(env, &buf, digits, n);
	}
	else
	{
		jn_append(env, &buf, digits, Min(n, point));
		jn_append_fill(env, &buf, '0', point - n);
		if (point < n)
		{
			jn_append(env, &buf, ".", 1);
			jn_append(env, &buf, digits + point, n - point);
		}
	}
	if (left != point || style == 'e')
		appendStringInfo(&buf, "%c%+d", upper ? 'E' : 'e', left - point);
	return buf.data;
}

/* Python's str(). Palloc'd. */
char *
jn_decimal_text(JinjaEnv *env, const JnDecimal *d)
{
	return psprintf("%s%s", d->negative ? "-" : "",
					jn_decimal_layout(env, d, 'g', 1, true));
}

double
jn_decimal_to_double(JinjaEnv *env, const JnDecimal *d)
{
	return strtod(jn_decimal_text(env, d), NULL);
}

/* Without its fraction. */
JnBig *
jn_decimal_to_big(JinjaEnv *env, const JnDecimal *d)
{
	JnBig	   *rest;
	JnBig	   *b;

	if (d->exponent >= 0)
		b = jn_big_multiply(env, d->coefficient,
							power_of_ten(env, d->exponent));
	else
		b = jn_big_divide_magnitude(env, d->coefficient,
									power_of_ten(env, -d->exponent), &rest);
	b->negative = d->negative && b->n > 0;
	return b;
}

/* ---------- arithmetic ---------- */

/* The coefficient of "d" with a lower exponent, and its sign. */
static JnBig *
aligned(JinjaEnv *env, const JnDecimal *d, int exponent)
{
	JnBig	   *b = jn_big_multiply(env, d->coefficient,
									power_of_ten(env, d->exponent - exponent));

	b->negative = d->negative && b->n > 0;
	return b;
}

int
jn_decimal_compare(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b)
{
	int			exponent = Min(a->exponent, b->exponent);

	return jn_big_compare(aligned(env, a, exponent), aligned(env, b, exponent));
}

static const JnDecimal *
add(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b, bool subtract)
{
	int			exponent = Min(a->exponent, b->exponent);
	JnBig	   *x = aligned(env, a, exponent);
	JnBig	   *y = aligned(env, b, exponent);
	JnBig	   *sum = subtract ? jn_big_subtract(env, x, y) :
		jn_big_add(env, x, y);
	bool		negative = sum->negative;

	/* Only -0 plus -0 is -0. */
	if (sum->n == 0)
		negative = a->negative && (b->negative != subtract);
	return fix(env, make(env, negative, sum, exponent));
}

static const JnDecimal *
multiply(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b)
{
	return fix(env, make(env, a->negative != b->negative,
						 jn_big_multiply(env, a->coefficient, b->coefficient),
						 (int64) a->exponent + b->exponent));
}

static const JnDecimal *
divide(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b)
{
	bool		negative = a->negative != b->negative;
	int64		ideal = (int64) a->exponent - b->exponent;
	int			shift;
	int64		exponent;
	JnBig	   *x = a->coefficient;
	JnBig	   *y = b->coefficient;
	JnBig	   *q;
	JnBig	   *rest;

	if (jn_decimal_is_zero(b))
		jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
	if (jn_decimal_is_zero(a))
		return make(env, negative, jn_big_from_int64(env, 0), ideal);
	shift = count_digits(env, y) - count_digits(env, x) + PRECISION + 1;
	exponent = ideal - shift;
	if (shift >= 0)
		x = jn_big_multiply(env, x, power_of_ten(env, shift));
	else
		y = jn_big_multiply(env, y, power_of_ten(env, -shift));
	q = jn_big_divide_magnitude(env, x, y, &rest);
	if (rest->n > 0)
	{
		/* A last digit that does not look like an exact half. */
		(void) jn_big_divide_magnitude(env, q, jn_big_from_int64(env, 5),
									   &rest);
		if (rest->n == 0)
			q = jn_big_add(env, q, jn_big_from_int64(env, 1));
	}
	else
	{
		while (exponent < ideal)
		{
			JnBig	   *less = jn_big_divide_magnitude(env, q,
													   jn_big_from_int64(env, 10),
													   &rest);

			if (rest->n > 0)
				break;
			q = less;
			exponent++;
		}
	}
	return fix(env, make(env, negative, q, exponent));
}

/* The quotient is cut, not floored, and the rest has the sign of "a". */
static const JnDecimal *
divide_whole(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b,
			 bool want_rest)
{
	int			exponent = Min(a->exponent, b->exponent);
	JnBig	   *rest;
	JnBig	   *q;

	if (jn_decimal_is_zero(b))
		jinja_raise(env, ERRCODE_DIVISION_BY_ZERO, "division by zero");
	q = jn_big_divide_magnitude(env, aligned(env, a, exponent),
								aligned(env, b, exponent), &rest);
	if (count_digits(env, q) > PRECISION)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"quotient of Decimals has too many digits");
	if (want_rest)
		return fix(env, make(env, a->negative, rest, exponent));
	return make(env, a->negative != b->negative, q, 0);
}

static const JnDecimal *
power(JinjaEnv *env, const JnDecimal *a, const JnDecimal *b)
{
	JnBig	   *whole = jn_decimal_to_big(env, b);
	const JnDecimal *one = make(env, false, jn_big_from_int64(env, 1), 0);
	const JnDecimal *result;
	int64		n;
	int64		size;

	if (!jn_big_to_int64(whole, &n) ||
		jn_decimal_compare(env, b, make(env, b->negative, whole, 0)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a Decimal can be raised to small integers only")));
	if (b->negative)
		n = n < 0 ? n : -n;
	if (n == 0 && jn_decimal_is_zero(a))
		jn_raise_type(env, "0 ** 0 is not defined for a Decimal");
	if (n == 0)
		return one;
	if (n > 0 && jn_decimal_is_zero(a))
		return make(env, a->negative && n % 2 == 1, jn_big_from_int64(env, 0),
					0);
	size = n < 0 ? -n : n;
	if (size > MAX_EXPONENT ||
		size * count_digits(env, a->coefficient) > 4 * MAX_EXPONENT)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"power of a Decimal is out of range");
	result = make(env, a->negative && size % 2 == 1,
				  jn_big_power(env, a->coefficient, size),
				  (int64) a->exponent * size);
	return n < 0 ? divide(env, one, result) : fix(env, result);
}

JinjaValue *
jn_decimal_binary(JinjaEnv *env, JinjaOp op, const JnDecimal *a,
				  const JnDecimal *b)
{
	switch (op)
	{
		case JINJA_OP_ADD:
			return jn_decimal_value(env, add(env, a, b, false));
		case JINJA_OP_SUB:
			return jn_decimal_value(env, add(env, a, b, true));
		case JINJA_OP_MUL:
			return jn_decimal_value(env, multiply(env, a, b));
		case JINJA_OP_DIV:
			return jn_decimal_value(env, divide(env, a, b));
		case JINJA_OP_FLOORDIV:
			return jn_decimal_value(env, divide_whole(env, a, b, false));
		case JINJA_OP_MOD:
			return jn_decimal_value(env, divide_whole(env, a, b, true));
		default:
			Assert(op == JINJA_OP_POW);
			return jn_decimal_value(env, power(env, a, b));
	}
}

JinjaValue *
jn_decimal_negate(JinjaEnv *env, const JnDecimal *d)
{
	return jn_decimal_value(env, fix(env, make(env, !d->negative &&
											   !jn_decimal_is_zero(d),
											   d->coefficient, d->exponent)));
}

JinjaValue *
jn_decimal_abs(JinjaEnv *env, const JnDecimal *d)
{
	return jn_decimal_value(env, fix(env, make(env, false, d->coefficient,
											   d->exponent)));
}

/* The number with another exponent, rounded if that needs it. */
JnDecimal *
jn_decimal_rescale(JinjaEnv *env, const JnDecimal *d, int64 exponent)
{
	JnBig	   *coefficient;

	if (exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"Decimal cannot be rounded to so many digits");
	if (d->exponent >= exponent)
		coefficient = jn_big_multiply(env, d->coefficient,
									  power_of_ten(env, d->exponent - exponent));
	else
		coefficient = drop_digits(env, d->coefficient, exponent - d->exponent);
	return make(env, d->negative, coefficient, exponent);
}

/* The number with so many digits; one that is 0 stays as it is. */
JnDecimal *
jn_decimal_significant(JinjaEnv *env, const JnDecimal *d, int64 digits)
{
	int64		exponent = d->exponent + count_digits(env, d->coefficient) -
		digits;
	JnDecimal  *result;

	if (jn_decimal_is_zero(d))
		return (JnDecimal *) d;
	result = jn_decimal_rescale(env, d, exponent);
	if (count_digits(env, result->coefficient) > digits)
		result = jn_decimal_rescale(env, result, exponent + 1);
	return result;
}

/* d * 10 ** by */
JnDecimal *
jn_decimal_shift(JinjaEnv *env, const JnDecimal *d, int by)
{
	return make(env, d->negative, d->coefficient, (int64) d->exponent + by);
}

int
jn_decimal_digits(JinjaEnv *env, const JnDecimal *d)
{
	return count_digits(env, d->coefficient);
}

/* round(d, digits): the exponent becomes -digits. */
JinjaValue *
jn_decimal_round(JinjaEnv *env, const JnDecimal *d, int64 digits)
{
	JnDecimal  *result;

	if (digits > MAX_EXPONENT)
		digits = MAX_EXPONENT + 1;
	result = jn_decimal_rescale(env, d, -Max(digits, -MAX_EXPONENT - 1));
	if (count_digits(env, result->coefficient) > PRECISION)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"rounded Decimal has too many digits");
	return jn_decimal_value(env, result);
}
