/*
 * scope.c
 *		What a template of a project sees: macros first, which may replace
 *		anything, then the node, then dbt's functions.
 *
 * Everything is made when it is asked for. All macros of a rendering share
 * its names, so a package's macro finds what the node's project overrides.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/manifest.h"
#include "project/node.h"
#include "project/project.h"
#include "project/relation.h"
#include "project/scope.h"

/* ---------- documents and values ---------- */

/* Keys keep their order. */
JinjaValue *
pj_doc_value(JinjaEnv *env, const PdDoc *doc)
{
	JinjaValue *v;

	check_stack_depth();
	if (doc == NULL)
		return jinja_none(env);
	switch (doc->kind)
	{
		case PD_NULL:
			return jinja_none(env);
		case PD_BOOL:
			return jinja_bool(env, doc->u.boolean);
		case PD_INT:
			return jinja_from_json(env, doc->u.text, doc->n);
		case PD_FLOAT:
			return jinja_float(env, doc->u.real);
		case PD_STRING:
			return jinja_string_len(env, doc->u.text, doc->n);
		case PD_LIST:
			v = jinja_list(env);
			for (int i = 0; i < doc->n; i++)
				jinja_list_append(env, v, pj_doc_value(env, doc->u.items[i]));
			return v;
		case PD_DICT:
			v = jinja_dict(env);
			for (int i = 0; i < doc->n; i++)
				jinja_dict_set_value(env, v, pj_doc_value(env, doc->u.entries[i].key),
									 pj_doc_value(env, doc->u.entries[i].value));
			return v;
	}
	return NULL;
}

static PdDoc *
sequence_doc(JinjaEnv *env, JinjaValue *value)
{
	JinjaValue *items = jinja_to_list(env, value);
	PdDoc	   *list = pd_list();

	for (int i = 0; i < jinja_length(items); i++)
		pd_append(list, pj_value_doc(env, jinja_list_get(items, i)));
	return list;
}

static PdDoc *
dict_doc(JinjaEnv *env, JinjaValue *value)
{
	PdDoc	   *dict = pd_dict();

	for (int i = 0; i < jinja_length(value); i++)
	{
		JinjaValue *key;
		JinjaValue *item;

		jinja_dict_entry(value, i, &key, &item);
		(void) pd_put_key(dict, pj_value_doc(env, key), pj_value_doc(env, item));
	}
	return dict;
}

PdDoc *
pj_value_doc(JinjaEnv *env, JinjaValue *value)
{
	check_stack_depth();
	switch (jinja_kind(value))
	{
		case JINJA_UNDEFINED:
		case JINJA_NONE:
			return pd_null();
		case JINJA_BOOL:
			return pd_bool(jinja_truth(env, value));
		case JINJA_INT:
			return pd_int_text(pstrdup(jinja_to_cstring(env, value)));
		case JINJA_FLOAT:
			return pd_float(jinja_to_float(env, value));
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_SET:
		case JINJA_RANGE:
		case JINJA_VIEW:
		case JINJA_ITERATOR:
			return sequence_doc(env, value);
		case JINJA_DICT:
			return dict_doc(env, value);
		case JINJA_OBJECT:
			{
				/* a time has a T in the middle, as JSON has it */
				JinjaValue *json = jinja_as_json(env, value);

				return json != value ? pj_value_doc(env, json)
					: pd_string(jinja_to_cstring(env, value));
			}
		default:
			return pd_string(jinja_to_cstring(env, value));
	}
}

/* ---------- ref, source ---------- */

static bool
is_plain(const PjNode *node, const char *part)
{
	return !pj_is_quoted(node, part);
}

/*
 * As ref() and this print it. What is made of it is not known here, but for an
 * ephemeral model, which is a common table expression of its reader's; "this"
 * has the name that it would have.
 */
