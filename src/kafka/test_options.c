/*
 * test_options.c
 *		Options made up at random: all that a user can write is either taken,
 *		and then reads back within its limits, or refused with an SQLSTATE that
 *		says whose mistake it was.
 *
 * In builds with fault points only, and not in the install script: the test
 * declares the function itself (test/t/208_options.pl).
 */
#include "base/compat.h"

#ifdef DPIPE_FAULT_POINTS

#include "access/xact.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/error.h"
#include "base/json.h"
#include "catalog/define.h"
#include "connect/connect.h"
#include "kafka/place.h"

PG_FUNCTION_INFO_V1(dpipe_test_options);
extern Datum dpipe_kafka_validator(PG_FUNCTION_ARGS);

static uint64 state;

/* xorshift64*: the same cases everywhere for the same seed. */
static uint32
next_random(uint32 below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32) ((state * UINT64CONST(2685821657736338717)) >> 33) % below;
}

#define PICK(array) ((array)[next_random(lengthof(array))])

static const char *const option_names[] = {
	"batch_bytes", "batch_rows", "enabled", "key_format", "librdkafka", "linger_ms", "max_record_bytes",
	"on_gap", "on_unknown_field", "stop_at", "workers", "timestamp", "t", "0", "1", "-1", "2147483647", "2147483648"
};

static const char *const property_names[] = {
	"client.id", "fetch.wait.max.ms", "bootstrap.servers", "metadata.broker.list", "security.protocol",
	"sasl.mechanism", "sasl.password", "ssl.ca.location", "ssl.ca.pem", "debug", "enable.auto.commit",
	"auto.offset.reset", "receive.message.max.bytes", "plugin.library.paths", "linger.ms", "check.crcs",
	"sasl.oauthbearer.token.endpoint.url", "isolation.level", "topic.metadata.refresh.interval.ms", "sasl.username",
	"ssl.key.pem", "group.id", "error_cb", "socket.timeout.ms", "broker.address.family"
};

static const char *const words[] = {
	"", " ", "true", "false", "text", "bytea", "json", "stop", "earliest", "latest", "ignore", "dead_letter", "read_committed",
	"SASL_SSL", "GSSAPI", " GSSAPI", "plain", "x:1", "0", "1", "-1", "100", "1e3", "0x10", "99999999999999999999", "nan", "inf",
	"https://x", "file:///etc/passwd", "2024-05-01", "2024-05-01 00:00:00+14", "infinity", "epoch", "now", "1969-12-31", "294276-12-31",
	"4713-01-01 BC", "%s%n", "a=b", "=", "ä€😀"
};

static const char *const scalars[] = {
	"null", "true", "false", "0", "1", "-1", "0.5", "1.0", "1e0", "10000", "1000000", "1000001", "268435456", "268435457", "2147483648",
	"9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e400", "-0", "1e-20", "64", "65", "1024", "60000", "60001"
};

/* A name or a word, seldom with a character changed; as bytes. */
static char *
made_up(const char *base)
{
	char	   *s = psprintf("%s ", base);
	int			len = strlen(base);

	s[len] = '\0';
	if (len > 0 && next_random(8) == 0 && !IS_HIGHBIT_SET(s[0]))
	{
		int			at = next_random(len);

		if (!IS_HIGHBIT_SET(s[at]))
			s[at] = " \n\t.'\"\\AZaz09_-"[next_random(16)];
	}
	return s;
}

static char *
name(void)
{
	return made_up(next_random(2) ? PICK(option_names) : PICK(property_names));
}

static void
put_value(StringInfo s, int depth)
{
	int			n = next_random(3);

	switch (next_random(depth > 3 ? 2 : 6))
	{
		case 0:
			appendStringInfoString(s, PICK(scalars));
			break;
		case 1:
		case 2:
			escape_json(s, made_up(PICK(words)));
			break;
		case 3:
			appendStringInfoChar(s, '[');
			for (int i = 0; i < n; i++)
			{
				if (i > 0)
					appendStringInfoChar(s, ',');
				put_value(s, depth + 1);
			}
			appendStringInfoChar(s, ']');
			break;
		default:
			appendStringInfoChar(s, '{');
			for (int i = 0; i < n; i++)
			{
				if (i > 0)
					appendStringInfoChar(s, ',');
				escape_json(s, name());
				appendStringInfoChar(s, ':');
				put_value(s, depth + 1);
			}
			appendStringInfoChar(s, '}');
			break;
	}
}

/* An object whose members are likely to be options, or whatever. */
static Jsonb *
make_document(const char *const *names, int nnames)
{
	StringInfoData s;

	initStringInfo(&s);
	if (next_random(10) == 0)
		put_value(&s, 0);
	else
	{
		int			n = next_random(4);

		appendStringInfoChar(&s, '{');
		for (int i = 0; i < n; i++)
		{
			if (i > 0)
				appendStringInfoChar(&s, ',');
			escape_json(&s, made_up(names[next_random(nnames)]));
			appendStringInfoChar(&s, ':');
			if (next_random(2))
				appendStringInfoString(&s, PICK(scalars));
			else
				put_value(&s, 1);
		}
		appendStringInfoChar(&s, '}');
	}
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data)));
}

