/*
 * source.h
 *		What a kind of source (Kafka, HTTP, a database) gives to the loader.
 */
#ifndef DPIPE_SOURCE_H
#define DPIPE_SOURCE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "catalog/catalog.h"

typedef struct DpipeHeader
{
	const char *name;			/* NUL-terminated */
	const char *value;			/* NULL: null */
	int			value_len;
} DpipeHeader;

/*
 * One record as it came. The bytes belong to the source and stay valid until
 * the batch is released.
 */
typedef struct DpipeRecord
{
	const char *payload;		/* NULL: a tombstone */
	int			payload_len;
	const char *key;			/* NULL: none */
	int			key_len;
	const char *topic;
	int32		partition;
	int64		offset;
	int64		timestamp_ms;	/* since 1970; -1: none */
	int			nheaders;
	const DpipeHeader *headers;
	int64		header_bytes;	/* of their names and values */
} DpipeRecord;

/*
 * Headers of a record that becomes a row, and that can be kept at all:
 * librdkafka refuses to tell more than 100,000.
 */
#define DPIPE_MAX_HEADERS 10000
#define DPIPE_MAX_KEPT_HEADERS 100000
#define DPIPE_MAX_KEPT_HEADER_BYTES (64 * 1024 * 1024)

static inline int64
dpipe_record_bytes(const DpipeRecord *record)
{
	return record->key_len + record->payload_len + record->header_bytes;
}

typedef struct DpipeBatch
{
	int			nrecords;
	DpipeRecord *records;
	int64		bytes;			/* of keys, payloads and headers */
	TimestampTz fetched_at;		/* → _extracted_at */
} DpipeBatch;

#endif							/* DPIPE_SOURCE_H */
