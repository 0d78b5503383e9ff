/*
 * yaml_scalar.h
 *		What a scalar of a YAML file means.
 */
#ifndef DPIPE_PROJECT_YAML_SCALAR_H
#define DPIPE_PROJECT_YAML_SCALAR_H

#include "postgres.h"

#include "base/doc.h"

typedef enum YamlType
{
	YAML_TYPE_STR,
	YAML_TYPE_NULL,
	YAML_TYPE_BOOL,
	YAML_TYPE_INT,
	YAML_TYPE_FLOAT,
	YAML_TYPE_TIMESTAMP,
	YAML_TYPE_MERGE,			/* << */
	YAML_TYPE_VALUE,			/* = */
} YamlType;

/* The type of a plain scalar, by its text. */
extern YamlType dpipe_yaml_resolve(const char *s, int len);

/*
 * The value of a text as that type. NULL, and a reason, when it has none: a
 * month 13, or an explicit tag on something else.
 */
extern PdDoc *dpipe_yaml_scalar(YamlType type, const char *s, int len, const char **reason);

#endif							/* DPIPE_PROJECT_YAML_SCALAR_H */
