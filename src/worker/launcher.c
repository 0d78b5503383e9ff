/*
 * launcher.c
 *		The static process: keeps a scheduler in each database that has the
 *		extension.
 *
 * It sees shared catalogs only. Whether a database has the extension is found
 * out by its scheduler, which ends at once when it does not; the answer holds
 * until somebody says that something has changed: CREATE EXTENSION at its
 * commit, commands on databases at their end (lifecycle.c). So nothing polls
 * the databases; the list of databases alone is read every ten seconds.
 *
 * Schedulers are found in shared memory (control.c), so a launcher that was
 * started anew goes on with those of the one before.
 *
 * An error never ends the loop. What ends the process is SIGTERM or the loss
 * of the postmaster; after SIGTERM alone the postmaster starts it again,
 * because the exit code is 1.
 */
#include "base/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "worker/control.h"
#include "worker/process.h"
#include "worker/seat.h"

#define POLL_MS (10 * 1000)

/*
 * After a start of the server all databases have to be asked; not all at
 * once, there may be thousands. One that takes longer than this, because it
 * is locked for instance, does not hold up the others.
 */
#define MAX_PROBES 3
#define PROBE_MS (5 * 1000)

/* A scheduler that ran for so long was healthy. */
#define HEALTHY_MS (60 * 1000)

typedef struct Database
{
	Oid			oid;
	char		name[NAMEDATALEN];
	bool		listed;			/* by the last look at pg_database */
	BackgroundWorkerHandle *handle; /* of the scheduler that we launched */
	bool		had_scheduler;	/* one is running, or was when we looked */
	bool		absent;			/* its last scheduler found no extension */
	TimestampTz launched_at;
	TimestampTz next_try;		/* 0: now */
	int			failures;
} Database;

static List *databases = NIL;	/* of Database, in launcher_cxt */
static MemoryContext launcher_cxt;
static int	figure_told = 0;	/* workers needed, as last logged */
static bool launch_failed = false;	/* logged already */
static uint32 wait_event = 0;

/* ---------- the list of databases ---------- */

static void
list_database(Form_pg_database form)
{
	MemoryContext old;
	ListCell   *lc;
	Database   *d;

	foreach(lc, databases)
	{
		d = lfirst(lc);
		if (d->oid == form->oid)
		{
			d->listed = true;
			strlcpy(d->name, NameStr(form->datname), NAMEDATALEN);
			return;
		}
	}
	old = MemoryContextSwitchTo(launcher_cxt);
	d = palloc0(sizeof(Database));
	d->oid = form->oid;
	d->listed = true;
	strlcpy(d->name, NameStr(form->datname), NAMEDATALEN);
	databases = lappend(databases, d);
	MemoryContextSwitchTo(old);
}

/*
 * Templates are to be copied, not worked in. A connection limit of -2 marks a
 * database whose DROP was interrupted (since 15.4).
 */
static void
list_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;
	ListCell   *lc;

	foreach(lc, databases)
		((Database *) lfirst(lc))->listed = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tup);

		if (form->datallowconn && !form->datistemplate &&
			form->datconnlimit != -2)
			list_database(form);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(launcher_cxt);
}

static bool
is_listed(Oid oid)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		Database   *d = lfirst(lc);

		if (d->oid == oid)
			return d->listed;
	}
	return false;
}

/*
 * What is no longer listed was dropped, became a template or refuses
 * connections: nothing of ours may stay.
 */
static void
forget_unlisted(void)
{
	static Oid	oids[DPIPE_MAX_DATABASES];
	int			n = dpipe_control_list(oids);
	ListCell   *lc;

	for (int i = 0; i < n; i++)
	{
		if (is_listed(oids[i]) || dpipe_control_terminate(oids[i]) > 0)
			continue;
		dpipe_seat_abandon(oids[i]);
		dpipe_control_forget(oids[i], true);
	}
	foreach(lc, databases)
	{
		Database   *d = lfirst(lc);

		if (d->listed)
			continue;
		if (d->handle)
			pfree(d->handle);
		databases = foreach_delete_current(databases, lc);
		pfree(d);
	}
}

/* ---------- one database ---------- */

static bool
launch_ended(Database *d)
{
	pid_t		pid;

	return d->handle != NULL &&
		GetBackgroundWorkerPid(d->handle, &pid) == BGWH_STOPPED;
}

static void
forget_launch(Database *d)
{
	if (d->handle != NULL)
		pfree(d->handle);
	d->handle = NULL;
	d->had_scheduler = false;
}

/* Its scheduler is gone, and not because there is no extension. */
static void
note_failure(Database *d)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		delay = dpipe_restart_delay_min;

	if (TimestampDifferenceExceeds(d->launched_at, now, HEALTHY_MS))
		d->failures = 0;
	d->failures++;
	for (int i = 1; i < Min(d->failures, 32) && delay < dpipe_restart_delay_max; i++)
		delay *= 2;
	d->next_try = now + delay * 1000;
}

