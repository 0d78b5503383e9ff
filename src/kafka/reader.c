/*
 * reader.c
 *		Records of the assigned partitions, gathered into batches.
 *
 * Progress goes by offsets seen and by PARTITION_EOF, never by counting:
 * control records, aborted transactions and compaction leave holes.
 *
 * A partition with a fingerprint is assigned at the fingerprint's offset, one
 * record before the position. When that record comes again with another
 * checksum or time, or the log ends before the position, it is another log:
 * the topic was deleted and made again. A fingerprint that is no longer there
 * (retention, compaction) proves nothing and is let go.
 *
 * librdkafka 2.0 loses offsets when batches are mixed with pause or seek, so
 * neither is used: back-pressure is not asking, and records below the wanted
 * offset are dropped by comparing.
 */
#include "base/compat.h"

#include "port/pg_crc32c.h"
#include "utils/memutils.h"

#include "kafka/reader.h"

#define FETCH_CHUNK 1000

/* What bytea and its copies on the way to a dead letter can safely be. */
#define MAX_RECORD_BYTES ((size_t) 256 * 1024 * 1024)

KafkaReader *
kafka_reader_create(KafkaClient *client, const DpipeSource *source,
					MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "dpipe kafka reader",
											  ALLOCSET_DEFAULT_SIZES);
	KafkaReader *reader = MemoryContextAllocZero(cxt, sizeof(KafkaReader));
	int			n = source->batch_rows;

	reader->client = client;
	reader->cxt = cxt;
	reader->batch_cxt = AllocSetContextCreate(cxt, "dpipe kafka batch",
											  ALLOCSET_DEFAULT_SIZES);
	reader->max_records = n;
	reader->max_bytes = source->batch_bytes;
	reader->batch.records = MemoryContextAllocHuge(cxt, sizeof(DpipeRecord) * n);
	reader->messages = MemoryContextAllocHuge(cxt, sizeof(rd_kafka_message_t *) * n);
	reader->owners = MemoryContextAllocHuge(cxt, sizeof(int) * n);
	reader->pending = MemoryContextAlloc(cxt, sizeof(rd_kafka_message_t *) * FETCH_CHUNK);
	return reader;
}

void
kafka_reader_add(KafkaReader *reader, const char *topic, int32 partition,
				 int64 next, int64 stop, int64 print_offset,
				 int64 print_timestamp, int64 print_crc)
{
	MemoryContext old = MemoryContextSwitchTo(reader->cxt);
	int			n = reader->npartitions;
	KafkaPartition *p;

	if (n == 0)
		reader->partitions = palloc(sizeof(KafkaPartition) * 8);
	else if (n >= 8 && (n & (n - 1)) == 0)
		reader->partitions = repalloc(reader->partitions,
									  sizeof(KafkaPartition) * n * 2);
	p = &reader->partitions[n];
	memset(p, 0, sizeof(*p));
	p->topic = pstrdup(topic);
	p->partition = partition;
	p->next = next;
	p->end = DPIPE_UNKNOWN_OFFSET;
	p->owed = -1;
	p->leader = KAFKA_LEADER_UNKNOWN;
	p->stop = stop;
	p->print_offset = print_offset < next ? print_offset : -1;
	p->print_timestamp = print_timestamp;
	p->print_crc = (uint32) print_crc;
	reader->npartitions = n + 1;
	MemoryContextSwitchTo(old);
}

void
kafka_reader_assign(KafkaReader *reader)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_error_t *error;
	int			added = 0;

	list = rd_kafka_topic_partition_list_new(reader->npartitions);
	for (int i = 0; i < reader->npartitions; i++)
	{
		KafkaPartition *p = &reader->partitions[i];

		if (p->assigned)
			continue;
		rd_kafka_topic_partition_list_add(list, p->topic, p->partition)->offset =
			p->print_offset >= 0 ? p->print_offset : p->next;
		p->assigned = true;
		p->seen_at = GetCurrentTimestamp();
		p->owed = -1;
		added++;
	}
	error = added > 0 ? rd_kafka_incremental_assign(reader->client->rk, list) : NULL;
	rd_kafka_topic_partition_list_destroy(list);
	if (error != NULL)
	{
		char		text[KAFKA_PROBLEM_LEN];

		kafka_client_take_text(reader->client, text, sizeof(text),
							   rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not assign partitions of source \"%s\": %s",
						reader->client->source, text)));
	}
}

