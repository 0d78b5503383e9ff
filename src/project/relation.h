/*
 * relation.h
 *		Relations and times as values that templates see.
 */
#ifndef DPIPE_PROJECT_RELATION_H
#define DPIPE_PROJECT_RELATION_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "jinja/jinja.h"

typedef struct DpipeRelation
{
	const char *schema;
	const char *name;
	bool		with_database;	/* which parts it prints */
	bool		with_schema;
	bool		with_name;
	bool		plain_database;	/* which parts it prints without quotes */
	bool		plain_schema;
	bool		plain_name;
	const char *database;		/* NULL: the current one */
	const char *text;			/* all that it prints, where that is no name */
} DpipeRelation;

extern JinjaValue *dpipe_relation_value(JinjaEnv *env, const char *schema, const char *name);

/* A copy of "rel"; its strings are not copied. */
extern JinjaValue *dpipe_relation_new(JinjaEnv *env, const DpipeRelation *rel);

/* NULL when the value is no relation. */
extern const DpipeRelation *dpipe_relation_of(JinjaValue *value);

/* run_started_at: a moment, in UTC as dbt has it. */
extern JinjaValue *dpipe_moment_value(JinjaEnv *env, TimestampTz at);

#endif							/* DPIPE_PROJECT_RELATION_H */
