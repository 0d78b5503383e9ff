/*
 * project.h
 *		The graph of nodes: models, what they read, what dbt would call them.
 *
 * A graph is loaded once a call and lives in the memory context that was
 * current then. Nothing here runs SQL of a user's.
 */
#ifndef DPIPE_PROJECT_H
#define DPIPE_PROJECT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/doc.h"

/* Package of the models that dpipe_create_model defines. */
#define DPIPE_PACKAGE "dpipe"

typedef enum DpipeNodeType
{
	DPIPE_NODE_MODEL,
	DPIPE_NODE_SOURCE,			/* a relation that models read by source() */
	DPIPE_NODE_PROJECT,			/* any node of a dbt project */
	DPIPE_NODE_MISSING,			/* a name that was ref'ed and is not defined */
} DpipeNodeType;

typedef struct DpipeNode
{
	DpipeNodeType type;
	char	   *unique_id;		/* model.dpipe.x, source.dpipe.raw.t */
	char	   *name;
	char	   *schema;			/* of its relation */
	char	   *alias;			/* name of its relation */

	/* what selections go by; NULL for names that are not defined */
	const char *resource_type;
	const char *package;
	const char *path;			/* of its file; NULL: it came from none */
	PdDoc	   *fqn;
	PdDoc	   *doc;			/* of a project: as a manifest shows it */

	/* models of dpipe_create_model only */
	char	   *owner_name;
	Oid			owner;			/* InvalidOid: gone, renamed or another role */
	char	   *base_schema;	/* current schema of whoever defined it */
	char	   *search_path;
	char	   *sql;
	Jsonb	   *given;			/* the argument "config" */
	Jsonb	   *config;			/* overlaid by config() in the text */
	char	   *materialized;
	bool		enabled;
	List	   *tags;			/* char * */
	int64		version;
	List	   *refs;			/* unique ids as char * */
	List	   *sources;		/* quoted, qualified names as char * */

	/* edges, once the graph is linked */
	List	   *parents;		/* DpipeNode * */
	List	   *children;
	int			mark;			/* scratch of a traversal */
	int			position;		/* in the graph's list */
	struct DpipeNode *blame;	/* in a run: the failed node it depends on */
} DpipeNode;

typedef struct DpipeGraph
{
	List	   *nodes;			/* DpipeNode *, each after all of its parents */
	HTAB	   *by_id;
	const char *project;		/* its name; or NULL: models alone */
	const char *root_package;	/* of the project, or NULL */
	PdDoc	   *selectors;		/* of its selectors.yml, or NULL */
} DpipeGraph;

/* What a text says about itself, found by rendering it with execute = false. */
typedef struct DpipeParsed
{
	Jsonb	   *config;			/* keyword arguments of config() */
	List	   *refs;
	List	   *sources;
} DpipeParsed;

typedef struct DpipeRendering DpipeRendering;

/*
 * The relation expression of dpipe.new_rows(relation). Lets rendering know
 * nothing of consumers.
 */
typedef char *(*DpipeNewRows) (DpipeRendering *rendering, const char *schema, const char *name);

/* One rendering of one node. Fields that are not known are NULL. */
struct DpipeRendering
{
	const DpipeGraph *graph;
	const DpipeNode *node;
	const Jsonb *vars;
	bool		execute;
	bool		full_refresh;	/* as asked for; config("full_refresh") wins */
	const char *command;		/* flags.WHICH */
	const char *invocation_id;	/* NULL: that of the statement */
	List	   *selected;		/* unique ids, char *, of what is run with it */
	TimestampTz started_at;
	DpipeNewRows new_rows;
	void	   *new_rows_arg;

	/* filled in */
	DpipeParsed parsed;			/* while parsing */
	MemoryContext cxt;			/* that of the caller, where parsed lives */
	struct DpipeHost *host;		/* while it renders */
	struct PjScope *beside;		/* the project that it sees, or NULL */
};

