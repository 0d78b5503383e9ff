/*
 * admit.c
 *		What can be a target, and which path its rows may take.
 *
 * COPY's code neither asks for privileges nor honours policies, rules or
 * another engine's planner hook: it is taken only where it is known to do
 * what an INSERT would. Everything else is written by an INSERT that goes
 * through all of them.
 *
 * Rows must be as durable as the position that is committed with them. So
 * nothing unlogged, temporary or foreign may receive them, neither the target
 * nor a partition of it, nor what a view or a rule passes them on to. What
 * the functions of triggers do with a row nobody can tell.
 */
#include "base/compat.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/plannodes.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "load/target.h"

/* ---------- kinds and storage ---------- */

static void
refuse_relation(const char *schema, const char *name, const char *why,
				const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot load into \"%s.%s\": %s", schema, name, why),
			 errdetail("%s", detail)));
}

/* Refuse the target because of itself or of a relation that gets its rows. */
static void
refuse_storage(Relation target, Oid relid, const char *why, const char *detail)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(target));
	char	   *name = RelationGetRelationName(target);

	if (relid == RelationGetRelid(target))
		why = psprintf("it is %s", why);
	else
		why = psprintf("\"%s.%s\" behind it is %s",
					   get_namespace_name(get_rel_namespace(relid)),
					   get_rel_name(relid), why);
	refuse_relation(schema, name, why, detail);
}

static void
check_storage(Relation target, Oid relid)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char		relkind;
	char		persistence;
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		return;					/* dropped meanwhile */
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	relkind = ((Form_pg_class) GETSTRUCT(tup))->relkind;
	persistence = ((Form_pg_class) GETSTRUCT(tup))->relpersistence;
	ReleaseSysCache(tup);

	if (relkind == RELKIND_FOREIGN_TABLE)
		refuse_storage(target, relid, "a foreign table",
					   "The remote server would commit rows before their position is committed here.");
	if (persistence == RELPERSISTENCE_UNLOGGED)
		refuse_storage(target, relid, "unlogged",
					   "After a crash its rows would be gone, but not the position they came from.");
	if (persistence == RELPERSISTENCE_TEMP)
		refuse_storage(target, relid, "temporary",
					   "A background worker cannot see it.");
	/* A target of another role is written as that role: see target.c. */
	if (superuser() && !superuser_arg(owner))
		refuse_storage(target, relid, "owned by a role that is no superuser",
					   "What that role hangs on it would run as a superuser.");
}

/* A relation that receives rows, with its partitions. */
static void
check_receiver(Relation target, Oid relid)
{
	List	   *oids;
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
	{
		check_storage(target, relid);
		return;
	}
	oids = find_all_inheritors(relid, NoLock, NULL);
	foreach(lc, oids)
		check_storage(target, lfirst_oid(lc));
	list_free(oids);
}

static bool
takes_payload(Oid base_type, bool raw)
{
	switch (base_type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
			return true;
		case JSONOID:
		case JSONBOID:
			return !raw;
		default:
			return false;
	}
}

static void
check_payload_column(Relation rel, bool raw)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (strcmp(NameStr(att->attname), "_payload") != 0 ||
			!dpipe_column_takes_values(rel, i + 1))
			continue;
		if (!takes_payload(getBaseType(att->atttypid), raw))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"_payload\" of \"%s\" is of type %s",
							RelationGetRelationName(rel),
							format_type_be(att->atttypid)),
					 raw
					 ? errdetail("With format raw it must be text or bytea.")
					 : errdetail("It must be text, bytea, json or jsonb.")));
		return;
	}
	if (raw)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("\"%s\" has no column \"_payload\"",
						RelationGetRelationName(rel)),
				 errdetail("With format raw a record is stored in that column alone."),
				 errhint("Add a column _payload of type text or bytea.")));
}

/*
 * Before anything is asked about the view: the answer for a foreign table
 * would be its wrapper's.
 */
static void
check_behind_view(Relation target, Relation view)
{
	Oid			relid = dpipe_view_behind(view);
	Relation	behind;

	check_stack_depth();
	if (!OidIsValid(relid))
		return;
	check_receiver(target, relid);
	behind = table_open(relid, RowExclusiveLock);
	if (behind->rd_rel->relkind == RELKIND_VIEW)
		check_behind_view(target, behind);
	table_close(behind, NoLock);
}

static void
check_view(Relation rel)
{
	check_behind_view(rel, rel);
	if (relation_is_updatable(RelationGetRelid(rel), NIL, true, NULL) &
		(1 << CMD_INSERT))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot load into \"%s.%s\": it is a view that takes no INSERT",
					get_namespace_name(RelationGetNamespace(rel)),
					RelationGetRelationName(rel)),
			 errhint("Give it an INSTEAD OF INSERT trigger, or make it a simple view of one table.")));
}

/*
 * Raise unless records can go into the relation at all; privileges are
 * another matter, and what the relation passes rows on to yet another.
 */
