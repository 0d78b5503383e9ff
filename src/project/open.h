/*
 * open.h
 *		Projects as they are stored: what a load writes and what selections
 *		and compilation read.
 */
#ifndef DPIPE_PROJECT_OPEN_H
#define DPIPE_PROJECT_OPEN_H

#include "project/loading.h"
#include "project/project.h"

/* load.c: options, and what follows from dbt_project.yml */
extern void pj_read_options(PjLoad *load, PdDoc *options);
extern void pj_read_root(PjLoad *load);

/*
 * open.c: the project as it is stored. It is the session's, to be read only,
 * and stays until the next one is opened.
 */
extern PjLoad *pj_open(const char *name);
/* Read all that its nodes say, for who goes through "nodes" of the load. */
extern void pj_read_nodes(const PjLoad *load);
/* beside.c: the project that a model of dpipe_create_model sees, or NULL */
extern PjLoad *pj_beside(const DpipeNode *node);

/* As whom texts of the opened project run. */
extern void pj_opened_identity(Oid *owner, char **search_path);

/*
 * compile.c: the text of a node, or an inline text, as it would run now, with
 * the ephemeral models it reads; the value of a macro.
 */
/* The relation expression of dpipe.new_rows(); "reset": of all rows */
typedef char *(*PjNewRows) (const char *consumer, const char *schema, const char *name,
							bool reset);

typedef struct PjCompile
{
	const char *project;
	PdDoc	   *vars;			/* on top of those of the load; or NULL */
	bool		full_refresh;
	bool		empty;
	const char *command;		/* flags.WHICH */
	const char *selected;		/* unique id; set here */
	PjNewRows	new_rows;		/* what dpipe.new_rows() gives */
} PjCompile;

/* NULL: no node of that name. "name" is a name or a unique id. */
extern char *pj_compile_node(const PjCompile *how, const char *name);
extern char *pj_compile_inline(const PjCompile *how, const char *text);
extern Jsonb *pj_call_operation(const PjCompile *how, const char *macro, const Jsonb *args);

#endif							/* DPIPE_PROJECT_OPEN_H */