/* graph.c */

/*
 * All nodes, linked and in order; "candidate", if any, in the place of the
 * model of its name. With vars, what texts say about themselves is found
 * anew, as it may depend on them. Raises on a cycle and when two models make
 * the same relation.
 */
extern DpipeGraph *dpipe_graph_load(const Jsonb *vars, DpipeNode *candidate);
extern DpipeNode *dpipe_graph_find(const DpipeGraph *graph, const char *unique_id);
extern char *dpipe_model_id(const char *package, const char *name);

/*
 * The project that a call is for: the one it names, else the only one there
 * is; NULL: there is none. Only those count that the current user may act as
 * the owner of; raises when there are several, or none of the name.
 */
extern char *dpipe_project_choose(const char *asked);

/*
 * The project beside models of a role's: the one of the name, which must be
 * there, else the only one that the role may act as the owner of, or NULL.
 */
extern char *dpipe_project_of_role(Oid role, const char *asked);

/*
 * The nodes of a stored project, with all that they say, upon a graph of
 * models. Nothing is checked: who may see them is the caller's business.
 */
extern void dpipe_graph_add_project(DpipeGraph *graph, const char *project);

/* Paths of the files of the graph's project; char *. */
extern List *dpipe_graph_paths(const DpipeGraph *graph);

/* Are all names that models use defined by models? */
extern bool dpipe_graph_is_complete(const DpipeGraph *graph);

/* Tests that a selection reaches only through what they test. */
typedef enum DpipeIndirect
{
	DPIPE_INDIRECT_EAGER,		/* if any of that is selected */
	DPIPE_INDIRECT_CAUTIOUS,	/* if all of that is selected */
	DPIPE_INDIRECT_BUILDABLE,	/* the same, or all that it is made of */
	DPIPE_INDIRECT_EMPTY,		/* never */
} DpipeIndirect;

typedef struct DpipeSelection
{
	const char *nodes;			/* dbt's --select; NULL: all */
	const char *exclude;
	const char *selector;		/* a name of selectors.yml */
	DpipeIndirect indirect;

	/* what state, result and source_status compare with; NULL: not given */
	PdDoc	   *state;			/* a manifest */
	PdDoc	   *run_results;
	PdDoc	   *sources;		/* sources.json of then, and of now */
	PdDoc	   *sources_current;
} DpipeSelection;

/* select.c: what a selection holds, of all kinds, in the graph's order. */
extern List *dpipe_select_nodes(const DpipeGraph *graph, const DpipeSelection *selection);

/* Raise if a selectors.yml, which may be NULL, holds what is no selector. */
extern void dpipe_check_selectors(const PdDoc *file);

/* The models of dpipe_create_model in it. */
extern List *dpipe_select(const DpipeGraph *graph, const char *nodes, const char *exclude);

/* config.c */

/* Set materialized, schema, alias, tags and the like from config; raises. */
extern void dpipe_node_configure(DpipeNode *node, const Jsonb *captured);
extern List *dpipe_config_list(const DpipeNode *node, const char *key);

/* beside.c: raise if the project beside the model makes its relation, or reads it in a cycle. */
extern void dpipe_check_beside(const DpipeNode *own, DpipeGraph *graph);

/* render.c */

/* Find out what node->sql says about itself. */
extern void dpipe_node_parse(DpipeNode *node, const Jsonb *vars, DpipeParsed *parsed);

/* The text to run, in the current memory context. */
extern char *dpipe_node_render(DpipeRendering *rendering, const char *text);

/* Does "node" keep what it has (a model with a table, no full refresh)? */
extern bool dpipe_node_is_incremental(const DpipeNode *node, bool full_refresh);

/* "database"."schema"."name", as dbt prints a relation. */
extern char *dpipe_relation_name(const char *schema, const char *name);

#endif							/* DPIPE_PROJECT_H */
