/*
 * render.c
 *		What a template of a model sees: dbt's context.
 *
 * A text is rendered twice. While it is parsed (execute is false) ref(),
 * source() and config() note what they were called with; that is how
 * dependencies are found, and a branch that is not taken then is not seen, as
 * in dbt. When it is rendered to be run, config() prints nothing and ref()
 * resolves against the graph.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/identity.h"
#include "base/json.h"
#include "jinja/jinja.h"
#include "project/host.h"
#include "project/loading.h"
#include "project/open.h"
#include "project/project.h"
#include "project/relation.h"
#include "project/scope.h"

static char *
string_arg(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, const char *function)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	if (v == NULL || jinja_kind(v) != JINJA_STRING)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "%s() takes %s as a string", function,
					name);
	return jinja_to_cstring(env, v);
}

/* Note a name, in memory that outlives the rendering. */
static void
add_once(DpipeRendering *r, List **list, const char *s)
{
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, *list)
	{
		if (strcmp(lfirst(lc), s) == 0)
			return;
	}
	old = MemoryContextSwitchTo(r->cxt);
	*list = lappend(*list, pstrdup(s));
	MemoryContextSwitchTo(old);
}

/* ---------- ref and source ---------- */

static void
pg_attribute_noreturn() raise_not_inferred(JinjaEnv *env, const DpipeNode *node, const char *name)
{
	jinja_raise(env, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				"dbt was unable to infer all dependencies for the model \"%s\".\n"
				"This typically happens when ref() is placed within a conditional block.\n\n"
				"To fix this, add the following hint to the top of the model \"%s\":\n\n"
				"-- depends_on: {{ ref('%s') }}",
				node->name, node->name, name);
}

static bool
has_ref(const DpipeNode *node, const char *id)
{
	ListCell   *lc;

	foreach(lc, node->refs)
	{
		if (strcmp(lfirst(lc), id) == 0)
			return true;
	}
	return false;
}

/* How a text's list of references names one: model.dpipe.x for any ref('x') */
static char *
ref_id(const char *package, const char *name, const char *version)
{
	return psprintf("%s%s%s", dpipe_model_id(package != NULL ? package : DPIPE_PACKAGE, name),
					version != NULL ? ".v" : "", version != NULL ? version : "");
}

static bool
names_own(const char *package, const char *version)
{
	return version == NULL && (package == NULL || strcmp(package, DPIPE_PACKAGE) == 0);
}

/* A model may read what is private only in its own group. */
static void
check_access(JinjaEnv *env, DpipeRendering *r, const PjNode *target)
{
	const char *access = pd_get_text(target->more, "access");
	const char *group = pd_get_text(target->config, "group");
	JsonbValue *own = dpipe_json_field(r->node->config, "group");

	if (access == NULL || strcmp(access, "private") != 0 || group == NULL)
		return;
	if (own != NULL && own->type == jbvString && own->val.string.len == strlen(group) &&
		strncmp(own->val.string.val, group, strlen(group)) == 0)
		return;
	jinja_raise(env, ERRCODE_INSUFFICIENT_PRIVILEGE,
				"Node %s attempted to reference node %s, which is not allowed because the referenced node is private to the '%s' group.",
				r->node->unique_id, target->unique_id, group);
}

/* A node of the project beside the model; NULL: there is none. */
static JinjaValue *
ref_beside(JinjaEnv *env, DpipeRendering *r, const char *name, const char *package,
		   const char *version, bool *disabled)
{
	PjNode	   *target;

	if (r->beside == NULL)
		return NULL;
	target = pj_find_ref(r->beside->load, name, package,
						 version != NULL ? pd_string(version) : NULL, r->beside->project, disabled);
	if (target == NULL)
		return NULL;
	check_access(env, r, target);
	return pj_node_relation(r->beside, target);
}

/*
 * ref('model'), ref('package', 'model'), with a version or not. Models of
 * dpipe_create_model come first, so that a project that is loaded later
 * changes nothing that they mean.
 */
