/*
 * extension.h
 *		The extension in this database: is it there, whose is it, and does the
 *		loaded library know its catalogs?
 */
#ifndef DPIPE_EXTENSION_H
#define DPIPE_EXTENSION_H

#include "postgres.h"

/* Its OID; error, or InvalidOid, when it is not installed. */
extern Oid	dpipe_extension_oid(bool missing_ok);

/* Its owner; error when it is not installed or the library does not fit it. */
extern Oid	dpipe_extension_owner(void);

/*
 * NULL, or in words that the installed version is not one that the loaded
 * library fits. Also NULL when it is not installed.
 */
extern char *dpipe_extension_misfit(void);

/* Raise 55000 when there is a misfit. */
extern void dpipe_extension_check_fit(void);

#endif							/* DPIPE_EXTENSION_H */
