/*
 * adapter.c
 *		adapter.*: what asks or changes the database.
 *
 * What dbt leaves to macros (drop_relation, create_schema, ...) is left to
 * them here, too, so that a project's own replace them. What asks is answered
 * by the catalogs themselves; there is no cache to be told of changes.
 */
#include "base/compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "common/md5.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/identity.h"
#include "project/column.h"
#include "project/host.h"
#include "project/relation.h"
#include "project/table.h"

static const DpipeRelation *
relation_arg(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, const char *function)
{
	JinjaValue *v = dpipe_arg(env, args, pos, name, function);
	const DpipeRelation *rel = dpipe_relation_of(v);

	if (rel == NULL)
		jinja_raise(env, ERRCODE_DATATYPE_MISMATCH,
					"'adapter.%s' expects argument '%s' to be of type 'PostgresRelation', instead got %s",
					function, name, jinja_repr(env, v));
	return rel;
}

static const char *
kept(JinjaEnv *env, const char *s)
{
	return s == NULL ? NULL : MemoryContextStrdup(jinja_env_context(env), s);
}

/* ---------- macros that do the work ---------- */

JinjaValue *
dpipe_host_call_macro(DpipeHost *host, const char *name, const JinjaArgs *args)
{
	JinjaValue *macro = host->find_macro(host, NULL, name);

	if (macro == NULL)
		jinja_raise(host->env, ERRCODE_UNDEFINED_FUNCTION,
					"dbt could not find a macro with the name \"%s\" in any package", name);
	return jinja_call(host->env, macro, args);
}

/* Up to two keyword arguments. */
static JinjaValue *
call_macro(DpipeHost *host, const char *name, const char *key1, JinjaValue *value1,
		   const char *key2, JinjaValue *value2)
{
	const char *names[2] = {key1, key2};
	JinjaValue *values[2] = {value1, value2};
	JinjaArgs	args = {0};

	args.nkwargs = key2 != NULL ? 2 : 1;
	args.kwnames = names;
	args.kwvalues = values;
	return dpipe_host_call_macro(host, name, &args);
}

static JinjaValue *
adapter_drop_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeRelation *rel = relation_arg(env, args, 0, "relation", "drop_relation");

	if (rel->type == NULL)
		jinja_raise(env, ERRCODE_WRONG_OBJECT_TYPE,
					"Tried to drop relation %s, but its type is null.",
					dpipe_relation_render(rel));
	call_macro(arg, "drop_relation", "relation", jinja_arg(args, 0, "relation"), NULL, NULL);
	return jinja_none(env);
}

static JinjaValue *
adapter_truncate_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	relation_arg(env, args, 0, "relation", "truncate_relation");
	call_macro(arg, "truncate_relation", "relation", jinja_arg(args, 0, "relation"), NULL, NULL);
	return jinja_none(env);
}

static JinjaValue *
adapter_rename_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	relation_arg(env, args, 0, "from_relation", "rename_relation");
	relation_arg(env, args, 1, "to_relation", "rename_relation");
	call_macro(arg, "rename_relation", "from_relation", jinja_arg(args, 0, "from_relation"),
			   "to_relation", jinja_arg(args, 1, "to_relation"));
	return jinja_none(env);
}

static JinjaValue *
schema_verb(JinjaEnv *env, DpipeHost *host, const JinjaArgs *args, const char *name)
{
	DpipeRelation rel = *relation_arg(env, args, 0, "relation", name);

	rel.path[DPIPE_IDENTIFIER] = NULL;
	rel.hidden[DPIPE_IDENTIFIER] = true;
	call_macro(host, name, "relation", dpipe_relation_make(env, &rel), NULL, NULL);
	return jinja_none(env);
}

static JinjaValue *
adapter_create_schema(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return schema_verb(env, arg, args, "create_schema");
}

static JinjaValue *
adapter_drop_schema(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return schema_verb(env, arg, args, "drop_schema");
}

/* ---------- schemas ---------- */

static JinjaValue *
adapter_check_schema_exists(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *schema = dpipe_arg_text(env, args, 1, "schema", "check_schema_exists");

	return jinja_bool(env, OidIsValid(get_namespace_oid(schema, true)));
}