static JinjaValue *
context_ref(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;
	const char *package = NULL;
	char	   *version = dpipe_arg_text_given(env, args, -1, "version");
	const char *name;
	char	   *id;
	bool		disabled = false;
	DpipeNode  *target;
	JinjaValue *relation;

	if (version == NULL)
		version = dpipe_arg_text_given(env, args, -1, "v");
	if (args->nargs < 1 || args->nargs > 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"ref() takes at most two positional arguments (%d given)", args->nargs);
	if (args->nargs == 2)
		package = string_arg(env, args, 0, "package", "ref");
	name = string_arg(env, args, args->nargs - 1, "name", "ref");
	id = ref_id(package, name, version);
	if (!r->execute)
	{
		add_once(r, &r->parsed.refs, id);
		return dpipe_relation_value(env, r->node->base_schema, name);
	}
	target = names_own(package, version) ? dpipe_graph_find(r->graph, id) : NULL;
	if (target != NULL && target->type != DPIPE_NODE_MODEL)
		target = NULL;
	disabled = target != NULL && !target->enabled;
	if (target != NULL)
		relation = disabled ? NULL : dpipe_relation_value(env, target->schema, target->alias);
	else
		relation = ref_beside(env, r, name, package, version, &disabled);
	if (relation != NULL && !has_ref(r->node, id))
		raise_not_inferred(env, r->node, name);
	if (relation == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_OBJECT,
					"Model '%s' depends on a node named '%s'%s%s which %s", r->node->unique_id,
					name, package != NULL ? psprintf(" in package or project '%s'", package) : "",
					version != NULL ? psprintf(" with version '%s'", version) : "",
					disabled ? "is disabled" : "was not found");
	return relation;
}

/* source('schema', 'table'): without a declaration that very relation */
static JinjaValue *
context_source(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;
	char	   *schema;
	char	   *name;
	PjNode	   *declared = NULL;
	bool		disabled;

	if (args->nargs != 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"source() takes exactly two arguments (%d given)", args->nargs);
	schema = string_arg(env, args, 0, "source_name", "source");
	name = string_arg(env, args, 1, "table_name", "source");
	if (!r->execute)
		add_once(r, &r->parsed.sources, dpipe_relation_key(schema, name));
	else if (r->beside != NULL)
		declared = pj_find_source(r->beside->load, schema, name, r->beside->project, &disabled);
	return declared != NULL ? pj_node_relation(r->beside, declared)
		: dpipe_relation_value(env, schema, name);
}

/* ---------- config ---------- */

static void
config_note(JinjaEnv *env, void *arg, JinjaValue *said)
{
	DpipeRendering *r = arg;
	Datum		captured = JsonbPGetDatum(jinja_to_jsonb(env, said));
	MemoryContext old = MemoryContextSwitchTo(r->cxt);

	if (r->parsed.config == NULL)
		r->parsed.config = DatumGetJsonbPCopy(captured);
	else
		r->parsed.config = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
															  JsonbPGetDatum(r->parsed.config),
															  captured));
	MemoryContextSwitchTo(old);
}

static JinjaValue *
config_lookup(JinjaEnv *env, void *arg, const char *key)
{
	DpipeRendering *r = arg;
	JsonbValue *v = r->execute ? dpipe_json_field(r->node->config, key) : NULL;

	return v == NULL ? NULL : jinja_from_jsonb(env, JsonbValueToJsonb(v));
}

static JinjaValue *model_value(JinjaEnv *env, const DpipeNode *node);

static JinjaValue *
config_model(JinjaEnv *env, void *arg)
{
	return model_value(env, ((DpipeRendering *) arg)->node);
}

static const DpipeConfigOps config_ops = {config_lookup, config_note, config_model};

/* ---------- var ---------- */

