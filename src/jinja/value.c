/*
 * value.c
 *		Making values and looking at them.
 */
#include "base/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "jinja/decimal.h"

/*
 * Values are many and small, so each is as large as its kind needs: nothing
 * may copy a JinjaValue as a whole.
 */
#define VALUE_SIZE(member) \
	(offsetof(JinjaValue, u) + sizeof(((JinjaValue *) NULL)->u.member))

static Size
value_size(JinjaKind kind)
{
	switch (kind)
	{
		case JINJA_BOOL:
		case JINJA_INT:
		case JINJA_FLOAT:
		case JINJA_BIGINT:
		case JINJA_DECIMAL:
		case JINJA_DICT:
		case JINJA_SET:
			return VALUE_SIZE(integer);
		case JINJA_LIST:
		case JINJA_TUPLE:
		case JINJA_ITERATOR:
			return VALUE_SIZE(list);
		case JINJA_METHOD:
		case JINJA_OBJECT:
			return VALUE_SIZE(object);
		default:
			return sizeof(JinjaValue);
	}
}

JinjaValue *
jn_value(JinjaEnv *env, JinjaKind kind)
{
	Size		size = value_size(kind);
	JinjaValue *v = jn_alloc(env, size);

	memset(v, 0, size);
	v->kind = kind;
	return v;
}

/* ---------- constructors ---------- */

/* The message of jn_not_provided(), known by its address. */
static const char not_provided[] = "parameter \"%s\" was not provided";

JinjaValue *
jinja_undefined(JinjaEnv *env, const char *name)
{
	return jn_missing(env, NULL, jinja_string(env, name));
}

/* What looking up "name" in "object" (NULL: as a variable) gave. */
JinjaValue *
jn_missing(JinjaEnv *env, JinjaValue *object, JinjaValue *name)
{
	JinjaValue *v = jn_value(env, JINJA_UNDEFINED);

	v->u.undefined.object = object;
	v->u.undefined.name = name;
	return v;
}

/* An undefined whose use fails with the message "hint". */
JinjaValue *
jn_undefined_hint(JinjaEnv *env, const char *hint)
{
	JinjaValue *v = jn_value(env, JINJA_UNDEFINED);

	v->u.undefined.hint = hint;
	return v;
}

/* The parameter "name" of a macro that is called without it. */
JinjaValue *
jn_not_provided(JinjaEnv *env, JinjaValue *name)
{
	JinjaValue *v = jn_undefined_hint(env, not_provided);

	v->u.undefined.name = name;
	return v;
}

JinjaValue *
jinja_none(JinjaEnv *env)
{
	return env->none;
}

JinjaValue *
jinja_bool(JinjaEnv *env, bool b)
{
	return b ? env->yes : env->no;
}

/* Small ones are made once. */
JinjaValue *
jinja_int(JinjaEnv *env, int64 i)
{
	JinjaValue *v;

	if (i >= 0 && i < lengthof(env->small_ints) && env->small_ints[i] != NULL)
		return env->small_ints[i];
	v = jn_value(env, JINJA_INT);
	if (i >= 0 && i < lengthof(env->small_ints))
		env->small_ints[i] = v;

	v->u.integer = i;
	return v;
}

JinjaValue *
jinja_float(JinjaEnv *env, double d)
{
	JinjaValue *v = jn_value(env, JINJA_FLOAT);

	v->u.real = d;
	return v;
}

/* A string outside an environment: a constant of a template. */
JinjaValue *
jn_string_static(MemoryContext cxt, const char *s, int len)
{
	JinjaValue *v = MemoryContextAllocZero(cxt, VALUE_SIZE(string) + len + 1);
	char	   *data = (char *) v + VALUE_SIZE(string);

	memcpy(data, s, len);
	v->kind = JINJA_STRING;
	v->u.string.data = data;
	v->u.string.len = len;
	v->u.string.nchars = -1;
	return v;
}

