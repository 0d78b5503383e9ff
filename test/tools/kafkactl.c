/*
 * kafkactl.c
 *		What tests ask of a broker.
 *
 *		kafkactl -b BROKERS [-X name=value]… COMMAND
 *			ready [SECONDS]					wait for a metadata answer
 *			create TOPIC PARTITIONS [name=value]…
 *			delete TOPIC
 *			partitions TOPIC N				add partitions up to N
 *			delete-records TOPIC PARTITION OFFSET
 *			watermarks TOPIC				partition, low, high; one a line
 *			headers TOPIC N					a record {} with N headers, in partition 0
 *			dump TOPIC committed|uncommitted
 *						topic, partition, offset, md5 of the payload; one a line
 */
#include "common.h"

#include <getopt.h>

#define TIMEOUT_MS 30000
#define MAX_PARTITIONS 1024

static const char *brokers;

static rd_kafka_t *
client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char		errstr[256];
	rd_kafka_t *rk = rd_kafka_new(type, conf, errstr, sizeof(errstr));

	if (rk == NULL)
		die("%s", errstr);
	return rk;
}

/* Number of partitions, or -1 when there is no answer or no such topic. */
static int
partition_count(rd_kafka_t *rk, const char *topic, int timeout_ms)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	int			n = -1;

	if (rd_kafka_metadata(rk, 0, rkt, &metadata, timeout_ms) ==
		RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (metadata->topic_cnt == 1 &&
			metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
			metadata->topics[0].partition_cnt > 0)
			n = metadata->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(rkt);
	return n;
}

static int
ready(int64_t seconds)
{
	rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, conf_new(brokers));
	int64_t		deadline = now_us() + seconds * 1000000;
	bool		answered = false;

	while (!answered && now_us() < deadline)
	{
		const struct rd_kafka_metadata *metadata;

		if (rd_kafka_metadata(rk, 1, NULL, &metadata, 1000) ==
			RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			answered = metadata->broker_cnt > 0;
			rd_kafka_metadata_destroy(metadata);
		}
		if (!answered)
			sleep_us(50000);
	}
	rd_kafka_destroy(rk);
	return answered ? 0 : 1;
}

/* Wait for the event that answers an admin request; die on any error in it. */
static rd_kafka_event_t *
admin_wait(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);

	if (event == NULL)
		die("no answer within %d ms", TIMEOUT_MS);
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("%s", rd_kafka_event_error_string(event));
	return event;
}

static void
check_topic_results(const rd_kafka_topic_result_t **results, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rd_kafka_topic_result_error(results[i]) !=
			RD_KAFKA_RESP_ERR_NO_ERROR)
			die("%s: %s", rd_kafka_topic_result_name(results[i]),
				rd_kafka_topic_result_error_string(results[i]));
}

/*
 * The broker answers before every part of it knows a new topic: wait until
 * its metadata does, else the first producer stumbles.
 */
static void
wait_partitions(rd_kafka_t *rk, const char *topic, int n)
{
	int64_t		deadline = now_us() + TIMEOUT_MS * 1000;

	while (partition_count(rk, topic, 1000) < n)
	{
		if (now_us() > deadline)
			die("topic \"%s\" does not appear", topic);
		sleep_us(20000);
	}
}

static void
create(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	char		errstr[256];
	int			n = parse_int("partitions", argv[1]);
	rd_kafka_NewTopic_t *topic;
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	topic = rd_kafka_NewTopic_new(argv[0], n, 1, errstr, sizeof(errstr));
	if (topic == NULL)
		die("%s", errstr);
	for (int i = 2; i < argc; i++)
	{
		char	   *eq = strchr(argv[i], '=');

		if (eq == NULL)
			die("\"%s\" is not of the form name=value", argv[i]);
		*eq = '\0';
		rd_kafka_NewTopic_set_config(topic, argv[i], eq + 1);
	}
	rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
	event = admin_wait(queue);
	results = rd_kafka_CreateTopics_result_topics(
		rd_kafka_event_CreateTopics_result(event), &nresults);
	check_topic_results(results, nresults);
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(topic);
	wait_partitions(rk, argv[0], n);
}

