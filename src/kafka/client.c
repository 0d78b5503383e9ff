/*
 * client.c
 *		A librdkafka consumer handle inside a backend.
 *
 * Rules that keep a server alive with foreign threads in it:
 *
 * - No callback is registered. Logs, errors and messages come through queues
 *	 that the main thread polls without waiting; a pipe in the caller's
 *	 WaitEventSet says when there is something. So no foreign thread ever
 *	 calls into PostgreSQL.
 * - Threads start with all signals blocked (librdkafka does that for its own).
 * - A live TLS handle at exit() can crash the process and with it the whole
 *	 server, and destroying a handle can block for seconds on a name server.
 *	 A worker therefore never destroys its handle: the exit guard of
 *	 worker/exit.c ends the process by _exit(). A client backend destroys the
 *	 handle before it returns or raises, in a thread, and waits for that only
 *	 for a moment; while the handle is alive the guard stays armed.
 *
 * Texts come from the library and, through it, from brokers, which may send
 * any bytes; and both may quote a secret. None is shown as it comes.
 */
#include "base/compat.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "connect/connect.h"
#include "kafka/client.h"
#include "kafka/probe.h"
#include "worker/worker.h"

/* Same trouble of a source in the log: at most this often. */
#define LOG_INTERVAL_MS 60000

/* How long a client backend waits for the end of its handle. */
#define CLOSE_WAIT_MS 800
#define CLOSE_STEP_MS 5

/* Records up to 256 MiB, plus what a fetch response holds beside them. */
#define RECEIVE_MAX_BYTES "536870912"

/* What librdkafka says of a response beyond that; it asks again for ever. */
#define TOO_LARGE_HINT "receive.message.max.bytes"

/* librdkafka's own memory for a record in its queue, malloc's share included. */
#define RECORD_OVERHEAD 450

/* Bounds of how often the client tells of itself. */
#define STATISTICS_MIN_MS 100
#define STATISTICS_MAX_MS 10000

typedef struct ConfDefault
{
	const char *name;
	const char *value;
	bool		optional;		/* not known to every librdkafka */
} ConfDefault;

/*
 * What a user may override. The queue must hold more than a second of peak
 * consumption: librdkafka 2.0 sleeps for up to a second when it is full. It
 * spends some 450 bytes on each record beside the record, which only counts
 * of records limit; and it unpacks a response whole before it looks at the
 * queue again, so responses are small: 2 MB compressed may be hundreds of
 * thousands of tiny records. A record larger than that still comes.
 */
static const ConfDefault conf_defaults[] = {
	{"client.id", "dpipe", false},
	{"group.id", "dpipe", false},	/* assign() wants one; nothing is committed */
	{"isolation.level", "read_committed", false},
	{"check.crcs", "true", false},	/* or damage is loaded as if it were data */
	{"queued.min.messages", "300000", false},
	{"queued.max.messages.kbytes", "131072", false},
	{"fetch.message.max.bytes", "1048576", false},
	{"fetch.max.bytes", "2097152", false},
	{"receive.message.max.bytes", RECEIVE_MAX_BYTES, false},
	{"fetch.wait.max.ms", "100", false},
	{"socket.timeout.ms", "300000", false}, /* one record may take as long */
	{"fetch.error.backoff.ms", "50", false},
	{"topic.metadata.refresh.interval.ms", "30000", false},
	{"reconnect.backoff.max.ms", "5000", false},
	{"fetch.queue.backoff.ms", "100", true},	/* since 2.2 */
};

/* What exactness rests on; last, so that nothing overrides it. */
static const ConfDefault conf_forced[] = {
	{"enable.auto.commit", "false", false},
	{"enable.auto.offset.store", "false", false},
	{"enable.partition.eof", "true", false},
	{"auto.offset.reset", "error", false},
	{"log.queue", "true", false},
};

static void
set_property(rd_kafka_conf_t *conf, const char *name, const char *value,
			 bool secret, bool optional)
{
	char		errstr[512];
	rd_kafka_conf_res_t res;

	res = rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr));
	if (res == RD_KAFKA_CONF_OK)
		return;
	if (res == RD_KAFKA_CONF_UNKNOWN && optional)
		return;
	rd_kafka_conf_destroy(conf);
	if (res == RD_KAFKA_CONF_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("property \"%s\" is not known to the installed librdkafka %s",
						name, rd_kafka_version_str())));
	/* librdkafka's own text repeats the value. */
	if (secret)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("librdkafka refuses the value of property \"%s\"",
						name)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("librdkafka refuses property \"%s\": %s", name, errstr)));
}

