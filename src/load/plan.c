/*
 * plan.c
 *		What a target's definition means for loading: which column takes what,
 *		how it is encoded, and which path the rows may take.
 *
 * A plan is made under a lock on the relation and stays right until a relcache
 * invalidation for it (or one of its partitions) arrives; target.c sees to
 * that. The path is a white list: COPY's code neither asks for privileges nor
 * honours policies, rules or another engine's planner hook, so whatever is not
 * known to be safe is written by an INSERT that goes through all of them.
 */
#include "base/compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "load/target.h"

static const struct
{
	const char *name;
	DpipeRole	role;
}			reserved[] = {
	{"_source", DPIPE_ROLE_SOURCE},
	{"_load_id", DPIPE_ROLE_LOAD_ID},
	{"_extracted_at", DPIPE_ROLE_EXTRACTED_AT},
	{"_topic", DPIPE_ROLE_TOPIC},
	{"_partition", DPIPE_ROLE_PARTITION},
	{"_offset", DPIPE_ROLE_OFFSET},
	{"_key", DPIPE_ROLE_KEY},
	{"_headers", DPIPE_ROLE_HEADERS},
	{"_timestamp", DPIPE_ROLE_TIMESTAMP},
	{"_payload", DPIPE_ROLE_PAYLOAD},
};

static DpipeRole
role_of(const char *name)
{
	for (int i = 0; i < lengthof(reserved); i++)
	{
		if (strcmp(name, reserved[i].name) == 0)
			return reserved[i].role;
	}
	return DPIPE_ROLE_FIELD;
}

/* ---------- what cannot be a target ---------- */

static void
refuse_relation(const char *schema, const char *name, const char *why,
				const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot load into \"%s.%s\": %s", schema, name, why),
			 errdetail("%s", detail)));
}

/* Kind and persistence of the target itself or of one of its partitions. */
static void
check_storage(const char *schema, const char *name, char relkind,
			  char relpersistence)
{
	if (relkind == RELKIND_FOREIGN_TABLE)
		refuse_relation(schema, name, "it is a foreign table",
						"The remote server would commit rows before their position is committed here.");
	if (relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse_relation(schema, name, "it is unlogged",
						"After a crash its rows would be gone, but not the position they came from.");
	if (relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(schema, name, "it is temporary",
						"A background worker cannot see it.");
}

static void
check_partitions(Relation rel)
{
	List	   *oids = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
	ListCell   *lc;

	foreach(lc, oids)
	{
		HeapTuple	tup = SearchSysCache1(RELOID,
										  ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class form;

		if (!HeapTupleIsValid(tup))
			continue;			/* dropped meanwhile */
		form = (Form_pg_class) GETSTRUCT(tup);
		check_storage(get_namespace_name(form->relnamespace),
					  NameStr(form->relname), form->relkind,
					  form->relpersistence);
		ReleaseSysCache(tup);
	}
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

/* A column that an INSERT may give a value to. */
static bool
is_writable(Form_pg_attribute att)
{
	return !att->attisdropped && att->attgenerated == '\0' &&
		att->attidentity != ATTRIBUTE_IDENTITY_ALWAYS;
}

static void
check_payload_column(Relation rel, bool raw)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!is_writable(att) || strcmp(NameStr(att->attname), "_payload") != 0)
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
				 errmsg("table \"%s\" has no column \"_payload\"",
						RelationGetRelationName(rel)),
				 errdetail("With format raw a record is stored in that column alone."),
				 errhint("Add a column _payload of type text or bytea.")));
}

/*
 * Raise unless records can go into the relation at all; privileges are
 * another matter.
 */
void
dpipe_plan_check_relation(Relation rel, bool raw)
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

	check_storage(schema, name, relkind, rel->rd_rel->relpersistence);
	if (relkind == RELKIND_VIEW)
		refuse_relation(schema, name, "it is a view",
						"Only tables can be targets.");
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s.%s\" is not a table", schema, name)));
	if (RelationGetRelid(rel) < FirstNormalObjectId ||
		strcmp(schema, "dpipe") == 0)
		refuse_relation(schema, name, "it belongs to the system",
						"Catalogs cannot be targets.");
	if (relkind == RELKIND_PARTITIONED_TABLE)
		check_partitions(rel);
	check_payload_column(rel, raw);
}

/*
 * What COPY itself would ask of the current user for this table and these
 * columns.
 */
void
dpipe_plan_check_privileges(DpipePlan *plan, Relation rel)
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

/* ---------- columns ---------- */

/*
 * Can values of the type travel in binary? An array's and a domain's own
 * functions exist always; what counts is what is in them.
 */
static bool
has_binary_io(Oid type)
{
	Oid			element;
	HeapTuple	tup;
	bool		ok;

	type = getBaseType(type);
	element = get_element_type(type);
	if (OidIsValid(element))
		return has_binary_io(element);
	tup = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for type %u", type);
	ok = OidIsValid(((Form_pg_type) GETSTRUCT(tup))->typsend) &&
		OidIsValid(((Form_pg_type) GETSTRUCT(tup))->typreceive);
	ReleaseSysCache(tup);
	return ok;
}

