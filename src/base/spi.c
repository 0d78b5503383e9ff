/*
 * spi.c
 *		Internal SQL on dpipe's own catalogs.
 *
 * All statements run as the extension's owner in a restricted context with
 * search_path pinned. Plans are kept for the session.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"

#include "base/spi.h"

void
dpipe_spi_begin(DpipeSpi *spi)
{
	int			rc;

	dpipe_identity_internal(&spi->id);
	rc = SPI_connect();
	if (rc != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed: %s", SPI_result_code_string(rc));

	/* A worker's transaction has no snapshot of its own. */
	spi->pushed_snapshot = !ActiveSnapshotSet();
	if (spi->pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
}

uint64
dpipe_spi_run(DpipeStatement *stmt, const Datum *values, const bool *nulls,
			  bool read_only, long tcount)
{
	char		spi_nulls[DPIPE_MAX_SQL_ARGS];
	int			rc;

	Assert(stmt->nargs <= DPIPE_MAX_SQL_ARGS);
	if (stmt->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(stmt->sql, stmt->nargs, stmt->argtypes);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s: %s",
				 SPI_result_code_string(SPI_result), stmt->sql);
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		stmt->plan = plan;
	}
	for (int i = 0; i < stmt->nargs; i++)
		spi_nulls[i] = (nulls != NULL && nulls[i]) ? 'n' : ' ';

	rc = SPI_execute_plan(stmt->plan, (Datum *) values, spi_nulls, read_only,
						  tcount);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s: %s",
			 SPI_result_code_string(rc), stmt->sql);
	return SPI_processed;
}

void
dpipe_spi_end(DpipeSpi *spi)
{
	if (spi->pushed_snapshot)
		PopActiveSnapshot();
	SPI_finish();
	dpipe_identity_restore(&spi->id);
}

Datum
dpipe_spi_datum(uint64 row, int col, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col,
						 isnull);
}

char *
dpipe_spi_text(uint64 row, int col, MemoryContext cxt)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);
	MemoryContext old;
	char	   *s;

	Assert(SPI_gettypeid(SPI_tuptable->tupdesc, col) == TEXTOID);
	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(cxt);
	s = TextDatumGetCString(d);
	MemoryContextSwitchTo(old);
	return s;
}

int64
dpipe_spi_int64(uint64 row, int col)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);

	Assert(SPI_gettypeid(SPI_tuptable->tupdesc, col) == INT8OID);
	return isnull ? 0 : DatumGetInt64(d);
}

int32
dpipe_spi_int32(uint64 row, int col)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);

	return isnull ? 0 : DatumGetInt32(d);
}

bool
dpipe_spi_bool(uint64 row, int col)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);

	return isnull ? false : DatumGetBool(d);
}

Datum
dpipe_spi_texts(const List *strings)
{
	Datum	   *elems = palloc_array(Datum, Max(list_length(strings), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}
