/*
 * probe.c
 *		Questions to the broker that librdkafka only answers by blocking.
 *
 * Metadata, watermarks and times cannot be asked for without waiting, and a
 * backend that waits in a library call stalls procsignal barriers for the
 * whole cluster. So a thread asks, with short time-outs and a flag that ends
 * it, and writes to the client's wake pipe when the answers are complete. It
 * calls nothing of PostgreSQL; what it shares with the main thread is malloc'd
 * and belongs to the thread until "done" is set. Nobody waits for its end but
 * the thread that destroys the handle.
 */
#include "base/compat.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "kafka/probe.h"

/* One blocking call of the thread; bounds how long it outlives its use. */
#define CALL_TIMEOUT_MS 500
#define RETRY_SLEEP_MS 100

struct KafkaProbe
{
	rd_kafka_t *rk;
	int			wake_write;
	pthread_t	thread;
	volatile sig_atomic_t cancel;
	volatile sig_atomic_t done; /* the answers are complete */
	volatile sig_atomic_t ended;	/* the thread does nothing any more */
	KafkaProbe *next;			/* in the client's list of retired ones */
	int			ntopics;
	KafkaProbeTopic *topics;
	int			npartitions;
	KafkaProbePartition *partitions;
};

/* ---------- in the thread ---------- */

static void
pause_thread(void)
{
	usleep(RETRY_SLEEP_MS * 1000);
}

/*
 * What the brokers know of a topic, to be destroyed, or NULL: no answer. A
 * name that cannot be a topic's is told by "err".
 */
static const struct rd_kafka_metadata *
ask_metadata(KafkaProbe *probe, const char *topic, rd_kafka_resp_err_t *err)
{
	const struct rd_kafka_metadata *md = NULL;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(probe->rk, topic, NULL);

	*err = rkt == NULL ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
	if (rkt == NULL)
		return NULL;
	if (rd_kafka_metadata(probe->rk, 0, rkt, &md, CALL_TIMEOUT_MS) !=
		RD_KAFKA_RESP_ERR_NO_ERROR)
		md = NULL;
	rd_kafka_topic_destroy(rkt);
	return md;
}

/* In the brokers' answer about a topic; NULL: they do not know it. */
static const rd_kafka_metadata_topic_t *
find_topic(const struct rd_kafka_metadata *md, const char *topic)
{
	for (int i = 0; i < md->topic_cnt; i++)
		if (strcmp(md->topics[i].topic, topic) == 0)
			return &md->topics[i];
	return NULL;
}

/* True when there is an answer, also one that says "no such topic". */
static bool
ask_topic(KafkaProbe *probe, KafkaProbeTopic *t)
{
	const rd_kafka_metadata_topic_t *found;
	const struct rd_kafka_metadata *md = ask_metadata(probe, t->topic, &t->err);

	if (md == NULL)
		return t->err != RD_KAFKA_RESP_ERR_NO_ERROR;
	found = find_topic(md, t->topic);
	t->err = found != NULL ? found->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (found != NULL)
		t->npartitions = found->partition_cnt;
	rd_kafka_metadata_destroy(md);
	return t->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

/* Do the brokers say that nobody leads it? False also when they say nothing. */
static bool
has_no_leader(KafkaProbe *probe, const KafkaProbePartition *p)
{
	const rd_kafka_metadata_topic_t *found;
	rd_kafka_resp_err_t err;
	const struct rd_kafka_metadata *md = ask_metadata(probe, p->topic, &err);
	bool		none = false;

	if (md == NULL)
		return false;
	found = find_topic(md, p->topic);
	for (int i = 0; found != NULL && i < found->partition_cnt; i++)
		if (found->partitions[i].id == p->partition)
			none = found->partitions[i].leader < 0;
	rd_kafka_metadata_destroy(md);
	return none;
}

static bool
ask_time(KafkaProbe *probe, const KafkaProbePartition *p, int64 ms,
		 int64 *offset)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err;
	bool		ok;

	if (ms < 0 || probe->cancel)
		return true;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, p->topic, p->partition)->offset = ms;
	err = rd_kafka_offsets_for_times(probe->rk, list, CALL_TIMEOUT_MS);
	ok = (err == RD_KAFKA_RESP_ERR_NO_ERROR &&
		  list->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR);
	if (ok)
		*offset = list->elems[0].offset >= 0 ? list->elems[0].offset : p->high;
	rd_kafka_topic_partition_list_destroy(list);
	return ok;
}

