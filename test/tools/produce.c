/*
 * produce.c
 *		Records into a topic, and the exact truth about them.
 *
 *		produce -b BROKERS --topic T --partitions P --records N
 *			[--producers K]			threads, each a producer of its own
 *			[--txn-producers T]		so many of them transactional
 *			[--txn-records N]		records a transaction
 *			[--abort-every K]		each K-th transaction is aborted
 *			[--rate R]				records a second, all producers together
 *			[--credit]				lines on stdin allow more; see common.h
 *			[--payload small|event|columns|tiny]
 *			[--malformed-every N]	no JSON
 *			[--seed S]
 *			[--log F] [--aborted F] [--unknown F]
 *
 * A record that is aborted counts towards N. Files, a record a line:
 *
 *	log		committed: topic, partition, offset, md5 of the payload. From
 *			delivery reports; of a transaction once its commit has succeeded.
 *	aborted	the same for records that the broker took and that were aborted:
 *			flushed before the abort, else librdkafka would only purge its
 *			queue and no aborted record would ever reach the log.
 *	unknown	topic, partition, md5: records whose fate the broker never told
 *			(it died and the producer with it). A reader of the topic decides.
 *
 * A broker that is killed and comes back is survived: messages never time
 * out, and a producer with a fatal error is replaced by a new one.
 */
#include "payload.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>

#define SMALL_PAD 60
#define TXN_TIMEOUT_MS 60000

typedef struct Record
{
	char		topic[256];
	int32_t		partition;
	int64_t		offset;
	char		md5[MD5_HEX_LEN];
} Record;

typedef struct Producer
{
	int			number;
	bool		transactional;
	rd_kafka_t *rk;
	uint64_t	rng;
	int64_t		next_record;	/* every "producers"-th is this one's */
	int64_t		next_us;		/* when the rate allows the next record */
	int64_t		transactions;

	/* delivered in the open transaction */
	Record	   *pending;
	int			npending;
	int			maxpending;
} Producer;

static const char *brokers;
static const char *topic = "t";
static int	partitions = 1;
static int64_t records = 1000;
static int	producers = 1;
static int	txn_producers;
static int	txn_records = 100;
static int	abort_every = 3;
static int64_t rate;
static enum
{
	PAYLOAD_SMALL, PAYLOAD_EVENT, PAYLOAD_COLUMNS, PAYLOAD_TINY
}			payload_kind;
static int64_t malformed_every;
static uint64_t seed = 1;
static char run_id[32];			/* of the transactional ids */

static _Atomic int64_t committed;
static _Atomic int64_t aborted;
static _Atomic int64_t unknown;

/* stdio locks each call, so a line is written whole */
static FILE *log_file;
static FILE *aborted_file;
static FILE *unknown_file;
static bool logging;			/* any of them: md5s are needed */

static FILE *
open_log(const char *path)
{
	FILE	   *file = fopen(path, "w");

	if (file == NULL)
		die("could not open \"%s\": %m", path);
	logging = true;
	return file;
}

static void
set_payload(const char *name)
{
	static const char *const names[] = {"small", "event", "columns", "tiny"};

	for (int i = 0; i < 4; i++)
	{
		if (strcmp(name, names[i]) == 0)
		{
			payload_kind = i;
			return;
		}
	}
	die("there is no payload \"%s\"", name);
}

static void
log_record(FILE *file, const Record *record)
{
	if (file != NULL)
		fprintf(file, "%s\t%d\t%" PRId64 "\t%s\n", record->topic,
				record->partition, record->offset, record->md5);
}

static void
log_unknown(const char *name, int32_t partition, const char *md5)
{
	unknown++;
	if (unknown_file != NULL)
		fprintf(unknown_file, "%s\t%d\t%s\n", name, partition, md5);
}

static void
pending_add(Producer *producer, const Record *record)
{
	if (producer->npending == producer->maxpending)
	{
		producer->maxpending = producer->maxpending * 2 + 64;
		producer->pending = realloc(producer->pending,
									producer->maxpending * sizeof(Record));
		if (producer->pending == NULL)
			die("out of memory");
	}
	producer->pending[producer->npending++] = *record;
}

