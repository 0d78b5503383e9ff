/*
 * env.c
 *		The environment of a rendering: limits, errors.
 *
 * Values are never freed one by one: they live in the environment's memory
 * until it is destroyed, so what a rendering may use is a limit on that. Steps,
 * depth and output have limits of their own; all of them are checked before
 * the resource is taken.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "base/vformat.h"
#include "jinja/jinja_internal.h"

/* Of the macros that were being called when an error was raised. */
#define MAX_FRAMES_SHOWN 10

/* Environments of this session; templates in use outlive none of them. */
static int	live_environments = 0;

static void
environment_gone(void *arg)
{
	jn_memory_gone((JinjaEnv *) arg);
	if (--live_environments == 0)
		jn_trim_cache();
}

JinjaEnv *
jinja_env_create(MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "dpipe template values",
											  ALLOCSET_DEFAULT_SIZES);
	JinjaEnv   *env = MemoryContextAllocZero(cxt, sizeof(JinjaEnv));

	env->cxt = cxt;
	env->gone.func = environment_gone;
	env->gone.arg = env;
	MemoryContextRegisterResetCallback(cxt, &env->gone);
	live_environments++;
	jn_memory_init(env);
	jn_dict_init(&env->globals);
	env->none = jn_value(env, JINJA_NONE);
	env->yes = jn_value(env, JINJA_BOOL);
	env->yes->u.boolean = true;
	env->no = jn_value(env, JINJA_BOOL);
	env->empty_string = jn_string_static(cxt, "", 0);
	env->loop_name = jn_string_static(cxt, "loop", 4);
	env->hidden = jn_value(env, JINJA_UNDEFINED);
	return env;
}

void
jinja_env_destroy(JinjaEnv *env)
{
	MemoryContextDelete(env->cxt);
}

MemoryContext
jinja_env_context(JinjaEnv *env)
{
	return env->cxt;
}

void
jinja_env_set_lenient(JinjaEnv *env, bool lenient)
{
	env->lenient = lenient;
}

void
jinja_env_set(JinjaEnv *env, const char *name, JinjaValue *value)
{
	jn_dict_put(env, &env->globals, jinja_string(env, name), value);
}

/* ---------- errors ---------- */

/* The place is added by the context callback of jinja_render(). */
void
jinja_raise(JinjaEnv *env, int sqlstate, const char *fmt,...)
{
	va_list		args;
	char	   *message;

	va_start(args, fmt);
	message = dpipe_vformat(fmt, args);
	va_end(args);
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", message)));
}

void
jn_raise_type(JinjaEnv *env, const char *fmt,...)
{
	va_list		args;
	char	   *message;

	va_start(args, fmt);
	message = dpipe_vformat(fmt, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message)));
}

/* ---------- limits ---------- */

/* Called every JN_CHECK_INTERVAL steps. */
void
jn_step_slow(JinjaEnv *env)
{
	CHECK_FOR_INTERRUPTS();
	if (env->steps > dpipe_jinja_max_steps)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("template takes too many steps"),
				 errdetail("The limit is dpipe.template_max_steps (%d).",
						   dpipe_jinja_max_steps)));
}

void
jn_enter(JinjaEnv *env)
{
	check_stack_depth();
	if (++env->depth > dpipe_jinja_max_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("template recurses too deeply"),
				 errdetail("The limit is dpipe.template_max_depth (%d).",
						   dpipe_jinja_max_depth)));
}

/* ---------- text buffers ---------- */

