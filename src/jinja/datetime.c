/*
 * datetime.c
 *		date, datetime and time of modules.datetime.
 *
 * The calendar is Gregorian from year 1 to 9999, as in Python. Times without a
 * zone that have to be taken for a point in time are in the session's zone.
 */
#include "base/compat.h"

#include <math.h>

#include "pgtime.h"

#include "jinja/bigint.h"
#include "jinja/datetime.h"

/* ---------- the calendar ---------- */

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int
jn_days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

int
jn_days_from_civil(int year, int month, int day)
{
	int			y = year - 1;
	int			days = y * 365 + y / 4 - y / 100 + y / 400;

	for (int m = 1; m < month; m++)
		days += jn_days_in_month(year, m);
	return days + day;
}

void
jn_civil_from_days(int days, int *year, int *month, int *day)
{
	int			n = days - 1;
	int			n400 = n / 146097;
	int			n100;
	int			n4;
	int			n1;

	n %= 146097;
	n100 = Min(n / 36524, 3);
	n -= n100 * 36524;
	n4 = n / 1461;
	n %= 1461;
	n1 = Min(n / 365, 3);
	n -= n1 * 365;
	*year = n400 * 400 + n100 * 100 + n4 * 4 + n1 + 1;
	*month = 1;
	while (n >= jn_days_in_month(*year, *month))
		n -= jn_days_in_month(*year, (*month)++);
	*day = n + 1;
}

/* ---------- making them ---------- */

static JinjaValue *
make(JinjaEnv *env, const JinjaObjectOps *ops, int64 days, int64 us,
	 JinjaValue *tz)
{
	JnStamp    *s = jn_alloc(env, sizeof(JnStamp));

	if (days < 1 || days > JN_MAX_DAYS)
		jinja_raise(env, ERRCODE_DATETIME_FIELD_OVERFLOW,
					"date value out of range");
	s->days = days;
	s->us = us;
	s->tz = tz;
	return jinja_object(env, ops, s);
}

JinjaValue *
jn_make_date(JinjaEnv *env, int64 days)
{
	return make(env, &jn_date_ops, days, 0, NULL);
}

/* "us" may be beyond the day, or before it. */
JinjaValue *
jn_make_datetime(JinjaEnv *env, int64 days, int64 us, JinjaValue *tz)
{
	days += us / JN_DAY_US;
	us %= JN_DAY_US;
	if (us < 0)
	{
		us += JN_DAY_US;
		days--;
	}
	return make(env, &jn_datetime_ops, days, us, tz);
}

JinjaValue *
jn_make_time(JinjaEnv *env, int64 us, JinjaValue *tz)
{
	return make(env, &jn_time_ops, 1, us, tz);
}

JinjaValue *
jinja_date(JinjaEnv *env, DateADT d)
{
	if (DATE_NOT_FINITE(d))
		jn_raise_type(env, "date is infinite");
	return jn_make_date(env, (int64) d + (POSTGRES_EPOCH_JDATE -
										  UNIX_EPOCH_JDATE) + JN_EPOCH_DAYS);
}

static JinjaValue *
from_timestamp(JinjaEnv *env, Timestamp t, JinjaValue *tz)
{
	int64		days;

	if (TIMESTAMP_NOT_FINITE(t))
		jn_raise_type(env, "timestamp is infinite");
	days = t / JN_DAY_US;
	return jn_make_datetime(env, days + (POSTGRES_EPOCH_JDATE -
										 UNIX_EPOCH_JDATE) + JN_EPOCH_DAYS,
							t % JN_DAY_US, tz);
}

JinjaValue *
jinja_timestamp(JinjaEnv *env, Timestamp t)
{
	return from_timestamp(env, t, NULL);
}

JinjaValue *
jinja_timestamptz(JinjaEnv *env, TimestampTz t)
{
	return from_timestamp(env, t, jn_zone_utc(env));
}

/* ---------- parts ---------- */

static int64
local_seconds(const JnStamp *s)
{
	return ((int64) s->days - JN_EPOCH_DAYS) * 86400 + s->us / 1000000;
}

/* Microseconds since year 1, in UTC; "s" has a zone. */
int64
jn_stamp_utc_us(JinjaEnv *env, const JnStamp *s)
{
	int			offset;

	(void) jn_zone_offset(env, s->tz, &offset);
	return s->days * JN_DAY_US + s->us - (int64) offset * 1000000;
}

