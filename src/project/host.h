/*
 * host.h
 *		dbt's context: the objects and functions that templates find there.
 *
 *		host.c			the names, and what becomes of a result
 *		globals.c		functions that ask nothing of the database
 *		exceptions.c	exceptions.*
 *		adapter.c		adapter.*: what asks or changes the database
 *		dispatch.c		adapter.dispatch
 *		constraint.c	constraints of contracts as SQL
 *		query.c			SQL that a template runs
 *		binding.c		values in the place of %s
 *		table.c			what a query gives: agate's table, rows and columns
 *		agatetype.c		the types of its columns
 *		relation.c		relations as values, api.Relation
 *		column.c		columns as values, api.Column
 *		invocation.c	the call: its id, flags, arguments, target
 *		names.c			dicts by name: context, builtins, packages
 *		config_object.c	config: get, require, ... of any configuration
 *		builtin.c		the macros that dbt has of its own
 *
 * Whoever renders fills a DpipeHost, which lives as long as its environment,
 * and asks for the value of a name when a template uses it. What depends on a
 * node (model, this, ref, config, ...) is not known here.
 *
 * While "execute" is false, as when a project is loaded, no SQL runs: what
 * would ask the database gives what dbt gives then.
 */
#ifndef DPIPE_PROJECT_HOST_H
#define DPIPE_PROJECT_HOST_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "base/doc.h"
#include "jinja/jinja.h"

#define DPIPE_DBT_VERSION "1.11.16"

typedef struct DpipeHost DpipeHost;

struct DpipeHost
{
	JinjaEnv   *env;
	JinjaContext *context;		/* the names that templates see */
	bool		execute;

	/*
	 * As whom SQL runs, and under which search_path; InvalidOid: as the
	 * current user, under the path in force.
	 */
	Oid			owner;
	const char *search_path;

	/* What dbt_project.yml says under "quoting" */
	bool		unquoted_database;
	bool		unquoted_schema;
	bool		unquoted_identifier;

	/*
	 * A macro as a value; NULL: there is none. Without a package the node's
	 * own is searched first, then the root project, then dbt's own.
	 */
	JinjaValue *(*find_macro) (DpipeHost *host, const char *package, const char *name);
	/* Do the project's macros take the place of this one of dbt's? NULL: no */
	bool		(*overrides) (DpipeHost *host, const char *name);
	/* Where dispatch looks for a namespace: char *; NIL: as without one */
	List	   *(*search_order) (DpipeHost *host, const char *macro_namespace);
	void	   *arg;			/* of whoever fills this */

	/* of the node that is rendered: model, test, ...; NULL: of none */
	const char *resource_type;

	/* of the files that share this header; NULL at first */
	JinjaValue *results;		/* of store_result() */
	JinjaTemplate **builtin;	/* templates of dpipe_builtin_files */
};

/*
 * The value of "name": adapter, api, exceptions, load_result, log, tojson, ...
 * NULL: it is not one of these.
 */
extern JinjaValue *dpipe_host_value(DpipeHost *host, const char *name);

/* Call the macro that "name" means, as dbt's adapter does; it must exist. */
extern JinjaValue *dpipe_host_call_macro(DpipeHost *host, const char *name,
										 const JinjaArgs *args);

/* ---------- what the files above share ---------- */

typedef struct DpipeMember
{
	const char *name;
	JinjaFunction fn;
} DpipeMember;

/* The function "name" of a list that ends with a NULL name, else NULL. */
extern JinjaValue *dpipe_member(JinjaEnv *env, const DpipeMember *members, const char *name,
								void *arg);

/* Arguments of a call; they raise in the name of "function". */
extern JinjaValue *dpipe_arg(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name,
							 const char *function);
extern char *dpipe_arg_text(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name,
							const char *function);
/* NULL when it is not given, none or undefined */
extern JinjaValue *dpipe_arg_given(const JinjaArgs *args, int pos, const char *name);
extern char *dpipe_arg_text_given(JinjaEnv *env, const JinjaArgs *args, int pos,
								  const char *name);
extern bool dpipe_arg_flag(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name,
						   bool deflt);
extern bool dpipe_is_nothing(const JinjaValue *v);	/* NULL, none, undefined */

extern JinjaValue *dpipe_host_function(DpipeHost *host, const char *name);
extern JinjaValue *dpipe_host_exceptions(DpipeHost *host);
extern void dpipe_raise_missing_config(JinjaEnv *env, const char *node, const char *name)
			pg_attribute_noreturn();
extern JinjaValue *dpipe_host_adapter(DpipeHost *host);
extern JinjaValue *dpipe_host_relation_class(DpipeHost *host);
extern JinjaValue *dpipe_host_column_class(DpipeHost *host);

/* dispatch.c */
extern JinjaValue *dpipe_host_dispatch(JinjaEnv *env, void *host, const JinjaArgs *args);

