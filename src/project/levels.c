/*
 * levels.c
 *		Configuration of a node: defaults, then dbt_project.yml by path,
 *		the YAML files, and config() calls; for a node of a package the root
 *		project's dbt_project.yml has the last word.
 *
 * What a kind of node knows, its defaults and how values meet are dbt's. Keys
 * that it does not know are kept, for config.get().
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/loading.h"

/* How a value meets the one that was there. */
typedef enum Meeting
{
	CLOBBER,
	APPEND,						/* lists are joined */
	UPDATE,						/* dicts are overlaid */
	APPEND_BY_KEY,				/* dicts of lists; a key with + appends */
} Meeting;

/* A kind of node, as far as configuration goes. */
typedef struct Kind
{
	const char *resource_type;
	const char *key;			/* in dbt_project.yml */
	const char *old_key;
	const char *defaults;		/* JSON, in dbt's order */
	const char *append;			/* keys, each between spaces */
	const char *update;
	bool		hooks;
} Kind;

#define NODE_HEAD \
	"\"enabled\":true,\"alias\":null,\"schema\":null,\"database\":null,\"tags\":[],\"meta\":{}," \
	"\"group\":null,\"static_analysis\":null,"
#define NODE_TAIL \
	"\"incremental_strategy\":null,\"batch_size\":null,\"lookback\":1,\"begin\":null," \
	"\"persist_docs\":{},\"post-hook\":[],\"pre-hook\":[],\"quoting\":{},\"column_types\":{}," \
	"\"full_refresh\":null,\"unique_key\":null,\"on_schema_change\":\"ignore\"," \
	"\"on_configuration_change\":\"apply\",\"grants\":{},\"packages\":[]," \
	"\"docs\":{\"show\":true,\"node_color\":null}," \
	"\"contract\":{\"enforced\":false,\"alias_types\":true},\"event_time\":null," \
	"\"concurrent_batches\":null"
#define NODE_APPEND " post-hook pre-hook tags packages "
#define NODE_UPDATE " meta quoting column_types docs contract "

static const Kind kinds[] = {
	{"model", "models", NULL,
		"{" NODE_HEAD "\"materialized\":\"view\"," NODE_TAIL ",\"access\":\"protected\",\"freshness\":null}",
	NODE_APPEND, NODE_UPDATE, true},
	{"analysis", "models", NULL,
		"{" NODE_HEAD "\"materialized\":\"view\"," NODE_TAIL "}",
	NODE_APPEND, NODE_UPDATE, true},
	{"seed", "seeds", NULL,
		"{" NODE_HEAD "\"materialized\":\"seed\"," NODE_TAIL ",\"delimiter\":\",\",\"quote_columns\":null}",
	NODE_APPEND, NODE_UPDATE, true},
	{"snapshot", "snapshots", NULL,
		"{" NODE_HEAD "\"materialized\":\"snapshot\"," NODE_TAIL
		",\"strategy\":null,\"target_schema\":null,\"target_database\":null,\"updated_at\":null,"
		"\"check_cols\":null,\"snapshot_meta_column_names\":{\"dbt_valid_to\":null,"
		"\"dbt_valid_from\":null,\"dbt_scd_id\":null,\"dbt_updated_at\":null,\"dbt_is_deleted\":null},"
		"\"dbt_valid_to_current\":null}",
	NODE_APPEND, NODE_UPDATE, true},
	{"operation", "models", NULL,
		"{" NODE_HEAD "\"materialized\":\"view\"," NODE_TAIL "}",
	NODE_APPEND, NODE_UPDATE, true},
	{"function", "functions", NULL,
		"{" NODE_HEAD "\"materialized\":\"function\"," NODE_TAIL
		",\"type\":\"scalar\",\"volatility\":null,\"runtime_version\":null,\"entry_point\":null}",
	NODE_APPEND, NODE_UPDATE, true},
	{"test", "data_tests", "tests",
		"{\"enabled\":true,\"alias\":null,\"schema\":\"dbt_test__audit\",\"database\":null,\"tags\":[],"
		"\"meta\":{},\"group\":null,\"static_analysis\":null,\"materialized\":\"test\","
		"\"severity\":\"ERROR\",\"store_failures\":null,\"store_failures_as\":null,\"where\":null,"
		"\"limit\":null,\"fail_calc\":\"count(*)\",\"warn_if\":\"!= 0\",\"error_if\":\"!= 0\"}",
	" tags ", " meta ", false},
	{"source", "sources", NULL,
		"{\"enabled\":true,\"event_time\":null,\"freshness\":{\"warn_after\":{\"count\":null,\"period\":null},"
		"\"error_after\":{\"count\":null,\"period\":null},\"filter\":null},\"loaded_at_field\":null,"
		"\"loaded_at_query\":null,\"meta\":{},\"tags\":[],\"static_analysis\":null}",
	" ", " meta ", false},
	{"exposure", "exposures", NULL, "{\"enabled\":true,\"tags\":[],\"meta\":{}}", " ", " ", false},
	{"metric", "metrics", NULL, "{\"enabled\":true,\"group\":null,\"meta\":{}}", " ", " meta ", false},
	{"semantic_model", "semantic-models", NULL, "{\"enabled\":true,\"group\":null,\"meta\":{}}",
	" ", " meta ", false},
	{"saved_query", "saved-queries", NULL,
		"{\"enabled\":true,\"group\":null,\"meta\":{},\"export_as\":null,\"schema\":null,"
		"\"cache\":{\"enabled\":false}}",
	" ", " meta ", false},
	{"group", "models", NULL, "{\"meta\":{}}", " ", " meta ", false},
	{"unit_test", "unit_tests", NULL,
		"{\"tags\":[],\"meta\":{},\"enabled\":true,\"static_analysis\":null}", " tags ", " meta ",
	false},
};

