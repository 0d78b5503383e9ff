/*
 * doc.c
 *		Documents: trees of values as YAML and JSON have them.
 *
 * Small dicts are searched from the front, larger ones by a hash. Every
 * recursion checks the stack: a tree is as deep as its text makes it.
 */
#include "base/compat.h"

#include <math.h>

#include "common/hashfn.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/doc.h"

/* Dicts with fewer entries have no hash. */
#define HASH_FROM 12

/* ---------- constructors ---------- */

static PdDoc *
make(PdKind kind)
{
	PdDoc	   *doc = palloc0(sizeof(PdDoc));

	doc->kind = kind;
	return doc;
}

PdDoc *
pd_null(void)
{
	return make(PD_NULL);
}

PdDoc *
pd_bool(bool b)
{
	PdDoc	   *doc = make(PD_BOOL);

	doc->u.boolean = b;
	return doc;
}

PdDoc *
pd_int(int64 i)
{
	return pd_int_text(psprintf(INT64_FORMAT, i));
}

PdDoc *
pd_int_text(const char *digits)
{
	PdDoc	   *doc = make(PD_INT);

	doc->u.text = digits;
	doc->n = strlen(digits);
	return doc;
}

PdDoc *
pd_float(double d)
{
	PdDoc	   *doc = make(PD_FLOAT);

	doc->u.real = d;
	return doc;
}

/* Value and text in one piece. */
PdDoc *
pd_string_len(const char *s, int len)
{
	PdDoc	   *doc = palloc(sizeof(PdDoc) + len + 1);
	char	   *text = (char *) (doc + 1);

	memset(doc, 0, sizeof(PdDoc));
	memcpy(text, s, len);
	text[len] = '\0';
	doc->kind = PD_STRING;
	doc->u.text = text;
	doc->n = len;
	return doc;
}

PdDoc *
pd_string(const char *s)
{
	return s == NULL ? pd_null() : pd_string_len(s, strlen(s));
}

PdDoc *
pd_list(void)
{
	return make(PD_LIST);
}

PdDoc *
pd_dict(void)
{
	return make(PD_DICT);
}

PdDoc *
pd_strings(List *strings)
{
	PdDoc	   *list = pd_list();
	ListCell   *lc;

	foreach(lc, strings)
		pd_append(list, pd_string(lfirst(lc)));
	return list;
}

PdDoc *
pd_copy_top(const PdDoc *doc)
{
	PdDoc	   *copy = make(doc->kind);

	*copy = *doc;
	copy->cap = doc->n;
	copy->buckets = NULL;
	copy->nbuckets = 0;
	if (doc->kind == PD_LIST)
	{
		copy->u.items = palloc(sizeof(PdDoc *) * Max(doc->n, 1));
		memcpy(copy->u.items, doc->u.items, sizeof(PdDoc *) * doc->n);
	}
	else if (doc->kind == PD_DICT)
	{
		copy->u.entries = palloc(sizeof(PdEntry) * Max(doc->n, 1));
		memcpy(copy->u.entries, doc->u.entries, sizeof(PdEntry) * doc->n);
	}
	return copy;
}

PdDoc *
pd_copy(const PdDoc *doc)
{
	PdDoc	   *copy = pd_copy_top(doc);

	check_stack_depth();
	if (doc->kind == PD_LIST)
	{
		for (int i = 0; i < copy->n; i++)
			copy->u.items[i] = pd_copy(copy->u.items[i]);
	}
	else if (doc->kind == PD_DICT)
	{
		for (int i = 0; i < copy->n; i++)
			copy->u.entries[i].value = pd_copy(copy->u.entries[i].value);
	}
	return copy;
}

/* ---------- lists ---------- */

void
pd_append(PdDoc *list, PdDoc *value)
{
	Assert(list->kind == PD_LIST);
	if (list->n >= list->cap)
	{
		int			cap = Max(list->n * 2, 4);

		list->u.items = list->u.items == NULL
			? palloc(sizeof(PdDoc *) * cap)
			: repalloc(list->u.items, sizeof(PdDoc *) * cap);
		list->cap = cap;
	}
	list->u.items[list->n++] = value;
}

/* ---------- dicts ---------- */

static double
number_of(const PdDoc *doc)
{
	return doc->kind == PD_BOOL ? doc->u.boolean
		: doc->kind == PD_INT ? strtod(doc->u.text, NULL) : doc->u.real;
}

