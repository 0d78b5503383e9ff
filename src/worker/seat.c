/*
 * seat.c
 *		The cluster's budget of workers and who may have the next one.
 *
 * A slot that is to run needs a seat; dpipe.max_workers seats are shared by
 * all databases. A seat is a flag on the slot's entry of the status board, so
 * the board's lock makes "count and take" one step.
 *
 * The way of an entry:
 *
 *		waiting --seat--> starting --occupy--> running --leave--> (outcome)
 *		   ^                 |                                       |
 *		   |             no process                               digest
 *		   +-----------------+-------------- retrying <--------------+
 *
 * A seat is given with a ticket, which the worker must show when it takes it.
 * Clearing the ticket is therefore all it takes to call off a worker that was
 * launched and has not arrived, whatever became of it.
 *
 * Fairness: free seats go to the slots that wait longest, whichever database
 * they are of; a scheduler takes one for its slot only when the slot stands
 * far enough ahead in the queue. When slots wait and no seat is free, some
 * worker is asked to yield: one that has had nothing to do for a second, else
 * one that has been working for dpipe.worker_quantum. Its slot then goes to
 * the end of the queue.
 */
#include "base/compat.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/proc.h"

#include "base/settings.h"
#include "worker/control.h"
#include "worker/seat.h"

/* A run of this length counts as healthy: earlier failures are forgotten. */
#define HEALTHY_MS (60 * 1000)

/* With nothing to do for so long, a worker makes room for others. */
#define IDLE_MS 1000

/* Connecting may take a worker so long before its share of time begins. */
#define START_MS (5 * 1000)

/* A worker that was asked to stop and did not is terminated after so long. */
#define STOP_MS 1000

/* Who waits looks so often whether a worker can be asked to make room. */
#define WAITING_LOOK_MS 250

static TimestampTz
after_ms(TimestampTz t, int64 ms)
{
	return t + ms * 1000;
}

static bool
older_than(TimestampTz t, TimestampTz now, int64 ms)
{
	return now - t >= ms * 1000;
}

/* ---------- entries; the board's lock is held ---------- */

static bool
is_queued(const DpipeSlotStatus *e)
{
	return OidIsValid(e->database) && e->state == DPIPE_SLOT_WAITING &&
		e->waiting_since != 0 && e->restart_at == 0;
}

static int
count_seats(const DpipeSlotStatus *board)
{
	int			n = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		n += board[i].seat ? 1 : 0;
	return n;
}

static int
count_queue(const DpipeSlotStatus *board)
{
	int			n = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		n += is_queued(&board[i]) ? 1 : 0;
	return n;
}

/* How many stand in the queue before entry "index". */
static int
place_in_queue(const DpipeSlotStatus *board, int index)
{
	TimestampTz since = board[index].waiting_since;
	int			n = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (i != index && is_queued(&board[i]) &&
			(board[i].waiting_since < since ||
			 (board[i].waiting_since == since && i < index)))
			n++;
	return n;
}

/* A new run: nothing of the last one's is true any longer. */
static void
reset_run(DpipeSlotStatus *e)
{
	e->run_since = GetCurrentTimestamp();
	e->turn_since = 0;
	e->run_ended = 0;
	e->outcome = DPIPE_OUTCOME_NONE;
	e->yield_requested = false;
	e->stop_since = 0;
	e->rows = 0;
	e->bytes = 0;
	e->rows_per_second = 0;
	e->bytes_per_second = 0;
	e->rate_at = 0;
	e->lag_records = -1;
	e->lag_seconds = -1;
	e->memory_bytes = 0;
	e->load_path[0] = '\0';
	e->idle_since = 0;
}

static void
request_yield(DpipeSlotStatus *e)
{
	e->yield_requested = true;
	if (e->latch != NULL)
		SetLatch(e->latch);
}

/* Kindly first: a planned stop ends between two batches. */
static void
request_stop(DpipeSlotStatus *e)
{
	TimestampTz now = GetCurrentTimestamp();

	if (e->stop_since == 0)
	{
		request_yield(e);
		e->stop_since = now;
	}
	else if (older_than(e->stop_since, now, STOP_MS))
	{
		kill(e->pid, SIGTERM);
		e->stop_since = now;
	}
}

/* ---------- by the scheduler ---------- */

static void
make_entry(DpipeSlotStatus *e, const char *source, int slot, Oid owner)
{
	memset(e, 0, sizeof(DpipeSlotStatus));
	e->database = MyDatabaseId;
	strlcpy(e->source, source, NAMEDATALEN);
	e->slot = slot;
	e->owner = owner;
	e->lag_records = -1;
	e->lag_seconds = -1;
	dpipe_status_enter(e, DPIPE_SLOT_STARTING, NULL);
}

