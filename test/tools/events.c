/*
 * events.c
 *		A web shop's user events, for the demo.
 *
 *		events -b BROKERS --topic T --partitions P --records N
 *			   [--days D] [--seed S] [--credit]
 *
 * The events happen in order over the D days that end now; 1 % are late by up
 * to two days (the mart looks back three), 0.1 % are sent twice, one in 20,000
 * is malformed. A user's events share a partition. With --credit, lines on
 * stdin say how many more may be sent: a broker that keeps a bounded log must
 * not run ahead of its reader.
 */
#include "payload.h"

#include <getopt.h>

static int64_t failed;

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		failed++;
}

static void
send_event(rd_kafka_t *rk, const char *topic, int partition, int user_id,
		   const char *payload, size_t len)
{
	rd_kafka_resp_err_t err;
	char		key[16];
	int			keylen = snprintf(key, sizeof(key), "%d", user_id);

	do
	{
		err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
								RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_KEY(key, keylen),
								RD_KAFKA_V_VALUE((void *) payload, len),
								RD_KAFKA_V_END);
		rd_kafka_poll(rk, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 20 : 0);
	} while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("%s", rd_kafka_err2str(err));
}

static void
run(rd_kafka_t *rk, const char *topic, int partitions, int64_t records,
	int days, uint64_t rng)
{
	int64_t		end_ms = clock_ms();
	int64_t		span_ms = days * INT64_C(86400000);
	char		event[EVENT_MAX];
	size_t		len = 0;
	int			user_id = 1;

	for (int64_t i = 0; i < records; i++)
	{
		bool		twice = i > 0 && rng_below(&rng, 1000) == 0;

		if (!credit_try(0))
		{
			/* what was allowed must arrive, or nobody will allow more */
			rd_kafka_flush(rk, 10000);
			credit_take(0);
		}
		if (!twice)
		{
			bool		late = rng_below(&rng, 100) == 0;
			int64_t		at = end_ms - span_ms + span_ms * i / records;

			len = event_payload(&rng, at, late, event, &user_id);
			if (i % 20000 == 10000)
				len = event_damage(i / 20000, event, len);
		}
		send_event(rk, topic, user_id % partitions, user_id, event, len);
	}
	while (rd_kafka_outq_len(rk) > 0)
		rd_kafka_flush(rk, 1000);
	if (failed > 0)
		die("%" PRId64 " events were not delivered", failed);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"topic", required_argument, NULL, 't'},
		{"partitions", required_argument, NULL, 'p'},
		{"records", required_argument, NULL, 'n'},
		{"days", required_argument, NULL, 'd'},
		{"seed", required_argument, NULL, 's'},
		{"credit", no_argument, NULL, 'c'},
		{NULL, 0, NULL, 0}
	};
	const char *brokers = NULL;
	const char *topic = "user-events";
	int			partitions = 8;
	int64_t		records = 1000;
	int			days = 7;
	uint64_t	seed = 1;
	int			c;
	char		errstr[256];
	rd_kafka_conf_t *conf;
	rd_kafka_t *rk;

	set_program("events");
	while ((c = getopt_long(argc, argv, "b:X:", options, NULL)) != -1)
	{
		if (c == 'b')
			brokers = optarg;
		else if (c == 'X')
			conf_remember(optarg);
		else if (c == 't')
			topic = optarg;
		else if (c == 'p')
			partitions = parse_int("--partitions", optarg);
		else if (c == 'n')
			records = parse_int("--records", optarg);
		else if (c == 'd')
			days = parse_int("--days", optarg);
		else if (c == 's')
			seed = parse_int("--seed", optarg);
		else if (c == 'c')
			credit_start(1);
		else
			return 2;
	}
	if (brokers == NULL || partitions < 1 || records < 0 || days < 1)
		die("usage: events -b BROKERS --topic T --partitions P --records N");

	conf = conf_new(brokers);
	conf_set(conf, "linger.ms", "20");
	conf_set(conf, "enable.idempotence", "true");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		die("%s", errstr);
	run(rk, topic, partitions, records, days, seed);
	rd_kafka_destroy(rk);
	return 0;
}
