/*
 * catalog.c
 *		Definitions, positions and the ledger.
 *
 * Every change of a position or the ledger is one SQL statement keyed by
 * (source, slot). Lock order: a definition's row in dpipe.source first, then
 * position rows or states. A worker locks its position row only, and a
 * definition only for the moment in which it leaves a state that lasts.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/json.h"
#include "base/spi.h"
#include "catalog/catalog.h"

#define DEFAULT_BATCH_ROWS 10000
#define DEFAULT_BATCH_BYTES (INT64CONST(16) * 1024 * 1024)
#define DEFAULT_LINGER_MS 100
#define DEFAULT_MAX_RECORD_BYTES (INT64CONST(64) * 1024 * 1024)

/* ---------- arrays ---------- */

static int64 *
int8_array_values(Datum d, int *n)
{
	Datum	   *elems;
	int64	   *out;

	deconstruct_array(DatumGetArrayTypeP(d), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elems, NULL, n);
	out = palloc(sizeof(int64) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		out[i] = DatumGetInt64(elems[i]);
	return out;
}

static int32 *
int4_array_values(Datum d, int *n)
{
	Datum	   *elems;
	int32	   *out;

	deconstruct_array(DatumGetArrayTypeP(d), INT4OID, 4, true, TYPALIGN_INT,
					  &elems, NULL, n);
	out = palloc(sizeof(int32) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		out[i] = DatumGetInt32(elems[i]);
	return out;
}

static char **
text_array_values(Datum d, int *n)
{
	Datum	   *elems;
	char	  **out;

	deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, n);
	out = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		out[i] = TextDatumGetCString(elems[i]);
	return out;
}

static Datum
int8_array_datum(const int64 *values, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8,
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
int4_array_datum(const int32 *values, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT4OID, 4, true,
										   TYPALIGN_INT));
}

static Datum
text_array_datum(char *const *values, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = CStringGetTextDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* ---------- definitions ---------- */

static DpipeStatement source_select = {
	"SELECT s.name, s.kind, s.owner, s.owner_oid, s.server, s.topics,"
	"       s.target_schema, s.target_table, s.format, s.envelope, s.start,"
	"       s.options, s.workers, s.enabled, s.version, s.epoch,"
	"       i.id IS NULL OR r.oid IS NULL"
	"  FROM dpipe.source s"
	"  LEFT JOIN dpipe.incarnation i ON i.id = s.incarnation"
	"   AND i.database_oid = (SELECT d.oid FROM pg_catalog.pg_database d"
	"         WHERE d.datname = pg_catalog.current_database())"
	"  LEFT JOIN pg_catalog.pg_roles r"
	"    ON r.oid = s.owner_oid AND r.rolname = s.owner"
	" WHERE s.name = $1", 1, {TEXTOID}
};

static Jsonb *
copy_jsonb(uint64 row, int col)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(d);
}

static DpipeOnGap
parse_on_gap(const char *s)
{
	if (strcmp(s, "earliest") == 0)
		return DPIPE_GAP_EARLIEST;
	if (strcmp(s, "latest") == 0)
		return DPIPE_GAP_LATEST;
	return DPIPE_GAP_STOP;
}

static DpipeKeyFormat
parse_key_format(const char *s)
{
	if (strcmp(s, "bytea") == 0)
		return DPIPE_KEY_BYTEA;
	if (strcmp(s, "json") == 0)
		return DPIPE_KEY_JSON;
	return DPIPE_KEY_TEXT;
}

/* Defaults for what the options leave open. They were checked when given. */
static void
fill_options(DpipeSource *s)
{
	const Jsonb *o = s->options;

	s->batch_rows = dpipe_json_int(o, "option", "batch_rows", DEFAULT_BATCH_ROWS);
	s->batch_bytes = dpipe_json_int(o, "option", "batch_bytes", DEFAULT_BATCH_BYTES);
	s->linger_ms = dpipe_json_int(o, "option", "linger_ms", DEFAULT_LINGER_MS);
	s->max_record_bytes = dpipe_json_int(o, "option", "max_record_bytes",
										 DEFAULT_MAX_RECORD_BYTES);
	s->on_gap = parse_on_gap(dpipe_json_string(o, "option", "on_gap", "stop"));
	s->unknown_field_is_dead_letter =
		strcmp(dpipe_json_string(o, "option", "on_unknown_field", "ignore"),
			   "dead_letter") == 0;
	s->key_format = parse_key_format(dpipe_json_string(o, "option",
													   "key_format", "text"));
	s->librdkafka = dpipe_json_document(o, "librdkafka");
	s->stop_at = dpipe_json_document(o, "stop_at");
}

