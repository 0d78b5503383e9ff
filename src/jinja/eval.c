/*
 * eval.c
 *		Walks the tree: expressions to values, statements to text.
 *
 * env->node is the node at work whenever something can fail, so an error can
 * name its place: each node sets it on entry and again after its operands.
 */
#include "base/compat.h"

#include "miscadmin.h"

#include "jinja/jinja_internal.h"

/* ---------- scopes ---------- */

JnScope *
jn_scope_push(JinjaEnv *env, JnScope *parent)
{
	JnScope    *scope = jn_alloc(env, sizeof(JnScope));

	scope->parent = parent;
	scope->captured = false;
	jn_dict_init(&scope->vars);
	env->scope = scope;
	return scope;
}

/* Enter "body" in the current scope, which is new. */
void
jn_scope_hide(JinjaEnv *env, const JnNodeList *body)
{
	for (int i = 0; i < body->nhidden; i++)
		jn_dict_put(env, &env->scope->vars, body->hidden[i], env->hidden);
}

/* Something will refer to the current scope: keep it and those around it. */
void
jn_scope_capture(JinjaEnv *env)
{
	for (JnScope *s = env->scope; s != NULL && !s->captured; s = s->parent)
		s->captured = true;
}

/* Leave the current scope for "outer". */
void
jn_scope_pop(JinjaEnv *env, JnScope *outer)
{
	JnScope    *scope = env->scope;

	env->scope = outer;
	if (scope->captured)
		return;
	jn_dict_free(env, &scope->vars);
	jn_free(env, scope, sizeof(JnScope));
}

static JinjaValue *
lookup(JinjaEnv *env, JinjaValue *name)
{
	JinjaValue *v;

	for (JnScope *scope = env->scope; scope != NULL; scope = scope->parent)
		if ((v = jn_dict_lookup_name(&scope->vars, name)) != NULL)
			return v != env->hidden ? v : jn_missing(env, NULL, name);
	v = jn_lookup(env, env->context, name);
	return v != NULL ? v : jn_missing(env, NULL, name);
}

/* {% set object.name = value %} */
static void
assign_attribute(JinjaEnv *env, const JnNode *target, JinjaValue *value)
{
	JinjaValue *object = lookup(env, target->u.attr.object->u.value);
	const char *name = target->u.attr.name->u.string.data;

	env->node = target;
	if (object->kind != JINJA_OBJECT ||
		object->u.object.ops->set_attribute == NULL ||
		!object->u.object.ops->set_attribute(env, object->u.object.object,
											 name, value))
		jn_raise_type(env,
					  "cannot assign attribute \"%s\" on a non-namespace object",
					  name);
}

void
jn_assign(JinjaEnv *env, const JnNode *target, JinjaValue *value)
{
	JinjaValue **items;
	int			n;

	switch (target->type)
	{
		case JN_NAME:
			jn_dict_put(env, &env->scope->vars, target->u.value, value);
			return;
		case JN_NSREF:
			assign_attribute(env, target, value);
			return;
		default:
			Assert(target->type == JN_TUPLE);
			n = target->u.list.n;
			items = jn_alloc(env, (n + 1) * sizeof(JinjaValue *));
			env->node = target;
			jn_unpack(env, value, n, items);
			for (int i = 0; i < n; i++)
				jn_assign(env, target->u.list.items[i], items[i]);
			jn_free(env, items, (n + 1) * sizeof(JinjaValue *));
	}
}

/* ---------- calls ---------- */

static void
check_keyword(JinjaEnv *env, const JinjaArgs *args, const char *name)
{
	jn_work(env, args->nkwargs);
	for (int i = 0; i < args->nkwargs; i++)
		if (strcmp(args->kwnames[i], name) == 0)
			jn_raise_type(env, "multiple values for keyword argument \"%s\"",
						  name);
}

static void
add_keyword(JinjaEnv *env, JinjaArgs *args, const char *name,
			JinjaValue *value)
{
	args->kwnames[args->nkwargs] = name;
	args->kwvalues[args->nkwargs] = value;
	args->nkwargs++;
}

