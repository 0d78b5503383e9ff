/*
 * naming.c
 *		In which schema and under which name a node's relation is made:
 *		generate_schema_name, generate_alias_name, generate_database_name.
 *
 * A macro of the node's package comes first, then one of the root project;
 * where there is none, no template is rendered.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/scope.h"

static char *
trimmed(const char *s)
{
	int			len = strlen(s);

	s = pj_strip(s, &len);
	return pnstrdup(s, len);
}

/* ---------- dbt's own ---------- */

static char *
default_schema(const PjLoad *load, const char *custom)
{
	return custom == NULL ? pstrdup(load->target_schema)
		: psprintf("%s_%s", load->target_schema, trimmed(custom));
}

/* Only production has the custom schema, and nothing but that. */
static char *
schema_for_env(const PjLoad *load, const char *custom)
{
	if (custom != NULL && strcmp(load->target_name, "prod") == 0)
		return trimmed(custom);
	return pstrdup(load->target_schema);
}

static char *
default_alias(const char *custom, const char *name, const char *version)
{
	char	   *alias;

	if (custom != NULL && *custom)
		return trimmed(custom);
	if (version == NULL)
		return pstrdup(name);
	alias = psprintf("%s_v%s", name, version);
	for (char *p = alias + strlen(name); *p; p++)
		if (*p == '.')
			*p = '_';
	return alias;
}

static const char *
version_text(const PdDoc *version)
{
	return pd_is_null(version) ? NULL : pd_scalar_text(version);
}

/* ---------- the same as functions of templates ---------- */

static const char *
custom_arg(JinjaEnv *env, const JinjaArgs *args)
{
	JinjaValue *v = args->nargs > 0 ? args->args[0] : args->nkwargs > 0 ? args->kwvalues[0] : NULL;

	if (v == NULL || jinja_kind(v) == JINJA_NONE || jinja_kind(v) == JINJA_UNDEFINED)
		return NULL;
	return jinja_to_cstring(env, v);
}

static JinjaValue *
fn_schema(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;

	return jinja_string(env, default_schema(scope->load, custom_arg(env, args)));
}

static JinjaValue *
fn_schema_for_env(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;

	return jinja_string(env, schema_for_env(scope->load, custom_arg(env, args)));
}

static JinjaValue *
fn_alias(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *node = jinja_arg(args, 1, "node");
	JinjaValue *name = node != NULL && jinja_kind(node) == JINJA_DICT
		? jinja_dict_get(env, node, "name") : NULL;
	JinjaValue *version = name != NULL ? jinja_dict_get(env, node, "version") : NULL;

	return jinja_string(env, default_alias(custom_arg(env, args),
										   name != NULL ? jinja_to_cstring(env, name) : "",
										   version != NULL && jinja_truth(env, version)
										   ? jinja_to_cstring(env, version) : NULL));
}

static JinjaValue *
fn_database(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	const char *custom = custom_arg(env, args);

	if (custom != NULL)
		return jinja_string(env, trimmed(custom));
	return pj_doc_value(env, pd_get(scope->load->target, "database"));
}

JinjaValue *
pj_naming_function(PjScope *scope, const char *name)
{
	static const struct
	{
		const char *name;
		JinjaFunction fn;
	}			functions[] = {
		{"generate_schema_name", fn_schema},
		{"default__generate_schema_name", fn_schema},
		{"generate_schema_name_for_env", fn_schema_for_env},
		{"generate_alias_name", fn_alias},
		{"default__generate_alias_name", fn_alias},
		{"generate_database_name", fn_database},
		{"default__generate_database_name", fn_database},
	};

	for (int i = 0; i < lengthof(functions); i++)
		if (strcmp(name, functions[i].name) == 0)
			return jinja_function(scope->env, functions[i].name, functions[i].fn, scope);
	return NULL;
}

/* ---------- nodes ---------- */

/* What a macro may ask of the node that it names. */
static PdDoc *
node_summary(const PjNode *node)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "name", pd_string(node->name));
	pd_put(doc, "resource_type", pd_string(node->resource_type));
	pd_put(doc, "package_name", pd_string(node->project->name));
	pd_put(doc, "path", pd_string(node->path));
	pd_put(doc, "original_file_path", pd_string(node->original_path));
	pd_put(doc, "unique_id", pd_string(node->unique_id));
	pd_put(doc, "fqn", node->fqn);
	pd_put(doc, "alias", pd_string(node->alias));
	pd_put(doc, "schema", pd_string(node->schema));
	pd_put(doc, "database", pd_string(node->database));
	pd_put(doc, "config", node->config);
	pd_put(doc, "tags", node->tags);
	pd_put(doc, "meta", node->meta != NULL ? node->meta : pd_dict());
	pd_put(doc, "description", pd_string(node->description ? node->description : ""));
	pd_put(doc, "version", node->version != NULL ? node->version : pd_null());
	return doc;
}

static PjMacro *
naming_macro(const PjLoad *load, const PjNode *node, const char *name)
{
	PjMacro    *macro = pj_find_macro(load, node->project->name, name);

	return macro != NULL || node->project->is_root ? macro
		: pj_find_macro(load, load->root->name, name);
}

static char *
call_macro(PjLoad *load, const PjNode *node, PjMacro *macro, const char *custom)
{
	PjScope		scope;
	JinjaArgs	args = {0};
	JinjaValue *values[2];
	JinjaValue *result;
	char	   *text;

	pj_scope_open(&scope, load, macro->project, NULL);
	values[0] = custom != NULL ? jinja_string(scope.env, custom) : jinja_none(scope.env);
	values[1] = pj_doc_value(scope.env, node_summary(node));
	args.nargs = 2;
	args.args = values;
	result = jinja_call(scope.env, pj_macro_value(&scope, macro), &args);
	text = jinja_kind(result) == JINJA_NONE ? NULL
		: trimmed(jinja_to_cstring(scope.env, result));
	pj_scope_close(&scope);
	return text;
}

void
pj_name_relation(PjLoad *load, PjNode *node)
{
	const char *custom_database = pd_get_text(node->config, "database");
	const char *custom_schema = pd_get_text(node->config, "schema");
	const char *custom_alias = pd_get_text(node->config, "alias");
	PjMacro    *macro;

	macro = naming_macro(load, node, "generate_database_name");
	node->database = macro != NULL ? call_macro(load, node, macro, custom_database)
		: custom_database != NULL ? trimmed(custom_database)
		: pd_get_text(load->target, "database");
	macro = naming_macro(load, node, "generate_schema_name");
	node->schema = macro != NULL ? call_macro(load, node, macro, custom_schema)
		: default_schema(load, custom_schema);
	macro = naming_macro(load, node, "generate_alias_name");
	node->alias = macro != NULL ? call_macro(load, node, macro, custom_alias)
		: default_alias(custom_alias, node->name, version_text(node->version));

	if (strcmp(node->resource_type, "snapshot") != 0)
		return;
	if (pd_truth(pd_get(node->config, "target_database")))
		node->database = pd_get_text(node->config, "target_database");
	if (pd_truth(pd_get(node->config, "target_schema")))
		node->schema = pd_get_text(node->config, "target_schema");
}
