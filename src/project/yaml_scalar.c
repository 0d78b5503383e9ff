/*
 * yaml_scalar.c
 *		What a scalar of a YAML file means, by the rules of YAML 1.1 as the
 *		reader that dbt uses has them: yes and off are booleans, 010 is
 *		octal, 1:30 is ninety, dates are dates.
 *
 * A type is recognized by one scan each; there is no regular expression.
 */
#include "base/compat.h"

#include <limits.h>
#include <math.h>

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/numeric.h"

#include "project/yaml_scalar.h"

/* What is left of a text that is being recognized. */
typedef struct Scan
{
	const char *p;
	const char *end;
} Scan;

static bool
one_of(Scan *s, const char *set)
{
	if (s->p >= s->end || *s->p == '\0' || strchr(set, *s->p) == NULL)
		return false;
	s->p++;
	return true;
}

/* How many characters of "set" follow, at most "max"; they are passed. */
static int
run_of(Scan *s, const char *set, int max)
{
	int			n = 0;

	while (n < max && one_of(s, set))
		n++;
	return n;
}

#define DIGITS "0123456789"
#define MANY INT_MAX

static bool
at_end(const Scan *s)
{
	return s->p == s->end;
}

static bool
is_word(const char *s, int len, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0)
			return true;
	return false;
}

/* ---------- recognition ---------- */

static bool
is_bool(const char *s, int len)
{
	static const char *const words[] = {
		"yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE",
		"on", "On", "ON", "off", "Off", "OFF",
	};

	return is_word(s, len, words, lengthof(words));
}

static bool
is_null(const char *s, int len)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	return is_word(s, len, words, lengthof(words));
}

/* (:[0-5]?[0-9])+ */
static bool
sexagesimal_parts(Scan *s)
{
	int			n = 0;

	while (one_of(s, ":"))
	{
		const char *start = s->p;
		int			digits = run_of(s, DIGITS, 2);

		if (digits == 0)
			return false;
		if (digits == 2 && *start > '5')
			return false;
		n++;
	}
	return n > 0;
}

static bool
is_int(const char *text, int len)
{
	Scan		s = {text, text + len};
	Scan		t;

	(void) one_of(&s, "+-");
	t = s;
	if (one_of(&t, "0"))
	{
		if (at_end(&t))
			return true;
		if (one_of(&t, "b"))
			return run_of(&t, "01_", MANY) > 0 && at_end(&t);
		if (one_of(&t, "x"))
			return run_of(&t, DIGITS "abcdefABCDEF_", MANY) > 0 && at_end(&t);
		return run_of(&t, "01234567_", MANY) > 0 && at_end(&t);
	}
	if (!one_of(&s, "123456789"))
		return false;
	(void) run_of(&s, DIGITS "_", MANY);
	return at_end(&s) || (sexagesimal_parts(&s) && at_end(&s));
}

static bool
exponent(Scan *s)
{
	if (!one_of(s, "eE"))
		return true;
	return one_of(s, "+-") && run_of(s, DIGITS, MANY) > 0;
}

static bool
is_float(const char *text, int len)
{
	static const char *const infinite[] = {".inf", ".Inf", ".INF"};
	static const char *const nan[] = {".nan", ".NaN", ".NAN"};
	Scan		s = {text, text + len};
	bool		sign;

	if (is_word(text, len, nan, lengthof(nan)))
		return true;
	sign = one_of(&s, "+-");
	if (is_word(s.p, s.end - s.p, infinite, lengthof(infinite)))
		return true;
	if (!sign && one_of(&s, "."))
		return run_of(&s, DIGITS, 1) == 1 && run_of(&s, DIGITS "_", MANY) >= 0 && exponent(&s) &&
			at_end(&s);
	if (run_of(&s, DIGITS, 1) == 0)
		return false;
	(void) run_of(&s, DIGITS "_", MANY);
	if (s.p < s.end && *s.p == ':')
		return sexagesimal_parts(&s) && one_of(&s, ".") && run_of(&s, DIGITS "_", MANY) >= 0 &&
			at_end(&s);
	return one_of(&s, ".") && run_of(&s, DIGITS "_", MANY) >= 0 && exponent(&s) && at_end(&s);
}

typedef struct Moment
{
	int			year;
	int			month;
	int			day;
	bool		has_time;
	int			hour;
	int			minute;
	int			second;
	int			micros;
	bool		has_zone;
	bool		zone_is_z;
	int			zone_sign;
	int			zone_hour;
	int			zone_minute;
} Moment;

static bool
number(Scan *s, int min, int max, int *value)
{
	const char *start = s->p;
	int			n = run_of(s, DIGITS, max);

	*value = 0;
	for (int i = 0; i < n; i++)
		*value = *value * 10 + (start[i] - '0');
	return n >= min;
}