static JinjaValue *
adapter_list_schemas(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *rows = dpipe_host_rows(arg, "SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1",
									   0, NULL);
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < jinja_length(rows); i++)
		jinja_list_append(env, list, jinja_list_get(jinja_list_get(rows, i), 0));
	return list;
}

static JinjaValue *
adapter_verify_database(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *database = dpipe_arg_text(env, args, 0, "database", "verify_database");
	const char *current = get_database_name(MyDatabaseId);
	int			len = strlen(database);

	if (len > 1 && database[0] == '"' && database[len - 1] == '"')
		database = pnstrdup(database + 1, len - 2);
	if (pg_strcasecmp(database, current) != 0)
		jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
					"Cross-db references not allowed in postgres (%s vs %s)", database, current);
	return jinja_string(env, "");
}

/* ---------- relations ---------- */

/* dbt's word for a kind of relation; NULL: dbt does not see it. */
static const char *
type_of_relkind(char relkind)
{
	switch (relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			return "table";
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized_view";
		default:
			return NULL;
	}
}

static bool
has_function(Oid namespace, const char *name)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	bool		found = false;

	for (int i = 0; i < list->n_members && !found; i++)
		found = ((Form_pg_proc) GETSTRUCT(&list->members[i]->tuple))->pronamespace == namespace;
	ReleaseCatCacheList(list);
	return found;
}

static char *
lowered(char *s, bool unquoted)
{
	return unquoted ? str_tolower(s, strlen(s), DEFAULT_COLLATION_OID) : s;
}

/* get_relation(database, schema, identifier): with its type; none if it is not there */
static JinjaValue *
adapter_get_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *database = dpipe_arg_text_given(env, args, 0, "database");
	char	   *schema = dpipe_arg_text_given(env, args, 1, "schema");
	char	   *name = dpipe_arg_text_given(env, args, 2, "identifier");
	DpipeRelation rel = {{NULL}};
	Oid			namespace;
	Oid			relid;

	if (schema == NULL || name == NULL)
		return jinja_none(env);
	schema = lowered(schema, host->unquoted_schema);
	name = lowered(name, host->unquoted_identifier);
	namespace = get_namespace_oid(schema, true);
	if (!OidIsValid(namespace))
		return jinja_none(env);
	relid = get_relname_relid(name, namespace);
	if (OidIsValid(relid))
		rel.type = type_of_relkind(get_rel_relkind(relid));
	if (rel.type == NULL && has_function(namespace, name))
		rel.type = "function";
	if (rel.type == NULL)
		return jinja_none(env);
	rel.path[DPIPE_DATABASE] = kept(env, database != NULL ? database
									: get_database_name(MyDatabaseId));
	rel.path[DPIPE_SCHEMA] = kept(env, schema);
	rel.path[DPIPE_IDENTIFIER] = kept(env, name);
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
adapter_load_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeRelation *rel = relation_arg(env, args, 0, "relation", "load_relation");
	JinjaValue *parts[DPIPE_PARTS];
	JinjaArgs	call = {DPIPE_PARTS, parts};

	for (int i = 0; i < DPIPE_PARTS; i++)
		parts[i] = rel->path[i] != NULL ? jinja_string(env, rel->path[i]) : jinja_none(env);
	return adapter_get_relation(env, arg, &call);
}

static JinjaValue *
adapter_already_exists(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *parts[DPIPE_PARTS] = {jinja_none(env), dpipe_arg(env, args, 0, "schema", "already_exists"),
	dpipe_arg(env, args, 1, "name", "already_exists")};
	JinjaArgs	call = {DPIPE_PARTS, parts};

	return jinja_bool(env, !dpipe_is_nothing(adapter_get_relation(env, arg, &call)));
}