/* A string of "len" bytes that the caller fills in. */
JinjaValue *
jn_string_buffer(JinjaEnv *env, int len, char **data)
{
	JinjaValue *v = jn_alloc(env, VALUE_SIZE(string) + (uint64) len + 1);

	v->kind = JINJA_STRING;
	*data = (char *) v + VALUE_SIZE(string);
	(*data)[len] = '\0';
	v->u.string.data = *data;
	v->u.string.len = len;
	v->u.string.nchars = -1;
	v->u.string.hash = 0;
	v->u.string.marker = '\0';
	return v;
}

JinjaValue *
jinja_string_len(JinjaEnv *env, const char *s, int len)
{
	char	   *data;
	JinjaValue *v;

	if (len == 0)
		return env->empty_string;
	v = jn_string_buffer(env, len, &data);
	memcpy(data, s, len);
	return v;
}

JinjaValue *
jinja_string(JinjaEnv *env, const char *s)
{
	return jinja_string_len(env, s, strlen(s));
}

/* A list, tuple or iterator with room for "n" items and none in it. */
JinjaValue *
jn_list_sized(JinjaEnv *env, JinjaKind kind, int64 n)
{
	JinjaValue *v = jn_value(env, kind);

	if (n > 0)
	{
		v->u.list.items = jn_alloc(env, (uint64) n * sizeof(JinjaValue *));
		v->u.list.cap = n;
	}
	return v;
}

JinjaValue *
jinja_list(JinjaEnv *env)
{
	return jn_list_sized(env, JINJA_LIST, 0);
}

void
jinja_list_append(JinjaEnv *env, JinjaValue *list, JinjaValue *v)
{
	JnList	   *l = &list->u.list;

	if (l->n >= l->cap)
	{
		int64		cap = Max(8, (int64) l->cap * 2);
		JinjaValue **items = jn_alloc(env, cap * sizeof(JinjaValue *));

		if (l->n > 0)
		{
			memcpy(items, l->items, l->n * sizeof(JinjaValue *));
			jn_free(env, l->items, l->cap * sizeof(JinjaValue *));
		}
		l->items = items;
		l->cap = cap;
	}
	l->items[l->n++] = v;
}

void
jn_list_reverse(JinjaValue *list)
{
	JinjaValue **items = list->u.list.items;
	int			n = list->u.list.n;

	for (int i = 0; i < n / 2; i++)
	{
		JinjaValue *t = items[i];

		items[i] = items[n - 1 - i];
		items[n - 1 - i] = t;
	}
}

JinjaValue *
jinja_tuple(JinjaEnv *env, int n, JinjaValue **items)
{
	JinjaValue *v = jn_list_sized(env, JINJA_TUPLE, n);

	if (n > 0)
		memcpy(v->u.list.items, items, n * sizeof(JinjaValue *));
	v->u.list.n = n;
	return v;
}

/* An iterator that gives the items of "list" once. */
JinjaValue *
jn_iterator(JinjaEnv *env, JinjaValue *list)
{
	list->kind = JINJA_ITERATOR;
	list->u.list.pos = 0;
	return list;
}

JinjaValue *
jinja_dict(JinjaEnv *env)
{
	JinjaValue *v = jn_value(env, JINJA_DICT);

	v->u.dict = jn_alloc(env, sizeof(JnDict));
	jn_dict_init(v->u.dict);
	return v;
}

/* A set is a dict whose values nobody looks at. */
JinjaValue *
jinja_set(JinjaEnv *env)
{
	JinjaValue *v = jinja_dict(env);

	v->kind = JINJA_SET;
	return v;
}

void
jinja_set_add(JinjaEnv *env, JinjaValue *set, JinjaValue *v)
{
	if (jn_dict_find(env, set->u.dict, v) == NULL)
		jn_dict_put(env, set->u.dict, v, env->none);
}

void
jinja_dict_set(JinjaEnv *env, JinjaValue *dict, const char *key,
			   JinjaValue *v)
{
	jn_dict_put(env, dict->u.dict, jinja_string(env, key), v);
}

