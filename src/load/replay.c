/*
 * replay.c
 *		dpipe_replay: dead letters into the target, once it can take them.
 *
 * Letters are locked, loaded as a batch with their original bytes and
 * provenance, and marked with the time, all in the caller's transaction: a
 * replayed letter has exactly one row. Those that fail again stay, with the
 * reason of now; the letters that the loader writes about them are taken away.
 * Letters outlive their source, and its name may since be another role's: only
 * those of the source's owner are read.
 * A replay has a row in the ledger, so that new_rows gives its rows too.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "load/load.h"

PG_FUNCTION_INFO_V1(dpipe_replay);

/* Letters taken at a time; as many bytes as a batch of the source has. */
#define REPLAY_ROWS 1000

/* In the ledger: no slot's position has moved. */
#define REPLAY_SLOT (-1)

typedef struct Replay
{
	struct Replay *outer;		/* under way in this process, or NULL */
	DpipeSource *source;
	DpipeTarget *target;
	Datum		ids;			/* bigint[] */
	bool		all;			/* "ids" was null */
	int64		last_id;
	int64		replayed;
	int64		failed;
	DpipeBatch	batch;
	Datum	   *letters;		/* id of each record */
} Replay;

static Replay *current_replay = NULL;

/* A header's name ("0") or value ("1") as the bytes it came in. */
#define HEADER_PARTS(n) \
	"ARRAY(SELECT CASE pg_catalog.jsonb_typeof(h.value -> " n ")" \
	"        WHEN 'object' THEN pg_catalog.decode(h.value -> " n " ->> 'base64', 'base64')" \
	"        WHEN 'string' THEN pg_catalog.convert_to(h.value ->> " n ", 'UTF8') END" \
	"      FROM pg_catalog.jsonb_array_elements(l.headers)" \
	"      WITH ORDINALITY h(value, n) ORDER BY h.n)"

/*
 * The window adds up sizes without reading payloads and keys. Those of headers
 * are told by reading them only, since they may be compressed a thousandfold.
 * A letter that another session replays meanwhile is seen as replayed once its
 * lock is free.
 */
static DpipeStatement select_letters = {
	"WITH due AS (SELECT l.id, COALESCE(pg_catalog.octet_length(l.payload), 0)::bigint"
	"      + COALESCE(pg_catalog.octet_length(l.key), 0)"
	"      + COALESCE(pg_catalog.octet_length(l.headers::pg_catalog.text), 0) AS bytes"
	"    FROM dpipe.letter l"
	"   WHERE l.source = $1 AND l.replayed_at IS NULL AND l.id > $3"
	"     AND l.owner = $6 AND l.owner_oid = $7"
	"     AND ($2 IS NULL OR l.id = ANY ($2))"
	"   ORDER BY l.id LIMIT $4),"
	" fitting AS (SELECT d.id,"
	"    COALESCE(pg_catalog.sum(d.bytes) OVER (ORDER BY d.id"
	"      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before"
	"    FROM due d)"
	" SELECT l.id, l.topic, l.partition, l.\"offset\","
	"        pg_catalog.floor(EXTRACT(epoch FROM l.\"timestamp\") * 1000)::bigint,"
	"        l.key, l.payload, " HEADER_PARTS("0") ", " HEADER_PARTS("1")
	"   FROM dpipe.letter l"
	"  WHERE l.replayed_at IS NULL"
	"    AND l.id IN (SELECT f.id FROM fitting f WHERE f.before < $5)"
	"  ORDER BY l.id FOR UPDATE OF l",
	7, {TEXTOID, INT8ARRAYOID, INT8OID, INT8OID, INT8OID, TEXTOID, OIDOID}
};

/* The highest id that the statement above looked at, NULL: none was due. */
static DpipeStatement select_last = {
	"SELECT pg_catalog.max(l.id) FROM (SELECT d.id FROM dpipe.letter d"
	"   WHERE d.source = $1 AND d.replayed_at IS NULL AND d.id > $3"
	"     AND ($2 IS NULL OR d.id = ANY ($2))"
	"   ORDER BY d.id LIMIT $4) l",
	4, {TEXTOID, INT8ARRAYOID, INT8OID, INT8OID}
};

/* Letters about a replayed record say which of them failed again. */
static DpipeStatement take_back = {
	"DELETE FROM dpipe.letter l WHERE l.load_id = $1"
	" RETURNING l.topic, l.partition, l.\"offset\", l.stage, l.sqlstate, l.message",
	1, {INT8OID}
};