static DpipeSource *
read_source(MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	DpipeSource *s = palloc0(sizeof(DpipeSource));
	bool		isnull;

	s->name = dpipe_spi_text(0, 1, cxt);
	s->kind = dpipe_spi_text(0, 2, cxt);
	s->owner_name = dpipe_spi_text(0, 3, cxt);
	s->owner = DatumGetObjectId(dpipe_spi_datum(0, 4, &isnull));
	s->server = dpipe_spi_text(0, 5, cxt);
	s->topics = text_array_values(dpipe_spi_datum(0, 6, &isnull), &s->ntopics);
	s->target_schema = dpipe_spi_text(0, 7, cxt);
	s->target_table = dpipe_spi_text(0, 8, cxt);
	s->format = dpipe_spi_text(0, 9, cxt);
	s->envelope = dpipe_spi_text(0, 10, cxt);
	s->start = copy_jsonb(0, 11);
	s->options = copy_jsonb(0, 12);
	s->workers = dpipe_spi_int32(0, 13);
	s->enabled = dpipe_spi_bool(0, 14);
	s->version = dpipe_spi_int64(0, 15);
	s->epoch = dpipe_spi_int64(0, 16);
	s->restored = dpipe_spi_bool(0, 17);
	fill_options(s);
	MemoryContextSwitchTo(old);
	return s;
}

DpipeSource *
dpipe_source_get(const char *name, bool missing_ok)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	DpipeSource *source = NULL;
	Datum		args[1] = {CStringGetTextDatum(name)};

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&source_select, args, NULL, true, 1) == 1)
		source = read_source(cxt);
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);

	if (source == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist", name),
				 errhint("dpipe.source_status lists your sources.")));
	return source;
}

void
dpipe_source_check_owner(const DpipeSource *source)
{
	/* A role dropped and made again under the old name is another role. */
	char	   *name = GetUserNameFromId(source->owner, true);

	if (superuser())
		return;
	if (name == NULL || strcmp(name, source->owner_name) != 0 ||
		!dpipe_may_act_as(source->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of source \"%s\"", source->name)));
}

void
dpipe_source_check_adopted(const DpipeSource *source)
{
	if (GetUserNameFromId(source->owner, true) == NULL &&
		!OidIsValid(get_role_oid(source->owner_name, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of source \"%s\", role \"%s\", no longer exists",
						source->name, source->owner_name)));
	if (source->restored)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" was restored from another database",
						source->name),
				 errhint("Run dpipe_adopt() to let this copy consume.")));
}

/* ---------- models and projects ---------- */

static DpipeStatement lock_definitions = {
	"SELECT 1 FROM dpipe.incarnation FOR NO KEY UPDATE", 0, {0}
};

/*
 * In a copy that was not adopted the owner is whoever has the name; here a
 * role that was dropped and made again under it is another one.
 */
#define SELECT_OWNER(table) \
	{"SELECT d.owner, r.oid FROM dpipe." table " d" \
	"  LEFT JOIN dpipe.incarnation i ON i.id = d.incarnation" \
	"   AND i.database_oid = (SELECT b.oid FROM pg_catalog.pg_database b" \
	"         WHERE b.datname = pg_catalog.current_database())" \
	"  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = d.owner" \
	"   AND (r.oid = d.owner_oid OR i.id IS NULL)" \
	" WHERE d.name = $1", 1, {TEXTOID}}

static struct
{
	const char *noun;
	DpipeStatement select_owner;
}			definitions[] = {
	[DPIPE_MODEL] = {"model", SELECT_OWNER("model")},
	[DPIPE_PROJECT] = {"project", SELECT_OWNER("project")},
};