/* Seconds since 1970 in UTC. */
static int64
epoch_seconds(JinjaEnv *env, const JnStamp *s)
{
	int			offset;

	if (s->tz == NULL)
	{
		/* Python looks for the same time a day earlier, too. */
		if (s->days <= 1)
			jn_raise_type(env, "year 0 is out of range");
		return jn_local_to_utc(local_seconds(s));
	}
	(void) jn_zone_offset(env, s->tz, &offset);
	return local_seconds(s) - offset;
}

static int64
time_arg(JinjaEnv *env, JinjaValue *v, int64 dflt, int64 max, const char *what)
{
	int64		i = jn_int_arg(env, v, dflt, what);

	if (i < 0 || i > max)
		jn_raise_type(env, "%s must be in 0.." INT64_FORMAT, what, max);
	return i;
}

static JinjaValue *
tz_arg(JinjaEnv *env, JinjaValue *v, JinjaValue *dflt)
{
	if (v == NULL)
		return dflt;
	if (v->kind == JINJA_NONE)
		return NULL;
	if (!jn_is_zone(v))
		jn_raise_type(env, "tzinfo must be none or a time zone, not %s",
					  jinja_type_name(v));
	return v;
}

/* Year, month and day from "pos" on; "s" (may be NULL) has the defaults. */
static int
date_args(JinjaEnv *env, const JinjaArgs *args, const JnStamp *s)
{
	int			y = 0;
	int			m = 0;
	int			d = 0;
	int64		year;
	int64		month;
	int64		day;

	if (s != NULL)
		jn_civil_from_days(s->days, &y, &m, &d);
	year = jn_int_arg(env, s != NULL ? jinja_arg(args, 0, "year") :
					  jn_need_arg(env, args, 0, "year"), y, "year");
	month = jn_int_arg(env, s != NULL ? jinja_arg(args, 1, "month") :
					   jn_need_arg(env, args, 1, "month"), m, "month");
	day = jn_int_arg(env, s != NULL ? jinja_arg(args, 2, "day") :
					 jn_need_arg(env, args, 2, "day"), d, "day");
	if (year < 1 || year > 9999)
		jn_raise_type(env, "year " INT64_FORMAT " is out of range", year);
	if (month < 1 || month > 12)
		jn_raise_type(env, "month must be in 1..12");
	if (day < 1 || day > jn_days_in_month(year, month))
		jn_raise_type(env, "day is out of range for month");
	return jn_days_from_civil(year, month, day);
}

/* Hour to microsecond from "pos" on. */
static int64
clock_args(JinjaEnv *env, const JinjaArgs *args, int pos, const JnStamp *s)
{
	int64		us = s == NULL ? 0 : s->us;
	int64		hour;
	int64		minute;
	int64		second;

	hour = time_arg(env, jinja_arg(args, pos, "hour"),
					us / INT64CONST(3600000000), 23, "hour");
	minute = time_arg(env, jinja_arg(args, pos + 1, "minute"),
					  us / 60000000 % 60, 59, "minute");
	second = time_arg(env, jinja_arg(args, pos + 2, "second"),
					  us / 1000000 % 60, 59, "second");
	us = time_arg(env, jinja_arg(args, pos + 3, "microsecond"), us % 1000000,
				  999999, "microsecond");
	return ((hour * 60 + minute) * 60 + second) * 1000000 + us;
}

/* ---------- what dates and datetimes share ---------- */

static JinjaValue *
stamp_strftime(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *format = jn_string_arg(env, jn_need_arg(env, args, 0, "format"),
									   "format");

	return jinja_string(env, jn_strftime(env, arg, format->u.string.data));
}

static JinjaValue *
stamp_weekday(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_int(env, (((JnStamp *) arg)->days + 6) % 7);
}

static JinjaValue *
stamp_isoweekday(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_int(env, (((JnStamp *) arg)->days + 6) % 7 + 1);
}

static JinjaValue *
stamp_toordinal(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_int(env, ((JnStamp *) arg)->days);
}

static JinjaValue *
stamp_isocalendar(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;
	JinjaValue *items[3];

	items[0] = jinja_int(env, strtol(jn_strftime(env, s, "%G"), NULL, 10));
	items[1] = jinja_int(env, strtol(jn_strftime(env, s, "%V"), NULL, 10));
	items[2] = jinja_int(env, (s->days + 6) % 7 + 1);
	return jinja_tuple(env, 3, items);
}

