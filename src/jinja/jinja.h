/*
 * jinja.h
 *		The template language. Knows nothing of dbt, models or SQL.
 *
 * Values are immutable except lists and dicts, and live in the environment's
 * memory context; destroying the environment frees them all. Errors are
 * raised by ereport with template name, line and column. Limits on output,
 * steps, depth and memory come from base/settings.h.
 */
#ifndef DPIPE_JINJA_H
#define DPIPE_JINJA_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct JinjaEnv JinjaEnv;	/* one rendering: globals, limits, memory */
typedef struct JinjaTemplate JinjaTemplate; /* parsed text */
typedef struct JinjaValue JinjaValue;

typedef enum JinjaKind
{
	JINJA_UNDEFINED,
	JINJA_NONE,
	JINJA_BOOL,
	JINJA_INT,
	JINJA_FLOAT,
	JINJA_STRING,
	JINJA_LIST,
	JINJA_TUPLE,
	JINJA_DICT,
	JINJA_FUNCTION,
	JINJA_OBJECT,
	/* These come only from templates; jinja_to_list() makes them lists. */
	JINJA_RANGE,
	JINJA_VIEW,					/* keys(), values(), items() of a dict */
	JINJA_ITERATOR,				/* what map, select, ... give: read once */
	JINJA_METHOD,				/* 'x'.upper, not called */
	JINJA_MACRO,
} JinjaKind;

/* Lives until the call returns; the values live on. */
typedef struct JinjaArgs
{
	int			nargs;
	JinjaValue **args;
	int			nkwargs;
	const char **kwnames;
	JinjaValue **kwvalues;
} JinjaArgs;

typedef JinjaValue *(*JinjaFunction) (JinjaEnv *env, void *arg,
									  const JinjaArgs *args);

/* An object of the host: a relation, "this", a namespace of functions. */
typedef struct JinjaObjectOps
{
	const char *type_name;
	/* NULL result: undefined */
	JinjaValue *(*get_attribute) (JinjaEnv *env, void *object, const char *name);
	/* what {{ object }} prints; NULL member: an error when printed */
	char	   *(*to_string) (JinjaEnv *env, void *object);
	/* object(...); NULL member: not callable */
	JinjaValue *(*call) (JinjaEnv *env, void *object, const JinjaArgs *args);
} JinjaObjectOps;

extern JinjaEnv *jinja_env_create(MemoryContext parent);
extern void jinja_env_destroy(JinjaEnv *env);
extern MemoryContext jinja_env_context(JinjaEnv *env);
extern void jinja_env_set(JinjaEnv *env, const char *name, JinjaValue *value);

/*
 * Parse; the template lives in "cxt" and may be rendered in many envs. It must
 * outlive them: their macros and constants point into it.
 */
extern JinjaTemplate *jinja_parse(MemoryContext cxt, const char *name,
								  const char *text, int len);
extern void jinja_template_free(JinjaTemplate *tmpl);
/* Render; the text is palloc'd in the current memory context. */
extern char *jinja_render(JinjaEnv *env, JinjaTemplate *tmpl);

/* Constructors */
extern JinjaValue *jinja_undefined(JinjaEnv *env, const char *name);
extern JinjaValue *jinja_none(JinjaEnv *env);
extern JinjaValue *jinja_bool(JinjaEnv *env, bool b);
extern JinjaValue *jinja_int(JinjaEnv *env, int64 i);
extern JinjaValue *jinja_float(JinjaEnv *env, double d);
extern JinjaValue *jinja_string(JinjaEnv *env, const char *s);
extern JinjaValue *jinja_string_len(JinjaEnv *env, const char *s, int len);
extern JinjaValue *jinja_list(JinjaEnv *env);
extern void jinja_list_append(JinjaEnv *env, JinjaValue *list, JinjaValue *v);
extern JinjaValue *jinja_dict(JinjaEnv *env);
extern void jinja_dict_set(JinjaEnv *env, JinjaValue *dict, const char *key,
						   JinjaValue *v);
extern JinjaValue *jinja_function(JinjaEnv *env, const char *name,
								  JinjaFunction fn, void *arg);
extern JinjaValue *jinja_object(JinjaEnv *env, const JinjaObjectOps *ops,
								void *object);
extern JinjaValue *jinja_from_jsonb(JinjaEnv *env, const Jsonb *jb);

/* Accessors */
extern JinjaKind jinja_kind(const JinjaValue *v);
extern bool jinja_truth(JinjaEnv *env, JinjaValue *v);
extern char *jinja_to_cstring(JinjaEnv *env, JinjaValue *v);	/* Python's str() */
extern int64 jinja_to_int(JinjaEnv *env, JinjaValue *v);	/* error unless int or bool */
extern Jsonb *jinja_to_jsonb(JinjaEnv *env, JinjaValue *v);
extern int	jinja_length(const JinjaValue *v);	/* of a list, tuple or dict */
extern JinjaValue *jinja_list_get(const JinjaValue *v, int i);
extern void jinja_dict_entry(const JinjaValue *v, int i, JinjaValue **key,
							 JinjaValue **value);
extern void *jinja_object_get(const JinjaValue *v, const JinjaObjectOps *ops);	/* NULL if another kind */

/* A new list of what iterating over "v" gives; an error if it cannot be. */
extern JinjaValue *jinja_to_list(JinjaEnv *env, JinjaValue *v);

/* Argument "pos" or keyword "name"; NULL when neither is given. */
extern JinjaValue *jinja_arg(const JinjaArgs *args, int pos, const char *name);

/* Raise an error that carries the place in the template now evaluated. */
extern void jinja_raise(JinjaEnv *env, int sqlstate, const char *fmt,...)
			pg_attribute_printf(3, 4) pg_attribute_noreturn();

#endif							/* DPIPE_JINJA_H */
