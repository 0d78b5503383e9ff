/*
 * bigint.c
 *		Integers beyond 64 bits.
 *
 * A number is a sign and digits of 32 bits, the least significant first. Only
 * what does not fit 64 bits is kept as a value of this kind, so everything
 * else in the engine sees small integers wherever there can be one:
 * jn_big_value() sees to that. Algorithms are the schoolbook's; how large a
 * number may get, and what each row of digits costs, is limited.
 *
 * "env" may be NULL while a template is parsed: memory is then the current
 * context's, and no work is charged.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "jinja/bigint.h"

/* A million bits: Python has no limit, but nothing reads such numbers. */
#define MAX_DIGITS 32768

/* As Python has it for str() and int(): conversion takes quadratic time. */
#define MAX_DECIMALS 4300

static void
too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("integer is too large"),
			 errdetail("Integers in templates are limited to %d bits.",
					   MAX_DIGITS * 32)));
}

static JnBig *
make(JinjaEnv *env, int64 n)
{
	Size		size = offsetof(JnBig, d) + n * sizeof(uint32);
	JnBig	   *b;

	if (n > MAX_DIGITS)
		too_large();
	b = env != NULL ? jn_palloc(env, size) : palloc(size);
	memset(b, 0, size);
	b->n = n;
	return b;
}

static void
charge(JinjaEnv *env, int n)
{
	if (env != NULL)
		jn_work(env, 1 + n / 32);
}

static JnBig *
trim(JnBig *b)
{
	while (b->n > 0 && b->d[b->n - 1] == 0)
		b->n--;
	if (b->n == 0)
		b->negative = false;
	return b;
}

static JnBig *
copy(JinjaEnv *env, const JnBig *b)
{
	JnBig	   *r = make(env, b->n);

	r->negative = b->negative;
	if (b->n > 0)
		memcpy(r->d, b->d, b->n * sizeof(uint32));
	return r;
}

JnBig *
jn_big_from_uint64(JinjaEnv *env, uint64 u, bool negative)
{
	JnBig	   *b = make(env, 2);

	b->d[0] = (uint32) u;
	b->d[1] = (uint32) (u >> 32);
	b->negative = negative;
	return trim(b);
}

JnBig *
jn_big_from_int64(JinjaEnv *env, int64 i)
{
	return jn_big_from_uint64(env, i < 0 ? -(uint64) i : (uint64) i, i < 0);
}

/* The integer that "d" is without its fraction; "d" is finite. */
JnBig *
jn_big_from_double(JinjaEnv *env, double d)
{
	int			exponent;
	double		fraction = frexp(fabs(trunc(d)), &exponent);
	uint64		mantissa = (uint64) ldexp(fraction, 53);
	JnBig	   *b = jn_big_from_uint64(env, mantissa, d < 0);

	if (exponent > 53)
		return jn_big_shift(env, b, exponent - 53);
	return trim(jn_big_from_uint64(env, mantissa >> (53 - exponent), d < 0));
}

/* The digits of any integer value; NULL if it is none. */
const JnBig *
jn_big_of(JinjaEnv *env, const JinjaValue *v)
{
	int64		i;

	if (v->kind == JINJA_BIGINT)
		return v->u.big;
	return jn_is_int(v, &i) ? jn_big_from_int64(env, i) : NULL;
}

/* False: does not fit. */
bool
jn_big_to_int64(const JnBig *b, int64 *i)
{
	uint64		u = 0;

	if (b->n > 2)
		return false;
	if (b->n > 0)
		u = b->d[0];
	if (b->n > 1)
		u |= (uint64) b->d[1] << 32;
	if (u > (uint64) PG_INT64_MAX + b->negative)
		return false;
	*i = b->negative ? (int64) -u : (int64) u;
	return true;
}

/* The value of kind int or bigint. */
JinjaValue *
jn_big_value(JinjaEnv *env, JnBig *b)
{
	JinjaValue *v;
	int64		i;

	if (jn_big_to_int64(trim(b), &i))
		return jinja_int(env, i);
	v = jn_value(env, JINJA_BIGINT);
	v->u.big = b;
	return v;
}

int64
jn_big_bits(const JnBig *b)
{
	return b->n == 0 ? 0 :
		(int64) b->n * 32 - __builtin_clz(b->d[b->n - 1]);
}

/* ---------- comparison ---------- */

static int
compare_magnitude(const JnBig *a, const JnBig *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (int i = a->n - 1; i >= 0; i--)
		if (a->d[i] != b->d[i])
			return a->d[i] < b->d[i] ? -1 : 1;
	return 0;
}

