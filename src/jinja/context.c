/*
 * context.c
 *		Where names that no scope knows are looked for.
 *
 * A context is asked first for what was set in it, then through its callback,
 * then its outer context. What a callback gives is set in the context it was
 * asked for, so that it is asked once for each name it knows. What templates
 * themselves have put there comes first, for those that begin later: each has
 * a copy of the names in the original.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

typedef struct JnUpdate
{
	struct JnUpdate *next;
	const char *name;
	JinjaValue *value;			/* undefined: the name has none any more */
	int			number;			/* env->updates when it was made */
} JnUpdate;

JinjaContext *
jinja_context_create(JinjaEnv *env, JinjaContext *outer, JinjaLookup lookup,
					 void *arg)
{
	JinjaContext *context = jn_alloc(env, sizeof(JinjaContext));

	context->outer = outer;
	context->lookup = lookup;
	context->arg = arg;
	jn_dict_init(&context->vars);
	context->updates = NULL;
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

void
jinja_context_update(JinjaEnv *env, JinjaContext *context, const char *name,
					 JinjaValue *value)
{
	JnUpdate   *update = jn_alloc(env, sizeof(JnUpdate));

	update->next = context->updates;
	update->name = MemoryContextStrdup(env->cxt, name);
	update->value = value != NULL ? value : jinja_undefined(env, name);
	update->number = ++env->updates;
	context->updates = update;
	jn_work(env, env->updates);
}

const char *
jinja_context_updated(const JinjaContext *context, int i)
{
	const JnUpdate *update = context->updates;

	while (update != NULL && i-- > 0)
		update = update->next;
	return update != NULL ? update->name : NULL;
}

/* What an update that is seen has given a name, or NULL. */
static JinjaValue *
updated(JinjaEnv *env, const JinjaContext *context, const char *name, int seen)
{
	for (const JnUpdate *u = context->updates; u != NULL; u = u->next)
	{
		jn_work(env, 1);
		if (u->number <= seen && strcmp(u->name, name) == 0)
			return u->value;
	}
	return NULL;
}

/* The value of a name, or NULL. */
static JinjaValue *
find(JinjaEnv *env, JinjaContext *context, JinjaValue *name, int seen)
{
	const char *s = name->u.string.data;
	JinjaValue *v;

	for (; context != NULL; context = context->outer)
	{
		if (context->updates != NULL && (v = updated(env, context, s, seen)) != NULL)
			return v->kind != JINJA_UNDEFINED ? v : NULL;
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
jn_lookup(JinjaEnv *env, JinjaContext *context, JinjaValue *name)
{
	return find(env, context, name, env->seen);
}

JinjaValue *
jinja_context_get(JinjaEnv *env, JinjaContext *context, const char *name)
{
	return find(env, context, jinja_string(env, name), env->updates);
}
