/*
 * jsonb.c
 *		Values from and to jsonb.
 */
#include "base/compat.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "jinja/decimal.h"

/* ---------- jsonb to values ---------- */

static JinjaValue *
from_numeric(JinjaEnv *env, Numeric num)
{
	char	   *s = DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(num)));
	JinjaValue *v = jn_from_number(env, s, strlen(s));

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
set_string(JsonbValue *jbv, const JinjaValue *v)
{
	jbv->type = jbvString;
	jbv->val.string.val = (char *) v->u.string.data;
	jbv->val.string.len = v->u.string.len;
}

static void
set_number(JsonbValue *jbv, const char *text)
{
	jbv->type = jbvNumeric;
	jbv->val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
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
			set_number(jbv, text);
			return true;
		case JINJA_BIGINT:
			set_number(jbv, jn_big_to_cstring(env, v->u.big));
			return true;
		case JINJA_DECIMAL:
			set_number(jbv, jn_decimal_text(env, v->u.decimal));
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
	v = jinja_as_json(env, v);
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
			set_string(&jbv, jn_json_key(env, v->u.dict->entries[i].key));
			pushJsonbValue(state, WJB_KEY, &jbv);
			push_value(env, state, v->u.dict->entries[i].value, WJB_VALUE);
		}
		result = pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	else
		jn_not_serializable(env, v);
	jn_leave(env);
	return result;
}

/* In the current memory context. */
Jsonb *
jinja_to_jsonb(JinjaEnv *env, JinjaValue *v)
{
	JsonbParseState *state = NULL;
	JsonbValue	jbv;

	v = jinja_as_json(env, v);
	if (to_scalar(env, v, &jbv))
		return JsonbValueToJsonb(&jbv);
	return JsonbValueToJsonb(push_value(env, &state, v, WJB_ELEM));
}
