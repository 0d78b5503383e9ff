/*
 * markup.h
 *		Strings that need no escaping any more.
 */
#ifndef DPIPE_JINJA_MARKUP_H
#define DPIPE_JINJA_MARKUP_H

#include "jinja/jinja_internal.h"

static inline bool
jn_is_markup(const JinjaValue *v)
{
	return v->kind == JINJA_STRING && v->u.string.marker == JN_MARKUP;
}

extern JinjaValue *jn_markup(JinjaEnv *env, JinjaValue *s);
extern JinjaValue *jn_plain(JinjaEnv *env, JinjaValue *s);
extern JinjaValue *jn_markup_like(JinjaEnv *env, const JinjaValue *from,
								  JinjaValue *s);
extern void jn_append_escaped(JinjaEnv *env, StringInfo buf, const char *s,
							  int len);
extern JinjaValue *jn_force_escape(JinjaEnv *env, JinjaValue *v);
extern JinjaValue *jn_escape(JinjaEnv *env, JinjaValue *v);
extern JinjaValue *jn_unescape(JinjaEnv *env, JinjaValue *s);
extern const JnBuiltin jn_markup_methods[];
extern JinjaValue *jn_call_on_markup(JinjaEnv *env, const JnBuiltin *b,
									 JinjaValue *self, JinjaValue **argv,
									 const JinjaArgs *args);

#endif							/* DPIPE_JINJA_MARKUP_H */
