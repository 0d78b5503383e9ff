/*
 * column.c
 *		Columns as values that templates see, and api.Column.
 *
 * A type is a text, as the database or a template names it; what kind of type
 * it is follows from that text alone, as in dbt.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "project/column.h"
#include "project/host.h"

static const JinjaObjectOps column_ops;

JinjaValue *
dpipe_column_make(JinjaEnv *env, const DpipeColumn *column)
{
	DpipeColumn *copy = MemoryContextAlloc(jinja_env_context(env), sizeof(DpipeColumn));

	*copy = *column;
	if (copy->char_size == NULL)
		copy->char_size = jinja_none(env);
	if (copy->numeric_precision == NULL)
		copy->numeric_precision = jinja_none(env);
	if (copy->numeric_scale == NULL)
		copy->numeric_scale = jinja_none(env);
	return jinja_object(env, &column_ops, copy);
}

const DpipeColumn *
dpipe_column_of(const JinjaValue *value)
{
	return jinja_object_get(value, &column_ops);
}

char *
dpipe_quoted(const char *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '"');
	for (; *name; name++)
	{
		if (*name == '"')
			appendStringInfoChar(&buf, '"');
		appendStringInfoChar(&buf, *name);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

/* ---------- kinds of types ---------- */

static bool
one_of(const char *dtype, const char *const *names)
{
	for (; *names != NULL; names++)
		if (pg_strcasecmp(dtype, *names) == 0)
			return true;
	return false;
}

static bool
is_string(const DpipeColumn *c)
{
	static const char *const names[] = {"text", "character varying", "character", "varchar", NULL};

	return one_of(c->dtype, names);
}

static bool
is_float(const DpipeColumn *c)
{
	static const char *const names[] = {"real", "float4", "float", "double precision", "float8",
	"double", NULL};

	return one_of(c->dtype, names);
}

static bool
is_integer(const DpipeColumn *c)
{
	static const char *const names[] = {"smallint", "integer", "bigint", "smallserial", "serial",
	"bigserial", "int2", "int4", "int8", "serial2", "serial4", "serial8", NULL};

	return one_of(c->dtype, names);
}

static bool
is_numeric(const DpipeColumn *c)
{
	static const char *const names[] = {"numeric", "decimal", NULL};

	return one_of(c->dtype, names);
}

int64
dpipe_column_string_size(JinjaEnv *env, const DpipeColumn *c)
{
	if (!is_string(c))
		jinja_raise(env, ERRCODE_DATATYPE_MISMATCH, "Called string_size() on non-string field!");
	if (strcmp(c->dtype, "text") == 0 || dpipe_is_nothing(c->char_size))
		return 256;
	return jinja_to_int(env, c->char_size);
}

bool
dpipe_column_can_expand_to(JinjaEnv *env, const DpipeColumn *c, const DpipeColumn *other)
{
	return is_string(c) && is_string(other) &&
		dpipe_column_string_size(env, other) > dpipe_column_string_size(env, c);
}

/* ---------- types as texts ---------- */

static char *
numeric_type(JinjaEnv *env, const char *dtype, JinjaValue *precision, JinjaValue *scale)
{
	if (dpipe_is_nothing(precision) || dpipe_is_nothing(scale))
		return pstrdup(dtype);
	return psprintf("%s(%s,%s)", dtype, jinja_to_cstring(env, precision),
					jinja_to_cstring(env, scale));
}

static char *
data_type(JinjaEnv *env, const DpipeColumn *c)
{
	if (pg_strcasecmp(c->dtype, "text") == 0 ||
		(pg_strcasecmp(c->dtype, "character varying") == 0 && dpipe_is_nothing(c->char_size)))
		return pstrdup(c->dtype);
	if (is_string(c))
		return psprintf("character varying(" INT64_FORMAT ")", dpipe_column_string_size(env, c));
	if (is_numeric(c))
		return numeric_type(env, c->dtype, c->numeric_precision, c->numeric_scale);
	return pstrdup(c->dtype);
}

