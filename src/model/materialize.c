/*
 * materialize.c
 *		From the text of a model to a relation: view and table.
 *
 * A table keeps its identity: the first run makes it, later ones empty and
 * fill it in one transaction, so that readers see the old rows until the
 * commit and grants, indexes and dependent views stay. Nothing is dropped
 * with CASCADE, and nothing is replaced that the model has not made itself,
 * unless its config says {"adopt": true}.
 */
#include "base/compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "tcop/cmdtag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/fault.h"
#include "base/json.h"
#include "base/spi.h"
#include "model/materialize.h"

/* ---------- running SQL ---------- */

void
model_run_utility(const char *sql)
{
	int			rc;

	ereport(DEBUG1, (errmsg_internal("dpipe: %s", sql)));
	rc = SPI_execute(sql, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute failed: %s: %s", SPI_result_code_string(rc), sql);
}

void
model_run_main(DpipeBuild *build, const char *code, const char *sql)
{
	build->sql = MemoryContextStrdup(build->cxt, sql);
	model_run_utility(sql);
	build->code = MemoryContextStrdup(build->cxt, code);
	build->rows = SPI_processed;
}

/* The columns of a model's text, which must be one query and nothing else. */
static TupleDesc
query_columns(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	List	   *sources;
	CachedPlanSource *source;
	TupleDesc	columns;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(plan);
	source = list_length(sources) == 1 ? linitial(sources) : NULL;
	if (source == NULL || source->resultDesc == NULL || source->commandTag != CMDTAG_SELECT)
		ereport(
				ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR), errmsg("the text of a model must be one query"),
				 errdetail("It is %s.",
						   sources == NIL ? "empty"
						   : list_length(sources) > 1
						   ? "several statements"
						   : psprintf("a statement of kind %s",
									  GetCommandTagName(
														((CachedPlanSource *) linitial(sources))->commandTag)))));
	columns = CreateTupleDescCopy(source->resultDesc);
	SPI_freeplan(plan);
	return columns;
}

TupleDesc
model_relation_columns(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));

	table_close(rel, NoLock);
	return desc;
}

/* ---------- the relation ---------- */

static DpipeStatement lock_model = {"SELECT m.version, m.relation FROM dpipe.model m"
	" WHERE m.name = $1 FOR NO KEY UPDATE",
	1,
{TEXTOID}};

static DpipeStatement note_relation = {
"UPDATE dpipe.model SET relation = $2 WHERE name = $1", 2, {TEXTOID, TEXTOID}};

/*
 * One run at a time builds a model. Returns the relation that it has made, or
 * NULL.
 */
static char *
lock_definition(const DpipeNode *node)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(node->name)};
	bool		same;
	char	   *relation = NULL;

	dpipe_spi_begin(&spi);
	same = dpipe_spi_run(&lock_model, args, NULL, false, 1) > 0 &&
		dpipe_spi_int64(0, 1) == node->version;
	if (same)
		relation = dpipe_spi_text(0, 2, cxt);
	dpipe_spi_end(&spi);
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" was changed or dropped while the run was on its way to it",
						node->name),
				 errhint("Run it again.")));
	return relation;
}

static void
note_made_relation(const DpipeNode *node, const ModelTarget *target)
{
	DpipeSpi	spi;
	Datum		args[2] = {
		CStringGetTextDatum(node->name),
		CStringGetTextDatum(target->name),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&note_relation, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}

/*
 * What the model has made may have been dropped by the schema's owner, and
 * another table put in its place: its triggers would run as the model's owner.
 */
static void
check_relation_owner(const DpipeNode *node, const ModelTarget *target)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(target->relid));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", target->relid);
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	if (owner != node->owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("relation %s belongs to role \"%s\", not to the owner of model \"%s\"",
						target->name, GetUserNameFromId(owner, true), node->name),
				 errhint("Give it to role \"%s\", or let the model write into it with the config {\"adopt\": true}.",
						 node->owner_name)));
}

