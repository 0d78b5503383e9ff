/*
 * zone.c
 *		Time zones: modules.pytz, and what a datetime's tzinfo can be.
 *
 * A zone of pytz by itself has the local mean time that the zone began with,
 * as in Python; only localize() and conversions from UTC give it the offset of
 * a point in time. Rules come from the server's time zone data, of which pytz
 * reads only what 32 bits can tell: before December 1901 a zone has the time it
 * began with, after January 2038 it has the time it had then.
 */
#include "base/compat.h"

#include "pgtime.h"

#include "jinja/datetime.h"

typedef enum ZoneKind
{
	ZONE_UTC,					/* pytz.utc */
	ZONE_NAMED,					/* pytz.timezone('Europe/Rome') */
	ZONE_PYTZ_FIXED,			/* pytz.FixedOffset(60) */
	ZONE_FIXED,					/* datetime.timezone(...) */
} ZoneKind;

typedef struct Zone
{
	ZoneKind	kind;
	pg_tz	   *rules;			/* of a named zone */
	bool		fixed;			/* a named zone that has had one offset only */
	int			offset;			/* seconds east of UTC */
	int			dst;			/* seconds of it that are summer time */
	const char *abbreviation;
} Zone;

/* Year 1. */
#define ZONE_BEGINS INT64CONST(-62135596800)

/* Standard time is looked for in steps of two weeks, for ten years. */
#define DST_STEP (14 * INT64CONST(86400))
#define DST_REACH (3650 * INT64CONST(86400))

static const JinjaObjectOps zone_ops;

static JinjaValue *
make(JinjaEnv *env, ZoneKind kind, int offset)
{
	Zone	   *z = jn_alloc(env, sizeof(Zone));

	memset(z, 0, sizeof(*z));
	z->kind = kind;
	z->offset = offset;
	return jinja_object(env, &zone_ops, z);
}

JinjaValue *
jn_zone_utc(JinjaEnv *env)
{
	return make(env, ZONE_UTC, 0);
}

JinjaValue *
jn_zone_fixed(JinjaEnv *env, int seconds)
{
	return make(env, ZONE_FIXED, seconds);
}

bool
jn_is_zone(const JinjaValue *v)
{
	return jinja_object_get(v, &zone_ops) != NULL;
}

/* pytz has offsets of whole minutes only. */
static int
whole_minutes(int seconds)
{
	int			minutes = (seconds + 30) / 60;

	if (seconds + 30 < 0 && (seconds + 30) % 60 != 0)
		minutes--;
	return minutes * 60;
}

/*
 * How far the clock is from the standard time nearest in the past, or, if that
 * is not plausible, in the future. It is less than 0 where winter is the
 * exception, as in Dublin.
 */
static int
summer_time(const Zone *z, int64 utc, int offset)
{
	int			dst = 0;

	for (int direction = -1; direction <= 1; direction += 2)
	{
		for (int64 away = DST_STEP; away <= DST_REACH; away += DST_STEP)
		{
			pg_time_t	t = utc + direction * away;
			struct pg_tm *tm = pg_localtime(&t, z->rules);

			if (tm == NULL || tm->tm_isdst > 0)
				continue;
			dst = offset - (int) tm->tm_gmtoff;
			if (direction < 0 || dst > 0)
				break;
		}
		if (dst > 0 && dst <= 3 * 3600)
			break;
	}
	return whole_minutes(dst);
}

/* The zone at a point in time. */
static JinjaValue *
at_time(JinjaEnv *env, const Zone *z, int64 utc)
{
	pg_time_t	t = utc < PG_INT32_MIN ? ZONE_BEGINS : Min(utc, PG_INT32_MAX);
	struct pg_tm *tm = pg_localtime(&t, z->rules);
	JinjaValue *v = make(env, ZONE_NAMED, 0);
	Zone	   *result = jinja_object_get(v, &zone_ops);
	int			offset;

	*result = *z;
	if (tm == NULL)
		jn_raise_type(env, "time is out of range");
	offset = tm->tm_gmtoff;
	result->offset = whole_minutes(offset);
	result->abbreviation = MemoryContextStrdup(env->cxt, tm->tm_zone == NULL ?
											   "" : tm->tm_zone);
	result->dst = tm->tm_isdst > 0 ? summer_time(z, t, offset) : 0;
	return v;
}