static bool
scan_zone(Scan *s, Moment *m)
{
	(void) run_of(s, " \t", MANY);
	if (at_end(s))
		return s->p[-1] != ' ' && s->p[-1] != '\t';
	m->has_zone = true;
	if (one_of(s, "Z"))
	{
		m->zone_is_z = true;
		return at_end(s);
	}
	m->zone_sign = *s->p == '-' ? -1 : 1;
	if (!one_of(s, "+-") || !number(s, 1, 2, &m->zone_hour))
		return false;
	if (one_of(s, ":") && !number(s, 2, 2, &m->zone_minute))
		return false;
	return at_end(s);
}

static void
scan_fraction(Scan *s, Moment *m)
{
	int			unit = 100000;

	if (!one_of(s, "."))
		return;
	while (s->p < s->end && isdigit((unsigned char) *s->p))
	{
		m->micros += (*s->p++ - '0') * unit;
		unit /= 10;
	}
}

static bool
scan_timestamp(const char *text, int len, bool plain, Moment *m)
{
	Scan		s = {text, text + len};

	memset(m, 0, sizeof(*m));
	if (!number(&s, 4, 4, &m->year) || !one_of(&s, "-") || !number(&s, 1, 2, &m->month) ||
		!one_of(&s, "-") || !number(&s, 1, 2, &m->day))
		return false;
	if (at_end(&s))
		return len == 10 || !plain; /* 2020-1-1 is a text unless tagged */
	m->has_time = true;
	if (!one_of(&s, "Tt") && run_of(&s, " \t", MANY) == 0)
		return false;
	if (!number(&s, 1, 2, &m->hour) || !one_of(&s, ":") || !number(&s, 2, 2, &m->minute) ||
		!one_of(&s, ":") || !number(&s, 2, 2, &m->second))
		return false;
	scan_fraction(&s, m);
	return scan_zone(&s, m);
}

YamlType
dpipe_yaml_resolve(const char *s, int len)
{
	Moment		m;

	if (len == 0)
		return YAML_TYPE_NULL;
	if (strchr("yYnNtTfFoO", s[0]) != NULL && is_bool(s, len))
		return YAML_TYPE_BOOL;
	if (strchr("-+." DIGITS, s[0]) != NULL)
	{
		if (is_float(s, len))
			return YAML_TYPE_FLOAT;
		if (is_int(s, len))
			return YAML_TYPE_INT;
	}
	if (len == 2 && memcmp(s, "<<", 2) == 0)
		return YAML_TYPE_MERGE;
	if (strchr("~nN", s[0]) != NULL && is_null(s, len))
		return YAML_TYPE_NULL;
	if (isdigit((unsigned char) s[0]) && scan_timestamp(s, len, true, &m))
		return YAML_TYPE_TIMESTAMP;
	if (len == 1 && s[0] == '=')
		return YAML_TYPE_VALUE;
	return YAML_TYPE_STR;
}

/* ---------- values ---------- */

/* Without underscores; spaces around it do not count either. */
static char *
digits_of(const char *s, int len)
{
	char	   *copy = palloc(len + 1);
	char	   *to = copy;

	while (len > 0 && strchr(" \t\n", s[len - 1]) != NULL)
		len--;
	for (; len > 0 && strchr(" \t\n", *s) != NULL; s++)
		len--;

	for (int i = 0; i < len; i++)
		if (s[i] != '_')
			*to++ = s[i];
	*to = '\0';
	return copy;
}

static Numeric
numeric_from_int(int64 i)
{
	return int64_to_numeric(i);
}

static Numeric
numeric_op(PGFunction op, Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(op, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Digits of a base, as many as there are; no digits are no number. */
static Numeric
numeric_in_base(const char *digits, int base)
{
	Numeric		n = numeric_from_int(0);
	Numeric		b = numeric_from_int(base);
	const char *alphabet = "0123456789abcdef";

	if (*digits == '\0')
		return NULL;
	for (; *digits; digits++)
	{
		const char *at = strchr(alphabet, pg_tolower((unsigned char) *digits));

		if (at == NULL || at - alphabet >= base)
			return NULL;
		n = numeric_op(numeric_add, numeric_op(numeric_mul, n, b),
					   numeric_from_int(at - alphabet));
	}
	return n;
}

static Numeric
numeric_sexagesimal(char *s)
{
	Numeric		n = numeric_from_int(0);
	char	   *save = NULL;

	for (char *part = strtok_r(s, ":", &save); part != NULL; part = strtok_r(NULL, ":", &save))
	{
		Numeric		digit = numeric_in_base(part, 10);

		if (digit == NULL)
			return NULL;
		n = numeric_op(numeric_add, numeric_op(numeric_mul, n, numeric_from_int(60)), digit);
	}
	return n;
}

static bool
has_digits_only(const char *s)
{
	return *s != '\0' && strspn(s, DIGITS) == strlen(s);
}

/* Decimal digits without leading zeros, and a sign that means something. */
static PdDoc *
int_of_digits(bool negative, const char *digits)
{
	while (digits[0] == '0' && digits[1] != '\0')
		digits++;
	if (strcmp(digits, "0") == 0)
		negative = false;
	return pd_int_text(negative ? psprintf("-%s", digits) : pstrdup(digits));
}

static PdDoc *
int_value(const char *text, int len)
{
	char	   *s = digits_of(text, len);
	bool		negative = *s == '-';
	Numeric		n;

	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0)
		return pd_int(0);
	if (s[0] == '0' && s[1] == 'b')
		n = numeric_in_base(s + 2, 2);
	else if (s[0] == '0' && s[1] == 'x')
		n = numeric_in_base(s + 2, 16);
	else if (s[0] == '0')
		n = numeric_in_base(s, 8);
	else if (strchr(s, ':') != NULL)
		n = numeric_sexagesimal(s);
	else if (has_digits_only(s))
		return int_of_digits(negative, s);
	else
		return NULL;
	if (n == NULL)
		return NULL;
	return int_of_digits(negative,
						 DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(n))));
}