/* What the project beside the model has, for packages and for this one. */
static PdDoc *
vars_beside(const DpipeRendering *r)
{
	PdDoc	   *vars = pd_dict();
	const PjLoad *load = r->beside != NULL ? r->beside->load : NULL;
	PdDoc	   *root = load != NULL ? load->root->vars : NULL;

	if (pd_is(root, PD_DICT))
		pd_update(vars, root);
	if (pd_is(pd_get(root, DPIPE_PACKAGE), PD_DICT))
		pd_update(vars, pd_get(root, DPIPE_PACKAGE));
	if (load != NULL && load->vars != NULL)
		pd_update(vars, load->vars);
	return vars;
}

static JinjaValue *
var_value(JinjaEnv *env, DpipeRendering *r, const char *name)
{
	JsonbValue *v = dpipe_json_field(r->vars, name);
	PdDoc	   *beside;

	if (v != NULL)
		return jinja_from_jsonb(env, JsonbValueToJsonb(v));
	beside = pd_get(vars_beside(r), name);
	return beside != NULL ? pj_doc_value(env, beside) : NULL;
}

static PdDoc *
vars_doc(const DpipeRendering *r)
{
	PdDoc	   *vars = vars_beside(r);

	if (r->vars != NULL)
		pd_update(vars, pd_from_jsonb(r->vars));
	return vars;
}

static JinjaValue *
var_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	DpipeRendering *r = object;
	char	   *name = string_arg(env, args, 0, "var_name", "var");
	JinjaValue *v = var_value(env, r, name);

	if (v == NULL)
		v = jinja_arg(args, 1, "default");
	if (v != NULL)
		return v;
	if (!r->execute)
		return jinja_none(env);
	dpipe_raise_no_var(env, name, r->node->name, vars_doc(r));
}

static JinjaValue *
var_has_var(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *name = string_arg(env, args, 0, "var_name", "has_var");

	return jinja_bool(env, var_value(env, arg, name) != NULL);
}

static JinjaValue *
var_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "node_name") == 0)
		return jinja_string(env, ((DpipeRendering *) object)->node->name);
	return strcmp(name, "has_var") == 0 ? jinja_function(env, "has_var", var_has_var, object)
		: NULL;
}

static const JinjaObjectOps var_ops = {"var", var_attribute, NULL, var_call};

/* ---------- functions ---------- */

static JinjaValue *
context_is_incremental(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;

	return jinja_bool(env, r->execute && dpipe_node_is_incremental(r->node, r->full_refresh));
}

static bool
full_refresh_of(const DpipeNode *node, bool asked)
{
	return dpipe_json_bool(node->config, "config", "full_refresh", asked);
}

static JinjaValue *
context_should_full_refresh(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;

	return jinja_bool(env, r->execute && full_refresh_of(r->node, r->full_refresh));
}

static JinjaValue *
context_env_var(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;
	char	   *name = string_arg(env, args, 0, "var", "env_var");
	JinjaValue *deflt = jinja_arg(args, 1, "default");

	PdDoc	   *given;

	dpipe_check_env_var(env, name);
	/* The server's environment is nobody's business here. */
	given = r->beside != NULL ? pd_get(r->beside->load->env, name) : NULL;
	if (!pd_is_null(given))
		return jinja_string(env, given->kind == PD_STRING ? given->u.text : pd_to_json(given));
	if (deflt == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "Env var required but not provided: '%s'",
					name);
	return deflt;
}

/* ---------- dpipe.new_rows ---------- */

static JinjaValue *
dpipe_new_rows_function(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRendering *r = arg;
	JinjaValue *v = jinja_arg(args, 0, "relation");
	const DpipeRelation *rel = v != NULL ? dpipe_relation_of(v) : NULL;

	if (rel == NULL || args->nargs + args->nkwargs != 1)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"dpipe.new_rows() takes one relation, such as source('raw', 'events')");
	if (!r->execute)
		return v;
	if (strcmp(r->node->materialized, "incremental") != 0)
		jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
					"dpipe.new_rows() is for incremental models: model \"%s\" is a %s",
					r->node->name, r->node->materialized);
	return jinja_string(env, r->new_rows(r, rel->path[DPIPE_SCHEMA], rel->path[DPIPE_IDENTIFIER]));
}

/* ---------- the context ---------- */