/*
 * A source may be dropped and its name taken by another role before we look:
 * what the entry tells, errors that quote records above all, is not for that
 * role. As long as a worker of the one before has it, views hide it.
 */
int
dpipe_seat_entry(const char *source, int slot, Oid owner)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);
	int			index = dpipe_status_find(board, MyDatabaseId, source, slot);

	for (int i = 0; i < DPIPE_MAX_SLOTS && index < 0; i++)
	{
		if (OidIsValid(board[i].database))
			continue;
		make_entry(&board[i], source, slot, owner);
		index = i;
	}
	if (index >= 0 && board[index].owner != owner && board[index].pid == 0 &&
		!board[index].seat)
		make_entry(&board[index], source, slot, owner);
	dpipe_status_unlock();
	return index;
}

static int64
restart_delay(int failures)
{
	int64		delay = dpipe_restart_delay_min;

	/* Doubling from 1 ms passes any maximum after 31 steps. */
	for (int i = 1; i < Min(failures, 32) && delay < dpipe_restart_delay_max; i++)
		delay *= 2;
	return Min(delay, Max(dpipe_restart_delay_min, dpipe_restart_delay_max));
}

static void
digest_failure(DpipeSlotStatus *e)
{
	if (older_than(e->run_since, e->run_ended, HEALTHY_MS))
		e->failures = 0;
	e->failures++;
	e->restart_at = after_ms(e->run_ended, restart_delay(e->failures));
	dpipe_status_enter(e, DPIPE_SLOT_RETRYING, e->last_error);
	e->reason_is_error = true;
}

static void
digest_outcome(DpipeSlotStatus *e)
{
	bool		asked = e->yield_requested;

	e->restart_at = 0;
	switch (e->outcome)
	{
		case DPIPE_OUTCOME_FAILED:
			digest_failure(e);
			break;
		case DPIPE_OUTCOME_BUSY:
			e->restart_at = after_ms(e->run_ended, restart_delay(1));
			dpipe_status_enter(e, DPIPE_SLOT_RETRYING,
							   "another session holds the slot (CALL dpipe_sync)");
			break;
		case DPIPE_OUTCOME_YIELDED:
		case DPIPE_OUTCOME_STOPPED:
		case DPIPE_OUTCOME_TERMINATED:

			/*
			 * At once; but whoever leaves unasked as soon as it has come must
			 * not make us fork without end.
			 */
			if (!asked)
				e->restart_at = after_ms(e->run_since, restart_delay(1));
			dpipe_status_enter(e, DPIPE_SLOT_STARTING, NULL);
			break;
		case DPIPE_OUTCOME_LASTING:
			/* The catalog says which; if it does not, look again, slowly. */
			e->restart_at = after_ms(e->run_ended, restart_delay(1));
			break;
		case DPIPE_OUTCOME_NONE:
			break;
	}
	e->outcome = DPIPE_OUTCOME_NONE;
}

bool
dpipe_seat_digest(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);
	bool		found = false;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
	{
		DpipeSlotStatus *e = &board[i];

		if (e->database != database || e->pid != 0 ||
			e->outcome == DPIPE_OUTCOME_NONE)
			continue;
		digest_outcome(e);
		found = true;
	}
	dpipe_status_unlock();
	return found;
}

/* Take a seat, or a place in the queue. */
static DpipeSeatStep
claim(DpipeSlotStatus *board, int index, uint64 *ticket)
{
	DpipeSlotStatus *e = &board[index];
	char		reason[DPIPE_REASON_LEN];

	e->restart_at = 0;
	if (e->waiting_since == 0)
		e->waiting_since = GetCurrentTimestamp();
	if (place_in_queue(board, index) < dpipe_max_workers - count_seats(board))
	{
		reset_run(e);
		e->seat = true;
		e->ticket = *ticket = dpipe_control_next_ticket();
		dpipe_status_enter(e, DPIPE_SLOT_STARTING, NULL);
		return DPIPE_STEP_LAUNCH;
	}
	snprintf(reason, sizeof(reason),
			 "dpipe.max_workers = %d: all workers are busy with other slots",
			 dpipe_max_workers);
	dpipe_status_enter(e, DPIPE_SLOT_WAITING, reason);
	return DPIPE_STEP_NONE;
}

