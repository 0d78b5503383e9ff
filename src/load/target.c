/*
 * target.c
 *		A source's target: finding or making it, opening it, loading into it.
 *
 * Between transactions a target holds no lock and no relation, only its column
 * plan, which relcache invalidation marks as stale, and so does any change of
 * roles: whether a policy is in force hangs on them. Each load takes
 * ROW EXCLUSIVE on the table for the whole transaction, so that its definition
 * stands still over all of the batch's subtransactions.
 *
 * Settings that decide what a value's text means are pinned while a batch is
 * stored, whatever the owner's or the session's are: DateStyle "ISO, MDY",
 * IntervalStyle "postgres", TimeZone "UTC", array_nulls on, xmloption content,
 * client_encoding UTF8 (the wire format of text is in it). The same record
 * means the same in a worker and in a session's CALL dpipe_sync. Defaults and
 * triggers of the target run under them too.
 */
#include "base/compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/identity.h"
#include "base/settings.h"
#include "load/target.h"

/* All open targets of this process, for the invalidation callback. */
static dlist_head targets = DLIST_STATIC_INIT(targets);

/* ---------- open and close ---------- */

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &targets)
	{
		DpipeTarget *target = dlist_container(DpipeTarget, node, iter.cur);

		/* One that is being made may have looked at it already. */
		if (target->plan == NULL || dpipe_plan_concerns(target->plan, relid))
			target->plan_valid = false;
	}
}

/* Who is a superuser, passes row security or is a member of the owner? */
static void
role_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	dlist_iter	iter;

	dlist_foreach(iter, &targets)
		dlist_container(DpipeTarget, node, iter.cur)->plan_valid = false;
}

/* However the memory goes, the callback must not find it any more. */
static void
forget_target(void *arg)
{
	dlist_delete(&((DpipeTarget *) arg)->node);
}

DpipeTarget *
dpipe_target_open(const DpipeSource *source, MemoryContext parent)
{
	static bool registered = false;
	MemoryContext cxt;
	DpipeTarget *target;
	MemoryContextCallback *callback;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_changed, (Datum) 0);
		registered = true;
	}

	cxt = AllocSetContextCreate(parent, "dpipe target", ALLOCSET_SMALL_SIZES);
	target = MemoryContextAllocZero(cxt, sizeof(DpipeTarget));
	target->cxt = cxt;
	target->source = source;
	target->raw = strcmp(source->format, "raw") == 0;
	target->path_name = "";
	target->batch_cxt = AllocSetContextCreate(cxt, "dpipe batch",
											  ALLOCSET_DEFAULT_SIZES);
	callback = MemoryContextAlloc(cxt, sizeof(MemoryContextCallback));
	callback->func = forget_target;
	callback->arg = target;
	dlist_push_tail(&targets, &target->node);
	MemoryContextRegisterResetCallback(cxt, callback);
	return target;
}

void
dpipe_target_close(DpipeTarget *target)
{
	MemoryContextDelete(target->cxt);
}

const char *
dpipe_target_load_path(const DpipeTarget *target)
{
	return target->path_name;
}

/* ---------- under whose name ---------- */

/*
 * What hangs on a table (triggers, defaults, checks, index expressions) is
 * its owner's code and runs as whoever writes the table. A superuser's source
 * therefore loads as the table's owner, or the owner of any table that a
 * superuser loads would be one.
 */
static bool
become_table_owner(Relation rel, DpipeIdentity *id)
{
	if (!superuser() || rel->rd_rel->relowner == GetUserId())
		return false;
	dpipe_identity_owner(id, rel->rd_rel->relowner, NULL);
	return true;
}

/* ---------- load ---------- */

