/*
 * exceptions.c
 *		exceptions.*: how a template fails, in dbt's words.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"

#include "project/host.h"
#include "project/table.h"

static JinjaValue *
raise_message(JinjaEnv *env, int sqlstate, const JinjaArgs *args, const char *function)
{
	jinja_raise(env, sqlstate, "%s", dpipe_arg_text(env, args, 0, "msg", function));
	return NULL;
}

static JinjaValue *
raise_compiler_error(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return raise_message(env, ERRCODE_RAISE_EXCEPTION, args, "raise_compiler_error");
}

/* The argument of the name inside words of dbt's. */
static void
pg_attribute_noreturn() raise_words(JinjaEnv *env, int sqlstate, const JinjaArgs *args,
									const char *name, const char *function, const char *before,
									const char *after)
{
	jinja_raise(env, sqlstate, "%s%s%s", before, dpipe_arg_text(env, args, 0, name, function),
				after);
}

static JinjaValue *
raise_not_implemented(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	raise_words(env, ERRCODE_FEATURE_NOT_SUPPORTED, args, "msg", "raise_not_implemented",
				"ERROR: ", "");
}

void
dpipe_raise_missing_config(JinjaEnv *env, const char *node, const char *name)
{
	jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER,
				"Model '%s' does not define a required config parameter '%s'.", node, name);
}

static JinjaValue *
missing_config(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *model = dpipe_arg(env, args, 0, "model", "missing_config");
	JinjaValue *id = jinja_kind(model) == JINJA_DICT ? jinja_dict_get(env, model, "unique_id") : NULL;

	dpipe_raise_missing_config(env, id != NULL ? jinja_to_cstring(env, id) : "",
							   dpipe_arg_text(env, args, 1, "name", "missing_config"));
}

static JinjaValue *
missing_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	raise_words(env, ERRCODE_UNDEFINED_TABLE, args, "relation", "missing_relation", "Relation ",
				" not found!");
}

static JinjaValue *
relation_wrong_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *rel = dpipe_arg_text(env, args, 0, "relation", "relation_wrong_type");
	char	   *type = dpipe_arg_text(env, args, 1, "expected_type", "relation_wrong_type");

	jinja_raise(env, ERRCODE_WRONG_OBJECT_TYPE,
				"Trying to create %s %s, but it currently exists as another type. Either drop %s manually, or run dbt with `--full-refresh` and dbt will drop it for you.",
				type, rel, rel);
}

static JinjaValue *
column_type_missing(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	raise_words(env, ERRCODE_INVALID_PARAMETER_VALUE, args, "column_names", "column_type_missing",
				"Contracted models require data_type to be defined for each column.  Please ensure that the column name and data_type are defined within the YAML configuration for the ",
				" column(s).");
}

static JinjaValue *
missing_materialization(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *model = dpipe_arg(env, args, 0, "model", "missing_materialization");
	char	   *adapter = dpipe_arg_text(env, args, 1, "adapter_type", "missing_materialization");
	JinjaValue *config = jinja_kind(model) == JINJA_DICT ? jinja_dict_get(env, model, "config") : NULL;
	JinjaValue *name = config != NULL && jinja_kind(config) == JINJA_DICT
		? jinja_dict_get(env, config, "materialized") : NULL;

	jinja_raise(env, ERRCODE_UNDEFINED_OBJECT,
				"No materialization '%s' was found for adapter %s! (searched types 'default'%s)",
				name != NULL ? jinja_to_cstring(env, name) : "", adapter,
				strcmp(adapter, "default") == 0 ? "" : psprintf(" and '%s'", adapter));
}

static JinjaValue *
cache_inconsistent(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	raise_words(env, ERRCODE_RAISE_EXCEPTION, args, "message", "raise_cache_inconsistent",
				"Cache inconsistency detected: ", "");
}

static JinjaValue *
dataclass_not_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	raise_words(env, ERRCODE_WRONG_OBJECT_TYPE, args, "obj", "raise_dataclass_not_dict",
				"The object (\"",
				"\") was used as a dictionary. This capability has been removed from objects of this type.");
}

static JinjaValue *
dep_not_found(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_UNDEFINED_OBJECT,
				"Error while parsing %s.\nThe required package \"%s\" was not found. Is the package installed?\nHint: You may need to run `dbt deps`.",
				dpipe_arg_text(env, args, 1, "node_description", "raise_dep_not_found"),
				dpipe_arg_text(env, args, 2, "required_pkg", "raise_dep_not_found"));
}

static JinjaValue *
invalid_property_yml(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
				"The yml property file at %s is invalid because %s. Please consult the documentation for more information on yml property file syntax:\n\nhttps://docs.getdbt.com/reference/configs-and-properties",
				dpipe_arg_text(env, args, 0, "path", "raise_invalid_property_yml_version"),
				dpipe_arg_text(env, args, 1, "issue", "raise_invalid_property_yml_version"));
}

/* ---------- contracts ---------- */

static char *
field(JinjaEnv *env, const JinjaValue *column, const char *name)
{
	JinjaValue *v = jinja_dict_get(env, column, name);

	return v != NULL ? jinja_to_cstring(env, v) : "";
}

/* The column of that name in any case, or NULL. */
static const JinjaValue *
find_column(JinjaEnv *env, const JinjaValue *columns, const char *name)
{
	for (int i = 0; i < jinja_length(columns); i++)
	{
		JinjaValue *column = jinja_list_get(columns, i);

		if (pg_strcasecmp(field(env, column, "name"), name) == 0)
			return column;
	}
	return NULL;
}

