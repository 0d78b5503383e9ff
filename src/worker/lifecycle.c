/*
 * lifecycle.c
 *		Commands that dpipe's processes would be in the way of, and commands
 *		that they have to know of.
 *
 * DROP DATABASE, ALTER DATABASE … RENAME and … SET TABLESPACE, and CREATE
 * DATABASE … TEMPLATE wait five seconds for other sessions to leave and then
 * fail, and background workers are not asked to leave. So the session that
 * runs such a command bars the database (control.c), ends our processes in
 * it, and lets the command go on. DROP EXTENSION and ALTER EXTENSION UPDATE
 * are treated the same: they could deadlock with a batch otherwise, since both
 * go from table to table. The second does not lock the extension by itself, so
 * this does; a batch of dpipe_sync, which nobody ends, is then waited for, and
 * the next one waits (see dpipe_worker_pin_extension). What runs afterwards
 * are new processes, which read the new catalogs.
 *
 * The bar lasts to the end of the transaction, committed or not: RENAME may
 * stand in a transaction block, and holds its lock to the end. Then the
 * launcher looks at the database anew.
 *
 * Who may not run the command shall not be able to stop our processes with
 * it: they are left alone unless the caller owns the object, and where a
 * command that refuses transaction blocks stands in one.
 *
 * Cases, each for commit and abort: CREATE EXTENSION (wake at commit; also of
 * another one, which may bring dpipe by CASCADE), DROP EXTENSION (bar; when it
 * goes with its owner or schema, wake: each process notices at its next
 * transaction), ALTER EXTENSION (bar for UPDATE, else wake), DROP, RENAME, SET
 * TABLESPACE (bar), CREATE DATABASE (bar the template, and look at the new
 * database), ALTER DATABASE (the launcher looks whether it still allows
 * connections).
 *
 * CREATE and ALTER EXTENSION to a version that the loaded library does not
 * fit are refused: files of another version were installed and the server has
 * not been restarted.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "base/extension.h"
#include "worker/control.h"
#include "worker/process.h"

/*
 * How long to wait for our processes. They answer at once unless they are in
 * the middle of something that cannot be interrupted; then the command itself
 * waits five seconds more, and tells who is in the way.
 */
#define CLEAR_MS 2000

static ProcessUtility_hook_type prev_process_utility_hook = NULL;
static object_access_hook_type prev_object_access_hook = NULL;
static bool have_bar = false;
static bool wake_launcher = false;
static bool xact_callback_registered = false;

/* ---------- at the end of the transaction ---------- */

static void
lifecycle_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (have_bar)
				dpipe_control_unbar();
			if (wake_launcher)
				dpipe_control_wake_launcher();
			have_bar = false;
			wake_launcher = false;
			break;
		default:
			break;
	}
}

static void
register_xact_callback(void)
{
	if (xact_callback_registered)
		return;
	RegisterXactCallback(lifecycle_xact_callback, NULL);
	xact_callback_registered = true;
}

static void
look_at_databases_at_end(void)
{
	register_xact_callback();
	wake_launcher = true;
}

static void
clear_database(Oid database)
{
	register_xact_callback();
	have_bar = true;
	dpipe_control_bar(database);
	(void) dpipe_control_clear(database, CLEAR_MS);
}

/* ---------- which commands ---------- */

/* The command will refuse this database or this caller by itself. */
static void
clear_named_database(const char *name)
{
	Oid			oid = get_database_oid(name, true);

	if (OidIsValid(oid) && oid != MyDatabaseId &&
		dpipe_database_ownercheck(oid, GetUserId()))
		clear_database(oid);
}

static const char *
string_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *d = lfirst(lc);

		if (strcmp(d->defname, name) == 0 && d->arg != NULL)
			return defGetString(d);
	}
	return NULL;
}

static bool
names_dpipe(const DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
		if (strcmp(strVal(lfirst(lc)), "dpipe") == 0)
			return true;
	return false;
}

static void
before_drop_extension(const DropStmt *stmt)
{
	Oid			oid;

	if (stmt->removeType != OBJECT_EXTENSION || !names_dpipe(stmt))
		return;
	oid = dpipe_extension_oid(true);
	if (OidIsValid(oid) && dpipe_extension_ownercheck(oid, GetUserId()))
		clear_database(MyDatabaseId);
}