JinjaValue *
jn_range(JinjaEnv *env, int64 start, int64 stop, int64 step)
{
	JinjaValue *v = jn_value(env, JINJA_RANGE);
	uint64		length = 0;

	if (step > 0 && start < stop)
		length = ((uint64) stop - (uint64) start - 1) / (uint64) step + 1;
	else if (step < 0 && start > stop)
		length = ((uint64) start - (uint64) stop - 1) / (-(uint64) step) + 1;
	if (length > PG_INT64_MAX)
		length = PG_INT64_MAX;
	v->u.range.start = start;
	v->u.range.stop = stop;
	v->u.range.step = step;
	v->u.range.length = length;
	return v;
}

JinjaValue *
jn_view(JinjaEnv *env, JinjaValue *dict, JnViewKind kind)
{
	JinjaValue *v = jn_value(env, JINJA_VIEW);

	v->u.view.dict = dict;
	v->u.view.kind = kind;
	return v;
}

JinjaValue *
jinja_function(JinjaEnv *env, const char *name, JinjaFunction fn, void *arg)
{
	JinjaValue *v = jn_value(env, JINJA_FUNCTION);

	v->u.function.name = MemoryContextStrdup(env->cxt, name);
	v->u.function.fn = fn;
	v->u.function.arg = arg;
	return v;
}

JinjaValue *
jinja_object(JinjaEnv *env, const JinjaObjectOps *ops, const void *object)
{
	JinjaValue *v = jn_value(env, JINJA_OBJECT);

	v->u.object.ops = ops;
	v->u.object.object = (void *) object;
	return v;
}

/* ---------- accessors ---------- */

JinjaKind
jinja_kind(const JinjaValue *v)
{
	return v->kind == JINJA_BIGINT ? JINJA_INT : v->kind;
}

bool
jinja_truth(JinjaEnv *env, JinjaValue *v)
{
	switch (v->kind)
	{
		case JINJA_UNDEFINED:
		case JINJA_NONE:
			return false;
		case JINJA_BOOL:
			return v->u.boolean;
		case JINJA_INT:
			return v->u.integer != 0;
		case JINJA_FLOAT:
			return v->u.real != 0;
		case JINJA_STRING:
			return v->u.string.len != 0;
		case JINJA_DECIMAL:
			return !jn_decimal_is_zero(v->u.decimal);
		case JINJA_OBJECT:
			if (v->u.object.ops->truth != NULL)
				return v->u.object.ops->truth(env, v->u.object.object);
			return jn_length(env, v) != 0;
		default:
			return jn_length(env, v) != 0;
	}
}

char *
jinja_to_cstring(JinjaEnv *env, JinjaValue *v)
{
	return (char *) jn_str_value(env, v)->u.string.data;
}

int64
jinja_to_int(JinjaEnv *env, JinjaValue *v)
{
	int64		i;

	if (v->kind == JINJA_BIGINT)
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"integer out of range");
	if (!jn_is_int(v, &i))
		jn_raise_type(env, "an integer is required, not %s", jinja_type_name(v));
	return i;
}

double
jinja_to_float(JinjaEnv *env, JinjaValue *v)
{
	if (!jn_is_numeric(v))
		jn_raise_type(env, "a number is required, not %s", jinja_type_name(v));
	return jn_to_double(env, v);
}

char *
jinja_repr(JinjaEnv *env, JinjaValue *v)
{
	return jn_repr_cstring(env, v);
}

/* Length of a list, tuple, set or dict for the host. */
int
jinja_length(const JinjaValue *v)
{
	switch (v->kind)
	{
		case JINJA_LIST:
		case JINJA_TUPLE:
			return v->u.list.n;
		case JINJA_DICT:
		case JINJA_SET:
			return v->u.dict->n;
		default:
			return 0;
	}
}

