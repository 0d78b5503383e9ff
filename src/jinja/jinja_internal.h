/*
 * jinja_internal.h
 *		What the files of the template engine share among themselves.
 *
 * lexer.c -> parser.c -> (tree) -> eval.c, which uses operators.c for
 * arithmetic and comparison, printing.c for str() and repr(), and the tables
 * of filters.c, tests.c and methods.c. value.c, dict.c and iterate.c hold the
 * data; env.c limits, errors and the environment. Nothing here is known
 * outside src/jinja.
 *
 * Invariants
 * - Every allocation whose size a template can choose goes through
 *	 jn_alloc() or jn_check_size() first, so no limit can be overrun in one
 *	 step.
 * - Every loop whose length a template can choose calls jn_step() or
 *	 jn_work(), so limits and cancel reach it.
 * - Every recursion whose depth a template can choose passes jn_enter() or
 *	 check_stack_depth().
 */
#ifndef DPIPE_JINJA_INTERNAL_H
#define DPIPE_JINJA_INTERNAL_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/settings.h"
#include "jinja/jinja.h"

typedef struct JnNode JnNode;
typedef struct JnScope JnScope;
typedef struct JnDict JnDict;
typedef struct JnBuiltin JnBuiltin;
typedef struct JnMacroDef JnMacroDef;
typedef struct JnBig JnBig;
typedef struct JnDecimal JnDecimal;

/* ---------- values ---------- */

#define JN_MARKUP 'm'			/* needs no escaping any more: markup.c */

typedef struct JnString
{
	const char *data;			/* NUL-terminated, in the server's encoding */
	int			len;			/* bytes */
	int			nchars;			/* characters; -1 = not counted yet */
	uint32		hash;			/* 0 = not computed yet */
	char		marker;			/* JN_MARKUP, or one of jinja_render_native();
								 * '\0' = none */
} JnString;

typedef struct JnList
{
	JinjaValue **items;
	int			n;
	int			cap;
	int			pos;			/* JINJA_ITERATOR: next item */
	bool		visiting;		/* being printed: breaks cycles */
	bool		group;			/* of groupby: has names for its two items */
} JnList;

typedef struct JnRange
{
	int64		start;
	int64		stop;
	int64		step;
	int64		length;
} JnRange;

typedef enum JnViewKind
{
	JN_VIEW_KEYS,
	JN_VIEW_VALUES,
	JN_VIEW_ITEMS,
} JnViewKind;

typedef struct JnMacro
{
	const JnMacroDef *def;
	JnScope    *closure;
	JinjaContext *context;
	const char *template_name;
	const char *name;			/* NULL: the caller() of a call block */
	const char *mark;			/* of the host's, or NULL */
	int			seen;			/* env->seen where it was defined; -1: that of its call */
} JnMacro;

struct JinjaValue
{
	JinjaKind	kind;
	union
	{
		bool		boolean;
		int64		integer;
		double		real;
		JnString	string;
		JnList		list;		/* list, tuple, iterator */
		JnDict	   *dict;		/* dict, set */
		JnBig	   *big;
		JnDecimal  *decimal;
		JnRange		range;
		struct
		{
			JnViewKind	kind;
			JinjaValue *dict;
		}			view;
		struct
		{
			const char *hint;	/* the whole message, or NULL */
			JinjaValue *object; /* whose element is missing, or NULL */
			JinjaValue *name;
		}			undefined;
		struct
		{
			const char *name;
			JinjaFunction fn;
			void	   *arg;
		}			function;
		struct
		{
			const JnBuiltin *builtin;
			JinjaValue *self;
		}			method;
		JnMacro		macro;
		struct
		{
			const JinjaObjectOps *ops;
			void	   *object;
		}			object;
	}			u;
};

/* An ordered hash table; also what a scope keeps its variables in. */
typedef struct JnEntry
{
	JinjaValue *key;
	JinjaValue *value;
	uint32		hash;
} JnEntry;

struct JnDict
{
	JnEntry    *entries;		/* in insertion order, no holes */
	int			n;
	int			cap;
	int32	   *buckets;		/* entry number or -1; NULL while small */
	int			nbuckets;
	bool		visiting;
};

