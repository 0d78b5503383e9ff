/*
 * scope_config.c
 *		config and var, as templates of a project see them.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "project/node.h"
#include "project/scope.h"

/* ---------- config ---------- */

static void
config_note(JinjaEnv *env, void *arg, JinjaValue *said)
{
	PjScope    *scope = arg;
	MemoryContext old;
	PdDoc	   *call;

	if (scope->node == NULL)
		return;
	old = MemoryContextSwitchTo(scope->load->cxt);
	call = pj_value_doc(env, said);
	for (int i = 0; i < 2; i++)
	{
		const char *key = i == 0 ? "pre_hook" : "post_hook";
		const char *name = i == 0 ? "pre-hook" : "post-hook";
		PdDoc	   *value = pd_remove(call, key);

		if (value != NULL && pd_get(call, name) != NULL)
			jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
						"Invalid config, has conflicting keys \"%s\" and \"%s\"", key, name);
		if (value != NULL)
			pd_put(call, name, value);
	}
	pj_merge_calls(scope->node->call_config, call);
	MemoryContextSwitchTo(old);
}

PdDoc *
pj_config_lookup(PjScope *scope, const char *key)
{
	PdDoc	   *config = scope->host.execute && scope->node != NULL ? scope->node->config : NULL;
	PdDoc	   *value = pd_get(config, key);

	if (value == NULL && strcmp(key, "pre_hook") == 0)
		value = pd_get(config, "pre-hook");
	if (value == NULL && strcmp(key, "post_hook") == 0)
		value = pd_get(config, "post-hook");
	return value;
}

static JinjaValue *
config_lookup(JinjaEnv *env, void *arg, const char *key)
{
	PdDoc	   *value = pj_config_lookup(arg, key);

	return value != NULL ? pj_doc_value(env, value) : NULL;
}

static JinjaValue *
config_model(JinjaEnv *env, void *arg)
{
	PjScope    *scope = arg;

	return scope->node != NULL ? pj_doc_value(env, pj_node_doc(scope->node)) : NULL;
}

static const DpipeConfigOps config_ops = {config_lookup, config_note, config_model};

JinjaValue *
pj_config_value(PjScope *scope)
{
	return dpipe_config_value(scope->env, &config_ops, scope,
							  scope->node != NULL ? scope->node->unique_id : "",
							  scope->host.execute);
}

/* ---------- var ---------- */

static PdDoc *
var_of(const PjProject *project, const char *package, const char *name)
{
	PdDoc	   *value = pd_get(pd_get(project->vars, package), name);

	return value != NULL ? value : pd_get(project->vars, name);
}

/* Given with the load, then the root project's, then the package's own. */
static PdDoc *
find_var(const PjScope *scope, const char *name)
{
	const PjLoad *load = scope->load;
	const PjProject *project = scope->node != NULL ? scope->node->project : scope->project;
	PdDoc	   *value = pd_get(load->vars, name);

	if (value == NULL && project != NULL && load->root != NULL)
		value = var_of(load->root, project->name, name);
	if (value == NULL && project != NULL && !project->is_root)
		value = var_of(project, project->name, name);
	return value;
}

/* Files of properties, which come after dbt_project.yml. */
static bool
in_properties(const PjScope *scope)
{
	return scope->yaml && scope->project != NULL && scope->project->doc != NULL;
}

/* All that could be asked for, as find_var() would find it; dbt names fewer in YAML. */
static PdDoc *
all_vars(const PjScope *scope)
{
	const PjLoad *load = scope->load;
	const PjProject *project = scope->node != NULL ? scope->node->project : scope->project;
	PdDoc	   *vars = pd_dict();

	if (in_properties(scope))
		project = NULL;
	if (project != NULL && !project->is_root && project->vars != NULL)
	{
		pd_update(vars, project->vars);
		if (pd_is(pd_get(project->vars, project->name), PD_DICT))
			pd_update(vars, pd_get(project->vars, project->name));
	}
	if (project != NULL && load->root != NULL && load->root->vars != NULL)
	{
		pd_update(vars, load->root->vars);
		if (pd_is(pd_get(load->root->vars, project->name), PD_DICT))
			pd_update(vars, pd_get(load->root->vars, project->name));
	}
	pd_update(vars, load->vars);
	return vars;
}

/* Files of properties see it as it is written. */
static JinjaValue *
rendered_var(PjScope *scope, PdDoc *value)
{
	if (!in_properties(scope) && value->kind == PD_STRING && strchr(value->u.text, '{') != NULL)
	{
		JinjaTemplate *tmpl = jinja_parse(jinja_env_context(scope->env), "var", value->u.text,
										  value->n);

		return jinja_string(scope->env, jinja_render_in(scope->env, scope->context, tmpl));
	}
	return pj_doc_value(scope->env, value);
}

static JinjaValue *
var_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	PjScope    *scope = object;
	JinjaValue *name = jinja_arg(args, 0, "var_name");
	JinjaValue *deflt = jinja_arg(args, 1, "default");
	PdDoc	   *value;

	if (name == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "var() takes a name");
	value = find_var(scope, jinja_to_cstring(env, name));
	if (value != NULL)
		return rendered_var(scope, value);
	if (deflt != NULL)
		return deflt;
	if (scope->node != NULL && !scope->host.execute)
		return jinja_none(env);
	dpipe_raise_no_var(env, jinja_to_cstring(env, name),
					   scope->node != NULL ? scope->node->name : "<Configuration>",
					   all_vars(scope));
}

static JinjaValue *
var_has_var(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	JinjaValue *name = jinja_arg(args, 0, "var_name");
	const char *text = name != NULL ? jinja_to_cstring(env, name) : "";

	/* As in dbt, those of dbt_project.yml are not seen there. */
	if (in_properties(scope))
		return jinja_bool(env, pd_get(scope->load->vars, text) != NULL);
	return jinja_bool(env, find_var(scope, text) != NULL);
}

static JinjaValue *
var_attribute(JinjaEnv *env, void *object, const char *name)
{
	PjScope    *scope = object;

	if (strcmp(name, "has_var") == 0)
		return jinja_function(env, "has_var", var_has_var, object);
	if (strcmp(name, "node_name") == 0)
		return jinja_string(env, scope->node != NULL ? scope->node->name : "<Configuration>");
	return NULL;
}

static const JinjaObjectOps var_ops = {"var", var_attribute, NULL, var_call};

JinjaValue *
pj_var_value(PjScope *scope)
{
	return jinja_object(scope->env, &var_ops, scope);
}
