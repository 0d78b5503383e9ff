/*
 * doc.h
 *		Documents: trees of values as YAML and JSON have them.
 *
 * Unlike jsonb, a dict keeps the order in which its keys were put, and a
 * value knows the line it was read from. Values live in the memory context
 * that is current when they are made; nothing is freed one by one. A value
 * may stand in several places of a tree (a YAML alias); what is changed is
 * first copied.
 */
#ifndef DPIPE_DOC_H
#define DPIPE_DOC_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum PdKind
{
	PD_NULL,
	PD_BOOL,
	PD_INT,						/* of any size: text, as written in decimal */
	PD_FLOAT,
	PD_STRING,
	PD_LIST,
	PD_DICT,
} PdKind;

typedef struct PdDoc PdDoc;

typedef struct PdEntry
{
	PdDoc	   *key;			/* a scalar, nearly always a string */
	PdDoc	   *value;
} PdEntry;

struct PdDoc
{
	PdKind		kind;
	int			line;			/* from 1; 0: not known */
	int			column;			/* from 1 */
	int			n;				/* bytes of text, or elements */
	union
	{
		bool		boolean;
		double		real;
		const char *text;		/* STRING, INT: NUL-terminated */
		PdDoc	  **items;
		PdEntry    *entries;
	}			u;
	int			cap;
	int		   *buckets;		/* DICT: entry numbers by hash; NULL: few */
	int			nbuckets;
};

/* Constructors */
extern PdDoc *pd_null(void);
extern PdDoc *pd_bool(bool b);
extern PdDoc *pd_int(int64 i);
extern PdDoc *pd_int_text(const char *digits);
extern PdDoc *pd_float(double d);
extern PdDoc *pd_string(const char *s); /* NULL gives null */
extern PdDoc *pd_string_len(const char *s, int len);
extern PdDoc *pd_list(void);
extern PdDoc *pd_dict(void);
extern PdDoc *pd_copy(const PdDoc *doc);	/* all of it */
extern PdDoc *pd_copy_top(const PdDoc *doc);	/* elements are shared */

/* Lists */
extern void pd_append(PdDoc *list, PdDoc *value);
extern PdDoc *pd_strings(List *strings);	/* of char * */

/* Dicts: a key that is there already keeps its place */
extern void pd_put(PdDoc *dict, const char *key, PdDoc *value);
extern bool pd_put_key(PdDoc *dict, PdDoc *key, PdDoc *value);	/* was it there? */
extern PdDoc *pd_get(const PdDoc *dict, const char *key);	/* NULL: absent, or no dict */
extern PdDoc *pd_remove(PdDoc *dict, const char *key);	/* what it was, or NULL */
extern void pd_update(PdDoc *dict, const PdDoc *other);

/* What a value is */
extern bool pd_is(const PdDoc *doc, PdKind kind);	/* NULL is nothing */
extern bool pd_is_null(const PdDoc *doc);	/* absent or null */
extern bool pd_truth(const PdDoc *doc); /* Python's; NULL is false */
extern bool pd_equal(const PdDoc *a, const PdDoc *b);
extern bool pd_equals(const PdDoc *doc, const char *s); /* the string s? */
extern const char *pd_kind_name(const PdDoc *doc);	/* Python's name of its type */

/* The text of a string, else NULL; for a field of a dict likewise. */
extern const char *pd_text(const PdDoc *doc);
extern const char *pd_get_text(const PdDoc *dict, const char *key);

/* The text of a string or a number, such as a version. */
extern const char *pd_scalar_text(const PdDoc *doc);

/* Python's repr() of a float. */
extern char *pd_float_text(double d);

/* JSON, keys in their order. Reading raises on what is not JSON. */
extern void pd_write_json(StringInfo buf, const PdDoc *doc);
extern char *pd_to_json(const PdDoc *doc);
extern PdDoc *pd_from_json(const char *json, int len);
/*
 * The texts of "n" members of a JSON object (NULL: not there, or no text). It
 * is read only as far as they stand.
 */
extern void pd_texts_from_json(const char *json, int len, int n,
							   const char *const *names, const char **texts);
extern Jsonb *pd_to_jsonb(const PdDoc *doc);
extern PdDoc *pd_from_jsonb(const Jsonb *jb);

#endif							/* DPIPE_DOC_H */
