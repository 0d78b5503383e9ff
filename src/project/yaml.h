/*
 * yaml.h
 *		YAML files as documents.
 */
#ifndef DPIPE_PROJECT_YAML_H
#define DPIPE_PROJECT_YAML_H

#include "postgres.h"

#include "base/doc.h"

/*
 * The document of "text", which "name" names in messages; null when there is
 * none. Scalars are resolved as YAML 1.1 says, dates become ISO strings,
 * aliases are shared and merge keys followed. What is wrong raises with line
 * and column. Keys that occur twice raise a warning; the last one counts.
 */
extern PdDoc *dpipe_yaml_parse(const char *name, const char *text, int len);

#endif							/* DPIPE_PROJECT_YAML_H */