/* False: the zone has none (there is no such zone yet). */
bool
jn_zone_offset(JinjaEnv *env, JinjaValue *tz, int *seconds)
{
	*seconds = ((Zone *) jinja_object_get(tz, &zone_ops))->offset;
	return true;
}

/* A time without a date: one of most zones has no offset. */
bool
jn_time_has_offset(const JinjaValue *tz)
{
	const Zone *z = tz == NULL ? NULL : jinja_object_get(tz, &zone_ops);

	return z != NULL && (z->kind != ZONE_NAMED || z->fixed);
}

/* False: zones of this kind do not tell. */
bool
jn_zone_has_dst(const JinjaValue *tz)
{
	return ((Zone *) jinja_object_get(tz, &zone_ops))->kind != ZONE_FIXED;
}

int
jn_zone_dst(JinjaEnv *env, JinjaValue *tz)
{
	return ((Zone *) jinja_object_get(tz, &zone_ops))->dst;
}

static char *
offset_text(int offset)
{
	int			a = abs(offset);
	char	   *text = psprintf("%c%02d:%02d", offset < 0 ? '-' : '+', a / 3600,
								a / 60 % 60);

	return a % 60 == 0 ? text : psprintf("%s:%02d", text, a % 60);
}

/* NULL: it has no name. */
const char *
jn_zone_abbreviation(JinjaEnv *env, JinjaValue *tz)
{
	Zone	   *z = jinja_object_get(tz, &zone_ops);

	switch (z->kind)
	{
		case ZONE_UTC:
			return "UTC";
		case ZONE_NAMED:
			return z->abbreviation;
		case ZONE_FIXED:
			return z->offset == 0 ? "UTC" :
				psprintf("UTC%s", offset_text(z->offset));
		default:
			return NULL;
	}
}

/* The datetime in zone "tz" that is "us" microseconds after year 1 in UTC. */
JinjaValue *
jn_zone_from_utc(JinjaEnv *env, JinjaValue *tz, int64 us)
{
	Zone	   *z = jinja_object_get(tz, &zone_ops);

	if (z->kind == ZONE_NAMED)
	{
		int64		seconds = us / 1000000 - (int64) JN_EPOCH_DAYS * 86400;

		tz = at_time(env, z, seconds);
		z = jinja_object_get(tz, &zone_ops);
	}
	us += (int64) z->offset * 1000000;
	return jn_make_datetime(env, us / JN_DAY_US, us % JN_DAY_US, tz);
}

/* ---------- the session's zone, which naive times are in ---------- */

int64
jn_utc_to_local(int64 seconds)
{
	pg_time_t	t = seconds;
	struct pg_tm *tm = pg_localtime(&t, session_timezone);

	return tm == NULL ? seconds : seconds + tm->tm_gmtoff;
}

int64
jn_local_to_utc(int64 seconds)
{
	int64		guess = seconds - (jn_utc_to_local(seconds) - seconds);

	/* Once more: the first offset was that of another time. */
	return seconds - (jn_utc_to_local(guess) - guess);
}

/* ---------- localize ---------- */

/*
 * The zone at a local time. Two offsets fit when clocks go back, none when
 * they go forward; "is_dst" decides (-1: that is an error).
 */
static JinjaValue *
zone_at_local(JinjaEnv *env, const Zone *z, int64 local, int is_dst)
{
	JinjaValue *before = at_time(env, z, local - 86400);
	JinjaValue *after = at_time(env, z, local + 86400);
	Zone	   *b = jinja_object_get(before, &zone_ops);
	Zone	   *a = jinja_object_get(after, &zone_ops);
	JinjaValue *first = at_time(env, z, local - b->offset);
	JinjaValue *second = at_time(env, z, local - a->offset);
	Zone	   *f = jinja_object_get(first, &zone_ops);
	Zone	   *s = jinja_object_get(second, &zone_ops);
	bool		first_fits = f->offset == b->offset;
	bool		second_fits = s->offset == a->offset;

	if (first_fits && second_fits && f->offset == s->offset)
		return first;
	if (first_fits != second_fits)
		return first_fits ? first : second;
	if (is_dst < 0)
		jn_raise_type(env, first_fits ? "time is ambiguous" :
					  "time does not exist");
	if (first_fits)
		return (f->dst != 0) == (is_dst > 0) ? first : second;
	return (b->dst != 0) == (is_dst > 0) ? before : after;
}