static bool
is_of_partition(const KafkaPartition *p, const char *topic, int32 partition)
{
	return p->partition == partition && strcmp(p->topic, topic) == 0;
}

/* Records come in runs of a partition: the last one is the likeliest. */
static int
find_partition(KafkaReader *reader, const rd_kafka_message_t *m)
{
	const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : NULL;
	int			last = reader->last_partition;

	if (topic == NULL)
		return -1;
	if (last < reader->npartitions &&
		is_of_partition(&reader->partitions[last], topic, m->partition))
		return last;
	for (int i = 0; i < reader->npartitions; i++)
		if (is_of_partition(&reader->partitions[i], topic, m->partition))
		{
			reader->last_partition = i;
			return i;
		}
	return -1;
}

void
kafka_reader_retry(KafkaReader *reader, int i)
{
	KafkaPartition *p = &reader->partitions[i];
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_error_t *error;

	rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
	error = rd_kafka_incremental_unassign(reader->client->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (error != NULL)
		rd_kafka_error_destroy(error);
	p->assigned = false;
	kafka_reader_assign(reader);
	reader->trouble = KAFKA_TROUBLE_NONE;
}

void
kafka_reader_reassign(KafkaReader *reader, int i, int64 next)
{
	reader->partitions[i].next = next;
	reader->partitions[i].print_offset = -1;
	kafka_reader_retry(reader, i);
}

static void
set_trouble(KafkaReader *reader, KafkaTrouble trouble, int partition,
			const char *text)
{
	if (reader->trouble != KAFKA_TROUBLE_NONE)
		return;
	reader->trouble = trouble;
	reader->trouble_partition = partition;
	kafka_client_take_text(reader->client, reader->trouble_text,
						   sizeof(reader->trouble_text), text);
}

static void
take_end(KafkaReader *reader, int i, int64 offset)
{
	KafkaPartition *p = &reader->partitions[i];

	if (offset < p->next && p->next > 0)
	{
		set_trouble(reader, KAFKA_TROUBLE_SHORT, i,
					"the log ends before the stored position");
		return;
	}
	kafka_client_healthy(reader->client);
	p->seen_at = reader->fetched_at;
	p->owed = -1;
	p->print_offset = -1;
	p->at_end = true;
	p->end = offset;
	/* Records behind the stop were dropped, not read. */
	if (p->stop >= 0)
		offset = Min(offset, p->stop);
	if (offset > p->next)
		p->next = offset;
}

static void
take_error(KafkaReader *reader, const rd_kafka_message_t *m)
{
	int			i = find_partition(reader, m);
	const char *text = rd_kafka_message_errstr(m);

	switch (m->err)
	{
		case RD_KAFKA_RESP_ERR__PARTITION_EOF:
			if (i >= 0)
				take_end(reader, i, m->offset);
			break;
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
		case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
			if (i >= 0)
				set_trouble(reader, KAFKA_TROUBLE_RANGE, i, text);
			break;
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
			set_trouble(reader, KAFKA_TROUBLE_TOPIC, i, text);
			break;
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
			set_trouble(reader, KAFKA_TROUBLE_SIZE, i, text);
			break;
		case RD_KAFKA_RESP_ERR__BAD_MSG:
		case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
		case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
		case RD_KAFKA_RESP_ERR_INVALID_MSG:
			/* librdkafka goes on behind what it cannot read: we must not. */
			set_trouble(reader, KAFKA_TROUBLE_CORRUPT, i, text);
			break;
		default:
			/* Transient: librdkafka goes on by itself. */
			kafka_client_take_text(reader->client, reader->client->problem,
								   sizeof(reader->client->problem), text);
			break;
	}
}

static uint32
crc_of(const void *key, size_t key_len, const void *payload, size_t payload_len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	if (key != NULL)
		COMP_CRC32C(crc, key, key_len);
	if (payload != NULL)
		COMP_CRC32C(crc, payload, payload_len);
	FIN_CRC32C(crc);
	return crc;
}

uint32
kafka_record_crc(const DpipeRecord *record)
{
	return crc_of(record->key, record->key_len, record->payload,
				  record->payload_len);
}

/*
 * Is this record new? On the way the fingerprint is compared, once, with the
 * record that stands at its offset.
 */
static bool
is_wanted(KafkaReader *reader, int i, const rd_kafka_message_t *m)
{
	KafkaPartition *p = &reader->partitions[i];

	if (p->print_offset >= 0)
	{
		if (m->offset == p->print_offset)
		{
			rd_kafka_timestamp_type_t type;
			int64		ms = rd_kafka_message_timestamp(m, &type);

			if (ms != p->print_timestamp ||
				crc_of(m->key, m->key_len, m->payload, m->len) != p->print_crc)
			{
				set_trouble(reader, KAFKA_TROUBLE_REPLACED, i,
							"the last record that was loaded is another one now");
				return false;
			}
		}
		p->print_offset = -1;
	}
	if (m->offset < p->next)
		return false;
	if (p->stop >= 0 && m->offset >= p->stop)
	{
		/* Everything before the stop has been seen. */
		p->next = Max(p->next, p->stop);
		return false;
	}
	return true;
}

/* False: they are more than a dead letter can keep; nothing is taken. */
static bool
take_headers(KafkaReader *reader, DpipeRecord *r, const rd_kafka_message_t *m)
{
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t err;
	DpipeHeader *out;
	size_t		n;

	r->nheaders = 0;
	r->headers = NULL;
	r->header_bytes = 0;
	err = rd_kafka_message_headers(m, &headers);
	if (err == RD_KAFKA_RESP_ERR__NOENT)
		return true;
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;			/* there are too many, or they are damaged */
	n = rd_kafka_header_cnt(headers);
	if (n > DPIPE_MAX_KEPT_HEADERS)
		return false;
	out = MemoryContextAllocHuge(reader->batch_cxt, sizeof(DpipeHeader) * Max(n, 1));
	for (size_t i = 0; i < n; i++)
	{
		const void *value;
		size_t		size;

		if (rd_kafka_header_get_all(headers, i, &out[i].name, &value, &size)
			!= RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		out[i].value = value;
		out[i].value_len = value ? size : 0;
		r->header_bytes += strlen(out[i].name) + out[i].value_len;
		r->nheaders++;
	}
	r->headers = out;
	return r->header_bytes <= DPIPE_MAX_KEPT_HEADER_BYTES;
}

/* False: beyond what can be kept at all, even as a dead letter. */
static bool
is_manageable(KafkaReader *reader, int i, const rd_kafka_message_t *m)
{
	if (m->len <= MAX_RECORD_BYTES && m->key_len <= MAX_RECORD_BYTES)
		return true;
	reader->partitions[i].next = m->offset;
	set_trouble(reader, KAFKA_TROUBLE_SIZE, i,
				psprintf("it has %zu bytes", m->len + m->key_len));
	return false;
}

/* False: it is not taken, because of its headers. */
static bool
take_record(KafkaReader *reader, int i, rd_kafka_message_t *m)
{
	KafkaPartition *p = &reader->partitions[i];
	int			n = reader->batch.nrecords;
	DpipeRecord *r = &reader->batch.records[n];
	rd_kafka_timestamp_type_t type;

	if (n == 0)
		reader->batch.fetched_at = GetCurrentTimestamp();
	r->payload = m->payload;
	r->payload_len = m->len;
	r->key = m->key;
	r->key_len = m->key_len;
	r->topic = p->topic;
	r->partition = m->partition;
	r->offset = m->offset;
	r->timestamp_ms = rd_kafka_message_timestamp(m, &type);
	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
		r->timestamp_ms = -1;
	if (!take_headers(reader, r, m))
	{
		p->next = m->offset;
		set_trouble(reader, KAFKA_TROUBLE_HEADERS, i, "");
		return false;
	}
	reader->messages[n] = m;
	reader->owners[n] = i;
	reader->batch.nrecords = n + 1;
	reader->batch.bytes += dpipe_record_bytes(r) +
		(int64) sizeof(DpipeHeader) * r->nheaders;
	p->seen_at = reader->fetched_at;
	p->owed = -1;
	p->next = m->offset + 1;
	if (p->end >= 0 && p->end < p->next)
		p->end = p->next;
	return true;
}

/*
 * Move what is pending into the batch until the batch is full. Two records go
 * into any: beside a neighbour that can be stored, a record whose fault the
 * server does not know can be blamed.
 */
static void
consume_pending(KafkaReader *reader)
{
	while (reader->first_pending < reader->npending &&
		   reader->trouble == KAFKA_TROUBLE_NONE)
	{
		rd_kafka_message_t *m = reader->pending[reader->first_pending];
		int			i;

		reader->full = reader->batch.nrecords >= reader->max_records ||
			(reader->batch.nrecords > 1 &&
			 reader->batch.bytes + (int64) m->len > reader->max_bytes);
		if (reader->full)
			return;
		reader->first_pending++;
		if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			take_error(reader, m);
			rd_kafka_message_destroy(m);
			continue;
		}
		i = find_partition(reader, m);
		if (i < 0 || !is_wanted(reader, i, m) ||
			!is_manageable(reader, i, m) || !take_record(reader, i, m))
			rd_kafka_message_destroy(m);
	}
	reader->full = reader->batch.nrecords >= reader->max_records;
}

/* The broker tells each log's end with every fetch; keep the latest. */
static void
note_ends(KafkaReader *reader)
{
	for (int i = 0; i < reader->npartitions; i++)
	{
		KafkaPartition *p = &reader->partitions[i];
		int64		low;
		int64		high;

		if (!p->assigned ||
			rd_kafka_get_watermark_offsets(reader->client->rk, p->topic,
										   p->partition, &low, &high)
			!= RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		if (high > p->end)
			p->end = high;
	}
}

/* The one partition that has more to give, or -1: there are several. */
static int
only_behind(const KafkaReader *reader)
{
	int			found = -1;

	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->end >= 0 && p->next >= p->end)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

bool
kafka_reader_fetch(KafkaReader *reader)
{
	bool		any = false;

	if (reader->client->too_large)
		set_trouble(reader, KAFKA_TROUBLE_SIZE, only_behind(reader),
					reader->client->problem);
	while (!reader->full && reader->trouble == KAFKA_TROUBLE_NONE)
	{
		ssize_t		n;

		if (reader->first_pending == reader->npending)
		{
			n = rd_kafka_consume_batch_queue(reader->client->consumer_queue, 0,
											 reader->pending, FETCH_CHUNK);
			reader->first_pending = 0;
			reader->npending = n > 0 ? n : 0;
			reader->fetched_at = GetCurrentTimestamp();
			if (n <= 0)
				break;
			kafka_client_healthy(reader->client);
		}
		any = true;
		consume_pending(reader);
	}
	if (any)
		note_ends(reader);
	return any;
}

bool
kafka_reader_stopped(const KafkaReader *reader)
{
	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->stop >= 0 && (p->next < p->stop || p->print_offset >= 0))
			return false;
	}
	return true;
}

