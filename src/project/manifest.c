/*
 * manifest.c
 *		dpipe_manifest: all of a project as dbt's manifest.json, version 12.
 *
 * Made from what the load has stored; what only a manifest needs is found out
 * here and not while loading: what macros call, primary keys, the measures
 * behind metrics, the maps of parents and children.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "common/md5.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/fmgrprotos.h"
#include "utils/uuid.h"

#include "base/spi.h"
#include "project/host.h"
#include "project/manifest.h"
#include "project/open.h"
#include "project/project.h"
#include "project/shape.h"

PG_FUNCTION_INFO_V1(dpipe_manifest);

#define SCHEMA_VERSION "https://schemas.getdbt.com/dbt/manifest/v12.json"

/* ---------- what is stored of the project besides its nodes ---------- */

static DpipeStatement select_definition = {
	"SELECT p.definition::pg_catalog.text,"
	"       extract(epoch FROM p.loaded_at)::pg_catalog.float8::pg_catalog.text"
	"  FROM dpipe.project p WHERE p.name = $1",
	1,
	{TEXTOID}};

static void
read_definition(PjManifest *m, const char *project)
{
	MemoryContext cxt = CurrentMemoryContext;
	Datum		args[1] = {CStringGetTextDatum(project)};
	DpipeSpi	spi;
	char	   *text;
	char	   *loaded_at;

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&select_definition, args, NULL, true, 1);
	text = dpipe_spi_text(0, 1, cxt);
	loaded_at = dpipe_spi_text(0, 2, cxt);
	dpipe_spi_end(&spi);
	m->definition = pd_from_json(text, strlen(text));
	m->created_at = pd_float(strtod(loaded_at, NULL));
}

/* ---------- documents ---------- */

static PdDoc *
shape_of(PjManifest *m, const char *kind)
{
	PdDoc	   *shape = pj_table_get(m->shapes, kind);

	if (shape == NULL)
	{
		shape = pj_shape(kind);
		pd_put(shape, "created_at", m->created_at);
		if (strcmp(kind, "group") == 0 || strcmp(kind, "doc") == 0)
			(void) pd_remove(shape, "created_at");
		pj_table_put(m->shapes, kind, shape);
	}
	return shape;
}

PdDoc *
pj_manifest_doc(PjManifest *m, const char *kind, const PdDoc *doc)
{
	return pj_shaped(shape_of(m, kind), doc);
}

static bool
is_kind(const PjNode *node, const char *resource_type)
{
	return strcmp(node->resource_type, resource_type) == 0;
}

/* A test of something that is not there stays among the nodes, disabled. */
static bool
is_shown(const PjNode *node)
{
	return node->enabled || pd_truth(pd_get(node->more, "unresolved"));
}

/* The section of a manifest that nodes of a kind stand in. */
static const char *
section_of(const PjNode *node)
{
	static const struct
	{
		const char *resource_type;
		const char *section;
	}			known[] = {
		{"source", "sources"}, {"exposure", "exposures"}, {"metric", "metrics"},
		{"semantic_model", "semantic_models"}, {"saved_query", "saved_queries"},
		{"unit_test", "unit_tests"}, {"function", "functions"},
	};

	for (int i = 0; i < lengthof(known); i++)
		if (is_kind(node, known[i].resource_type))
			return known[i].section;
	return "nodes";
}

/* Its configuration has all of its tags and meta. */
static void
settle_exposure(PdDoc *doc)
{
	PdDoc	   *config = pd_copy_top(pd_get(doc, "config"));

	pd_put(config, "tags", pd_get(doc, "tags"));
	pd_put(config, "meta", pd_get(doc, "meta"));
	pd_put(doc, "config", config);
}

static PdDoc *
node_doc(PjManifest *m, const PjNode *node)
{
	const char *kind = node->resource_type;
	PdDoc	   *doc;

	if (is_kind(node, "test") && pd_is(node->test_metadata, PD_DICT))
		kind = "generic_test";
	doc = pj_manifest_doc(m, kind, node->more);
	if (is_kind(node, "model"))
		pj_manifest_model(m, node, doc);
	else if (is_kind(node, "exposure"))
		settle_exposure(doc);
	else if (is_kind(node, "metric"))
		pj_manifest_metric(m, node, doc);
	else if (is_kind(node, "semantic_model"))
		pj_manifest_semantic_model(m, node, doc);
	else if (is_kind(node, "saved_query"))
		pj_manifest_saved_query(m, node, doc);
	else if (is_kind(node, "unit_test"))
		pj_manifest_unit_test(m, node, doc);
	return doc;
}

/* ---------- maps ---------- */

