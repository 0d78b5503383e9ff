/*
 * call.c
 *		Calls: arguments to parameters.
 */
#include "base/compat.h"

#include "jinja/markup.h"

static void
bind_keyword(JinjaEnv *env, const JnBuiltin *b, JinjaValue **argv,
			 const char *name, JinjaValue *value)
{
	for (int i = 0; i < b->nparams; i++)
	{
		if (b->params[i] == NULL || strcmp(b->params[i], name) != 0)
			continue;
		if (argv[i] != NULL)
			jn_raise_type(env, "%s got multiple values for argument \"%s\"",
						  b->name, name);
		argv[i] = value;
		return;
	}
	jn_raise_type(env, "%s got an unexpected keyword argument \"%s\"",
				  b->name, name);
}

JinjaValue *
jn_call_builtin(JinjaEnv *env, const JnBuiltin *b, JinjaValue *self,
				const JinjaArgs *args)
{
	JinjaValue *argv[JN_MAX_PARAMS] = {NULL};
	bool		markup = b->markup != JN_MARKUP_NO_TEXT && jn_is_markup(self);

	if (b->nparams == JN_RAW)
		return markup ? jn_call_on_markup(env, b, self, NULL, args) :
			b->fn(env, self, NULL, args);
	if (args->nargs > b->nparams)
		jn_raise_type(env, "%s takes at most %d arguments (%d given)",
					  b->name, b->nparams, args->nargs);
	for (int i = 0; i < args->nargs; i++)
		argv[i] = args->args[i];
	for (int i = 0; i < args->nkwargs; i++)
		bind_keyword(env, b, argv, args->kwnames[i], args->kwvalues[i]);
	for (int i = 0; i < b->nrequired; i++)
	{
		if (argv[i] != NULL)
			continue;
		if (b->params[i] != NULL)
			jn_raise_type(env, "%s needs an argument \"%s\"", b->name,
						  b->params[i]);
		jn_raise_type(env, "%s needs %d arguments (%d given)", b->name,
					  b->nrequired, args->nargs);
	}
	return markup ? jn_call_on_markup(env, b, self, argv, args) :
		b->fn(env, self, argv, args);
}

JinjaValue *
jinja_call(JinjaEnv *env, JinjaValue *callee, const JinjaArgs *args)
{
	if (env->tmpl_name == NULL)
		return jn_call_from_host(env, callee, args);
	switch (callee->kind)
	{
		case JINJA_FUNCTION:
			return callee->u.function.fn(env, callee->u.function.arg, args);
		case JINJA_METHOD:
			return jn_call_builtin(env, callee->u.method.builtin,
								   callee->u.method.self, args);
		case JINJA_MACRO:
			return jn_call_macro(env, &callee->u.macro, args);
		case JINJA_OBJECT:
			if (callee->u.object.ops->call != NULL)
				return callee->u.object.ops->call(env,
												  callee->u.object.object,
												  args);
			break;
		case JINJA_UNDEFINED:
			if (env->lenient)
				return callee;
			jn_fail_undefined(env, callee);
		default:
			break;
	}
	jn_raise_type(env, "%s object is not callable", jinja_type_name(callee));
}
