/*
 * functions.c
 *		What a template of a project sees that depends on how it was loaded.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "utils/builtins.h"

#include "project/scope.h"

/*
 * Only what the project was loaded with: the server's environment is nobody's
 * business here.
 */
static JinjaValue *
fn_env_var(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "var", "env_var");
	JinjaValue *deflt = jinja_arg(args, 1, "default");
	PdDoc	   *value = pd_get(scope->load->env, name);

	if (!pd_is_null(value))
		return jinja_string(env, value->kind == PD_STRING ? value->u.text : pd_to_json(value));
	if (deflt == NULL || jinja_kind(deflt) == JINJA_NONE)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "Env var required but not provided: '%s'",
					name);
	return deflt;
}

JinjaValue *
pj_function(PjScope *scope, const char *name)
{
	JinjaEnv   *env = scope->env;

	if (strcmp(name, "env_var") == 0)
		return jinja_function(env, "env_var", fn_env_var, scope);
	if (strcmp(name, "run_started_at") == 0)
		return jinja_timestamptz(env, GetCurrentTransactionStartTimestamp());
	if (strcmp(name, "target") == 0)
		return pj_doc_value(env, scope->load->target);
	if (strcmp(name, "flags") == 0)
		return pj_doc_value(env, scope->load->flags);
	if (strcmp(name, "project_name") == 0 && scope->load->root != NULL)
		return jinja_string(env, scope->load->root->name);
	if (strcmp(name, "invocation_id") == 0)
		return jinja_string(env, "00000000-0000-0000-0000-000000000000");
	return dpipe_host_value(&scope->host, name);
}
