/*
 * probe.h
 *		Questions to the broker that librdkafka only answers by blocking,
 *		asked in a thread of their own.
 */
#ifndef DPIPE_KAFKA_PROBE_H
#define DPIPE_KAFKA_PROBE_H

#include "postgres.h"

#include <signal.h>

#include "kafka/client.h"

typedef struct KafkaProbe KafkaProbe;

typedef struct KafkaProbeTopic
{
	char	   *topic;
	int32		npartitions;	/* answer */
	rd_kafka_resp_err_t err;	/* answer: UNKNOWN_TOPIC_OR_PART, … */
} KafkaProbeTopic;

typedef struct KafkaProbePartition
{
	char	   *topic;
	int32		partition;
	int64		start_time_ms;	/* question: first offset at or after; -1: none */
	int64		stop_time_ms;
	int64		low;			/* answers */
	int64		high;
	int64		start_time_offset;	/* high when nothing is that late */
	int64		stop_time_offset;
	volatile sig_atomic_t answered;
	volatile sig_atomic_t leaderless;	/* why it is not answered */
} KafkaProbePartition;

/*
 * Ask how many partitions the topics have. Also for each partition in
 * "partitions" (may be none) its ends and times.
 */
extern KafkaProbe *kafka_probe_start(KafkaClient *client, int ntopics,
									 char *const *topics, int npartitions,
									 const KafkaProbePartition *partitions);

/* Does not wait. True when the answers are complete. */
extern bool kafka_probe_done(KafkaProbe *probe);

/*
 * Answers, valid until kafka_probe_free. Of a probe that is not done those
 * partitions count that are "answered".
 */
extern const KafkaProbeTopic *kafka_probe_topics(KafkaProbe *probe, int *n);
extern const KafkaProbePartition *kafka_probe_partitions(KafkaProbe *probe,
														 int *n);

/*
 * Stop asking. The thread may be in the middle of a call of the library; then
 * the probe is left with the client until it has come to its end.
 */
extern void kafka_probe_free(KafkaClient *client, KafkaProbe *probe);

/* Wait for the threads of retired probes; in any thread. */
extern void kafka_probes_join(KafkaProbe *probes);

#endif							/* DPIPE_KAFKA_PROBE_H */
