/*
 * compile.c
 *		dpipe_compile, dpipe_show, dpipe_run_operation: what a text would run,
 *		what it gives, what a macro gives.
 *
 * A name means a model of dpipe_create_model's, else a node of a project: the
 * one named by the option "project", or the only one there is. A text belongs
 * to a project only with that option.
 */
#include "base/compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/identity.h"
#include "base/json.h"
#include "project/open.h"
#include "run/run.h"

PG_FUNCTION_INFO_V1(dpipe_compile);
PG_FUNCTION_INFO_V1(dpipe_show);
PG_FUNCTION_INFO_V1(dpipe_run_operation);

/* What the three verbs are called with. */
typedef struct Call
{
	char	   *name;
	char	   *text;
	Jsonb	   *vars;
	Jsonb	   *options;
	bool		full_refresh;
	const char *command;
	Oid			owner;			/* who runs it, once it is compiled */
	char	   *search_path;
} Call;

static const char *const known_options[] = {"project", "empty"};

/* ---------- models of dpipe_create_model ---------- */

/* What a run would read now; the consumer stays where it is. */
static char *
show_new_rows(DpipeRendering *r, const char *schema, const char *name)
{
	return dpipe_new_rows(r->node->unique_id, schema, name,
						  !dpipe_node_is_incremental(r->node, r->full_refresh), false);
}

static char *
show_new_rows_of(const char *consumer, const char *schema, const char *name, bool reset)
{
	return dpipe_new_rows(consumer, schema, name, reset, false);
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

/* The model of that name, or NULL. */
static DpipeNode *
find_model(const DpipeGraph *graph, const char *name)
{
	DpipeNode  *node = dpipe_graph_find(graph, name);

	if (node == NULL)
		node = dpipe_graph_find(graph, dpipe_model_id(DPIPE_PACKAGE, name));
	return node != NULL && node->type == DPIPE_NODE_MODEL ? node : NULL;
}

static char *
compile_model(Call *call, const DpipeGraph *graph, DpipeNode *node)
{
	DpipeRendering r;
	DpipeIdentity id;
	char	   *text;

	memset(&r, 0, sizeof(r));
	r.graph = graph;
	r.node = node;
	r.vars = call->vars;
	r.execute = true;
	r.full_refresh = call->full_refresh;
	r.command = call->command;
	r.selected = list_make1(node->unique_id);
	r.started_at = GetCurrentTimestamp();
	r.new_rows = show_new_rows;
	call->owner = node->owner;
	call->search_path = node->search_path;
	dpipe_identity_owner(&id, node->owner, node->search_path);
	text = dpipe_node_render(&r, node->sql);
	dpipe_identity_restore(&id);
	return text;
}

/* ---------- either ---------- */

static char *
option_project(const Call *call)
{
	return dpipe_json_string(call->options, "option", "project", NULL);
}

static void
how_of(const Call *call, const char *project, PjCompile *how)
{
	memset(how, 0, sizeof(*how));
	how->project = project;
	how->vars = call->vars != NULL ? pd_from_jsonb(call->vars) : NULL;
	how->full_refresh = call->full_refresh;
	how->empty = dpipe_json_bool(call->options, "option", "empty", false);
	how->command = call->command;
	how->new_rows = show_new_rows_of;
}

static char *
compile_in_project(Call *call, const char *project)
{
	PjCompile	how;
	char	   *text;

	how_of(call, project, &how);
	text = call->name != NULL ? pj_compile_node(&how, call->name)
		: pj_compile_inline(&how, call->text);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", call->name)));
	pj_opened_identity(&call->owner, &call->search_path);
	return text;
}

static char *
compile_call(Call *call)
{
	char	   *project = option_project(call);
	DpipeGraph *graph;
	DpipeNode  *node;

	if ((call->name == NULL) == (call->text == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("dpipe_%s takes either a node or an inline text", call->command)));
	dpipe_run_options(call->options, known_options, lengthof(known_options));
	if (project != NULL)
		return compile_in_project(call, dpipe_project_choose(project));
	graph = dpipe_graph_load(call->vars, NULL);
	node = call->name != NULL ? find_model(graph, call->name) : NULL;
	if (node != NULL)
	{
		dpipe_model_check_owner(node);
		return compile_model(call, graph, node);
	}
	if (call->name == NULL)
		return compile_model(call, graph, inline_node(call->text, call->vars));
	project = dpipe_project_choose(NULL);
	if (project == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" does not exist", call->name)));
	return compile_in_project(call, project);
}

Datum
dpipe_compile(PG_FUNCTION_ARGS)
{
	Call		call = {0};

	call.name = dpipe_run_text(fcinfo, 0);
	call.text = dpipe_run_text(fcinfo, 1);
	call.vars = dpipe_run_object(fcinfo, 2, "vars");
	call.full_refresh = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	call.options = dpipe_run_object(fcinfo, 4, "options");
	call.command = "compile";
	PG_RETURN_TEXT_P(cstring_to_text(compile_call(&call)));
}

/* ---------- show ---------- */

/* The rows of the text as JSON, run by the owner. */
static void
return_rows(ReturnSetInfo *rsinfo, const Call *call, const char *text)
{
	DpipeIdentity id;
	char	   *sql = psprintf("SELECT pg_catalog.to_jsonb(dpipe_show) FROM (\n%s\n) AS dpipe_show",
							   text);

	dpipe_identity_owner(&id, call->owner, call->search_path);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[1];
		bool		nulls[1];

		values[0] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &nulls[0]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	dpipe_identity_restore(&id);
}

Datum
dpipe_show(PG_FUNCTION_ARGS)
{
	Call		call = {0};
	char	   *text;

	call.name = dpipe_run_text(fcinfo, 0);
	call.text = dpipe_run_text(fcinfo, 1);
	call.vars = dpipe_run_object(fcinfo, 3, "vars");
	call.options = dpipe_run_object(fcinfo, 4, "options");
	call.command = "show";
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	text = compile_call(&call);
	if (!PG_ARGISNULL(2))
	{
		int32		limit = PG_GETARG_INT32(2);

		/* Below zero is no limit, as for dbt show. */
		if (limit >= 0)
			text = psprintf("SELECT * FROM (\n%s\n) AS dpipe_limited LIMIT %d", text, limit);
	}
	return_rows((ReturnSetInfo *) fcinfo->resultinfo, &call, text);
	return (Datum) 0;
}

/* ---------- operations ---------- */

Datum
dpipe_run_operation(PG_FUNCTION_ARGS)
{
	Call		call = {0};
	PjCompile	how;
	char	   *project;
	Jsonb	   *options;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the macro must not be null")));
	options = dpipe_run_object(fcinfo, 2, "options");
	call.options = options;
	call.command = "run-operation";
	call.vars = dpipe_json_document(options, "vars");
	{
		static const char *const known[] = {"project", "empty", "vars"};

		dpipe_run_options(options, known, lengthof(known));
	}
	project = dpipe_project_choose(option_project(&call));
	if (project == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no project"),
						errhint("Load one with dpipe_load_project().")));
	how_of(&call, project, &how);
	PG_RETURN_JSONB_P(pj_call_operation(&how, dpipe_run_text(fcinfo, 0),
										dpipe_run_object(fcinfo, 1, "args")));
}
