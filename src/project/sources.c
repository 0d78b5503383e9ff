/*
 * sources.c
 *		Sources that a YAML file declares: a node for each table.
 *
 * They are made when all files are read, as a file of the root project may
 * override a package's source.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/loading.h"

typedef struct Declared
{
	PjFile	   *file;
	PdDoc	   *source;
} Declared;

/* ---------- values of source and table ---------- */

/* Of the table, of its config, of the source, of the source's config. */
static PdDoc *
inherited(const PdDoc *source, const PdDoc *table, const char *key)
{
	PdDoc	   *value = pd_get(table, key);

	if (pd_is_null(value))
		value = pd_get(pd_get(table, "config"), key);
	if (pd_is_null(value))
		value = pd_get(source, key);
	if (pd_is_null(value))
		value = pd_get(pd_get(source, "config"), key);
	return pd_is_null(value) ? pd_null() : value;
}

static PdDoc *
at_one_place(const PdDoc *entry, const char *key)
{
	PdDoc	   *value = pd_get(entry, key);

	if (!pd_truth(value))
		value = pd_get(pd_get(entry, "config"), key);
	return pd_truth(value) ? value : pd_null();
}

/* A table that has one, or has null for it, takes nothing of its source's. */
bool
pj_says_loaded_at_field(const PdDoc *table)
{
	return pd_get(table, "loaded_at_field") != NULL ||
		pd_truth(pd_get(pd_get(table, "config"), "loaded_at_field"));
}

static PdDoc *
overlaid(const PdDoc *source, const PdDoc *table, const char *key)
{
	const PdDoc *parts[4] = {
		pd_get(source, key), pd_get(pd_get(source, "config"), key),
		pd_get(table, key), pd_get(pd_get(table, "config"), key),
	};
	PdDoc	   *result = pd_dict();

	for (int i = 0; i < 4; i++)
		if (pd_is(parts[i], PD_DICT))
			pd_update(result, parts[i]);
	return result;
}

static PdDoc *
all_tags(const PdDoc *source, const PdDoc *table)
{
	List	   *all = NIL;

	pj_add_texts(&all, pd_get(source, "tags"));
	pj_add_texts(&all, pd_get(pd_get(source, "config"), "tags"));
	pj_add_texts(&all, pd_get(table, "tags"));
	pj_add_texts(&all, pd_get(pd_get(table, "config"), "tags"));
	return pj_sorted_texts(all);
}

/* ---------- freshness ---------- */

static PdDoc *
threshold(const PdDoc *given)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "count", pd_get(given, "count") ? pd_get(given, "count") : pd_null());
	pd_put(doc, "period", pd_get(given, "period") ? pd_get(given, "period") : pd_null());
	return doc;
}

/* An explicit null takes away what was there, until something else is said. */
static PdDoc *
merged_threshold(const PdDoc *before, const PdDoc *part, const char *key)
{
	const PdDoc *base = pd_get(before, key);
	const PdDoc *update = pd_get(part, key);
	PdDoc	   *doc;

	if (update != NULL && update->kind == PD_NULL)
		return pd_null();
	doc = threshold(base);
	for (int i = 0; pd_is(update, PD_DICT) && i < update->n; i++)
		if (!pd_is_null(update->u.entries[i].value))
			(void) pd_put_key(doc, update->u.entries[i].key, update->u.entries[i].value);
	if (base != NULL && base->kind == PD_NULL && pd_is_null(pd_get(doc, "count")) &&
		pd_is_null(pd_get(doc, "period")))
		return pd_null();
	return doc;
}

/*
 * What is written at four places, each upon the one before it; an explicit
 * null takes all away. NULL: nothing is written anywhere.
 */
static PdDoc *
freshness_of(const PdDoc *source, const PdDoc *table)
{
	const PdDoc *parts[4] = {
		pd_get(source, "freshness"), pd_get(pd_get(source, "config"), "freshness"),
		pd_get(table, "freshness"), pd_get(pd_get(table, "config"), "freshness"),
	};
	PdDoc	   *result = NULL;

	for (int i = 0; i < 4; i++)
	{
		PdDoc	   *base = result;

		if (parts[i] == NULL)
			continue;
		if (parts[i]->kind != PD_DICT)
		{
			result = pd_null();
			continue;
		}
		result = pd_dict();
		pd_put(result, "warn_after",
			   merged_threshold(base, parts[i], "warn_after"));
		pd_put(result, "error_after",
			   merged_threshold(base, parts[i], "error_after"));
		pd_put(result, "filter", !pd_is_null(pd_get(parts[i], "filter"))
			   ? pd_get(parts[i], "filter")
			   : pd_get(base, "filter") ? pd_get(base, "filter") : pd_null());
	}
	return result;
}

/* ---------- nodes ---------- */

