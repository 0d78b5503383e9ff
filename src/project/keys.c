/*
 * keys.c
 *		What a project says that nothing reads: keys that dbt does not know,
 *		and configuration by path that is that of no node. Warnings, in dbt's
 *		words; packages are not looked at, since they are others'.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "project/loading.h"
#include "project/schema.h"

/* ---------- keys of YAML files ---------- */

#define COMMON " name description config meta tags docs group enabled static_analysis_off_reason "
#define TESTED COMMON "tests data_tests columns quote_columns "
#define SEMANTIC \
	"agg agg_time_dimension base_metric calculation constant_properties conversion_metric denominator " \
	"entity expr fill_nulls_with filter grain_to_date hidden input_metric input_metrics " \
	"join_to_timespine label metrics non_additive_dimension numerator percentile percentile_type " \
	"period_agg time_granularity type type_params window "

static const struct
{
	const char *section;
	const char *keys;			/* between spaces */
}			known[] = {
	{"models", TESTED "access constraints deprecation_date derived_semantics freshness identifier latest_version metrics agg_time_dimension primary_entity semantic_model time_spine versions "},
	{"seeds", TESTED},
	{"snapshots", TESTED "relation "},
	{"analyses", TESTED},
	{"functions", TESTED "arguments returns identifier language type "},
	{"macros", COMMON "arguments "},
	{"sources", COMMON "catalog database external freshness loaded_at_field loaded_at_query loader overrides quoting schema tables unrendered_schema unrendered_database "},
	{"tables", TESTED "external freshness identifier loaded_at_field loaded_at_query loader quoting "},
	{"columns", COMMON "column_mask constraints data_tests data_type databricks_tags dimension entity granularity policy_tags quote tests "},
	{"exposures", COMMON "depends_on label maturity owner type url "},
	{"groups", COMMON "owner "},
	{"metrics", COMMON SEMANTIC},
	{"semantic_models", COMMON "defaults dimensions entities label measures model primary_entity "},
	{"saved_queries", COMMON "exports label query_params "},
	{"unit_tests", COMMON "expect given model overrides versions "},
};

/* Would the key mean something below "config"? */
static bool
is_configuration(const char *section, const char *key)
{
	if (strcmp(section, "tables") == 0)
		section = "sources";
	return pj_schema_has(psprintf("%.*s_config", (int) strlen(section) - 1, section), key);
}

static void
warn_key(const PjFile *file, const char *section, const char *place, const PdDoc *value,
		 const char *key)
{
	if (is_configuration(section, key))
		pj_warn(file, value,
				"Found `%s` as a top-level property of `%s`. The `%s` top-level property should be moved into the `config` of `%s`.",
				key, place, key, place);
	else
		pj_warn(file, value,
				"Custom key `%s` found at `%s`. This may mean the key is a typo, or is simply not a key supported by the object.",
				key, place);
}

static void
warn_keys(const PjFile *file, const char *section, const char *place, const PdDoc *entry)
{
	const char *keys = NULL;

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(known[i].section, section) == 0)
			keys = known[i].keys;
	for (int i = 0; keys != NULL && i < entry->n; i++)
	{
		const char *key = pd_text(entry->u.entries[i].key);

		if (key != NULL && strstr(keys, psprintf(" %s ", key)) == NULL)
			warn_key(file, section, place, entry->u.entries[i].value, key);
	}
}

/* The entries of a list inside an entry. */
static void
warn_list(const PjFile *file, const char *section, const char *place, const PdDoc *list)
{
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
	{
		PdDoc	   *entry = list->u.items[i];
		const char *name = pd_get_text(entry, "name");
		const char *below;

		if (name == NULL)
			continue;
		below = psprintf("%s.%s.%s", place, section, name);
		warn_keys(file, section, below, entry);
		if (strcmp(section, "tables") == 0)
			warn_list(file, "columns", below, pd_get(entry, "columns"));
	}
}

