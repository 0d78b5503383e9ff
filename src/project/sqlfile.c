/*
 * sqlfile.c
 *		Files of which each is a node: models, analyses, singular tests,
 *		functions and seeds; and snapshots, of which a file may hold several.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/loading.h"
#include "project/macros.h"

/* ---------- names and paths ---------- */

static char *
without_extension(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash != NULL ? slash + 1 : path, '.');

	return dot == NULL || dot == path || (slash != NULL && dot == slash + 1)
		? pstrdup(path) : pnstrdup(path, dot - path);
}

static char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return without_extension(slash != NULL ? slash + 1 : path);
}

/* The package and the directories of a path. */
PdDoc *
pj_fqn_prefix(const PjProject *project, const char *relative)
{
	PdDoc	   *fqn = pd_list();
	const char *slash;

	pd_append(fqn, pd_string(project->name));
	while ((slash = strchr(relative, '/')) != NULL)
	{
		pd_append(fqn, pd_string_len(relative, slash - relative));
		relative = slash + 1;
	}
	return fqn;
}

static PdDoc *
fqn_of(const PjProject *project, const char *path, const char *name)
{
	PdDoc	   *fqn = pj_fqn_prefix(project, path);

	pd_append(fqn, pd_string(name));
	return fqn;
}

/* dir/name.sql, in the directory of "path" */
static char *
sibling(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return psprintf("%s.sql", name);
	return psprintf("%.*s/%s.sql", (int) (slash - path), path, name);
}

/* ---------- nodes ---------- */

PjNode *
pj_make_node(PjLoad *load, const char *resource_type, PjFile *file, const char *name,
			 const char *path, PdDoc *fqn)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->resource_type = resource_type;
	node->project = file->project;
	node->file = file;
	node->name = name;
	node->path = path;
	node->original_path = file->original;
	node->fqn = fqn;
	node->unique_id = psprintf("%s.%s.%s", resource_type, file->project->name, name);
	node->alias = name;
	node->schema = load->target_schema;
	node->database = pd_get_text(load->target, "database");
	node->raw_code = "";
	node->tags = pd_list();
	node->meta = pd_dict();
	node->columns = pd_dict();
	node->call_config = pd_dict();
	node->refs = pd_list();
	node->sources = pd_list();
	node->metrics = pd_list();
	node->functions = pd_list();
	node->enabled = true;
	return node;
}

static List *
named(const PjLoad *load, const char *name)
{
	return pj_table_get(load->by_name, name);
}

/* Known by its name from now on, enabled or not. */
void
pj_add_node(PjLoad *load, PjNode *node)
{
	load->nodes = lappend(load->nodes, node);
	pj_table_put(load->by_name, node->name, lappend(named(load, node->name), node));
}

static void
add_tag(PjNode *node, PdDoc *tag)
{
	for (int i = 0; i < node->tags->n; i++)
		if (pd_equal(node->tags->u.items[i], tag))
			return;
	pd_append(node->tags, tag);
}

void
pj_check_access(const PjFile *file, const PdDoc *access, const char *unique_id)
{
	static const char *const known[] = {"private", "protected", "public"};

	for (int i = 0; i < lengthof(known); i++)
		if (pd_equals(access, known[i]))
			return;
	pj_raise(file, access, "Node %s has an invalid value (%s) for the access field: it must be private, protected or public",
			 unique_id, pd_scalar_text(access));
}

/* What dbt_project.yml says must be right before a text adds to it. */
static void
check_levels(PjLoad *load, const PjNode *node)
{
	PjNode		bare = *node;

	if (node->call_config->n == 0 || !pj_has_levels(load, node))
		return;
	bare.call_config = NULL;
	bare.config = pj_node_config(load, &bare);
	pj_check_config(&bare);
}

/*
 * The config as all that is known says, and what follows from it. Called
 * again when a YAML file adds to it.
 */
