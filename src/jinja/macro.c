/*
 * macro.c
 *		Macros and the caller() of call blocks.
 *
 * A macro sees the variables of the scopes around its definition, as they are
 * when it is called, and its own parameters. "caller", "kwargs" and "varargs"
 * exist in it only if its body mentions them.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

/* A macro defined here and now. */
JinjaValue *
jn_macro_value(JinjaEnv *env, const JnMacroDef *def)
{
	JinjaValue *v = jn_value(env, JINJA_MACRO);

	jn_scope_capture(env);
	v->u.macro.def = def;
	v->u.macro.closure = env->scope;
	v->u.macro.template_name = env->tmpl_name;
	v->u.macro.name = def->name == NULL ? NULL : def->name->u.string.data;
	return v;
}

static const char *
macro_name(const JnMacro *macro)
{
	return macro->name == NULL ? "caller" : macro->name;
}

static void
put(JinjaEnv *env, const char *name, JinjaValue *value)
{
	jn_dict_put(env, &env->scope->vars, jinja_string(env, name), value);
}

static bool
is_param(const JnMacroDef *def, const char *name)
{
	for (int i = 0; i < def->nparams; i++)
		if (jn_string_is(def->params[i], name))
			return true;
	return false;
}

/* Is parameter "i" given? By position, or by a keyword that is marked used. */
static JinjaValue *
given(const JnMacroDef *def, int i, const JinjaArgs *args, bool *used)
{
	if (i < args->nargs)
		return args->args[i];
	for (int k = 0; k < args->nkwargs; k++)
	{
		if (!used[k] && jn_string_is(def->params[i], args->kwnames[k]))
		{
			used[k] = true;
			return args->kwvalues[k];
		}
	}
	return NULL;
}

static void
bind_caller(JinjaEnv *env, const JinjaArgs *args, bool *used)
{
	JinjaValue *caller = NULL;

	for (int k = 0; k < args->nkwargs; k++)
	{
		if (!used[k] && strcmp(args->kwnames[k], "caller") == 0)
		{
			used[k] = true;
			caller = args->kwvalues[k];
		}
	}
	if (caller == NULL || caller->kind == JINJA_NONE)
		caller = jn_undefined_hint(env, "no caller defined");
	put(env, "caller", caller);
}

static void
bind_kwargs(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args,
			const bool *used)
{
	JinjaValue *dict = jinja_dict(env);

	for (int k = 0; k < args->nkwargs; k++)
	{
		if (used[k])
			continue;
		if (!macro->def->uses_kwargs || is_param(macro->def, "kwargs"))
			jn_raise_type(env, "macro \"%s\" takes no keyword argument \"%s\"",
						  macro_name(macro), args->kwnames[k]);
		jinja_dict_set(env, dict, args->kwnames[k], args->kwvalues[k]);
	}
	if (macro->def->uses_kwargs && !is_param(macro->def, "kwargs"))
		put(env, "kwargs", dict);
}

static void
bind_varargs(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args)
{
	int			nparams = macro->def->nparams;
	int			more = Max(args->nargs - nparams, 0);

	if (macro->def->uses_varargs && !is_param(macro->def, "varargs"))
		put(env, "varargs", jn_tuple(env, more, args->args + nparams));
	else if (more > 0)
		jn_raise_type(env, "macro \"%s\" takes not more than %d arguments",
					  macro_name(macro), nparams);
}

static JinjaValue *
not_provided(JinjaEnv *env, const JinjaValue *param)
{
	char	   *hint = psprintf("parameter \"%s\" was not provided",
								param->u.string.data);

	return jn_undefined_hint(env, MemoryContextStrdup(env->cxt, hint));
}

/*
 * Fill the new scope. All arguments are looked at before any default is
 * evaluated; a default sees the parameters before it.
 */
static void
bind(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args)
{
	const JnMacroDef *def = macro->def;
	JinjaValue **values = jn_alloc(env, (def->nparams + 1) *
								   sizeof(JinjaValue *));
	bool	   *used = jn_alloc(env, args->nkwargs + 1);
	int			first_default = def->nparams - def->defaults.n;

	memset(used, 0, args->nkwargs + 1);
	for (int i = 0; i < def->nparams; i++)
		values[i] = given(def, i, args, used);
	if (def->uses_caller && !is_param(def, "caller"))
		bind_caller(env, args, used);
	bind_kwargs(env, macro, args, used);
	bind_varargs(env, macro, args);

	/* A parameter without a value hides the variable outside as well. */
	for (int i = 0; i < def->nparams; i++)
		jn_dict_put(env, &env->scope->vars, def->params[i],
					values[i] != NULL ? values[i] :
					not_provided(env, def->params[i]));
	for (int i = first_default; i < def->nparams; i++)
		if (values[i] == NULL)
			jn_dict_put(env, &env->scope->vars, def->params[i],
						jn_eval(env, def->defaults.items[i - first_default]));
	pfree(values);
	pfree(used);
}

JinjaValue *
jn_call_macro(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args)
{
	StringInfo	outer_out = env->out;
	JnScope    *outer_scope = env->scope;
	const char *outer_name = env->tmpl_name;
	JnCallFrame frame;
	StringInfoData out;

	frame.prev = env->frames;
	frame.name = macro_name(macro);
	frame.template_name = env->tmpl_name;
	frame.node = env->node;
	jn_buffer_init(env, &out);

	jn_scope_push(env, macro->closure);
	jn_scope_hide(env, &macro->def->body);
	bind(env, macro, args);
	env->frames = &frame;
	env->out = &out;
	env->tmpl_name = macro->template_name;
	(void) jn_exec(env, &macro->def->body);

	env->frames = frame.prev;
	env->node = frame.node;
	env->out = outer_out;
	env->tmpl_name = outer_name;
	jn_scope_pop(env, outer_scope);
	return jn_buffer_string(env, &out);
}
