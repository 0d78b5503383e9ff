/*
 * run.c
 *		dpipe_run, dpipe_compile.
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
#include "utils/uuid.h"

#include "base/identity.h"
#include "base/json.h"
#include "project/open.h"
#include "run/run.h"

PG_FUNCTION_INFO_V1(dpipe_run);
PG_FUNCTION_INFO_V1(dpipe_compile);

/* ---------- arguments ---------- */

static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static Jsonb *
object_arg(FunctionCallInfo fcinfo, int n, const char *name)
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

static void
check_options(const Jsonb *options, const char *const *known, int nknown)
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
	static const char *const known[] = {"fail_fast", "now", "threads"};
	char	   *now;

	check_options(run->options, known, lengthof(known));
	run->fail_fast = dpipe_json_bool(run->options, "option", "fail_fast", false);
	(void) dpipe_json_int(run->options, "option", "threads", 1);
	now = dpipe_json_string(run->options, "option", "now", NULL);
	run->now = now == NULL
		? run->started_at
		: DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(now),
												  ObjectIdGetDatum(InvalidOid),
												  Int32GetDatum(-1)));
}

static char *
new_uuid(void)
{
	Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return DatumGetCString(DirectFunctionCall1(uuid_out, uuid));
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
	run.nodes = text_arg(fcinfo, 0);
	run.exclude = text_arg(fcinfo, 1);
	run.full_refresh = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	run.vars = object_arg(fcinfo, 3, "vars");
	run.options = object_arg(fcinfo, 4, "options");
	run.started_at = GetCurrentTimestamp();
	run.invocation_id = new_uuid();
	read_options(&run);
	InitMaterializedSRF(fcinfo, 0);

	graph = dpipe_graph_load(run.vars, NULL);
	selected = select_to_run(graph, &run);
	if (selected == NIL)
		ereport(WARNING,
				(errmsg("Nothing to do. Try checking your model definitions and the selection")));
	run.run_id = dpipe_run_draw_id();
	failed = run_nodes(&run, graph, selected, (ReturnSetInfo *) fcinfo->resultinfo);
	dpipe_run_record(&run, failed);
	return (Datum) 0;
}

/* ---------- compile ---------- */

/* What a run would read now; the consumer stays where it is. */
static char *
show_new_rows(DpipeRendering *r, const char *schema, const char *name)
{
	return dpipe_new_rows(r->node->unique_id, schema, name,
						  !dpipe_node_is_incremental(r->node, r->full_refresh), false);
}

/* A text without a model: as if the caller had defined a view. */
static DpipeNode *
inline_node(char *text, const Jsonb *vars)
{
	DpipeNode  *node = palloc0(sizeof(DpipeNode));
	DpipeParsed parsed;

	node->type = DPIPE_NODE_MODEL;
	node->name = "inline_query";
	node->unique_id = psprintf("sql_operation.%s.%s", DPIPE_PACKAGE, node->name);
	node->owner = GetUserId();
	node->owner_name = GetUserNameFromId(node->owner, false);
	node->base_schema = dpipe_model_schema();
	node->sql = text;

	node->given = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	dpipe_node_parse(node, vars, &parsed);
	dpipe_node_configure(node, parsed.config);
	node->refs = parsed.refs;
	node->sources = parsed.sources;
	return node;
}

/* A model of dpipe_create_model, or NULL. */
static DpipeNode *
own_model(const DpipeGraph *graph, const char *name)
{
	DpipeNode  *node = dpipe_graph_find(graph, name);

	if (node == NULL)
		node = dpipe_graph_find(graph, dpipe_model_id(DPIPE_PACKAGE, name));
	if (node == NULL || node->type != DPIPE_NODE_MODEL)
		return NULL;
	dpipe_model_check_owner(node);
	return node;
}

/* Of the project that is named, or of the only one there is. */
static char *
compile_in_project(const char *asked, const char *name, const char *text, const Jsonb *vars,
				   bool full_refresh)
{
	char	   *project = dpipe_project_choose(asked);
	char	   *sql = project != NULL ? pj_compile(project, name, text, vars, full_refresh) : NULL;

	if (sql == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name)));
	return sql;
}

Datum
dpipe_compile(PG_FUNCTION_ARGS)
{
	char	   *name = text_arg(fcinfo, 0);
	char	   *text = text_arg(fcinfo, 1);
	DpipeRendering r;
	DpipeGraph *graph;
	DpipeIdentity id;
	char	   *result;
	Jsonb	   *vars = object_arg(fcinfo, 2, "vars");
	bool		full_refresh = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	Jsonb	   *options = object_arg(fcinfo, 4, "options");
	static const char *const known[] = {"project"};
	char	   *project;

	if ((name == NULL) == (text == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("dpipe_compile takes either a node or an inline text")));
	check_options(options, known, lengthof(known));
	project = dpipe_json_string(options, "option", "project", NULL);

	graph = dpipe_graph_load(vars, NULL);
	memset(&r, 0, sizeof(r));
	r.graph = graph;
	if (project == NULL)
		r.node = name != NULL ? own_model(graph, name) : inline_node(text, vars);
	if (r.node == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(compile_in_project(project, name, text, vars, full_refresh)));
	r.vars = vars;
	r.execute = true;
	r.full_refresh = full_refresh;
	r.command = "compile";
	r.invocation_id = new_uuid();
	r.started_at = GetCurrentTimestamp();
	r.new_rows = show_new_rows;
	dpipe_identity_owner(&id, r.node->owner, r.node->search_path);
	result = dpipe_node_render(&r, r.node->sql);
	dpipe_identity_restore(&id);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
