/*
 * strings.c
 *		What filters and methods do with strings.
 *
 * Positions are in characters. The case of letters beyond ASCII follows the
 * database's default collation.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"

#include "jinja/bigint.h"

/* Linear in "len" whatever the pattern, so no template can make it slow. */
const char *
jn_find(const char *s, int len, const char *what, int what_len)
{
	return memmem(s, len, what, what_len);
}

/* ---------- case ---------- */

static bool
is_ascii(const char *s, int len)
{
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(s[i]))
			return false;
	return true;
}

static JinjaValue *
change_case(JinjaEnv *env, const char *s, int len, bool upper)
{
	JinjaValue *v;
	char	   *data;

	jn_work_bytes(env, len);
	if (!is_ascii(s, len))
	{
		char	   *changed;

		/* It converts to wide characters and back. */
		jn_check_size(env, (uint64) len * (sizeof(pg_wchar) + 2));
		changed = upper ? str_toupper(s, len, DEFAULT_COLLATION_OID) :
			str_tolower(s, len, DEFAULT_COLLATION_OID);
		v = jinja_string(env, changed);
		pfree(changed);
		return v;
	}
	if (len == 0)
		return env->empty_string;
	v = jn_string_buffer(env, len, &data);
	for (int i = 0; i < len; i++)
		data[i] = upper ? pg_ascii_toupper((unsigned char) s[i]) :
			pg_ascii_tolower((unsigned char) s[i]);
	return v;
}

/* Server collations change letters one to one; this one is common enough. */
JinjaValue *
jn_replace_sharp_s(JinjaEnv *env, JinjaValue *s, const char *with)
{
	static const char sharp_s[] = "\xc3\x9f";

	if (GetDatabaseEncoding() != PG_UTF8 ||
		jn_find(s->u.string.data, s->u.string.len, sharp_s, 2) == NULL)
		return s;
	return jn_replace(env, s, jinja_string(env, sharp_s),
					  jinja_string(env, with), -1);
}

JinjaValue *
jn_upper(JinjaEnv *env, JinjaValue *s)
{
	s = change_case(env, s->u.string.data, s->u.string.len, true);
	return jn_replace_sharp_s(env, s, "SS");
}

JinjaValue *
jn_lower(JinjaEnv *env, JinjaValue *s)
{
	return change_case(env, s->u.string.data, s->u.string.len, false);
}

static void
append_changed(JinjaEnv *env, StringInfo buf, const char *p, int len,
			   bool upper)
{
	JinjaValue *v = change_case(env, p, len, upper);

	/* At the start of a word, where only the first of two is a capital. */
	if (upper)
		v = jn_replace_sharp_s(env, v, "Ss");
	jn_append(env, buf, v->u.string.data, v->u.string.len);
}

JinjaValue *
jn_capitalize(JinjaEnv *env, JinjaValue *s)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	StringInfoData buf;
	int			len;

	if (p >= end)
		return s;
	len = jn_char_len(p, end);
	jn_buffer_init(env, &buf);
	append_changed(env, &buf, p, len, true);
	append_changed(env, &buf, p + len, end - p - len, false);
	return jn_buffer_string(env, &buf);
}

/* -1 lower, 1 upper, 0 without case */
static int
case_of(JinjaEnv *env, const char *p, int len)
{
	JinjaValue *upper;
	JinjaValue *lower;

	if (len == 1 && !IS_HIGHBIT_SET(*p))
		return islower((unsigned char) *p) ? -1 :
			isupper((unsigned char) *p) ? 1 : 0;
	lower = change_case(env, p, len, false);
	upper = jn_replace_sharp_s(env, change_case(env, p, len, true), "SS");
	if (jinja_equal(env, lower, upper))
		return 0;
	return lower->u.string.len == len &&
		memcmp(lower->u.string.data, p, len) == 0 ? -1 : 1;
}

/* str.islower(), str.isupper() */
bool
jn_is_cased(JinjaEnv *env, JinjaValue *s, bool upper)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	bool		some = false;

	while (p < end)
	{
		int			len = jn_char_len(p, end);
		int			c = case_of(env, p, len);

		jn_work(env, 1);
		if (c == (upper ? -1 : 1))
			return false;
		some |= c != 0;
		p += len;
	}
	return some;
}

/*
 * Upper case at the start of words, lower case after. A word starts after
 * what is no letter (str.title()), or after one of "starts" or white space
 * (the filter).
 */
JinjaValue *
jn_title(JinjaEnv *env, JinjaValue *s, const char *starts)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	bool		at_start = true;
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	while (p < end)
	{
		int			len = jn_char_len(p, end);

		append_changed(env, &buf, p, len, at_start);
		if (starts == NULL)
			at_start = case_of(env, p, len) == 0;
		else
			at_start = jn_space_len(p, end) > 0 ||
				(len == 1 && strchr(starts, *p) != NULL);
		p += len;
	}
	return jn_buffer_string(env, &buf);
}

/* ---------- parts ---------- */

