/*
 * access.c
 *		Attributes, subscripts and slices.
 *
 * As in Jinja2, object.name looks for an attribute (a method) first and for an
 * item second, object['name'] the other way round, and what is not found is
 * undefined, not an error. Names with a leading underscore are never
 * attributes, so nothing of an object's inside can be reached.
 */
#include "base/compat.h"

#include <ctype.h>

#include "common/int.h"

#include "jinja/bigint.h"
#include "jinja/markup.h"

/* What a macro tells of itself, or NULL. */
static JinjaValue *
macro_attribute(JinjaEnv *env, const JnMacro *macro, const char *name)
{
	const JnMacroDef *def = macro->def;

	if (strcmp(name, "name") == 0)
		return macro->name == NULL ? env->none :
			jinja_string(env, macro->name);
	if (strcmp(name, "arguments") == 0)
		return jinja_tuple(env, def->nparams, def->params);
	if (strcmp(name, "catch_kwargs") == 0)
		return jinja_bool(env, def->uses_kwargs);
	if (strcmp(name, "catch_varargs") == 0)
		return jinja_bool(env, def->uses_varargs);
	if (strcmp(name, "caller") == 0)
		return jinja_bool(env, def->uses_caller);
	return NULL;
}

/* The parts of a number, or NULL. */
static JinjaValue *
number_attribute(JinjaEnv *env, JinjaValue *v, const char *name)
{
	bool		real = v->kind == JINJA_FLOAT;

	if (strcmp(name, "real") == 0 || (!real && strcmp(name, "numerator") == 0))
		return jn_positive(env, v);
	if (strcmp(name, "imag") == 0)
		return real ? jinja_float(env, 0.0) : jinja_int(env, 0);
	if (!real && strcmp(name, "denominator") == 0)
		return jinja_int(env, 1);
	return NULL;
}

/* An attribute other than an item or a method, or NULL. */
static JinjaValue *
plain_attribute(JinjaEnv *env, JinjaValue *object, const char *name)
{
	switch (object->kind)
	{
		case JINJA_OBJECT:
			return object->u.object.ops->get_attribute == NULL ? NULL :
				object->u.object.ops->get_attribute(env,
													object->u.object.object,
													name);
		case JINJA_MACRO:
			return macro_attribute(env, &object->u.macro, name);
		case JINJA_INT:
		case JINJA_BIGINT:
		case JINJA_BOOL:
		case JINJA_FLOAT:
			return number_attribute(env, object, name);
		case JINJA_TUPLE:
			if (object->u.list.group && strcmp(name, "grouper") == 0)
				return object->u.list.items[0];
			if (object->u.list.group && strcmp(name, "list") == 0)
				return object->u.list.items[1];
			return NULL;
		default:
			return NULL;
	}
}

/* An attribute other than an item, or NULL. */
static JinjaValue *
attribute(JinjaEnv *env, JinjaValue *object, JinjaValue *name)
{
	const JnBuiltin *b;
	JinjaValue *v;

	if (name->u.string.data[0] == '_')
		return NULL;
	v = plain_attribute(env, object, name->u.string.data);
	if (v != NULL || object->kind == JINJA_OBJECT)
		return v;
	b = jn_find_method(object, name);
	if (b == NULL)
		return NULL;
	v = jn_value(env, JINJA_METHOD);
	v->u.method.builtin = b;
	v->u.method.self = object;
	return v;
}

/* Index "i" of a sequence, from its end if negative. */
bool
jn_index(int64 i, int64 length, int64 *result)
{
	if (i < 0)
		i += length;
	*result = i;
	return i >= 0 && i < length;
}

