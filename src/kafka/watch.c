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
	return p->assigned && !p->unread && (p->stop < 0 || p->next < p->stop);
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

		if (!is_read(p) || !is_overdue(p->seen_at, now))
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

static void
take_answer(KafkaReader *reader, const KafkaProbePartition *answer,
			TimestampTz now)
{
	for (int i = 0; i < reader->npartitions; i++)
	{
		KafkaPartition *p = &reader->partitions[i];

		if (p->partition != answer->partition ||
			strcmp(p->topic, answer->topic) != 0)
			continue;
		p->seen_at = now;
		p->owed = answer->high > p->next ? answer->high : -1;
		p->end = Max(p->end, answer->high);
		return;
	}
}

static void
take_answers(KafkaSlot *slot, TimestampTz now)
{
	int			n;
	const KafkaProbePartition *answers = kafka_probe_partitions(slot->watch, &n);

	for (int i = 0; i < n; i++)
		take_answer(slot->reader, &answers[i], now);
	kafka_probe_free(slot->client, slot->watch);
	slot->watch = NULL;

	/* They answer: whatever was said of brokers that do not is over. */
	kafka_client_healthy(slot->client);
}

void
kafka_slot_watch(KafkaSlot *slot, TimestampTz now)
{
	const KafkaReader *reader = slot->reader;

	if (dpipe_stall_timeout == 0)
		return;
	if (slot->watch != NULL)
	{
		if (kafka_probe_done(slot->watch))
			take_answers(slot, now);
		/* Brokers that are away are nothing that another handle would mend. */
		else if (is_overdue(slot->watched_at, now) &&
				 slot->client->problem[0] == '\0')
			give_up_deaf(slot);
		return;
	}
	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->owed > p->next && is_read(p) && is_overdue(p->seen_at, now))
			give_up_silent(slot, p);
	}
	ask_quiet(slot, now);
}
