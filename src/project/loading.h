/*
 * loading.h
 *		What the files that load a dbt project share among themselves.
 *
 *		load.c			the verbs, and the order in which things happen
 *		files.c			which files a project has, from a directory or jsonb
 *		settle.c		dbt_project.yml: paths, vars, configuration
 *		context.c		what templates of a project see while it is loaded
 *		macros.c		macros, docs blocks and generic tests by name
 *		levels.c		configuration by path, and how it is merged
 *		hooks.c			on-run-start and on-run-end: a node a hook
 *		sqlfile.c		models, snapshots, seeds, tests, ...: a node a file
 *		properties.c	YAML files: what they say about nodes, and what they are
 *		generic.c		tests that a YAML file declares
 *		sources.c		sources that a YAML file declares
 *		fixture.c		rows of unit tests
 *		unique.c		names that only one may have
 *		refuse.c		what dbt refuses: keys, types, rules of an entry
 *		versions.c		versions of a model
 *		enforce.c		contracts and constraints of a model
 *		microbatch.c	models that are made batch by batch
 *		static.c		references that are read without rendering
 *		keys.c			what nothing reads: unknown keys, unused paths
 *		resolve.c		names to nodes, rules between nodes, descriptions
 *		store.c			catalogs
 *		reload.c		the short way, when only texts of nodes have changed
 *
 * All of a load lives in one memory context. An error leaves the catalogs as
 * they were, since they are written last.
 */
#ifndef DPIPE_PROJECT_LOADING_H
#define DPIPE_PROJECT_LOADING_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

#include "base/doc.h"
#include "jinja/jinja.h"

/* What a file is, by its place and its ending. */
typedef enum PjKind
{
	PJ_MODEL,
	PJ_SEED,
	PJ_SNAPSHOT,
	PJ_ANALYSIS,
	PJ_TEST,					/* singular */
	PJ_GENERIC_TEST,
	PJ_MACRO,
	PJ_FUNCTION,
	PJ_DOCS,
	PJ_FIXTURE,
	PJ_PROPERTIES,
	PJ_OTHER,					/* dbt_project.yml, selectors.yml, ... */
} PjKind;

typedef struct PjProject PjProject;

typedef struct PjFile
{
	PjKind		kind;
	PjProject  *project;
	const char *path;			/* in the root project's directory */
	const char *original;		/* in its own project's directory */
	const char *relative;		/* in the search path that found it */
	const char *text;			/* stripped, as dbt reads it; of a seed the head */
	int			len;
	const char *checksum;		/* sha256 of the text, hexadecimal */
	PdDoc	   *parsed;			/* what parsing gave, kept with the file */
	const char *parsed_key;		/* under what circumstances */
	JinjaTemplate *tmpl;		/* macros and the like */
} PjFile;

/* A package, or the root project. */
struct PjProject
{
	const char *name;
	const char *prefix;			/* of its paths: "" or "dbt_packages/x/" */
	bool		is_root;
	PdDoc	   *doc;			/* dbt_project.yml, rendered */
	PdDoc	   *raw;			/* as written */
	const char *checksum;		/* of that file */
	PdDoc	   *vars;
	PdDoc	   *quoting;
	List	   *paths[PJ_OTHER];	/* char *, by kind */
	List	   *files;			/* PjFile * */
	List	   *ignored;		/* patterns of .dbtignore; see glob.h */
	JinjaContext *macro_context;	/* of the environment now in use */
};

/* What resolves names of one kind of node; see pj_find_ref(). */
typedef struct PjNode PjNode;

