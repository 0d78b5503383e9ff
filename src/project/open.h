/*
 * open.h
 *		Projects as they are stored: what a load writes and what selections
 *		and compilation read.
 */
#ifndef DPIPE_PROJECT_OPEN_H
#define DPIPE_PROJECT_OPEN_H

#include "project/loading.h"

/* load.c: options, and what follows from dbt_project.yml */
extern void pj_read_options(PjLoad *load, PdDoc *options);
extern void pj_read_root(PjLoad *load);

/* The first schema of the path, or 3F000; the path, temporary objects last. */
extern char *pj_default_schema(void);
extern char *pj_path_to_store(void);

/*
 * compile.c: the text of a node of a stored project, as it would run now;
 * NULL when the project has none of the name or unique id. It is rendered as
 * the project's owner.
 */
extern char *pj_compile(const char *project, const char *name, const char *inline_text,
						const Jsonb *vars, bool full_refresh);

#endif							/* DPIPE_PROJECT_OPEN_H */