struct JnScope
{
	JnScope    *parent;
	JnDict		vars;
	bool		captured;		/* a macro refers to it: do not reuse */
};

/* ---------- the tree ---------- */

typedef enum JnNodeType
{
	/* expressions */
	JN_CONST,
	JN_NAME,
	JN_TUPLE,
	JN_LIST,
	JN_DICT,
	JN_GETATTR,
	JN_GETITEM,
	JN_SLICE,
	JN_CALL,
	JN_FILTER,
	JN_TEST,
	JN_NOT,
	JN_NEG,
	JN_POS,
	JN_AND,
	JN_OR,
	JN_BINARY,
	JN_CONCAT,
	JN_COMPARE,
	JN_COND,
	JN_NSREF,					/* assignment target only */
	/* statements */
	JN_DATA,
	JN_OUTPUT,
	JN_IF,
	JN_FOR,
	JN_SET,
	JN_SET_BLOCK,
	JN_DO,
	JN_MACRO,
	JN_CALL_BLOCK,
	JN_FILTER_BLOCK,
	JN_WITH,
	JN_BREAK,
	JN_CONTINUE,
	JN_BLOCK,					/* of the dialect: a macro without a variable */
} JnNodeType;

typedef struct JnNodeList
{
	JnNode	  **items;
	int			n;
	int			cap;
	/* Body of a scope: names undefined in it until assigned; see scope.c. */
	JinjaValue **hidden;
	int			nhidden;
} JnNodeList;

typedef struct JnCallArgs
{
	JnNodeList	args;
	JnNodeList	kwvalues;
	JinjaValue **kwnames;		/* strings, as many as kwvalues */
	JnNode	   *star;			/* *args or NULL */
	JnNode	   *starstar;		/* **kwargs or NULL */
} JnCallArgs;

/* Signature and body of a macro, a block of the dialect or a call block. */
struct JnMacroDef
{
	JinjaValue *name;			/* NULL: call block */
	const char *tag;
	JinjaValue **params;
	const char **types;			/* annotations; NULL: none */
	int			nparams;
	JnNodeList	defaults;		/* of the last defaults.n parameters */
	JnNodeList	body;
	bool		uses_caller;
	bool		uses_kwargs;
	bool		uses_varargs;
	JinjaValue **option_names;	/* of a JINJA_TAG_OPTIONS block */
	JnNodeList	options;		/* as many; CONST true without a value */
	/* where it stands in the text of its template */
	const char *start;
	const char *body_start;
	const char *body_end;
	const char *end;
};

struct JnNode
{
	JnNodeType	type;
	int			line;
	int			col;
	union
	{
		JinjaValue *value;		/* CONST, DATA; NAME: the name */
		JnNode	   *operand;	/* NOT, NEG, POS, DO */
		JnNodeList	list;		/* TUPLE, LIST, CONCAT, OUTPUT */
		struct
		{
			JnNodeList	keys;
			JnNodeList	values;
		}			dict;
		struct
		{
			JnNode	   *object;
			JinjaValue *name;
		}			attr;		/* GETATTR; NSREF: object is a NAME */
		struct
		{
			JnNode	   *object;
			JnNode	   *index;
		}			item;
		struct
		{
			JnNode	   *start;
			JnNode	   *stop;
			JnNode	   *step;
		}			slice;
		struct
		{
			JnNode	   *callee;
			JnCallArgs	args;
		}			call;
		struct
		{
			JnNode	   *input;	/* NULL: the body of a block */
			const JnBuiltin *builtin;	/* NULL: unknown name */
			const char *name;
			JnCallArgs	args;
		}			apply;		/* FILTER, TEST */
		struct
		{
			JinjaOp		op;
			JnNode	   *left;
			JnNode	   *right;
		}			binary;		/* BINARY; AND, OR without op */
		struct
		{
			JnNode	   *first;
			JnNodeList	operands;
			JinjaOp	   *ops;
		}			compare;
		struct
		{
			JnNode	   *test;
			JnNode	   *yes;
			JnNode	   *no;		/* NULL: undefined */
		}			cond;
		struct
		{
			JnNodeList	tests;	/* if, elif, ... */
			JnNodeList *bodies; /* as many as tests */
			JnNodeList	orelse;
		}			branch;
		struct
		{
			JnNode	   *target;
			JnNode	   *iter;
			JnNode	   *test;	/* NULL: none */
			JnNodeList	body;
			JnNodeList	orelse;
			bool		recursive;
		}			loop;
		struct
		{
			JnNode	   *target;
			JnNode	   *value;	/* SET; SET_BLOCK: filter or NULL */
			JnNodeList	body;	/* SET_BLOCK */
		}			assign;
		JnMacroDef	macro;		/* MACRO */
		struct
		{
			JnMacroDef	caller;
			JnNode	   *call;
		}			callblock;
		struct
		{
			JnNode	   *filter;
			JnNodeList	body;
		}			filterblock;
		struct
		{
			JnNodeList	targets;
			JnNodeList	values;
			JnNodeList	body;
		}			with;
	}			u;
};

