/*
 * control.c
 *		Which databases have a scheduler, and which must not have one now.
 *
 * A table in shared memory, so that a launcher that starts anew finds the
 * schedulers of the one before, and so that a session which is about to drop
 * or copy a database can keep it free of our processes.
 *
 * Locks: this one first, the status board's after it, never the other way.
 * Latches are those of PGPROCs, which stay where they are when their process
 * is gone; setting one of them needlessly does no harm.
 *
 * A process's entry is cleared by an on_shmem_exit callback registered before
 * the process connects. Such callbacks run last first, so by then it has left
 * the list of the database's backends that DROP DATABASE counts.
 */
#include "base/compat.h"

#include <signal.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "catalog/status.h"
#include "worker/control.h"
#include "worker/seat.h"

#define TRANCHE "dpipe_control"

/* Sessions that drop, rename or copy a database at the same time. */
#define MAX_BARS 64

typedef struct Bar
{
	Oid			database;		/* InvalidOid: free */
	pid_t		pid;
} Bar;

typedef struct Control
{
	LWLock	   *lock;
	pg_atomic_uint64 last_ticket;
	Latch	   *launcher;		/* NULL: none */
	DpipeDatabase databases[DPIPE_MAX_DATABASES];
	Bar			bars[MAX_BARS];
} Control;

static Control *control = NULL;
static bool leave_absent = false;
static bool leave_for_restart = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* ---------- shared memory ---------- */

static void
control_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Control)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
control_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	control = ShmemInitStruct("dpipe control", sizeof(Control), &found);
	if (!found)
	{
		memset(control, 0, sizeof(Control));
		control->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		pg_atomic_init_u64(&control->last_ticket, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
dpipe_control_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = control_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = control_shmem_startup;
}

bool
dpipe_control_available(void)
{
	return control != NULL;
}

uint64
dpipe_control_next_ticket(void)
{
	return pg_atomic_add_fetch_u64(&control->last_ticket, 1);
}

/* ---------- entries; the lock is held ---------- */

static DpipeDatabase *
find_database(Oid oid)
{
	for (int i = 0; i < DPIPE_MAX_DATABASES; i++)
		if (control->databases[i].oid == oid)
			return &control->databases[i];
	return NULL;
}

static DpipeDatabase *
find_or_add_database(Oid oid)
{
	DpipeDatabase *d = find_database(oid);

	if (d == NULL)
	{
		d = find_database(InvalidOid);
		if (d != NULL)
		{
			memset(d, 0, sizeof(DpipeDatabase));
			d->oid = oid;
		}
	}
	return d;
}

static bool
is_barred(Oid database)
{
	for (int i = 0; i < MAX_BARS; i++)
		if (control->bars[i].database == database)
			return true;
	return false;
}

static void
set_launcher_latch(void)
{
	if (control->launcher != NULL)
		SetLatch(control->launcher);
}

/* ---------- launcher ---------- */

static void
launcher_leaves(int code, Datum arg)
{
	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	control->launcher = NULL;
	LWLockRelease(control->lock);
}

void
dpipe_control_enter_launcher(void)
{
	on_shmem_exit(launcher_leaves, (Datum) 0);
	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	control->launcher = &MyProc->procLatch;
	LWLockRelease(control->lock);
}

void
dpipe_control_wake_launcher(void)
{
	LWLockAcquire(control->lock, LW_SHARED);
	set_launcher_latch();
	LWLockRelease(control->lock);
}

bool
dpipe_control_get(Oid database, DpipeDatabase *copy, bool *barred)
{
	DpipeDatabase *d;

	memset(copy, 0, sizeof(DpipeDatabase));
	LWLockAcquire(control->lock, LW_SHARED);
	d = find_database(database);
	if (d != NULL)
		*copy = *d;
	*barred = is_barred(database);
	LWLockRelease(control->lock);
	return d != NULL;
}

bool
dpipe_control_prepare(Oid database)
{
	DpipeDatabase *d;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_or_add_database(database);
	if (d != NULL)
	{
		d->absent = false;
		d->changed = false;
	}
	LWLockRelease(control->lock);
	return d != NULL;
}

int
dpipe_control_list(Oid *oids)
{
	int			n = 0;

	LWLockAcquire(control->lock, LW_SHARED);
	for (int i = 0; i < DPIPE_MAX_DATABASES; i++)
		if (OidIsValid(control->databases[i].oid))
			oids[n++] = control->databases[i].oid;
	LWLockRelease(control->lock);
	return n;
}

void
dpipe_control_forget(Oid database, bool even_if_changed)
{
	DpipeDatabase *d;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_database(database);
	if (d != NULL && d->scheduler == 0 && (even_if_changed || !d->changed))
		memset(d, 0, sizeof(DpipeDatabase));
	LWLockRelease(control->lock);
}

/* ---------- scheduler ---------- */

/*
 * The slots that have no process would wait for this scheduler for ever, and
 * keep others from their seats: off the board. Workers that run go on, the
 * next scheduler takes them over.
 */
static void
scheduler_leaves(int code, Datum arg)
{
	DpipeDatabase *d;

	dpipe_seat_abandon(DatumGetObjectId(arg));

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_database(DatumGetObjectId(arg));
	if (d != NULL && d->scheduler == MyProcPid)
	{
		d->scheduler = 0;
		d->latch = NULL;
		d->settled = false;
		/* Installed while it was leaving? Then that is not what it found. */
		d->absent = leave_absent && !d->changed;
		d->changed |= leave_for_restart;
	}
	set_launcher_latch();
	LWLockRelease(control->lock);
	dpipe_control_wake_schedulers();
}

bool
dpipe_control_enter_scheduler(Oid database)
{
	DpipeDatabase *d = NULL;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	if (!is_barred(database))
		d = find_or_add_database(database);
	if (d != NULL && d->scheduler != 0)
		d = NULL;
	if (d != NULL)
	{
		d->scheduler = MyProcPid;
		d->latch = &MyProc->procLatch;
		d->settled = false;
	}
	LWLockRelease(control->lock);
	/* Signals are still blocked: nothing can come between the two. */
	if (d != NULL)
		on_shmem_exit(scheduler_leaves, ObjectIdGetDatum(database));
	return d != NULL;
}

void
dpipe_control_settle(void)
{
	DpipeDatabase *d;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_database(MyDatabaseId);
	if (d != NULL)
		d->settled = true;
	set_launcher_latch();
	LWLockRelease(control->lock);
}

void
dpipe_control_leave_absent(void)
{
	leave_absent = true;
}

void
dpipe_control_leave_for_restart(void)
{
	leave_for_restart = true;
}

bool
dpipe_control_take_changed(Oid database)
{
	DpipeDatabase *d;
	bool		changed = false;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_database(database);
	if (d != NULL)
	{
		changed = d->changed;
		d->changed = false;
	}
	LWLockRelease(control->lock);
	return changed;
}

/* ---------- waking ---------- */

/*
 * Without room for an entry the launcher is woken all the same; it probes a
 * database that it does not know. One that it knows to be without extension
 * would stay so, but a cluster with 1,024 schedulers has other worries.
 */
void
dpipe_control_notify(Oid database)
{
	DpipeDatabase *d;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	d = find_or_add_database(database);
	if (d != NULL)
		d->changed = true;
	if (d != NULL && d->latch != NULL)
		SetLatch(d->latch);
	else
		set_launcher_latch();
	LWLockRelease(control->lock);
}

void
dpipe_control_wake_scheduler(Oid database)
{
	DpipeDatabase *d;

	LWLockAcquire(control->lock, LW_SHARED);
	d = find_database(database);
	if (d != NULL && d->latch != NULL)
		SetLatch(d->latch);
	LWLockRelease(control->lock);
}

void
dpipe_control_wake_schedulers(void)
{
	LWLockAcquire(control->lock, LW_SHARED);
	for (int i = 0; i < DPIPE_MAX_DATABASES; i++)
		if (control->databases[i].latch != NULL)
			SetLatch(control->databases[i].latch);
	LWLockRelease(control->lock);
}

/* ---------- bars ---------- */

void
dpipe_control_bar(Oid database)
{
	bool		done = false;

	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_BARS && !done; i++)
	{
		Bar		   *bar = &control->bars[i];

		done = (bar->database == database && bar->pid == MyProcPid);
		if (!OidIsValid(bar->database))
		{
			bar->database = database;
			bar->pid = MyProcPid;
			done = true;
		}
	}
	LWLockRelease(control->lock);

	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many sessions drop, rename or copy a database at the same time"),
				 errhint("Try again in a moment.")));
}

