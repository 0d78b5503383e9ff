/*
 * model.h
 *		Materializations: what a model's text becomes.
 */
#ifndef DPIPE_MODEL_H
#define DPIPE_MODEL_H

#include "postgres.h"

#include "project/project.h"

/* One model being built. */
typedef struct DpipeBuild
{
	DpipeRendering rendering;	/* graph, node and what the run was called
								 * with */
	MemoryContext cxt;			/* for results: survives a failure */

	/* results */
	const char *phase;			/* what kind of error one now is, in dbt's
								 * words */
	char	   *sql;			/* the last statement that made the contents */
	char	   *code;			/* INSERT, MERGE, SELECT, CREATE VIEW */
	int64		rows;			/* -1: no rows are counted */
} DpipeBuild;

/*
 * Build the model in the caller's subtransaction, as its owner. Raises when
 * it fails; then the caller rolls the subtransaction back.
 */
extern void dpipe_model_build(DpipeBuild *build);

/* The schema in which the current user's models make relations, or 3F000. */
extern char *dpipe_model_schema(void);

/* Raise 42501 unless the current user may act as the model's owner. */
extern void dpipe_model_check_owner(const DpipeNode *node);

/*
 * new_rows.c: the expression of dpipe.new_rows. "reset" reads everything. With
 * "advance", the consumer's state moves in the current transaction; without,
 * it is only shown.
 */
extern char *dpipe_new_rows(const char *consumer, const char *schema, const char *name, bool reset,
							bool advance);
extern void dpipe_consumer_forget(const char *consumer);

/* track.c: does dpipe_track stamp the rows of this table? */
extern bool dpipe_is_tracked(Oid relid);

/*
 * Rows that this transaction stores from now on get other load ids than those
 * it has stored: a consumer has read the latter.
 */
extern void dpipe_track_new_ids(void);

#endif							/* DPIPE_MODEL_H */
