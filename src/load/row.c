/*
 * row.c
 *		A record as a row: what the payload says, provenance, defaults.
 *
 * A record that cannot become a row gets a verdict and is left out. That is
 * decided by the record's bytes alone, so a verdict stays right when the
 * attempt in which it was found is rolled back.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "executor/executor.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "load/target.h"

/* ---------- provenance ---------- */

static DpipeValue
string_value(const char *s, int len)
{
	DpipeValue	value = {DPIPE_JSON_STRING, 0, s, len, s, len};

	return value;
}

/* A string that may also land in a json column, where it needs its quotes. */
static DpipeValue
quoted_value(const char *s, int len)
{
	DpipeValue	value = string_value(s, len);
	StringInfoData span;

	initStringInfo(&span);
	dpipe_append_json_string(&span, s, len);
	value.span = span.data;
	value.span_len = span.len;
	return value;
}

static DpipeValue
number_value(int64 n)
{
	char	   *text = palloc(MAXINT8LEN + 1);
	int			len = pg_lltoa(n, text);
	DpipeValue	value = {DPIPE_JSON_NUMBER, 0, text, len, text, len};

	return value;
}

/* Where the time of a moment goes as a number: milliseconds since 1970. */
static bool
is_number_type(Oid base_type)
{
	return base_type == INT8OID || base_type == INT4OID ||
		base_type == INT2OID || base_type == NUMERICOID ||
		base_type == FLOAT8OID || base_type == FLOAT4OID;
}