JinjaValue *
pj_node_relation(PjScope *scope, const PjNode *node)
{
	DpipeRelation rel = {{node->database, node->schema, node->alias}};

	rel.unquoted[DPIPE_DATABASE] = is_plain(node, "database");
	rel.unquoted[DPIPE_SCHEMA] = is_plain(node, "schema");
	rel.unquoted[DPIPE_IDENTIFIER] = is_plain(node, "identifier");
	if (scope->host.execute && node != scope->node && strcmp(node->resource_type, "model") == 0 &&
		pd_equals(pd_get(node->config, "materialized"), "ephemeral"))
	{
		memset(&rel, 0, sizeof(rel));
		rel.path[DPIPE_IDENTIFIER] = psprintf("__dbt__cte__%s", node->alias);
		rel.unquoted[DPIPE_IDENTIFIER] = true;
		rel.type = "cte";
		scope->ephemeral = list_append_unique_ptr(scope->ephemeral, (void *) node);
	}
	if (strcmp(node->resource_type, "function") == 0)
		rel.type = "function";
	rel.as_given = true;
	rel.limited = scope->empty && node != scope->node;
	for (int i = 0; i < DPIPE_PARTS; i++)
		if (rel.path[i] != NULL)
			rel.path[i] = MemoryContextStrdup(jinja_env_context(scope->env), rel.path[i]);
	return dpipe_relation_make(scope->env, &rel);
}

static JinjaValue *
own_relation(PjScope *scope)
{
	return pj_node_relation(scope, scope->node);
}

/* What is noted of a node outlives the rendering. */
static void
note(PjScope *scope, PdDoc *list, PdDoc *value)
{
	MemoryContext old = MemoryContextSwitchTo(scope->load->cxt);

	pd_append(list, value);
	MemoryContextSwitchTo(old);
}

static const char *
string_arg(JinjaEnv *env, const JinjaArgs *args, int i, const char *what)
{
	if (jinja_kind(args->args[i]) != JINJA_STRING)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "%s must be a string, got %s", what,
					jinja_type_name(args->args[i]));
	return jinja_to_cstring(env, args->args[i]);
}

static PdDoc *
ref_args(JinjaEnv *env, PjScope *scope, const JinjaArgs *args)
{
	MemoryContext old = MemoryContextSwitchTo(scope->load->cxt);
	PdDoc	   *ref = pd_dict();
	JinjaValue *version = jinja_arg(args, -1, "version");

	if (version == NULL || !jinja_truth(env, version))
		version = jinja_arg(args, -1, "v");
	if (args->nargs < 1 || args->nargs > 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"ref() takes at most two positional arguments (%d given)", args->nargs);
	pd_put(ref, "name",
		   pd_string(string_arg(env, args, args->nargs - 1, "The name argument to ref()")));
	pd_put(ref, "package", args->nargs == 2
		   ? pd_string(string_arg(env, args, 0, "The package argument to ref()")) : pd_null());
	pd_put(ref, "version", version != NULL ? pj_value_doc(env, version) : pd_null());
	MemoryContextSwitchTo(old);
	return ref;
}

static JinjaValue *
fn_ref(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	PdDoc	   *ref = ref_args(env, scope, args);

	if (scope->node == NULL)
		return jinja_none(env);
	if (scope->host.execute)
		return pj_runtime_ref(scope, ref);
	note(scope, scope->node->refs, ref);
	return own_relation(scope);
}

static JinjaValue *
fn_source(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	MemoryContext old;
	PdDoc	   *pair;

	if (args->nargs != 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"source() takes exactly two arguments (%d given)", args->nargs);
	old = MemoryContextSwitchTo(scope->load->cxt);
	pair = pd_list();
	pd_append(pair, pd_string(string_arg(env, args, 0, "The source name (first) argument to source()")));
	pd_append(pair, pd_string(string_arg(env, args, 1, "The table name (second) argument to source()")));
	MemoryContextSwitchTo(old);
	if (scope->node == NULL)
		return jinja_none(env);
	if (scope->host.execute)
		return pj_runtime_source(scope, pair);
	note(scope, scope->node->sources, pair);
	return own_relation(scope);
}