static const Kind *
kind_of(const PjNode *node)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].resource_type, node->resource_type) == 0)
			return &kinds[i];
	elog(ERROR, "node of kind \"%s\" has no configuration", node->resource_type);
}

static bool
is_listed(const char *keys, const char *key)
{
	const char *at = keys;
	int			len = strlen(key);

	while ((at = strstr(at, key)) != NULL)
	{
		if (at > keys && at[-1] == ' ' && at[len] == ' ')
			return true;
		at++;
	}
	return false;
}

static Meeting
meeting_of(const char *append, const char *update, bool grants, const char *key)
{
	if (is_listed(append, key))
		return APPEND;
	if (is_listed(update, key))
		return UPDATE;
	return grants && strcmp(key, "grants") == 0 ? APPEND_BY_KEY : CLOBBER;
}

/* ---------- how values meet ---------- */

static PdDoc *
listed(PdDoc *value)
{
	PdDoc	   *list;

	if (value->kind == PD_LIST)
		return value;
	list = pd_list();
	pd_append(list, value);
	return list;
}

static PdDoc *
joined(PdDoc *a, PdDoc *b)
{
	PdDoc	   *list = pd_copy_top(listed(a));

	b = listed(b);
	for (int i = 0; i < b->n; i++)
		pd_append(list, b->u.items[i]);
	return list;
}

/* "keep_plus": a call that is only noted keeps the + for the final merge. */
static PdDoc *
joined_by_key(const PdDoc *a, const PdDoc *b, bool keep_plus)
{
	PdDoc	   *result = pd_dict();

	for (int i = 0; i < a->n; i++)
		(void) pd_put_key(result, a->u.entries[i].key, listed(a->u.entries[i].value));
	for (int i = 0; i < b->n; i++)
	{
		const char *key = pd_text(b->u.entries[i].key);
		PdDoc	   *old;

		if (key == NULL)
			continue;
		if (key[0] != '+')
		{
			pd_put(result, key, listed(b->u.entries[i].value));
			continue;
		}
		old = pd_get(result, keep_plus ? key : key + 1);
		pd_put(result, keep_plus ? key : key + strspn(key, "+"),
			   old != NULL ? joined(old, b->u.entries[i].value) : listed(b->u.entries[i].value));
	}
	return result;
}

