/*
 * state.c
 *		Selection by what has changed since another manifest: state:.
 *
 * The project as it is and as it was are two manifests; the other one may be
 * dbt's or dpipe's own. What counts as a change is dbt's: configuration as it
 * is written, not as it is rendered; for sources and the like not that they
 * are new. Macros of dbt itself are left out, as they are not the same in dbt
 * and here.
 */
#include "base/compat.h"

#include "miscadmin.h"

#include "project/contract.h"
#include "project/manifest.h"
#include "project/method.h"

typedef struct State
{
	PdDoc	   *now;			/* documents by unique id */
	PdDoc	   *before;
	PdDoc	   *macros;
	PdDoc	   *changed_macros; /* by unique id; NULL: not known yet */
	PdDoc	   *macros_before;
	bool		(*check) (struct State *state, const PdDoc *old, const PdDoc *new);
	bool		negated;
} State;

static bool
is_kind(const PdDoc *doc, const char *kind)
{
	return pd_equals(pd_get(doc, "resource_type"), kind);
}

/* Kinds that dbt calls parsed nodes: they have a text, or rows. */
static bool
is_parsed(const PdDoc *doc)
{
	static const char *const kinds[] = {
		"model", "seed", "snapshot", "test", "analysis", "function", "operation",
	};

	for (int i = 0; i < lengthof(kinds); i++)
		if (is_kind(doc, kinds[i]))
			return true;
	return false;
}

static bool
is_generic_test(const PdDoc *doc)
{
	return is_kind(doc, "test") && pd_get(doc, "test_metadata") != NULL;
}

/* ---------- what is the same ---------- */

static bool same_value(const PdDoc *a, const PdDoc *b);

/* Is each entry of "a" the same in "b"? */
static bool
same_entries(const PdDoc *a, const PdDoc *b)
{
	for (int i = 0; i < a->n; i++)
	{
		const char *key = pd_text(a->u.entries[i].key);

		if (key == NULL || !same_value(a->u.entries[i].value, pd_get(b, key)))
			return false;
	}
	return true;
}

/* As documents are equal; but null and absent are the same, inside, too. */
static bool
same_value(const PdDoc *a, const PdDoc *b)
{
	check_stack_depth();
	if (pd_is_null(a) || pd_is_null(b))
		return pd_is_null(a) && pd_is_null(b);
	if (a->kind == PD_DICT && b->kind == PD_DICT)
		return same_entries(a, b) && same_entries(b, a);
	if (a->kind != PD_LIST || b->kind != PD_LIST)
		return pd_equal(a, b);
	for (int i = 0; i < a->n && a->n == b->n; i++)
		if (!same_value(a->u.items[i], b->u.items[i]))
			return false;
	return a->n == b->n;
}

static bool
same_key(const PdDoc *old, const PdDoc *new, const char *key)
{
	return same_value(pd_get(old, key), pd_get(new, key));
}

/* Several keys, behind each other; the last is NULL. */
static bool
same_keys(const PdDoc *old, const PdDoc *new, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		if (!same_key(old, new, *keys))
			return false;
	return true;
}

static bool
is_one_of(const char *s, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, s) == 0)
			return true;
	return false;
}

/* Does "new" have each entry of "old"? Those named are left out. */
static bool
has_entries(const PdDoc *old, const PdDoc *new, const char *const *without)
{
	for (int i = 0; pd_is(old, PD_DICT) && i < old->n; i++)
	{
		const char *key = pd_text(old->u.entries[i].key);
		PdDoc	   *value;

		if (key == NULL || is_one_of(key, without))
			continue;
		value = pd_get(new, key);
		if (value == NULL || !pd_equal(old->u.entries[i].value, value))
			return false;
	}
	return true;
}

static bool
same_config(const PdDoc *old, const PdDoc *new)
{
	static const char *const of_tests[] = {
		"severity", "where", "limit", "fail_calc", "warn_if", "error_if", "store_failures",
		"store_failures_as", NULL,
	};
	static const char *const named[] = {"alias", "schema", "database", "tags", "group", NULL};
	static const char *const group[] = {"group", NULL};
	static const char *const none[] = {NULL};
	const PdDoc *a = pd_get(old, "unrendered_config");
	const PdDoc *b = pd_get(new, "unrendered_config");
	const char *const *without = is_parsed(new) ? named : is_kind(new, "metric") ? group : none;

	if (is_kind(new, "semantic_model") || is_kind(new, "saved_query"))
		return same_key(old, new, "config");
	if (is_kind(new, "test"))
		return same_keys(a, b, of_tests);
	return has_entries(a, b, without) && has_entries(b, a, without);
}

