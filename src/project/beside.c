/*
 * beside.c
 *		Models of dpipe_create_model and the project beside them: what each
 *		knows of the other.
 *
 * Models see the project that their config "project" names, else the only one
 * that their owner may act as the owner of. A project sees the models that its
 * owner may act as the owner of, as nodes of a package "dpipe".
 */
#include "base/compat.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/json.h"
#include "project/node.h"
#include "project/open.h"
#include "project/project.h"

PjLoad *
pj_beside(const DpipeNode *node)
{
	Oid			owner = OidIsValid(node->owner) ? node->owner : GetUserId();
	char	   *asked = dpipe_json_string(node->given, "config", "project", NULL);
	char	   *name = dpipe_project_of_role(owner, asked);

	return name != NULL ? pj_open(name) : NULL;
}

static void
pg_attribute_noreturn() raise_same_relation(const PjNode *node, const DpipeNode *own)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("dbt found two resources with the database representation \"%s.%s.%s\".",
					get_database_name(MyDatabaseId), own->schema, own->alias),
			 errdetail("They are %s (%s) and %s.", node->unique_id, node->original_path,
					   own->unique_id),
			 errhint("Give one of them another schema or alias.")));
}

static bool
makes(const PjNode *node, const DpipeNode *own)
{
	return node->enabled && strcmp(node->resource_type, "source") != 0 &&
		pj_relation_text(node) != NULL && node->alias != NULL && node->schema != NULL &&
		strcmp(node->alias, own->alias) == 0 && strcmp(node->schema, own->schema) == 0;
}

void
dpipe_check_beside(const DpipeNode *own, DpipeGraph *graph)
{
	PjLoad	   *load = pj_beside(own);
	ListCell   *lc;

	if (load != NULL)
		pj_read_nodes(load);
	foreach(lc, load != NULL && own->enabled ? load->nodes : NIL)
	{
		if (makes(lfirst(lc), own))
			raise_same_relation(lfirst(lc), own);
	}
	/* Linking what it reads finds a cycle. */
	if (load != NULL && !dpipe_graph_is_complete(graph))
		dpipe_graph_add_project(graph, load->name);
}

/* ---------- what a project sees ---------- */

static bool
sees(const PjLoad *load, const DpipeNode *own)
{
	return own->type == DPIPE_NODE_MODEL && OidIsValid(own->owner) &&
		has_privs_of_role(load->owner, own->owner);
}

static PjNode *
node_of(const DpipeNode *own)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->project = palloc0(sizeof(PjProject));
	node->project->name = DPIPE_PACKAGE;
	node->resource_type = "model";
	node->unique_id = own->unique_id;
	node->name = own->name;
	node->alias = own->alias;
	node->schema = own->schema;
	node->database = get_database_name(MyDatabaseId);
	node->config = pd_from_jsonb(own->config);
	node->group = pd_get_text(node->config, "group");
	node->access = "protected";
	node->enabled = own->enabled;
	return node;
}

PjNode *
pj_find_own(const PjLoad *load, const char *name, const char *package, const PdDoc *version,
			bool *disabled)
{
	DpipeNode  *own;

	if (pd_truth(version) || (package != NULL && strcmp(package, DPIPE_PACKAGE) != 0))
		return NULL;
	own = dpipe_graph_find(dpipe_graph_load(NULL, NULL), dpipe_model_id(DPIPE_PACKAGE, name));
	if (own == NULL || !sees(load, own))
		return NULL;
	*disabled |= !own->enabled;
	return own->enabled ? node_of(own) : NULL;
}

void
pj_check_own(const PjLoad *load)
{
	DpipeGraph *graph = dpipe_graph_load(NULL, NULL);
	ListCell   *lc;
	ListCell   *own;

	foreach(own, graph->nodes)
	{
		DpipeNode  *model = lfirst(own);

		if (!sees(load, model) || !model->enabled)
			continue;
		foreach(lc, load->nodes)
		{
			if (makes(lfirst(lc), model))
				raise_same_relation(lfirst(lc), model);
		}
	}
}

void
pj_check_own_cycles(const PjLoad *load)
{
	static const char prefix[] = "model." DPIPE_PACKAGE ".";
	ListCell   *lc;
	ListCell   *id;

	foreach(lc, load->nodes)
	{
		foreach(id, ((PjNode *) lfirst(lc))->depends_on)
		{
			if (strncmp(lfirst(id), prefix, strlen(prefix)) != 0)
				continue;
			/* Catalogs are read by a snapshot that has what was just stored. */
			CommandCounterIncrement();
			PushActiveSnapshot(GetTransactionSnapshot());
			dpipe_graph_add_project(dpipe_graph_load(NULL, NULL), load->name);
			PopActiveSnapshot();
			return;
		}
	}
}
