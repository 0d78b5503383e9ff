/*
 * spi.h
 *		Internal SQL on dpipe's own catalogs: one way in, one way out.
 *
 *		DpipeSpi	spi;
 *		static DpipeStatement stmt = {"SELECT … $1", 1, {TEXTOID}};
 *
 *		dpipe_spi_begin(&spi);
 *		dpipe_spi_run(&stmt, values, NULL, false, 0);
 *		… SPI_tuptable …
 *		dpipe_spi_end(&spi);
 */
#ifndef DPIPE_SPI_H
#define DPIPE_SPI_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/identity.h"

#define DPIPE_MAX_SQL_ARGS 24

/*
 * A statement that is planned once a session. Declare it static. All names in
 * it are schema-qualified; search_path is pg_catalog, pg_temp.
 */
typedef struct DpipeStatement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[DPIPE_MAX_SQL_ARGS];
	SPIPlanPtr	plan;			/* filled by the first run */
} DpipeStatement;

typedef struct DpipeSpi
{
	DpipeIdentity id;
	bool		pushed_snapshot;
} DpipeSpi;

/* Connect as the extension's owner with a fresh snapshot. */
extern void dpipe_spi_begin(DpipeSpi *spi);

/*
 * Run; "nulls" may be NULL (nothing is null), else an array of bool. Raises
 * unless SPI succeeded. Returns SPI_processed.
 */
extern uint64 dpipe_spi_run(DpipeStatement *stmt, const Datum *values,
							const bool *nulls, bool read_only, long tcount);
extern void dpipe_spi_end(DpipeSpi *spi);

/*
 * Typed fetches from SPI_tuptable; text is copied into "cxt". A null gives
 * NULL, false or 0.
 */
extern char *dpipe_spi_text(uint64 row, int col, MemoryContext cxt);
extern Datum dpipe_spi_datum(uint64 row, int col, bool *isnull);
extern int64 dpipe_spi_int64(uint64 row, int col);
extern int32 dpipe_spi_int32(uint64 row, int col);
extern bool dpipe_spi_bool(uint64 row, int col);

/* A list of C strings as text[], for an argument or a result. */
extern Datum dpipe_spi_texts(const List *strings);

#endif							/* DPIPE_SPI_H */
