/*
 * columns.c
 *		How a query's columns differ from its table's, and what is done then.
 *
 * Columns are matched by name, never by position. Generated columns, identity
 * columns and the stamp of dpipe_track are the table's own: no query gives
 * them and none takes them away.
 */
#include "base/compat.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/json.h"
#include "model/materialize.h"

static Form_pg_attribute
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	return NULL;
}

static bool
is_tables_own(Form_pg_attribute att, bool tracked)
{
	return att->attgenerated != '\0' || att->attidentity != '\0' ||
		(tracked && strcmp(NameStr(att->attname), "_load_id") == 0);
}

void
columns_compare(TupleDesc query, Oid relid, ColumnChanges *changes)
{
	TupleDesc	table = model_relation_columns(relid);
	bool		tracked = dpipe_is_tracked(relid);

	memset(changes, 0, sizeof(*changes));
	for (int i = 0; i < query->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(query, i);
		Form_pg_attribute old = find_column(table, NameStr(att->attname));

		if (old == NULL)
			changes->added = lappend(changes->added, att);
		else if (!is_tables_own(old, tracked))
		{
			changes->common = lappend(changes->common, pstrdup(NameStr(att->attname)));
			if (old->atttypid != att->atttypid)
				changes->retyped = lappend(changes->retyped, att);
		}
	}
	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table, i);

		if (!att->attisdropped && !is_tables_own(att, tracked) &&
			find_column(query, NameStr(att->attname)) == NULL)
			changes->removed = lappend(changes->removed, pstrdup(NameStr(att->attname)));
	}
}

char *
columns_list(List *names, const char *prefix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
	{
		if (buf.len > 0)
			appendStringInfoString(&buf, ", ");
		if (prefix != NULL)
			appendStringInfo(&buf, "%s.", prefix);
		appendStringInfoString(&buf, quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

static char *
type_of(Form_pg_attribute att)
{
	return format_type_with_typemod(att->atttypid, att->atttypmod);
}

static void
add_columns(const ModelTarget *target, List *added)
{
	ListCell   *lc;

	foreach(lc, added)
	{
		Form_pg_attribute att = lfirst(lc);

		model_run_utility(psprintf("ALTER TABLE %s ADD COLUMN %s %s", target->name,
								   quote_identifier(NameStr(att->attname)), type_of(att)));
	}
}

static void
drop_columns(const ModelTarget *target, List *removed)
{
	ListCell   *lc;

	foreach(lc, removed)
		model_run_utility(
						  psprintf("ALTER TABLE %s DROP COLUMN %s", target->name, quote_identifier(lfirst(lc))));
}

/* With rows, they are cast; without, any two types will do. */
static void
retype_columns(const ModelTarget *target, List *retyped, bool with_rows)
{
	ListCell   *lc;

	foreach(lc, retyped)
	{
		Form_pg_attribute att = lfirst(lc);
		const char *name = quote_identifier(NameStr(att->attname));
		char	   *type = type_of(att);

		model_run_utility(psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s",
								   target->name, name, type, with_rows ? name : "NULL", type));
	}
}

void
columns_reshape(const ModelTarget *target, const ColumnChanges *changes)
{
	drop_columns(target, changes->removed);
	retype_columns(target, changes->retyped, false);
	add_columns(target, changes->added);
}

/* As Python prints a list of names. */
static char *
python_list(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s'%s'", buf.len > 0 ? ", " : "", (char *) lfirst(lc));
	return psprintf("[%s]", buf.data);
}

static List *
names_of(List *atts)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, atts)
		names = lappend(names, NameStr(((Form_pg_attribute) lfirst(lc))->attname));
	return names;
}

static void
pg_attribute_noreturn() raise_out_of_sync(const ColumnChanges *changes)
{
	ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg(
					"The source and target schemas on this incremental model are out of sync!\n"
					"They can be reconciled in several ways:\n"
					"  - set the `on_schema_change` config to either append_new_columns or sync_all_columns, depending on your situation.\n"
					"  - Re-run the incremental model with `full_refresh: True` to update the target schema.\n"
					"  - update the schema manually and re-run the process.\n\n"
					"Additional troubleshooting context:\n"
					"   Source columns not in target: %s\n"
					"   Target columns not in source: %s\n"
					"   New column types: %s",
					python_list(names_of(changes->added)), python_list(changes->removed),
					python_list(names_of(changes->retyped)))));
}

void
columns_on_schema_change(DpipeBuild *build, const ModelTarget *target, const ColumnChanges *changes)
{
	char	   *policy =
		dpipe_json_string(build->rendering.node->config, "config", "on_schema_change", "ignore");

	if (strcmp(policy, "fail") == 0)
	{
		if (changes->added || changes->removed || changes->retyped)
			raise_out_of_sync(changes);
	}
	else if (strcmp(policy, "append_new_columns") == 0)
		add_columns(target, changes->added);
	else if (strcmp(policy, "sync_all_columns") == 0)
	{
		add_columns(target, changes->added);
		drop_columns(target, changes->removed);
		retype_columns(target, changes->retyped, true);
	}
	else if (strcmp(policy, "ignore") != 0)
		ereport(
				WARNING,
				(errmsg(
						"Invalid value for on_schema_change (%s) specified. Setting default value of ignore.",
						policy)));
}