/* **kwargs; "room" is how many there is room for. */
static void
add_starstar(JinjaEnv *env, JinjaArgs *args, JinjaValue *mapping, int64 room)
{
	JnDict	   *d = mapping->u.dict;

	for (int i = 0; i < d->n; i++)
	{
		JinjaValue *key = d->entries[i].key;

		if (args->nkwargs >= room)
			jn_raise_type(env, "dictionary changed size during the call");
		if (key->kind != JINJA_STRING)
			jn_raise_type(env, "keywords must be strings");
		check_keyword(env, args, key->u.string.data);
		add_keyword(env, args, key->u.string.data, d->entries[i].value);
	}
}

/* *args; returns how many there is room for now. */
static int64
add_star(JinjaEnv *env, JinjaArgs *args, const JnNode *star)
{
	JinjaValue *more = jinja_to_list(env, jn_eval(env, star));
	int64		n = (int64) args->nargs + more->u.list.n;
	JinjaValue **all = jn_alloc(env, n * sizeof(JinjaValue *));

	if (args->nargs > 0)
		memcpy(all, args->args, args->nargs * sizeof(JinjaValue *));
	if (more->u.list.n > 0)
		memcpy(all + args->nargs, more->u.list.items,
			   more->u.list.n * sizeof(JinjaValue *));
	args->args = all;
	args->nargs = n;
	return n;
}

/* Arguments of a call, few of which need no memory but the stack's. */
#define FEW_ARGS 6

typedef struct Args
{
	JinjaArgs	args;
	int64		room;			/* of allocated args; 0: they are "few" */
	int64		kwroom;
	JinjaValue *few[FEW_ARGS];
	const char *few_names[FEW_ARGS];
	JinjaValue *few_values[FEW_ARGS];
} Args;

static void
make_kwroom(JinjaEnv *env, Args *a, int64 n)
{
	a->args.kwnames = a->few_names;
	a->args.kwvalues = a->few_values;
	if (n <= FEW_ARGS)
		return;
	a->args.kwnames = jn_alloc(env, n * sizeof(char *));
	a->args.kwvalues = jn_alloc(env, n * sizeof(JinjaValue *));
	a->kwroom = n;
}

/* Evaluate arguments; "caller" is added as a keyword unless NULL. */
static void
eval_args(JinjaEnv *env, const JnCallArgs *in, JinjaValue *caller, Args *a)
{
	JinjaArgs  *out = &a->args;
	JinjaValue *mapping = NULL;
	int64		nkwargs = in->kwvalues.n + (caller != NULL);

	memset(out, 0, sizeof(*out));
	a->room = in->args.n > FEW_ARGS ? in->args.n : 0;
	a->kwroom = 0;
	out->args = a->room > 0 ?
		jn_alloc(env, a->room * sizeof(JinjaValue *)) : a->few;
	for (int i = 0; i < in->args.n; i++)
		out->args[i] = jn_eval(env, in->args.items[i]);
	out->nargs = in->args.n;
	if (in->star != NULL)
		a->room = add_star(env, out, in->star);
	if (in->starstar != NULL)
	{
		mapping = jn_eval(env, in->starstar);
		if (mapping->kind != JINJA_DICT)
			jn_raise_type(env, "argument after ** must be a mapping, not %s",
						  jinja_type_name(mapping));
		nkwargs += mapping->u.dict->n;
	}
	if (nkwargs == 0)
		return;

	make_kwroom(env, a, nkwargs);
	for (int i = 0; i < in->kwvalues.n; i++)
		add_keyword(env, out, in->kwnames[i]->u.string.data,
					jn_eval(env, in->kwvalues.items[i]));
	if (caller != NULL)
	{
		check_keyword(env, out, "caller");
		add_keyword(env, out, "caller", caller);
	}
	if (mapping != NULL)
		add_starstar(env, out, mapping, nkwargs);
}

static void
free_args(JinjaEnv *env, Args *a)
{
	if (a->room > 0)
		jn_free(env, a->args.args, a->room * sizeof(JinjaValue *));
	if (a->kwroom > 0)
	{
		jn_free(env, a->args.kwnames, a->kwroom * sizeof(char *));
		jn_free(env, a->args.kwvalues, a->kwroom * sizeof(JinjaValue *));
	}
}

/*
 * What is called: a value, or, so that object.method(...) needs no value for
 * the method, a built-in and its object.
 */