void
pj_update_config(PjLoad *load, PjNode *node)
{
	PdDoc	   *tags;

	node->config = pj_node_config(load, node);
	tags = pd_get(node->config, "tags");
	if (pd_is(tags, PD_STRING))
		add_tag(node, tags);
	for (int i = 0; pd_is(tags, PD_LIST) && i < tags->n; i++)
		add_tag(node, tags->u.items[i]);
	if (pd_truth(pd_get(node->config, "meta")))
		node->meta = pd_get(node->config, "meta");
	if (pd_truth(pd_get(node->config, "group")))
		node->group = pd_get_text(node->config, "group");
	if (pd_truth(pd_get(node->config, "docs")))
		node->docs = pd_get(node->config, "docs");
	if (strcmp(node->resource_type, "model") == 0)
	{
		node->access = pd_get_text(node->config, "access");
		if (node->access == NULL)
			node->access = "protected";
		pj_check_access(node->file, pd_string(node->access), node->unique_id);
	}
	node->enabled = pd_truth(pd_get(node->config, "enabled"));
	node->unnamed = true;
}

/* ---------- files ---------- */

/* What a file of one node is made, or NULL: its kind makes others. */
PjNode *
pj_make_sql_node(PjLoad *load, PjFile *file)
{
	const char *resource_type;
	const char *path = file->relative;
	const char *name = base_name(file->relative);
	PjNode	   *node;

	switch (file->kind)
	{
		case PJ_MODEL:
			resource_type = "model";
			break;
		case PJ_ANALYSIS:
			resource_type = "analysis";
			path = psprintf("analysis/%s", file->relative);
			break;
		case PJ_TEST:
			resource_type = "test";
			path = sibling(file->relative, name);
			break;
		case PJ_FUNCTION:
			resource_type = "function";
			break;
		default:
			return NULL;
	}
	node = pj_make_node(load, resource_type, file, name, path, fqn_of(file->project, path, name));
	node->raw_code = file->text;
	node->checksum = file->checksum;
	pj_parse_node_sql(load, node);
	return node;
}

static void
add_sql_node(PjLoad *load, PjFile *file)
{
	PjNode	   *node = pj_make_sql_node(load, file);

	check_levels(load, node);
	pj_update_config(load, node);
	pj_add_node(load, node);
}

static void
add_seed(PjLoad *load, PjFile *file)
{
	const char *name = base_name(file->relative);
	PjNode	   *node = pj_make_node(load, "seed", file, name, file->relative,
									fqn_of(file->project, file->relative, name));

	node->checksum = file->checksum;
	pj_update_config(load, node);
	pj_add_node(load, node);
}

static void
add_snapshots(PjLoad *load, PjFile *file)
{
	JinjaTemplate *tmpl = pj_template(load, file);

	for (int i = 0; i < jinja_template_macros(tmpl); i++)
	{
		const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);
		PjNode	   *node;
		PdDoc	   *fqn;

		if (strcmp(info->tag, "snapshot") != 0)
			continue;
		fqn = pj_fqn_prefix(file->project, file->relative);
		pd_append(fqn, pd_string(base_name(file->relative)));
		pd_append(fqn, pd_string(info->name));
		node = pj_make_node(load, "snapshot", file, pstrdup(info->name), file->relative, fqn);
		node->raw_code = pnstrdup(info->body, info->body_len);
		node->checksum = file->checksum;
		pj_parse_node_sql(load, node);
		check_levels(load, node);
		pj_update_config(load, node);
		pj_add_node(load, node);
	}
}

void
pj_load_sql_files(PjLoad *load)
{
	ListCell   *lc;

	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		switch (file->kind)
		{
			case PJ_MODEL:
			case PJ_ANALYSIS:
			case PJ_TEST:
			case PJ_FUNCTION:
				add_sql_node(load, file);
				break;
			case PJ_SEED:
				add_seed(load, file);
				break;
			case PJ_SNAPSHOT:
				add_snapshots(load, file);
				break;
			default:
				break;
		}
	}
}