static void
meet(PdDoc *into, const char *key, PdDoc *value, Meeting meeting, bool keep_plus)
{
	PdDoc	   *old = pd_get(into, key);
	PdDoc	   *merged = value;

	if (meeting == APPEND && old != NULL)
		merged = joined(old->kind == PD_NULL ? pd_list() : old, value);
	else if (meeting == APPEND)
		merged = listed(value);
	else if (meeting == UPDATE && pd_is(old, PD_DICT) && value->kind == PD_DICT)
	{
		merged = pd_copy_top(old);
		pd_update(merged, value);
	}
	else if (meeting == APPEND_BY_KEY && value->kind == PD_DICT)
		merged = joined_by_key(pd_is(old, PD_DICT) ? old : pd_dict(), value, keep_plus);
	pd_put(into, key, merged);
}

/* Names that mean the same. */
static const char *
main_name(const Kind *kind, const char *key)
{
	if (strcmp(key, "dbname") == 0)
		return "database";
	if (strcmp(key, "pre_hook") == 0)
		return "pre-hook";
	if (strcmp(key, "post_hook") == 0)
		return "post-hook";
	return key;
}

static void
overlay(const PjNode *node, const Kind *kind, PdDoc *result, const PdDoc *partial)
{
	bool		telling = false;

	for (int i = 0; partial != NULL && i < partial->n; i++)
	{
		const char *key = pd_text(partial->u.entries[i].key);

		if (key == NULL)
			continue;
		key = main_name(kind, key);
		meet(result, key, partial->u.entries[i].value,
			 meeting_of(kind->append, kind->update, kind->hooks, key), false);
		telling |= is_listed(" docs contract materialized on_schema_change freshness ", key);
	}
	if (telling && kind->hooks)
		pj_check_step(node, result);
}

/*
 * A config() call on top of those before it. The first one is taken as it
 * is; the rules are the same for every kind of node.
 */
void
pj_merge_calls(PdDoc *into, const PdDoc *call)
{
	bool		first = into->n == 0;

	for (int i = 0; i < call->n; i++)
	{
		const char *key = pd_text(call->u.entries[i].key);

		if (key == NULL)
			continue;
		meet(into, key, call->u.entries[i].value,
			 first ? CLOBBER : meeting_of(" pre-hook pre_hook post-hook post_hook tags packages ",
										  NODE_UPDATE, true, key), true);
	}
}

/* ---------- dbt_project.yml by path ---------- */

/* Of one level: keys with a +, and all that are no level below. */
static void
overlay_level(const PjNode *node, const Kind *kind, PdDoc *result, const PdDoc *level)
{
	PdDoc	   *partial = pd_dict();

	for (int i = 0; i < level->n; i++)
	{
		const char *key = pd_text(level->u.entries[i].key);
		PdDoc	   *value = level->u.entries[i].value;

		if (key == NULL)
			continue;
		if (key[0] == '+')
		{
			for (key++; *key == ' '; key++)
				;
			pd_put(partial, key, value);
		}
		else if (value->kind != PD_DICT)
			pd_put(partial, key, value);
	}
	overlay(node, kind, result, partial);
}

static PdDoc *
section_of(const Kind *kind, const PjProject *project)
{
	PdDoc	   *section = pd_get(project->doc, kind->key);

	if (section == NULL && kind->old_key != NULL)
		section = pd_get(project->doc, kind->old_key);
	return pd_is(section, PD_DICT) ? section : NULL;
}

bool
pj_has_levels(const PjLoad *load, const PjNode *node)
{
	const Kind *kind = kind_of(node);

	return section_of(kind, node->project) != NULL || section_of(kind, load->root) != NULL;
}

static void
overlay_project(const PjNode *node, const Kind *kind, PdDoc *result, const PjProject *project)
{
	PdDoc	   *level = section_of(kind, project);

	if (level == NULL)
		return;
	overlay_level(node, kind, result, level);
	for (int i = 0; i < node->fqn->n; i++)
	{
		level = pd_get(level, pd_text(node->fqn->u.items[i]));
		if (!pd_is(level, PD_DICT))
			break;
		overlay_level(node, kind, result, level);
	}
}

/* ---------- as it is written ---------- */

