/*
 * functions.c
 *		Functions of dbt's context that know nothing of nodes.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "common/md5.h"
#include "utils/builtins.h"

#include "project/scope.h"
#include "project/yaml.h"

#define DBT_VERSION "1.11.16"

static JinjaValue *
required(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, const char *function)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	if (v == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "%s() misses its argument \"%s\"",
					function, name);
	return v;
}

static JinjaValue *
fn_return(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = jinja_arg(args, 0, "data");

	jinja_return(env, v != NULL ? v : jinja_none(env));
	return NULL;				/* not reached */
}

static JinjaValue *
fn_log(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	JinjaValue *info = jinja_arg(args, 1, "info");
	char	   *msg = jinja_to_cstring(env, required(env, args, 0, "msg", "log"));

	if (scope->execute)
		ereport(info != NULL && jinja_truth(env, info) ? NOTICE : DEBUG1, (errmsg("%s", msg)));
	return jinja_string(env, "");
}

static JinjaValue *
fn_print(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	char	   *msg = jinja_to_cstring(env, required(env, args, 0, "msg", "print"));

	if (scope->execute)
		ereport(NOTICE, (errmsg("%s", msg)));
	return jinja_string(env, "");
}

static JinjaValue *
fn_tojson(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = required(env, args, 0, "value", "tojson");
	JinjaValue *sort = jinja_arg(args, 2, "sort_keys");

	return jinja_string(env, jinja_to_json(env, v, sort != NULL && jinja_truth(env, sort)));
}

static JinjaValue *
fn_fromjson(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *s = jinja_to_cstring(env, required(env, args, 0, "string", "fromjson"));

	return jinja_from_json(env, s, strlen(s));
}

static JinjaValue *
fn_fromyaml(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *s = jinja_to_cstring(env, required(env, args, 0, "value", "fromyaml"));

	return pj_doc_value(env, dpipe_yaml_parse("fromyaml()", s, strlen(s)));
}

static JinjaValue *
fn_set(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *list = jinja_to_list(env, required(env, args, 0, "value", "set"));
	JinjaValue *set = jinja_set(env);

	for (int i = 0; i < jinja_length(list); i++)
		jinja_set_add(env, set, jinja_list_get(list, i));
	return set;
}

static JinjaValue *
fn_zip(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *result = jinja_list(env);
	JinjaValue **lists = palloc(sizeof(JinjaValue *) * Max(args->nargs, 1));
	JinjaValue **items = palloc(sizeof(JinjaValue *) * Max(args->nargs, 1));
	int			n = args->nargs > 0 ? PG_INT32_MAX : 0;

	for (int i = 0; i < args->nargs; i++)
	{
		lists[i] = jinja_to_list(env, args->args[i]);
		n = Min(n, jinja_length(lists[i]));
	}
	for (int row = 0; row < n; row++)
	{
		for (int i = 0; i < args->nargs; i++)
			items[i] = jinja_list_get(lists[i], row);
		jinja_list_append(env, result, jinja_tuple(env, args->nargs, items));
	}
	return result;
}

static JinjaValue *
fn_local_md5(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *s = jinja_to_cstring(env, required(env, args, 0, "value", "local_md5"));
	char		hex[33];
	const char *errstr = NULL;

	if (!pg_md5_hash(s, strlen(s), hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	return jinja_string(env, hex);
}

/*
 * Only what the project was loaded with: the server's environment is nobody's
 * business here.
 */
static JinjaValue *
fn_env_var(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	char	   *name = jinja_to_cstring(env, required(env, args, 0, "var", "env_var"));
	JinjaValue *deflt = jinja_arg(args, 1, "default");
	PdDoc	   *value = pd_get(scope->load->env, name);

	if (!pd_is_null(value))
		return jinja_string(env, value->kind == PD_STRING ? value->u.text : pd_to_json(value));
	if (deflt == NULL || jinja_kind(deflt) == JINJA_NONE)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "Env var required but not provided: '%s'",
					name);
	return deflt;
}

static JinjaValue *
fn_raise_compiler_error(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_RAISE_EXCEPTION, "%s",
				jinja_to_cstring(env, required(env, args, 0, "msg", "raise_compiler_error")));
}

static JinjaValue *
fn_warn(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	ereport(WARNING,
			(errmsg("%s", jinja_to_cstring(env, required(env, args, 0, "msg", "warn")))));
	return jinja_string(env, "");
}

static JinjaValue *
fn_nothing(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, "");
}

/* ---------- values ---------- */

static JinjaValue *
exceptions(PjScope *scope)
{
	static const struct
	{
		const char *name;
		JinjaFunction fn;
	}			members[] = {
		{"raise_compiler_error", fn_raise_compiler_error},
		{"raise_parsing_error", fn_raise_compiler_error},
		{"raise_database_error", fn_raise_compiler_error},
		{"raise_not_implemented", fn_raise_compiler_error},
		{"raise_dependency_error", fn_raise_compiler_error},
		{"raise_fail_fast_error", fn_raise_compiler_error},
		{"warn", fn_warn},
		{"warn_snapshot_timestamp_data_types", fn_nothing},
	};
	JinjaValue *dict = jinja_dict(scope->env);

	for (int i = 0; i < lengthof(members); i++)
		jinja_dict_set(scope->env, dict, members[i].name,
					   jinja_function(scope->env, members[i].name, members[i].fn, scope));
	return dict;
}

JinjaValue *
pj_function(PjScope *scope, const char *name)
{
	static const struct
	{
		const char *name;
		JinjaFunction fn;
	}			functions[] = {
		{"env_var", fn_env_var},
		{"fromjson", fn_fromjson},
		{"fromyaml", fn_fromyaml},
		{"local_md5", fn_local_md5},
		{"log", fn_log},
		{"print", fn_print},
		{"return", fn_return},
		{"set", fn_set},
		{"set_strict", fn_set},
		{"tojson", fn_tojson},
		{"zip", fn_zip},
		{"zip_strict", fn_zip},
	};
	JinjaEnv   *env = scope->env;

	for (int i = 0; i < lengthof(functions); i++)
		if (strcmp(name, functions[i].name) == 0)
			return jinja_function(env, functions[i].name, functions[i].fn, scope);
	if (strcmp(name, "exceptions") == 0)
		return exceptions(scope);
	if (strcmp(name, "modules") == 0)
		return jinja_modules(env);
	if (strcmp(name, "dbt_version") == 0)
		return jinja_string(env, DBT_VERSION);
	if (strcmp(name, "run_started_at") == 0)
		return jinja_timestamptz(env, GetCurrentTransactionStartTimestamp());
	if (strcmp(name, "target") == 0)
		return pj_doc_value(env, scope->load->target);
	if (strcmp(name, "flags") == 0)
		return pj_doc_value(env, scope->load->flags);
	if (strcmp(name, "project_name") == 0 && scope->load->root != NULL)
		return jinja_string(env, scope->load->root->name);
	if (strcmp(name, "thread_id") == 0)
		return jinja_string(env, "Thread-1");
	if (strcmp(name, "invocation_id") == 0)
		return jinja_string(env, "00000000-0000-0000-0000-000000000000");
	return NULL;
}
