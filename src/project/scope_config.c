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

static JinjaValue *
config_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	PjScope    *scope = object;
	MemoryContext old;
	PdDoc	   *call;

	if (scope->host.execute || scope->node == NULL)
		return jinja_string(env, "");
	if (!((args->nargs == 1 && args->nkwargs == 0) || (args->nargs == 0 && args->nkwargs > 0)) ||
		(args->nargs == 1 && jinja_kind(args->args[0]) != JINJA_DICT))
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "Invalid inline model config");
	old = MemoryContextSwitchTo(scope->load->cxt);
	if (args->nargs == 1)
		call = pj_value_doc(env, args->args[0]);
	else
	{
		call = pd_dict();
		for (int i = 0; i < args->nkwargs; i++)
			pd_put(call, args->kwnames[i], pj_value_doc(env, args->kwvalues[i]));
	}
	for (int i = 0; i < 2; i++)
	{
		const char *key = i == 0 ? "pre_hook" : "post_hook";
		PdDoc	   *value = pd_remove(call, key);

		if (value != NULL)
			pd_put(call, i == 0 ? "pre-hook" : "post-hook", value);
	}
	pj_merge_calls(scope->node->call_config, call);
	MemoryContextSwitchTo(old);
	return jinja_string(env, "");
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

static PdDoc *
config_meta(PjScope *scope, const char *key)
{
	return pd_get(pj_config_lookup(scope, "meta"), key);
}

static void
validate(JinjaEnv *env, const JinjaArgs *args, int pos, JinjaValue *value)
{
	JinjaValue *validator = dpipe_arg_given(args, pos, "validator");
	JinjaArgs	call = {.nargs = 1,.args = &value};

	if (validator != NULL)
		(void) jinja_call(env, validator, &call);
}

/* get(name, default=None, validator=None) */
static JinjaValue *
get_by(JinjaEnv *env, PjScope *scope, const JinjaArgs *args,
	   PdDoc *(*find) (PjScope *scope, const char *key))
{
	JinjaValue *deflt = dpipe_arg_given(args, 1, "default");
	char	   *name = dpipe_arg_text(env, args, 0, "name", "config.get");
	PdDoc	   *found;
	JinjaValue *value;

	if (!scope->host.execute)
		return jinja_string(env, "");
	found = find(scope, name);
	value = found != NULL ? pj_doc_value(env, found) : deflt != NULL ? deflt : jinja_none(env);
	if (deflt != NULL)
		validate(env, args, 2, value);
	return value;
}

/* require(name, validator=None) */
static JinjaValue *
require_by(JinjaEnv *env, PjScope *scope, const JinjaArgs *args,
		   PdDoc *(*find) (PjScope *scope, const char *key))
{
	char	   *name = dpipe_arg_text(env, args, 0, "name", "config.require");
	PdDoc	   *found;
	JinjaValue *value;

	if (!scope->host.execute)
		return jinja_string(env, "");
	found = find(scope, name);
	if (found == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER,
					"Model '%s' does not define a required config parameter '%s'.",
					scope->node != NULL ? scope->node->unique_id : "", name);
	value = pj_doc_value(env, found);
	validate(env, args, 1, value);
	return value;
}

static JinjaValue *
config_get(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return get_by(env, arg, args, pj_config_lookup);
}

static JinjaValue *
config_meta_get(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return get_by(env, arg, args, config_meta);
}

static JinjaValue *
config_require(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return require_by(env, arg, args, pj_config_lookup);
}

static JinjaValue *
config_meta_require(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return require_by(env, arg, args, config_meta);
}

static JinjaValue *
config_set(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *name = jinja_arg(args, 0, "name");
	JinjaValue *value = jinja_arg(args, 1, "value");
	const char *key;
	JinjaArgs	call = {0};

	if (name == NULL || value == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "config.set() takes a name and a value");
	key = jinja_to_cstring(env, name);
	call.nkwargs = 1;
	call.kwnames = &key;
	call.kwvalues = &value;
	return config_call(env, arg, &call);
}

static JinjaValue *
persist_docs(JinjaEnv *env, PjScope *scope, const char *what)
{
	PdDoc	   *docs = pj_config_lookup(scope, "persist_docs");

	if (docs != NULL && docs->kind != PD_DICT)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Invalid value provided for 'persist_docs'. Expected dict but received %s",
					pd_kind_name(docs));
	return jinja_bool(env, pd_truth(pd_get(docs, what)));
}

static JinjaValue *
config_persist_relation_docs(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return persist_docs(env, arg, "relation");
}

static JinjaValue *
config_persist_column_docs(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return persist_docs(env, arg, "columns");
}

static const DpipeMember config_members[] = {
	{"get", config_get},
	{"meta_get", config_meta_get},
	{"meta_require", config_meta_require},
	{"persist_column_docs", config_persist_column_docs},
	{"persist_relation_docs", config_persist_relation_docs},
	{"require", config_require},
	{"set", config_set},
	{NULL}
};

static JinjaValue *
config_attribute(JinjaEnv *env, void *object, const char *name)
{
	PjScope    *scope = object;
	JinjaValue *member = dpipe_member(env, config_members, name, object);
	PdDoc	   *value;

	if (member != NULL)
		return member;
	if (strcmp(name, "model") == 0 && scope->node != NULL)
		return pj_doc_value(env, pj_node_doc(scope->node));
	value = pj_config_lookup(scope, name);
	return value != NULL ? pj_doc_value(env, value) : NULL;
}

static const JinjaObjectOps config_ops = {"config", config_attribute, NULL, config_call};

JinjaValue *
pj_config_value(PjScope *scope)
{
	return jinja_object(scope->env, &config_ops, scope);
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

/* All that could be asked for, as find_var() would find it. */
static PdDoc *
all_vars(const PjScope *scope)
{
	const PjLoad *load = scope->load;
	const PjProject *project = scope->node != NULL ? scope->node->project : scope->project;
	PdDoc	   *vars = pd_dict();

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

static JinjaValue *
rendered_var(PjScope *scope, PdDoc *value)
{
	if (value->kind == PD_STRING && strchr(value->u.text, '{') != NULL)
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
	JinjaValue *name = jinja_arg(args, 0, "var_name");

	return jinja_bool(env, name != NULL && find_var(arg, jinja_to_cstring(env, name)) != NULL);
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
