/*
 * kafka.c
 *		Kafka as a source: the worker's main function and CALL dpipe_sync.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "kafka/kafka.h"
#include "kafka/slot.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(dpipe_sync);

static DpipeWorkerEnd
kafka_worker_main(const char *source, int slotno)
{
	KafkaSlot  *slot = kafka_slot_make(slotno, false, TopMemoryContext);

	kafka_slot_open(slot, source);

	/* No close: the process ends by _exit(), see client.c. */
	switch (kafka_slot_run(slot))
	{
		case KAFKA_SLOT_YIELDED:
			return DPIPE_END_YIELDED;
		case KAFKA_SLOT_FINISHED:
			return DPIPE_END_FINISHED;
		case KAFKA_SLOT_ERROR:
			return DPIPE_END_ERROR;
		case KAFKA_SLOT_STOPPED:
			break;
	}
	return DPIPE_END_STOPPED;
}

void
dpipe_kafka_init(void)
{
	dpipe_worker_register_kind("kafka", kafka_worker_main);
}

/* ---------- CALL dpipe_sync(source) ---------- */

static void
raise_end(const KafkaSlot *slot, KafkaSlotEnd end)
{
	if (end == KAFKA_SLOT_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" has stopped: %s", slot->source->name,
						slot->error)));
	if (end == KAFKA_SLOT_STOPPED)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("source \"%s\" was changed while it was read",
						slot->source->name),
				 errdetail("Batches that were committed stay; the one under way was rolled back.")));
}

/* One slot from its position to the ends as they are now. */
static void
sync_slot(const char *source, int slotno, MemoryContext cxt, int64 *rows,
		  int64 *dead_letters)
{
	KafkaSlot  *slot = kafka_slot_make(slotno, true, cxt);

	if (!dpipe_slot_lock(source, slotno))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("source \"%s\" is being loaded by another process",
						source),
				 errhint("Disable it first, or look at dpipe.source_status.")));
	PG_TRY();
	{
		KafkaSlotEnd end;

		kafka_slot_open(slot, source);
		end = kafka_slot_run(slot);
		raise_end(slot, end);
		*rows += slot->rows;
		*dead_letters += slot->dead_letters;
	}
	PG_FINALLY();
	{
		kafka_slot_close(slot);
		dpipe_slot_unlock(source, slotno);
	}
	PG_END_TRY();
	MemoryContextDelete(slot->cxt);
}

/*
 * Read a source up to its end as it is now, in this session. Commits per
 * batch, so it must be called at top level.
 */
Datum
dpipe_sync(PG_FUNCTION_ARGS)
{
	CallContext *context = (CallContext *) fcinfo->context;
	MemoryContext cxt;
	DpipeSource *source;
	int64		rows = 0;
	int64		dead_letters = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source must not be null")));
	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("dpipe_sync cannot run inside a transaction block or a function"),
				 errdetail("It commits batch by batch.")));
	PreventCommandIfReadOnly("dpipe_sync()");
	PreventCommandDuringRecovery("dpipe_sync()");

	/* Survives the commits on the way. */
	cxt = AllocSetContextCreate(PortalContext, "dpipe sync",
								ALLOCSET_DEFAULT_SIZES);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	MemoryContextSwitchTo(cxt);
	source = dpipe_source_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	dpipe_source_check_owner(source);
	for (int i = 0; i < source->workers; i++)
		sync_slot(source->name, i, cxt, &rows, &dead_letters);
	ereport(NOTICE,
			(errmsg("source \"%s\": " INT64_FORMAT " rows, " INT64_FORMAT " dead letters",
					source->name, rows, dead_letters)));
	SPI_finish();
	MemoryContextDelete(cxt);
	PG_RETURN_VOID();
}
