/*
 * unique.c
 *		Names that only one thing of a project may have, in dbt's words.
 */
#include "base/compat.h"

#include "project/loading.h"
#include "project/node.h"

static const char *
plural(const char *resource_type)
{
	static const char *const others[][2] = {
		{"analysis", "analyses"}, {"saved_query", "saved_queries"}, {"test", "data_tests"},
	};

	for (int i = 0; i < lengthof(others); i++)
		if (strcmp(resource_type, others[i][0]) == 0)
			return others[i][1];
	return psprintf("%ss", resource_type);
}

void
pj_raise_twice(const char *resource_type, const char *name, const char *id,
			   const PjFile *one, const char *other_id, const PjFile *other)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("dbt found two %s with the name \"%s\".",
					resource_type != NULL ? plural(resource_type) : "resources", name),
			 errdetail("They are %s (%s) and %s (%s).", id, one->path, other_id, other->path),
			 errhint("Change the name of one of them, or disable it.")));
}

/* ---------- models, seeds and snapshots, which ref() looks for ---------- */

static bool
is_relational(const PjNode *node)
{
	return strcmp(node->resource_type, "model") == 0 || strcmp(node->resource_type, "seed") == 0 ||
		strcmp(node->resource_type, "snapshot") == 0;
}

static void
check_pair(const PjLoad *load, const PjNode *other, const PjNode *node)
{
	if ((other->version == NULL) != (node->version == NULL))
	{
		const PjNode *versioned = node->version != NULL ? node : other;
		const PjNode *plain = node->version != NULL ? other : node;

		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("dbt found versioned and unversioned models with the name \"%s\".",
						node->name),
				 errdetail("They are %s (%s) and %s (%s).", versioned->unique_id,
						   versioned->file->path, plain->unique_id, plain->file->path),
				 errhint("Change the name of %s, or add it to the versions.", plain->unique_id)));
	}
	if (node->version != NULL)
		return;
	if (pd_truth(pd_get(load->flags, "require_unique_project_resource_names")))
		pj_raise_twice(NULL, node->name, other->unique_id, other->file, node->unique_id,
					   node->file);
	ereport(WARNING,
			(errmsg("Found resources with the same name '%s' in package '%s': '%s' and '%s'. Please update one of the resources to have a unique name.",
					node->name, node->project->name, other->unique_id, node->unique_id),
			 errdetail("They are in %s and %s.", other->file->path, node->file->path)));
}

static void
check_names(const PjLoad *load)
{
	HTAB	   *by_name = pj_table("dpipe names of relations");
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		const char *key;
		PjNode	   *other;

		if (!node->enabled || !is_relational(node))
			continue;
		key = psprintf("%s.%s", node->project->name, node->name);
		other = pj_table_get(by_name, key);
		if (other != NULL)
			check_pair(load, other, node);
		pj_table_put(by_name, key, node);
	}
	hash_destroy(by_name);
}

static void
check_relations(const PjLoad *load)
{
	HTAB	   *by_relation = pj_table("dpipe relations");
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		PjNode	   *node = lfirst(lc);
		char	   *relation;
		PjNode	   *other;

		if (!node->enabled || strcmp(node->resource_type, "source") == 0)
			continue;
		relation = pj_relation_text(node);
		if (relation == NULL)
			continue;
		other = pj_table_get(by_relation, relation);
		if (other != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("dbt found two resources with the database representation \"%s\".",
							relation),
					 errdetail("They are %s (%s) and %s (%s).", other->unique_id,
							   other->original_path, node->unique_id, node->original_path),
					 errhint("Give one of them another schema or alias.")));
		pj_table_put(by_relation, relation, node);
	}
	hash_destroy(by_relation);
}

/* ---------- what is no node ---------- */

static void
check_docs(const PjLoad *load)
{
	HTAB	   *by_id = pj_table("dpipe docs blocks");
	ListCell   *lc;

	foreach(lc, load->docs)
	{
		PjDoc	   *doc = lfirst(lc);
		PjDoc	   *other = pj_table_get(by_id, doc->unique_id);

		if (other != NULL)
			pj_raise_twice("doc", doc->name, other->unique_id, other->file, doc->unique_id,
						   doc->file);
		pj_table_put(by_id, doc->unique_id, doc);
	}
	hash_destroy(by_id);
}

static void
check_fixtures(const PjLoad *load)
{
	HTAB	   *by_id = pj_table("dpipe fixtures");
	ListCell   *lc;

	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);
		PjFile	   *other;
		const char *name;
		const char *id;

		if (file->kind != PJ_FIXTURE)
			continue;
		name = pj_fixture_name(file);
		id = psprintf("fixture.%s.%s", file->project->name, name);
		other = pj_table_get(by_id, id);
		if (other != NULL)
			pj_raise_twice("fixture", name, id, other, id, file);
		pj_table_put(by_id, id, file);
	}
	hash_destroy(by_id);
}

void
pj_check_unique(const PjLoad *load)
{
	check_names(load);
	check_relations(load);
	check_docs(load);
	check_fixtures(load);
}
