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

	/* A profiles.yml belongs to no project. */
	if (scope->project != NULL)
		dpipe_check_env_var(env, name);
	if (!pd_is_null(value))
		return jinja_string(env, value->kind == PD_STRING ? value->u.text : pd_to_json(value));
	if (deflt == NULL || jinja_kind(deflt) == JINJA_NONE)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "Env var required but not provided: '%s'",
					name);
	return deflt;
}

/* What is for whoever reads the run: variables of the environment by prefix. */
static JinjaValue *
metadata_envs(PjScope *scope)
{
	static const char prefix[] = "DBT_ENV_CUSTOM_ENV_";
	const PdDoc *given = scope->load->env;
	JinjaValue *envs = jinja_dict(scope->env);

	for (int i = 0; pd_is(given, PD_DICT) && i < given->n; i++)
	{
		const char *name = pd_text(given->u.entries[i].key);

		if (name != NULL && strncmp(name, prefix, strlen(prefix)) == 0)
			jinja_dict_set(scope->env, envs, name + strlen(prefix),
						   pj_doc_value(scope->env, given->u.entries[i].value));
	}
	return envs;
}

/* In a YAML file there is little: nothing that asks the database. */
static bool
is_of_yaml(const char *name)
{
	static const char *const names[] = {"builtins", "context", "dbt_version", "diff_of_two_dicts",
		"fromjson", "fromyaml", "local_md5", "log", "modules", "print", "return", "set",
	"set_strict", "thread_id", "tojson", "toyaml", "zip", "zip_strict"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
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
		return jinja_string(env, dpipe_invocation_id());
	if (scope->yaml)
		return is_of_yaml(name) ? dpipe_host_value(&scope->host, name) : NULL;
	if (strcmp(name, "env") == 0)
		return pj_doc_value(env, scope->load->target);
	if (strcmp(name, "dbt_metadata_envs") == 0)
		return metadata_envs(scope);
	if (strcmp(name, "invocation_args_dict") == 0)
		return pj_doc_value(env, dpipe_invocation_args(scope->load->flags, scope->load->vars));
	return dpipe_host_value(&scope->host, name);
}