static JinjaValue *
stamp_ctime(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	int			year;
	int			month;
	int			day;

	jn_civil_from_days(((JnStamp *) arg)->days, &year, &month, &day);
	return jinja_string(env, psprintf("%s %04d", jn_strftime(env, arg, "%a %b %e %H:%M:%S"), year));
}

static const JnModuleFunction date_methods[] = {
	{"ctime", stamp_ctime},
	{"isocalendar", stamp_isocalendar},
	{"isoweekday", stamp_isoweekday},
	{"strftime", stamp_strftime},
	{"toordinal", stamp_toordinal},
	{"weekday", stamp_weekday},
	{NULL},
};

static JinjaValue *
date_part(JinjaEnv *env, const JnStamp *s, const char *name)
{
	int			year;
	int			month;
	int			day;

	jn_civil_from_days(s->days, &year, &month, &day);
	if (strcmp(name, "year") == 0)
		return jinja_int(env, year);
	if (strcmp(name, "month") == 0)
		return jinja_int(env, month);
	if (strcmp(name, "day") == 0)
		return jinja_int(env, day);
	return NULL;
}

static JinjaValue *
clock_part(JinjaEnv *env, const JnStamp *s, const char *name)
{
	if (strcmp(name, "hour") == 0)
		return jinja_int(env, s->us / INT64CONST(3600000000));
	if (strcmp(name, "minute") == 0)
		return jinja_int(env, s->us / 60000000 % 60);
	if (strcmp(name, "second") == 0)
		return jinja_int(env, s->us / 1000000 % 60);
	if (strcmp(name, "microsecond") == 0)
		return jinja_int(env, s->us % 1000000);
	if (strcmp(name, "tzinfo") == 0)
		return s->tz == NULL ? env->none : s->tz;
	if (strcmp(name, "fold") == 0)
		return jinja_int(env, 0);
	return NULL;
}

static char *
stamp_format(JinjaEnv *env, void *object, const char *spec)
{
	return jn_strftime(env, object, spec);
}

static JinjaValue *
ordered(JinjaEnv *env, JinjaOp op, int64 a, int64 b)
{
	switch (op)
	{
		case JINJA_OP_EQ:
			return jinja_bool(env, a == b);
		case JINJA_OP_LT:
			return jinja_bool(env, a < b);
		case JINJA_OP_LE:
			return jinja_bool(env, a <= b);
		case JINJA_OP_GT:
			return jinja_bool(env, a > b);
		case JINJA_OP_GE:
			return jinja_bool(env, a >= b);
		default:
			return NULL;
	}
}

/* Swap the sides of a comparison. */
static JinjaOp
reflect(JinjaOp op)
{
	switch (op)
	{
		case JINJA_OP_LT:
			return JINJA_OP_GT;
		case JINJA_OP_LE:
			return JINJA_OP_GE;
		case JINJA_OP_GT:
			return JINJA_OP_LT;
		case JINJA_OP_GE:
			return JINJA_OP_LE;
		default:
			return op;
	}
}

static uint32
stamp_hash(JinjaEnv *env, void *object)
{
	JnStamp    *s = object;
	int64		us = s->tz == NULL ? s->days * JN_DAY_US + s->us :
		jn_stamp_utc_us(env, s);

	return jn_hash(env, jinja_int(env, us));
}

/* isoformat() of a time, or of a datetime, which has a separator as well. */
static JinjaValue *
iso(JinjaEnv *env, const JnStamp *s, bool with_date, const JinjaArgs *args)
{
	static const char *const names[] = {"sep", "timespec", NULL};
	JinjaValue *sep = with_date ? jinja_arg(args, 0, "sep") : NULL;
	JinjaValue *spec = jinja_arg(args, with_date ? 1 : 0, "timespec");

	jn_check_args(env, args, with_date ? 2 : 1, names + (with_date ? 0 : 1));
	if (sep != NULL && jn_nchars(jn_string_arg(env, sep, "sep")) != 1)
		jn_raise_type(env, "sep must be one character");
	return jinja_string(env, jn_isoformat(env, s, with_date, true,
										  sep == NULL ? "T" :
										  sep->u.string.data,
										  spec == NULL ? "auto" :
										  jn_string_arg(env, spec, "timespec")->u.string.data));
}