static void
find_target(const DpipeNode *node, const char *made, ModelTarget *target)
{
	RangeVar   *rv = makeRangeVar(node->schema, node->alias, -1);
	bool		adopt = dpipe_json_bool(node->config, "config", "adopt", false);

	target->name = dpipe_relation_key(node->schema, node->alias);
	target->relid = InvalidOid;
	target->relkind = 0;
	if (!OidIsValid(get_namespace_oid(node->schema, true)))
		model_run_utility(
						  psprintf("CREATE SCHEMA IF NOT EXISTS %s", quote_identifier(node->schema)));
	else
		target->relid = RangeVarGetRelid(rv, AccessShareLock, true);
	if (OidIsValid(target->relid))
		target->relkind = get_rel_relkind(target->relid);
	target->mine = adopt ||
		(made != NULL && strcmp(made, target->name) == 0);
	if (OidIsValid(target->relid) && !target->mine)
		ereport(
				ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation %s exists and was not made by model \"%s\"", target->name,
						node->name),
				 errhint(
						 "Drop or rename it, give the model another schema or alias, or let the model take it over with the config {\"adopt\": true}.")));
	if (OidIsValid(target->relid) && !adopt)
		check_relation_owner(node, target);
}

static const char *
kind_for_drop(char relkind)
{
	switch (relkind)
	{
		case RELKIND_VIEW:
			return "VIEW";
		case RELKIND_MATVIEW:
			return "MATERIALIZED VIEW";
		case RELKIND_FOREIGN_TABLE:
			return "FOREIGN TABLE";
		default:
			return "TABLE";
	}
}

static void
drop_target(ModelTarget *target)
{
	model_run_utility(psprintf("DROP %s %s", kind_for_drop(target->relkind), target->name));
	target->relid = InvalidOid;
	target->relkind = 0;
}

/* ---------- view ---------- */

/* What CREATE OR REPLACE VIEW can do: the old columns, then new ones. */
static bool
can_replace_view(TupleDesc query, TupleDesc view)
{
	if (query->natts < view->natts)
		return false;
	for (int i = 0; i < view->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(query, i);
		Form_pg_attribute b = TupleDescAttr(view, i);

		if (strcmp(NameStr(a->attname), NameStr(b->attname)) != 0 || a->atttypid != b->atttypid ||
			a->atttypmod != b->atttypmod || a->attcollation != b->attcollation)
			return false;
	}
	return true;
}

/* Statements that give a view made anew the grants and comment of the old. */
static DpipeStatement view_properties = {
	"SELECT pg_catalog.format('GRANT %s ON %s TO %s%s', a.privilege_type, $2,"
	"         CASE a.grantee WHEN 0 THEN 'PUBLIC'"
	"              ELSE pg_catalog.quote_ident(r.rolname) END,"
	"         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
	"  FROM pg_catalog.pg_class c"
	" CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a"
	"  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee"
	" WHERE c.oid = $1 AND a.grantee <> c.relowner"
	"   AND (a.grantee = 0 OR r.oid IS NOT NULL)"
	" UNION ALL"
	" SELECT pg_catalog.format('COMMENT ON VIEW %s IS %L', $2, d.description)"
	"  FROM pg_catalog.pg_description d"
	" WHERE d.objoid = $1 AND d.objsubid = 0"
	"   AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass",
	2,
{OIDOID, TEXTOID}};

static List *
properties_of(const ModelTarget *target)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	List	   *statements = NIL;
	Datum		args[2] = {
		ObjectIdGetDatum(target->relid),
		CStringGetTextDatum(target->name),
	};
	uint64		n;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&view_properties, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *sql = dpipe_spi_text(row, 1, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		statements = lappend(statements, sql);
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
	return statements;
}

static void
build_view(DpipeBuild *build, ModelTarget *target, const char *query, TupleDesc columns)
{
	List	   *properties = NIL;
	ListCell   *lc;

	if (target->relkind == RELKIND_VIEW &&
		!can_replace_view(columns, model_relation_columns(target->relid)))
	{
		properties = properties_of(target);
		drop_target(target);
	}
	else if (OidIsValid(target->relid) && target->relkind != RELKIND_VIEW)
		drop_target(target);

	model_run_main(build, "CREATE VIEW",
				   psprintf("CREATE OR REPLACE VIEW %s AS (\n%s\n)", target->name, query));
	build->rows = -1;
	foreach(lc, properties)
		model_run_utility(lfirst(lc));
}

/* ---------- table ---------- */

/*
 * Statistics for whoever reads it next. dbt makes none; then the next model
 * is planned by guesses.
 */
void
model_analyze(const ModelTarget *target)
{
	model_run_utility(psprintf("ANALYZE %s", target->name));
}