static JinjaValue *
target_value(JinjaEnv *env, DpipeRendering *r)
{
	bool		known = OidIsValid(r->node->owner);
	char	   *user = GetUserNameFromId(known ? r->node->owner : GetUserId(), false);

	return pj_doc_value(env, dpipe_target_doc(DPIPE_PACKAGE, "default", r->node->base_schema,
											  user, 1));
}

static JinjaValue *
string_list(JinjaEnv *env, List *strings)
{
	JinjaValue *list = jinja_list(env);
	ListCell   *lc;

	foreach(lc, strings)
		jinja_list_append(env, list, jinja_string(env, lfirst(lc)));
	return list;
}

static JinjaValue *
model_value(JinjaEnv *env, const DpipeNode *node)
{
	JinjaValue *m = jinja_dict(env);
	JinjaValue *depends = jinja_dict(env);
	JinjaValue *fqn = jinja_list(env);

	jinja_list_append(env, fqn, jinja_string(env, DPIPE_PACKAGE));
	jinja_list_append(env, fqn, jinja_string(env, node->name));
	jinja_dict_set(env, depends, "nodes", string_list(env, node->refs));
	jinja_dict_set(env, m, "name", jinja_string(env, node->name));
	jinja_dict_set(env, m, "unique_id", jinja_string(env, node->unique_id));
	jinja_dict_set(env, m, "resource_type", jinja_string(env, "model"));
	jinja_dict_set(env, m, "package_name", jinja_string(env, DPIPE_PACKAGE));
	jinja_dict_set(env, m, "alias", jinja_string(env, node->alias));
	jinja_dict_set(env, m, "schema", jinja_string(env, node->schema));
	jinja_dict_set(env, m, "database", jinja_string(env, get_database_name(MyDatabaseId)));
	jinja_dict_set(env, m, "fqn", fqn);
	jinja_dict_set(env, m, "tags", string_list(env, node->tags));
	jinja_dict_set(env, m, "config", jinja_from_jsonb(env, node->config));
	jinja_dict_set(env, m, "language", jinja_string(env, "sql"));
	jinja_dict_set(env, m, "raw_code", jinja_string(env, node->sql));
	jinja_dict_set(env, m, "raw_sql", jinja_string(env, node->sql));
	jinja_dict_set(env, m, "depends_on", depends);
	return m;
}

/*
 * The project's graph with the models of dpipe_create_model that belong to the
 * model's owner. While a text is parsed there is none, as in dbt.
 */
static JinjaValue *
graph_value(JinjaEnv *env, DpipeRendering *r)
{
	JinjaValue *graph;
	JinjaValue *nodes;
	ListCell   *lc;

	if (r->beside != NULL && r->execute)
		graph = pj_graph_value(r->beside);
	else
	{
		graph = jinja_dict(env);
		jinja_dict_set(env, graph, "nodes", jinja_dict(env));
		jinja_dict_set(env, graph, "sources", jinja_dict(env));
	}
	nodes = jinja_dict_get(env, graph, "nodes");
	foreach(lc, r->execute && r->graph != NULL ? r->graph->nodes : NIL)
	{
		DpipeNode  *node = lfirst(lc);

		if (node->type == DPIPE_NODE_MODEL && node->enabled && node->owner == r->node->owner)
			jinja_dict_set(env, nodes, node->unique_id, model_value(env, node));
	}
	return graph;
}

static PdDoc *
flags_of(const DpipeRendering *r)
{
	PdDoc	   *flags = pd_dict();

	dpipe_invocation_flags(flags, r->command != NULL ? r->command : "parse", r->full_refresh,
						   false);
	return flags;
}

static JinjaValue *
selected_value(JinjaEnv *env, const DpipeRendering *r)
{
	return r->execute ? string_list(env, r->selected) : jinja_list(env);
}

/* Hooks are not run yet; the config has them as they were given. */
static JinjaValue *
hooks_value(JinjaEnv *env, DpipeRendering *r, const char *name)
{
	JinjaValue *hooks = config_lookup(env, r, name);

	return hooks != NULL && jinja_kind(hooks) == JINJA_LIST ? hooks : jinja_list(env);
}

