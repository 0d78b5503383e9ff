/*
 * slot.c
 *		The worker of one slot of one source.
 *
 * It is launched by the scheduler with a ticket for a seat, announces itself
 * on the status board, connects as the source's owner, takes the slot's lock
 * and runs what the source's kind has registered. However that ends, the
 * worker ends with it and leaves the outcome on the board; the scheduler
 * decides what comes next. It never restarts by itself.
 *
 * Order at the start: exit guard (so that it runs last), signal handlers, the
 * seat and its exit callback, then the connection. So the board shows a pid
 * for as long as the process can be counted among the database's backends.
 *
 * The exit code is 0 whenever the outcome was told on the board; the
 * postmaster would log any other once more.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "base/error.h"
#include "base/identity.h"
#include "catalog/catalog.h"
#include "catalog/status.h"
#include "worker/process.h"
#include "worker/seat.h"

/* The same error of a slot is logged once in so many milliseconds. */
#define ERROR_LOG_MS (60 * 1000)

static DpipeSlotStart start;
static volatile sig_atomic_t terminated = false;

/* What the exit callback will tell; a process that just ends has failed. */
static DpipeSlotOutcome outcome = DPIPE_OUTCOME_FAILED;
static char last_words[DPIPE_ERROR_LEN] = "";
static char shown_words[DPIPE_SHOWN_LEN] = "";

static emit_log_hook_type prev_emit_log_hook = NULL;

/* ---------- ends that nobody catches ---------- */

static void
slot_sigterm(SIGNAL_ARGS)
{
	terminated = true;
	die(postgres_signal_arg);
}

static void
keep_words(const ErrorData *edata)
{
	strlcpy(last_words, edata->message, sizeof(last_words));
	shown_words[0] = '\0';
	if (dpipe_records_in_hand)
		snprintf(shown_words, sizeof(shown_words),
				 "its target did not take a batch (SQLSTATE %s)",
				 unpack_sql_state(edata->sqlerrcode));
}

/* A FATAL error ends the process here and now: keep its text for the board. */
static void
keep_last_words(ErrorData *edata)
{
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
	if (edata->elevel == FATAL && edata->message != NULL)
		keep_words(edata);
}

static void
leave_seat(int code, Datum arg)
{
	const char *message = NULL;

	if (outcome == DPIPE_OUTCOME_FAILED && terminated)
		outcome = DPIPE_OUTCOME_TERMINATED;
	else if (outcome == DPIPE_OUTCOME_FAILED)
		message = last_words[0] != '\0' ? last_words :
			"its process ended unexpectedly";
	dpipe_seat_leave(&start, outcome, message,
					 shown_words[0] != '\0' ? shown_words : NULL);
}

/* ---------- errors ---------- */

static void
slot_error_context(void *arg)
{
	errcontext("source \"%s\", slot %d", start.source, start.slot);
}

/*
 * An outage of an hour is one line a minute in the log, not one a try. The
 * first of a kind is always logged.
 */
static bool
is_news(const char *message)
{
	DpipeSlotStatus *e = &dpipe_status_lock(true)[start.index];
	TimestampTz now = GetCurrentTimestamp();
	bool		news;

	news = strncmp(e->last_error, message, DPIPE_ERROR_LEN - 1) != 0 ||
		TimestampDifferenceExceeds(e->error_logged_at, now, ERROR_LOG_MS);
	if (news)
		e->error_logged_at = now;
	dpipe_status_unlock();
	return news;
}

/* True when the extension is still there; else the failure means nothing. */
static bool
record_failure(const char *message)
{
	bool		present;

	StartTransactionCommand();
	present = dpipe_worker_pin_extension();
	if (present)
		dpipe_slot_state_set(start.source, start.slot, start.owner,
							 "retrying", message, message,
							 shown_words[0] != '\0' ? shown_words : NULL);
	CommitTransactionCommand();
	return present;
}

/* Nothing but a line in the log; the error was dealt with. */
static void
log_error(ErrorData *edata)
{
	PG_TRY();
	{
		dpipe_rethrow(edata);
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

/* As PostgresMain after an error. */
static void
clean_up(MemoryContext cxt)
{
	HOLD_INTERRUPTS();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	LWLockReleaseAll();
	pgstat_report_wait_end();
	MemoryContextSwitchTo(cxt);
	RESUME_INTERRUPTS();
}

/* In the PG_CATCH of the run. */
static void
fail(MemoryContext cxt)
{
	ErrorData  *edata;

	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	if (edata->message == NULL)
		edata->message = "missing error text";
	keep_words(edata);
	clean_up(cxt);

	PG_TRY();
	{
		if (!record_failure(edata->message))
			outcome = DPIPE_OUTCOME_STOPPED;
	}
	PG_CATCH();
	{
		/* Not even that: a full disk, say. The board will do. */
		clean_up(cxt);
	}
	PG_END_TRY();

	if (outcome == DPIPE_OUTCOME_FAILED && is_news(edata->message))
		log_error(edata);
}

/* ---------- the run ---------- */

static void
run_kind(void)
{
	DpipeWorkerMain run = dpipe_worker_kind(start.kind);

	if (run == NULL)
		elog(ERROR, "no worker for sources of kind \"%s\"", start.kind);
	if (!dpipe_slot_lock(start.source, start.slot))
	{
		outcome = DPIPE_OUTCOME_BUSY;
		return;
	}

	dpipe_status_set_state(DPIPE_SLOT_RUNNING, "");
	switch (run(start.source, start.slot))
	{
		case DPIPE_END_STOPPED:
			outcome = DPIPE_OUTCOME_STOPPED;
			break;
		case DPIPE_END_YIELDED:
			outcome = DPIPE_OUTCOME_YIELDED;
			break;
		case DPIPE_END_FINISHED:
		case DPIPE_END_ERROR:
			outcome = DPIPE_OUTCOME_LASTING;
			break;
	}
}

static void
connect_as_owner(void)
{
	char		name[NAMEDATALEN + 32];

	BackgroundWorkerInitializeConnectionByOid(start.database, start.role,
											  OidIsValid(start.role) ?
											  DPIPE_BYPASS_ROLELOGINCHECK : 0);
	snprintf(name, sizeof(name), "dpipe: %s/%d", start.source, start.slot);
	dpipe_worker_pin_settings(name);
}

void
dpipe_slot_main(Datum arg)
{
	MemoryContext cxt;
	ErrorContextCallback errcallback = {.callback = slot_error_context};

	dpipe_exit_guard_first();
	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));

	/*
	 * die() in place of the default handler, which would end the process in
	 * the middle of whatever it is doing.
	 */
	pqsignal(SIGTERM, slot_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);

	if (!dpipe_seat_occupy(&start))
		proc_exit(0);
	on_shmem_exit(leave_seat, (Datum) 0);
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = keep_last_words;
	BackgroundWorkerUnblockSignals();

	connect_as_owner();
	dpipe_status_attach(start.source, start.slot);
	cxt = AllocSetContextCreate(TopMemoryContext, "dpipe worker",
								ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cxt);

	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;
	PG_TRY();
	{
		run_kind();
	}
	PG_CATCH();
	{
		fail(cxt);
	}
	PG_END_TRY();
	error_context_stack = errcallback.previous;

	proc_exit(0);
}
