#include "base/compat.h"
#include "worker/worker.h"
void dpipe_worker_register_kind(const char *kind, DpipeWorkerMain main) {}
void dpipe_worker_init(void) {}
void dpipe_worker_notify_at_commit(void) {}
bool dpipe_slot_lock(const char *source, int slot) { return true; }
void dpipe_slot_unlock(const char *source, int slot) {}
void dpipe_exit_guard_arm(void) {}
void dpipe_exit_guard_disarm(void) {}
