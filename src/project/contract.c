/*
 * contract.c
 *		What became of a model's contract since another manifest: changes
 *		that break its readers, in dbt's words.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "project/contract.h"

/* ---------- telling of it ---------- */

static void
tell(const PdDoc *model, const char *changes)
{
	const char *path = pd_get_text(model, "original_file_path");

	if (!pd_is_null(pd_get(model, "version")))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("Breaking change to contract error in %s (%s)",
						pd_get_text(model, "unique_id"), path),
				 errdetail("While comparing to previous project state, dbt detected a breaking change to an enforced contract.%s", changes),
				 errhint("Consider making an additive (non-breaking) change instead, if possible. Otherwise, create a new model version.")));
	ereport(WARNING,
			(errmsg("Breaking change to contracted, unversioned model %s (%s)",
					pd_get_text(model, "name"), path),
			 errdetail("While comparing to previous project state, dbt detected a breaking change to an unversioned model.%s", changes)));
}

/* One more of a kind of change, under its title. */
static void
add_change(StringInfo changes, StringInfo kind, const char *title)
{
	if (kind->len > 0)
		appendStringInfo(changes, "\n  - %s:%s", title, kind->data);
}

/* ---------- columns ---------- */

static bool
is_enforced(const PdDoc *model)
{
	return pd_truth(pd_get(pd_get(model, "contract"), "enforced"));
}

static bool
enforces_constraints(const PdDoc *model)
{
	PdDoc	   *materialized = pd_get(pd_get(model, "config"), "materialized");

	return pd_equals(materialized, "table") || pd_equals(materialized, "incremental");
}

/* A type without its size, in lower case. */
static char *
base_type(const char *type)
{
	char	   *s = type != NULL ? pstrdup(type) : pstrdup("");
	char	   *end;

	s[strcspn(s, "(")] = '\0';
	s += strspn(s, " \t\n");
	for (end = s + strlen(s); end > s && isspace((unsigned char) end[-1]);)
		*--end = '\0';
	for (char *p = s; *p; p++)
		*p = pg_ascii_tolower((unsigned char) *p);
	return s;
}

static const char *
or_none(const char *s)
{
	return s != NULL ? s : "None";
}

static bool
list_has(const PdDoc *list, const PdDoc *item)
{
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_equal(list->u.items[i], item))
			return true;
	return false;
}

/* Constraints of "old" that "new" does not have; all but custom ones hold. */
static void
add_lost(StringInfo buf, const PdDoc *old, const PdDoc *new, const char *on)
{
	for (int i = 0; pd_is(old, PD_LIST) && i < old->n; i++)
	{
		PdDoc	   *c = old->u.items[i];
		const char *name = pd_get_text(c, "name");

		if (list_has(new, c) || pd_equals(pd_get(c, "type"), "custom"))
			continue;
		appendStringInfo(buf, "\n    - '%s' constraint on %s",
						 name != NULL ? name : or_none(pd_get_text(c, "type")),
						 on != NULL ? psprintf("column %s", on)
						 : psprintf("columns %s", pd_to_json(pd_get(c, "columns") ? pd_get(c, "columns") : pd_list())));
	}
}

typedef struct Changes
{
	StringInfoData removed;
	StringInfoData types;
	StringInfoData constraints;
	bool		had_constraints;	/* some column */
} Changes;

static void
compare_columns(Changes *c, const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *before = pd_get(old, "columns");
	PdDoc	   *now = pd_get(new, "columns");

	for (int i = 0; pd_is(before, PD_DICT) && i < before->n; i++)
	{
		const char *name = pd_text(before->u.entries[i].key);
		PdDoc	   *was = before->u.entries[i].value;
		PdDoc	   *is = pd_get(now, name);
		const char *old_type = pd_get_text(was, "data_type");
		const char *new_type = pd_get_text(is, "data_type");

		c->had_constraints |= pd_truth(pd_get(was, "constraints"));
		if (is == NULL)
			appendStringInfo(&c->removed, "\n    - %s", name);
		else if (strcmp(base_type(old_type), base_type(new_type)) != 0)
			appendStringInfo(&c->types, "\n    - %s (%s -> %s)", name, or_none(old_type),
							 or_none(new_type));
		if (is != NULL && enforces_constraints(old))
			add_lost(&c->constraints, pd_get(was, "constraints"), pd_get(is, "constraints"), name);
	}
}

/* ---------- the doors ---------- */

static void
find_breaking(const PdDoc *old, const PdDoc *new)
{
	Changes		c = {0};
	StringInfoData all;
	StringInfoData of_model;

	initStringInfo(&all);
	initStringInfo(&of_model);
	initStringInfo(&c.removed);
	initStringInfo(&c.types);
	initStringInfo(&c.constraints);
	compare_columns(&c, old, new);
	if (enforces_constraints(old))
		add_lost(&of_model, pd_get(old, "constraints"), pd_get(new, "constraints"), NULL);
	if (!is_enforced(new))
		appendStringInfoString(&all,
							   "\n  - Contract enforcement was removed: Previously, this model had an enforced contract. It is no longer configured to enforce its contract, and this is a breaking change.");
	add_change(&all, &c.removed, "Columns were removed");
	add_change(&all, &c.types, "Columns with data_type changes");
	add_change(&all, &c.constraints, "Enforced column level constraints were removed");
	add_change(&all, &of_model, "Enforced model level constraints were removed");
	if (enforces_constraints(old) && !enforces_constraints(new) &&
		(c.had_constraints || pd_truth(pd_get(old, "constraints"))))
		appendStringInfo(&all, "\n  - Materialization changed with enforced constraints:\n    - %s -> %s",
						 pd_get_text(pd_get(old, "config"), "materialized"),
						 pd_get_text(pd_get(new, "config"), "materialized"));
	if (all.len > 0)
		tell(new, all.data);
}

bool
dpipe_same_contract(const PdDoc *old, const PdDoc *new)
{
	PdDoc	   *a = pd_get(pd_get(old, "contract"), "checksum");
	PdDoc	   *b = pd_get(pd_get(new, "contract"), "checksum");

	if (!is_enforced(old))
		return !is_enforced(new);
	if (is_enforced(new) && (pd_is_null(a) || pd_is_null(b) ? pd_is_null(a) && pd_is_null(b) : pd_equal(a, b)))
		return true;
	find_breaking(old, new);
	return false;
}

void
dpipe_contract_removed(const PdDoc *model)
{
	const char *deprecated = pd_get_text(model, "deprecation_date");
	bool		enabled = pd_truth(pd_get(pd_get(model, "config"), "enabled"));

	if (!is_enforced(model) || !pd_equals(pd_get(model, "resource_type"), "model"))
		return;
	if (deprecated != NULL &&
		DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(deprecated),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))) < GetCurrentTimestamp())
		return;
	tell(model, psprintf("\n  - Contracted model '%s' was %s.", pd_get_text(model, "unique_id"),
						 enabled ? "deleted or renamed" : "disabled"));
}
