/*
 * graph.c
 *		The graph of nodes, read from the catalogs and linked.
 *
 * Names that are not defined (yet) become nodes of their own, so that models
 * can be defined in any order; whoever renders a reference to one raises.
 * The order is that of a depth-first walk by name over the whole graph: runs
 * that overlap lock their models in the same order and cannot deadlock.
 */
#include "base/compat.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "base/spi.h"
#include "project/project.h"

typedef struct GraphEntry
{
	const char *unique_id;		/* hash key: the pointer, compared as string */
	DpipeNode  *node;
} GraphEntry;

/* Marks of the walk that puts nodes in order. */
enum
{
	MARK_NEW = 0,
	MARK_OPEN,					/* on the path from the root of the walk */
	MARK_DONE,
};

char *
dpipe_model_id(const char *package, const char *name)
{
	return psprintf("model.%s.%s", package, name);
}

/* ---------- hash of nodes by id ---------- */

static uint32
id_hash(const void *key, Size keysize)
{
	const char *s = *(const char *const *) key;

	return hash_bytes((const unsigned char *) s, strlen(s));
}

static int
id_match(const void *a, const void *b, Size keysize)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static HTAB *
create_table_of_ids(void)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(char *);
	ctl.entrysize = sizeof(GraphEntry);
	ctl.hash = id_hash;
	ctl.match = id_match;
	ctl.hcxt = CurrentMemoryContext;
	return hash_create("dpipe graph", 256, &ctl,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

DpipeNode *
dpipe_graph_find(const DpipeGraph *graph, const char *unique_id)
{
	GraphEntry *entry = hash_search(graph->by_id, &unique_id, HASH_FIND, NULL);

	return entry != NULL ? entry->node : NULL;
}

static void
add_node(DpipeGraph *graph, DpipeNode *node)
{
	const char *key = node->unique_id;
	bool		found;
	GraphEntry *entry = hash_search(graph->by_id, &key, HASH_ENTER, &found);

	Assert(!found);
	entry->node = node;
}

/* ---------- reading ---------- */

/* In a copy that was not adopted nobody is a model's owner. */
static DpipeStatement select_models = {
	"SELECT m.name, m.owner, r.oid, m.schema, m.search_path, m.sql, m.given,"
	"       m.config, m.refs, m.sources, m.version"
	"  FROM dpipe.model m"
	"  LEFT JOIN dpipe.incarnation i ON i.id = m.incarnation"
	"   AND i.database_oid = (SELECT d.oid FROM pg_catalog.pg_database d"
	"         WHERE d.datname = pg_catalog.current_database())"
	"  LEFT JOIN pg_catalog.pg_roles r"
	"    ON r.oid = m.owner_oid AND r.rolname = m.owner AND i.id IS NOT NULL"
	" ORDER BY m.name COLLATE \"C\"",
	0,
{0}};

static List *
text_list(uint64 row, int col, MemoryContext cxt)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Datum	   *elems;
	int			n;
	List	   *list = NIL;

	Assert(!isnull);
	deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		list = lappend(list, TextDatumGetCString(elems[i]));
	MemoryContextSwitchTo(old);
	return list;
}

static Jsonb *
jsonb_copy(uint64 row, int col, MemoryContext cxt)
{
	bool		isnull;
	Datum		d = dpipe_spi_datum(row, col, &isnull);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Jsonb	   *jb = DatumGetJsonbPCopy(d);

	Assert(!isnull);
	MemoryContextSwitchTo(old);
	return jb;
}

static DpipeNode *
read_model(uint64 row, MemoryContext cxt)
{
	DpipeNode  *node = MemoryContextAllocZero(cxt, sizeof(DpipeNode));
	bool		isnull;
	Datum		owner;

	node->type = DPIPE_NODE_MODEL;
	node->name = dpipe_spi_text(row, 1, cxt);
	node->owner_name = dpipe_spi_text(row, 2, cxt);
	owner = dpipe_spi_datum(row, 3, &isnull);
	node->owner = isnull ? InvalidOid : DatumGetObjectId(owner);
	node->base_schema = dpipe_spi_text(row, 4, cxt);
	node->search_path = dpipe_spi_text(row, 5, cxt);
	node->sql = dpipe_spi_text(row, 6, cxt);
	node->given = jsonb_copy(row, 7, cxt);
	node->config = jsonb_copy(row, 8, cxt);
	node->refs = text_list(row, 9, cxt);
	node->sources = text_list(row, 10, cxt);
	node->version = dpipe_spi_int64(row, 11);
	return node;
}