struct PjNode
{
	const char *resource_type;
	const char *unique_id;
	PjProject  *project;
	PjFile	   *file;
	const char *name;
	const char *path;
	const char *original_path;
	const char *alias;
	const char *schema;
	const char *database;
	const char *raw_code;
	const char *checksum;
	const char *patch_path;
	const char *description;
	const char *access;			/* models */
	const char *group;
	const char *column_name;	/* generic tests */
	const char *attached;
	PdDoc	   *version;		/* or NULL */
	PdDoc	   *latest_version;
	PdDoc	   *fqn;
	PdDoc	   *tags;
	PdDoc	   *meta;
	PdDoc	   *docs;
	PdDoc	   *columns;		/* dict by name */
	PdDoc	   *config;			/* final */
	PdDoc	   *call_config;	/* of config() calls */
	PdDoc	   *patch_config;	/* of a YAML file */
	PdDoc	   *unrendered;		/* config as it is written; or NULL */
	PdDoc	   *doc_blocks;		/* ids of the docs blocks of the description; or NULL */
	PdDoc	   *refs;			/* list of {name, package, version} */
	PdDoc	   *sources;		/* list of [source, table] */
	PdDoc	   *metrics;
	PdDoc	   *functions;		/* list of [name] or [package, name] */
	PdDoc	   *test_metadata;	/* generic tests */
	PdDoc	   *more;			/* what only some kinds have, as in a manifest */
	bool		enabled;
	bool		unnamed;		/* its relation waits for all of its config */
	char	   *stored;			/* open.c: all but its names is still in here */
	List	   *depends_on;		/* unique ids of nodes, char * */
	List	   *macros;			/* unique ids of macros, char * */
};

typedef struct PjMacro
{
	const char *unique_id;
	const char *name;
	const char *tag;			/* macro, test, materialization, ... */
	PjProject  *project;
	PjFile	   *file;
	int			index;			/* in the file's template */
	PdDoc	   *patch;			/* what YAML says about it */
	const char *patch_path;
} PjMacro;

typedef struct PjDoc
{
	const char *unique_id;
	const char *name;
	PjFile	   *file;
	const char *text;
} PjDoc;

typedef struct PjLoad
{
	MemoryContext cxt;
	/* options */
	const char *name;			/* option "project", or the root's name */
	const char *target_name;
	const char *target_schema;
	const char *profile_name;
	const char *search_path;
	Oid			owner;
	int			threads;
	PdDoc	   *options;
	PdDoc	   *vars;
	PdDoc	   *env;
	PdDoc	   *target;			/* what templates see as "target" */
	PdDoc	   *flags;

	PjProject  *root;
	List	   *projects;		/* PjProject *, the root last */
	List	   *files;			/* all PjFile * */
	HTAB	   *old_files;		/* what is stored, by path; or NULL */
	const char *load_key;		/* what all depends on but texts of nodes */
	const char *stored_key;		/* that of the load that is stored, or NULL */
	PdDoc	   *counts;			/* what a load returns */
	PdDoc	  **defaults;		/* of levels.c: a kind's, once it was needed */
	int			nflat;			/* tests with arguments not below "arguments" */
	const char *flat;			/* the first of them */
	bool		spoke;			/* it has warned, and must again next time */

	List	   *nodes;			/* PjNode *, enabled ones and not */
	HTAB	   *by_id;			/* enabled nodes by unique id */
	HTAB	   *by_name;		/* lists of nodes by name */
	List	   *macros;			/* PjMacro * */
	HTAB	   *macros_by_name;
	HTAB	   *visible;		/* PjVisible * by the id of a test; or NULL */
	List	   *docs;
	PdDoc	   *groups;			/* by unique id */
	List	   *patches;		/* source overrides, while files are read */
	List	   *declared;		/* sources, while files are read */
	PdDoc	   *selectors;		/* of selectors.yml */
	const char *parse_key;		/* what parsing depends on besides a file */
	int			nreparsed;
	PdDoc	   *definition;		/* of a stored project that was read again */
	const char *version;		/* of it */
	bool		is_new;			/* no project of the name is stored */
} PjLoad;

/*
 * open.c: a node of "by_id" or "by_name", of which only name, resource_type,
 * project, unique_id and enabled are there before, if it is of an opened project.
 */
extern PjNode *pj_read_node(PjNode *node);
extern PjNode *pj_hidden_node(const PjLoad *load, PdDoc *doc);

/* A hash of pointers by text. */
extern HTAB *pj_table(const char *name);
extern void *pj_table_get(HTAB *table, const char *key);
extern void pj_table_put(HTAB *table, const char *key, void *value);

/* Raise an error that names a file, and a place in it if doc has one. */
extern void pj_raise(const PjFile *file, const PdDoc *doc, const char *fmt,...)
			pg_attribute_printf(3, 4) pg_attribute_noreturn();
