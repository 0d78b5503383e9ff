/*
 * host.c
 *		dbt's context by name, arguments of its functions, and what becomes of
 *		the results of statements.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"

#include "project/host.h"
#include "project/table.h"

/* ---------- arguments ---------- */

JinjaValue *
dpipe_member(JinjaEnv *env, const DpipeMember *members, const char *name, void *arg)
{
	for (; members->name != NULL; members++)
		if (strcmp(members->name, name) == 0)
			return jinja_function(env, members->name, members->fn, arg);
	return NULL;
}

bool
dpipe_is_nothing(const JinjaValue *v)
{
	return v == NULL || jinja_kind(v) == JINJA_NONE || jinja_kind(v) == JINJA_UNDEFINED;
}

JinjaValue *
dpipe_arg(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, const char *function)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	if (v == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"%s() missing required argument: '%s'", function, name);
	return v;
}

char *
dpipe_arg_text(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name,
			   const char *function)
{
	return jinja_to_cstring(env, dpipe_arg(env, args, pos, name, function));
}

JinjaValue *
dpipe_arg_given(const JinjaArgs *args, int pos, const char *name)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	return dpipe_is_nothing(v) ? NULL : v;
}

char *
dpipe_arg_text_given(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name)
{
	JinjaValue *v = dpipe_arg_given(args, pos, name);

	return v != NULL ? jinja_to_cstring(env, v) : NULL;
}

bool
dpipe_arg_flag(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, bool deflt)
{
	JinjaValue *v = dpipe_arg_given(args, pos, name);

	return v != NULL ? jinja_truth(env, v) : deflt;
}

/* ---------- results of statements ---------- */

static JinjaValue *
keep_result(DpipeHost *host, const char *name, JinjaValue *response, JinjaValue *given)
{
	JinjaEnv   *env = host->env;
	DpipeTable *table = given != NULL ? dpipe_table_of(given) : NULL;
	JinjaValue *result = jinja_dict(env);

	if (table == NULL)
		table = dpipe_table_create(env, 0, NULL, NULL);
	jinja_dict_set(env, result, "response", response);
	jinja_dict_set(env, result, "data", dpipe_table_matrix(env, table));
	jinja_dict_set(env, result, "table", dpipe_table_value(env, table));
	if (host->results == NULL)
		host->results = jinja_dict(env);
	jinja_dict_set(env, host->results, name, result);
	return jinja_string(env, "");
}

/* store_result(name, response, agate_table=None) */
static JinjaValue *
fn_store_result(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return keep_result(arg, dpipe_arg_text(env, args, 0, "name", "store_result"),
					   dpipe_arg(env, args, 1, "response", "store_result"),
					   dpipe_arg_given(args, 2, "agate_table"));
}

/* store_raw_result(name, message, code, rows_affected, agate_table=None) */
static JinjaValue *
fn_store_raw_result(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *message = dpipe_arg_text_given(env, args, 1, "message");
	char	   *code = dpipe_arg_text_given(env, args, 2, "code");
	JinjaValue *rows = dpipe_arg_given(args, 3, "rows_affected");

	return keep_result(arg, dpipe_arg_text(env, args, 0, "name", "store_raw_result"),
					   dpipe_response_value(env, message != NULL ? message : "",
											code != NULL ? code : "",
											rows != NULL ? rows : jinja_none(env)),
					   dpipe_arg_given(args, 4, "agate_table"));
}

/* A result is given once, but for that of the node itself. */
static JinjaValue *
fn_load_result(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "name", "load_result");
	JinjaValue *result = host->results != NULL ? jinja_dict_get(env, host->results, name) : NULL;

	if (result == NULL)
		return jinja_none(env);
	if (jinja_kind(result) == JINJA_NONE)
		jinja_raise(env, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					"The 'statement' result named '%s' has already been loaded into a variable",
					name);
	if (strcmp(name, "main") != 0)
		jinja_dict_set(env, host->results, name, jinja_none(env));
	return result;
}

static const DpipeMember result_members[] = {
	{"load_result", fn_load_result},
	{"store_raw_result", fn_store_raw_result},
	{"store_result", fn_store_result},
	{NULL}
};

/* ---------- api and validation ---------- */

static JinjaValue *
api_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "Relation") == 0)
		return dpipe_host_relation_class(object);
	if (strcmp(name, "Column") == 0)
		return dpipe_host_column_class(object);
	return NULL;
}

static const JinjaObjectOps api_ops = {
	.type_name = "api",
	.get_attribute = api_attribute,
};

/*
 * validation.any(a, b): a function that refuses what is neither. Python's
 * types have no names in templates, so validation.any[list] is undefined, as
 * in dbt, and calling that does nothing.
 */
static JinjaValue *
validate_any(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *wanted = arg;
	JinjaValue *value = dpipe_arg(env, args, 0, "value", "validator");
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < jinja_length(wanted); i++)
	{
		if (jinja_equal(env, value, jinja_list_get(wanted, i)))
			return jinja_none(env);
		appendStringInfo(&buf, "%s%s", i > 0 ? "," : "",
						 jinja_to_cstring(env, jinja_list_get(wanted, i)));
	}
	jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
				"Expected value \"%s\" to be one of %s", jinja_to_cstring(env, value), buf.data);
}

static JinjaValue *
no_validator(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_none(env);
}

static JinjaValue *
any_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	return jinja_function(env, "any", no_validator, object);
}

static JinjaValue *
any_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	JinjaValue *wanted = jinja_list(env);

	for (int i = 0; i < args->nargs; i++)
		jinja_list_append(env, wanted, args->args[i]);
	return jinja_function(env, "validator", validate_any, wanted);
}

static const JinjaObjectOps any_ops = {
	.type_name = "function",
	.call = any_call,
	.get_item = any_item,
};

static JinjaValue *
validation_attribute(JinjaEnv *env, void *object, const char *name)
{
	return strcmp(name, "any") == 0 ? jinja_object(env, &any_ops, object) : NULL;
}

static const JinjaObjectOps validation_ops = {
	.type_name = "validation",
	.get_attribute = validation_attribute,
};

/* ---------- names ---------- */

JinjaValue *
dpipe_host_value(DpipeHost *host, const char *name)
{
	JinjaEnv   *env = host->env;
	JinjaValue *v = dpipe_host_function(host, name);

	if (v == NULL)
		v = dpipe_member(env, result_members, name, host);
	if (v != NULL)
		return v;
	if (strcmp(name, "adapter") == 0)
		return dpipe_host_adapter(host);
	if (strcmp(name, "api") == 0)
		return jinja_object(env, &api_ops, host);
	if (strcmp(name, "column") == 0)
		return dpipe_host_column_class(host);
	if (strcmp(name, "exceptions") == 0)
		return dpipe_host_exceptions(host);
	if (strcmp(name, "validation") == 0)
		return jinja_object(env, &validation_ops, host);
	if (strcmp(name, "modules") == 0)
		return jinja_modules(env);
	if (strcmp(name, "execute") == 0)
		return jinja_bool(env, host->execute);
	if (strcmp(name, "dbt_version") == 0)
		return jinja_string(env, DPIPE_DBT_VERSION);
	if (strcmp(name, "thread_id") == 0)
		return jinja_string(env, "Thread-1 (worker)");
	if (strcmp(name, "sql_now") == 0)
		return jinja_string(env, "now()");
	if (strcmp(name, "dbt_metadata_envs") == 0)
		return jinja_dict(env);
	if (strcmp(name, "_sql_results") == 0)
	{
		if (host->results == NULL)
			host->results = jinja_dict(env);
		return host->results;
	}
	return NULL;
}