static List *
read_models(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	List	   *models = NIL;
	uint64		n;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_models, NULL, NULL, false, 0);
	for (uint64 row = 0; row < n; row++)
	{
		DpipeNode  *node = read_model(row, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		models = lappend(models, node);
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
	return models;
}

/*
 * Others' templates are not evaluated with the caller's vars: what they do
 * with them, an error for one, would be the caller's.
 */
static bool
depends_on_vars(const DpipeNode *node, const Jsonb *vars)
{
	return vars != NULL && JB_ROOT_IS_OBJECT(vars) && JB_ROOT_COUNT(vars) > 0 &&
		   OidIsValid(node->owner) && dpipe_may_act_as(node->owner);
}

/*
 * Settle what follows from a model's config. The stored config is the whole
 * one already, so nothing is laid over it again.
 */
static void
settle_model(DpipeNode *node, const Jsonb *vars)
{
	node->unique_id = dpipe_model_id(DPIPE_PACKAGE, node->name);
	if (depends_on_vars(node, vars))
	{
		DpipeParsed parsed;

		dpipe_node_parse(node, vars, &parsed);
		dpipe_node_configure(node, parsed.config);
		node->refs = parsed.refs;
		node->sources = parsed.sources;
	}
	else
	{
		Jsonb	   *given = node->given;

		node->given = node->config;
		dpipe_node_configure(node, NULL);
		node->given = given;
	}
}

/* What selections go by, of a node that has no project. */
static void
describe(DpipeNode *node, const char *resource_type)
{
	node->resource_type = resource_type;
	node->package = DPIPE_PACKAGE;
	node->fqn = pd_list();
	pd_append(node->fqn, pd_string(DPIPE_PACKAGE));
	if (node->type == DPIPE_NODE_SOURCE)
		pd_append(node->fqn, pd_string(node->schema));
	pd_append(node->fqn, pd_string(node->name));
}

/* ---------- linking ---------- */

static void
link_nodes(DpipeNode *parent, DpipeNode *child)
{
	if (list_member_ptr(child->parents, parent))
		return;
	child->parents = lappend(child->parents, parent);
	parent->children = lappend(parent->children, child);
}

static DpipeNode *
find_or_add(DpipeGraph *graph, DpipeNodeType type, char *unique_id)
{
	DpipeNode  *node = dpipe_graph_find(graph, unique_id);

	if (node == NULL)
	{
		node = palloc0(sizeof(DpipeNode));
		node->type = type;
		node->unique_id = unique_id;
		add_node(graph, node);
	}
	return node;
}

static DpipeNode *
source_node(DpipeGraph *graph, const char *qualified)
{
	char	   *copy = pstrdup(qualified);
	List	   *parts;
	DpipeNode  *node;

	if (!SplitIdentifierString(copy, '.', &parts) || list_length(parts) != 2)
		elog(ERROR, "source \"%s\" is not a qualified name", qualified);
	node = find_or_add(graph, DPIPE_NODE_SOURCE,
					   psprintf("source.%s.%s.%s", DPIPE_PACKAGE, (char *) linitial(parts),
								(char *) lsecond(parts)));
	node->schema = linitial(parts);
	node->name = node->alias = lsecond(parts);
	if (node->fqn == NULL)
		describe(node, "source");
	return node;
}

static DpipeNode *
ref_node(DpipeGraph *graph, char *unique_id)
{
	DpipeNode  *node = find_or_add(graph, DPIPE_NODE_MISSING, unique_id);

	if (node->type == DPIPE_NODE_MISSING)
		node->name = strrchr(unique_id, '.') + 1;
	return node;
}

static void
link_model(DpipeGraph *graph, DpipeNode *node)
{
	ListCell   *lc;

	foreach(lc, node->refs)
		link_nodes(ref_node(graph, lfirst(lc)), node);
	foreach(lc, node->sources)
		link_nodes(source_node(graph, lfirst(lc)), node);
}

/* ---------- order ---------- */

static void
pg_attribute_noreturn() raise_cycle(List *path, DpipeNode *again)
{
	StringInfoData buf;
	bool		inside = false;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, path)
	{
		DpipeNode  *node = lfirst(lc);

		inside |= node == again;
		if (inside)
			appendStringInfo(&buf, "%s -> ", node->name);
	}
	appendStringInfoString(&buf, again->name);
	ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_RECURSION), errmsg("Found a cycle: %s", buf.data),
			 errhint(
					 "A model cannot depend on itself. To read what it holds already, use {{ this }}.")));
}

/*
 * "path" runs against the arrows: a node, what it reads, what that reads.
 */
static void
put_in_order(DpipeGraph *graph, DpipeNode *node, List *path)
{
	ListCell   *lc;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->mark == MARK_DONE)
		return;
	if (node->mark == MARK_OPEN)
		raise_cycle(path, node);
	node->mark = MARK_OPEN;
	path = lappend(path, node);
	foreach(lc, node->parents)
		put_in_order(graph, lfirst(lc), path);
	path = list_delete_last(path);
	node->mark = MARK_DONE;
	graph->nodes = lappend(graph->nodes, node);
}

