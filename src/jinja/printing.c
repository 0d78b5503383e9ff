/*
 * printing.c
 *		Python's str() and repr().
 */
#include "base/compat.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"

#include "jinja/decimal.h"
#include "jinja/markup.h"

/*
 * Shortest digits that read back as "d". PostgreSQL's algorithm does not make
 * use of digits that read back only because ties go to even, Python's does.
 */
static void
shortest_text(char *buf, double d)
{
	int			len = double_to_shortest_decimal_buf(d, buf);

	buf[len] = '\0';
	if (len < 16)
		return;
	for (int digits = 15; digits <= 16; digits++)
	{
		char		text[DOUBLE_SHORTEST_DECIMAL_LEN + 8];

		snprintf(text, sizeof(text), "%.*e", digits - 1, d);
		if (strtod(text, NULL) == d)
		{
			strcpy(buf, text);
			return;
		}
	}
}

/*
 * Significant digits of a number in decimal notation, without zeros at either
 * end. Returns their number; *point is where the decimal point stands in them
 * (0: before the first, -1: a zero before that).
 */
static int
significant_digits(const char *text, char *digits, int *point)
{
	bool		seen_point = false;
	int			n = 0;

	*point = 0;
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '.')
			seen_point = true;
		else if (*p == 'e')
		{
			*point += atoi(p + 1);
			break;
		}
		else
		{
			if (n > 0 || *p != '0')
				digits[n++] = *p;
			if (!seen_point && n > 0)
				(*point)++;
			else if (seen_point && n == 0)
				(*point)--;
		}
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

/*
 * Python's repr() of a float: the shortest digits, with an exponent below
 * 1e-4 and from 1e16 on, and always with a sign of being a float.
 */
void
jn_float_repr(char *buf, double d)
{
	char		shortest[DOUBLE_SHORTEST_DECIMAL_LEN + 8];
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN + 8];
	char	   *to = buf;
	int			point;
	int			n;

	if (isnan(d))
	{
		strcpy(buf, "nan");
		return;
	}
	if (signbit(d))
		*to++ = '-';
	d = fabs(d);
	if (isinf(d) || d == 0)
	{
		strcpy(to, d == 0 ? "0.0" : "inf");
		return;
	}

	shortest_text(shortest, d);
	n = significant_digits(shortest, digits, &point);
	if (point > 16 || point <= -4)
	{
		sprintf(to, "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", n - 1,
				digits + 1, point - 1 < 0 ? '-' : '+', abs(point - 1));
		return;
	}
	if (point <= 0)
		to += sprintf(to, "0.%.*s", -point, "000");
	for (int i = 0; i < Max(n, point); i++)
	{
		if (i == point && i > 0)
			*to++ = '.';
		*to++ = i < n ? digits[i] : '0';
	}
	strcpy(to, point >= n ? ".0" : "");
}

