/*
 * dict.c
 *		Hash tables that keep the order of insertion, as Python's dict does.
 *
 * Entries are an array without holes, so iteration is by number. Small tables
 * are searched one by one; larger ones have buckets with linear probing.
 * Keys are equal as in Python: 1, 1.0 and true are one key.
 */
#include "base/compat.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"

#include "jinja/decimal.h"

#define SMALL_DICT 8

void
jn_dict_init(JnDict *d)
{
	memset(d, 0, sizeof(*d));
}

void
jn_dict_clear(JnDict *d)
{
	d->n = 0;
	for (int i = 0; i < d->nbuckets; i++)
		d->buckets[i] = -1;
}

/* Give back what it holds; it is empty. */
void
jn_dict_free(JinjaEnv *env, JnDict *d)
{
	if (d->entries != NULL)
		jn_free(env, d->entries, d->cap * sizeof(JnEntry));
	if (d->buckets != NULL)
		jn_free(env, d->buckets, d->nbuckets * sizeof(int32));
	jn_dict_init(d);
}

static uint32
hash_double(double d)
{
	if (d >= -9223372036854775808.0 && d < 9223372036854775808.0 &&
		d == floor(d))
		return (uint32) murmurhash32((uint32) ((int64) d ^ ((int64) d >> 32)));
	return hash_bytes((const unsigned char *) &d, sizeof(d));
}

static uint32
hash_int(int64 i)
{
	/* Large integers may equal a float: hash them alike. */
	if (i > (INT64CONST(1) << 53) || i < -(INT64CONST(1) << 53))
		return hash_double((double) i);
	return (uint32) murmurhash32((uint32) (i ^ (i >> 32)));
}

uint32
jn_hash_text(const char *s, int len)
{
	uint32		h = hash_bytes((const unsigned char *) s, len);

	return h == 0 ? 1 : h;
}

/* The same of a string, computed once. */
uint32
jn_string_hash(JinjaValue *s)
{
	if (s->u.string.hash == 0)
		s->u.string.hash = jn_hash_text(s->u.string.data, s->u.string.len);
	return s->u.string.hash;
}

uint32
jn_hash(JinjaEnv *env, JinjaValue *v)
{
	uint32		h = 0x345678;

	switch (v->kind)
	{
		case JINJA_STRING:
			if (v->u.string.hash == 0)
				jn_work_bytes(env, v->u.string.len);
			return jn_string_hash(v);
		case JINJA_INT:
			return hash_int(v->u.integer);
		case JINJA_BOOL:
			return hash_int(v->u.boolean);
		case JINJA_FLOAT:
			return hash_double(v->u.real);
		case JINJA_NONE:
		case JINJA_UNDEFINED:
			return v->kind;
		case JINJA_TUPLE:
			jn_enter(env);
			for (int i = 0; i < v->u.list.n; i++)
			{
				jn_work(env, 1);
				h = hash_combine(h, jn_hash(env, v->u.list.items[i]));
			}
			jn_leave(env);
			return h;
		case JINJA_BIGINT:
			return hash_double(jn_big_to_double(v->u.big));
		case JINJA_DECIMAL:
			return hash_double(jn_decimal_to_double(env, v->u.decimal));
		case JINJA_OBJECT:
			if (v->u.object.ops->hash != NULL)
				return v->u.object.ops->hash(env, v->u.object.object);
			return hash_bytes((const unsigned char *) &v->u.object.object,
							  sizeof(void *));
		case JINJA_RANGE:
			return hash_int(v->u.range.length);
		case JINJA_FUNCTION:
			return hash_bytes((const unsigned char *) &v->u.function.fn, sizeof(v->u.function.fn));
		case JINJA_MACRO:
			return hash_bytes((const unsigned char *) &v->u.macro.def, sizeof(v->u.macro.def));
		case JINJA_LIST:
		case JINJA_DICT:
		case JINJA_SET:
			jn_raise_type(env, "unhashable type: %s", jinja_type_name(v));
		case JINJA_VIEW:
			if (v->u.view.kind != JN_VIEW_VALUES)
				jn_raise_type(env, "unhashable type: %s", jinja_type_name(v));
			break;
		default:
			break;
	}
	return hash_bytes((const unsigned char *) &v, sizeof(v));
}

/* Are these keys, whose hashes are equal, one? */
static inline bool
same_key(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	return a == b || jinja_equal(env, a, b);
}

/* Entry of "key", -1 if there is none. */
static int
find(JinjaEnv *env, const JnDict *d, JinjaValue *key, uint32 hash)
{
	if (d->buckets == NULL)
	{
		for (int i = 0; i < d->n; i++)
			if (d->entries[i].hash == hash &&
				same_key(env, d->entries[i].key, key))
				return i;
		return -1;
	}
	for (uint32 b = hash & (d->nbuckets - 1);; b = (b + 1) & (d->nbuckets - 1))
	{
		int			i = d->buckets[b];

		if (i < 0)
			return -1;
		/* Keys that a template makes collide must not run unbounded. */
		jn_work(env, 1);
		if (d->entries[i].hash == hash &&
			same_key(env, d->entries[i].key, key))
			return i;
	}
}

