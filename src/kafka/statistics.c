/*
 * statistics.c
 *		What the client tells of its brokers and of its partitions' leaders.
 *
 * librdkafka has no other way to say it than its statistics, a JSON text that
 * comes several times in dpipe.stall_timeout. Names in it are brokers' and may
 * hold anything, so it is read by the scanner that raises nothing; a text that
 * is no JSON tells nothing.
 *
 * A broker is receiving when bytes have come from it since the look before and
 * no response was completed: then a large record is on its way over a slow
 * link.
 */
#include "base/compat.h"

#include "kafka/slot.h"
#include "load/scan.h"

/* Brokers of a cluster that are looked at; the others are unknown. */
#define MAX_BROKERS 10000

/* One look at a text. */
typedef struct Look
{
	KafkaSlot  *slot;
	TimestampTz now;
	int64		us;				/* when it was made */
	DpipeJsonValue brokers;
	DpipeJsonValue topics;
	KafkaBroker *found;
	int			nfound;
	int			room;
	const char *topic;			/* in which we are */
	int			topic_len;
	int64		metadata_age;	/* its leaders have been told so long ago; 0: never */
	DpipeJsonValue partitions;
	int			guess;			/* index of the next partition, likely */
} Look;

typedef struct PartitionLook
{
	int32		partition;
	int32		leader;
} PartitionLook;

static bool
is_key(const char *key, int key_len, const char *name)
{
	return key_len == strlen(name) && memcmp(key, name, key_len) == 0;
}

/* A number is followed by what ends it: the text is an object's. */
static int64
as_number(const DpipeJsonValue *value)
{
	return value->type == DPIPE_JSON_NUMBER ? strtoll(value->span, NULL, 10) : -1;
}

static void
each_field(const DpipeJsonValue *object, DpipeJsonFieldCallback field,
		   void *arg)
{
	DpipeJsonDocument document;

	if (object->type == DPIPE_JSON_OBJECT)
		(void) dpipe_json_scan(object->span, object->span_len, field, arg,
							   &document);
}

/* ---------- brokers ---------- */

static void
broker_field(void *arg, const char *key, int key_len, int key_flags,
			 const DpipeJsonValue *value)
{
	KafkaBroker *broker = arg;

	if (is_key(key, key_len, "nodeid"))
		broker->id = as_number(value);
	else if (is_key(key, key_len, "state"))
		broker->up = value->type == DPIPE_JSON_STRING &&
			value->span_len > 3 && memcmp(value->span + 1, "UP", 2) == 0;
	else if (is_key(key, key_len, "rx"))
		broker->responses = as_number(value);
	else if (is_key(key, key_len, "rxidle"))
		broker->idle_us = as_number(value);
	else if (is_key(key, key_len, "connects"))
		broker->attempts = as_number(value);
}

static const KafkaBroker *
find_broker(const KafkaSlot *slot, int32 id)
{
	for (int i = 0; i < slot->nbrokers; i++)
		if (slot->brokers[i].id == id)
			return &slot->brokers[i];
	return NULL;
}

static void
compare_with_last(Look *look, KafkaBroker *broker)
{
	const KafkaBroker *last = find_broker(look->slot, broker->id);

	if (last == NULL)
		return;
	broker->receiving_at = last->receiving_at;
	broker->attempt_at = last->attempt_at;
	if (broker->attempts != last->attempts)
		broker->attempt_at = look->now;
	if (broker->up && broker->responses == last->responses &&
		broker->idle_us >= 0 &&
		broker->idle_us < look->us - look->slot->statistics_us)
		broker->receiving_at = look->now;
}

static void
brokers_field(void *arg, const char *key, int key_len, int key_flags,
			  const DpipeJsonValue *value)
{
	Look	   *look = arg;
	KafkaBroker broker = {.id = -1, .idle_us = -1};

	each_field(value, broker_field, &broker);

	/* Bootstrap addresses and the coordinator's have no id. */
	if (broker.id < 0 || look->nfound >= MAX_BROKERS)
		return;
	compare_with_last(look, &broker);
	if (look->nfound == look->room)
	{
		look->room = Max(8, look->room * 2);
		look->found = look->found == NULL ?
			MemoryContextAlloc(look->slot->cxt,
							   look->room * sizeof(KafkaBroker)) :
			repalloc(look->found, look->room * sizeof(KafkaBroker));
	}
	look->found[look->nfound++] = broker;
}

/* ---------- leaders ---------- */

static void
partition_field(void *arg, const char *key, int key_len, int key_flags,
				const DpipeJsonValue *value)
{
	PartitionLook *found = arg;

	if (is_key(key, key_len, "partition"))
		found->partition = as_number(value);
	else if (is_key(key, key_len, "leader"))
		found->leader = as_number(value);
}