/* list_relations(database, schema), list_relations_without_caching(relation) */
static JinjaValue *
list_relations(DpipeHost *host, const char *database, const char *schema)
{
	JinjaEnv   *env = host->env;
	const char *params[1] = {schema};
	JinjaValue *list = jinja_list(env);
	JinjaValue *rows;

	rows = dpipe_host_rows(host,
						   "SELECT n.nspname, c.relname, c.relkind"
						   "  FROM pg_catalog.pg_class AS c"
						   "  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
						   " WHERE pg_catalog.lower(n.nspname) OPERATOR(pg_catalog.=) pg_catalog.lower($1)"
						   "   AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m}')"
						   " ORDER BY 1, 2", 1, params);
	for (int i = 0; i < jinja_length(rows); i++)
	{
		JinjaValue *row = jinja_list_get(rows, i);
		DpipeRelation rel = {{NULL}};

		rel.path[DPIPE_DATABASE] = kept(env, database != NULL ? database
										: get_database_name(MyDatabaseId));
		rel.path[DPIPE_SCHEMA] = kept(env, jinja_to_cstring(env, jinja_list_get(row, 0)));
		rel.path[DPIPE_IDENTIFIER] = kept(env, jinja_to_cstring(env, jinja_list_get(row, 1)));
		rel.type = type_of_relkind(jinja_to_cstring(env, jinja_list_get(row, 2))[0]);
		jinja_list_append(env, list, dpipe_relation_make(env, &rel));
	}
	return list;
}

static JinjaValue *
adapter_list_relations(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return list_relations(arg, dpipe_arg_text_given(env, args, 0, "database"),
						  dpipe_arg_text(env, args, 1, "schema", "list_relations"));
}

static JinjaValue *
adapter_list_relations_without_caching(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeRelation *rel = relation_arg(env, args, 0, "schema_relation",
											"list_relations_without_caching");

	return list_relations(arg, rel->path[DPIPE_DATABASE],
						  rel->path[DPIPE_SCHEMA] != NULL ? rel->path[DPIPE_SCHEMA] : "");
}

/* ---------- columns ---------- */

/*
 * What information_schema.columns says, without its views; a relation without
 * a schema is a temporary one, looked for by name as dbt does.
 */
#define COLUMNS_SQL \
	"SELECT a.attname," \
	"       CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd' THEN" \
	"                 CASE WHEN bt.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND bt.typlen OPERATOR(pg_catalog.=) -1 THEN 'ARRAY'" \
	"                      WHEN nbt.nspname OPERATOR(pg_catalog.=) 'pg_catalog' THEN pg_catalog.format_type(t.typbasetype, NULL)" \
	"                      ELSE 'USER-DEFINED' END" \
	"            ELSE CASE WHEN t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND t.typlen OPERATOR(pg_catalog.=) -1 THEN 'ARRAY'" \
	"                      WHEN nt.nspname OPERATOR(pg_catalog.=) 'pg_catalog' THEN pg_catalog.format_type(a.atttypid, NULL)" \
	"                      ELSE 'USER-DEFINED' END END," \
	"       information_schema._pg_char_max_length(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))," \
	"       information_schema._pg_numeric_precision(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))," \
	"       information_schema._pg_numeric_scale(information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t))" \
	"  FROM pg_catalog.pg_class AS c" \
	"  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace" \
	"  JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid" \
	"  JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid" \
	"  JOIN pg_catalog.pg_namespace AS nt ON nt.oid OPERATOR(pg_catalog.=) t.typnamespace" \
	"  LEFT JOIN pg_catalog.pg_type AS bt ON t.typtype OPERATOR(pg_catalog.=) 'd' AND bt.oid OPERATOR(pg_catalog.=) t.typbasetype" \
	"  LEFT JOIN pg_catalog.pg_namespace AS nbt ON nbt.oid OPERATOR(pg_catalog.=) bt.typnamespace" \
	" WHERE c.relname OPERATOR(pg_catalog.=) $1::pg_catalog.name" \
	"   AND ($2 IS NULL OR n.nspname OPERATOR(pg_catalog.=) $2::pg_catalog.name)" \
	"   AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,f,p}')" \
	"   AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)" \
	"   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped" \
	"   AND (pg_catalog.pg_has_role(c.relowner, 'USAGE')" \
	"        OR pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES'))" \
	" ORDER BY a.attnum, n.nspname"

