/*
 * shape.h
 *		Which fields a manifest has for each kind of node, and in what form.
 */
#ifndef DPIPE_PROJECT_SHAPE_H
#define DPIPE_PROJECT_SHAPE_H

#include "base/doc.h"

/* Of a kind: one of dbt's resource types, or "generic_test". */
extern PdDoc *pj_shape(const char *kind);

/*
 * What a manifest has for a document: all fields of the shape, those that the
 * document lacks with their defaults, and no others.
 */
extern PdDoc *pj_shaped(const PdDoc *shape, const PdDoc *doc);

#endif							/* DPIPE_PROJECT_SHAPE_H */