static const JnBuiltin *
eval_callee(JinjaEnv *env, const JnNode *node, JinjaValue **value)
{
	const JnBuiltin *b;

	if (node->type != JN_GETATTR)
	{
		*value = jn_eval(env, node);
		return NULL;
	}
	*value = jn_eval(env, node->u.attr.object);
	env->node = node;
	b = jn_find_method(*value, node->u.attr.name);
	if (b == NULL)
		*value = jn_getattr(env, *value, node->u.attr.name);
	return b;
}

static JinjaValue *
eval_call(JinjaEnv *env, const JnNode *node, JinjaValue *caller)
{
	const JnBuiltin *b;
	JinjaValue *callee;
	JinjaValue *result;
	Args		a;

	b = eval_callee(env, node->u.call.callee, &callee);
	eval_args(env, &node->u.call.args, caller, &a);
	env->node = node;
	result = b != NULL ? jn_call_builtin(env, b, callee, &a.args) :
		jinja_call(env, callee, &a.args);
	env->node = node;
	free_args(env, &a);
	return result;
}

/* A filter or a test. */
static JinjaValue *
eval_apply(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *input;
	JinjaValue *result;
	Args		a;

	input = node->u.apply.input == NULL ? env->filter_input :
		jn_eval(env, node->u.apply.input);
	env->node = node;
	if (node->u.apply.builtin == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_FUNCTION, "no %s named \"%s\"",
					node->type == JN_FILTER ? "filter" : "test",
					node->u.apply.name);
	eval_args(env, &node->u.apply.args, NULL, &a);
	env->node = node;
	result = jn_call_builtin(env, node->u.apply.builtin, input, &a.args);
	env->node = node;
	free_args(env, &a);
	return result;
}

/* ---------- expressions ---------- */

static JinjaValue *
eval_items(JinjaEnv *env, const JnNode *node, JinjaKind kind)
{
	int			n = node->u.list.n;
	JinjaValue *v = jn_list_sized(env, kind, n);

	for (int i = 0; i < n; i++)
		v->u.list.items[v->u.list.n++] = jn_eval(env, node->u.list.items[i]);
	return v;
}

static JinjaValue *
eval_dict(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *v = jinja_dict(env);

	for (int i = 0; i < node->u.dict.keys.n; i++)
	{
		JinjaValue *key = jn_eval(env, node->u.dict.keys.items[i]);
		JinjaValue *value = jn_eval(env, node->u.dict.values.items[i]);

		env->node = node->u.dict.keys.items[i];
		jn_dict_put(env, v->u.dict, key, value);
	}
	return v;
}

static JinjaValue *
eval_optional(JinjaEnv *env, const JnNode *node)
{
	return node == NULL ? NULL : jn_eval(env, node);
}

static JinjaValue *
eval_getitem(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *object = jn_eval(env, node->u.item.object);
	const JnNode *index = node->u.item.index;
	JinjaValue *v;

	if (index->type == JN_SLICE)
	{
		JinjaValue *start = eval_optional(env, index->u.slice.start);
		JinjaValue *stop = eval_optional(env, index->u.slice.stop);
		JinjaValue *step = eval_optional(env, index->u.slice.step);

		env->node = node;
		return jn_slice(env, object, start, stop, step);
	}
	v = jn_eval(env, index);
	env->node = node;
	return jn_getitem(env, object, v);
}

static JinjaValue *
eval_concat(JinjaEnv *env, const JnNode *node)
{
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	for (int i = 0; i < node->u.list.n; i++)
	{
		JinjaValue *v = jn_eval(env, node->u.list.items[i]);

		env->node = node;
		jn_str(env, &buf, v);
	}
	return jn_buffer_string(env, &buf);
}

/* a < b < c: each operand once, and no further than the first that fails. */
static JinjaValue *
eval_compare(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *left = jn_eval(env, node->u.compare.first);

	for (int i = 0; i < node->u.compare.operands.n; i++)
	{
		JinjaValue *right = jn_eval(env, node->u.compare.operands.items[i]);

		env->node = node;
		if (!jn_compare_op(env, node->u.compare.ops[i], left, right))
			return env->no;
		left = right;
	}
	return env->yes;
}

static JinjaValue *
eval_binary(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *left = jn_eval(env, node->u.binary.left);
	JinjaValue *right = jn_eval(env, node->u.binary.right);

	env->node = node;
	return jn_binary(env, node->u.binary.op, left, right);
}