static DpipeStatement renew_reasons = {
	"UPDATE dpipe.letter l"
	"   SET stage = r.stage, sqlstate = r.sqlstate, message = r.message"
	"  FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
	"       pg_catalog.unnest($3), pg_catalog.unnest($4)) r(id, stage, sqlstate, message)"
	" WHERE l.id = r.id"
	"   AND (l.stage, l.sqlstate, l.message) IS DISTINCT FROM (r.stage, r.sqlstate, r.message)",
	4, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static DpipeStatement mark_letters = {
	"UPDATE dpipe.letter l SET replayed_at = pg_catalog.clock_timestamp()"
	" WHERE l.id = ANY ($1)", 1, {INT8ARRAYOID}
};

static char *
copy_bytes(uint64 row, int col, int *len)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);
	bytea	   *b;
	char	   *copy;

	*len = 0;
	if (isnull)
		return NULL;
	b = DatumGetByteaPP(d);
	*len = VARSIZE_ANY_EXHDR(b);
	copy = memcpy(MemoryContextAllocHuge(CurrentMemoryContext, *len + 1),
				  VARDATA_ANY(b), *len);
	if ((Pointer) b != DatumGetPointer(d))
		pfree(b);
	return copy;
}

static void
read_headers(uint64 row, DpipeRecord *r)
{
	bool		isnull;
	Datum	   *names;
	Datum	   *values;
	bool	   *nulls;
	int			n;
	DpipeHeader *headers;

	deconstruct_array(DatumGetArrayTypeP(dpipe_spi_datum(row, 8, &isnull)),
					  BYTEAOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	deconstruct_array(DatumGetArrayTypePCopy(dpipe_spi_datum(row, 9, &isnull)),
					  BYTEAOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	headers = palloc0_array(DpipeHeader, Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		/* the bytes of a text, and no text has a zero byte */
		headers[i].name = TextDatumGetCString(names[i]);
		if (!nulls[i])
		{
			bytea	   *b = DatumGetByteaPP(values[i]);

			headers[i].value = VARDATA_ANY(b);
			headers[i].value_len = VARSIZE_ANY_EXHDR(b);
		}
		r->header_bytes += strlen(headers[i].name) + headers[i].value_len;
	}
	r->nheaders = n;
	r->headers = headers;
}

static void
read_letter(Replay *replay, uint64 row, MemoryContext cxt)
{
	DpipeRecord *r = &replay->batch.records[row];
	bool		isnull;
	Datum		ms;

	replay->letters[row] = Int64GetDatum(dpipe_spi_int64(row, 1));
	r->topic = dpipe_spi_text(row, 2, cxt);
	r->partition = dpipe_spi_int32(row, 3);
	r->offset = dpipe_spi_int64(row, 4);
	ms = dpipe_spi_datum(row, 5, &isnull);
	r->timestamp_ms = isnull ? -1 : DatumGetInt64(ms);
	r->key = copy_bytes(row, 6, &r->key_len);
	r->payload = copy_bytes(row, 7, &r->payload_len);
	read_headers(row, r);
	replay->batch.bytes += dpipe_record_bytes(r);
}

/* The next letters, in the current memory context. False: no more. */
static bool
take_letters(Replay *replay)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[7] = {
		CStringGetTextDatum(replay->source->name),
		replay->ids,
		Int64GetDatum(replay->last_id),
		Int64GetDatum(Min(REPLAY_ROWS, replay->source->batch_rows)),
		Int64GetDatum(replay->source->batch_bytes),
		CStringGetTextDatum(replay->source->owner_name),
		ObjectIdGetDatum(replay->source->owner),
	};
	bool		nulls[7] = {false, replay->all};
	uint64		n;
	int64		last;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_letters, args, nulls, false, 0);
	MemoryContextSwitchTo(cxt);
	replay->batch.nrecords = n;
	replay->batch.bytes = 0;
	replay->batch.fetched_at = GetCurrentTimestamp();
	replay->batch.records = palloc0_array(DpipeRecord, Max(n, 1));
	replay->letters = palloc_array(Datum, Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		read_letter(replay, i, cxt);
	if (n > 0)
		last = DatumGetInt64(replay->letters[n - 1]);
	else
	{
		/* All of these were replayed by somebody else: look further. */
		(void) dpipe_spi_run(&select_last, args, nulls, true, 1);
		last = dpipe_spi_int64(0, 1);
	}
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);

	if (n == 0 && last <= replay->last_id)
		return false;
	replay->last_id = last;
	return true;
}

/*
 * The record that a letter is about. A record that was read twice, after
 * dpipe_seek(), can have two letters with the same coordinates: then each
 * failure is another one's.
 */
static int
find_record(const DpipeBatch *batch, int from, int to, const bool *failed,
			const char *topic, int32 partition, int64 offset)
{
	for (int i = from; i < to; i++)
	{
		const DpipeRecord *r = &batch->records[i];

		if (!failed[i] && r->offset == offset && r->partition == partition &&
			topic != NULL && r->topic != NULL && strcmp(r->topic, topic) == 0)
			return i;
	}
	return -1;
}

/*
 * Take the letters about the records [from, to) away again; the letters that
 * were replayed get their reasons. Sets failed[] of these.
 */
