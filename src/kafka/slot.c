/*
 * slot.c
 *		One slot of a Kafka source: the loop and its exactness transaction.
 *
 * load_batch() is what makes it exact. In one transaction, in this order:
 *
 *	 1. compare: the slot's position row is locked and must stand where this
 *		process believes it stands, at the same epoch, with the definition
 *		unchanged. A twin (a zombie, a second server on a copy, a worker of
 *		before a change) fails here, before it has done any work.
 *	 2. the transaction gets its xid, then a load id is drawn.
 *	 3. rows go into the target, culprits into dead letters.
 *	 4. set: the position moves behind the last record settled.
 *	 5. the ledger row.
 *	 6. commit.
 *
 * A crash at any point leaves all of it or nothing of it, and the records are
 * read again from the position. Nothing is ever committed to Kafka.
 *
 * No transaction and no snapshot is open while the loop waits (in a client's
 * CALL a transaction is open, as always in a procedure, but without snapshot
 * or xid). Errors leave the loop: a worker exits and is started again after a
 * delay, a client gets them.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/fault.h"
#include "catalog/status.h"
#include "connect/connect.h"
#include "kafka/kafka.h"
#include "kafka/probe.h"
#include "kafka/slot.h"
#include "worker/worker.h"

#define IDLE_TICK_MS 1000		/* yield requests and status are looked at */
#define POSITION_DELAY_MS 1000	/* before moves without records are written */
#define NOTE_ENDS_MS 5000
#define REPORT_MS 5000			/* NOTICEs of a client's CALL */
#define CONNECTION_CHECK_MS 1000

static uint32 wait_event_records = 0;

/* ---------- opening ---------- */

static void
check_runnable(const DpipeSource *source)
{
	if (strcmp(source->kind, "kafka") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("source \"%s\" is not a Kafka source", source->name)));
	dpipe_source_check_adopted(source);
}

void
kafka_slot_keep_position(KafkaSlot *slot, const DpipePosition *p)
{
	MemoryContext fresh = AllocSetContextCreate(slot->cxt, "dpipe position",
												ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(fresh);

	slot->committed = dpipe_position_copy(p, 0);
	MemoryContextSwitchTo(old);
	if (slot->position_cxt != NULL)
		MemoryContextDelete(slot->position_cxt);
	slot->position_cxt = fresh;
}

static void
open_definition(KafkaSlot *slot, const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(slot->cxt);
	DpipePosition *p;

	slot->source = dpipe_source_get(name, false);
	check_runnable(slot->source);
	p = dpipe_position_get(name, slot->slot);
	if (p == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" has no slot %d", name, slot->slot)));
	kafka_slot_keep_position(slot, p);
	slot->connection_changes = dpipe_connection_changes();
	slot->client = kafka_client_open(slot->source, slot->source->owner);
	MemoryContextSwitchTo(old);
}

KafkaSlot *
kafka_slot_make(int slotno, bool foreground, MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "dpipe kafka slot",
											  ALLOCSET_DEFAULT_SIZES);
	KafkaSlot  *slot = MemoryContextAllocZero(cxt, sizeof(KafkaSlot));

	slot->cxt = cxt;
	slot->scratch = AllocSetContextCreate(cxt, "dpipe kafka scratch",
										  ALLOCSET_DEFAULT_SIZES);
	slot->slot = slotno;
	slot->foreground = foreground;
	slot->opened_at = GetCurrentTimestamp();
	slot->reported_at = slot->opened_at;
	return slot;
}

