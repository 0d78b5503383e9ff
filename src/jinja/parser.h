/*
 * parser.h
 *		What parser.c and expression.c share.
 */
#ifndef DPIPE_JINJA_PARSER_H
#define DPIPE_JINJA_PARSER_H

#include "jinja/jinja_internal.h"

/* Most keyword arguments of a call and parameters of a macro. */
#define JN_MAX_ARGS 1000

/* A macro whose body is being parsed. */
typedef struct JnMacroScan
{
	struct JnMacroScan *outer;
	JnMacroDef *def;
	bool		hide_caller;	/* assigned to before it was used */
	bool		hide_kwargs;
	bool		hide_varargs;
} JnMacroScan;

#define JN_NAMES_KEPT 128

typedef struct JnParser
{
	MemoryContext cxt;
	JnLexer		lex;
	JnToken		tok;
	JnToken		ahead;
	int64		ntokens;
	int			depth;
	const JinjaDialect *dialect;
	const char *tag_start;		/* of the tag at work */
	const char *const *ends;	/* what closes the innermost block */
	JnMacroScan *macros;
	int			loops;			/* that break and continue can reach */
	int			in_loop_body;
	int			conditional;	/* enclosing ifs of this macro */
	bool		in_target;
	JnNodeList	strays;
	JnNode	   *unknown;		/* filter or test of no known name */
	/* names that were met lately, by hash: one value for each is enough */
	JinjaValue *names[JN_NAMES_KEPT];
} JnParser;

extern void jn_parser_next(JnParser *p);
extern void jn_parser_enter(JnParser *p);
extern JnNode *jn_node(JnParser *p, JnNodeType type, const JnToken *tok);
extern void jn_node_append(JnNodeList *list, JnNode *node);
extern void jn_unexpected(JnParser *p, const char *expected)
			pg_attribute_noreturn();
extern bool jn_at_op(JnParser *p, const char *op);
extern bool jn_at_name(JnParser *p, const char *name);
extern bool jn_skip_op(JnParser *p, const char *op);
extern bool jn_skip_name(JnParser *p, const char *name);
extern void jn_expect_op(JnParser *p, const char *op);
extern JinjaValue *jn_expect_identifier(JnParser *p);
extern void jn_mention(JnParser *p, const char *name, bool load);

/* scope.c */
extern void jn_analyze_scopes(JnNodeList *body);

/* expression.c */
extern JnNode *jn_parse_expression(JnParser *p);
extern JnNode *jn_parse_tuple(JnParser *p, bool with_condition,
							  const char *end, bool in_parentheses);
extern JnNode *jn_parse_target_tuple(JnParser *p, const char *end,
									 bool with_namespace);
extern JnNode *jn_parse_filter_name(JnParser *p, JnNode *input);
extern JnNode *jn_parse_filters(JnParser *p, JnNode *input);

#endif							/* DPIPE_JINJA_PARSER_H */
