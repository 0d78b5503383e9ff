/*
 * list.c
 *		dpipe_ls: what a selection holds.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/identity.h"
#include "base/spi.h"
#include "project/project.h"

PG_FUNCTION_INFO_V1(dpipe_ls);

/* ---------- options ---------- */

static const char *
text_option(const PdDoc *options, const char *name)
{
	PdDoc	   *value = pd_get(options, name);

	if (pd_is_null(value))
		return NULL;
	if (value->kind != PD_STRING)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a string", name)));
	return value->u.text;
}

static void
check_options(const PdDoc *options)
{
	static const char *const known[] = {
		"project", "selector", "resource_type", "exclude_resource_type", "indirect_selection",
		"state", "run_results", "sources", "sources_current",
	};

	if (!pd_is(options, PD_DICT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	for (int i = 0; i < options->n; i++)
	{
		const char *name = pd_text(options->u.entries[i].key);
		bool		found = false;

		for (int k = 0; k < lengthof(known); k++)
			found |= strcmp(known[k], name) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\" of a selection", name),
					 errhint("Options are: project, selector, resource_type, exclude_resource_type, indirect_selection, state, run_results, sources, sources_current.")));
	}
}

static DpipeIndirect
indirect_option(const PdDoc *options)
{
	static const char *const names[] = {"eager", "cautious", "buildable", "empty"};
	const char *asked = text_option(options, "indirect_selection");

	if (asked == NULL)
		return DPIPE_INDIRECT_EAGER;
	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], asked) == 0)
			return (DpipeIndirect) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid indirect selection \"%s\"", asked),
					errhint("It is eager, cautious, buildable or empty.")));
}

/* Analyses are listed only when they are asked for; hooks never. */
static bool
is_default(const char *resource_type)
{
	return strcmp(resource_type, "analysis") != 0;
}

static bool
names_kind_by(const PdDoc *option, const char *resource_type)
{
	return pd_equals(option, resource_type) || pd_equals(option, "all") ||
		(pd_equals(option, "default") && is_default(resource_type));
}

/* Is the kind named by the option, a string or a list of them? */
static bool
names_kind(const PdDoc *option, const char *resource_type)
{
	for (int i = 0; pd_is(option, PD_LIST) && i < option->n; i++)
		if (names_kind_by(option->u.items[i], resource_type))
			return true;
	return names_kind_by(option, resource_type);
}

/* A document that may be given; NULL: it is not. */
static PdDoc *
document_option(const PdDoc *options, const char *name)
{
	PdDoc	   *value = pd_get(options, name);

	return pd_is_null(value) ? NULL : value;
}

static bool
is_listed(const DpipeNode *node, const PdDoc *options)
{
	PdDoc	   *wanted = pd_get(options, "resource_type");
	PdDoc	   *unwanted = pd_get(options, "exclude_resource_type");

	if (strcmp(node->resource_type, "operation") == 0)
		return false;
	if (pd_is_null(wanted) ? !is_default(node->resource_type)
		: !names_kind(wanted, node->resource_type))
		return false;
	return pd_is_null(unwanted) || !names_kind(unwanted, node->resource_type);
}

/* ---------- rows ---------- */

static List *
texts_of(const PdDoc *list)
{
	List	   *texts = NIL;

	for (int i = 0; i < list->n; i++)
		texts = lappend(texts, (void *) pd_text(list->u.items[i]));
	return texts;
}

static void
return_node(ReturnSetInfo *rsinfo, const DpipeNode *node)
{
	Datum		values[8];
	bool		nulls[8] = {false};
	PdDoc	   *config = pd_get(node->doc, "config");

	values[0] = CStringGetTextDatum(node->unique_id);
	values[1] = CStringGetTextDatum(node->resource_type);
	values[2] = CStringGetTextDatum(node->package);
	values[3] = CStringGetTextDatum(node->name);
	nulls[4] = node->path == NULL;
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(node->path);
	values[5] = dpipe_spi_texts(texts_of(node->fqn));
	values[6] = dpipe_spi_texts(node->tags);
	values[7] = JsonbPGetDatum(config != NULL ? pd_to_jsonb(config) : node->config);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Others' definitions are theirs; a project was chosen as one's own. */
static bool
is_visible(const DpipeNode *node)
{
	if (node->type != DPIPE_NODE_MODEL)
		return true;
	return OidIsValid(node->owner) ? dpipe_may_act_as(node->owner) : superuser();
}

Datum
dpipe_ls(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PdDoc	   *options = PG_ARGISNULL(2) ? pd_dict() : pd_from_jsonb(PG_GETARG_JSONB_P(2));
	DpipeSelection selection = {0};
	DpipeGraph *graph;
	char	   *project;
	ListCell   *lc;

	check_options(options);
	selection.nodes = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	selection.exclude = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	selection.selector = text_option(options, "selector");
	selection.indirect = indirect_option(options);
	selection.state = document_option(options, "state");
	selection.run_results = document_option(options, "run_results");
	selection.sources = document_option(options, "sources");
	selection.sources_current = document_option(options, "sources_current");
	InitMaterializedSRF(fcinfo, 0);
	project = dpipe_project_choose(text_option(options, "project"));
	graph = dpipe_graph_load(NULL, NULL);
	if (project != NULL)
		dpipe_graph_add_project(graph, project);
	foreach(lc, dpipe_select_nodes(graph, &selection))
	{
		DpipeNode  *node = lfirst(lc);

		if (is_visible(node) && is_listed(node, options))
			return_node(rsinfo, node);
	}
	return (Datum) 0;
}
