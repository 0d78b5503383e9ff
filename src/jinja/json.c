/*
 * json.c
 *		Values from and to JSON text, as Python's json module has it.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "mb/pg_wchar.h"

#include "jinja/decimal.h"

/* An integer if it is written like one, a float otherwise. */
JinjaValue *
jn_from_number(JinjaEnv *env, const char *s, int len)
{
	JinjaValue *v = NULL;

	if (strcspn(s, ".eE") >= len)
		v = jn_parse_integer(env, s, len, 10);
	return v != NULL ? v : jinja_float(env, strtod(s, NULL));
}

void
jn_not_serializable(JinjaEnv *env, const JinjaValue *v)
{
	jn_raise_type(env, "a %s cannot be written as JSON", jinja_type_name(v));
}

/* The text of a key, or NULL if it cannot be one. */
JinjaValue *
jn_json_key(JinjaEnv *env, JinjaValue *key)
{
	switch (key->kind)
	{
		case JINJA_STRING:
			return key;
		case JINJA_INT:
		case JINJA_BIGINT:
		case JINJA_FLOAT:
			return jn_str_value(env, key);
		case JINJA_BOOL:
			return jinja_string(env, key->u.boolean ? "true" : "false");
		case JINJA_NONE:
			return jinja_string(env, "null");
		default:
			jn_raise_type(env, "keys of JSON objects cannot be %s",
						  jinja_type_name(key));
	}
}

/* ---------- values to JSON text ---------- */

typedef struct JsonWriter
{
	JinjaEnv   *env;
	StringInfo	buf;
	int			indent;			/* -1: all on one line */
	bool		sort_keys;
	bool		html_safe;
} JsonWriter;

static void
write_escaped_char(JsonWriter *w, const char *p, int len)
{
	static const char named[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	unsigned char c = (unsigned char) *p;
	const char *n;
	char		text[16];

	if (c != '\0' && (n = strchr(named, c)) != NULL)
		snprintf(text, sizeof(text), "\\%c", letters[n - named]);
	else if (c < 0x20 || c == 0x7f ||
			 (w->html_safe && strchr("<>&'", c) != NULL))
	{
		if (c == 0x7f)
			snprintf(text, sizeof(text), "%c", c);
		else
			snprintf(text, sizeof(text), "\\u%04x", c);
	}
	else if (IS_HIGHBIT_SET(c) && GetDatabaseEncoding() == PG_UTF8)
	{
		pg_wchar	u = utf8_to_unicode((const unsigned char *) p);

		if (u < 0x10000)
			snprintf(text, sizeof(text), "\\u%04x", u);
		else
			snprintf(text, sizeof(text), "\\u%04x\\u%04x",
					 0xd800 + ((u - 0x10000) >> 10),
					 0xdc00 + ((u - 0x10000) & 0x3ff));
	}
	else
	{
		jn_append(w->env, w->buf, p, len);
		return;
	}
	jn_append_cstring(w->env, w->buf, text);
}

static void
write_string(JsonWriter *w, const JinjaValue *v)
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;

	jn_append(w->env, w->buf, "\"", 1);
	while (p < end)
	{
		int			len = jn_char_len(p, end);

		write_escaped_char(w, p, len);
		p += len;
	}
	jn_append(w->env, w->buf, "\"", 1);
}

static void
write_float(JsonWriter *w, double d)
{
	char		text[JN_FLOAT_REPR_LEN];

	if (isnan(d))
		strcpy(text, "NaN");
	else if (isinf(d))
		strcpy(text, d > 0 ? "Infinity" : "-Infinity");
	else
		jn_float_repr(text, d);
	jn_append_cstring(w->env, w->buf, text);
}

static void
new_line(JsonWriter *w, int level)
{
	if (w->indent < 0)
		return;
	jn_append(w->env, w->buf, "\n", 1);
	jn_append_fill(w->env, w->buf, ' ', (int64) w->indent * level);
}

static void write_value(JsonWriter *w, JinjaValue *v, int level);

static void
separator(JsonWriter *w, bool first, int level)
{
	if (!first)
		jn_append_cstring(w->env, w->buf, w->indent < 0 ? ", " : ",");
	new_line(w, level);
}

static void
write_list(JsonWriter *w, JnList *l, int level)
{
	if (l->visiting)
		jn_raise_type(w->env, "circular reference");
	l->visiting = true;
	jn_append(w->env, w->buf, "[", 1);
	for (int i = 0; i < l->n; i++)
	{
		separator(w, i == 0, level + 1);
		write_value(w, l->items[i], level + 1);
	}
	if (l->n > 0)
		new_line(w, level);
	jn_append(w->env, w->buf, "]", 1);
	l->visiting = false;
}

