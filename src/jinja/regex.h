/*
 * regex.h
 *		Python's regular expressions: regex_parse.c compiles a pattern,
 *		regex_match.c runs it, re_module.c has modules.re.
 */
#ifndef DPIPE_JINJA_REGEX_H
#define DPIPE_JINJA_REGEX_H

#include "jinja/jinja_internal.h"

/* Flags have Python's values: templates see them as integers. */
#define JN_RE_IGNORECASE 2
#define JN_RE_LOCALE 4
#define JN_RE_MULTILINE 8
#define JN_RE_DOTALL 16
#define JN_RE_UNICODE 32
#define JN_RE_VERBOSE 64
#define JN_RE_ASCII 256

typedef enum JnReOp
{
	JN_RE_CHAR,					/* x: the character */
	JN_RE_ANY,					/* but a newline, unless flags has dotall */
	JN_RE_SET,					/* x: number of the set */
	JN_RE_SPLIT,				/* go to x; if that fails, to y */
	JN_RE_JUMP,					/* x */
	JN_RE_SAVE,					/* the position in slot x */
	JN_RE_LOOP,					/* to x, if the position is not slot y's */
	JN_RE_REPEAT,				/* the next instruction x to y times */
	JN_RE_BEGIN,				/* \A and ^ */
	JN_RE_END,					/* $ */
	JN_RE_VERY_END,				/* \Z */
	JN_RE_BOUNDARY,				/* \b, with x \B */
	JN_RE_BACKREF,				/* x: the group */
	JN_RE_CONDITION,			/* to y unless group x took part */
	JN_RE_LOOK,					/* what follows up to x; y: how; z: width */
	JN_RE_LOOK_END,
	JN_RE_MATCH,
} JnReOp;

typedef enum JnReLook
{
	JN_RE_AHEAD,
	JN_RE_NOT_AHEAD,
	JN_RE_BEHIND,
	JN_RE_NOT_BEHIND,
	JN_RE_ATOMIC,
} JnReLook;

typedef struct JnReInst
{
	JnReOp		op;
	int			flags;			/* those in force where it stands */
	int			x;
	int			y;
	int			z;
} JnReInst;

/* A set of characters: ranges and classes; classes are 'd', 'D', 'w', ... */
typedef struct JnReSet
{
	bool		negated;
	int			nranges;
	uint32		(*ranges)[2];
	int			nclasses;
	char	   *classes;
} JnReSet;

typedef struct JnRegex
{
	JinjaValue *pattern;
	int			flags;
	int			ngroups;		/* without group 0 */
	JinjaValue **names;			/* of groups, by number; NULL: none */
	JnReInst   *code;
	int			ncode;
	JnReSet    *sets;
	int			nsets;
	int			nslots;			/* two a group, then one a loop */
} JnRegex;

/* Where groups matched: bytes of the text, -1: not at all. */
typedef struct JnReMatch
{
	const JnRegex *regex;
	JinjaValue *text;
	int			from;			/* the part of the text that was searched */
	int			to;
	int			last_group;		/* -1: none */
	int		   *slots;
} JnReMatch;

extern JnRegex *jn_regex_compile(JinjaEnv *env, JinjaValue *pattern,
								 int flags);
extern JnReMatch *jn_regex_match(JinjaEnv *env, const JnRegex *regex,
								 JinjaValue *text, int from, int to,
								 bool search, bool full, bool must_advance);
extern uint32 jn_regex_char(const char *p, const char *end, int *len);
extern int	jn_regex_group(JinjaEnv *env, const JnRegex *regex,
						   JinjaValue *group);

#endif							/* DPIPE_JINJA_REGEX_H */