static JinjaValue *
columns_of(DpipeHost *host, const DpipeRelation *rel)
{
	JinjaEnv   *env = host->env;
	const char *params[2] = {rel->path[DPIPE_IDENTIFIER], rel->path[DPIPE_SCHEMA]};
	JinjaValue *list = jinja_list(env);
	JinjaValue *rows;

	if (params[0] == NULL)
		return list;
	rows = dpipe_host_rows(host, COLUMNS_SQL, 2, params);
	for (int i = 0; i < jinja_length(rows); i++)
	{
		JinjaValue *row = jinja_list_get(rows, i);
		DpipeColumn column;

		column.name = kept(env, jinja_to_cstring(env, jinja_list_get(row, 0)));
		column.dtype = kept(env, jinja_to_cstring(env, jinja_list_get(row, 1)));
		column.char_size = jinja_list_get(row, 2);
		column.numeric_precision = jinja_list_get(row, 3);
		column.numeric_scale = jinja_list_get(row, 4);
		jinja_list_append(env, list, dpipe_column_make(env, &column));
	}
	return list;
}

static JinjaValue *
adapter_get_columns_in_relation(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char name[] = "get_columns_in_relation";
	DpipeHost  *host = arg;

	if (host->overrides != NULL && host->overrides(host, name))
		return dpipe_host_call_macro(host, name, args);
	return columns_of(host, relation_arg(env, args, 0, "relation", name));
}

static JinjaValue *
adapter_get_columns_in_table(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = {{NULL}};

	rel.path[DPIPE_SCHEMA] = dpipe_arg_text(env, args, 0, "schema", "get_columns_in_table");
	rel.path[DPIPE_IDENTIFIER] = dpipe_arg_text(env, args, 1, "identifier", "get_columns_in_table");
	return columns_of(arg, &rel);
}

static const DpipeColumn *
find_column(const JinjaValue *list, const char *name)
{
	for (int i = 0; i < jinja_length(list); i++)
	{
		const DpipeColumn *column = dpipe_column_of(jinja_list_get(list, i));

		if (strcmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/* get_missing_columns(from_relation, to_relation): those that only the first has */
static JinjaValue *
adapter_get_missing_columns(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *from = columns_of(arg, relation_arg(env, args, 0, "from_relation",
													"get_missing_columns"));
	JinjaValue *to = columns_of(arg, relation_arg(env, args, 1, "to_relation",
												  "get_missing_columns"));
	JinjaValue *missing = jinja_list(env);

	for (int i = 0; i < jinja_length(from); i++)
		if (find_column(to, dpipe_column_of(jinja_list_get(from, i))->name) == NULL)
			jinja_list_append(env, missing, jinja_list_get(from, i));
	return missing;
}

/* Strings that have become longer make the target's columns wider. */
static JinjaValue *
adapter_expand_target_column_types(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	JinjaValue *from = columns_of(host, relation_arg(env, args, 0, "from_relation",
													 "expand_target_column_types"));
	JinjaValue *to = columns_of(host, relation_arg(env, args, 1, "to_relation",
												   "expand_target_column_types"));

	for (int i = 0; i < jinja_length(from); i++)
	{
		const DpipeColumn *wide = dpipe_column_of(jinja_list_get(from, i));
		const DpipeColumn *narrow = find_column(to, wide->name);
		JinjaValue *values[3];
		JinjaArgs	call = {3, values};

		if (narrow == NULL || !dpipe_column_can_expand_to(env, narrow, wide))
			continue;
		values[0] = jinja_arg(args, 1, "to_relation");
		values[1] = jinja_string(env, wide->name);
		values[2] = jinja_string(env, psprintf("character varying(" INT64_FORMAT ")",
											   dpipe_column_string_size(env, wide)));
		dpipe_host_call_macro(host, "alter_column_type", &call);
	}
	return jinja_none(env);
}

static JinjaValue *
adapter_get_column_schema_from_query(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return dpipe_host_query_columns(arg, dpipe_arg_text(env, args, 0, "sql",
														"get_column_schema_from_query"));
}

/* ---------- SQL ---------- */

static JinjaValue *
empty_table(JinjaEnv *env)
{
	return dpipe_table_value(env, dpipe_table_create(env, 0, NULL, NULL));
}

/* execute(sql, auto_begin=False, fetch=False, limit=None): (response, table) */
static JinjaValue *
adapter_execute(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *sql = dpipe_arg_text(env, args, 0, "sql", "execute");
	JinjaValue *limit = dpipe_arg_given(args, 3, "limit");
	bool		fetch = dpipe_arg_flag(env, args, 2, "fetch", false);
	JinjaValue *pair[2];

	pair[0] = dpipe_host_execute(arg, sql, limit != NULL ? jinja_to_int(env, limit) : 0,
								 fetch ? &pair[1] : NULL);
	if (!fetch)
		pair[1] = empty_table(env);
	return jinja_tuple(env, 2, pair);
}

/* add_query(sql, auto_begin=True, bindings=None, …): (connection, cursor) of a driver that is not there */
static JinjaValue *
adapter_add_query(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *pair[2] = {jinja_none(env)};
	char	   *sql = dpipe_arg_text(env, args, 0, "sql", "add_query");
	JinjaValue *bindings = dpipe_arg_given(args, 2, "bindings");

	if (bindings != NULL && jinja_truth(env, bindings))
		sql = dpipe_bound_sql(env, sql, bindings);
	pair[1] = dpipe_host_execute(arg, sql, 0, NULL);
	return jinja_tuple(env, 2, pair);
}

/* ---------- names ---------- */

static JinjaValue *
adapter_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, "postgres");
}

static JinjaValue *
adapter_quote(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, dpipe_quoted(dpipe_arg_text(env, args, 0, "identifier", "quote")));
}

