/*
 * common.c
 *		See common.h.
 */
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#include <openssl/evp.h>

#define MAX_REMEMBERED 32
#define MAX_SHARES 64

static const char *program = "tool";
static const char *remembered[MAX_REMEMBERED];
static int	nremembered;

static pthread_mutex_t credit_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t credit_more = PTHREAD_COND_INITIALIZER;
static int64_t credit[MAX_SHARES];
static int	nshares;			/* 0: no limit */

void
set_program(const char *name)
{
	program = name;
}

static void
vcomplain(const char *fmt, va_list args)
{
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void
complain(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vcomplain(fmt, args);
	va_end(args);
}

void
die(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vcomplain(fmt, args);
	va_end(args);
	exit(1);
}

void
conf_remember(const char *assignment)
{
	if (strchr(assignment, '=') == NULL)
		die("\"%s\" is not of the form name=value", assignment);
	if (nremembered == MAX_REMEMBERED)
		die("more than %d properties", MAX_REMEMBERED);
	remembered[nremembered++] = assignment;
}

rd_kafka_conf_t *
conf_new(const char *brokers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	if (brokers != NULL)
		conf_set(conf, "bootstrap.servers", brokers);
	/* a broker killed by a test is not news: librdkafka logs each attempt */
	conf_set(conf, "log_level", "0");
	conf_set(conf, "reconnect.backoff.ms", "50");
	conf_set(conf, "reconnect.backoff.max.ms", "500");
	for (int i = 0; i < nremembered; i++)
	{
		const char *eq = strchr(remembered[i], '=');
		char		name[128];

		snprintf(name, sizeof(name), "%.*s",
				 (int) (eq - remembered[i]), remembered[i]);
		conf_set(conf, name, eq + 1);
	}
	return conf;
}

void
conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		errstr[256];

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) !=
		RD_KAFKA_CONF_OK)
		die("%s", errstr);
}

int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
sleep_us(int64_t us)
{
	struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	if (us > 0)
		nanosleep(&ts, NULL);
}

int64_t
parse_int(const char *what, const char *text)
{
	char	   *end;
	long long	n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		die("%s must be an integer, not \"%s\"", what, text);
	return n;
}

void
md5_hex(const void *data, size_t len, char out[MD5_HEX_LEN])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n;

	if (!EVP_Digest(data, len, digest, &n, EVP_md5(), NULL) || n != 16)
		die("md5 is not available");
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

uint64_t
rng_next(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The bias is n / 2^64, nothing that a test could see. */
uint64_t
rng_below(uint64_t *state, uint64_t n)
{
	return rng_next(state) % n;
}

static void *
credit_reader(void *arg)
{
	char		line[64];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		int64_t		more;

		line[strcspn(line, "\n")] = '\0';
		more = parse_int("credit", line);
		pthread_mutex_lock(&credit_lock);
		for (int i = 0; i < nshares; i++)
			credit[i] += more / nshares + (i < more % nshares);
		pthread_cond_broadcast(&credit_more);
		pthread_mutex_unlock(&credit_lock);
	}
	pthread_mutex_lock(&credit_lock);
	nshares = 0;
	pthread_cond_broadcast(&credit_more);
	pthread_mutex_unlock(&credit_lock);
	return NULL;
}

void
credit_start(int shares)
{
	pthread_t	thread;

	if (shares < 1 || shares > MAX_SHARES)
		die("credit is for 1 to %d producers", MAX_SHARES);
	nshares = shares;
	if (pthread_create(&thread, NULL, credit_reader, NULL) != 0)
		die("could not start a thread");
	pthread_detach(thread);
}

static void
use_credit(int share)
{
	if (nshares > 0)
		credit[share]--;
}

static bool
have_credit(int share)
{
	return nshares == 0 || credit[share] > 0;
}

void
credit_take(int share)
{
	pthread_mutex_lock(&credit_lock);
	while (!have_credit(share))
		pthread_cond_wait(&credit_more, &credit_lock);
	use_credit(share);
	pthread_mutex_unlock(&credit_lock);
}

bool
credit_try(int share)
{
	bool		got;

	pthread_mutex_lock(&credit_lock);
	got = have_credit(share);
	if (got)
		use_credit(share);
	pthread_mutex_unlock(&credit_lock);
	return got;
}
