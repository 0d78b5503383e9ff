/*
 * properties.c
 *		YAML files: what they say about nodes that a file of SQL has made,
 *		and the things that stand only in YAML: sources, exposures, groups,
 *		metrics, unit tests and the like.
 *
 * Strings are rendered as they are read, but those that wait for a node: tests
 * and descriptions, hooks, filters of metrics.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/loading.h"
#include "project/schema.h"
#include "project/yaml.h"

/* ---------- which strings are rendered when they are read ---------- */

static bool
is_one_of(const char *s, const char *const *words, int n)
{
	for (int i = 0; s != NULL && i < n; i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static const char *
step(const List *keypath, int i)
{
	return i < list_length(keypath) ? list_nth(keypath, i) : NULL;
}

/* "from": where in the path a node, a table or an argument begins. */
static bool
waits(const List *keypath, int from)
{
	static const char *const late[] = {"tests", "data_tests", "description", "loaded_at_query"};
	static const char *const hooks[] = {"pre_hook", "post_hook", "loaded_at_query"};
	static const char *const parts[] = {"columns", "dimensions", "measures", "entities"};
	int			n = list_length(keypath) - from;

	if (is_one_of(step(keypath, from), late, lengthof(late)))
		return true;
	if (n == 2 && is_one_of(step(keypath, from + 1), late, lengthof(late)))
		return true;
	if (n >= 2 && is_one_of(step(keypath, from + 1), hooks, lengthof(hooks)) &&
		strcmp(step(keypath, from) ? step(keypath, from) : "", "config") == 0)
		return true;
	if (n == 5 && is_one_of(step(keypath, from + 4), &late[2], 1))
		return true;
	return n >= 3 && is_one_of(step(keypath, from), parts, lengthof(parts)) &&
		is_one_of(step(keypath, from + 2), late, 3);
}

/* A source's schema and database as they are written are kept beside them. */
static PdDoc *
with_written_names(PdDoc *entry)
{
	static const char *const names[] = {"schema", "database"};
	PdDoc	   *copy = pd_copy_top(entry);

	for (int i = 0; i < lengthof(names); i++)
		if (pd_get(entry, names[i]) != NULL)
			pd_put(copy, psprintf("unrendered_%s", names[i]), pd_get(entry, names[i]));
	return copy;
}

static bool
is_step(const List *keypath, int i, const char *word)
{
	return is_one_of(step(keypath, i), &word, 1);
}

static bool
is_rendered(const List *keypath, const void *arg)
{
	const char *key = arg;
	int			n = list_length(keypath);

	if (n == 0)
		return true;
	if (strcmp(key, "sources") == 0)
	{
		if (is_step(keypath, 0, "description") || is_step(keypath, 0, "loaded_at_query") ||
			is_step(keypath, 0, "unrendered_schema") || is_step(keypath, 0, "unrendered_database") ||
			(is_step(keypath, 0, "config") && is_step(keypath, 1, "loaded_at_query")))
			return false;
		return !(is_step(keypath, 0, "tables") && waits(keypath, 2));
	}
	if (strcmp(key, "macros") == 0 && is_step(keypath, 0, "arguments"))
		return !waits(keypath, 1);
	if (strcmp(key, "metrics") == 0 &&
		(is_step(keypath, n - 1, "filter") || (n > 1 && is_step(keypath, n - 2, "filter"))))
		return false;
	if (strcmp(key, "saved_queries") == 0 && is_step(keypath, 0, "query_params") &&
		is_step(keypath, 1, "where"))
		return false;
	return !waits(keypath, 0);
}

/* ---------- parts of entries ---------- */

/* "strict": that of the old name may not stand beside an empty one of the new name. */
PdDoc *
pj_tests_of(const PjFile *file, PdDoc *target, bool strict)
{
	PdDoc	   *old = pd_get(target, "tests");
	PdDoc	   *tests = pd_get(target, "data_tests");

	if (pd_truth(old))
	{
		if (tests != NULL && (strict || pd_truth(tests)))
			pj_raise(file, target,
					 "Invalid test config: cannot have both 'tests' and 'data_tests' defined");
		tests = old;
	}
	if (pd_is_null(tests))
		return NULL;
	if (tests->kind != PD_LIST)
		pj_raise(file, tests, "\"data_tests\" must be a list");
	return tests;
}

static PdDoc *
list_in(const PjFile *file, const PdDoc *entry, const char *key)
{
	PdDoc	   *list = pd_get(entry, key);

	if (pd_is_null(list))
		return NULL;
	if (list->kind != PD_LIST)
		pj_raise(file, list, "\"%s\" must be a list", key);
	return list;
}

static PdDoc *
or_default(PdDoc *value, PdDoc *deflt)
{
	return pd_is_null(value) ? deflt : value;
}

static PdDoc *
column_tags(const PdDoc *column)
{
	PdDoc	   *lists[2] = {pd_get(column, "tags"), pd_get(pd_get(column, "config"), "tags")};
	PdDoc	   *result = pd_list();

	for (int k = 0; k < 2; k++)
	{
		PdDoc	   *list = lists[k];

		if (pd_is(list, PD_STRING))
			pd_append(result, list);
		for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
			pd_append(result, list->u.items[i]);
	}
	return result;
}

/* Constraints with all their fields. */
static PdDoc *
constraints_of(const PjFile *file, const PdDoc *list, bool model)
{
	static const char *const known[] = {
		"check", "not_null", "unique", "primary_key", "foreign_key", "custom",
	};
	PdDoc	   *result = pd_list();

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
	{
		PdDoc	   *given = list->u.items[i];
		PdDoc	   *doc = pd_dict();

		if (!is_one_of(pd_get_text(given, "type"), known, lengthof(known)))
			pj_raise(file, given, "Invalid constraint type");
		pd_put(doc, "type", pd_get(given, "type"));
		pd_put(doc, "name", pd_null());
		pd_put(doc, "expression", pd_null());
		pd_put(doc, "warn_unenforced", pd_bool(true));
		pd_put(doc, "warn_unsupported", pd_bool(true));
		pd_put(doc, "to", pd_null());
		pd_put(doc, "to_columns", pd_list());
		if (model)
			pd_put(doc, "columns", pd_list());
		pd_update(doc, given);
		pd_append(result, doc);
	}
	return result;
}

static PdDoc *
column_doc(PjFile *file, PdDoc *column)
{
	static const char *const own[] = {
		"name", "description", "meta", "data_type", "constraints", "quote", "config", "tags",
		"granularity", "tests", "data_tests", "docs",
	};
	PdDoc	   *doc = pd_dict();
	PdDoc	   *meta = pd_dict();
	PdDoc	   *tags = column_tags(column);
	PdDoc	   *config = pd_dict();

	if (pd_is(pd_get(column, "meta"), PD_DICT))
		pd_update(meta, pd_get(column, "meta"));
	if (pd_is(pd_get(pd_get(column, "config"), "meta"), PD_DICT))
		pd_update(meta, pd_get(pd_get(column, "config"), "meta"));
	pd_put(config, "meta", meta);
	pd_put(config, "tags", tags);
	pd_put(doc, "name", pd_get(column, "name"));
	pd_put(doc, "description", or_default(pd_get(column, "description"), pd_string("")));
	pd_put(doc, "meta", meta);
	pd_put(doc, "data_type", or_default(pd_get(column, "data_type"), pd_null()));
	pd_put(doc, "constraints", constraints_of(file, pd_get(column, "constraints"), false));
	pd_put(doc, "quote", or_default(pd_get(column, "quote"), pd_null()));
	pd_put(doc, "config", config);
	pd_put(doc, "tags", tags);
	pd_put(doc, "granularity", or_default(pd_get(column, "granularity"), pd_null()));
	for (int i = 0; i < column->n; i++)
		if (!is_one_of(pd_text(column->u.entries[i].key), own, lengthof(own)))
			(void) pd_put_key(doc, column->u.entries[i].key, column->u.entries[i].value);
	return doc;
}

PdDoc *
pj_columns(PjLoad *load, PjFile *file, const PdDoc *columns)
{
	PdDoc	   *dict = pd_dict();

	for (int i = 0; columns != NULL && i < columns->n; i++)
	{
		PdDoc	   *column = columns->u.items[i];

		if (!pd_is(column, PD_DICT) || pd_get_text(column, "name") == NULL)
			pj_raise(file, column, "a column must be a mapping with a \"name\"");
		pd_put(dict, pd_get_text(column, "name"), column_doc(file, column));
	}
	return dict;
}

/* Keys that may stand beside "config" or in it. */
static PdDoc *
config_of(const PjFile *file, PdDoc *entry)
{
	static const char *const movable[] = {"meta", "docs", "group", "contract", "access"};
	PdDoc	   *config = pd_get(entry, "config");

	if (!pd_is_null(config) && config->kind != PD_DICT)
		pj_raise(file, config, "\"config\" must be a mapping");
	config = pd_is_null(config) ? pd_dict() : pd_copy_top(config);
	for (int i = 0; i < lengthof(movable); i++)
	{
		PdDoc	   *value = pd_get(entry, movable[i]);

		if (value == NULL)
			continue;
		if (pd_get(config, movable[i]) != NULL)
			pj_raise(file, value,
					 "found %s in 'config' dictionary and as top-level key: remove the top-level key",
					 movable[i]);
		pd_put(config, movable[i], value);
	}
	return config;
}

/* ---------- finding what a patch is for ---------- */

/* An enabled one of the project, of any other, a disabled one of the project. */
static PjNode *
find_node(const PjLoad *load, const char *resource_type, const char *name, const PjProject *project)
{
	PjNode	   *elsewhere = NULL;
	PjNode	   *disabled = NULL;
	ListCell   *lc;

	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *node = lfirst(lc);

		if (strcmp(node->resource_type, resource_type) != 0 || strcmp(node->name, name) != 0 ||
			node->test_metadata != NULL ||
			(node->version != NULL && !pd_equal(node->version, node->latest_version)))
			continue;
		if (node->project == project && node->enabled)
			return node;
		if (node->enabled && elsewhere == NULL)
			elsewhere = node;
		if (node->project == project && disabled == NULL)
			disabled = node;
	}
	return elsewhere != NULL ? elsewhere : disabled;
}

/* All that are disabled, of the project or, without one, of any. */
static List *
find_disabled(const PjLoad *load, const char *resource_type, const char *name,
			  const PjProject *project)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *node = lfirst(lc);

		if (strcmp(node->resource_type, resource_type) == 0 && !node->enabled &&
			(project == NULL || node->project == project) && node->test_metadata == NULL)
			found = lappend(found, node);
	}
	return found;
}

