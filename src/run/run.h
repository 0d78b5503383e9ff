/*
 * run.h
 *		What the files of src/run share.
 */
#ifndef DPIPE_RUN_H
#define DPIPE_RUN_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "model/model.h"

/* One run: what it was called with. */
typedef struct DpipeRun
{
	int64		run_id;
	const char *command;
	char	   *nodes;			/* NULL: all */
	char	   *exclude;		/* NULL: none */
	bool		full_refresh;
	Jsonb	   *vars;
	Jsonb	   *options;
	bool		fail_fast;
	List	   *selected;		/* unique ids, char * */
	char	   *invocation_id;
	TimestampTz started_at;		/* by the clock */
	TimestampTz now;			/* what templates are told */
} DpipeRun;

/* What became of one node. */
typedef struct DpipeNodeResult
{
	const DpipeNode *node;
	const char *status;			/* dbt's word */
	int64		rows;			/* -1: not counted */
	char	   *message;
	char	   *sqlstate;		/* NULL: no error */
	TimestampTz started_at;		/* 0: did not start */
	TimestampTz ended_at;
	char	   *code;			/* NULL, or the command that made the contents */
	char	   *sql;
} DpipeNodeResult;

/* node.c: run one node in a subtransaction; raises only what ends the run. */
extern void dpipe_node_run(const DpipeRun *run, const DpipeGraph *graph, const DpipeNode *node,
						   DpipeNodeResult *result);

/* run.c: arguments of the verbs */
extern char *dpipe_run_text(FunctionCallInfo fcinfo, int n);
extern Jsonb *dpipe_run_object(FunctionCallInfo fcinfo, int n, const char *name);
extern void dpipe_run_options(const Jsonb *options, const char *const *known, int nknown);

/* log.c */
extern int64 dpipe_run_draw_id(void);
extern void dpipe_run_record(const DpipeRun *run, bool failed);
extern void dpipe_run_node_record(const DpipeRun *run, int position, const DpipeNodeResult *result);

#endif							/* DPIPE_RUN_H */