static void
cap_property(rd_kafka_conf_t *conf, const char *name, int64 cap)
{
	char		value[32];
	size_t		size = sizeof(value);

	if (rd_kafka_conf_get(conf, name, value, &size) != RD_KAFKA_CONF_OK)
		elog(ERROR, "librdkafka does not tell property \"%s\"", name);
	if (strtoll(value, NULL, 10) <= cap)
		return;
	snprintf(value, sizeof(value), INT64_FORMAT, cap);
	set_property(conf, name, value, false, false);
}

/*
 * Whatever a user has set, the client's records stay below
 * dpipe.max_queue_bytes: a half is for librdkafka's own memory, a quarter for
 * contents, and the rest for what is on its way when the queue is full. A
 * response is never smaller than the batch that it begins with, so one record
 * of any size gets through; and on its way a batch is still compressed.
 */
static void
cap_queue(rd_kafka_conf_t *conf)
{
	int64		bytes = (int64) dpipe_max_queue_kb * 1024;
	int64		response = Min(bytes / 16, PG_INT32_MAX / 4);

	cap_property(conf, "queued.min.messages",
				 Min(bytes / 2 / RECORD_OVERHEAD, 10000000));
	cap_property(conf, "queued.max.messages.kbytes", bytes / 4 / 1024);
	cap_property(conf, "fetch.max.bytes", response);
	cap_property(conf, "fetch.message.max.bytes", response);
	/* Or librdkafka raises fetch.max.bytes to it. */
	cap_property(conf, "message.max.bytes", response);
}

/* Several times in dpipe.stall_timeout: the watchdog lives on it. */
static void
set_statistics(rd_kafka_conf_t *conf)
{
	char		value[32];

	if (dpipe_stall_timeout == 0)
		return;
	snprintf(value, sizeof(value), "%d",
			 Min(Max(dpipe_stall_timeout / 6, STATISTICS_MIN_MS),
				 STATISTICS_MAX_MS));
	set_property(conf, "statistics.interval.ms", value, false, false);
}

static uint64
hash_properties(List *properties)
{
	uint64		hash = 0;
	ListCell   *lc;

	foreach(lc, properties)
	{
		DpipeProperty *p = lfirst(lc);

		/* With their ends, or two could be taken for one. */
		hash = hash_bytes_extended((const unsigned char *) p->name,
								   strlen(p->name) + 1, hash);
		hash = hash_bytes_extended((const unsigned char *) p->value,
								   strlen(p->value) + 1, hash);
	}
	return hash;
}

bool
kafka_client_is_outdated(const KafkaClient *client, const DpipeSource *source,
						 Oid role)
{
	return client->properties !=
		hash_properties(dpipe_kafka_properties(source->server, role,
											   source->librdkafka));
}

static rd_kafka_conf_t *
make_conf(KafkaClient *client, const DpipeSource *source, Oid role)
{
	List	   *properties = dpipe_kafka_properties(source->server, role,
													source->librdkafka);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	ListCell   *lc;

	client->properties = hash_properties(properties);

	for (int i = 0; i < lengthof(conf_defaults); i++)
		set_property(conf, conf_defaults[i].name, conf_defaults[i].value,
					 false, conf_defaults[i].optional);
	foreach(lc, properties)
	{
		DpipeProperty *p = lfirst(lc);

		if (p->secret)
			client->secrets = lappend(client->secrets, (void *) p->value);
		set_property(conf, p->name, p->value, p->secret, false);
	}
	for (int i = 0; i < lengthof(conf_forced); i++)
		set_property(conf, conf_forced[i].name, conf_forced[i].value,
					 false, conf_forced[i].optional);
	cap_queue(conf);
	set_statistics(conf);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG |
							 RD_KAFKA_EVENT_STATS);
	return conf;
}

static void
open_wake_pipe(KafkaClient *client, rd_kafka_conf_t *conf)
{
	int			fds[2];

	/* A full pipe must not block a librdkafka thread, nor an empty one us. */
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
	{
		int			save_errno = errno;

		rd_kafka_conf_destroy(conf);
		errno = save_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create pipe: %m")));
	}
	ReserveExternalFD();
	ReserveExternalFD();
	client->wake_read = fds[0];
	client->wake_write = fds[1];
}

