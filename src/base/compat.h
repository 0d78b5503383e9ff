/*
 * compat.h
 *		The one place that knows what differs between PostgreSQL 15 and 18.
 *
 * Every shim names the upstream commit or release that made it necessary and
 * carries the prefix dpipe_, so that it cannot clash with a symbol that a
 * later minor release exports.
 */
#ifndef DPIPE_COMPAT_H
#define DPIPE_COMPAT_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#include "utils/wait_event.h"
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "dpipe supports PostgreSQL 15 to 18"
#endif

/*
 * Custom wait events exist since 17 (commit c9af054653); before that all of
 * an extension's waits are shown as "Extension".
 */
#if PG_VERSION_NUM >= 170000
#define dpipe_wait_event(name) WaitEventExtensionNew(name)
#else
#define dpipe_wait_event(name) PG_WAIT_EXTENSION
#endif

/*
 * WaitEventSets belong to a resource owner, not a memory context, since 17
 * (commit 50c67c2019). NULL means: lives until freed.
 */
#if PG_VERSION_NUM >= 170000
#define dpipe_create_wait_event_set(cxt, n) CreateWaitEventSet(NULL, (n))
#else
#define dpipe_create_wait_event_set(cxt, n) CreateWaitEventSet((cxt), (n))
#endif

/* A worker may log in as a NOLOGIN role since 17 (commit e7689190b3). */
#if PG_VERSION_NUM >= 170000
#define DPIPE_BYPASS_ROLELOGINCHECK BGWORKER_BYPASS_ROLELOGINCHECK
#define DPIPE_CAN_BYPASS_LOGIN true
#else
#define DPIPE_BYPASS_ROLELOGINCHECK 0
#define DPIPE_CAN_BYPASS_LOGIN false
#endif

/*
 * One object_aclcheck() for all kinds of objects since 16 (commit c727f511bd).
 */
#if PG_VERSION_NUM >= 160000
#define dpipe_foreign_server_aclcheck(oid, role, mode) \
	object_aclcheck(ForeignServerRelationId, (oid), (role), (mode))
#define dpipe_namespace_aclcheck(oid, role, mode) \
	object_aclcheck(NamespaceRelationId, (oid), (role), (mode))
#define dpipe_database_aclcheck(oid, role, mode) \
	object_aclcheck(DatabaseRelationId, (oid), (role), (mode))
#else
#define dpipe_foreign_server_aclcheck(oid, role, mode) \
	pg_foreign_server_aclcheck((oid), (role), (mode))
#define dpipe_namespace_aclcheck(oid, role, mode) \
	pg_namespace_aclcheck((oid), (role), (mode))
#define dpipe_database_aclcheck(oid, role, mode) \
	pg_database_aclcheck((oid), (role), (mode))
#endif

/*
 * Privileges to check moved from the range table entry to a node of their own
 * in 16 (commit a61b1f7482). Includers have parser/parse_node.h.
 */
#if PG_VERSION_NUM >= 160000
#define dpipe_nsitem_permissions(nsitem) ((nsitem)->p_perminfo)
#define dpipe_check_permissions(pstate, nsitem) \
	((void) ExecCheckPermissions((pstate)->p_rtable, \
								 list_make1((nsitem)->p_perminfo), true))
#define dpipe_check_query_permissions(query) \
	((void) ExecCheckPermissions((query)->rtable, (query)->rteperminfos, true))
#else
#define dpipe_nsitem_permissions(nsitem) ((nsitem)->p_rte)
#define dpipe_check_permissions(pstate, nsitem) \
	((void) ExecCheckRTPerms((pstate)->p_rtable, true))
#define dpipe_check_query_permissions(query) \
	((void) ExecCheckRTPerms((query)->rtable, true))
#endif

/* Soft errors gave it a second argument in 16 (commit 858e776c84). */
#if PG_VERSION_NUM >= 160000
#define dpipe_qualified_name_list(s) stringToQualifiedNameList((s), NULL)
#else
#define dpipe_qualified_name_list(s) stringToQualifiedNameList(s)
#endif

/* Base64 works on unsigned bytes since 18 (commit b28c59a6cd). */
#if PG_VERSION_NUM >= 180000
#define dpipe_b64_encode(src, len, dst, room) \
	pg_b64_encode((const uint8 *) (src), (len), (dst), (room))
#else
#define dpipe_b64_encode(src, len, dst, room) \
	pg_b64_encode((src), (len), (dst), (room))
#endif

/* Since 16 (commit 2016055a92); in 15 only later minor releases have them. */
#ifndef palloc_object
#define palloc_object(type) ((type *) palloc(sizeof(type)))
#define palloc0_object(type) ((type *) palloc0(sizeof(type)))
#define palloc_array(type, n) ((type *) palloc(sizeof(type) * (n)))
#define palloc0_array(type, n) ((type *) palloc0(sizeof(type) * (n)))
#endif

/*
 * One object_ownercheck() for all kinds of objects since 16 (commit
 * afbfc02983).
 */
#if PG_VERSION_NUM >= 160000
#define dpipe_database_ownercheck(oid, role) \
	object_ownercheck(DatabaseRelationId, (oid), (role))
#define dpipe_extension_ownercheck(oid, role) \
	object_ownercheck(ExtensionRelationId, (oid), (role))
#define dpipe_class_ownercheck(oid, role) \
	object_ownercheck(RelationRelationId, (oid), (role))
#else
#define dpipe_database_ownercheck(oid, role) \
	pg_database_ownercheck((oid), (role))
#define dpipe_extension_ownercheck(oid, role) \
	pg_extension_ownercheck((oid), (role))
#define dpipe_class_ownercheck(oid, role) \
	pg_class_ownercheck((oid), (role))
#endif

/*
 * 18 replaced pg_attribute_noreturn(), which follows the type, by pg_noreturn,
 * which must come first (commit 28f2a7d8a8).
 */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/*
 * Integers may be written 0x2A and 1_000 since 16 (commits 6fcda9aba8 and
 * faff8f8e47).
 */
#define DPIPE_INTEGER_LITERALS (PG_VERSION_NUM >= 160000)

/*
 * The largest exponent that numeric's input reads. 16 reads it itself, not
 * with strtol() (commit faff8f8e47), and compares it otherwise.
 */
#if PG_VERSION_NUM >= 160000
#define DPIPE_NUMERIC_MAX_EXPONENT (PG_INT32_MAX / 2)
#else
#define DPIPE_NUMERIC_MAX_EXPONENT (PG_INT32_MAX / 2 - 1)
#endif

/* Membership lost its implied SET right in 16 (commit 3d14e171e9). */
#if PG_VERSION_NUM >= 160000
#define dpipe_member_can_set_role(member, role) \
	member_can_set_role((member), (role))
#else
#define dpipe_member_can_set_role(member, role) \
	is_member_of_role((member), (role))
#endif

#endif							/* DPIPE_COMPAT_H */
