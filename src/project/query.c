/*
 * query.c
 *		SQL that a template runs.
 *
 * It runs in the caller's transaction, as the owner of what is rendered by the
 * rules of base/identity.h. Rows are made values as they come, so the limit
 * on a template's memory is one on what a query may give.
 *
 * Values are what dbt has of them: numbers are int or Decimal, containers are
 * JSON texts.
 */
#include "base/compat.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/doc.h"
#include "base/identity.h"
#include "project/column.h"
#include "project/host.h"
#include "project/table.h"

/* ---------- values ---------- */

/* Python's str() of a timedelta; a month is 30 days, a year is 365. */
static char *
interval_text(const Interval *span)
{
	int64		days = (int64) (span->month / 12) * 365 + (int64) (span->month % 12) * 30 + span->day;
	int64		us = span->time;
	int64		seconds;
	char	   *clock;

	days += us / USECS_PER_DAY;
	us %= USECS_PER_DAY;
	if (us < 0)
	{
		us += USECS_PER_DAY;
		days--;
	}
	seconds = us / USECS_PER_SEC;
	us %= USECS_PER_SEC;
	clock = psprintf("%d:%02d:%02d", (int) (seconds / 3600), (int) (seconds / 60 % 60),
					 (int) (seconds % 60));
	if (us != 0)
		clock = psprintf("%s.%06d", clock, (int) us);
	if (days == 0)
		return clock;
	return psprintf(INT64_FORMAT " day%s, %s", days, days == 1 || days == -1 ? "" : "s", clock);
}

static char *
output_text(Oid type, Datum d)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, d);
}

/* A JSON document: a container stays text, as dbt writes it again. */
static JinjaValue *
json_value(JinjaEnv *env, const char *text)
{
	JinjaValue *v = jinja_from_json(env, text, strlen(text));
	JinjaKind	kind = jinja_kind(v);

	return kind == JINJA_LIST || kind == JINJA_DICT
		? jinja_string(env, jinja_to_json(env, v, false)) : v;
}

static JinjaValue *element_value(JinjaEnv *env, Oid type, Datum d);

/* An array as the list that JSON has for it. */
static JinjaValue *
array_list(JinjaEnv *env, Oid element, Datum *elements, bool *nulls, int n, int ndim,
		   const int *dims, int *next)
{
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < (ndim > 0 ? dims[0] : n); i++)
	{
		JinjaValue *v;

		if (ndim > 1)
			v = array_list(env, element, elements, nulls, n, ndim - 1, dims + 1, next);
		else
		{
			v = nulls[*next] ? jinja_none(env) : element_value(env, element, elements[*next]);
			(*next)++;
		}
		jinja_list_append(env, list, v);
	}
	return list;
}

static JinjaValue *
array_value(JinjaEnv *env, Oid element, Datum d)
{
	ArrayType  *array = DatumGetArrayTypeP(d);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			next = 0;

	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(array, element, len, byval, align, &elements, &nulls, &n);
	return jinja_string(env, jinja_to_json(env, array_list(env, element, elements, nulls, n,
														   ARR_NDIM(array), ARR_DIMS(array), &next),
										   false));
}

static JinjaValue *
float_value(JinjaEnv *env, double d)
{
	return jinja_decimal(env, pd_float_text(d));
}