int
jn_big_compare(const JnBig *a, const JnBig *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? compare_magnitude(b, a) : compare_magnitude(a, b);
}

/* ---------- arithmetic ---------- */

static JnBig *
add_magnitude(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	int			n = Max(a->n, b->n);
	JnBig	   *r = make(env, n + 1);
	uint64		carry = 0;

	charge(env, n);
	for (int i = 0; i < n; i++)
	{
		carry += (i < a->n ? a->d[i] : 0);
		carry += (i < b->n ? b->d[i] : 0);
		r->d[i] = (uint32) carry;
		carry >>= 32;
	}
	r->d[n] = (uint32) carry;
	return trim(r);
}

/* |a| >= |b| */
static JnBig *
subtract_magnitude(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	JnBig	   *r = make(env, a->n);
	int64		borrow = 0;

	charge(env, a->n);
	for (int i = 0; i < a->n; i++)
	{
		int64		x = (int64) a->d[i] - (i < b->n ? b->d[i] : 0) + borrow;

		r->d[i] = (uint32) x;
		borrow = x < 0 ? -1 : 0;
	}
	return trim(r);
}

JnBig *
jn_big_negate(JinjaEnv *env, const JnBig *a)
{
	JnBig	   *r = copy(env, a);

	r->negative = !a->negative && a->n > 0;
	return r;
}

static JnBig *
add_signed(JinjaEnv *env, const JnBig *a, const JnBig *b, bool b_negative)
{
	JnBig	   *r;
	int			c;

	if (a->negative == b_negative)
	{
		r = add_magnitude(env, a, b);
		r->negative = a->negative && r->n > 0;
		return r;
	}
	c = compare_magnitude(a, b);
	r = c >= 0 ? subtract_magnitude(env, a, b) : subtract_magnitude(env, b, a);
	r->negative = r->n > 0 && (c >= 0 ? a->negative : b_negative);
	return r;
}

JnBig *
jn_big_add(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	return add_signed(env, a, b, b->negative);
}

JnBig *
jn_big_subtract(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	return add_signed(env, a, b, !b->negative);
}

JnBig *
jn_big_multiply(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	JnBig	   *r = make(env, (int64) a->n + b->n);

	for (int i = 0; i < a->n; i++)
	{
		uint64		carry = 0;

		charge(env, b->n);
		for (int j = 0; j < b->n; j++)
		{
			carry += (uint64) a->d[i] * b->d[j] + r->d[i + j];
			r->d[i + j] = (uint32) carry;
			carry >>= 32;
		}
		r->d[i + b->n] = (uint32) carry;
	}
	r->negative = a->negative != b->negative;
	return trim(r);
}

/* In place: |b| = |b| / by, and the remainder. */
static uint32
divide_small(JnBig *b, uint32 by)
{
	uint64		rest = 0;

	for (int i = b->n - 1; i >= 0; i--)
	{
		rest = (rest << 32) | b->d[i];
		b->d[i] = (uint32) (rest / by);
		rest %= by;
	}
	trim(b);
	return (uint32) rest;
}

/* In place: |b| = |b| * by + add; there is room. */
static void
multiply_small(JnBig *b, uint32 by, uint32 add)
{
	uint64		carry = add;

	for (int i = 0; i < b->n; i++)
	{
		carry += (uint64) b->d[i] * by;
		b->d[i] = (uint32) carry;
		carry >>= 32;
	}
	if (carry > 0)
		b->d[b->n++] = (uint32) carry;
}

/* b * 2 ** by; by < 0 drops bits of the magnitude. */
JnBig *
jn_big_shift(JinjaEnv *env, const JnBig *b, int64 by)
{
	int64		words = (by < 0 ? -by : by) / 32;
	int			bits = (by < 0 ? -by : by) % 32;
	JnBig	   *r;

	if (by >= 0)
	{
		r = make(env, b->n + words + 1);
		for (int i = 0; i < b->n; i++)
		{
			uint64		x = (uint64) b->d[i] << bits;

			r->d[i + words] |= (uint32) x;
			r->d[i + words + 1] = (uint32) (x >> 32);
		}
	}
	else
	{
		r = make(env, Max(b->n - words, 0));
		for (int i = 0; i < r->n; i++)
		{
			uint64		x = b->d[i + words];

			if (i + words + 1 < b->n)
				x |= (uint64) b->d[i + words + 1] << 32;
			r->d[i] = (uint32) (x >> bits);
		}
	}
	r->negative = b->negative;
	return trim(r);
}

