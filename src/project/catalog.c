/*
 * catalog.c
 *		dpipe_catalog: the relations of a project and of models beside it that are there, with their
 *		columns, as dbt's catalog.json, version 1.
 *
 * As dbt finds them: by schema and name without regard to case, in this
 * database, no temporary ones.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/spi.h"
#include "project/manifest.h"
#include "project/node.h"
#include "project/open.h"

PG_FUNCTION_INFO_V1(dpipe_catalog);

#define SCHEMA_VERSION "https://schemas.getdbt.com/dbt/catalog/v1.json"

static DpipeStatement select_relations = {
	"SELECT coalesce(pg_catalog.jsonb_object_agg(r.section, r.docs), '{}') FROM ("
	"  SELECT w.section, pg_catalog.jsonb_object_agg(w.id, pg_catalog.jsonb_build_object("
	"         'unique_id', w.id,"
	"         'metadata', pg_catalog.jsonb_build_object('type', CASE c.relkind"
	"             WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'BASE TABLE' END,"
	"           'schema', n.nspname, 'name', c.relname, 'database', pg_catalog.current_database(),"
	"           'comment', pg_catalog.obj_description(c.oid, 'pg_class'),"
	"           'owner', pg_catalog.pg_get_userbyid(c.relowner)),"
	"         'columns', a.columns,"
	"         'stats', '{\"has_stats\": {\"id\": \"has_stats\", \"label\": \"Has Stats?\","
	"           \"value\": false, \"include\": false,"
	"           \"description\": \"Indicates whether there are statistics for this table\"}}'"
	"             ::pg_catalog.jsonb)"
	"         ORDER BY n.nspname, c.relname) AS docs"
	"    FROM unnest($1, $2, $3, $4) w (section, id, schema, name)"
	"    JOIN pg_catalog.pg_namespace n ON pg_catalog.lower(n.nspname) = pg_catalog.lower(w.schema)"
	"    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
	"     AND pg_catalog.lower(c.relname) = pg_catalog.lower(w.name)"
	"     AND c.relkind IN ('r', 'v', 'f', 'p', 'm') AND c.relpersistence IN ('p', 'u')"
	"   CROSS JOIN LATERAL ("
	"         SELECT pg_catalog.jsonb_object_agg(a.attname, pg_catalog.jsonb_build_object("
	"                'name', a.attname, 'index', a.attnum,"
	"                'type', pg_catalog.format_type(a.atttypid, a.atttypmod),"
	"                'comment', pg_catalog.col_description(c.oid, a.attnum))) AS columns"
	"           FROM pg_catalog.pg_attribute a"
	"          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a"
	"   WHERE a.columns IS NOT NULL"
	"   GROUP BY w.section) r",
	4,
	{TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};

/* The relations to look for: a column of texts each. */
typedef struct Wanted
{
	int			n;
	Datum	   *columns[4];
} Wanted;

static void
collect(const PjLoad *load, Wanted *wanted)
{
	const char *database = pd_get_text(load->target, "database");
	ListCell   *lc;

	for (int i = 0; i < 4; i++)
		wanted->columns[i] = palloc(sizeof(Datum) * (list_length(load->nodes) + 1));
	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);
		bool		source = strcmp(node->resource_type, "source") == 0;

		if (!node->enabled || pj_relation_text(node) == NULL || node->schema == NULL ||
			node->alias == NULL ||
			(node->database != NULL && pg_strcasecmp(node->database, database) != 0))
			continue;
		wanted->columns[0][wanted->n] = CStringGetTextDatum(source ? "sources" : "nodes");
		wanted->columns[1][wanted->n] = CStringGetTextDatum(node->unique_id);
		wanted->columns[2][wanted->n] = CStringGetTextDatum(node->schema);
		wanted->columns[3][wanted->n] = CStringGetTextDatum(node->alias);
		wanted->n++;
	}
}

static PdDoc *
relations(const PjLoad *load)
{
	MemoryContext cxt = CurrentMemoryContext;
	Wanted		wanted = {0};
	Datum		args[4];
	DpipeSpi	spi;
	bool		isnull;
	Jsonb	   *found;
	MemoryContext old;

	collect(load, &wanted);
	for (int i = 0; i < 4; i++)
		args[i] = PointerGetDatum(construct_array(wanted.columns[i], wanted.n, TEXTOID, -1, false,
												  TYPALIGN_INT));
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&select_relations, args, NULL, true, 0);
	old = MemoryContextSwitchTo(cxt);
	found = DatumGetJsonbPCopy(dpipe_spi_datum(0, 1, &isnull));
	MemoryContextSwitchTo(old);
	dpipe_spi_end(&spi);
	return pd_from_jsonb(found);
}

Datum
dpipe_catalog(PG_FUNCTION_ARGS)
{
	PdDoc	   *options = PG_ARGISNULL(0) ? pd_dict() : pd_from_jsonb(PG_GETARG_JSONB_P(0));
	const PjLoad *load = pj_open_with_own(pj_project_of(options, "a catalog"));
	PdDoc	   *found = relations(load);
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "metadata", pj_artifact_metadata(load, SCHEMA_VERSION));
	pd_put(doc, "nodes", pd_get(found, "nodes") ? pd_get(found, "nodes") : pd_dict());
	pd_put(doc, "sources", pd_get(found, "sources") ? pd_get(found, "sources") : pd_dict());
	pd_put(doc, "errors", pd_null());
	PG_RETURN_JSONB_P(pd_to_jsonb(doc));
}
