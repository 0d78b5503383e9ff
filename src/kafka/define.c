/*
 * define.c
 *		dpipe_create_kafka_source and dpipe_seek: checks that need no broker.
 *
 * A definition that passes here can fail later only for what the world
 * changes: nothing is asked over the network, so defining works while the
 * broker is away and holds no lock across a wait.
 *
 * Positions (argument start, option stop_at) are stored in one of the forms
 *		"earliest" | "latest" | {"timestamp": "2024-05-01T00:00:00+00:00"} |
 *		{"topic": {"0": 123}}
 * with timestamps made absolute, because a worker has its own time zone.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/identity.h"
#include "base/json.h"
#include "catalog/define.h"
#include "connect/connect.h"
#include "kafka/place.h"
#include "load/load.h"

/* Kafka's own limit: a topic is a directory name with a suffix. */
#define MAX_TOPIC_LEN 249

PG_FUNCTION_INFO_V1(dpipe_create_kafka_source);
PG_FUNCTION_INFO_V1(dpipe_seek);

/* ---------- arguments ---------- */

static char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
check_format(const char *format)
{
	if (strcmp(format, "json") != 0 && strcmp(format, "raw") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown format \"%s\"", format),
				 errhint("Formats are: json, raw.")));
}

static void
check_envelope(const char *envelope, bool has_key)
{
	static const char *const planned[] = {"upsert", "debezium"};

	for (int i = 0; i < lengthof(planned); i++)
		if (strcmp(envelope, planned[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("envelope \"%s\" is not supported yet", envelope),
					 errhint("The only envelope is: none.")));
	if (strcmp(envelope, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown envelope \"%s\"", envelope),
				 errhint("The only envelope is: none.")));
	if (has_key)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"key\" has no meaning with envelope \"none\""),
				 errdetail("Every record becomes a row of its own."),
				 errhint("Leave \"key\" out.")));
}

/* ---------- topics ---------- */

static void
check_topic(const char *topic)
{
	size_t		len = strlen(topic);

	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"topic\" contains an empty name"),
				 errhint("Give one topic, or several separated by commas.")));
	if (len > MAX_TOPIC_LEN || strcmp(topic, ".") == 0 ||
		strcmp(topic, "..") == 0 ||
		strspn(topic, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the name of a Kafka topic", topic),
				 errdetail("A topic has 1 to %d of the characters a-z, A-Z, 0-9, \".\", \"_\" and \"-\".",
						   MAX_TOPIC_LEN)));
}

static char *
trim(char *s)
{
	char	   *end;

	s += strspn(s, " \t\n\r");
	end = s + strlen(s);
	while (end > s && strchr(" \t\n\r", end[-1]))
		end--;
	*end = '\0';
	return s;
}

/* "a, b" → list of names; each is checked. */
static List *
parse_topics(const char *arg)
{
	List	   *topics = NIL;
	char	   *rest = pstrdup(arg);

	while (rest != NULL)
	{
		char	   *comma = strchr(rest, ',');
		char	   *topic;
		ListCell   *lc;

		/* A text may hold millions of them. */
		CHECK_FOR_INTERRUPTS();
		if (comma)
			*comma = '\0';
		topic = trim(rest);
		check_topic(topic);
		foreach(lc, topics)
			if (strcmp(lfirst(lc), topic) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("topic \"%s\" is given twice", topic)));
		topics = lappend(topics, topic);
		rest = comma ? comma + 1 : NULL;
	}
	return topics;
}

static ArrayType *
topics_array(List *topics)
{
	Datum	   *elems = palloc(sizeof(Datum) * list_length(topics));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, topics)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	return construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* ---------- positions ---------- */

static Jsonb *
jsonb_from_cstring(const char *s)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(s)));
}

/* Raise unless all topics of a position are topics of the source. */
static void
check_position_topics(const Jsonb *position, List *topics, const char *what)
{
	JsonbIterator *it = JsonbIteratorInit((JsonbContainer *) &position->root);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *name;
		bool		known = false;
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		foreach(lc, topics)
			known = known || strcmp(lfirst(lc), name) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" in %s is not a topic of this source",
							name, what)));
	}
}