int64
kafka_reader_lag(const KafkaReader *reader)
{
	int64		lag = 0;

	for (int i = 0; i < reader->npartitions; i++)
	{
		const KafkaPartition *p = &reader->partitions[i];

		if (p->end < 0)
			return -1;
		lag += Max(0, p->end - p->next);
	}
	return lag;
}

void
kafka_reader_release(KafkaReader *reader, int n)
{
	int			rest = reader->batch.nrecords - n;

	for (int i = 0; i < n; i++)
		rd_kafka_message_destroy(reader->messages[i]);
	reader->batch.nrecords = rest;
	reader->full = false;
	if (rest == 0)
	{
		reader->batch.bytes = 0;
		MemoryContextReset(reader->batch_cxt);
		return;
	}
	memmove(reader->batch.records, reader->batch.records + n,
			sizeof(DpipeRecord) * rest);
	memmove(reader->messages, reader->messages + n,
			sizeof(rd_kafka_message_t *) * rest);
	memmove(reader->owners, reader->owners + n, sizeof(int) * rest);
	reader->batch.bytes = 0;
	for (int i = 0; i < rest; i++)
		reader->batch.bytes += dpipe_record_bytes(&reader->batch.records[i]) +
			(int64) sizeof(DpipeHeader) * reader->batch.records[i].nheaders;
}

void
kafka_reader_close(KafkaReader *reader)
{
	kafka_reader_release(reader, reader->batch.nrecords);
	while (reader->first_pending < reader->npending)
		rd_kafka_message_destroy(reader->pending[reader->first_pending++]);
}