/* Knuth's algorithm D on magnitudes; "b" has two digits or more. */
static JnBig *
divide_long(JinjaEnv *env, const JnBig *a, const JnBig *b, JnBig **remainder)
{
	int			shift = __builtin_clz(b->d[b->n - 1]);
	JnBig	   *u = make(env, a->n + 1);
	JnBig	   *v = jn_big_shift(env, b, shift);
	JnBig	   *shifted = jn_big_shift(env, a, shift);
	int			n = v->n;
	int			m = a->n - n;
	JnBig	   *q = make(env, m + 1);

	memcpy(u->d, shifted->d, shifted->n * sizeof(uint32));
	for (int j = m; j >= 0; j--)
	{
		uint64		top = ((uint64) u->d[j + n] << 32) | u->d[j + n - 1];
		uint64		guess = top / v->d[n - 1];
		uint64		rest = top % v->d[n - 1];
		uint64		carry = 0;
		int64		borrow = 0;

		charge(env, n);
		while (guess > PG_UINT32_MAX ||
			   guess * v->d[n - 2] > ((rest << 32) | u->d[j + n - 2]))
		{
			guess--;
			rest += v->d[n - 1];
			if (rest > PG_UINT32_MAX)
				break;
		}
		for (int i = 0; i <= n; i++)
		{
			int64		x;

			carry += i < n ? guess * v->d[i] : 0;
			x = (int64) u->d[i + j] - (int64) (uint32) carry + borrow;
			u->d[i + j] = (uint32) x;
			borrow = x < 0 ? -1 : 0;
			carry >>= 32;
		}
		if (borrow < 0)
		{
			guess--;
			carry = 0;
			for (int i = 0; i < n; i++)
			{
				carry += (uint64) u->d[i + j] + v->d[i];
				u->d[i + j] = (uint32) carry;
				carry >>= 32;
			}
			u->d[j + n] += (uint32) carry;
		}
		q->d[j] = (uint32) guess;
	}
	*remainder = jn_big_shift(env, trim(u), -shift);
	return trim(q);
}

/* Magnitudes: a = q * b + r, 0 <= r < |b|; "b" is not zero. */
JnBig *
jn_big_divide_magnitude(JinjaEnv *env, const JnBig *a, const JnBig *b,
						JnBig **remainder)
{
	JnBig	   *q;

	if (compare_magnitude(a, b) < 0)
	{
		*remainder = copy(env, a);
		(*remainder)->negative = false;
		return make(env, 0);
	}
	if (b->n > 1)
		return divide_long(env, a, b, remainder);
	q = copy(env, a);
	q->negative = false;
	charge(env, a->n);
	*remainder = jn_big_from_uint64(env, divide_small(q, b->d[0]), false);
	return q;
}

/* Python's divmod(): the quotient is rounded down. */
JnBig *
jn_big_divmod(JinjaEnv *env, const JnBig *a, const JnBig *b, JnBig **remainder)
{
	JnBig	   *r;
	JnBig	   *q = jn_big_divide_magnitude(env, a, b, &r);

	q->negative = a->negative != b->negative && q->n > 0;
	r->negative = a->negative && r->n > 0;
	if (r->n > 0 && a->negative != b->negative)
	{
		q = jn_big_subtract(env, q, jn_big_from_int64(env, 1));
		r = jn_big_add(env, r, b);
	}
	*remainder = r;
	return q;
}

JnBig *
jn_big_power(JinjaEnv *env, const JnBig *a, uint64 exponent)
{
	JnBig	   *result = jn_big_from_int64(env, 1);
	const JnBig *square = a;

	if (jn_big_bits(a) > 1 &&
		exponent > (uint64) MAX_DIGITS * 32 / (jn_big_bits(a) - 1))
		too_large();
	if (a->n == 1 && a->d[0] == 1)
		exponent %= 2;
	else if (a->n == 0)
		exponent = Min(exponent, 1);
	while (exponent > 0)
	{
		if (exponent & 1)
			result = jn_big_multiply(env, result, square);
		exponent >>= 1;
		if (exponent > 0)
			square = jn_big_multiply(env, square, square);
	}
	return result;
}

/* ---------- floats ---------- */

/* The 64 bits from the top, the lowest also standing for all below it. */
static uint64
top_bits(const JnBig *b, int64 *shift)
{
	int64		bits = jn_big_bits(b);
	uint64		top = 0;
	bool		sticky = false;

	*shift = Max(bits - 64, 0);
	for (int64 i = bits - 1; i >= *shift; i--)
		top = (top << 1) | ((b->d[i / 32] >> (i % 32)) & 1);
	for (int64 i = 0; i < *shift && !sticky; i++)
		sticky = (b->d[i / 32] >> (i % 32)) & 1;
	return top | sticky;
}