static void
renew_failed(Replay *replay, int from, int to, int64 load_id, bool *failed)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[4] = {Int64GetDatum(load_id)};
	Datum	   *ids = palloc_array(Datum, to);
	Datum	   *reasons[3];
	uint64		n;
	int			nfailed = 0;

	for (int c = 0; c < 3; c++)
		reasons[c] = palloc_array(Datum, to);
	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&take_back, args, NULL, false, 0);
	for (uint64 i = 0; i < n; i++)
	{
		int			k = find_record(&replay->batch, from, to, failed,
									dpipe_spi_text(i, 1, cxt),
									dpipe_spi_int32(i, 2),
									dpipe_spi_int64(i, 3));

		if (k < 0)
			continue;
		failed[k] = true;
		ids[nfailed] = replay->letters[k];
		for (int c = 0; c < 3; c++)
			reasons[c][nfailed] = CStringGetTextDatum(dpipe_spi_text(i, 4 + c, cxt));
		nfailed++;
	}
	args[0] = PointerGetDatum(construct_array(ids, nfailed, INT8OID, 8,
											  FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
	for (int c = 0; c < 3; c++)
		args[1 + c] = PointerGetDatum(construct_array(reasons[c], nfailed,
													  TEXTOID, -1, false,
													  TYPALIGN_INT));
	if (nfailed > 0)
		(void) dpipe_spi_run(&renew_reasons, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);
}

/* Mark what was stored of the records [from, to); the others failed again. */
static void
settle_letters(Replay *replay, int from, int to, const DpipeLoad *load)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[1];
	bool	   *failed = palloc0_array(bool, to);
	Datum	   *done = palloc_array(Datum, to);
	int			ndone = 0;

	renew_failed(replay, from, to, load->load_id, failed);
	for (int i = from; i < to; i++)
		if (!failed[i])
			done[ndone++] = replay->letters[i];
	args[0] = PointerGetDatum(construct_array(done, ndone, INT8OID, 8,
											  FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&mark_letters, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);
	replay->replayed += ndone;
	replay->failed += to - from - ndone;
}

/* The batch in as many loads as the loader wants. */
static void
replay_batch(Replay *replay)
{
	const DpipePosition nowhere = {0};
	DpipeRecord *records = replay->batch.records;
	int			n = replay->batch.nrecords;
	int			from = 0;

	while (from < n)
	{
		DpipeLoad	load = {0};
		DpipeBatch	rest = replay->batch;
		int			settled;

		rest.records = records + from;
		rest.nrecords = n - from;
		load.started_at = GetCurrentTimestamp();
		load.load_id = dpipe_load_draw_id();
		settled = dpipe_target_load(replay->target, &rest, &load);
		settle_letters(replay, from, from + settled, &load);
		load.dead_letters = 0;
		dpipe_load_record(replay->source, REPLAY_SLOT, &load, &nowhere, &nowhere);
		from += settled;
	}
}

static Datum
replay_result(FunctionCallInfo fcinfo, const Replay *replay)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(replay->replayed);
	values[1] = Int64GetDatum(replay->failed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values,
											 nulls));
}

/*
 * A trigger of the target could call us again for letters that are on their
 * way into it, and not marked yet.
 */
static void
check_not_nested(const Replay *replay)
{
	for (const Replay *r = replay->outer; r != NULL; r = r->outer)
		if (strcmp(r->source->name, replay->source->name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("letters of source \"%s\" are being replayed by this session already",
							replay->source->name),
					 errhint("A trigger of its target must not call dpipe_replay() for it.")));
}

static void
replay_all(Replay *replay)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "dpipe replay",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	while (take_letters(replay))
	{
		replay_batch(replay);
		MemoryContextReset(cxt);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/*
 * dpipe_replay(source text, ids bigint[], OUT replayed bigint,
 *				OUT failed bigint)
 */
Datum
dpipe_replay(PG_FUNCTION_ARGS)
{
	Replay		replay = {.outer = current_replay};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source must not be null")));
	PreventCommandIfReadOnly("dpipe_replay()");
	PreventCommandDuringRecovery("dpipe_replay()");

	replay.source = dpipe_source_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	dpipe_source_check_owner(replay.source);
	dpipe_source_check_adopted(replay.source);
	replay.all = PG_ARGISNULL(1);
	if (!replay.all)
		replay.ids = PG_GETARG_DATUM(1);
	check_not_nested(&replay);
	replay.target = dpipe_target_open(replay.source, CurrentMemoryContext);

	PG_TRY();
	{
		current_replay = &replay;
		replay_all(&replay);
	}
	PG_FINALLY();
	{
		current_replay = replay.outer;
	}
	PG_END_TRY();
	dpipe_target_close(replay.target);
	PG_RETURN_DATUM(replay_result(fcinfo, &replay));
}
