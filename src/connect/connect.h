/*
 * connect.h
 *		Connections: foreign servers and user mappings, and their secrets.
 */
#ifndef DPIPE_CONNECT_H
#define DPIPE_CONNECT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct DpipeProperty
{
	const char *name;
	const char *value;
	bool		secret;			/* never in a message, log or view */
} DpipeProperty;

/*
 * Properties of a dpipe_kafka server for "role": the server's options, then
 * those of the role's user mapping (its own, else PUBLIC's), then "extra" (a
 * jsonb object of strings, or NULL). Checks that the server is one of
 * dpipe_kafka, that the role has USAGE (42501) and, for a role that is no
 * superuser, that nothing in it reads files or runs code (42501), wherever it
 * was written. List of DpipeProperty*, in the current memory context.
 */
extern List *dpipe_kafka_properties(const char *server, Oid role,
									const Jsonb *extra);

/*
 * Grows whenever properties may have become others: a server, a user mapping,
 * a role or a membership was changed. A change is noticed at the start of a
 * transaction.
 */
extern uint64 dpipe_connection_changes(void);

/* Check the pass-through options of a source at definition time. */
extern void dpipe_kafka_check_extra(const Jsonb *extra, Oid role);

#endif							/* DPIPE_CONNECT_H */
