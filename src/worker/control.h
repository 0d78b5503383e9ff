/*
 * control.h
 *		Which databases have a scheduler, and which must not have one now.
 */
#ifndef DPIPE_CONTROL_H
#define DPIPE_CONTROL_H

#include "postgres.h"

#include "storage/latch.h"

#define DPIPE_MAX_DATABASES 1024	/* entries: with a scheduler, or flagged */

typedef struct DpipeDatabase
{
	Oid			oid;			/* InvalidOid: entry is free */
	pid_t		scheduler;		/* 0: none */
	Latch	   *latch;			/* of the scheduler */
	bool		settled;		/* the scheduler has found the extension */
	bool		absent;			/* the last scheduler did not find it */
	bool		changed;		/* since a scheduler looked: look again */
} DpipeDatabase;

extern void dpipe_control_init(void);	/* from dpipe_worker_init */
extern bool dpipe_control_available(void);

/* The launcher. */
extern void dpipe_control_enter_launcher(void);
extern void dpipe_control_wake_launcher(void);

/*
 * Copy of a database's entry; false (and an empty copy) when there is none.
 * "barred" tells whether it may have processes now.
 */
extern bool dpipe_control_get(Oid database, DpipeDatabase *copy, bool *barred);

/* Before a launch: forget what the last scheduler found. False: table full. */
extern bool dpipe_control_prepare(Oid database);

/* Oids of all entries into "oids", which has room for all; their number. */
extern int	dpipe_control_list(Oid *oids);
extern void dpipe_control_forget(Oid database, bool even_if_changed);

/* The scheduler of a database. False: barred, or there is one already. */
extern bool dpipe_control_enter_scheduler(Oid database);
extern void dpipe_control_settle(void);
extern void dpipe_control_leave_absent(void);	/* what it will say at exit */
extern void dpipe_control_leave_for_restart(void);
extern bool dpipe_control_take_changed(Oid database);

/* From anywhere: the extension or a definition has changed. */
extern void dpipe_control_notify(Oid database);
extern void dpipe_control_wake_scheduler(Oid database);
extern void dpipe_control_wake_schedulers(void);

/*
 * A bar keeps a database free of dpipe's processes until the transaction of
 * the session that set it ends. Whoever starts in a database looks for a bar
 * and announces its pid under one hold of the lock, so that a bar's owner
 * either is seen or sees the pid.
 */
extern void dpipe_control_bar(Oid database);
extern void dpipe_control_unbar(void);	/* all of this session's */
extern bool dpipe_control_lock_unless_barred(Oid database);
extern void dpipe_control_unlock(void);

extern uint64 dpipe_control_next_ticket(void);

/*
 * SIGTERM to the scheduler and the workers of a database; how many there
 * are still.
 */
extern int	dpipe_control_terminate(Oid database);

/* Do so until they are gone or "timeout_ms" is over; true when gone. */
extern bool dpipe_control_clear(Oid database, int timeout_ms);

#endif							/* DPIPE_CONTROL_H */
