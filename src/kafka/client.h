/*
 * client.h
 *		A librdkafka consumer handle inside a backend.
 */
#ifndef DPIPE_KAFKA_CLIENT_H
#define DPIPE_KAFKA_CLIENT_H

#include "postgres.h"

#include <pthread.h>

#include <librdkafka/rdkafka.h>

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"

#define KAFKA_PROBLEM_LEN 256

typedef struct KafkaClient
{
	char	   *source;			/* for messages */
	rd_kafka_t *rk;
	rd_kafka_queue_t *consumer_queue;
	rd_kafka_queue_t *main_queue;
	rd_kafka_queue_t *log_queue;
	int			wake_read;		/* readable when a queue or a thread has news */
	int			wake_write;
	bool		brokers_down;	/* said by librdkafka, until data flows again */
	bool		too_large;		/* a broker sends more than we receive */
	char		problem[KAFKA_PROBLEM_LEN]; /* the latest trouble, in words */
	TimestampTz problem_logged_at;
	bool		token_failed;	/* the handle must go: see kafka_client_serve */
	char	   *statistics;		/* the latest, until statistics.c took them */
	List	   *secrets;		/* char *, never to be shown */
	uint64		properties;		/* hash of those that it was made with */
	struct KafkaProbe *retired; /* given up, their threads not yet at an end */
} KafkaClient;

/* Make a handle with the properties that "role" may use. */
extern KafkaClient *kafka_client_open(const DpipeSource *source, Oid role);

/*
 * Would a handle be made with other properties now? Raises what
 * kafka_client_open would, when "role" may not use the server any more.
 */
extern bool kafka_client_is_outdated(const KafkaClient *client,
									 const DpipeSource *source, Oid role);

/*
 * Destroy the handle without ever blocking for long. All messages must have
 * been released. Workers need not call it: they end by _exit().
 */
extern void kafka_client_close(KafkaClient *client);

/* Take what librdkafka logged or reported; drains the wake pipe too. */
extern void kafka_client_serve(KafkaClient *client);

/*
 * Make a text of the library or of a broker fit to be logged and shown: valid
 * UTF-8, one line, nothing secret in it. Clipped to "size".
 */
extern void kafka_client_take_text(const KafkaClient *client, char *to,
								   size_t size, const char *from);

/* Data arrived: whatever was wrong is over. */
extern void kafka_client_healthy(KafkaClient *client);

/* Start a thread with all signals blocked. Zero, or what pthread_create says. */
extern int	kafka_start_thread(void *(*body) (void *), void *arg,
							   pthread_t *thread);

#endif							/* DPIPE_KAFKA_CLIENT_H */