struct JinjaTemplate
{
	MemoryContext cxt;
	const char *name;
	const JinjaDialect *dialect;
	JnNodeList	body;
	/* macros and blocks at its top */
	int			nmacros;
	JnNode	  **macros;
	JinjaMacroInfo *infos;
	JnNodeList	strays;			/* constants: names of skipped tags */
};

/* ---------- the environment ---------- */

struct JinjaContext
{
	JinjaContext *outer;
	JinjaLookup lookup;
	void	   *arg;
	JnDict		vars;
	struct JnUpdate *updates;	/* the newest first */
};

/* What jinja_render_native() has collected. */
typedef struct JnNative
{
	StringInfo	out;			/* output that goes here is looked at */
	int			npieces;
	JinjaValue *only;			/* the one piece, unless it was text */
} JnNative;

/* Pieces up to this size are taken from blocks; see memory.c. */
#define JN_SMALL_PIECE 1024
#define JN_PIECE_UNIT 8
#define JN_PIECE_CLASS(bytes) \
	((Max((bytes), 1) + JN_PIECE_UNIT - 1) / JN_PIECE_UNIT)
#define JN_MAX_BUFFERS 8

/* Each piece by itself, so that a sanitizer sees what is done to it. */
#ifdef DPIPE_JINJA_PLAIN_MEMORY
#define JN_PLAIN_MEMORY true
extern Size GetMemoryChunkSpace(void *pointer);
#else
#define JN_PLAIN_MEMORY false
#endif
#define JN_BUFFER_SIZE 256

typedef struct JnPiece
{
	struct JnPiece *next;
} JnPiece;

typedef struct JnMemory
{
	char	   *pos;			/* what is free of the current block */
	char	   *end;
	bool		has_kept;		/* the session's block is lent to it */
	Size		unchecked;		/* bytes asked for since the last check */
	JnPiece    *free[JN_SMALL_PIECE / JN_PIECE_UNIT + 1];
	int			nbuffers;
	char	   *buffers[JN_MAX_BUFFERS];
	int			buffer_sizes[JN_MAX_BUFFERS];
} JnMemory;

struct JinjaEnv
{
	MemoryContext cxt;
	JnMemory	memory;
	MemoryContextCallback gone;
	JnDict		globals;
	bool		lenient;
	JinjaCallHook on_call;		/* or NULL */
	void	   *on_call_arg;

	/* where evaluation stands */
	const char *tmpl_name;
	const JnNode *node;
	JnScope    *scope;
	JinjaContext *context;
	StringInfo	out;
	JnNative   *native;			/* NULL: text is rendered */
	JinjaValue *filter_input;	/* what a filter block applies to */
	bool		in_macro;		/* what is rendered was asked for by a macro */
	struct JnCallFrame *frames;

	/* jinja_context_update() */
	int			updates;		/* of all contexts */
	int			seen;			/* those that there were when this template, or macro, began */

	/* jinja_return() */
	int			catching;		/* macros being called that it can end */
	JinjaValue *returned;		/* on its way to the innermost of them */

	/* spent so far */
	int64		steps;
	int64		work;			/* sixteenths of a step */
	int			depth;

