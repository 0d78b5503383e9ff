/*
 * seat.h
 *		The cluster's budget of workers and who may have the next one.
 */
#ifndef DPIPE_SEAT_H
#define DPIPE_SEAT_H

#include "postgres.h"

#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

#include "catalog/status.h"

#define DPIPE_KIND_LEN 16

/* What a worker is told at its start, in bgw_extra. */
typedef struct DpipeSlotStart
{
	Oid			database;
	Oid			role;			/* InvalidOid: the bootstrap superuser */
	Oid			owner;			/* of the source */
	char		source[NAMEDATALEN];
	char		kind[DPIPE_KIND_LEN];
	int			slot;
	int			index;			/* of its entry on the board */
	uint64		ticket;
} DpipeSlotStart;

StaticAssertDecl(sizeof(DpipeSlotStart) <= BGW_EXTRALEN,
				 "a worker's parameters must fit into bgw_extra");

/* What the scheduler has to do about a slot that is to run. */
typedef enum DpipeSeatStep
{
	DPIPE_STEP_NONE,			/* runs, or waits for something that wakes us */
	DPIPE_STEP_STARTING,		/* launched, not seen yet: does it live? */
	DPIPE_STEP_LAUNCH,			/* has got a seat: launch its worker */
} DpipeSeatStep;

/* The entry of a slot of this database, made when missing; -1: board full. */
extern int	dpipe_seat_entry(const char *source, int slot, Oid owner);

/* Take note of runs that ended; true when there were some. */
extern bool dpipe_seat_digest(Oid database);

extern DpipeSeatStep dpipe_seat_step(int index, int64 version, int64 epoch,
									 uint64 *ticket);

/* The slot is not to run: it stands with "state" (error, finished). */
extern void dpipe_seat_stand(int index, DpipeSlotState state,
							 const char *reason);

/* The slot is not to be at all. */
extern void dpipe_seat_retire(int index);

/* The launch failed; the seat is free and the slot waits. */
extern void dpipe_seat_return(int index, uint64 ticket, const char *reason,
							  int retry_ms);

/* The launched worker ended before it took its seat. */
extern void dpipe_seat_fail(int index, uint64 ticket, const char *message);

/* Ask workers to make room for slots that wait. */
extern void dpipe_seat_make_room(void);

/* Slots of the database that wait for a seat; seats taken in the cluster. */
extern int	dpipe_seat_waiting(Oid database);
extern int	dpipe_seat_used(void);

/* When this database's scheduler has to look again, or 0. */
extern TimestampTz dpipe_seat_next_look(Oid database);

/* By the worker. */
extern bool dpipe_seat_occupy(const DpipeSlotStart *start);
extern void dpipe_seat_leave(const DpipeSlotStart *start,
							 DpipeSlotOutcome outcome, const char *message,
							 const char *shown);

/* See control.h */
extern int	dpipe_seat_terminate(Oid database);
extern void dpipe_seat_abandon(Oid database);
extern void dpipe_seat_withdraw(Oid database);

#endif							/* DPIPE_SEAT_H */