static void
pin(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, false, false);

	if (now == NULL || strcmp(now, value) != 0)
		(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Undone with the GUC nest level of the identity. */
static void
pin_settings(void)
{
	pin("DateStyle", "ISO, MDY");
	pin("IntervalStyle", "postgres");
	pin("TimeZone", "UTC");
	pin("array_nulls", "on");
	pin("xmloption", "content");
	pin("client_encoding", "UTF8");
}

static Relation
open_relation(const DpipeSource *source)
{
	RangeVar   *rv = makeRangeVar(source->target_schema,
								  source->target_table, -1);
	Oid			relid = RangeVarGetRelid(rv, RowExclusiveLock, false);

	return table_open(relid, NoLock);
}

static void
ensure_plan(DpipeTarget *target, Relation rel)
{
	DpipePlan  *plan = target->plan;

	if (plan != NULL && target->plan_valid &&
		plan->relid == RelationGetRelid(rel) && plan->user == GetUserId())
		return;

	target->plan = NULL;
	if (plan != NULL)
		MemoryContextDelete(plan->cxt);

	/*
	 * An invalidation that arrives while the plan is made cannot be for this
	 * relation, which is locked, but may be for a partition or for what is
	 * behind a view: then the next load makes a new one. Set first.
	 */
	target->plan_valid = true;
	target->plan = dpipe_plan_make(target, rel);
}

static void
begin_run(DpipeRun *run, DpipeTarget *target, const DpipeBatch *batch,
		  int64 load_id, Relation rel)
{
	memset(run, 0, sizeof(DpipeRun));
	run->target = target;
	run->plan = target->plan;
	run->path = dpipe_load_path == DPIPE_LOAD_SQL ? &dpipe_sql_path :
		target->plan->path;
	run->batch = batch;
	run->load_id = load_id;
	run->rel = rel;
	run->current = -1;
	run->batch_cxt = target->batch_cxt;
	run->attempt_cxt = AllocSetContextCreate(run->batch_cxt, "dpipe attempt",
											 ALLOCSET_DEFAULT_SIZES);
	run->row_cxt = AllocSetContextCreate(run->batch_cxt, "dpipe row",
										 ALLOCSET_DEFAULT_SIZES);
	run->verdicts = palloc0_array(DpipeVerdict *, Max(batch->nrecords, 1));
	run->line = palloc_array(int, Max(batch->nrecords, 1));
	dpipe_row_begin_batch(run);
}

int
dpipe_target_load(DpipeTarget *target, const DpipeBatch *batch,
				  DpipeLoad *load)
{
	MemoryContext old;
	DpipeIdentity id;
	DpipeIdentity table_id;
	Relation	rel;
	bool		switched;
	DpipeRun	run;
	int			settled;

	load->rows = load->dead_letters = load->bytes = 0;
	if (batch->nrecords == 0)
		return 0;

	MemoryContextReset(target->batch_cxt);
	old = MemoryContextSwitchTo(target->batch_cxt);

	/* What the caller's transaction has deferred is no record's fault. */
	dpipe_constraints_immediate();
	dpipe_identity_owner(&id, target->source->owner, NULL);
	pin_settings();
	rel = open_relation(target->source);
	switched = become_table_owner(rel, &table_id);
	ensure_plan(target, rel);
	dpipe_admit_privileges(target->plan, rel);

	begin_run(&run, target, batch, load->load_id, rel);
	dpipe_batch_store(&run, load, &settled);
	target->path_name = run.path->name;

	table_close(rel, NoLock);
	if (switched)
		dpipe_identity_restore(&table_id);
	dpipe_identity_restore(&id);

	load->dead_letters = dpipe_dead_letters_write(&run, settled);
	for (int i = 0; i < settled; i++)
		load->bytes += batch->records[i].payload_len +
			batch->records[i].key_len;

	MemoryContextSwitchTo(old);
	MemoryContextReset(target->batch_cxt);
	return settled;
}

/* ---------- definition ---------- */

/*
 * The table that a source without one gets. BRIN fits an ever-growing
 * _load_id: a few pages of index whatever the table's size, and almost free to
 * maintain.
 */
static void
create_table(const char *schema, const char *table, bool raw,
			 DpipeKeyFormat key_format)
{
	StringInfoData sql;
	const char *name = quote_qualified_identifier(schema, table);
	const char *key_type = "text";
	int			rc;

	if (key_format == DPIPE_KEY_BYTEA)
		key_type = "bytea";
	else if (key_format == DPIPE_KEY_JSON)
		key_type = "jsonb";

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "CREATE TABLE %s ("
					 "_topic pg_catalog.text, "
					 "_partition pg_catalog.int4, "
					 "_offset pg_catalog.int8, "
					 "_timestamp pg_catalog.timestamptz, "
					 "_key pg_catalog.%s, "
					 "_headers pg_catalog.jsonb, "
					 "_payload pg_catalog.%s, "
					 "_extracted_at pg_catalog.timestamptz, "
					 "_load_id pg_catalog.int8)",
					 name, key_type, raw ? "bytea" : "jsonb");

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rc = SPI_execute(sql.data, false, 0);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "could not create table: %s", SPI_result_code_string(rc));
	resetStringInfo(&sql);
	appendStringInfo(&sql,
					 "CREATE INDEX ON %s USING brin (_load_id) "
					 "WITH (autosummarize = on, pages_per_range = 32)", name);
	rc = SPI_execute(sql.data, false, 0);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "could not create index: %s", SPI_result_code_string(rc));
	SPI_finish();
}