static bool
is_number(const PdDoc *doc)
{
	return doc->kind == PD_BOOL || doc->kind == PD_INT || doc->kind == PD_FLOAT;
}

/* Numbers that are equal have one hash: 1, 1.0 and true are one key. */
static uint32
hash_scalar(const PdDoc *key)
{
	if (key->kind == PD_STRING)
		return hash_bytes((const unsigned char *) key->u.text, key->n);
	if (is_number(key))
	{
		double		d = number_of(key) + 0.0;	/* -0.0 is 0.0 */

		return hash_bytes((const unsigned char *) &d, sizeof(d));
	}
	return 1;
}

static void
index_entry(PdDoc *dict, int i)
{
	uint32		b = hash_scalar(dict->u.entries[i].key);

	for (;; b++)
	{
		b &= dict->nbuckets - 1;
		if (dict->buckets[b] < 0)
			break;
	}
	dict->buckets[b] = i;
}

static void
rebuild_index(PdDoc *dict)
{
	if (dict->n < HASH_FROM)
	{
		dict->nbuckets = 0;
		return;
	}
	if (dict->nbuckets < dict->n * 2)
	{
		dict->nbuckets = 32;
		while (dict->nbuckets < dict->n * 3)
			dict->nbuckets *= 2;
		dict->buckets = palloc(sizeof(int) * dict->nbuckets);
	}
	memset(dict->buckets, 0xff, sizeof(int) * dict->nbuckets);
	for (int i = 0; i < dict->n; i++)
		index_entry(dict, i);
}

static inline bool
is_key(const PdDoc *a, const PdDoc *b)
{
	if (a->kind == PD_STRING && b->kind == PD_STRING)
		return a->n == b->n && memcmp(a->u.text, b->u.text, a->n) == 0;
	return pd_equal(a, b);
}

/* Entry number or -1. */
static int
find_key(const PdDoc *dict, const PdDoc *key)
{
	/* Keys may have been chosen so that one lookup looks at all of them. */
	CHECK_FOR_INTERRUPTS();
	if (dict->nbuckets == 0)
	{
		for (int i = 0; i < dict->n; i++)
			if (is_key(dict->u.entries[i].key, key))
				return i;
		return -1;
	}
	for (uint32 b = hash_scalar(key);; b++)
	{
		int			i;

		b &= dict->nbuckets - 1;
		i = dict->buckets[b];
		if (i < 0 || is_key(dict->u.entries[i].key, key))
			return i;
	}
}

static int
find_text(const PdDoc *dict, const char *key)
{
	PdDoc		k = {.kind = PD_STRING};

	if (dict == NULL || dict->kind != PD_DICT)
		return -1;
	k.u.text = key;
	k.n = strlen(key);
	return find_key(dict, &k);
}

bool
pd_put_key(PdDoc *dict, PdDoc *key, PdDoc *value)
{
	int			i = find_key(dict, key);

	Assert(dict->kind == PD_DICT);
	if (i >= 0)
	{
		dict->u.entries[i].value = value;
		return true;
	}
	if (dict->n >= dict->cap)
	{
		int			cap = Max(dict->n * 2, 4);

		dict->u.entries = dict->u.entries == NULL
			? palloc(sizeof(PdEntry) * cap)
			: repalloc(dict->u.entries, sizeof(PdEntry) * cap);
		dict->cap = cap;
	}
	dict->u.entries[dict->n].key = key;
	dict->u.entries[dict->n].value = value;
	dict->n++;
	if (dict->nbuckets == 0 || dict->nbuckets < dict->n * 2)
		rebuild_index(dict);
	else
		index_entry(dict, dict->n - 1);
	return false;
}

void
pd_put(PdDoc *dict, const char *key, PdDoc *value)
{
	(void) pd_put_key(dict, pd_string(key), value);
}

PdDoc *
pd_get(const PdDoc *dict, const char *key)
{
	int			i = find_text(dict, key);

	return i < 0 ? NULL : dict->u.entries[i].value;
}

PdDoc *
pd_remove(PdDoc *dict, const char *key)
{
	int			i = find_text(dict, key);
	PdDoc	   *value;

	if (i < 0)
		return NULL;
	value = dict->u.entries[i].value;
	memmove(dict->u.entries + i, dict->u.entries + i + 1, sizeof(PdEntry) * (dict->n - i - 1));
	dict->n--;
	rebuild_index(dict);
	return value;
}

