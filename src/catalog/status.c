#include "base/compat.h"
#include "catalog/status.h"
void dpipe_status_init(void) {}
bool dpipe_status_available(void) { return false; }
void dpipe_status_attach(const char *source, int slot) {}
void dpipe_status_detach(void) {}
void dpipe_status_set_state(DpipeSlotState state, const char *reason) {}
void dpipe_status_progress(int64 rows, int64 bytes, int64 lag_records, double lag_seconds, int64 memory_bytes, const char *load_path) {}
void dpipe_status_idle(bool idle, int64 lag_records, double lag_seconds, int64 memory_bytes) {}
void dpipe_status_error(const char *message) {}
bool dpipe_status_yield_requested(void) { return false; }
bool dpipe_status_get(Oid database, const char *source, int slot, DpipeSlotStatus *copy) { return false; }
bool dpipe_status_update(Oid database, const char *source, int slot, void (*change) (DpipeSlotStatus *entry, void *arg), void *arg) { return false; }
void dpipe_status_remove(Oid database, const char *source, int slot) {}