	/* of value.c: shared, immutable */
	JinjaValue *none;
	JinjaValue *yes;
	JinjaValue *no;
	JinjaValue *empty_string;
	JinjaValue *loop_name;		/* "loop" */
	JinjaValue *hidden;			/* value of a variable not yet assigned */
	JinjaValue *ascii[128];		/* strings of one character */
	JinjaValue *small_ints[256];
	JinjaValue *patterns;		/* compiled ones, by flags and text */
};

/* A macro call, for error messages. */
typedef struct JnCallFrame
{
	struct JnCallFrame *prev;
	const char *name;
	const char *template_name;	/* of the call */
	const JnNode *node;			/* the call */
} JnCallFrame;

/*
 * A built-in filter, test or method. "self" is the value filtered, tested or
 * called upon. "argv" holds nparams arguments in the order of their names,
 * NULL where none was given; nparams = JN_RAW takes them from "args".
 */
typedef JinjaValue *(*JnBuiltinFn) (JinjaEnv *env, JinjaValue *self,
									JinjaValue **argv, const JinjaArgs *args);

#define JN_BUILTIN_ARGS JinjaEnv *env, JinjaValue *v, JinjaValue **argv, \
	const JinjaArgs *args

#define JN_MAX_PARAMS 5
#define JN_RAW (-1)

/* What a method of strings does when the string is markup. */
typedef enum JnMarkupRule
{
	JN_MARKUP_NO_TEXT,			/* it gives none */
	JN_MARKUP_RESULT,			/* its result is markup, too */
	JN_MARKUP_ITEMS,			/* the items of its result are */
	JN_MARKUP_ARGUMENT,			/* its result is; its second argument is
								 * escaped first */
} JnMarkupRule;

struct JnBuiltin
{
	const char *name;
	JnBuiltinFn fn;
	int			nrequired;
	int			nparams;
	const char *params[JN_MAX_PARAMS];	/* NULL: positional only */
	JnMarkupRule markup;
};

/* env.c */
extern void jn_step_slow(JinjaEnv *env);
extern void jn_enter(JinjaEnv *env);
extern void jn_raise_type(JinjaEnv *env, const char *fmt,...)
			pg_attribute_printf(2, 3) pg_attribute_noreturn();
extern JinjaValue *jn_call_from_host(JinjaEnv *env, JinjaValue *callee,
									 const JinjaArgs *args);
extern void jn_append(JinjaEnv *env, StringInfo buf, const char *s, int len);
extern void jn_append_cstring(JinjaEnv *env, StringInfo buf, const char *s);
extern void jn_append_fill(JinjaEnv *env, StringInfo buf, char c, int64 n);

#define JN_CHECK_INTERVAL 256

static inline void
jn_step(JinjaEnv *env)
{
	if ((++env->steps % JN_CHECK_INTERVAL) == 0)
		jn_step_slow(env);
}

/* Charge "n" small pieces of work: sixteen make a step. */
static inline void
jn_work(JinjaEnv *env, int64 n)
{
	env->work += n;
	if (env->work >= 16 * JN_CHECK_INTERVAL)
	{
		env->steps += env->work / 16;
		env->work = 0;
		jn_step_slow(env);
	}
}

/* Charge for reading or writing "bytes" of text. */
static inline void
jn_work_bytes(JinjaEnv *env, int64 bytes)
{
	jn_work(env, 1 + bytes / 256);
}

static inline void
jn_leave(JinjaEnv *env)
{
	env->depth--;
}

/* memory.c */
extern void jn_memory_init(JinjaEnv *env);
extern void jn_memory_gone(JinjaEnv *env);
extern void jn_check_size(JinjaEnv *env, uint64 bytes);
extern void *jn_palloc(JinjaEnv *env, uint64 bytes);
extern void *jn_alloc_slow(JinjaEnv *env, uint64 bytes);
extern void jn_buffer_init(JinjaEnv *env, StringInfo buf);
extern void jn_buffer_free(JinjaEnv *env, StringInfo buf);
extern JinjaValue *jn_buffer_string(JinjaEnv *env, StringInfo buf);
extern void jn_reserve_slow(JinjaEnv *env, StringInfo buf, int64 more);

/*
 * Memory that lasts as long as the environment, or until jn_free() with the
 * same size. pfree() and repalloc() do not take it: theirs is jn_palloc().
 */