static PdDoc *
float_value(const char *text, int len)
{
	char	   *s = digits_of(text, len);
	double		sign = *s == '-' ? -1 : 1;
	double		value = 0;
	char	   *end;

	if (*s == '-' || *s == '+')
		s++;
	if (pg_strcasecmp(s, ".inf") == 0)
		return pd_float(sign * get_float8_infinity());
	if (pg_strcasecmp(s, ".nan") == 0)
		return pd_float(get_float8_nan());
	if (strchr(s, ':') != NULL)
	{
		double		base = 1;
		char	   *colon;

		/* from the right, in this order, so that it rounds alike */
		while ((colon = strrchr(s, ':')) != NULL)
		{
			value += strtod(colon + 1, NULL) * base;
			base *= 60;
			*colon = '\0';
		}
		return pd_float(sign * (value + strtod(s, NULL) * base));
	}
	if (*s == '\0' || strspn(s, DIGITS ".eE+-") != strlen(s))
		return NULL;
	value = strtod(s, &end);
	return *end == '\0' ? pd_float(sign * value) : NULL;
}

static bool
is_moment(const Moment *m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (m->year < 1 || m->month < 1 || m->month > 12 || m->day < 1)
		return false;
	if (m->day > days[m->month - 1] + (m->month == 2 && isleap(m->year)))
		return false;
	if (m->hour > 23 || m->minute > 59 || m->second > 59)
		return false;
	return m->zone_hour * 60 + m->zone_minute < 24 * 60;
}

/* As isoformat() prints it, which is how dbt keeps dates. */
static PdDoc *
timestamp_value(const char *s, int len)
{
	Moment		m;
	StringInfoData buf;

	if (!scan_timestamp(s, len, false, &m) || !is_moment(&m))
		return NULL;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%04d-%02d-%02d", m.year, m.month, m.day);
	if (m.has_time)
	{
		appendStringInfo(&buf, "T%02d:%02d:%02d", m.hour, m.minute, m.second);
		if (m.micros != 0)
			appendStringInfo(&buf, ".%06d", m.micros);
		if (m.has_zone)
		{
			int			minutes = m.zone_hour * 60 + m.zone_minute;

			appendStringInfo(&buf, "%c%02d:%02d", m.zone_sign < 0 && minutes != 0 ? '-' : '+',
							 minutes / 60, minutes % 60);
		}
	}
	return pd_string_len(buf.data, buf.len);
}

/* An explicit !!bool takes any case, and only these words. */
static PdDoc *
bool_value(const char *s, int len)
{
	static const char *const words[] = {"no", "false", "off", "yes", "true", "on"};

	for (int i = 0; i < lengthof(words); i++)
		if (strlen(words[i]) == len && pg_strncasecmp(words[i], s, len) == 0)
			return pd_bool(i >= 3);
	return NULL;
}

PdDoc *
dpipe_yaml_scalar(YamlType type, const char *s, int len, const char **reason)
{
	PdDoc	   *doc = NULL;

	switch (type)
	{
		case YAML_TYPE_STR:
		case YAML_TYPE_MERGE:
			return pd_string_len(s, len);
		case YAML_TYPE_NULL:
			return pd_null();
		case YAML_TYPE_BOOL:
			doc = bool_value(s, len);
			*reason = "is no boolean";
			break;
		case YAML_TYPE_INT:
			doc = int_value(s, len);
			*reason = "is no integer";
			break;
		case YAML_TYPE_FLOAT:
			doc = float_value(s, len);
			*reason = "is no number";
			break;
		case YAML_TYPE_TIMESTAMP:
			doc = timestamp_value(s, len);
			*reason = "is no date or time";
			break;
		case YAML_TYPE_VALUE:
			*reason = "has a meaning of its own in YAML 1.1: put it in quotes";
			break;
	}
	return doc;
}