static void
delete_topic(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[0]);
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
	event = admin_wait(queue);
	results = rd_kafka_DeleteTopics_result_topics(
		rd_kafka_event_DeleteTopics_result(event), &nresults);
	check_topic_results(results, nresults);
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteTopic_destroy(topic);
}

static void
add_partitions(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	char		errstr[256];
	int			n = parse_int("partitions", argv[1]);
	rd_kafka_NewPartitions_t *parts;
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t		nresults;

	parts = rd_kafka_NewPartitions_new(argv[0], n, errstr, sizeof(errstr));
	if (parts == NULL)
		die("%s", errstr);
	rd_kafka_CreatePartitions(rk, &parts, 1, NULL, queue);
	event = admin_wait(queue);
	results = rd_kafka_CreatePartitions_result_topics(
		rd_kafka_event_CreatePartitions_result(event), &nresults);
	check_topic_results(results, nresults);
	rd_kafka_event_destroy(event);
	rd_kafka_NewPartitions_destroy(parts);
	wait_partitions(rk, argv[0], n);
}

static void
delete_records(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	rd_kafka_topic_partition_list_t *list;
	const rd_kafka_topic_partition_list_t *offsets;
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *event;

	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, argv[0],
									  parse_int("partition", argv[1]))
		->offset = parse_int("offset", argv[2]);
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
	event = admin_wait(queue);
	offsets = rd_kafka_DeleteRecords_result_offsets(
		rd_kafka_event_DeleteRecords_result(event));
	for (int i = 0; i < offsets->cnt; i++)
		if (offsets->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
			die("%s", rd_kafka_err2str(offsets->elems[i].err));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
}

static int
admin(void (*run) (rd_kafka_t *, rd_kafka_queue_t *, int, char **),
	  int argc, char **argv)
{
	rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, conf_new(brokers));
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);

	run(rk, queue, argc, argv);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
	return 0;
}

/* A broker that has just started or made the topic says "not leader" first. */
static void
get_watermarks(rd_kafka_t *rk, const char *topic, int partition,
			   int64_t *low, int64_t *high)
{
	int64_t		deadline = now_us() + TIMEOUT_MS * 1000;
	rd_kafka_resp_err_t err;

	while ((err = rd_kafka_query_watermark_offsets(rk, topic, partition, low,
												   high, TIMEOUT_MS)) !=
		   RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (now_us() > deadline)
			die("partition %d: %s", partition, rd_kafka_err2str(err));
		sleep_us(50000);
	}
}

static int
watermarks(const char *topic)
{
	rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, conf_new(brokers));
	int			n = partition_count(rk, topic, TIMEOUT_MS);

	if (n < 0)
		die("topic \"%s\" does not exist", topic);
	for (int p = 0; p < n; p++)
	{
		int64_t		low;
		int64_t		high;

		get_watermarks(rk, topic, p, &low, &high);
		printf("%d\t%" PRId64 "\t%" PRId64 "\n", p, low, high);
	}
	rd_kafka_destroy(rk);
	return 0;
}