/* Of several that are disabled none can be told to be the one that is meant. */
static void
check_disabled(const PjFile *file, const PdDoc *entry, const List *found, const PdDoc *config)
{
	const PjNode *one = list_length(found) > 1 ? linitial(found) : NULL;

	if (one != NULL && pd_truth(pd_get(config, "enabled")))
		pj_raise(file, entry,
				 "Found %d matching disabled nodes for %s '%s'. Multiple nodes for the same unique id cannot be enabled in the schema file. They must be enabled in `dbt_project.yml` or in the sql files.",
				 list_length(found), one->resource_type, pd_get_text(entry, "name"));
}

/* What was said of it before must be right by itself. */
static void
patch_config(PjLoad *load, PjFile *file, PjNode *node, PdDoc *config)
{
	PdDoc	   *access = pd_get(config, "access");

	if (access != NULL)
		pj_check_access(file, access, node->unique_id);
	pj_check_config(node);
	node->patch_config = config;
	pj_update_config(load, node);
}

static void
patch_node(PjLoad *load, PjFile *file, PjNode *node, PdDoc *entry, PdDoc *columns)
{
	PdDoc	   *description = pd_get(entry, "description");

	/* One that was disabled before takes what the last entry says. */
	if (node->patch_path != NULL &&
		(node->enabled || (pd_is(pd_get(node->patch_config, "enabled"), PD_BOOL) &&
						   pd_get(node->call_config, "enabled") == NULL)))
		pj_raise(file, entry, "dbt found two schema.yml entries for the same resource named %s: the other is in %s",
				 node->name, node->patch_path);
	node->patch_path = psprintf("%s://%s", file->project->name, file->original);
	node->description = pd_text(description) ? pd_text(description) : "";
	node->columns = pj_columns(load, file, columns);
	node->more = node->more != NULL ? node->more : pd_dict();
	if (strcmp(node->resource_type, "model") == 0)
	{
		pd_put(node->more, "constraints",
			   constraints_of(file, pd_get(entry, "constraints"), true));
		pd_put(node->more, "deprecation_date",
			   or_default(pd_get(entry, "deprecation_date"), pd_null()));
		pd_put(node->more, "time_spine", or_default(pd_get(entry, "time_spine"), pd_null()));
	}
	if (strcmp(node->resource_type, "function") == 0)
	{
		pd_put(node->more, "arguments", or_default(pd_get(entry, "arguments"), pd_list()));
		pd_put(node->more, "returns", or_default(pd_get(entry, "returns"), pd_null()));
	}
}