void
pd_update(PdDoc *dict, const PdDoc *other)
{
	for (int i = 0; i < other->n; i++)
		(void) pd_put_key(dict, other->u.entries[i].key, other->u.entries[i].value);
}

/* ---------- what a value is ---------- */

bool
pd_is(const PdDoc *doc, PdKind kind)
{
	return doc != NULL && doc->kind == kind;
}

bool
pd_is_null(const PdDoc *doc)
{
	return doc == NULL || doc->kind == PD_NULL;
}

bool
pd_truth(const PdDoc *doc)
{
	if (doc == NULL)
		return false;
	switch (doc->kind)
	{
		case PD_NULL:
			return false;
		case PD_BOOL:
			return doc->u.boolean;
		case PD_INT:
			return strcmp(doc->u.text, "0") != 0;
		case PD_FLOAT:
			return doc->u.real != 0;
		case PD_STRING:
		case PD_LIST:
		case PD_DICT:
			return doc->n > 0;
	}
	return false;
}

static bool
equal_dicts(const PdDoc *a, const PdDoc *b)
{
	for (int i = 0; i < a->n; i++)
	{
		int			j = find_key(b, a->u.entries[i].key);

		if (j < 0 || !pd_equal(a->u.entries[i].value, b->u.entries[j].value))
			return false;
	}
	return true;
}

bool
pd_equal(const PdDoc *a, const PdDoc *b)
{
	check_stack_depth();
	if (a->kind != b->kind)
		return is_number(a) && is_number(b) && number_of(a) == number_of(b);
	switch (a->kind)
	{
		case PD_NULL:
			return true;
		case PD_BOOL:
		case PD_FLOAT:
			return number_of(a) == number_of(b);
		case PD_INT:
		case PD_STRING:
			return a->n == b->n && memcmp(a->u.text, b->u.text, a->n) == 0;
		case PD_LIST:
			for (int i = 0; i < a->n && a->n == b->n; i++)
				if (!pd_equal(a->u.items[i], b->u.items[i]))
					return false;
			return a->n == b->n;
		case PD_DICT:
			return a->n == b->n && equal_dicts(a, b);
	}
	return false;
}

bool
pd_equals(const PdDoc *doc, const char *s)
{
	return pd_is(doc, PD_STRING) && strcmp(doc->u.text, s) == 0;
}

const char *
pd_kind_name(const PdDoc *doc)
{
	static const char *const names[] = {"None", "bool", "int", "float", "str", "list", "dict"};

	return names[doc == NULL ? PD_NULL : doc->kind];
}

const char *
pd_text(const PdDoc *doc)
{
	return pd_is(doc, PD_STRING) ? doc->u.text : NULL;
}

const char *
pd_get_text(const PdDoc *dict, const char *key)
{
	return pd_text(pd_get(dict, key));
}

/*
 * The shortest digits that give the number again. Python writes exponents
 * from 1e16 on and has a fraction always; the server's digits are the same.
 */
char *
pd_float_text(double d)
{
	char		buf[DOUBLE_SHORTEST_DECIMAL_LEN];
	char	   *e;

	if (isnan(d))
		return pstrdup("nan");
	if (isinf(d))
		return pstrdup(d < 0 ? "-inf" : "inf");
	double_to_shortest_decimal_buf(d, buf);
	e = strchr(buf, 'e');
	if (e != NULL && atoi(e + 1) == 15)
		return psprintf("%.1f", d); /* the server's exponents begin earlier */
	if (e != NULL || strchr(buf, '.') != NULL)
		return pstrdup(buf);
	return psprintf("%s.0", buf);
}

/* ---------- JSON, written ---------- */

static void
write_json_string(StringInfo buf, const char *s, int len)
{
	const char *end = s + len;

	appendStringInfoChar(buf, '"');
	while (s < end)
	{
		const char *start = s;
		unsigned char c;

		while (s < end && (unsigned char) *s >= 0x20 && *s != '"' && *s != '\\')
			s++;
		appendBinaryStringInfo(buf, start, s - start);
		if (s == end)
			break;
		c = *s++;
		if (c == '"' || c == '\\')
		{
			appendStringInfoChar(buf, '\\');
			appendStringInfoChar(buf, c);
		}
		else if (c == '\n')
			appendBinaryStringInfo(buf, "\\n", 2);
		else
			appendStringInfo(buf, "\\u%04x", c);
	}
	appendStringInfoChar(buf, '"');
}