static void
partitions_field(void *arg, const char *key, int key_len, int key_flags,
				 const DpipeJsonValue *value)
{
	Look	   *look = arg;
	KafkaReader *reader = look->slot->reader;
	PartitionLook found = {-1, KAFKA_LEADER_UNKNOWN};

	each_field(value, partition_field, &found);
	for (int k = 0; k < reader->npartitions; k++)
	{
		int			i = (look->guess + k) % reader->npartitions;
		KafkaPartition *p = &reader->partitions[i];

		if (p->partition != found.partition ||
			!is_key(look->topic, look->topic_len, p->topic))
			continue;
		p->leader = found.leader;
		look->guess = i + 1;
		return;
	}
}

static void
topic_field(void *arg, const char *key, int key_len, int key_flags,
			const DpipeJsonValue *value)
{
	Look	   *look = arg;

	if (is_key(key, key_len, "metadata_age"))
		look->metadata_age = as_number(value);
	else if (is_key(key, key_len, "partitions"))
		look->partitions = *value;
}

static void
topics_field(void *arg, const char *key, int key_len, int key_flags,
			 const DpipeJsonValue *value)
{
	Look	   *look = arg;

	look->topic = key;
	look->topic_len = key_len;
	look->metadata_age = 0;
	look->partitions = (DpipeJsonValue) {DPIPE_JSON_NULL};
	each_field(value, topic_field, look);
	if (look->metadata_age > 0)
		each_field(&look->partitions, partitions_field, look);
}

/* ---------- the whole ---------- */

static void
root_field(void *arg, const char *key, int key_len, int key_flags,
		   const DpipeJsonValue *value)
{
	Look	   *look = arg;

	if (is_key(key, key_len, "ts"))
		look->us = as_number(value);
	else if (is_key(key, key_len, "brokers"))
		look->brokers = *value;
	else if (is_key(key, key_len, "topics"))
		look->topics = *value;
}

void
kafka_leaderless_add(KafkaLeaderless *l, const char *topic, int32 partition)
{
	if (l->n++ == 0)
		initStringInfo(&l->names);
	if (l->names.len < KAFKA_PROBLEM_LEN / 2)
		appendStringInfo(&l->names, "%stopic \"%s\" partition %d",
						 l->n > 1 ? ", " : "", topic, partition);
	else if (l->names.data[l->names.len - 1] != '.')
		appendStringInfoString(&l->names, ", ...");
}

void
kafka_leaderless_tell(KafkaLeaderless *l, int of, char *to)
{
	to[0] = '\0';
	if (l->n == 0)
		return;
	snprintf(to, KAFKA_PROBLEM_LEN,
			 "%d of %d partitions %s no leader and cannot be read: %s",
			 l->n, of, l->n == 1 ? "has" : "have", l->names.data);
	pfree(l->names.data);
}

static void
describe_leaderless(KafkaSlot *slot)
{
	const KafkaReader *reader = slot->reader;
	KafkaLeaderless l = {0};

	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (!p->unread && p->leader == KAFKA_NO_LEADER)
			kafka_leaderless_add(&l, p->topic, p->partition);
	}
	kafka_leaderless_tell(&l, reader->npartitions, slot->leaderless);
}

/* What was promised by a leader that is gone is asked for anew. */
static void
forget_owed(KafkaSlot *slot)
{
	for (int i = 0; i < slot->reader->npartitions; i++)
	{
		KafkaPartition *p = &slot->reader->partitions[i];
		const KafkaBroker *leader = kafka_slot_leader(slot, p);

		if (p->leader == KAFKA_NO_LEADER || (leader != NULL && !leader->up))
			p->owed = -1;
	}
}

bool
kafka_slot_take_statistics(KafkaSlot *slot)
{
	DpipeJsonValue root = {DPIPE_JSON_OBJECT};
	char		before[KAFKA_PROBLEM_LEN];
	Look		look = {.slot = slot};

	if (slot->client->statistics == NULL)
		return false;
	root.span = slot->client->statistics;
	root.span_len = strlen(root.span);
	look.now = GetCurrentTimestamp();
	each_field(&root, root_field, &look);
	each_field(&look.brokers, brokers_field, &look);
	each_field(&look.topics, topics_field, &look);

	if (slot->brokers != NULL)
		pfree(slot->brokers);
	slot->brokers = look.found;
	slot->nbrokers = look.nfound;
	slot->statistics_us = look.us;
	slot->statistics_at = look.now;
	pfree(slot->client->statistics);
	slot->client->statistics = NULL;

	forget_owed(slot);
	strlcpy(before, slot->leaderless, sizeof(before));
	describe_leaderless(slot);
	return strcmp(before, slot->leaderless) != 0;
}

const KafkaBroker *
kafka_slot_leader(const KafkaSlot *slot, const KafkaPartition *p)
{
	return p->leader >= 0 ? find_broker(slot, p->leader) : NULL;
}