/* Called in the producer's own thread, from rd_kafka_poll and _flush. */
static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	Producer   *producer = opaque;
	char	   *md5 = message->_private;
	Record		record;

	snprintf(record.topic, sizeof(record.topic), "%s",
			 rd_kafka_topic_name(message->rkt));
	record.partition = message->partition;
	record.offset = message->offset;
	memcpy(record.md5, md5 ? md5 : "", md5 ? MD5_HEX_LEN : 1);
	free(md5);

	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (producer->transactional)
			pending_add(producer, &record);
		else
		{
			committed++;
			log_record(log_file, &record);
		}
	}
	else if (rd_kafka_message_status(message) !=
			 RD_KAFKA_MSG_STATUS_NOT_PERSISTED && !producer->transactional)
		log_unknown(record.topic, record.partition, record.md5);
}

static void
check(rd_kafka_error_t *error, const char *what)
{
	if (error != NULL)
		die("%s: %s", what, rd_kafka_error_string(error));
}

static void
producer_open(Producer *producer)
{
	rd_kafka_conf_t *conf = conf_new(brokers);
	char		errstr[256];

	conf_set(conf, "enable.idempotence", "true");
	conf_set(conf, "linger.ms", "5");
	if (producer->transactional)
	{
		char		id[64];

		snprintf(id, sizeof(id), "produce-%s-%d", run_id, producer->number);
		conf_set(conf, "transactional.id", id);
		conf_set(conf, "transaction.timeout.ms", "60000");
		conf_set(conf, "message.timeout.ms", "60000");
	}
	else
		conf_set(conf, "message.timeout.ms", "0");	/* never */
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	producer->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr,
								sizeof(errstr));
	if (producer->rk == NULL)
		die("%s", errstr);
	if (producer->transactional)
	{
		rd_kafka_error_t *error;
		int			tries = 0;

		while ((error = rd_kafka_init_transactions(producer->rk,
												   TXN_TIMEOUT_MS)) != NULL &&
			   rd_kafka_error_is_retriable(error) && tries++ < 10)
			rd_kafka_error_destroy(error);
		check(error, "init_transactions");
	}
}

static void
producer_close(Producer *producer)
{
	rd_kafka_destroy(producer->rk);
	producer->rk = NULL;
}

static size_t
make_payload(Producer *producer, int64_t id, char out[EVENT_MAX])
{
	size_t		len;

	switch (payload_kind)
	{
		case PAYLOAD_EVENT:
			{
				int			user_id;

				len = event_payload(&producer->rng, clock_ms(), false, out,
									&user_id);
				break;
			}
		case PAYLOAD_COLUMNS:
			len = columns_payload(&producer->rng, id, clock_ms(), out);
			break;
		case PAYLOAD_TINY:
			len = snprintf(out, EVENT_MAX, "{\"id\": %" PRId64 "}", id);
			break;
		default:
			len = snprintf(out, EVENT_MAX,
						   "{\"id\": %" PRId64 ", \"producer\": %d, "
						   "\"at\": %" PRId64 ", \"pad\": \"%0*" PRIx64 "\"}",
						   id, producer->number, clock_ms(), SMALL_PAD,
						   rng_next(&producer->rng));
			break;
	}
	if (malformed_every > 0 && id % malformed_every == malformed_every - 1)
		len = event_damage(id / malformed_every * 4, out, len);
	return len;
}

static int64_t
take_record(Producer *producer)
{
	int64_t		id = producer->next_record;

	producer->next_record += producers;
	return id;
}

/* False: the producer is beyond repair. */
static bool
send_record(Producer *producer, int64_t id)
{
	char		payload[EVENT_MAX];
	size_t		len = make_payload(producer, id, payload);
	char	   *md5 = NULL;
	int			partition = rng_below(&producer->rng, partitions);
	rd_kafka_resp_err_t err;

	if (logging)
	{
		md5 = malloc(MD5_HEX_LEN);
		if (md5 == NULL)
			die("out of memory");
		md5_hex(payload, len, md5);
	}
	do
	{
		err = rd_kafka_producev(producer->rk, RD_KAFKA_V_TOPIC(topic),
								RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_VALUE(payload, len),
								RD_KAFKA_V_OPAQUE(md5),
								RD_KAFKA_V_END);
		rd_kafka_poll(producer->rk,
					  err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 20 : 0);
	} while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		free(md5);
	return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void
pace(Producer *producer)
{
	int64_t		now;

	if (rate == 0)
		return;
	now = now_us();
	/* a pause must not be made up for by a burst */
	if (producer->next_us < now - 100000)
		producer->next_us = now;
	producer->next_us += INT64_C(1000000) * producers / rate;
	while ((now = now_us()) < producer->next_us)
	{
		rd_kafka_poll(producer->rk, 0);
		sleep_us(producer->next_us - now < 2000 ?
				 producer->next_us - now : 2000);
	}
}

static bool
flush_all(Producer *producer)
{
	while (rd_kafka_outq_len(producer->rk) > 0)
	{
		char		errstr[256];

		rd_kafka_flush(producer->rk, 200);
		if (rd_kafka_fatal_error(producer->rk, errstr, sizeof(errstr)))
		{
			/* what is left is reported as failed */
			rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE |
						   RD_KAFKA_PURGE_F_INFLIGHT);
			rd_kafka_flush(producer->rk, 10000);
			return false;
		}
	}
	return true;
}