/* The form that is stored. */
static Jsonb *
absolute_position(Jsonb *position, const KafkaPlace *place)
{
	char		instant[MAXDATELEN + 1];

	if (place->kind != KAFKA_PLACE_TIME)
		return position;

	/* A worker has its own time zone: write the instant out, zone and all. */
	JsonEncodeDateTime(instant,
					   TimestampTzGetDatum((place->time_ms -
											(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
											SECS_PER_DAY * INT64CONST(1000)) * 1000),
					   TIMESTAMPTZOID, NULL);
	return jsonb_from_cstring(psprintf("{\"timestamp\": \"%s\"}", instant));
}

static Jsonb *
checked_position(Jsonb *position, List *topics, const char *what)
{
	KafkaPlace	place = kafka_place_parse(position, what);

	if (place.kind == KAFKA_PLACE_OFFSETS)
		check_position_topics(position, topics, what);
	return absolute_position(position, &place);
}

/* The argument start: a bare word, or JSON. */
static Jsonb *
parse_start(const char *arg, List *topics)
{
	char	   *s = trim(pstrdup(arg));

	if (s[0] != '{' && s[0] != '"')
	{
		StringInfoData word;

		initStringInfo(&word);
		escape_json(&word, s);
		s = word.data;
	}
	return checked_position(jsonb_from_cstring(s), topics,
						   "argument \"start\"");
}

/* ---------- the verb ---------- */

static Jsonb *
check_options(Jsonb *options, List *topics)
{
	Jsonb	   *stop_at;

	dpipe_source_options_check(options);
	stop_at = dpipe_json_document(options, "stop_at");
	if (stop_at == NULL)
		return options;
	stop_at = checked_position(stop_at, topics, "option \"stop_at\"");
	stop_at = jsonb_from_cstring(psprintf("{\"stop_at\": %s}",
										  JsonbToCString(NULL, &stop_at->root,
														 VARSIZE(stop_at))));
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											  JsonbPGetDatum(options),
											  JsonbPGetDatum(stop_at)));
}

static DpipeKeyFormat
key_format_of(const Jsonb *options)
{
	char	   *s = dpipe_json_string(options, "option", "key_format", "text");

	if (strcmp(s, "bytea") == 0)
		return DPIPE_KEY_BYTEA;
	return strcmp(s, "json") == 0 ? DPIPE_KEY_JSON : DPIPE_KEY_TEXT;
}

/*
 * Resolve or make the target. It must be the owner's, who loads it, also when
 * a member of the owning role replaces the definition; names are looked up
 * along the caller's search_path.
 */
static void
prepare_target(DpipeDefinition *def, const char *target, Oid owner)
{
	DpipeIdentity id;
	char	   *schema = NULL;
	char	   *table = NULL;
	bool		switched = (owner != GetUserId());

	if (switched)
		dpipe_identity_owner(&id, owner, NULL);
	dpipe_target_prepare(target, def->format, key_format_of(def->options),
						 &schema, &table);
	if (switched)
		dpipe_identity_restore(&id);
	def->target_schema = schema;
	def->target_table = table;
}

Datum
dpipe_create_kafka_source(PG_FUNCTION_ARGS)
{
	DpipeDefinition def = {.kind = "kafka"};
	char	   *target;
	List	   *topics;
	Jsonb	   *librdkafka;
	Oid			owner;

	def.name = text_argument(fcinfo, 0, "name");
	def.server = text_argument(fcinfo, 1, "server");
	topics = parse_topics(text_argument(fcinfo, 2, "topic"));
	target = text_argument(fcinfo, 3, "target");
	def.format = text_argument(fcinfo, 4, "format");
	def.envelope = text_argument(fcinfo, 5, "envelope");
	def.key = PG_ARGISNULL(6) ? NULL : PG_GETARG_ARRAYTYPE_P(6);
	def.start = parse_start(text_argument(fcinfo, 7, "start"), topics);
	def.options = PG_ARGISNULL(8) ? jsonb_from_cstring("{}") :
		PG_GETARG_JSONB_P(8);

	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sources need a database with encoding UTF8, not %s",
						GetDatabaseEncodingName())));
	dpipe_check_name(def.name, "the name of a source");
	check_format(def.format);
	check_envelope(def.envelope, def.key != NULL);
	def.options = check_options(def.options, topics);
	def.topics = topics_array(topics);
	def.workers = dpipe_json_int(def.options, "option", "workers", 1);
	def.enabled = dpipe_json_bool(def.options, "option", "enabled", true);
	librdkafka = dpipe_json_document(def.options, "librdkafka");

	owner = dpipe_source_lock(def.name);
	if (!OidIsValid(owner))
		owner = GetUserId();
	(void) dpipe_kafka_properties(def.server, owner, NULL);
	dpipe_kafka_check_extra(librdkafka, owner);
	prepare_target(&def, target, owner);
	dpipe_source_define(&def);
	PG_RETURN_VOID();
}

/*
 * dpipe_seek(source, position). Works on a running source: its workers find
 * their epoch gone and start from the new positions.
 */
Datum
dpipe_seek(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0, "source");
	Jsonb	   *position;
	KafkaPlace	place;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"position\" must not be null")));
	position = PG_GETARG_JSONB_P(1);
	place = kafka_place_parse(position, "argument \"position\"");
	if (place.kind == KAFKA_PLACE_OFFSETS)
		dpipe_source_seek(name, "kafka", position, NULL);
	else
		dpipe_source_seek(name, "kafka", NULL,
						  absolute_position(position, &place));
	PG_RETURN_VOID();
}