static JinjaValue *
zone_localize(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {"dt", "is_dst", NULL};
	Zone	   *z = arg;
	JinjaValue *v;
	JinjaValue *is_dst = jinja_arg(args, 1, "is_dst");
	JnStamp    *s;
	JinjaValue *tz;

	jn_check_args(env, args, 2, names);
	v = jn_need_arg(env, args, 0, "dt");
	s = jinja_object_get(v, &jn_datetime_ops);
	if (s == NULL)
		jn_raise_type(env, "localize takes a datetime, not %s",
					  jinja_type_name(v));
	if (s->tz != NULL)
		jn_raise_type(env, "Not naive datetime (tzinfo is already set)");
	/* pytz looks at the days before and after. */
	if (z->kind == ZONE_NAMED && !z->fixed && (s->days <= 1 || s->days >= JN_MAX_DAYS))
		jinja_raise(env, ERRCODE_DATETIME_FIELD_OVERFLOW,
					"date value out of range");
	if (z->kind == ZONE_NAMED)
		tz = zone_at_local(env, z, ((int64) s->days - JN_EPOCH_DAYS) * 86400 +
						   s->us / 1000000,
						   is_dst == NULL ? 0 : is_dst->kind == JINJA_NONE ? -1 :
						   jinja_truth(env, is_dst));
	else
		tz = jinja_object(env, &zone_ops, z);
	return jn_make_datetime(env, s->days, s->us, tz);
}

static JinjaValue *
zone_normalize(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = jn_need_arg(env, args, 0, "dt");
	JnStamp    *s = jinja_object_get(v, &jn_datetime_ops);
	Zone	   *z = arg;
	Zone	   *from;

	if (s == NULL || s->tz == NULL)
		jn_raise_type(env, "normalize takes a datetime with a time zone");
	/* pytz wants one of its own zones, which a fixed offset is not quite. */
	from = jinja_object_get(s->tz, &zone_ops);
	if (z->kind == ZONE_NAMED && !z->fixed && from->kind != ZONE_NAMED &&
		from->kind != ZONE_UTC)
		jn_raise_type(env, "the time zone of the datetime has no fixed name");
	return jn_zone_from_utc(env, jinja_object(env, &zone_ops, arg),
							jn_stamp_utc_us(env, s));
}

/* ---------- the object ---------- */

static JinjaValue *
zone_tzname(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const char *name = jn_zone_abbreviation(env, jinja_object(env, &zone_ops,
															  arg));

	return name == NULL ? env->none : jinja_string(env, name);
}

static JinjaValue *
zone_utcoffset(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_delta(env, 0, (int64) ((Zone *) arg)->offset * 1000000);
}

static JinjaValue *
zone_dst(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jn_make_delta(env, 0, (int64) ((Zone *) arg)->dst * 1000000);
}

static const char *
zone_name(const Zone *z)
{
	return z->kind == ZONE_UTC ? "UTC" :
		z->kind == ZONE_NAMED ? pg_get_timezone_name(z->rules) : NULL;
}

static JinjaValue *
zone_attribute(JinjaEnv *env, void *object, const char *name)
{
	static const JnModuleFunction methods[] = {
		{"dst", zone_dst},
		{"localize", zone_localize},
		{"normalize", zone_normalize},
		{"tzname", zone_tzname},
		{"utcoffset", zone_utcoffset},
		{NULL},
	};
	Zone	   *z = object;

	if (strcmp(name, "zone") == 0 && z->kind != ZONE_FIXED)
		return zone_name(z) == NULL ? env->none :
			jinja_string(env, zone_name(z));
	if (z->kind == ZONE_FIXED &&
		(strcmp(name, "localize") == 0 || strcmp(name, "normalize") == 0))
		return NULL;
	return jn_find_function(env, methods, name, object);
}

