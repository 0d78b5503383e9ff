/*
 * sql.c
 *		Rows into a table by INSERT … SELECT FROM dpipe.batch().
 *
 * The path for every target that COPY's code must not write: policies, rules,
 * other engines' planners and types without a binary format all take part in
 * a statement of SQL. Which row an error was about is not known here, so bad
 * records are found by halving.
 *
 * dpipe.batch() reads the attempt in progress of its own process and raises
 * when there is none: if an engine pushed the call to another server, that
 * would be seen at once. Rules may evaluate it more than once; it begins anew
 * each time. Code of the table's owner runs on the way (triggers, domains): it
 * must not read the batch as well, least of all while it is being read.
 */
#include "base/compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "load/target.h"

PG_FUNCTION_INFO_V1(dpipe_batch);

typedef struct SqlFeed
{
	DpipeRun   *run;
	int			lo;
	bool		reading;		/* dpipe.batch() is at it */
} SqlFeed;

static SqlFeed *current_feed = NULL;

static void
insert_rows(DpipeRun *run, uint64 *rows)
{
	int			rc;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rc = SPI_execute(run->plan->insert_sql, false, 0);
	if (rc < 0)
		elog(ERROR, "INSERT failed: %s", SPI_result_code_string(rc));
	*rows = SPI_processed;
	SPI_finish();
}

static uint64
store(DpipeRun *run)
{
	SqlFeed		feed = {run, run->next, false};
	SqlFeed    *outer = current_feed;
	uint64		rows = 0;

	PG_TRY();
	{
		current_feed = &feed;
		insert_rows(run, &rows);
	}
	PG_FINALLY();
	{
		current_feed = outer;
	}
	PG_END_TRY();
	return rows;
}

const DpipePath dpipe_sql_path = {
	.name = "sql",
	.store = store,
};

/* ---------- dpipe.batch() ---------- */

static void
check_row_type(const DpipePlan *plan, TupleDesc desc)
{
	bool		ok = desc->natts == plan->ncolumns;

	for (int i = 0; ok && i < desc->natts; i++)
		ok = TupleDescAttr(desc, i)->atttypid == plan->columns[i].type;
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("dpipe.batch() was called with another row type than the loader's"),
				 errhint("It is for the loader's own statements.")));
}

Datum
dpipe_receive_column(DpipeColumn *col, const char *data, int len)
{
	StringInfoData wire;

	if (col->as_text)
		return InputFunctionCall(&col->text_input, pnstrdup(data, len),
								 col->text_input_param, col->typmod);
	initStringInfo(&wire);
	appendBinaryStringInfo(&wire, data, len);
	return ReceiveFunctionCall(&col->receive, &wire, col->receive_param,
							   col->typmod);
}

static void
receive_row(DpipeRun *run, StringInfo row, Datum *values, bool *nulls)
{
	DpipePlan  *plan = run->plan;

	row->cursor = 0;
	(void) pq_getmsgint(row, 2);	/* number of columns */
	for (int i = 0; i < plan->ncolumns; i++)
	{
		int			len = (int32) pq_getmsgint(row, 4);

		run->column = NameStr(plan->columns[i].name);
		run->reads_value = plan->columns[i].as_text &&
			plan->columns[i].own_input;
		nulls[i] = len < 0;
		if (len < 0)
		{
			/* lets a domain refuse NULL, as COPY does */
			values[i] = plan->columns[i].as_text ?
				InputFunctionCall(&plan->columns[i].text_input, NULL,
								  plan->columns[i].text_input_param,
								  plan->columns[i].typmod) :
				ReceiveFunctionCall(&plan->columns[i].receive, NULL,
									plan->columns[i].receive_param,
									plan->columns[i].typmod);
			continue;
		}
		values[i] = dpipe_receive_column(&plan->columns[i],
										 pq_getmsgbytes(row, len), len);
	}
	run->column = NULL;
	run->reads_value = false;
}

/* The feed, for the loader's own statement and for nobody else's. */
static SqlFeed *
feed_for(ReturnSetInfo *rsinfo)
{
	SqlFeed    *feed = current_feed;
	EState	   *estate = rsinfo != NULL && rsinfo->econtext != NULL ?
		rsinfo->econtext->ecxt_estate : NULL;

	if (feed == NULL || feed->reading || estate == NULL ||
		estate->es_sourceText == NULL ||
		strcmp(estate->es_sourceText, feed->run->plan->insert_sql) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no batch is being loaded in this process"),
				 errhint("dpipe.batch() is for the loader's own statements.")));
	return feed;
}

Datum
dpipe_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SqlFeed    *feed = feed_for(rsinfo);
	DpipeRun   *run;
	StringInfoData row;
	Datum	   *values;
	bool	   *nulls;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	run = feed->run;
	check_row_type(run->plan, rsinfo->setDesc);

	initStringInfo(&row);
	values = palloc_array(Datum, run->plan->ncolumns);
	nulls = palloc_array(bool, run->plan->ncolumns);
	run->nlines = 0;
	feed->reading = true;
	for (run->next = feed->lo; run->next < run->hi; run->next++)
	{
		MemoryContext old;

		if (run->verdicts[run->next] != NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		resetStringInfo(&row);
		if (!dpipe_row_encode(run, run->next, &row))
			continue;

		run->current = run->next;
		old = MemoryContextSwitchTo(run->row_cxt);
		receive_row(run, &row, values, nulls);
		MemoryContextSwitchTo(old);
		run->current = -1;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 nulls);
		MemoryContextReset(run->row_cxt);
		run->line[run->nlines++] = run->next;
	}
	feed->reading = false;
	return (Datum) 0;
}
