/*
 * store.c
 *		Projects in the catalogs. Rows that have not changed are left alone.
 *
 * Loads of all projects, and definitions of models, happen one transaction at
 * a time: they lock the incarnation's row.
 */
#include "base/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/md5.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "base/spi.h"
#include "catalog/catalog.h"
#include "project/loading.h"
#include "project/manifest.h"
#include "project/node.h"
#include "project/open.h"
#include "project/project.h"

PG_FUNCTION_INFO_V1(dpipe_drop_project);

/* ---------- schema and path ---------- */

char *
pj_default_schema(void)
{
	List	   *path = fetch_search_path(false);
	char	   *name = NULL;

	if (path != NIL && !isAnyTempNamespace(linitial_oid(path)))
		name = get_namespace_name(linitial_oid(path));
	list_free(path);
	return name != NULL ? name : pstrdup("public");
}

char *
pj_path_to_store(void)
{
	List	   *names;
	ListCell   *lc;
	StringInfoData buf;

	initStringInfo(&buf);
	if (!SplitIdentifierString(pstrdup(namespace_search_path), ',', &names))
		elog(ERROR, "invalid search_path \"%s\"", namespace_search_path);
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), "pg_temp") != 0)
			appendStringInfo(&buf, "%s, ", quote_identifier(lfirst(lc)));
	}
	appendStringInfoString(&buf, "pg_temp");
	return buf.data;
}

/* ---------- reading ---------- */

static DpipeStatement select_files = {
	"SELECT f.path, f.checksum, f.parsed_key, f.parsed::pg_catalog.text FROM dpipe.project_file f"
	" WHERE f.project = $1",
	1,
	{TEXTOID}};

/* What the last load has left of the project's files. */
void
pj_read_stored(PjLoad *load)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(load->name)};
	uint64		n;
	Oid			owner = dpipe_definition_lock(DPIPE_PROJECT, load->name);

	load->is_new = !OidIsValid(owner);
	if (!load->is_new)
		load->owner = owner;
	load->old_files = pj_table("dpipe stored files");
	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_files, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		PjFile	   *file = MemoryContextAllocZero(cxt, sizeof(PjFile));
		char	   *parsed;
		MemoryContext old;

		file->path = dpipe_spi_text(row, 1, cxt);
		file->checksum = dpipe_spi_text(row, 2, cxt);
		file->parsed_key = dpipe_spi_text(row, 3, cxt);
		parsed = dpipe_spi_text(row, 4, cxt);
		old = MemoryContextSwitchTo(cxt);
		if (parsed != NULL)
			file->parsed = pd_from_json(parsed, strlen(parsed));
		pj_table_put(load->old_files, file->path, file);
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
}

/* ---------- writing ---------- */