static void
set_type(DpipeColumn *col)
{
	Oid			fn;
	bool		varlena;

	col->base_typmod = col->typmod;
	col->base_type = getBaseTypeAndTypmod(col->type, &col->base_typmod);
	col->element_type = get_element_type(col->base_type);
	getTypeInputInfo(col->base_type, &fn, &col->input_param);
	fmgr_info(fn, &col->input);

	col->as_text = !has_binary_io(col->type);
	if (col->as_text)
	{
		getTypeInputInfo(col->type, &fn, &col->text_input_param);
		fmgr_info(fn, &col->text_input);
		getTypeOutputInfo(col->type, &fn, &varlena);
		fmgr_info(fn, &col->text_output);
	}
	else
	{
		getTypeBinaryOutputInfo(col->type, &fn, &varlena);
		fmgr_info(fn, &col->send);
		getTypeBinaryInputInfo(col->type, &fn, &col->receive_param);
		fmgr_info(fn, &col->receive);
	}
	dpipe_encoder_choose(col);
}

/*
 * A default that is a constant is put into the wire format once. Others are
 * evaluated for each row that lacks the field: COPY would do so only for
 * columns that no row has.
 */
static void
set_default(DpipeColumn *col, Relation rel)
{
	Expr	   *expr = (Expr *) build_column_default(rel, col->attnum);

	col->default_kind = DPIPE_DEFAULT_NULL;
	if (expr == NULL)
		return;
	expr = expression_planner(expr);
	if (IsA(expr, Const) && ((Const *) expr)->constisnull)
		return;
	if (IsA(expr, Const) && !col->as_text)
	{
		bytea	   *wire = SendFunctionCall(&col->send,
											((Const *) expr)->constvalue);
		int32		len = VARSIZE_ANY_EXHDR(wire);
		int32		len_word = pg_hton32(len);

		col->default_kind = DPIPE_DEFAULT_CONST;
		col->default_wire_len = len + sizeof(int32);
		col->default_wire = palloc(col->default_wire_len);
		memcpy(col->default_wire, &len_word, sizeof(int32));
		memcpy(col->default_wire + sizeof(int32), VARDATA_ANY(wire), len);
		return;
	}
	col->default_kind = DPIPE_DEFAULT_EXPRESSION;
	col->default_expr = expr;
}

static void
add_columns(DpipePlan *plan, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	plan->columns = palloc0_array(DpipeColumn, Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		DpipeColumn *col;

		if (!is_writable(att))
			continue;
		col = &plan->columns[plan->ncolumns++];
		namestrcpy(&col->name, NameStr(att->attname));
		col->attnum = att->attnum;
		col->role = role_of(NameStr(att->attname));
		col->type = att->atttypid;
		col->typmod = att->atttypmod;
		col->collation = att->attcollation;
		set_type(col);
		set_default(col, rel);

		if (col->role == DPIPE_ROLE_FIELD)
			plan->nfields++;
		if (col->role == DPIPE_ROLE_PAYLOAD)
			plan->payload = col;
		plan->attnames = lappend(plan->attnames,
								 makeString(pstrdup(NameStr(att->attname))));
		plan->attnums = bms_add_member(plan->attnums, att->attnum -
									   FirstLowInvalidHeapAttributeNumber);
	}
	if (plan->ncolumns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column that can be loaded",
						RelationGetRelationName(rel))));
}

/* ---------- fields by name ---------- */

/* FNV-1a: short names, few collisions, no setup. */
static inline uint32
hash_name(const char *name, int len)
{
	uint32		h = 2166136261u;

	for (int i = 0; i < len; i++)
		h = (h ^ (uint8) name[i]) * 16777619u;
	return h;
}

static void
index_fields(DpipePlan *plan)
{
	plan->nbuckets = 8;
	while (plan->nbuckets < plan->nfields * 2)
		plan->nbuckets *= 2;
	plan->buckets = palloc(plan->nbuckets * sizeof(int));
	for (int i = 0; i < plan->nbuckets; i++)
		plan->buckets[i] = -1;

	for (int i = 0; i < plan->ncolumns; i++)
	{
		const char *name = NameStr(plan->columns[i].name);
		uint32		b;

		if (plan->columns[i].role != DPIPE_ROLE_FIELD)
			continue;
		b = hash_name(name, strlen(name)) & (plan->nbuckets - 1);
		while (plan->buckets[b] >= 0)
			b = (b + 1) & (plan->nbuckets - 1);
		plan->buckets[b] = i;
	}
}

/* Index of the column that takes the field, or -1. */
int
dpipe_plan_find_field(const DpipePlan *plan, const char *name, int len)
{
	uint32		b;

	if (len >= NAMEDATALEN)
		return -1;
	b = hash_name(name, len) & (plan->nbuckets - 1);
	while (plan->buckets[b] >= 0)
	{
		const char *other = NameStr(plan->columns[plan->buckets[b]].name);

		if (memcmp(other, name, len) == 0 && other[len] == '\0')
			return plan->buckets[b];
		b = (b + 1) & (plan->nbuckets - 1);
	}
	return -1;
}