/* False: fatal. */
static bool
abort_open(Producer *producer)
{
	rd_kafka_error_t *error;

	/* after a fatal error the next producer's init aborts what is open */
	while ((error = rd_kafka_abort_transaction(producer->rk, -1)) != NULL)
	{
		bool		retriable = rd_kafka_error_is_retriable(error);

		rd_kafka_error_destroy(error);
		if (!retriable)
			return false;
	}
	return true;
}

typedef enum Outcome
{
	OUTCOME_COMMITTED,
	OUTCOME_ABORTED,
	OUTCOME_UNKNOWN,
} Outcome;

static void
settle(Producer *producer, Outcome outcome)
{
	for (int i = 0; i < producer->npending; i++)
	{
		const Record *record = &producer->pending[i];

		if (outcome == OUTCOME_COMMITTED)
		{
			committed++;
			log_record(log_file, record);
		}
		else if (outcome == OUTCOME_ABORTED)
		{
			aborted++;
			log_record(aborted_file, record);
		}
		else
			log_unknown(record->topic, record->partition, record->md5);
	}
	producer->npending = 0;
}

/* False: fatal. */
static bool
commit_open(Producer *producer)
{
	rd_kafka_error_t *error;

	while ((error = rd_kafka_commit_transaction(producer->rk, -1)) != NULL)
	{
		bool		retriable = rd_kafka_error_is_retriable(error);
		bool		must_abort = rd_kafka_error_txn_requires_abort(error);

		rd_kafka_error_destroy(error);
		if (retriable)
			continue;
		if (must_abort)
		{
			bool		alive = abort_open(producer);

			settle(producer, OUTCOME_ABORTED);
			return alive;
		}
		settle(producer, OUTCOME_UNKNOWN);
		return false;
	}
	settle(producer, OUTCOME_COMMITTED);
	return true;
}

static bool
finish_transaction(Producer *producer)
{
	bool		alive;

	producer->transactions++;
	if (abort_every == 0 || producer->transactions % abort_every != 0)
		return commit_open(producer);

	flush_all(producer);
	alive = abort_open(producer);
	settle(producer, OUTCOME_ABORTED);
	return alive;
}

static bool
run_transaction(Producer *producer)
{
	rd_kafka_error_t *error = rd_kafka_begin_transaction(producer->rk);
	int			n = 0;

	if (error != NULL)
	{
		rd_kafka_error_destroy(error);
		return false;
	}
	while (n < txn_records)
	{
		int64_t		id;

		/* an open transaction holds every reader back: end it, then wait */
		if (n > 0 ? !credit_try(producer->number) : (credit_take(producer->number), false))
			break;
		id = take_record(producer);
		if (id >= records)
			break;
		if (!send_record(producer, id))
			break;				/* the commit's failure tells the rest */
		n++;
		pace(producer);
	}
	return finish_transaction(producer);
}

