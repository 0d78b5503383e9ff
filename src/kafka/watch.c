/*
 * watch.c
 *		Does the handle still deliver?
 *
 * A consumer handle can fall silent for good, most often when brokers have
 * been restarted, while the same brokers answer everybody else. So a partition
 * that has shown nothing for dpipe.stall_timeout is asked for its end. When
 * there is something before that end, and nothing comes in the same time
 * again, the handle is given up: an error ends the worker, and the handle with
 * it, and the next worker makes another. Delay, reason and log are those of
 * any failure.
 *
 * Looked at only when the queue is empty, or it would be the records that wait
 * for us. The end that a broker tells is the one that read_committed readers
 * can reach, so a transaction that stays open is no silence.
 *
 * Nor is it silence when another handle would hear no more: of a partition
 * without a leader, of one whose leader the client tries to connect to, and
 * while a response comes in that takes long. The client's statistics tell.
 */
#include "base/compat.h"

#include "base/settings.h"
#include "kafka/probe.h"
#include "kafka/slot.h"

static bool
is_overdue(TimestampTz since, TimestampTz now)
{
	return TimestampDifferenceExceeds(since, now, dpipe_stall_timeout);
}

static bool
is_read(const KafkaPartition *p)
{
	return p->assigned && !p->unread && p->leader != KAFKA_NO_LEADER &&
		(p->stop < 0 || p->next < p->stop);
}

static bool
is_quiet(const KafkaSlot *slot, const KafkaPartition *p, TimestampTz now)
{
	const KafkaBroker *leader = kafka_slot_leader(slot, p);

	return is_overdue(p->seen_at, now) &&
		(leader == NULL || is_overdue(leader->receiving_at, now));
}

static KafkaPartition *
find_partition(KafkaReader *reader, const KafkaProbePartition *answer)
{
	for (int i = 0; i < reader->npartitions; i++)
	{
		KafkaPartition *p = &reader->partitions[i];

		if (p->partition == answer->partition &&
			strcmp(p->topic, answer->topic) == 0)
			return p;
	}
	return NULL;
}

/* The same words each time: then they are logged once a minute. */
static void
give_up_silent(const KafkaSlot *slot, const KafkaPartition *p)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the Kafka client of source \"%s\" delivers nothing of topic \"%s\" partition %d, which has records",
					slot->source->name, p->topic, p->partition),
			 errdetail("The position is " INT64_FORMAT ", the log's end " INT64_FORMAT ".",
					   p->next, p->owed),
			 errhint("A new client takes its place. How long one may be silent is told by dpipe.stall_timeout.")));
}

static void
give_up_deaf(const KafkaSlot *slot)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("the Kafka client of source \"%s\" does not answer",
					slot->source->name),
			 errhint("A new client takes its place. How long one may be silent is told by dpipe.stall_timeout.")));
}

/* Ask about all partitions that have been quiet for too long. */
static void
ask_quiet(KafkaSlot *slot, TimestampTz now)
{
	KafkaReader *reader = slot->reader;
	KafkaProbePartition *questions = NULL;
	int			n = 0;

	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (!is_read(p) || !is_quiet(slot, p, now))
			continue;
		if (questions == NULL)
			questions = palloc(sizeof(KafkaProbePartition) * reader->npartitions);
		questions[n++] = (KafkaProbePartition) {
			.topic = p->topic,
			.partition = p->partition,
			.start_time_ms = -1,
			.stop_time_ms = -1,
		};
	}
	if (n == 0)
		return;
	slot->watched_at = now;
	slot->watch = kafka_probe_start(slot->client, 0, NULL, n, questions);
}

/* The answers that have come, and the end of asking. */
static void
take_answers(KafkaSlot *slot, TimestampTz now)
{
	int			n;
	const KafkaProbePartition *answers = kafka_probe_partitions(slot->watch, &n);

	for (int i = 0; i < n; i++)
	{
		KafkaPartition *p = find_partition(slot->reader, &answers[i]);

		if (p == NULL || !answers[i].answered)
			continue;
		p->seen_at = now;
		p->owed = answers[i].high > p->next ? answers[i].high : -1;
		p->end = Max(p->end, answers[i].high);
	}
	kafka_probe_free(slot->client, slot->watch);
	slot->watch = NULL;
}

/*
 * No answer came. Would it come to another handle? Without statistics it is
 * enough that the client reports no trouble with brokers.
 */
static bool
is_deaf(const KafkaSlot *slot, const KafkaPartition *p, TimestampTz now)
{
	const KafkaBroker *leader = kafka_slot_leader(slot, p);
	bool		complains = slot->client->problem[0] != '\0';

	if (!is_read(p))
		return false;
	if (leader == NULL)
		return !complains;
	if (leader->up)
		return leader->idle_us < 0 ||
			is_overdue(slot->statistics_at - leader->idle_us, now);
	return !complains && leader->attempt_at <= slot->watched_at;
}

static void
await_answers(KafkaSlot *slot, TimestampTz now)
{
	int			n;
	const KafkaProbePartition *answers = kafka_probe_partitions(slot->watch, &n);

	if (kafka_probe_done(slot->watch))
	{
		take_answers(slot, now);
		/* They answer: whatever was said of brokers that do not is over. */
		kafka_client_healthy(slot->client);
		return;
	}
	if (!is_overdue(slot->watched_at, now))
		return;
	for (int i = 0; i < n; i++)
	{
		const KafkaPartition *p = find_partition(slot->reader, &answers[i]);

		if (p != NULL && !answers[i].answered && is_deaf(slot, p, now))
			give_up_deaf(slot);
	}
	take_answers(slot, now);
}

void
kafka_slot_watch(KafkaSlot *slot, TimestampTz now)
{
	const KafkaReader *reader = slot->reader;

	if (dpipe_stall_timeout == 0)
		return;
	if (slot->watch != NULL)
	{
		await_answers(slot, now);
		return;
	}
	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->owed > p->next && is_read(p) && is_quiet(slot, p, now))
			give_up_silent(slot, p);
	}
	ask_quiet(slot, now);
}
