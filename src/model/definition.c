/*
 * definition.c
 *		Definition verbs of models: create or replace, drop.
 *
 * Definitions change one transaction at a time, as two at once could make a
 * cycle that neither sees: they lock the incarnation's row, which nobody else
 * waits for. A run locks the row of the model that it builds, so a definition
 * is replaced between two runs of it.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/spi.h"
#include "catalog/catalog.h"
#include "model/model.h"

PG_FUNCTION_INFO_V1(dpipe_create_model);
PG_FUNCTION_INFO_V1(dpipe_drop_model);

/* ---------- who may ---------- */

void
dpipe_model_check_owner(const DpipeNode *node)
{
	if (!OidIsValid(node->owner))
		ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg(
						"model \"%s\" came with a copy of another database, or its owner was renamed or dropped",
						node->name),
				 errdetail("Its owner was role \"%s\".", node->owner_name),
				 errhint("Run SELECT dpipe_adopt(), or define the model again.")));
	if (!dpipe_may_act_as(node->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model %s", node->name)));
}

/* ---------- create or replace ---------- */

static void
check_name(const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("name of a model must not be empty")));
	if (strlen(name) > DPIPE_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of a model must not be longer than %d bytes", DPIPE_MAX_NAME)));

	/* A name is selected by name, and selections are separated by these. */
	if (strpbrk(name, " \t\r\n,:+@*?[]") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a model must not contain spaces or any of , : + @ * ? [ ]")));
}

char *
dpipe_model_schema(void)
{
	char	   *name = dpipe_creation_schema();

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("no schema has been selected to create in"),
				 errhint("Set search_path to the schema in which the model's relation is to be.")));
	return name;
}

static DpipeStatement select_loader = {"SELECT s.name FROM dpipe.source s"
	" WHERE s.target_schema = $1 AND s.target_table = $2",
	2,
{TEXTOID, TEXTOID}};

static void
check_relation_is_free(const DpipeNode *node)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	Datum		args[2] = {
		CStringGetTextDatum(node->schema),
		CStringGetTextDatum(node->alias),
	};
	char	   *source = NULL;

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&select_loader, args, NULL, false, 1) > 0)
		source = dpipe_spi_text(0, 1, cxt);
	dpipe_spi_end(&spi);
	if (source != NULL)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("relation %s is the target of source \"%s\"",
							   quote_qualified_identifier(node->schema, node->alias), source),
						errhint("Give the model another schema or alias.")));
}

/*
 * Whoever names a relation here keeps others from naming it, so the right to
 * make it is asked for now and not at the first run. A relation that the owner
 * has already needs none.
 */
static void
check_may_create(const DpipeNode *node)
{
	Oid			schema = get_namespace_oid(node->schema, true);
	Oid			relid = InvalidOid;

	if (!OidIsValid(schema))
	{
		/* The run will make it. */
		if (dpipe_database_aclcheck(MyDatabaseId, node->owner, ACL_CREATE) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_DATABASE, get_database_name(MyDatabaseId));
		return;
	}
	relid = get_relname_relid(node->alias, schema);
	if (OidIsValid(relid) && dpipe_class_ownercheck(relid, node->owner))
		return;
	if (dpipe_namespace_aclcheck(schema, node->owner, ACL_CREATE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, node->schema);
}

static DpipeStatement upsert_model = {
	"INSERT INTO dpipe.model AS m (name, owner, owner_oid, schema,"
	"       search_path, sql, given, config, refs, sources, incarnation)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, i.id"
	"   FROM dpipe.incarnation i"
	" ON CONFLICT (name) DO UPDATE SET owner = excluded.owner,"
	"       owner_oid = excluded.owner_oid, schema = excluded.schema,"
	"       search_path = excluded.search_path, sql = excluded.sql,"
	"       given = excluded.given, config = excluded.config,"
	"       refs = excluded.refs, sources = excluded.sources,"
	"       incarnation = excluded.incarnation,"
	"       version = m.version + 1, changed_at = pg_catalog.now()",
	10,
	{TEXTOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, TEXTARRAYOID,
TEXTARRAYOID}};

static void
store_model(const DpipeNode *node)
{
	DpipeSpi	spi;
	Datum		args[10] = {
		CStringGetTextDatum(node->name),
		CStringGetTextDatum(node->owner_name),
		ObjectIdGetDatum(node->owner),
		CStringGetTextDatum(node->base_schema),
		CStringGetTextDatum(node->search_path),
		CStringGetTextDatum(node->sql),
		JsonbPGetDatum(node->given),
		JsonbPGetDatum(node->config),
		dpipe_spi_texts(node->refs),
		dpipe_spi_texts(node->sources),
	};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&upsert_model, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}

/* Errors of a template name it by line and column; say whose it is. */
static void
model_error_context(void *arg)
{
	errcontext("definition of model \"%s\"", (const char *) arg);
}

/*
 * dpipe_create_model(name, sql, config): define or replace. The relation is
 * made by the first run; a model may refer to one that is not defined yet.
 */
Datum
dpipe_create_model(PG_FUNCTION_ARGS)
{
	DpipeNode  *node = palloc0(sizeof(DpipeNode));
	DpipeParsed parsed;
	ErrorContextCallback callback;

	node->type = DPIPE_NODE_MODEL;
	node->name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	node->sql = text_to_cstring(PG_GETARG_TEXT_PP(1));
	node->given = PG_GETARG_JSONB_P(2);
	check_name(node->name);
	if (!JB_ROOT_IS_OBJECT(node->given))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("config of a model must be a JSON object")));

	node->owner = dpipe_definition_lock(DPIPE_MODEL, node->name);
	if (!OidIsValid(node->owner))
		node->owner = GetUserId();
	node->owner_name = GetUserNameFromId(node->owner, false);
	node->unique_id = dpipe_model_id(DPIPE_PACKAGE, node->name);
	node->base_schema = dpipe_model_schema();
	node->search_path = dpipe_path_to_keep();

	callback.callback = model_error_context;
	callback.arg = node->name;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	dpipe_node_parse(node, NULL, &parsed);
	dpipe_node_configure(node, parsed.config);
	node->refs = parsed.refs;
	node->sources = parsed.sources;
	dpipe_check_beside(node, dpipe_graph_load(NULL, node));
	check_relation_is_free(node);
	check_may_create(node);
	error_context_stack = callback.previous;

	store_model(node);
	PG_RETURN_VOID();
}

/* ---------- drop ---------- */

static DpipeStatement delete_model = {"DELETE FROM dpipe.model WHERE name = $1", 1, {TEXTOID}};

/* The relation stays: what was built is data, and data is the user's. */
Datum
dpipe_drop_model(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(name)};

	if (!OidIsValid(dpipe_definition_lock(DPIPE_MODEL, name)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name)));
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&delete_model, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	dpipe_consumer_forget(dpipe_model_id(DPIPE_PACKAGE, name));
	PG_RETURN_VOID();
}
