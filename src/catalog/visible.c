/*
 * visible.c
 *		Functions under the views: who sees what, and what goes on.
 *
 * A view reads base tables as its owner but calls functions as the one who
 * asks. So these functions are open to everybody and filter by themselves:
 * a role sees what it owns or is a member of, pg_monitor sees all.
 */
#include "base/compat.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/extension.h"
#include "base/settings.h"
#include "base/spi.h"
#include "catalog/catalog.h"
#include "catalog/status.h"

PG_FUNCTION_INFO_V1(dpipe_is_mine);
PG_FUNCTION_INFO_V1(dpipe_background_problem);
PG_FUNCTION_INFO_V1(dpipe_visible_slots);

/*
 * dpipe._is_mine(owner, owner_oid): may the caller act as this owner? A role
 * dropped and made again under the old name, or one that happens to have the
 * OID in a restored database, is another role.
 */
Datum
dpipe_is_mine(PG_FUNCTION_ARGS)
{
	text	   *owner = PG_GETARG_TEXT_PP(0);
	Oid			oid = PG_GETARG_OID(1);
	char	   *name;

	if (superuser())
		PG_RETURN_BOOL(true);
	if (!has_privs_of_role(GetUserId(), oid))
		PG_RETURN_BOOL(false);
	name = GetUserNameFromId(oid, true);
	PG_RETURN_BOOL(name != NULL &&
				   strlen(name) == VARSIZE_ANY_EXHDR(owner) &&
				   memcmp(name, VARDATA_ANY(owner), strlen(name)) == 0);
}

/* dpipe._background_problem(): why nothing runs in the background, or NULL. */
Datum
dpipe_background_problem(PG_FUNCTION_ARGS)
{
	const char *problem = dpipe_extension_misfit();

	if (problem != NULL)
		 /* nothing else counts */ ;
	else if (RecoveryInProgress())
		problem = "this server is a standby; sources run after promotion";
	else if (!dpipe_status_available())
		problem = "dpipe is not in shared_preload_libraries; CALL dpipe_sync(source) loads in your own session";
	else if (!dpipe_enabled)
		problem = "dpipe.enabled is off";
	else if (dpipe_max_workers == 0)
		problem = "dpipe.max_workers is 0";
	else
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/* ---------- the status board ---------- */

static DpipeStatement slots_select = {
	"SELECT p.source, p.slot, s.owner, s.owner_oid FROM dpipe.position p"
	"  JOIN dpipe.source s ON s.name = p.source", 0, {0}
};

typedef struct VisibleSlot
{
	char	   *source;
	int			slot;
	char	   *owner;
	Oid			owner_oid;
} VisibleSlot;

/* All slots of this database, read as the extension's owner. */
static VisibleSlot *
read_slots(uint64 *n)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	VisibleSlot *slots;

	dpipe_spi_begin(&spi);
	*n = dpipe_spi_run(&slots_select, NULL, NULL, true, 0);
	slots = MemoryContextAlloc(cxt, sizeof(VisibleSlot) * Max(*n, 1));
	for (uint64 i = 0; i < *n; i++)
	{
		bool		isnull;

		slots[i].source = dpipe_spi_text(i, 1, cxt);
		slots[i].slot = dpipe_spi_int32(i, 2);
		slots[i].owner = dpipe_spi_text(i, 3, cxt);
		slots[i].owner_oid = DatumGetObjectId(dpipe_spi_datum(i, 4, &isnull));
	}
	dpipe_spi_end(&spi);
	MemoryContextSwitchTo(cxt);
	return slots;
}

static const char *
state_name(DpipeSlotState state)
{
	switch (state)
	{
		case DPIPE_SLOT_UNUSED:
			break;
		case DPIPE_SLOT_WAITING:
			return "waiting for slot";
		case DPIPE_SLOT_STARTING:
			return "starting";
		case DPIPE_SLOT_RUNNING:
			return "running";
		case DPIPE_SLOT_RETRYING:
			return "retrying";
		case DPIPE_SLOT_ERROR:
			return "error";
		case DPIPE_SLOT_FINISHED:
			return "finished";
	}
	return NULL;
}

static void
put_text(Datum *values, bool *nulls, int col, const char *s)
{
	nulls[col] = (s == NULL || s[0] == '\0');
	if (!nulls[col])
		values[col] = CStringGetTextDatum(s);
}

#define SLOT_COLUMNS 12

/* A text that may quote records is for their owner. */
static void
put_slot(ReturnSetInfo *rsinfo, const VisibleSlot *slot,
		 const DpipeSlotStatus *status, bool mine)
{
	Datum		values[SLOT_COLUMNS] = {0};
	bool		nulls[SLOT_COLUMNS] = {false};
	bool		hide = !mine && status->shown_error[0] != '\0';

	values[0] = CStringGetTextDatum(slot->source);
	values[1] = Int32GetDatum(slot->slot);
	put_text(values, nulls, 2, state_name(status->state));
	put_text(values, nulls, 3, hide && status->reason_is_error ?
			 status->shown_error : status->reason);
	values[4] = Int32GetDatum(status->pid);
	nulls[4] = (status->pid == 0);
	values[5] = TimestampTzGetDatum(status->restart_at);
	nulls[5] = (status->state != DPIPE_SLOT_RETRYING || status->restart_at == 0);
	put_text(values, nulls, 6, hide ? status->shown_error : status->last_error);
	values[7] = TimestampTzGetDatum(status->last_error_at);
	nulls[7] = (status->last_error_at == 0);
	values[8] = Float8GetDatum(status->rows_per_second);
	values[9] = Float8GetDatum(status->bytes_per_second);
	values[10] = Int64GetDatum(status->memory_bytes);
	put_text(values, nulls, 11, status->load_path);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* dpipe._slots(): the board's entries of the sources that the caller sees. */
Datum
dpipe_visible_slots(PG_FUNCTION_ARGS)
{
	bool		monitor = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	VisibleSlot *slots;
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	/* The view says why; see dpipe_background_problem(). */
	if (dpipe_extension_misfit() != NULL)
		return (Datum) 0;
	slots = read_slots(&n);
	for (uint64 i = 0; i < n; i++)
	{
		DpipeSlotStatus status;
		bool		mine;

		mine = DatumGetBool(DirectFunctionCall2(dpipe_is_mine,
												CStringGetTextDatum(slots[i].owner),
												ObjectIdGetDatum(slots[i].owner_oid)));
		if (!mine && !monitor)
			continue;
		/* Else it is still about another role's source of the name. */
		if (dpipe_status_get(MyDatabaseId, slots[i].source, slots[i].slot,
							 &status) &&
			status.owner == slots[i].owner_oid)
			put_slot((ReturnSetInfo *) fcinfo->resultinfo, &slots[i], &status,
					 mine);
	}
	return (Datum) 0;
}
