/*
 * naming.c
 *		In which schema and under which name a node's relation is made:
 *		generate_schema_name, generate_alias_name, generate_database_name.
 *
 * A macro of the node's package comes first, then one of the root project,
 * then what dbt's own would dispatch to; where there is none, no template is
 * rendered.
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
	return pd_truth(version) ? pd_scalar_text(version) : NULL;
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

/* NULL: dbt's own, and that finds nothing of the project's to dispatch to. */
static PjMacro *
naming_macro(const PjLoad *load, const PjNode *node, const char *name)
{
	PjMacro    *macro = pj_find_macro(load, node->project->name, name);

	if (macro == NULL)
		macro = pj_find_macro(load, load->root->name, name);
	return macro != NULL ? macro : pj_dispatched_macro(load, name);
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