static char *
zone_to_string(JinjaEnv *env, void *object)
{
	Zone	   *z = object;

	switch (z->kind)
	{
		case ZONE_PYTZ_FIXED:
			return psprintf("pytz.FixedOffset(%d)", z->offset / 60);
		case ZONE_FIXED:
			return pstrdup(jn_zone_abbreviation(env,
												jinja_object(env, &zone_ops,
															 z)));
		default:
			return pstrdup(zone_name(z));
	}
}

static char *
zone_repr(JinjaEnv *env, void *object)
{
	Zone	   *z = object;
	JinjaValue *offset = jn_make_delta(env, 0, (int64) z->offset * 1000000);

	switch (z->kind)
	{
		case ZONE_UTC:
			return pstrdup("<UTC>");
		case ZONE_NAMED:
			if (z->fixed)
				return psprintf("<StaticTzInfo '%s'>", zone_name(z));
			return psprintf("<DstTzInfo '%s' %s%s%s %s>", zone_name(z),
							z->abbreviation, z->offset <= 0 ? "" : "+",
							jinja_to_cstring(env, offset),
							z->dst != 0 ? "DST" : "STD");
		case ZONE_FIXED:
			if (z->offset == 0)
				return pstrdup("datetime.timezone.utc");
			return psprintf("datetime.timezone(%s)", jinja_repr(env, offset));
		default:
			return zone_to_string(env, object);
	}
}

static JinjaValue *
zone_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
			bool reflected)
{
	Zone	   *a = object;
	Zone	   *b = jinja_object_get(other, &zone_ops);

	if (op != JINJA_OP_EQ || b == NULL)
		return NULL;
	return jinja_bool(env, a->kind == b->kind && a->rules == b->rules &&
					  a->offset == b->offset && a->dst == b->dst);
}

static uint32
zone_hash(JinjaEnv *env, void *object)
{
	return ((Zone *) object)->offset;
}

static const JinjaObjectOps zone_ops = {
	.type_name = "datetime.tzinfo",
	.get_attribute = zone_attribute,
	.to_string = zone_to_string,
	.repr = zone_repr,
	.binary = zone_binary,
	.hash = zone_hash,
};

/* ---------- the module ---------- */

static JinjaValue *
pytz_timezone(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *name = jn_string_arg(env, jn_need_arg(env, args, 0, "zone"),
									 "zone");
	const char *s = name->u.string.data;
	Zone		z = {.kind = ZONE_NAMED};
	long		offset;

	if (pg_strcasecmp(s, "utc") == 0)
		return jn_zone_utc(env);
	/* Names only: what else the server takes for a zone is none of pytz. */
	if (strcspn(s, "<>,:;") == strlen(s) && strchr(s, '.') == NULL &&
		strlen(s) < 100)
		z.rules = pg_tzset(s);
	if (z.rules == NULL || (strpbrk(s, "0123456789") != NULL &&
							strchr(s, '/') == NULL &&
							strlen(s) > 7 && strncmp(s, "Etc", 3) != 0))
		jn_raise_type(env, "unknown time zone %s", jn_repr_cstring(env, name));
	z.fixed = pg_get_timezone_offset(z.rules, &offset);
	return at_time(env, &z, ZONE_BEGINS);
}

static JinjaValue *
pytz_fixed(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	int64		minutes = jn_int_arg(env, jn_need_arg(env, args, 0, "minutes"),
									 0, "minutes");

	if (minutes == 0)
		return jn_zone_utc(env);
	if (minutes <= -1440 || minutes >= 1440)
		jn_raise_type(env, "absolute offset is too large");
	return make(env, ZONE_PYTZ_FIXED, minutes * 60);
}

static JinjaValue *
pytz_attribute(JinjaEnv *env, void *object, const char *name)
{
	static const JnModuleFunction functions[] = {
		{"FixedOffset", pytz_fixed},
		{"timezone", pytz_timezone},
		{NULL},
	};

	if (strcmp(name, "utc") == 0 || strcmp(name, "UTC") == 0)
		return jn_zone_utc(env);
	return jn_find_function(env, functions, name, NULL);
}

static const JinjaObjectOps pytz_ops = {
	.type_name = "module",
	.get_attribute = pytz_attribute,
};

JinjaValue *
jn_pytz_module(JinjaEnv *env)
{
	return jinja_object(env, &pytz_ops, NULL);
}
