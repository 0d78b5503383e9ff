/*
 * jinja.h
 *		The template language. Knows nothing of dbt, models or SQL.
 *
 * Values are immutable except lists, dicts and sets, and live in the
 * environment's memory context; destroying the environment frees them all.
 * Errors are raised by ereport with template name, line and column, and the
 * macros being called. Limits on output, steps, depth and memory come from
 * base/settings.h; they count for all that is done in one environment.
 *
 * How a host uses it: parse each file of macros once (jinja_cached_template()
 * with the host's dialect), list its macros, create an environment, a context
 * for each package whose lookup gives values made by jinja_macro(), and render
 * with jinja_render_in() or jinja_render_native().
 */
#ifndef DPIPE_JINJA_H
#define DPIPE_JINJA_H

#include "postgres.h"

#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

typedef struct JinjaEnv JinjaEnv;	/* one rendering: globals, limits, memory */
typedef struct JinjaTemplate JinjaTemplate; /* parsed text */
typedef struct JinjaContext JinjaContext;	/* the names a template sees */
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
	JINJA_SET,
	JINJA_DECIMAL,
	/* These come only from templates; jinja_to_list() makes them lists. */
	JINJA_RANGE,
	JINJA_VIEW,					/* keys(), values(), items() of a dict */
	JINJA_ITERATOR,				/* what map, select, ... give: read once */
	JINJA_METHOD,				/* 'x'.upper, not called */
	JINJA_MACRO,
	JINJA_BIGINT,				/* jinja_kind() says JINJA_INT */
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

typedef enum JinjaOp
{
	JINJA_OP_ADD,
	JINJA_OP_SUB,
	JINJA_OP_MUL,
	JINJA_OP_DIV,
	JINJA_OP_FLOORDIV,
	JINJA_OP_MOD,
	JINJA_OP_POW,
	JINJA_OP_EQ,
	JINJA_OP_NE,
	JINJA_OP_LT,
	JINJA_OP_LE,
	JINJA_OP_GT,
	JINJA_OP_GE,
	JINJA_OP_IN,
	JINJA_OP_NOT_IN,
} JinjaOp;

/*
 * An object of the host: a relation, "this", a namespace of functions. Every
 * member but the name may be NULL.
 */
typedef struct JinjaObjectOps
{
	const char *type_name;
	/* NULL result: undefined */
	JinjaValue *(*get_attribute) (JinjaEnv *env, void *object, const char *name);
	/* what {{ object }} prints; NULL member: an error when printed */
	char	   *(*to_string) (JinjaEnv *env, void *object);
	/* object(...); NULL member: not callable */
	JinjaValue *(*call) (JinjaEnv *env, void *object, const JinjaArgs *args);
	/* object[index]; NULL result: undefined. Without it, items are attributes. */
	JinjaValue *(*get_item) (JinjaEnv *env, void *object, JinjaValue *index);
	/* Python's len(); NULL member: it has none, and the object is true */
	int64		(*length) (JinjaEnv *env, void *object);
	/* what a loop over the object goes through: a list, a dict, ... */
	JinjaValue *(*iterate) (JinjaEnv *env, void *object);
	/* what the object prints inside a list; NULL member: as to_string */
	char	   *(*repr) (JinjaEnv *env, void *object);
	/*
	 * "object op other", or "other op object" if "reflected": arithmetic and
	 * == < <= > >= in. NULL result: not supported, which for == means that
	 * the object is equal only to itself.
	 */
	JinjaValue *(*binary) (JinjaEnv *env, JinjaOp op, void *object,
						   JinjaValue *other, bool reflected);
	/* equal objects must have equal hashes; NULL member: by identity */
	uint32		(*hash) (JinjaEnv *env, void *object);
	/* what jsonb has for it: another value; NULL member: an error */
	JinjaValue *(*to_json) (JinjaEnv *env, void *object);
	/* {% set object.name = value %}, which namespaces have; false: refused */
	bool		(*set_attribute) (JinjaEnv *env, void *object,
								  const char *name, JinjaValue *value);
	bool		is_mapping;		/* "is mapping" */
	bool		is_sequence;	/* "is sequence", though length is enough */
	bool		(*truth) (JinjaEnv *env, void *object);
	/* the object is an iterator: its next item, NULL at the end */
	JinjaValue *(*next) (JinjaEnv *env, void *object);
	/* what '{:spec}'.format(object) prints */
	char	   *(*format) (JinjaEnv *env, void *object, const char *spec);
} JinjaObjectOps;

