/*
 * json.h
 *		Fields of a jsonb object, typed, with errors a person can act on.
 */
#ifndef DPIPE_JSON_H
#define DPIPE_JSON_H

#include "postgres.h"

#include "utils/jsonb.h"

/* The field's value, or NULL when jb is NULL, no object, or lacks the key. */
extern JsonbValue *dpipe_json_field(const Jsonb *jb, const char *key);

/*
 * Typed fields with a default. A value of another type raises 22023 naming
 * "what" (such as "option") and the key.
 */
extern char *dpipe_json_string(const Jsonb *jb, const char *what,
							   const char *key, const char *deflt);
extern int64 dpipe_json_int(const Jsonb *jb, const char *what,
							const char *key, int64 deflt);
extern bool dpipe_json_bool(const Jsonb *jb, const char *what,
							const char *key, bool deflt);

/* A field's value as a jsonb document of its own, or NULL. */
extern Jsonb *dpipe_json_document(const Jsonb *jb, const char *key);

#endif							/* DPIPE_JSON_H */
