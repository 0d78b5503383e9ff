/*
 * versions.c
 *		What a model's entry in a YAML file says of its versions and of its
 *		time spine: columns of each, and what dbt refuses of them.
 */
#include "base/compat.h"

#include "miscadmin.h"

#include "project/loading.h"

static PdDoc *
list_in(const PdDoc *doc, const char *key)
{
	PdDoc	   *list = pd_get(doc, key);

	return pd_is(list, PD_LIST) ? list : pd_list();
}

/* ---------- which there are ---------- */

static bool
is_less(const PdDoc *a, const PdDoc *b)
{
	const char *s = pd_scalar_text(a);
	const char *t = pd_scalar_text(b);
	char	   *end_s;
	char	   *end_t;
	double		x = strtod(s, &end_s);
	double		y = strtod(t, &end_t);

	if (*end_s == '\0' && *end_t == '\0')
		return x < y;
	return strcmp(s, t) < 0;
}

static PdDoc *
find_version(const PdDoc *versions, const PdDoc *v)
{
	for (int i = 0; i < versions->n; i++)
		if (pd_equal(pd_get(versions->u.items[i], "v"), v))
			return versions->u.items[i];
	return NULL;
}

PdDoc *
pj_latest_version(const PdDoc *entry)
{
	PdDoc	   *latest = pd_get(entry, "latest_version");
	PdDoc	   *versions = list_in(entry, "versions");

	if (!pd_is_null(latest))
		return latest;
	for (int i = 0; i < versions->n; i++)
	{
		PdDoc	   *v = pd_get(versions->u.items[i], "v");

		if (latest == NULL || pd_is_null(latest) || is_less(latest, v))
			latest = v;
	}
	return latest;
}

/* ---------- columns ---------- */

static bool
names_column(const PdDoc *list, const char *name)
{
	if (pd_equals(list, "*") || pd_equals(list, "all"))
		return true;
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_equals(list->u.items[i], name))
			return true;
	return false;
}

static bool
is_rule(const PdDoc *column)
{
	return pd_get(column, "name") == NULL;
}

/* The model's columns as the version includes them, then its own. */
PdDoc *
pj_version_columns(const PdDoc *entry, const PdDoc *version)
{
	PdDoc	   *base = list_in(entry, "columns");
	PdDoc	   *given = list_in(version, "columns");
	PdDoc	   *rule = NULL;
	PdDoc	   *own = pd_list();
	PdDoc	   *result = pd_list();

	for (int i = 0; i < given->n; i++)
	{
		if (is_rule(given->u.items[i]))
			rule = given->u.items[i];
		else
			pd_append(own, given->u.items[i]);
	}
	for (int i = 0; i < base->n; i++)
	{
		const char *name = pd_get_text(base->u.items[i], "name");

		if (rule == NULL || (names_column(pd_get(rule, "include"), name) &&
							 !names_column(pd_get(rule, "exclude"), name)))
			pd_append(result, base->u.items[i]);
	}
	for (int i = 0; i < own->n; i++)
		pd_append(result, own->u.items[i]);
	return result;
}

/* {include: all or a list, exclude: a list, of all only} */
static void
check_rule(const PjFile *file, const PdDoc *rule)
{
	const PdDoc *include = pd_get(rule, "include");
	const PdDoc *exclude = pd_get(rule, "exclude");
	bool		all = pd_equals(include, "*") || pd_equals(include, "all");

	if (include == NULL || (!all && !pd_is(include, PD_LIST)) ||
		(exclude != NULL && !pd_is(exclude, PD_LIST)) || rule->n > (exclude != NULL ? 2 : 1))
		pj_raise(file, rule,
				 "%s is not valid under any of the given schemas: it must be a column with a name, or {include: all, '*' or a list of columns, exclude: a list of columns}",
				 pd_to_json(rule));
	if (pd_truth(exclude) && !all)
		pj_raise(file, rule, "exclude can only be specified if include is one of ('*', 'all')");
}

