/*
 * relation.h
 *		Relations as values that templates see.
 *
 * A relation is a value: two that print alike are alike, and every change
 * gives another one. It need not exist; what is known of its type is what
 * whoever made it said.
 */
#ifndef DPIPE_PROJECT_RELATION_H
#define DPIPE_PROJECT_RELATION_H

#include "postgres.h"

#include "jinja/jinja.h"

/* The parts of a relation's name, in the order they are printed. */
typedef enum DpipePart
{
	DPIPE_DATABASE,
	DPIPE_SCHEMA,
	DPIPE_IDENTIFIER,
} DpipePart;

#define DPIPE_PARTS 3

typedef struct DpipeRelation
{
	const char *path[DPIPE_PARTS];	/* NULL: has no such part */
	const char *type;			/* table, view, materialized_view, cte, ...; NULL: unknown */
	bool		unquoted[DPIPE_PARTS];
	bool		hidden[DPIPE_PARTS];	/* not printed */
	bool		as_given;		/* quotes in names are not doubled: a project's own names */
	bool		limited;		/* prints as a subquery of "limit" rows */
	int64		limit;
	bool		no_alias;		/* such a subquery has no name */
	const char *filter;			/* prints as a subquery with this condition */
	const char *view;			/* of information_schema, after the identifier */
} DpipeRelation;

/* All parts, in quotes; "schema" and "name" are copied. */
extern JinjaValue *dpipe_relation_value(JinjaEnv *env, const char *schema, const char *name);
/* As "rel" says; its strings must live as long as "env". */
extern JinjaValue *dpipe_relation_make(JinjaEnv *env, const DpipeRelation *rel);

/* NULL when the value is no relation. */
extern const DpipeRelation *dpipe_relation_of(const JinjaValue *value);

/* Its name, without limit and filter, in the current memory context. */
extern char *dpipe_relation_render(const DpipeRelation *rel);

#endif							/* DPIPE_PROJECT_RELATION_H */
