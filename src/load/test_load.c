/*
 * test_load.c
 *		The loader without a broker: SQL functions for tests.
 *
 * In builds with fault points only, and not in the install script: a test
 * declares the functions itself (test/lib/load_functions.sql).
 */
#include "base/compat.h"

#ifdef DPIPE_FAULT_POINTS

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "load/load.h"

PG_FUNCTION_INFO_V1(dpipe_test_load);
PG_FUNCTION_INFO_V1(dpipe_test_prepare);
PG_FUNCTION_INFO_V1(dpipe_test_fault);

/* A fixed moment, so that expected rows are the same each time. */
#define TEST_TIMESTAMP_MS INT64CONST(1700000000123)

/* Of name, value, name, value, …; they are on every record. */
static DpipeHeader *
read_headers(ArrayType *headers, int *nheaders, int64 *bytes)
{
	DpipeHeader *list;
	Datum	   *parts;
	bool	   *nulls;
	int			nparts;

	deconstruct_array(headers, BYTEAOID, -1, false, TYPALIGN_INT, &parts,
					  &nulls, &nparts);
	*nheaders = nparts / 2;
	list = palloc0(sizeof(DpipeHeader) * *nheaders);
	for (int i = 0; i < *nheaders; i++)
	{
		bytea	   *name = DatumGetByteaPP(parts[2 * i]);

		list[i].name = pnstrdup(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
		if (!nulls[2 * i + 1])
		{
			bytea	   *value = DatumGetByteaPP(parts[2 * i + 1]);

			list[i].value = VARDATA_ANY(value);
			list[i].value_len = VARSIZE_ANY_EXHDR(value);
		}
		*bytes += strlen(list[i].name) + list[i].value_len;
	}
	return list;
}

static void
fill_batch(DpipeBatch *batch, ArrayType *payloads, ArrayType *keys,
		   int64 first_offset, ArrayType *headers)
{
	Datum	   *values;
	Datum	   *key_values = NULL;
	bool	   *nulls;
	bool	   *key_nulls = NULL;
	int			nkeys = 0;
	DpipeHeader *header_list = NULL;
	int			nheaders = 0;
	int64		header_bytes = 0;

	deconstruct_array(payloads, BYTEAOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, &batch->nrecords);
	if (keys != NULL)
		deconstruct_array(keys, BYTEAOID, -1, false, TYPALIGN_INT,
						  &key_values, &key_nulls, &nkeys);
	if (headers != NULL)
		header_list = read_headers(headers, &nheaders, &header_bytes);

	batch->records = palloc0(sizeof(DpipeRecord) * Max(batch->nrecords, 1));
	for (int i = 0; i < batch->nrecords; i++)
	{
		DpipeRecord *r = &batch->records[i];

		if (!nulls[i])
		{
			bytea	   *b = DatumGetByteaPP(values[i]);

			r->payload = VARDATA_ANY(b);
			r->payload_len = VARSIZE_ANY_EXHDR(b);
		}
		if (i < nkeys && !key_nulls[i])
		{
			bytea	   *b = DatumGetByteaPP(key_values[i]);

			r->key = VARDATA_ANY(b);
			r->key_len = VARSIZE_ANY_EXHDR(b);
		}
		r->topic = "t";
		r->partition = 0;
		r->offset = first_offset + i;
		r->timestamp_ms = TEST_TIMESTAMP_MS + i;
		r->headers = header_list;
		r->nheaders = nheaders;
		r->header_bytes = header_bytes;
		batch->bytes += dpipe_record_bytes(r);
	}
	batch->fetched_at = GetCurrentTimestamp();
}

/* Targets stay open over the calls of a session, as a worker's does. */
static DpipeTarget *
open_target(const char *name)
{
	static List *targets = NIL;
	static List *names = NIL;
	MemoryContext old;
	DpipeTarget *target;
	ListCell   *n;
	ListCell   *t;

	forboth(n, names, t, targets)
	{
		if (strcmp(lfirst(n), name) == 0)
			return lfirst(t);
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	target = dpipe_target_open(dpipe_source_get(name, false),
							   TopMemoryContext);
	targets = lappend(targets, target);
	names = lappend(names, pstrdup(name));
	MemoryContextSwitchTo(old);
	return target;
}

/*
 * dpipe._test_load(source text, payloads bytea[], keys bytea[],
 *	first_offset bigint, headers bytea[], OUT rows, OUT dead_letters,
 *	OUT settled, OUT path)
 */
Datum
dpipe_test_load(PG_FUNCTION_ARGS)
{
	DpipeTarget *target = open_target(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	DpipeBatch	batch = {0};
	DpipeLoad	load = {0};
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	fill_batch(&batch, PG_GETARG_ARRAYTYPE_P(1),
			   PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2),
			   PG_GETARG_INT64(3),
			   PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4));

	load.load_id = dpipe_load_draw_id();
	load.started_at = GetCurrentTimestamp();
	values[2] = Int32GetDatum(dpipe_target_load(target, &batch, &load));
	values[0] = Int64GetDatum(load.rows);
	values[1] = Int64GetDatum(load.dead_letters);
	values[3] = CStringGetTextDatum(dpipe_target_load_path(target));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/* dpipe._test_prepare(target text, format text, key_format integer) text */
Datum
dpipe_test_prepare(PG_FUNCTION_ARGS)
{
	char	   *schema;
	char	   *table;

	dpipe_target_prepare(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 text_to_cstring(PG_GETARG_TEXT_PP(1)),
						 PG_GETARG_INT32(2), &schema, &table);
	PG_RETURN_TEXT_P(cstring_to_text(quote_qualified_identifier(schema,
																table)));
}

/* dpipe._test_fault(sqlstate text) text */
Datum
dpipe_test_fault(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"record", "environment", "unknown"};
	char	   *s = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(names[dpipe_fault_classify(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]))]));
}

#endif							/* DPIPE_FAULT_POINTS */