/* Of a seed above 1 MB dbt's manifest knows the path alone. */
static bool
same_seed(const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *checksum = pd_get(old, "checksum");

	if (!pd_equals(pd_get(checksum, "name"), "path"))
		return same_key(old, new, "checksum");
	if (!same_value(pd_get(checksum, "checksum"), pd_get(new, "original_file_path")))
		return false;
	ereport(WARNING,
			(errmsg("Found a seed (%s.%s) >1MB in size at the same path, dbt cannot tell if it has changed: assuming they are the same",
					pd_get_text(new, "package_name"), pd_get_text(new, "name"))));
	return true;
}

static bool
same_body(const PdDoc *old, const PdDoc *new)
{
	return is_kind(new, "seed") ? same_seed(old, new) : same_key(old, new, "raw_code");
}

static bool
same_column_descriptions(const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *a = pd_get(old, "columns");
	PdDoc	   *b = pd_get(new, "columns");

	if (!pd_is(a, PD_DICT) || !pd_is(b, PD_DICT))
		return same_value(a, b);
	for (int i = 0; i < b->n; i++)
		if (!same_key(pd_get(a, pd_text(b->u.entries[i].key)), b->u.entries[i].value, "description"))
			return false;
	return a->n == b->n;
}

/* Descriptions count where they become comments in the database. */
static bool
same_descriptions(const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *persist = pd_get(pd_get(new, "config"), "persist_docs");

	if (pd_truth(pd_get(persist, "relation")) && !same_key(old, new, "description"))
		return false;
	return !pd_truth(pd_get(persist, "columns")) || same_column_descriptions(old, new);
}

static bool
same_relation(const PdDoc *old, const PdDoc *new)
{
	static const char *const names[] = {"database", "schema", "alias", NULL};
	static const char *const of_source[] = {"database", "schema", "identifier", NULL};

	if (is_kind(new, "source"))
		return same_keys(old, new, of_source);
	return same_keys(pd_get(old, "unrendered_config"), pd_get(new, "unrendered_config"), names);
}

/* ---------- kinds ---------- */

static bool
same_set(const PdDoc *a, const PdDoc *b)
{
	for (int i = 0; i < a->n; i++)
	{
		bool		found = false;

		for (int k = 0; k < b->n && !found; k++)
			found = pd_equal(a->u.items[i], b->u.items[k]);
		if (!found)
			return false;
	}
	return true;
}

static bool
same_parents(const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *a = pd_get(pd_get(old, "depends_on"), "nodes");
	PdDoc	   *b = pd_get(pd_get(new, "depends_on"), "nodes");

	if (!pd_is(a, PD_LIST) || !pd_is(b, PD_LIST))
		return same_value(a, b);
	return same_set(a, b) && same_set(b, a);
}

static bool
same_exports(const PdDoc *old, const PdDoc *new)
{
	static const char *const names[] = {"export_as", "schema", "alias", NULL};
	PdDoc	   *a = pd_get(old, "exports");
	PdDoc	   *b = pd_get(new, "exports");

	if (!pd_is(a, PD_LIST) || !pd_is(b, PD_LIST) || a->n != b->n)
		return same_value(a, b);
	for (int i = 0; i < a->n; i++)
		if (!same_key(a->u.items[i], b->u.items[i], "name") ||
			!same_keys(pd_get(a->u.items[i], "unrendered_config"),
					   pd_get(b->u.items[i], "unrendered_config"), names))
			return false;
	return true;
}

static bool
same_parsed(const PdDoc *old, const PdDoc *new)
{
	static const char *const of_model[] = {"latest_version", "access", "deprecation_date", NULL};
	static const char *const of_function[] = {"arguments", "returns", NULL};

	if (old == NULL)
		return false;
	if (is_generic_test(new))
		return same_config(old, new) && same_key(old, new, "fqn");
	return same_body(old, new) && same_config(old, new) && same_descriptions(old, new) &&
		same_key(old, new, "fqn") && same_relation(old, new) &&
		(!is_kind(new, "model") || same_keys(old, new, of_model)) &&
		(!is_kind(new, "function") || same_keys(old, new, of_function));
}