static char *
md5_hex(const char *s)
{
	char	   *hex = palloc(33);
	const char *errstr = NULL;

	if (!pg_md5_hash(s, strlen(s), hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	return hex;
}

static DpipeStatement upsert_project = {
	"INSERT INTO dpipe.project AS p (name, owner, owner_oid, schema, search_path, options,"
	"       definition, incarnation)"
	" SELECT $1, $2, $3, $4, $5, $6::pg_catalog.json, $7::pg_catalog.json, i.id"
	"   FROM dpipe.incarnation i"
	" ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, owner_oid = excluded.owner_oid,"
	"       schema = excluded.schema, search_path = excluded.search_path,"
	"       options = excluded.options, definition = excluded.definition,"
	"       incarnation = excluded.incarnation, version = p.version + 1,"
	"       loaded_at = pg_catalog.now()",
	7,
	{TEXTOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};

/* What YAML files say about macros, by their ids. */
static PdDoc *
macro_patches(const PjLoad *load)
{
	PdDoc	   *patches = pd_dict();
	ListCell   *lc;

	foreach(lc, load->macros)
	{
		PjMacro    *macro = lfirst(lc);
		PdDoc	   *patch;

		if (macro->patch == NULL)
			continue;
		patch = pd_copy_top(macro->patch);
		pd_put(patch, "patch_path", pd_string(macro->patch_path));
		pd_put(patches, macro->unique_id, patch);
	}
	return patches;
}

/* What is known of the project besides its nodes. */
static PdDoc *
definition_of(const PjLoad *load)
{
	PdDoc	   *doc = pd_dict();
	PdDoc	   *packages = pd_list();
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		PjProject  *project = lfirst(lc);
		PdDoc	   *package = pd_dict();

		pd_put(package, "name", pd_string(project->name));
		pd_put(package, "prefix", pd_string(project->prefix));
		pd_put(package, "is_root", pd_bool(project->is_root));
		pd_put(package, "doc", project->doc);
		pd_append(packages, package);
	}
	pd_put(doc, "packages", packages);
	pd_put(doc, "selectors", load->selectors != NULL ? load->selectors : pd_null());
	pd_put(doc, "groups", load->groups);
	pd_put(doc, "macros", macro_patches(load));
	pd_put(doc, "profile_name", pd_string(load->profile_name));
	pd_put(doc, "target", load->target);
	return doc;
}

static void
store_project(const PjLoad *load)
{
	Datum		args[7] = {
		CStringGetTextDatum(load->name),
		CStringGetTextDatum(GetUserNameFromId(load->owner, false)),
		ObjectIdGetDatum(load->owner),
		CStringGetTextDatum(load->target_schema),
		CStringGetTextDatum(load->search_path),
		CStringGetTextDatum(pd_to_json(load->options)),
		CStringGetTextDatum(pd_to_json(definition_of(load))),
	};

	(void) dpipe_spi_run(&upsert_project, args, NULL, false, 0);
}

static DpipeStatement upsert_file = {
	"INSERT INTO dpipe.project_file AS f (project, path, checksum, content, parsed_key, parsed)"
	" VALUES ($1, $2, $3, $4, $5, $6::pg_catalog.json)"
	" ON CONFLICT (project, path) DO UPDATE SET checksum = excluded.checksum,"
	"       content = excluded.content, parsed_key = excluded.parsed_key,"
	"       parsed = excluded.parsed",
	6,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};

static DpipeStatement delete_files = {
	"DELETE FROM dpipe.project_file f WHERE f.project = $1 AND f.path <> ALL ($2)",
	2,
	{TEXTOID, TEXTARRAYOID}};

static bool
is_stored(const PjLoad *load, const PjFile *file)
{
	PjFile	   *old = pj_table_get(load->old_files, file->path);

	return old != NULL && strcmp(old->checksum, file->checksum) == 0 &&
		(file->parsed_key == NULL ||
		 (old->parsed_key != NULL && strcmp(old->parsed_key, file->parsed_key) == 0));
}

static Datum
text_array(List *strings)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
store_files(const PjLoad *load)
{
	List	   *paths = NIL;
	ListCell   *lc;
	Datum		args[6] = {CStringGetTextDatum(load->name)};
	bool		nulls[6] = {false};

	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		paths = lappend(paths, (void *) file->path);
		if (is_stored(load, file))
			continue;
		args[1] = CStringGetTextDatum(file->path);
		args[2] = CStringGetTextDatum(file->checksum);
		args[3] = PointerGetDatum(cstring_to_text_with_len(file->text, file->len));
		nulls[4] = nulls[5] = file->parsed_key == NULL;
		args[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(file->parsed_key);
		args[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(pd_to_json(file->parsed));
		(void) dpipe_spi_run(&upsert_file, args, nulls, false, 0);
	}
	args[1] = text_array(paths);
	(void) dpipe_spi_run(&delete_files, args, NULL, false, 0);
}

static DpipeStatement select_nodes = {
	"SELECT n.unique_id, n.checksum FROM dpipe.node n WHERE n.project = $1", 1, {TEXTOID}};

static DpipeStatement upsert_node = {
	"INSERT INTO dpipe.node (project, unique_id, resource_type, enabled, checksum, definition)"
	" VALUES ($1, $2, $3, $4, $5, $6::pg_catalog.json)"
	" ON CONFLICT (project, unique_id) DO UPDATE SET resource_type = excluded.resource_type,"
	"       enabled = excluded.enabled, checksum = excluded.checksum,"
	"       definition = excluded.definition",
	6,
	{TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID}};

static DpipeStatement delete_nodes = {
	"DELETE FROM dpipe.node n WHERE n.project = $1 AND n.unique_id <> ALL ($2)",
	2,
	{TEXTOID, TEXTARRAYOID}};

static DpipeStatement delete_edges = {
	"DELETE FROM dpipe.edge e WHERE e.project = $1 AND e.child = $2", 2, {TEXTOID, TEXTOID}};

static DpipeStatement insert_edges = {
	"INSERT INTO dpipe.edge (project, child, parent)"
	" SELECT $1, $2, p FROM pg_catalog.unnest($3) p",
	3,
	{TEXTOID, TEXTOID, TEXTARRAYOID}};

static HTAB *
stored_checksums(const PjLoad *load, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	HTAB	   *table = pj_table("dpipe stored nodes");
	Datum		args[1] = {CStringGetTextDatum(load->name)};
	uint64		n;

	MemoryContextSwitchTo(old);
	n = load->is_new ? 0 : dpipe_spi_run(&select_nodes, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
		pj_table_put(table, dpipe_spi_text(row, 1, cxt), dpipe_spi_text(row, 2, cxt));
	return table;
}

static void
store_node(const PjLoad *load, const PjNode *node, const char *definition, const char *checksum,
		   bool is_new)
{
	Datum		args[6] = {
		CStringGetTextDatum(load->name),
		CStringGetTextDatum(node->unique_id),
		CStringGetTextDatum(node->resource_type),
		BoolGetDatum(node->enabled),
		CStringGetTextDatum(checksum),
		CStringGetTextDatum(definition),
	};

	(void) dpipe_spi_run(&upsert_node, args, NULL, false, 0);
	if (!is_new)
		(void) dpipe_spi_run(&delete_edges, args, NULL, false, 0);
	if (node->depends_on == NIL)
		return;
	args[2] = text_array(node->depends_on);
	(void) dpipe_spi_run(&insert_edges, args, NULL, false, 0);
}

static void
store_nodes(const PjLoad *load, MemoryContext cxt)
{
	HTAB	   *old = stored_checksums(load, cxt);
	HTAB	   *seen = pj_table("dpipe nodes seen");
	List	   *ids = NIL;
	ListCell   *lc;
	Datum		args[2] = {CStringGetTextDatum(load->name)};
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "dpipe node",
											  ALLOCSET_DEFAULT_SIZES);

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		char	   *definition;
		char	   *checksum;
		char	   *known;
		MemoryContext save;

		if (node->unique_id == NULL || pj_table_get(seen, node->unique_id) != NULL ||
			(!node->enabled && pj_table_get(load->by_id, node->unique_id) != NULL))
			continue;
		pj_table_put(seen, node->unique_id, node);
		ids = lappend(ids, (void *) node->unique_id);
		save = MemoryContextSwitchTo(row);
		definition = pd_to_json(pj_node_doc(node));
		checksum = md5_hex(definition);
		known = pj_table_get(old, node->unique_id);
		if (known == NULL || strcmp(known, checksum) != 0)
			store_node(load, node, definition, checksum, known == NULL);
		MemoryContextSwitchTo(save);
		MemoryContextReset(row);
	}
	if (load->is_new)
		return;
	args[1] = text_array(ids);
	(void) dpipe_spi_run(&delete_nodes, args, NULL, false, 0);
}

void
pj_store(PjLoad *load)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;

	dpipe_spi_begin(&spi);
	store_project(load);
	store_files(load);
	store_nodes(load, cxt);
	dpipe_spi_end(&spi);
}

/* ---------- which project ---------- */

static DpipeStatement select_projects = {
	"SELECT p.name, r.oid FROM dpipe.project p"
	"  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = p.owner AND r.oid = p.owner_oid"
	" ORDER BY p.name COLLATE \"C\"",
	0,
	{0}};

static List *
visible_projects(void)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	List	   *all = NIL;
	List	   *owners = NIL;
	List	   *names = NIL;
	uint64		n;
	ListCell   *lc;
	ListCell   *owner;

	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_projects, NULL, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		bool		isnull;
		Datum		oid = dpipe_spi_datum(row, 2, &isnull);
		char	   *name = dpipe_spi_text(row, 1, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		all = lappend(all, name);
		owners = lappend_oid(owners, isnull ? InvalidOid : DatumGetObjectId(oid));
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);

	/* Who may is asked as the caller, not as the extension's owner. */
	forboth(lc, all, owner, owners)
	{
		Oid			role = lfirst_oid(owner);

		if (OidIsValid(role) ? dpipe_may_act_as(role) : superuser())
			names = lappend(names, lfirst(lc));
	}
	return names;
}

