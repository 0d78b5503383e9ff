/*
 * loop.c
 *		The for statement and its "loop" variable.
 *
 * Items are fetched one by one and their condition is tested then, so a body
 * can change what the condition looks at; only loop.length and what is
 * computed from it read ahead.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

typedef struct JnLoop
{
	const JnNode *node;
	JnScope    *outer;			/* where the statement stands */
	JnIter		iter;
	JnScope    *test_scope;
	JinjaValue *ahead;			/* fetched, not yet current */
	JinjaValue *previous;
	JinjaValue *current;
	JinjaValue *rest;			/* read ahead for the length; a list */
	int			rest_pos;
	JinjaValue *changed;		/* arguments of the last changed() */
	int64		index0;
	int64		length;			/* -1: not known yet */
	int			depth0;
} JnLoop;

static const JinjaObjectOps loop_ops;

static JnFlow run_loop(JinjaEnv *env, const JnNode *node, JnScope *outer,
					   JinjaValue *iterable, int depth0);

/* What was assigned to "target", tuples made anew. */
static JinjaValue *
assigned(JinjaEnv *env, const JnNode *target)
{
	JinjaValue *v;

	if (target->type != JN_TUPLE)
		return jn_eval(env, target);
	v = jn_list_sized(env, JINJA_TUPLE, target->u.list.n);
	for (int i = 0; i < target->u.list.n; i++)
		v->u.list.items[i] = assigned(env, target->u.list.items[i]);
	v->u.list.n = target->u.list.n;
	return v;
}

/*
 * "item" if the condition of the loop holds for it, NULL if not. An item that
 * was unpacked for the condition goes on as a tuple, as in Jinja2.
 */
static JinjaValue *
wanted(JinjaEnv *env, JnLoop *loop, JinjaValue *item)
{
	JnScope    *save = env->scope;
	const JnNode *save_node = env->node;
	JinjaValue *result = NULL;

	if (loop->node->u.loop.test == NULL)
		return item;
	jn_dict_clear(&loop->test_scope->vars);
	env->scope = loop->test_scope;
	jn_assign(env, loop->node->u.loop.target, item);
	if (jinja_truth(env, jn_eval(env, loop->node->u.loop.test)))
		result = assigned(env, loop->node->u.loop.target);
	env->scope = save;
	env->node = save_node;
	return result;
}

static JinjaValue *
fetch_from_source(JinjaEnv *env, JnLoop *loop)
{
	JinjaValue *item;

	while ((item = jn_iter_next(env, &loop->iter)) != NULL)
		if ((item = wanted(env, loop, item)) != NULL)
			return item;
	return NULL;
}

static JinjaValue *
fetch(JinjaEnv *env, JnLoop *loop)
{
	if (loop->rest != NULL)
		return loop->rest_pos < loop->rest->u.list.n ?
			loop->rest->u.list.items[loop->rest_pos++] : NULL;
	return fetch_from_source(env, loop);
}

static JinjaValue *
peek(JinjaEnv *env, JnLoop *loop)
{
	if (loop->ahead == NULL)
		loop->ahead = fetch(env, loop);
	return loop->ahead;
}

static int64
loop_length(JinjaEnv *env, JnLoop *loop)
{
	JinjaValue *item;

	if (loop->length >= 0)
		return loop->length;
	if (loop->node->u.loop.test == NULL &&
		loop->iter.source->kind != JINJA_ITERATOR)
		loop->length = jn_length(env, loop->iter.source);
	else
	{
		loop->rest = jinja_list(env);
		while ((item = fetch_from_source(env, loop)) != NULL)
			jinja_list_append(env, loop->rest, item);
		loop->length = loop->index0 + 1 + (loop->ahead != NULL) +
			loop->rest->u.list.n;
	}
	return loop->length;
}

static JinjaValue *
loop_cycle(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnLoop	   *loop = (JnLoop *) arg;

	if (args->nargs == 0)
		jn_raise_type(env, "no items for cycling given");
	return args->args[loop->index0 % args->nargs];
}

static JinjaValue *
loop_changed(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnLoop	   *loop = (JnLoop *) arg;
	JinjaValue *now = jinja_tuple(env, args->nargs, args->args);

	if (loop->changed != NULL && jinja_equal(env, loop->changed, now))
		return env->no;
	loop->changed = now;
	return env->yes;
}