JnEntry *
jn_dict_find(JinjaEnv *env, const JnDict *d, JinjaValue *key)
{
	int			i;

	if (d->n == 0)
	{
		/* Python hashes first: a list as a key is an error all the same. */
		(void) jn_hash(env, key);
		return NULL;
	}
	i = find(env, d, key, jn_hash(env, key));
	return i < 0 ? NULL : &d->entries[i];
}

JinjaValue *
jn_dict_lookup(JinjaEnv *env, const JnDict *d, JinjaValue *key)
{
	JnEntry    *e = jn_dict_find(env, d, key);

	return e == NULL ? NULL : e->value;
}

/* The value of a key that is text; "name" is a value of that text, or NULL. */
static inline JinjaValue *
lookup_text(const JnDict *d, const JinjaValue *name, const char *s, int len,
			uint32 hash)
{
	uint32		b = hash;

	for (int n = 0;; n++)
	{
		const JnEntry *e;
		int			i = n;

		if (d->buckets == NULL)
		{
			if (n >= d->n)
				return NULL;
		}
		else
		{
			i = d->buckets[b++ & (d->nbuckets - 1)];
			if (i < 0)
				return NULL;
		}
		e = &d->entries[i];
		if (e->key == name ||
			(e->hash == hash && e->key->kind == JINJA_STRING &&
			 e->key->u.string.len == len &&
			 memcmp(e->key->u.string.data, s, len) == 0))
			return e->value;
	}
}

/* These raise nothing. */
JinjaValue *
jn_dict_lookup_text(const JnDict *d, const char *s, int len, uint32 hash)
{
	return lookup_text(d, NULL, s, len, hash);
}

JinjaValue *
jn_dict_lookup_name(const JnDict *d, JinjaValue *name)
{
	return lookup_text(d, name, name->u.string.data, name->u.string.len,
					   jn_string_hash(name));
}

bool
jn_hashable(const JinjaValue *v)
{
	if (v->kind == JINJA_LIST || v->kind == JINJA_DICT ||
		v->kind == JINJA_SET ||
		(v->kind == JINJA_VIEW && v->u.view.kind != JN_VIEW_VALUES))
		return false;
	check_stack_depth();
	if (v->kind == JINJA_TUPLE)
		for (int i = 0; i < v->u.list.n; i++)
			if (!jn_hashable(v->u.list.items[i]))
				return false;
	return true;
}

static void
link_entry(JnDict *d, int i)
{
	uint32		b = d->entries[i].hash & (d->nbuckets - 1);

	while (d->buckets[b] >= 0)
		b = (b + 1) & (d->nbuckets - 1);
	d->buckets[b] = i;
}

static void
rebuild_buckets(JnDict *d)
{
	for (int i = 0; i < d->nbuckets; i++)
		d->buckets[i] = -1;
	for (int i = 0; i < d->n; i++)
		link_entry(d, i);
}

static void
grow(JinjaEnv *env, JnDict *d)
{
	int64		cap = d->cap == 0 ? 4 : (int64) d->cap * 2;
	JnEntry    *entries = jn_alloc(env, cap * sizeof(JnEntry));

	if (d->n > 0)
	{
		memcpy(entries, d->entries, d->n * sizeof(JnEntry));
		jn_free(env, d->entries, d->cap * sizeof(JnEntry));
	}
	d->entries = entries;
	d->cap = cap;
	if (cap > SMALL_DICT)
	{
		int32	   *buckets = jn_alloc(env, 2 * cap * sizeof(int32));

		if (d->buckets != NULL)
			jn_free(env, d->buckets, d->nbuckets * sizeof(int32));
		d->buckets = buckets;
		d->nbuckets = 2 * cap;
		rebuild_buckets(d);
	}
}

void
jn_dict_put(JinjaEnv *env, JnDict *d, JinjaValue *key, JinjaValue *value)
{
	uint32		hash = jn_hash(env, key);
	int			i = find(env, d, key, hash);

	if (i >= 0)
	{
		d->entries[i].value = value;
		return;
	}
	if (d->n >= d->cap)
		grow(env, d);
	d->entries[d->n].key = key;
	d->entries[d->n].value = value;
	d->entries[d->n].hash = hash;
	d->n++;
	if (d->buckets != NULL)
		link_entry(d, d->n - 1);
}

/* The value that was there, or NULL. */
JinjaValue *
jn_dict_remove(JinjaEnv *env, JnDict *d, JinjaValue *key)
{
	JnEntry    *e = jn_dict_find(env, d, key);
	JinjaValue *value;
	int			i;

	if (e == NULL)
		return NULL;
	value = e->value;
	i = e - d->entries;
	jn_work(env, 1 + (d->n - i) / 16);
	memmove(e, e + 1, (d->n - i - 1) * sizeof(JnEntry));
	d->n--;
	if (d->buckets != NULL)
	{
		jn_work(env, d->nbuckets / 4);
		rebuild_buckets(d);
	}
	return value;
}