static JinjaValue *
fn_metric(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	PdDoc	   *list = sequence_doc(env, jinja_tuple(env, args->nargs, args->args));

	if (scope->node != NULL && !scope->host.execute)
		note(scope, scope->node->metrics, pd_copy(list));
	return jinja_none(env);
}

static JinjaValue *
fn_function(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	MemoryContext old;
	PdDoc	   *names;

	if (args->nargs < 1 || args->nargs > 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"function() takes at most two arguments (%d given)", args->nargs);
	old = MemoryContextSwitchTo(scope->load->cxt);
	names = pd_list();
	if (args->nargs == 2)
		pd_append(names, pd_string(string_arg(env, args, 0, "The package argument to function()")));
	pd_append(names, pd_string(string_arg(env, args, args->nargs - 1, "The name argument to function()")));
	MemoryContextSwitchTo(old);
	if (scope->node == NULL)
		return jinja_none(env);
	if (scope->host.execute)
		return pj_runtime_function(scope, names);
	note(scope, scope->node->functions, names);
	return own_relation(scope);
}

/* ---------- macros ---------- */

/* A macro that the node itself calls, in dbt's words: that it depends on. */
void
pj_note_macro(PjScope *scope, const char *id)
{
	PjNode	   *node = scope->node;
	MemoryContext old;
	ListCell   *lc;

	if (node == NULL || scope->host.execute || jinja_in_macro(scope->env))
		return;
	foreach(lc, node->macros)
	{
		if (strcmp(lfirst(lc), id) == 0)
			return;
	}
	old = MemoryContextSwitchTo(scope->load->cxt);
	node->macros = lappend(node->macros, pstrdup(id));
	MemoryContextSwitchTo(old);
}

/*
 * Macros are marked with their id, dbt's own with their name. Those are called
 * when they are hidden, too, but then it is not to be seen.
 */
static void
note_call(void *arg, const char *mark)
{
	PjScope    *scope = arg;
	const char *id = strchr(mark, '.') != NULL ? mark : psprintf("macro.dbt.%s", mark);

	if (scope->visible == NULL || id == mark || pj_table_get(scope->visible->ids, id) != NULL)
		pj_note_macro(scope, id);
}

JinjaValue *
pj_macro_value(PjScope *scope, PjMacro *macro)
{
	return jinja_mark_macro(jinja_macro(scope->env, scope->context, macro->file->tmpl,
										macro->index), macro->unique_id);
}

/* A package as a namespace of its macros. */
typedef struct Package
{
	PjScope    *scope;
	const char *name;
} Package;

static JinjaValue *
package_get(void *arg, const char *name)
{
	Package    *package = arg;
	PjScope    *scope = package->scope;
	PjMacro    *macro = pj_find_macro(scope->load, package->name, name);

	if (macro != NULL && scope->visible != NULL &&
		pj_table_get(scope->visible->ids, macro->unique_id) == NULL)
		macro = NULL;
	return macro != NULL ? pj_macro_value(scope, macro) : NULL;
}

/* The names of macros of a package, or of all packages. */
static List *
macro_names(const PjLoad *load, const char *package)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, load->macros)
	{
		PjMacro    *macro = lfirst(lc);

		if (package == NULL || strcmp(macro->project->name, package) == 0)
			names = lappend(names, (void *) macro->name);
	}
	return names;
}

static List *
package_list(void *arg)
{
	Package    *package = arg;

	return macro_names(package->scope->load, package->name);
}

static JinjaValue *
package_value(PjScope *scope, const char *name)
{
	Package    *package = MemoryContextAlloc(jinja_env_context(scope->env), sizeof(Package));

	package->scope = scope;
	package->name = name;
	return dpipe_names_value(scope->env, package_get, package_list, package);
}