static void
warn_no_node(const PjFile *file, const PdDoc *entry, const char *key)
{
	pj_warn(file, entry,
			"Did not find matching node for patch with name '%s' in the '%s' section",
			pd_get_text(entry, "name"), key);
}

/* ---------- versions of a model ---------- */

static PdDoc *
deep_merge(const PdDoc *a, const PdDoc *b)
{
	PdDoc	   *result = pd_copy_top(a);

	for (int i = 0; b != NULL && i < b->n; i++)
	{
		const char *key = pd_text(b->u.entries[i].key);
		PdDoc	   *value = b->u.entries[i].value;
		PdDoc	   *old = key != NULL ? pd_get(result, key) : NULL;

		if (pd_is(old, PD_DICT) && value->kind == PD_DICT)
			value = deep_merge(old, value);
		(void) pd_put_key(result, b->u.entries[i].key, value);
	}
	return result;
}

/* The latest one may be in a file that does not say so in its name. */
static PjNode *
node_of_version(const PjLoad *load, const PjFile *file, const PdDoc *entry, const PdDoc *version,
				bool latest)
{
	const char *name = pd_get_text(entry, "name");
	const char *defined_in = pd_get_text(version, "defined_in");
	PjNode	   *node;

	if (defined_in == NULL)
		defined_in = psprintf("%s_v%s", name, pd_scalar_text(pd_get(version, "v")));
	node = find_node(load, "model", defined_in, file->project);
	if (node != NULL && !node->enabled)
		check_disabled(file, entry, find_disabled(load, "model", defined_in, file->project),
					   pd_get(entry, "config"));
	else if (node == NULL && latest)
	{
		node = find_node(load, "model", name, file->project);
		if (node != NULL && !node->enabled)
			return NULL;
	}
	return node != NULL && node->project == file->project ? node : NULL;
}