static bool
ask_partition(KafkaProbe *probe, KafkaProbePartition *p)
{
	if (rd_kafka_query_watermark_offsets(probe->rk, p->topic, p->partition,
										 &p->low, &p->high, CALL_TIMEOUT_MS)
		!= RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	return ask_time(probe, p, p->start_time_ms, &p->start_time_offset) &&
		ask_time(probe, p, p->stop_time_ms, &p->stop_time_offset);
}

/* One pass over those without an answer. True when there are none left. */
static bool
ask_partitions(KafkaProbe *probe)
{
	bool		complete = true;

	for (int i = 0; i < probe->npartitions && !probe->cancel; i++)
	{
		KafkaProbePartition *p = &probe->partitions[i];

		if (p->answered)
			continue;
		if (ask_partition(probe, p))
		{
			__sync_synchronize();
			p->answered = 1;
		}
		else
		{
			complete = false;
			if (!probe->cancel)
				p->leaderless = has_no_leader(probe, p);
		}
	}
	return complete;
}

static void *
probe_thread(void *arg)
{
	KafkaProbe *probe = arg;

	for (int i = 0; i < probe->ntopics && !probe->cancel; i++)
		while (!ask_topic(probe, &probe->topics[i]) && !probe->cancel)
			pause_thread();
	while (!ask_partitions(probe) && !probe->cancel)
		pause_thread();
	if (!probe->cancel)
	{
		__sync_synchronize();
		probe->done = 1;
		/* A full pipe wakes the reader just as well. */
		(void) !write(probe->wake_write, "p", 1);
	}
	__sync_synchronize();
	probe->ended = 1;
	return NULL;
}

/* ---------- in the main thread ---------- */

static void *
checked_calloc(size_t n, size_t size)
{
	void	   *p = calloc(Max(n, 1), size);

	if (p == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return p;
}

static char *
checked_strdup(const char *s)
{
	char	   *copy = checked_calloc(strlen(s) + 1, 1);

	strcpy(copy, s);
	return copy;
}

static void
release_memory(KafkaProbe *probe)
{
	for (int i = 0; i < probe->ntopics; i++)
		free(probe->topics[i].topic);
	for (int i = 0; i < probe->npartitions; i++)
		free(probe->partitions[i].topic);
	free(probe->topics);
	free(probe->partitions);
	free(probe);
}

void
kafka_probes_join(KafkaProbe *probes)
{
	while (probes != NULL)
	{
		KafkaProbe *next = probes->next;

		pthread_join(probes->thread, NULL);
		release_memory(probes);
		probes = next;
	}
}

/* Let go of retired probes whose threads have ended meanwhile. */
static void
reap_probes(KafkaClient *client)
{
	KafkaProbe **link = &client->retired;

	while (*link != NULL)
	{
		KafkaProbe *probe = *link;

		if (!probe->ended)
		{
			link = &probe->next;
			continue;
		}
		*link = probe->next;
		probe->next = NULL;
		kafka_probes_join(probe);
	}
}

KafkaProbe *
kafka_probe_start(KafkaClient *client, int ntopics, char *const *topics,
				  int npartitions, const KafkaProbePartition *partitions)
{
	KafkaProbe *probe = checked_calloc(1, sizeof(KafkaProbe));

	reap_probes(client);
	probe->rk = client->rk;
	probe->wake_write = client->wake_write;
	probe->topics = checked_calloc(ntopics, sizeof(KafkaProbeTopic));
	probe->partitions = checked_calloc(npartitions,
									   sizeof(KafkaProbePartition));
	for (int i = 0; i < ntopics; i++)
	{
		probe->topics[i].topic = checked_strdup(topics[i]);
		probe->ntopics++;
	}
	for (int i = 0; i < npartitions; i++)
	{
		probe->partitions[i] = partitions[i];
		probe->partitions[i].topic = checked_strdup(partitions[i].topic);
		probe->npartitions++;
	}
	if (kafka_start_thread(probe_thread, probe, &probe->thread) != 0)
	{
		release_memory(probe);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a thread")));
	}
	return probe;
}

bool
kafka_probe_done(KafkaProbe *probe)
{
	bool		done = probe->done != 0;

	__sync_synchronize();
	return done;
}

const KafkaProbeTopic *
kafka_probe_topics(KafkaProbe *probe, int *n)
{
	*n = probe->ntopics;
	return probe->topics;
}

const KafkaProbePartition *
kafka_probe_partitions(KafkaProbe *probe, int *n)
{
	*n = probe->npartitions;
	return probe->partitions;
}

void
kafka_probe_free(KafkaClient *client, KafkaProbe *probe)
{
	probe->cancel = 1;
	probe->next = client->retired;
	client->retired = probe;
	reap_probes(client);
}
