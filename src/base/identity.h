/*
 * identity.h
 *		Under whose name a piece of work runs.
 */
#ifndef DPIPE_IDENTITY_H
#define DPIPE_IDENTITY_H

#include "postgres.h"

typedef struct DpipeIdentity
{
	Oid			save_userid;
	int			save_sec_context;
	int			guc_level;
} DpipeIdentity;

/* For dpipe's own catalogs: extension owner, nothing of the user's runs. */
extern void dpipe_identity_internal(DpipeIdentity *id);

/* For the user's tables, models and checks: see the rules in identity.c. */
extern void dpipe_identity_owner(DpipeIdentity *id, Oid owner,
								 const char *search_path);

/*
 * SET CONSTRAINTS ALL IMMEDIATE: what was deferred is checked here and now, by
 * the current user, and what comes is not deferred.
 */
extern void dpipe_constraints_immediate(void);

/* Back to what was before. After an error the transaction abort does it. */
extern void dpipe_identity_restore(DpipeIdentity *id);

/* May the current user act as "owner" (is it, or is a member of it)? */
extern bool dpipe_may_act_as(Oid owner);

/*
 * A relation's name as dpipe's catalogs keep it. That of the server depends on
 * the setting quote_all_identifiers, and what was stored must be found again.
 */
extern char *dpipe_relation_key(const char *schema, const char *name);

/*
 * The search_path of now, to be kept for a definition: temporary objects last,
 * so that nothing of a session's own shadows what the definition means.
 */
extern char *dpipe_path_to_keep(void);

/* The first schema of the path, in which relations are made; NULL: none. */
extern char *dpipe_creation_schema(void);

#endif							/* DPIPE_IDENTITY_H */