/* ---------- date ---------- */

static JinjaValue *
date_replace(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {"year", "month", "day", NULL};

	jn_check_args(env, args, 3, names);
	return jn_make_date(env, date_args(env, args, arg));
}

static JinjaValue *
date_isoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {NULL};

	jn_check_args(env, args, 0, names);
	return jinja_string(env, jn_isoformat(env, arg, true, false, "T", "auto"));
}

static JinjaValue *
date_attribute(JinjaEnv *env, void *object, const char *name)
{
	JinjaValue *v = date_part(env, object, name);

	if (v != NULL)
		return v;
	if (strcmp(name, "replace") == 0)
		return jinja_function(env, name, date_replace, object);
	if (strcmp(name, "isoformat") == 0)
		return jinja_function(env, name, date_isoformat, object);
	return jn_find_function(env, date_methods, name, object);
}

static char *
date_to_string(JinjaEnv *env, void *object)
{
	return jn_isoformat(env, object, true, false, "T", "auto");
}

static JinjaValue *
date_to_json(JinjaEnv *env, void *object)
{
	return jinja_string(env, date_to_string(env, object));
}

static char *
date_repr(JinjaEnv *env, void *object)
{
	int			year;
	int			month;
	int			day;

	jn_civil_from_days(((JnStamp *) object)->days, &year, &month, &day);
	return psprintf("datetime.date(%d, %d, %d)", year, month, day);
}

static JinjaValue *
date_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
			bool reflected)
{
	JnStamp    *a = object;
	JnStamp    *b = jinja_object_get(other, &jn_date_ops);
	int64		days;
	int64		us;

	if (b != NULL && op == JINJA_OP_SUB)
		return reflected ? jn_make_delta(env, b->days - a->days, 0) :
			jn_make_delta(env, a->days - b->days, 0);
	if (b != NULL)
		return ordered(env, reflected ? reflect(op) : op, a->days, b->days);
	if (!jn_delta_get(other, &days, &us))
		return NULL;
	if (op == JINJA_OP_ADD)
		return jn_make_date(env, a->days + days);
	if (op == JINJA_OP_SUB && !reflected)
		return jn_make_date(env, a->days - days);
	return NULL;
}

const JinjaObjectOps jn_date_ops = {
	.type_name = "datetime.date",
	.get_attribute = date_attribute,
	.to_string = date_to_string,
	.repr = date_repr,
	.binary = date_binary,
	.hash = stamp_hash,
	.to_json = date_to_json,
	.format = stamp_format,
};

/* ---------- datetime ---------- */

static JinjaValue *
datetime_replace(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {
		"year", "month", "day", "hour", "minute", "second", "microsecond",
		"tzinfo", "fold", NULL
	};
	JnStamp    *s = arg;

	jn_check_args(env, args, 8, names);
	return jn_make_datetime(env, date_args(env, args, s),
							clock_args(env, args, 3, s),
							tz_arg(env, jinja_arg(args, 7, "tzinfo"), s->tz));
}

static JinjaValue *
datetime_isoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return iso(env, arg, true, args);
}

static JinjaValue *
datetime_timestamp(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;
	int64		us = s->us % 1000000;

	return jinja_float(env, (double) ((long double) epoch_seconds(env, s) +
									  (long double) us / 1000000));
}

static JinjaValue *
datetime_date(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_date(env, ((JnStamp *) arg)->days);
}

static JinjaValue *
datetime_time(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_time(env, ((JnStamp *) arg)->us, NULL);
}

static JinjaValue *
datetime_timetz(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_time(env, ((JnStamp *) arg)->us, ((JnStamp *) arg)->tz);
}

/* The zone of the session at a time, as a fixed offset. */
static JinjaValue *
session_zone(JinjaEnv *env, int64 utc)
{
	return jn_zone_fixed(env, jn_utc_to_local(utc) - utc);
}

static JinjaValue *
datetime_astimezone(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;
	JinjaValue *tz = tz_arg(env, jinja_arg(args, 0, "tz"), NULL);
	int64		utc = epoch_seconds(env, s);

	if (tz == NULL)
		tz = session_zone(env, utc);
	return jn_zone_from_utc(env, tz, (utc + (int64) JN_EPOCH_DAYS * 86400) *
							1000000 + s->us % 1000000);
}