static JinjaValue *
adapter_quote_as_configured(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "identifier", "quote_as_configured");
	char	   *key = dpipe_arg_text(env, args, 1, "quote_key", "quote_as_configured");

	if ((strcmp(key, "database") == 0 && !host->unquoted_database) ||
		(strcmp(key, "schema") == 0 && !host->unquoted_schema) ||
		(strcmp(key, "identifier") == 0 && !host->unquoted_identifier))
		name = dpipe_quoted(name);
	return jinja_string(env, name);
}

static JinjaValue *
adapter_quote_seed_column(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *name = dpipe_arg_text(env, args, 0, "column", "quote_seed_column");

	return jinja_string(env, dpipe_arg_flag(env, args, 1, "quote_config", true)
						? dpipe_quoted(name) : name);
}

/* The type that a seed's column gets. */
static JinjaValue *
adapter_convert_type(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = dpipe_table_of(dpipe_arg(env, args, 0, "agate_table", "convert_type"));
	int64		col = jinja_to_int(env, dpipe_arg(env, args, 1, "col_idx", "convert_type"));
	const char *type = "text";

	if (table == NULL || col < 0 || col >= table->ncols)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"convert_type() takes a table and the number of one of its columns");
	switch (table->types[col])
	{
		case DPIPE_CELL_INTEGER:
			type = "integer";
			break;
		case DPIPE_CELL_NUMBER:
			type = "float8";
			break;
		case DPIPE_CELL_BOOLEAN:
			type = "boolean";
			break;
		case DPIPE_CELL_DATE:
			type = "date";
			break;
		case DPIPE_CELL_DATETIME:
			type = "timestamp without time zone";
			break;
		case DPIPE_CELL_TEXT:
			break;
	}
	return jinja_string(env, type);
}

/* ---------- incremental models and snapshots ---------- */

/* get_incremental_strategy_macro(context, strategy): the macro itself */
static JinjaValue *
adapter_get_incremental_strategy_macro(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *strategy = dpipe_arg_text_given(env, args, 1, "strategy");
	char	   *name;
	JinjaValue *macro;

	if (strategy == NULL)
		strategy = "default";
	if (strcmp(strategy, "insert_overwrite") == 0)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"The incremental strategy '%s' is not valid for this adapter", strategy);
	name = psprintf("get_incremental_%s_sql", strategy);
	for (char *p = name; *p; p++)
		if (*p == '+')
			*p = '_';
	macro = host->find_macro(host, NULL, name);
	if (macro == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_FUNCTION,
					"dbt could not find an incremental strategy macro with the name \"%s\"", name);
	return macro;
}

static JinjaValue *
adapter_valid_incremental_strategies(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const names[] = {"append", "delete+insert", "merge", "microbatch"};
	JinjaValue *list = jinja_list(env);

	for (int i = 0; i < lengthof(names); i++)
		jinja_list_append(env, list, jinja_string(env, names[i]));
	return list;
}

