/*
 * iterate.c
 *		Going through the items of a value.
 *
 * As in Python, a list may change under its iterator (which goes by number),
 * a dict may not.
 */
#include "base/compat.h"

#include "jinja/jinja_internal.h"

bool
jn_iterable(const JinjaValue *v)
{
	switch (v->kind)
	{
		case JINJA_UNDEFINED:
		case JINJA_STRING:
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_DICT:
		case JINJA_RANGE:
		case JINJA_VIEW:
		case JINJA_ITERATOR:
		case JINJA_SET:
			return true;
		case JINJA_OBJECT:
			return v->u.object.ops->iterate != NULL ||
				v->u.object.ops->next != NULL;
		default:
			return false;
	}
}

static const JnDict *
dict_of(const JinjaValue *v)
{
	return v->kind == JINJA_VIEW ? v->u.view.dict->u.dict : v->u.dict;
}

void
jn_iter_init(JinjaEnv *env, JnIter *it, JinjaValue *v)
{
	if (!jn_iterable(v))
		jn_raise_type(env, "%s object is not iterable", jinja_type_name(v));
	if (v->kind == JINJA_OBJECT && v->u.object.ops->next == NULL)
	{
		v = v->u.object.ops->iterate(env, v->u.object.object);
		if (v->kind == JINJA_OBJECT && v->u.object.ops->next == NULL)
			elog(ERROR, "object iterates over an object");
	}
	it->source = v;
	it->i = 0;
	it->p = v->kind == JINJA_STRING ? v->u.string.data : NULL;
	it->size = (v->kind == JINJA_DICT || v->kind == JINJA_SET ||
				v->kind == JINJA_VIEW) ? dict_of(v)->n : 0;
}

static JinjaValue *
next_char(JinjaEnv *env, JnIter *it)
{
	const char *end = it->source->u.string.data + it->source->u.string.len;
	const char *p = it->p;
	int			len;

	if (p >= end)
		return NULL;
	len = jn_char_len(p, end);
	it->p = p + len;
	return jn_char(env, p, len);
}

static JinjaValue *
next_entry(JinjaEnv *env, JnIter *it)
{
	const JnDict *d = dict_of(it->source);
	const JnEntry *e;
	JinjaValue *pair[2];

	if (d->n != it->size)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"%s changed size during iteration",
					it->source->kind == JINJA_SET ? "set" : "dictionary");
	if (it->i >= d->n)
		return NULL;
	e = &d->entries[it->i++];
	if (it->source->kind != JINJA_VIEW ||
		it->source->u.view.kind == JN_VIEW_KEYS)
		return e->key;
	if (it->source->u.view.kind == JN_VIEW_VALUES)
		return e->value;
	pair[0] = e->key;
	pair[1] = e->value;
	return jinja_tuple(env, 2, pair);
}

/* The next item, or NULL at the end. */
JinjaValue *
jn_iter_next(JinjaEnv *env, JnIter *it)
{
	JinjaValue *v = it->source;

	jn_work(env, 4);
	switch (v->kind)
	{
		case JINJA_STRING:
			return next_char(env, it);
		case JINJA_LIST:
		case JINJA_TUPLE:
			return it->i < v->u.list.n ? v->u.list.items[it->i++] : NULL;
		case JINJA_DICT:
		case JINJA_SET:
		case JINJA_VIEW:
			return next_entry(env, it);
		case JINJA_RANGE:
			if (it->i >= v->u.range.length)
				return NULL;
			return jinja_int(env, v->u.range.start +
							 v->u.range.step * it->i++);
		case JINJA_ITERATOR:
			return v->u.list.pos < v->u.list.n ?
				v->u.list.items[v->u.list.pos++] : NULL;
		case JINJA_OBJECT:
			jn_step(env);
			return v->u.object.ops->next(env, v->u.object.object);
		default:
			return NULL;		/* undefined: nothing in it */
	}
}

JinjaValue *
jinja_to_list(JinjaEnv *env, JinjaValue *v)
{
	JinjaValue *list;
	JinjaValue *item;
	JnIter		it;

	jn_iter_init(env, &it, v);
	list = jn_list_sized(env, JINJA_LIST, Max(jn_length(env, v), 0));
	while ((item = jn_iter_next(env, &it)) != NULL)
		jinja_list_append(env, list, item);
	return list;
}

/* Exactly "expected" items of "v". */
void
jn_unpack(JinjaEnv *env, JinjaValue *v, int expected, JinjaValue **items)
{
	JnIter		it;
	int			n;

	if (!jn_iterable(v))
		jn_raise_type(env, "cannot unpack non-iterable %s object",
					  jinja_type_name(v));
	jn_iter_init(env, &it, v);
	for (n = 0; n < expected; n++)
		if ((items[n] = jn_iter_next(env, &it)) == NULL)
			jn_raise_type(env,
						  "not enough values to unpack (expected %d, got %d)",
						  expected, n);
	if (jn_iter_next(env, &it) != NULL)
		jn_raise_type(env, "too many values to unpack (expected %d)",
					  expected);
}
