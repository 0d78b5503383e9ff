/*
 * store.c
 *		Projects in the catalogs. Rows that have not changed are left alone.
 *
 * Loads of all projects, and definitions of models, happen one transaction at
 * a time: they lock the incarnation's row.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "common/md5.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/catalog.h"
#include "project/loading.h"
#include "project/manifest.h"
#include "project/node.h"
#include "project/open.h"
#include "project/project.h"

PG_FUNCTION_INFO_V1(dpipe_drop_project);

/* ---------- reading ---------- */

static DpipeStatement select_files = {
	"SELECT f.path, f.checksum, f.parsed_key FROM dpipe.project_file f WHERE f.project = $1",
	1,
	{TEXTOID}};

static DpipeStatement select_key = {
	"SELECT p.definition ->> 'load_key', p.definition ->> 'counts' FROM dpipe.project p"
	" WHERE p.name = $1",
	1,
	{TEXTOID}};

static void
read_key(PjLoad *load, const Datum *args, MemoryContext cxt)
{
	char	   *counts;
	MemoryContext old;

	if (dpipe_spi_run(&select_key, args, NULL, true, 1) == 0)
		return;
	load->stored_key = dpipe_spi_text(0, 1, cxt);
	counts = dpipe_spi_text(0, 2, cxt);
	if (counts == NULL)
		return;
	old = MemoryContextSwitchTo(cxt);
	load->counts = pd_from_json(counts, strlen(counts));
	MemoryContextSwitchTo(old);
}

/* What the last load has left of the project, but for what it has parsed. */
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
	if (load->is_new)
		return;
	dpipe_spi_begin(&spi);
	read_key(load, args, cxt);
	n = dpipe_spi_run(&select_files, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		PjFile	   *file = MemoryContextAllocZero(cxt, sizeof(PjFile));

		file->path = dpipe_spi_text(row, 1, cxt);
		file->checksum = dpipe_spi_text(row, 2, cxt);
		file->parsed_key = dpipe_spi_text(row, 3, cxt);
		pj_table_put(load->old_files, file->path, file);
	}
	dpipe_spi_end(&spi);
}

static DpipeStatement select_parsed = {
	"SELECT f.path, f.parsed::pg_catalog.text FROM dpipe.project_file f"
	" WHERE f.project = $1 AND f.parsed_key = $2 AND ($3 IS NULL OR f.path = $3)",
	3,
	{TEXTOID, TEXTOID, TEXTOID}};

/* What the last load has parsed of a file, or of all, and still holds. */
void
pj_read_parsed(PjLoad *load, PjFile *file)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[3] = {CStringGetTextDatum(load->name), CStringGetTextDatum(load->parse_key)};
	bool		nulls[3] = {false, false, file == NULL};
	uint64		n;

	if (load->is_new)
		return;
	if (file != NULL)
		args[2] = CStringGetTextDatum(file->path);
	dpipe_spi_begin(&spi);
	n = dpipe_spi_run(&select_parsed, args, nulls, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *path = dpipe_spi_text(row, 1, cxt);
		char	   *parsed = dpipe_spi_text(row, 2, cxt);
		MemoryContext old = MemoryContextSwitchTo(cxt);
		PjFile	   *stored = pj_table_get(load->old_files, path);

		if (stored != NULL && parsed != NULL)
			stored->parsed = pd_from_json(parsed, strlen(parsed));
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
}

static DpipeStatement select_node = {
	"SELECT n.definition::pg_catalog.text FROM dpipe.node n"
	" WHERE n.project = $1 AND n.unique_id = $2",
	2,
	{TEXTOID, TEXTOID}};

/* A node as the last load has left it, or NULL. */
PdDoc *
pj_stored_node(const PjLoad *load, const char *unique_id)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[2] = {CStringGetTextDatum(load->name), CStringGetTextDatum(unique_id)};
	char	   *text = NULL;

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&select_node, args, NULL, true, 1) > 0)
		text = dpipe_spi_text(0, 1, cxt);
	dpipe_spi_end(&spi);
	return text != NULL ? pd_from_json(text, strlen(text)) : NULL;
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

static DpipeStatement update_project = {
	"UPDATE dpipe.project p SET owner = $2, owner_oid = $3, schema = $4, search_path = $5,"
	"       options = $6::pg_catalog.json, incarnation = i.id, version = p.version + 1,"
	"       loaded_at = pg_catalog.now()"
	"  FROM dpipe.incarnation i WHERE p.name = $1",
	6,
	{TEXTOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID}};

