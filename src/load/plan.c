/*
 * plan.c
 *		What a target's definition means for loading: which column takes what,
 *		how it is encoded, and which path the rows may take.
 *
 * A plan is made under a lock on the relation and stays right until a relcache
 * invalidation for it (or one of its partitions) arrives; target.c sees to
 * that. What can be a target at all and which path its rows may take is the
 * matter of admit.c.
 */
#include "base/compat.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
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
	/* As text, a domain's input function checks its constraints as well. */
	col->own_input = col->base_type < FirstNormalObjectId &&
		(!col->as_text || col->base_type == col->type);
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

static bool
is_user_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_user_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_user_function, context) ||
		expression_tree_walker(node, calls_user_function, context);
}

/*
 * A default that is a constant is put into the wire format once. Others are
 * evaluated for each row that lacks the field: COPY would do so only for
 * columns that no row has. They are kept as written, and planned with each
 * attempt: functions can be replaced without a word to the table, and planning
 * takes in what they are now.
 */
static void
set_default(DpipeColumn *col, Relation rel)
{
	Expr	   *written = (Expr *) dpipe_column_default(rel, col->attnum);
	Expr	   *expr = written;

	col->default_kind = DPIPE_DEFAULT_NULL;
	if (written == NULL)
		return;
	if (!calls_user_function((Node *) written, NULL))
		expr = expression_planner(written);
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
	col->default_expr = written;
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

		if (!dpipe_column_takes_values(rel, i + 1))
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

/* ---------- the plan ---------- */

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

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return (x > y) - (x < y);
}

/* The relation's definition matters to the plan. */
void
dpipe_plan_watch(DpipePlan *plan, Oid relid)
{
	plan->relations = list_append_unique_oid(plan->relations, relid);
}

/* Those relations and their partitions, sorted. */
static void
note_watched(DpipePlan *plan)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, plan->relations)
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
			all = list_concat(all, find_all_inheritors(relid, NoLock, NULL));
		else
			all = lappend_oid(all, relid);
	}
	plan->watched = palloc(Max(list_length(all), 1) * sizeof(Oid));
	foreach(lc, all)
		plan->watched[plan->nwatched++] = lfirst_oid(lc);
	qsort(plan->watched, plan->nwatched, sizeof(Oid), compare_oids);
	list_free(all);
}

/* Does an invalidation of "relid" concern the plan? */
bool
dpipe_plan_concerns(const DpipePlan *plan, Oid relid)
{
	return relid == InvalidOid || relid == plan->relid ||
		bsearch(&relid, plan->watched, plan->nwatched, sizeof(Oid),
				compare_oids) != NULL;
}

/*
 * Rows may refer to later rows of their batch, so that it must not be cut
 * without need.
 */
static bool
refers_to_itself(Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		const ForeignKeyCacheInfo *key = lfirst(lc);

		if (key->confrelid == RelationGetRelid(rel))
			return true;
	}
	return false;
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

	dpipe_admit_relation(rel, target->raw);

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
	plan->insert_sql = make_insert_sql(plan, rel);
	plan->path = dpipe_admit_insert(plan, rel) ? &dpipe_copy_path :
		&dpipe_sql_path;
	plan->refers_to_itself = refers_to_itself(rel);
	note_watched(plan);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(cxt, target->cxt);
	return plan;
}