static DpipeSeatStep
step(DpipeSlotStatus *board, int index, int64 version, int64 epoch,
	 uint64 *ticket)
{
	DpipeSlotStatus *e = &board[index];
	TimestampTz now = GetCurrentTimestamp();
	bool		redefined = (e->version != version || e->epoch != epoch);

	if (e->pid != 0)
	{
		if (redefined)
			request_stop(e);
		else if (older_than(e->run_since, now, HEALTHY_MS))
			e->failures = 0;
		return DPIPE_STEP_NONE;
	}
	if (e->seat)
	{
		*ticket = e->ticket;
		return DPIPE_STEP_STARTING;
	}
	if (e->outcome != DPIPE_OUTCOME_NONE)
		return DPIPE_STEP_NONE; /* it ended just now: digested next time */

	if (redefined)
	{
		/* Somebody acted: another try at once. */
		e->version = version;
		e->epoch = epoch;
		e->failures = 0;
		e->restart_at = 0;
	}
	if (e->restart_at > now)
	{
		/* What stood with an error or was finished is to run again. */
		if (e->state == DPIPE_SLOT_ERROR || e->state == DPIPE_SLOT_FINISHED)
			dpipe_status_enter(e, DPIPE_SLOT_STARTING, NULL);
		return DPIPE_STEP_NONE;
	}
	return claim(board, index, ticket);
}

DpipeSeatStep
dpipe_seat_step(int index, int64 version, int64 epoch, uint64 *ticket)
{
	DpipeSeatStep s = step(dpipe_status_lock(true), index, version, epoch,
						   ticket);

	dpipe_status_unlock();
	return s;
}

void
dpipe_seat_stand(int index, DpipeSlotState state, const char *reason)
{
	DpipeSlotStatus *e = &dpipe_status_lock(true)[index];

	if (e->pid != 0)
		request_stop(e);
	else if (e->outcome == DPIPE_OUTCOME_NONE)
	{
		e->seat = false;
		e->ticket = 0;
		e->waiting_since = 0;
		e->restart_at = 0;
		e->failures = 0;
		dpipe_status_enter(e, state, reason);
	}
	dpipe_status_unlock();
}

void
dpipe_seat_retire(int index)
{
	DpipeSlotStatus *e = &dpipe_status_lock(true)[index];

	if (e->pid != 0)
		request_stop(e);
	else
		memset(e, 0, sizeof(DpipeSlotStatus));
	dpipe_status_unlock();
}

void
dpipe_seat_return(int index, uint64 ticket, const char *reason, int retry_ms)
{
	DpipeSlotStatus *e = &dpipe_status_lock(true)[index];

	if (e->ticket == ticket && e->pid == 0)
	{
		/* Out of the queue until then: it must not hold up others. */
		e->seat = false;
		e->ticket = 0;
		e->restart_at = after_ms(GetCurrentTimestamp(), retry_ms);
		dpipe_status_enter(e, DPIPE_SLOT_WAITING, reason);
	}
	dpipe_status_unlock();
}

void
dpipe_seat_fail(int index, uint64 ticket, const char *message)
{
	DpipeSlotStatus *e = &dpipe_status_lock(true)[index];

	if (e->ticket == ticket && e->pid == 0 && e->seat)
	{
		e->seat = false;
		e->ticket = 0;
		e->run_ended = GetCurrentTimestamp();
		dpipe_status_note_error(e, message, NULL);
		e->outcome = DPIPE_OUTCOME_FAILED;
	}
	dpipe_status_unlock();
}

/* ---------- fairness ---------- */

/*
 * Has it had its share? The share is of working time. One that has to make
 * room before its first batch would have to again at its next turn, and load
 * nothing ever; but for what never comes to work there is an end as well.
 */
static bool
had_its_turn(const DpipeSlotStatus *e, TimestampTz now, int64 quantum_ms)
{
	if (quantum_ms == 0)
		return true;
	if (e->turn_since != 0)
		return older_than(e->turn_since, now, quantum_ms);
	return older_than(e->run_since, now, Max(quantum_ms, START_MS));
}

/*
 * The worker that is asked next: the one that has been idle for longest, else
 * the one that has been running for longest, if long enough.
 */
static DpipeSlotStatus *
choose_victim(DpipeSlotStatus *board, TimestampTz now, int64 quantum_ms)
{
	DpipeSlotStatus *idle = NULL;
	DpipeSlotStatus *busy = NULL;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
	{
		DpipeSlotStatus *e = &board[i];

		if (e->pid == 0 || e->yield_requested)
			continue;
		if (e->idle_since != 0 && older_than(e->idle_since, now, IDLE_MS) &&
			(idle == NULL || e->idle_since < idle->idle_since))
			idle = e;
		if (had_its_turn(e, now, quantum_ms) &&
			(busy == NULL || e->run_since < busy->run_since))
			busy = e;
	}
	return idle ? idle : busy;
}