static bool
in_set(const JinjaValue *chars, const char *p, int len)
{
	const char *c = chars->u.string.data;
	const char *end = c + chars->u.string.len;

	while (c < end)
	{
		int			n = jn_char_len(c, end);

		if (n == len && memcmp(c, p, n) == 0)
			return true;
		c += n;
	}
	return false;
}

/* Length of what strip() takes off at the left, 0 if nothing. */
static int
strippable(const JinjaValue *chars, const char *p, const char *end)
{
	int			len;

	if (chars == NULL)
		return jn_space_len(p, end);
	len = jn_char_len(p, end);
	return in_set(chars, p, len) ? len : 0;
}

static int
strippable_before(JinjaEnv *env, const JinjaValue *chars, const char *start,
				  const char *p)
{
	int			len;

	if (chars == NULL)
		return jn_space_len_before(start, p);
	len = jn_char_len_before(env, start, p);
	return in_set(chars, p - len, len) ? len : 0;
}

/* "chars" NULL or none: white space. */
JinjaValue *
jn_strip(JinjaEnv *env, JinjaValue *s, JinjaValue *chars, bool left,
		 bool right)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	int			n;

	if (chars != NULL && chars->kind == JINJA_NONE)
		chars = NULL;
	if (chars != NULL)
	{
		jn_string_arg(env, chars, "characters to strip");
		jn_work(env, chars->u.string.len);
	}
	while (left && p < end && (n = strippable(chars, p, end)) > 0)
	{
		jn_work(env, 1 + (chars == NULL ? 0 : chars->u.string.len / 16));
		p += n;
	}
	while (right && p < end && (n = strippable_before(env, chars, p, end)) > 0)
	{
		jn_work(env, 1 + (chars == NULL ? 0 : chars->u.string.len / 16));
		end -= n;
	}
	if (end - p == s->u.string.len)
		return s;
	return jinja_string_len(env, p, end - p);
}

/* ---------- putting together ---------- */

/* "count" < 0: all. */
JinjaValue *
jn_replace(JinjaEnv *env, JinjaValue *s, JinjaValue *from, JinjaValue *to,
		   int64 count)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	const char *f = from->u.string.data;
	int			flen = from->u.string.len;
	StringInfoData buf;

	jn_work_bytes(env, s->u.string.len);
	jn_buffer_init(env, &buf);
	while (count != 0)
	{
		const char *hit = jn_find(p, end - p, f, flen);

		if (hit == NULL)
			break;
		jn_append(env, &buf, p, hit - p);
		jn_append(env, &buf, to->u.string.data, to->u.string.len);
		p = hit + flen;
		count--;
		if (flen > 0)
			continue;
		/* Nothing stands before each character and at the end. */
		if (p >= end)
			break;
		jn_append(env, &buf, p, jn_char_len(p, end));
		p += jn_char_len(p, end);
	}
	jn_append(env, &buf, p, end - p);
	return jn_buffer_string(env, &buf);
}

/* Items that are no strings are printed, or refused if "strict". */
JinjaValue *
jn_join(JinjaEnv *env, JinjaValue *sep, JinjaValue *items, bool strict)
{
	StringInfoData buf;
	JinjaValue *v;
	JnIter		it;

	jn_iter_init(env, &it, items);
	jn_buffer_init(env, &buf);
	for (int64 i = 0; (v = jn_iter_next(env, &it)) != NULL; i++)
	{
		if (i > 0)
			jn_append(env, &buf, sep->u.string.data, sep->u.string.len);
		if (strict && v->kind != JINJA_STRING)
			jn_raise_type(env,
						  "sequence item " INT64_FORMAT ": expected a string, got %s",
						  i, jinja_type_name(v));
		jn_str(env, &buf, v);
	}
	return jn_buffer_string(env, &buf);
}

/* Pad to "width"; align is '<', '>' or '^' (as str.center() does). */
JinjaValue *
jn_pad(JinjaEnv *env, JinjaValue *s, int64 width, JinjaValue *fill,
	   char align)
{
	int64		pad = width - jn_length(env, s);
	int64		left = align == '<' ? 0 : pad;
	StringInfoData buf;

	if (fill != NULL &&
		jn_length(env, jn_string_arg(env, fill, "fill character")) != 1)
		jn_raise_type(env, "the fill character must be exactly one character long");
	if (pad <= 0)
		return s;
	if (align == '^')
		left = pad / 2 + (pad & width & 1);
	jn_buffer_init(env, &buf);
	jn_append_repeated(env, &buf, fill, left);
	jn_append(env, &buf, s->u.string.data, s->u.string.len);
	jn_append_repeated(env, &buf, fill, pad - left);
	return jn_buffer_string(env, &buf);
}

/* A character "n" times; NULL is a space. */
void
jn_append_repeated(JinjaEnv *env, StringInfo buf, JinjaValue *fill, int64 n)
{
	if (fill == NULL || fill->u.string.len == 1)
		jn_append_fill(env, buf, fill == NULL ? ' ' : fill->u.string.data[0],
					   n);
	else
		for (int64 i = 0; i < n; i++)
			jn_append(env, buf, fill->u.string.data, fill->u.string.len);
}