void
kafka_slot_open(KafkaSlot *slot, const char *source)
{
	kafka_slot_begin(slot);
	open_definition(slot, source);
	kafka_slot_commit(slot);

	slot->wait_set = dpipe_create_wait_event_set(slot->cxt, 3);
	AddWaitEventToSet(slot->wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(slot->wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(slot->wait_set, WL_SOCKET_READABLE,
					  slot->client->wake_read, NULL, NULL);
}

void
kafka_slot_close(KafkaSlot *slot)
{
	if (slot->probe != NULL)
		kafka_probe_free(slot->client, slot->probe);
	slot->probe = NULL;
	if (slot->watch != NULL)
		kafka_probe_free(slot->client, slot->watch);
	slot->watch = NULL;
	if (slot->reader != NULL)
		kafka_reader_close(slot->reader);
	slot->reader = NULL;
	if (slot->wait_set != NULL)
		FreeWaitEventSet(slot->wait_set);
	slot->wait_set = NULL;
	if (slot->client != NULL)
		kafka_client_close(slot->client);
	slot->client = NULL;
	if (slot->target != NULL)
		dpipe_target_close(slot->target);
	slot->target = NULL;
}

/* ---------- transactions and waiting ---------- */

void
kafka_slot_begin(KafkaSlot *slot)
{
	if (!slot->foreground)		/* else the procedure's own is open */
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		pgstat_report_activity(STATE_RUNNING, "loading");
	}
	if (!dpipe_worker_pin_extension())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"dpipe\" was dropped")));
}

void
kafka_slot_commit(KafkaSlot *slot)
{
	if (slot->foreground)
	{
		SPI_commit();
		return;
	}
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(slot->scratch);
}

/* Give up a transaction in which nothing but reading was done. */
static void
abandon(KafkaSlot *slot)
{
	if (slot->foreground)
	{
		SPI_rollback();
		return;
	}
	AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(slot->scratch);
}

/* Interrupts, changed settings, and what the client has to say. */
static void
serve(KafkaSlot *slot)
{
	if (slot->foreground)
		CHECK_FOR_INTERRUPTS();
	else
		dpipe_worker_interrupts();
	kafka_client_serve(slot->client);
}

void
kafka_slot_wait(KafkaSlot *slot, long timeout_ms)
{
	WaitEvent	events[3];

	if (wait_event_records == 0)
		wait_event_records = dpipe_wait_event("DpipeKafkaRecords");
	(void) WaitEventSetWait(slot->wait_set, timeout_ms, events, 3,
							wait_event_records);
	ResetLatch(MyLatch);
	serve(slot);
}

/*
 * A worker that has nothing to do, or no broker to do it with, would go on
 * with the password and the rights of yesterday for ever.
 */