extern void pj_warn(const PjFile *file, const PdDoc *doc, const char *fmt,...)
			pg_attribute_printf(3, 4);

/* files.c */
extern const char *pj_sha256(const char *text, int len);	/* hexadecimal */
extern void pj_read_directory(PjLoad *load, const char *directory);
extern void pj_read_files(PjLoad *load, const Jsonb *files);

/* settle.c */
extern PjProject *pj_settle(PjLoad *load, const char *prefix, const char *text, int len);
extern int	pj_compare_text(const ListCell *a, const ListCell *b);
/* A text, or those of a list, as char *. */
extern void pj_add_texts(List **list, const PdDoc *value);
/* Each once, in order; sorts "texts". */
extern PdDoc *pj_sorted_texts(List *texts);
extern void pj_settle_paths(PjProject *project);
extern const char *pj_strip(const char *text, int *len);

/* levels.c */
extern PdDoc *pj_node_config(PjLoad *load, const PjNode *node);
extern bool pj_has_levels(const PjLoad *load, const PjNode *node);
extern PdDoc *pj_unrendered_config(const PjLoad *load, const PjNode *node);
extern void pj_merge_calls(PdDoc *into, const PdDoc *call);

/* context.c */
extern PdDoc *pj_render_value(PjLoad *load, const PjProject *project, const PdDoc *value,
							  const PjFile *file);
extern PdDoc *pj_render_deep(PjLoad *load, const PjProject *project, const PdDoc *value,
							 const PjFile *file,
							 bool (*wanted) (const List *keypath, const void *arg), const void *arg);

extern char *pj_render_description(PjLoad *load, const PjProject *project, const char *text,
								   const PjFile *file);
/* Unique ids of the docs blocks that a description uses. */
extern PdDoc *pj_doc_blocks(PjLoad *load, const PjProject *project, const char *text);
extern void pj_parse_node_sql(PjLoad *load, PjNode *node);
extern void pj_parse_reference(PjLoad *load, PjNode *node);
extern void pj_parse_hooks(PjLoad *load, PjNode *node);
extern void pj_parse_test_arguments(PjLoad *load, PjNode *node, const PdDoc *kwargs);
extern void pj_name_relation(PjLoad *load, PjNode *node);
extern PdDoc *pj_value_doc(JinjaEnv *env, JinjaValue *value);
extern JinjaValue *pj_doc_value(JinjaEnv *env, const PdDoc *doc);

/* macros.c */
extern void pj_load_macros(PjLoad *load);
extern void pj_warn_strays(const PjLoad *load);
extern PjMacro *pj_find_macro(const PjLoad *load, const char *project, const char *name);
extern PjMacro *pj_macro_of_id(const PjLoad *load, const char *id);	/* NULL: none of a project */
extern PjMacro *pj_any_macro(const PjLoad *load, const PjProject *project, const char *name);
extern PjMacro *pj_dispatched_macro(const PjLoad *load, const char *name);
extern void pj_check_dispatches(PjLoad *load);
extern const char *pj_macro_dependency(PjLoad *load, const PjProject *project, const char *name);
extern PjMacro *pj_resolve_macro(const PjLoad *load, const PjProject *project, const char *name);

/* hooks.c */
extern void pj_load_hooks(PjLoad *load);

/* sqlfile.c */
extern void pj_load_sql_files(PjLoad *load);
extern PjNode *pj_make_node(PjLoad *load, const char *resource_type, PjFile *file,
							const char *name, const char *path, PdDoc *fqn);
extern void pj_add_node(PjLoad *load, PjNode *node);
extern void pj_update_config(PjLoad *load, PjNode *node);
extern void pj_check_access(const PjFile *file, const PdDoc *access, const char *unique_id);
extern PdDoc *pj_fqn_prefix(const PjProject *project, const char *relative);
extern PjNode *pj_make_sql_node(PjLoad *load, PjFile *file);

/* properties.c, generic.c, sources.c */
extern void pj_load_properties(PjLoad *load);
extern void pj_add_tests(PjLoad *load, PjFile *file, const char *key, PdDoc *target,
						 PdDoc *columns, PdDoc *tests, const PdDoc *version);