/* Sources and the like: that they are new is no change. */
static bool
same_declared(const PdDoc *old, const PdDoc *new)
{
	static const char *const of_source[] = {"fqn", "quoting", "freshness", "loaded_at_field", "external", NULL};
	static const char *const of_exposure[] = {"fqn", "type", "owner", "maturity", "url", "description", "label", NULL};
	static const char *const of_metric[] = {"type", "description", "label", NULL};
	static const char *const of_semantic_model[] = {
		"model", "description", "defaults", "entities", "dimensions", "measures", "primary_entity", "group", NULL,
	};
	static const char *const of_saved_query[] = {"description", "label", "group", "tags", NULL};
	static const char *const of_unit_test[] = {"model", "versions", "given", "expect", "overrides", NULL};
	static const char *const of_query[] = {"metrics", "group_by", "where", NULL};

	if (is_kind(new, "unit_test"))
		return old != NULL && same_keys(old, new, of_unit_test);
	if (old == NULL)
		return true;
	if (!same_config(old, new))
		return false;
	if (is_kind(new, "source"))
		return same_relation(old, new) && same_keys(old, new, of_source);
	if (is_kind(new, "exposure"))
		return same_keys(old, new, of_exposure) && same_parents(old, new);
	if (is_kind(new, "metric"))
		return same_keys(old, new, of_metric);
	if (is_kind(new, "semantic_model"))
		return same_keys(old, new, of_semantic_model);
	return same_keys(old, new, of_saved_query) && same_exports(old, new) &&
		same_keys(pd_get(old, "query_params"), pd_get(new, "query_params"), of_query);
}

/* ---------- macros ---------- */

static bool
is_of_dbt(const char *id)
{
	return strncmp(id, "macro.dbt.", 10) == 0 || strncmp(id, "macro.dbt_postgres.", 19) == 0;
}

/* Those that are not in "others", or have another text there. */
static void
note_changed(PdDoc *changed, const PdDoc *macros, const PdDoc *others)
{
	for (int i = 0; pd_is(macros, PD_DICT) && i < macros->n; i++)
	{
		const char *id = pd_text(macros->u.entries[i].key);
		PdDoc	   *other = pd_get(others, id);

		if (!is_of_dbt(id) &&
			(other == NULL || !same_key(macros->u.entries[i].value, other, "macro_sql")))
			pd_put(changed, id, pd_null());
	}
}

/* Does it call a macro that has changed, by however many others? */
static bool
calls_changed(State *state, const PdDoc *doc, PdDoc *seen)
{
	PdDoc	   *macros = pd_get(pd_get(doc, "depends_on"), "macros");

	check_stack_depth();
	for (int i = 0; pd_is(macros, PD_LIST) && i < macros->n; i++)
	{
		const char *id = pd_text(macros->u.items[i]);

		if (id == NULL || pd_get(seen, id) != NULL)
			continue;
		pd_put(seen, id, pd_null());
		if (pd_get(state->changed_macros, id) != NULL ||
			calls_changed(state, pd_get(state->macros, id), seen))
			return true;
	}
	return false;
}

static bool
modified_macros(State *state, const PdDoc *old, const PdDoc *new)
{
	if (state->changed_macros == NULL)
	{
		state->changed_macros = pd_dict();
		note_changed(state->changed_macros, state->macros, state->macros_before);
		note_changed(state->changed_macros, state->macros_before, state->macros);
	}
	return state->changed_macros->n > 0 && calls_changed(state, new, pd_dict());
}

/* ---------- the values of state: ---------- */

static bool
is_new(State *state, const PdDoc *old, const PdDoc *new)
{
	return old == NULL;
}

static bool
modified(State *state, const PdDoc *old, const PdDoc *new)
{
	bool		same = is_parsed(new) ? same_parsed(old, new) : same_declared(old, new);

	/* A contract that is broken is told of whatever else has changed. */
	if (old != NULL && is_kind(new, "model") && is_kind(old, "model"))
		same &= dpipe_same_contract(old, new);
	return !same || modified_macros(state, old, new);
}

static bool
modified_body(State *state, const PdDoc *old, const PdDoc *new)
{
	return is_parsed(new) && (old == NULL || !same_body(old, new));
}

static bool
modified_configs(State *state, const PdDoc *old, const PdDoc *new)
{
	return !is_kind(new, "unit_test") && (old == NULL || !same_config(old, new));
}

static bool
modified_descriptions(State *state, const PdDoc *old, const PdDoc *new)
{
	return is_parsed(new) && (old == NULL || !same_descriptions(old, new));
}

static bool
modified_relation(State *state, const PdDoc *old, const PdDoc *new)
{
	return (is_parsed(new) || is_kind(new, "source")) && (old == NULL || !same_relation(old, new));
}

