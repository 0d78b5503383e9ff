/*
 * markup.c
 *		Markup: the strings that need no escaping any more.
 *
 * Nothing is escaped unless a template asks for it. But what escape, safe and
 * tojson give is remembered to be markup, as Jinja2 does: added to another
 * string or formatted with one, it escapes that first. The rules are those of
 * MarkupSafe 3.
 */
#include "base/compat.h"

#include "jinja/markup.h"

/* The string "s" as markup. */
JinjaValue *
jn_markup(JinjaEnv *env, JinjaValue *s)
{
	return jn_is_markup(s) ? s : jn_mark(env, s, JN_MARKUP);
}

/* str() of what is markup is not; no other string changes. */
JinjaValue *
jn_plain(JinjaEnv *env, JinjaValue *s)
{
	return jn_is_markup(s) ? jn_mark(env, s, '\0') : s;
}

/* What is made of the string "from": markup if that is. */
JinjaValue *
jn_markup_like(JinjaEnv *env, const JinjaValue *from, JinjaValue *s)
{
	return jn_is_markup(from) ? jn_markup(env, s) : s;
}

void
jn_append_escaped(JinjaEnv *env, StringInfo buf, const char *s, int len)
{
	const char *end = s + len;

	while (s < end)
	{
		const char *plain = s;

		while (s < end && strchr("&<>'\"", *s) == NULL)
			s++;
		jn_append(env, buf, plain, s - plain);
		if (s >= end)
			break;
		jn_append_cstring(env, buf, *s == '&' ? "&amp;" : *s == '<' ? "&lt;" :
						  *s == '>' ? "&gt;" : *s == '\'' ? "&#39;" : "&#34;");
		s++;
	}
}

/* str(v), escaped. */
JinjaValue *
jn_force_escape(JinjaEnv *env, JinjaValue *v)
{
	StringInfoData buf;

	v = jn_str_value(env, v);
	jn_buffer_init(env, &buf);
	jn_append_escaped(env, &buf, v->u.string.data, v->u.string.len);
	return jn_markup(env, jn_buffer_string(env, &buf));
}

/* The same, unless "v" is markup already. */
JinjaValue *
jn_escape(JinjaEnv *env, JinjaValue *v)
{
	return jn_is_markup(v) ? v : jn_force_escape(env, v);
}

/* ---------- methods ---------- */

static JinjaValue *
markup_escape(JN_BUILTIN_ARGS)
{
	return jn_escape(env, argv[0]);
}

static JinjaValue *
markup_unescape(JN_BUILTIN_ARGS)
{
	return jn_unescape(env, v);
}

/* Those that other strings have not. */
const JnBuiltin jn_markup_methods[] = {
	{"escape", markup_escape, 1, 1, {NULL}},
	{"striptags", jn_filter_striptags, 0, 0, {NULL}},
	{"unescape", markup_unescape, 0, 0, {NULL}},
	{NULL},
};

/* Call a method of strings on markup. */
JinjaValue *
jn_call_on_markup(JinjaEnv *env, const JnBuiltin *b, JinjaValue *self,
				  JinjaValue **argv, const JinjaArgs *args)
{
	JinjaValue *result;

	if (b->markup == JN_MARKUP_ARGUMENT && argv[1] != NULL)
		argv[1] = jn_escape(env, argv[1]);
	result = b->fn(env, self, argv, args);
	if (b->markup == JN_MARKUP_ITEMS)
		for (int i = 0; i < result->u.list.n; i++)
			result->u.list.items[i] = jn_markup(env, result->u.list.items[i]);
	else
		result = jn_markup(env, result);
	return result;
}