/* A name without a schema means the current one, not the search path's. */
static char *
target_schema(const RangeVar *rv)
{
	List	   *path;

	if (rv->catalogname != NULL &&
		strcmp(rv->catalogname, get_database_name(MyDatabaseId)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("target \"%s.%s.%s\" is in another database",
						rv->catalogname, rv->schemaname, rv->relname)));
	if (rv->schemaname != NULL)
		return pstrdup(rv->schemaname);

	path = fetch_search_path(false);
	if (path == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("no schema has been selected for target \"%s\"",
						rv->relname),
				 errhint("Write the target as schema.table.")));
	return get_namespace_name(linitial_oid(path));
}

/* Everything that would stop the first load, now. */
static void
check_table(Oid relid, bool raw)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "dpipe target check",
											  ALLOCSET_SMALL_SIZES);
	Relation	rel = table_open(relid, NoLock);
	DpipeTarget probe = {0};
	DpipePlan  *plan;
	DpipeIdentity id;
	bool		switched;

	switched = become_table_owner(rel, &id);
	/* The relation's nature is told before rights in it are. */
	dpipe_admit_relation(rel, raw);
	probe.raw = raw;
	probe.cxt = cxt;
	probe.batch_cxt = cxt;
	plan = dpipe_plan_make(&probe, rel);
	dpipe_admit_privileges(plan, rel);
	if (switched)
		dpipe_identity_restore(&id);
	table_close(rel, NoLock);
	MemoryContextDelete(cxt);
}

void
dpipe_target_prepare(const char *target, const char *format,
					 DpipeKeyFormat key_format, char **schema, char **table)
{
	RangeVar   *rv = makeRangeVarFromNameList(dpipe_qualified_name_list(target));
	bool		raw = strcmp(format, "raw") == 0;
	Oid			relid;

	*schema = target_schema(rv);
	*table = pstrdup(rv->relname);
	rv = makeRangeVar(*schema, *table, -1);

	/* The lock that planning an INSERT would take, and that a load takes. */
	relid = RangeVarGetRelid(rv, RowExclusiveLock, true);
	if (!OidIsValid(relid))
	{
		/* Raises 3F000 with the schema's name when that is what is missing. */
		Oid			nsp = LookupExplicitNamespace(*schema, false);

		if (isAnyTempNamespace(nsp))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("target \"%s.%s\" is in a temporary schema",
							*schema, *table)));
		create_table(*schema, *table, raw, key_format);
		CommandCounterIncrement();
		relid = RangeVarGetRelid(rv, RowExclusiveLock, false);
	}
	check_table(relid, raw);
}