static JinjaValue *
eval_logic(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *left = jn_eval(env, node->u.binary.left);
	bool		stop_if = node->type == JN_OR;

	env->node = node;
	return jinja_truth(env, left) == stop_if ? left :
		jn_eval(env, node->u.binary.right);
}

static JinjaValue *
eval_sign(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *v = jn_eval(env, node->u.operand);

	env->node = node;
	return node->type == JN_NEG ? jn_negate(env, v) : jn_positive(env, v);
}

static JinjaValue *
eval_cond(JinjaEnv *env, const JnNode *node)
{
	if (jinja_truth(env, jn_eval(env, node->u.cond.test)))
		return jn_eval(env, node->u.cond.yes);
	if (node->u.cond.no != NULL)
		return jn_eval(env, node->u.cond.no);
	return jn_undefined_hint(env,
							 "the inline if-expression evaluated to false and no else section was defined");
}

static JinjaValue *
eval_getattr(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *object = jn_eval(env, node->u.attr.object);

	env->node = node;
	return jn_getattr(env, object, node->u.attr.name);
}

JinjaValue *
jn_eval(JinjaEnv *env, const JnNode *node)
{
	jn_step(env);
	env->node = node;
	if (node->type == JN_CONST)
		return node->u.value;
	if (node->type == JN_NAME)
		return lookup(env, node->u.value);
	check_stack_depth();
	switch (node->type)
	{
		case JN_TUPLE:
			return eval_items(env, node, JINJA_TUPLE);
		case JN_LIST:
			return eval_items(env, node, JINJA_LIST);
		case JN_DICT:
			return eval_dict(env, node);
		case JN_GETATTR:
			return eval_getattr(env, node);
		case JN_GETITEM:
			return eval_getitem(env, node);
		case JN_CALL:
			return eval_call(env, node, NULL);
		case JN_FILTER:
		case JN_TEST:
			return eval_apply(env, node);
		case JN_NOT:
			return jinja_bool(env, !jinja_truth(env,
												jn_eval(env, node->u.operand)));
		case JN_NEG:
		case JN_POS:
			return eval_sign(env, node);
		case JN_AND:
		case JN_OR:
			return eval_logic(env, node);
		case JN_BINARY:
			return eval_binary(env, node);
		case JN_CONCAT:
			return eval_concat(env, node);
		case JN_COMPARE:
			return eval_compare(env, node);
		case JN_COND:
			return eval_cond(env, node);
		case JN_SLICE:
			jn_raise_type(env, "a slice cannot be one of several subscripts");
		default:
			elog(ERROR, "unexpected node type %d", node->type);
	}
}

/* ---------- statements ---------- */

/* Print what a statement gave. */
static void
put_value(JinjaEnv *env, JinjaValue *v)
{
	if (env->native != NULL && env->native->out == env->out)
		jn_native_piece(env, NULL, v);
	else
		jn_str(env, env->out, v);
}

static void
exec_output(JinjaEnv *env, const JnNode *node)
{
	for (int i = 0; i < node->u.list.n; i++)
	{
		JinjaValue *v = jn_eval(env, node->u.list.items[i]);

		env->node = node->u.list.items[i];
		if (env->native != NULL && env->native->out == env->out)
			jn_native_piece(env, node->u.list.items[i], v);
		else
			jn_str(env, env->out, v);
	}
}

static JnFlow
exec_if(JinjaEnv *env, const JnNode *node)
{
	for (int i = 0; i < node->u.branch.tests.n; i++)
		if (jinja_truth(env, jn_eval(env, node->u.branch.tests.items[i])))
			return jn_exec(env, &node->u.branch.bodies[i]);
	return jn_exec(env, &node->u.branch.orelse);
}

/* Run "body" in a scope of its own; its text becomes *text. */
static JnFlow
exec_captured(JinjaEnv *env, const JnNodeList *body, JinjaValue **text)
{
	StringInfo	outer_out = env->out;
	JnScope    *outer = env->scope;
	StringInfoData buf;
	JnFlow		flow;

	jn_buffer_init(env, &buf);
	env->out = &buf;
	jn_scope_push(env, outer);
	jn_scope_hide(env, body);
	flow = jn_exec(env, body);
	jn_scope_pop(env, outer);
	env->out = outer_out;
	*text = jn_buffer_string(env, &buf);
	return flow;
}