static inline int64
timestamp_to_unix_ms(TimestampTz t)
{
	return t / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

static bool
put_moment(DpipeRun *run, DpipeColumn *col, TimestampTz t, StringInfo out)
{
	DpipeValue	value;
	char	   *text;

	if (col->base_type == TIMESTAMPTZOID)
	{
		dpipe_put_int64(out, t);
		return true;
	}
	if (is_number_type(col->base_type))
		value = number_value(timestamp_to_unix_ms(t));
	else
	{
		text = DatumGetCString(DirectFunctionCall1(timestamptz_out,
												   TimestampTzGetDatum(t)));
		value = quoted_value(text, strlen(text));
	}
	return col->encode(run, col, &value, out);
}

static bool
put_timestamp_ms(DpipeRun *run, DpipeColumn *col, int64 ms, StringInfo out)
{
	const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
		SECS_PER_DAY * 1000;

	if (ms < 0)
	{
		pq_sendint32(out, -1);
		return true;
	}
	if (ms - epoch >= END_TIMESTAMP / 1000)
		return dpipe_refuse(run, "convert", ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
							"the record's timestamp is out of range: " INT64_FORMAT,
							ms);
	return put_moment(run, col, (ms - epoch) * 1000, out);
}

/* A header's name or value: a string where it can be one. */
static void
append_header_part(StringInfo out, const char *s, int len)
{
	int			room;
	int			n;

	if (dpipe_utf8_valid(s, len))
	{
		dpipe_append_json_string(out, s, len);
		return;
	}
	appendStringInfoString(out, "{\"base64\": \"");
	room = pg_b64_enc_len(len);
	enlargeStringInfo(out, room);
	n = dpipe_b64_encode(s, len, out->data + out->len, room);
	Assert(n >= 0);
	out->len += n;
	out->data[out->len] = '\0';
	appendStringInfoString(out, "\"}");
}

/* An array of [name, value] pairs in order. */
void
dpipe_headers_json(const DpipeRecord *record, StringInfo out)
{
	appendStringInfoChar(out, '[');
	for (int i = 0; i < record->nheaders; i++)
	{
		const DpipeHeader *header = &record->headers[i];

		appendStringInfoString(out, i == 0 ? "[" : ", [");
		append_header_part(out, header->name, strlen(header->name));
		appendStringInfoString(out, ", ");
		if (header->value == NULL)
			appendStringInfoString(out, "null");
		else
			append_header_part(out, header->value, header->value_len);
		appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, ']');
}

static bool
put_headers(DpipeRun *run, DpipeColumn *col, const DpipeRecord *record,
			StringInfo out)
{
	StringInfoData json;
	DpipeValue	value = {DPIPE_JSON_ARRAY};

	/* Most records have none; NULL takes no room. */
	if (record->nheaders == 0)
	{
		pq_sendint32(out, -1);
		return true;
	}
	initStringInfo(&json);
	dpipe_headers_json(record, &json);
	value.text = value.span = json.data;
	value.text_len = value.span_len = json.len;
	return col->encode(run, col, &value, out);
}

static bool
put_key(DpipeRun *run, DpipeColumn *col, const DpipeRecord *record,
		StringInfo out)
{
	DpipeValue	value;

	if (record->key == NULL)
	{
		pq_sendint32(out, -1);
		return true;
	}
	if (col->base_type == BYTEAOID)
	{
		dpipe_put_bytes(out, record->key, record->key_len);
		return true;
	}
	if (!dpipe_utf8_valid(record->key, record->key_len))
		return dpipe_refuse(run, "decode",
							ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
							"the key is not valid UTF-8");
	value = string_value(record->key, record->key_len);
	if (col->base_type == JSONOID || col->base_type == JSONBOID)
	{
		DpipeJsonDocument doc;

		if (!dpipe_json_scan(record->key, record->key_len, NULL, NULL, &doc))
			return dpipe_refuse(run, "decode",
								ERRCODE_INVALID_TEXT_REPRESENTATION,
								"the key is not JSON: %s at byte %d",
								dpipe_json_error_text(doc.error),
								doc.error_at);
		value.type = doc.root.type;
		value.flags = doc.root.flags;
	}
	return col->encode(run, col, &value, out);
}

/* ---------- payload ---------- */

/* A field of the record's object; see DpipeJsonFieldCallback. */
static void
found_field(void *arg, const char *key, int key_len, int key_flags,
			const DpipeJsonValue *value)
{
	DpipeRun   *run = arg;
	DpipePlan  *plan = run->plan;
	int			n = run->field_count++;
	int			col = -1;

	if (key_flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		 /* no column has such a name */ ;
	else if (key_flags & DPIPE_JSON_HAS_ESCAPE)
	{
		char	   *name = palloc(key_len);
		int			len = dpipe_json_unescape(key, key_len, name);

		col = dpipe_plan_find_field(plan, name, len);
		pfree(name);
	}
	else
	{
		/* Records of one producer have their fields in the same order. */
		if (n < plan->ncolumns)
			col = run->field_order[n];
		if (col < 0 || key_len >= NAMEDATALEN ||
			memcmp(NameStr(plan->columns[col].name), key, key_len) != 0 ||
			NameStr(plan->columns[col].name)[key_len] != '\0')
			col = dpipe_plan_find_field(plan, key, key_len);
		if (n < plan->ncolumns)
			run->field_order[n] = col;
	}

	if (col >= 0)
	{
		/* of duplicates the last one counts, as in jsonb */
		run->found[col].present = true;
		run->found[col].value = *value;
	}
	else if (run->unknown_name == NULL)
	{
		run->unknown_name = key;
		run->unknown_name_len = key_len;
	}
}

static bool
refuse_unknown_field(DpipeRun *run)
{
	int			len = Min(run->unknown_name_len, NAMEDATALEN * 2);

	len = pg_mbcliplen(run->unknown_name, run->unknown_name_len, len);
	return dpipe_refuse(run, "convert", ERRCODE_UNDEFINED_COLUMN,
						"no column takes the field \"%.*s\"", len,
						run->unknown_name);
}

/*
 * Are payloads scanned here? They must be where a field column wants its value
 * or nobody behind us would notice that a payload is no JSON. Otherwise it is
 * left to the column's receive function, for speed, until something has gone
 * wrong.
 */
bool
dpipe_row_scans_payload(const DpipeRun *run)
{
	const DpipeColumn *payload = run->plan->payload;

	if (run->target->raw)
		return true;			/* there is nothing to be found */
	return run->look_inside || run->plan->nfields > 0 || payload == NULL ||
		(payload->base_type != JSONBOID && payload->base_type != JSONOID);
}

/* See that the payload is JSON, and note its fields. */
static bool
read_payload(DpipeRun *run, const DpipeRecord *record,
			 DpipeJsonDocument *doc)
{
	DpipePlan  *plan = run->plan;
	bool		has_fields = plan->nfields > 0;

	if (record->payload_len == 0)
		return dpipe_refuse(run, "decode", ERRCODE_INVALID_TEXT_REPRESENTATION,
							"the payload is not JSON: it is empty");
	if (!dpipe_row_scans_payload(run))
	{
		doc->root.type = DPIPE_JSON_OBJECT;
		doc->root.flags = 0;
		return true;
	}

	if (pg_encoding_verifymbstr(PG_UTF8, record->payload, record->payload_len)
		!= record->payload_len &&
		memchr(record->payload, '\0', record->payload_len) == NULL)
		return dpipe_refuse(run, "decode",
							ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
							"the payload is not valid UTF-8");
	run->field_count = 0;
	run->unknown_name = NULL;
	if (!dpipe_json_scan(record->payload, record->payload_len,
						 has_fields ? found_field : NULL, run, doc))
		return dpipe_refuse(run, "decode",
							doc->error == DPIPE_JSON_TOO_DEEP ?
							ERRCODE_STATEMENT_TOO_COMPLEX :
							ERRCODE_INVALID_TEXT_REPRESENTATION,
							"the payload is not JSON: %s at byte %d",
							dpipe_json_error_text(doc->error), doc->error_at);
	if (has_fields && doc->root.type != DPIPE_JSON_OBJECT &&
		plan->payload == NULL)
		return dpipe_refuse(run, "decode", ERRCODE_INVALID_JSON_TEXT,
							"the payload is not a JSON object");
	if (run->unknown_name != NULL &&
		run->target->source->unknown_field_is_dead_letter)
		return refuse_unknown_field(run);
	return true;
}

static bool
put_payload(DpipeRun *run, DpipeColumn *col, const DpipeRecord *record,
			const DpipeJsonDocument *doc, StringInfo out)
{
	DpipeValue	value = string_value(record->payload, record->payload_len);

	if (record->payload == NULL)
	{
		pq_sendint32(out, -1);
		return true;
	}
	if (col->base_type == BYTEAOID)
	{
		dpipe_put_bytes(out, record->payload, record->payload_len);
		return true;
	}
	if (run->target->raw)
	{
		if (!dpipe_utf8_valid(record->payload, record->payload_len))
			return dpipe_refuse(run, "decode",
								ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
								"the payload is not valid UTF-8");
	}
	else if (col->base_type == JSONOID || col->base_type == JSONBOID)
	{
		value.type = doc->root.type;
		value.flags = doc->root.flags;
	}
	return col->encode(run, col, &value, out);
}

/* ---------- fields ---------- */

static bool
put_field(DpipeRun *run, DpipeColumn *col, const DpipeJsonValue *found,
		  StringInfo out)
{
	DpipeValue	value = {found->type, found->flags, found->span,
	found->span_len, found->span, found->span_len};

	if (found->type == DPIPE_JSON_NULL)
	{
		pq_sendint32(out, -1);
		return true;
	}
	if (found->type == DPIPE_JSON_STRING)
	{
		value.text = found->span + 1;
		value.text_len = found->span_len - 2;
		if ((found->flags & DPIPE_JSON_HAS_ESCAPE) &&
			!(found->flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE)))
		{
			char	   *text = palloc(value.text_len);

			value.text_len = dpipe_json_unescape(value.text, value.text_len,
												 text);
			value.text = text;
		}
	}
	return col->encode(run, col, &value, out);
}

static void
put_default(DpipeRun *run, int i, StringInfo out)
{
	DpipeColumn *col = &run->plan->columns[i];

	switch (col->default_kind)
	{
		case DPIPE_DEFAULT_NULL:
			pq_sendint32(out, -1);
			break;
		case DPIPE_DEFAULT_CONST:
			appendBinaryStringInfo(out, col->default_wire,
								   col->default_wire_len);
			break;
		case DPIPE_DEFAULT_EXPRESSION:
			{
				ExprContext *econtext = GetPerTupleExprContext(run->estate);
				bool		isnull;
				Datum		d;

				ResetExprContext(econtext);
				d = ExecEvalExprSwitchContext(run->defaults[i], econtext,
											  &isnull);
				if (isnull)
					pq_sendint32(out, -1);
				else if (col->as_text)
				{
					char	   *text = OutputFunctionCall(&col->text_output, d);

					dpipe_put_bytes(out, text, strlen(text));
				}
				else
				{
					bytea	   *wire = SendFunctionCall(&col->send, d);

					dpipe_put_bytes(out, VARDATA_ANY(wire), VARSIZE_ANY_EXHDR(wire));
				}
				break;
			}
	}
}

/* ---------- the row ---------- */

/*
 * Values that are the same for all or for many rows of a batch are encoded
 * once and copied.
 */
static bool
put_cached(DpipeRun *run, int i, const DpipeRecord *record, StringInfo out)
{
	DpipeColumn *col = &run->plan->columns[i];
	DpipeCached *cached = &run->cached[i];
	DpipeValue	value;
	int			start = out->len;
	bool		ok;

	if (cached->wire != NULL && cached->topic == record->topic &&
		cached->partition == record->partition)
	{
		appendBinaryStringInfo(out, cached->wire, cached->len);
		return true;
	}

	if (col->role == DPIPE_ROLE_EXTRACTED_AT)
		ok = put_moment(run, col, run->batch->fetched_at, out);
	else if (col->role == DPIPE_ROLE_TOPIC && record->topic == NULL)
	{
		pq_sendint32(out, -1);
		ok = true;
	}
	else
	{
		const char *name = run->target->source->name;

		if (col->role == DPIPE_ROLE_SOURCE)
			value = quoted_value(name, strlen(name));
		else if (col->role == DPIPE_ROLE_TOPIC)
			value = quoted_value(record->topic, strlen(record->topic));
		else if (col->role == DPIPE_ROLE_PARTITION)
			value = number_value(record->partition);
		else
			value = number_value(run->load_id);
		ok = col->encode(run, col, &value, out);
	}
	if (!ok)
		return false;

	if (out->len - start > cached->room)
	{
		cached->room = out->len - start + 64;
		cached->wire = MemoryContextAlloc(run->batch_cxt, cached->room);
	}
	memcpy(cached->wire, out->data + start, out->len - start);
	cached->len = out->len - start;
	cached->topic = record->topic;
	cached->partition = record->partition;
	return true;
}

static bool
put_column(DpipeRun *run, int i, const DpipeRecord *record,
		   const DpipeJsonDocument *doc, StringInfo out)
{
	DpipeColumn *col = &run->plan->columns[i];
	DpipeValue	value;

	switch (col->role)
	{
		case DPIPE_ROLE_SOURCE:
		case DPIPE_ROLE_LOAD_ID:
		case DPIPE_ROLE_EXTRACTED_AT:
		case DPIPE_ROLE_TOPIC:
		case DPIPE_ROLE_PARTITION:
			return put_cached(run, i, record, out);
		case DPIPE_ROLE_OFFSET:
			if (col->base_type == INT8OID)
			{
				dpipe_put_int64(out, record->offset);
				return true;
			}
			value = number_value(record->offset);
			return col->encode(run, col, &value, out);
		case DPIPE_ROLE_KEY:
			return put_key(run, col, record, out);
		case DPIPE_ROLE_HEADERS:
			return put_headers(run, col, record, out);
		case DPIPE_ROLE_TIMESTAMP:
			return put_timestamp_ms(run, col, record->timestamp_ms, out);
		case DPIPE_ROLE_PAYLOAD:
			return put_payload(run, col, record, doc, out);
		case DPIPE_ROLE_FIELD:
			break;
	}
	if (run->found[i].present)
		return put_field(run, col, &run->found[i].value, out);
	put_default(run, i, out);
	return true;
}

static bool
put_record(DpipeRun *run, const DpipeRecord *record, StringInfo out)
{
	DpipePlan  *plan = run->plan;
	int64		size = dpipe_record_bytes(record);
	DpipeJsonDocument doc;

	if (size > run->target->source->max_record_bytes)
		return dpipe_refuse(run, "decode", ERRCODE_PROGRAM_LIMIT_EXCEEDED,
							"the record of " INT64_FORMAT " bytes is larger than max_record_bytes",
							size);
	if (record->nheaders > DPIPE_MAX_HEADERS)
		return dpipe_refuse(run, "decode", ERRCODE_PROGRAM_LIMIT_EXCEEDED,
							"the record has %d headers, more than %d",
							record->nheaders, DPIPE_MAX_HEADERS);
	if (plan->nfields > 0)
		memset(run->found, 0, plan->ncolumns * sizeof(run->found[0]));
	if (!run->target->raw)
	{
		if (record->payload != NULL)
		{
			if (!read_payload(run, record, &doc))
				return false;
		}
		else if (plan->payload == NULL)
			return dpipe_refuse(run, "decode", ERRCODE_NULL_VALUE_NOT_ALLOWED,
								"the payload is null, and the table has no column _payload");
	}

	pq_sendint16(out, plan->ncolumns);
	for (int i = 0; i < plan->ncolumns; i++)
	{
		if (!put_column(run, i, record, &doc, out))
			return false;
	}
	return true;
}

/*
 * Append the record's row in COPY's binary format. False, and nothing is
 * appended, when the record now has a verdict. May raise; run->current tells
 * then which record it was about.
 */
bool
dpipe_row_encode(DpipeRun *run, int record, StringInfo out)
{
	int			start = out->len;
	MemoryContext old = MemoryContextSwitchTo(run->row_cxt);
	bool		ok;

	run->current = record;
	run->column = NULL;
	ok = put_record(run, &run->batch->records[record], out);
	if (!ok)
	{
		Assert(run->verdicts[record] != NULL);
		out->len = start;
	}
	run->current = -1;
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->row_cxt);
	return ok;
}

