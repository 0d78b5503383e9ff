/*
 * modeldoc.c
 *		Models and unit tests as a manifest shows them: primary keys and
 *		checksums that dbt takes from what it knows of them.
 */
#include "base/compat.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/manifest.h"

/* ---------- primary keys ---------- */

static const PdDoc *
primary_constraint(const PdDoc *constraints)
{
	for (int i = 0; pd_is(constraints, PD_LIST) && i < constraints->n; i++)
		if (pd_equals(pd_get(constraints->u.items[i], "type"), "primary_key"))
			return constraints->u.items[i];
	return NULL;
}

/* Generic tests by the node that they are for. */
static List *
tests_of(PjManifest *m, const PjNode *node)
{
	ListCell   *lc;

	if (m->tests == NULL)
	{
		m->tests = pj_table("dpipe tests");
		foreach(lc, m->load->nodes)
		{
			PjNode	   *test = lfirst(lc);
			const char *of = pd_get_text(test->more, "attached_node");

			if (of != NULL)
				pj_table_put(m->tests, of, lappend(pj_table_get(m->tests, of), test));
		}
	}
	return pj_table_get(m->tests, node->unique_id);
}

/* The columns that a test names. */
static List *
columns_of(const PjNode *test)
{
	PdDoc	   *kwargs = pd_get(test->test_metadata, "kwargs");
	PdDoc	   *many = pd_get(kwargs, "combination_of_columns");
	List	   *columns = NIL;

	if (pd_get_text(kwargs, "column_name") != NULL)
		return list_make1((void *) pd_get_text(kwargs, "column_name"));
	for (int i = 0; pd_is(many, PD_LIST) && i < many->n; i++)
		if (pd_text(many->u.items[i]) != NULL)
			columns = lappend(columns, (void *) pd_text(many->u.items[i]));
	return columns;
}

static List *
add_new(List *list, List *texts)
{
	ListCell   *lc;
	ListCell   *old;

	foreach(lc, texts)
	{
		bool		known = false;

		foreach(old, list)
			known |= strcmp(lfirst(old), lfirst(lc)) == 0;
		if (!known)
			list = lappend(list, lfirst(lc));
	}
	return list;
}

static List *
common(const List *a, const List *b)
{
	List	   *both = NIL;
	ListCell   *x;
	ListCell   *y;

	foreach(x, a)
		foreach(y, b)
			if (strcmp(lfirst(x), lfirst(y)) == 0)
				both = add_new(both, list_make1(lfirst(x)));
	return both;
}

/*
 * What constraints say; else columns that tests call unique and not null,
 * else unique, a test that is disabled being the last to be asked.
 */
static PdDoc *
primary_key(PjManifest *m, const PjNode *node, const PdDoc *doc)
{
	const PdDoc *constraint = primary_constraint(pd_get(doc, "constraints"));
	PdDoc	   *columns = pd_get(doc, "columns");
	List	   *unique = NIL;
	List	   *disabled = NIL;
	List	   *not_null = NIL;
	List	   *both;
	ListCell   *lc;

	if (constraint != NULL)
		return pd_get(constraint, "columns");
	for (int i = 0; i < columns->n; i++)
		if (primary_constraint(pd_get(columns->u.entries[i].value, "constraints")) != NULL)
			return pd_strings(list_make1((void *) pd_text(columns->u.entries[i].key)));
	foreach(lc, tests_of(m, node))
	{
		PjNode	   *test = lfirst(lc);
		const char *name = pd_get_text(test->test_metadata, "name");

		if (strcmp(name, "not_null") == 0)
			not_null = add_new(not_null, columns_of(test));
		else if (strcmp(name, "unique") != 0 && strcmp(name, "unique_combination_of_columns") != 0)
			continue;
		else if (test->enabled)
			unique = add_new(unique, columns_of(test));
		else
			disabled = add_new(disabled, columns_of(test));
	}
	both = common(not_null, add_new(list_copy(unique), disabled));
	if (both != NIL)
		return pd_strings(both);
	return pd_strings(unique != NIL ? unique : disabled);
}

/* ---------- checksums ---------- */

static char *
sha256_hex(const char *s)
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc(PG_SHA256_DIGEST_STRING_LENGTH);

	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) s, strlen(s)) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-256 hash");
	pg_cryptohash_free(ctx);
	hex_encode((const char *) digest, sizeof(digest), hex);
	hex[sizeof(digest) * 2] = '\0';
	return hex;
}

/* Python's repr() of a value. */
static char *
repr(JinjaEnv *env, const PdDoc *doc)
{
	return jinja_repr(env, pj_doc_value(env, doc));
}

/* Constraints as Python prints dbt's objects. */
static void
append_constraints(StringInfo buf, JinjaEnv *env, const PdDoc *list, const char *class)
{
	appendStringInfoChar(buf, '[');
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
	{
		const PdDoc *c = list->u.items[i];
		const char *type = pd_get_text(c, "type");

		appendStringInfo(buf, "%s%s(type=<ConstraintType.%s: '%s'>", i > 0 ? ", " : "", class, type,
						 type);
		for (int k = 0; k < c->n; k++)
			if (!pd_equals(c->u.entries[k].key, "type"))
				appendStringInfo(buf, ", %s=%s", pd_text(c->u.entries[k].key),
								 repr(env, c->u.entries[k].value));
		appendStringInfoChar(buf, ')');
	}
	appendStringInfoChar(buf, ']');
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(pd_text(((const PdEntry *) a)->key), pd_text(((const PdEntry *) b)->key));
}

