/*
 * strftime.c
 *		Dates and times to text and back.
 *
 * strftime() knows the directives of the C library with its flags, in English.
 * strptime() makes a regular expression of the format, as Python does, so that
 * it is as lenient as Python's.
 */
#include "base/compat.h"

#include <ctype.h>

#include "jinja/datetime.h"
#include "jinja/regex.h"

static const char *const day_names[] = {
	"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
};

static const char *const month_names[] = {
	"January", "February", "March", "April", "May", "June", "July", "August",
	"September", "October", "November", "December",
};

/* ---------- strftime ---------- */

/* Bytes that one directive gives at most, the name of a zone included. */
#define MAX_DIRECTIVE 64

typedef struct Fields
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			weekday;		/* Monday is 0 */
	int			yearday;		/* January 1 is 1 */
} Fields;

static void
get_fields(const JnStamp *s, Fields *f)
{
	jn_civil_from_days(s->days, &f->year, &f->month, &f->day);
	f->hour = s->us / INT64CONST(3600000000);
	f->minute = s->us / 60000000 % 60;
	f->second = s->us / 1000000 % 60;
	f->weekday = (s->days + 6) % 7;
	f->yearday = s->days - jn_days_from_civil(f->year, 1, 1) + 1;
}

/* The ISO week, and the year it belongs to. */
static int
iso_week(const Fields *f, int *year)
{
	int			week = (f->yearday - 1 - f->weekday + 10) / 7;
	int			last;

	*year = f->year;
	if (week < 1)
	{
		int			before = jn_days_from_civil(f->year, 1, 1) - 1;
		Fields		end = {f->year - 1, 12, 31};

		(*year)--;
		end.weekday = (before + 6) % 7;
		end.yearday = f->year > 1 ?
			before - jn_days_from_civil(f->year - 1, 1, 1) + 1 : 366;
		return (end.yearday - 1 - end.weekday + 10) / 7;
	}
	last = jn_days_from_civil(f->year, 12, 31);
	/* Monday to Wednesday before a new year may be in its first week. */
	if (week == 53 && (last + 6) % 7 < 3)
	{
		(*year)++;
		return 1;
	}
	return week;
}

static void
put_number(StringInfo buf, int n, int width, char pad, char flag)
{
	if (flag == '-')
		appendStringInfo(buf, "%d", n);
	else if (flag == '_' || (pad == ' ' && flag != '0'))
		appendStringInfo(buf, "%*d", width, n);
	else
		appendStringInfo(buf, "%0*d", width, n);
}

static void
put_text(StringInfo buf, const char *text, int len, char flag)
{
	for (int i = 0; i < len && text[i] != '\0'; i++)
		appendStringInfoChar(buf, flag == '^' || flag == '#' ?
							 pg_ascii_toupper((unsigned char) text[i]) :
							 text[i]);
}

static void
put_offset(JinjaEnv *env, StringInfo buf, const JnStamp *s)
{
	int			offset;

	if (s->tz == NULL || !jn_zone_offset(env, s->tz, &offset))
		return;
	appendStringInfo(buf, "%c%02d%02d", offset < 0 ? '-' : '+',
					 abs(offset) / 3600, abs(offset) / 60 % 60);
	if (offset % 60 != 0)
		appendStringInfo(buf, "%02d", abs(offset) % 60);
}

static void
put_zone(JinjaEnv *env, StringInfo buf, const JnStamp *s)
{
	const char *name = s->tz == NULL ? NULL : jn_zone_abbreviation(env, s->tz);

	if (name != NULL)
		appendStringInfoString(buf, name);
}

/* What a composite directive stands for, or NULL. */
static const char *
composite(char c)
{
	switch (c)
	{
		case 'c':
			return "%a %b %e %H:%M:%S %Y";
		case 'D':
		case 'x':
			return "%m/%d/%y";
		case 'F':
			return "%Y-%m-%d";
		case 'r':
			return "%I:%M:%S %p";
		case 'R':
			return "%H:%M";
		case 'T':
		case 'X':
			return "%H:%M:%S";
		default:
			return NULL;
	}
}

