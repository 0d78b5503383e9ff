/*
 * incremental.c
 *		Incremental models: append, delete+insert, merge.
 *
 * For strategies with a key the query runs once, into a tuple store that the
 * statements on the table see as a relation of its own: no temporary table,
 * no catalog rows, and the planner knows how many rows there are. Work must
 * follow their number and not the size of the table: the first run makes an
 * index on unique_key, and statistics that would mislead the planner are
 * renewed.
 *
 * The index is not unique. Under delete+insert dbt lets a batch bring several
 * rows of a key, and models rely on it; whoever wants uniqueness adds a
 * unique index, which then serves as well.
 */
#include "base/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/varlena.h"

#include "base/fault.h"
#include "base/json.h"
#include "model/materialize.h"

/* How dbt calls the two sides; predicates of users name them. */
#define DEST "dbt_internal_dest"
#define SOURCE "dbt_internal_source"
#define NEW_ROWS "dpipe_query"

typedef struct Increment
{
	DpipeBuild *build;
	const ModelTarget *target;
	const char *query;
	TupleDesc	columns;		/* of the query */
	TupleDesc	table;			/* of the target */
	List	   *common;			/* names that are written */
	List	   *key;			/* names, as both have them */
	char	   *predicates;		/* "" or " AND (…)" */
} Increment;

/* ---------- the key ---------- */

/*
 * dbt puts the text of a key into SQL as it stands. Here it names a column:
 * as it is, or folded as SQL does.
 */
static char *
key_column(const DpipeNode *node, TupleDesc desc, const char *key)
{
	List	   *parts;
	char	   *folded = NULL;

	if (SplitIdentifierString(pstrdup(key), '.', &parts) && list_length(parts) == 1)
		folded = linitial(parts);
	for (int pass = 0; pass < 2; pass++)
	{
		const char *wanted = pass == 0 ? key : folded;

		for (int i = 0; wanted != NULL && i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (!att->attisdropped && strcmp(NameStr(att->attname), wanted) == 0)
				return pstrdup(NameStr(att->attname));
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("unique_key \"%s\" of model \"%s\" is not a column of it", key, node->name),
			 errhint("A key of several columns is a list: unique_key=['a', 'b'].")));
}

static List *
key_columns(const DpipeNode *node, TupleDesc desc)
{
	List	   *key = NIL;
	ListCell   *lc;

	foreach(lc, dpipe_config_list(node, "unique_key"))
		key = lappend(key, key_column(node, desc, lfirst(lc)));
	return key;
}

/* Are the first columns of a usable index those of the key, in any order? */
static bool
index_serves(Relation index, const AttrNumber *attnums, int n)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || index->rd_rel->relam != BTREE_AM_OID || form->indnkeyatts < n ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < n; i++)
	{
		bool		found = false;

		for (int j = 0; j < n; j++)
			found |= form->indkey.values[j] == attnums[i];
		if (!found)
			return false;
	}
	return true;
}

static bool
has_key_index(Oid relid, List *key)
{
	Relation	rel = table_open(relid, AccessShareLock);
	int			n = list_length(key);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * n);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;
	int			i = 0;

	foreach(lc, key)
		attnums[i++] = get_attnum(relid, lfirst(lc));
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index_serves(index, attnums, n);
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return found;
}

static const char *
strategy_of(const DpipeNode *node)
{
	char	   *strategy = dpipe_json_string(node->config, "config", "incremental_strategy", "default");

	if (strcmp(strategy, "default") != 0)
		return strategy;
	return dpipe_config_list(node, "unique_key") != NIL ? "delete+insert" : "append";
}

/* After a full build: whoever drops the index later has reasons. */
void
model_index_unique_key(DpipeBuild *build, Oid relid, const char *name)
{
	const DpipeNode *node = build->rendering.node;
	List	   *key;

	if (strcmp(strategy_of(node), "append") == 0)
		return;
	key = key_columns(node, model_relation_columns(relid));
	if (key == NIL || has_key_index(relid, key))
		return;
	model_run_utility(psprintf("CREATE INDEX ON %s (%s)", name, columns_list(key, NULL)));
}

/* ---------- statements ---------- */

static void
append_key_join(StringInfo sql, const Increment *inc)
{
	ListCell   *lc;
	const char *sep = "";

	foreach(lc, inc->key)
	{
		const char *column = quote_identifier(lfirst(lc));

		appendStringInfo(sql, "%s" DEST ".%s = " SOURCE ".%s", sep, column, column);
		sep = " AND ";
	}
	appendStringInfoString(sql, inc->predicates);
}

