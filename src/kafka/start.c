/*
 * start.c
 *		Find the partitions of a slot and where each begins.
 *
 * Partition p belongs to slot p % workers. A partition that is met when its
 * topic is new to the slot begins where the source's "start" says; one that
 * is added to a topic later begins at offset 0, whatever "start" says, or its
 * first records would be lost.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "base/settings.h"
#include "catalog/status.h"
#include "kafka/place.h"
#include "kafka/probe.h"
#include "kafka/slot.h"

#define ASK_TICK_MS 200
#define FOREGROUND_PATIENCE_MS 30000	/* before a client is told */
#define MISSING_TOPIC_PATIENCE_MS 3000
#define MISSING_TOPIC_RETRY_MS 2000

/* ---------- asking ---------- */

static void
raise_no_broker(const KafkaSlot *slot)
{
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("no broker of server \"%s\" answers", slot->source->server),
			 slot->client->problem[0] != '\0' ?
			 errdetail("The Kafka client says: %s.", slot->client->problem) : 0,
			 errhint("Check bootstrap.servers and the security options of the server and the user mapping.")));
}

/* Brokers answer, but nobody can for these; "" when there are none. */
static void
describe_leaderless(KafkaSlot *slot, char *to)
{
	KafkaLeaderless l = {0};
	int			n;
	const KafkaProbePartition *partitions = kafka_probe_partitions(slot->probe, &n);

	for (int i = 0; i < n; i++)
		if (!partitions[i].answered && partitions[i].leaderless)
			kafka_leaderless_add(&l, partitions[i].topic,
								 partitions[i].partition);
	kafka_leaderless_tell(&l, n, to);
}

static void
raise_no_answer(KafkaSlot *slot)
{
	char		leaderless[KAFKA_PROBLEM_LEN];

	describe_leaderless(slot, leaderless);
	if (leaderless[0] == '\0')
		raise_no_broker(slot);
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("source \"%s\": %s", slot->source->name, leaderless),
			 errhint("Start the brokers that have its replicas, or let Kafka elect a leader among those that are left; then call again.")));
}

/* A worker's state says what it waits for. */
static void
show_waiting(KafkaSlot *slot)
{
	char		leaderless[KAFKA_PROBLEM_LEN];
	char		reason[DPIPE_REASON_LEN];

	describe_leaderless(slot, leaderless);
	if (leaderless[0] == '\0' && slot->client->problem[0] == '\0')
		return;
	if (leaderless[0] != '\0')
		strlcpy(reason, leaderless, sizeof(reason));
	else
		snprintf(reason, sizeof(reason), "waiting for the brokers: %s",
				 slot->client->problem);
	dpipe_status_set_state(DPIPE_SLOT_RETRYING, reason);
}

/*
 * Wait for a probe. A worker waits as long as it takes, visibly; a client
 * hears after a while. False: had to end before.
 */
static bool
await_probe(KafkaSlot *slot, KafkaSlotEnd *end)
{
	TimestampTz begun = GetCurrentTimestamp();

	while (!kafka_probe_done(slot->probe))
	{
		kafka_slot_wait(slot, ASK_TICK_MS);
		if (kafka_probe_done(slot->probe))
			break;
		if (slot->foreground &&
			TimestampDifferenceExceeds(begun, GetCurrentTimestamp(),
									   FOREGROUND_PATIENCE_MS))
			raise_no_answer(slot);
		show_waiting(slot);
		if (kafka_slot_must_end(slot, end))
			return false;
	}
	return true;
}

static void
drop_probe(KafkaSlot *slot)
{
	kafka_probe_free(slot->client, slot->probe);
	slot->probe = NULL;
}

