/*
 * reader.h
 *		Records of the assigned partitions, gathered into batches.
 *
 * The reader knows two positions: "committed" is what the database holds,
 * and each partition's "fetched" is what lies behind the records that were
 * handed out. Nothing here writes to the database.
 */
#ifndef DPIPE_KAFKA_READER_H
#define DPIPE_KAFKA_READER_H

#include "postgres.h"

#include "kafka/client.h"
#include "load/source.h"

typedef enum KafkaTrouble
{
	KAFKA_TROUBLE_NONE,
	KAFKA_TROUBLE_RANGE,		/* the broker does not have the offset */
	KAFKA_TROUBLE_SHORT,		/* the log ends before the position */
	KAFKA_TROUBLE_REPLACED,		/* the log is not the one that was read */
	KAFKA_TROUBLE_TOPIC,		/* topic or partition is gone, or forbidden */
	KAFKA_TROUBLE_CORRUPT,		/* records that cannot be read */
	KAFKA_TROUBLE_SIZE,			/* a record beyond what a client can take */
	KAFKA_TROUBLE_HEADERS,		/* one whose headers no dead letter can keep */
} KafkaTrouble;

/* Of a partition's leader, where it is no broker's id. */
#define KAFKA_NO_LEADER (-1)
#define KAFKA_LEADER_UNKNOWN (-2)

typedef struct KafkaPartition
{
	char	   *topic;
	int32		partition;
	int64		next;			/* records below are not wanted (again) */
	int64		end;			/* the log's end as last seen, or -1 */
	int64		stop;			/* do not read at or behind this, or -1 */
	int64		print_offset;	/* fingerprint to be met again, or -1: done */
	int64		print_timestamp;
	uint32		print_crc;
	bool		assigned;
	bool		unread;			/* of a topic that the source has no more */
	bool		at_end;			/* read to the end at least once */
	TimestampTz seen_at;		/* when it last showed life */
	int64		owed;			/* watch.c: end that was told then, or -1 */
	int32		leader;			/* statistics.c: broker that leads it */
} KafkaPartition;

typedef struct KafkaReader
{
	KafkaClient *client;
	MemoryContext cxt;			/* lives as long as the reader */
	MemoryContext batch_cxt;	/* reset with each batch */
	int			npartitions;
	int			last_partition;	/* a guess for the next record */
	KafkaPartition *partitions; /* in the order of the position's arrays */

	/* the batch being filled */
	DpipeBatch	batch;
	rd_kafka_message_t **messages;	/* of batch.records, same index */
	int		   *owners;			/* partition index of each record */
	int			max_records;
	int64		max_bytes;
	bool		full;

	TimestampTz fetched_at;		/* of what is pending */

	/* messages taken from librdkafka that no batch holds yet */
	rd_kafka_message_t **pending;
	int			npending;
	int			first_pending;

	/* trouble that only the caller can settle */
	KafkaTrouble trouble;
	int			trouble_partition;
	char		trouble_text[KAFKA_PROBLEM_LEN];
} KafkaReader;

extern KafkaReader *kafka_reader_create(KafkaClient *client,
										const DpipeSource *source,
										MemoryContext parent);

/* Add a partition at a position; assigned by kafka_reader_assign. */
extern void kafka_reader_add(KafkaReader *reader, const char *topic,
							 int32 partition, int64 next, int64 stop,
							 int64 print_offset, int64 print_timestamp,
							 int64 print_crc);
extern void kafka_reader_assign(KafkaReader *reader);

/*
 * Go on elsewhere in a partition of which no record was taken since, or once
 * more at the same place, fingerprint included.
 */
extern void kafka_reader_reassign(KafkaReader *reader, int i, int64 next);
extern void kafka_reader_retry(KafkaReader *reader, int i);

/* Take what has arrived, without waiting. True when something came. */
extern bool kafka_reader_fetch(KafkaReader *reader);

/*
 * Every partition that has a stop has reached it, and has shown that it is
 * still the log that was read before.
 */
extern bool kafka_reader_stopped(const KafkaReader *reader);

/* Records between the position and the end; -1 when some end is not known. */
extern int64 kafka_reader_lag(const KafkaReader *reader);

/* CRC of a record's key and payload, as kept in fingerprints. */
extern uint32 kafka_record_crc(const DpipeRecord *record);

/* Release the first n records of the batch; the rest moves to the front. */
extern void kafka_reader_release(KafkaReader *reader, int n);

/* Release everything, before the client is closed. */
extern void kafka_reader_close(KafkaReader *reader);

#endif							/* DPIPE_KAFKA_READER_H */