/* Once a batch. */
void
dpipe_row_begin_batch(DpipeRun *run)
{
	int			n = run->plan->ncolumns;

	run->found = palloc0(n * sizeof(run->found[0]));
	run->cached = palloc0_array(DpipeCached, n);
	run->field_order = palloc_array(int, n);
	for (int i = 0; i < n; i++)
		run->field_order[i] = -1;
}

/*
 * Once an attempt, in its memory context: expression states may hold on to
 * what an aborted subtransaction took away.
 */
void
dpipe_row_begin_attempt(DpipeRun *run)
{
	DpipePlan  *plan = run->plan;

	run->current = -1;
	run->reads_value = false;
	run->estate = NULL;
	MemoryContextReset(run->row_cxt);
	for (int i = 0; i < plan->ncolumns; i++)
	{
		DpipeColumn *col = &plan->columns[i];

		if (col->role != DPIPE_ROLE_FIELD ||
			col->default_kind != DPIPE_DEFAULT_EXPRESSION)
			continue;
		if (run->estate == NULL)
		{
			run->estate = CreateExecutorState();
			run->defaults = palloc0_array(ExprState *, plan->ncolumns);
		}
		run->defaults[i] = ExecPrepareExpr(col->default_expr, run->estate);
	}
}

void
dpipe_row_end_attempt(DpipeRun *run)
{
	if (run->estate != NULL)
		FreeExecutorState(run->estate);
	run->estate = NULL;
}