Oid
dpipe_definition_lock(DpipeNoun kind, const char *name)
{
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(name)};
	bool		found;
	bool		isnull = true;
	Datum		oid = (Datum) 0;

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&lock_definitions, NULL, NULL, false, 0);
	found = dpipe_spi_run(&definitions[kind].select_owner, args, NULL, false, 1) > 0;
	if (found)
		oid = dpipe_spi_datum(0, 2, &isnull);
	dpipe_spi_end(&spi);

	if (!found)
		return InvalidOid;

	/* When its owner is gone, an administrator may take it over. */
	if (isnull && superuser())
		return GetUserId();
	if (isnull || !dpipe_may_act_as(DatumGetObjectId(oid)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s %s", definitions[kind].noun, name)));
	return DatumGetObjectId(oid);
}

/* ---------- positions ---------- */

static DpipeStatement position_select = {
	"SELECT p.epoch, p.topic, p.partition, p.next_offset, p.end_offset,"
	"       p.stop_offset, p.last_timestamp, p.print_offset,"
	"       p.print_timestamp, p.print_crc, p.rows, p.bytes, p.dead_letters,"
	"       p.started"
	"  FROM dpipe.position p WHERE p.source = $1 AND p.slot = $2",
	2, {TEXTOID, INT4OID}
};

static void
check_array_length(int n, int expected, const char *source, int slot)
{
	if (n != expected)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("position of source \"%s\" slot %d is damaged: its arrays differ in length",
						source, slot)));
}

static int64 *
position_array(int col, int expected, const char *source, int slot)
{
	bool		isnull;
	int			n;
	int64	   *values = int8_array_values(dpipe_spi_datum(0, col, &isnull), &n);

	check_array_length(n, expected, source, slot);
	return values;
}

static DpipePosition *
read_position(const char *source, int slot)
{
	DpipePosition *p = palloc0(sizeof(DpipePosition));
	bool		isnull;
	int			n;

	p->epoch = dpipe_spi_int64(0, 1);
	p->topic = text_array_values(dpipe_spi_datum(0, 2, &isnull), &n);
	p->npartitions = n;
	p->partition = int4_array_values(dpipe_spi_datum(0, 3, &isnull), &n);
	check_array_length(n, p->npartitions, source, slot);
	p->next_offset = position_array(4, n, source, slot);
	p->end_offset = position_array(5, n, source, slot);
	p->stop_offset = position_array(6, n, source, slot);
	p->last_timestamp = position_array(7, n, source, slot);
	p->print_offset = position_array(8, n, source, slot);
	p->print_timestamp = position_array(9, n, source, slot);
	p->print_crc = position_array(10, n, source, slot);
	p->rows = dpipe_spi_int64(0, 11);
	p->bytes = dpipe_spi_int64(0, 12);
	p->dead_letters = dpipe_spi_int64(0, 13);
	p->started = text_array_values(dpipe_spi_datum(0, 14, &isnull), &p->nstarted);
	return p;
}

DpipePosition *
dpipe_position_get(const char *source, int slot)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	DpipePosition *position = NULL;
	Datum		args[2] = {CStringGetTextDatum(source), Int32GetDatum(slot)};

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&position_select, args, NULL, true, 1) == 1)
	{
		MemoryContextSwitchTo(cxt);
		position = read_position(source, slot);
	}
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);
	return position;
}

int
dpipe_position_find(const DpipePosition *p, const char *topic,
					int32 partition, int guess)
{
	/* The order seldom changes between two positions of a slot. */
	if (guess < p->npartitions && p->partition[guess] == partition &&
		strcmp(p->topic[guess], topic) == 0)
		return guess;
	for (int i = 0; i < p->npartitions; i++)
		if (p->partition[i] == partition && strcmp(p->topic[i], topic) == 0)
			return i;
	return -1;
}

static int64 *
copy_int8(const int64 *values, int n, int room)
{
	int64	   *copy = palloc(sizeof(int64) * Max(room, 1));

	memcpy(copy, values, sizeof(int64) * n);
	return copy;
}

static char **
copy_strings(char *const *values, int n, int room)
{
	char	  **copy = palloc(sizeof(char *) * Max(room, 1));

	for (int i = 0; i < n; i++)
		copy[i] = pstrdup(values[i]);
	return copy;
}