/* A model becomes a version of one of another name. */
static void
rename_version(PjLoad *load, PjNode *node, const char *name, PdDoc *v, PdDoc *latest)
{
	List	   *same = pj_table_get(load->by_name, node->name);
	char	   *text = psprintf("v%s", pd_scalar_text(v));

	pj_table_put(load->by_name, node->name, list_delete_ptr(same, node));
	node->name = name;
	node->version = v;
	node->latest_version = latest;
	node->unique_id = psprintf("model.%s.%s.%s", node->project->name, name, text);
	node->fqn = pd_copy_top(node->fqn);
	node->fqn->u.items[node->fqn->n - 1] = pd_string(name);
	pd_append(node->fqn, pd_string(text));
	pj_table_put(load->by_name, name, lappend(pj_table_get(load->by_name, name), node));
}

static void
load_version(PjLoad *load, PjFile *file, PdDoc *entry, PdDoc *version, PdDoc *latest, PjNode *node)
{
	PdDoc	   *v = pd_get(version, "v");
	PdDoc	   *access = pd_get(version, "access");
	PdDoc	   *patch = pd_copy_top(entry);
	PdDoc	   *config = deep_merge(config_of(file, entry), pd_get(version, "config"));
	static const char *const own[] = {"description", "constraints", "deprecation_date"};

	for (int i = 0; i < lengthof(own); i++)
		if (pd_truth(pd_get(version, own[i])))
			pd_put(patch, own[i], pd_get(version, own[i]));
	rename_version(load, node, pd_get_text(entry, "name"), v, latest);
	node->patch_path = NULL;
	patch_node(load, file, node, patch, pj_version_columns(entry, version));
	pj_apply_constraints(file, entry, node);
	if (pd_truth(access))
	{
		pj_check_access(file, access, node->unique_id);
		if (pd_get(config, "access") != NULL)
			pj_check_access(file, pd_get(config, "access"), node->unique_id);
		pd_put(config, "access", access);
	}
	patch_config(load, file, node, config);
	pj_apply_constraints(file, entry, node);
}

/* All are looked for before one of them gets the name of the model. */
static void
load_versions(PjLoad *load, PjFile *file, PdDoc *entry, PdDoc *versions)
{
	PdDoc	   *latest = pj_latest_version(entry);
	List	   *nodes = NIL;

	for (int i = 0; i < versions->n; i++)
	{
		PdDoc	   *version = versions->u.items[i];

		nodes = lappend(nodes, node_of_version(load, file, entry, version,
											   pd_equal(pd_get(version, "v"), latest)));
	}
	for (int i = 0; i < versions->n; i++)
	{
		PdDoc	   *version = versions->u.items[i];

		if (list_nth(nodes, i) != NULL)
			load_version(load, file, entry, version, latest, list_nth(nodes, i));
		else
			pj_warn(file, version, "Did not find matching node for version %s of model '%s'",
					pd_scalar_text(pd_get(version, "v")), pd_get_text(entry, "name"));
	}
	for (int i = 0; i < versions->n; i++)
	{
		PdDoc	   *version = versions->u.items[i];
		PdDoc	   *tests = pj_tests_of(file, version, true);

		pj_add_tests(load, file, "models", entry, pj_version_columns(entry, version),
					 tests != NULL ? tests : pj_tests_of(file, entry, true), pd_get(version, "v"));
	}
}