void
jn_append(JinjaEnv *env, StringInfo buf, const char *s, int len)
{
	jn_work_bytes(env, len);
	jn_reserve(env, buf, len);
	memcpy(buf->data + buf->len, s, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
jn_append_cstring(JinjaEnv *env, StringInfo buf, const char *s)
{
	jn_append(env, buf, s, strlen(s));
}

void
jn_append_fill(JinjaEnv *env, StringInfo buf, char c, int64 n)
{
	if (n <= 0)
		return;
	jn_reserve(env, buf, n);
	jn_work_bytes(env, n);
	memset(buf->data + buf->len, c, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
}

/* ---------- rendering ---------- */

static void
render_error_context(void *arg)
{
	JinjaEnv   *env = (JinjaEnv *) arg;
	int			n = 0;

	if (env->node == NULL || env->tmpl_name == NULL)
		return;
	errcontext("template \"%s\", line %d, column %d", env->tmpl_name,
			   env->node->line, env->node->col);
	for (JnCallFrame *f = env->frames; f != NULL; f = f->prev)
	{
		if (++n > MAX_FRAMES_SHOWN)
		{
			errcontext("and more macros");
			break;
		}
		if (f->node == NULL)
			errcontext("macro \"%s\"", f->name);
		else
			errcontext("macro \"%s\", called in template \"%s\", line %d, column %d",
				   f->name, f->template_name, f->node->line, f->node->col);
	}
}

/*
 * A host function may render another template in the same environment, so
 * all that tells where evaluation stands is put back, after an error too.
 * Runs a template, or, if that is NULL, a call.
 */
static JinjaValue *
run(JinjaEnv *env, JinjaContext *context, StringInfo out, JnNative *native,
	JinjaTemplate *tmpl, JinjaValue *callee, const JinjaArgs *args)
{
	JinjaEnv	saved = *env;
	ErrorContextCallback callback;
	JinjaValue *volatile result = NULL;

	jn_enter(env);
	callback.callback = render_error_context;
	callback.arg = env;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	env->out = out;
	env->native = native;
	env->tmpl_name = tmpl == NULL ? "" : tmpl->name;
	env->in_macro = jinja_in_macro(env);
	env->frames = NULL;
	env->node = NULL;
	env->scope = NULL;
	env->context = context;
	env->seen = env->updates;
	env->catching = 0;
	PG_TRY();
	{
		if (tmpl != NULL)
			jn_run(env, tmpl);
		else
			result = jinja_call(env, callee, args);
	}
	PG_FINALLY();
	{
		env->out = saved.out;
		env->native = saved.native;
		env->tmpl_name = saved.tmpl_name;
		env->frames = saved.frames;
		env->in_macro = saved.in_macro;
		env->node = saved.node;
		env->scope = saved.scope;
		env->context = saved.context;
		env->catching = saved.catching;
		env->seen = saved.seen;
		env->filter_input = saved.filter_input;
		env->depth = saved.depth;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	return result;
}

/* A call that the host makes while nothing is rendered. */
JinjaValue *
jn_call_from_host(JinjaEnv *env, JinjaValue *callee, const JinjaArgs *args)
{
	return run(env, NULL, NULL, NULL, NULL, callee, args);
}

char *
jinja_render_in(JinjaEnv *env, JinjaContext *context, JinjaTemplate *tmpl)
{
	StringInfoData out;
	char	   *result;

	jn_buffer_init(env, &out);
	(void) run(env, context, &out, NULL, tmpl, NULL, NULL);
	result = pnstrdup(out.data, out.len);
	jn_buffer_free(env, &out);
	return result;
}

char *
jinja_render(JinjaEnv *env, JinjaTemplate *tmpl)
{
	return jinja_render_in(env, NULL, tmpl);
}

JinjaValue *
jinja_render_native(JinjaEnv *env, JinjaContext *context, JinjaTemplate *tmpl)
{
	StringInfoData out;
	JnNative	native = {&out};

	jn_buffer_init(env, &out);
	(void) run(env, context, &out, &native, tmpl, NULL, NULL);
	if (native.npieces == 1 && native.only != NULL)
	{
		jn_buffer_free(env, &out);
		return jn_native_value(env, native.only);
	}
	return jn_buffer_string(env, &out);
}

bool
jinja_frame(JinjaEnv *env, int i, JinjaFrame *frame)
{
	JnCallFrame *f = env->frames;
	const JnNode *node = env->node;

	frame->template_name = env->tmpl_name;
	for (; i > 0 && f != NULL; i--, f = f->prev)
	{
		frame->template_name = f->template_name;
		node = f->node;
	}
	if (i > 0 || node == NULL || frame->template_name == NULL)
		return false;
	frame->macro = f == NULL ? NULL : f->name;
	frame->line = node->line;
	frame->column = node->col;
	return true;
}