static PdDoc *
config_of(const PdDoc *source, const PdDoc *table)
{
	PdDoc	   *config = pd_dict();
	PdDoc	   *freshness = freshness_of(source, table);

	if (pd_is(pd_get(source, "config"), PD_DICT))
		pd_update(config, pd_get(source, "config"));
	if (pd_is(pd_get(table, "config"), PD_DICT))
		pd_update(config, pd_get(table, "config"));
	(void) pd_remove(config, "freshness");
	if (freshness != NULL)
		pd_put(config, "freshness", freshness);
	pd_put(config, "loaded_at_field",
		   pj_says_loaded_at_field(table) ? at_one_place(table, "loaded_at_field")
		   : inherited(source, table, "loaded_at_field"));
	pd_put(config, "loaded_at_query",
		   pj_says_loaded_at_field(table) ? at_one_place(table, "loaded_at_query")
		   : inherited(source, table, "loaded_at_query"));
	pd_put(config, "meta", overlaid(source, table, "meta"));
	pd_put(config, "tags", all_tags(source, table));
	return config;
}

static PdDoc *
quoting_of(const PdDoc *source, const PdDoc *table)
{
	static const char *const parts[] = {"database", "schema", "identifier", "column"};
	PdDoc	   *quoting = pd_dict();

	for (int i = 0; i < lengthof(parts); i++)
	{
		PdDoc	   *value = pd_get(pd_get(table, "quoting"), parts[i]);

		if (pd_is_null(value))
			value = pd_get(pd_get(source, "quoting"), parts[i]);
		pd_put(quoting, parts[i], pd_is_null(value) ? pd_null() : value);
	}
	return quoting;
}

static PdDoc *
or_null(PdDoc *doc)
{
	return doc != NULL ? doc : pd_null();
}

static void
put_details(PjNode *node, const PdDoc *source, const PdDoc *table)
{
	PdDoc	   *more = pd_dict();
	PdDoc	   *meta = pd_dict();

	if (pd_is(pd_get(source, "meta"), PD_DICT))
		pd_update(meta, pd_get(source, "meta"));
	if (pd_is(pd_get(pd_get(source, "config"), "meta"), PD_DICT))
		pd_update(meta, pd_get(pd_get(source, "config"), "meta"));
	pd_put(more, "source_name", pd_get(source, "name"));
	pd_put(more, "source_description", pd_string(pd_get_text(source, "description")
												 ? pd_get_text(source, "description") : ""));
	pd_put(more, "loader", pd_string(pd_get_text(source, "loader")
									 ? pd_get_text(source, "loader") : ""));
	pd_put(more, "identifier", pd_string(node->alias));
	pd_put(more, "quoting", quoting_of(source, table));
	pd_put(more, "loaded_at_field", or_null(pd_get(node->config, "loaded_at_field")));
	pd_put(more, "loaded_at_query", or_null(pd_get(node->config, "loaded_at_query")));
	pd_put(more, "freshness", or_null(pd_get(node->config, "freshness")));
	pd_put(more, "external", or_null(pd_get(table, "external")));
	pd_put(more, "source_meta", meta);
	pd_put(more, "unrendered_database", or_null(pd_get(source, "unrendered_database")));
	pd_put(more, "unrendered_schema", or_null(pd_get(source, "unrendered_schema")));
	node->more = more;
}

static PjNode *
add_table(PjLoad *load, PjFile *file, PdDoc *source, PdDoc *table)
{
	const char *source_name = pd_get_text(source, "name");
	const char *name = pd_get_text(table, "name");
	PdDoc	   *fqn = pj_fqn_prefix(file->project, file->relative);
	PjNode	   *node;
	PdDoc	   *columns = pd_get(table, "columns");

	pd_append(fqn, pd_string(source_name));
	pd_append(fqn, pd_string(name));
	node = pj_make_node(load, "source", file, name, file->original, fqn);
	node->unique_id = psprintf("source.%s.%s.%s", file->project->name, source_name, name);
	node->patch_config = config_of(source, table);
	node->config = pj_node_config(load, node);
	node->enabled = pd_truth(pd_get(node->config, "enabled"));
	node->tags = pd_get(node->config, "tags");
	node->meta = pd_get(node->config, "meta");
	node->description = pd_get_text(table, "description");
	if (pd_get_text(source, "database") != NULL)
		node->database = pd_get_text(source, "database");
	node->schema = pd_get_text(source, "schema");
	if (node->schema == NULL)
		node->schema = source_name;
	node->alias = pd_get_text(table, "identifier");
	if (node->alias == NULL)
		node->alias = name;
	node->columns = pj_columns(load, file, pd_is(columns, PD_LIST) ? columns : NULL);
	put_details(node, source, table);
	pj_add_node(load, node);
	return node;
}

