/*
 * scope.h
 *		One rendering of a template of a project, and what it may see.
 *
 *		scope.c			names: macros, the node, dbt's functions
 *		scope_config.c	config and var
 *		functions.c		functions that know nothing of nodes
 *		runtimeconfig.c	ref and source as objects: ref.config
 *		runtime.c		ref(), source(), dpipe.new_rows() when nodes are compiled
 */
#ifndef DPIPE_PROJECT_SCOPE_H
#define DPIPE_PROJECT_SCOPE_H

#include "project/host.h"
#include "project/loading.h"

/* Macros by what they are found by; all else is hidden. */
typedef struct PjVisible
{
	HTAB	   *ids;
	HTAB	   *names;			/* the id of the macro of a name */
	HTAB	   *packages;
} PjVisible;

typedef struct PjScope
{
	PjLoad	   *load;
	const PjProject *project;	/* whose macros come first */
	PjNode	   *node;			/* NULL: a YAML value or a name */
	JinjaEnv   *env;
	JinjaContext *context;
	DpipeHost	host;			/* whose "execute" is that of the rendering */
	PjVisible  *visible;		/* NULL: all macros */
	bool		yaml;			/* a value of a YAML file: no macros, no node */
	bool		empty;			/* what is read gives no rows */
	const char *selected;		/* unique id of what is compiled, or NULL */
	char	   *(*new_rows) (const char *consumer, const char *schema, const char *name,
							 bool reset);	/* NULL: not now */
	List	   *ephemeral;		/* PjNode * that ref() gave, when compiling */
} PjScope;

extern void pj_scope_open(PjScope *scope, PjLoad *load, const PjProject *project, PjNode *node);
extern void pj_scope_close(PjScope *scope);

/*
 * Let templates of no project find what this one has: its macros see the names
 * of the host's context. The environment stays the host's.
 */
extern void pj_scope_borrow(PjScope *scope, PjLoad *load, DpipeHost *host);
/* NULL: neither */
extern JinjaValue *pj_macro_or_package(PjScope *scope, const char *name);
extern JinjaValue *pj_graph_value(PjScope *scope);

/* The value of a name of functions.c, or NULL. */
extern JinjaValue *pj_function(PjScope *scope, const char *name);

/* compile.c: the text after the ephemeral models that it reads */
extern char *pj_with_ephemeral(PjScope *scope, const char *text, bool full_refresh,
							   const char *command);

/* scope_config.c; a lookup gives NULL while nodes are parsed */
extern JinjaValue *pj_config_value(PjScope *scope);
extern JinjaValue *pj_var_value(PjScope *scope);
extern PdDoc *pj_config_lookup(PjScope *scope, const char *key);

/* runtimeconfig.c: ref or source, which "fn" is called as */
extern JinjaValue *pj_resolver_value(PjScope *scope, bool source, JinjaFunction fn);

/* macrodoc.c: what the generic test that is the scope's node sees */
extern PjVisible *pj_visible_macros(PjScope *scope);

/* scope.c: what ref() gives for a node */
extern JinjaValue *pj_node_relation(PjScope *scope, const PjNode *node);

/* runtime.c */
extern JinjaValue *pj_runtime_ref(PjScope *scope, const PdDoc *ref);
extern JinjaValue *pj_dpipe_value(PjScope *scope);	/* "dpipe" */
extern JinjaValue *pj_runtime_source(PjScope *scope, const PdDoc *pair);
extern JinjaValue *pj_runtime_function(PjScope *scope, const PdDoc *names);

/* Where adapter.dispatch() looks for a namespace; NIL: as without one. */
extern List *pj_dispatch_order(const PjLoad *load, const char *macro_namespace);

/* The node depends on a macro, if it calls it itself. */
extern void pj_note_macro(PjScope *scope, const char *id);

/* The value of a macro; that the node calls it is noted. */
extern JinjaValue *pj_macro_value(PjScope *scope, PjMacro *macro);

#endif							/* DPIPE_PROJECT_SCOPE_H */
