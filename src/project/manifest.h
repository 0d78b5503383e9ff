/*
 * manifest.h
 *		What the files that make a manifest share among themselves.
 *
 *		manifest.c		the verb, sections, maps
 *		shape.c			fields of each kind of node
 *		selectordoc.c	selectors.yml
 *		macrodoc.c		macros, and what they call
 *		semantic.c		metrics, semantic models, saved queries
 *		modeldoc.c		models and unit tests: keys and checksums
 *		catalog.c		dpipe_catalog
 *		owndoc.c		models of dpipe_create_model
 */
#ifndef DPIPE_PROJECT_MANIFEST_H
#define DPIPE_PROJECT_MANIFEST_H

#include "project/loading.h"

typedef struct PjManifest
{
	PjLoad	   *load;			/* opened, to be read only */
	PdDoc	   *definition;		/* what is stored besides nodes */
	PdDoc	   *created_at;
	PdDoc	   *doc;
	HTAB	   *shapes;			/* by kind */
	HTAB	   *tests;			/* lists of generic tests by the node they are for */
} PjManifest;

/* The manifest of a stored project; NULL: of models of one's own alone. */
extern PdDoc *pj_manifest(const char *project);

/*
 * owndoc.c: an opened project, or NULL, with the caller's models of
 * dpipe_create_model among its nodes. A copy of the caller's, for reading.
 */
extern PjLoad *pj_open_with_own(const char *project);

/* What artifacts of dbt begin with. */
extern PdDoc *pj_artifact_metadata(const PjLoad *load, const char *schema_version);
/* What templates see as "graph"; of an opened project. */
extern PdDoc *pj_manifest_graph(PjLoad *load);

/*
 * The project that options name, else the only one there is, or NULL. Raises
 * for other options: "what" they are given to.
 */
extern char *pj_project_of(const PdDoc *options, const char *what);

extern PdDoc *pj_manifest_doc(PjManifest *m, const char *kind, const PdDoc *doc);

/* Change what the shape alone has given. */
extern void pj_manifest_model(PjManifest *m, const PjNode *node, PdDoc *doc);
extern void pj_manifest_unit_test(PjManifest *m, const PjNode *node, PdDoc *doc);
extern void pj_manifest_metric(PjManifest *m, const PjNode *node, PdDoc *doc);
extern void pj_manifest_semantic_model(PjManifest *m, const PjNode *node, PdDoc *doc);
extern void pj_manifest_saved_query(PjManifest *m, const PjNode *node, PdDoc *doc);

/* selectordoc.c: what selectors.yml defines, by name */
extern PdDoc *pj_manifest_selectors(const PdDoc *file);

/* macrodoc.c: all macros by their ids */
extern void pj_manifest_macros(PjManifest *m, PdDoc *macros);

#endif							/* DPIPE_PROJECT_MANIFEST_H */
