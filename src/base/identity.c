/*
 * identity.c
 *		Under whose name a piece of work runs.
 *
 * Three rules decide who runs a statement of the user's (a load into the
 * user's table, a model, a check):
 *
 * (a) The current user is the owner, or the owner could SET ROLE to the
 *	   current user anyway: nothing the owner writes can gain anything, so the
 *	   statements run without restrictions (temporary tables, SET ROLE,
 *	   deferred triggers all work). In the second case the user is switched.
 * (b) Any other caller: the owner's identity with
 *	   SECURITY_RESTRICTED_OPERATION, and constraints made immediate first.
 *	   SECURITY_LOCAL_USERID_CHANGE alone would not do: the owner's deferred
 *	   triggers would fire at commit with the caller's rights.
 * (c) A worker connects as the owner, and is then a case of (a).
 *
 * dpipe's own catalogs are touched as the extension's owner. No user-defined
 * trigger, default, operator or index expression can sit on them, and
 * search_path is pinned, so nothing of a user's can run there.
 *
 * No function here needs an undo on error: (sub)transaction abort restores
 * the user and the GUC nest level.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "base/extension.h"
#include "base/identity.h"

#define INTERNAL_SEARCH_PATH "pg_catalog, pg_temp"

static void
save_identity(DpipeIdentity *id)
{
	GetUserIdAndSecContext(&id->save_userid, &id->save_sec_context);
	id->guc_level = NewGUCNestLevel();
}

static void
set_search_path(const char *path)
{
	(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
dpipe_identity_internal(DpipeIdentity *id)
{
	Oid			owner = dpipe_extension_owner();

	save_identity(id);
	SetUserIdAndSecContext(owner, id->save_sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	set_search_path(INTERNAL_SEARCH_PATH);
}

void
dpipe_constraints_immediate(void)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = NIL;
	stmt->deferred = false;
	AfterTriggerSetState(stmt);
}

/*
 * Could "owner" become "caller" with SET ROLE? Then switching to the owner
 * needs no restriction (the reasoning of logical replication's
 * SwitchToUntrustedUser).
 */
static bool
owner_can_become(Oid owner, Oid caller)
{
	return dpipe_member_can_set_role(owner, caller);
}

void
dpipe_identity_owner(DpipeIdentity *id, Oid owner, const char *search_path)
{
	save_identity(id);

	if (id->save_userid == owner)
		 /* rule (a): nothing to switch */ ;
	else if (owner_can_become(owner, id->save_userid))
		SetUserIdAndSecContext(owner, id->save_sec_context);
	else
	{
		/*
		 * Before the owner's statements run: a deferred trigger that they
		 * queue would fire at commit, under the caller's name.
		 */
		dpipe_constraints_immediate();
		SetUserIdAndSecContext(owner, id->save_sec_context |
							   SECURITY_RESTRICTED_OPERATION);
	}
	if (search_path != NULL)
		set_search_path(search_path);
}

void
dpipe_identity_restore(DpipeIdentity *id)
{
	AtEOXact_GUC(false, id->guc_level);
	SetUserIdAndSecContext(id->save_userid, id->save_sec_context);
}

bool
dpipe_may_act_as(Oid owner)
{
	return has_privs_of_role(GetUserId(), owner);
}

char *
dpipe_relation_key(const char *schema, const char *name)
{
	bool		save = quote_all_identifiers;
	char	   *key;

	PG_TRY();
	{
		quote_all_identifiers = false;
		key = quote_qualified_identifier(schema, name);
	}
	PG_FINALLY();
	{
		quote_all_identifiers = save;
	}
	PG_END_TRY();
	return key;
}

char *
dpipe_path_to_keep(void)
{
	List	   *names;
	ListCell   *lc;
	StringInfoData buf;

	initStringInfo(&buf);
	if (!SplitIdentifierString(pstrdup(namespace_search_path), ',', &names))
		elog(ERROR, "invalid search_path \"%s\"", namespace_search_path);
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), "pg_temp") != 0)
			appendStringInfo(&buf, "%s, ", quote_identifier(lfirst(lc)));
	}
	appendStringInfoString(&buf, "pg_temp");
	return buf.data;
}

char *
dpipe_creation_schema(void)
{
	List	   *path = fetch_search_path(false);
	char	   *name = NULL;

	if (path != NIL && !isAnyTempNamespace(linitial_oid(path)))
		name = get_namespace_name(linitial_oid(path));
	list_free(path);
	return name;
}
