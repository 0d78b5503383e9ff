/*
 * method.h
 *		What a criterion of a selection looks for.
 */
#ifndef DPIPE_PROJECT_METHOD_H
#define DPIPE_PROJECT_METHOD_H

#include "project/project.h"

typedef struct DpipeMethod DpipeMethod;

/*
 * The method of that name: "tag", "config.meta.owner"; "text" is what it
 * stands in, for messages. Raises when there is none.
 */
extern const DpipeMethod *dpipe_method_find(const char *name, const char **argument,
											const char *text);

/* One criterion, and what it is looked for in. */
typedef struct DpipeSearch
{
	const DpipeGraph *graph;
	const DpipeSelection *selection;
	const DpipeMethod *method;
	const char *argument;		/* behind the dot of the method */
	const PdDoc *doc;			/* the value, and its text */
	const char *value;
	void	   *own;			/* of the method */
} DpipeSearch;

/* What a method has to know before it looks at nodes. */
extern void dpipe_search_begin(DpipeSearch *search);

/* Does the node match? Raises when the value is none for the method. */
extern bool dpipe_search_match(const DpipeSearch *search, const DpipeNode *node);

/* history.c: methods that go by results of another run */
extern void dpipe_begin_result(DpipeSearch *search);
extern bool dpipe_match_result(const DpipeSearch *search, const DpipeNode *node);
extern void dpipe_begin_source_status(DpipeSearch *search);
extern bool dpipe_match_source_status(const DpipeSearch *search, const DpipeNode *node);

/* state.c: what has changed since another manifest */
extern void dpipe_begin_state(DpipeSearch *search);
extern bool dpipe_match_state(const DpipeSearch *search, const DpipeNode *node);

/* Is the node one that selections may hold? */
extern bool dpipe_is_member(const DpipeNode *node);

#endif							/* DPIPE_PROJECT_METHOD_H */