static void
add_to(PdDoc *map, const char *key, const char *id)
{
	PdDoc	   *list = pd_get(map, key);

	if (list != NULL)
		pd_append(list, pd_string(id));
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(pd_text(*(PdDoc *const *) a), pd_text(*(PdDoc *const *) b));
}

static void
sort_lists(PdDoc *map)
{
	for (int i = 0; i < map->n; i++)
	{
		PdDoc	   *list = map->u.entries[i].value;

		if (list->n > 1)
			qsort(list->u.items, list->n, sizeof(PdDoc *), compare_texts);
	}
}

static void
put_maps(PjManifest *m)
{
	PdDoc	   *parents = pd_dict();
	PdDoc	   *children = pd_dict();
	ListCell   *lc;
	ListCell   *parent;

	foreach(lc, m->load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (!is_shown(node))
			continue;
		pd_put(children, node->unique_id, pd_list());
		pd_put(parents, node->unique_id, pd_strings(node->depends_on));
	}
	foreach(lc, m->load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (!is_shown(node))
			continue;
		foreach(parent, node->depends_on)
			add_to(children, lfirst(parent), node->unique_id);
	}
	sort_lists(parents);
	sort_lists(children);
	pd_put(m->doc, "parent_map", parents);
	pd_put(m->doc, "child_map", children);
}

static void
put_groups(PjManifest *m)
{
	PdDoc	   *groups = pd_get(m->definition, "groups");
	PdDoc	   *docs = pd_dict();
	PdDoc	   *map = pd_dict();
	ListCell   *lc;

	for (int i = 0; pd_is(groups, PD_DICT) && i < groups->n; i++)
	{
		PdDoc	   *group = groups->u.entries[i].value;

		pd_put(docs, pd_text(groups->u.entries[i].key), pj_manifest_doc(m, "group", group));
		pd_put(map, pd_get_text(group, "name"), pd_list());
	}
	foreach(lc, m->load->nodes)
	{
		const PjNode *node = lfirst(lc);
		const char *group = pd_get_text(node->more, "group");

		/* Unit tests have a group, too, but are in none. */
		if (node->enabled && group != NULL && !is_kind(node, "unit_test"))
			add_to(map, group, node->unique_id);
	}
	pd_put(m->doc, "groups", docs);
	pd_put(m->doc, "group_map", map);
}

/* ---------- sections ---------- */

static const char *const sections[] = {
	"nodes", "sources", "macros", "docs", "exposures", "metrics", "groups", "selectors", "disabled",
	"parent_map", "child_map", "group_map", "saved_queries", "semantic_models", "unit_tests",
	"functions",
};

static void
put_disabled(PjManifest *m, const PjNode *node)
{
	PdDoc	   *disabled = pd_get(m->doc, "disabled");
	PdDoc	   *list = pd_get(disabled, node->unique_id);

	if (list == NULL)
		pd_put(disabled, node->unique_id, list = pd_list());
	pd_append(list, node_doc(m, node));
}

static void
put_nodes(PjManifest *m)
{
	PdDoc	   *hidden = pd_get(m->definition, "hidden");
	ListCell   *lc;

	foreach(lc, m->load->nodes)
	{
		const PjNode *node = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (is_shown(node))
			pd_put(pd_get(m->doc, section_of(node)), node->unique_id, node_doc(m, node));
		else
			put_disabled(m, node);
	}
	for (int i = 0; pd_is(hidden, PD_LIST) && i < hidden->n; i++)
		put_disabled(m, pj_hidden_node(m->load, hidden->u.items[i]));
}

static void
put_docs(PjManifest *m)
{
	PdDoc	   *docs = pd_get(m->doc, "docs");
	ListCell   *lc;

	foreach(lc, m->load->docs)
	{
		const PjDoc *block = lfirst(lc);
		PdDoc	   *doc = pd_dict();

		pd_put(doc, "name", pd_string(block->name));
		pd_put(doc, "resource_type", pd_string("doc"));
		pd_put(doc, "package_name", pd_string(block->file->project->name));
		pd_put(doc, "path", pd_string(block->file->relative));
		pd_put(doc, "original_file_path", pd_string(block->file->original));
		pd_put(doc, "unique_id", pd_string(block->unique_id));
		pd_put(doc, "block_contents", pd_string(block->text));
		pd_put(docs, block->unique_id, pj_manifest_doc(m, "doc", doc));
	}
}

/* ---------- metadata ---------- */

static char *
iso_time(TimestampTz t, const char *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(t, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "time out of range");
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06d%s", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec, zone);
}