/* Disabled nodes that are not stored, as another one has their id. */
static PdDoc *
hidden_nodes(const PjLoad *load)
{
	HTAB	   *seen = pj_table("dpipe disabled nodes");
	PdDoc	   *list = pd_list();
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (node->enabled || node->unique_id == NULL)
			continue;
		if (pj_table_get(load->by_id, node->unique_id) != NULL ||
			pj_table_get(seen, node->unique_id) != NULL)
			pd_append(list, pj_node_doc(node));
		pj_table_put(seen, node->unique_id, (void *) node);
	}
	return list;
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
	pd_put(doc, "hidden", hidden_nodes(load));
	pd_put(doc, "profile_name", pd_string(load->profile_name));
	pd_put(doc, "target", load->target);
	pd_put(doc, "counts", load->counts);
	/* Without a key the next load goes all the way, and warns again. */
	pd_put(doc, "load_key", load->spoke ? pd_null() : pd_string(load->load_key));
	return doc;
}

/* "all": its definition, too. */
static void
store_project(const PjLoad *load, bool all)
{
	Datum		args[7] = {
		CStringGetTextDatum(load->name),
		CStringGetTextDatum(GetUserNameFromId(load->owner, false)),
		ObjectIdGetDatum(load->owner),
		CStringGetTextDatum(load->target_schema),
		CStringGetTextDatum(load->search_path),
		CStringGetTextDatum(pd_to_json(load->options)),
	};

	if (all)
		args[6] = CStringGetTextDatum(pd_to_json(definition_of(load)));
	(void) dpipe_spi_run(all ? &upsert_project : &update_project, args, NULL, false, 0);
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
	"DELETE FROM dpipe.project_file f WHERE f.project = $1 AND f.path = ANY ($2)",
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

static void
store_file(const PjLoad *load, const PjFile *file)
{
	bool		unparsed = file->parsed_key == NULL;
	bool		nulls[6] = {false, false, false, false, unparsed, unparsed};
	Datum		args[6] = {
		CStringGetTextDatum(load->name),
		CStringGetTextDatum(file->path),
		CStringGetTextDatum(file->checksum),
		PointerGetDatum(cstring_to_text_with_len(file->text, file->len)),
	};

	if (!unparsed)
	{
		args[4] = CStringGetTextDatum(file->parsed_key);
		args[5] = CStringGetTextDatum(pd_to_json(file->parsed));
	}
	(void) dpipe_spi_run(&upsert_file, args, nulls, false, 0);
}

/* The keys of one table that another has not. */
static List *
missing(HTAB *known, HTAB *seen)
{
	List	   *keys = NIL;
	HASH_SEQ_STATUS status;
	const char **key;

	hash_seq_init(&status, known);
	while ((key = hash_seq_search(&status)) != NULL)
		if (pj_table_get(seen, *key) == NULL)
			keys = lappend(keys, (void *) *key);
	return keys;
}

/* Run a statement of the project and a list, if there is anything in it. */
static void
run_with_list(const PjLoad *load, DpipeStatement *stmt, List *list)
{
	Datum		args[2] = {CStringGetTextDatum(load->name)};

	if (list == NIL)
		return;
	args[1] = dpipe_spi_texts(list);
	(void) dpipe_spi_run(stmt, args, NULL, false, 0);
}

static void
store_files(const PjLoad *load)
{
	HTAB	   *seen = pj_table("dpipe files seen");
	ListCell   *lc;

	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		pj_table_put(seen, file->path, file);
		if (!is_stored(load, file))
			store_file(load, file);
	}
	run_with_list(load, &delete_files, missing(load->old_files, seen));
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
	"DELETE FROM dpipe.node n WHERE n.project = $1 AND n.unique_id = ANY ($2)",
	2,
	{TEXTOID, TEXTARRAYOID}};

static DpipeStatement delete_edges = {
	"DELETE FROM dpipe.edge e WHERE e.project = $1 AND e.child = ANY ($2)",
	2,
	{TEXTOID, TEXTARRAYOID}};

static DpipeStatement insert_edges = {
	"INSERT INTO dpipe.edge (project, child, parent)"
	" SELECT $1, e.child, e.parent FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) e (child, parent)",
	3,
	{TEXTOID, TEXTARRAYOID, TEXTARRAYOID}};

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

/* Of what has changed: edges are written when all of it is known. */
typedef struct Edges
{
	List	   *old;			/* children that may have some */
	List	   *children;
	List	   *parents;
} Edges;

static void
store_node(const PjLoad *load, const PjNode *node, const char *definition, const char *checksum)
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
}

static void
note_edges(Edges *edges, const PjNode *node, bool is_new)
{
	ListCell   *lc;

	if (!is_new)
		edges->old = lappend(edges->old, (void *) node->unique_id);
	foreach(lc, node->depends_on)
	{
		edges->children = lappend(edges->children, (void *) node->unique_id);
		edges->parents = lappend(edges->parents, lfirst(lc));
	}
}

