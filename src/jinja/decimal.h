/*
 * decimal.h
 *		Python's Decimal, for the files that calculate with it.
 */
#ifndef DPIPE_JINJA_DECIMAL_H
#define DPIPE_JINJA_DECIMAL_H

#include "jinja/bigint.h"

/* coefficient * 10 ** exponent; the coefficient has no sign of its own */
struct JnDecimal
{
	bool		negative;		/* -0 is not 0 when printed */
	int			exponent;
	JnBig	   *coefficient;
};

extern JnDecimal *jn_decimal_parse(JinjaEnv *env, const char *s, int len);
extern const JnDecimal *jn_decimal_of(JinjaEnv *env, const JinjaValue *v);
extern JinjaValue *jn_decimal_value(JinjaEnv *env, const JnDecimal *d);
extern char *jn_decimal_text(JinjaEnv *env, const JnDecimal *d);
extern char *jn_decimal_layout(JinjaEnv *env, const JnDecimal *d, char style,
							   int point, bool upper);
extern JnDecimal *jn_decimal_rescale(JinjaEnv *env, const JnDecimal *d,
									 int64 exponent);
extern JnDecimal *jn_decimal_significant(JinjaEnv *env, const JnDecimal *d,
										 int64 digits);
extern JnDecimal *jn_decimal_shift(JinjaEnv *env, const JnDecimal *d, int by);
extern int	jn_decimal_digits(JinjaEnv *env, const JnDecimal *d);
extern bool jn_decimal_is_zero(const JnDecimal *d);
extern double jn_decimal_to_double(JinjaEnv *env, const JnDecimal *d);
extern JnBig *jn_decimal_to_big(JinjaEnv *env, const JnDecimal *d);
extern int	jn_decimal_compare(JinjaEnv *env, const JnDecimal *a,
							   const JnDecimal *b);
extern JinjaValue *jn_decimal_binary(JinjaEnv *env, JinjaOp op,
									 const JnDecimal *a, const JnDecimal *b);
extern JinjaValue *jn_decimal_negate(JinjaEnv *env, const JnDecimal *d);
extern JinjaValue *jn_decimal_round(JinjaEnv *env, const JnDecimal *d,
									int64 digits);
extern JinjaValue *jn_decimal_abs(JinjaEnv *env, const JnDecimal *d);

#endif							/* DPIPE_JINJA_DECIMAL_H */