static JinjaValue *
stamp_utcoffset(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;
	int			offset;

	if (s->tz == NULL || !jn_zone_offset(env, s->tz, &offset))
		return env->none;
	return jn_make_delta(env, 0, (int64) offset * 1000000);
}

static JinjaValue *
stamp_dst(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;

	return s->tz == NULL || !jn_zone_has_dst(s->tz) ? env->none :
		jn_make_delta(env, 0, (int64) jn_zone_dst(env, s->tz) * 1000000);
}

static JinjaValue *
stamp_tzname(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = arg;
	const char *name = s->tz == NULL ? NULL : jn_zone_abbreviation(env, s->tz);

	return name == NULL ? env->none : jinja_string(env, name);
}

static const JnModuleFunction datetime_methods[] = {
	{"astimezone", datetime_astimezone},
	{"date", datetime_date},
	{"dst", stamp_dst},
	{"isoformat", datetime_isoformat},
	{"replace", datetime_replace},
	{"time", datetime_time},
	{"timestamp", datetime_timestamp},
	{"timetz", datetime_timetz},
	{"tzname", stamp_tzname},
	{"utcoffset", stamp_utcoffset},
	{NULL},
};

static JinjaValue *
datetime_attribute(JinjaEnv *env, void *object, const char *name)
{
	JinjaValue *v = date_part(env, object, name);

	if (v == NULL)
		v = clock_part(env, object, name);
	if (v == NULL)
		v = jn_find_function(env, datetime_methods, name, object);
	return v != NULL ? v : jn_find_function(env, date_methods, name, object);
}

static char *
datetime_to_string(JinjaEnv *env, void *object)
{
	return jn_isoformat(env, object, true, true, " ", "auto");
}

static JinjaValue *
datetime_to_json(JinjaEnv *env, void *object)
{
	return jinja_string(env, jn_isoformat(env, object, true, true, "T", "auto"));
}

static void
append_clock(StringInfo buf, const JnStamp *s, const char *separator)
{
	appendStringInfo(buf, "%s%d, %d", separator,
					 (int) (s->us / INT64CONST(3600000000)),
					 (int) (s->us / 60000000 % 60));
	if (s->us % 60000000 != 0)
		appendStringInfo(buf, ", %d", (int) (s->us / 1000000 % 60));
	if (s->us % 1000000 != 0)
		appendStringInfo(buf, ", %d", (int) (s->us % 1000000));
}

static char *
datetime_repr(JinjaEnv *env, void *object)
{
	JnStamp    *s = object;
	StringInfoData buf;
	int			year;
	int			month;
	int			day;

	initStringInfo(&buf);
	jn_civil_from_days(s->days, &year, &month, &day);
	appendStringInfo(&buf, "datetime.datetime(%d, %d, %d", year, month, day);
	append_clock(&buf, s, ", ");
	if (s->tz != NULL)
		appendStringInfo(&buf, ", tzinfo=%s", jinja_repr(env, s->tz));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* a - b, or their order; a zone on one side only has no answer but "not equal" */
static JinjaValue *
two_datetimes(JinjaEnv *env, JinjaOp op, const JnStamp *a, const JnStamp *b)
{
	int64		x = a->days * JN_DAY_US + a->us;
	int64		y = b->days * JN_DAY_US + b->us;

	if ((a->tz == NULL) != (b->tz == NULL))
	{
		if (op == JINJA_OP_EQ)
			return env->no;
		jn_raise_type(env,
					  "datetimes with and without a time zone cannot be compared or subtracted");
	}
	if (a->tz != NULL)
	{
		x = jn_stamp_utc_us(env, a);
		y = jn_stamp_utc_us(env, b);
	}
	if (op == JINJA_OP_SUB)
		return jn_make_delta(env, 0, x - y);
	return ordered(env, op, x, y);
}

static JinjaValue *
datetime_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
				bool reflected)
{
	JnStamp    *a = object;
	JnStamp    *b = jinja_object_get(other, &jn_datetime_ops);
	int64		days;
	int64		us;

	if (b != NULL)
		return reflected ? two_datetimes(env, op, b, a) :
			two_datetimes(env, op, a, b);
	if (!jn_delta_get(other, &days, &us))
		return NULL;
	if (op == JINJA_OP_ADD)
		return jn_make_datetime(env, a->days + days, a->us + us, a->tz);
	if (op == JINJA_OP_SUB && !reflected)
		return jn_make_datetime(env, a->days - days, a->us - us, a->tz);
	return NULL;
}

