/*
 * scheduler.c
 *		One process a database: keeps the workers that its sources ask for.
 *
 * What is wanted is read from the catalog: the slots of every source that is
 * enabled, belongs to this incarnation of the database and whose owner is
 * still the same role. What is there is read from the status board. Each pass
 * compares the two and moves every entry at most one step (seat.c). Nothing
 * is remembered between passes but the handles of workers that were launched
 * and have not shown up yet, so a pass after an error, or in a new scheduler,
 * is like any other.
 *
 * The catalog is read again when somebody says so at commit, when a run has
 * ended (it may have left a lasting state), and every ten seconds. Ends are
 * taken note of before the catalog is read: what a run has left there is then
 * visible.
 *
 * The database has the extension, or this process ends: it looks at each
 * reading. An extension that was dropped and made again has another OID, and
 * gets another scheduler. After ALTER EXTENSION UPDATE it is another process,
 * too (lifecycle.c).
 */
#include "base/compat.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/extension.h"
#include "base/settings.h"
#include "base/spi.h"
#include "catalog/catalog.h"
#include "catalog/status.h"
#include "worker/control.h"
#include "worker/process.h"
#include "worker/seat.h"

#define POLL_MS (10 * 1000)

/* Without a background worker free, try again so often. */
#define LAUNCH_RETRY_MS 1000

/* Shortage comes and goes with the turns; it is logged once in a while. */
#define SHORTAGE_LOG_MS (60 * 1000)

/* Workers of an extension that was dropped have so long to leave. */
#define CLEAR_MS 2000

/* A slot that is to run. */
typedef struct Wanted
{
	char	   *source;
	char	   *kind;
	int			slot;
	int64		version;
	int64		epoch;
	Oid			owner;
	Oid			role;			/* to connect as; InvalidOid: bootstrap */
	char	   *lasting;		/* "error", "finished" or NULL */
	char	   *reason;			/* of it */
} Wanted;

static Wanted *wanted = NULL;
static int	nwanted = 0;
static bool wanted_too_many = false;	/* there are more than the board has room for */
static MemoryContext scheduler_cxt;
static MemoryContext wanted_cxt;	/* reset at each reading */

static Oid	extension = InvalidOid;
static char database_name[NAMEDATALEN] = "";
static TimestampTz read_at = 0; /* 0: read at the next pass */
static int	failures = 0;		/* passes in a row that ended with an error */
static bool launch_failed = false;	/* logged already */
static bool board_full = false; /* logged already */
static bool misfit_logged = false;
static TimestampTz shortage_logged_at = 0;
static uint32 wait_event = 0;

/* By index on the board: launched, and not yet seen to live or die. */
static BackgroundWorkerHandle *handles[DPIPE_MAX_SLOTS];

/* ---------- what is wanted ---------- */

/*
 * More slots than the board has entries cannot run; one more tells so. Owners
 * have a slot each by turns until it is full, or one of them could keep all
 * others off it by what he defines.
 */
static DpipeStatement wanted_select = {
	"SELECT s.name, s.kind, n.slot, s.version, s.epoch, r.oid, r.rolcanlogin,"
	"       t.state, t.reason"
	"  FROM dpipe.source s"
	"  JOIN dpipe.incarnation i ON i.id = s.incarnation"
	"   AND i.database_oid = $1"
	"  JOIN pg_catalog.pg_roles r ON r.oid = s.owner_oid AND r.rolname = s.owner"
	" CROSS JOIN LATERAL pg_catalog.generate_series(0, s.workers - 1)"
	"       AS n (slot)"
	"  LEFT JOIN dpipe.slot_state t ON t.source = s.name AND t.slot = n.slot"
	"   AND t.state IN ('error', 'finished')"
	" WHERE s.enabled AND pg_catalog.octet_length(s.name) <= $2"
	" ORDER BY pg_catalog.row_number()"
	"       OVER (PARTITION BY s.owner_oid ORDER BY n.slot, s.name), s.name"
	" LIMIT $3",
	3, {OIDOID, INT4OID, INT4OID}
};

/*
 * 15 and 16 refuse to connect a worker as a role without LOGIN. It then
 * connects as the bootstrap superuser, and its main switches to the owner for
 * whatever is the owner's.
 */
static Oid
role_to_connect_as(Oid owner, bool can_login)
{
	return can_login || DPIPE_CAN_BYPASS_LOGIN ? owner : InvalidOid;
}

static void
read_wanted_row(uint64 row, Wanted *w)
{
	bool		isnull;

	w->source = dpipe_spi_text(row, 1, wanted_cxt);
	w->kind = dpipe_spi_text(row, 2, wanted_cxt);
	w->slot = dpipe_spi_int32(row, 3);
	w->version = dpipe_spi_int64(row, 4);
	w->epoch = dpipe_spi_int64(row, 5);
	w->owner = DatumGetObjectId(dpipe_spi_datum(row, 6, &isnull));
	w->role = role_to_connect_as(w->owner, dpipe_spi_bool(row, 7));
	w->lasting = dpipe_spi_text(row, 8, wanted_cxt);
	w->reason = dpipe_spi_text(row, 9, wanted_cxt);
}

