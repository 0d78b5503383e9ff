/*
 * owndoc.c
 *		Models of dpipe_create_model as manifests and catalogs show them:
 *		nodes of a package "dpipe", beside those of a project or alone.
 *
 * They are the caller's own, as dpipe_ls lists them. The relations that they
 * read by source() and that the project does not declare are sources of that
 * package.
 */
#include "base/compat.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/varlena.h"

#include "base/identity.h"
#include "project/host.h"
#include "project/manifest.h"
#include "project/node.h"
#include "project/open.h"

static bool
is_callers(const DpipeNode *own)
{
	return OidIsValid(own->owner) ? dpipe_may_act_as(own->owner) : superuser();
}

/* Is it the id of a model of dpipe_create_model, whose name may look like a version? */
static bool
names_parent(const DpipeNode *own, const char *id)
{
	ListCell   *lc;

	foreach(lc, own->parents)
	{
		const DpipeNode *parent = lfirst(lc);

		if (parent->type == DPIPE_NODE_MODEL && strcmp(parent->unique_id, id) == 0)
			return true;
	}
	return false;
}

/* The version behind the last ".v" of a name, which is cut off; NULL: there is none. */
static char *
cut_version(char *name)
{
	char	   *found = NULL;

	for (char *p = strstr(name, ".v"); p != NULL; p = strstr(p + 1, ".v"))
		found = p;
	if (found == NULL)
		return NULL;
	*found = '\0';
	return found + 2;
}

/* What texts call references, by the ids that are kept of them. */
static PdDoc *
refs_of(const DpipeNode *own)
{
	PdDoc	   *refs = pd_list();
	ListCell   *lc;

	foreach(lc, own->refs)
	{
		char	   *package = pstrdup((char *) lfirst(lc) + strlen("model."));
		char	   *name = strchr(package, '.');
		char	   *version = NULL;
		PdDoc	   *ref = pd_dict();

		*name++ = '\0';
		if (!names_parent(own, lfirst(lc)))
			version = cut_version(name);
		pd_put(ref, "name", pd_string(name));
		pd_put(ref, "package", strcmp(package, DPIPE_PACKAGE) == 0 ? pd_null() : pd_string(package));
		pd_put(ref, "version", version != NULL ? pd_string(version) : pd_null());
		pd_append(refs, ref);
	}
	return refs;
}

static PdDoc *
sources_of(const DpipeNode *own)
{
	PdDoc	   *sources = pd_list();
	ListCell   *lc;

	foreach(lc, own->sources)
	{
		List	   *parts;
		PdDoc	   *source = pd_list();

		if (!SplitIdentifierString(pstrdup(lfirst(lc)), '.', &parts) || list_length(parts) != 2)
			elog(ERROR, "source \"%s\" is not a qualified name", (char *) lfirst(lc));
		pd_append(source, pd_string(linitial(parts)));
		pd_append(source, pd_string(lsecond(parts)));
		pd_append(sources, source);
	}
	return sources;
}

/* What is not there yet is no parent. */
static List *
parents_of(const DpipeNode *own)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, own->parents)
	{
		const DpipeNode *parent = lfirst(lc);

		if (parent->type != DPIPE_NODE_MISSING)
			ids = lappend(ids, parent->unique_id);
	}
	return ids;
}

static void
describe_model(PjNode *node, const DpipeNode *own)
{
	node->raw_code = own->sql;
	node->checksum = pj_sha256(own->sql, strlen(own->sql));
	node->call_config = pd_from_jsonb(own->config);
	node->unrendered = node->call_config;
	node->description = pd_get_text(node->call_config, "description");
	node->refs = refs_of(own);
	node->sources = sources_of(own);
	node->depends_on = parents_of(own);
	node->path = psprintf("%s.sql", own->name);
	node->original_path = psprintf("models/%s", node->path);
}

static void
describe_source(PjNode *node, const DpipeNode *own)
{
	node->path = node->original_path = "";
	node->more = pd_dict();
	pd_put(node->more, "source_name", pd_string(own->schema));
	pd_put(node->more, "identifier", pd_string(own->alias));
}

static PjNode *
node_of(PjLoad *load, PjProject *package, DpipeNode *own)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->project = package;
	node->file = palloc0(sizeof(PjFile));
	node->file->project = package;
	node->resource_type = own->resource_type;
	node->unique_id = own->unique_id;
	node->name = own->name;
	node->alias = own->alias;
	node->schema = own->schema;
	node->database = get_database_name(MyDatabaseId);
	node->fqn = own->fqn;
	node->enabled = own->type == DPIPE_NODE_SOURCE || own->enabled;
	if (own->type == DPIPE_NODE_SOURCE)
		describe_source(node, own);
	else
		describe_model(node, own);
	node->config = pj_node_config(load, node);
	node->tags = pd_get(node->config, "tags");
	node->meta = pd_get(node->config, "meta");
	node->group = pd_get_text(node->config, "group");
	node->more = pj_node_doc(node);
	return node;
}

/* Relations that only others' models read are none of the caller's business. */
static bool
is_shown(const DpipeNode *own)
{
	ListCell   *lc;

	if (own->type == DPIPE_NODE_MODEL)
		return is_callers(own);
	foreach(lc, own->type == DPIPE_NODE_SOURCE ? own->children : NIL)
	{
		const DpipeNode *child = lfirst(lc);

		if (child->type == DPIPE_NODE_MODEL && is_callers(child))
			return true;
	}
	return false;
}

static PjProject *
own_package(void)
{
	PjProject  *package = palloc0(sizeof(PjProject));

	package->name = DPIPE_PACKAGE;
	package->is_root = true;
	return package;
}

/* What stands in for a project where there is none. */
static PjLoad *
no_project(PjProject *package)
{
	PjLoad	   *load = palloc0(sizeof(PjLoad));

	load->cxt = CurrentMemoryContext;
	load->name = load->target_schema = DPIPE_PACKAGE;
	load->owner = GetUserId();
	load->root = package;
	load->projects = list_make1(package);
	load->target = pd_dict();
	pd_put(load->target, "database", pd_string(get_database_name(MyDatabaseId)));
	return load;
}

PjLoad *
pj_open_with_own(const char *project)
{
	PjProject  *package = own_package();
	PjLoad	   *load = project != NULL ? pj_open(project) : no_project(package);
	PjLoad	   *whole = palloc(sizeof(PjLoad));
	DpipeGraph *graph = dpipe_graph_load(NULL, NULL);
	ListCell   *lc;

	if (project != NULL)
		dpipe_graph_add_project(graph, project);
	pj_read_nodes(load);
	*whole = *load;
	whole->nodes = list_copy(load->nodes);
	foreach(lc, graph->nodes)
	{
		if (is_shown(lfirst(lc)))
			whole->nodes = lappend(whole->nodes, node_of(load, package, lfirst(lc)));
	}
	return whole;
}
