/*
 * error.h
 *		Raising an error again that was caught and kept.
 */
#ifndef DPIPE_ERROR_H
#define DPIPE_ERROR_H

#include "postgres.h"

/*
 * As ReThrowError, but nothing of what was raised points into "edata": its
 * memory may go before the error is reported.
 */
extern void dpipe_rethrow(ErrorData *edata) pg_attribute_noreturn();

#endif							/* DPIPE_ERROR_H */