/* A directive that is a number of a date; false: it is none. */
static bool
put_date_number(StringInfo buf, const Fields *f, char c, char flag)
{
	int			iso_year;
	int			week = iso_week(f, &iso_year);
	int			sunday_first = (f->weekday + 1) % 7;

	switch (c)
	{
		case 'Y':
			put_number(buf, f->year, flag == '0' ? 4 : 1, '0', flag);
			return true;
		case 'C':
			put_number(buf, f->year / 100, 2, '0', flag);
			return true;
		case 'y':
			put_number(buf, f->year % 100, 2, '0', flag);
			return true;
		case 'G':
			put_number(buf, iso_year, 1, '0', flag);
			return true;
		case 'g':
			put_number(buf, iso_year % 100, 2, '0', flag);
			return true;
		case 'V':
			put_number(buf, week, 2, '0', flag);
			return true;
		case 'U':
			put_number(buf, (f->yearday + 6 - sunday_first) / 7, 2, '0', flag);
			return true;
		case 'W':
			put_number(buf, (f->yearday + 6 - f->weekday) / 7, 2, '0', flag);
			return true;
		case 'm':
			put_number(buf, f->month, 2, '0', flag);
			return true;
		case 'd':
			put_number(buf, f->day, 2, '0', flag);
			return true;
		case 'e':
			put_number(buf, f->day, 2, ' ', flag);
			return true;
		case 'j':
			put_number(buf, f->yearday, 3, '0', flag);
			return true;
		case 'u':
			appendStringInfo(buf, "%d", f->weekday + 1);
			return true;
		case 'w':
			appendStringInfo(buf, "%d", sunday_first);
			return true;
		default:
			return false;
	}
}

static bool
is_summer_time(const JnStamp *s)
{
	return s->tz != NULL && jn_zone_has_dst(s->tz) && jn_zone_dst(NULL, s->tz) != 0;
}

/* A directive that is a number of a time; false: it is none. */
static bool
put_time_number(StringInfo buf, const JnStamp *s, const Fields *f, char c,
				char flag)
{
	int			hour12 = f->hour % 12 == 0 ? 12 : f->hour % 12;

	switch (c)
	{
		case 'H':
			put_number(buf, f->hour, 2, '0', flag);
			return true;
		case 'k':
			put_number(buf, f->hour, 2, ' ', flag);
			return true;
		case 'I':
			put_number(buf, hour12, 2, '0', flag);
			return true;
		case 'l':
			put_number(buf, hour12, 2, ' ', flag);
			return true;
		case 'M':
			put_number(buf, f->minute, 2, '0', flag);
			return true;
		case 'S':
			put_number(buf, f->second, 2, '0', flag);
			return true;
		case 'f':
			/* Of Python, not of the C library, so it has no flags. */
			if (flag == '\0')
				appendStringInfo(buf, "%06d", (int) (s->us % 1000000));
			return flag == '\0';
		case 's':
			/* Like mktime(), which takes an hour off in summer time. */
			appendStringInfo(buf, INT64_FORMAT,
							 jn_local_to_utc(((int64) s->days - JN_EPOCH_DAYS) *
											 86400 + s->us / 1000000 -
											 (is_summer_time(s) ? 3600 : 0)));
			return true;
		default:
			return false;
	}
}