static JinjaValue *
cell_value(JinjaEnv *env, Oid type, Datum d)
{
	Oid			base = getBaseType(type);
	Oid			element;

	switch (base)
	{
		case BOOLOID:
			return jinja_bool(env, DatumGetBool(d));
		case INT2OID:
			return jinja_int(env, DatumGetInt16(d));
		case INT4OID:
			return jinja_int(env, DatumGetInt32(d));
		case INT8OID:
			return jinja_int(env, DatumGetInt64(d));
		case OIDOID:
			return jinja_int(env, DatumGetObjectId(d));
		case FLOAT4OID:
			/* The shortest text of a float4 is not that of the same float8. */
			return float_value(env, strtod(output_text(base, d), NULL));
		case FLOAT8OID:
			return float_value(env, DatumGetFloat8(d));
		case NUMERICOID:
			return jinja_decimal(env, output_text(base, d));
		case DATEOID:
			if (!DATE_NOT_FINITE(DatumGetDateADT(d)))
				return jinja_date(env, DatumGetDateADT(d));
			break;
		case TIMESTAMPOID:
			if (!TIMESTAMP_NOT_FINITE(DatumGetTimestamp(d)))
				return jinja_timestamp(env, DatumGetTimestamp(d));
			break;
		case TIMESTAMPTZOID:
			if (!TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(d)))
				return jinja_timestamptz(env, DatumGetTimestampTz(d));
			break;
		case INTERVALOID:
			return jinja_string(env, interval_text(DatumGetIntervalP(d)));
		case JSONOID:
		case JSONBOID:
			return json_value(env, output_text(base, d));
	}
	element = get_element_type(base);
	if (OidIsValid(element))
		return array_value(env, element, d);
	return jinja_string(env, output_text(base, d));
}

/* What JSON has no word for is a number or a text in it. */
static JinjaValue *
element_value(JinjaEnv *env, Oid type, Datum d)
{
	switch (getBaseType(type))
	{
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return jinja_float(env, strtod(output_text(getBaseType(type), d), NULL));
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return cell_value(env, type, d);
		default:
			return jinja_string(env, output_text(type, d));
	}
}

static DpipeCellType
cell_type(Oid type)
{
	switch (getBaseType(type))
	{
		case BOOLOID:
			return DPIPE_CELL_BOOLEAN;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
			return DPIPE_CELL_INTEGER;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return DPIPE_CELL_NUMBER;
		case DATEOID:
			return DPIPE_CELL_DATE;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DPIPE_CELL_DATETIME;
		default:
			return DPIPE_CELL_TEXT;
	}
}

/* ---------- where rows go ---------- */

typedef struct Receiver
{
	DestReceiver pub;
	JinjaEnv   *env;
	MemoryContext scratch;		/* of a row */
	DpipeTable *table;			/* of the last statement that gave rows */
	Oid		   *types;			/* of its columns */
} Receiver;

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver   *r = (Receiver *) self;
	const char **names = palloc(sizeof(char *) * Max(desc->natts, 1));
	DpipeCellType *types = palloc(sizeof(DpipeCellType) * Max(desc->natts, 1));

	r->types = MemoryContextAlloc(jinja_env_context(r->env), sizeof(Oid) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		names[i] = NameStr(TupleDescAttr(desc, i)->attname);
		r->types[i] = TupleDescAttr(desc, i)->atttypid;
		types[i] = cell_type(r->types[i]);
	}
	r->table = dpipe_table_create(r->env, desc->natts, names, types);
}

static bool
receiver_row(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *r = (Receiver *) self;
	JinjaValue **row = dpipe_table_add_row(r->env, r->table);
	MemoryContext old = MemoryContextSwitchTo(r->scratch);

	slot_getallattrs(slot);
	for (int i = 0; i < r->table->ncols; i++)
		if (!slot->tts_isnull[i])
			row[i] = cell_value(r->env, r->types[i], slot->tts_values[i]);
	MemoryContextSwitchTo(old);
	MemoryContextReset(r->scratch);
	return true;
}

static void
receiver_nothing(DestReceiver *self)
{
}

static void
receiver_init(Receiver *r, JinjaEnv *env)
{
	memset(r, 0, sizeof(*r));
	r->pub.receiveSlot = receiver_row;
	r->pub.rStartup = receiver_startup;
	r->pub.rShutdown = receiver_nothing;
	r->pub.rDestroy = receiver_nothing;
	r->pub.mydest = DestNone;
	r->env = env;
	r->scratch = AllocSetContextCreate(CurrentMemoryContext, "dpipe row of a template's query",
									   ALLOCSET_SMALL_SIZES);
}

/* ---------- running ---------- */

