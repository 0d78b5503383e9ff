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
	v->u.macro.context = env->context;
	v->u.macro.template_name = env->tmpl_name;
	v->u.macro.seen = env->seen;
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
	bool		wanted = macro->def->uses_kwargs &&
		!is_param(macro->def, "kwargs");
	JinjaValue *dict = wanted ? jinja_dict(env) : NULL;

	for (int k = 0; k < args->nkwargs; k++)
	{
		if (used[k])
			continue;
		if (!wanted)
			jn_raise_type(env, "macro \"%s\" takes no keyword argument \"%s\"",
						  macro_name(macro), args->kwnames[k]);
		jinja_dict_set(env, dict, args->kwnames[k], args->kwvalues[k]);
	}
	if (wanted)
		put(env, "kwargs", dict);
}

static void
bind_varargs(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args)
{
	int			nparams = macro->def->nparams;
	int			more = Max(args->nargs - nparams, 0);

	if (macro->def->uses_varargs && !is_param(macro->def, "varargs"))
		put(env, "varargs", jinja_tuple(env, more, more == 0 ? NULL :
											args->args + nparams));
	else if (more > 0)
		jn_raise_type(env, "macro \"%s\" takes not more than %d arguments",
					  macro_name(macro), nparams);
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
					jn_not_provided(env, def->params[i]));
	for (int i = first_default; i < def->nparams; i++)
		if (values[i] == NULL)
			jn_dict_put(env, &env->scope->vars, def->params[i],
						jn_eval(env, def->defaults.items[i - first_default]));
	jn_free(env, values, (def->nparams + 1) * sizeof(JinjaValue *));
	jn_free(env, used, args->nkwargs + 1);
}

/* The body of a macro, in the scope it was defined in; its text. */
static JinjaValue *
run_macro(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args,
		  JnCallFrame *frame)
{
	JnScope    *outer = env->scope;
	StringInfoData out;

	jn_buffer_init(env, &out);
	env->context = macro->context;
	env->seen = macro->seen < 0 ? env->updates : macro->seen;
	jn_scope_push(env, macro->closure);
	jn_scope_hide(env, &macro->def->body);
	/* Defaults are evaluated in the macro, not by who calls it. */
	env->frames = frame;
	bind(env, macro, args);
	env->out = &out;
	env->tmpl_name = macro->template_name;
	(void) jn_exec(env, &macro->def->body);
	jn_scope_pop(env, outer);
	return jn_buffer_string(env, &out);
}

/*
 * What jinja_return() ends is the macro being called, not the call block in
 * it. PG_CATCH sees its arrival as it sees an error: "returned" tells them
 * apart.
 */
static JinjaValue *
run_catching(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args,
			 JnCallFrame *frame)
{
	JinjaValue *volatile result = NULL;

	env->catching++;
	PG_TRY();
	{
		result = run_macro(env, macro, args, frame);
	}
	PG_CATCH();
	{
		if (env->returned == NULL)
			PG_RE_THROW();
		result = env->returned;
		env->returned = NULL;
	}
	PG_END_TRY();
	env->catching--;
	return result;
}

JinjaValue *
jn_call_macro(JinjaEnv *env, const JnMacro *macro, const JinjaArgs *args)
{
	StringInfo	outer_out = env->out;
	JnScope    *outer_scope = env->scope;
	JinjaContext *outer_context = env->context;
	const char *outer_name = env->tmpl_name;
	JinjaValue *outer_input = env->filter_input;
	int			outer_depth = env->depth;
	int			outer_catching = env->catching;
	int			outer_seen = env->seen;
	JnCallFrame frame;
	JinjaValue *result;

	if (env->on_call != NULL && !jinja_in_macro(env) && macro->mark != NULL)
		env->on_call(env->on_call_arg, macro->mark);
	frame.prev = env->frames;
	frame.name = macro_name(macro);
	frame.template_name = env->tmpl_name;
	frame.node = env->node;
	if (macro->name == NULL)
		result = run_macro(env, macro, args, &frame);
	else
		result = run_catching(env, macro, args, &frame);

	env->frames = frame.prev;
	env->node = frame.node;
	env->out = outer_out;
	env->tmpl_name = outer_name;
	env->scope = outer_scope;
	env->context = outer_context;
	env->filter_input = outer_input;
	env->depth = outer_depth;
	env->catching = outer_catching;
	env->seen = outer_seen;
	return result;
}

void
jinja_return(JinjaEnv *env, JinjaValue *value)
{
	if (env->catching == 0)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"return is called outside of a macro");
	env->returned = value;
	PG_RE_THROW();
}

bool
jinja_returning(JinjaEnv *env)
{
	return env->returned != NULL;
}

void
jinja_env_on_call(JinjaEnv *env, JinjaCallHook hook, void *arg)
{
	env->on_call = hook;
	env->on_call_arg = arg;
}

JinjaValue *
jinja_mark_macro(JinjaValue *macro, const char *mark)
{
	Assert(macro->kind == JINJA_MACRO);
	macro->u.macro.mark = mark;
	return macro;
}

bool
jinja_in_macro(const JinjaEnv *env)
{
	return env->in_macro || env->frames != NULL;
}

/* Macro "i" of a template; it has no scope around it. */
JinjaValue *
jinja_macro(JinjaEnv *env, JinjaContext *context, JinjaTemplate *tmpl, int i)
{
	JinjaValue *v = jn_value(env, JINJA_MACRO);

	v->u.macro.def = &tmpl->macros[i]->u.macro;
	v->u.macro.context = context;
	v->u.macro.template_name = tmpl->name;
	v->u.macro.seen = -1;
	v->u.macro.name = tmpl->infos[i].name;
	return v;
}

JinjaValue *
jinja_macro_option(JinjaEnv *env, JinjaContext *context, JinjaTemplate *tmpl,
				   int i, const char *name)
{
	const JnMacroDef *def = &tmpl->macros[i]->u.macro;
	JinjaContext *outer = env->context;
	JnScope    *outer_scope = env->scope;
	JinjaValue *v = NULL;

	env->context = context;
	env->scope = NULL;
	for (int k = 0; k < def->options.n; k++)
		if (jn_string_is(def->option_names[k], name))
			v = jn_eval(env, def->options.items[k]);
	env->context = outer;
	env->scope = outer_scope;
	return v;
}