static JinjaValue *
find_package(PjScope *scope, const char *name)
{
	ListCell   *lc;

	if (strcmp(name, "dbt") == 0)
		return dpipe_builtin_namespace(&scope->host);
	if (scope->visible != NULL && pj_table_get(scope->visible->packages, name) == NULL)
		return NULL;
	foreach(lc, scope->load->projects)
	{
		PjProject  *project = lfirst(lc);

		if (strcmp(project->name, name) == 0)
			return package_value(scope, project->name);
	}
	return NULL;
}

/* ---------- what dispatch asks ---------- */

static bool
is_package(const PjLoad *load, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		if (strcmp(((PjProject *) lfirst(lc))->name, name) == 0)
			return true;
	}
	return strcmp(name, "dbt") == 0;
}

/* What dbt_project.yml says, else the root project and the package itself. */
List *
pj_dispatch_order(const PjLoad *load, const char *namespace)
{
	PdDoc	   *dispatch = pd_get(load->root->doc, "dispatch");
	List	   *order = NIL;

	for (int i = 0; pd_is(dispatch, PD_LIST) && i < dispatch->n; i++)
	{
		PdDoc	   *entry = dispatch->u.items[i];
		PdDoc	   *names = pd_get(entry, "search_order");

		if (!pd_equals(pd_get(entry, "macro_namespace"), namespace) || !pd_is(names, PD_LIST))
			continue;
		for (int j = 0; j < names->n; j++)
			if (pd_text(names->u.items[j]) != NULL)
				order = lappend(order, (void *) pd_text(names->u.items[j]));
		if (order != NIL)
			return order;
	}
	if (!is_package(load, namespace))
		return NIL;
	return list_make2((void *) load->root->name, (void *) namespace);
}

static List *
search_order(DpipeHost *host, const char *namespace)
{
	return pj_dispatch_order(((PjScope *) host->arg)->load, namespace);
}

static JinjaValue *
find_macro(DpipeHost *host, const char *package, const char *name)
{
	PjScope    *scope = host->arg;
	PjMacro    *macro;

	if (package != NULL)
		macro = pj_find_macro(scope->load, package, name);
	else if (scope->visible != NULL)
		macro = pj_any_macro(scope->load, scope->load->root, name);
	else
		macro = pj_resolve_macro(scope->load, scope->project, name);

	if (macro != NULL)
		return pj_macro_value(scope, macro);
	return package == NULL || strcmp(package, "dbt") == 0 ? dpipe_builtin_macro(host, name) : NULL;
}

/* By its own name, or by one that its dispatch looks for. */
static bool
overrides(DpipeHost *host, const char *name)
{
	const PjLoad *load = ((PjScope *) host->arg)->load;

	return pj_any_macro(load, load->root, name) != NULL || pj_dispatched_macro(load, name) != NULL;
}

/* ---------- names ---------- */

static JinjaValue *
fn_is_incremental(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	pj_note_macro(arg, "macro.dbt.is_incremental");
	return jinja_bool(env, false);
}

static JinjaValue *
fn_should_full_refresh(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	pj_note_macro(arg, "macro.dbt.should_full_refresh");
	return jinja_bool(env, false);
}

/* A test's relation: only the rows that its config "where" names. */
static JinjaValue *
fn_where_subquery(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	JinjaValue *relation = jinja_arg(args, 0, "relation");
	PdDoc	   *where = pj_config_lookup(scope, "where");

	if (relation == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "get_where_subquery() takes a relation");
	pj_note_macro(scope, "macro.dbt.get_where_subquery");
	if (!pd_truth(where))
		return relation;
	return jinja_string(env, psprintf("(select * from %s where %s) dbt_subquery",
									  jinja_to_cstring(env, relation), pd_text(where)));
}

static JinjaValue *
context_get(void *arg, const char *name)
{
	PjScope    *scope = arg;

	return jinja_context_get(scope->env, scope->context, name);
}