static void
begin(DpipeHost *host, DpipeIdentity *id)
{
	if (OidIsValid(host->owner))
		dpipe_identity_owner(id, host->owner, host->search_path);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
end(DpipeHost *host, DpipeIdentity *id)
{
	SPI_finish();
	if (OidIsValid(host->owner))
		dpipe_identity_restore(id);
}

static uint64
run(const char *sql, ParamListInfo params, int64 limit, DestReceiver *dest)
{
	SPIExecuteOptions options;
	int			rc;

	memset(&options, 0, sizeof(options));
	options.params = params;
	options.tcount = limit;
	options.dest = dest;
	rc = SPI_execute_extended(sql, &options);
	if (rc == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("a template cannot begin or end a transaction"),
				 errdetail("What it runs is part of the transaction of whoever called.")));
	if (rc == SPI_ERROR_COPY)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a template cannot run COPY to or from a client")));
	if (rc < 0)
		elog(ERROR, "SPI_execute_extended failed: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* The tag of the last statement: SELECT, CREATE TABLE, ... */
static const char *
command_of(const char *sql)
{
	List	   *statements = raw_parser(sql, RAW_PARSE_DEFAULT);

	if (statements == NIL)
		return "";
	return CreateCommandName((Node *) llast_node(RawStmt, statements)->stmt);
}

static JinjaValue *
response_of(JinjaEnv *env, const char *command, uint64 rows)
{
	const char *message = command;

	if (strcmp(command, "INSERT") == 0)
		message = psprintf("INSERT 0 " UINT64_FORMAT, rows);
	else if (strcmp(command, "SELECT") == 0 || strcmp(command, "UPDATE") == 0 ||
			 strcmp(command, "DELETE") == 0 || strcmp(command, "MERGE") == 0)
		message = psprintf("%s " UINT64_FORMAT, command, rows);
	return dpipe_response_value(env, message, command, jinja_int(env, rows));
}

JinjaValue *
dpipe_host_execute(DpipeHost *host, const char *sql, int64 limit, JinjaValue **table)
{
	DpipeIdentity id;
	Receiver	receiver;
	const char *command;
	uint64		rows;

	command = command_of(sql);
	begin(host, &id);
	receiver_init(&receiver, host->env);
	rows = run(sql, NULL, limit, table != NULL ? &receiver.pub : None_Receiver);
	end(host, &id);
	if (table != NULL)
		*table = dpipe_table_value(host->env, receiver.table != NULL ? receiver.table
								   : dpipe_table_create(host->env, 0, NULL, NULL));
	return response_of(host->env, command, rows);
}

JinjaValue *
dpipe_host_rows(DpipeHost *host, const char *sql, int nparams, const char *const *params)
{
	DpipeIdentity id;
	Receiver	receiver;
	ParamListInfo list = makeParamList(nparams);

	for (int i = 0; i < nparams; i++)
	{
		list->params[i].value = params[i] != NULL ? CStringGetTextDatum(params[i]) : (Datum) 0;
		list->params[i].isnull = params[i] == NULL;
		list->params[i].pflags = PARAM_FLAG_CONST;
		list->params[i].ptype = TEXTOID;
	}
	begin(host, &id);
	receiver_init(&receiver, host->env);
	run(sql, list, 0, &receiver.pub);
	end(host, &id);
	return dpipe_table_matrix(host->env, receiver.table);
}

/* psycopg2's name of a type, which is what dbt takes for a column of a query. */
static const char *
driver_type(Oid type)
{
	static const struct
	{
		Oid			type;
		const char *name;
	}			names[] = {
		{BOOLOID, "BOOLEAN"}, {BYTEAOID, "BINARY"}, {CHAROID, "STRING"}, {NAMEOID, "STRING"},
		{INT8OID, "LONGINTEGER"}, {INT2OID, "INTEGER"}, {INT4OID, "INTEGER"}, {TEXTOID, "STRING"},
		{OIDOID, "ROWID"}, {JSONOID, "JSON"}, {FLOAT4OID, "FLOAT"}, {FLOAT8OID, "FLOAT"},
		{UNKNOWNOID, "UNKNOWN"}, {BPCHAROID, "STRING"}, {VARCHAROID, "STRING"},
		{DATEOID, "DATE"}, {TIMEOID, "TIME"}, {TIMETZOID, "TIME"}, {TIMESTAMPOID, "DATETIME"},
		{TIMESTAMPTZOID, "DATETIMETZ"}, {INTERVALOID, "INTERVAL"}, {NUMERICOID, "DECIMAL"},
		{JSONBOID, "JSONB"},
	};
	static const struct
	{
		Oid			element;
		const char *name;
	}			arrays[] = {
		{BOOLOID, "BOOLEANARRAY"}, {BYTEAOID, "BINARYARRAY"}, {CHAROID, "STRINGARRAY"},
		{NAMEOID, "STRINGARRAY"}, {INT2OID, "INTEGERARRAY"}, {INT4OID, "INTEGERARRAY"},
		{INT8OID, "LONGINTEGERARRAY"}, {TEXTOID, "STRINGARRAY"}, {BPCHAROID, "STRINGARRAY"},
		{VARCHAROID, "STRINGARRAY"}, {FLOAT4OID, "FLOATARRAY"}, {FLOAT8OID, "FLOATARRAY"},
		{OIDOID, "ROWIDARRAY"}, {NUMERICOID, "DECIMALARRAY"}, {DATEOID, "DATEARRAY"},
		{TIMESTAMPOID, "DATETIMEARRAY"}, {TIMESTAMPTZOID, "DATETIMETZARRAY"},
		{JSONOID, "JSONARRAY"}, {JSONBOID, "JSONBARRAY"},
	};
	Oid			element;

	for (int i = 0; i < lengthof(names); i++)
		if (names[i].type == type)
			return names[i].name;
	element = get_element_type(type);
	for (int i = 0; OidIsValid(element) && i < lengthof(arrays); i++)
		if (arrays[i].element == element)
			return arrays[i].name;
	return psprintf("unknown type_code %u", type);
}

JinjaValue *
dpipe_host_query_columns(DpipeHost *host, const char *sql)
{
	DpipeIdentity id;
	Receiver	receiver;
	JinjaValue *list = jinja_list(host->env);
	MemoryContext cxt = jinja_env_context(host->env);

	begin(host, &id);
	receiver_init(&receiver, host->env);
	run(sql, NULL, 0, &receiver.pub);
	end(host, &id);
	for (int i = 0; receiver.table != NULL && i < receiver.table->ncols; i++)
	{
		DpipeColumn column = {receiver.table->names[i]};

		column.dtype = MemoryContextStrdup(cxt, driver_type(getBaseType(receiver.types[i])));
		jinja_list_append(host->env, list, dpipe_column_make(host->env, &column));
	}
	return list;
}

/* ---------- dbt's AdapterResponse ---------- */

typedef struct Response
{
	const char *message;
	const char *code;
	JinjaValue *rows_affected;
} Response;

static JinjaValue *
response_attribute(JinjaEnv *env, void *object, const char *name)
{
	Response   *r = object;

	if (strcmp(name, "_message") == 0)
		return jinja_string(env, r->message);
	if (strcmp(name, "code") == 0)
		return jinja_string(env, r->code);
	if (strcmp(name, "rows_affected") == 0)
		return r->rows_affected;
	if (strcmp(name, "query_id") == 0)
		return jinja_none(env);
	return NULL;
}

static char *
response_to_string(JinjaEnv *env, void *object)
{
	return pstrdup(((Response *) object)->message);
}

static const JinjaObjectOps response_ops = {
	.type_name = "AdapterResponse",
	.get_attribute = response_attribute,
	.to_string = response_to_string,
};

JinjaValue *
dpipe_response_value(JinjaEnv *env, const char *message, const char *code,
					 JinjaValue *rows_affected)
{
	MemoryContext cxt = jinja_env_context(env);
	Response   *r = MemoryContextAlloc(cxt, sizeof(Response));

	r->message = MemoryContextStrdup(cxt, message);
	r->code = MemoryContextStrdup(cxt, code);
	r->rows_affected = rows_affected;
	return jinja_object(env, &response_ops, r);
}
