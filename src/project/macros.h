/*
 * macros.h
 *		dbt's own blocks, and the templates that hold them.
 */
#ifndef DPIPE_PROJECT_MACROS_H
#define DPIPE_PROJECT_MACROS_H

#include "project/loading.h"

extern const JinjaDialect pj_dialect;

/* The template of a file of macros, docs or snapshots, parsed once. */
extern JinjaTemplate *pj_template(PjLoad *load, PjFile *file);

#endif							/* DPIPE_PROJECT_MACROS_H */
