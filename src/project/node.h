/*
 * node.h
 *		A node as a manifest shows it.
 */
#ifndef DPIPE_PROJECT_NODE_H
#define DPIPE_PROJECT_NODE_H

#include "project/loading.h"

extern PdDoc *pj_node_doc(const PjNode *node);
/* Is this part of its relation's name printed in quotes? */
extern bool pj_is_quoted(const PjNode *node, const char *part);
extern char *pj_relation_text(const PjNode *node);	/* NULL: it makes none */

#endif							/* DPIPE_PROJECT_NODE_H */