static void
write_dict(JsonWriter *w, JnDict *d, int level)
{
	JinjaEnv   *env = w->env;
	int			n = d->n;
	JinjaValue **keys = jn_palloc(env, (2 * (uint64) n + 1) *
								  sizeof(JinjaValue *));
	JinjaValue **values = keys + n;

	if (d->visiting)
		jn_raise_type(env, "circular reference");
	d->visiting = true;
	for (int i = 0; i < n; i++)
	{
		keys[i] = d->entries[i].key;
		values[i] = d->entries[i].value;
	}
	if (w->sort_keys)
		jn_sort(env, keys, values, n, false);
	jn_append(env, w->buf, "{", 1);
	for (int i = 0; i < n; i++)
	{
		separator(w, i == 0, level + 1);
		write_string(w, jn_json_key(env, keys[i]));
		jn_append(env, w->buf, ": ", 2);
		write_value(w, values[i], level + 1);
	}
	if (n > 0)
		new_line(w, level);
	jn_append(env, w->buf, "}", 1);
	d->visiting = false;
	pfree(keys);
}

static void
write_value(JsonWriter *w, JinjaValue *v, int level)
{
	jn_enter(w->env);
	switch (v->kind)
	{
		case JINJA_NONE:
			jn_append(w->env, w->buf, "null", 4);
			break;
		case JINJA_BOOL:
			jn_append_cstring(w->env, w->buf, v->u.boolean ? "true" : "false");
			break;
		case JINJA_INT:
		case JINJA_BIGINT:
			jn_str(w->env, w->buf, v);
			break;
		case JINJA_FLOAT:
			write_float(w, v->u.real);
			break;
		case JINJA_STRING:
			write_string(w, v);
			break;
		case JINJA_LIST:
		case JINJA_TUPLE:
			write_list(w, &v->u.list, level);
			break;
		case JINJA_DICT:
			write_dict(w, v->u.dict, level);
			break;
		default:
			jn_not_serializable(w->env, v);
	}
	jn_leave(w->env);
}

/* Python's json.dumps(); indent < 0: on one line. */
JinjaValue *
jn_to_json(JinjaEnv *env, JinjaValue *v, int indent, bool sort_keys,
		   bool html_safe)
{
	StringInfoData buf;
	JsonWriter	w = {env, &buf, indent, sort_keys, html_safe};

	jn_buffer_init(env, &buf);
	write_value(&w, v, 0);
	return jn_buffer_string(env, &buf);
}

char *
jinja_to_json(JinjaEnv *env, JinjaValue *v, bool sort_keys)
{
	return (char *) jn_to_json(env, v, -1, sort_keys, false)->u.string.data;
}

/* ---------- JSON text to values ---------- */

typedef struct JsonReader
{
	JinjaEnv   *env;
	const char *start;
	const char *p;
	const char *end;
} JsonReader;

static JinjaValue *read_json(JsonReader *r);

static void
bad_json(JsonReader *r, const char *expected)
{
	jn_raise_type(r->env, "invalid JSON: %s expected at character %d", expected,
				  pg_mbstrlen_with_len(r->start, r->p - r->start) + 1);
}

static void
skip_json_space(JsonReader *r)
{
	while (r->p < r->end && strchr(" \t\n\r", *r->p) != NULL && *r->p != '\0')
		r->p++;
}

static bool
skip_json(JsonReader *r, const char *token)
{
	size_t		n = strlen(token);

	skip_json_space(r);
	if (r->end - r->p < n || memcmp(r->p, token, n) != 0)
		return false;
	r->p += n;
	return true;
}

/* Four hexadecimal digits at "p", -1 if there are none. */
static int
read_hex4(JsonReader *r, const char *p)
{
	int			c = 0;

	for (int i = 0; i < 4; i++, p++)
	{
		if (p >= r->end || !isxdigit((unsigned char) *p))
			return -1;
		c = c * 16 + (isdigit((unsigned char) *p) ? *p - '0' :
					  tolower((unsigned char) *p) - 'a' + 10);
	}
	return c;
}

/* r->p is behind "\u". */
static void
read_unicode_escape(JsonReader *r, StringInfo buf)
{
	unsigned char s[MAX_UNICODE_EQUIVALENT_STRING + 1];
	int			c = read_hex4(r, r->p);

	if (c < 0)
		bad_json(r, "four hexadecimal digits");
	r->p += 4;
	if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' &&
		r->p[1] == 'u')
	{
		int			low = read_hex4(r, r->p + 2);

		if (low >= 0xdc00 && low < 0xe000)
		{
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			r->p += 6;
		}
	}
	if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
		jn_raise_type(r->env, "text cannot contain the character \\u%04x", c);
	pg_unicode_to_server(c, s);
	jn_append_cstring(r->env, buf, (char *) s);
}