static bool
is_dpipe(const char *extname)
{
	return strcmp(extname, "dpipe") == 0;
}

/* Who may not update it hears so from the command. */
static void
before_update_extension(void)
{
	Oid			oid = dpipe_extension_oid(true);

	if (!OidIsValid(oid) || !dpipe_extension_ownercheck(oid, GetUserId()))
		return;
	clear_database(MyDatabaseId);
	LockDatabaseObject(ExtensionRelationId, oid, 0, AccessExclusiveLock);
}

/* Commands that refuse transaction blocks. */
static void
before_alone(Node *stmt)
{
	const char *name;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			clear_named_database(((DropdbStmt *) stmt)->dbname);
			break;
		case T_CreatedbStmt:
			name = string_option(((CreatedbStmt *) stmt)->options, "template");
			/* template1, the default, has no processes of ours. */
			if (name != NULL)
				clear_named_database(name);
			look_at_databases_at_end();
			break;
		case T_AlterDatabaseStmt:
			if (string_option(((AlterDatabaseStmt *) stmt)->options,
							  "tablespace") != NULL)
				clear_named_database(((AlterDatabaseStmt *) stmt)->dbname);
			break;
		default:
			break;
	}
}

static void
before_any(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				clear_named_database(((RenameStmt *) stmt)->subname);
			break;
		case T_DropStmt:
			before_drop_extension((DropStmt *) stmt);
			break;
		case T_CreateExtensionStmt:
			dpipe_worker_notify_at_commit();
			break;
		case T_AlterExtensionStmt:
			if (is_dpipe(((AlterExtensionStmt *) stmt)->extname))
				before_update_extension();
			break;
		case T_AlterExtensionContentsStmt:
			if (is_dpipe(((AlterExtensionContentsStmt *) stmt)->extname))
				dpipe_worker_notify_at_commit();
			break;
		case T_AlterDatabaseStmt:
			look_at_databases_at_end();
			break;
		default:
			break;
	}
}

/* Could it leave dpipe with catalogs that the library does not know? */
static bool
changes_version(Node *stmt)
{
	return (IsA(stmt, CreateExtensionStmt) &&
			is_dpipe(((CreateExtensionStmt *) stmt)->extname)) ||
		(IsA(stmt, AlterExtensionStmt) &&
		 is_dpipe(((AlterExtensionStmt *) stmt)->extname));
}

static void
lifecycle_process_utility(PlannedStmt *pstmt, const char *queryString,
						  bool readOnlyTree, ProcessUtilityContext context,
						  ParamListInfo params, QueryEnvironment *queryEnv,
						  DestReceiver *dest, QueryCompletion *qc)
{
	/* ROLLBACK and the like may free the statement while it runs. */
	bool		check = changes_version(pstmt->utilityStmt);

	if (IsTransactionState() && !RecoveryInProgress())
	{
		before_any(pstmt->utilityStmt);
		if (context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock())
			before_alone(pstmt->utilityStmt);
	}

	if (prev_process_utility_hook)
		prev_process_utility_hook(pstmt, queryString, readOnlyTree, context,
								  params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
								params, queryEnv, dest, qc);
	if (check)
		dpipe_extension_check_fit();
}

/*
 * The extension goes, on whatever way (DROP OWNED, DROP SCHEMA … CASCADE):
 * let the scheduler look.
 */
static void
lifecycle_object_access(ObjectAccessType access, Oid classId, Oid objectId,
						int subId, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, classId, objectId, subId, arg);
	if (access == OAT_DROP && classId == ExtensionRelationId &&
		objectId == dpipe_extension_oid(true))
		dpipe_worker_notify_at_commit();
}

/* Single-user mode and pg_upgrade have no processes of ours. */
void
dpipe_lifecycle_init(void)
{
	if (!IsPostmasterEnvironment || IsBinaryUpgrade)
		return;
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = lifecycle_process_utility;
	prev_object_access_hook = object_access_hook;
	object_access_hook = lifecycle_object_access;
}