/* config.get(key), whether a dict or the object "config" is given. */
static JinjaValue *
config_get(JinjaEnv *env, JinjaValue *config, const char *key)
{
	JinjaValue *name = jinja_string(env, key);
	JinjaArgs	call = {1, &name};
	JinjaValue *get;

	if (jinja_kind(config) == JINJA_DICT)
		return jinja_dict_get(env, config, key);
	get = jinja_attribute(env, config, "get");
	return get == NULL ? NULL : jinja_call(env, get, &call);
}

static JinjaValue *
adapter_get_hard_deletes_behavior(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *config = dpipe_arg(env, args, 0, "config", "get_hard_deletes_behavior");
	JinjaValue *invalidate = config_get(env, config, "invalidate_hard_deletes");
	JinjaValue *behavior = config_get(env, config, "hard_deletes");
	char	   *word;

	if (!dpipe_is_nothing(invalidate) && !dpipe_is_nothing(behavior))
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"You cannot set both the invalidate_hard_deletes and hard_deletes config properties on the same snapshot.");
	if (!dpipe_is_nothing(invalidate) && jinja_truth(env, invalidate))
		return jinja_string(env, "invalidate");
	if (dpipe_is_nothing(behavior))
		return jinja_string(env, "ignore");
	word = jinja_to_cstring(env, behavior);
	if (strcmp(word, "ignore") != 0 && strcmp(word, "invalidate") != 0 &&
		strcmp(word, "new_record") != 0)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Invalid setting for property hard_deletes.");
	return behavior;
}

/* valid_snapshot_target(relation, column_names): has it what a snapshot needs? */
static JinjaValue *
adapter_valid_snapshot_target(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	static const char *const needed[] = {"dbt_scd_id", "dbt_valid_from", "dbt_valid_to"};
	JinjaValue *columns = columns_of(arg, relation_arg(env, args, 0, "relation",
													   "valid_snapshot_target"));
	JinjaValue *names = dpipe_arg_given(args, 1, "column_names");
	StringInfoData missing;

	initStringInfo(&missing);
	for (int i = 0; i < lengthof(needed); i++)
	{
		JinjaValue *named = names != NULL ? jinja_dict_get(env, names, needed[i]) : NULL;
		char	   *wanted = named != NULL ? jinja_to_cstring(env, named) : (char *) needed[i];
		bool		found = false;

		for (int c = 0; c < jinja_length(columns) && !found; c++)
			found = pg_strcasecmp(dpipe_column_of(jinja_list_get(columns, c))->name, wanted) == 0;
		if (!found)
			appendStringInfo(&missing, "%s\"%s\"", missing.len > 0 ? ", " : "", wanted);
	}
	if (missing.len > 0)
		jinja_raise(env, ERRCODE_UNDEFINED_COLUMN, "Snapshot target is missing configured columns (missing %s)", missing.data);
	return jinja_none(env);
}

/* ---------- grants and indexes ---------- */

/* standardize_grants_dict(table): grantees by privilege */
static JinjaValue *
adapter_standardize_grants_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeTable *table = dpipe_table_of(dpipe_arg(env, args, 0, "grants_table",
												 "standardize_grants_dict"));
	JinjaValue *dict = jinja_dict(env);
	int			grantee = -1;
	int			privilege = -1;

	for (int c = 0; table != NULL && c < table->ncols; c++)
	{
		if (strcmp(table->names[c], "grantee") == 0)
			grantee = c;
		if (strcmp(table->names[c], "privilege_type") == 0)
			privilege = c;
	}
	if (grantee < 0 || privilege < 0)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"standardize_grants_dict() takes a table with the columns grantee and privilege_type");
	for (int i = 0; i < table->nrows; i++)
	{
		char	   *key = jinja_to_cstring(env, table->rows[i][privilege]);
		JinjaValue *list = jinja_dict_get(env, dict, key);

		if (list == NULL)
		{
			list = jinja_list(env);
			jinja_dict_set(env, dict, key, list);
		}
		jinja_list_append(env, list, table->rows[i][grantee]);
	}
	return dict;
}

