/*
 * config.c
 *		Configuration of a node: the argument "config" overlaid by config()
 *		in the text, by dbt's rules: lists of tags are joined, meta is
 *		updated, all else is replaced.
 *
 * Keys that dbt does not know are kept for config.get(). Keys that dbt acts
 * upon and dpipe does not are refused: a hook that silently does not run is
 * worse than an error.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "base/json.h"
#include "project/project.h"

static const char *const unsupported_keys[] = {
	"batch_size", "begin",
	"contract", "event_time",
	"grants", "indexes",
	"lookback", "persist_docs",
	"post-hook", "post_hook",
	"pre-hook", "pre_hook",
	"sql_header", "snapshot_meta_column_names",
};

/* ---------- overlay ---------- */

static Jsonb *
object_of(const char *key, JsonbValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue	k;

	k.type = jbvString;
	k.val.string.val = (char *) key;
	k.val.string.len = strlen(key);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &k);
	pushJsonbValue(&state, WJB_VALUE, value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static Jsonb *
concat(const Jsonb *a, const Jsonb *b)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

static void
jsonb_value_of(const Jsonb *jb, JsonbValue *v)
{
	v->type = jbvBinary;
	v->val.binary.data = (JsonbContainer *) &jb->root;
	v->val.binary.len = VARSIZE(jb) - VARHDRSZ;
}

/* A string, or the strings of a list. Raises on anything else. */
static List *
strings_of(const Jsonb *config, const char *key)
{
	JsonbValue *v = dpipe_json_field(config, key);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	e;
	List	   *list = NIL;

	if (v == NULL || v->type == jbvNull)
		return NIL;
	if (v->type == jbvString)
		return list_make1(pnstrdup(v->val.string.val, v->val.string.len));
	if (v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data))
	{
		it = JsonbIteratorInit(v->val.binary.data);
		while ((token = JsonbIteratorNext(&it, &e, true)) != WJB_DONE)
		{
			if (token != WJB_ELEM)
				continue;
			if (e.type != jbvString)
				break;
			list = lappend(list, pnstrdup(e.val.string.val, e.val.string.len));
		}
		if (token == WJB_DONE)
			return list;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("config \"%s\" must be a string or a list of strings", key)));
}

static Jsonb *
joined_tags(List *a, List *b)
{
	JsonbParseState *state = NULL;
	List	   *seen = NIL;
	ListCell   *lc;
	JsonbValue	v;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, list_concat(list_copy(a), b))
	{
		char	   *tag = lfirst(lc);
		ListCell   *old;
		bool		known = false;

		foreach(old, seen)
			known |= strcmp(lfirst(old), tag) == 0;
		if (known)
			continue;
		seen = lappend(seen, tag);
		v.type = jbvString;
		v.val.string.val = tag;
		v.val.string.len = strlen(tag);
		pushJsonbValue(&state, WJB_ELEM, &v);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static Jsonb *
overlay(const Jsonb *given, const Jsonb *captured)
{
	Jsonb	   *result = concat(given, captured);
	Jsonb	   *old_meta = dpipe_json_document(given, "meta");
	Jsonb	   *new_meta = dpipe_json_document(captured, "meta");
	JsonbValue	v;

	if (dpipe_json_field(result, "tags") != NULL)
	{
		jsonb_value_of(joined_tags(strings_of(given, "tags"), strings_of(captured, "tags")), &v);
		result = concat(result, object_of("tags", &v));
	}
	if (old_meta != NULL && new_meta != NULL && JB_ROOT_IS_OBJECT(old_meta) &&
		JB_ROOT_IS_OBJECT(new_meta))
	{
		jsonb_value_of(concat(old_meta, new_meta), &v);
		result = concat(result, object_of("meta", &v));
	}
	return result;
}

/* ---------- checks ---------- */

static void
check_materialized(const DpipeNode *node)
{
	static const char *const known[] = {"view", "table", "incremental"};

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(node->materialized, known[i]) == 0)
			return;
	if (strcmp(node->materialized, "ephemeral") == 0 ||
		strcmp(node->materialized, "materialized_view") == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("materialization \"%s\" is not supported yet", node->materialized),
						errhint("Use view, table or incremental.")));
	ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg(
					"No materialization '%s' was found for adapter postgres! (searched types 'default' and 'postgres')",
					node->materialized),
			 errhint("Use view, table or incremental.")));
}

static void
check_unsupported(const DpipeNode *node)
{
	for (int i = 0; i < lengthof(unsupported_keys); i++)
	{
		JsonbValue *v = dpipe_json_field(node->config, unsupported_keys[i]);

		if (v == NULL || v->type == jbvNull || (v->type == jbvBool && !v->val.boolean) ||
			(v->type == jbvBinary && JsonContainerSize(v->val.binary.data) == 0))
			continue;
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("config \"%s\" is not supported yet", unsupported_keys[i])));
	}
}

static void
check_strategy(const DpipeNode *node)
{
	static const char *const known[] = {"append", "delete+insert", "merge"};
	char	   *strategy = dpipe_json_string(node->config, "config", "incremental_strategy", NULL);

	if (strategy == NULL || strcmp(strategy, "default") == 0)
		return;
	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(strategy, known[i]) == 0)
			return;
	if (strcmp(strategy, "microbatch") == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("incremental strategy \"microbatch\" is not supported yet")));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("The incremental strategy '%s' is not valid for this adapter", strategy),
					errhint("Use append, delete+insert or merge.")));
}

static void
check_relation_name(const char *what, const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("%s must not be empty", what)));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("Relation name '%s' is longer than %d characters", name, NAMEDATALEN - 1)));
}

/*
 * dbt's generate_schema_name: the schema of the target, followed by a custom
 * one where there is one.
 */
static char *
generate_schema_name(const DpipeNode *node)
{
	char	   *custom = dpipe_json_string(node->config, "config", "schema", NULL);
	char	   *start;
	char	   *end;

	if (custom == NULL)
		return node->base_schema;
	for (start = custom; isspace((unsigned char) *start); start++)
		;
	for (end = start + strlen(start); end > start && isspace((unsigned char) end[-1]); end--)
		;
	*end = '\0';
	return psprintf("%s_%s", node->base_schema, start);
}

void
dpipe_node_configure(DpipeNode *node, const Jsonb *captured)
{
	node->config = captured != NULL ? overlay(node->given, captured) : node->given;
	node->materialized = dpipe_json_string(node->config, "config", "materialized", "view");
	node->enabled = dpipe_json_bool(node->config, "config", "enabled", true);
	node->tags = strings_of(node->config, "tags");
	node->alias = dpipe_json_string(node->config, "config", "alias", node->name);
	node->schema = generate_schema_name(node);

	check_materialized(node);
	check_unsupported(node);
	check_strategy(node);
	check_relation_name("alias", node->alias);
	check_relation_name("schema", node->schema);
	(void) strings_of(node->config, "unique_key");
	(void) strings_of(node->config, "incremental_predicates");
	(void) strings_of(node->config, "predicates");
	(void) dpipe_json_bool(node->config, "config", "full_refresh", false);
	if (strings_of(node->config, "merge_update_columns") != NIL &&
		strings_of(node->config, "merge_exclude_columns") != NIL)
		ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(
						"Model cannot specify merge_update_columns and merge_exclude_columns. Please update model to use only one config")));
}

List *
dpipe_config_list(const DpipeNode *node, const char *key)
{
	return strings_of(node->config, key);
}