/* A later value takes the place of an earlier one; nothing is rendered. */
static void
overlay_raw_level(PdDoc *result, const PdDoc *level)
{
	for (int i = 0; i < level->n; i++)
	{
		const char *key = pd_text(level->u.entries[i].key);
		PdDoc	   *value = level->u.entries[i].value;
		bool		plus = key != NULL && key[0] == '+';

		if (key == NULL || (!plus && value->kind == PD_DICT))
			continue;
		if (plus)
			key += 1 + strspn(key + 1, " ");
		pd_put(result, strcmp(key, "dbname") == 0 ? "database" : key, value);
	}
}

static void
overlay_raw(const Kind *kind, PdDoc *result, const PjProject *project, const PdDoc *fqn)
{
	PdDoc	   *level = NULL;

	/* dbt looks for these elsewhere, or by another name, than where they are. */
	if (strcmp(kind->resource_type, "function") == 0)
		level = pd_get(project->raw, "models");
	else if (strchr(kind->key, '-') == NULL)
		level = pd_get(project->raw, kind->key);
	if (level == NULL && kind->old_key != NULL)
		level = pd_get(project->raw, kind->old_key);
	if (!pd_is(level, PD_DICT))
		return;
	overlay_raw_level(result, level);
	for (int i = 0; i < fqn->n; i++)
	{
		level = pd_get(level, pd_text(fqn->u.items[i]));
		if (!pd_is(level, PD_DICT))
			break;
		overlay_raw_level(result, level);
	}
}

/* What dbt_project.yml, YAML files and config() calls say, without defaults. */
PdDoc *
pj_unrendered_config(const PjLoad *load, const PjNode *node)
{
	const Kind *kind = kind_of(node);
	PdDoc	   *config = pd_dict();

	overlay_raw(kind, config, node->project, node->fqn);
	if (pd_is(node->patch_config, PD_DICT))
		pd_update(config, node->patch_config);
	if (node->call_config != NULL)
		pd_update(config, node->call_config);
	if (!node->project->is_root)
		overlay_raw(kind, config, load->root, node->fqn);
	return config;
}

/* ---------- the result ---------- */

static PdDoc *
hook_of(PdDoc *value)
{
	PdDoc	   *hook = pd_dict();
	PdDoc	   *given = value;

	if (value->kind == PD_STRING && value->u.text[strspn(value->u.text, " \t\r\n")] == '{' &&
		strchr(value->u.text, '"') != NULL)
	{
		/* a dict that was written as JSON in a string */
		MemoryContext cxt = CurrentMemoryContext;

		PG_TRY();
		{
			given = pd_from_json(value->u.text, value->n);
		}
		PG_CATCH();
		{
			/* Else it is a text that only looks like one. */
			if (geterrcode() != ERRCODE_INVALID_TEXT_REPRESENTATION)
				PG_RE_THROW();
			MemoryContextSwitchTo(cxt);
			FlushErrorState();
			given = value;
		}
		PG_END_TRY();
	}
	if (given->kind == PD_DICT && pd_get(given, "sql") != NULL)
	{
		pd_put(hook, "sql", pd_get(given, "sql"));
		pd_put(hook, "transaction",
			   pd_get(given, "transaction") ? pd_get(given, "transaction") : pd_bool(true));
		pd_put(hook, "index", pd_get(given, "index") ? pd_get(given, "index") : pd_null());
		return hook;
	}
	pd_put(hook, "sql", value);
	pd_put(hook, "transaction", pd_bool(true));
	pd_put(hook, "index", pd_null());
	return hook;
}

static void
settle_hooks(const PjNode *node, PdDoc *config, const char *key)
{
	PdDoc	   *hooks = pd_get(config, key);
	PdDoc	   *result = pd_list();

	if (pd_is_null(hooks))
		hooks = pd_list();
	hooks = listed(hooks);
	for (int i = 0; i < hooks->n; i++)
	{
		PdDoc	   *hook = hooks->u.items[i];

		if (hook->kind != PD_STRING && pd_get_text(hook, "sql") == NULL)
			pj_raise(node->file, NULL,
					 "config \"%s\" of %s must be texts or mappings with a key \"sql\", not %s", key,
					 node->unique_id, pd_to_json(hook));
		pd_append(result, hook_of(hook));
	}
	pd_put(config, key, result);
}