/* There are none to be read. */
static JinjaValue *
context_metric(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_none(env);
}

static const DpipeMember functions[] = {
	{"env_var", context_env_var},
	{"is_incremental", context_is_incremental},
	{"metric", context_metric},
	{"ref", context_ref},
	{"should_full_refresh", context_should_full_refresh},
	{"source", context_source},
	{NULL}
};

static const DpipeMember dpipe_functions[] = {
	{"new_rows", dpipe_new_rows_function},
	{NULL}
};

static JinjaValue *
dpipe_attribute(JinjaEnv *env, void *object, const char *name)
{
	return dpipe_member(env, dpipe_functions, name, object);
}

static const JinjaObjectOps dpipe_ops = {"dpipe", dpipe_attribute};

static JinjaValue *node_value(JinjaEnv *env, DpipeRendering *r, const char *name);

/* What is there even if a macro has taken its name. */
static JinjaValue *
builtins_get(void *arg, const char *name)
{
	DpipeRendering *r = arg;
	JinjaEnv   *env = r->host->env;
	JinjaValue *v = dpipe_member(env, functions, name, r);

	if (v == NULL)
		v = node_value(env, r, name);
	return v != NULL ? v : dpipe_host_value(r->host, name);
}

static List *
builtins_list(void *arg)
{
	return dpipe_context_names();
}

static JinjaValue *
context_get(void *arg, const char *name)
{
	DpipeRendering *r = arg;

	return jinja_context_get(r->host->env, r->host->context, name);
}

static void
context_put(void *arg, const char *name, JinjaValue *value)
{
	DpipeRendering *r = arg;

	jinja_context_update(r->host->env, r->host->context, name, value);
}

static List *
context_list(void *arg)
{
	DpipeRendering *r = arg;
	List	   *names = list_concat(dpipe_context_names(), dpipe_builtin_names(r->host));

	names = lappend(lappend(lappend(lappend(names, "builtins"), "context"), "dbt"), "dpipe");
	return dpipe_with_updates(r->host->context, names);
}

static JinjaValue *
node_value(JinjaEnv *env, DpipeRendering *r, const char *name)
{
	if (strcmp(name, "config") == 0)
		return dpipe_config_value(env, &config_ops, r, r->node->unique_id, r->execute);
	if (strcmp(name, "var") == 0)
		return jinja_object(env, &var_ops, r);
	if (strcmp(name, "this") == 0)
		return dpipe_relation_value(env, r->node->schema, r->node->alias);
	if (strcmp(name, "model") == 0)
		return model_value(env, r->node);
	if (strcmp(name, "graph") == 0)
		return graph_value(env, r);
	if (strcmp(name, "target") == 0)
		return target_value(env, r);
	if (strcmp(name, "flags") == 0)
		return pj_doc_value(env, flags_of(r));
	if (strcmp(name, "env") == 0)
		return target_value(env, r);
	if (strcmp(name, "invocation_args_dict") == 0)
		return pj_doc_value(env, dpipe_invocation_args(flags_of(r), vars_doc(r)));
	if (strcmp(name, "selected_resources") == 0)
		return selected_value(env, r);
	if (strcmp(name, "pre_hooks") == 0 || strcmp(name, "post_hooks") == 0)
		return hooks_value(env, r, name);
	if (strcmp(name, "compiled_code") == 0 || strcmp(name, "sql") == 0 ||
		strcmp(name, "defer_relation") == 0)
		return jinja_none(env);
	if (strcmp(name, "dpipe") == 0)
		return jinja_object(env, &dpipe_ops, r);
	if (strcmp(name, "builtins") == 0)
		return dpipe_names_value(env, builtins_get, builtins_list, r);
	if (strcmp(name, "context") == 0)
		return dpipe_writable_names(env, context_get, context_list, context_put, r);
	if (strcmp(name, "schema") == 0)
		return jinja_string(env, r->node->schema);
	if (strcmp(name, "database") == 0)
		return jinja_string(env, get_database_name(MyDatabaseId));
	if (strcmp(name, "project_name") == 0)
		return jinja_string(env, DPIPE_PACKAGE);
	if (strcmp(name, "invocation_id") == 0)
		return jinja_string(env, r->invocation_id ? r->invocation_id : dpipe_invocation_id());
	if (strcmp(name, "run_started_at") == 0)
		return jinja_timestamptz(env, r->started_at);
	return NULL;
}