/* object[index], or NULL. */
static JinjaValue *
item(JinjaEnv *env, JinjaValue *object, JinjaValue *index)
{
	int64		i;

	if (object->kind == JINJA_DICT)
		return jn_hashable(index) ?
			jn_dict_lookup(env, object->u.dict, index) : NULL;
	if (object->kind == JINJA_OBJECT)
		return object->u.object.ops->get_item == NULL ? NULL :
			object->u.object.ops->get_item(env, object->u.object.object,
										   index);
	if (!jn_is_int(index, &i))
		return NULL;
	switch (object->kind)
	{
		case JINJA_LIST:
		case JINJA_TUPLE:
			return jn_index(i, object->u.list.n, &i) ?
				object->u.list.items[i] : NULL;
		case JINJA_RANGE:
			return jn_index(i, object->u.range.length, &i) ?
				jinja_int(env, object->u.range.start +
						  object->u.range.step * i) : NULL;
		case JINJA_STRING:
			if (jn_index(i, jn_length(env, object), &i))
			{
				const char *p = jn_char_at(object, i);
				const char *end = object->u.string.data +
					object->u.string.len;

				jn_work_bytes(env, p - object->u.string.data);
				return jn_markup_like(env, object,
									  jn_char(env, p, jn_char_len(p, end)));
			}
			return NULL;
		default:
			return NULL;
	}
}

/* An attribute or item of an undefined value. */
static JinjaValue *
undefined_part(JinjaEnv *env, JinjaValue *object)
{
	if (!env->lenient)
		jn_fail_undefined(env, object);
	return object;
}

JinjaValue *
jn_getattr(JinjaEnv *env, JinjaValue *object, JinjaValue *name)
{
	JinjaValue *v;

	if (object->kind == JINJA_UNDEFINED)
		return undefined_part(env, object);
	v = attribute(env, object, name);
	if (v == NULL)
		v = item(env, object, name);
	return v != NULL ? v : jn_missing(env, object, name);
}

JinjaValue *
jinja_attribute(JinjaEnv *env, JinjaValue *v, const char *name)
{
	return attribute(env, v, jinja_string(env, name));
}

JinjaValue *
jn_getitem(JinjaEnv *env, JinjaValue *object, JinjaValue *index)
{
	JinjaValue *v;

	if (object->kind == JINJA_UNDEFINED)
		return undefined_part(env, object);
	v = item(env, object, index);
	if (v == NULL && index->kind == JINJA_STRING)
		v = attribute(env, object, index);
	return v != NULL ? v : jn_missing(env, object, index);
}

/* ---------- slices ---------- */

static int64
slice_bound(JinjaEnv *env, JinjaValue *v, int64 dflt, int64 length, int64 low,
			int64 high)
{
	int64		i;

	if (v == NULL || v->kind == JINJA_NONE)
		return dflt;
	if (v->kind == JINJA_BIGINT)
		i = v->u.big->negative ? PG_INT64_MIN + 1 : PG_INT64_MAX;
	else if (!jn_is_int(v, &i))
		jn_raise_type(env, "slice indices must be integers or none, not %s",
					  jinja_type_name(v));
	if (i < 0)
		i += length;
	return Max(low, Min(i, high));
}

static JinjaValue *
slice_string(JinjaEnv *env, JinjaValue *s, int64 start, int64 step, int64 n)
{
	StringInfoData buf;

	jn_work_bytes(env, s->u.string.len);
	if (step == 1)
	{
		const char *from = jn_char_at(s, start);
		const char *end = s->u.string.data + s->u.string.len;
		const char *to = from;

		if (jn_nchars(s) == s->u.string.len)
			to += n;
		else
			for (int64 i = 0; i < n; i++)
				to += jn_char_len(to, end);
		return jinja_string_len(env, from, to - from);
	}

	jn_buffer_init(env, &buf);
	if (jn_nchars(s) == s->u.string.len)
		for (int64 i = 0; i < n; i++)
			jn_append(env, &buf, s->u.string.data + start + i * step, 1);
	else
	{
		JinjaValue *chars = jinja_to_list(env, s);

		for (int64 i = 0; i < n; i++)
		{
			JinjaValue *c = chars->u.list.items[start + i * step];

			jn_append(env, &buf, c->u.string.data, c->u.string.len);
		}
	}
	return jn_buffer_string(env, &buf);
}

static JinjaValue *
slice_range(JinjaEnv *env, const JnRange *r, int64 start, int64 stop,
			int64 step, int64 n)
{
	JinjaValue *result;
	int64		new_step;

	if (pg_mul_s64_overflow(r->step, step, &new_step))
		new_step = (r->step > 0) == (step > 0) ? PG_INT64_MAX : -PG_INT64_MAX;
	result = jn_range(env, r->start + start * r->step,
					  r->start + stop * r->step, new_step);
	/* The stop may have wrapped around; what counts is the length. */
	result->u.range.length = n;
	return result;
}