KafkaClient *
kafka_client_open(const DpipeSource *source, Oid role)
{
	KafkaClient *client = palloc0(sizeof(KafkaClient));
	rd_kafka_conf_t *conf;
	char		errstr[512];

	client->source = pstrdup(source->name);
	conf = make_conf(client, source, role);
	open_wake_pipe(client, conf);
	dpipe_exit_guard_arm();
	client->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, errstr, sizeof(errstr));
	if (client->rk == NULL)
	{
		rd_kafka_conf_destroy(conf);
		dpipe_exit_guard_disarm();
		close(client->wake_read);
		close(client->wake_write);
		ReleaseExternalFD();
		ReleaseExternalFD();
		kafka_client_take_text(client, client->problem,
							   sizeof(client->problem), errstr);
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not make a Kafka client for source \"%s\": %s",
						source->name, client->problem)));
	}
	client->consumer_queue = rd_kafka_queue_get_consumer(client->rk);
	client->main_queue = rd_kafka_queue_get_main(client->rk);
	client->log_queue = rd_kafka_queue_new(client->rk);
	rd_kafka_set_log_queue(client->rk, client->log_queue);
	rd_kafka_queue_io_event_enable(client->consumer_queue,
								   client->wake_write, "c", 1);
	rd_kafka_queue_io_event_enable(client->main_queue,
								   client->wake_write, "m", 1);
	rd_kafka_queue_io_event_enable(client->log_queue,
								   client->wake_write, "l", 1);
	return client;
}

