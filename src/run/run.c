/*
 * run.c
 *		dpipe_run.
 *
 * A run is a function in the caller's transaction: all of it commits or none
 * does. A node that fails is rolled back by itself, and what depends on it is
 * skipped; the function raises only for what is wrong with the call or with
 * the project as a whole.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/identity.h"
#include "base/json.h"
#include "project/host.h"
#include "run/run.h"

PG_FUNCTION_INFO_V1(dpipe_run);

/* ---------- arguments ---------- */

char *
dpipe_run_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

Jsonb *
dpipe_run_object(FunctionCallInfo fcinfo, int n, const char *name)
{
	Jsonb	   *jb;

	if (PG_ARGISNULL(n))
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	jb = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(jb))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", name)));
	return jb;
}

void
dpipe_run_options(const Jsonb *options, const char *const *known, int nknown)
{
	JsonbIterator *it = JsonbIteratorInit((JsonbContainer *) &options->root);
	JsonbIteratorToken token;
	JsonbValue	v;
	StringInfoData list;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *name;
		bool		found = false;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		(void) JsonbIteratorNext(&it, &v, true);
		for (int i = 0; i < nknown; i++)
			found |= strcmp(known[i], name) == 0;
		if (found)
			continue;
		initStringInfo(&list);
		for (int i = 0; i < nknown; i++)
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", known[i]);
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown option \"%s\" of a run", name),
						nknown > 0 ? errhint("Options are: %s.", list.data)
						: errhint("There are no options yet.")));
	}
}

/* "threads" is dbt's; a function runs one node after the other. */
static void
read_options(DpipeRun *run)
{
	static const char *const known[] = {"fail_fast", "now", "project", "threads"};
	char	   *now;

	dpipe_run_options(run->options, known, lengthof(known));
	run->fail_fast = dpipe_json_bool(run->options, "option", "fail_fast", false);
	(void) dpipe_json_int(run->options, "option", "threads", 1);
	now = dpipe_json_string(run->options, "option", "now", NULL);
	run->now = now == NULL
		? run->started_at
		: DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(now),
												  ObjectIdGetDatum(InvalidOid),
												  Int32GetDatum(-1)));
}

/* ---------- selection ---------- */

/* In a copy that was not adopted the owner is whoever has the name. */
static bool
is_callers(const DpipeNode *node)
{
	Oid owner = OidIsValid(node->owner) ? node->owner : get_role_oid(node->owner_name, true);

	return superuser() || (OidIsValid(owner) && dpipe_may_act_as(owner));
}

/*
 * "All" is all that the caller may run. Whoever names a model of somebody
 * else's is told.
 */
static List *
select_to_run(const DpipeGraph *graph, const DpipeRun *run)
{
	List	   *selected = dpipe_select(graph, run->nodes, run->exclude);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, selected)
	{
		DpipeNode  *node = lfirst(lc);

		if (run->nodes == NULL && !is_callers(node))
			continue;
		dpipe_model_check_owner(node);
		result = lappend(result, node);
	}
	return result;
}

/* ---------- the run ---------- */

static DpipeNode *
find_blame(const DpipeNode *node)
{
	ListCell   *lc;

	foreach(lc, node->parents)
	{
		if (((DpipeNode *) lfirst(lc))->blame != NULL)
			return ((DpipeNode *) lfirst(lc))->blame;
	}
	return NULL;
}

static void
skip_node(DpipeNode *node, char *why, DpipeNodeResult *result)
{
	memset(result, 0, sizeof(*result));
	result->node = node;
	result->status = "skipped";
	result->rows = -1;
	result->message = why;
}

static void
return_result(ReturnSetInfo *rsinfo, const DpipeRun *run, const DpipeNodeResult *result)
{
	Datum		values[8];
	bool		nulls[8] = {false};

	values[0] = Int64GetDatum(run->run_id);
	values[1] = CStringGetTextDatum(result->node->unique_id);
	values[2] = CStringGetTextDatum("model");
	values[3] = CStringGetTextDatum(result->status);
	values[4] = Int64GetDatum(result->rows);
	nulls[4] = result->rows < 0;
	nulls[5] = true;			/* of tests only */
	values[5] = (Datum) 0;
	values[6] = Float8GetDatum((result->ended_at - result->started_at) / (double) USECS_PER_SEC);
	nulls[7] = result->message == NULL;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(result->message);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Walk the whole graph, so that a failure is felt through nodes that were not
 * selected.
 */
static bool
run_nodes(const DpipeRun *run, const DpipeGraph *graph, List *selected, ReturnSetInfo *rsinfo)
{
	DpipeNode  *failed = NULL;
	int			position = 0;
	ListCell   *lc;

	foreach(lc, graph->nodes)
	{
		DpipeNode  *node = lfirst(lc);
		DpipeNodeResult result;

		CHECK_FOR_INTERRUPTS();
		node->blame = find_blame(node);
		if (!list_member_ptr(selected, node))
			continue;
		if (node->blame != NULL)
			skip_node(node, psprintf("skipped because %s failed", node->blame->unique_id), &result);
		else if (failed != NULL && run->fail_fast)
			skip_node(node,
					  psprintf("skipped because %s failed and fail_fast is set", failed->unique_id),
					  &result);
		else
			dpipe_node_run(run, graph, node, &result);
		if (strcmp(result.status, "error") == 0)
			node->blame = failed = node;
		dpipe_run_node_record(run, ++position, &result);
		return_result(rsinfo, run, &result);
	}
	return failed != NULL;
}

/* What models read of a project tells in which order they run. */
static void
add_project(DpipeGraph *graph, const DpipeRun *run)
{
	char	   *asked = dpipe_json_string(run->options, "option", "project", NULL);
	char	   *project = NULL;

	if (asked != NULL)
		project = dpipe_project_choose(asked);
	else if (!dpipe_graph_is_complete(graph))
		project = dpipe_project_of_role(GetUserId(), NULL);
	if (project != NULL)
		dpipe_graph_add_project(graph, project);
}

static List *
selected_ids(List *selected)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, selected)
		ids = lappend(ids, ((DpipeNode *) lfirst(lc))->unique_id);
	return ids;
}

Datum
dpipe_run(PG_FUNCTION_ARGS)
{
	DpipeRun	run;
	DpipeGraph *graph;
	List	   *selected;
	bool		failed;

	PreventCommandIfReadOnly("dpipe_run()");
	memset(&run, 0, sizeof(run));
	run.command = "run";
	run.nodes = dpipe_run_text(fcinfo, 0);
	run.exclude = dpipe_run_text(fcinfo, 1);
	run.full_refresh = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	run.vars = dpipe_run_object(fcinfo, 3, "vars");
	run.options = dpipe_run_object(fcinfo, 4, "options");
	run.started_at = GetCurrentTimestamp();
	run.invocation_id = pstrdup(dpipe_invocation_id());
	read_options(&run);
	InitMaterializedSRF(fcinfo, 0);

	graph = dpipe_graph_load(run.vars, NULL);
	add_project(graph, &run);
	selected = select_to_run(graph, &run);
	if (selected == NIL)
		ereport(WARNING,
				(errmsg("Nothing to do. Try checking your model definitions and the selection")));
	run.selected = selected_ids(selected);
	run.run_id = dpipe_run_draw_id();
	failed = run_nodes(&run, graph, selected, (ReturnSetInfo *) fcinfo->resultinfo);
	dpipe_run_record(&run, failed);
	return (Datum) 0;
}