static void
store_edges(const PjLoad *load, Edges *edges)
{
	Datum		args[3] = {CStringGetTextDatum(load->name)};

	run_with_list(load, &delete_edges, edges->old);
	if (edges->children == NIL)
		return;
	args[1] = dpipe_spi_texts(edges->children);
	args[2] = dpipe_spi_texts(edges->parents);
	(void) dpipe_spi_run(&insert_edges, args, NULL, false, 0);
}

static void
store_nodes(const PjLoad *load, MemoryContext cxt)
{
	HTAB	   *old = stored_checksums(load, cxt);
	HTAB	   *seen = pj_table("dpipe nodes seen");
	Edges		edges = {NIL};
	List	   *gone;
	ListCell   *lc;
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "dpipe node",
											  ALLOCSET_DEFAULT_SIZES);

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		char	   *definition;
		char	   *checksum;
		char	   *known;
		bool		same;
		MemoryContext save;

		if (node->unique_id == NULL || pj_table_get(seen, node->unique_id) != NULL ||
			(!node->enabled && pj_table_get(load->by_id, node->unique_id) != NULL))
			continue;
		pj_table_put(seen, node->unique_id, node);
		save = MemoryContextSwitchTo(row);
		definition = pd_to_json(pj_node_doc(node));
		checksum = md5_hex(definition);
		known = pj_table_get(old, node->unique_id);
		same = known != NULL && strcmp(known, checksum) == 0;
		if (!same)
			store_node(load, node, definition, checksum);
		MemoryContextSwitchTo(save);
		MemoryContextReset(row);
		if (!same)
			note_edges(&edges, node, known == NULL);
	}
	gone = missing(old, seen);
	run_with_list(load, &delete_nodes, gone);
	edges.old = list_concat(edges.old, gone);
	store_edges(load, &edges);
}

void
pj_store(PjLoad *load)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;

	dpipe_spi_begin(&spi);
	store_project(load, true);
	store_files(load);
	store_nodes(load, cxt);
	dpipe_spi_end(&spi);
}

static DpipeStatement update_node = {
	"UPDATE dpipe.node n SET checksum = $3, definition = $4::pg_catalog.json"
	" WHERE n.project = $1 AND n.unique_id = $2",
	4,
	{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};

/* Texts that have changed, and the nodes that they are; all else is as it was. */
void
pj_store_texts(PjLoad *load, List *files, List *docs)
{
	DpipeSpi	spi;
	ListCell   *lc;

	dpipe_spi_begin(&spi);
	store_project(load, false);
	foreach(lc, files)
		store_file(load, lfirst(lc));
	foreach(lc, docs)
	{
		char	   *definition = pd_to_json(lfirst(lc));
		Datum		args[4] = {
			CStringGetTextDatum(load->name),
			CStringGetTextDatum(pd_get_text(lfirst(lc), "unique_id")),
			CStringGetTextDatum(md5_hex(definition)),
			CStringGetTextDatum(definition),
		};

		(void) dpipe_spi_run(&update_node, args, NULL, false, 0);
	}
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
visible_projects(Oid member)
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

	/* Who may is asked outside of SPI, which runs as the extension's owner. */
	forboth(lc, all, owner, owners)
	{
		Oid			role = lfirst_oid(owner);

		if (OidIsValid(role) ? has_privs_of_role(member, role) : superuser_arg(member))
			names = lappend(names, lfirst(lc));
	}
	return names;
}

char *
dpipe_project_choose(const char *asked)
{
	List	   *names = visible_projects(GetUserId());
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
dpipe_project_of_role(Oid role, const char *asked)
{
	List	   *names = visible_projects(role);
	ListCell   *lc;

	if (asked == NULL)
		return list_length(names) == 1 ? linitial(names) : NULL;
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), asked) == 0)
			return lfirst(lc);
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("project \"%s\" does not exist", asked)));
}

char *
pj_project_of(const PdDoc *options, const char *what)
{
	PdDoc	   *asked = pd_get(options, "project");

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
	return dpipe_project_choose(pd_text(asked));
}

/* ---------- drop ---------- */

static DpipeStatement delete_project[] = {
	{"DELETE FROM dpipe.edge e WHERE e.project = $1", 1, {TEXTOID}},
	{"DELETE FROM dpipe.node n WHERE n.project = $1", 1, {TEXTOID}},
	{"DELETE FROM dpipe.project_file f WHERE f.project = $1", 1, {TEXTOID}},
	{"DELETE FROM dpipe.project p WHERE p.name = $1", 1, {TEXTOID}},
};

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
	for (int i = 0; i < lengthof(delete_project); i++)
		(void) dpipe_spi_run(&delete_project[i], args, NULL, false, 0);
	dpipe_spi_end(&spi);
	PG_RETURN_VOID();
}
