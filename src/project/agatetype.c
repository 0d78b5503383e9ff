/*
 * agatetype.c
 *		agate's data types: what "data_type" of a column is.
 */
#include "base/compat.h"

#include "project/host.h"
#include "project/table.h"

static const char *const names[] = {"Integer", "Number", "Boolean", "Date", "DateTime", "Text"};

typedef struct AgateType
{
	DpipeCellType type;
} AgateType;

const char *
dpipe_cell_type_name(DpipeCellType type)
{
	return names[type];
}

static JinjaValue *
iso_text(JinjaEnv *env, JinjaValue *value)
{
	JinjaValue *method = jinja_attribute(env, value, "isoformat");
	JinjaArgs	none = {0};

	if (method == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "'%s' object has no attribute 'isoformat'",
					jinja_type_name(value));
	return jinja_call(env, method, &none);
}

static JinjaValue *
type_csvify(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	DpipeCellType type = ((AgateType *) object)->type;
	JinjaValue *value = dpipe_arg(env, args, 0, "d", "csvify");

	if (jinja_kind(value) == JINJA_NONE)
		return value;
	if (type == DPIPE_CELL_DATE || type == DPIPE_CELL_DATETIME)
		return iso_text(env, value);
	return jinja_string(env, jinja_to_cstring(env, value));
}

/* What json has for a value of the type. */
static JinjaValue *
type_jsonify(JinjaEnv *env, void *object, const JinjaArgs *args)
{
	DpipeCellType type = ((AgateType *) object)->type;
	JinjaValue *value = dpipe_arg(env, args, 0, "d", "jsonify");

	if (type == DPIPE_CELL_INTEGER || type == DPIPE_CELL_BOOLEAN || jinja_kind(value) == JINJA_NONE)
		return value;
	if (type == DPIPE_CELL_NUMBER)
		return jinja_float(env, jinja_to_float(env, value));
	return type_csvify(env, object, args);
}

static const DpipeMember members[] = {
	{"csvify", type_csvify},
	{"jsonify", type_jsonify},
	{NULL}
};

static JinjaValue *
type_attribute(JinjaEnv *env, void *object, const char *name)
{
	return dpipe_member(env, members, name, object);
}

static char *
type_to_string(JinjaEnv *env, void *object)
{
	return pstrdup(names[((AgateType *) object)->type]);
}

static const JinjaObjectOps type_ops = {
	.type_name = "DataType",
	.get_attribute = type_attribute,
	.to_string = type_to_string,
};

JinjaValue *
dpipe_cell_type_value(JinjaEnv *env, DpipeCellType type)
{
	AgateType  *object = MemoryContextAlloc(jinja_env_context(env), sizeof(AgateType));

	object->type = type;
	return jinja_object(env, &type_ops, object);
}
