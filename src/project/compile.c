/*
 * compile.c
 *		The text of a node of a stored project, as it would run now.
 *
 * A project is read from the catalogs once a session and kept until another
 * version of it has been loaded: nodes, macros and what dbt_project.yml says.
 * Ephemeral models become common table expressions of whoever refers to them.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/identity.h"
#include "base/spi.h"
#include "project/macros.h"
#include "project/open.h"
#include "project/scope.h"

/* Projects of the session that are kept; PjLoad by name. */
static HTAB *kept_projects = NULL;

/* ---------- reading a project ---------- */

static DpipeStatement select_project = {
	"SELECT p.version || ' ' || p.loaded_at || ' ' || p.xmin::pg_catalog.text, p.schema,"
	"       p.search_path, p.options::pg_catalog.text, p.definition::pg_catalog.text, r.oid"
	"  FROM dpipe.project p LEFT JOIN pg_catalog.pg_roles r"
	"    ON r.oid = p.owner_oid AND r.rolname = p.owner"
	" WHERE p.name = $1",
	1,
	{TEXTOID}};

static DpipeStatement select_texts = {
	"SELECT f.path, f.content FROM dpipe.project_file f WHERE f.project = $1"
	"   AND f.path LIKE '%.sql' ORDER BY f.path COLLATE \"C\"",
	1,
	{TEXTOID}};

static DpipeStatement select_nodes = {
	"SELECT n.definition::pg_catalog.text, n.enabled FROM dpipe.node n WHERE n.project = $1",
	1,
	{TEXTOID}};

/* A row of each, in the load's memory. */
static void
read_rows(PjLoad *load, DpipeStatement *stmt, void (*take) (PjLoad *load, uint64 row))
{
	Datum		args[1] = {CStringGetTextDatum(load->name)};
	DpipeSpi	spi;
	uint64		n;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(stmt, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
		take(load, row);
	dpipe_spi_end(&spi);
}

static PdDoc *
read_doc(PjLoad *load, uint64 row, int col)
{
	char	   *json = dpipe_spi_text(row, col, load->cxt);
	MemoryContext old = MemoryContextSwitchTo(load->cxt);
	PdDoc	   *doc = pd_from_json(json, strlen(json));

	MemoryContextSwitchTo(old);
	pfree(json);
	return doc;
}

static void
take_project(PjLoad *load, uint64 row)
{
	bool		isnull;
	Datum		owner = dpipe_spi_datum(row, 6, &isnull);

	load->version = dpipe_spi_text(row, 1, load->cxt);
	load->target_schema = dpipe_spi_text(row, 2, load->cxt);
	load->search_path = dpipe_spi_text(row, 3, load->cxt);
	load->options = read_doc(load, row, 4);
	load->definition = read_doc(load, row, 5);
	load->owner = isnull ? InvalidOid : DatumGetObjectId(owner);
}

static PdDoc *
dict_in(const PdDoc *doc, const char *key)
{
	PdDoc	   *value = pd_get(doc, key);

	return pd_is(value, PD_DICT) ? value : pd_dict();
}

static void
make_packages(PjLoad *load)
{
	PdDoc	   *packages = pd_get(load->definition, "packages");

	for (int i = 0; i < packages->n; i++)
	{
		PdDoc	   *package = packages->u.items[i];
		PjProject  *project = palloc0(sizeof(PjProject));

		project->name = pd_get_text(package, "name");
		project->prefix = pd_get_text(package, "prefix");
		project->is_root = pd_truth(pd_get(package, "is_root"));
		project->doc = pd_get(package, "doc");
		project->vars = dict_in(project->doc, "vars");
		project->quoting = dict_in(project->doc, "quoting");
		pj_settle_paths(project);
		load->projects = lappend(load->projects, project);
		if (project->is_root)
			load->root = project;
	}
}

/* The project whose directory holds the path: that of the longest prefix. */
static PjProject *
project_of(const PjLoad *load, const char *path)
{
	PjProject  *found = load->root;
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		PjProject  *project = lfirst(lc);

		if (strncmp(path, project->prefix, strlen(project->prefix)) == 0 &&
			strlen(project->prefix) > strlen(found->prefix))
			found = project;
	}
	return found;
}