extern JinjaEnv *jinja_env_create(MemoryContext parent);
extern void jinja_env_destroy(JinjaEnv *env);
extern MemoryContext jinja_env_context(JinjaEnv *env);
extern void jinja_env_set(JinjaEnv *env, const char *name, JinjaValue *value);
/* An attribute, an item and a call of an undefined value are undefined, too. */
extern void jinja_env_set_lenient(JinjaEnv *env, bool lenient);

/* ---------- the names a template sees ---------- */

/* NULL: no such name here */
typedef JinjaValue *(*JinjaLookup) (JinjaEnv *env, void *arg,
									const char *name);

/*
 * Names are looked for in the context, then in the context "outer", and so
 * on, then among the globals of the environment. "lookup" (may be NULL) is
 * asked for what jinja_context_set() did not set; what it gives is kept. A
 * macro sees the context it was made in, not its caller's: so each package has
 * a context of its own.
 */
extern JinjaContext *jinja_context_create(JinjaEnv *env, JinjaContext *outer,
										  JinjaLookup lookup, void *arg);
extern void jinja_context_set(JinjaEnv *env, JinjaContext *context,
							  const char *name, JinjaValue *value);
/* Of what is evaluated now; NULL: only the globals. */
extern JinjaContext *jinja_current_context(JinjaEnv *env);
/* What "name" is in "context" (NULL: among the globals); NULL: undefined. */
extern JinjaValue *jinja_context_get(JinjaEnv *env, JinjaContext *context,
									 const char *name);
/*
 * Give a name another value, or with NULL none: macros of templates and
 * templates that begin later see it, as does jinja_context_get(); what is being
 * rendered does not, and neither do macros defined in it.
 */
extern void jinja_context_update(JinjaEnv *env, JinjaContext *context,
								 const char *name, JinjaValue *value);
/* Name "i" of those updated, the newest first; NULL: there are no more. */
extern const char *jinja_context_updated(const JinjaContext *context, int i);
/* Forget what "lookup" gave for "name". */
extern void jinja_context_unset(JinjaEnv *env, JinjaContext *context,
								const char *name);

/* ---------- templates ---------- */

/*
 * A block that a host adds to the language. Each defines a macro, as
 * {% macro %} does, which is listed with its tag and never a variable.
 */
typedef enum JinjaTagShape
{
	JINJA_TAG_SIGNATURE,		/* {% test name(a, b=1) %} ... {% endtest %} */
	JINJA_TAG_NAME,				/* {% docs name %} ... {% enddocs %} */
	JINJA_TAG_OPTIONS,			/* {% materialization name, adapter='x', default %} */
} JinjaTagShape;

typedef struct JinjaTag
{
	const char *name;			/* it ends with "end" and the name */
	JinjaTagShape shape;
} JinjaTag;

/* What a host adds to the language. Static: templates keep a pointer. */
typedef struct JinjaDialect
{
	const JinjaTag *tags;		/* the last one has no name; or NULL */
	bool		annotations;	/* {% macro m(a: list[string]) %} is allowed */
	bool		macros_hidden;	/* {% macro %} defines no variable, only a macro
								 * that is listed */
	bool		strays_skipped; /* an end tag that ends nothing and a tag that
								 * nobody knows are no errors outside of
								 * blocks: jinja_template_stray() has them */
} JinjaDialect;

/*
 * Parse; the template lives in "cxt" and may be rendered in many envs. It must
 * outlive them: their macros and constants point into it.
 */
extern JinjaTemplate *jinja_parse(MemoryContext cxt, const char *name,
								  const char *text, int len);
extern JinjaTemplate *jinja_parse_dialect(MemoryContext cxt, const char *name,
										  const char *text, int len,
										  const JinjaDialect *dialect);
extern void jinja_template_free(JinjaTemplate *tmpl);

/*
 * The same template again if this session parsed it before. It is not the
 * caller's: it stays for as long as any environment of the session that was
 * there when it was asked for. Create the environment first.
 */
extern JinjaTemplate *jinja_cached_template(const char *name,
											const char *text, int len,
											const JinjaDialect *dialect);