/* ---------- models, seeds, snapshots, analyses, functions ---------- */

static void
patch_whole(PjLoad *load, PjFile *file, PjNode *node, PdDoc *entry, PdDoc *columns)
{
	PdDoc	   *config = config_of(file, entry);

	patch_node(load, file, node, entry, columns);
	if (config->n > 0)
		patch_config(load, file, node, config);
	if (strcmp(node->resource_type, "model") == 0)
		pj_apply_constraints(file, entry, node);
	else if (strcmp(node->resource_type, "function") == 0)
		pj_check_arguments(file, entry);
}

static void
load_patch(PjLoad *load, PjFile *file, PdDoc *entry, const char *key, const char *resource_type)
{
	PdDoc	   *versions = list_in(file, entry, "versions");
	PdDoc	   *columns = list_in(file, entry, "columns");
	PjNode	   *node;

	if (versions != NULL && versions->n > 0 && strcmp(key, "models") == 0)
	{
		load_versions(load, file, entry, versions);
		return;
	}
	node = find_node(load, resource_type, pd_get_text(entry, "name"), file->project);
	if (node == NULL)
		warn_no_node(file, entry, key);
	else if (node->enabled)
		patch_whole(load, file, node, entry, columns);
	else
	{
		List	   *found = find_disabled(load, resource_type, node->name, file->project);
		ListCell   *lc;

		check_disabled(file, entry, found, config_of(file, entry));
		foreach(lc, found)
			patch_whole(load, file, lfirst(lc), entry, columns);
	}
	if (strcmp(key, "models") == 0 || strcmp(key, "seeds") == 0 || strcmp(key, "snapshots") == 0)
		pj_add_tests(load, file, key, entry, columns, pj_tests_of(file, entry, true), NULL);
}

/* A snapshot may stand in YAML alone, with the relation that it follows. */
static void
add_yaml_snapshot(PjLoad *load, PjFile *file, const PdDoc *entry)
{
	const char *name = pd_get_text(entry, "name");
	const PdDoc *given = pd_get(entry, "relation");
	const char *relation;
	PdDoc	   *fqn = pj_fqn_prefix(file->project, file->relative);
	PdDoc	   *reference;
	PjNode	   *node;
	bool		is_source;

	if (given == NULL)
		return;
	relation = pd_scalar_text(given);
	reference = pj_static_reference(relation, &is_source);
	if (reference == NULL)
		pj_raise(file, given,
				 "Invalid ref or source expression: %s. The relation of a snapshot must be ref('...') or source('...', '...') with names that need no rendering.",
				 relation);
	pd_append(fqn, pd_string(name));
	node = pj_make_node(load, "snapshot", file, name,
						psprintf("%s/%s.sql", file->relative, name), fqn);
	node->raw_code = psprintf("select * from {{ %s }}", relation);
	node->checksum = file->checksum;
	pd_append(is_source ? node->sources : node->refs, reference);
	pj_update_config(load, node);
	pj_add_node(load, node);
}

static void
load_singular_patch(PjLoad *load, PjFile *file, PdDoc *entry)
{
	PjNode	   *node = find_node(load, "test", pd_get_text(entry, "name"), file->project);
	PdDoc	   *config = config_of(file, entry);

	if (node == NULL)
	{
		warn_no_node(file, entry, "data_tests");
		return;
	}
	node->patch_path = psprintf("%s://%s", file->project->name, file->original);
	node->description = pd_get_text(entry, "description");
	if (config->n > 0)
		patch_config(load, file, node, config);
}

static void
load_macro_patch(PjLoad *load, PjFile *file, PdDoc *entry)
{
	PjMacro    *macro = pj_find_macro(load, file->project->name, pd_get_text(entry, "name"));

	if (macro == NULL)
		pj_warn(file, entry, "Found patch for macro \"%s\" which was not found",
				pd_get_text(entry, "name"));
	else
	{
		if (macro->patch != NULL)
			pj_raise(file, entry,
					 "dbt found two schema.yml entries for the same macro in package %s named %s: the other is in %s",
					 file->project->name, macro->name, macro->patch_path);
		macro->patch = entry;
		macro->patch_path = psprintf("%s://%s", file->project->name, file->original);
	}
}

/* ---------- what stands only in YAML ---------- */

static PdDoc *
without_config(const PdDoc *entry)
{
	PdDoc	   *copy = pd_copy_top(entry);

	(void) pd_remove(copy, "config");
	(void) pd_remove(copy, "name");
	(void) pd_remove(copy, "description");
	(void) pd_remove(copy, "depends_on");
	(void) pd_remove(copy, "tags");
	(void) pd_remove(copy, "meta");
	return copy;
}

