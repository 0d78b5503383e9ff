/*
 * other_engine.c
 *		A planner hook like that of an engine which keeps the rows of some
 *		tables elsewhere: it puts a node of its own on top of the plan of an
 *		INSERT into a table whose name begins with "shadow".
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static planner_hook_type next_hook;

static PlannedStmt *
plan_elsewhere(Query *query, const char *text, int options,
			   ParamListInfo params)
{
	PlannedStmt *stmt = next_hook ?
		next_hook(query, text, options, params) :
		standard_planner(query, text, options, params);

	if (query->commandType == CMD_INSERT)
	{
		char	   *name = get_rel_name(rt_fetch(query->resultRelation,
												 query->rtable)->relid);

		if (name != NULL && strncmp(name, "shadow", 6) == 0)
		{
			Result	   *top = makeNode(Result);

			top->plan.lefttree = stmt->planTree;
			stmt->planTree = (Plan *) top;
		}
	}
	return stmt;
}

void
_PG_init(void)
{
	next_hook = planner_hook;
	planner_hook = plan_elsewhere;
}
