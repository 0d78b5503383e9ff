/*
 * dead_letter.c
 *		Records that could not be stored, kept whole in the same transaction.
 *
 * One statement writes many: an array per column, unnested. Arrays are bounded
 * by bytes, since records may be as large as 256 MiB and a value may not be
 * larger than 1 GB.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "load/target.h"

#define MAX_CHUNK_LETTERS 1000
#define MAX_CHUNK_BYTES (16 * 1024 * 1024)

typedef enum LetterColumn
{
	LETTER_TOPIC,
	LETTER_PARTITION,
	LETTER_OFFSET,
	LETTER_TIMESTAMP,
	LETTER_KEY,
	LETTER_PAYLOAD,
	LETTER_HEADERS,
	LETTER_STAGE,
	LETTER_SQLSTATE,
	LETTER_MESSAGE,
	LETTER_COLUMNS,
} LetterColumn;

static const Oid letter_types[LETTER_COLUMNS] = {
	TEXTOID, INT4OID, INT8OID, TIMESTAMPTZOID, BYTEAOID, BYTEAOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID
};

typedef struct Chunk
{
	int			n;
	int64		bytes;
	Datum	   *values[LETTER_COLUMNS];
	bool	   *nulls[LETTER_COLUMNS];
} Chunk;

static DpipeStatement insert_letters = {
	"INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic,"
	"    partition, \"offset\", \"timestamp\", key, payload, headers, stage,"
	"    sqlstate, message)"
	" SELECT $1, $2, $3, $4, u.topic, u.partition, u.off, u.ts, u.key,"
	"    u.payload, u.headers::pg_catalog.jsonb, u.stage, u.sqlstate, u.message"
	" FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6),"
	"    pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9),"
	"    pg_catalog.unnest($10), pg_catalog.unnest($11), pg_catalog.unnest($12),"
	"    pg_catalog.unnest($13), pg_catalog.unnest($14))"
	"    AS u(topic, partition, off, ts, key, payload, headers, stage,"
	"    sqlstate, message)",
	14, {TEXTOID, TEXTOID, OIDOID, INT8OID, TEXTARRAYOID, INT4ARRAYOID,
		INT8ARRAYOID, TIMESTAMPTZARRAYOID, BYTEAARRAYOID, BYTEAARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

static Datum
bytes_datum(const char *data, int len)
{
	bytea	   *b = palloc(VARHDRSZ + len);

	SET_VARSIZE(b, VARHDRSZ + len);
	memcpy(VARDATA(b), data, len);
	return PointerGetDatum(b);
}

static void
chunk_set(Chunk *chunk, LetterColumn column, Datum value)
{
	chunk->values[column][chunk->n] = value;
	chunk->nulls[column][chunk->n] = false;
}

static TimestampTz
unix_ms_to_timestamp(int64 ms)
{
	return (ms - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
			SECS_PER_DAY * 1000) * 1000;
}

static void
chunk_add(Chunk *chunk, const DpipeRecord *record,
		  const DpipeVerdict *verdict)
{
	for (int i = 0; i < LETTER_COLUMNS; i++)
		chunk->nulls[i][chunk->n] = true;

	if (record->topic != NULL)
	{
		chunk_set(chunk, LETTER_TOPIC, CStringGetTextDatum(record->topic));
		chunk_set(chunk, LETTER_PARTITION, Int32GetDatum(record->partition));
		chunk_set(chunk, LETTER_OFFSET, Int64GetDatum(record->offset));
	}
	/* A timestamp that no timestamptz can hold is in the message. */
	if (record->timestamp_ms >= 0 &&
		record->timestamp_ms < END_TIMESTAMP / 1000)
		chunk_set(chunk, LETTER_TIMESTAMP,
				  TimestampTzGetDatum(unix_ms_to_timestamp(record->timestamp_ms)));
	if (record->key != NULL)
		chunk_set(chunk, LETTER_KEY,
				  bytes_datum(record->key, record->key_len));
	if (record->payload != NULL)
		chunk_set(chunk, LETTER_PAYLOAD,
				  bytes_datum(record->payload, record->payload_len));
	if (record->nheaders > 0)
	{
		StringInfoData headers;

		initStringInfo(&headers);
		dpipe_headers_json(record, &headers);
		chunk_set(chunk, LETTER_HEADERS,
				  PointerGetDatum(cstring_to_text_with_len(headers.data,
														   headers.len)));
		chunk->bytes += headers.len;
	}
	chunk_set(chunk, LETTER_STAGE, CStringGetTextDatum(verdict->stage));
	chunk_set(chunk, LETTER_SQLSTATE,
			  CStringGetTextDatum(unpack_sql_state(verdict->sqlstate)));
	chunk_set(chunk, LETTER_MESSAGE, CStringGetTextDatum(verdict->message));
	chunk->bytes += record->key_len + record->payload_len;
	chunk->n++;
}

static Datum
chunk_array(const Chunk *chunk, LetterColumn column)
{
	int16		typlen;
	bool		typbyval;
	char		typalign;
	int			dims[1] = {chunk->n};
	int			lbs[1] = {1};

	get_typlenbyvalalign(letter_types[column], &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(chunk->values[column],
											  chunk->nulls[column], 1, dims,
											  lbs, letter_types[column],
											  typlen, typbyval, typalign));
}

static void
chunk_write(DpipeRun *run, Chunk *chunk)
{
	const DpipeSource *source = run->target->source;
	Datum		args[4 + LETTER_COLUMNS];
	DpipeSpi	spi;

	if (chunk->n == 0)
		return;
	args[0] = CStringGetTextDatum(source->name);
	args[1] = CStringGetTextDatum(source->owner_name);
	args[2] = ObjectIdGetDatum(source->owner);
	args[3] = Int64GetDatum(run->load_id);
	for (int i = 0; i < LETTER_COLUMNS; i++)
		args[4 + i] = chunk_array(chunk, i);

	dpipe_spi_begin(&spi);
	dpipe_spi_run(&insert_letters, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	chunk->n = 0;
	chunk->bytes = 0;
}

/*
 * Write the settled records that have a verdict; as the extension's owner,
 * whoever the current user is. Returns their number.
 */
int64
dpipe_dead_letters_write(DpipeRun *run, int settled)
{
	MemoryContext cxt = AllocSetContextCreate(run->batch_cxt,
											  "dpipe dead letters",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(cxt, "dpipe dead letter chunk",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Chunk		chunk = {0};
	int64		letters = 0;

	for (int i = 0; i < settled; i++)
		letters += run->verdicts[i] != NULL;
	if (letters == 0)
		return 0;

	old = MemoryContextSwitchTo(cxt);
	for (int i = 0; i < LETTER_COLUMNS; i++)
	{
		chunk.values[i] = palloc_array(Datum, MAX_CHUNK_LETTERS);
		chunk.nulls[i] = palloc_array(bool, MAX_CHUNK_LETTERS);
	}
	MemoryContextSwitchTo(scratch);
	for (int i = 0; i < settled; i++)
	{
		const DpipeRecord *record = &run->batch->records[i];

		if (run->verdicts[i] == NULL)
			continue;
		if (chunk.n == MAX_CHUNK_LETTERS ||
			(chunk.n > 0 &&
			 chunk.bytes + dpipe_record_bytes(record) > MAX_CHUNK_BYTES))
		{
			chunk_write(run, &chunk);
			MemoryContextReset(scratch);
		}
		chunk_add(&chunk, record, run->verdicts[i]);
	}
	chunk_write(run, &chunk);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return letters;
}