/* object[start:stop:step]; NULL is left out. */
JinjaValue *
jn_slice(JinjaEnv *env, JinjaValue *object, JinjaValue *vstart,
		 JinjaValue *vstop, JinjaValue *vstep)
{
	int64		length;
	int64		start;
	int64		stop;
	int64		step = 1;
	int64		n;
	JinjaValue *result;

	if (object->kind == JINJA_UNDEFINED)
		return undefined_part(env, object);
	if (object->kind != JINJA_STRING && object->kind != JINJA_LIST &&
		object->kind != JINJA_TUPLE && object->kind != JINJA_RANGE)
		jn_raise_type(env, "%s object cannot be sliced", jinja_type_name(object));
	length = jn_length(env, object);
	if (vstep != NULL && vstep->kind != JINJA_NONE)
	{
		if (vstep->kind == JINJA_BIGINT)
			step = vstep->u.big->negative ? -PG_INT64_MAX : PG_INT64_MAX;
		else if (!jn_is_int(vstep, &step))
			jn_raise_type(env,
						  "slice indices must be integers or none, not %s",
						  jinja_type_name(vstep));
		if (step == 0)
			jn_raise_type(env, "slice step cannot be zero");
		step = Max(step, -PG_INT64_MAX);
	}
	if (step > 0)
	{
		start = slice_bound(env, vstart, 0, length, 0, length);
		stop = slice_bound(env, vstop, length, length, 0, length);
		n = stop > start ? (stop - start - 1) / step + 1 : 0;
	}
	else
	{
		start = slice_bound(env, vstart, length - 1, length, -1, length - 1);
		stop = slice_bound(env, vstop, -1, length, -1, length - 1);
		n = start > stop ? (start - stop - 1) / -step + 1 : 0;
	}

	if (object->kind == JINJA_STRING)
		return jn_markup_like(env, object,
							  slice_string(env, object, start, step, n));
	if (object->kind == JINJA_RANGE)
		return slice_range(env, &object->u.range, start, stop, step, n);
	result = jn_list_sized(env, object->kind, n);
	jn_work(env, n / 16);
	for (int64 i = 0; i < n; i++)
		result->u.list.items[i] = object->u.list.items[start + i * step];
	result->u.list.n = n;
	return result;
}

/* ---------- arguments ---------- */

/*
 * The attribute that filters take: "a.b.0", or an integer. Items are looked
 * for before attributes; what is undefined becomes "dflt" unless NULL.
 */
JinjaValue *
jn_attr_path(JinjaEnv *env, JinjaValue *object, JinjaValue *path,
			 JinjaValue *dflt)
{
	const char *p;

	if (path->kind != JINJA_STRING)
	{
		object = jn_getitem(env, object, path);
		return object->kind == JINJA_UNDEFINED && dflt != NULL ? dflt : object;
	}
	p = path->u.string.data;
	for (;;)
	{
		const char *dot = strchr(p, '.');
		int			len = dot == NULL ? strlen(p) : dot - p;
		JinjaValue *part = jinja_string_len(env, p, len);
		int64		i;

		jn_step(env);
		if (len > 0 && strspn(p, "0123456789") >= len &&
			jn_parse_int(env, p, len, 10, &i))
			part = jinja_int(env, i);
		object = jn_getitem(env, object, part);
		if (object->kind == JINJA_UNDEFINED && dflt != NULL)
			object = dflt;
		if (dot == NULL)
			return object;
		p = dot + 1;
	}
}

/* An integer argument of a built-in; "dflt" when not given. */
int64
jn_int_arg(JinjaEnv *env, JinjaValue *v, int64 dflt, const char *what)
{
	int64		i;

	if (v == NULL)
		return dflt;
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (!jn_is_int(v, &i))
		jn_raise_type(env, "%s must be an integer, not %s", what,
					  jinja_type_name(v));
	return i;
}

/* A string argument that must be a string. */
JinjaValue *
jn_string_arg(JinjaEnv *env, JinjaValue *v, const char *what)
{
	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind != JINJA_STRING)
		jn_raise_type(env, "%s must be a string, not %s", what,
					  jinja_type_name(v));
	return v;
}