const JinjaObjectOps jn_datetime_ops = {
	.type_name = "datetime.datetime",
	.get_attribute = datetime_attribute,
	.to_string = datetime_to_string,
	.repr = datetime_repr,
	.binary = datetime_binary,
	.hash = stamp_hash,
	.to_json = datetime_to_json,
	.format = stamp_format,
};

/* ---------- time ---------- */

static JinjaValue *
time_replace(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {
		"hour", "minute", "second", "microsecond", "tzinfo", "fold", NULL
	};
	JnStamp    *s = arg;

	jn_check_args(env, args, 5, names);
	return jn_make_time(env, clock_args(env, args, 0, s),
						tz_arg(env, jinja_arg(args, 4, "tzinfo"), s->tz));
}

static JinjaValue *
time_isoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return iso(env, arg, false, args);
}

static JinjaValue *
time_utcoffset(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_time_has_offset(((JnStamp *) arg)->tz) ?
		stamp_utcoffset(env, arg, args) : env->none;
}

static JinjaValue *
time_dst(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_time_has_offset(((JnStamp *) arg)->tz) ?
		stamp_dst(env, arg, args) : env->none;
}

static const JnModuleFunction time_methods[] = {
	{"dst", time_dst},
	{"isoformat", time_isoformat},
	{"replace", time_replace},
	{"strftime", stamp_strftime},
	{"tzname", stamp_tzname},
	{"utcoffset", time_utcoffset},
	{NULL},
};

static JinjaValue *
time_attribute(JinjaEnv *env, void *object, const char *name)
{
	JinjaValue *v = clock_part(env, object, name);

	return v != NULL ? v : jn_find_function(env, time_methods, name, object);
}

static char *
time_to_string(JinjaEnv *env, void *object)
{
	return jn_isoformat(env, object, false, true, "T", "auto");
}

static JinjaValue *
time_to_json(JinjaEnv *env, void *object)
{
	return jinja_string(env, time_to_string(env, object));
}

static char *
time_repr(JinjaEnv *env, void *object)
{
	JnStamp    *s = object;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "datetime.time(");
	append_clock(&buf, s, "");
	if (s->tz != NULL)
		appendStringInfo(&buf, ", tzinfo=%s", jinja_repr(env, s->tz));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* What times are compared by. */
static int64
time_us(JinjaEnv *env, const JnStamp *s)
{
	return jn_time_has_offset(s->tz) ? jn_stamp_utc_us(env, s) : s->us;
}

static JinjaValue *
time_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
			bool reflected)
{
	JnStamp    *a = object;
	JnStamp    *b = jinja_object_get(other, &jn_time_ops);

	if (b == NULL || jn_time_has_offset(a->tz) != jn_time_has_offset(b->tz))
		return NULL;
	return ordered(env, reflected ? reflect(op) : op, time_us(env, a),
				   time_us(env, b));
}

static uint32
time_hash(JinjaEnv *env, void *object)
{
	return jn_hash(env, jinja_int(env, time_us(env, object)));
}

const JinjaObjectOps jn_time_ops = {
	.type_name = "datetime.time",
	.get_attribute = time_attribute,
	.to_string = time_to_string,
	.repr = time_repr,
	.binary = time_binary,
	.hash = time_hash,
	.to_json = time_to_json,
	.format = stamp_format,
};

/* ---------- the classes ---------- */

static JinjaValue *
from_epoch(JinjaEnv *env, int64 seconds, int64 us, JinjaValue *tz)
{
	int64		utc = (seconds + (int64) JN_EPOCH_DAYS * 86400) * 1000000 + us;

	if (tz != NULL)
		return jn_zone_from_utc(env, tz, utc);
	seconds = jn_utc_to_local(seconds);
	return jn_make_datetime(env, JN_EPOCH_DAYS,
							seconds * 1000000 + us, NULL);
}