static inline void *
jn_alloc(JinjaEnv *env, uint64 bytes)
{
	JnMemory   *m = &env->memory;

	if (bytes <= JN_SMALL_PIECE)
	{
		Size		piece = JN_PIECE_CLASS(bytes);
		JnPiece    *p = m->free[piece];

		if (p != NULL)
		{
			m->free[piece] = p->next;
			return p;
		}
		if (m->end - m->pos >= piece * JN_PIECE_UNIT)
		{
			p = (JnPiece *) m->pos;
			m->pos += piece * JN_PIECE_UNIT;
			return p;
		}
	}
	return jn_alloc_slow(env, bytes);
}

static inline void
jn_free(JinjaEnv *env, void *p, uint64 bytes)
{
	JnPiece   **list;

#ifdef DPIPE_JINJA_PLAIN_MEMORY
	/* Another size would be a piece of another class. */
	Assert(GetMemoryChunkSpace(p) == bytes);
#endif
	if (JN_PLAIN_MEMORY || bytes > JN_SMALL_PIECE)
	{
		pfree(p);
		return;
	}
#ifdef USE_ASSERT_CHECKING
	memset(p, 0x7f, bytes);
#endif
	list = &env->memory.free[JN_PIECE_CLASS(bytes)];
	((JnPiece *) p)->next = *list;
	*list = (JnPiece *) p;
}

/* Room for "more" bytes; so much output is charged for, and within limits. */
static inline void
jn_reserve(JinjaEnv *env, StringInfo buf, int64 more)
{
	if (more >= buf->maxlen - buf->len ||
		buf->len + more > (int64) dpipe_jinja_max_output_kb * 1024)
		jn_reserve_slow(env, buf, more);
}

/* lexer.c */
typedef enum JnTokenType
{
	JN_TOK_EOF,
	JN_TOK_DATA,
	JN_TOK_BLOCK_BEGIN,
	JN_TOK_BLOCK_END,
	JN_TOK_VARIABLE_BEGIN,
	JN_TOK_VARIABLE_END,
	JN_TOK_NAME,
	JN_TOK_STRING,
	JN_TOK_INTEGER,
	JN_TOK_FLOAT,
	JN_TOK_OPERATOR,
} JnTokenType;

typedef struct JnToken
{
	JnTokenType type;
	const char *data;			/* DATA, NAME, STRING; NUL-terminated */
	int			len;
	int64		integer;
	JnBig	   *big;			/* INTEGER beyond 64 bits, else NULL */
	double		real;
	int			line;
	int			col;
	const char *start;			/* in the text */
	const char *end;
} JnToken;

typedef struct JnLexer
{
	const char *name;			/* of the template */
	char	   *start;			/* text with newlines normalized */
	const char *end;
	const char *pos;
	int			line;
	const char *line_start;
	const char *col_pos;		/* "col" is the column of this place */
	int			col;
	enum
	{
		JN_LEX_DATA,
		JN_LEX_BLOCK,
		JN_LEX_VARIABLE,
	}			state;
	StringInfoData brackets;	/* open ones */
	/* place that an error names */
	int			err_line;
	int			err_col;
} JnLexer;

extern void jn_lexer_init(JnLexer *lex, const char *name, const char *text,
						  int len);
extern void jn_lex(JnLexer *lex, JnToken *tok);
extern void jn_syntax_error(JnLexer *lex, int line, int col,
							const char *fmt,...)
			pg_attribute_printf(4, 5) pg_attribute_noreturn();
extern int	jn_space_len(const char *p, const char *end);
extern int	jn_space_len_before(const char *start, const char *p);

/* value.c */
extern JinjaValue *jn_value(JinjaEnv *env, JinjaKind kind);
extern JinjaValue *jn_string_static(MemoryContext cxt, const char *s, int len);
extern JinjaValue *jn_string_buffer(JinjaEnv *env, int len, char **data);
extern JinjaValue *jn_list_sized(JinjaEnv *env, JinjaKind kind, int64 n);
extern void jn_list_reverse(JinjaValue *list);
extern JinjaValue *jn_iterator(JinjaEnv *env, JinjaValue *list);
extern JinjaValue *jn_range(JinjaEnv *env, int64 start, int64 stop,
							int64 step);