static void
context_put(void *arg, const char *name, JinjaValue *value)
{
	PjScope    *scope = arg;

	jinja_context_update(scope->env, scope->context, name, value);
}

static List *
builtins_list(void *arg)
{
	return dpipe_context_names();
}

/* What is found by its name, once. */
static List *
context_list(void *arg)
{
	PjScope    *scope = arg;
	HTAB	   *seen = pj_table("dpipe names of a context");
	List	   *all = list_concat(dpipe_context_names(), dpipe_builtin_names(&scope->host));
	List	   *names = NIL;
	ListCell   *lc;

	all = list_concat(all, macro_names(scope->load, scope->project->name));
	all = list_concat(all, macro_names(scope->load, scope->load->root->name));
	foreach(lc, scope->load->projects)
		all = lappend(all, (void *) ((PjProject *) lfirst(lc))->name);
	all = lappend(lappend(lappend(all, "builtins"), "context"), "dbt");
	foreach(lc, all)
	{
		if (pj_table_get(seen, lfirst(lc)) != NULL)
			continue;
		pj_table_put(seen, lfirst(lc), lfirst(lc));
		names = lappend(names, lfirst(lc));
	}
	hash_destroy(seen);
	return dpipe_with_updates(scope->context, names);
}

JinjaValue *
pj_graph_value(PjScope *scope)
{
	return pj_doc_value(scope->env, pj_manifest_graph(scope->load));
}

static JinjaValue *
selected_value(PjScope *scope)
{
	JinjaValue *list = jinja_list(scope->env);

	if (scope->selected != NULL)
		jinja_list_append(scope->env, list, jinja_string(scope->env, scope->selected));
	return list;
}

static JinjaValue *
hooks_value(PjScope *scope, const char *name)
{
	PdDoc	   *hooks = pj_config_lookup(scope, name);

	return pd_is(hooks, PD_LIST) ? pj_doc_value(scope->env, hooks) : jinja_list(scope->env);
}

static JinjaValue *builtins_get(void *arg, const char *name);

static JinjaValue *
model_value(PjScope *scope)
{
	PdDoc	   *doc = pj_node_doc(scope->node);

	if (scope->host.execute && strcmp(scope->node->resource_type, "model") == 0)
		pj_name_foreign_keys(scope->load, scope->node, doc);
	return pj_doc_value(scope->env, doc);
}

/* What only templates of a node have. */
static JinjaValue *
node_name(PjScope *scope, const char *name)
{
	JinjaEnv   *env = scope->env;
	static const struct
	{
		const char *name;
		JinjaFunction fn;
	}			functions[] = {
		{"metric", fn_metric},
		{"function", fn_function},
		{"is_incremental", fn_is_incremental},
		{"should_full_refresh", fn_should_full_refresh},
		{"get_where_subquery", fn_where_subquery},
	};

	for (int i = 0; i < lengthof(functions); i++)
		if (strcmp(name, functions[i].name) == 0 &&
			!(scope->host.execute && (functions[i].fn == fn_is_incremental ||
									  functions[i].fn == fn_should_full_refresh)))
			return jinja_function(env, functions[i].name, functions[i].fn, scope);
	if (strcmp(name, "ref") == 0 || strcmp(name, "source") == 0)
		return pj_resolver_value(scope, *name == 's', *name == 's' ? fn_source : fn_ref);
	if (strcmp(name, "config") == 0)
		return pj_config_value(scope);
	if (strcmp(name, "this") == 0 && scope->node != NULL)
		return own_relation(scope);
	if (strcmp(name, "model") == 0 && scope->node != NULL)
		return model_value(scope);
	if (strcmp(name, "schema") == 0 && scope->node != NULL)
		return jinja_string(env, scope->node->schema ? scope->node->schema : "");
	if (strcmp(name, "database") == 0)
		return pj_doc_value(env, pd_get(scope->load->target, "database"));
	if (strcmp(name, "graph") == 0)
		return scope->host.execute ? pj_graph_value(scope) : jinja_dict(env);
	if (strcmp(name, "selected_resources") == 0)
		return selected_value(scope);
	if (strcmp(name, "pre_hooks") == 0 || strcmp(name, "post_hooks") == 0)
		return hooks_value(scope, name);
	if (strcmp(name, "compiled_code") == 0 || strcmp(name, "sql") == 0 ||
		strcmp(name, "defer_relation") == 0)
		return jinja_none(env);
	if (strcmp(name, "dpipe") == 0)
		return pj_dpipe_value(scope);
	if (strcmp(name, "builtins") == 0)
		return dpipe_names_value(env, builtins_get, builtins_list, scope);
	if (strcmp(name, "context") == 0)
		return dpipe_writable_names(env, context_get, context_list, context_put, scope);
	return NULL;
}

