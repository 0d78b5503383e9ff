/*
 * process.h
 *		What the files of this folder share and nobody else needs.
 */
#ifndef DPIPE_PROCESS_H
#define DPIPE_PROCESS_H

#include "postgres.h"

#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

#include "worker/worker.h"

/* NULL when no part has registered the kind. */
extern DpipeWorkerMain dpipe_worker_kind(const char *kind);

/* Fill in what all our dynamic workers have in common. */
extern void dpipe_worker_describe(BackgroundWorker *worker, const char *type,
								  const char *function);

/* Settings that no role's or database's ALTER … SET may change for us. */
extern void dpipe_worker_pin_settings(const char *application_name);

/* In a PG_CATCH: say it, clean up, and be as if nothing had happened. */
extern void dpipe_worker_recover(MemoryContext cxt);

/* First thing in a worker's main; see exit.c. */
extern void dpipe_exit_guard_first(void);

extern void dpipe_lifecycle_init(void);
extern void dpipe_launcher_register(void);

#ifdef DPIPE_FAULT_POINTS
extern void dpipe_testkind_init(void);
#endif

/* Entry points, found by name in the library. */
extern PGDLLEXPORT void dpipe_launcher_main(Datum arg);
extern PGDLLEXPORT void dpipe_scheduler_main(Datum arg);
extern PGDLLEXPORT void dpipe_slot_main(Datum arg);

#endif							/* DPIPE_PROCESS_H */