DpipePosition *
dpipe_position_copy(const DpipePosition *p, int extra)
{
	DpipePosition *copy = palloc(sizeof(DpipePosition));
	int			n = p->npartitions;
	int			room = n + extra;

	*copy = *p;
	copy->started = copy_strings(p->started, p->nstarted, p->nstarted + extra);
	copy->topic = copy_strings(p->topic, n, room);
	copy->partition = palloc(sizeof(int32) * Max(room, 1));
	memcpy(copy->partition, p->partition, sizeof(int32) * n);
	copy->next_offset = copy_int8(p->next_offset, n, room);
	copy->end_offset = copy_int8(p->end_offset, n, room);
	copy->stop_offset = copy_int8(p->stop_offset, n, room);
	copy->last_timestamp = copy_int8(p->last_timestamp, n, room);
	copy->print_offset = copy_int8(p->print_offset, n, room);
	copy->print_timestamp = copy_int8(p->print_timestamp, n, room);
	copy->print_crc = copy_int8(p->print_crc, n, room);
	return copy;
}

/*
 * READ COMMITTED: when another transaction moves the row, this waits for it,
 * evaluates the condition again and finds nothing. Under a stricter isolation
 * level it fails with 40001, which is as safe.
 */
static DpipeStatement position_compare = {
	"SELECT 1 FROM dpipe.position p"
	" WHERE p.source = $1 AND p.slot = $2 AND p.epoch = $3"
	"   AND p.next_offset = $4 AND p.partition = $5 AND p.topic = $6"
	"   AND EXISTS (SELECT 1 FROM dpipe.source s WHERE s.name = $1"
	"         AND s.version = $7 AND (s.enabled OR $8))"
	"   FOR NO KEY UPDATE OF p",
	8, {TEXTOID, INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID,
	TEXTARRAYOID, INT8OID, BOOLOID}
};

bool
dpipe_position_compare(const DpipeSource *source, int slot,
					   const DpipePosition *expected, bool foreground)
{
	DpipeSpi	spi;
	int			n = expected->npartitions;
	uint64		found;
	Datum		args[8] = {
		CStringGetTextDatum(source->name),
		Int32GetDatum(slot),
		Int64GetDatum(expected->epoch),
		int8_array_datum(expected->next_offset, n),
		int4_array_datum(expected->partition, n),
		text_array_datum(expected->topic, n),
		Int64GetDatum(source->version),
		BoolGetDatum(foreground),
	};

	dpipe_spi_begin(&spi);
	found = dpipe_spi_run(&position_compare, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	return found == 1;
}

static DpipeStatement position_set = {
	"UPDATE dpipe.position p"
	"   SET topic = $3, partition = $4, next_offset = $5, end_offset = $6,"
	"       stop_offset = $7, last_timestamp = $8, print_offset = $9,"
	"       print_timestamp = $10, print_crc = $11, rows = p.rows + $12,"
	"       dead_letters = p.dead_letters + $13, bytes = p.bytes + $14,"
	"       last_load_id = COALESCE($15, p.last_load_id),"
	"       last_load_at = CASE WHEN $15 IS NULL THEN p.last_load_at"
	"                      ELSE pg_catalog.clock_timestamp() END,"
	"       started = $16"
	" WHERE p.source = $1 AND p.slot = $2 AND p.epoch = $17",
	17, {TEXTOID, INT4OID, TEXTARRAYOID, INT4ARRAYOID, INT8ARRAYOID,
		INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
	INT8ARRAYOID, INT8ARRAYOID, INT8OID, INT8OID, INT8OID, INT8OID,
	TEXTARRAYOID, INT8OID}
};

/*
 * Nobody else can have changed the row since it was compared; a trigger of the
 * target can, by dpipe_seek() for instance, and neither may be lost.
 */
void
dpipe_position_set(const DpipeSource *source, int slot,
				   const DpipePosition *next, const DpipeLoad *load)
{
	DpipeSpi	spi;
	int			n = next->npartitions;
	bool		nulls[17] = {false};
	Datum		args[17] = {
		CStringGetTextDatum(source->name),
		Int32GetDatum(slot),
		text_array_datum(next->topic, n),
		int4_array_datum(next->partition, n),
		int8_array_datum(next->next_offset, n),
		int8_array_datum(next->end_offset, n),
		int8_array_datum(next->stop_offset, n),
		int8_array_datum(next->last_timestamp, n),
		int8_array_datum(next->print_offset, n),
		int8_array_datum(next->print_timestamp, n),
		int8_array_datum(next->print_crc, n),
		Int64GetDatum(load ? load->rows : 0),
		Int64GetDatum(load ? load->dead_letters : 0),
		Int64GetDatum(load ? load->bytes : 0),
		Int64GetDatum(load ? load->load_id : 0),
		text_array_datum(next->started, next->nstarted),
		Int64GetDatum(next->epoch),
	};

	nulls[14] = (load == NULL);
	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&position_set, args, nulls, false, 0) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("position of source \"%s\" slot %d was changed by the batch that is to move it",
						source->name, slot),
				 errhint("A trigger of its target must not move, redefine or drop the source.")));
	dpipe_spi_end(&spi);
}

