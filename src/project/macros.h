/*
 * macros.h
 *		Templates that hold macros, docs and snapshots.
 */
#ifndef DPIPE_PROJECT_MACROS_H
#define DPIPE_PROJECT_MACROS_H

#include "project/loading.h"

/* The template of a file of macros, docs or snapshots, parsed once. */
extern JinjaTemplate *pj_template(PjLoad *load, PjFile *file);

#endif							/* DPIPE_PROJECT_MACROS_H */