static void
launch(Database *d)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	MemoryContext old;

	if (!dpipe_control_prepare(d->oid))
		return;
	dpipe_worker_describe(&worker, "dpipe scheduler", "dpipe_scheduler_main");
	worker.bgw_main_arg = ObjectIdGetDatum(d->oid);
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(launcher_cxt);
	d->launched_at = GetCurrentTimestamp();
	if (RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		d->handle = handle;
		d->next_try = 0;
		launch_failed = false;
	}
	else
	{
		d->next_try = d->launched_at + POLL_MS * 1000L;
		if (!launch_failed)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no free background worker for the dpipe scheduler of database \"%s\"",
							d->name),
					 errhint("Increase max_worker_processes, which is %d.",
							 max_worker_processes)));
		launch_failed = true;
	}
	MemoryContextSwitchTo(old);
}

/* True when its scheduler has yet to say whether there is an extension. */
static bool
tend_database(Database *d, bool may_launch)
{
	DpipeDatabase shared;
	bool		barred;
	TimestampTz now = GetCurrentTimestamp();

	(void) dpipe_control_get(d->oid, &shared, &barred);
	if (shared.scheduler != 0)
	{
		d->had_scheduler = true;
		return !shared.settled &&
			!TimestampDifferenceExceeds(d->launched_at, now, PROBE_MS);
	}
	if (d->handle != NULL && !launch_ended(d))
		return !TimestampDifferenceExceeds(d->launched_at, now, PROBE_MS);

	if (d->handle != NULL || d->had_scheduler)
	{
		forget_launch(d);
		d->absent = shared.absent;
		if (d->absent)
			dpipe_control_forget(d->oid, false);
		else if (!shared.changed)
			note_failure(d);
	}
	if (shared.changed)
	{
		d->absent = false;
		d->next_try = 0;
		d->failures = 0;
	}
	if (barred || d->absent || d->next_try > now || !may_launch)
		return false;
	launch(d);
	return d->handle != NULL;
}

/* ---------- the figure ---------- */

/*
 * Said at the start, and again when more databases need more. What else uses
 * background workers is not ours to count.
 */
static void
check_figure(int schedulers)
{
	int			needed = 1 + Max(schedulers, 1) + dpipe_max_workers;

	if (needed <= max_worker_processes || needed <= figure_told)
		return;
	figure_told = needed;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("max_worker_processes = %d is too small for dpipe, which needs %d",
					max_worker_processes, needed),
			 errdetail("There are 1 launcher, %d scheduler(s) and dpipe.max_workers = %d.",
					   Max(schedulers, 1), dpipe_max_workers),
			 errhint("Set max_worker_processes to %d or more, and add what parallel queries and logical replication use.",
					 needed)));
}

/* ---------- the loop ---------- */

/* Milliseconds until the next look that is due. */
static long
tend_all(void)
{
	ListCell   *lc;
	int			probes = 0;
	int			schedulers = 0;
	TimestampTz next = GetCurrentTimestamp() + POLL_MS * 1000L;

	list_databases();
	forget_unlisted();
	foreach(lc, databases)
	{
		Database   *d = lfirst(lc);

		if (tend_database(d, probes < MAX_PROBES))
			probes++;
		if (d->had_scheduler)
			schedulers++;
		if (d->next_try != 0 && d->next_try < next)
			next = d->next_try;
	}
	check_figure(schedulers);
	/* Past next_tries belong to databases whose turn comes with a probe's end. */
	return Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next),
			   100);
}

static void
launcher_wait(long timeout_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout_ms, wait_event);
	ResetLatch(MyLatch);
	dpipe_worker_interrupts();
}

void
dpipe_launcher_main(Datum arg)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	dpipe_worker_pin_settings("dpipe: launcher");

	launcher_cxt = AllocSetContextCreate(TopMemoryContext, "dpipe launcher",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(launcher_cxt);
	wait_event = dpipe_wait_event("DpipeLauncherMain");
	dpipe_control_enter_launcher();
	check_figure(1);

	for (;;)
	{
		volatile long timeout_ms = POLL_MS;

		PG_TRY();
		{
			timeout_ms = tend_all();
		}
		PG_CATCH();
		{
			dpipe_worker_recover(launcher_cxt);
			pg_usleep(1000000L);	/* whatever wakes us: no faster than this */
		}
		PG_END_TRY();
		launcher_wait(timeout_ms);
	}
}

void
dpipe_launcher_register(void)
{
	BackgroundWorker worker;

	dpipe_worker_describe(&worker, "dpipe launcher", "dpipe_launcher_main");
	worker.bgw_restart_time = 5;	/* as the server's own launchers */
	RegisterBackgroundWorker(&worker);
}
