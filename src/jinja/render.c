/*
 * render.c
 *		SQL function dpipe_render(): a template with a jsonb context.
 */
#include "base/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "jinja/jinja_internal.h"

PG_FUNCTION_INFO_V1(dpipe_render);

Datum
dpipe_render(PG_FUNCTION_ARGS)
{
	text	   *source = PG_GETARG_TEXT_PP(0);
	Jsonb	   *context = PG_GETARG_JSONB_P(1);
	JinjaTemplate *tmpl;
	JinjaEnv   *env;
	JinjaValue *vars;
	char	   *result;

	if (!JB_ROOT_IS_OBJECT(context))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("context of a template must be a JSON object")));

	env = jinja_env_create(CurrentMemoryContext);
	tmpl = jinja_cached_template("inline", VARDATA_ANY(source),
								 VARSIZE_ANY_EXHDR(source), NULL);
	vars = jinja_from_jsonb(env, context);
	for (int i = 0; i < jinja_length(vars); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(vars, i, &key, &value);
		jinja_env_set(env, jinja_to_cstring(env, key), value);
	}
	result = jinja_render(env, tmpl);
	jinja_env_destroy(env);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
