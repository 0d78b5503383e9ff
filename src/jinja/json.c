/*
 * json.c
 *		Values from and to JSON.
 */
#include "base/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "jinja/jinja_internal.h"

/* ---------- jsonb to values ---------- */

/* An integer if it is written like one and fits, a float otherwise. */
static JinjaValue *
from_numeric(JinjaEnv *env, Numeric num)
{
	char	   *s = DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(num)));
	JinjaValue *v;

	if (strchr(s, '.') == NULL)
	{
		char	   *end;
		int64		i;

		errno = 0;
		i = strtoi64(s, &end, 10);
		if (errno == 0 && *end == '\0')
		{
			pfree(s);
			return jinja_int(env, i);
		}
	}
	v = jinja_float(env, strtod(s, NULL));
	pfree(s);
	return v;
}

static JinjaValue *
from_scalar(JinjaEnv *env, const JsonbValue *jbv)
{
	switch (jbv->type)
	{
		case jbvNull:
			return env->none;
		case jbvBool:
			return jinja_bool(env, jbv->val.boolean);
		case jbvNumeric:
			return from_numeric(env, jbv->val.numeric);
		case jbvString:
			return jinja_string_len(env, jbv->val.string.val,
									jbv->val.string.len);
		default:
			elog(ERROR, "unexpected jsonb scalar %d", jbv->type);
	}
}

/* What the iterator gives up to the end of the container it just began. */
static JinjaValue *
from_container(JinjaEnv *env, JsonbIterator **it, bool is_array)
{
	JinjaValue *result = is_array ? jinja_list(env) : jinja_dict(env);
	JinjaValue *key = NULL;
	JsonbIteratorToken tok;
	JsonbValue	jbv;

	jn_enter(env);
	while ((tok = JsonbIteratorNext(it, &jbv, false)) != WJB_DONE)
	{
		JinjaValue *v;

		if (tok == WJB_END_ARRAY || tok == WJB_END_OBJECT)
			break;
		if (tok == WJB_BEGIN_ARRAY || tok == WJB_BEGIN_OBJECT)
			v = from_container(env, it, tok == WJB_BEGIN_ARRAY);
		else
			v = from_scalar(env, &jbv);
		if (tok == WJB_KEY)
			key = v;
		else if (is_array)
			jinja_list_append(env, result, v);
		else
			jn_dict_put(env, result->u.dict, key, v);
	}
	jn_leave(env);
	return result;
}

JinjaValue *
jinja_from_jsonb(JinjaEnv *env, const Jsonb *jb)
{
	JsonbIterator *it = JsonbIteratorInit((JsonbContainer *) &jb->root);
	JsonbIteratorToken tok;
	JsonbValue	jbv;
	JinjaValue *v;

	tok = JsonbIteratorNext(&it, &jbv, false);
	v = from_container(env, &it, tok == WJB_BEGIN_ARRAY);
	if (JB_ROOT_IS_SCALAR(jb))
		return v->u.list.items[0];
	return v;
}

/* ---------- values to jsonb ---------- */

static void
not_serializable(JinjaEnv *env, const JinjaValue *v)
{
	jn_raise_type(env, "a %s cannot be written as JSON", jn_type_name(v));
}

/* The text of a key, or NULL if it cannot be one. */
static JinjaValue *
json_key(JinjaEnv *env, JinjaValue *key)
{
	switch (key->kind)
	{
		case JINJA_STRING:
			return key;
		case JINJA_INT:
		case JINJA_FLOAT:
			return jn_str_value(env, key);
		case JINJA_BOOL:
			return jinja_string(env, key->u.boolean ? "true" : "false");
		case JINJA_NONE:
			return jinja_string(env, "null");
		default:
			jn_raise_type(env, "keys of JSON objects cannot be %s",
						  jn_type_name(key));
	}
}

static void
set_string(JsonbValue *jbv, const JinjaValue *v)
{
	jbv->type = jbvString;
	jbv->val.string.val = (char *) v->u.string.data;
	jbv->val.string.len = v->u.string.len;
}

/* False: not a scalar. */
static bool
to_scalar(JinjaEnv *env, const JinjaValue *v, JsonbValue *jbv)
{
	char		text[JN_FLOAT_REPR_LEN];

	switch (v->kind)
	{
		case JINJA_NONE:
			jbv->type = jbvNull;
			return true;
		case JINJA_BOOL:
			jbv->type = jbvBool;
			jbv->val.boolean = v->u.boolean;
			return true;
		case JINJA_STRING:
			set_string(jbv, v);
			return true;
		case JINJA_INT:
			jbv->type = jbvNumeric;
			jbv->val.numeric = int64_to_numeric(v->u.integer);
			return true;
		case JINJA_FLOAT:
			if (isnan(v->u.real) || isinf(v->u.real))
				jn_raise_type(env, "nan and inf cannot be written as JSON");
			jn_float_repr(text, v->u.real);
			jbv->type = jbvNumeric;
			jbv->val.numeric =
				DatumGetNumeric(DirectFunctionCall3(numeric_in,
													CStringGetDatum(text),
													ObjectIdGetDatum(InvalidOid),
													Int32GetDatum(-1)));
			return true;
		default:
			return false;
	}
}

static JsonbValue *
push_value(JinjaEnv *env, JsonbParseState **state, JinjaValue *v,
		   JsonbIteratorToken where)
{
	JsonbValue	jbv;
	JsonbValue *result;

	jn_step(env);
	if (to_scalar(env, v, &jbv))
		return pushJsonbValue(state, where, &jbv);
	jn_enter(env);
	if (v->kind == JINJA_LIST || v->kind == JINJA_TUPLE)
	{
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
		for (int i = 0; i < v->u.list.n; i++)
			push_value(env, state, v->u.list.items[i], WJB_ELEM);
		result = pushJsonbValue(state, WJB_END_ARRAY, NULL);
	}
	else if (v->kind == JINJA_DICT)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		for (int i = 0; i < v->u.dict->n; i++)
		{
			set_string(&jbv, json_key(env, v->u.dict->entries[i].key));
			pushJsonbValue(state, WJB_KEY, &jbv);
			push_value(env, state, v->u.dict->entries[i].value, WJB_VALUE);
		}
		result = pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	else
		not_serializable(env, v);
	jn_leave(env);
	return result;
}

/* In the current memory context. */
Jsonb *
jinja_to_jsonb(JinjaEnv *env, JinjaValue *v)
{
	JsonbParseState *state = NULL;
	JsonbValue	jbv;

	if (to_scalar(env, v, &jbv))
		return JsonbValueToJsonb(&jbv);
	return JsonbValueToJsonb(push_value(env, &state, v, WJB_ELEM));
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
	JinjaValue **keys = jn_alloc(env, (2 * (uint64) n + 1) *
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
		write_string(w, json_key(env, keys[i]));
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
			not_serializable(w->env, v);
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