/* Length of the line break at "p", 0 if there is none. */
static int
line_break(const char *p, const char *end)
{
	if (*p == '\r' && p + 1 < end && p[1] == '\n')
		return 2;
	if ((*p >= '\n' && *p <= '\r') || (*p >= 0x1c && *p <= 0x1e))
		return 1;
	if (!IS_HIGHBIT_SET(*p) || GetDatabaseEncoding() != PG_UTF8)
		return 0;
	if (end - p >= 2 && memcmp(p, "\xc2\x85", 2) == 0)
		return 2;
	if (end - p >= 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 ||
						 memcmp(p, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

JinjaValue *
jn_splitlines(JinjaEnv *env, JinjaValue *s, bool keepends)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	const char *line = p;
	JinjaValue *list = jinja_list(env);

	jn_work_bytes(env, s->u.string.len);
	while (p < end)
	{
		int			n = line_break(p, end);

		if (n == 0)
		{
			p += jn_char_len(p, end);
			continue;
		}
		jinja_list_append(env, list,
						  jinja_string_len(env, line,
										   p - line + (keepends ? n : 0)));
		p += n;
		line = p;
	}
	if (line < end)
		jinja_list_append(env, list, jinja_string_len(env, line, end - line));
	return list;
}

/* ---------- numbers ---------- */

/* Without white space around. */
static void
trim(const char **s, int *len)
{
	const char *end = *s + *len;
	int			n;

	while ((n = jn_space_len(*s, end)) > 0)
		*s += n;
	while ((n = jn_space_len_before(*s, end)) > 0)
		end -= n;
	*len = end - *s;
}

static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = pg_ascii_tolower((unsigned char) c);
	return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* A base prefix that goes with "base"; 0 takes any. */
static bool
skip_prefix(const char **s, int *len, int *base)
{
	int			b;

	if (*len < 2 || (*s)[0] != '0')
		return false;
	switch ((*s)[1])
	{
		case 'b':
		case 'B':
			b = 2;
			break;
		case 'o':
		case 'O':
			b = 8;
			break;
		case 'x':
		case 'X':
			b = 16;
			break;
		default:
			return false;
	}
	if (*base != b && *base != 0)
		return false;
	*base = b;
	*s += 2;
	*len -= 2;
	return true;
}

/* Python's int(string, base). NULL: not a number of that base. */
JinjaValue *
jn_parse_integer(JinjaEnv *env, const char *s, int len, int base)
{
	const char *digits;
	JnBig	   *b;

	bool		negative = false;
	bool		underscore_ok;
	bool		overflow = false;
	uint64		value = 0;
	bool		octal_like;

	if (base != 0 && (base < 2 || base > 36))
		jn_raise_type(env, "the base must be 0 or between 2 and 36");
	trim(&s, &len);
	if (len > 0 && (*s == '-' || *s == '+'))
	{
		negative = *s == '-';
		s++;
		len--;
	}
	/* An underscore may follow a prefix, but not start a number. */
	octal_like = base == 0 && len > 1 && *s == '0';
	underscore_ok = skip_prefix(&s, &len, &base);
	if (underscore_ok)
		octal_like = false;
	if (base == 0)
		base = 10;
	digits = s;
	if (len == 0 || s[len - 1] == '_')
		return NULL;
	for (int i = 0; i < len; i++)
	{
		int			d;

		if (s[i] == '_' && underscore_ok)
		{
			underscore_ok = false;
			continue;
		}
		underscore_ok = true;
		d = digit_value(s[i]);
		if (d >= base)
			return NULL;
		if (value > (PG_UINT64_MAX - d) / base)
			overflow = true;
		else
			value = value * base + d;
	}
	if (octal_like && value != 0)
		return NULL;			/* "012" with base 0 */
	if (!overflow && value <= (uint64) PG_INT64_MAX + negative)
		return jinja_int(env, negative ? (int64) (-value) : (int64) value);
	b = jn_big_parse(env, digits, len, base);
	b->negative = negative;
	return jn_big_value(env, b);
}

/* The same of at most 64 bits. */
bool
jn_parse_int(JinjaEnv *env, const char *s, int len, int base, int64 *result)
{
	JinjaValue *v = jn_parse_integer(env, s, len, base);

	return v != NULL && jn_is_int(v, result);
}

/* Python's float(string). */
bool
jn_parse_float(const char *s, int len, double *result)
{
	StringInfoData digits;
	char	   *end;
	bool		ok;

	trim(&s, &len);
	if (len == 0)
		return false;
	initStringInfo(&digits);
	for (int i = 0; i < len; i++)
	{
		char		c = s[i];

		/* strtod() also reads hexadecimal and "nan(...)". */
		if (c == '_' && i > 0 && i + 1 < len &&
			isdigit((unsigned char) s[i - 1]) &&
			isdigit((unsigned char) s[i + 1]))
			continue;
		if (!isdigit((unsigned char) c) && strchr("+-.eEinftyaINFTYA", c) == NULL)
			return false;
		appendStringInfoChar(&digits, c);
	}
	*result = strtod(digits.data, &end);
	ok = *end == '\0' && digits.len > 0;
	pfree(digits.data);
	return ok;
}
