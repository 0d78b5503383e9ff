/*
 * worker.h
 *		Background processes: launcher → scheduler per database → worker per
 *		source slot. Parts register what a worker of their kind runs.
 */
#ifndef DPIPE_WORKER_H
#define DPIPE_WORKER_H

#include "postgres.h"

/* How a slot's main function ended. An ERROR means failure: backoff. */
typedef enum DpipeWorkerEnd
{
	DPIPE_END_STOPPED,			/* disabled, dropped or redefined: look again */
	DPIPE_END_YIELDED,			/* gave its worker to others; still wants to run */
	DPIPE_END_FINISHED,			/* bounded read is done (slot_state says so) */
	DPIPE_END_ERROR,			/* slot_state holds a lasting error */
} DpipeWorkerEnd;

/*
 * Runs outside of a transaction, connected as the source's owner (or, where
 * that role cannot log in on 15 and 16, as the bootstrap user; the callee
 * uses dpipe_identity_owner in either case), with the status board attached
 * and the slot's advisory lock held.
 *
 * Between batches it looks at dpipe_status_yield_requested() and then ends
 * with DPIPE_END_YIELDED: others wait for its seat, or its definition changed.
 * One that does not end is terminated after a second in the second case.
 */
typedef DpipeWorkerEnd (*DpipeWorkerMain) (const char *source, int slot);

extern void dpipe_worker_register_kind(const char *kind, DpipeWorkerMain main);
extern void dpipe_worker_init(void);	/* from _PG_init */

/*
 * At every wakeup, outside of a transaction: die when told to, and take over
 * changed settings.
 */
extern void dpipe_worker_interrupts(void);

/*
 * Keep the extension from being dropped until the transaction ends; false
 * when it is gone. First thing in each transaction of a worker: DROP EXTENSION
 * then waits for the batch, instead of taking table by table away under it.
 */
extern bool dpipe_worker_pin_extension(void);

/*
 * Wake this database's scheduler when the current transaction commits: a
 * definition was created, changed, enabled, disabled or dropped.
 */
extern void dpipe_worker_notify_at_commit(void);

/*
 * The right to load a slot, a session-level lock: exclusive among workers and
 * dpipe_sync. False when another process has it. It is not released by an
 * error; the session's end does it. Exactness does not rest on it (the
 * compare-and-set of the position does), it saves double work.
 */
extern bool dpipe_slot_lock(const char *source, int slot);
extern void dpipe_slot_unlock(const char *source, int slot);

/*
 * Around the life of each handle of a library with threads: end the process
 * by _exit() while one lives; see exit.c.
 */
extern void dpipe_exit_guard_arm(void);
extern void dpipe_exit_guard_disarm(void);

#endif							/* DPIPE_WORKER_H */
