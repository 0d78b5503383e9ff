/*
 * runtime.c
 *		ref() and source() when nodes are compiled.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/node.h"
#include "project/project.h"
#include "project/relation.h"
#include "project/scope.h"

static bool
depends_on(const PjNode *node, const PjNode *target)
{
	ListCell   *lc;

	foreach(lc, node->depends_on)
	{
		if (strcmp(lfirst(lc), target->unique_id) == 0)
			return true;
	}
	return false;
}

JinjaValue *
pj_runtime_ref(PjScope *scope, const PdDoc *ref)
{
	const char *name = pd_get_text(ref, "name");
	const char *package = pd_get_text(ref, "package");
	const PjNode *node = scope->node;
	bool		disabled;
	PjNode	   *target = pj_find_ref(scope->load, name, package, pd_get(ref, "version"),
									 node->project, &disabled);

	if (target == NULL)
		jinja_raise(scope->env, ERRCODE_UNDEFINED_OBJECT,
					"Model '%s' (%s) depends on a node named '%s' which %s", node->unique_id,
					node->original_path, name, disabled ? "is disabled" : "was not found");
	/* An operation and an inline text may refer to everything. */
	if (strcmp(node->resource_type, "sql_operation") != 0 && !depends_on(node, target))
		jinja_raise(scope->env, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					"dbt was unable to infer all dependencies for the model \"%s\".\n"
					"This typically happens when ref() is placed within a conditional block.\n\n"
					"To fix this, add the following hint to the top of the model \"%s\":\n\n"
					"-- depends_on: {{ ref('%s') }}", node->name, node->name, name);
	return pj_node_relation(scope, target);
}

JinjaValue *
pj_runtime_source(PjScope *scope, const PdDoc *pair)
{
	const char *source = pd_text(pair->u.items[0]);
	const char *table = pd_text(pair->u.items[1]);
	const PjNode *node = scope->node;
	bool		disabled;
	PjNode	   *target = pj_find_source(scope->load, source, table, node->project, &disabled);

	if (target == NULL)
		jinja_raise(scope->env, ERRCODE_UNDEFINED_OBJECT,
					"Model '%s' (%s) depends on a source named '%s.%s' which %s", node->unique_id,
					node->original_path, source, table, disabled ? "is disabled" : "was not found");
	return pj_node_relation(scope, target);
}