static JinjaValue *
now_in(JinjaEnv *env, JinjaValue *tz)
{
	TimestampTz t = GetCurrentTimestamp();
	int64		us = t + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * JN_DAY_US;

	return from_epoch(env, us / 1000000, us % 1000000, tz);
}

static JinjaValue *
datetime_now(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return now_in(env, tz_arg(env, jinja_arg(args, 0, "tz"), NULL));
}

static JinjaValue *
datetime_utcnow(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = now_in(env, jn_zone_utc(env));

	((JnStamp *) v->u.object.object)->tz = NULL;
	return v;
}

/* A POSIX timestamp in a zone; in microseconds, half to even. */
static JinjaValue *
from_number(JinjaEnv *env, JinjaValue *v, JinjaValue *tz)
{
	double		d;
	double		whole;
	double		us;

	if (!jn_is_numeric(v))
		jn_raise_type(env, "a number is required, not %s", jinja_type_name(v));
	d = jn_to_double(env, v);
	if (!(fabs(d) < 253402318800.0))
		jn_raise_type(env, "timestamp is out of range");
	us = rint(modf(d, &whole) * 1e6);
	return from_epoch(env, (int64) whole + (us < 0 ? -1 : 0),
					  (int64) us + (us < 0 ? 1000000 : 0), tz);
}

static JinjaValue *
datetime_fromtimestamp(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return from_number(env, jn_need_arg(env, args, 0, "timestamp"),
					   tz_arg(env, jinja_arg(args, 1, "tz"), NULL));
}

static JinjaValue *
datetime_utcfromtimestamp(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = from_number(env, jn_need_arg(env, args, 0, "timestamp"),
								jn_zone_utc(env));

	((JnStamp *) v->u.object.object)->tz = NULL;
	return v;
}

static JinjaValue *
datetime_strptime(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = jn_strptime(env,
								jn_string_arg(env, jn_need_arg(env, args, 0, "date_string"),
											  "date_string"),
								jn_string_arg(env, jn_need_arg(env, args, 1, "format"),
											  "format"));

	return jn_make_datetime(env, s->days, s->us, s->tz);
}

static JnStamp *
parse_iso(JinjaEnv *env, const JinjaArgs *args, bool with_date, bool with_time)
{
	JinjaValue *text = jn_string_arg(env, jn_need_arg(env, args, 0, "date_string"),
									 "argument of fromisoformat");
	JnStamp    *s = jn_parse_iso(env, text->u.string.data, with_date,
								 with_time);

	if (s == NULL)
		jn_raise_type(env, "Invalid isoformat string: %s",
					  jn_repr_cstring(env, text));
	return s;
}

static JinjaValue *
datetime_fromisoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = parse_iso(env, args, true, true);

	return jn_make_datetime(env, s->days, s->us, s->tz);
}

static JinjaValue *
datetime_combine(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *date = jn_need_arg(env, args, 0, "date");
	JinjaValue *time = jn_need_arg(env, args, 1, "time");
	JnStamp    *d = jinja_object_get(date, &jn_date_ops);
	JnStamp    *t = jinja_object_get(time, &jn_time_ops);

	if (d == NULL)
		d = jinja_object_get(date, &jn_datetime_ops);
	if (d == NULL || t == NULL)
		jn_raise_type(env, "combine takes a date and a time");
	return jn_make_datetime(env, d->days, t->us,
							tz_arg(env, jinja_arg(args, 2, "tzinfo"), t->tz));
}

static int64
ordinal_arg(JinjaEnv *env, const JinjaArgs *args)
{
	return jn_int_arg(env, jn_need_arg(env, args, 0, "ordinal"), 0, "ordinal");
}

static JinjaValue *
datetime_fromordinal(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_datetime(env, ordinal_arg(env, args), 0, NULL);
}

static JinjaValue *
datetime_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	static const char *const names[] = {
		"year", "month", "day", "hour", "minute", "second", "microsecond",
		"tzinfo", NULL
	};

	jn_check_args(env, args, 8, names);
	return jn_make_datetime(env, date_args(env, args, NULL),
							clock_args(env, args, 3, NULL),
							tz_arg(env, jinja_arg(args, 7, "tzinfo"), NULL));
}

