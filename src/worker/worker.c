/*
 * worker.c
 *		What all processes and their callers use: kinds, waking, locks,
 *		settings, recovery from errors.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/extension.h"
#include "base/settings.h"
#include "catalog/status.h"
#include "worker/control.h"
#include "worker/process.h"
#include "worker/seat.h"

/* ---------- kinds ---------- */

#define MAX_KINDS 8				/* kafka, http, database, test; some to spare */

static struct
{
	const char *name;
	DpipeWorkerMain main;
}			kinds[MAX_KINDS];
static int	nkinds = 0;

void
dpipe_worker_register_kind(const char *kind, DpipeWorkerMain main)
{
	Assert(nkinds < MAX_KINDS && strlen(kind) < DPIPE_KIND_LEN);
	kinds[nkinds].name = kind;
	kinds[nkinds].main = main;
	nkinds++;
}

DpipeWorkerMain
dpipe_worker_kind(const char *kind)
{
	for (int i = 0; i < nkinds; i++)
		if (strcmp(kinds[i].name, kind) == 0)
			return kinds[i].main;
	return NULL;
}

/* ---------- waking the scheduler ---------- */

static bool notify_pending = false;
static bool xact_callback_registered = false;

/*
 * PREPARE counts as nothing: what it changed is not visible before COMMIT
 * PREPARED, which may run in another session. The schedulers' poll finds it.
 */
static void
notify_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			if (notify_pending)
				dpipe_control_notify(MyDatabaseId);
			notify_pending = false;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			notify_pending = false;
			break;
		default:
			break;
	}
}

void
dpipe_worker_notify_at_commit(void)
{
	if (!dpipe_control_available())
		return;
	if (!xact_callback_registered)
	{
		RegisterXactCallback(notify_xact_callback, NULL);
		xact_callback_registered = true;
	}
	notify_pending = true;
}

/* ---------- locks ---------- */

/*
 * Advisory locks of users have 1 or 2 in this field of the tag, so theirs and
 * ours never meet.
 */
#define SLOT_LOCK_CLASS 0xD19E

static void
slot_lock_tag(LOCKTAG *tag, const char *source, int slot)
{
	uint64		key = hash_bytes_extended((const unsigned char *) source,
										  strlen(source), slot);

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (key >> 32),
						 (uint32) key, SLOT_LOCK_CLASS);
}