static void
read_json_escape(JsonReader *r, StringInfo buf)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *f;

	if (r->p >= r->end)
		bad_json(r, "an escape");
	if (*r->p == 'u')
	{
		r->p++;
		read_unicode_escape(r, buf);
		return;
	}
	f = *r->p == '\0' ? NULL : strchr(from, *r->p);
	if (f == NULL)
		bad_json(r, "an escape");
	jn_append(r->env, buf, &to[f - from], 1);
	r->p++;
}

/* r->p is behind the quote. */
static JinjaValue *
read_json_string(JsonReader *r)
{
	StringInfoData buf;

	jn_buffer_init(r->env, &buf);
	for (;;)
	{
		const char *from = r->p;

		while (r->p < r->end && *r->p != '"' && *r->p != '\\' &&
			   (unsigned char) *r->p >= 0x20)
			r->p++;
		jn_append(r->env, &buf, from, r->p - from);
		if (r->p >= r->end || (unsigned char) *r->p < 0x20)
			bad_json(r, "the end of a string");
		if (*r->p++ == '"')
			return jn_buffer_string(r->env, &buf);
		read_json_escape(r, &buf);
	}
}

static JinjaValue *
read_json_number(JsonReader *r)
{
	const char *from = r->p;
	const char *p = r->p;

	if (p < r->end && *p == '-')
		p++;
	if (p >= r->end || !isdigit((unsigned char) *p))
		bad_json(r, "a value");
	if (*p == '0')
		p++;
	else
		while (p < r->end && isdigit((unsigned char) *p))
			p++;
	if (p + 1 < r->end && *p == '.' && isdigit((unsigned char) p[1]))
		for (p++; p < r->end && isdigit((unsigned char) *p); p++)
			 /* digits */ ;
	if (p < r->end && (*p == 'e' || *p == 'E'))
	{
		const char *q = p + 1;

		if (q < r->end && (*q == '+' || *q == '-'))
			q++;
		if (q < r->end && isdigit((unsigned char) *q))
			for (p = q; p < r->end && isdigit((unsigned char) *p); p++)
				 /* digits */ ;
	}
	r->p = p;
	return jn_from_number(r->env, pnstrdup(from, p - from), p - from);
}

static JinjaValue *
read_json_array(JsonReader *r)
{
	JinjaValue *list = jinja_list(r->env);

	if (skip_json(r, "]"))
		return list;
	do
		jinja_list_append(r->env, list, read_json(r));
	while (skip_json(r, ","));
	if (!skip_json(r, "]"))
		bad_json(r, "\",\" or \"]\"");
	return list;
}

static JinjaValue *
read_json_object(JsonReader *r)
{
	JinjaValue *dict = jinja_dict(r->env);

	if (skip_json(r, "}"))
		return dict;
	do
	{
		JinjaValue *key;

		if (!skip_json(r, "\""))
			bad_json(r, "a name");
		key = read_json_string(r);
		if (!skip_json(r, ":"))
			bad_json(r, "\":\"");
		jn_dict_put(r->env, dict->u.dict, key, read_json(r));
	} while (skip_json(r, ","));
	if (!skip_json(r, "}"))
		bad_json(r, "\",\" or \"}\"");
	return dict;
}

static JinjaValue *
read_json(JsonReader *r)
{
	JinjaValue *v;

	jn_enter(r->env);
	jn_step(r->env);
	if (skip_json(r, "{"))
		v = read_json_object(r);
	else if (skip_json(r, "["))
		v = read_json_array(r);
	else if (skip_json(r, "\""))
		v = read_json_string(r);
	else if (skip_json(r, "null"))
		v = r->env->none;
	else if (skip_json(r, "true"))
		v = r->env->yes;
	else if (skip_json(r, "false"))
		v = r->env->no;
	else if (skip_json(r, "NaN"))
		v = jinja_float(r->env, NAN);
	else if (skip_json(r, "Infinity"))
		v = jinja_float(r->env, INFINITY);
	else if (skip_json(r, "-Infinity"))
		v = jinja_float(r->env, -INFINITY);
	else
		v = read_json_number(r);
	jn_leave(r->env);
	return v;
}

JinjaValue *
jinja_from_json(JinjaEnv *env, const char *text, int len)
{
	JsonReader	r = {env, text, text, text + len};
	JinjaValue *v = read_json(&r);

	skip_json_space(&r);
	if (r.p < r.end)
		bad_json(&r, "the end");
	return v;
}
