/*
 * status.h
 *		The status board: what each slot of each source is doing right now.
 *
 * A fixed table in shared memory, one entry a slot, present only when dpipe is
 * preloaded; without it every setter does nothing. Written by the scheduler
 * (waiting, retrying) and by the slot's worker (starting, running), read by
 * dpipe.source_status. What must last is in dpipe.slot_state and
 * dpipe.position instead.
 *
 * An entry is also the seat of a worker: dpipe.max_workers bounds how many
 * entries of the cluster may have "seat" set. See worker/seat.h.
 */
#ifndef DPIPE_STATUS_H
#define DPIPE_STATUS_H

#include "postgres.h"

#include "storage/latch.h"
#include "utils/timestamp.h"

typedef enum DpipeSlotState
{
	DPIPE_SLOT_UNUSED = 0,
	DPIPE_SLOT_WAITING,			/* wants to run; no worker is free */
	DPIPE_SLOT_STARTING,
	DPIPE_SLOT_RUNNING,
	DPIPE_SLOT_RETRYING,		/* failed; starts again at restart_at */
	DPIPE_SLOT_ERROR,			/* stands until someone acts */
	DPIPE_SLOT_FINISHED,		/* a bounded read has reached its stop */
} DpipeSlotState;

/* How a run ended, from its worker to the scheduler. */
typedef enum DpipeSlotOutcome
{
	DPIPE_OUTCOME_NONE = 0,		/* no end that the scheduler has not seen */
	DPIPE_OUTCOME_TERMINATED,	/* SIGTERM: an administrator, a shutdown */
	DPIPE_OUTCOME_STOPPED,		/* the definition changed: look again */
	DPIPE_OUTCOME_YIELDED,		/* gave its seat to others */
	DPIPE_OUTCOME_LASTING,		/* finished or error: in dpipe.slot_state */
	DPIPE_OUTCOME_BUSY,			/* another session holds the slot */
	DPIPE_OUTCOME_FAILED,
} DpipeSlotOutcome;

#define DPIPE_REASON_LEN 256
#define DPIPE_ERROR_LEN 512
#define DPIPE_SHOWN_LEN 80
#define DPIPE_MAX_SLOTS 1024	/* entries of the board, cluster-wide */

typedef struct DpipeSlotStatus
{
	Oid			database;		/* InvalidOid: entry is free */
	char		source[NAMEDATALEN];
	int			slot;
	Oid			owner;			/* whose source it is, or was: see seat.c */
	DpipeSlotState state;
	pid_t		pid;			/* 0: no process */
	TimestampTz state_since;
	TimestampTz restart_at;		/* 0: now */
	int			failures;		/* in a row */
	char		reason[DPIPE_REASON_LEN];
	bool		reason_is_error;	/* the reason is the last error */
	char		last_error[DPIPE_ERROR_LEN];
	char		shown_error[DPIPE_SHOWN_LEN];	/* to others; "": all of it */
	TimestampTz last_error_at;
	TimestampTz error_logged_at;

	/* by the worker */
	int64		rows;			/* since it started */
	int64		bytes;
	double		rows_per_second;
	double		bytes_per_second;
	TimestampTz rate_at;		/* when the rates were true */
	int64		lag_records;	/* -1: not known */
	double		lag_seconds;	/* -1: not known */
	int64		memory_bytes;
	char		load_path[8];	/* "copy", "sql" or "" */
	TimestampTz idle_since;		/* 0: busy */
	bool		yield_requested;	/* by a scheduler: others wait */

	/* between schedulers and workers */
	bool		seat;			/* counts against dpipe.max_workers */
	uint64		ticket;			/* of the run; 0: none may come */
	Latch	   *latch;			/* of the worker; NULL: no process */
	DpipeSlotOutcome outcome;
	TimestampTz run_since;		/* start of the present or last run */
	TimestampTz turn_since;		/* first work of the run; 0: none yet */
	TimestampTz run_ended;
	TimestampTz waiting_since;	/* place in the queue for a seat; 0: none */
	TimestampTz stop_since;		/* when it was asked to stop; 0: was not */
	int64		version;		/* of the definition it was started with */
	int64		epoch;
} DpipeSlotStatus;

extern void dpipe_status_init(void);	/* from _PG_init */
extern bool dpipe_status_available(void);

/*
 * All DPIPE_MAX_SLOTS entries, under the board's lock, which is a leaf: no
 * other lock is taken and nothing is raised while it is held. Only where
 * dpipe_status_available().
 */
extern DpipeSlotStatus *dpipe_status_lock(bool exclusive);
extern void dpipe_status_unlock(void);

/* Under the lock: index of the slot's entry, or -1. */
extern int	dpipe_status_find(const DpipeSlotStatus *board, Oid database,
							  const char *source, int slot);

/* Under the exclusive lock: change the state, noting since when. */
extern void dpipe_status_enter(DpipeSlotStatus *entry, DpipeSlotState state,
							   const char *reason);

/*
 * "shown" stands for the message where it may quote records, for those who may
 * see that something went wrong but no contents; NULL: the message may be seen.
 */
extern void dpipe_status_note_error(DpipeSlotStatus *entry,
									const char *message, const char *shown);

/*
 * Set while a batch is stored and committed: the text of an error may then be
 * one of the target's own (a trigger's, a constraint's) and quote records.
 */
extern bool dpipe_records_in_hand;

/* In a slot's worker: which entry is mine. Until then setters do nothing. */
extern void dpipe_status_attach(const char *source, int slot);
extern void dpipe_status_detach(void);

extern void dpipe_status_set_state(DpipeSlotState state, const char *reason);

/*
 * A batch was committed. Rows and bytes are those since the run started; the
 * rates come of how they grow.
 */
extern void dpipe_status_progress(int64 rows, int64 bytes, int64 lag_records,
								  double lag_seconds, int64 memory_bytes,
								  const char *load_path);
extern void dpipe_status_idle(bool idle, int64 lag_records, double lag_seconds,
							  int64 memory_bytes);

/*
 * Others wait for the seat, or the definition changed: end the run soon, at
 * the next batch boundary. The latch is set with it.
 */
extern bool dpipe_status_yield_requested(void);

/* For the views: copy of an entry with the rates of now, false if none. */
extern bool dpipe_status_get(Oid database, const char *source, int slot,
							 DpipeSlotStatus *copy);

#endif							/* DPIPE_STATUS_H */