static int
send_headers(const char *topic, int n)
{
	rd_kafka_conf_t *conf = conf_new(brokers);
	rd_kafka_headers_t *headers = rd_kafka_headers_new(n);
	rd_kafka_resp_err_t err;
	rd_kafka_t *rk;

	conf_set(conf, "message.max.bytes", "33000000");
	rk = client_new(RD_KAFKA_PRODUCER, conf);
	for (int i = 0; i < n; i++)
		rd_kafka_header_add(headers, "h", 1, "v", 1);
	err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
							RD_KAFKA_V_PARTITION(0),
							RD_KAFKA_V_VALUE((void *) "{}", 2),
							RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("%s", rd_kafka_err2str(err));
	if (rd_kafka_flush(rk, TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("not delivered");
	rd_kafka_destroy(rk);
	return 0;
}

static void
dump_message(const rd_kafka_message_t *message)
{
	char		md5[MD5_HEX_LEN];

	md5_hex(message->payload, message->len, md5);
	printf("%s\t%d\t%" PRId64 "\t%s\n", rd_kafka_topic_name(message->rkt),
		   message->partition, message->offset, md5);
}

static int
dump(const char *topic, const char *isolation)
{
	rd_kafka_conf_t *conf = conf_new(brokers);
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_t *rk;
	int			left;

	conf_set(conf, "group.id", "kafkactl");
	conf_set(conf, "enable.auto.commit", "false");
	conf_set(conf, "enable.partition.eof", "true");
	conf_set(conf, "auto.offset.reset", "error");
	if (strcmp(isolation, "committed") == 0)
		conf_set(conf, "isolation.level", "read_committed");
	else if (strcmp(isolation, "uncommitted") == 0)
		conf_set(conf, "isolation.level", "read_uncommitted");
	else
		die("\"%s\" is neither committed nor uncommitted", isolation);
	rk = client_new(RD_KAFKA_CONSUMER, conf);
	rd_kafka_poll_set_consumer(rk);

	left = partition_count(rk, topic, TIMEOUT_MS);
	if (left < 0)
		die("topic \"%s\" does not exist", topic);
	list = rd_kafka_topic_partition_list_new(left);
	for (int p = 0; p < left; p++)
	{
		int64_t		low;
		int64_t		high;

		get_watermarks(rk, topic, p, &low, &high);
		rd_kafka_topic_partition_list_add(list, topic, p)->offset = low;
	}
	if (rd_kafka_assign(rk, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("could not assign");
	while (left > 0)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, TIMEOUT_MS);

		if (message == NULL)
			die("nothing arrives");
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			left--;
		else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			die("%s", rd_kafka_message_errstr(message));
		else
			dump_message(message);
		rd_kafka_message_destroy(message);
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return 0;
}

static void
need(int argc, int least, int most)
{
	if (argc - 1 < least || argc - 1 > most)
		die("wrong number of arguments");
}

int
main(int argc, char **argv)
{
	const char *command;
	int			c;

	set_program("kafkactl");
	while ((c = getopt(argc, argv, "+b:X:")) != -1)
	{
		if (c == 'b')
			brokers = optarg;
		else if (c == 'X')
			conf_remember(optarg);
		else
			return 2;
	}
	argc -= optind;
	argv += optind;
	if (brokers == NULL || argc < 1)
		die("usage: kafkactl -b BROKERS [-X name=value] COMMAND ...");
	command = argv[0];

	if (strcmp(command, "ready") == 0)
		return ready(argc > 1 ? parse_int("seconds", argv[1]) : 60);
	if (strcmp(command, "create") == 0)
		return need(argc, 2, 50), admin(create, argc - 1, argv + 1);
	if (strcmp(command, "delete") == 0)
		return need(argc, 1, 1), admin(delete_topic, argc - 1, argv + 1);
	if (strcmp(command, "partitions") == 0)
		return need(argc, 2, 2), admin(add_partitions, argc - 1, argv + 1);
	if (strcmp(command, "delete-records") == 0)
		return need(argc, 3, 3), admin(delete_records, argc - 1, argv + 1);
	if (strcmp(command, "watermarks") == 0)
		return need(argc, 1, 1), watermarks(argv[1]);
	if (strcmp(command, "headers") == 0)
		return need(argc, 2, 2), send_headers(argv[1], parse_int("N", argv[2]));
	if (strcmp(command, "dump") == 0)
		return need(argc, 2, 2), dump(argv[1], argv[2]);
	die("unknown command \"%s\"", command);
}