JinjaValue *
jinja_list_get(const JinjaValue *v, int i)
{
	Assert(v->kind == JINJA_LIST || v->kind == JINJA_TUPLE);
	Assert(i >= 0 && i < v->u.list.n);
	return v->u.list.items[i];
}

JinjaValue *
jinja_dict_get(JinjaEnv *env, const JinjaValue *dict, const char *key)
{
	int			len = strlen(key);

	return dict->kind != JINJA_DICT ? NULL :
		jn_dict_lookup_text(dict->u.dict, key, len, jn_hash_text(key, len));
}

void
jinja_dict_set_value(JinjaEnv *env, JinjaValue *dict, JinjaValue *key,
					 JinjaValue *v)
{
	jn_dict_put(env, dict->u.dict, key, v);
}

void
jinja_dict_entry(const JinjaValue *v, int i, JinjaValue **key,
				 JinjaValue **value)
{
	Assert((v->kind == JINJA_DICT || v->kind == JINJA_SET) && i >= 0 && i < v->u.dict->n);
	*key = v->u.dict->entries[i].key;
	*value = v->u.dict->entries[i].value;
}

void *
jinja_object_get(const JinjaValue *v, const JinjaObjectOps *ops)
{
	if (v->kind != JINJA_OBJECT || v->u.object.ops != ops)
		return NULL;
	return v->u.object.object;
}

JinjaValue *
jinja_as_json(JinjaEnv *env, JinjaValue *v)
{
	if (v->kind != JINJA_OBJECT || v->u.object.ops->to_json == NULL)
		return v;
	return v->u.object.ops->to_json(env, v->u.object.object);
}

JinjaValue *
jinja_arg(const JinjaArgs *args, int pos, const char *name)
{
	if (pos >= 0 && pos < args->nargs)
		return args->args[pos];
	for (int i = 0; name != NULL && i < args->nkwargs; i++)
		if (strcmp(args->kwnames[i], name) == 0)
			return args->kwvalues[i];
	return NULL;
}

/* ---------- what the engine asks ---------- */

/* Python's name of the type. */
const char *
jinja_type_name(const JinjaValue *v)
{
	static const char *const views[] = {"dict_keys", "dict_values",
	"dict_items"};

	switch (v->kind)
	{
		case JINJA_UNDEFINED:
			return "Undefined";
		case JINJA_NONE:
			return "NoneType";
		case JINJA_BOOL:
			return "bool";
		case JINJA_INT:
		case JINJA_BIGINT:
			return "int";
		case JINJA_SET:
			return "set";
		case JINJA_DECIMAL:
			return "decimal.Decimal";
		case JINJA_FLOAT:
			return "float";
		case JINJA_STRING:
			return v->u.string.marker == JN_MARKUP ? "markupsafe.Markup" : "str";
		case JINJA_LIST:
			return "list";
		case JINJA_TUPLE:
			return "tuple";
		case JINJA_DICT:
			return "dict";
		case JINJA_RANGE:
			return "range";
		case JINJA_VIEW:
			return views[v->u.view.kind];
		case JINJA_ITERATOR:
			return "generator";
		case JINJA_FUNCTION:
			return "function";
		case JINJA_METHOD:
			return "builtin_function_or_method";
		case JINJA_MACRO:
			return "Macro";
		case JINJA_OBJECT:
			return v->u.object.ops->type_name;
	}
	return "?";
}

/* Raise what the use of an undefined value raises. */
void
jn_fail_undefined(JinjaEnv *env, const JinjaValue *v)
{
	JinjaValue *object = v->u.undefined.object;
	JinjaValue *name = v->u.undefined.name;

	if (v->u.undefined.hint == not_provided)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, not_provided,
					name->u.string.data);
	if (v->u.undefined.hint != NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "%s",
					v->u.undefined.hint);
	if (object == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER, "\"%s\" is undefined",
					jinja_to_cstring(env, name));
	if (name->kind == JINJA_STRING)
		jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER,
					"%s object has no attribute \"%s\"", jinja_type_name(object),
					name->u.string.data);
	jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER,
				"%s object has no element %s", jinja_type_name(object),
				jn_repr_cstring(env, name));
}