/* render(relation) of an index: a name that no other run chooses, as in dbt */
static JinjaValue *
index_render(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *index = arg;
	JinjaValue *columns = jinja_dict_get(env, index, "columns");
	JinjaValue *rel = dpipe_arg(env, args, 0, "relation", "render");
	StringInfoData buf;
	const char *problem = NULL;
	char		hex[33];

	initStringInfo(&buf);
	for (int i = 0; i < jinja_length(columns); i++)
		appendStringInfo(&buf, "%s_", jinja_to_cstring(env, jinja_list_get(columns, i)));
	appendStringInfo(&buf, "%s_%s_%s_%s", jinja_to_cstring(env, rel),
					 jinja_to_cstring(env, jinja_dict_get(env, index, "unique")),
					 jinja_to_cstring(env, jinja_dict_get(env, index, "type")),
					 timestamptz_to_str(GetCurrentTimestamp()));
	if (!pg_md5_hash(buf.data, buf.len, hex, &problem))
		elog(ERROR, "could not compute MD5 hash: %s", problem);
	return jinja_string(env, hex);
}

/* parse_index({columns, unique, type}) */
static JinjaValue *
adapter_parse_index(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *raw = dpipe_arg(env, args, 0, "raw_index", "parse_index");
	JinjaValue *index = jinja_dict(env);
	JinjaValue *columns;
	JinjaValue *v;

	if (dpipe_is_nothing(raw))
		return jinja_none(env);
	columns = jinja_kind(raw) == JINJA_DICT ? jinja_dict_get(env, raw, "columns") : NULL;
	if (columns == NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Could not parse index config: 'columns' is a required property");
	if (jinja_kind(columns) != JINJA_LIST)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Could not parse index config: %s is not of type 'array'",
					jinja_repr(env, columns));
	jinja_dict_set(env, index, "columns", columns);
	v = jinja_dict_get(env, raw, "unique");
	if (v != NULL && jinja_kind(v) != JINJA_BOOL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Could not parse index config: %s is not of type 'boolean'",
					jinja_repr(env, v));
	jinja_dict_set(env, index, "unique", v != NULL ? v : jinja_bool(env, false));
	v = jinja_dict_get(env, raw, "type");
	jinja_dict_set(env, index, "type", v != NULL ? v : jinja_none(env));
	jinja_dict_set(env, index, "render", jinja_function(env, "render", index_render, index));
	return index;
}

/* ---------- what has nothing to do here ---------- */

static JinjaValue *
adapter_empty_text(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, "");
}

/* The one who calls commits; what comes after runs in the same transaction. */
static JinjaValue *
adapter_commit(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_none(env);
}

static JinjaValue *
parse_none(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_none(env);
}

static JinjaValue *
parse_list(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_list(env);
}

static JinjaValue *
parse_false(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_bool(env, false);
}

static JinjaValue *
adapter_get_partitions_metadata(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
				"`get_partitions_metadata` is not implemented for this adapter!");
}

static JinjaValue *
adapter_get_catalog_integration(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_UNDEFINED_OBJECT, "Catalog integration not found: %s",
				dpipe_arg_text(env, args, 0, "name", "adapter.get_catalog_integration"));
}

/* execute(): no response, no rows */
static JinjaValue *
parse_execute(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *pair[2] = {jinja_string(env, ""), empty_table(env)};

	return jinja_tuple(env, 2, pair);
}

static JinjaValue *
parse_pair(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *pair[2] = {jinja_none(env), jinja_none(env)};

	return jinja_tuple(env, 2, pair);
}

/* ---------- behaviour flags ---------- */

/* No flag is set, whatever its name. */
static JinjaValue *
flag_attribute(JinjaEnv *env, void *object, const char *name)
{
	return jinja_bool(env, false);
}

static bool
flag_truth(JinjaEnv *env, void *object)
{
	return false;
}

static const JinjaObjectOps flag_ops = {
	.type_name = "BehaviorFlag",
	.get_attribute = flag_attribute,
	.truth = flag_truth,
};

static JinjaValue *
behavior_attribute(JinjaEnv *env, void *object, const char *name)
{
	return jinja_object(env, &flag_ops, object);
}