static bool
connection_changed(KafkaSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		changed = false;

	if (slot->foreground ||
		!TimestampDifferenceExceeds(slot->connection_checked_at, now,
									CONNECTION_CHECK_MS))
		return false;
	slot->connection_checked_at = now;

	/* The start of a transaction takes note of what others have changed. */
	StartTransactionCommand();
	if (slot->connection_changes != dpipe_connection_changes())
	{
		slot->connection_changes = dpipe_connection_changes();
		changed = kafka_client_is_outdated(slot->client, slot->source,
										   slot->source->owner);
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(slot->scratch);
	if (changed)
		ereport(LOG,
				(errmsg("source \"%s\": server \"%s\" or its user mapping was changed, connecting anew",
						slot->source->name, slot->source->server)));
	return changed;
}

bool
kafka_slot_must_end(KafkaSlot *slot, KafkaSlotEnd *end)
{
	if (dpipe_status_yield_requested())
		*end = KAFKA_SLOT_YIELDED;
	else if (connection_changed(slot))
		*end = KAFKA_SLOT_STOPPED;
	else
		return false;
	return true;
}

/* ---------- the exactness transaction ---------- */

static void
settle_one(DpipePosition *next, const KafkaReader *reader, int r)
{
	const DpipeRecord *record = &reader->batch.records[r];
	int			i = reader->owners[r];

	next->next_offset[i] = record->offset + 1;
	next->last_timestamp[i] = record->timestamp_ms;
	next->print_offset[i] = record->offset;
	next->print_timestamp[i] = record->timestamp_ms;
	next->print_crc[i] = r;		/* which record; replaced below */
}

/*
 * The position behind the first "settled" records of the batch: behind the
 * whole batch that is what the reader has seen, holes and ends included.
 */
static DpipePosition *
position_behind(KafkaSlot *slot, int settled)
{
	KafkaReader *reader = slot->reader;
	DpipePosition *next = dpipe_position_copy(slot->committed, 0);
	bool	   *touched = palloc0(sizeof(bool) * Max(next->npartitions, 1));

	Assert(reader->npartitions == next->npartitions);
	for (int r = 0; r < settled; r++)
	{
		settle_one(next, reader, r);
		touched[reader->owners[r]] = true;
	}
	for (int i = 0; i < next->npartitions; i++)
	{
		if (touched[i])
			next->print_crc[i] =
				kafka_record_crc(&reader->batch.records[next->print_crc[i]]);
		if (settled == reader->batch.nrecords)
			next->next_offset[i] = reader->partitions[i].next;
		next->end_offset[i] = reader->partitions[i].end;
	}
	return next;
}

static bool
position_differs(const KafkaSlot *slot)
{
	for (int i = 0; i < slot->committed->npartitions; i++)
		if (slot->committed->next_offset[i] != slot->reader->partitions[i].next)
			return true;
	return false;
}

static double
lag_seconds(const KafkaSlot *slot, int64 lag)
{
	int64		newest = -1;

	if (lag == 0)
		return 0;
	for (int i = 0; i < slot->committed->npartitions; i++)
		newest = Max(newest, slot->committed->last_timestamp[i]);
	if (lag < 0 || newest < 0)
		return -1;
	return Max(0, GetCurrentTimestamp() / 1000.0 +
			   (double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000.0 -
			   newest) / 1000.0;
}

/* Private resident memory of this process: librdkafka's queue is in it. */
static int64
private_memory(void)
{
	FILE	   *f = AllocateFile("/proc/self/statm", "r");
	long		size = 0;
	long		resident = 0;
	long		shared = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%ld %ld %ld", &size, &resident, &shared) != 3)
		resident = shared = 0;
	FreeFile(f);
	return (int64) (resident - shared) * sysconf(_SC_PAGESIZE);
}

static void
after_load(KafkaSlot *slot, const DpipeLoad *load, const DpipePosition *next,
		   int settled)
{
	int64		lag;

	kafka_slot_keep_position(slot, next);
	kafka_reader_release(slot->reader, settled);
	slot->batch_since = slot->reader->batch.nrecords > 0 ? slot->batch_since : 0;
	slot->rows += load->rows;
	slot->bytes += load->bytes;
	slot->dead_letters += load->dead_letters;
	lag = kafka_reader_lag(slot->reader);
	dpipe_status_progress(slot->rows, slot->bytes, lag,
						  lag_seconds(slot, lag), private_memory(),
						  dpipe_target_load_path(slot->target));
}

/* False: the slot no longer stands where we believed; nothing was done. */
static bool
load_batch(KafkaSlot *slot)
{
	const DpipeBatch *batch = &slot->reader->batch;
	DpipePosition *next;
	DpipeLoad	load = {0};
	int			settled;

	dpipe_records_in_hand = true;
	kafka_slot_begin(slot);
	MemoryContextSwitchTo(slot->scratch);
	PushActiveSnapshot(GetTransactionSnapshot());
	load.started_at = GetCurrentTimestamp();
	DPIPE_FAULT_POINT("load_begin");
	if (!dpipe_position_compare(slot->source, slot->slot, slot->committed,
								slot->foreground))
	{
		PopActiveSnapshot();
		abandon(slot);
		dpipe_records_in_hand = false;
		return false;
	}
	DPIPE_FAULT_POINT("load_compared");
	load.load_id = dpipe_load_draw_id();
#ifdef DPIPE_FAULT_SPLIT_COMMIT
	/* The classical fault, to show that the tests see it. */
	dpipe_position_set(slot->source, slot->slot,
					   position_behind(slot, batch->nrecords), NULL);
	PopActiveSnapshot();
	kafka_slot_commit(slot);
	kafka_slot_begin(slot);
	MemoryContextSwitchTo(slot->scratch);
	PushActiveSnapshot(GetTransactionSnapshot());
#endif
	if (slot->target == NULL)
		slot->target = dpipe_target_open(slot->source, slot->cxt);
	settled = dpipe_target_load(slot->target, batch, &load);
	Assert(settled > 0 && settled <= batch->nrecords);
	DPIPE_FAULT_POINT("load_stored");
	next = position_behind(slot, settled);
	dpipe_position_set(slot->source, slot->slot, next, &load);
	DPIPE_FAULT_POINT("load_moved");
	dpipe_load_record(slot->source, slot->slot, &load, slot->committed, next);
	DPIPE_FAULT_POINT("load_before_commit");
	PopActiveSnapshot();
	kafka_slot_commit(slot);
	dpipe_records_in_hand = false;
	DPIPE_FAULT_POINT("load_after_commit");
	after_load(slot, &load, next, settled);
	return true;
}

/* Control records and holes moved the position, and no record will carry it. */
static bool
write_position(KafkaSlot *slot)
{
	DpipePosition *next;

	kafka_slot_begin(slot);
	MemoryContextSwitchTo(slot->scratch);
	if (!dpipe_position_compare(slot->source, slot->slot, slot->committed,
								slot->foreground))
	{
		abandon(slot);
		return false;
	}
	next = position_behind(slot, 0);
	dpipe_position_set(slot->source, slot->slot, next, NULL);
	DPIPE_FAULT_POINT("position_moved");
	kafka_slot_commit(slot);
	kafka_slot_keep_position(slot, next);
	return true;
}

/* dpipe.source_partition shows ends also while nothing can be loaded. */
static void
note_ends(KafkaSlot *slot, TimestampTz now)
{
	bool		changed = false;

	if (slot->noted_at != 0 &&
		!TimestampDifferenceExceeds(slot->noted_at, now, NOTE_ENDS_MS))
		return;
	slot->noted_at = now;
	for (int i = 0; i < slot->committed->npartitions; i++)
		if (slot->committed->end_offset[i] != slot->reader->partitions[i].end)
		{
			slot->committed->end_offset[i] = slot->reader->partitions[i].end;
			changed = true;
		}
	if (!changed)
		return;
	kafka_slot_begin(slot);
	dpipe_position_note_ends(slot->source, slot->slot, slot->committed);
	kafka_slot_commit(slot);
}

/* ---------- the loop ---------- */

static void
report_progress(KafkaSlot *slot, TimestampTz now)
{
	double		seconds;

	if (!slot->foreground ||
		!TimestampDifferenceExceeds(slot->reported_at, now, REPORT_MS))
		return;
	slot->reported_at = now;
	seconds = Max(0.001, (now - slot->opened_at) / 1000000.0);
	ereport(NOTICE,
			(errmsg("source \"%s\" slot %d: " INT64_FORMAT " rows, %.0f rows/s, " INT64_FORMAT " behind",
					slot->source->name, slot->slot, slot->rows,
					slot->rows / seconds,
					Max(0, kafka_reader_lag(slot->reader)))));
}

static void
report_state(KafkaSlot *slot)
{
	char		reason[DPIPE_REASON_LEN];

	if (slot->client->brokers_down)
	{
		snprintf(reason, sizeof(reason), "no broker can be reached: %s",
				 slot->client->problem);
		dpipe_status_set_state(DPIPE_SLOT_RETRYING, reason);
	}
	else if (slot->leaderless[0] != '\0')
		dpipe_status_set_state(DPIPE_SLOT_RUNNING, slot->leaderless);
	else
		dpipe_status_set_state(DPIPE_SLOT_RUNNING, slot->client->problem);
}

static void
report_idle(KafkaSlot *slot)
{
	int64		lag = kafka_reader_lag(slot->reader);

	report_state(slot);
	dpipe_status_idle(lag == 0, lag, lag_seconds(slot, lag), private_memory());
}

/* Has the batch waited long enough, or is it large enough, to be loaded? */
static bool
batch_is_due(KafkaSlot *slot, TimestampTz now)
{
	KafkaReader *reader = slot->reader;

	if (reader->batch.nrecords == 0)
		return false;
	if (slot->batch_since == 0)
		slot->batch_since = now;
	if (reader->full || reader->trouble != KAFKA_TROUBLE_NONE)
		return true;
	return TimestampDifferenceExceeds(slot->batch_since, now,
									  slot->source->linger_ms) ||
		slot->source->linger_ms == 0;
}

static bool
is_bounded_end(const KafkaSlot *slot)
{
	if (slot->reader->batch.nrecords > 0)
		return false;
	if (!slot->foreground)
		return slot->source->stop_at != NULL &&
			kafka_reader_stopped(slot->reader);
	if (kafka_reader_stopped(slot->reader))
		return true;

	/* An open transaction may keep the log's end out of reach. */
	for (int i = 0; i < slot->reader->npartitions; i++)
	{
		const KafkaPartition *p = &slot->reader->partitions[i];

		if (!p->at_end &&
			(p->stop < 0 || p->next < p->stop || p->print_offset >= 0))
			return false;
	}
	return true;
}

static bool
finish(KafkaSlot *slot)
{
	bool		settled = true;

	if (position_differs(slot) && !write_position(slot))
		return false;
	if (slot->source->stop_at != NULL && kafka_reader_stopped(slot->reader))
	{
		kafka_slot_begin(slot);
		settled = dpipe_slot_state_settle(slot->source, slot->slot, "finished",
										  "reached stop_at", NULL);
		DPIPE_FAULT_POINT("slot_state");
		kafka_slot_commit(slot);
	}
	return settled;
}

static long
next_timeout(KafkaSlot *slot, TimestampTz now)
{
	long		waited;

	if (slot->batch_since == 0)
		return IDLE_TICK_MS;
	waited = TimestampDifferenceMilliseconds(slot->batch_since, now);
	return Max(1, slot->source->linger_ms - waited);
}

/* One turn of the loop. False: *end says how it ended. */
static bool
turn(KafkaSlot *slot, KafkaSlotEnd *end)
{
	KafkaReader *reader = slot->reader;
	TimestampTz now;
	bool		any;

	MemoryContextSwitchTo(slot->scratch);
	MemoryContextReset(slot->scratch);
	serve(slot);

	*end = KAFKA_SLOT_STOPPED;
	any = kafka_reader_fetch(reader);
	if (kafka_slot_take_statistics(slot))
		report_state(slot);
	now = GetCurrentTimestamp();
	if (batch_is_due(slot, now))
	{
		if (!load_batch(slot))
			return false;
		report_progress(slot, now);
	}
	if (reader->trouble != KAFKA_TROUBLE_NONE && reader->batch.nrecords == 0 &&
		!kafka_slot_settle_trouble(slot, end))
		return false;
	if (is_bounded_end(slot))
	{
		*end = finish(slot) ? KAFKA_SLOT_FINISHED : KAFKA_SLOT_STOPPED;
		return false;
	}
	if (kafka_slot_must_end(slot, end) || !kafka_slot_discover(slot))
		return false;
	if (any && slot->client->problem[0] == '\0')
		slot->idle_since = 0;
	if (any || reader->full)
		return true;

	/* Nothing more for now. */
	if (slot->idle_since == 0)
		slot->idle_since = now;
	if (reader->batch.nrecords == 0 && position_differs(slot) &&
		TimestampDifferenceExceeds(slot->idle_since, now, POSITION_DELAY_MS) &&
		!write_position(slot))
		return false;
	kafka_slot_watch(slot, now);
	note_ends(slot, now);
	report_idle(slot);
	kafka_slot_wait(slot, next_timeout(slot, now));
	return true;
}

KafkaSlotEnd
kafka_slot_run(KafkaSlot *slot)
{
	KafkaSlotEnd end;
	MemoryContext old = CurrentMemoryContext;

	if (kafka_slot_start(slot, &end))
	{
		dpipe_status_set_state(DPIPE_SLOT_RUNNING, "");
		while (turn(slot, &end))
			;
	}
	MemoryContextSwitchTo(old);
	return end;
}