static PjNode *
add_thing(PjLoad *load, PjFile *file, PdDoc *entry, const char *resource_type)
{
	const char *name = pd_get_text(entry, "name");
	PdDoc	   *fqn = pj_fqn_prefix(file->project, file->relative);
	List	   *tags = NIL;
	PjNode	   *node;
	PdDoc	   *meta;

	pd_append(fqn, pd_string(name));
	node = pj_make_node(load, resource_type, file, name, file->relative, fqn);
	node->description = pd_get_text(entry, "description");
	node->patch_config = pd_get(entry, "config");
	node->config = pj_node_config(load, node);
	node->enabled = pd_truth(pd_get(node->config, "enabled"));
	node->group = pd_get_text(node->config, "group");
	if (node->group == NULL)
		node->group = pd_get_text(entry, "group");
	pj_add_texts(&tags, pd_get(entry, "tags"));
	pj_add_texts(&tags, pd_get(node->config, "tags"));
	node->tags = pj_sorted_texts(tags);
	meta = pd_get(entry, "meta");
	node->meta = pd_is(meta, PD_DICT) ? pd_copy_top(meta) : pd_dict();
	if (pd_is(pd_get(node->config, "meta"), PD_DICT))
		pd_update(node->meta, pd_get(node->config, "meta"));
	node->more = without_config(entry);
	node->alias = name;
	node->schema = node->database = NULL;
	pj_add_node(load, node);
	return node;
}

/* What dbt_project.yml says of all exposures is added to, whatever they say. */
static void
add_to_all_exposures(PjNode *node)
{
	const PdDoc *all = pd_get(node->project->doc, "exposures");
	const PdDoc *meta = pd_get(all, "meta");
	List	   *tags = NIL;

	pj_add_texts(&tags, pd_get(all, "tags"));
	pj_add_texts(&tags, node->tags);
	node->tags = pj_sorted_texts(tags);
	if (pd_is(meta, PD_DICT))
	{
		PdDoc	   *whole = pd_copy_top(meta);

		pd_update(whole, node->meta);
		node->meta = whole;
	}
}

static void
load_exposure(PjLoad *load, PjFile *file, PdDoc *entry)
{
	PjNode	   *node = add_thing(load, file, entry, "exposure");
	PdDoc	   *depends = list_in(file, entry, "depends_on");
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; depends != NULL && i < depends->n; i++)
		if (pd_text(depends->u.items[i]) != NULL)
			appendStringInfo(&buf, "{{ %s }}\n", pd_text(depends->u.items[i]));
	add_to_all_exposures(node);
	node->raw_code = buf.data;
	pj_parse_reference(load, node);
	node->raw_code = "";
}

/* A metric of the name of a measure that says create_metric. */
static void
create_metric(PjLoad *load, PjFile *file, const PjNode *model, const PdDoc *measure)
{
	PdDoc	   *name = pd_get(measure, "name");
	PdDoc	   *label = pd_get(measure, "label");
	PdDoc	   *expr = pd_get(measure, "expr");
	PdDoc	   *description = pd_get(measure, "description");
	PdDoc	   *entry = pd_dict();
	PdDoc	   *params = pd_dict();
	PdDoc	   *config = pd_dict();

	pd_put(params, "measure", name);
	pd_put(params, "expr", pd_truth(expr) ? expr : name);
	pd_put(config, "enabled", pd_bool(model->enabled));
	pd_put(config, "meta", pd_is(pd_get(model->config, "meta"), PD_DICT)
		   ? pd_get(model->config, "meta") : pd_dict());
	pd_put(entry, "name", name);
	pd_put(entry, "label", pd_truth(label) ? label : name);
	pd_put(entry, "type", pd_string("simple"));
	pd_put(entry, "type_params", params);
	pd_put(entry, "description", pd_truth(description) ? description
		   : pd_string(psprintf("Metric created from measure %s", pd_text(name))));
	pd_put(entry, "config", config);
	(void) add_thing(load, file, entry, "metric");
}

static void
load_semantic_model(PjLoad *load, PjFile *file, PdDoc *entry)
{
	PjNode	   *node = add_thing(load, file, entry, "semantic_model");
	PdDoc	   *measures = list_in(file, entry, "measures");
	const char *model = pd_get_text(entry, "model");

	if (model == NULL)
		pj_raise(file, entry, "a semantic model must have a \"model\"");
	node->raw_code = psprintf("{{ %s }}", model);
	pj_parse_reference(load, node);
	if (node->refs->n == 0 && node->enabled)
		pj_raise(file, pd_get(entry, "model"),
				 "the model of semantic model '%s' must be ref('...'), not %s", node->name, model);
	node->raw_code = "";
	for (int i = 0; measures != NULL && i < measures->n; i++)
		if (pd_truth(pd_get(measures->u.items[i], "create_metric")))
			create_metric(load, file, node, measures->u.items[i]);
}