/* Apply the filters of a block, which end in one without an input. */
static JinjaValue *
filter_text(JinjaEnv *env, const JnNode *filter, JinjaValue *text)
{
	JinjaValue *outer = env->filter_input;

	env->filter_input = text;
	text = jn_eval(env, filter);
	env->filter_input = outer;
	return text;
}

static JnFlow
exec_set_block(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *text;
	JnFlow		flow = exec_captured(env, &node->u.assign.body, &text);

	if (flow != JN_FLOW_NEXT)
		return flow;
	if (node->u.assign.value != NULL)
		text = filter_text(env, node->u.assign.value, text);
	env->node = node;
	jn_assign(env, node->u.assign.target, text);
	return JN_FLOW_NEXT;
}

static JnFlow
exec_filter_block(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *text;
	JnFlow		flow = exec_captured(env, &node->u.filterblock.body, &text);

	if (flow != JN_FLOW_NEXT)
		return flow;
	text = filter_text(env, node->u.filterblock.filter, text);
	env->node = node;
	put_value(env, text);
	return JN_FLOW_NEXT;
}

/* Values see the variables outside, not each other. */
static JnFlow
exec_with(JinjaEnv *env, const JnNode *node)
{
	JnScope    *outer = env->scope;
	JnScope    *inner = jn_scope_push(env, outer);
	JnFlow		flow;

	jn_scope_hide(env, &node->u.with.body);
	for (int i = 0; i < node->u.with.targets.n; i++)
	{
		JinjaValue *v;

		env->scope = outer;
		v = jn_eval(env, node->u.with.values.items[i]);
		env->scope = inner;
		jn_assign(env, node->u.with.targets.items[i], v);
	}
	flow = jn_exec(env, &node->u.with.body);
	jn_scope_pop(env, outer);
	return flow;
}

static void
exec_call_block(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *caller = jn_macro_value(env, &node->u.callblock.caller);
	JinjaValue *v = eval_call(env, node->u.callblock.call, caller);

	env->node = node;
	put_value(env, v);
}

static JnFlow
exec_statement(JinjaEnv *env, const JnNode *node)
{
	JinjaValue *v;

	switch (node->type)
	{
		case JN_DATA:
			if (env->native != NULL && env->native->out == env->out)
				jn_native_text(env);
			jn_append(env, env->out, node->u.value->u.string.data,
					  node->u.value->u.string.len);
			break;
		case JN_OUTPUT:
			exec_output(env, node);
			break;
		case JN_DO:
			(void) jn_eval(env, node->u.operand);
			break;
		case JN_IF:
			return exec_if(env, node);
		case JN_FOR:
			return jn_exec_for(env, node);
		case JN_SET:
			v = jn_eval(env, node->u.assign.value);
			env->node = node;
			jn_assign(env, node->u.assign.target, v);
			break;
		case JN_SET_BLOCK:
			return exec_set_block(env, node);
		case JN_FILTER_BLOCK:
			return exec_filter_block(env, node);
		case JN_WITH:
			return exec_with(env, node);
		case JN_MACRO:
			jn_dict_put(env, &env->scope->vars, node->u.macro.name,
						jn_macro_value(env, &node->u.macro));
			break;
		case JN_CALL_BLOCK:
			exec_call_block(env, node);
			break;
		case JN_BREAK:
			return JN_FLOW_BREAK;
		case JN_CONTINUE:
			return JN_FLOW_CONTINUE;
		case JN_BLOCK:
			break;
		default:
			elog(ERROR, "unexpected node type %d", node->type);
	}
	return JN_FLOW_NEXT;
}

JnFlow
jn_exec(JinjaEnv *env, const JnNodeList *body)
{
	JnFlow		flow = JN_FLOW_NEXT;

	if (body->n == 0)
		return flow;
	jn_enter(env);
	for (int i = 0; i < body->n && flow == JN_FLOW_NEXT; i++)
	{
		jn_step(env);
		env->node = body->items[i];
		flow = exec_statement(env, body->items[i]);
	}
	jn_leave(env);
	return flow;
}

/* A whole template, in a scope of its own. */
void
jn_run(JinjaEnv *env, JinjaTemplate *tmpl)
{
	jn_scope_push(env, NULL);
	jn_scope_hide(env, &tmpl->body);
	(void) jn_exec(env, &tmpl->body);
}
