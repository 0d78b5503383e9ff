/*
 * datetime.h
 *		What the files of modules.datetime and modules.pytz share.
 *
 * datetime.c has date, datetime and time, timedelta.c the spans between them,
 * strftime.c their texts, zone.c time zones.
 */
#ifndef DPIPE_JINJA_DATETIME_H
#define DPIPE_JINJA_DATETIME_H

#include "jinja/modules.h"

#define JN_DAY_US INT64CONST(86400000000)
#define JN_MAX_DAYS 3652059		/* 9999-12-31 */
#define JN_EPOCH_DAYS 719163	/* 1970-01-01 */

/* A date, a datetime or a time; which one, the object's ops tell. */
typedef struct JnStamp
{
	int			days;			/* since 0001-01-01, which is 1 */
	int64		us;				/* of the day */
	JinjaValue *tz;				/* NULL: none */
} JnStamp;

typedef struct JnDelta
{
	int64		days;
	int64		us;				/* 0 <= us < JN_DAY_US */
} JnDelta;

extern const JinjaObjectOps jn_date_ops;
extern const JinjaObjectOps jn_datetime_ops;
extern const JinjaObjectOps jn_time_ops;
extern const JinjaObjectOps jn_delta_ops;

/* datetime.c */
extern int	jn_days_from_civil(int year, int month, int day);
extern void jn_civil_from_days(int days, int *year, int *month, int *day);
extern int	jn_days_in_month(int year, int month);
extern JinjaValue *jn_make_date(JinjaEnv *env, int64 days);
extern JinjaValue *jn_make_datetime(JinjaEnv *env, int64 days, int64 us,
									JinjaValue *tz);
extern JinjaValue *jn_make_time(JinjaEnv *env, int64 us, JinjaValue *tz);
extern int64 jn_stamp_utc_us(JinjaEnv *env, const JnStamp *s);

/* timedelta.c */
extern JinjaValue *jn_make_delta(JinjaEnv *env, int64 days, int64 us);
extern JinjaValue *jn_delta_class(JinjaEnv *env);
extern bool jn_delta_get(const JinjaValue *v, int64 *days, int64 *us);

/* strftime.c */
extern char *jn_strftime(JinjaEnv *env, const JnStamp *s, const char *format);
extern char *jn_isoformat(JinjaEnv *env, const JnStamp *s, bool with_date,
						  bool with_time, const char *sep,
						  const char *timespec);
extern JnStamp *jn_strptime(JinjaEnv *env, JinjaValue *text,
							JinjaValue *format);
extern JnStamp *jn_parse_iso(JinjaEnv *env, const char *text, bool with_date,
							 bool with_time);

/* zone.c */
extern JinjaValue *jn_zone_utc(JinjaEnv *env);
extern JinjaValue *jn_zone_fixed(JinjaEnv *env, int seconds);
extern bool jn_is_zone(const JinjaValue *v);
extern bool jn_zone_offset(JinjaEnv *env, JinjaValue *tz, int *seconds);
extern bool jn_time_has_offset(const JinjaValue *tz);
extern bool jn_zone_has_dst(const JinjaValue *tz);
extern int	jn_zone_dst(JinjaEnv *env, JinjaValue *tz);
extern const char *jn_zone_abbreviation(JinjaEnv *env, JinjaValue *tz);
extern JinjaValue *jn_zone_from_utc(JinjaEnv *env, JinjaValue *tz, int64 us);
extern int64 jn_local_to_utc(int64 seconds);
extern int64 jn_utc_to_local(int64 seconds);

#endif							/* DPIPE_JINJA_DATETIME_H */