static void
load_saved_query(PjLoad *load, PjFile *file, PdDoc *entry)
{
	PjNode	   *node = add_thing(load, file, entry, "saved_query");
	PdDoc	   *metrics = list_in(file, pd_get(entry, "query_params"), "metrics");
	PdDoc	   *exports = list_in(file, entry, "exports");

	for (int i = 0; exports != NULL && i < exports->n; i++)
		if (pd_is_null(pd_get(pd_get(exports->u.items[i], "config"), "export_as")) &&
			pd_is_null(pd_get(node->config, "export_as")))
			pj_raise(file, exports->u.items[i],
					 "export '%s' of saved query '%s' has no `export_as`: it must be table or view",
					 pd_get_text(exports->u.items[i], "name"), node->name);
	for (int i = 0; metrics != NULL && i < metrics->n; i++)
	{
		PdDoc	   *one = pd_list();

		pd_append(one, metrics->u.items[i]);
		pd_append(node->metrics, one);
	}
}

static void
load_group(PjLoad *load, PjFile *file, PdDoc *entry)
{
	const char *id = psprintf("group.%s.%s", file->project->name, pd_get_text(entry, "name"));
	PdDoc	   *doc = pd_copy_top(entry);
	PdDoc	   *fqn = pj_fqn_prefix(file->project, file->relative);
	PjNode		node = {.resource_type = "group",.project = file->project,.file = file,.fqn = fqn};

	/* dbt has no configuration of groups by path; it takes that of models. */
	pd_append(fqn, pd_get(entry, "name"));
	node.patch_config = pd_get(entry, "config");
	pd_put(doc, "config", pj_node_config(load, &node));
	pd_put(doc, "package_name", pd_string(file->project->name));
	pd_put(doc, "path", pd_string(file->relative));
	pd_put(doc, "original_file_path", pd_string(file->original));
	pd_put(doc, "unique_id", pd_string(id));
	pd_put(doc, "resource_type", pd_string("group"));
	if (pd_get(load->groups, id) != NULL)
		pj_raise(file, entry, "dbt found two groups with the name \"%s\": the other is in %s",
				 pd_get_text(entry, "name"),
				 pd_get_text(pd_get(load->groups, id), "original_file_path"));
	pd_put(load->groups, id, doc);
}

static void
load_unit_test(PjLoad *load, PjFile *file, PdDoc *entry)
{
	const char *name = pd_get_text(entry, "name");
	const char *model = pd_get_text(entry, "model");
	const char *relative = strchr(file->original, '/');
	PjNode	   *node;

	if (model == NULL)
		pj_raise(file, entry, "unit test \"%s\" must have a \"model\"", name);
	node = add_thing(load, file, entry, "unit_test");
	node->unique_id = psprintf("unit_test.%s.%s.%s", file->project->name, model, name);
	node->fqn = pj_fqn_prefix(file->project, relative != NULL ? relative + 1 : file->original);
	pd_append(node->fqn, pd_string(model));
	pd_append(node->fqn, pd_string(name));
	node->config = pj_node_config(load, node);
	node->enabled = pd_truth(pd_get(node->config, "enabled"));
}

/* ---------- files ---------- */

static const char *const sections[] = {
	"models", "seeds", "snapshots", "sources", "macros", "data_tests", "analyses", "exposures",
	"functions", "metrics", "groups", "semantic_models", "unit_tests", "saved_queries",
};

static void
load_entry(PjLoad *load, PjFile *file, const char *key, PdDoc *entry)
{
	if (strcmp(key, "models") == 0)
		load_patch(load, file, entry, key, "model");
	else if (strcmp(key, "seeds") == 0)
		load_patch(load, file, entry, key, "seed");
	else if (strcmp(key, "snapshots") == 0)
		load_patch(load, file, entry, key, "snapshot");
	else if (strcmp(key, "analyses") == 0)
		load_patch(load, file, entry, key, "analysis");
	else if (strcmp(key, "functions") == 0)
		load_patch(load, file, entry, key, "function");
	else if (strcmp(key, "sources") == 0)
		pj_add_source(load, file, entry);
	else if (strcmp(key, "macros") == 0)
		load_macro_patch(load, file, entry);
	else if (strcmp(key, "data_tests") == 0)
		load_singular_patch(load, file, entry);
	else if (strcmp(key, "exposures") == 0)
		load_exposure(load, file, entry);
	else if (strcmp(key, "groups") == 0)
		load_group(load, file, entry);
	else if (strcmp(key, "semantic_models") == 0)
		load_semantic_model(load, file, entry);
	else if (strcmp(key, "saved_queries") == 0)
		load_saved_query(load, file, entry);
	else if (strcmp(key, "unit_tests") == 0)
		load_unit_test(load, file, entry);
	else
		(void) add_thing(load, file, entry, "metric");
}

