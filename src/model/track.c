/*
 * track.c
 *		dpipe_track: new rows of a table that dpipe does not load.
 *
 * A row trigger stamps _load_id on every row that is inserted or updated with
 * the id of a load of its own: one a transaction and table, with a row in the
 * ledger as any load has. A row that changes is stamped anew and comes again;
 * deletes do not come.
 *
 * The id is drawn by the first row. When the subtransaction that drew it is
 * rolled back its ledger row is gone, so the id is dropped from the cache;
 * when it is released the id passes to the parent. Also dropped are ids that
 * a consumer has read in this very transaction.
 */
#include "base/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"
#include "model/model.h"

#define LOAD_ID "_load_id"
#define TRIGGER_NAME "dpipe_track"
#define LEDGER_SOURCE "dpipe_track"

PG_FUNCTION_INFO_V1(dpipe_track);
PG_FUNCTION_INFO_V1(dpipe_track_stamp);

typedef struct TrackedLoad
{
	Oid			relid;
	int64		load_id;
	SubTransactionId subid;		/* that drew it, or has released who did */
} TrackedLoad;

/* In TopTransactionContext; tables that one transaction writes are few. */
static List *tracked_loads = NIL;
static bool callbacks_registered = false;

/* ---------- the ids of this transaction ---------- */

static void
forget_loads_of(SubTransactionId subid)
{
	ListCell   *lc;

	foreach(lc, tracked_loads)
	{
		if (((TrackedLoad *) lfirst(lc))->subid == subid)
			tracked_loads = foreach_delete_current(tracked_loads, lc);
	}
}

static void
track_subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					   void *arg)
{
	ListCell   *lc;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_loads_of(subid);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		foreach(lc, tracked_loads)
		{
			if (((TrackedLoad *) lfirst(lc))->subid == subid)
				((TrackedLoad *) lfirst(lc))->subid = parent;
		}
}

static void
track_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			tracked_loads = NIL;	/* its memory goes with the transaction */
			break;
		default:
			break;
	}
}

void
dpipe_track_new_ids(void)
{
	tracked_loads = NIL;
}

static void
record_load(Relation rel, int64 load_id)
{
	DpipeSource source;
	DpipeLoad	load;
	DpipePosition nowhere;

	memset(&source, 0, sizeof(source));
	memset(&load, 0, sizeof(load));
	memset(&nowhere, 0, sizeof(nowhere));
	source.name = LEDGER_SOURCE;
	source.owner = rel->rd_rel->relowner;
	source.owner_name = GetUserNameFromId(source.owner, false);
	source.target_schema = get_namespace_name(RelationGetNamespace(rel));
	source.target_table = RelationGetRelationName(rel);
	load.load_id = load_id;
	load.started_at = GetCurrentTimestamp();
	dpipe_load_record(&source, 0, &load, &nowhere, &nowhere);
}

static int64
load_id_for(Relation rel)
{
	ListCell   *lc;
	TrackedLoad *entry;
	MemoryContext old;
	int64		load_id;

	foreach(lc, tracked_loads)
	{
		entry = lfirst(lc);
		if (entry->relid == RelationGetRelid(rel))
			return entry->load_id;
	}

	if (!callbacks_registered)
	{
		RegisterXactCallback(track_xact_callback, NULL);
		RegisterSubXactCallback(track_subxact_callback, NULL);
		callbacks_registered = true;
	}
	load_id = dpipe_load_draw_id();
	record_load(rel, load_id);

	old = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc(sizeof(TrackedLoad));
	entry->relid = RelationGetRelid(rel);
	entry->load_id = load_id;
	entry->subid = GetCurrentSubTransactionId();
	tracked_loads = lappend(tracked_loads, entry);
	MemoryContextSwitchTo(old);
	return load_id;
}

/* ---------- the trigger ---------- */

Datum
dpipe_track_stamp(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;
	HeapTuple	tuple;
	int			attnum;
	Datum		value;
	bool		isnull = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigdata->tg_event) || TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(
				ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg(
						"dpipe_track_stamp() is the function of the trigger that dpipe_track() makes")));

	rel = trigdata->tg_relation;
	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
		: trigdata->tg_trigtuple;
	attnum = SPI_fnumber(RelationGetDescr(rel), LOAD_ID);
	if (attnum <= 0 || TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" is tracked by dpipe and has no column %s of type bigint",
						RelationGetRelationName(rel), LOAD_ID),
				 errhint("Run dpipe_track() again, or drop the trigger %s.", TRIGGER_NAME)));
	value = Int64GetDatum(load_id_for(rel));
	return PointerGetDatum(
						   heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &attnum, &value, &isnull));
}

/* ---------- dpipe_track ---------- */

bool
dpipe_is_tracked(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		tracked = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];
		FmgrInfo	flinfo;

		if (trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		if (strcmp(trigger->tgname, TRIGGER_NAME) != 0)
			continue;
		fmgr_info(trigger->tgfoid, &flinfo);
		tracked |= flinfo.fn_addr == dpipe_track_stamp;
	}
	table_close(rel, AccessShareLock);
	return tracked;
}

/* The function of the trigger stands beside that of the caller. */
static char *
stamp_function(Oid sibling)
{
	char	   *schema = get_namespace_name(get_func_namespace(sibling));

	return quote_qualified_identifier(schema, "dpipe_track_stamp");
}

static void
check_trackable(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table", RelationGetRelationName(rel))));
	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		RelationGetRelid(rel) < FirstNormalObjectId || rel->rd_rel->relispartition)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("\"%s\" cannot be tracked", RelationGetRelationName(rel)),
						errdetail("It is temporary, a system catalog or a partition.")));
}

/* Before the lock: who does not own the table must not queue up for it. */
static void
check_table_owner(Oid relid)
{
	HeapTuple tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tup))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

static void
run(const char *sql)
{
	int			rc = SPI_execute(sql, false, 0);

	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "SPI_execute failed: %s: %s", SPI_result_code_string(rc), sql);
}

/* An index with _load_id as its first column, of any kind. */
static bool
has_index(Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index->rd_index->indkey.values[0] == attnum && index->rd_index->indisvalid;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	table_close(rel, NoLock);
	return found;
}

/*
 * Add the column, an index and the trigger, as the caller, who owns the table.
 * A b-tree, as updates scatter ids all over the table. The trigger fires
 * always: rows that logical replication brings are new rows, too.
 */
Datum
dpipe_track(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation rel;
	char *name;
	AttrNumber attnum;

	check_table_owner(relid);
	rel = table_open(relid, ShareRowExclusiveLock);
	check_trackable(rel);
	name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
	table_close(rel, NoLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	attnum = get_attnum(relid, LOAD_ID);
	if (attnum == InvalidAttrNumber)
	{
		run(psprintf("ALTER TABLE %s ADD COLUMN %s pg_catalog.int8", name, LOAD_ID));
		attnum = get_attnum(relid, LOAD_ID);
	}
	else if (get_atttype(relid, attnum) != INT8OID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column %s of %s is not of type bigint", LOAD_ID, name)));
	if (!has_index(relid, attnum))
		run(psprintf("CREATE INDEX ON %s (%s)", name, LOAD_ID));
	if (!dpipe_is_tracked(relid))
	{
		run(psprintf("CREATE OR REPLACE TRIGGER " TRIGGER_NAME
					 " BEFORE INSERT OR UPDATE ON %s FOR EACH ROW"
					 " EXECUTE FUNCTION %s()",
					 name, stamp_function(fcinfo->flinfo->fn_oid)));
		run(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER " TRIGGER_NAME, name));
	}
	SPI_finish();
	PG_RETURN_VOID();
}