static JinjaValue *
loop_attribute(JinjaEnv *env, void *object, const char *name)
{
	JnLoop	   *loop = (JnLoop *) object;
	JinjaValue *v;

	if (strcmp(name, "index") == 0)
		return jinja_int(env, loop->index0 + 1);
	if (strcmp(name, "index0") == 0)
		return jinja_int(env, loop->index0);
	if (strcmp(name, "first") == 0)
		return jinja_bool(env, loop->index0 == 0);
	if (strcmp(name, "last") == 0)
		return jinja_bool(env, peek(env, loop) == NULL);
	if (strcmp(name, "length") == 0)
		return jinja_int(env, loop_length(env, loop));
	if (strcmp(name, "revindex") == 0)
		return jinja_int(env, loop_length(env, loop) - loop->index0);
	if (strcmp(name, "revindex0") == 0)
		return jinja_int(env, loop_length(env, loop) - loop->index0 - 1);
	if (strcmp(name, "depth") == 0)
		return jinja_int(env, loop->depth0 + 1);
	if (strcmp(name, "depth0") == 0)
		return jinja_int(env, loop->depth0);
	if (strcmp(name, "previtem") == 0)
		return loop->index0 > 0 ? loop->previous :
			jn_undefined_hint(env, "there is no previous item");
	if (strcmp(name, "nextitem") == 0)
	{
		v = peek(env, loop);
		return v != NULL ? v :
			jn_undefined_hint(env, "there is no next item");
	}
	if (strcmp(name, "cycle") == 0)
		return jinja_function(env, "cycle", loop_cycle, loop);
	if (strcmp(name, "changed") == 0)
		return jinja_function(env, "changed", loop_changed, loop);
	return NULL;
}

static char *
loop_to_string(JinjaEnv *env, void *object)
{
	JnLoop	   *loop = (JnLoop *) object;

	return psprintf("<LoopContext " INT64_FORMAT "/" INT64_FORMAT ">",
					loop->index0 + 1, loop_length(env, loop));
}

/* loop(items): the body of a recursive loop for other items. */
static JinjaValue *
loop_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	JnLoop	   *loop = (JnLoop *) object;
	StringInfo	outer_out = env->out;
	JnScope    *outer_scope = env->scope;
	const JnNode *outer_node = env->node;
	StringInfoData out;

	if (args->nargs != 1 || args->nkwargs != 0)
		jn_raise_type(env, "loop takes one argument");
	if (!loop->node->u.loop.recursive)
		jn_raise_type(env, "the loop must be marked \"recursive\" to be called");
	jn_buffer_init(env, &out);
	env->out = &out;
	(void) run_loop(env, loop->node, loop->outer, args->args[0],
					loop->depth0 + 1);
	env->out = outer_out;
	env->scope = outer_scope;
	env->node = outer_node;
	return jn_buffer_string(env, &out);
}

static const JinjaObjectOps loop_ops = {
	.type_name = "LoopContext",
	.get_attribute = loop_attribute,
	.to_string = loop_to_string,
	.call = loop_call,
};

/* One round: a scope of its own, unless nothing kept the last one. */
static JnFlow
run_body(JinjaEnv *env, JnLoop *loop, JinjaValue *loop_value)
{
	if (env->scope->captured)
		jn_scope_push(env, loop->outer);
	else
		jn_dict_clear(&env->scope->vars);
	jn_scope_hide(env, &loop->node->u.loop.body);
	jn_dict_put(env, &env->scope->vars, env->loop_name, loop_value);
	jn_assign(env, loop->node->u.loop.target, loop->current);
	return jn_exec(env, &loop->node->u.loop.body);
}

static JnFlow
run_else(JinjaEnv *env, const JnNode *node, JnScope *outer)
{
	JnFlow		flow;

	jn_scope_push(env, outer);
	jn_scope_hide(env, &node->u.loop.orelse);
	flow = jn_exec(env, &node->u.loop.orelse);
	jn_scope_pop(env, outer);
	return flow;
}

static JnFlow
run_loop(JinjaEnv *env, const JnNode *node, JnScope *outer,
		 JinjaValue *iterable, int depth0)
{
	JnLoop	   *loop = jn_alloc(env, sizeof(JnLoop));
	JinjaValue *loop_value;
	JinjaValue *item;
	JnFlow		flow = JN_FLOW_NEXT;

	env->scope = outer;
	memset(loop, 0, sizeof(*loop));
	loop->node = node;
	loop->outer = outer;
	loop->index0 = -1;
	loop->length = -1;
	loop->depth0 = depth0;
	jn_iter_init(env, &loop->iter, iterable);
	/* "loop" may outlive the statement, and these look at its scope. */
	if (node->u.loop.test != NULL || node->u.loop.recursive)
		jn_scope_capture(env);
	if (node->u.loop.test != NULL)
	{
		loop->test_scope = jn_scope_push(env, outer);
		env->scope = outer;
	}
	loop_value = jinja_object(env, &loop_ops, loop);

	jn_scope_push(env, outer);
	while (flow != JN_FLOW_BREAK &&
		   (item = loop->ahead != NULL ? loop->ahead : fetch(env, loop)) != NULL)
	{
		jn_step(env);
		loop->ahead = NULL;
		loop->index0++;
		loop->previous = loop->current;
		loop->current = item;
		flow = run_body(env, loop, loop_value);
	}
	jn_scope_pop(env, outer);
	flow = JN_FLOW_NEXT;
	if (loop->index0 < 0 && node->u.loop.orelse.n > 0)
		flow = run_else(env, node, outer);
	return flow;
}

JnFlow
jn_exec_for(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *iterable = jn_eval(env, node->u.loop.iter);

	env->node = node;
	return run_loop(env, node, env->scope, iterable, 0);
}