static void
check_keys(const PjFile *file, const char *key, const PdDoc *entry)
{
	for (int i = 0; i < entry->n; i++)
		if (pd_text(entry->u.entries[i].key) == NULL)
			pj_raise(file, entry, "Invalid %s config - expected a dict with string keys, not %s", key,
					 pd_scalar_text(entry->u.entries[i].key));
}

/* Of patches of singular tests dbt only says what is wrong, and reads on elsewhere. */
static bool
is_lenient(const PjFile *file, const char *key, const PdDoc *list)
{
	const PdDoc *wrong = list->kind != PD_LIST ? list : NULL;

	if (strcmp(key, "data_tests") != 0)
		return false;
	for (int i = 0; wrong == NULL && i < list->n; i++)
		if (pd_get_text(list->u.items[i], "name") == NULL ||
			!pj_schema_fits(key, list->u.items[i], &(PjMisfit) {NULL}))
			wrong = list->u.items[i];
	if (wrong == NULL)
		return false;
	pj_warn(file, wrong, "Unable to parse 'data_tests' section of file '%s': it must be a list of entries that have a name",
			file->original);
	return true;
}

static void
load_section(PjLoad *load, PjFile *file, const char *key, PdDoc *list)
{
	if (is_lenient(file, key, list))
		return;
	if (list->kind != PD_LIST)
		pj_raise(file, list,
				 "The schema file at %s is invalid because the value of '%s' is not a list",
				 file->original, key);
	for (int i = 0; i < list->n; i++)
	{
		PdDoc	   *entry = list->u.items[i];

		CHECK_FOR_INTERRUPTS();
		if (!pd_is(entry, PD_DICT))
			pj_raise(file, entry,
					 "The schema file at %s is invalid because a list element for '%s' is not a dictionary",
					 file->original, key);
		if (pd_get(entry, "name") == NULL)
			pj_raise(file, entry,
					 "The schema file at %s is invalid because a list element for '%s' does not have a name attribute.",
					 file->original, key);
		check_keys(file, key, entry);
		pj_warn_keys(file, key, entry);
		if (strcmp(key, "snapshots") == 0)
			add_yaml_snapshot(load, file, entry);
		if (strcmp(key, "sources") == 0)
			entry = with_written_names(entry);
		entry = pj_render_deep(load, file->project, entry, file, is_rendered, key);
		if (pd_get_text(entry, "name") == NULL)
			pj_raise(file, pd_get(entry, "name"), "the \"name\" of one of '%s' must be a string", key);
		pj_check_entry(file, key, entry);
		load_entry(load, file, key, entry);
	}
}

static void
warn_unknown(const PjFile *file, const PdDoc *doc)
{
	for (int i = 0; i < doc->n; i++)
	{
		const char *key = pd_text(doc->u.entries[i].key);

		if (key == NULL || is_one_of(key, sections, lengthof(sections)) ||
			strcmp(key, "version") == 0 || strcmp(key, "anchors") == 0)
			continue;
		pj_warn(file, doc->u.entries[i].value, "Unexpected top-level key %s: it is left out",
				key);
	}
}

static void
load_properties_file(PjLoad *load, PjFile *file)
{
	/* A file's document keeps its lines, so it is parsed, not remembered. */
	PdDoc	   *doc = dpipe_yaml_parse(file->path, file->text, file->len);

	file->parsed = NULL;
	if (pd_is_null(doc))
		return;
	if (doc->kind != PD_DICT)
		pj_raise(file, doc, "is not a mapping of keys to values");
	warn_unknown(file, doc);
	for (int i = 0; i < lengthof(sections); i++)
	{
		PdDoc	   *list = pd_get(doc, sections[i]);

		if (list != NULL)
			load_section(load, file, sections[i], list);
	}
}

void
pj_load_properties(PjLoad *load)
{
	ListCell   *lc;

	load->groups = pd_dict();
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		if (file->kind == PJ_PROPERTIES)
			load_properties_file(load, file);
	}
	pj_finish_sources(load);
}
