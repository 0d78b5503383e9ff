/*
 * open.c
 *		A stored project as templates of it are rendered: its macros, its
 *		nodes, what it was loaded with.
 *
 * An opened project stays with the session for as long as the project has not
 * been loaded again; one at a time is kept. Most nodes are never asked for, so
 * what one says is read when it is found. It lives in a memory context of
 * its own, and whoever uses it does so within one call; what another one has
 * replaced stays to the end of the transaction.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/spi.h"
#include "project/loading.h"
#include "project/open.h"

/* What is kept, and of which load. */
static PjLoad *opened = NULL;
static char *opened_version = NULL;

static DpipeStatement select_project = {
	"SELECT p.options::pg_catalog.text, p.schema, p.search_path, p.owner,"
	"       pg_catalog.concat(p.name, ' ', p.incarnation, ' ', p.version, ' ', p.loaded_at)"
	"  FROM dpipe.project p WHERE p.name = $1",
	1,
	{TEXTOID}};

/* Each dbt_project.yml is kept as what was read of it; JSON is YAML, too. */
static DpipeStatement select_files = {
	"SELECT (SELECT coalesce(pg_catalog.jsonb_object_agg(f.path, f.content), '{}')"
	"          FROM dpipe.project_file f WHERE f.project = p.name)"
	"    || (SELECT pg_catalog.jsonb_object_agg(pg_catalog.concat(e ->> 'prefix', 'dbt_project.yml'),"
	"                                           (e -> 'doc')::pg_catalog.text)"
	"          FROM pg_catalog.json_array_elements(p.definition -> 'packages') e)"
	"  FROM dpipe.project p WHERE p.name = $1",
	1,
	{TEXTOID}};

static DpipeStatement select_nodes = {
	"SELECT n.definition::pg_catalog.text, n.enabled FROM dpipe.node n WHERE n.project = $1",
	1,
	{TEXTOID}};

/* ---------- nodes ---------- */

static PjProject *
project_of(const PjLoad *load, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		PjProject  *project = lfirst(lc);

		if (name != NULL && strcmp(project->name, name) == 0)
			return project;
	}
	return load->root;
}

static List *
texts_of(const PdDoc *list)
{
	List	   *texts = NIL;

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_text(list->u.items[i]) != NULL)
			texts = lappend(texts, (void *) pd_text(list->u.items[i]));
	return texts;
}

/* What a manifest says of a node; all of it stays in "more". */
static void
fill_node(PjNode *node, PdDoc *doc)
{
	PdDoc	   *depends = pd_get(doc, "depends_on");

	node->path = pd_get_text(doc, "path");
	node->original_path = pd_get_text(doc, "original_file_path");
	node->alias = pd_get_text(doc, "alias");
	node->schema = pd_get_text(doc, "schema");
	node->database = pd_get_text(doc, "database");
	node->raw_code = pd_get_text(doc, "raw_code");
	node->config = pd_get(doc, "config");
	node->columns = pd_get(doc, "columns");
	node->refs = pd_get(doc, "refs");
	node->sources = pd_get(doc, "sources");
	node->test_metadata = pd_get(doc, "test_metadata");
	node->column_name = pd_get_text(doc, "column_name");
	if (!pd_is_null(pd_get(doc, "version")))
		node->version = pd_get(doc, "version");
	if (!pd_is_null(pd_get(doc, "latest_version")))
		node->latest_version = pd_get(doc, "latest_version");
	if (strcmp(node->resource_type, "source") == 0)
		node->alias = pd_get_text(doc, "identifier");
	node->more = doc;
	node->depends_on = texts_of(pd_get(depends, "nodes"));
	node->macros = texts_of(pd_get(depends, "macros"));
}

/* A disabled node that a manifest shows beside another one of its id. */
PjNode *
pj_hidden_node(const PjLoad *load, PdDoc *doc)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->name = pd_get_text(doc, "name");
	node->resource_type = pd_get_text(doc, "resource_type");
	node->project = project_of(load, pd_get_text(doc, "package_name"));
	node->unique_id = pd_get_text(doc, "unique_id");
	fill_node(node, doc);
	return node;
}

PjNode *
pj_read_node(PjNode *node)
{
	MemoryContext old;

	if (node->stored == NULL)
		return node;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(node));
	fill_node(node, pd_from_json(node->stored, strlen(node->stored)));
	MemoryContextSwitchTo(old);
	pfree(node->stored);
	node->stored = NULL;
	return node;
}

void
pj_read_nodes(const PjLoad *load)
{
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		CHECK_FOR_INTERRUPTS();
		(void) pj_read_node(lfirst(lc));
	}
}

