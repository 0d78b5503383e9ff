/*
 * mock.c
 *		librdkafka's mock cluster as a process of its own.
 *
 *		mock [--brokers N] [--out FILE] [--keep] [TOPIC:PARTITIONS]…
 *
 * Prints the bootstrap servers as one line, to FILE (moved into place whole)
 * or to stdout. Ends at SIGTERM or SIGINT and, unless --keep, when its stdin
 * closes: a test that dies takes its broker along. Lines on stdin command it:
 * "topic NAME PARTITIONS", "down BROKER", "up BROKER",
 * "leader TOPIC PARTITION BROKER" (-1: none).
 *
 * What it lacks, so that nobody tests it here: aborted records are given to
 * read_committed readers, time lookup finds nothing, no control records, no
 * admin requests. It keeps 5 MiB or 100,000 batches a partition and drops the
 * oldest.
 */
#include "common.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <librdkafka/rdkafka_mock.h>

static volatile sig_atomic_t stop;

static void
on_signal(int signo)
{
	stop = 1;
}

static void
make_topic(rd_kafka_mock_cluster_t *cluster, const char *name, int partitions)
{
	rd_kafka_resp_err_t err;

	err = rd_kafka_mock_topic_create(cluster, name, partitions, 1);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("topic \"%s\": %s", name, rd_kafka_err2str(err));
}

static void
make_topic_arg(rd_kafka_mock_cluster_t *cluster, char *arg)
{
	char	   *colon = strrchr(arg, ':');

	if (colon == NULL)
		die("\"%s\" is not of the form topic:partitions", arg);
	*colon = '\0';
	make_topic(cluster, arg, parse_int("partitions", colon + 1));
}

static void
announce(rd_kafka_mock_cluster_t *cluster, const char *out)
{
	const char *servers = rd_kafka_mock_cluster_bootstraps(cluster);
	char		tmp[4096];
	FILE	   *file;

	if (out == NULL)
	{
		printf("%s\n", servers);
		fflush(stdout);
		return;
	}
	snprintf(tmp, sizeof(tmp), "%s.new", out);
	file = fopen(tmp, "w");
	if (file == NULL || fprintf(file, "%s\n", servers) < 0 ||
		fclose(file) != 0 || rename(tmp, out) != 0)
		die("could not write \"%s\": %m", out);
}

static void
command(rd_kafka_mock_cluster_t *cluster, const char *line)
{
	char		topic[256];
	int			n;
	int			partition;

	if (sscanf(line, "topic %255s %d", topic, &n) == 2)
		make_topic(cluster, topic, n);
	else if (sscanf(line, "down %d", &n) == 1)
		rd_kafka_mock_broker_set_down(cluster, n);
	else if (sscanf(line, "up %d", &n) == 1)
		rd_kafka_mock_broker_set_up(cluster, n);
	else if (sscanf(line, "leader %255s %d %d", topic, &partition, &n) == 3)
		rd_kafka_mock_partition_set_leader(cluster, topic, partition, n);
	else
		complain("unknown command: %s", line);
}

static void
serve(rd_kafka_mock_cluster_t *cluster, bool keep)
{
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
	char		buf[1024];
	size_t		len = 0;

	while (!stop)
	{
		ssize_t		n;
		char	   *newline;

		if (keep)
		{
			poll(NULL, 0, 1000);
			continue;
		}
		if (poll(&pfd, 1, 1000) <= 0)
			continue;
		n = read(STDIN_FILENO, buf + len, sizeof(buf) - 1 - len);
		if (n <= 0)
			break;
		len += n;
		buf[len] = '\0';
		while ((newline = strchr(buf, '\n')) != NULL)
		{
			*newline = '\0';
			command(cluster, buf);
			len -= newline + 1 - buf;
			memmove(buf, newline + 1, len + 1);
		}
		if (len == sizeof(buf) - 1)
			die("line too long");
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"brokers", required_argument, NULL, 'b'},
		{"out", required_argument, NULL, 'o'},
		{"keep", no_argument, NULL, 'k'},
		{NULL, 0, NULL, 0}
	};
	struct sigaction action = {.sa_handler = on_signal};
	int			brokers = 1;
	const char *out = NULL;
	bool		keep = false;
	int			c;
	char		errstr[256];
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;

	set_program("mock");
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (c == 'b')
			brokers = parse_int("--brokers", optarg);
		else if (c == 'o')
			out = optarg;
		else if (c == 'k')
			keep = true;
		else
			return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);

	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf_new(NULL), errstr,
					  sizeof(errstr));
	if (rk == NULL)
		die("%s", errstr);
	cluster = rd_kafka_mock_cluster_new(rk, brokers);
	if (cluster == NULL)
		die("could not start the mock cluster");
	for (int i = optind; i < argc; i++)
		make_topic_arg(cluster, argv[i]);
	announce(cluster, out);
	serve(cluster, keep);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