static void
insert_new_rows(const Increment *inc, const char *from)
{
	model_run_main(inc->build, "INSERT",
				   psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", inc->target->name,
							columns_list(inc->common, NULL), columns_list(inc->common, NEW_ROWS),
							from));
}

static void
run_append(const Increment *inc)
{
	insert_new_rows(inc, psprintf("(\n%s\n) AS " NEW_ROWS, inc->query));
}

/* A row of the batch without the whole key replaces nothing, as in dbt. */
static void
run_delete_insert(const Increment *inc)
{
	StringInfoData sql;

	if (inc->key != NIL)
	{
		initStringInfo(&sql);
		appendStringInfo(&sql, "DELETE FROM %s AS " DEST " USING " NEW_ROWS " AS " SOURCE " WHERE ",
						 inc->target->name);
		append_key_join(&sql, inc);
		model_run_utility(sql.data);
	}
	DPIPE_FAULT_POINT("model_deleted");
	insert_new_rows(inc, NEW_ROWS);
}

/*
 * MERGE would say that it cannot affect a row a second time when the table
 * has the key, and store it twice when it has not.
 */
static void
check_key_is_unique(const Increment *inc)
{
	StringInfoData sql;
	ListCell   *lc;
	const char *key = columns_list(inc->key, NULL);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.concat_ws(', '");
	foreach(lc, inc->key)
		appendStringInfo(&sql, ", %s::pg_catalog.text", quote_identifier(lfirst(lc)));
	appendStringInfo(&sql,
					 ") FROM " NEW_ROWS " WHERE (%s) IS NOT NULL"
					 " GROUP BY %s HAVING pg_catalog.count(*) > 1 LIMIT 1",
					 key, key);
	model_run_utility(sql.data);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("the query of model \"%s\" gives several rows for one unique_key",
						inc->build->rendering.node->name),
				 errdetail("Key (%s)=(%s) is there more than once.", key,
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errhint("Let the query keep one row of each key, for example by DISTINCT ON.")));
}

static bool
name_in(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* What a match updates: all that is written, or as the config says. */
static List *
update_columns(const Increment *inc)
{
	const DpipeNode *node = inc->build->rendering.node;
	List	   *only = NIL;
	List	   *but = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, dpipe_config_list(node, "merge_update_columns"))
		only = lappend(only, key_column(node, inc->columns, lfirst(lc)));
	foreach(lc, dpipe_config_list(node, "merge_exclude_columns"))
		but = lappend(but, key_column(node, inc->columns, lfirst(lc)));
	foreach(lc, inc->common)
	{
		char	   *name = lfirst(lc);

		if ((only == NIL || name_in(only, name)) && !name_in(but, name) && !name_in(inc->key, name))
			result = lappend(result, name);
	}
	return result;
}

static Oid
type_in(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->atttypid;
	}
	elog(ERROR, "column \"%s\" vanished", name);
}

/*
 * A match that changes nothing is no update: no dead row, no WAL, and no new
 * stamp for those who read the changes of this table. Compared byte by byte,
 * as not every type has an equality.
 */
static void
append_is_changed(StringInfo sql, const Increment *inc, List *names)
{
	ListCell   *lc;
	const char *sep = "";

	/* With a cast, as two bare ROWs are compared column by column. */
	appendStringInfo(sql, "ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(",
					 columns_list(names, DEST));
	foreach(lc, names)
	{
		char	   *name = lfirst(lc);
		Oid			type = type_in(inc->table, name);

		appendStringInfo(sql, "%s" SOURCE ".%s", sep, quote_identifier(name));
		if (type != type_in(inc->columns, name))
			appendStringInfo(sql, "::%s", format_type_be_qualified(type));
		sep = ", ";
	}
	appendStringInfoString(sql, ")::pg_catalog.record");
}