static void
add_mismatch(JinjaEnv *env, DpipeTable *table, const char *name, const char *found,
			 const char *promised, const char *reason)
{
	JinjaValue **row = dpipe_table_add_row(env, table);

	row[0] = jinja_string(env, name);
	row[1] = jinja_string(env, found);
	row[2] = jinja_string(env, promised);
	row[3] = jinja_string(env, reason);
}

static int
compare_rows(const void *a, const void *b, void *env)
{
	return strcmp(jinja_to_cstring(env, (*(JinjaValue ***) a)[0]),
				  jinja_to_cstring(env, (*(JinjaValue ***) b)[0]));
}

/* What differs between a contract and what the query gives, as a table. */
static char *
mismatches(JinjaEnv *env, const JinjaValue *promised, const JinjaValue *found)
{
	static const char *const names[] = {"column_name", "definition_type", "contract_type",
	"mismatch_reason"};
	static const DpipeCellType types[] = {DPIPE_CELL_TEXT, DPIPE_CELL_TEXT, DPIPE_CELL_TEXT,
	DPIPE_CELL_TEXT};
	DpipeTable *table = dpipe_table_create(env, lengthof(names), names, types);

	for (int i = 0; i < jinja_length(found); i++)
	{
		JinjaValue *column = jinja_list_get(found, i);
		char	   *name = field(env, column, "name");
		const JinjaValue *other = find_column(env, promised, name);

		if (other == NULL)
			add_mismatch(env, table, name, field(env, column, "data_type"), "",
						 "missing in contract");
		else if (strcmp(field(env, column, "data_type"), field(env, other, "data_type")) != 0)
			add_mismatch(env, table, name, field(env, column, "data_type"),
						 field(env, other, "data_type"), "data type mismatch");
	}
	for (int i = 0; i < jinja_length(promised); i++)
	{
		JinjaValue *column = jinja_list_get(promised, i);
		char	   *name = field(env, column, "name");

		if (find_column(env, found, name) == NULL)
			add_mismatch(env, table, name, "", field(env, column, "data_type"),
						 "missing in definition");
	}
	qsort_arg(table->rows, table->nrows, sizeof(JinjaValue **), compare_rows, env);
	return dpipe_table_text(env, table, 0, 0, 50);
}

static JinjaValue *
raise_contract_error(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *promised = jinja_to_list(env, dpipe_arg(env, args, 0, "yaml_columns",
														"raise_contract_error"));
	JinjaValue *found = jinja_to_list(env, dpipe_arg(env, args, 1, "sql_columns",
													 "raise_contract_error"));

	if (jinja_length(promised) == 0)
		jinja_raise(env, ERRCODE_INVALID_TABLE_DEFINITION,
					"This model has an enforced contract, and its 'columns' specification is missing");
	jinja_raise(env, ERRCODE_INVALID_TABLE_DEFINITION,
				"This model has an enforced contract that failed.\nPlease ensure the name, data_type, and number of columns in your contract match the columns in your model's definition.\n\n%s",
				mismatches(env, promised, found));
}

/* ---------- warnings ---------- */

static JinjaValue *
exceptions_warn(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	ereport(WARNING, (errmsg("%s", dpipe_arg_text(env, args, 0, "msg", "warn"))));
	return jinja_string(env, "");
}

static JinjaValue *
warn_snapshot_timestamp_data_types(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	ereport(WARNING,
			(errmsg("Data type of snapshot table timestamp columns (%s) doesn't match derived column 'updated_at' (%s). Please update snapshot config 'updated_at'.",
					dpipe_arg_text(env, args, 0, "snapshot_time_data_type", "warn"),
					dpipe_arg_text(env, args, 1, "updated_at_data_type", "warn"))));
	return jinja_none(env);
}

static const DpipeMember members[] = {
	{"column_type_missing", column_type_missing},
	{"missing_config", missing_config},
	{"missing_materialization", missing_materialization},
	{"missing_relation", missing_relation},
	{"raise_cache_inconsistent", cache_inconsistent},
	{"raise_compiler_error", raise_compiler_error},
	{"raise_contract_error", raise_contract_error},
	{"raise_database_error", raise_compiler_error},
	{"raise_dataclass_not_dict", dataclass_not_dict},
	{"raise_dep_not_found", dep_not_found},
	{"raise_dependency_error", raise_compiler_error},
	{"raise_fail_fast_error", raise_compiler_error},
	{"raise_invalid_property_yml_version", invalid_property_yml},
	{"raise_not_implemented", raise_not_implemented},
	{"raise_parsing_error", raise_compiler_error},
	{"relation_wrong_type", relation_wrong_type},
	{"warn", exceptions_warn},
	{"warn_snapshot_timestamp_data_types", warn_snapshot_timestamp_data_types},
	{NULL}
};

static JinjaValue *
exceptions_attribute(JinjaEnv *env, void *object, const char *name)
{
	return dpipe_member(env, members, name, object);
}

static const JinjaObjectOps exceptions_ops = {
	.type_name = "exceptions",
	.get_attribute = exceptions_attribute,
};

JinjaValue *
dpipe_host_exceptions(DpipeHost *host)
{
	return jinja_object(host->env, &exceptions_ops, host);
}
