/*
 * log.c
 *		The record of runs: in the run's own transaction, so that a record
 *		exists exactly when the data does.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/spi.h"
#include "run/run.h"

static DpipeStatement draw_id = {
"SELECT pg_catalog.nextval('dpipe.run_id'::pg_catalog.regclass)", 0, {0}};

int64
dpipe_run_draw_id(void)
{
	DpipeSpi	spi;
	int64		id;

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&draw_id, NULL, NULL, false, 1);
	id = dpipe_spi_int64(0, 1);
	dpipe_spi_end(&spi);
	return id;
}

static DpipeStatement insert_run = {
	"INSERT INTO dpipe.run_log (run_id, command, invocation_id, caller,"
	"       caller_oid, status, nodes, exclude, full_refresh, vars, options,"
	"       started_at, ended_at, pid)"
	" VALUES ($1, $2, $3::pg_catalog.uuid, $4, $5, $6, $7, $8, $9, $10, $11,"
	"       $12, pg_catalog.clock_timestamp(), $13)",
	13,
	{INT8OID, TEXTOID, TEXTOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, JSONBOID,
JSONBOID, TIMESTAMPTZOID, INT4OID}};

static Datum
text_or_null(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

void
dpipe_run_record(const DpipeRun *run, bool failed)
{
	DpipeSpi	spi;
	bool		nulls[13] = {false};
	Datum		args[13] = {
		Int64GetDatum(run->run_id),
		CStringGetTextDatum(run->command),
		CStringGetTextDatum(run->invocation_id),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		ObjectIdGetDatum(GetUserId()),
		CStringGetTextDatum(failed ? "error" : "success"),
		text_or_null(run->nodes, &nulls[6]),
		text_or_null(run->exclude, &nulls[7]),
		BoolGetDatum(run->full_refresh),
		JsonbPGetDatum(run->vars),
		JsonbPGetDatum(run->options),
		TimestampTzGetDatum(run->started_at),
		Int32GetDatum(MyProcPid),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&insert_run, args, nulls, false, 0);
	dpipe_spi_end(&spi);
}

static DpipeStatement insert_node = {
	"INSERT INTO dpipe.run_node_log (run_id, position, node, name,"
	"       resource_type, owner, owner_oid, schema, alias, relation_name,"
	"       status, rows, message, sqlstate, started_at, ended_at, pid,"
	"       sql, adapter_response)"
	" VALUES ($1, $2, $3, $4, 'model', $5, $6, $7, $8, $9, $10, $11, $12, $13,"
	"       $14, $15, $16, $17,"
	"       CASE WHEN $18 IS NULL THEN '{}'::pg_catalog.jsonb"
	"            ELSE pg_catalog.jsonb_strip_nulls("
	"                 pg_catalog.jsonb_build_object('_message', $12,"
	"                     'code', $18, 'rows_affected', $11)) END)",
	18,
	{INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID}};

void
dpipe_run_node_record(const DpipeRun *run, int position, const DpipeNodeResult *result)
{
	const DpipeNode *node = result->node;
	DpipeSpi	spi;
	bool		nulls[18] = {false};
	Datum		args[18] = {
		Int64GetDatum(run->run_id),
		Int32GetDatum(position),
		CStringGetTextDatum(node->unique_id),
		CStringGetTextDatum(node->name),
		CStringGetTextDatum(node->owner_name),
		ObjectIdGetDatum(node->owner),
		CStringGetTextDatum(node->schema),
		CStringGetTextDatum(node->alias),
		CStringGetTextDatum(dpipe_relation_name(node->schema, node->alias)),
		CStringGetTextDatum(result->status),
		Int64GetDatum(result->rows),
		text_or_null(result->message, &nulls[11]),
		text_or_null(result->sqlstate, &nulls[12]),
		TimestampTzGetDatum(result->started_at),
		TimestampTzGetDatum(result->ended_at),
		Int32GetDatum(MyProcPid),
		text_or_null(result->sql, &nulls[16]),
		text_or_null(result->code, &nulls[17]),
	};

	nulls[10] = result->rows < 0;
	nulls[13] = nulls[14] = result->started_at == 0;
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&insert_node, args, nulls, false, 0);
	dpipe_spi_end(&spi);
}