/* False: there is no such directive. */
static bool
put_directive(JinjaEnv *env, StringInfo buf, const JnStamp *s,
			  const Fields *f, char c, char flag)
{
	if (put_date_number(buf, f, c, flag) ||
		put_time_number(buf, s, f, c, flag))
		return true;
	switch (c)
	{
		case 'a':
			put_text(buf, day_names[f->weekday], 3, flag);
			return true;
		case 'A':
			put_text(buf, day_names[f->weekday], 99, flag);
			return true;
		case 'b':
		case 'h':
			put_text(buf, month_names[f->month - 1], 3, flag);
			return true;
		case 'B':
			put_text(buf, month_names[f->month - 1], 99, flag);
			return true;
		case 'p':
			/* "#" changes case, and this is in upper case already. */
			put_text(buf, (flag == '#') ? (f->hour < 12 ? "am" : "pm") :
					 f->hour < 12 ? "AM" : "PM", 2, '\0');
			return true;
		case 'P':
			put_text(buf, f->hour < 12 ? "am" : "pm", 2, '\0');
			return true;
		case 'z':
			put_offset(env, buf, s);
			return true;
		case 'Z':
			put_zone(env, buf, s);
			return true;
		case 'n':
			appendStringInfoChar(buf, '\n');
			return true;
		case 't':
			appendStringInfoChar(buf, '\t');
			return true;
		case '%':
			appendStringInfoChar(buf, '%');
			return true;
		default:
			return false;
	}
}

/* Palloc'd. */
char *
jn_strftime(JinjaEnv *env, const JnStamp *s, const char *format)
{
	StringInfoData buf;
	Fields		f;

	get_fields(s, &f);
	jn_buffer_init(env, &buf);
	for (const char *p = format; *p != '\0'; p++)
	{
		const char *percent = p;
		char		flag = '\0';

		jn_work(env, 1);
		jn_reserve(env, &buf, MAX_DIRECTIVE);
		if (*p != '%')
		{
			appendStringInfoChar(&buf, *p);
			continue;
		}
		p++;
		while (*p != '\0' && strchr("-_0^#", *p) != NULL)
			flag = *p++;
		if (*p == '\0')
		{
			appendStringInfoString(&buf, percent);
			break;
		}
		if (composite(*p) != NULL)
		{
			char	   *text = jn_strftime(env, s, composite(*p));

			appendStringInfoString(&buf, text);
			pfree(text);
		}
		else if (!put_directive(env, &buf, s, &f, *p, flag))
			appendBinaryStringInfo(&buf, percent, p - percent + 1);
	}
	return buf.data;
}

/* ---------- isoformat ---------- */

static void
put_iso_time(JinjaEnv *env, StringInfo buf, const JnStamp *s, bool with_date,
			 const char *timespec)
{
	int			hour = s->us / INT64CONST(3600000000);
	int			minute = s->us / 60000000 % 60;
	int			second = s->us / 1000000 % 60;
	int			us = s->us % 1000000;
	int			offset;

	if (strcmp(timespec, "auto") == 0)
		timespec = us != 0 ? "microseconds" : "seconds";
	appendStringInfo(buf, "%02d", hour);
	if (strcmp(timespec, "minutes") == 0)
		appendStringInfo(buf, ":%02d", minute);
	else if (strcmp(timespec, "seconds") == 0)
		appendStringInfo(buf, ":%02d:%02d", minute, second);
	else if (strcmp(timespec, "milliseconds") == 0)
		appendStringInfo(buf, ":%02d:%02d.%03d", minute, second, us / 1000);
	else if (strcmp(timespec, "microseconds") == 0)
		appendStringInfo(buf, ":%02d:%02d.%06d", minute, second, us);
	else if (strcmp(timespec, "hours") != 0)
		jn_raise_type(env, "Unknown timespec value");
	if (!with_date && !jn_time_has_offset(s->tz))
		return;
	if (s->tz == NULL || !jn_zone_offset(env, s->tz, &offset))
		return;
	appendStringInfo(buf, "%c%02d:%02d", offset < 0 ? '-' : '+',
					 abs(offset) / 3600, abs(offset) / 60 % 60);
	if (offset % 60 != 0)
		appendStringInfo(buf, ":%02d", abs(offset) % 60);
}

