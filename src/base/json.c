/*
 * json.c
 *		Fields of a jsonb object, typed.
 */
#include "base/compat.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/json.h"

JsonbValue *
dpipe_json_field(const Jsonb *jb, const char *key)
{
	JsonbValue	k;

	if (jb == NULL || !JB_ROOT_IS_OBJECT(jb))
		return NULL;
	k.type = jbvString;
	k.val.string.val = (char *) key;
	k.val.string.len = strlen(key);
	return findJsonbValueFromContainer((JsonbContainer *) &jb->root,
									   JB_FOBJECT, &k);
}

static void
raise_wrong_type(const char *what, const char *key, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" must be %s", what, key, wanted)));
}

char *
dpipe_json_string(const Jsonb *jb, const char *what, const char *key,
				  const char *deflt)
{
	JsonbValue *v = dpipe_json_field(jb, key);

	if (v == NULL || v->type == jbvNull)
		return deflt ? pstrdup(deflt) : NULL;
	if (v->type != jbvString)
		raise_wrong_type(what, key, "a string");
	return pnstrdup(v->val.string.val, v->val.string.len);
}

int64
dpipe_json_int(const Jsonb *jb, const char *what, const char *key,
			   int64 deflt)
{
	JsonbValue *v = dpipe_json_field(jb, key);
	Datum		isint;

	if (v == NULL || v->type == jbvNull)
		return deflt;
	if (v->type != jbvNumeric)
		raise_wrong_type(what, key, "an integer");
	isint = DirectFunctionCall2(numeric_trunc,
								NumericGetDatum(v->val.numeric),
								Int32GetDatum(0));
	if (numeric_is_nan(v->val.numeric) ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, isint,
										  NumericGetDatum(v->val.numeric))))
		raise_wrong_type(what, key, "an integer");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 NumericGetDatum(v->val.numeric)));
}

bool
dpipe_json_bool(const Jsonb *jb, const char *what, const char *key,
				bool deflt)
{
	JsonbValue *v = dpipe_json_field(jb, key);

	if (v == NULL || v->type == jbvNull)
		return deflt;
	if (v->type != jbvBool)
		raise_wrong_type(what, key, "true or false");
	return v->val.boolean;
}

Jsonb *
dpipe_json_document(const Jsonb *jb, const char *key)
{
	JsonbValue *v = dpipe_json_field(jb, key);

	if (v == NULL || v->type == jbvNull)
		return NULL;
	return JsonbValueToJsonb(v);
}