extern JinjaValue *jn_view(JinjaEnv *env, JinjaValue *dict, JnViewKind kind);
extern JinjaValue *jn_missing(JinjaEnv *env, JinjaValue *object,
							  JinjaValue *name);
extern JinjaValue *jn_undefined_hint(JinjaEnv *env, const char *hint);
extern JinjaValue *jn_not_provided(JinjaEnv *env, JinjaValue *name);
extern void jn_fail_undefined(JinjaEnv *env, const JinjaValue *v)
			pg_attribute_noreturn();
extern int	jn_count_chars(const char *s, int len);
extern int	jn_nchars(JinjaValue *s);
extern int	jn_char_len(const char *p, const char *end);
extern int	jn_char_len_before(JinjaEnv *env, const char *start,
							   const char *p);
extern const char *jn_char_at(JinjaValue *s, int64 i);
extern JinjaValue *jn_char(JinjaEnv *env, const char *p, int len);
extern bool jn_is_int(const JinjaValue *v, int64 *i);	/* int or bool */
extern bool jn_is_number(const JinjaValue *v, double *d);	/* any number */
extern int64 jn_length(JinjaEnv *env, JinjaValue *v);	/* -1: has none */
extern bool jn_string_is(const JinjaValue *v, const char *s);
extern bool jn_truth_arg(JinjaEnv *env, JinjaValue *v);

/* dict.c */
extern void jn_dict_init(JnDict *d);
extern JnEntry *jn_dict_find(JinjaEnv *env, const JnDict *d, JinjaValue *key);
extern JinjaValue *jn_dict_lookup(JinjaEnv *env, const JnDict *d,
								  JinjaValue *key);
extern uint32 jn_hash_text(const char *s, int len);
extern uint32 jn_string_hash(JinjaValue *s);
extern JinjaValue *jn_dict_lookup_text(const JnDict *d, const char *s, int len,
									   uint32 hash);
extern JinjaValue *jn_dict_lookup_name(const JnDict *d, JinjaValue *name);
extern bool jn_hashable(const JinjaValue *v);
extern void jn_dict_put(JinjaEnv *env, JnDict *d, JinjaValue *key,
						JinjaValue *value);
extern JinjaValue *jn_dict_remove(JinjaEnv *env, JnDict *d, JinjaValue *key);
extern void jn_dict_clear(JnDict *d);
extern void jn_dict_free(JinjaEnv *env, JnDict *d);
extern uint32 jn_hash(JinjaEnv *env, JinjaValue *v);

/* iterate.c */
typedef struct JnIter
{
	JinjaValue *source;
	int64		i;
	const char *p;				/* strings */
	int			size;			/* dicts: to notice a change */
} JnIter;

extern void jn_iter_init(JinjaEnv *env, JnIter *it, JinjaValue *v);
extern bool jn_iterable(const JinjaValue *v);
extern JinjaValue *jn_iter_next(JinjaEnv *env, JnIter *it);
extern void jn_unpack(JinjaEnv *env, JinjaValue *v, int expected,
					  JinjaValue **items);

/* printing.c */
extern void jn_str(JinjaEnv *env, StringInfo buf, JinjaValue *v);
extern void jn_repr(JinjaEnv *env, StringInfo buf, JinjaValue *v);
extern JinjaValue *jn_str_value(JinjaEnv *env, JinjaValue *v);
extern char *jn_repr_cstring(JinjaEnv *env, JinjaValue *v);
extern void jn_escape_char(char *buf, uint32 c);
extern bool jn_is_printable(uint32 c);
extern void jn_float_repr(char *buf, double d);

#define JN_FLOAT_REPR_LEN 40

/* letters.c: what Unicode calls a character */
#define JN_CHAR_ALPHA		1	/* str.isalpha() */
#define JN_CHAR_DIGIT		2	/* str.isdigit() */
#define JN_CHAR_ALNUM		4	/* str.isalnum() */
#define JN_CHAR_NAME_START	8	/* the first of str.isidentifier() */
#define JN_CHAR_NAME		16	/* the others */

extern bool jn_char_is(const char *p, const char *end, int kind);
extern bool jn_code_is(uint32 c, int kind);

/* format.c */
extern JinjaValue *jn_format_percent(JinjaEnv *env, JinjaValue *format,
									 JinjaValue *args);