static void
read_wanted(void)
{
	DpipeSpi	spi;
	Datum		args[3] = {
		ObjectIdGetDatum(MyDatabaseId),
		Int32GetDatum(DPIPE_MAX_NAME),
		Int32GetDatum(DPIPE_MAX_SLOTS + 1),
	};
	uint64		n;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&wanted_select, args, NULL, true, 0);
	MemoryContextReset(wanted_cxt);
	wanted = MemoryContextAllocZero(wanted_cxt, sizeof(Wanted) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		read_wanted_row(i, &wanted[i]);
	nwanted = Min(n, DPIPE_MAX_SLOTS);
	wanted_too_many = n > DPIPE_MAX_SLOTS;
	dpipe_spi_end(&spi);
}

/* ---------- when there is nothing to do here ---------- */

static void
leave(void)
{
	(void) dpipe_control_clear(MyDatabaseId, CLEAR_MS);
	proc_exit(0);
}

/* Nothing runs on catalogs that the library does not know. Said once. */
static bool
catalogs_fit(void)
{
	char	   *misfit = dpipe_extension_misfit();

	if (misfit != NULL && !misfit_logged)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", misfit),
				 errdetail("No source runs in database \"%s\".",
						   get_database_name(MyDatabaseId))));
	misfit_logged = misfit != NULL;
	return misfit == NULL;
}

static void
read_catalog(void)
{
	bool		present;
	Oid			oid;

	StartTransactionCommand();
	present = dpipe_worker_pin_extension();
	oid = present ? dpipe_extension_oid(true) : InvalidOid;
	nwanted = 0;
	wanted_too_many = false;
	if (present && (oid == extension || !OidIsValid(extension)) &&
		catalogs_fit())
		read_wanted();
	if (database_name[0] == '\0')
		strlcpy(database_name, get_database_name(MyDatabaseId), NAMEDATALEN);
	CommitTransactionCommand();
	MemoryContextSwitchTo(scheduler_cxt);
	pgstat_report_stat(false);

	if (!present)
	{
		dpipe_control_leave_absent();
		leave();
	}
	if (OidIsValid(extension) && oid != extension)
	{
		dpipe_control_leave_for_restart();
		leave();
	}
	if (!OidIsValid(extension))
	{
		extension = oid;
		dpipe_control_settle();
	}
	read_at = GetCurrentTimestamp();
}

/* ---------- launching ---------- */

static void
forget_handle(int index)
{
	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
}

static void
launch_failed_at(int index, uint64 ticket)
{
	char		reason[DPIPE_REASON_LEN];

	snprintf(reason, sizeof(reason),
			 "no free background worker: max_worker_processes = %d",
			 max_worker_processes);
	dpipe_seat_return(index, ticket, reason, LAUNCH_RETRY_MS);
	if (!launch_failed)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no free background worker for a dpipe worker"),
				 errdetail("Slots of sources wait until there is one."),
				 errhint("Increase max_worker_processes, which is %d.",
						 max_worker_processes)));
	launch_failed = true;
}

static void
launch(const Wanted *w, int index, uint64 ticket)
{
	BackgroundWorker worker;
	DpipeSlotStart start = {
		.database = MyDatabaseId,
		.role = w->role,
		.owner = w->owner,
		.slot = w->slot,
		.index = index,
		.ticket = ticket,
	};

	strlcpy(start.source, w->source, sizeof(start.source));
	strlcpy(start.kind, w->kind, sizeof(start.kind));

	dpipe_worker_describe(&worker, "dpipe worker", "dpipe_slot_main");
	memcpy(worker.bgw_extra, &start, sizeof(start));
	worker.bgw_notify_pid = MyProcPid;

	forget_handle(index);
	MemoryContextSwitchTo(scheduler_cxt);
	if (RegisterDynamicBackgroundWorker(&worker, &handles[index]))
		launch_failed = false;
	else
	{
		handles[index] = NULL;
		launch_failed_at(index, ticket);
	}
}

/*
 * A worker that was launched and is gone before it came to the board: the
 * fork failed, or it died at once. Nobody else would ever tell.
 */
static void
check_launch(int index, uint64 ticket)
{
	pid_t		pid;

	if (handles[index] != NULL &&
		GetBackgroundWorkerPid(handles[index], &pid) != BGWH_STOPPED)
		return;
	forget_handle(index);
	dpipe_seat_fail(index, ticket, "its process could not be started");
	SetLatch(MyLatch);			/* for the next pass to take note of it */
}

/* ---------- one pass ---------- */

