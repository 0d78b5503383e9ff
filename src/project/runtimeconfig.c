/*
 * runtimeconfig.c
 *		What ref and source are besides functions: objects that know the
 *		configuration that dbt runs with, as ref.config, and the node.
 */
#include "base/compat.h"

#include "project/manifest.h"
#include "project/node.h"
#include "project/scope.h"

/* ---------- a project's configuration ---------- */

typedef struct Config
{
	PjScope    *scope;
	const PjProject *project;
} Config;

static JinjaValue *config_value(PjScope *scope, const PjProject *project);

/* What is a key of dbt_project.yml, with what it is when it is not there. */
static PdDoc *
project_key(const PjProject *project, const char *name)
{
	static const struct
	{
		const char *name;
		const char *key;
		const char *deflt;
	}			keys[] = {
		{"project_name", "name", "null"},
		{"version", "version", "null"},
		{"config_version", "config-version", "2"},
		{"target_path", "target-path", "\"target\""},
		{"log_path", "log-path", "\"logs\""},
		{"packages_install_path", "packages-install-path", "\"dbt_packages\""},
		{"clean_targets", "clean-targets", "[\"target\"]"},
		{"asset_paths", "asset-paths", "[]"},
		{"on_run_start", "on-run-start", "[]"},
		{"on_run_end", "on-run-end", "[]"},
		{"dispatch", "dispatch", "[]"},
		{"restrict_access", "restrict-access", "false"},
		{"models", "models", "{}"},
		{"seeds", "seeds", "{}"},
		{"snapshots", "snapshots", "{}"},
		{"sources", "sources", "{}"},
		{"data_tests", "data_tests", "{}"},
		{"unit_tests", "unit_tests", "{}"},
		{"metrics", "metrics", "{}"},
		{"semantic_models", "semantic-models", "{}"},
		{"saved_queries", "saved-queries", "{}"},
		{"exposures", "exposures", "{}"},
		{"flags", "flags", "{}"},
	};

	for (int i = 0; i < lengthof(keys); i++)
	{
		PdDoc	   *doc;

		if (strcmp(keys[i].name, name) != 0)
			continue;
		doc = pd_get(project->doc, keys[i].key);
		return !pd_is_null(doc) ? doc : pd_from_json(keys[i].deflt, strlen(keys[i].deflt));
	}
	return NULL;
}

static JinjaValue *
paths_value(const Config *config, const char *name)
{
	static const struct
	{
		const char *name;
		PjKind		kind;
	}			kinds[] = {
		{"model_paths", PJ_MODEL},
		{"seed_paths", PJ_SEED},
		{"snapshot_paths", PJ_SNAPSHOT},
		{"analysis_paths", PJ_ANALYSIS},
		{"test_paths", PJ_TEST},
		{"macro_paths", PJ_MACRO},
		{"function_paths", PJ_FUNCTION},
		{"docs_paths", PJ_DOCS},
	};
	JinjaValue *list;
	ListCell   *lc;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		list = jinja_list(config->scope->env);
		foreach(lc, config->project->paths[kinds[i].kind])
			jinja_list_append(config->scope->env, list,
							  jinja_string(config->scope->env, lfirst(lc)));
		return list;
	}
	return NULL;
}

static JinjaValue *
dependencies_value(PjScope *scope)
{
	JinjaValue *dict = jinja_dict(scope->env);
	ListCell   *lc;

	jinja_dict_set(scope->env, dict, scope->load->root->name,
				   config_value(scope, scope->load->root));
	foreach(lc, scope->load->projects)
	{
		PjProject  *project = lfirst(lc);

		if (project != scope->load->root)
			jinja_dict_set(scope->env, dict, project->name, config_value(scope, project));
	}
	return dict;
}

/* Flags by their names in both cases. */
static PdDoc *
args_doc(const PjLoad *load)
{
	PdDoc	   *args = dpipe_invocation_args(load->flags, load->vars);

	for (int i = 0; i < load->flags->n; i++)
		(void) pd_put_key(args, load->flags->u.entries[i].key, load->flags->u.entries[i].value);
	return args;
}

static JinjaValue *
vars_to_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return pj_doc_value(env, ((const Config *) arg)->project->vars);
}

static JinjaValue *
vars_attribute(JinjaEnv *env, void *object, const char *name)
{
	if (strcmp(name, "to_dict") == 0)
		return jinja_function(env, name, vars_to_dict, object);
	return strcmp(name, "vars") == 0 ? vars_to_dict(env, object, NULL) : NULL;
}

static const JinjaObjectOps vars_ops = {.type_name = "VarProvider",.get_attribute = vars_attribute};

static JinjaValue *
config_attribute(JinjaEnv *env, void *object, const char *name)
{
	const Config *config = object;
	const PjLoad *load = config->scope->load;
	PdDoc	   *doc = project_key(config->project, name);

	if (strcmp(name, "vars") == 0)
		return jinja_object(env, &vars_ops, config);
	if (strcmp(name, "dependencies") == 0)
		return dependencies_value(config->scope);
	if (strcmp(name, "credentials") == 0)
		doc = load->target;
	else if (strcmp(name, "target_name") == 0 || strcmp(name, "profile_name") == 0 ||
			 strcmp(name, "threads") == 0)
		doc = pd_get(load->target, name);
	else if (strcmp(name, "quoting") == 0)
		doc = config->project->quoting;
	else if (strcmp(name, "cli_vars") == 0)
		doc = load->vars != NULL ? load->vars : pd_dict();
	else if (strcmp(name, "args") == 0)
		doc = args_doc(load);
	return doc != NULL ? pj_doc_value(env, doc) : paths_value(config, name);
}

static const JinjaObjectOps config_ops = {
	.type_name = "RuntimeConfig",
	.get_attribute = config_attribute,
};

static JinjaValue *
config_value(PjScope *scope, const PjProject *project)
{
	Config	   *config = MemoryContextAlloc(jinja_env_context(scope->env), sizeof(Config));

	config->scope = scope;
	config->project = project;
	return jinja_object(scope->env, &config_ops, config);
}

/* ---------- ref, source ---------- */

typedef struct Resolver
{
	PjScope    *scope;
	JinjaFunction fn;
} Resolver;

static JinjaValue *
resolver_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	Resolver   *resolver = object;

	return resolver->fn(env, resolver->scope, args);
}

static JinjaValue *
resolver_attribute(JinjaEnv *env, void *object, const char *name)
{
	PjScope    *scope = ((Resolver *) object)->scope;

	if (strcmp(name, "config") == 0)
		return config_value(scope, scope->load->root);
	if (strcmp(name, "current_project") == 0)
		return jinja_string(env, scope->load->root->name);
	if (strcmp(name, "model") == 0 && scope->node != NULL)
		return pj_doc_value(env, pj_node_doc(scope->node));
	return NULL;
}

static const JinjaObjectOps ref_ops = {
	.type_name = "RuntimeRefResolver",
	.get_attribute = resolver_attribute,
	.call = resolver_call,
};

static const JinjaObjectOps source_ops = {
	.type_name = "RuntimeSourceResolver",
	.get_attribute = resolver_attribute,
	.call = resolver_call,
};

JinjaValue *
pj_resolver_value(PjScope *scope, bool source, JinjaFunction fn)
{
	Resolver   *resolver = MemoryContextAlloc(jinja_env_context(scope->env), sizeof(Resolver));

	resolver->scope = scope;
	resolver->fn = fn;
	return jinja_object(scope->env, source ? &source_ops : &ref_ops, resolver);
}
