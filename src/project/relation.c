/*
 * relation.c
 *		Relations as values that templates see, and api.Relation.
 */
#include "base/compat.h"

#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/host.h"
#include "project/project.h"
#include "project/relation.h"

static const char *const part_names[DPIPE_PARTS] = {"database", "schema", "identifier"};

static const JinjaObjectOps relation_ops;

/* ---------- printing ---------- */

static void
append_part(StringInfo buf, const char *part, bool quoted, bool as_given)
{
	if (buf->len > 0)
		appendStringInfoChar(buf, '.');
	if (!quoted)
	{
		appendStringInfoString(buf, part);
		return;
	}
	appendStringInfoChar(buf, '"');
	for (; *part; part++)
	{
		if (*part == '"' && !as_given)
			appendStringInfoChar(buf, '"');
		appendStringInfoChar(buf, *part);
	}
	appendStringInfoChar(buf, '"');
}

char *
dpipe_relation_render(const DpipeRelation *rel)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < DPIPE_PARTS; i++)
		if (rel->path[i] != NULL && !rel->hidden[i])
			append_part(&buf, rel->path[i], !rel->unquoted[i], rel->as_given);
	if (rel->view != NULL)
		append_part(&buf, rel->view, false, false);
	return buf.data;
}

char *
dpipe_relation_name(const char *schema, const char *name)
{
	DpipeRelation rel = {{get_database_name(MyDatabaseId), schema, name}};

	return dpipe_relation_render(&rel);
}

static const char *
subquery_alias(const DpipeRelation *rel, const char *kind)
{
	if (rel->no_alias)
		return "";
	return psprintf(" _dbt_%s_subq_%s", kind,
					rel->path[DPIPE_IDENTIFIER] ? rel->path[DPIPE_IDENTIFIER] : "None");
}

static char *
render_limited(const DpipeRelation *rel)
{
	char	   *name = dpipe_relation_render(rel);

	if (!rel->limited)
		return name;
	if (rel->limit == 0)
		return psprintf("(select * from %s where false limit 0)%s", name,
						subquery_alias(rel, "limit"));
	return psprintf("(select * from %s limit " INT64_FORMAT ")%s", name, rel->limit,
					subquery_alias(rel, "limit"));
}

static char *
relation_to_string(JinjaEnv *env, void *object)
{
	DpipeRelation *rel = object;
	char	   *text;

	if (rel->type != NULL && strcmp(rel->type, "function") == 0)
		return dpipe_relation_render(rel);
	text = render_limited(rel);
	if (rel->filter != NULL)
		text = psprintf("(select * from %s where %s)%s", text, rel->filter,
						subquery_alias(rel, "et_filter"));
	return text;
}

static char *
relation_repr(JinjaEnv *env, void *object)
{
	DpipeRelation *rel = object;

	return psprintf("<%s %s>", rel->view != NULL ? "InformationSchema" : "PostgresRelation",
					dpipe_relation_render(rel));
}

/* ---------- making ---------- */

/* Names longer than the server's are refused where the type is known, as dbt does. */
JinjaValue *
dpipe_relation_make(JinjaEnv *env, const DpipeRelation *rel)
{
	DpipeRelation *copy = MemoryContextAlloc(jinja_env_context(env), sizeof(DpipeRelation));
	const char *name = rel->path[DPIPE_IDENTIFIER];

	if (name != NULL && rel->type != NULL && pg_mbstrlen(name) > NAMEDATALEN - 1)
		jinja_raise(env, ERRCODE_NAME_TOO_LONG, "Relation name '%s' is longer than %d characters",
					name, NAMEDATALEN - 1);
	*copy = *rel;
	return jinja_object(env, &relation_ops, copy);
}

JinjaValue *
dpipe_relation_value(JinjaEnv *env, const char *schema, const char *name)
{
	MemoryContext cxt = jinja_env_context(env);
	DpipeRelation rel = {{MemoryContextStrdup(cxt, get_database_name(MyDatabaseId)),
	MemoryContextStrdup(cxt, schema), MemoryContextStrdup(cxt, name)}};

	return dpipe_relation_make(env, &rel);
}

const DpipeRelation *
dpipe_relation_of(const JinjaValue *value)
{
	return jinja_object_get(value, &relation_ops);
}

/* A string that lives as long as the environment; NULL for nothing. */
static const char *
kept_text(JinjaEnv *env, JinjaValue *v)
{
	if (dpipe_is_nothing(v))
		return NULL;
	return MemoryContextStrdup(jinja_env_context(env), jinja_to_cstring(env, v));
}

/* ---------- changing ---------- */