static void
tend(const Wanted *w, int index)
{
	uint64		ticket;

	if (w->lasting != NULL)
	{
		dpipe_seat_stand(index, strcmp(w->lasting, "error") == 0 ?
						 DPIPE_SLOT_ERROR : DPIPE_SLOT_FINISHED, w->reason);
		return;
	}
	if (dpipe_worker_kind(w->kind) == NULL)
	{
		char		reason[DPIPE_REASON_LEN];

		snprintf(reason, sizeof(reason),
				 "the loaded library has no worker for sources of kind \"%s\"",
				 w->kind);
		dpipe_seat_stand(index, DPIPE_SLOT_ERROR, reason);
		return;
	}
	switch (dpipe_seat_step(index, w->version, w->epoch, &ticket))
	{
		case DPIPE_STEP_NONE:
			forget_handle(index);
			break;
		case DPIPE_STEP_STARTING:
			check_launch(index, ticket);
			break;
		case DPIPE_STEP_LAUNCH:
			launch(w, index, ticket);
			break;
	}
}

/* Entries of slots that are wanted no longer. */
static void
retire_others(const bool *keep)
{
	static bool ours[DPIPE_MAX_SLOTS];
	DpipeSlotStatus *board = dpipe_status_lock(false);

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		ours[i] = board[i].database == MyDatabaseId;
	dpipe_status_unlock();

	/* Only this process makes and frees entries of its database. */
	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (ours[i] && !keep[i])
		{
			forget_handle(i);
			dpipe_seat_retire(i);
		}
}

static void
tend_wanted(void)
{
	static bool keep[DPIPE_MAX_SLOTS];
	bool		full = wanted_too_many && dpipe_enabled;

	memset(keep, 0, sizeof(keep));
	for (int i = 0; i < nwanted && dpipe_enabled; i++)
	{
		int			index = dpipe_seat_entry(wanted[i].source, wanted[i].slot,
											 wanted[i].owner);

		full = full || index < 0;
		if (index < 0)
			continue;
		keep[index] = true;
		tend(&wanted[i], index);
	}
	retire_others(keep);

	if (full && !board_full)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more than %d slots of sources are enabled in this cluster",
						DPIPE_MAX_SLOTS),
				 errdetail("The others do not run.")));
	board_full = full;
}

static void
log_shortage(void)
{
	int			waiting = dpipe_seat_waiting(MyDatabaseId);
	TimestampTz now = GetCurrentTimestamp();

	if (waiting == 0)
		return;
	if (TimestampDifferenceExceeds(shortage_logged_at, now, SHORTAGE_LOG_MS))
		ereport(LOG,
				(errmsg("%d slot(s) of sources in database \"%s\" wait for a worker",
						waiting, database_name),
				 errdetail("dpipe.max_workers = %d are busy; the slots take turns.",
						   dpipe_max_workers)));
	shortage_logged_at = now;
}

static void
pass(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		changed = dpipe_control_take_changed(MyDatabaseId);
	bool		ended = dpipe_seat_digest(MyDatabaseId);

	if (changed || ended)
		read_at = 0;
	if (read_at == 0 || TimestampDifferenceExceeds(read_at, now, POLL_MS))
		read_catalog();
	tend_wanted();
	dpipe_seat_make_room();
	log_shortage();
}

/* ---------- the loop ---------- */

static void
guarded_pass(void)
{
	PG_TRY();
	{
		pass();
		failures = 0;
	}
	PG_CATCH();
	{
		/*
		 * Slots that wait must not keep others from the seats while this is
		 * not able to take them. Workers go on.
		 */
		dpipe_worker_recover(scheduler_cxt);
		dpipe_seat_withdraw(MyDatabaseId);
		failures++;
		read_at = 0;
	}
	PG_END_TRY();
}

/* Milliseconds until there is something to do without anybody's word. */
static long
until_next_pass(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = dpipe_seat_next_look(MyDatabaseId);
	long		ms = POLL_MS;

	if (failures > 0)
		return Min(1000L << Min(failures - 1, 6), 60000L);
	if (next != 0)
		ms = TimestampDifferenceMilliseconds(now, next);
	/* An entry that is due but was not moved must not make us spin. */
	return Max(Min(ms, POLL_MS), 10);
}

static void
scheduler_wait(void)
{
	TimestampTz start = GetCurrentTimestamp();
	long		ms = until_next_pass();
	int			rc;

	do
	{
		rc = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					   ms, wait_event);
		ResetLatch(MyLatch);
		dpipe_worker_interrupts();
		/* After an error wakeups do not shorten the wait. */
	} while (failures > 0 && !(rc & WL_TIMEOUT) &&
			 !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), ms));
}

void
dpipe_scheduler_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);

	/* Before connecting: see control.c. */
	if (!dpipe_control_enter_scheduler(database))
		proc_exit(0);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	dpipe_worker_pin_settings("dpipe: scheduler");

	scheduler_cxt = AllocSetContextCreate(TopMemoryContext, "dpipe scheduler",
										  ALLOCSET_DEFAULT_SIZES);
	wanted_cxt = AllocSetContextCreate(scheduler_cxt, "dpipe wanted slots",
									   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scheduler_cxt);
	wait_event = dpipe_wait_event("DpipeSchedulerMain");

	for (;;)
	{
		guarded_pass();
		scheduler_wait();
	}
}
