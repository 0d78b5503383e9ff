/*
 * bigint.h
 *		Integers of any size, for the files that calculate with them.
 */
#ifndef DPIPE_JINJA_BIGINT_H
#define DPIPE_JINJA_BIGINT_H

#include "jinja/jinja_internal.h"

struct JnBig
{
	bool		negative;		/* never of zero */
	int			n;				/* digits; the last one is not 0 */
	uint32		d[FLEXIBLE_ARRAY_MEMBER];	/* the lowest first */
};

extern JnBig *jn_big_from_int64(JinjaEnv *env, int64 i);
extern JnBig *jn_big_from_uint64(JinjaEnv *env, uint64 u, bool negative);
extern JnBig *jn_big_from_double(JinjaEnv *env, double d);
extern const JnBig *jn_big_of(JinjaEnv *env, const JinjaValue *v);
extern bool jn_big_to_int64(const JnBig *b, int64 *i);
extern JinjaValue *jn_big_value(JinjaEnv *env, JnBig *b);
extern int64 jn_big_bits(const JnBig *b);
extern int	jn_big_compare(const JnBig *a, const JnBig *b);
extern JnBig *jn_big_negate(JinjaEnv *env, const JnBig *a);
extern JnBig *jn_big_add(JinjaEnv *env, const JnBig *a, const JnBig *b);
extern JnBig *jn_big_subtract(JinjaEnv *env, const JnBig *a, const JnBig *b);
extern JnBig *jn_big_multiply(JinjaEnv *env, const JnBig *a, const JnBig *b);
extern JnBig *jn_big_shift(JinjaEnv *env, const JnBig *b, int64 by);
extern JnBig *jn_big_divide_magnitude(JinjaEnv *env, const JnBig *a,
									  const JnBig *b, JnBig **remainder);
extern JnBig *jn_big_divmod(JinjaEnv *env, const JnBig *a, const JnBig *b,
							JnBig **remainder);
extern JnBig *jn_big_power(JinjaEnv *env, const JnBig *a, uint64 exponent);
extern double jn_big_to_double(const JnBig *b);
extern double jn_big_true_divide(JinjaEnv *env, const JnBig *a,
								 const JnBig *b);
extern char *jn_big_digits(JinjaEnv *env, const JnBig *b, int base, bool upper);
extern JnBig *jn_big_parse(JinjaEnv *env, const char *s, int len, int base);
extern char *jn_big_to_cstring(JinjaEnv *env, const JnBig *b);

#endif							/* DPIPE_JINJA_BIGINT_H */