static bool
modified_contract(State *state, const PdDoc *old, const PdDoc *new)
{
	if (!is_parsed(new))
		return false;
	return old == NULL || (is_kind(new, "model") && !dpipe_same_contract(old, new));
}

static const struct
{
	const char *name;
	bool		(*check) (State *state, const PdDoc *old, const PdDoc *new);
	bool		negated;
	bool		sees_removed;
}			values[] = {
	{"new", is_new},
	{"old", is_new, true},
	{"modified", modified, false, true},
	{"unmodified", modified, true, true},
	{"modified.body", modified_body},
	{"modified.configs", modified_configs},
	{"modified.persisted_descriptions", modified_descriptions},
	{"modified.relation", modified_relation},
	{"modified.macros", modified_macros},
	{"modified.contract", modified_contract, false, true},
};

/* ---------- the manifests ---------- */

static PdDoc *
nodes_of(const PdDoc *manifest)
{
	static const char *const sections[] = {
		"nodes", "sources", "exposures", "metrics", "semantic_models", "unit_tests",
		"saved_queries", "functions",
	};
	PdDoc	   *nodes = pd_dict();

	for (int i = 0; i < lengthof(sections); i++)
		if (pd_is(pd_get(manifest, sections[i]), PD_DICT))
			pd_update(nodes, pd_get(manifest, sections[i]));
	return nodes;
}

static void
check_manifest(const PdDoc *manifest)
{
	static const char *const prefix = "https://schemas.getdbt.com/dbt/manifest/v";
	const char *version = pd_get_text(pd_get(manifest, "metadata"), "dbt_schema_version");
	int			n = version != NULL && strncmp(version, prefix, strlen(prefix)) == 0
		? atoi(version + strlen(prefix)) : 0;

	if (manifest == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("Got a state selector method, but no comparison manifest"),
						errhint("Give a manifest.json, or what dpipe_manifest() has returned, as the option state.")));
	if (!pd_is(pd_get(manifest, "nodes"), PD_DICT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"state\" is no manifest.json"),
						errdetail("It must be a JSON object with an object \"nodes\".")));
	if (version != NULL && (n < 4 || n > 12))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("Expected a schema version of \"%s12.json\" in manifest.json, but found \"%s\"",
							   prefix, version)));
}

/* Models that are gone, with contracts that others may rely on. */
static void
check_removed(const State *state, const PdDoc *before, const PdDoc *now)
{
	PdDoc	   *nodes = pd_get(before, "nodes");
	PdDoc	   *disabled = pd_get(now, "disabled");

	for (int i = 0; i < nodes->n; i++)
	{
		const char *id = pd_text(nodes->u.entries[i].key);
		PdDoc	   *list = pd_get(disabled, id);

		if (pd_is(list, PD_LIST) && list->n > 0)
			dpipe_contract_removed(list->u.items[0]);
		else if (pd_get(state->now, id) == NULL)
			dpipe_contract_removed(nodes->u.entries[i].value);
	}
}

static void
pg_attribute_noreturn() raise_value(const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("Got an invalid selector \"%s\", expected one of \"new\", \"old\", \"modified\", \"unmodified\", \"modified.body\", \"modified.configs\", \"modified.persisted_descriptions\", \"modified.relation\", \"modified.macros\" or \"modified.contract\"",
					value)));
}

void
dpipe_begin_state(DpipeSearch *search)
{
	const DpipeGraph *graph = search->graph;
	PdDoc	   *before = search->selection->state;
	PdDoc	   *now;
	State	   *state = palloc0(sizeof(State));
	int			v = 0;

	check_manifest(before);
	while (v < lengthof(values) && strcmp(values[v].name, search->value) != 0)
		v++;
	if (v == lengthof(values))
		raise_value(search->value);
	now = pj_manifest(graph->project);
	state->now = nodes_of(now);
	state->before = nodes_of(before);
	state->macros = pd_get(now, "macros");
	state->macros_before = pd_get(before, "macros");
	state->check = values[v].check;
	state->negated = values[v].negated;
	if (values[v].sees_removed)
		check_removed(state, before, now);
	search->own = state;
}

bool
dpipe_match_state(const DpipeSearch *search, const DpipeNode *node)
{
	State	   *state = search->own;
	PdDoc	   *new = pd_get(state->now, node->unique_id);

	/* Others' models are in no manifest of the caller's. */
	if (new == NULL)
		return false;
	return state->check(state, pd_get(state->before, node->unique_id), new) != state->negated;
}
