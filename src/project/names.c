/*
 * names.c
 *		Dicts whose values are made when they are asked for: context, builtins,
 *		and the macros of a package.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/host.h"

/* What dbt's "builtins" holds. */
static const char *const context_names[] = {
	"_sql_results", "adapter", "adapter_macro", "api", "column", "compiled_code", "config",
	"database", "dbt_metadata_envs", "dbt_version", "defer_relation", "diff_of_two_dicts", "env",
	"env_var", "exceptions", "execute", "flags", "fromjson", "fromyaml", "function", "graph",
	"invocation_args_dict", "invocation_id", "load_agate_table", "load_result", "local_md5", "log",
	"metric", "model", "modules", "post_hooks", "pre_hooks", "print", "project_name", "ref",
	"render", "return", "run_started_at", "schema", "selected_resources", "set", "set_strict",
	"source", "sql", "sql_now", "store_raw_result", "store_result", "submit_python_job", "target",
	"this", "thread_id", "tojson", "toyaml", "try_or_compiler_error", "validation", "var", "write",
	"zip", "zip_strict",
};

List *
dpipe_context_names(void)
{
	List	   *names = NIL;

	for (int i = 0; i < lengthof(context_names); i++)
		names = lappend(names, (void *) context_names[i]);
	return names;
}

static JinjaValue *
names_get(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	JinjaValue *value = names->get(names->arg, dpipe_arg_text(env, args, 0, "key", "get"));

	if (value == NULL)
		value = jinja_arg(args, 1, "default");
	return value != NULL ? value : jinja_none(env);
}

static JinjaValue *
list_of_names(JinjaEnv *env, const DpipeNames *names)
{
	JinjaValue *list = jinja_list(env);
	ListCell   *lc;

	foreach(lc, names->list(names->arg))
		jinja_list_append(env, list, jinja_string(env, lfirst(lc)));
	return list;
}

static JinjaValue *
names_keys(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return list_of_names(env, arg);
}

/* What is listed and not there, such as "this" outside of a node, is none. */
static JinjaValue *
value_of(JinjaEnv *env, const DpipeNames *names, const char *name)
{
	JinjaValue *value = names->get(names->arg, name);

	return value != NULL ? value : jinja_none(env);
}

static JinjaValue *
names_items(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	JinjaValue *list = jinja_list(env);
	ListCell   *lc;

	foreach(lc, names->list(names->arg))
	{
		JinjaValue *pair[2] = {jinja_string(env, lfirst(lc)), value_of(env, names, lfirst(lc))};

		jinja_list_append(env, list, jinja_tuple(env, 2, pair));
	}
	return list;
}

static JinjaValue *
names_values(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	JinjaValue *list = jinja_list(env);
	ListCell   *lc;

	foreach(lc, names->list(names->arg))
		jinja_list_append(env, list, value_of(env, names, lfirst(lc)));
	return list;
}

static const DpipeMember members[] = {
	{"get", names_get},
	{"items", names_items},
	{"keys", names_keys},
	{"values", names_values},
	{NULL}
};

/* ---------- changes ---------- */

static JinjaValue *
names_update(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	JinjaValue *given = jinja_dict(env);

	(void) jinja_call(env, jinja_attribute(env, given, "update"), args);
	for (int i = 0; i < jinja_length(given); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(given, i, &key, &value);
		if (jinja_kind(key) == JINJA_STRING)
			names->put(names->arg, jinja_to_cstring(env, key), value);
	}
	return jinja_none(env);
}

static JinjaValue *
names_setdefault(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "key", "setdefault");
	JinjaValue *value = names->get(names->arg, name);

	if (value == NULL)
	{
		value = jinja_arg(args, 1, "default");
		if (value == NULL)
			value = jinja_none(env);
		names->put(names->arg, name, value);
	}
	return value;
}

static JinjaValue *
names_pop(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeNames *names = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "key", "pop");
	JinjaValue *value = names->get(names->arg, name);

	if (value != NULL)
		names->put(names->arg, name, NULL);
	else if ((value = jinja_arg(args, 1, "default")) == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_OBJECT, "'%s'", name);
	return value;
}

static const DpipeMember changes[] = {
	{"pop", names_pop},
	{"setdefault", names_setdefault},
	{"update", names_update},
	{NULL}
};

List *
dpipe_with_updates(const JinjaContext *context, List *list)
{
	const char *name;

	for (int i = 0; (name = jinja_context_updated(context, i)) != NULL; i++)
	{
		bool		listed = false;
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, list)
			listed = listed || strcmp(lfirst(lc), name) == 0;
		if (!listed)
			list = lappend(list, (void *) name);
	}
	return list;
}

/* ---------- the dict ---------- */

static JinjaValue *
names_attribute(JinjaEnv *env, void *object, const char *name)
{
	const DpipeNames *names = object;
	JinjaValue *member = dpipe_member(env, members, name, object);

	if (member == NULL && names->put != NULL)
		member = dpipe_member(env, changes, name, object);
	return member != NULL ? member : names->get(names->arg, name);
}

static JinjaValue *
names_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	const DpipeNames *names = object;

	return jinja_kind(index) == JINJA_STRING
		? names->get(names->arg, jinja_to_cstring(env, index)) : NULL;
}

static JinjaValue *
names_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other, bool reflected)
{
	bool		known;

	if (!reflected || (op != JINJA_OP_IN && op != JINJA_OP_NOT_IN))
		return NULL;
	known = names_item(env, object, other) != NULL;
	return jinja_bool(env, known == (op == JINJA_OP_IN));
}

static JinjaValue *
names_iterate(JinjaEnv *env, void *object)
{
	return list_of_names(env, object);
}

static int64
names_length(JinjaEnv *env, void *object)
{
	const DpipeNames *names = object;

	return list_length(names->list(names->arg));
}

static const JinjaObjectOps names_ops = {
	.type_name = "dict",
	.get_attribute = names_attribute,
	.get_item = names_item,
	.length = names_length,
	.iterate = names_iterate,
	.binary = names_binary,
	.is_mapping = true,
};

JinjaValue *
dpipe_names_value(JinjaEnv *env, DpipeNamesGet get, DpipeNamesList list, void *arg)
{
	return dpipe_writable_names(env, get, list, NULL, arg);
}

JinjaValue *
dpipe_writable_names(JinjaEnv *env, DpipeNamesGet get, DpipeNamesList list, DpipeNamesPut put,
					 void *arg)
{
	DpipeNames *names = MemoryContextAlloc(jinja_env_context(env), sizeof(DpipeNames));

	names->get = get;
	names->list = list;
	names->put = put;
	names->arg = arg;
	return jinja_object(env, &names_ops, names);
}