/* Rounded to nearest; infinite if too large. */
double
jn_big_to_double(const JnBig *b)
{
	int64		shift;
	double		d = (double) top_bits(b, &shift);

	if (shift > 2000)
		d = INFINITY;
	else
		d = ldexp(d, (int) shift);
	return b->negative ? -d : d;
}

/* a / b as a float, rounded once; "b" is not zero. */
double
jn_big_true_divide(JinjaEnv *env, const JnBig *a, const JnBig *b)
{
	int64		shift = 63 - (jn_big_bits(a) - jn_big_bits(b));
	JnBig	   *r;
	JnBig	   *q;
	uint64		top = 0;
	double		d;

	if (a->n == 0)
		return a->negative != b->negative ? -0.0 : 0.0;
	if (shift >= 0)
		q = jn_big_divide_magnitude(env, jn_big_shift(env, a, shift), b, &r);
	else
		q = jn_big_divide_magnitude(env, a, jn_big_shift(env, b, -shift), &r);
	for (int i = q->n - 1; i >= 0; i--)
		top = (top << 32) | q->d[i];
	d = (double) (top | (r->n > 0));
	d = shift > 3000 ? 0 : shift < -3000 ? INFINITY : ldexp(d, (int) -shift);
	return a->negative != b->negative ? -d : d;
}

/* ---------- text ---------- */

/* Digits of a base that is a power of two, written before "p". */
static char *
binary_digits(const JnBig *b, int base, const char *digits, char *p)
{
	int			width = 0;

	while (1 << width < base)
		width++;
	for (int64 bit = 0; bit < jn_big_bits(b); bit += width)
	{
		int			i = bit / 32;
		uint64		word = b->d[i];

		if (i + 1 < b->n)
			word |= (uint64) b->d[i + 1] << 32;
		*--p = digits[(word >> bit % 32) & (base - 1)];
	}
	return p;
}

/* Of the magnitude, in base 2 to 36. Palloc'd. */
char *
jn_big_digits(JinjaEnv *env, const JnBig *b, int base, bool upper)
{
	const char *digits = upper ? "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" :
		"0123456789abcdefghijklmnopqrstuvwxyz";
	JnBig	   *rest = copy(env, b);
	int64		size = jn_big_bits(b) + 2;
	char	   *text;
	char	   *p;

	if (base == 10 && jn_big_bits(b) > MAX_DECIMALS * 3.33)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("integer has too many digits to be printed"),
				 errdetail("The limit is %d decimal digits.", MAX_DECIMALS)));
	if (env != NULL)
		jn_check_size(env, size);
	text = palloc(size);
	p = text + size;
	*--p = '\0';
	if ((base & (base - 1)) == 0 && rest->n > 0)
	{
		charge(env, size);
		p = binary_digits(rest, base, digits, p);
		rest->n = 0;
	}
	else
		do
		{
			charge(env, rest->n);
			*--p = digits[rest->n == 0 ? 0 : divide_small(rest, base)];
		} while (rest->n > 0);
	memmove(text, p, strlen(p) + 1);
	pfree(rest);
	return text;
}

static int
digit_value(char c)
{
	return isdigit((unsigned char) c) ? c - '0' :
		isalpha((unsigned char) c) ? tolower((unsigned char) c) - 'a' + 10 : 99;
}

/* Digits of a base, with underscores that are passed over. */
JnBig *
jn_big_parse(JinjaEnv *env, const char *s, int len, int base)
{
	JnBig	   *b;
	int64		n = 0;

	for (int i = 0; i < len; i++)
		n += s[i] != '_';
	if ((base & (base - 1)) != 0 && n > MAX_DECIMALS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("integer has too many digits"),
				 errdetail("The limit is %d digits.", MAX_DECIMALS)));
	b = make(env, n * 6 / 32 + 2);
	b->n = 0;
	for (int i = 0; i < len; i++)
	{
		if (s[i] == '_')
			continue;
		charge(env, b->n);
		multiply_small(b, base, digit_value(s[i]));
	}
	return trim(b);
}

/* Text of an int or bigint as "%d" has it. */
char *
jn_big_to_cstring(JinjaEnv *env, const JnBig *b)
{
	char	   *digits = jn_big_digits(env, b, 10, false);

	return b->negative ? psprintf("-%s", digits) : digits;
}