static void
check_relations(const DpipeGraph *graph)
{
	HTAB	   *by_relation = create_table_of_ids();
	ListCell   *lc;

	foreach(lc, graph->nodes)
	{
		DpipeNode  *node = lfirst(lc);
		const char *key;
		GraphEntry *entry;
		bool		found;

		if (node->type != DPIPE_NODE_MODEL || !node->enabled)
			continue;
		key = dpipe_relation_key(node->schema, node->alias);
		entry = hash_search(by_relation, &key, HASH_ENTER, &found);
		if (found)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
							errmsg("models \"%s\" and \"%s\" both make relation %s",
								   entry->node->name, node->name, key),
							errhint("Give one of them another schema or alias.")));
		entry->node = node;
	}
	hash_destroy(by_relation);
}

DpipeGraph *
dpipe_graph_load(const Jsonb *vars, DpipeNode *candidate)
{
	DpipeGraph *graph = palloc0(sizeof(DpipeGraph));
	List	   *models = NIL;
	ListCell   *lc;
	List	   *path = NIL;

	graph->by_id = create_table_of_ids();
	foreach(lc, read_models())
	{
		DpipeNode  *node = lfirst(lc);

		if (candidate != NULL && strcmp(node->name, candidate->name) == 0)
			continue;
		settle_model(node, vars);
		models = lappend(models, node);
	}
	if (candidate != NULL)
		models = lappend(models, candidate);

	foreach(lc, models)
	{
		describe(lfirst(lc), "model");
		add_node(graph, lfirst(lc));
	}
	foreach(lc, models)
		link_model(graph, lfirst(lc));
	foreach(lc, models)
		put_in_order(graph, lfirst(lc), path);
	check_relations(graph);
	return graph;
}

/* ---------- projects ---------- */

static DpipeStatement select_nodes = {
	"SELECT n.definition::pg_catalog.text FROM dpipe.node n"
	" WHERE n.project = $1 AND n.enabled ORDER BY n.unique_id COLLATE \"C\"",
	1,
{TEXTOID}};

static DpipeStatement select_selectors = {
	"SELECT p.definition ->> 'selectors', p.definition -> 'packages' -> -1 ->> 'name'"
	"  FROM dpipe.project p WHERE p.name = $1",
	1,
{TEXTOID}};

static char *
text_of(const PdDoc *doc, const char *key)
{
	return (char *) pd_get_text(doc, key);
}

static DpipeNode *
project_node(DpipeGraph *graph, PdDoc *doc)
{
	DpipeNode  *node = find_or_add(graph, DPIPE_NODE_PROJECT, text_of(doc, "unique_id"));
	PdDoc	   *tags = pd_get(doc, "tags");

	node->type = DPIPE_NODE_PROJECT;
	node->doc = doc;
	node->name = text_of(doc, "name");
	node->schema = text_of(doc, "schema");
	node->alias = text_of(doc, "alias");
	node->resource_type = text_of(doc, "resource_type");
	node->package = text_of(doc, "package_name");
	node->path = text_of(doc, "original_file_path");
	if (node->path != NULL && strncmp(node->path, "./", 2) == 0)
		node->path += 2;
	node->fqn = pd_get(doc, "fqn");
	node->enabled = true;
	for (int i = 0; pd_is(tags, PD_LIST) && i < tags->n; i++)
		node->tags = lappend(node->tags, (void *) pd_text(tags->u.items[i]));
	return node;
}

static void
link_project_node(DpipeGraph *graph, DpipeNode *node)
{
	PdDoc	   *parents = pd_get(pd_get(node->doc, "depends_on"), "nodes");

	for (int i = 0; pd_is(parents, PD_LIST) && i < parents->n; i++)
	{
		DpipeNode  *parent = dpipe_graph_find(graph, pd_text(parents->u.items[i]));

		if (parent != NULL)
			link_nodes(parent, node);
	}
}

/* Documents of a query's column 1, and of its first row the other two. */
static List *
read_documents(const char *project, DpipeGraph *graph)
{
	MemoryContext cxt = CurrentMemoryContext;
	Datum		args[1] = {CStringGetTextDatum(project)};
	DpipeSpi	spi;
	List	   *docs = NIL;
	uint64		n;
	char	   *selectors = NULL;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_nodes, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *json = dpipe_spi_text(row, 1, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		docs = lappend(docs, pd_from_json(json, strlen(json)));
		pfree(json);
		MemoryContextSwitchTo(old);
	}
	if (dpipe_spi_run(&select_selectors, args, NULL, true, 1) > 0)
	{
		selectors = dpipe_spi_text(0, 1, cxt);
		graph->root_package = dpipe_spi_text(0, 2, cxt);
	}
	dpipe_spi_end(&spi);
	if (selectors != NULL)
		graph->selectors = pd_from_json(selectors, strlen(selectors));
	return docs;
}