static bool
run_plain(Producer *producer)
{
	char		errstr[256];
	int64_t		id;

	if (!credit_try(producer->number))
	{
		flush_all(producer);
		credit_take(producer->number);
	}
	id = take_record(producer);
	if (id < records && !send_record(producer, id))
		return false;
	pace(producer);
	return rd_kafka_fatal_error(producer->rk, errstr, sizeof(errstr)) ==
		RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void *
producer_main(void *arg)
{
	Producer   *producer = arg;

	producer_open(producer);
	while (producer->next_record < records)
	{
		bool		alive = producer->transactional ?
			run_transaction(producer) : run_plain(producer);

		if (!alive)
		{
			flush_all(producer);
			producer_close(producer);
			producer->npending = 0;
			producer_open(producer);
		}
	}
	flush_all(producer);
	producer_close(producer);
	return NULL;
}

static void
run(void)
{
	Producer   *all = calloc(producers, sizeof(Producer));
	pthread_t  *threads = calloc(producers, sizeof(pthread_t));

	if (all == NULL || threads == NULL)
		die("out of memory");
	snprintf(run_id, sizeof(run_id), "%" PRIx64, (uint64_t) clock_ms());
	for (int i = 0; i < producers; i++)
	{
		all[i].number = i;
		all[i].next_record = i;
		all[i].transactional = i < txn_producers;
		all[i].rng = seed * 1000 + i;
		if (pthread_create(&threads[i], NULL, producer_main, &all[i]) != 0)
			die("could not start a thread");
	}
	for (int i = 0; i < producers; i++)
		pthread_join(threads[i], NULL);
}

static void
close_log(FILE *file)
{
	if (file != NULL && fclose(file) != 0)
		die("could not write a log: %m");
}

int
main(int argc, char **argv)
{
	enum
	{
		TOPIC = 1000, PARTITIONS, RECORDS, PRODUCERS, TXN_PRODUCERS,
		TXN_RECORDS, ABORT_EVERY, RATE, CREDIT, PAYLOAD, MALFORMED_EVERY,
		SEED, LOG, ABORTED, UNKNOWN
	};
	static const struct option options[] = {
		{"topic", required_argument, NULL, TOPIC},
		{"partitions", required_argument, NULL, PARTITIONS},
		{"records", required_argument, NULL, RECORDS},
		{"producers", required_argument, NULL, PRODUCERS},
		{"txn-producers", required_argument, NULL, TXN_PRODUCERS},
		{"txn-records", required_argument, NULL, TXN_RECORDS},
		{"abort-every", required_argument, NULL, ABORT_EVERY},
		{"rate", required_argument, NULL, RATE},
		{"credit", no_argument, NULL, CREDIT},
		{"payload", required_argument, NULL, PAYLOAD},
		{"malformed-every", required_argument, NULL, MALFORMED_EVERY},
		{"seed", required_argument, NULL, SEED},
		{"log", required_argument, NULL, LOG},
		{"aborted", required_argument, NULL, ABORTED},
		{"unknown", required_argument, NULL, UNKNOWN},
		{NULL, 0, NULL, 0}
	};
	bool		paced = false;
	int			c;

	set_program("produce");
	while ((c = getopt_long(argc, argv, "b:X:", options, NULL)) != -1)
	{
		switch (c)
		{
			case 'b':
				brokers = optarg;
				break;
			case 'X':
				conf_remember(optarg);
				break;
			case TOPIC:
				topic = optarg;
				break;
			case PARTITIONS:
				partitions = parse_int("--partitions", optarg);
				break;
			case RECORDS:
				records = parse_int("--records", optarg);
				break;
			case PRODUCERS:
				producers = parse_int("--producers", optarg);
				break;
			case TXN_PRODUCERS:
				txn_producers = parse_int("--txn-producers", optarg);
				break;
			case TXN_RECORDS:
				txn_records = parse_int("--txn-records", optarg);
				break;
			case ABORT_EVERY:
				abort_every = parse_int("--abort-every", optarg);
				break;
			case RATE:
				rate = parse_int("--rate", optarg);
				break;
			case CREDIT:
				paced = true;
				break;
			case PAYLOAD:
				set_payload(optarg);
				break;
			case MALFORMED_EVERY:
				malformed_every = parse_int("--malformed-every", optarg);
				break;
			case SEED:
				seed = parse_int("--seed", optarg);
				break;
			case LOG:
				log_file = open_log(optarg);
				break;
			case ABORTED:
				aborted_file = open_log(optarg);
				break;
			case UNKNOWN:
				unknown_file = open_log(optarg);
				break;
			default:
				return 2;
		}
	}
	if (brokers == NULL || partitions < 1 || records < 0 || producers < 1 ||
		txn_records < 1 || rate < 0)
		die("usage: produce -b BROKERS --topic T --partitions P --records N ...");

	if (paced)
		credit_start(producers);
	run();
	close_log(log_file);
	close_log(aborted_file);
	close_log(unknown_file);
	printf("committed %" PRId64 " aborted %" PRId64 " unknown %" PRId64 "\n",
		   committed, aborted, unknown);
	return 0;
}