static char *
md5_hex(const char *s)
{
	char	   *hex = palloc(33);
	const char *errstr = NULL;

	if (!pg_md5_hash(s, strlen(s), hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	return hex;
}

/* Variables that a user has put aside for artifacts. */
static PdDoc *
custom_env(const PjLoad *load)
{
	static const char prefix[] = "DBT_ENV_CUSTOM_ENV_";
	PdDoc	   *env = pd_dict();

	for (int i = 0; pd_is(load->env, PD_DICT) && i < load->env->n; i++)
	{
		const char *name = pd_text(load->env->u.entries[i].key);

		if (strncmp(name, prefix, strlen(prefix)) == 0)
			pd_put(env, name + strlen(prefix), load->env->u.entries[i].value);
	}
	return env;
}

static PdDoc *
quoting(const PjLoad *load)
{
	static const char *const parts[] = {"database", "schema", "identifier"};
	PdDoc	   *doc = pd_dict();

	for (int i = 0; i < lengthof(parts); i++)
	{
		PdDoc	   *given = pd_get(load->root->quoting, parts[i]);

		pd_put(doc, parts[i], pd_bool(pd_is_null(given) || pd_truth(given)));
	}
	pd_put(doc, "column", pd_null());
	return doc;
}

PdDoc *
pj_artifact_metadata(const PjLoad *load, const char *schema_version)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "dbt_schema_version", pd_string(schema_version));
	pd_put(doc, "dbt_version", pd_string(DPIPE_DBT_VERSION));
	pd_put(doc, "generated_at", pd_string(iso_time(GetCurrentTimestamp(), "Z")));
	pd_put(doc, "invocation_id",
		   pd_string(DatumGetCString(DirectFunctionCall1(uuid_out,
														 DirectFunctionCall1(gen_random_uuid, 0)))));
	pd_put(doc, "invocation_started_at",
		   pd_string(iso_time(GetCurrentStatementStartTimestamp(), "Z")));
	pd_put(doc, "env", custom_env(load));
	return doc;
}

static PdDoc *
metadata(const PjLoad *load)
{
	PdDoc	   *doc = pj_artifact_metadata(load, SCHEMA_VERSION);

	pd_put(doc, "project_name", pd_string(load->root->name));
	pd_put(doc, "project_id", pd_string(md5_hex(load->root->name)));
	pd_put(doc, "user_id", pd_null());
	pd_put(doc, "send_anonymous_usage_stats", pd_bool(false));
	pd_put(doc, "adapter_type", pd_string("postgres"));
	pd_put(doc, "quoting", quoting(load));
	pd_put(doc, "run_started_at",
		   pd_string(iso_time(GetCurrentStatementStartTimestamp(), "+00:00")));
	return doc;
}

/* ---------- the whole ---------- */

PdDoc *
pj_manifest(const char *project)
{
	PjManifest	m = {0};

	m.load = pj_open_with_own(project);
	m.shapes = pj_table("dpipe shapes");
	m.doc = pd_dict();
	if (project != NULL)
		read_definition(&m, project);
	else
		m.created_at = pd_float(timestamptz_to_time_t(GetCurrentStatementStartTimestamp()));
	pd_put(m.doc, "metadata", metadata(m.load));
	for (int i = 0; i < lengthof(sections); i++)
		pd_put(m.doc, sections[i], pd_dict());
	put_nodes(&m);
	put_docs(&m);
	pj_manifest_macros(&m, pd_get(m.doc, "macros"));
	put_groups(&m);
	pd_put(m.doc, "selectors", pj_manifest_selectors(pd_get(m.definition, "selectors")));
	put_maps(&m);
	return m.doc;
}

PdDoc *
pj_manifest_graph(PjLoad *load)
{
	static const char *const parts[] = {
		"exposures", "functions", "groups", "metrics", "nodes", "sources", "semantic_models",
		"saved_queries",
	};
	PjManifest	m = {0};
	ListCell   *lc;

	pj_read_nodes(load);
	m.load = load;
	m.shapes = pj_table("dpipe shapes");
	m.doc = pd_dict();
	read_definition(&m, load->name);
	for (int i = 0; i < lengthof(parts); i++)
		pd_put(m.doc, parts[i], pd_dict());
	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);
		PdDoc	   *section = pd_get(m.doc, section_of(node));

		if (node->enabled && section != NULL)
			pd_put(section, node->unique_id, node_doc(&m, node));
	}
	put_groups(&m);
	(void) pd_remove(m.doc, "group_map");
	return m.doc;
}

Datum
dpipe_manifest(PG_FUNCTION_ARGS)
{
	PdDoc	   *options = PG_ARGISNULL(0) ? pd_dict() : pd_from_jsonb(PG_GETARG_JSONB_P(0));
	char	   *project = pj_project_of(options, "a manifest");

	PG_RETURN_JSONB_P(pd_to_jsonb(pj_manifest(project)));
}
