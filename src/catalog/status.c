/*
 * status.c
 *		The status board in shared memory.
 *
 * One LWLock guards the whole board. It is held for the time of a copy or of
 * one pass over the entries, never across anything that can raise, wait or
 * take another lock, so the 1,024 entries need no finer locks. A worker
 * remembers the index of its entry; nobody else frees an entry that has a
 * process, so the index stays valid as long as the process lives.
 */
#include "base/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "catalog/status.h"

#define TRANCHE "dpipe_status"

/*
 * Rates are averages that forget: what happened this long ago counts 1/e.
 * Long enough to bridge batches, short enough to show a stall at once.
 */
#define RATE_SECONDS 5.0

typedef struct StatusBoard
{
	LWLock	   *lock;
	DpipeSlotStatus entries[DPIPE_MAX_SLOTS];
} StatusBoard;

static StatusBoard *board = NULL;
static int	my_index = -1;

bool		dpipe_records_in_hand = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* ---------- shared memory ---------- */

static void
status_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(StatusBoard)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
status_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	board = ShmemInitStruct("dpipe status board", sizeof(StatusBoard), &found);
	if (!found)
	{
		memset(board, 0, sizeof(StatusBoard));
		board->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
dpipe_status_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = status_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = status_shmem_startup;
}

bool
dpipe_status_available(void)
{
	return board != NULL;
}

DpipeSlotStatus *
dpipe_status_lock(bool exclusive)
{
	Assert(board != NULL);
	LWLockAcquire(board->lock, exclusive ? LW_EXCLUSIVE : LW_SHARED);
	return board->entries;
}

void
dpipe_status_unlock(void)
{
	LWLockRelease(board->lock);
}

/* ---------- entries ---------- */

int
dpipe_status_find(const DpipeSlotStatus *entries, Oid database,
				  const char *source, int slot)
{
	for (int i = 0; i < DPIPE_MAX_SLOTS; i++)
		if (entries[i].database == database && entries[i].slot == slot &&
			strcmp(entries[i].source, source) == 0)
			return i;
	return -1;
}

/* As strlcpy, but never through the middle of a character. */
static void
copy_clipped(char *to, const char *from, size_t size)
{
	int			len = pg_mbcliplen(from, strlen(from), size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

void
dpipe_status_enter(DpipeSlotStatus *entry, DpipeSlotState state,
				   const char *reason)
{
	if (entry->state != state)
	{
		entry->state = state;
		entry->state_since = GetCurrentTimestamp();
	}
	copy_clipped(entry->reason, reason ? reason : "", DPIPE_REASON_LEN);
	entry->reason_is_error = false;
}

void
dpipe_status_note_error(DpipeSlotStatus *entry, const char *message,
						const char *shown)
{
	copy_clipped(entry->last_error, message, DPIPE_ERROR_LEN);
	copy_clipped(entry->shown_error, shown ? shown : "", DPIPE_SHOWN_LEN);
	entry->last_error_at = GetCurrentTimestamp();
}

/* The factor by which an average has faded since it was true. */
static double
fade(TimestampTz since, TimestampTz now)
{
	if (since == 0 || now <= since)
		return 1.0;
	return exp(-(double) (now - since) / USECS_PER_SEC / RATE_SECONDS);
}

bool
dpipe_status_get(Oid database, const char *source, int slot,
				 DpipeSlotStatus *copy)
{
	DpipeSlotStatus *entries;
	int			i;
	double		faded;

	if (board == NULL)
		return false;
	entries = dpipe_status_lock(false);
	i = dpipe_status_find(entries, database, source, slot);
	if (i >= 0)
		*copy = entries[i];
	dpipe_status_unlock();
	if (i < 0)
		return false;

	faded = fade(copy->rate_at, GetCurrentTimestamp());
	copy->rows_per_second *= faded;
	copy->bytes_per_second *= faded;
	return true;
}

/* ---------- by the slot's worker ---------- */

void
dpipe_status_attach(const char *source, int slot)
{
	if (board == NULL)
		return;
	my_index = dpipe_status_find(dpipe_status_lock(false), MyDatabaseId,
								 source, slot);
	dpipe_status_unlock();
}

void
dpipe_status_detach(void)
{
	my_index = -1;
}

void
dpipe_status_set_state(DpipeSlotState state, const char *reason)
{
	if (my_index < 0)
		return;
	dpipe_status_enter(&dpipe_status_lock(true)[my_index], state, reason);
	dpipe_status_unlock();
}

/* Only now does its share of time begin: see seat.c. */
static void
begin_turn(DpipeSlotStatus *entry)
{
	if (entry->turn_since == 0)
		entry->turn_since = GetCurrentTimestamp();
}

static void
set_idle(DpipeSlotStatus *entry, bool idle)
{
	if (idle)
		begin_turn(entry);
	if (!idle)
		entry->idle_since = 0;
	else if (entry->idle_since == 0)
		entry->idle_since = GetCurrentTimestamp();
}

/*
 * An average over time of a sum that comes in lumps: each lump adds its size
 * over the window, and all fades with the window.
 */
static void
add_rates(DpipeSlotStatus *entry, int64 rows, int64 bytes)
{
	TimestampTz now = GetCurrentTimestamp();
	double		faded = fade(entry->rate_at, now);

	entry->rows_per_second = entry->rows_per_second * faded +
		rows / RATE_SECONDS;
	entry->bytes_per_second = entry->bytes_per_second * faded +
		bytes / RATE_SECONDS;
	entry->rate_at = now;
}

void
dpipe_status_progress(int64 rows, int64 bytes, int64 lag_records,
					  double lag_seconds, int64 memory_bytes,
					  const char *load_path)
{
	DpipeSlotStatus *entry;

	if (my_index < 0)
		return;
	entry = &dpipe_status_lock(true)[my_index];
	add_rates(entry, rows - entry->rows, bytes - entry->bytes);
	entry->rows = rows;
	entry->bytes = bytes;
	entry->lag_records = lag_records;
	entry->lag_seconds = lag_seconds;
	entry->memory_bytes = memory_bytes;
	strlcpy(entry->load_path, load_path ? load_path : "",
			sizeof(entry->load_path));
	set_idle(entry, false);
	begin_turn(entry);
	dpipe_status_unlock();
}

void
dpipe_status_idle(bool idle, int64 lag_records, double lag_seconds,
				  int64 memory_bytes)
{
	DpipeSlotStatus *entry;

	if (my_index < 0)
		return;
	entry = &dpipe_status_lock(true)[my_index];
	entry->lag_records = lag_records;
	entry->lag_seconds = lag_seconds;
	entry->memory_bytes = memory_bytes;
	set_idle(entry, idle);
	dpipe_status_unlock();
}

bool
dpipe_status_yield_requested(void)
{
	/*
	 * A single flag that only turns on while this process lives: reading it
	 * without the lock can at worst be late, and the latch is set after it.
	 */
	return my_index >= 0 &&
		((volatile DpipeSlotStatus *) &board->entries[my_index])->yield_requested;
}
