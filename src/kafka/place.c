/*
 * place.c
 *		Where to start or stop: "earliest", "latest", a time, or offsets.
 */
#include "base/compat.h"

#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/json.h"
#include "kafka/place.h"

static void
raise_bad_place(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is not a position", what),
			 errhint("Give \"earliest\", \"latest\", {\"timestamp\": \"2026-01-31 12:00+00\"} or {\"topic\": {\"0\": 123}}.")));
}

static int64
timestamp_ms(const char *text)
{
	TimestampTz t = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
															CStringGetDatum(text),
															ObjectIdGetDatum(InvalidOid),
															Int32GetDatum(-1)));

	if (TIMESTAMP_NOT_FINITE(t))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timestamp \"%s\" is not a position", text)));
	return Max(0, t / 1000 +
			   (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000);
}

/* The number as an offset, or -1 when it is none. */
static int64
offset_value(const JsonbValue *v)
{
	Numeric		trunc;

	if (v->type != jbvNumeric || numeric_is_nan(v->val.numeric) ||
		numeric_is_inf(v->val.numeric))
		return -1;
	trunc = DatumGetNumeric(DirectFunctionCall2(numeric_trunc,
												NumericGetDatum(v->val.numeric),
												Int32GetDatum(0)));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(trunc),
										  NumericGetDatum(v->val.numeric))) ||
		DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(trunc),
										 NumericGetDatum(int64_to_numeric(0)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(trunc),
										 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		return -1;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 NumericGetDatum(trunc)));
}

static bool
is_partition_number(const char *s, int len)
{
	/* One spelling each, or a partition could be given twice. */
	if (len < 1 || len > 9 || (len > 1 && s[0] == '0'))
		return false;
	for (int i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

/* {topic: {partition: offset}} and nothing else. */
static void
check_offsets(const Jsonb *jb, const char *what)
{
	JsonbIterator *it = JsonbIteratorInit((JsonbContainer *) &jb->root);
	JsonbIteratorToken tok;
	JsonbValue	v;
	int			depth = 0;

	while ((tok = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if (tok == WJB_BEGIN_OBJECT)
			depth++;
		else if (tok == WJB_END_OBJECT)
			depth--;
		else if (tok == WJB_KEY && depth == 1)
			continue;
		else if (tok == WJB_KEY && depth == 2 &&
				 is_partition_number(v.val.string.val, v.val.string.len))
			continue;
		else if (tok == WJB_VALUE && depth == 2 && offset_value(&v) >= 0)
			continue;
		else
			raise_bad_place(what);
		if (depth > 2)
			raise_bad_place(what);
	}
}

KafkaPlace
kafka_place_parse(const Jsonb *jb, const char *what)
{
	KafkaPlace	place = {KAFKA_PLACE_EARLIEST, -1, NULL};
	JsonbValue	scalar;

	if (JB_ROOT_IS_SCALAR(jb))
	{
		char	   *word;

		if (!JsonbExtractScalar((JsonbContainer *) &jb->root, &scalar) ||
			scalar.type != jbvString)
			raise_bad_place(what);
		word = pnstrdup(scalar.val.string.val, scalar.val.string.len);
		if (strcmp(word, "latest") == 0)
			place.kind = KAFKA_PLACE_LATEST;
		else if (strcmp(word, "earliest") != 0)
			raise_bad_place(what);
		return place;
	}
	if (!JB_ROOT_IS_OBJECT(jb) || JB_ROOT_COUNT(jb) == 0)
		raise_bad_place(what);

	/* A topic may be called "timestamp"; its value is an object then. */
	if (JB_ROOT_COUNT(jb) == 1)
	{
		JsonbValue *v = dpipe_json_field(jb, "timestamp");

		if (v != NULL && v->type == jbvString)
		{
			place.kind = KAFKA_PLACE_TIME;
			place.time_ms = timestamp_ms(pnstrdup(v->val.string.val,
												  v->val.string.len));
			return place;
		}
	}
	check_offsets(jb, what);
	place.kind = KAFKA_PLACE_OFFSETS;
	place.document = jb;
	return place;
}

int64
kafka_place_listed_offset(const KafkaPlace *place, const char *topic,
						  int32 partition)
{
	Jsonb	   *partitions = dpipe_json_document(place->document, topic);
	JsonbValue *v;
	char		key[16];

	if (partitions == NULL)
		return -1;
	snprintf(key, sizeof(key), "%d", partition);
	v = dpipe_json_field(partitions, key);
	return v == NULL ? -1 : offset_value(v);
}
