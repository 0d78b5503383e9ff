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

/* Does the node match? Raises when the value is none for the method. */
extern bool dpipe_method_match(const DpipeMethod *method, const DpipeGraph *graph,
							   const DpipeNode *node, const char *argument, const PdDoc *value);

/* Is the node one that selections may hold? */
extern bool dpipe_is_member(const DpipeNode *node);

#endif							/* DPIPE_PROJECT_METHOD_H */