static const JinjaObjectOps behavior_ops = {
	.type_name = "Behavior",
	.get_attribute = behavior_attribute,
};

/* ---------- the object ---------- */

/* What is called while "execute" is false; NULL: the same. */
static const struct
{
	const char *name;
	JinjaFunction fn;
	JinjaFunction parse;
}			methods[] = {
	{"add_query", adapter_add_query, parse_pair},
	{"already_exists", adapter_already_exists, parse_false},
	{"assert_valid_snapshot_target_given_strategy", adapter_valid_snapshot_target, parse_none},
	{"build_catalog_relation", parse_none, NULL},
	{"cache_added", adapter_empty_text, NULL},
	{"cache_dropped", adapter_empty_text, NULL},
	{"cache_renamed", adapter_empty_text, NULL},
	{"check_schema_exists", adapter_check_schema_exists, parse_false},
	{"commit", adapter_commit, NULL},
	{"convert_type", adapter_convert_type, NULL},
	{"create_schema", adapter_create_schema, parse_none},
	{"dispatch", dpipe_host_dispatch, NULL},
	{"drop_relation", adapter_drop_relation, parse_none},
	{"drop_schema", adapter_drop_schema, parse_none},
	{"execute", adapter_execute, parse_execute},
	{"expand_target_column_types", adapter_expand_target_column_types, parse_none},
	{"get_catalog_integration", adapter_get_catalog_integration, NULL},
	{"get_column_schema_from_query", adapter_get_column_schema_from_query, parse_list},
	{"get_columns_in_relation", adapter_get_columns_in_relation, parse_list},
	{"get_columns_in_table", adapter_get_columns_in_table, parse_list},
	{"get_hard_deletes_behavior", adapter_get_hard_deletes_behavior, parse_none},
	{"get_incremental_strategy_macro", adapter_get_incremental_strategy_macro, parse_none},
	{"get_missing_columns", adapter_get_missing_columns, parse_list},
	{"get_partitions_metadata", adapter_get_partitions_metadata, NULL},
	{"get_relation", adapter_get_relation, parse_none},
	{"list_relations", adapter_list_relations, parse_list},
	{"list_relations_without_caching", adapter_list_relations_without_caching, parse_list},
	{"list_schemas", adapter_list_schemas, parse_list},
	{"load_relation", adapter_load_relation, parse_none},
	{"parse_index", adapter_parse_index, NULL},
	{"quote", adapter_quote, NULL},
	{"quote_as_configured", adapter_quote_as_configured, NULL},
	{"quote_seed_column", adapter_quote_seed_column, NULL},
	{"rename_relation", adapter_rename_relation, parse_none},
	{"render_raw_columns_constraints", dpipe_host_column_constraints, NULL},
	{"render_raw_model_constraints", dpipe_host_table_constraints, NULL},
	{"standardize_grants_dict", adapter_standardize_grants_dict, NULL},
	{"truncate_relation", adapter_truncate_relation, parse_none},
	{"type", adapter_type, NULL},
	{"valid_incremental_strategies", adapter_valid_incremental_strategies, NULL},
	{"valid_snapshot_target", adapter_valid_snapshot_target, parse_none},
	{"verify_database", adapter_verify_database, NULL},
};

static JinjaValue *
adapter_attribute(JinjaEnv *env, void *object, const char *name)
{
	DpipeHost  *host = object;

	for (int i = 0; i < lengthof(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return jinja_function(env, methods[i].name,
								  !host->execute && methods[i].parse != NULL ? methods[i].parse
								  : methods[i].fn, host);
	if (strcmp(name, "Relation") == 0)
		return dpipe_host_relation_class(host);
	if (strcmp(name, "Column") == 0)
		return dpipe_host_column_class(host);
	if (strcmp(name, "behavior") == 0)
		return jinja_object(env, &behavior_ops, host);
	return NULL;
}

static const JinjaObjectOps adapter_ops = {
	.type_name = "adapter",
	.get_attribute = adapter_attribute,
};

JinjaValue *
dpipe_host_adapter(DpipeHost *host)
{
	return jinja_object(host->env, &adapter_ops, host);
}
