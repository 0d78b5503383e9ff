/*
 * status.h
 *		The status board: what each slot of each source is doing right now.
 *
 * A fixed table in shared memory, one entry a slot, present only when dpipe is
 * preloaded; without it every setter does nothing. Written by the scheduler
 * (waiting, retrying) and by the slot's worker (starting, running), read by
 * dpipe.source_status. What must last is in dpipe.slot_state and
 * dpipe.position instead.
 */
#ifndef DPIPE_STATUS_H
#define DPIPE_STATUS_H

#include "postgres.h"

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

#define DPIPE_REASON_LEN 256
#define DPIPE_ERROR_LEN 512
#define DPIPE_MAX_SLOTS 1024	/* entries of the board, cluster-wide */

typedef struct DpipeSlotStatus
{
	Oid			database;		/* InvalidOid: entry is free */
	char		source[NAMEDATALEN];
	int			slot;
	DpipeSlotState state;
	pid_t		pid;			/* 0: no process */
	TimestampTz state_since;
	TimestampTz restart_at;
	int			failures;		/* in a row */
	char		reason[DPIPE_REASON_LEN];
	char		last_error[DPIPE_ERROR_LEN];
	TimestampTz last_error_at;

	/* by the worker */
	int64		rows;			/* since it started */
	int64		bytes;
	double		rows_per_second;
	double		bytes_per_second;
	int64		lag_records;	/* -1: not known */
	double		lag_seconds;	/* -1: not known */
	int64		memory_bytes;
	char		load_path[8];	/* "copy", "sql" or "" */
	TimestampTz idle_since;		/* 0: busy */
	bool		yield_requested;	/* by the scheduler: others wait */
} DpipeSlotStatus;

extern void dpipe_status_init(void);	/* from _PG_init */
extern bool dpipe_status_available(void);

/* In a slot's worker: which entry is mine. Until then setters do nothing. */
extern void dpipe_status_attach(const char *source, int slot);
extern void dpipe_status_detach(void);

extern void dpipe_status_set_state(DpipeSlotState state, const char *reason);
extern void dpipe_status_progress(int64 rows, int64 bytes, int64 lag_records,
								  double lag_seconds, int64 memory_bytes,
								  const char *load_path);
extern void dpipe_status_idle(bool idle, int64 lag_records, double lag_seconds,
							  int64 memory_bytes);
extern void dpipe_status_error(const char *message);
extern bool dpipe_status_yield_requested(void);

/* For the scheduler and the views: copy of an entry, false if there is none. */
extern bool dpipe_status_get(Oid database, const char *source, int slot,
							 DpipeSlotStatus *copy);

/*
 * For the scheduler: find or make the entry and change it under the lock.
 * False when the board is full.
 */
extern bool dpipe_status_update(Oid database, const char *source, int slot,
								void (*change) (DpipeSlotStatus *entry, void *arg),
								void *arg);
extern void dpipe_status_remove(Oid database, const char *source, int slot);

#endif							/* DPIPE_STATUS_H */