static const KafkaProbeTopic *
missing_topic(KafkaProbe *probe)
{
	int			n;
	const KafkaProbeTopic *topics = kafka_probe_topics(probe, &n);

	for (int i = 0; i < n; i++)
		if (topics[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
			return &topics[i];
	return NULL;
}

static void
raise_missing_topic(const KafkaSlot *slot, const KafkaProbeTopic *t)
{
	ereport(ERROR,
			(errcode(t->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ?
					 ERRCODE_INSUFFICIENT_PRIVILEGE : ERRCODE_UNDEFINED_OBJECT),
			 errmsg("topic \"%s\" of source \"%s\" cannot be read: %s",
					t->topic, slot->source->name, rd_kafka_err2str(t->err))));
}

/*
 * Ask until every topic is there. A topic that was just made may be unknown
 * to a broker for a moment.
 */
static bool
ask_topics(KafkaSlot *slot, KafkaSlotEnd *end)
{
	TimestampTz begun = GetCurrentTimestamp();
	const KafkaProbeTopic *missing;

	for (;;)
	{
		slot->probe = kafka_probe_start(slot->client, slot->source->ntopics,
										slot->source->topics, 0, NULL);
		if (!await_probe(slot, end))
			return false;
		missing = missing_topic(slot->probe);
		if (missing == NULL)
			return true;
		if (TimestampDifferenceExceeds(begun, GetCurrentTimestamp(),
									   MISSING_TOPIC_PATIENCE_MS))
			raise_missing_topic(slot, missing);
		drop_probe(slot);
		kafka_slot_wait(slot, ASK_TICK_MS);
	}
}

bool
kafka_slot_ask_ends(KafkaSlot *slot, const char *topic, int32 partition,
					int64 *low, int64 *high, KafkaSlotEnd *end)
{
	KafkaProbePartition question = {(char *) topic, partition, -1, -1};
	const KafkaProbePartition *answer;
	int			n;

	if (slot->probe != NULL)
		drop_probe(slot);
	slot->probe = kafka_probe_start(slot->client, 0, NULL, 1, &question);
	if (!await_probe(slot, end))
		return false;
	answer = kafka_probe_partitions(slot->probe, &n);
	*low = answer->low;
	*high = answer->high;
	drop_probe(slot);
	return true;
}

/* ---------- deciding ---------- */

static bool
is_started(const DpipePosition *p, const char *topic)
{
	/*
	 * A position alone does not say so: dpipe_seek gives one to a partition
	 * of a topic that nobody has read yet.
	 */
	for (int i = 0; i < p->nstarted; i++)
		if (strcmp(p->started[i], topic) == 0)
			return true;
	return false;
}

static int64
start_offset(const KafkaPlace *start, const KafkaProbePartition *p)
{
	int64		listed;

	switch (start->kind)
	{
		case KAFKA_PLACE_EARLIEST:
			return p->low;
		case KAFKA_PLACE_LATEST:
			return p->high;
		case KAFKA_PLACE_TIME:
			return p->start_time_offset;
		case KAFKA_PLACE_OFFSETS:
			listed = kafka_place_listed_offset(start, p->topic, p->partition);
			return listed >= 0 ? listed : p->low;
	}
	return p->low;
}

/* The offset to stop at; partitions that are not listed stop at their end. */
static int64
stop_offset(const KafkaPlace *stop, const KafkaProbePartition *p)
{
	int64		listed;

	switch (stop->kind)
	{
		case KAFKA_PLACE_EARLIEST:
			return p->low;
		case KAFKA_PLACE_LATEST:
			return p->high;
		case KAFKA_PLACE_TIME:
			return p->stop_time_offset;
		case KAFKA_PLACE_OFFSETS:
			listed = kafka_place_listed_offset(stop, p->topic, p->partition);
			return listed >= 0 ? listed : p->high;
	}
	return p->high;
}

typedef struct Bounds
{
	KafkaPlace	start;
	KafkaPlace	stop;
	bool		has_stop;
} Bounds;

static Bounds
source_bounds(const DpipeSource *source)
{
	Bounds		b;

	b.start = kafka_place_parse(source->start, "start");
	b.has_stop = source->stop_at != NULL;
	b.stop = b.has_stop ? kafka_place_parse(source->stop_at, "stop_at") : b.start;
	return b;
}

/*
 * Which partitions must be asked about: those without a position, and with a
 * stop that was not settled yet all of them. A client's CALL reads up to the
 * ends as they are now, so it asks about all.
 */
static KafkaProbePartition *
make_questions(KafkaSlot *slot, const Bounds *bounds, int *n)
{
	int			ntopics;
	const KafkaProbeTopic *topics = kafka_probe_topics(slot->probe, &ntopics);
	KafkaProbePartition *questions;
	int			total = 0;

	for (int t = 0; t < ntopics; t++)
		total += topics[t].npartitions;
	questions = palloc(sizeof(KafkaProbePartition) * Max(total, 1));
	*n = 0;
	for (int t = 0; t < ntopics; t++)
		for (int32 p = 0; p < topics[t].npartitions; p++)
		{
			int			known;
			KafkaProbePartition *q = &questions[*n];

			if (p % slot->source->workers != slot->slot)
				continue;
			known = dpipe_position_find(slot->committed, topics[t].topic, p, 0);
			if (known >= 0 && !slot->foreground &&
				(!bounds->has_stop || slot->committed->stop_offset[known] >= 0))
				continue;
			memset(q, 0, sizeof(*q));
			q->topic = pstrdup(topics[t].topic);
			q->partition = p;
			q->start_time_ms = bounds->start.time_ms;
			q->stop_time_ms = bounds->has_stop ? bounds->stop.time_ms : -1;
			(*n)++;
		}
	return questions;
}

static void
append_partition(DpipePosition *p, const char *topic, int32 partition,
				 int64 next, int64 end, int64 stop)
{
	int			n = p->npartitions++;

	p->topic[n] = pstrdup(topic);
	p->partition[n] = partition;
	p->next_offset[n] = next;
	p->end_offset[n] = end;
	p->stop_offset[n] = stop;
	p->last_timestamp[n] = -1;
	p->print_offset[n] = -1;
	p->print_timestamp[n] = -1;
	p->print_crc[n] = -1;
}

static DpipePosition *
apply_answers(KafkaSlot *slot, const Bounds *bounds)
{
	int			n;
	const KafkaProbePartition *answers = kafka_probe_partitions(slot->probe, &n);
	DpipePosition *next = dpipe_position_copy(slot->committed,
											  n + slot->source->ntopics);

	for (int i = 0; i < n; i++)
	{
		const KafkaProbePartition *a = &answers[i];
		int			known = dpipe_position_find(next, a->topic, a->partition, i);
		int64		stop = bounds->has_stop ? stop_offset(&bounds->stop, a) : -1;

		if (known < 0)
			append_partition(next, a->topic, a->partition,
							 is_started(slot->committed, a->topic) ? 0 :
							 start_offset(&bounds->start, a), a->high, stop);
		else
		{
			next->end_offset[known] = a->high;
			if (next->stop_offset[known] < 0)
				next->stop_offset[known] = stop;
		}
	}
	for (int t = 0; t < slot->source->ntopics; t++)
		if (!is_started(slot->committed, slot->source->topics[t]))
			next->started[next->nstarted++] = pstrdup(slot->source->topics[t]);
	return next;
}

/* Write a position that differs in its partitions. False: slot was moved. */
static bool
store_partitions(KafkaSlot *slot, const DpipePosition *next)
{
	bool		mine;

	kafka_slot_begin(slot);
	mine = dpipe_position_compare(slot->source, slot->slot, slot->committed,
								  slot->foreground);
	if (mine)
		dpipe_position_set(slot->source, slot->slot, next, NULL);
	DPIPE_FAULT_POINT("partitions_stored");
	kafka_slot_commit(slot);
	if (mine)
		kafka_slot_keep_position(slot, next);
	return mine;
}

static bool
is_wanted_topic(const DpipeSource *source, const char *topic)
{
	for (int i = 0; i < source->ntopics; i++)
		if (strcmp(source->topics[i], topic) == 0)
			return true;
	return false;
}

/* A client's CALL stops at the end as it is now, or earlier. */
static int64
effective_stop(const KafkaSlot *slot, int i)
{
	int64		stop = slot->committed->stop_offset[i];
	int64		end = slot->committed->end_offset[i];

	if (!slot->foreground || end < 0)
		return stop;
	return stop >= 0 ? Min(stop, end) : end;
}

static void
add_partitions(KafkaSlot *slot, int from)
{
	const DpipePosition *c = slot->committed;

	for (int i = from; i < c->npartitions; i++)
	{
		kafka_reader_add(slot->reader, c->topic[i], c->partition[i],
						 c->next_offset[i], effective_stop(slot, i),
						 c->print_offset[i], c->print_timestamp[i],
						 c->print_crc[i]);
		/* A topic that was taken out keeps its place, unread. */
		if (!is_wanted_topic(slot->source, c->topic[i]))
		{
			slot->reader->partitions[i].assigned = true;
			slot->reader->partitions[i].unread = true;
			slot->reader->partitions[i].at_end = true;
			slot->reader->partitions[i].print_offset = -1;
			slot->reader->partitions[i].end = c->next_offset[i];
			slot->reader->partitions[i].stop = -1;
		}
	}
	kafka_reader_assign(slot->reader);
}

bool
kafka_slot_start(KafkaSlot *slot, KafkaSlotEnd *end)
{
	Bounds		bounds = source_bounds(slot->source);
	KafkaProbePartition *questions;
	DpipePosition *next;
	int			n;

	MemoryContextSwitchTo(slot->scratch);
	if (!ask_topics(slot, end))
		return false;
	questions = make_questions(slot, &bounds, &n);
	drop_probe(slot);
	slot->probe = kafka_probe_start(slot->client, 0, NULL, n, questions);
	if (!await_probe(slot, end))
		return false;

	slot->reader = kafka_reader_create(slot->client, slot->source, slot->cxt);
	slot->discovered_at = GetCurrentTimestamp();
	next = apply_answers(slot, &bounds);
	drop_probe(slot);
	if (!store_partitions(slot, next))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("source \"%s\" was changed while it started",
						slot->source->name)));
	add_partitions(slot, 0);
	return true;
}

