/*
 * config_object.c
 *		The object "config" of a template, whoever's configuration it is.
 *
 * While a text is parsed, config() notes what it says about itself, and every
 * lookup gives nothing, as the rest of the configuration is not known yet.
 */
#include "base/compat.h"

#include "project/host.h"

typedef struct ConfigObject
{
	const DpipeConfigOps *ops;
	void	   *arg;
	const char *node;
	bool		execute;
} ConfigObject;

typedef JinjaValue *(*Finder) (JinjaEnv *env, const ConfigObject *config, const char *key);

/* ---------- what a text says about itself ---------- */

static JinjaValue *
keywords_dict(JinjaEnv *env, const JinjaArgs *args)
{
	JinjaValue *dict = jinja_dict(env);

	for (int i = 0; i < args->nkwargs; i++)
		jinja_dict_set(env, dict, args->kwnames[i], args->kwvalues[i]);
	return dict;
}

static JinjaValue *
config_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	ConfigObject *config = object;
	bool		positional = args->nargs == 1 && args->nkwargs == 0;

	if (config->execute)
		return jinja_string(env, "");
	if ((!positional && (args->nargs > 0 || args->nkwargs == 0)) ||
		(positional && jinja_kind(args->args[0]) != JINJA_DICT))
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "Invalid inline model config");
	config->ops->note(env, config->arg, positional ? args->args[0] : keywords_dict(env, args));
	return jinja_string(env, "");
}

static JinjaValue *
config_set(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	JinjaValue *name = dpipe_arg(env, args, 0, "name", "config.set");
	JinjaValue *value = dpipe_arg(env, args, 1, "value", "config.set");
	JinjaValue *dict = jinja_dict(env);
	JinjaArgs	call = {.nargs = 1,.args = &dict};

	jinja_dict_set_value(env, dict, name, value);
	return config_call(env, object, &call);
}

/* ---------- lookups ---------- */

static JinjaValue *
find(JinjaEnv *env, const ConfigObject *config, const char *key)
{
	return config->execute ? config->ops->lookup(env, config->arg, key) : NULL;
}

static JinjaValue *
find_meta(JinjaEnv *env, const ConfigObject *config, const char *key)
{
	JinjaValue *meta = find(env, config, "meta");

	return meta != NULL && jinja_kind(meta) == JINJA_DICT ? jinja_dict_get(env, meta, key) : NULL;
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
get_by(JinjaEnv *env, const ConfigObject *config, const JinjaArgs *args, Finder finder)
{
	char	   *name = dpipe_arg_text(env, args, 0, "name", "config.get");
	JinjaValue *deflt = dpipe_arg_given(args, 1, "default");
	JinjaValue *value;

	if (!config->execute)
		return jinja_string(env, "");
	value = finder(env, config, name);
	if (value == NULL)
		value = deflt != NULL ? deflt : jinja_none(env);
	if (deflt != NULL)
		validate(env, args, 2, value);
	return value;
}

/* require(name, validator=None) */
static JinjaValue *
require_by(JinjaEnv *env, const ConfigObject *config, const JinjaArgs *args, Finder finder)
{
	char	   *name = dpipe_arg_text(env, args, 0, "name", "config.require");
	JinjaValue *value;

	if (!config->execute)
		return jinja_string(env, "");
	value = finder(env, config, name);
	if (value == NULL)
		dpipe_raise_missing_config(env, config->node, name);
	validate(env, args, 1, value);
	return value;
}

static JinjaValue *
config_get(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return get_by(env, object, args, find);
}

static JinjaValue *
config_meta_get(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return get_by(env, object, args, find_meta);
}

static JinjaValue *
config_require(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return require_by(env, object, args, find);
}

static JinjaValue *
config_meta_require(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return require_by(env, object, args, find_meta);
}

/* ---------- persist_docs ---------- */

static JinjaValue *
persist_docs(JinjaEnv *env, const ConfigObject *config, const char *what)
{
	JinjaValue *docs = find(env, config, "persist_docs");
	JinjaValue *value;

	if (docs == NULL)
		return jinja_bool(env, false);
	if (jinja_kind(docs) != JINJA_DICT)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Invalid value provided for 'persist_docs'. Expected dict but received %s",
					jinja_type_name(docs));
	value = jinja_dict_get(env, docs, what);
	return value != NULL ? value : jinja_bool(env, false);
}

static JinjaValue *
config_persist_relation_docs(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return persist_docs(env, object, "relation");
}

static JinjaValue *
config_persist_column_docs(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	return persist_docs(env, object, "columns");
}

/* ---------- the object ---------- */

static const DpipeMember members[] = {
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
	ConfigObject *config = object;
	JinjaValue *value = dpipe_member(env, members, name, object);

	if (value == NULL && strcmp(name, "model") == 0)
		value = config->ops->model(env, config->arg);
	return value != NULL ? value : find(env, config, name);
}

static const JinjaObjectOps config_ops = {"config", config_attribute, NULL, config_call};

JinjaValue *
dpipe_config_value(JinjaEnv *env, const DpipeConfigOps *ops, void *arg, const char *node,
				   bool execute)
{
	ConfigObject *config = MemoryContextAlloc(jinja_env_context(env), sizeof(ConfigObject));

	config->ops = ops;
	config->arg = arg;
	config->node = node;
	config->execute = execute;
	return jinja_object(env, &config_ops, config);
}