bool
dpipe_slot_lock(const char *source, int slot)
{
	LOCKTAG		tag;

	slot_lock_tag(&tag, source, slot);
	return LockAcquire(&tag, ExclusiveLock, true, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

void
dpipe_slot_unlock(const char *source, int slot)
{
	LOCKTAG		tag;

	slot_lock_tag(&tag, source, slot);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/*
 * DROP EXTENSION locks the extension before anything that belongs to it. Who
 * holds this lock already has all of it until its transaction ends; who waits
 * for it holds nothing that DROP EXTENSION could wait for.
 */
bool
dpipe_worker_pin_extension(void)
{
	Oid			oid = dpipe_extension_oid(true);

	if (!OidIsValid(oid))
		return false;
	LockDatabaseObject(ExtensionRelationId, oid, 0, AccessShareLock);
	return dpipe_extension_oid(true) == oid;
}

/* ---------- common to all processes ---------- */

void
dpipe_worker_describe(BackgroundWorker *worker, const char *type,
					  const char *function)
{
	memset(worker, 0, sizeof(*worker));
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	/* Whoever launches one decides when to do it again. */
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "dpipe", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
}

static void
pin(const char *name, const char *value)
{
	/* Some exist in later versions only. */
	if (GetConfigOption(name, true, false) != NULL)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
dpipe_worker_pin_settings(const char *application_name)
{
	SetConfigOption("application_name", application_name, PGC_USERSET,
					PGC_S_OVERRIDE);
	/* Exactness: the compare-and-set looks again after waiting for a row. */
	pin("default_transaction_isolation", "read committed");
	pin("default_transaction_read_only", "off");
	pin("default_transaction_deferrable", "off");
	/* A bad record is an error that is caught. */
	pin("exit_on_error", "off");

	/*
	 * A batch takes as long as it takes, but must not queue for ever behind a
	 * lock: the slot shows the reason and tries again. Idle ends are ours to
	 * decide.
	 */
	pin("lock_timeout", "10s");
	pin("statement_timeout", "0");
	pin("idle_in_transaction_session_timeout", "0");
	pin("idle_session_timeout", "0");
	pin("transaction_timeout", "0");
}

void
dpipe_worker_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* The same error again and again is one line a minute in the log. */
static bool
is_news(const ErrorData *edata)
{
	static char last[256] = "";
	static TimestampTz last_at = 0;
	const char *message = edata->message ? edata->message : "";
	TimestampTz now = GetCurrentTimestamp();

	if (strncmp(last, message, sizeof(last) - 1) == 0 &&
		!TimestampDifferenceExceeds(last_at, now, 60 * 1000))
		return false;
	strlcpy(last, message, sizeof(last));
	last_at = now;
	return true;
}

/* The error may have come from anywhere, also outside of a transaction. */
void
dpipe_worker_recover(MemoryContext cxt)
{
	ErrorData  *edata;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	if (is_news(edata))
		EmitErrorReport();
	FreeErrorData(edata);
	AbortOutOfAnyTransaction();
	LWLockReleaseAll();
	pgstat_report_wait_end();
	MemoryContextSwitchTo(cxt);
	FlushErrorState();
	RESUME_INTERRUPTS();
}

/* ---------- functions for views and tests ---------- */

PG_FUNCTION_INFO_V1(dpipe_slot_status);
PG_FUNCTION_INFO_V1(dpipe_slot_budget);
PG_FUNCTION_INFO_V1(dpipe_wake);

static const char *const state_names[] = {
	"", "waiting for slot", "starting", "running", "retrying", "error",
	"finished"
};

static void
put_text(Datum *values, bool *nulls, int col, const char *s)
{
	nulls[col] = s[0] == '\0';
	if (s[0] != '\0')
		values[col] = CStringGetTextDatum(s);
}

static void
put_time(Datum *values, bool *nulls, int col, TimestampTz t)
{
	nulls[col] = t == 0;
	values[col] = TimestampTzGetDatum(t);
}

#define STATUS_COLUMNS 18

static void
put_status(ReturnSetInfo *rsinfo, const DpipeSlotStatus *s)
{
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(s->source);
	values[1] = Int32GetDatum(s->slot);
	values[2] = CStringGetTextDatum(state_names[s->state]);
	values[3] = Int32GetDatum(s->pid);
	nulls[3] = s->pid == 0;
	put_time(values, nulls, 4, s->state_since);
	put_time(values, nulls, 5, s->restart_at);
	values[6] = Int32GetDatum(s->failures);
	put_text(values, nulls, 7, s->reason);
	put_text(values, nulls, 8, s->last_error);
	put_time(values, nulls, 9, s->last_error_at);
	values[10] = Int64GetDatum(s->rows);
	values[11] = Int64GetDatum(s->bytes);
	values[12] = Float8GetDatum(s->rows_per_second);
	values[13] = Float8GetDatum(s->bytes_per_second);
	values[14] = Int64GetDatum(s->lag_records);
	nulls[14] = s->lag_records < 0;
	values[15] = Float8GetDatum(s->lag_seconds);
	nulls[15] = s->lag_seconds < 0;
	values[16] = Int64GetDatum(s->memory_bytes);
	put_text(values, nulls, 17, s->load_path);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* dpipe._slot_status(): the board's entries of this database, all of them. */
Datum
dpipe_slot_status(PG_FUNCTION_ARGS)
{
	DpipeSlotStatus *board;
	DpipeSlotStatus *mine;
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (!dpipe_status_available())
		return (Datum) 0;

	mine = palloc(sizeof(DpipeSlotStatus) * DPIPE_MAX_SLOTS);
	board = dpipe_status_lock(false);
	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].database == MyDatabaseId)
			mine[n++] = board[i];
	dpipe_status_unlock();

	for (int i = 0; i < n; i++)
	{
		DpipeSlotStatus now;

		/* Once more, for the rates of this moment. */
		if (dpipe_status_get(MyDatabaseId, mine[i].source, mine[i].slot, &now))
			put_status((ReturnSetInfo *) fcinfo->resultinfo, &now);
	}
	return (Datum) 0;
}

/* dpipe._slot_budget(): seats that there may be and that are taken. */
Datum
dpipe_slot_budget(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(dpipe_max_workers);
	values[1] = Int32GetDatum(dpipe_status_available() ? dpipe_seat_used() : 0);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/* dpipe._wake(): look at the definitions after this transaction. */
Datum
dpipe_wake(PG_FUNCTION_ARGS)
{
	dpipe_worker_notify_at_commit();
	PG_RETURN_VOID();
}

/* ---------- start ---------- */

void
dpipe_worker_init(void)
{
#ifdef DPIPE_FAULT_POINTS
	dpipe_testkind_init();
#endif
	if (!process_shared_preload_libraries_in_progress)
		return;
	dpipe_control_init();
	dpipe_lifecycle_init();
	dpipe_launcher_register();
}