/* constraint.c */
extern JinjaValue *dpipe_host_column_constraints(JinjaEnv *env, void *host, const JinjaArgs *args);
extern JinjaValue *dpipe_host_table_constraints(JinjaEnv *env, void *host, const JinjaArgs *args);

/* query.c */

/*
 * Run SQL as the host says. "table" gets what it returned, if not NULL; the
 * result is dbt's AdapterResponse.
 */
extern JinjaValue *dpipe_host_execute(DpipeHost *host, const char *sql, int64 limit,
									  JinjaValue **table);
/* The same with parameters of type text; rows as a list of lists. */
extern JinjaValue *dpipe_host_rows(DpipeHost *host, const char *sql, int nparams,
								   const char *const *params);
/* api.Column of each column that SQL gives. */
extern JinjaValue *dpipe_host_query_columns(DpipeHost *host, const char *sql);
extern JinjaValue *dpipe_response_value(JinjaEnv *env, const char *message, const char *code,
										JinjaValue *rows_affected);

/* ---------- binding.c ---------- */

/* The statement with a list of values in the place of its %s. */
extern char *dpipe_bound_sql(JinjaEnv *env, const char *sql, JinjaValue *bindings);

/* ---------- config_object.c ---------- */

typedef struct DpipeConfigOps
{
	/* The value of a key; NULL: there is none. Not asked while a text is parsed. */
	JinjaValue *(*lookup) (JinjaEnv *env, void *arg, const char *key);
	/* What config() says while a text is parsed: a dict. */
	void		(*note) (JinjaEnv *env, void *arg, JinjaValue *said);
	/* config.model; NULL: there is none */
	JinjaValue *(*model) (JinjaEnv *env, void *arg);
} DpipeConfigOps;

/* "node" names it in errors. */
extern JinjaValue *dpipe_config_value(JinjaEnv *env, const DpipeConfigOps *ops, void *arg,
									  const char *node, bool execute);

/* ---------- names.c ---------- */

/* NULL: there is none */
typedef JinjaValue *(*DpipeNamesGet) (void *arg, const char *name);
typedef List *(*DpipeNamesList) (void *arg);	/* char * */
/* NULL: the name is taken away */
typedef void (*DpipeNamesPut) (void *arg, const char *name, JinjaValue *value);

typedef struct DpipeNames
{
	DpipeNamesGet get;
	DpipeNamesList list;
	DpipeNamesPut put;			/* NULL: templates change nothing */
	void	   *arg;
} DpipeNames;

/* A dict of what "get" gives; what templates put there is for "put". */
extern JinjaValue *dpipe_names_value(JinjaEnv *env, DpipeNamesGet get, DpipeNamesList list,
									 void *arg);
extern JinjaValue *dpipe_writable_names(JinjaEnv *env, DpipeNamesGet get, DpipeNamesList list,
										DpipeNamesPut put, void *arg);
/* "context": "list" and what was put there, of the names of a rendering. */
extern List *dpipe_with_updates(const JinjaContext *context, List *list);
/* What a template of a node finds besides macros and packages. */
extern List *dpipe_context_names(void);

/* ---------- invocation.c ---------- */

/* A uuid, the same all through a statement. */
extern const char *dpipe_invocation_id(void);
/* Put dbt's flags; "flags" may hold others already. */
extern void dpipe_invocation_flags(PdDoc *flags, const char *command, bool full_refresh,
								   bool empty);
extern PdDoc *dpipe_invocation_args(const PdDoc *flags, PdDoc *vars);
extern PdDoc *dpipe_target_doc(const char *profile, const char *target, const char *schema,
							   const char *user, int threads);
/* dbt's error for a var that was not given, with those that were. */
extern void dpipe_raise_no_var(JinjaEnv *env, const char *name, const char *node,
							   const PdDoc *vars) pg_attribute_noreturn();
/* Raise if templates must not ask for this variable. */
extern void dpipe_check_env_var(JinjaEnv *env, const char *name);

/* ---------- builtin.c ---------- */

/* One file of macros. */
typedef struct DpipeBuiltinFile
{
	const char *name;			/* macros/strings.jinja */
	const char *text;
} DpipeBuiltinFile;

extern const DpipeBuiltinFile dpipe_builtin_files[];	/* the last has no name */

/* The blocks that dbt adds to the language. */
extern const JinjaDialect dpipe_dialect;
extern const JinjaDialect dpipe_macro_dialect;	/* of files of macros */

extern bool dpipe_is_builtin_macro(const char *name);
/* A macro of dbt's own, marked with its name; NULL: there is none of that name. */
extern JinjaValue *dpipe_builtin_macro(DpipeHost *host, const char *name);
/* All names of them, char *. */
extern List *dpipe_builtin_names(DpipeHost *host);
/* "dbt": its members are the macros of dbt's own. */
extern JinjaValue *dpipe_builtin_namespace(DpipeHost *host);

#endif							/* DPIPE_PROJECT_HOST_H */