/* The one name that differs in PostgreSQL. */
static const char *
translate_type(const char *dtype)
{
	return pg_strcasecmp(dtype, "string") == 0 ? "TEXT" : dtype;
}

/* ---------- members ---------- */

static JinjaValue *
fn_is_string(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, is_string(arg));
}

static JinjaValue *
fn_is_number(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, is_integer(arg) || is_numeric(arg) || is_float(arg));
}

static JinjaValue *
fn_is_float(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, is_float(arg));
}

static JinjaValue *
fn_is_integer(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, is_integer(arg));
}

static JinjaValue *
fn_is_numeric(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, is_numeric(arg));
}

static JinjaValue *
fn_string_size(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_int(env, dpipe_column_string_size(env, arg));
}

static JinjaValue *
fn_can_expand_to(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeColumn *other = dpipe_column_of(dpipe_arg(env, args, 0, "other_column",
														 "can_expand_to"));

	if (other == NULL)
		jinja_raise(env, ERRCODE_DATATYPE_MISMATCH, "can_expand_to() takes a column");
	return jinja_bool(env, dpipe_column_can_expand_to(env, arg, other));
}

static JinjaValue *
fn_literal(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, psprintf("%s::%s", dpipe_arg_text(env, args, 0, "value", "literal"),
									  data_type(env, arg)));
}

/* ---------- members of columns and of api.Column ---------- */

static JinjaValue *
fn_translate_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, translate_type(dpipe_arg_text(env, args, 0, "dtype",
														   "translate_type")));
}

static JinjaValue *
fn_string_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, psprintf("character varying(%s)",
									  dpipe_arg_text(env, args, 0, "size", "string_type")));
}

static JinjaValue *
fn_numeric_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, numeric_type(env, dpipe_arg_text(env, args, 0, "dtype", "numeric_type"),
										  jinja_arg(args, 1, "precision"),
										  jinja_arg(args, 2, "scale")));
}

static const char *
kept(JinjaEnv *env, const char *s)
{
	return MemoryContextStrdup(jinja_env_context(env), s);
}

static JinjaValue *
fn_create(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeColumn c = {NULL};

	c.name = kept(env, dpipe_arg_text(env, args, 0, "name", "create"));
	c.dtype = kept(env, translate_type(dpipe_arg_text(env, args, 1, "label_or_dtype", "create")));
	return dpipe_column_make(env, &c);
}

/* A size in "(28,6)": digits with spaces around, else an error. */
static JinjaValue *
size_part(JinjaEnv *env, const char *raw, char *part)
{
	char	   *end;
	long		n;

	errno = 0;
	n = strtol(part, &end, 10);
	while (isspace((unsigned char) *end))
		end++;
	if (end == part || *end != '\0' || errno != 0)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Could not interpret data_type \"%s\": could not convert \"%s\" to an integer",
					raw, part);
	return jinja_int(env, n);
}

/* from_description(name, 'numeric(28,6)') */
static JinjaValue *
fn_from_description(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *raw = dpipe_arg_text(env, args, 1, "raw_data_type", "from_description");
	char	   *open = strchr(raw, '(');
	char	   *close = open != NULL ? strchr(open, ')') : NULL;
	DpipeColumn c = {NULL};

	if (raw[0] == '\0' || raw[0] == '(')
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "Could not interpret data type \"%s\"",
					raw);
	c.name = kept(env, dpipe_arg_text(env, args, 0, "name", "from_description"));
	c.dtype = kept(env, open != NULL ? pnstrdup(raw, open - raw) : raw);
	if (close != NULL && close > open + 1)
	{
		char	   *size = pnstrdup(open + 1, close - open - 1);
		char	   *comma = strchr(size, ',');

		if (comma == NULL)
			c.char_size = size_part(env, raw, size);
		else if (strchr(comma + 1, ',') == NULL)
		{
			*comma = '\0';
			c.numeric_precision = size_part(env, raw, size);
			c.numeric_scale = size_part(env, raw, comma + 1);
		}
	}
	return dpipe_column_make(env, &c);
}

