/*
 * set.c
 *		Sets: their methods, and what keys() and items() share with them.
 *
 * A set is a dict without values, so it keeps the order of insertion.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

#define METHOD_ARGS JinjaEnv *env, JinjaValue *v, JinjaValue **argv, \
	const JinjaArgs *args

/* A set, or a view that behaves like one. */
bool
jn_is_set_like(const JinjaValue *v)
{
	return v->kind == JINJA_SET ||
		(v->kind == JINJA_VIEW && v->u.view.kind != JN_VIEW_VALUES);
}

bool
jn_is_subset(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *item;
	JnIter		it;

	jn_iter_init(env, &it, a);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if (!jn_contains(env, b, item))
			return false;
	return true;
}

static void
add_all(JinjaEnv *env, JinjaValue *set, JinjaValue *from)
{
	JinjaValue *item;
	JnIter		it;

	if (from == set)
		return;
	jn_iter_init(env, &it, from);
	while ((item = jn_iter_next(env, &it)) != NULL)
		jinja_set_add(env, set, item);
}

/* A new set of what iterating over "v" gives. */
JinjaValue *
jn_to_set(JinjaEnv *env, JinjaValue *v)
{
	JinjaValue *set = jinja_set(env);

	add_all(env, set, v);
	return set;
}

/* The items of "a" that are in "b", or that are not. */
static JinjaValue *
filtered(JinjaEnv *env, JinjaValue *a, JinjaValue *b, bool in)
{
	JinjaValue *result = jinja_set(env);
	JinjaValue *other = b->kind == JINJA_SET ? b : jn_to_set(env, b);
	JinjaValue *item;
	JnIter		it;

	jn_iter_init(env, &it, a);
	while ((item = jn_iter_next(env, &it)) != NULL)
		if ((jn_dict_find(env, other->u.dict, item) != NULL) == in)
			jinja_set_add(env, result, item);
	return result;
}

JinjaValue *
jn_set_difference(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	return filtered(env, a, b, false);
}

/* ---------- methods ---------- */

static JinjaValue *
set_add(METHOD_ARGS)
{
	jinja_set_add(env, v, argv[0]);
	return env->none;
}

static JinjaValue *
set_discard(METHOD_ARGS)
{
	(void) jn_dict_remove(env, v->u.dict, argv[0]);
	return env->none;
}

static JinjaValue *
set_remove(METHOD_ARGS)
{
	if (jn_dict_remove(env, v->u.dict, argv[0]) == NULL)
		jn_raise_type(env, "%s is not in the set",
					  jn_repr_cstring(env, argv[0]));
	return env->none;
}

static JinjaValue *
set_pop(METHOD_ARGS)
{
	JinjaValue *item;

	if (v->u.dict->n == 0)
		jn_raise_type(env, "pop from an empty set");
	item = v->u.dict->entries[0].key;
	(void) jn_dict_remove(env, v->u.dict, item);
	return item;
}

static JinjaValue *
set_clear(METHOD_ARGS)
{
	jn_dict_clear(v->u.dict);
	return env->none;
}

static JinjaValue *
set_copy(METHOD_ARGS)
{
	return jn_to_set(env, v);
}

static JinjaValue *
set_union(METHOD_ARGS)
{
	JinjaValue *result = jn_to_set(env, v);

	for (int i = 0; i < args->nargs; i++)
		add_all(env, result, args->args[i]);
	return result;
}

static JinjaValue *
set_update(METHOD_ARGS)
{
	for (int i = 0; i < args->nargs; i++)
		add_all(env, v, args->args[i]);
	return env->none;
}

static JinjaValue *
set_intersection(METHOD_ARGS)
{
	JinjaValue *result = jn_to_set(env, v);

	for (int i = 0; i < args->nargs; i++)
		result = filtered(env, result, args->args[i], true);
	return result;
}

static JinjaValue *
set_difference(METHOD_ARGS)
{
	JinjaValue *result = jn_to_set(env, v);

	for (int i = 0; i < args->nargs; i++)
		result = filtered(env, result, args->args[i], false);
	return result;
}

static JinjaValue *
set_symmetric_difference(METHOD_ARGS)
{
	JinjaValue *other = jn_to_set(env, argv[0]);
	JinjaValue *result = filtered(env, v, other, false);

	add_all(env, result, filtered(env, other, v, false));
	return result;
}

static JinjaValue *
set_intersection_update(METHOD_ARGS)
{
	v->u.dict = set_intersection(env, v, argv, args)->u.dict;
	return env->none;
}

static JinjaValue *
set_difference_update(METHOD_ARGS)
{
	v->u.dict = set_difference(env, v, argv, args)->u.dict;
	return env->none;
}

static JinjaValue *
set_issubset(METHOD_ARGS)
{
	return jinja_bool(env, jn_is_subset(env, v, jn_to_set(env, argv[0])));
}

static JinjaValue *
set_issuperset(METHOD_ARGS)
{
	return jinja_bool(env, jn_is_subset(env, argv[0], v));
}

static JinjaValue *
set_isdisjoint(METHOD_ARGS)
{
	return jinja_bool(env, filtered(env, v, argv[0], true)->u.dict->n == 0);
}

const JnBuiltin jn_set_methods[] = {
	{"add", set_add, 1, 1, {NULL}},
	{"clear", set_clear, 0, 0, {NULL}},
	{"copy", set_copy, 0, 0, {NULL}},
	{"difference", set_difference, 0, JN_RAW, {NULL}},
	{"difference_update", set_difference_update, 0, JN_RAW, {NULL}},
	{"discard", set_discard, 1, 1, {NULL}},
	{"intersection", set_intersection, 0, JN_RAW, {NULL}},
	{"intersection_update", set_intersection_update, 0, JN_RAW, {NULL}},
	{"isdisjoint", set_isdisjoint, 1, 1, {NULL}},
	{"issubset", set_issubset, 1, 1, {NULL}},
	{"issuperset", set_issuperset, 1, 1, {NULL}},
	{"pop", set_pop, 0, 0, {NULL}},
	{"remove", set_remove, 1, 1, {NULL}},
	{"symmetric_difference", set_symmetric_difference, 1, 1, {NULL}},
	{"union", set_union, 0, JN_RAW, {NULL}},
	{"update", set_update, 0, JN_RAW, {NULL}},
	{NULL},
};
