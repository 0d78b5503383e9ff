/*
 * schema.h
 *		What dbt demands of YAML: keys and types.
 */
#ifndef DPIPE_PROJECT_SCHEMA_H
#define DPIPE_PROJECT_SCHEMA_H

#include "base/doc.h"

typedef struct PjMisfit
{
	const PdDoc *doc;			/* what does not fit */
	const char *path;			/* to it, as Python writes one: ['tables'][0] */
	const char *message;
	const char *known;			/* keys that may stand there, or NULL */
} PjMisfit;

/*
 * Does "doc" fit the schema: a section of YAML files, "project" or a type of
 * nodes with "_config" behind it? What is of no schema fits.
 */
extern bool pj_schema_fits(const char *schema, const PdDoc *doc, PjMisfit *misfit);

/* Of a doc that fits: words that may be in capitals no longer are. */
extern void pj_schema_settle(const char *schema, PdDoc *doc);

/* Does it name this key? */
extern bool pj_schema_has(const char *schema, const char *name);

#endif							/* DPIPE_PROJECT_SCHEMA_H */