/* ---------- path ---------- */

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
	if (!is_heap(rel->rd_rel->relkind, rel->rd_rel->relam))
		return true;
	for (int i = 0; i < plan->nleaves; i++)
	{
		HeapTuple	tup = SearchSysCache1(RELOID,
										  ObjectIdGetDatum(plan->leaves[i]));
		bool		heap = true;

		if (HeapTupleIsValid(tup))
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tup);

			heap = is_heap(form->relkind, form->relam);
			ReleaseSysCache(tup);
		}
		if (!heap)
			return true;
	}
	return false;
}

/*
 * Does the planner itself write this table? An engine that keeps the rows of
 * a table elsewhere (and leaves an empty heap behind it) puts a node of its
 * own on top of the plan.
 */
static bool
is_planned_as_heap_insert(const DpipePlan *plan)
{
	List	   *raw = pg_parse_query(plan->insert_sql);
	List	   *queries;
	PlannedStmt *stmt;
	ModifyTable *modify;
	bool		pushed = !ActiveSnapshotSet();
	bool		result = false;

	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	queries = pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, raw),
												 plan->insert_sql, NULL, 0,
												 NULL);
	if (list_length(queries) == 1)
	{
		stmt = pg_plan_query(linitial_node(Query, queries), plan->insert_sql,
							 CURSOR_OPT_PARALLEL_OK, NULL);
		modify = (ModifyTable *) stmt->planTree;
		result = IsA(modify, ModifyTable) && modify->operation == CMD_INSERT &&
			list_length(modify->resultRelations) == 1 &&
			rt_fetch(linitial_int(modify->resultRelations),
					 stmt->rtable)->relid == plan->relid;
	}
	if (pushed)
		PopActiveSnapshot();
	return result;
}

/* The white list; see the head of this file. */
static bool
may_copy(DpipePlan *plan, Relation rel)
{
	for (int i = 0; i < plan->ncolumns; i++)
	{
		if (plan->columns[i].as_text)
			return false;
	}
	return !has_insert_rule(rel) && !has_other_storage(plan, rel) &&
		check_enable_rls(plan->relid, InvalidOid, true) != RLS_ENABLED &&
		is_planned_as_heap_insert(plan);
}

static char *
make_insert_sql(DpipePlan *plan, Relation rel)
{
	StringInfoData names;
	StringInfoData types;

	initStringInfo(&names);
	initStringInfo(&types);
	for (int i = 0; i < plan->ncolumns; i++)
	{
		DpipeColumn *col = &plan->columns[i];

		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(col->name)));
		appendStringInfo(&types, "%sc%d %s", i > 0 ? ", " : "", i,
						 format_type_extended(col->type, col->typmod,
											  FORMAT_TYPE_TYPEMOD_GIVEN |
											  FORMAT_TYPE_FORCE_QUALIFY));
	}
	return psprintf("INSERT INTO %s (%s) SELECT * FROM dpipe.batch() AS b (%s)",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											   RelationGetRelationName(rel)),
					names.data, types.data);
}

/* ---------- the plan ---------- */

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return (x > y) - (x < y);
}

static void
note_leaves(DpipePlan *plan, Relation rel)
{
	List	   *oids;
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	oids = find_all_inheritors(plan->relid, NoLock, NULL);
	plan->leaves = palloc(list_length(oids) * sizeof(Oid));
	foreach(lc, oids)
		plan->leaves[plan->nleaves++] = lfirst_oid(lc);
	qsort(plan->leaves, plan->nleaves, sizeof(Oid), compare_oids);
	list_free(oids);
}

/* Does an invalidation of "relid" concern the plan? */
bool
dpipe_plan_concerns(const DpipePlan *plan, Oid relid)
{
	return relid == InvalidOid || relid == plan->relid ||
		(plan->nleaves > 0 &&
		 bsearch(&relid, plan->leaves, plan->nleaves, sizeof(Oid),
				 compare_oids) != NULL);
}

/*
 * Make the plan of a relation on which the caller holds a lock, for the
 * current user. Lives in a context of its own below the target's.
 */
DpipePlan *
dpipe_plan_make(DpipeTarget *target, Relation rel)
{
	MemoryContext cxt;
	MemoryContext old;
	DpipePlan  *plan;

	dpipe_plan_check_relation(rel, target->raw);

	/* Under the batch until it is whole: an error leaks nothing. */
	cxt = AllocSetContextCreate(target->batch_cxt, "dpipe column plan",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	plan = palloc0_object(DpipePlan);
	plan->cxt = cxt;
	plan->relid = RelationGetRelid(rel);
	plan->user = GetUserId();
	add_columns(plan, rel);
	index_fields(plan);
	note_leaves(plan, rel);
	plan->insert_sql = make_insert_sql(plan, rel);
	plan->path = may_copy(plan, rel) ? &dpipe_copy_path : &dpipe_sql_path;
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, target->cxt);
	return plan;
}