static void
check_columns(const PjFile *file, const PdDoc *version)
{
	PdDoc	   *columns = list_in(version, "columns");
	bool		ruled = false;

	for (int i = 0; i < columns->n; i++)
	{
		if (!is_rule(columns->u.items[i]))
			continue;
		check_rule(file, columns->u.items[i]);
		if (ruled)
			pj_raise(file, columns->u.items[i],
					 "version can have at most one include/exclude element");
		ruled = true;
	}
}

/* ---------- what is refused ---------- */

static void
check_date(const PjFile *file, const PdDoc *entry)
{
	const PdDoc *date = pd_get(entry, "deprecation_date");

	if (pd_text(date) != NULL && !jinja_is_iso_datetime(pd_text(date)))
		pj_raise(file, date, "Field \"deprecation_date\" has invalid value '%s': it must be a date, as in 2030-12-31",
				 pd_text(date));
}

static void
check_versions(const PjFile *file, const PdDoc *entry)
{
	const PdDoc *versions = list_in(entry, "versions");
	const PdDoc *latest = pd_get(entry, "latest_version");

	for (int i = 0; i < versions->n; i++)
	{
		const char *v = pd_scalar_text(pd_get(versions->u.items[i], "v"));

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < i; k++)
			if (strcmp(pd_scalar_text(pd_get(versions->u.items[k], "v")), v) == 0)
				pj_raise(file, versions->u.items[i],
						 "Found duplicate version: '%s' in versions list of model '%s'", v,
						 pd_get_text(entry, "name"));
		check_columns(file, versions->u.items[i]);
		check_date(file, versions->u.items[i]);
	}
	if (pd_truth(latest) && find_version(versions, latest) == NULL)
		pj_raise(file, latest, "latest_version: %s is not one of model '%s' versions",
				 pd_scalar_text(latest), pd_get_text(entry, "name"));
}

static PdDoc *
column_named(const PdDoc *columns, const char *name)
{
	for (int i = columns->n - 1; i >= 0; i--)
		if (pd_equals(pd_get(columns->u.items[i], "name"), name))
			return columns->u.items[i];
	return NULL;
}

static void
check_time_spine(const PjFile *file, const PdDoc *entry, const PdDoc *spine)
{
	const PdDoc *latest = pd_get(entry, "latest_version");
	const PdDoc *columns = pd_truth(latest)
		? pj_version_columns(entry, find_version(list_in(entry, "versions"), latest))
		: list_in(entry, "columns");
	const PdDoc *custom = list_in(spine, "custom_granularities");
	const char *standard = pd_get_text(spine, "standard_granularity_column");
	const PdDoc *column = column_named(columns, standard);

	if (column == NULL)
		pj_raise(file, spine,
				 "Time spine standard granularity column must be defined on the model. Got invalid column name '%s' for model '%s'.",
				 standard, pd_get_text(entry, "name"));
	if (!pd_truth(pd_get(column, "granularity")))
		pj_raise(file, column,
				 "Time spine standard granularity column must have a granularity defined. Please add one for column '%s' in model '%s'.",
				 standard, pd_get_text(entry, "name"));
	for (int i = 0; i < custom->n; i++)
	{
		const PdDoc *granularity = custom->u.items[i];
		const char *name = pd_get_text(granularity, pd_truth(pd_get(granularity, "column_name"))
									   ? "column_name" : "name");

		if (column_named(columns, name) == NULL)
			pj_raise(file, granularity,
					 "Time spine custom granularity columns do not exist in the model. Column not found: '%s'",
					 name);
	}
}

void
pj_check_model_entry(const PjFile *file, const PdDoc *entry)
{
	const PdDoc *spine = pd_get(entry, "time_spine");

	check_date(file, entry);
	check_versions(file, entry);
	if (pd_truth(spine))
		check_time_spine(file, entry, spine);
}