static JinjaValue *
datetime_class_attribute(JinjaEnv *env, void *object, const char *name)
{
	static const JnModuleFunction functions[] = {
		{"combine", datetime_combine},
		{"fromisoformat", datetime_fromisoformat},
		{"fromordinal", datetime_fromordinal},
		{"fromtimestamp", datetime_fromtimestamp},
		{"now", datetime_now},
		{"strptime", datetime_strptime},
		{"today", datetime_now},
		{"utcfromtimestamp", datetime_utcfromtimestamp},
		{"utcnow", datetime_utcnow},
		{NULL},
	};

	if (strcmp(name, "min") == 0)
		return jn_make_datetime(env, 1, 0, NULL);
	if (strcmp(name, "max") == 0)
		return jn_make_datetime(env, JN_MAX_DAYS, JN_DAY_US - 1, NULL);
	return jn_find_function(env, functions, name, NULL);
}

static JinjaValue *
date_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	static const char *const names[] = {"year", "month", "day", NULL};

	jn_check_args(env, args, 3, names);
	return jn_make_date(env, date_args(env, args, NULL));
}

static JinjaValue *
date_today(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *now = now_in(env, NULL);

	return jn_make_date(env, ((JnStamp *) now->u.object.object)->days);
}

static JinjaValue *
date_fromisoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_date(env, parse_iso(env, args, true, false)->days);
}

static JinjaValue *
date_fromordinal(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_date(env, ordinal_arg(env, args));
}

static JinjaValue *
date_fromtimestamp(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = from_number(env, jn_need_arg(env, args, 0, "timestamp"),
								NULL);

	return jn_make_date(env, ((JnStamp *) v->u.object.object)->days);
}

static JinjaValue *
date_class_attribute(JinjaEnv *env, void *object, const char *name)
{
	static const JnModuleFunction functions[] = {
		{"fromisoformat", date_fromisoformat},
		{"fromordinal", date_fromordinal},
		{"fromtimestamp", date_fromtimestamp},
		{"today", date_today},
		{NULL},
	};

	if (strcmp(name, "min") == 0)
		return jn_make_date(env, 1);
	if (strcmp(name, "max") == 0)
		return jn_make_date(env, JN_MAX_DAYS);
	return jn_find_function(env, functions, name, NULL);
}

static JinjaValue *
time_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	static const char *const names[] = {
		"hour", "minute", "second", "microsecond", "tzinfo", NULL
	};

	jn_check_args(env, args, 5, names);
	return jn_make_time(env, clock_args(env, args, 0, NULL),
						tz_arg(env, jinja_arg(args, 4, "tzinfo"), NULL));
}

static JinjaValue *
time_fromisoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnStamp    *s = parse_iso(env, args, false, true);

	return jn_make_time(env, s->us, s->tz);
}

static JinjaValue *
time_class_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "min") == 0)
		return jn_make_time(env, 0, NULL);
	if (strcmp(name, "max") == 0)
		return jn_make_time(env, JN_DAY_US - 1, NULL);
	if (strcmp(name, "fromisoformat") == 0)
		return jinja_function(env, name, time_fromisoformat, NULL);
	return NULL;
}

static char *
class_to_string(JinjaEnv *env, void *object)
{
	return psprintf("<class 'datetime.%s'>", (const char *) object);
}

static const JinjaObjectOps datetime_class_ops = {
	.type_name = "type",
	.get_attribute = datetime_class_attribute,
	.to_string = class_to_string,
	.call = datetime_call,
};

static const JinjaObjectOps date_class_ops = {
	.type_name = "type",
	.get_attribute = date_class_attribute,
	.to_string = class_to_string,
	.call = date_call,
};

static const JinjaObjectOps time_class_ops = {
	.type_name = "type",
	.get_attribute = time_class_attribute,
	.to_string = class_to_string,
	.call = time_call,
};

static JinjaValue *
module_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "datetime") == 0)
		return jinja_object(env, &datetime_class_ops, "datetime");
	if (strcmp(name, "date") == 0)
		return jinja_object(env, &date_class_ops, "date");
	if (strcmp(name, "time") == 0)
		return jinja_object(env, &time_class_ops, "time");
	if (strcmp(name, "timedelta") == 0)
		return jn_delta_class(env);
	return NULL;
}

static const JinjaObjectOps module_ops = {
	.type_name = "module",
	.get_attribute = module_attribute,
};

JinjaValue *
jn_datetime_module(JinjaEnv *env)
{
	return jinja_object(env, &module_ops, NULL);
}
