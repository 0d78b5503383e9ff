/*
 * dpipe.c
 *		Entry point of the library: every part announces itself here.
 *
 * Without shared_preload_libraries the library is loaded by the first call of
 * one of its functions. Everything that runs in the caller's session works
 * then; background workers and shared status need preloading.
 */
#include "base/compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/settings.h"
#include "catalog/notify.h"
#include "catalog/status.h"
#include "kafka/kafka.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* pg_upgrade starts the server only to move catalogs: stay out of it. */
	if (IsBinaryUpgrade)
		return;

	dpipe_settings_init();
	dpipe_status_init();
	dpipe_kafka_init();
	dpipe_worker_init();
	dpipe_definition_changed_hook = dpipe_worker_notify_at_commit;
	MarkGUCPrefixReserved("dpipe");
}
