/*
 * slot.h
 *		One slot of a Kafka source: the loop and its exactness transaction.
 */
#ifndef DPIPE_KAFKA_SLOT_H
#define DPIPE_KAFKA_SLOT_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "storage/latch.h"

#include "kafka/client.h"
#include "kafka/reader.h"
#include "load/load.h"

typedef enum KafkaSlotEnd
{
	KAFKA_SLOT_STOPPED,			/* disabled, dropped, redefined or moved */
	KAFKA_SLOT_YIELDED,
	KAFKA_SLOT_FINISHED,		/* reached its stop */
	KAFKA_SLOT_ERROR,			/* a lasting error was recorded */
} KafkaSlotEnd;

/* What the client's statistics say of a broker: see statistics.c. */
typedef struct KafkaBroker
{
	int32		id;
	bool		up;
	int64		responses;		/* received whole since the client was made */
	int64		attempts;		/* to connect, since then */
	int64		idle_us;		/* since its last byte came; -1: none ever */
	TimestampTz receiving_at;	/* when part of a response was last seen to come */
	TimestampTz attempt_at;		/* when an attempt was last seen */
} KafkaBroker;

typedef struct KafkaSlot
{
	DpipeSource *source;
	int			slot;
	bool		foreground;		/* in a client's CALL dpipe_sync */
	MemoryContext cxt;			/* lives as long as the slot */
	MemoryContext scratch;		/* reset with each turn of the loop */
	MemoryContext position_cxt; /* holds "committed" */
	DpipePosition *committed;	/* what the database holds */
	KafkaClient *client;
	KafkaReader *reader;
	DpipeTarget *target;
	struct KafkaProbe *probe;	/* running, or NULL */
	struct KafkaProbe *watch;	/* the same of watch.c */
	TimestampTz watched_at;		/* when that was started */
	KafkaBroker *brokers;		/* as the latest statistics have them */
	int			nbrokers;
	int64		statistics_us;	/* when they were made, by the client's clock */
	TimestampTz statistics_at;	/* when they were taken; 0: never */
	char		leaderless[KAFKA_PROBLEM_LEN];	/* partitions, in words, or "" */
	WaitEventSet *wait_set;
	TimestampTz opened_at;
	TimestampTz batch_since;	/* when the batch's first record came */
	TimestampTz idle_since;		/* 0: busy */
	TimestampTz discovered_at;	/* last look for new partitions */
	TimestampTz noted_at;		/* last time ends were written */
	TimestampTz reported_at;
	TimestampTz connection_checked_at;
	uint64		connection_changes; /* dpipe_connection_changes() then */
	int64		rows;			/* since the slot was opened */
	int64		dead_letters;
	int64		bytes;
	char		error[KAFKA_PROBLEM_LEN];	/* of KAFKA_SLOT_ERROR */
} KafkaSlot;

/*
 * Make, open, run and close one. Outside of a transaction, or in a non-atomic
 * procedure when "foreground". Once made, close it also after an error.
 */
extern KafkaSlot *kafka_slot_make(int slot, bool foreground,
								  MemoryContext parent);
extern void kafka_slot_open(KafkaSlot *slot, const char *source);
extern KafkaSlotEnd kafka_slot_run(KafkaSlot *slot);

/* Release messages, threads and the handle; never raises. */
extern void kafka_slot_close(KafkaSlot *slot);

/* Transactions of the loop; the procedure's are chained by SPI. */
extern void kafka_slot_begin(KafkaSlot *slot);
extern void kafka_slot_commit(KafkaSlot *slot);

/* The database holds this position now; it is copied. */
extern void kafka_slot_keep_position(KafkaSlot *slot, const DpipePosition *p);

/*
 * Wait for news of the client at most so long; serves interrupts and the
 * client's events.
 */
extern void kafka_slot_wait(KafkaSlot *slot, long timeout_ms);

/*
 * start.c: find the partitions and make them ready to be read. False: had to
 * end before the brokers answered.
 */
extern bool kafka_slot_start(KafkaSlot *slot, KafkaSlotEnd *end);

/* start.c: look for new partitions now and then. False: slot was moved. */
extern bool kafka_slot_discover(KafkaSlot *slot);

/*
 * Did somebody ask for the slot's worker, or change the connection? Looked at
 * wherever a worker waits; costs nothing most of the time.
 */
extern bool kafka_slot_must_end(KafkaSlot *slot, KafkaSlotEnd *end);

/*
 * start.c: the ends of one partition, as the broker has them now. False: had
 * to end before it answered.
 */
extern bool kafka_slot_ask_ends(KafkaSlot *slot, const char *topic,
								int32 partition, int64 *low, int64 *high,
								KafkaSlotEnd *end);

/*
 * statistics.c: take what the client has told of its brokers and of the
 * leaders of partitions. True when other partitions than before have none.
 */
extern bool kafka_slot_take_statistics(KafkaSlot *slot);

/*
 * statistics.c: partitions without a leader, in words ("" when there are none)
 * that fit into KAFKA_PROBLEM_LEN bytes. Starts as {0}.
 */
typedef struct KafkaLeaderless
{
	int			n;
	StringInfoData names;
} KafkaLeaderless;

extern void kafka_leaderless_add(KafkaLeaderless *l, const char *topic,
								 int32 partition);
extern void kafka_leaderless_tell(KafkaLeaderless *l, int of, char *to);

/* The broker that leads a partition, or NULL: it is not known. */
extern const KafkaBroker *kafka_slot_leader(const KafkaSlot *slot,
											const KafkaPartition *p);

/* watch.c: raise an error when the handle has fallen silent for good. */
extern void kafka_slot_watch(KafkaSlot *slot, TimestampTz now);

/* trouble.c: settle what the reader could not. False: lasting error. */
extern bool kafka_slot_settle_trouble(KafkaSlot *slot, KafkaSlotEnd *end);

#endif							/* DPIPE_KAFKA_SLOT_H */