static bool
is_in(const char *path, const List *folders)
{
	ListCell   *lc;

	foreach(lc, folders)
	{
		int			len = strlen(lfirst(lc));

		if (strncmp(path, lfirst(lc), len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static void
take_text(PjLoad *load, uint64 row)
{
	char	   *path = dpipe_spi_text(row, 1, load->cxt);
	MemoryContext old = MemoryContextSwitchTo(load->cxt);
	PjProject  *project = project_of(load, path);
	const char *original = path + strlen(project->prefix);
	PjFile	   *file;

	if (is_in(original, project->paths[PJ_MACRO]) ||
		is_in(original, project->paths[PJ_GENERIC_TEST]))
	{
		file = palloc0(sizeof(PjFile));
		file->kind = PJ_MACRO;
		file->project = project;
		file->path = path;
		file->original = original;
		file->text = dpipe_spi_text(row, 2, load->cxt);
		file->len = strlen(file->text);
		load->files = lappend(load->files, file);
	}
	MemoryContextSwitchTo(old);
}

static PjProject *
project_named(const PjLoad *load, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		if (strcmp(((PjProject *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	return load->root;
}

static PdDoc *
unless_null(PdDoc *doc)
{
	return pd_is_null(doc) ? NULL : doc;
}

static void
take_node(PjLoad *load, uint64 row)
{
	PdDoc	   *doc = read_doc(load, row, 1);
	bool		enabled = dpipe_spi_bool(row, 2);
	MemoryContext old = MemoryContextSwitchTo(load->cxt);
	PjNode	   *node = palloc0(sizeof(PjNode));
	PdDoc	   *parents = pd_get(pd_get(doc, "depends_on"), "nodes");

	node->project = project_named(load, pd_get_text(doc, "package_name"));
	node->resource_type = pd_get_text(doc, "resource_type");
	node->unique_id = pd_get_text(doc, "unique_id");
	node->name = pd_get_text(doc, "name");
	node->path = pd_get_text(doc, "path");
	node->original_path = pd_get_text(doc, "original_file_path");
	node->alias = pd_get_text(doc, "alias");
	if (strcmp(node->resource_type, "source") == 0)
		node->alias = pd_get_text(doc, "identifier");
	node->schema = pd_get_text(doc, "schema");
	node->database = pd_get_text(doc, "database");
	node->raw_code = pd_get_text(doc, "raw_code");
	node->description = pd_get_text(doc, "description");
	node->group = pd_get_text(doc, "group");
	node->access = pd_get_text(doc, "access");
	node->column_name = pd_get_text(doc, "column_name");
	node->version = unless_null(pd_get(doc, "version"));
	node->latest_version = unless_null(pd_get(doc, "latest_version"));
	node->fqn = pd_get(doc, "fqn");
	node->tags = pd_get(doc, "tags");
	node->meta = pd_get(doc, "meta");
	node->columns = pd_get(doc, "columns");
	node->config = pd_get(doc, "config");
	node->refs = pd_get(doc, "refs");
	node->sources = pd_get(doc, "sources");
	node->metrics = pd_get(doc, "metrics");
	node->test_metadata = unless_null(pd_get(doc, "test_metadata"));
	node->more = doc;
	node->enabled = enabled;
	for (int i = 0; i < parents->n; i++)
		node->depends_on = lappend(node->depends_on, (void *) pd_text(parents->u.items[i]));
	load->nodes = lappend(load->nodes, node);
	pj_table_put(load->by_name, node->name,
				 lappend(pj_table_get(load->by_name, node->name), node));
	if (enabled)
		pj_table_put(load->by_id, node->unique_id, node);
	MemoryContextSwitchTo(old);
}

static PjLoad *
read_project(const char *name)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "dpipe project",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	PjLoad	   *load = palloc0(sizeof(PjLoad));

	load->cxt = cxt;
	load->name = pstrdup(name);
	read_rows(load, &select_project, take_project);
	if (load->definition == NULL)
		elog(ERROR, "project \"%s\" does not exist", name);
	pj_read_options(load, load->options);
	load->target = pd_get(load->definition, "target");
	make_packages(load);
	load->by_name = pj_table("dpipe names");
	load->by_id = pj_table("dpipe nodes");
	read_rows(load, &select_texts, take_text);
	read_rows(load, &select_nodes, take_node);
	pj_load_macros(load);
	MemoryContextSwitchTo(old);
	return load;
}

static char *
current_version(const char *name)
{
	MemoryContext cxt = CurrentMemoryContext;
	Datum		args[1] = {CStringGetTextDatum(name)};
	DpipeSpi	spi;
	char	   *version = NULL;

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&select_project, args, NULL, true, 1) > 0)
		version = dpipe_spi_text(0, 1, cxt);
	dpipe_spi_end(&spi);
	return version;
}

/* The project as it is stored now; kept for the session. */
static PjLoad *
open_project(const char *name)
{
	char	   *version = current_version(name);
	PjLoad	   *load = pj_table_get(kept_projects, name);
	MemoryContext old;

	if (load != NULL && version != NULL && strcmp(load->version, version) == 0)
		return load;
	if (load != NULL)
	{
		MemoryContext gone = load->cxt;

		hash_search(kept_projects, &name, HASH_REMOVE, NULL);
		MemoryContextDelete(gone);
	}
	load = read_project(name);

	/* Only what is whole is kept. */
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (kept_projects == NULL)
		kept_projects = pj_table("dpipe projects");
	MemoryContextSetParent(load->cxt, TopMemoryContext);
	pj_table_put(kept_projects, load->name, load);
	MemoryContextSwitchTo(old);
	return load;
}

/* ---------- ephemeral models ---------- */

static char *compile_node(PjLoad *load, PjNode *node, bool full_refresh, bool any_ref, List **ctes,
						  List **done);

/* Where common table expressions go: behind the first WITH, or at the start. */
static const char *
skip_blank(const char *sql)
{
	for (;;)
	{
		sql += strspn(sql, " \t\r\n\f\v");
		if (strncmp(sql, "--", 2) == 0)
			sql += strcspn(sql, "\n");
		else if (strncmp(sql, "/*", 2) == 0 && strstr(sql + 2, "*/") != NULL)
			sql = strstr(sql + 2, "*/") + 2;
		else
			return sql;
	}
}

static bool
is_word(const char *sql, const char *word)
{
	int			len = strlen(word);

	return pg_strncasecmp(sql, word, len) == 0 && !isalnum((unsigned char) sql[len]) &&
		sql[len] != '_';
}

static char *
with_expressions(const char *sql, const List *ctes)
{
	StringInfoData buf;
	const char *at = skip_blank(sql);
	bool		first = true;
	bool		has_with = is_word(at, "with");
	ListCell   *lc;

	initStringInfo(&buf);
	if (has_with)
	{
		at += strlen("with");
		if (is_word(skip_blank(at), "recursive"))
			at = skip_blank(at) + strlen("recursive");
		appendBinaryStringInfo(&buf, sql, at - sql);
	}
	else
	{
		at = sql;
		appendStringInfoString(&buf, "with");
	}
	foreach(lc, ctes)
	{
		appendStringInfo(&buf, "%s%s", first ? "" : ", ", (char *) lfirst(lc));
		first = false;
	}
	appendStringInfoString(&buf, has_with ? ", " : " ");
	appendStringInfoString(&buf, at);
	return buf.data;
}

static void
add_ephemeral(PjLoad *load, PjNode *node, List **ctes, List **done)
{
	char	   *sql;

	check_stack_depth();
	if (list_member_ptr(*done, node))
		return;
	*done = lappend(*done, node);
	sql = compile_node(load, node, false, false, ctes, done);
	*ctes = lappend(*ctes, psprintf(" __dbt__cte__%s as (\n%s\n)", node->name, sql));
}

/* ---------- the node ---------- */

static char *
compile_node(PjLoad *load, PjNode *node, bool full_refresh, bool any_ref, List **ctes, List **done)
{
	PjScope		scope;
	JinjaTemplate *tmpl;
	char	   *sql;
	ListCell   *lc;

	pj_scope_open(&scope, load, node->project, node);
	scope.execute = true;
	scope.full_refresh = full_refresh;
	scope.any_ref = any_ref;
	tmpl = jinja_parse_dialect(jinja_env_context(scope.env), node->original_path, node->raw_code,
							   strlen(node->raw_code), &pj_dialect);
	sql = jinja_render_in(scope.env, scope.context, tmpl);
	pj_scope_close(&scope);
	foreach(lc, scope.ephemeral)
		add_ephemeral(load, lfirst(lc), ctes, done);
	return sql;
}

static PjNode *
find_node(const PjLoad *load, const char *name)
{
	PjNode	   *node = pj_table_get(load->by_id, name);
	ListCell   *lc;

	if (node != NULL)
		return node;
	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *other = lfirst(lc);

		if (other->enabled && other->raw_code != NULL &&
			(node == NULL || strcmp(other->resource_type, "model") == 0))
			node = other;
	}
	return node;
}

static PjNode *
inline_node(PjLoad *load, const char *text)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->project = load->root;
	node->resource_type = "sql operation";
	node->name = node->alias = "inline_query";
	node->unique_id = psprintf("sql operation.%s.inline_query", load->root->name);
	node->original_path = "inline";
	node->raw_code = text;
	node->config = pd_dict();
	node->schema = load->target_schema;
	return node;
}

char *
pj_compile(const char *project, const char *name, const char *inline_text, const Jsonb *vars,
		   bool full_refresh)
{
	PjLoad	   *load = open_project(project);
	PjNode	   *node = name != NULL ? find_node(load, name) : inline_node(load, inline_text);
	PdDoc	   *kept_vars = load->vars;
	DpipeIdentity id;
	List	   *ctes = NIL;
	List	   *done = NIL;
	char	   *sql;

	if (node == NULL || node->raw_code == NULL)
		return NULL;
	if (!OidIsValid(load->owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("project \"%s\" came with a copy of another database, or its owner was renamed or dropped",
						project),
				 errhint("Run SELECT dpipe_adopt(), or load the project again.")));
	if (node->test_metadata != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("compiling generic tests is not supported yet")));
	load->vars = pd_copy_top(kept_vars);
	pd_update(load->vars, pd_from_jsonb(vars));
	dpipe_identity_owner(&id, load->owner, load->search_path);
	PG_TRY();
	{
		sql = compile_node(load, node, full_refresh, name == NULL, &ctes, &done);
	}
	PG_FINALLY();
	{
		load->vars = kept_vars;
	}
	PG_END_TRY();
	dpipe_identity_restore(&id);
	return ctes == NIL ? sql : with_expressions(sql, ctes);
}