/* The members of a dict such as path or quote_policy that are given. */
static void
merge_path(JinjaEnv *env, DpipeRelation *rel, const JinjaValue *dict)
{
	if (dpipe_is_nothing(dict) || jinja_kind(dict) != JINJA_DICT)
		return;
	for (int i = 0; i < DPIPE_PARTS; i++)
	{
		JinjaValue *v = jinja_dict_get(env, dict, part_names[i]);

		if (v != NULL)
			rel->path[i] = kept_text(env, v);
	}
}

static void
merge_policy(JinjaEnv *env, bool *negated, const JinjaValue *dict)
{
	if (dpipe_is_nothing(dict) || jinja_kind(dict) != JINJA_DICT)
		return;
	for (int i = 0; i < DPIPE_PARTS; i++)
	{
		JinjaValue *v = jinja_dict_get(env, dict, part_names[i]);

		if (!dpipe_is_nothing(v))
			negated[i] = !jinja_truth(env, v);
	}
}

/* What create() and incorporate() have in common. */
static void
merge_members(JinjaEnv *env, DpipeRelation *rel, const JinjaArgs *args)
{
	JinjaValue *v;

	merge_policy(env, rel->unquoted, jinja_arg(args, -1, "quote_policy"));
	merge_policy(env, rel->hidden, jinja_arg(args, -1, "include_policy"));
	v = jinja_arg(args, -1, "limit");
	if (v != NULL)
	{
		rel->limited = !dpipe_is_nothing(v);
		rel->limit = rel->limited ? jinja_to_int(env, v) : 0;
	}
	v = jinja_arg(args, -1, "require_alias");
	if (v != NULL)
		rel->no_alias = !jinja_truth(env, v);
}

/* quote(database, schema, identifier), include(…): none leaves a part alone */
static void
set_flags(JinjaEnv *env, bool *negated, const JinjaArgs *args)
{
	for (int i = 0; i < DPIPE_PARTS; i++)
	{
		JinjaValue *v = dpipe_arg_given(args, i, part_names[i]);

		if (v != NULL)
			negated[i] = !jinja_truth(env, v);
	}
}

static JinjaValue *
relation_quote(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;

	set_flags(env, rel.unquoted, args);
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
relation_include(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;

	set_flags(env, rel.hidden, args);
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
relation_incorporate(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;
	JinjaValue *type = jinja_arg(args, -1, "type");

	merge_path(env, &rel, jinja_arg(args, -1, "path"));
	if (type != NULL)
		rel.type = kept_text(env, type);
	merge_members(env, &rel, args);
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
relation_replace_path(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;

	for (int i = 0; i < DPIPE_PARTS; i++)
	{
		JinjaValue *v = jinja_arg(args, -1, part_names[i]);

		if (v != NULL)
			rel.path[i] = kept_text(env, v);
	}
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
relation_without_identifier(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;

	rel.hidden[DPIPE_IDENTIFIER] = true;
	rel.path[DPIPE_IDENTIFIER] = NULL;
	return dpipe_relation_make(env, &rel);
}

static JinjaValue *
relation_information_schema(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;
	JinjaValue *view = jinja_arg(args, 0, "view_name");

	rel.view = view != NULL && jinja_kind(view) == JINJA_STRING ? kept_text(env, view) : NULL;
	rel.path[DPIPE_SCHEMA] = NULL;
	rel.path[DPIPE_IDENTIFIER] = "INFORMATION_SCHEMA";
	rel.type = NULL;
	rel.unquoted[DPIPE_IDENTIFIER] = true;
	rel.hidden[DPIPE_DATABASE] = rel.path[DPIPE_DATABASE] == NULL;
	rel.hidden[DPIPE_SCHEMA] = true;
	rel.hidden[DPIPE_IDENTIFIER] = false;
	return dpipe_relation_make(env, &rel);
}

/* replace(information_schema_view=…, type=…) */
static JinjaValue *
relation_replace(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *view = jinja_arg(args, -1, "information_schema_view");
	DpipeRelation rel;

	if (view == NULL)
		return relation_incorporate(env, arg, args);
	rel = *(DpipeRelation *) arg;
	rel.view = kept_text(env, view);
	return dpipe_relation_make(env, &rel);
}

/* ---------- asking ---------- */

static JinjaValue *
fn_render(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, dpipe_relation_render(arg));
}

static JinjaValue *
fn_render_limited(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, render_limited(arg));
}

static JinjaValue *
relation_quoted(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, psprintf("\"%s\"",
									  dpipe_arg_text(env, args, 0, "identifier", "quoted")));
}

static JinjaValue *
relation_max_name_length(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_int(env, NAMEDATALEN - 1);
}

/* matches(database, schema, identifier): what is not given matches */
static JinjaValue *
relation_matches(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation *rel = arg;
	bool		any = false;
	bool		all = true;

	for (int i = 0; i < DPIPE_PARTS; i++)
	{
		char	   *wanted = dpipe_arg_text_given(env, args, i, part_names[i]);

		if (wanted == NULL)
			continue;
		any = true;
		all = all && rel->path[i] != NULL && strcmp(rel->path[i], wanted) == 0;
	}
	if (!any)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Tried to match relation, but no search path was passed!");
	return jinja_bool(env, all);
}

static JinjaValue *
text_or_none(JinjaEnv *env, const char *s)
{
	return s != NULL ? jinja_string(env, s) : jinja_none(env);
}

static JinjaValue *
path_dict(JinjaEnv *env, const DpipeRelation *rel)
{
	JinjaValue *dict = jinja_dict(env);

	for (int i = 0; i < DPIPE_PARTS; i++)
		jinja_dict_set(env, dict, part_names[i], text_or_none(env, rel->path[i]));
	return dict;
}

static JinjaValue *
policy_dict(JinjaEnv *env, const bool *negated)
{
	JinjaValue *dict = jinja_dict(env);

	for (int i = 0; i < DPIPE_PARTS; i++)
		jinja_dict_set(env, dict, part_names[i], jinja_bool(env, !negated[i]));
	return dict;
}

static JinjaValue *relation_attribute(JinjaEnv *env, void *object, const char *name);

/* get(key, default); "metadata" tells packages that this is a relation */
static JinjaValue *
relation_get(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *key = dpipe_arg_text(env, args, 0, "key", "get");
	JinjaValue *deflt = jinja_arg(args, 1, "default");
	JinjaValue *v;

	if (strcmp(key, "metadata") == 0)
	{
		v = jinja_dict(env);
		jinja_dict_set(env, v, "type", jinja_string(env, "PostgresRelation"));
		return v;
	}
	v = relation_attribute(env, arg, key);
	return v != NULL ? v : deflt != NULL ? deflt : jinja_none(env);
}

static JinjaValue *
relation_to_dict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation *rel = arg;
	JinjaValue *dict = jinja_dict(env);

	jinja_dict_set(env, dict, "path", path_dict(env, rel));
	jinja_dict_set(env, dict, "type", text_or_none(env, rel->type));
	jinja_dict_set(env, dict, "quote_character", jinja_string(env, "\""));
	jinja_dict_set(env, dict, "include_policy", policy_dict(env, rel->hidden));
	jinja_dict_set(env, dict, "quote_policy", policy_dict(env, rel->unquoted));
	return dict;
}