static const DpipeMember class_members[] = {
	{"create", fn_create},
	{"from_description", fn_from_description},
	{"numeric_type", fn_numeric_type},
	{"string_type", fn_string_type},
	{"translate_type", fn_translate_type},
	{NULL}
};

static const DpipeMember column_members[] = {
	{"can_expand_to", fn_can_expand_to},
	{"is_float", fn_is_float},
	{"is_integer", fn_is_integer},
	{"is_number", fn_is_number},
	{"is_numeric", fn_is_numeric},
	{"is_string", fn_is_string},
	{"literal", fn_literal},
	{"string_size", fn_string_size},
	{NULL}
};

static JinjaValue *
column_attribute(JinjaEnv *env, void *object, const char *name)
{
	DpipeColumn *c = object;
	JinjaValue *v;

	if (strcmp(name, "name") == 0 || strcmp(name, "column") == 0)
		return jinja_string(env, c->name);
	if (strcmp(name, "quoted") == 0)
		return jinja_string(env, dpipe_quoted(c->name));
	if (strcmp(name, "dtype") == 0)
		return jinja_string(env, c->dtype);
	if (strcmp(name, "data_type") == 0 || strcmp(name, "expanded_data_type") == 0)
		return jinja_string(env, data_type(env, c));
	if (strcmp(name, "char_size") == 0)
		return c->char_size;
	if (strcmp(name, "numeric_precision") == 0)
		return c->numeric_precision;
	if (strcmp(name, "numeric_scale") == 0)
		return c->numeric_scale;
	v = dpipe_member(env, column_members, name, c);
	return v != NULL ? v : dpipe_member(env, class_members, name, c);
}

/* Python prints what made it. */
static char *
column_repr(JinjaEnv *env, void *object)
{
	DpipeColumn *c = object;

	return psprintf("PostgresColumn(column=%s, dtype=%s, char_size=%s, numeric_precision=%s, numeric_scale=%s)",
					jinja_repr(env, jinja_string(env, c->name)),
					jinja_repr(env, jinja_string(env, c->dtype)), jinja_repr(env, c->char_size),
					jinja_repr(env, c->numeric_precision), jinja_repr(env, c->numeric_scale));
}

static JinjaValue *
column_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other, bool reflected)
{
	const DpipeColumn *a = object;
	const DpipeColumn *b = dpipe_column_of(other);

	if (op != JINJA_OP_EQ)
		return NULL;
	return jinja_bool(env, b != NULL && strcmp(a->name, b->name) == 0 &&
					  strcmp(a->dtype, b->dtype) == 0 &&
					  jinja_equal(env, a->char_size, b->char_size) &&
					  jinja_equal(env, a->numeric_precision, b->numeric_precision) &&
					  jinja_equal(env, a->numeric_scale, b->numeric_scale));
}

static const JinjaObjectOps column_ops = {
	.type_name = "PostgresColumn",
	.get_attribute = column_attribute,
	.to_string = column_repr,
	.binary = column_binary,
};

/* ---------- api.Column ---------- */

static JinjaValue *
class_attribute(JinjaEnv *env, void *object, const char *name)
{
	return dpipe_member(env, class_members, name, object);
}

/* api.Column(column, dtype, char_size, numeric_precision, numeric_scale) */
static JinjaValue *
class_call(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	DpipeColumn c = {NULL};

	c.name = kept(env, dpipe_arg_text(env, args, 0, "column", "api.Column"));
	c.dtype = kept(env, dpipe_arg_text(env, args, 1, "dtype", "api.Column"));
	c.char_size = jinja_arg(args, 2, "char_size");
	c.numeric_precision = jinja_arg(args, 3, "numeric_precision");
	c.numeric_scale = jinja_arg(args, 4, "numeric_scale");
	return dpipe_column_make(env, &c);
}

static const JinjaObjectOps class_ops = {
	.type_name = "type",
	.get_attribute = class_attribute,
	.call = class_call,
};

JinjaValue *
dpipe_host_column_class(DpipeHost *host)
{
	return jinja_object(host->env, &class_ops, host);
}
