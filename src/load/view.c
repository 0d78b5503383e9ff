/*
 * view.c
 *		Views as targets: which of their columns take a value, and which
 *		default a column has.
 *
 * An INSERT into a view ends there when an INSTEAD OF trigger or an
 * unconditional INSTEAD rule takes it. Otherwise the rewriter passes it on to
 * the one relation behind the view. Since the loader names every column and
 * gives every value, it must see what the rewriter would: columns that are
 * expressions, generated or identities take none, and a column without a
 * default of its own has that of the column behind it.
 *
 * That a view takes an INSERT at all has been checked before (admit.c), so
 * views are not their own ancestors here.
 */
#include "base/compat.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "load/target.h"

static bool
passes_inserts_on(Relation view)
{
	RuleLock   *rules = view->rd_rules;

	if (view->trigdesc != NULL && view->trigdesc->trig_insert_instead_row)
		return false;
	for (int i = 0; rules != NULL && i < rules->numLocks; i++)
	{
		const RewriteRule *rule = rules->rules[i];

		if (rule->event == CMD_INSERT && rule->isInstead && rule->qual == NULL)
			return false;
	}
	return true;
}

/* The one relation to which an INSERT into the view may go on. */
Oid
dpipe_view_behind(Relation view)
{
	Query	   *query = get_view_query(view);
	RangeTblRef *ref;
	RangeTblEntry *rte;

	if (!passes_inserts_on(view) ||
		list_length(query->jointree->fromlist) != 1)
		return InvalidOid;
	ref = linitial(query->jointree->fromlist);
	if (!IsA(ref, RangeTblRef))
		return InvalidOid;
	rte = rt_fetch(ref->rtindex, query->rtable);
	return rte->rtekind == RTE_RELATION ? rte->relid : InvalidOid;
}

/*
 * The column to which a value for a view's column goes on. NULL when the
 * column is no plain reference; else the relation is open and locked.
 */
static Relation
open_behind(Relation view, AttrNumber attnum, AttrNumber *behind)
{
	Query	   *query = get_view_query(view);
	TargetEntry *entry = get_tle_by_resno(query->targetList, attnum);
	Var		   *var;

	if (entry == NULL || entry->resjunk || !IsA(entry->expr, Var))
		return NULL;
	var = (Var *) entry->expr;
	if (var->varlevelsup != 0 || var->varattno <= 0)
		return NULL;
	*behind = var->varattno;
	return table_open(rt_fetch(var->varno, query->rtable)->relid,
					  RowExclusiveLock);
}

/* May an INSERT give the column a value? */
bool
dpipe_column_takes_values(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	AttrNumber	number;
	Relation	behind;
	bool		takes;

	check_stack_depth();
	if (att->attisdropped || att->attgenerated != '\0' ||
		att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		return false;
	if (rel->rd_rel->relkind != RELKIND_VIEW || !passes_inserts_on(rel))
		return true;
	behind = open_behind(rel, attnum, &number);
	if (behind == NULL)
		return false;
	takes = dpipe_column_takes_values(behind, number);
	table_close(behind, NoLock);
	return takes;
}

/* What the column takes when an INSERT does not name it; NULL is null. */
Node *
dpipe_column_default(Relation rel, AttrNumber attnum)
{
	Node	   *expr = build_column_default(rel, attnum);
	AttrNumber	number;
	Relation	behind;

	check_stack_depth();
	if (expr != NULL || rel->rd_rel->relkind != RELKIND_VIEW ||
		!passes_inserts_on(rel))
		return expr;
	behind = open_behind(rel, attnum, &number);
	if (behind == NULL)
		return NULL;
	expr = dpipe_column_default(behind, number);
	table_close(behind, NoLock);
	return expr;
}