void
dpipe_seat_make_room(void)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);
	TimestampTz now = GetCurrentTimestamp();
	int			over = count_seats(board) - dpipe_max_workers;
	int			needed = count_queue(board) + over;
	DpipeSlotStatus *victim;

	/* Those that have been asked make room already. */
	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].seat && board[i].yield_requested)
		{
			needed--;
			over--;
		}

	/* The maximum was lowered: there is no quantum for those beyond it. */
	for (; needed > 0; needed--, over--)
	{
		victim = choose_victim(board, now, over > 0 ? 0 : dpipe_worker_quantum);
		if (victim == NULL)
			break;
		request_yield(victim);
	}
	dpipe_status_unlock();
}

int
dpipe_seat_waiting(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(false);
	int			n = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].database == database && is_queued(&board[i]))
			n++;
	dpipe_status_unlock();
	return n;
}

int
dpipe_seat_used(void)
{
	int			n = count_seats(dpipe_status_lock(false));

	dpipe_status_unlock();
	return n;
}

/* ---------- timers ---------- */

static TimestampTz
entry_next_look(const DpipeSlotStatus *e, TimestampTz now)
{
	if (e->pid != 0)
		return e->stop_since != 0 ? after_ms(e->stop_since, STOP_MS) : 0;
	if (is_queued(e))
		return after_ms(now, WAITING_LOOK_MS);
	if (e->state == DPIPE_SLOT_ERROR || e->state == DPIPE_SLOT_FINISHED)
		return 0;
	return e->restart_at;
}

TimestampTz
dpipe_seat_next_look(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(false);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
	{
		TimestampTz t;

		if (board[i].database != database)
			continue;
		t = entry_next_look(&board[i], now);
		if (t != 0 && (next == 0 || t < next))
			next = t;
	}
	dpipe_status_unlock();
	return next;
}

/* ---------- by the worker ---------- */

/* Take the seat; false when it was called off or the database is barred. */
bool
dpipe_seat_occupy(const DpipeSlotStart *start)
{
	DpipeSlotStatus *e;
	bool		mine;

	if (!dpipe_control_lock_unless_barred(start->database))
		return false;
	e = &dpipe_status_lock(true)[start->index];
	mine = (e->database == start->database && e->seat && e->pid == 0 &&
			e->ticket == start->ticket);
	if (mine)
	{
		e->pid = MyProcPid;
		e->latch = &MyProc->procLatch;
		e->waiting_since = 0;
	}
	dpipe_status_unlock();
	dpipe_control_unlock();
	return mine;
}

void
dpipe_seat_leave(const DpipeSlotStart *start, DpipeSlotOutcome outcome,
				 const char *message, const char *shown)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);
	DpipeSlotStatus *e = &board[start->index];
	bool		others_wait;

	Assert(e->ticket == start->ticket && e->pid == MyProcPid);
	e->pid = 0;
	e->latch = NULL;
	e->seat = false;
	e->ticket = 0;
	e->idle_since = 0;
	e->memory_bytes = 0;
	e->run_ended = GetCurrentTimestamp();
	e->outcome = outcome;
	if (message != NULL)
		dpipe_status_note_error(e, message, shown);
	if (outcome != DPIPE_OUTCOME_LASTING)
		dpipe_status_enter(e, DPIPE_SLOT_STARTING, NULL);
	others_wait = count_queue(board) > 0;
	dpipe_status_unlock();

	if (others_wait)
		dpipe_control_wake_schedulers();
	else
		dpipe_control_wake_scheduler(start->database);
}

/* ---------- when a database or its scheduler goes ---------- */

int
dpipe_seat_terminate(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(false);
	int			n = 0;

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].database == database && board[i].pid != 0)
		{
			kill(board[i].pid, SIGTERM);
			n++;
		}
	dpipe_status_unlock();
	return n;
}

void
dpipe_seat_abandon(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].database == database && board[i].pid == 0)
			memset(&board[i], 0, sizeof(DpipeSlotStatus));
	dpipe_status_unlock();
}

/* Out of the queue for a moment; the next pass puts them in again. */
void
dpipe_seat_withdraw(Oid database)
{
	DpipeSlotStatus *board = dpipe_status_lock(true);

	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (board[i].database == database && is_queued(&board[i]))
			board[i].restart_at = GetCurrentTimestamp();
	dpipe_status_unlock();
}
