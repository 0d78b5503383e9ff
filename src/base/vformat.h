/*
 * vformat.h
 *		Messages of functions that take a format and what is in it.
 */
#ifndef DPIPE_VFORMAT_H
#define DPIPE_VFORMAT_H

#include "postgres.h"

/* psprintf() for callers that have a va_list. */
extern char *dpipe_vformat(const char *fmt, va_list args)
			pg_attribute_printf(1, 0);

#endif							/* DPIPE_VFORMAT_H */