int
kafka_start_thread(void *(*body) (void *), void *arg, pthread_t *thread)
{
	sigset_t	all;
	sigset_t	old;
	int			rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* What the destroying thread needs; malloc'd, because it may outlive us. */
typedef struct ClosingHandle
{
	rd_kafka_t *rk;
	KafkaProbe *probes;			/* that still use it */
	int			fds[2];
	volatile sig_atomic_t done;
} ClosingHandle;

static void *
destroy_handle(void *arg)
{
	ClosingHandle *closing = arg;

	kafka_probes_join(closing->probes);
	rd_kafka_destroy_flags(closing->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	close(closing->fds[0]);
	close(closing->fds[1]);
	__sync_synchronize();
	closing->done = 1;
	return NULL;
}

void
kafka_client_close(KafkaClient *client)
{
	ClosingHandle *closing;
	pthread_t	thread;

	rd_kafka_queue_io_event_enable(client->consumer_queue, -1, NULL, 0);
	rd_kafka_queue_io_event_enable(client->main_queue, -1, NULL, 0);
	rd_kafka_queue_io_event_enable(client->log_queue, -1, NULL, 0);
	rd_kafka_queue_destroy(client->consumer_queue);
	rd_kafka_queue_destroy(client->main_queue);
	rd_kafka_queue_destroy(client->log_queue);
	ReleaseExternalFD();
	ReleaseExternalFD();

	closing = malloc(sizeof(ClosingHandle));
	if (closing == NULL)
		return;					/* the guard stays armed: leaking is safe */
	closing->rk = client->rk;
	closing->probes = client->retired;
	closing->fds[0] = client->wake_read;
	closing->fds[1] = client->wake_write;
	closing->done = 0;
	client->rk = NULL;
	client->retired = NULL;
	if (kafka_start_thread(destroy_handle, closing, &thread) != 0)
	{
		free(closing);
		return;
	}
	pthread_detach(thread);

	for (int ms = 0; ms < CLOSE_WAIT_MS && !closing->done; ms += CLOSE_STEP_MS)
		pg_usleep(CLOSE_STEP_MS * 1000L);
	if (closing->done)
	{
		free(closing);
		dpipe_exit_guard_disarm();
	}
	/* Else: still resolving a name. The guard stays armed until exit. */
}

/* ---------- texts ---------- */

/*
 * The library quotes pieces of this property, whose whole value is a secret,
 * when it does not understand it.
 */
#define QUOTED_PROPERTY "sasl.oauthbearer.config"

/*
 * Shorter ones turn up in the middle of words, and what is masked there gives
 * them away. With such a secret no text is shown at all.
 */
#define MIN_SECRET_LEN 4
#define WITHHELD "(withheld: a secret of this connection is shorter than 4 bytes)"

static bool
has_short_secret(const KafkaClient *client)
{
	ListCell   *lc;

	foreach(lc, client->secrets)
	{
		size_t		len = strlen(lfirst(lc));

		if (len > 0 && len < MIN_SECRET_LEN)
			return true;
	}
	return false;
}

/* Length of the secret that begins here, or 0. */
static size_t
secret_at(const KafkaClient *client, const char *s)
{
	size_t		longest = 0;
	ListCell   *lc;

	foreach(lc, client->secrets)
	{
		const char *secret = lfirst(lc);
		size_t		len = strlen(secret);

		if (len > longest && strncmp(s, secret, len) == 0)
			longest = len;
	}
	return longest;
}

/* One character, or what stands for it; the bytes of "from" it takes. */
static size_t
take_character(const char *from, size_t left, StringInfo to)
{
	int			len = pg_encoding_mblen(PG_UTF8, from);

	if (len > left || !pg_utf8_islegal((const unsigned char *) from, len))
	{
		appendStringInfoChar(to, '?');
		return 1;
	}
	if (len == 1 && (*from < ' ' || *from == 0x7f))
		appendStringInfoChar(to, ' ');
	else
		appendBinaryStringInfo(to, from, len);
	return len;
}

void
kafka_client_take_text(const KafkaClient *client, char *to, size_t size,
					   const char *from)
{
	size_t		left = strlen(from);
	StringInfoData buf;
	int			len;

	if (has_short_secret(client))
	{
		strlcpy(to, WITHHELD, size);
		return;
	}
	initStringInfo(&buf);
	while (left > 0 && buf.len < size)
	{
		size_t		taken = secret_at(client, from);

		if (taken > 0)
			appendStringInfoString(&buf, "***");
		else if (strncmp(from, QUOTED_PROPERTY, strlen(QUOTED_PROPERTY)) == 0)
		{
			appendStringInfoString(&buf, QUOTED_PROPERTY);
			taken = left;
		}
		else
			taken = take_character(from, left, &buf);
		from += taken;
		left -= taken;
	}
	len = pg_encoding_mbcliplen(PG_UTF8, buf.data, buf.len, size - 1);
	memcpy(to, buf.data, len);
	to[len] = '\0';
	pfree(buf.data);
}

/*
 * Does it say that a response is larger than we receive? What is no broker (a
 * web server or a proxy under a bootstrap address) has us read the beginning
 * of its text, "HTTP", as a length.
 */
static bool
says_too_large(const char *text)
{
	return strstr(text, TOO_LARGE_HINT) != NULL &&
		strstr(text, "response size 1213486160 ") == NULL &&
		strstr(text, "response size -") == NULL;
}

/* Note trouble for the status view; log it once a minute. */
static void
note_problem(KafkaClient *client, const char *text)
{
	TimestampTz now = GetCurrentTimestamp();

	kafka_client_take_text(client, client->problem, sizeof(client->problem),
						   text);
	if (says_too_large(text))
		client->too_large = true;
	if (client->problem_logged_at != 0 &&
		!TimestampDifferenceExceeds(client->problem_logged_at, now,
									LOG_INTERVAL_MS))
		return;
	client->problem_logged_at = now;
	ereport(LOG,
			(errmsg("Kafka client of source \"%s\": %s", client->source,
					client->problem)));
}

static void
keep_statistics(KafkaClient *client, const char *text)
{
	if (client->statistics != NULL)
		pfree(client->statistics);
	client->statistics = MemoryContextStrdup(GetMemoryChunkContext(client),
											 text);
}

static void
serve_event(KafkaClient *client, rd_kafka_event_t *event)
{
	const char *facility;
	const char *text;
	int			level;

	switch (rd_kafka_event_type(event))
	{
		case RD_KAFKA_EVENT_ERROR:
			if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
			{
				client->brokers_down = true;
				/* It says less than what has brought it about. */
				if (client->problem[0] != '\0')
					break;
			}
			if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__AUTHENTICATION &&
				strstr(rd_kafka_event_error_string(event), "OAUTHBEARER token"))
				client->token_failed = true;
			note_problem(client, rd_kafka_event_error_string(event));
			break;
		case RD_KAFKA_EVENT_LOG:
			if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
			{
				/* syslog levels: 4 is a warning */
				if (level <= 4)
					note_problem(client, text);
				else
				{
					char		line[1024];

					kafka_client_take_text(client, line, sizeof(line), text);
					elog(DEBUG1, "librdkafka %s: %s", facility, line);
				}
			}
			break;
		case RD_KAFKA_EVENT_STATS:
			keep_statistics(client, rd_kafka_event_stats(event));
			break;
		default:
			break;
	}
}

static void
drain_queue(KafkaClient *client, rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(queue, 0)) != NULL)
	{
		serve_event(client, event);
		rd_kafka_event_destroy(event);
	}
}

void
kafka_client_serve(KafkaClient *client)
{
	char		buf[256];

	while (read(client->wake_read, buf, sizeof(buf)) > 0)
		;
	drain_queue(client, client->main_queue);
	drain_queue(client, client->log_queue);

	/*
	 * When the first token could not be made, librdkafka (2.0.2 at least) asks
	 * for another after 10 seconds through a queue that it has not set up, and
	 * crashes. So such a handle does not live that long.
	 */
	if (client->token_failed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("could not log in to Kafka for source \"%s\": %s",
						client->source, client->problem)));
}

void
kafka_client_healthy(KafkaClient *client)
{
	client->brokers_down = false;
	client->problem[0] = '\0';
}