/*
 * Whatever the command was, its database is looked at anew: the launcher
 * starts what is still to run there.
 */
void
dpipe_control_unbar(void)
{
	LWLockAcquire(control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_BARS; i++)
	{
		Bar		   *bar = &control->bars[i];

		if (bar->pid == MyProcPid)
		{
			DpipeDatabase *d = find_or_add_database(bar->database);

			if (d != NULL)
				d->changed = true;
			memset(bar, 0, sizeof(Bar));
		}
	}
	set_launcher_latch();
	LWLockRelease(control->lock);
}

bool
dpipe_control_lock_unless_barred(Oid database)
{
	LWLockAcquire(control->lock, LW_SHARED);
	if (!is_barred(database))
		return true;
	LWLockRelease(control->lock);
	return false;
}

void
dpipe_control_unlock(void)
{
	LWLockRelease(control->lock);
}

/* ---------- clearing a database ---------- */

int
dpipe_control_terminate(Oid database)
{
	DpipeDatabase *d;
	int			n = 0;

	LWLockAcquire(control->lock, LW_SHARED);
	d = find_database(database);
	/* The scheduler first, or it starts new workers for those that leave. */
	if (d != NULL && d->scheduler != 0 && d->scheduler != MyProcPid)
	{
		kill(d->scheduler, SIGTERM);
		n++;
	}
	n += dpipe_seat_terminate(database);
	LWLockRelease(control->lock);
	return n;
}

bool
dpipe_control_clear(Oid database, int timeout_ms)
{
	TimestampTz start = GetCurrentTimestamp();

	/*
	 * Repeated signals do no harm: the first one set a flag that stays, also
	 * in a process that has its signals still blocked.
	 */
	while (dpipe_control_terminate(database) > 0)
	{
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), timeout_ms))
			return false;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20,
						 dpipe_wait_event("DpipeClearDatabase"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}