static void
add_table_tests(PjLoad *load, PjFile *file, PdDoc *source, PdDoc *table)
{
	PdDoc	   *columns = pd_get(table, "columns");
	PdDoc	   *tests = pj_tests_of(file, table, false);
	List	   *tags = NIL;

	pj_add_texts(&tags, pd_get(source, "tags"));
	pj_add_texts(&tags, pd_get(table, "tags"));
	for (int i = 0; tests != NULL && i < tests->n; i++)
		pj_add_test(load, file, "sources", source, table, tests->u.items[i], NULL, tags, NULL);
	for (int i = 0; pd_is(columns, PD_LIST) && i < columns->n; i++)
	{
		PdDoc	   *column = columns->u.items[i];
		PdDoc	   *own = pj_tests_of(file, column, false);

		for (int j = 0; own != NULL && j < own->n; j++)
			pj_add_test(load, file, "sources", source, table, own->u.items[j], column, tags, NULL);
	}
}

/* ---------- overrides ---------- */

static PdDoc *
override_of(const PjLoad *load, const Declared *d)
{
	ListCell   *lc;

	foreach(lc, load->patches)
	{
		const Declared *patch = lfirst(lc);

		if (pd_equals(pd_get(patch->source, "overrides"), d->file->project->name) &&
			pd_equal(pd_get(patch->source, "name"), pd_get(d->source, "name")))
			return patch->source;
	}
	return NULL;
}

static PdDoc *
table_named(const PdDoc *source, const char *name)
{
	PdDoc	   *tables = pd_get(source, "tables");

	for (int i = 0; pd_is(tables, PD_LIST) && i < tables->n; i++)
		if (pd_equals(pd_get(tables->u.items[i], "name"), name))
			return tables->u.items[i];
	return NULL;
}

static PdDoc *
patched(const PdDoc *doc, const PdDoc *patch, const char *const *kept, int nkept)
{
	PdDoc	   *result;

	if (patch == NULL)
		return (PdDoc *) doc;
	result = pd_copy_top(doc);
	for (int i = 0; i < patch->n; i++)
	{
		bool		keep = false;

		for (int k = 0; k < nkept; k++)
			keep |= pd_equals(patch->u.entries[i].key, kept[k]);
		if (!keep)
			(void) pd_put_key(result, patch->u.entries[i].key, patch->u.entries[i].value);
	}
	return result;
}

static void
add_override(PjLoad *load, PjFile *file, PdDoc *source)
{
	Declared   *d = palloc0(sizeof(Declared));
	ListCell   *lc;

	foreach(lc, load->patches)
	{
		const Declared *other = lfirst(lc);

		if (pd_equal(pd_get(other->source, "overrides"), pd_get(source, "overrides")) &&
			pd_equal(pd_get(other->source, "name"), pd_get(source, "name")))
			pj_raise(file, source,
					 "dbt found two schema.yml entries for the same source named %s in package %s: the other is in %s",
					 pd_get_text(source, "name"), pd_scalar_text(pd_get(source, "overrides")),
					 other->file->path);
	}
	d->file = file;
	d->source = source;
	load->patches = lappend(load->patches, d);
}

/* ---------- the doors ---------- */

void
pj_add_source(PjLoad *load, PjFile *file, PdDoc *source)
{
	Declared   *d;
	PdDoc	   *tables = pd_get(source, "tables");

	if (pd_get(source, "overrides") != NULL)
	{
		add_override(load, file, source);
		return;
	}
	if (!pd_is_null(tables) && tables->kind != PD_LIST)
		pj_raise(file, tables, "\"tables\" must be a list");
	for (int i = 0; tables != NULL && i < tables->n; i++)
		if (pd_get_text(tables->u.items[i], "name") == NULL)
			pj_raise(file, tables->u.items[i], "a table of source \"%s\" must have a \"name\"",
					 pd_get_text(source, "name"));
	d = palloc0(sizeof(Declared));
	d->file = file;
	d->source = source;
	load->declared = lappend(load->declared, d);
}

void
pj_finish_sources(PjLoad *load)
{
	static const char *const of_source[] = {"name", "overrides", "tables"};
	static const char *const of_table[] = {"name"};
	ListCell   *lc;

	foreach(lc, load->declared)
	{
		Declared   *d = lfirst(lc);
		PdDoc	   *patch = override_of(load, d);
		PdDoc	   *source = patched(d->source, patch, of_source, lengthof(of_source));
		PdDoc	   *tables = pd_get(d->source, "tables");

		for (int i = 0; pd_is(tables, PD_LIST) && i < tables->n; i++)
		{
			PdDoc	   *table = tables->u.items[i];

			table = patched(table, table_named(patch, pd_get_text(table, "name")), of_table,
							lengthof(of_table));
			(void) add_table(load, d->file, source, table);
			add_table_tests(load, d->file, source, table);
		}
	}
}