static void
create_table(DpipeBuild *build, const ModelTarget *target, const char *query)
{
	bool		unlogged = dpipe_json_bool(build->rendering.node->config, "config", "unlogged", false);

	model_run_main(build, "SELECT",
				   psprintf("CREATE %sTABLE %s AS (\n%s\n)", unlogged ? "UNLOGGED " : "",
							target->name, query));
}

/* Other writers' rows would be neither deleted nor kept: they wait. */
static void
refill_table(DpipeBuild *build, const ModelTarget *target, const char *query, TupleDesc columns)
{
	ColumnChanges changes;

	model_run_utility(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", target->name));
	model_run_utility(psprintf("DELETE FROM %s", target->name));
	columns_compare(columns, target->relid, &changes);
	columns_reshape(target, &changes);
	columns_compare(columns, target->relid, &changes);
	DPIPE_FAULT_POINT("model_emptied");
	model_run_main(build, "INSERT",
				   psprintf("INSERT INTO %s (%s) SELECT %s FROM (\n%s\n) AS dpipe_query",
							target->name, columns_list(changes.common, NULL),
							columns_list(changes.common, "dpipe_query"), query));
}

void
model_build_table(DpipeBuild *build, const ModelTarget *target, const char *query,
				  TupleDesc columns)
{
	if (OidIsValid(target->relid))
		refill_table(build, target, query, columns);
	else
		create_table(build, target, query);
}

/* ---------- any model ---------- */

typedef struct ReadRelation
{
	char	   *name;
	char	   *expression;
} ReadRelation;

/* Once a rendering: the state must move once, however often it is asked. */
static char *
build_new_rows(DpipeRendering *r, const char *schema, const char *name)
{
	List	  **read = r->new_rows_arg;
	char	   *relation = dpipe_relation_key(schema, name);
	ReadRelation *entry;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, *read)
	{
		entry = lfirst(lc);
		if (strcmp(entry->name, relation) == 0)
			return entry->expression;
	}
	old = MemoryContextSwitchTo(r->cxt);
	entry = palloc(sizeof(ReadRelation));
	entry->name = pstrdup(relation);
	entry->expression = dpipe_new_rows(r->node->unique_id, schema, name,
									   !dpipe_node_is_incremental(r->node, r->full_refresh), true);
	*read = lappend(*read, entry);
	MemoryContextSwitchTo(old);
	return entry->expression;
}

static void
build_as_owner(DpipeBuild *build, const char *made)
{
	DpipeRendering *r = &build->rendering;
	const DpipeNode *node = r->node;
	bool		incremental;
	ModelTarget target;
	List	   *read = NIL;
	char	   *query;
	TupleDesc	columns;

	find_target(node, made, &target);
	incremental = dpipe_node_is_incremental(node, r->full_refresh);
	r->execute = true;
	r->new_rows = build_new_rows;
	r->new_rows_arg = &read;
	build->phase = "Compilation";
	query = dpipe_node_render(r, node->sql);
	build->phase = "Database";
	build->sql = MemoryContextStrdup(build->cxt, query);
	columns = query_columns(query);

	if (strcmp(node->materialized, "view") == 0)
		build_view(build, &target, query, columns);
	else
	{
		bool		keyed = strcmp(node->materialized, "incremental") == 0;

		if (OidIsValid(target.relid) && target.relkind != RELKIND_RELATION &&
			target.relkind != RELKIND_PARTITIONED_TABLE)
			drop_target(&target);
		if (incremental)
			model_build_incremental(build, &target, query, columns);
		else
		{
			model_build_table(build, &target, query, columns);
			if (keyed)
				model_index_unique_key(
									   build, get_relname_relid(node->alias, get_namespace_oid(node->schema, false)),
									   target.name);
			model_analyze(&target);
		}
	}
	if (made == NULL || strcmp(made, target.name) != 0)
		note_made_relation(node, &target);
}

void
dpipe_model_build(DpipeBuild *build)
{
	const DpipeNode *node = build->rendering.node;
	DpipeIdentity id;
	char	   *made;

	build->rows = -1;
	build->phase = "Runtime";
	dpipe_model_check_owner(node);
	made = lock_definition(node);
	build->phase = "Database";
	dpipe_identity_owner(&id, node->owner, node->search_path);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	build_as_owner(build, made);
	SPI_finish();
	dpipe_identity_restore(&id);
}