/* Render; the text is palloc'd in the current memory context. */
extern char *jinja_render(JinjaEnv *env, JinjaTemplate *tmpl);
/* The same with the names of "context" (NULL: only the globals). */
extern char *jinja_render_in(JinjaEnv *env, JinjaContext *context,
							 JinjaTemplate *tmpl);
/*
 * Render a value of a YAML file. A template of one expression that is no
 * constant gives the expression's value (undefined is one); everything else
 * gives a string. The filters as_bool, as_number and as_native read the text
 * as a Python literal; as_text keeps a string.
 */
extern JinjaValue *jinja_render_native(JinjaEnv *env, JinjaContext *context,
									   JinjaTemplate *tmpl);

/* ---------- macros of a template ---------- */

/* A macro, or a block of the dialect, at the top of a template. */
typedef struct JinjaMacroInfo
{
	const char *tag;			/* "macro" or the tag's name */
	const char *name;
	int			nparams;
	int			nrequired;		/* the first ones; the rest have defaults */
	const char *const *params;
	const char *const *types;	/* annotations, NULL for none */
	bool		uses_varargs;	/* takes more positional arguments */
	bool		uses_kwargs;	/* takes any keyword argument */
	int			line;
	int			column;
	const char *text;			/* of the block with its tags, newlines as \n */
	int			text_len;
	const char *body;			/* between the tags */
	int			body_len;
} JinjaMacroInfo;

extern int	jinja_template_macros(const JinjaTemplate *tmpl);	/* how many */
extern const JinjaMacroInfo *jinja_template_macro(const JinjaTemplate *tmpl,
												  int i);
/* End tag "i" of those that were skipped, and its line; NULL: no more. */
extern const char *jinja_template_stray(const JinjaTemplate *tmpl, int i, int *line);
/*
 * Macro "i" as a value to be called; it sees the names of "context" and not
 * what its template sets. Making it is cheap.
 */
extern JinjaValue *jinja_macro(JinjaEnv *env, JinjaContext *context,
							   JinjaTemplate *tmpl, int i);
/*
 * Let the host know of calls: "hook" is told the mark of a marked macro that
 * the template that is rendered calls itself, not from within a macro. Marks
 * must live as long as the environment.
 */
typedef void (*JinjaCallHook) (void *arg, const char *mark);

extern void jinja_env_on_call(JinjaEnv *env, JinjaCallHook hook, void *arg);
extern JinjaValue *jinja_mark_macro(JinjaValue *macro, const char *mark);
/* Is a macro being called? */
extern bool jinja_in_macro(const JinjaEnv *env);

/*
 * An option of a JINJA_TAG_OPTIONS block; NULL if it is not there, true if it
 * has no value.
 */
extern JinjaValue *jinja_macro_option(JinjaEnv *env, JinjaContext *context,
									  JinjaTemplate *tmpl, int i,
									  const char *name);

/* A call in the text of a template, run or not. */
typedef struct JinjaCallInfo
{
	const char *object;			/* of object.name(...), else NULL */
	const char *name;
	int			nargs;
	const char *const *args;	/* NULL where an argument is no string constant */
	int			nkwargs;
	const char *const *kwnames;
	const char *const *kwvalues;	/* as args */
	int			line;
	int			column;
} JinjaCallInfo;

/* All calls of name(...) or object.name(...); "i" -1: not only of one macro. */
extern void jinja_template_calls(const JinjaTemplate *tmpl, int i,
								 void (*visit) (const JinjaCallInfo *call,
												void *arg),
								 void *arg);

/* ---------- calls ---------- */

/* Call a macro, a function, an object, a method. */
extern JinjaValue *jinja_call(JinjaEnv *env, JinjaValue *callee,
							  const JinjaArgs *args);

/*
 * End the macro that is being called: its value is "value", not its text. For
 * a function that a template calls; it does not come back. PG_CATCH sections
 * on the way see no error: they must put their state back and PG_RE_THROW()
 * at once when jinja_returning() says so (PG_FINALLY needs no care).
 */
extern void jinja_return(JinjaEnv *env, JinjaValue *value)
			pg_attribute_noreturn();
extern bool jinja_returning(JinjaEnv *env);

/*
 * Where evaluation stands, for messages: "i" = 0 is the innermost template,
 * and so on through the macros being called. False: no such frame. "macro" is
 * NULL for the template that is rendered.
 */
typedef struct JinjaFrame
{
	const char *macro;
	const char *template_name;
	int			line;
	int			column;
} JinjaFrame;