static JinjaValue *
fn_add_ephemeral_prefix(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, psprintf("__dbt__cte__%s",
									  dpipe_arg_text(env, args, 0, "name",
													 "add_ephemeral_prefix")));
}

/* The names of types: Relation.View and the like. */
static JinjaValue *
type_constant(JinjaEnv *env, const char *name)
{
	static const char *const constants[][2] = {
		{"Table", "table"}, {"View", "view"}, {"CTE", "cte"}, {"External", "external"},
		{"MaterializedView", "materialized_view"}, {"PointerTable", "pointer_table"},
		{"Function", "function"},
	};

	for (int i = 0; i < lengthof(constants); i++)
		if (strcmp(name, constants[i][0]) == 0)
			return jinja_string(env, constants[i][1]);
	return NULL;
}

/* is_table and its kin; NULL: no such name */
static JinjaValue *
type_question(JinjaEnv *env, const DpipeRelation *rel, const char *name)
{
	static const char *const questions[][2] = {
		{"is_table", "table"}, {"is_view", "view"}, {"is_cte", "cte"},
		{"is_materialized_view", "materialized_view"}, {"is_pointer", "pointer_table"},
		{"is_function", "function"},
	};

	for (int i = 0; i < lengthof(questions); i++)
		if (strcmp(name, questions[i][0]) == 0)
			return jinja_bool(env, rel->type != NULL && strcmp(rel->type, questions[i][1]) == 0);
	if (strcmp(name, "can_be_renamed") == 0 || strcmp(name, "can_be_replaced") == 0)
		return jinja_bool(env, rel->type != NULL && (strcmp(rel->type, "table") == 0 ||
													 strcmp(rel->type, "view") == 0));
	return NULL;
}

static const DpipeMember relation_members[] = {
	{"add_ephemeral_prefix", fn_add_ephemeral_prefix},
	{"get", relation_get},
	{"include", relation_include},
	{"incorporate", relation_incorporate},
	{"information_schema", relation_information_schema},
	{"information_schema_only", relation_information_schema},
	{"matches", relation_matches},
	{"quote", relation_quote},
	{"quoted", relation_quoted},
	{"relation_max_name_length", relation_max_name_length},
	{"render", fn_render},
	{"render_limited", fn_render_limited},
	{"replace", relation_replace},
	{"replace_path", relation_replace_path},
	{"to_dict", relation_to_dict},
	{"without_identifier", relation_without_identifier},
	{NULL}
};