/* ---------- what is taken reads back ---------- */

static void
expect(bool holds, const char *what)
{
	if (!holds)
		elog(ERROR, "options were taken that should not be: %s", what);
}

static void
read_back(const Jsonb *options)
{
	int64		rows = dpipe_json_int(options, "option", "batch_rows", 1);
	int64		workers = dpipe_json_int(options, "option", "workers", 1);
	int64		record = dpipe_json_int(options, "option", "max_record_bytes", 1);
	int64		linger = dpipe_json_int(options, "option", "linger_ms", 0);
	char	   *gap = dpipe_json_string(options, "option", "on_gap", "stop");
	Jsonb	   *extra = dpipe_json_document(options, "librdkafka");

	(void) dpipe_json_bool(options, "option", "enabled", true);
	expect(rows >= 1 && rows <= 1000000, "batch_rows");
	expect(workers >= 1 && workers <= DPIPE_MAX_SOURCE_WORKERS, "workers");
	expect(record >= 1 && record <= INT64CONST(268435456), "max_record_bytes");
	expect(linger >= 0 && linger <= 60000, "linger_ms");
	expect(strcmp(gap, "stop") == 0 || strcmp(gap, "earliest") == 0 ||
		   strcmp(gap, "latest") == 0, "on_gap");
	expect(extra == NULL || JB_ROOT_IS_OBJECT(extra), "librdkafka");
}

/* The options of a server or a mapping, as "name=value". */
static void
validate(void)
{
	static const Oid catalogs[] = {
		ForeignServerRelationId, UserMappingRelationId, ForeignDataWrapperRelationId, InvalidOid
	};
	int			n = next_random(4);
	Datum		options[4];

	for (int i = 0; i < n; i++)
		options[i] = CStringGetTextDatum(next_random(50) == 0 ? made_up(PICK(words)) :
										 psprintf("%s=%s", made_up(PICK(property_names)),
												  made_up(PICK(words))));
	(void) DirectFunctionCall2(dpipe_kafka_validator,
							   PointerGetDatum(construct_array(options, n, TEXTOID, -1, false,
															   TYPALIGN_INT)),
							   ObjectIdGetDatum(PICK(catalogs)));
}

static void
one_case(void)
{
	Jsonb	   *document;
	KafkaPlace	place;

	switch (next_random(6))
	{
		case 0:
			validate();
			break;
		case 1:
			dpipe_kafka_check_extra(make_document(property_names, lengthof(property_names)),
									GetUserId());
			break;
		case 2:
			document = make_document(option_names, lengthof(option_names));
			place = kafka_place_parse(document, "a position");
			expect(place.kind != KAFKA_PLACE_OFFSETS ||
				   kafka_place_listed_offset(&place, "t", 0) >= -1, "an offset");
			break;
		default:
			document = make_document(option_names, lengthof(option_names));
			dpipe_source_options_check(document);
			read_back(document);
			break;
	}
}

static bool
is_users_mistake(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_INVALID_PARAMETER_VALUE:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
		case ERRCODE_FDW_INVALID_OPTION_NAME:
		case ERRCODE_FDW_OPTION_NAME_NOT_FOUND:
		case ERRCODE_SYNTAX_ERROR:	/* an option without a value */
		case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
		case ERRCODE_INVALID_DATETIME_FORMAT:
		case ERRCODE_DATETIME_FIELD_OVERFLOW:
		case ERRCODE_INVALID_TIME_ZONE_DISPLACEMENT_VALUE:
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
			return true;
	}
	return false;
}

/* False: it was refused. Raises when it was in no way that it should be. */
static bool
try_case(MemoryContext cxt)
{
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool taken = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		one_case();
		ReleaseCurrentSubTransaction();
		taken = true;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(cxt);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (!is_users_mistake(edata->sqlerrcode))
			dpipe_rethrow(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return taken;
}

/* dpipe_test_options(count bigint, seed bigint, OUT taken, OUT refused) */
Datum
dpipe_test_options(PG_FUNCTION_ARGS)
{
	int64		count = PG_GETARG_INT64(0);
	MemoryContext old = CurrentMemoryContext;
	MemoryContext cxt = AllocSetContextCreate(old, "dpipe options",
											  ALLOCSET_DEFAULT_SIZES);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	int64		taken = 0;

	state = (uint64) PG_GETARG_INT64(1) * 2 + 1;
	for (int64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		taken += try_case(cxt);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(taken);
	values[1] = Int64GetDatum(count - taken);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

#endif							/* DPIPE_FAULT_POINTS */
