/*
 * column.h
 *		Columns as values that templates see.
 */
#ifndef DPIPE_PROJECT_COLUMN_H
#define DPIPE_PROJECT_COLUMN_H

#include "postgres.h"

#include "jinja/jinja.h"

typedef struct DpipeColumn
{
	const char *name;
	const char *dtype;
	JinjaValue *char_size;		/* an int or none, as are the next two */
	JinjaValue *numeric_precision;
	JinjaValue *numeric_scale;
} DpipeColumn;

/* The strings must live as long as "env"; NULL sizes are none. */
extern JinjaValue *dpipe_column_make(JinjaEnv *env, const DpipeColumn *column);
/* NULL when the value is no column. */
extern const DpipeColumn *dpipe_column_of(const JinjaValue *value);

extern bool dpipe_column_can_expand_to(JinjaEnv *env, const DpipeColumn *column,
									   const DpipeColumn *other);
extern int64 dpipe_column_string_size(JinjaEnv *env, const DpipeColumn *column);

/* '"', the name with quotes in it doubled, '"' */
extern char *dpipe_quoted(const char *name);

#endif							/* DPIPE_PROJECT_COLUMN_H */
