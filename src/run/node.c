/*
 * node.c
 *		One node in a subtransaction, and its failure in dbt's words.
 *
 * What is not the node's own fault ends the run instead: a cancel, a timeout
 * of the statement, a shutdown; and a serialization failure of a transaction
 * that must be retried as a whole.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "base/error.h"
#include "run/run.h"

static bool
ends_the_run(const ErrorData *edata)
{
	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) ==
		ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION))
		return true;
	return edata->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE && IsolationUsesXactSnapshot();
}

/* ---------- texts ---------- */

/* "LINE 3: …" and a caret under the place, as psql shows it. */
static void
append_place(StringInfo buf, const char *query, int pos)
{
	const char *line = query;
	const char *p = query;
	int			lineno = 1;
	int			column = 0;
	int			prefix;

	for (int i = 1; i < pos && *p; i++)
	{
		column++;
		if (*p == '\n')
		{
			line = p + 1;
			lineno++;
			column = 0;
		}
		p += pg_mblen(p);
	}
	prefix = buf->len;
	appendStringInfo(buf, "\nLINE %d: ", lineno);
	prefix = buf->len - prefix - 1;
	appendBinaryStringInfo(buf, line, strcspn(line, "\r\n"));
	appendStringInfo(buf, "\n%*s^", prefix + column, "");
}

/* dbt indents what the database says by two. */
static char *
indented(const char *title, const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s\n  ", title);
	for (; *text; text ++)
	{
		appendStringInfoChar(&buf, *text);
		if (*text == '\n')
			appendStringInfoString(&buf, "  ");
	}
	return buf.data;
}

static char *
error_message(const DpipeBuild *build, const ErrorData *edata)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, edata->message ? edata->message : "");
	if (edata->internalquery != NULL && edata->internalpos > 0)
		append_place(&buf, edata->internalquery, edata->internalpos);
	if (edata->context != NULL && strncmp(edata->context, "template ", 9) == 0)
		appendStringInfo(&buf, "\n%.*s", (int) strcspn(edata->context, "\n"), edata->context);
	if (edata->detail != NULL)
		appendStringInfo(&buf, "\nDETAIL:  %s", edata->detail);
	if (edata->hint != NULL)
		appendStringInfo(&buf, "\nHINT:  %s", edata->hint);
	return indented(psprintf("%s Error in model %s", build->phase, build->rendering.node->name),
					buf.data);
}

/* What the server would answer to the command, as dbt shows it. */
static char *
success_message(const DpipeBuild *build)
{
	if (build->rows < 0)
		return pstrdup(build->code);
	return psprintf("%s%s " INT64_FORMAT, build->code,
					strcmp(build->code, "INSERT") == 0 ? " 0" : "", build->rows);
}

/* ---------- the subtransaction ---------- */

static void
note_failure(const DpipeBuild *build, const ErrorData *edata, DpipeNodeResult *result)
{
	result->status = "error";
	result->message = error_message(build, edata);
	result->sqlstate = pstrdup(unpack_sql_state(edata->sqlerrcode));
	result->sql = build->sql;
}

static void
note_success(const DpipeBuild *build, DpipeNodeResult *result)
{
	result->status = "success";
	result->message = success_message(build);
	result->rows = build->rows;
	result->code = build->code;
	result->sql = build->sql;
}

void
dpipe_node_run(const DpipeRun *run, const DpipeGraph *graph, const DpipeNode *node,
			   DpipeNodeResult *result)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	DpipeBuild	build;

	memset(&build, 0, sizeof(build));
	build.cxt = cxt;
	build.rendering.graph = graph;
	build.rendering.node = node;
	build.rendering.vars = run->vars;
	build.rendering.full_refresh = run->full_refresh;
	build.rendering.command = run->command;
	build.rendering.selected = run->selected;
	build.rendering.invocation_id = run->invocation_id;
	build.rendering.started_at = run->now;

	memset(result, 0, sizeof(*result));
	result->node = node;
	result->rows = -1;
	result->started_at = GetCurrentTimestamp();

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		dpipe_model_build(&build);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		note_success(&build, result);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(cxt);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		if (ends_the_run(edata))
			dpipe_rethrow(edata);
		note_failure(&build, edata, result);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	result->ended_at = GetCurrentTimestamp();
}