static DpipeStatement ends_update = {
	"UPDATE dpipe.position p SET end_offset = $4"
	" WHERE p.source = $1 AND p.slot = $2 AND p.epoch = $3"
	"   AND p.partition = $5 AND p.end_offset <> $4",
	5, {TEXTOID, INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID}
};

void
dpipe_position_note_ends(const DpipeSource *source, int slot,
						 const DpipePosition *position)
{
	DpipeSpi	spi;
	Datum		args[5] = {
		CStringGetTextDatum(source->name),
		Int32GetDatum(slot),
		Int64GetDatum(position->epoch),
		int8_array_datum(position->end_offset, position->npartitions),
		int4_array_datum(position->partition, position->npartitions),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&ends_update, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}

/* ---------- loads ---------- */

static DpipeStatement draw_id = {
	"SELECT pg_catalog.nextval('dpipe.load_id'::pg_catalog.regclass)", 0, {0}
};

int64
dpipe_load_draw_id(void)
{
	DpipeSpi	spi;
	int64		id;

	/* The order is the point; see catalog.h. */
	(void) GetTopTransactionId();

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&draw_id, NULL, NULL, false, 1);
	id = dpipe_spi_int64(0, 1);
	dpipe_spi_end(&spi);
	return id;
}

/* {"topic": {"0": [from, to], …}, …} of the partitions that moved. */
static char *
moved_positions(const DpipePosition *from, const DpipePosition *to)
{
	StringInfoData buf;
	const char *open_topic = NULL;
	bool	   *done = palloc0(sizeof(bool) * Max(to->npartitions, 1));

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int t = 0; t < to->npartitions; t++)
	{
		if (done[t])
			continue;
		open_topic = NULL;
		for (int i = t; i < to->npartitions; i++)
		{
			int			j;

			if (done[i] || strcmp(to->topic[i], to->topic[t]) != 0)
				continue;
			done[i] = true;
			j = dpipe_position_find(from, to->topic[i], to->partition[i], i);
			if (j < 0 || from->next_offset[j] == to->next_offset[i])
				continue;
			if (open_topic == NULL)
			{
				open_topic = to->topic[t];
				if (buf.len > 1)
					appendStringInfoString(&buf, ", ");
				escape_json(&buf, open_topic);
				appendStringInfoString(&buf, ": {");
			}
			else
				appendStringInfoString(&buf, ", ");
			appendStringInfo(&buf, "\"%d\": [" INT64_FORMAT ", " INT64_FORMAT "]",
							 to->partition[i], from->next_offset[j],
							 to->next_offset[i]);
		}
		if (open_topic != NULL)
			appendStringInfoChar(&buf, '}');
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static DpipeStatement ledger_insert = {
	"INSERT INTO dpipe.ledger (load_id, source, slot, owner, owner_oid,"
	"       target, rows, dead_letters, bytes, positions, started_at,"
	"       finished_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::pg_catalog.jsonb, $11,"
	"         pg_catalog.clock_timestamp())",
	11, {INT8OID, TEXTOID, INT4OID, TEXTOID, OIDOID, TEXTOID, INT8OID, INT8OID,
	INT8OID, TEXTOID, TIMESTAMPTZOID}
};

void
dpipe_load_record(const DpipeSource *source, int slot, const DpipeLoad *load,
				  const DpipePosition *from, const DpipePosition *to)
{
	DpipeSpi	spi;
	char	   *target = dpipe_relation_key(source->target_schema,
													source->target_table);
	Datum		args[11] = {
		Int64GetDatum(load->load_id),
		CStringGetTextDatum(source->name),
		Int32GetDatum(slot),
		CStringGetTextDatum(source->owner_name),
		ObjectIdGetDatum(source->owner),
		CStringGetTextDatum(target),
		Int64GetDatum(load->rows),
		Int64GetDatum(load->dead_letters),
		Int64GetDatum(load->bytes),
		CStringGetTextDatum(moved_positions(from, to)),
		TimestampTzGetDatum(load->started_at),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&ledger_insert, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}

static DpipeStatement gap_insert = {
	"INSERT INTO dpipe.gap_log (source, owner, owner_oid, topic, partition,"
	"       from_offset, to_offset, action)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8"
	"  WHERE $8 <> 'stop' OR NOT EXISTS (SELECT 1 FROM dpipe.gap_log g"
	"        WHERE g.source = $1 AND g.topic = $4 AND g.partition = $5"
	"          AND g.from_offset = $6 AND g.to_offset = $7"
	"          AND g.action = $8)",
	8, {TEXTOID, TEXTOID, OIDOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID}
};

void
dpipe_gap_record(const DpipeSource *source, const char *topic,
				 int32 partition, int64 from_offset, int64 to_offset,
				 const char *action)
{
	DpipeSpi	spi;
	Datum		args[8] = {
		CStringGetTextDatum(source->name),
		CStringGetTextDatum(source->owner_name),
		ObjectIdGetDatum(source->owner),
		CStringGetTextDatum(topic),
		Int32GetDatum(partition),
		Int64GetDatum(from_offset),
		Int64GetDatum(to_offset),
		CStringGetTextDatum(action),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&gap_insert, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}

/* ---------- lasting states ---------- */

static DpipeStatement state_upsert = {
	"INSERT INTO dpipe.slot_state AS t (source, slot, state, reason,"
	"       last_error, shown_error, last_error_at)"
	" SELECT $1, $2, $3, $4, $5, $6, CASE WHEN $5 IS NOT NULL"
	"        THEN pg_catalog.clock_timestamp() END"
	"  WHERE EXISTS (SELECT 1 FROM dpipe.source s WHERE s.name = $1"
	"                AND s.owner_oid = $7)"
	" ON CONFLICT (source, slot) DO UPDATE"
	"    SET state = EXCLUDED.state, reason = EXCLUDED.reason,"
	"        last_error = COALESCE(EXCLUDED.last_error, t.last_error),"
	"        shown_error = CASE WHEN EXCLUDED.last_error IS NULL"
	"                      THEN t.shown_error ELSE EXCLUDED.shown_error END,"
	"        last_error_at = COALESCE(EXCLUDED.last_error_at, t.last_error_at),"
	"        changed_at = pg_catalog.now()",
	7, {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, OIDOID}
};

void
dpipe_slot_state_set(const char *source, int slot, Oid owner,
					 const char *state, const char *reason,
					 const char *last_error, const char *shown)
{
	DpipeSpi	spi;
	bool		nulls[7] = {false, false, false, false, last_error == NULL,
	shown == NULL, false};
	Datum		args[7] = {
		CStringGetTextDatum(source),
		Int32GetDatum(slot),
		CStringGetTextDatum(state),
		CStringGetTextDatum(reason),
		last_error ? CStringGetTextDatum(last_error) : (Datum) 0,
		shown ? CStringGetTextDatum(shown) : (Datum) 0,
		ObjectIdGetDatum(owner),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&state_upsert, args, nulls, false, 0);
	dpipe_spi_end(&spi);
}

static DpipeStatement definition_hold = {
	"SELECT 1 FROM dpipe.source s WHERE s.name = $1 AND s.version = $2"
	"   FOR SHARE OF s", 2, {TEXTOID, INT8OID}
};

bool
dpipe_slot_state_settle(const DpipeSource *source, int slot,
						const char *state, const char *reason,
						const char *last_error)
{
	DpipeSpi	spi;
	Datum		args[2] = {
		CStringGetTextDatum(source->name),
		Int64GetDatum(source->version),
	};
	bool		held;

	dpipe_spi_begin(&spi);
	held = dpipe_spi_run(&definition_hold, args, NULL, false, 0) == 1;
	dpipe_spi_end(&spi);
	if (held)
		dpipe_slot_state_set(source->name, slot, source->owner, state, reason,
							 last_error, NULL);
	return held;
}

static DpipeStatement state_clear = {
	"UPDATE dpipe.slot_state t SET state = '', reason = '',"
	"       changed_at = pg_catalog.now()"
	" WHERE t.source = $1 AND t.slot = $2 AND t.state <> ''",
	2, {TEXTOID, INT4OID}
};

void
dpipe_slot_state_clear(const char *source, int slot)
{
	DpipeSpi	spi;
	Datum		args[2] = {CStringGetTextDatum(source), Int32GetDatum(slot)};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&state_clear, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}