extern void pj_add_test(PjLoad *load, PjFile *file, const char *key, PdDoc *target, PdDoc *table,
						PdDoc *test, PdDoc *column, List *tags, const PdDoc *version);
extern void pj_warn_flat_tests(const PjLoad *load);
extern void pj_add_source(PjLoad *load, PjFile *file, PdDoc *source);
/* Does a table of a source say when its rows were loaded, or that nothing does? */
extern bool pj_says_loaded_at_field(const PdDoc *table);
extern void pj_finish_sources(PjLoad *load);
extern PdDoc *pj_columns(PjLoad *load, PjFile *file, const PdDoc *columns);
extern PdDoc *pj_tests_of(const PjFile *file, PdDoc *target, bool strict);

/* unique.c: raise if a name is not the only one */
extern void pj_check_unique(const PjLoad *load);
extern void pj_raise_twice(const char *resource_type, const char *name, const char *id,
						   const PjFile *one, const char *other_id, const PjFile *other)
			pg_attribute_noreturn();

/* fixture.c */
extern const char *pj_fixture_name(const PjFile *file);
/* Give all inputs of a unit test, and what it expects, their rows. */
extern void pj_fill_fixtures(PjLoad *load, PjNode *test);

/* refuse.c: raise what dbt raises */
extern void pj_check_entry(const PjFile *file, const char *section, PdDoc *entry);
extern void pj_check_project(const PjFile *file, const PdDoc *doc);
extern void pj_check_packages(const PjFile *file, const PdDoc *list);
extern void pj_check_arguments(const PjFile *file, const PdDoc *function);
extern void pj_check_config(const PjNode *node);
extern void pj_check_step(const PjNode *node, const PdDoc *config);
extern void pj_check_snapshot(const PjNode *node);

/* versions.c */
extern PdDoc *pj_latest_version(const PdDoc *entry);
extern PdDoc *pj_version_columns(const PdDoc *entry, const PdDoc *version);
extern void pj_check_model_entry(const PjFile *file, const PdDoc *entry);	/* raises */

/* microbatch.c */
extern void pj_check_microbatch(const PjLoad *load);	/* raises */

/* enforce.c: raise if they are wrong; note what foreign keys refer to */
extern void pj_apply_constraints(const PjFile *file, const PdDoc *entry, PjNode *node);

/* Of a node's document: relations in the place of ref() and source() of foreign keys. */
extern void pj_name_foreign_keys(const PjLoad *load, const PjNode *node, PdDoc *doc);

/* static.c: a ref as in PjNode, a source as [source, table], or NULL */
extern PdDoc *pj_static_reference(const char *text, bool *is_source);

/* keys.c */
extern void pj_warn_keys(const PjFile *file, const char *section, const PdDoc *entry);
extern void pj_warn_unused_paths(const PjLoad *load);

/* resolve.c */
extern PjNode *pj_find_ref(const PjLoad *load, const char *name, const char *package,
						   const PdDoc *version, const PjProject *from, bool *disabled);
extern PjNode *pj_find_function(const PjLoad *load, const char *name, const char *package,
								const PjProject *from, bool *disabled);
extern PjNode *pj_find_source(const PjLoad *load, const char *source, const char *table,
							  const PjProject *from, bool *disabled);
extern void pj_resolve(PjLoad *load);

/* beside.c: models of dpipe_create_model, as nodes */
extern PjNode *pj_find_own(const PjLoad *load, const char *name, const char *package,
						   const PdDoc *version, bool *disabled);
/* Raise if one of them makes a relation of the project's. */
extern void pj_check_own(const PjLoad *load);
/* Raise if, now that it is stored, they and the project read each other. */
extern void pj_check_own_cycles(const PjLoad *load);

/* store.c */
extern void pj_read_stored(PjLoad *load);
extern void pj_read_parsed(PjLoad *load, PjFile *file);
extern void pj_store(PjLoad *load);
extern void pj_store_texts(PjLoad *load, List *files, List *docs);
extern PdDoc *pj_stored_node(const PjLoad *load, const char *unique_id);

/* reload.c */
extern void pj_make_load_key(PjLoad *load);
extern bool pj_reload(PjLoad *load);

#endif							/* DPIPE_PROJECT_LOADING_H */