static char *
contract_checksum(const PdDoc *doc)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	PdDoc	   *columns = pd_copy_top(pd_get(doc, "columns"));
	const char *materialized = pd_get_text(pd_get(doc, "config"), "materialized");
	StringInfoData buf;

	initStringInfo(&buf);
	qsort(columns->u.entries, columns->n, sizeof(PdEntry), compare_keys);
	for (int i = 0; i < columns->n; i++)
	{
		const PdDoc *column = columns->u.entries[i].value;
		const char *type = pd_get_text(column, "data_type");

		appendStringInfo(&buf, "|%s%s", pd_get_text(column, "name"), type != NULL ? type : "None");
		append_constraints(&buf, env, pd_get(column, "constraints"), "ColumnLevelConstraint");
	}
	if (materialized != NULL &&
		(strcmp(materialized, "table") == 0 || strcmp(materialized, "incremental") == 0))
	{
		appendStringInfoString(&buf, materialized);
		append_constraints(&buf, env, pd_get(doc, "constraints"), "ModelLevelConstraint");
	}
	jinja_env_destroy(env);
	return sha256_hex(buf.data);
}

/* The time of a date, in UTC if it names no zone. */
static char *
iso_time(const char *date)
{
	char	   *text = pstrdup(date);
	int			len = strlen(text);

	if (len == 10)
		return psprintf("%sT00:00:00+00:00", text);
	if (len > 10 && text[10] == ' ')
		text[10] = 'T';
	if (len > 10 && strpbrk(text + 11, "+-Z") == NULL)
		return psprintf("%s+00:00", text);
	return text;
}

/* ---------- unit tests ---------- */

static const char *
field_repr(JinjaEnv *env, const PdDoc *doc, const char *name)
{
	PdDoc	   *value = pd_get(doc, name);

	return repr(env, value != NULL ? value : pd_null());
}

/* As Python prints dbt's object of rows. */
static void
append_fixture(StringInfo buf, JinjaEnv *env, const PdDoc *doc, bool input)
{
	const char *format = pd_get_text(doc, "format");
	const char *name = format == NULL || strcmp(format, "dict") == 0 ? "Dict"
		: strcmp(format, "csv") == 0 ? "CSV" : "SQL";

	appendStringInfo(buf, "UnitTest%sFixture(", input ? "Input" : "Output");
	if (input)
		appendStringInfo(buf, "input=%s, ", field_repr(env, doc, "input"));
	appendStringInfo(buf, "rows=%s, format=<UnitTestFormat.%s: '%s'>, fixture=%s)",
					 field_repr(env, doc, "rows"), name, format != NULL ? format : "dict",
					 field_repr(env, doc, "fixture"));
}

static char *
unit_test_checksum(const PdDoc *doc)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	PdDoc	   *versions = pd_get(doc, "versions");
	PdDoc	   *given = pd_get(doc, "given");
	PdDoc	   *overrides = pd_get(doc, "overrides");
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s-", pd_get_text(doc, "model"));
	if (pd_is_null(versions))
		appendStringInfoString(&buf, "None");
	else
		appendStringInfo(&buf, "UnitTestNodeVersions(include=%s, exclude=%s)",
						 field_repr(env, versions, "include"), field_repr(env, versions, "exclude"));
	appendStringInfoString(&buf, "-[");
	for (int i = 0; pd_is(given, PD_LIST) && i < given->n; i++)
	{
		appendStringInfoString(&buf, i > 0 ? ", " : "");
		append_fixture(&buf, env, given->u.items[i], true);
	}
	appendStringInfoString(&buf, "]-");
	append_fixture(&buf, env, pd_get(doc, "expect"), false);
	if (pd_is_null(overrides))
		appendStringInfoString(&buf, "-None");
	else
		appendStringInfo(&buf, "-UnitTestOverrides(macros=%s, vars=%s, env_vars=%s)",
						 field_repr(env, overrides, "macros"), field_repr(env, overrides, "vars"),
						 field_repr(env, overrides, "env_vars"));
	for (int i = 0; pd_is(given, PD_LIST) && i < given->n; i++)
	{
		PdDoc	   *rows = pd_get(given->u.items[i], "rows");

		/* Here a text is printed as it is. */
		if (pd_truth(pd_get(given->u.items[i], "fixture")))
			appendStringInfo(&buf, "-%s", pd_is(rows, PD_STRING) ? pd_text(rows) : repr(env, rows));
	}
	jinja_env_destroy(env);
	return sha256_hex(buf.data);
}

/* ---------- doors ---------- */

void
pj_manifest_model(PjManifest *m, const PjNode *node, PdDoc *doc)
{
	PdDoc	   *contract = pd_get(doc, "contract");
	const char *date = pd_get_text(doc, "deprecation_date");

	if (date != NULL)
		pd_put(doc, "deprecation_date", pd_string(iso_time(date)));
	if (node->enabled)
		pd_put(doc, "primary_key", primary_key(m, node, doc));
	if (node->enabled && pd_truth(pd_get(contract, "enforced")))
	{
		contract = pd_copy_top(contract);
		pd_put(contract, "checksum", pd_string(contract_checksum(doc)));
		pd_put(doc, "contract", contract);
	}
}

void
pj_manifest_unit_test(PjManifest *m, const PjNode *node, PdDoc *doc)
{
	pd_put(doc, "checksum", pd_string(unit_test_checksum(doc)));
}