static void
run_merge(const Increment *inc)
{
	List	   *updates = update_columns(inc);
	StringInfoData sql;
	ListCell   *lc;
	const char *sep = "";

	initStringInfo(&sql);
	appendStringInfo(&sql, "MERGE INTO %s AS " DEST " USING " NEW_ROWS " AS " SOURCE " ON (",
					 inc->target->name);
	if (inc->key != NIL)
	{
		check_key_is_unique(inc);
		append_key_join(&sql, inc);
	}
	else
		appendStringInfoString(&sql, "FALSE");
	appendStringInfoChar(&sql, ')');

	if (updates != NIL && inc->key != NIL)
	{
		appendStringInfoString(&sql, " WHEN MATCHED AND ");
		append_is_changed(&sql, inc, updates);
		appendStringInfoString(&sql, " THEN UPDATE SET ");
		foreach(lc, updates)
		{
			const char *name = quote_identifier(lfirst(lc));

			appendStringInfo(&sql, "%s%s = " SOURCE ".%s", sep, name, name);
			sep = ", ";
		}
	}
	appendStringInfo(&sql, " WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)",
					 columns_list(inc->common, NULL), columns_list(inc->common, SOURCE));
	model_run_main(inc->build, "MERGE", sql.data);
}

/* ---------- the batch ---------- */

/*
 * Values are detoasted: once the query has ended, nothing keeps its sources'
 * rows from being vacuumed away.
 */
static Tuplestorestate *
run_query(const Increment *inc)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	SPIExecuteOptions options;
	SPIPlanPtr	plan;
	int			rc;

	SetTuplestoreDestReceiverParams(dest, store, CurrentMemoryContext, true, NULL, NULL);
	plan = SPI_prepare_cursor(inc->query, 0, NULL, CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	memset(&options, 0, sizeof(options));
	options.dest = dest;
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(rc));
	dest->rDestroy(dest);
	SPI_freeplan(plan);
	return store;
}

static void
register_batch(const Increment *inc, Tuplestorestate *store)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	int			rc;

	enr->md.name = NEW_ROWS;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = inc->columns;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = tuplestore_tuple_count(store);
	enr->reldata = store;
	rc = SPI_register_relation(enr);
	if (rc != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s", SPI_result_code_string(rc));
}

/*
 * Without statistics a key is guessed to have 200 values, and the planner
 * would rather scan the table than look up so many rows in the index. A table
 * that has grown to twice its analyzed size is analyzed again: a sample, so
 * its cost is bounded, and seldom.
 */
static void
renew_statistics(const Increment *inc)
{
	Relation	rel = table_open(inc->target->relid, AccessShareLock);
	bool		stale = false;

	if (rel->rd_rel->relkind == RELKIND_RELATION)
	{
		BlockNumber now = RelationGetNumberOfBlocks(rel);

		stale = now > 0 && (rel->rd_rel->reltuples <= 0 || now / 2 > rel->rd_rel->relpages);
	}
	table_close(rel, NoLock);
	if (stale)
		model_analyze(inc->target);
}

static char *
predicates_of(const DpipeNode *node)
{
	List	   *list = dpipe_config_list(node, "incremental_predicates");
	StringInfoData buf;
	ListCell   *lc;

	if (list == NIL)
		list = dpipe_config_list(node, "predicates");
	initStringInfo(&buf);
	foreach(lc, list)
		appendStringInfo(&buf, " AND (%s)", (char *) lfirst(lc));
	return buf.data;
}

void
model_build_incremental(DpipeBuild *build, const ModelTarget *target, const char *query,
						TupleDesc columns)
{
	const DpipeNode *node = build->rendering.node;
	const char *strategy = strategy_of(node);
	ColumnChanges changes;
	Increment	inc = {build, target, query, columns};
	Tuplestorestate *store;

	columns_compare(columns, target->relid, &changes);
	columns_on_schema_change(build, target, &changes);
	columns_compare(columns, target->relid, &changes);
	inc.common = changes.common;
	if (inc.common == NIL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("the query of model \"%s\" and %s have no column in common",
							   node->name, target->name)));
	if (strcmp(strategy, "append") == 0)
	{
		run_append(&inc);
		return;
	}

	inc.table = model_relation_columns(target->relid);
	inc.key = key_columns(node, columns);
	(void) key_columns(node, inc.table);
	inc.predicates = predicates_of(node);
	store = run_query(&inc);
	register_batch(&inc, store);
	renew_statistics(&inc);
	if (strcmp(strategy, "merge") == 0)
		run_merge(&inc);
	else
		run_delete_insert(&inc);

	/* Its temporary files would be reported as leaked; an abort drops them. */
	(void) SPI_unregister_relation(NEW_ROWS);
	tuplestore_end(store);
}