/* A node of which only the names are read; they stand first in its JSON. */
static PjNode *
stored_node(const PjLoad *load, char *stored, bool enabled, MemoryContext scratch)
{
	static const char *const names[] = {"name", "resource_type", "package_name", "unique_id"};
	const char *texts[lengthof(names)];
	MemoryContext old = MemoryContextSwitchTo(scratch);
	PjNode	   *node;

	MemoryContextReset(scratch);
	pd_texts_from_json(stored, strlen(stored), lengthof(names), names, texts);
	for (int i = 0; i < lengthof(names); i++)
		if (texts[i] == NULL)
			elog(ERROR, "a stored node has no \"%s\"", names[i]);
	MemoryContextSwitchTo(old);
	node = palloc0(sizeof(PjNode));
	node->name = pstrdup(texts[0]);
	node->resource_type = pstrdup(texts[1]);
	node->project = project_of(load, texts[2]);
	node->unique_id = pstrdup(texts[3]);
	node->enabled = enabled;
	node->stored = stored;
	return node;
}

static void
list_nodes(PjLoad *load, const char *name)
{
	Datum		args[1] = {CStringGetTextDatum(name)};
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "dpipe names of nodes",
												  ALLOCSET_SMALL_SIZES);
	DpipeSpi	spi;
	uint64		n;

	load->by_id = pj_table("dpipe nodes");
	load->by_name = pj_table("dpipe names");
	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_nodes, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *text = dpipe_spi_text(row, 1, load->cxt);
		bool		enabled = dpipe_spi_bool(row, 2);
		MemoryContext old = MemoryContextSwitchTo(load->cxt);
		PjNode	   *node = stored_node(load, text, enabled, scratch);

		load->nodes = lappend(load->nodes, node);
		if (enabled)
			pj_table_put(load->by_id, node->unique_id, node);
		pj_table_put(load->by_name, node->name,
					 lappend(pj_table_get(load->by_name, node->name), node));
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
	MemoryContextDelete(scratch);
}

/* ---------- opening ---------- */

static Jsonb *
read_files(const char *name)
{
	MemoryContext cxt = CurrentMemoryContext;
	Datum		args[1] = {CStringGetTextDatum(name)};
	DpipeSpi	spi;
	Jsonb	   *files;
	bool		isnull;
	MemoryContext old;

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&select_files, args, NULL, true, 0);
	old = MemoryContextSwitchTo(cxt);
	files = DatumGetJsonbPCopy(dpipe_spi_datum(0, 1, &isnull));
	MemoryContextSwitchTo(old);
	dpipe_spi_end(&spi);
	return files;
}

static PjLoad *
open_anew(const char *name, const char *options, const char *schema, const char *path,
		  const char *owner)
{
	PjLoad	   *load = palloc0(sizeof(PjLoad));

	load->cxt = CurrentMemoryContext;
	load->name = pstrdup(name);
	load->target_schema = schema;
	load->search_path = path;
	load->owner = get_role_oid(owner, true);
	if (!OidIsValid(load->owner))
		load->owner = GetUserId();
	pj_read_options(load, pd_from_json(options, strlen(options)));
	pj_read_files(load, read_files(name));
	pj_read_root(load);
	pj_load_macros(load);
	list_nodes(load, name);
	return load;
}

PjLoad *
pj_open(const char *name)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext own;
	MemoryContext old;
	Datum		args[1] = {CStringGetTextDatum(name)};
	DpipeSpi	spi;
	char	   *row[5] = {NULL};

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&select_project, args, NULL, true, 1) > 0)
		for (int i = 0; i < lengthof(row); i++)
			row[i] = dpipe_spi_text(0, i + 1, cxt);
	dpipe_spi_end(&spi);
	if (row[0] == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("project \"%s\" does not exist", name)));
	if (opened != NULL && strcmp(opened_version, row[4]) == 0)
		return opened;

	/* Kept only when all of it has been read. */
	own = AllocSetContextCreate(cxt, "dpipe opened project", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(own);
	for (int i = 0; i < lengthof(row); i++)
		row[i] = pstrdup(row[i]);
	{
		PjLoad	   *load = open_anew(name, row[0], row[1], row[2], row[3]);

		MemoryContextSwitchTo(old);
		/* A template may be on its way through the other one: it calls this. */
		if (opened != NULL)
			MemoryContextSetParent(opened->cxt, TopTransactionContext);
		MemoryContextSetParent(own, CacheMemoryContext);
		opened = load;
		opened_version = row[4];
	}
	return opened;
}

void
pj_opened_identity(Oid *owner, char **search_path)
{
	*owner = opened->owner;
	*search_path = pstrdup(opened->search_path);
}