/*
 * Macros of the project beside the model, what depends on the node, what dbt's
 * own macros are, and the rest. dbt lets its own macros come before the node;
 * none has a name of that kind but is_incremental and should_full_refresh,
 * which mean the same.
 */
static JinjaValue *
lookup(JinjaEnv *env, void *arg, const char *name)
{
	DpipeRendering *r = arg;
	JinjaValue *v = r->beside != NULL ? pj_macro_or_package(r->beside, name) : NULL;

	if (v == NULL)
		v = dpipe_member(env, functions, name, r);
	if (v == NULL)
		v = node_value(env, r, name);
	if (v == NULL && strcmp(name, "dbt") == 0)
		v = dpipe_builtin_namespace(r->host);
	if (v == NULL)
		v = dpipe_builtin_macro(r->host, name);
	return v != NULL ? v : dpipe_host_value(r->host, name);
}

static JinjaValue *
find_macro(DpipeHost *host, const char *package, const char *name)
{
	return package == NULL || strcmp(package, "dbt") == 0 ? dpipe_builtin_macro(host, name) : NULL;
}

static List *
search_order(DpipeHost *host, const char *macro_namespace)
{
	return list_make1(pstrdup(macro_namespace));
}

char *
dpipe_node_render(DpipeRendering *r, const char *text)
{
	PjLoad	   *project = pj_beside(r->node);
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	DpipeHost	host = {.env = env};
	PjScope		beside;
	JinjaTemplate *tmpl;
	char	   *result;

	host.context = jinja_context_create(env, NULL, lookup, r);
	host.execute = r->execute;
	host.owner = r->node->owner;
	host.resource_type = "model";
	host.search_path = r->node->search_path;
	host.find_macro = find_macro;
	host.search_order = search_order;
	if (project != NULL)
		pj_scope_borrow(&beside, project, &host);
	r->host = &host;
	r->beside = project != NULL ? &beside : NULL;
	r->cxt = CurrentMemoryContext;
	tmpl = jinja_parse_dialect(jinja_env_context(env), r->node->name, text, strlen(text),
							   &dpipe_dialect);
	result = jinja_render_in(env, host.context, tmpl);
	if (project != NULL)
		result = pj_with_ephemeral(&beside, result, r->full_refresh,
								   r->command != NULL ? r->command : "parse");
	jinja_env_destroy(env);
	r->host = NULL;
	r->beside = NULL;
	return result;
}

/*
 * Before the text has spoken, schema and alias are what the argument "config"
 * says; {{ this }} is only a placeholder then.
 */
void
dpipe_node_parse(DpipeNode *node, const Jsonb *vars, DpipeParsed *parsed)
{
	DpipeRendering r;

	dpipe_node_configure(node, NULL);
	memset(&r, 0, sizeof(r));
	r.node = node;
	r.vars = vars;
	r.started_at = GetCurrentTransactionStartTimestamp();
	(void) dpipe_node_render(&r, node->sql);
	*parsed = r.parsed;
}

bool
dpipe_node_is_incremental(const DpipeNode *node, bool full_refresh)
{
	RangeVar   *rv;
	Oid			relid;
	char		kind;

	if (strcmp(node->materialized, "incremental") != 0 || full_refresh_of(node, full_refresh))
		return false;
	rv = makeRangeVar(node->schema, node->alias, -1);
	if (!OidIsValid(LookupExplicitNamespace(node->schema, true)))
		return false;
	relid = RangeVarGetRelid(rv, NoLock, true);
	kind = OidIsValid(relid) ? get_rel_relkind(relid) : 0;
	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
}