char *
dpipe_project_choose(const char *asked)
{
	List	   *names = visible_projects();
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
	{
		if (asked != NULL && strcmp(lfirst(lc), asked) == 0)
			return lfirst(lc);
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", (char *) lfirst(lc));
	}
	if (asked != NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("project \"%s\" does not exist", asked),
						buf.len > 0 ? errhint("Projects are: %s.", buf.data) : 0));
	if (list_length(names) > 1)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_PARAMETER),
						errmsg("there are several projects"),
						errhint("Name one with the option \"project\": %s.", buf.data)));
	return names != NIL ? linitial(names) : NULL;
}

char *
pj_project_of(const PdDoc *options, const char *what)
{
	PdDoc	   *asked = pd_get(options, "project");
	char	   *name;

	if (!pd_is(options, PD_DICT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	for (int i = 0; i < options->n; i++)
		if (!pd_equals(options->u.entries[i].key, "project"))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown option \"%s\" of %s",
								   pd_text(options->u.entries[i].key), what),
							errhint("The option is: project.")));
	if (!pd_is_null(asked) && asked->kind != PD_STRING)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"project\" must be a string")));
	name = dpipe_project_choose(pd_text(asked));
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no project")));
	return name;
}

/* ---------- drop ---------- */

static DpipeStatement delete_project = {
	"DELETE FROM dpipe.project p WHERE p.name = $1", 1, {TEXTOID}};

Datum
dpipe_drop_project(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(name)};

	if (!OidIsValid(dpipe_definition_lock(DPIPE_PROJECT, name)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("project \"%s\" does not exist", name)));
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&delete_project, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	PG_RETURN_VOID();
}
