/*
 * pg_shim.h
 *		What programs see of pg_shim.c besides the server's own functions.
 */
#ifndef DPIPE_PG_SHIM_H
#define DPIPE_PG_SHIM_H

#include "postgres.h"

/* The error that PG_CATCH() caught. */
typedef struct ShimError
{
	int			sqlstate;
	char		message[4096];
	char		context[4096];
} ShimError;

extern ShimError shim_error;

extern void shim_init(void);

#endif							/* DPIPE_PG_SHIM_H */