/* Palloc'd. */
char *
jn_isoformat(JinjaEnv *env, const JnStamp *s, bool with_date, bool with_time,
			 const char *sep, const char *timespec)
{
	StringInfoData buf;
	int			year;
	int			month;
	int			day;

	initStringInfo(&buf);
	if (with_date)
	{
		jn_civil_from_days(s->days, &year, &month, &day);
		appendStringInfo(&buf, "%04d-%02d-%02d", year, month, day);
	}
	if (with_date && with_time)
		appendStringInfoString(&buf, sep);
	if (with_time)
		put_iso_time(env, &buf, s, with_date, timespec);
	return buf.data;
}

/* ---------- fromisoformat ---------- */

static bool
read_digits(const char **p, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*p)++)
	{
		if (!isdigit((unsigned char) **p))
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool
skip_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* YYYY-Www, YYYY-Www-D and without hyphens; "p" is behind the "W". */
static bool
read_iso_week(const char **p, int year, bool hyphen, int *days)
{
	int			week;
	int			day = 1;
	int			first;

	if (!read_digits(p, 2, &week))
		return false;
	if (hyphen ? skip_char(p, '-') : isdigit((unsigned char) **p) != 0)
		if (!read_digits(p, 1, &day))
			return false;
	if (week < 1 || week > 53 || day < 1 || day > 7)
		return false;
	first = jn_days_from_civil(year, 1, 4);
	*days = first - (first + 6) % 7 + (week - 1) * 7 + day - 1;
	if (week == 53)
	{
		/* Only a year that begins or ends on a Thursday has one. */
		int			monday = *days - (day - 1);
		int			y;
		int			m;
		int			d;

		jn_civil_from_days(Max(monday + 3, 1), &y, &m, &d);
		if (y != year)
			return false;
	}
	return true;
}

static bool
read_iso_date(const char **p, int *days)
{
	int			year;
	int			month;
	int			day;
	bool		hyphen;

	if (!read_digits(p, 4, &year) || year < 1)
		return false;
	hyphen = skip_char(p, '-');
	if (skip_char(p, 'W'))
		return read_iso_week(p, year, hyphen, days);
	if (!read_digits(p, 2, &month) || (hyphen && !skip_char(p, '-')) ||
		!read_digits(p, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 ||
		day > jn_days_in_month(year, month))
		return false;
	*days = jn_days_from_civil(year, month, day);
	return true;
}

/* HH[:MM[:SS[.fff]]], with or without colons; *us is the time of a day. */
static bool
read_clock(const char **p, int64 *us)
{
	int			parts[3] = {0, 0, 0};
	bool		colon = false;
	int			n = 1;
	int			fraction = 0;

	if (!read_digits(p, 2, &parts[0]))
		return false;
	for (; n < 3; n++)
	{
		if (n == 1)
			colon = **p == ':';
		if (colon ? !skip_char(p, ':') : !isdigit((unsigned char) **p))
			break;
		if (!read_digits(p, 2, &parts[n]))
			return false;
	}
	if (n == 3 && (**p == '.' || **p == ','))
	{
		int			digits = 0;

		(*p)++;
		if (!isdigit((unsigned char) **p))
			return false;
		for (; isdigit((unsigned char) **p); (*p)++, digits++)
			if (digits < 6)
				fraction = fraction * 10 + (**p - '0');
		for (; digits < 6; digits++)
			fraction *= 10;
	}
	*us = (((int64) parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000000 +
		fraction;
	return parts[0] < 24 && parts[1] < 60 && parts[2] < 60;
}

/* What follows a time: "Z", or hours before or behind UTC; else there is none. */
typedef struct IsoZone
{
	bool		given;
	int64		seconds;
} IsoZone;

static bool
read_iso(const char *text, bool with_date, bool with_time, JnStamp *s, IsoZone *zone)
{
	const char *p = text;
	bool		negative;

	s->days = 1;
	s->us = 0;
	s->tz = NULL;
	zone->given = false;
	if (with_date && !read_iso_date(&p, &s->days))
		return false;
	if (with_time && (!with_date || *p != '\0'))
	{
		/* Any one character stands between date and time. */
		if (with_date)
			p += jn_char_len(p, p + strlen(p));
		else
			(void) skip_char(&p, 'T');
		if (!read_clock(&p, &s->us))
			return false;
		zone->seconds = 0;
		zone->given = skip_char(&p, 'Z');
		if (!zone->given && (*p == '+' || *p == '-'))
		{
			zone->given = true;
			negative = *p++ == '-';
			if (!read_clock(&p, &zone->seconds))
				return false;
			zone->seconds /= negative ? -1000000 : 1000000;
		}
	}
	return *p == '\0';
}

/* NULL: not a time in ISO format. */
JnStamp *
jn_parse_iso(JinjaEnv *env, const char *text, bool with_date, bool with_time)
{
	JnStamp    *s = jn_alloc(env, sizeof(JnStamp));
	IsoZone		zone;

	if (!read_iso(text, with_date, with_time, s, &zone))
		return NULL;
	if (zone.given)
		s->tz = jn_zone_fixed(env, zone.seconds);
	return s;
}

bool
jinja_is_iso_datetime(const char *text)
{
	JnStamp		stamp;
	IsoZone		zone;

	return read_iso(text, true, true, &stamp, &zone);
}

/* ---------- strptime ---------- */

/* The pattern of a directive; NULL: there is none. */
static const char *
directive_pattern(char c)
{
	switch (c)
	{
		case 'd':
			return "(?P<d>3[0-1]|[1-2]\\d|0[1-9]|[1-9]| [1-9])";
		case 'f':
			return "(?P<f>[0-9]{1,6})";
		case 'H':
			return "(?P<H>2[0-3]|[0-1]\\d|\\d)";
		case 'I':
			return "(?P<I>1[0-2]|0[1-9]|[1-9])";
		case 'G':
			return "(?P<G>\\d\\d\\d\\d)";
		case 'j':
			return "(?P<j>36[0-6]|3[0-5]\\d|[1-2]\\d\\d|0[1-9]\\d|00[1-9]|[1-9]\\d|0[1-9]|[1-9])";
		case 'm':
			return "(?P<m>1[0-2]|0[1-9]|[1-9])";
		case 'M':
			return "(?P<M>[0-5]\\d|\\d)";
		case 'S':
			return "(?P<S>6[0-1]|[0-5]\\d|\\d)";
		case 'U':
			return "(?P<U>5[0-3]|[0-4]\\d|\\d)";
		case 'W':
			return "(?P<W>5[0-3]|[0-4]\\d|\\d)";
		case 'V':
			return "(?P<V>5[0-3]|0[1-9]|[1-4]\\d|\\d)";
		case 'w':
			return "(?P<w>[0-6])";
		case 'u':
			return "(?P<u>[1-7])";
		case 'y':
			return "(?P<y>\\d\\d)";
		case 'Y':
			return "(?P<Y>\\d\\d\\d\\d)";
		case 'z':
			return "(?P<z>[+-]\\d\\d:?[0-5]\\d(:?[0-5]\\d(\\.\\d{1,6})?)?|(?-i:Z))";
		case 'A':
			return "(?P<A>wednesday|thursday|saturday|tuesday|monday|friday|sunday)";
		case 'a':
			return "(?P<a>mon|tue|wed|thu|fri|sat|sun)";
		case 'B':
			return "(?P<B>september|february|november|december|january|october|august|march|april|june|july|may)";
		case 'b':
			return "(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)";
		case 'p':
			return "(?P<p>am|pm)";
		case 'Z':
			return "(?P<Z>utc|gmt)";
		case '%':
			return "%";
		default:
			return NULL;
	}
}

static void
append_pattern(JinjaEnv *env, StringInfo buf, const char *format)
{
	for (const char *p = format; *p != '\0'; p++)
	{
		const char *more;

		jn_work(env, 1);
		if (isspace((unsigned char) *p))
		{
			appendStringInfoString(buf, "\\s+");
			while (isspace((unsigned char) p[1]))
				p++;
			continue;
		}
		if (*p != '%')
		{
			if (strchr("\\.^$*+?{}[]|()", *p) != NULL)
				appendStringInfoChar(buf, '\\');
			appendStringInfoChar(buf, *p);
			continue;
		}
		more = p[1] == 'c' ? "%a %b %d %H:%M:%S %Y" : p[1] == 'x' ? "%m/%d/%y" :
			p[1] == 'X' ? "%H:%M:%S" : NULL;
		if (more != NULL)
			append_pattern(env, buf, more);
		else if (p[1] == '\0')
			jn_raise_type(env, "stray %% in format");
		else if (directive_pattern(p[1]) == NULL)
			jn_raise_type(env, "\"%c\" is a bad directive in format",
						  IS_HIGHBIT_SET(p[1]) ? '?' : p[1]);
		else
			appendStringInfoString(buf, directive_pattern(p[1]));
		p++;
	}
}

/* The text that a directive matched, or NULL. */
static const char *
matched(JinjaEnv *env, const JnReMatch *m, const char *name)
{
	for (int i = 1; i <= m->regex->ngroups; i++)
		if (m->regex->names[i] != NULL &&
			jn_string_is(m->regex->names[i], name) && m->slots[i * 2] >= 0)
			return jinja_string_len(env, m->text->u.string.data +
									m->slots[i * 2],
									m->slots[i * 2 + 1] -
									m->slots[i * 2])->u.string.data;
	return NULL;
}

static int
matched_int(JinjaEnv *env, const JnReMatch *m, const char *name, int dflt)
{
	const char *text = matched(env, m, name);

	return text == NULL ? dflt : atoi(text);
}

/* Number of the name that "text" begins, by its first three letters. */
static int
name_number(const char *text, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (pg_strncasecmp(text, names[i], 3) == 0)
			return i;
	return 0;
}

static int64
matched_clock(JinjaEnv *env, const JnReMatch *m)
{
	int			hour = matched_int(env, m, "H", 0);
	int			hour12 = matched_int(env, m, "I", -1);
	const char *half = matched(env, m, "p");
	const char *f = matched(env, m, "f");
	int			us = 0;

	if (hour12 >= 0)
		hour = hour12 % 12 +
			(half != NULL && tolower((unsigned char) *half) == 'p' ? 12 : 0);
	if (f != NULL)
	{
		us = atoi(f);
		for (int i = strlen(f); i < 6; i++)
			us *= 10;
	}
	return (((int64) hour * 60 + matched_int(env, m, "M", 0)) * 60 +
			Min(matched_int(env, m, "S", 0), 61)) * 1000000 + us;
}

static JinjaValue *
matched_zone(JinjaEnv *env, const JnReMatch *m)
{
	const char *z = matched(env, m, "z");
	int			parts[3] = {0, 0, 0};
	int			n = 0;

	if (z == NULL)
		return NULL;
	if (*z == 'Z')
		return jn_zone_fixed(env, 0);
	for (const char *p = z + 1; *p != '\0' && *p != '.' && n < 6; p++)
		if (isdigit((unsigned char) *p))
		{
			parts[n / 2] = parts[n / 2] * 10 + (*p - '0');
			n++;
		}
	if (parts[0] > 23)
		jn_raise_type(env, "offset of a time zone is out of range");
	n = (parts[0] * 60 + parts[1]) * 60 + parts[2];
	return jn_zone_fixed(env, *z == '-' ? -n : n);
}

/* Day of the week, Monday 0; -1: not given. */
static int
matched_weekday(JinjaEnv *env, const JnReMatch *m)
{
	const char *text = matched(env, m, "A");

	if (text == NULL)
		text = matched(env, m, "a");
	if (text != NULL)
		return name_number(text, day_names, 7);
	if (matched(env, m, "w") != NULL)
		return (matched_int(env, m, "w", 0) + 6) % 7;
	return matched_int(env, m, "u", 0) - 1;
}

static int
matched_year(JinjaEnv *env, const JnReMatch *m)
{
	int			y = matched_int(env, m, "y", -1);

	if (y >= 0)
		return y + (y <= 68 ? 2000 : 1900);
	return matched_int(env, m, "Y", 1900);
}

/* A date from a year, a week that begins on Sunday or Monday, and a day. */
static int
date_of_week(int year, int week, int weekday, bool from_monday)
{
	int			first = jn_days_from_civil(year, 1, 1);
	int			first_weekday = (first + 6) % 7;

	if (!from_monday)
	{
		first_weekday = (first_weekday + 1) % 7;
		weekday = (weekday + 1) % 7;
	}
	if (week == 0)
		return first + weekday - first_weekday;
	return first + (7 - first_weekday) % 7 + 7 * (week - 1) + weekday;
}

static int
matched_date(JinjaEnv *env, const JnReMatch *m)
{
	int			year = matched_year(env, m);
	int			month = matched_int(env, m, "m", 1);
	int			day = matched_int(env, m, "d", 1);
	int			weekday = matched_weekday(env, m);
	bool		monday = matched(env, m, "W") != NULL;
	int			week = matched_int(env, m, monday ? "W" : "U", -1);
	const char *name = matched(env, m, "B");

	if (name == NULL)
		name = matched(env, m, "b");
	if (name != NULL)
		month = name_number(name, month_names, 12) + 1;
	if (matched(env, m, "G") != NULL || matched(env, m, "V") != NULL)
	{
		const char *p;
		int			days;

		if (matched(env, m, "G") == NULL || matched(env, m, "V") == NULL ||
			weekday < 0)
			jn_raise_type(env, "ISO year, week and weekday go together");
		p = psprintf("%02d-%d", matched_int(env, m, "V", 1), weekday + 1);
		if (!read_iso_week(&p, matched_int(env, m, "G", 1), true, &days))
			jn_raise_type(env, "Invalid week");
		return days;
	}
	if (year < 1)
		jn_raise_type(env, "year %d is out of range", year);
	if (matched(env, m, "j") != NULL)
		return jn_days_from_civil(year, 1, 1) + matched_int(env, m, "j", 1) - 1;
	if (week >= 0 && weekday >= 0 && matched(env, m, "d") == NULL)
		return date_of_week(year, week, weekday, monday);
	if (day > jn_days_in_month(year, month))
		jn_raise_type(env, "day is out of range for month");
	return jn_days_from_civil(year, month, day);
}

JnStamp *
jn_strptime(JinjaEnv *env, JinjaValue *text, JinjaValue *format)
{
	StringInfoData buf;
	JnRegex    *regex;
	JnReMatch  *m;
	JnStamp    *s;

	initStringInfo(&buf);
	append_pattern(env, &buf, format->u.string.data);
	regex = jn_regex_compile(env, jinja_string_len(env, buf.data, buf.len),
							 JN_RE_IGNORECASE);
	m = jn_regex_match(env, regex, text, 0, text->u.string.len, false, false,
					   false);
	if (m == NULL)
		jn_raise_type(env, "time data %s does not match format %s",
					  jn_repr_cstring(env, text), jn_repr_cstring(env, format));
	if (m->slots[1] != text->u.string.len)
		jn_raise_type(env, "unconverted data remains: %s",
					  text->u.string.data + m->slots[1]);
	s = jn_alloc(env, sizeof(JnStamp));
	s->us = matched_clock(env, m);
	s->days = matched_date(env, m);
	s->tz = matched_zone(env, m);
	/* Python refuses second 60 and 61 here, which the format allows. */
	if (matched_int(env, m, "S", 0) > 59)
		jn_raise_type(env, "second must be in 0..59");
	return s;
}