static DpipeStatement select_paths = {
	"SELECT f.path FROM dpipe.project_file f WHERE f.project = $1"
	" UNION ALL SELECT 'dbt_project.yml'",
	1,
	{TEXTOID}};

List *
dpipe_graph_paths(const DpipeGraph *graph)
{
	MemoryContext cxt = CurrentMemoryContext;
	List	   *paths = NIL;
	DpipeSpi	spi;
	uint64		n;
	Datum		args[1];

	if (graph->project == NULL)
		return NIL;
	args[0] = CStringGetTextDatum(graph->project);
	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_paths, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *path = dpipe_spi_text(row, 1, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		paths = lappend(paths, path);
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
	return paths;
}

static const char *
scalar_of(const PdDoc *doc, const char *key)
{
	PdDoc	   *value = pd_get(doc, key);

	return pd_is_null(value) ? NULL : pd_scalar_text(value);
}

/* Does "node" answer to what was written as ref() or source()? */
static bool
answers(const DpipeNode *node, const DpipeNode *name)
{
	const char *version = scalar_of(node->doc, "version");
	const char *latest = scalar_of(node->doc, "latest_version");
	const char *asked = name->unique_id + strlen("model.");
	const char *dot;

	if (node->type != DPIPE_NODE_PROJECT)
		return false;
	if (name->type == DPIPE_NODE_SOURCE)
		return strcmp(node->resource_type, "source") == 0 &&
			strcmp(node->name, name->name) == 0 &&
			pd_equals(pd_get(node->doc, "source_name"), name->schema);
	if (strcmp(node->resource_type, "model") != 0 && strcmp(node->resource_type, "seed") != 0 &&
		strcmp(node->resource_type, "snapshot") != 0)
		return false;
	dot = strchr(asked, '.');
	if (strncmp(asked, DPIPE_PACKAGE ".", strlen(DPIPE_PACKAGE) + 1) != 0 &&
		(strncmp(asked, node->package, dot - asked) != 0 || node->package[dot - asked] != '\0'))
		return false;
	if (version == NULL)
		return strcmp(dot + 1, node->name) == 0;
	return strcmp(dot + 1, psprintf("%s.v%s", node->name, version)) == 0 ||
		(latest != NULL && strcmp(version, latest) == 0 && strcmp(dot + 1, node->name) == 0);
}

/*
 * Names that models of dpipe_create_model use and that the project has: their
 * readers get the project's node in place of the name. Gives the nodes that
 * are left.
 */
static List *
settle_names(List *models, List *nodes)
{
	List	   *left = NIL;
	ListCell   *lc;
	ListCell   *candidate;

	foreach(lc, models)
	{
		DpipeNode  *name = lfirst(lc);
		DpipeNode  *found = NULL;
		ListCell   *child;

		foreach(candidate, name->type == DPIPE_NODE_MISSING || name->type == DPIPE_NODE_SOURCE
				? nodes : NIL)
		{
			if (answers(lfirst(candidate), name))
			{
				found = lfirst(candidate);
				break;
			}
		}
		if (found == NULL)
		{
			left = lappend(left, name);
			continue;
		}
		foreach(child, name->children)
		{
			DpipeNode  *reader = lfirst(child);

			reader->parents = list_delete_ptr(reader->parents, name);
			link_nodes(found, reader);
		}
	}
	return left;
}

bool
dpipe_graph_is_complete(const DpipeGraph *graph)
{
	ListCell   *lc;

	foreach(lc, graph->nodes)
	{
		if (((DpipeNode *) lfirst(lc))->type == DPIPE_NODE_MISSING)
			return false;
	}
	return true;
}

void
dpipe_graph_add_project(DpipeGraph *graph, const char *project)
{
	List	   *nodes = NIL;
	List	   *path = NIL;
	ListCell   *lc;

	graph->project = project;
	foreach(lc, read_documents(project, graph))
		nodes = lappend(nodes, project_node(graph, lfirst(lc)));
	foreach(lc, nodes)
		link_project_node(graph, lfirst(lc));

	/* Names that were missing are there now: all is put in order anew. */
	nodes = list_concat(settle_names(graph->nodes, nodes), nodes);
	foreach(lc, nodes)
		((DpipeNode *) lfirst(lc))->mark = MARK_NEW;
	graph->nodes = NIL;
	foreach(lc, nodes)
		put_in_order(graph, lfirst(lc), path);
}