extern JinjaValue *jn_format_braces(JinjaEnv *env, JinjaValue *format,
									const JinjaArgs *args);

/* operators.c */
extern JinjaValue *jn_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a,
							 JinjaValue *b);
extern JinjaValue *jn_object_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a,
									JinjaValue *b);
extern bool jn_compare_op(JinjaEnv *env, JinjaOp op, JinjaValue *a,
						  JinjaValue *b);
extern bool jn_contains(JinjaEnv *env, JinjaValue *container, JinjaValue *v);
extern bool jn_range_position(JinjaEnv *env, const JnRange *r, JinjaValue *v,
							  int64 *pos);
extern void jn_sort(JinjaEnv *env, JinjaValue **keys, JinjaValue **items,
					int n, bool reverse);

/* numbers.c */
extern bool jn_is_numeric(const JinjaValue *v);
extern double jn_to_double(JinjaEnv *env, const JinjaValue *v);
extern JinjaValue *jn_number_binary(JinjaEnv *env, JinjaOp op, JinjaValue *a,
									JinjaValue *b);
extern JinjaValue *jn_negate(JinjaEnv *env, JinjaValue *v);
extern JinjaValue *jn_positive(JinjaEnv *env, JinjaValue *v);
extern int	jn_compare_numbers(JinjaEnv *env, const JinjaValue *a,
							   const JinjaValue *b);

/* set.c */
extern bool jn_is_set_like(const JinjaValue *v);
extern bool jn_is_subset(JinjaEnv *env, JinjaValue *a, JinjaValue *b);
extern JinjaValue *jn_set_difference(JinjaEnv *env, JinjaValue *a,
									 JinjaValue *b);
extern JinjaValue *jn_to_set(JinjaEnv *env, JinjaValue *v);
extern const JnBuiltin jn_set_methods[];

/* access.c */
extern JinjaValue *jn_getattr(JinjaEnv *env, JinjaValue *object,
							  JinjaValue *name);
extern JinjaValue *jn_getitem(JinjaEnv *env, JinjaValue *object,
							  JinjaValue *index);
extern JinjaValue *jn_slice(JinjaEnv *env, JinjaValue *object,
							JinjaValue *start, JinjaValue *stop,
							JinjaValue *step);
extern JinjaValue *jn_attr_path(JinjaEnv *env, JinjaValue *object,
								JinjaValue *path, JinjaValue *dflt);
extern bool jn_index(int64 i, int64 length, int64 *result);
extern int64 jn_int_arg(JinjaEnv *env, JinjaValue *v, int64 dflt,
						const char *what);
extern JinjaValue *jn_string_arg(JinjaEnv *env, JinjaValue *v,
								 const char *what);

/* strings.c */
extern const char *jn_find(const char *s, int len, const char *what,
						   int what_len);
extern JinjaValue *jn_upper(JinjaEnv *env, JinjaValue *s);
extern JinjaValue *jn_replace_sharp_s(JinjaEnv *env, JinjaValue *s,
									  const char *with);
extern JinjaValue *jn_lower(JinjaEnv *env, JinjaValue *s);
extern JinjaValue *jn_title(JinjaEnv *env, JinjaValue *s, const char *starts);
extern void jn_append_repeated(JinjaEnv *env, StringInfo buf,
							   JinjaValue *fill, int64 n);
extern JinjaValue *jn_capitalize(JinjaEnv *env, JinjaValue *s);
extern JinjaValue *jn_strip(JinjaEnv *env, JinjaValue *s, JinjaValue *chars,
							bool left, bool right);
extern JinjaValue *jn_replace(JinjaEnv *env, JinjaValue *s, JinjaValue *from,
							  JinjaValue *to, int64 count);
extern JinjaValue *jn_join(JinjaEnv *env, JinjaValue *sep, JinjaValue *items,
						   bool strict);
extern JinjaValue *jn_pad(JinjaEnv *env, JinjaValue *s, int64 width,
						  JinjaValue *fill, char align);
extern JinjaValue *jn_splitlines(JinjaEnv *env, JinjaValue *s, bool keepends);
extern JinjaValue *jn_parse_integer(JinjaEnv *env, const char *s, int len,
									int base);
