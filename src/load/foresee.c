/*
 * foresee.c
 *		Which records will the table's constraints refuse?
 *
 * An attempt that meets a record which a CHECK or NOT NULL refuses is lost
 * with all that it has stored. Where that happens again and again, these
 * constraints are looked at for the records ahead, on their encoded rows and
 * without the table.
 *
 * What comes out is a guess: batch.c tries such a record alone, and COPY
 * convicts it in its own words, or does not. So it does no harm that not every
 * constraint is looked at: those of partitions are not, nor those on whole
 * rows or on columns that COPY computes, nor any where a trigger may change
 * the row before.
 */
#include "base/compat.h"

#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"

#include "load/target.h"

/* What is looked at, of one attempt. */
typedef struct Constraints
{
	EState	   *estate;
	TupleTableSlot *slot;
	List	   *checks;			/* of ExprState */
	bool	   *needed;			/* by plan column: a check is about it */
	bool	   *not_null;		/* by plan column */
} Constraints;

bool
dpipe_foresee_possible(const DpipeRun *run)
{
	const TupleConstr *constr = RelationGetDescr(run->rel)->constr;
	const TriggerDesc *triggers = run->rel->trigdesc;

	return run->path == &dpipe_copy_path &&
		run->rel->rd_rel->relkind == RELKIND_RELATION &&
		!run->plan->refers_to_itself &&
		(triggers == NULL || !triggers->trig_insert_before_row) &&
		constr != NULL && (constr->num_check > 0 || constr->has_not_null);
}

static int
find_column(const DpipePlan *plan, AttrNumber attnum)
{
	for (int i = 0; i < plan->ncolumns; i++)
		if (plan->columns[i].attnum == attnum)
			return i;
	return -1;
}

/* Add a check, if it is about columns alone whose values are at hand. */
static void
add_check(Constraints *c, const DpipePlan *plan, const char *ccbin)
{
	Node	   *expr = stringToNode(ccbin);
	Bitmapset  *attnums = NULL;
	int			x = -1;

	pull_varattnos(expr, 1, &attnums);
	while ((x = bms_next_member(attnums, x)) >= 0)
		if (find_column(plan, x + FirstLowInvalidHeapAttributeNumber) < 0)
			return;
	x = -1;
	while ((x = bms_next_member(attnums, x)) >= 0)
		c->needed[find_column(plan, x + FirstLowInvalidHeapAttributeNumber)] = true;
	c->checks = lappend(c->checks, ExecPrepareExpr((Expr *) expr, c->estate));
}

static void
begin(Constraints *c, DpipeRun *run)
{
	const DpipePlan *plan = run->plan;
	TupleDesc	desc = RelationGetDescr(run->rel);

	memset(c, 0, sizeof(Constraints));
	c->estate = CreateExecutorState();
	c->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	GetPerTupleExprContext(c->estate)->ecxt_scantuple = c->slot;
	c->needed = palloc0_array(bool, plan->ncolumns);
	c->not_null = palloc0_array(bool, plan->ncolumns);
	for (int i = 0; i < plan->ncolumns; i++)
		c->not_null[i] = TupleDescAttr(desc, plan->columns[i].attnum - 1)->attnotnull;
	for (int i = 0; i < desc->constr->num_check; i++)
		add_check(c, plan, desc->constr->check[i].ccbin);
}

static void
end(Constraints *c)
{
	ExecDropSingleTupleTableSlot(c->slot);
	FreeExecutorState(c->estate);
}

/* Values that checks are about into the slot. False: NOT NULL refuses one. */
static bool
fill_slot(Constraints *c, DpipePlan *plan, StringInfo row)
{
	TupleTableSlot *slot = c->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	row->cursor = 0;
	(void) pq_getmsgint(row, 2);	/* number of columns */
	for (int i = 0; i < plan->ncolumns; i++)
	{
		DpipeColumn *col = &plan->columns[i];
		int			len = (int32) pq_getmsgint(row, 4);
		const char *data;

		if (len < 0 && c->not_null[i])
			return false;
		if (len < 0)
			continue;
		data = pq_getmsgbytes(row, len);
		if (!c->needed[i])
			continue;
		slot->tts_values[col->attnum - 1] =
			dpipe_receive_column(col, data, len);
		slot->tts_isnull[col->attnum - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
	return true;
}

static bool
is_refused(Constraints *c, DpipeRun *run, StringInfo row)
{
	ExprContext *econtext = GetPerTupleExprContext(c->estate);
	MemoryContext old;
	ListCell   *cell;
	bool		ok;

	ResetExprContext(econtext);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	ok = fill_slot(c, run->plan, row);
	MemoryContextSwitchTo(old);
	foreach(cell, c->checks)
	{
		if (!ok)
			break;
		ok = ExecCheck(lfirst(cell), econtext);
	}
	return !ok;
}

/* Stores nothing; run->next is then behind the last record looked at. */
static uint64
look(DpipeRun *run)
{
	Constraints c;
	StringInfoData row;

	begin(&c, run);
	initStringInfo(&row);
	for (; run->next < run->hi && run->nforeseen < run->max_foreseen; run->next++)
	{
		if (run->verdicts[run->next] != NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&row);
		if (dpipe_row_encode(run, run->next, &row) &&
			is_refused(&c, run, &row))
			run->foreseen[run->nforeseen++] = run->next;
	}
	end(&c);
	return 0;
}

const DpipePath dpipe_foresee_path = {
	.name = "",
	.store = look,
};