static char *
key_text(const PdDoc *key)
{
	switch (key->kind)
	{
		case PD_NULL:
			return "None";
		case PD_BOOL:
			return key->u.boolean ? "True" : "False";
		case PD_FLOAT:
			return pd_float_text(key->u.real);
		default:
			return (char *) key->u.text;
	}
}

/* JSON has no infinity; a number that overflows reads as one. */
static void
write_json_float(StringInfo buf, double d)
{
	if (isnan(d))
		appendStringInfoString(buf, "null");
	else if (isinf(d))
		appendStringInfoString(buf, d < 0 ? "-1e999" : "1e999");
	else
		appendStringInfoString(buf, pd_float_text(d));
}

void
pd_write_json(StringInfo buf, const PdDoc *doc)
{
	check_stack_depth();
	if (doc == NULL || doc->kind == PD_NULL)
		appendStringInfoString(buf, "null");
	else if (doc->kind == PD_BOOL)
		appendStringInfoString(buf, doc->u.boolean ? "true" : "false");
	else if (doc->kind == PD_INT)
		appendStringInfoString(buf, doc->u.text);
	else if (doc->kind == PD_FLOAT)
		write_json_float(buf, doc->u.real);
	else if (doc->kind == PD_STRING)
		write_json_string(buf, doc->u.text, doc->n);
	else
	{
		bool		list = doc->kind == PD_LIST;

		appendStringInfoChar(buf, list ? '[' : '{');
		for (int i = 0; i < doc->n; i++)
		{
			if (i > 0)
				appendStringInfoChar(buf, ',');
			if (list)
			{
				pd_write_json(buf, doc->u.items[i]);
				continue;
			}
			write_json_string(buf, key_text(doc->u.entries[i].key),
							  strlen(key_text(doc->u.entries[i].key)));
			appendStringInfoChar(buf, ':');
			pd_write_json(buf, doc->u.entries[i].value);
		}
		appendStringInfoChar(buf, list ? ']' : '}');
	}
}

char *
pd_to_json(const PdDoc *doc)
{
	StringInfoData buf;

	initStringInfo(&buf);
	pd_write_json(&buf, doc);
	return buf.data;
}

Jsonb *
pd_to_jsonb(const PdDoc *doc)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(pd_to_json(doc))));
}

const char *
pd_scalar_text(const PdDoc *doc)
{
	return doc->kind == PD_STRING || doc->kind == PD_INT ? doc->u.text : pd_to_json(doc);
}

/* ---------- JSON, read ---------- */

typedef struct JsonReader
{
	const char *p;
	const char *end;
} JsonReader;

static PdDoc *read_json(JsonReader *r);

static void
pg_attribute_noreturn() raise_not_json(void)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid JSON")));
}

static void
skip_space(JsonReader *r)
{
	while (r->p < r->end && strchr(" \t\r\n", *r->p) != NULL && *r->p != '\0')
		r->p++;
}

static bool
take(JsonReader *r, char c)
{
	skip_space(r);
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static unsigned int
read_hex4(JsonReader *r)
{
	unsigned int code = 0;

	if (r->end - r->p < 4)
		raise_not_json();
	for (int i = 0; i < 4; i++, r->p++)
	{
		const char *digits = "0123456789abcdef";
		const char *at = strchr(digits, pg_tolower((unsigned char) *r->p));

		if (*r->p == '\0' || at == NULL)
			raise_not_json();
		code = code * 16 + (at - digits);
	}
	return code;
}

static void
read_escape(JsonReader *r, StringInfo buf)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	unsigned int code;
	unsigned char utf8[MAX_UNICODE_EQUIVALENT_STRING + 1];

	if (r->p >= r->end)
		raise_not_json();
	if (*r->p != 'u')
	{
		at = *r->p ? strchr(from, *r->p) : NULL;
		if (at == NULL)
			raise_not_json();
		appendStringInfoChar(buf, to[at - from]);
		r->p++;
		return;
	}
	r->p++;
	code = read_hex4(r);
	if (is_utf16_surrogate_first(code) && r->end - r->p > 6 && r->p[0] == '\\' && r->p[1] == 'u')
	{
		r->p += 2;
		code = surrogate_pair_to_codepoint(code, read_hex4(r));
	}
	if (code == 0 || !is_valid_unicode_codepoint(code) || is_utf16_surrogate_first(code) ||
		is_utf16_surrogate_second(code))
		raise_not_json();
	pg_unicode_to_server(code, utf8);
	appendStringInfoString(buf, (char *) utf8);
}

