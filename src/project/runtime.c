/*
 * runtime.c
 *		ref(), source() and dpipe.new_rows() when nodes are compiled.
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

	if (target == NULL && !disabled)
		target = pj_find_own(scope->load, name, package, pd_get(ref, "version"), &disabled);
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

JinjaValue *
pj_runtime_function(PjScope *scope, const PdDoc *names)
{
	const char *name = pd_text(names->u.items[names->n - 1]);
	const char *package = names->n > 1 ? pd_text(names->u.items[0]) : NULL;
	const PjNode *node = scope->node;
	bool		disabled;
	PjNode	   *target = pj_find_function(scope->load, name, package, node->project, &disabled);

	if (target == NULL)
		jinja_raise(scope->env, ERRCODE_UNDEFINED_OBJECT,
					"Model '%s' (%s) depends on a function named '%s' which %s", node->unique_id,
					node->original_path, name, disabled ? "is disabled" : "was not found");
	return pj_node_relation(scope, target);
}

/* ---------- dpipe.new_rows ---------- */

static JinjaValue *
fn_new_rows(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	JinjaValue *v = jinja_arg(args, 0, "relation");
	const DpipeRelation *rel = v != NULL ? dpipe_relation_of(v) : NULL;
	const char *materialized = pd_get_text(scope->node != NULL ? scope->node->config : NULL,
										   "materialized");
	JinjaArgs	none = {0};
	bool		reset;

	if (rel == NULL || args->nargs + args->nkwargs != 1)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"dpipe.new_rows() takes one relation, such as source('raw', 'events')");
	if (!scope->host.execute)
		return v;
	if (materialized == NULL || strcmp(materialized, "incremental") != 0 ||
		scope->new_rows == NULL)
		jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
					"dpipe.new_rows() is for incremental models: %s is a %s",
					scope->node != NULL ? scope->node->unique_id : "this",
					materialized != NULL ? materialized : "text");
	reset = !jinja_truth(env, dpipe_host_call_macro(&scope->host, "is_incremental", &none));
	return jinja_string(env, scope->new_rows(scope->node->unique_id, rel->path[DPIPE_SCHEMA],
											 rel->path[DPIPE_IDENTIFIER], reset));
}

static JinjaValue *
dpipe_attribute(JinjaEnv *env, void *object, const char *name)
{
	return strcmp(name, "new_rows") == 0 ? jinja_function(env, name, fn_new_rows, object) : NULL;
}

static const JinjaObjectOps dpipe_ops = {"dpipe", dpipe_attribute};

JinjaValue *
pj_dpipe_value(PjScope *scope)
{
	return jinja_object(scope->env, &dpipe_ops, scope);
}