/* Length of the character at "p", which is before "end". */
int
jn_char_len(const char *p, const char *end)
{
	int			n = pg_mblen(p);

	return Min(n, (int) (end - p));
}

/* Length of the character that ends before "p", which is behind "start". */
int
jn_char_len_before(JinjaEnv *env, const char *start, const char *p)
{
	int			n = 1;

	if (pg_database_encoding_max_length() == 1)
		return 1;
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		/* Only from the start can its first byte be told. */
		jn_work_bytes(env, p - start);
		return p - start - pg_mbcliplen(start, p - start, p - start - 1);
	}
	while (n < 4 && p - n > start && (p[-n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* In UTF-8, all bytes but those that continue a character begin one. */
int
jn_count_chars(const char *s, int len)
{
	int			n = 0;

	if (GetDatabaseEncoding() != PG_UTF8)
		return pg_mbstrlen_with_len(s, len);
	for (int i = 0; i < len; i++)
		n += ((unsigned char) s[i] & 0xc0) != 0x80;
	return n;
}

int
jn_nchars(JinjaValue *s)
{
	if (s->u.string.nchars < 0)
		s->u.string.nchars = jn_count_chars(s->u.string.data, s->u.string.len);
	return s->u.string.nchars;
}

/* Where character "i" of a string begins; "i" may be its length. */
const char *
jn_char_at(JinjaValue *s, int64 i)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;

	if (jn_nchars(s) == s->u.string.len)
		return p + i;
	while (i-- > 0 && p < end)
		p += jn_char_len(p, end);
	return p;
}

/* A string of the one character at "p". */
JinjaValue *
jn_char(JinjaEnv *env, const char *p, int len)
{
	unsigned char c = (unsigned char) *p;
	JinjaValue *v;

	if (len == 1 && c < 128 && env->ascii[c] != NULL)
		return env->ascii[c];
	v = jinja_string_len(env, p, len);
	v->u.string.nchars = 1;
	if (len == 1 && c < 128)
		env->ascii[c] = v;
	return v;
}

bool
jn_is_int(const JinjaValue *v, int64 *i)
{
	if (v->kind == JINJA_INT)
		*i = v->u.integer;
	else if (v->kind == JINJA_BOOL)
		*i = v->u.boolean;
	else
		return false;
	return true;
}

bool
jn_is_number(const JinjaValue *v, double *d)
{
	int64		i;

	if (v->kind == JINJA_FLOAT)
		*d = v->u.real;
	else if (jn_is_int(v, &i))
		*d = (double) i;
	else
		return false;
	return true;
}

/* Python's len(); -1 when the value has none. */
int64
jn_length(JinjaEnv *env, JinjaValue *v)
{
	switch (v->kind)
	{
		case JINJA_UNDEFINED:
			return 0;
		case JINJA_STRING:
			return v->u.string.len == 0 ? 0 : jn_nchars(v);
		case JINJA_LIST:
		case JINJA_TUPLE:
			return v->u.list.n;
		case JINJA_DICT:
		case JINJA_SET:
			return v->u.dict->n;
		case JINJA_OBJECT:
			return v->u.object.ops->length == NULL ? -1 :
				v->u.object.ops->length(env, v->u.object.object);
		case JINJA_VIEW:
			return v->u.view.dict->u.dict->n;
		case JINJA_RANGE:
			return v->u.range.length;
		default:
			return -1;
	}
}

bool
jn_string_is(const JinjaValue *v, const char *s)
{
	return v->kind == JINJA_STRING && strcmp(v->u.string.data, s) == 0;
}

/* A boolean option of a built-in: not given is false. */
bool
jn_truth_arg(JinjaEnv *env, JinjaValue *v)
{
	return v != NULL && jinja_truth(env, v);
}