extern bool jinja_frame(JinjaEnv *env, int i, JinjaFrame *frame);

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
extern JinjaValue *jinja_tuple(JinjaEnv *env, int n, JinjaValue **items);
extern JinjaValue *jinja_set(JinjaEnv *env);
extern void jinja_set_add(JinjaEnv *env, JinjaValue *set, JinjaValue *v);
extern JinjaValue *jinja_dict(JinjaEnv *env);
extern void jinja_dict_set(JinjaEnv *env, JinjaValue *dict, const char *key,
						   JinjaValue *v);
extern JinjaValue *jinja_function(JinjaEnv *env, const char *name,
								  JinjaFunction fn, void *arg);
extern JinjaValue *jinja_object(JinjaEnv *env, const JinjaObjectOps *ops,
								const void *object);
extern JinjaValue *jinja_from_jsonb(JinjaEnv *env, const Jsonb *jb);
/* JSON text as Python reads it: members in order, integers of any size. */
extern JinjaValue *jinja_from_json(JinjaEnv *env, const char *text, int len);
/* Decimal('1.50'); an error if it is no number. */
extern JinjaValue *jinja_decimal(JinjaEnv *env, const char *text);
/* datetime.date, datetime.datetime without a zone and with UTC */
extern JinjaValue *jinja_date(JinjaEnv *env, DateADT d);
extern JinjaValue *jinja_timestamp(JinjaEnv *env, Timestamp t);
extern JinjaValue *jinja_timestamptz(JinjaEnv *env, TimestampTz t);
/* A dict of the modules datetime, pytz, re and itertools. */
extern JinjaValue *jinja_modules(JinjaEnv *env);

/* Accessors */
extern JinjaKind jinja_kind(const JinjaValue *v);
extern bool jinja_truth(JinjaEnv *env, JinjaValue *v);
extern char *jinja_to_cstring(JinjaEnv *env, JinjaValue *v);	/* Python's str() */
extern int64 jinja_to_int(JinjaEnv *env, JinjaValue *v);	/* error unless int or bool */
extern char *jinja_repr(JinjaEnv *env, JinjaValue *v);	/* Python's repr() */
extern double jinja_to_float(JinjaEnv *env, JinjaValue *v);	/* of any number */
extern Jsonb *jinja_to_jsonb(JinjaEnv *env, JinjaValue *v);
/* Python's json.dumps(); what it cannot write is an error. */
extern char *jinja_to_json(JinjaEnv *env, JinjaValue *v, bool sort_keys);
extern bool jinja_equal(JinjaEnv *env, JinjaValue *a, JinjaValue *b);
extern const char *jinja_type_name(const JinjaValue *v);
extern int	jinja_length(const JinjaValue *v);	/* of a list, tuple, set or dict */
extern JinjaValue *jinja_list_get(const JinjaValue *v, int i);
/* NULL: no such key */
extern JinjaValue *jinja_dict_get(JinjaEnv *env, const JinjaValue *dict,
								  const char *key);
extern void jinja_dict_set_value(JinjaEnv *env, JinjaValue *dict,
								 JinjaValue *key, JinjaValue *v);
extern void jinja_dict_entry(const JinjaValue *v, int i, JinjaValue **key,
							 JinjaValue **value);
/* What v.name is, items not looked at; NULL: no such attribute. */
extern JinjaValue *jinja_attribute(JinjaEnv *env, JinjaValue *v,
								   const char *name);
extern void *jinja_object_get(const JinjaValue *v, const JinjaObjectOps *ops);	/* NULL if another kind */
extern JinjaValue *jinja_as_json(JinjaEnv *env, JinjaValue *v);	/* what JSON has for an object, else itself */
/* Does datetime.fromisoformat() read it? */
extern bool jinja_is_iso_datetime(const char *text);

/* A new list of what iterating over "v" gives; an error if it cannot be. */
extern JinjaValue *jinja_to_list(JinjaEnv *env, JinjaValue *v);

/* Argument "pos" or keyword "name"; NULL when neither is given. */
extern JinjaValue *jinja_arg(const JinjaArgs *args, int pos, const char *name);

/* Raise an error that carries the place in the template now evaluated. */
extern void jinja_raise(JinjaEnv *env, int sqlstate, const char *fmt,...)
			pg_attribute_printf(3, 4) pg_attribute_noreturn();

#endif							/* DPIPE_JINJA_H */