static JinjaValue *
relation_attribute(JinjaEnv *env, void *object, const char *name)
{
	DpipeRelation *rel = object;
	JinjaValue *v;

	for (int i = 0; i < DPIPE_PARTS; i++)
		if (strcmp(name, part_names[i]) == 0)
			return text_or_none(env, rel->path[i]);
	if (strcmp(name, "name") == 0 || strcmp(name, "table") == 0)
		return text_or_none(env, rel->path[DPIPE_IDENTIFIER]);
	if (strcmp(name, "type") == 0)
		return text_or_none(env, rel->type);
	if (strcmp(name, "limit") == 0)
		return rel->limited ? jinja_int(env, rel->limit) : jinja_none(env);
	if (strcmp(name, "path") == 0)
		return path_dict(env, rel);
	if (strcmp(name, "include_policy") == 0)
		return policy_dict(env, rel->hidden);
	if (strcmp(name, "quote_policy") == 0)
		return policy_dict(env, rel->unquoted);
	if (strcmp(name, "quote_character") == 0)
		return jinja_string(env, "\"");
	if (strcmp(name, "information_schema_view") == 0)
		return text_or_none(env, rel->view);
	v = type_question(env, rel, name);
	if (v == NULL)
		v = dpipe_member(env, relation_members, name, rel);
	return v != NULL ? v : type_constant(env, name);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
relation_equal(const DpipeRelation *a, const DpipeRelation *b)
{
	for (int i = 0; i < DPIPE_PARTS; i++)
		if (!same_text(a->path[i], b->path[i]) || a->unquoted[i] != b->unquoted[i] ||
			a->hidden[i] != b->hidden[i])
			return false;
	return same_text(a->type, b->type) && a->limited == b->limited && a->limit == b->limit &&
		a->no_alias == b->no_alias && same_text(a->filter, b->filter) &&
		same_text(a->view, b->view);
}

static JinjaValue *
relation_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other, bool reflected)
{
	const DpipeRelation *rel = dpipe_relation_of(other);

	if (op != JINJA_OP_EQ)
		return NULL;
	return jinja_bool(env, rel != NULL && relation_equal(object, rel));
}

static uint32
relation_hash(JinjaEnv *env, void *object)
{
	char	   *name = dpipe_relation_render(object);

	return DatumGetUInt32(hash_any((unsigned char *) name, strlen(name)));
}

static JinjaValue *
relation_to_json(JinjaEnv *env, void *object)
{
	return jinja_string(env, relation_to_string(env, object));
}

static const JinjaObjectOps relation_ops = {
	.type_name = "PostgresRelation",
	.get_attribute = relation_attribute,
	.to_string = relation_to_string,
	.repr = relation_repr,
	.binary = relation_binary,
	.hash = relation_hash,
	.to_json = relation_to_json,
	.is_mapping = true,
};

/* ---------- api.Relation ---------- */

/* create(database, schema, identifier, type, …): as the project quotes */
static JinjaValue *
class_create(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	DpipeRelation rel = {{NULL}};

	rel.unquoted[DPIPE_DATABASE] = host->unquoted_database;
	rel.unquoted[DPIPE_SCHEMA] = host->unquoted_schema;
	rel.unquoted[DPIPE_IDENTIFIER] = host->unquoted_identifier;
	for (int i = 0; i < DPIPE_PARTS; i++)
		rel.path[i] = kept_text(env, jinja_arg(args, i, part_names[i]));
	rel.type = kept_text(env, jinja_arg(args, DPIPE_PARTS, "type"));
	merge_members(env, &rel, args);
	return dpipe_relation_make(env, &rel);
}

/* scd_args(primary_key, updated_at): what a snapshot's key is made of */
static JinjaValue *
class_scd_args(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *key = dpipe_arg(env, args, 0, "primary_key", "scd_args");
	JinjaValue *updated_at = dpipe_arg(env, args, 1, "updated_at", "scd_args");
	JinjaValue *list;

	if (jinja_kind(key) == JINJA_LIST)
		list = jinja_to_list(env, key);
	else
	{
		list = jinja_list(env);
		jinja_list_append(env, list, key);
	}
	jinja_list_append(env, list, updated_at);
	return list;
}

static const DpipeMember class_members[] = {
	{"add_ephemeral_prefix", fn_add_ephemeral_prefix},
	{"create", class_create},
	{"scd_args", class_scd_args},
	{NULL}
};

static JinjaValue *
class_attribute(JinjaEnv *env, void *object, const char *name)
{
	JinjaValue *v = dpipe_member(env, class_members, name, object);

	return v != NULL ? v : type_constant(env, name);
}

static const JinjaObjectOps class_ops = {
	.type_name = "RelationProxy",
	.get_attribute = class_attribute,
};

JinjaValue *
dpipe_host_relation_class(DpipeHost *host)
{
	return jinja_object(host->env, &class_ops, host);
}