/* ---------- new partitions while running ---------- */

static DpipePosition *
with_new_partitions(KafkaSlot *slot, int *added)
{
	int			ntopics;
	const KafkaProbeTopic *topics = kafka_probe_topics(slot->probe, &ntopics);
	DpipePosition *next;
	int			room = 0;

	*added = 0;
	for (int t = 0; t < ntopics; t++)
		room += topics[t].npartitions;
	next = dpipe_position_copy(slot->committed, room);
	for (int t = 0; t < ntopics; t++)
		for (int32 p = 0; p < topics[t].npartitions; p++)
			if (p % slot->source->workers == slot->slot &&
				dpipe_position_find(next, topics[t].topic, p, 0) < 0)
			{
				append_partition(next, topics[t].topic, p, 0, -1, -1);
				(*added)++;
			}
	return next;
}

bool
kafka_slot_discover(KafkaSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	DpipePosition *next;
	int			before = slot->committed->npartitions;
	int			added;
	bool		ok = true;

	/* A bounded read has the partitions that were there when it began. */
	if (slot->foreground || slot->source->stop_at != NULL)
		return true;
	if (slot->probe == NULL)
	{
		if (!TimestampDifferenceExceeds(slot->discovered_at, now,
										dpipe_discovery_interval))
			return true;
		slot->discovered_at = now;
		slot->probe = kafka_probe_start(slot->client, slot->source->ntopics,
										slot->source->topics, 0, NULL);
		return true;
	}

	/* The position is compared as a whole, so no batch may be under way. */
	if (!kafka_probe_done(slot->probe) || slot->reader->batch.nrecords > 0)
		return true;
	next = with_new_partitions(slot, &added);
	drop_probe(slot);
	if (added > 0)
	{
		ok = store_partitions(slot, next);
		if (ok)
			add_partitions(slot, before);
	}
	return ok;
}