void
pj_warn_keys(const PjFile *file, const char *section, const PdDoc *entry)
{
	const char *place = psprintf("%s.%s", section, pd_get_text(entry, "name"));

	if (!file->project->is_root)
		return;
	warn_keys(file, section, place, entry);
	warn_list(file, "columns", place, pd_get(entry, "columns"));
	if (strcmp(section, "sources") == 0)
		warn_list(file, "tables", place, pd_get(entry, "tables"));
}

/* ---------- configuration by path ---------- */

/* The sections of dbt_project.yml, and the kinds of nodes that they are for. */
static const struct
{
	const char *key;
	const char *old_key;
	const char *resource_type;
	const char *shown;
}			configured[] = {
	{"models", NULL, "model", "models"},
	{"seeds", NULL, "seed", "seeds"},
	{"snapshots", NULL, "snapshot", "snapshots"},
	{"sources", NULL, "source", "sources"},
	{"data_tests", "tests", "test", "data_tests"},
	{"unit_tests", NULL, "unit_test", "unit_tests"},
	{"metrics", NULL, "metric", "metrics"},
	{"semantic-models", NULL, "semantic_model", "semantic_models"},
	{"saved-queries", NULL, "saved_query", "saved_queries"},
	{"exposures", NULL, "exposure", "exposures"},
	{"functions", NULL, "function", "functions"},
};

static bool
begins_with(const PdDoc *fqn, const List *path)
{
	ListCell   *lc;

	if (!pd_is(fqn, PD_LIST) || fqn->n < list_length(path))
		return false;
	foreach(lc, path)
	{
		if (!pd_equals(fqn->u.items[foreach_current_index(lc)], lfirst(lc)))
			return false;
	}
	return true;
}

/* Is there a node of the kind at the path? A disabled one of any kind will do. */
static bool
is_used(const PjLoad *load, const char *resource_type, const List *path)
{
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if ((!node->enabled || strcmp(node->resource_type, resource_type) == 0) &&
			begins_with(node->fqn, path))
			return true;
	}
	return false;
}

/* Paths that have a value of their own and no node. */
static void
note_unused(const PjLoad *load, int section, const PdDoc *level, List *path, List **unused)
{
	bool		has_value = false;
	ListCell   *lc;

	for (int i = 0; i < level->n; i++)
	{
		const char *key = pd_text(level->u.entries[i].key);
		PdDoc	   *value = level->u.entries[i].value;

		if (key == NULL)
			continue;
		if (value->kind == PD_DICT && key[0] != '+')
			note_unused(load, section, value, lappend(list_copy(path), (void *) key), unused);
		else
			has_value = true;
	}
	if (has_value && !is_used(load, configured[section].resource_type, path))
	{
		StringInfoData buf;

		initStringInfo(&buf);
		appendStringInfoString(&buf, configured[section].shown);
		foreach(lc, path)
			appendStringInfo(&buf, ".%s", (char *) lfirst(lc));
		*unused = lappend(*unused, buf.data);
	}
}

void
pj_warn_unused_paths(const PjLoad *load)
{
	List	   *unused = NIL;
	StringInfoData buf;
	ListCell   *lc;

	for (int i = 0; i < lengthof(configured); i++)
	{
		PdDoc	   *level = pd_get(load->root->doc, configured[i].key);

		if (level == NULL && configured[i].old_key != NULL)
			level = pd_get(load->root->doc, configured[i].old_key);
		if (pd_is(level, PD_DICT))
			note_unused(load, i, level, NIL, &unused);
	}
	if (unused == NIL)
		return;
	initStringInfo(&buf);
	foreach(lc, unused)
		appendStringInfo(&buf, "\n- %s", (char *) lfirst(lc));
	ereport(WARNING,
			(errmsg("Configuration paths exist in your dbt_project.yml file which do not apply to any resources."),
			 errdetail("There are %d unused configuration paths:%s", list_length(unused), buf.data)));
}