extern bool jn_parse_int(JinjaEnv *env, const char *s, int len, int base,
						 int64 *result);
extern bool jn_parse_float(const char *s, int len, double *result);
extern bool jn_is_cased(JinjaEnv *env, JinjaValue *s, bool upper);

/* eval.c, macro.c, loop.c */
typedef enum JnFlow
{
	JN_FLOW_NEXT,
	JN_FLOW_BREAK,
	JN_FLOW_CONTINUE,
} JnFlow;

extern JinjaValue *jn_eval(JinjaEnv *env, const JnNode *node);
extern JnFlow jn_exec(JinjaEnv *env, const JnNodeList *body);
extern void jn_assign(JinjaEnv *env, const JnNode *target, JinjaValue *value);
extern JnScope *jn_scope_push(JinjaEnv *env, JnScope *parent);
extern void jn_scope_hide(JinjaEnv *env, const JnNodeList *body);
extern void jn_scope_capture(JinjaEnv *env);
extern void jn_scope_pop(JinjaEnv *env, JnScope *outer);
extern JnFlow jn_exec_for(JinjaEnv *env, const JnNode *node);
extern JinjaValue *jn_macro_value(JinjaEnv *env, const JnMacroDef *def);
extern JinjaValue *jn_call_macro(JinjaEnv *env, const JnMacro *macro,
								 const JinjaArgs *args);
extern void jn_run(JinjaEnv *env, JinjaTemplate *tmpl);

/* call.c: built-ins and their arguments */
extern JinjaValue *jn_call_builtin(JinjaEnv *env, const JnBuiltin *b,
								   JinjaValue *self, const JinjaArgs *args);

/* native.c */
extern void jn_native_text(JinjaEnv *env);
extern void jn_native_piece(JinjaEnv *env, const JnNode *node, JinjaValue *v);
extern JinjaValue *jn_native_value(JinjaEnv *env, JinjaValue *v);
extern JinjaValue *jn_mark(JinjaEnv *env, JinjaValue *v, char marker);

/* template.c */
extern void jn_list_macros(JinjaTemplate *tmpl);
extern void jn_trim_cache(void);

/* literal.c */
extern JinjaValue *jn_literal(JinjaEnv *env, const char *text, int len);

/* context.c */
/* What what is evaluated now sees there. */
extern JinjaValue *jn_lookup(JinjaEnv *env, JinjaContext *context,
							 JinjaValue *name);

/* html.c, layout.c: filters */
extern JinjaValue *jn_filter_striptags(JN_BUILTIN_ARGS);
extern JinjaValue *jn_filter_urlencode(JN_BUILTIN_ARGS);
extern JinjaValue *jn_filter_urlize(JN_BUILTIN_ARGS);
extern JinjaValue *jn_filter_xmlattr(JN_BUILTIN_ARGS);
extern JinjaValue *jn_filter_wordwrap(JN_BUILTIN_ARGS);
extern JinjaValue *jn_filter_pprint(JN_BUILTIN_ARGS);

/* filters.c, tests.c, methods.c, globals.c, json.c */
extern const JnBuiltin *jn_find_filter(const char *name);
extern const JnBuiltin *jn_find_test(const char *name);
extern const JnBuiltin *jn_find_method(const JinjaValue *object,
									   JinjaValue *name);
extern void jn_dict_update(JinjaEnv *env, JinjaValue *dict, JinjaValue *from);
extern void jn_dict_update_args(JinjaEnv *env, JinjaValue *dict,
								const JinjaArgs *args);
extern bool jn_is_class(const JinjaValue *v);
extern JinjaValue *jn_global(JinjaEnv *env, const char *name);
extern JinjaValue *jn_from_number(JinjaEnv *env, const char *s, int len);
extern void jn_not_serializable(JinjaEnv *env, const JinjaValue *v)
			pg_attribute_noreturn();
extern JinjaValue *jn_json_key(JinjaEnv *env, JinjaValue *key);
extern JinjaValue *jn_to_json(JinjaEnv *env, JinjaValue *v, int indent,
							  bool sort_keys, bool html_safe);

#endif							/* DPIPE_JINJA_INTERNAL_H */