static PdDoc *
read_string(JsonReader *r)
{
	const char *start = r->p;
	StringInfoData buf;

	while (r->p < r->end && *r->p != '"' && *r->p != '\\')
		r->p++;
	if (r->p < r->end && *r->p == '"')
		return pd_string_len(start, r->p++ - start);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, start, r->p - start);
	while (r->p < r->end && *r->p != '"')
	{
		if (*r->p++ == '\\')
			read_escape(r, &buf);
		else
			appendStringInfoChar(&buf, r->p[-1]);
	}
	if (r->p++ >= r->end)
		raise_not_json();
	return pd_string_len(buf.data, buf.len);
}

static PdDoc *
read_number(JsonReader *r)
{
	const char *start = r->p;
	bool		real = false;
	char	   *text;
	char	   *end;
	PdDoc	   *doc;

	while (r->p < r->end && strchr("+-.0123456789eE", *r->p) != NULL && *r->p != '\0')
	{
		real |= strchr(".eE", *r->p) != NULL;
		r->p++;
	}
	text = pnstrdup(start, r->p - start);
	if (!isdigit((unsigned char) text[text[0] == '-']))
		raise_not_json();
	if (!real)
	{
		if (strspn(text + 1, "0123456789") != strlen(text + 1))
			raise_not_json();
		return pd_int_text(text);
	}
	doc = pd_float(strtod(text, &end));
	if (*end != '\0')
		raise_not_json();
	return doc;
}

static PdDoc *
read_word(JsonReader *r)
{
	static const struct
	{
		const char *word;
		PdKind		kind;
		bool		value;
	}			words[] = {{"null", PD_NULL, false}, {"true", PD_BOOL, true}, {"false", PD_BOOL, false}};

	for (int i = 0; i < lengthof(words); i++)
	{
		int			len = strlen(words[i].word);

		if (r->end - r->p < len || memcmp(r->p, words[i].word, len) != 0)
			continue;
		r->p += len;
		return words[i].kind == PD_NULL ? pd_null() : pd_bool(words[i].value);
	}
	return read_number(r);
}

static PdDoc *
read_json_dict(JsonReader *r)
{
	PdDoc	   *doc = pd_dict();

	if (take(r, '}'))
		return doc;
	do
	{
		PdDoc	   *key;

		if (!take(r, '"'))
			raise_not_json();
		key = read_string(r);
		if (!take(r, ':'))
			raise_not_json();
		(void) pd_put_key(doc, key, read_json(r));
	} while (take(r, ','));
	if (!take(r, '}'))
		raise_not_json();
	return doc;
}

static PdDoc *
read_json(JsonReader *r)
{
	check_stack_depth();
	if (take(r, '"'))
		return read_string(r);
	if (take(r, '{'))
		return read_json_dict(r);
	if (take(r, '['))
	{
		PdDoc	   *doc = pd_list();

		if (take(r, ']'))
			return doc;
		do
			pd_append(doc, read_json(r));
		while (take(r, ','));
		if (!take(r, ']'))
			raise_not_json();
		return doc;
	}
	if (r->p >= r->end)
		raise_not_json();
	return read_word(r);
}

PdDoc *
pd_from_json(const char *json, int len)
{
	JsonReader	r = {json, json + len};
	PdDoc	   *doc = read_json(&r);

	skip_space(&r);
	if (r.p < r.end)
		raise_not_json();
	return doc;
}

void
pd_texts_from_json(const char *json, int len, int n, const char *const *names,
				   const char **texts)
{
	JsonReader	r = {json, json + len};
	int			missing = n;

	memset(texts, 0, n * sizeof(char *));
	if (!take(&r, '{'))
		raise_not_json();
	while (missing > 0 && take(&r, '"'))
	{
		const char *key = pd_text(read_string(&r));
		const char *text;

		if (!take(&r, ':'))
			raise_not_json();
		text = pd_text(read_json(&r));
		for (int i = 0; i < n && text != NULL; i++)
			if (texts[i] == NULL && strcmp(names[i], key) == 0)
			{
				texts[i] = text;
				missing--;
			}
		(void) take(&r, ',');
	}
}

PdDoc *
pd_from_jsonb(const Jsonb *jb)
{
	StringInfoData buf;

	initStringInfo(&buf);
	(void) JsonbToCString(&buf, (JsonbContainer *) &jb->root, VARSIZE(jb));
	return pd_from_json(buf.data, buf.len);
}