void
dpipe_admit_relation(Relation rel, bool raw)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	char	   *name = RelationGetRelationName(rel);
	char		relkind = rel->rd_rel->relkind;

	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("loading needs a database with encoding UTF8"),
				 errdetail("This database has encoding %s.",
						   GetDatabaseEncodingName())));

	check_receiver(rel, RelationGetRelid(rel));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s.%s\" is not a table or view", schema, name)));
	if (RelationGetRelid(rel) < FirstNormalObjectId ||
		strcmp(schema, "dpipe") == 0)
		refuse_relation(schema, name, "it belongs to the system",
						"Catalogs cannot be targets.");
	if (relkind == RELKIND_VIEW)
		check_view(rel);
	check_payload_column(rel, raw);
}

/*
 * What COPY itself would ask of the current user for this table and these
 * columns.
 */
void
dpipe_admit_privileges(DpipePlan *plan, Relation rel)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;

	if (XactReadOnly)
		PreventCommandIfReadOnly("COPY FROM");
	nsitem = addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock,
										   NULL, false, false);
	dpipe_nsitem_permissions(nsitem)->requiredPerms = ACL_INSERT;
	dpipe_nsitem_permissions(nsitem)->insertedCols = bms_copy(plan->attnums);
	dpipe_check_permissions(pstate, nsitem);
	free_parsestate(pstate);
}

/* ---------- what an INSERT would write ---------- */

static void
note_relations(DpipePlan *plan, Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_RELATION)
			dpipe_plan_watch(plan, rte->relid);
	}
}

static void
check_query(DpipePlan *plan, Relation rel, Query *query)
{
	ListCell   *lc;

	check_stack_depth();
	note_relations(plan, query);
	if (query->resultRelation > 0)
		check_receiver(rel, rt_fetch(query->resultRelation,
									 query->rtable)->relid);
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (IsA(cte->ctequery, Query))
			check_query(plan, rel, (Query *) cte->ctequery);
	}
	dpipe_check_query_permissions(query);
}

static List *
rewrite_insert(const DpipePlan *plan)
{
	List	   *raw = pg_parse_query(plan->insert_sql);

	return pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, raw),
											  plan->insert_sql, NULL, 0, NULL);
}

/* ---------- the white list ---------- */

static bool
has_insert_rule(Relation rel)
{
	RuleLock   *rules = rel->rd_rules;

	for (int i = 0; rules != NULL && i < rules->numLocks; i++)
	{
		if (rules->rules[i]->event == CMD_INSERT)
			return true;
	}
	return false;
}

static bool
is_heap(char relkind, Oid relam)
{
	return relkind == RELKIND_PARTITIONED_TABLE || relam == HEAP_TABLE_AM_OID;
}

static bool
has_other_storage(const DpipePlan *plan, Relation rel)
{
	List	   *oids;
	ListCell   *lc;
	bool		other = false;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return !is_heap(rel->rd_rel->relkind, rel->rd_rel->relam);
	oids = find_all_inheritors(plan->relid, NoLock, NULL);
	foreach(lc, oids)
	{
		HeapTuple	tup = SearchSysCache1(RELOID,
										  ObjectIdGetDatum(lfirst_oid(lc)));

		if (HeapTupleIsValid(tup))
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tup);

			other |= !is_heap(form->relkind, form->relam);
			ReleaseSysCache(tup);
		}
	}
	list_free(oids);
	return other;
}

/*
 * Does the planner itself write this table? An engine that keeps the rows of
 * a table elsewhere (and leaves an empty heap behind it) puts a node of its
 * own on top of the plan.
 */
static bool
is_planned_as_heap_insert(const DpipePlan *plan, List *queries)
{
	PlannedStmt *stmt;
	ModifyTable *modify;

	if (list_length(queries) != 1)
		return false;
	stmt = pg_plan_query(linitial_node(Query, queries), plan->insert_sql,
						 CURSOR_OPT_PARALLEL_OK, NULL);
	modify = (ModifyTable *) stmt->planTree;
	return IsA(modify, ModifyTable) && modify->operation == CMD_INSERT &&
		list_length(modify->resultRelations) == 1 &&
		rt_fetch(linitial_int(modify->resultRelations),
				 stmt->rtable)->relid == plan->relid;
}

static bool
may_copy(DpipePlan *plan, Relation rel, List *queries)
{
	for (int i = 0; i < plan->ncolumns; i++)
	{
		if (plan->columns[i].as_text)
			return false;
	}
	return rel->rd_rel->relkind != RELKIND_VIEW &&
		!has_insert_rule(rel) && !has_other_storage(plan, rel) &&
		check_enable_rls(plan->relid, InvalidOid, true) != RLS_ENABLED &&
		is_planned_as_heap_insert(plan, queries);
}

/*
 * Check what an INSERT into the relation would write, note all relations it
 * is about, and say whether COPY's code may do it instead.
 */
bool
dpipe_admit_insert(DpipePlan *plan, Relation rel)
{
	bool		pushed = !ActiveSnapshotSet();
	List	   *queries;
	ListCell   *lc;
	bool		copy;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	queries = rewrite_insert(plan);
	foreach(lc, queries)
		check_query(plan, rel, lfirst_node(Query, lc));
	copy = may_copy(plan, rel, queries);
	if (pushed)
		PopActiveSnapshot();
	return copy;
}