/* What is there even if a macro has taken its name. */
static JinjaValue *
builtins_get(void *arg, const char *name)
{
	PjScope    *scope = arg;
	JinjaValue *value = node_name(scope, name);

	if (value == NULL && strcmp(name, "var") == 0)
		value = pj_var_value(scope);
	return value != NULL ? value : pj_function(scope, name);
}

JinjaValue *
pj_macro_or_package(PjScope *scope, const char *name)
{
	PjMacro    *macro = NULL;
	const char *id;

	if (scope->visible == NULL)
		macro = pj_resolve_macro(scope->load, scope->project, name);
	else if ((id = pj_table_get(scope->visible->names, name)) != NULL)
		macro = pj_macro_of_id(scope->load, id);
	return macro != NULL ? pj_macro_value(scope, macro) : find_package(scope, name);
}

static JinjaValue *
lookup(JinjaEnv *env, void *arg, const char *name)
{
	PjScope    *scope = arg;
	JinjaValue *value = NULL;

	if (!scope->yaml)
	{
		value = pj_macro_or_package(scope, name);
		if (value == NULL)
			value = node_name(scope, name);
	}
	if (value == NULL && strcmp(name, "var") == 0)
		value = pj_var_value(scope);
	if (value == NULL && !scope->yaml)
		value = dpipe_builtin_macro(&scope->host, name);
	return value != NULL ? value : pj_function(scope, name);
}

static bool
is_unquoted(const PjLoad *load, const char *part)
{
	PdDoc	   *given = load->root != NULL ? pd_get(load->root->quoting, part) : NULL;

	return !pd_is_null(given) && !pd_truth(given);
}

void
pj_scope_open(PjScope *scope, PjLoad *load, const PjProject *project, PjNode *node)
{
	memset(scope, 0, sizeof(*scope));
	scope->load = load;
	scope->project = project;
	scope->node = node;
	scope->env = jinja_env_create(CurrentMemoryContext);
	scope->context = jinja_context_create(scope->env, NULL, lookup, scope);
	scope->host.env = scope->env;
	scope->host.context = scope->context;
	if (node != NULL)
		jinja_env_on_call(scope->env, note_call, scope);
	scope->host.unquoted_database = is_unquoted(load, "database");
	scope->host.unquoted_schema = is_unquoted(load, "schema");
	scope->host.unquoted_identifier = is_unquoted(load, "identifier");
	scope->host.find_macro = find_macro;
	scope->host.search_order = search_order;
	scope->host.overrides = overrides;
	scope->host.arg = scope;
	scope->host.resource_type = node != NULL ? node->resource_type : NULL;
}

void
pj_scope_borrow(PjScope *scope, PjLoad *load, DpipeHost *host)
{
	memset(scope, 0, sizeof(*scope));
	scope->load = load;
	scope->project = load->root;
	scope->env = host->env;
	scope->context = host->context;
	host->find_macro = find_macro;
	host->search_order = search_order;
	host->overrides = overrides;
	host->arg = scope;
	scope->host = *host;
}

void
pj_scope_close(PjScope *scope)
{
	jinja_env_destroy(scope->env);
}