/* Code points that Python's str.isprintable() denies, above ASCII. */
bool
jn_is_printable(uint32 c)
{
	static const pg_wchar ranges[][2] = {
		{0x80, 0xa0}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c},
		{0x6dd, 0x6dd}, {0x70f, 0x70f}, {0x1680, 0x1680}, {0x180e, 0x180e},
		{0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f},
		{0x3000, 0x3000}, {0xd800, 0xf8ff}, {0xfeff, 0xfeff},
		{0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe00ff},
		{0xe01f0, 0x10ffff},
	};

	for (int i = 0; i < lengthof(ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return false;
	return true;
}

/* The escape of a code point; "buf" holds 16 bytes. */
void
jn_escape_char(char *buf, uint32 c)
{
	snprintf(buf, 16,
			 c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

/* One character of a string's repr. Returns its length. */
static int
repr_char(JinjaEnv *env, StringInfo buf, const char *p, const char *end,
		  char quote)
{
	unsigned char c = (unsigned char) *p;
	int			len = jn_char_len(p, end);
	char		escape[16];

	if (c == quote || c == '\\')
	{
		escape[0] = '\\';
		escape[1] = c;
		escape[2] = '\0';
	}
	else if (c == '\n')
		strcpy(escape, "\\n");
	else if (c == '\r')
		strcpy(escape, "\\r");
	else if (c == '\t')
		strcpy(escape, "\\t");
	else if (c < 0x20 || c == 0x7f)
		snprintf(escape, sizeof(escape), "\\x%02x", c);
	else if (c >= 0x80 && GetDatabaseEncoding() == PG_UTF8)
	{
		pg_wchar	w = utf8_to_unicode((const unsigned char *) p);

		if (jn_is_printable(w))
		{
			jn_append(env, buf, p, len);
			return len;
		}
		jn_escape_char(escape, w);
	}
	else
	{
		jn_append(env, buf, p, len);
		return len;
	}
	jn_append_cstring(env, buf, escape);
	return len;
}

static void
repr_string(JinjaEnv *env, StringInfo buf, const JinjaValue *v)
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	char		quote = '\'';

	if (memchr(p, '\'', end - p) != NULL && memchr(p, '"', end - p) == NULL)
		quote = '"';
	jn_append(env, buf, &quote, 1);
	while (p < end)
	{
		const char *plain = p;

		while (p < end && (unsigned char) *p >= 0x20 &&
			   (unsigned char) *p < 0x7f && *p != quote && *p != '\\')
			p++;
		if (p > plain)
			jn_append(env, buf, plain, p - plain);
		if (p < end)
			p += repr_char(env, buf, p, end, quote);
	}
	jn_append(env, buf, &quote, 1);
}

static void
repr_items(JinjaEnv *env, StringInfo buf, JinjaValue *v)
{
	JnList	   *l = &v->u.list;
	bool		is_list = v->kind == JINJA_LIST;

	if (l->visiting)
	{
		jn_append_cstring(env, buf, is_list ? "[...]" : "(...)");
		return;
	}
	l->visiting = true;
	jn_append(env, buf, is_list ? "[" : "(", 1);
	for (int i = 0; i < l->n; i++)
	{
		if (i > 0)
			jn_append(env, buf, ", ", 2);
		jn_repr(env, buf, l->items[i]);
	}
	if (!is_list && l->n == 1)
		jn_append(env, buf, ",", 1);
	jn_append(env, buf, is_list ? "]" : ")", 1);
	l->visiting = false;
}

static void
repr_dict(JinjaEnv *env, StringInfo buf, JnDict *d)
{
	if (d->visiting)
	{
		jn_append_cstring(env, buf, "{...}");
		return;
	}
	d->visiting = true;
	jn_append(env, buf, "{", 1);
	for (int i = 0; i < d->n; i++)
	{
		if (i > 0)
			jn_append(env, buf, ", ", 2);
		jn_repr(env, buf, d->entries[i].key);
		jn_append(env, buf, ": ", 2);
		jn_repr(env, buf, d->entries[i].value);
	}
	jn_append(env, buf, "}", 1);
	d->visiting = false;
}

/* In the order of insertion; Python's order is none. */
static void
repr_set(JinjaEnv *env, StringInfo buf, JnDict *d)
{
	if (d->n == 0)
	{
		jn_append_cstring(env, buf, "set()");
		return;
	}
	jn_append(env, buf, "{", 1);
	for (int i = 0; i < d->n; i++)
	{
		if (i > 0)
			jn_append(env, buf, ", ", 2);
		jn_repr(env, buf, d->entries[i].key);
	}
	jn_append(env, buf, "}", 1);
}

static void
repr_view(JinjaEnv *env, StringInfo buf, JinjaValue *v)
{
	JnDict	   *d = v->u.view.dict->u.dict;

	jn_append_cstring(env, buf, jinja_type_name(v));
	if (d->visiting)
	{
		jn_append_cstring(env, buf, "(...)");
		return;
	}
	d->visiting = true;
	jn_append(env, buf, "([", 2);
	for (int i = 0; i < d->n; i++)
	{
		JnEntry    *e = &d->entries[i];

		if (i > 0)
			jn_append(env, buf, ", ", 2);
		if (v->u.view.kind == JN_VIEW_KEYS)
			jn_repr(env, buf, e->key);
		else if (v->u.view.kind == JN_VIEW_VALUES)
			jn_repr(env, buf, e->value);
		else
		{
			jn_append(env, buf, "(", 1);
			jn_repr(env, buf, e->key);
			jn_append(env, buf, ", ", 2);
			jn_repr(env, buf, e->value);
			jn_append(env, buf, ")", 1);
		}
	}
	jn_append(env, buf, "])", 2);
	d->visiting = false;
}

static void
repr_range(JinjaEnv *env, StringInfo buf, const JnRange *r)
{
	char		text[100];

	if (r->step == 1)
		snprintf(text, sizeof(text), "range(" INT64_FORMAT ", " INT64_FORMAT ")",
				 r->start, r->stop);
	else
		snprintf(text, sizeof(text),
				 "range(" INT64_FORMAT ", " INT64_FORMAT ", " INT64_FORMAT ")",
				 r->start, r->stop, r->step);
	jn_append_cstring(env, buf, text);
}

static void
repr_object(JinjaEnv *env, StringInfo buf, const JinjaValue *v)
{
	const JinjaObjectOps *ops = v->u.object.ops;

	if (ops->to_string == NULL)
		jn_raise_type(env, "a %s cannot be printed", ops->type_name);
	jn_append_cstring(env, buf, ops->to_string(env, v->u.object.object));
}

/* Python shows addresses here; a text that does not change is better. */
static void
repr_callable(JinjaEnv *env, StringInfo buf, const JinjaValue *v)
{
	const char *s;

	if (v->kind == JINJA_FUNCTION && jn_is_class(v))
		s = psprintf("<class '%s'>", v->u.function.name);
	else if (v->kind == JINJA_FUNCTION)
		s = psprintf("<function %s>", v->u.function.name);
	else if (v->kind == JINJA_METHOD)
		s = psprintf("<built-in method %s of %s object>",
					 v->u.method.builtin->name,
					 jinja_type_name(v->u.method.self));
	else if (v->u.macro.name != NULL)
		s = psprintf("<Macro '%s'>", v->u.macro.name);
	else
		s = "<Macro anonymous>";
	jn_append_cstring(env, buf, s);
}

void
jn_repr(JinjaEnv *env, StringInfo buf, JinjaValue *v)
{
	jn_enter(env);
	switch (v->kind)
	{
		case JINJA_UNDEFINED:
			jn_append_cstring(env, buf, "Undefined");
			break;
		case JINJA_STRING:
			jn_append_cstring(env, buf, jn_is_markup(v) ? "Markup(" : "");
			repr_string(env, buf, v);
			jn_append_cstring(env, buf, jn_is_markup(v) ? ")" : "");
			break;
		case JINJA_LIST:
		case JINJA_TUPLE:
			repr_items(env, buf, v);
			break;
		case JINJA_DICT:
			repr_dict(env, buf, v->u.dict);
			break;
		case JINJA_SET:
			repr_set(env, buf, v->u.dict);
			break;
		case JINJA_DECIMAL:
			jn_append_cstring(env, buf, "Decimal('");
			jn_str(env, buf, v);
			jn_append(env, buf, "')", 2);
			break;
		case JINJA_OBJECT:
			if (v->u.object.ops->repr != NULL)
				jn_append_cstring(env, buf,
								  v->u.object.ops->repr(env,
														v->u.object.object));
			else
				jn_str(env, buf, v);
			break;
		default:
			jn_str(env, buf, v);
	}
	jn_leave(env);
}

void
jn_str(JinjaEnv *env, StringInfo buf, JinjaValue *v)
{
	char		text[JN_FLOAT_REPR_LEN];

	switch (v->kind)
	{
		case JINJA_UNDEFINED:
			break;
		case JINJA_NONE:
			jn_append(env, buf, "None", 4);
			break;
		case JINJA_BOOL:
			jn_append_cstring(env, buf, v->u.boolean ? "True" : "False");
			break;
		case JINJA_INT:
			snprintf(text, sizeof(text), INT64_FORMAT, v->u.integer);
			jn_append_cstring(env, buf, text);
			break;
		case JINJA_FLOAT:
			jn_float_repr(text, v->u.real);
			jn_append_cstring(env, buf, text);
			break;
		case JINJA_STRING:
			jn_append(env, buf, v->u.string.data, v->u.string.len);
			break;
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_DICT:
		case JINJA_SET:
			jn_repr(env, buf, v);
			break;
		case JINJA_BIGINT:
			jn_append_cstring(env, buf, jn_big_to_cstring(env, v->u.big));
			break;
		case JINJA_DECIMAL:
			jn_append_cstring(env, buf, jn_decimal_text(env, v->u.decimal));
			break;
		case JINJA_RANGE:
			repr_range(env, buf, &v->u.range);
			break;
		case JINJA_VIEW:
			repr_view(env, buf, v);
			break;
		case JINJA_ITERATOR:
			jn_append_cstring(env, buf, "<generator object>");
			break;
		case JINJA_OBJECT:
			repr_object(env, buf, v);
			break;
		case JINJA_FUNCTION:
		case JINJA_METHOD:
		case JINJA_MACRO:
			repr_callable(env, buf, v);
			break;
	}
}

/* str() as a value. */
JinjaValue *
jn_str_value(JinjaEnv *env, JinjaValue *v)
{
	StringInfoData buf;

	if (v->kind == JINJA_STRING)
		return v;
	jn_buffer_init(env, &buf);
	jn_str(env, &buf, v);
	return jn_buffer_string(env, &buf);
}

char *
jn_repr_cstring(JinjaEnv *env, JinjaValue *v)
{
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	jn_repr(env, &buf, v);
	return buf.data;
}
