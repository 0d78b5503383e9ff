/*
 * context.c
 *		Where names that no scope knows are looked for.
 *
 * A context is asked first for what was set in it, then through its callback,
 * then its outer context. What a callback gives is set in the context it was
 * asked for, so that it is asked once for each name it knows.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

JinjaContext *
jinja_context_create(JinjaEnv *env, JinjaContext *outer, JinjaLookup lookup,
					 void *arg)
{
	JinjaContext *context = jn_alloc(env, sizeof(JinjaContext));

	context->outer = outer;
	context->lookup = lookup;
	context->arg = arg;
	jn_dict_init(&context->vars);
	return context;
}

void
jinja_context_set(JinjaEnv *env, JinjaContext *context, const char *name,
				  JinjaValue *value)
{
	jn_dict_put(env, &context->vars, jinja_string(env, name), value);
}

void
jinja_context_unset(JinjaEnv *env, JinjaContext *context, const char *name)
{
	(void) jn_dict_remove(env, &context->vars, jinja_string(env, name));
}

JinjaContext *
jinja_current_context(JinjaEnv *env)
{
	return env->context;
}

/* The value of a name, or NULL. */
JinjaValue *
jn_lookup(JinjaEnv *env, JinjaContext *context, JinjaValue *name)
{
	const char *s = name->u.string.data;
	JinjaValue *v;

	for (; context != NULL; context = context->outer)
	{
		v = jn_dict_lookup_name(&context->vars, name);
		if (v == NULL && context->lookup != NULL &&
			(v = context->lookup(env, context->arg, s)) != NULL)
			jinja_context_set(env, context, s, v);
		if (v != NULL)
			return v;
	}
	v = jn_dict_lookup_name(&env->globals, name);
	return v != NULL ? v : jn_global(env, s);
}

JinjaValue *
jinja_context_get(JinjaEnv *env, JinjaContext *context, const char *name)
{
	return jn_lookup(env, context, jinja_string(env, name));
}