/* store_failures_as has the last word on store_failures. */
static void
settle_store_failures(PdDoc *config)
{
	PdDoc	   *as = pd_get(config, "store_failures_as");
	PdDoc	   *store = pd_get(config, "store_failures");

	if (!pd_is_null(as))
		pd_put(config, "store_failures", pd_bool(!pd_equals(as, "ephemeral")));
	else if (!pd_is_null(store))
		pd_put(config, "store_failures_as", pd_string(pd_truth(store) ? "table" : "ephemeral"));
}

/* Dicts that have fields of their own: what is not given has its default. */
static void
settle_fields(PdDoc *config, const PdDoc *defaults, const char *key)
{
	PdDoc	   *given = pd_get(config, key);
	PdDoc	   *whole = pd_get(defaults, key);

	if (!pd_is(given, PD_DICT) || !pd_is(whole, PD_DICT))
		return;
	whole = pd_copy_top(whole);
	for (int i = 0; i < whole->n; i++)
	{
		PdDoc	   *value = pd_get(given, pd_text(whole->u.entries[i].key));

		if (value != NULL)
			whole->u.entries[i].value = value;
	}
	pd_put(config, key, whole);
}

static void
check_bool(const PjNode *node, const PdDoc *config, const char *key)
{
	PdDoc	   *value = pd_get(config, key);
	PjFile		file = *node->file;

	/* Its place is in the file that says it. */
	if (pd_get(node->patch_config, key) != NULL && node->patch_path != NULL)
		file.path = strstr(node->patch_path, "://") + 3;
	if (!pd_is_null(value) && value->kind != PD_BOOL)
		pj_raise(&file, value, "config \"%s\" of %s must be true or false, not %s", key,
				 node->unique_id, pd_to_json(value));
}

/* Read once a load; whoever changes a part of it copies that first. */
static const PdDoc *
defaults_of(PjLoad *load, const Kind *kind)
{
	PdDoc	  **defaults;

	if (load->defaults == NULL)
		load->defaults = MemoryContextAllocZero(load->cxt, sizeof(PdDoc *) * lengthof(kinds));
	defaults = &load->defaults[kind - kinds];
	if (*defaults == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(load->cxt);

		*defaults = pd_from_json(kind->defaults, strlen(kind->defaults));
		MemoryContextSwitchTo(old);
	}
	return *defaults;
}

/* A model's freshness is when to build it; that of a source is no freshness here. */
static void
settle_freshness(PdDoc *config)
{
	PdDoc	   *freshness = pd_get(config, "freshness");
	PdDoc	   *after = pd_get(freshness, "build_after");

	if (!pd_is(freshness, PD_DICT))
		return;
	if (!pd_is(after, PD_DICT))
	{
		if (pd_is_null(after))
			pd_put(config, "freshness", pd_null());
		return;
	}
	freshness = pd_copy_top(freshness);
	after = pd_copy_top(after);
	if (pd_get(after, "updates_on") == NULL)
		pd_put(after, "updates_on", pd_string("any"));
	pd_put(freshness, "build_after", after);
	pd_put(config, "freshness", freshness);
}

PdDoc *
pj_node_config(PjLoad *load, const PjNode *node)
{
	const Kind *kind = kind_of(node);
	const PdDoc *defaults = defaults_of(load, kind);
	PdDoc	   *config = pd_copy_top(defaults);

	overlay_project(node, kind, config, node->project);
	if (pd_is(node->patch_config, PD_DICT))
		overlay(node, kind, config, node->patch_config);
	if (node->call_config != NULL)
		overlay(node, kind, config, node->call_config);
	if (!node->project->is_root)
		overlay_project(node, kind, config, load->root);

	if (kind->hooks)
	{
		settle_hooks(node, config, "post-hook");
		settle_hooks(node, config, "pre-hook");
	}
	if (strcmp(kind->resource_type, "test") == 0)
		settle_store_failures(config);
	if (strcmp(kind->resource_type, "model") == 0)
		settle_freshness(config);
	settle_fields(config, defaults, "docs");
	settle_fields(config, defaults, "contract");
	settle_fields(config, defaults, "snapshot_meta_column_names");
	check_bool(node, config, "enabled");
	check_bool(node, config, "full_refresh");
	check_bool(node, config, "store_failures");
	return config;
}
