/*
 * common.h
 *		What the tools share: errors, librdkafka configuration, md5, a random
 *		generator that a seed repeats, and credit.
 *
 * Credit paces producers from outside: while it is on, each line "N" on stdin
 * allows N more records, in equal shares, and the end of stdin allows all that
 * are left.
 */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#define MD5_HEX_LEN 33			/* with the final NUL */

extern void set_program(const char *name);
extern void die(const char *fmt,...)
			__attribute__((format(printf, 1, 2), noreturn));
extern void complain(const char *fmt,...)
			__attribute__((format(printf, 1, 2)));

/* Remember a "name=value" of the command line for every later conf_new. */
extern void conf_remember(const char *assignment);
extern rd_kafka_conf_t *conf_new(const char *brokers);
extern void conf_set(rd_kafka_conf_t *conf, const char *name,
					 const char *value);

extern int64_t now_us(void);
extern void sleep_us(int64_t us);
extern int64_t parse_int(const char *what, const char *text);

extern void md5_hex(const void *data, size_t len, char out[MD5_HEX_LEN]);

/* splitmix64: small, good enough, the same everywhere */
extern uint64_t rng_next(uint64_t *state);
extern uint64_t rng_below(uint64_t *state, uint64_t n);

extern void credit_start(int shares);
extern void credit_take(int share); /* waits */
extern bool credit_try(int share);	/* does not */

#endif							/* TOOLS_COMMON_H */
