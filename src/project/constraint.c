/*
 * constraint.c
 *		Constraints of contracts as SQL: adapter.render_raw_columns_constraints
 *		and adapter.render_raw_model_constraints.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"

#include "project/column.h"
#include "project/host.h"

static char *
field(JinjaEnv *env, const JinjaValue *dict, const char *name)
{
	JinjaValue *v = jinja_kind(dict) == JINJA_DICT ? jinja_dict_get(env, dict, name) : NULL;

	return dpipe_is_nothing(v) ? pstrdup("") : jinja_to_cstring(env, v);
}

static char *
joined(JinjaEnv *env, const JinjaValue *dict, const char *name)
{
	JinjaValue *v = jinja_dict_get(env, dict, name);
	StringInfoData buf;

	initStringInfo(&buf);
	if (dpipe_is_nothing(v))
		return buf.data;
	v = jinja_to_list(env, v);
	for (int i = 0; i < jinja_length(v); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 jinja_to_cstring(env, jinja_list_get(v, i)));
	return buf.data;
}

static char *
trimmed_end(char *s)
{
	int			len = strlen(s);

	while (len > 0 && s[len - 1] == ' ')
		s[--len] = '\0';
	return s;
}

/* A constraint behind a column; NULL: of no known type. */
static char *
column_constraint(JinjaEnv *env, const JinjaValue *c)
{
	char	   *type = field(env, c, "type");
	char	   *expression = field(env, c, "expression");

	if (strcmp(type, "check") == 0 && *expression)
		return psprintf("check (%s)", expression);
	if (strcmp(type, "not_null") == 0)
		return trimmed_end(psprintf("not null %s", expression));
	if (strcmp(type, "unique") == 0)
		return trimmed_end(psprintf("unique %s", expression));
	if (strcmp(type, "primary_key") == 0)
		return trimmed_end(psprintf("primary key %s", expression));
	if (strcmp(type, "foreign_key") == 0)
	{
		char	   *to = field(env, c, "to");
		char	   *columns = joined(env, c, "to_columns");

		if (*to && *columns)
			return psprintf("references %s (%s)", to, columns);
		if (*expression)
			return psprintf("references %s", expression);
	}
	if (strcmp(type, "custom") == 0 && *expression)
		return expression;
	return NULL;
}

JinjaValue *
dpipe_host_column_constraints(JinjaEnv *env, void *host, const JinjaArgs *args)
{
	JinjaValue *columns = dpipe_arg(env, args, 0, "raw_columns", "render_raw_columns_constraints");
	JinjaValue *list = jinja_list(env);

	if (jinja_kind(columns) != JINJA_DICT)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"render_raw_columns_constraints() takes a dict of columns");
	for (int i = 0; i < jinja_length(columns); i++)
	{
		JinjaValue *key;
		JinjaValue *column;
		JinjaValue *quote;
		JinjaValue *constraints;
		StringInfoData buf;
		char	   *name;

		jinja_dict_entry(columns, i, &key, &column);
		name = field(env, column, "name");
		quote = jinja_dict_get(env, column, "quote");
		if (!dpipe_is_nothing(quote) && jinja_truth(env, quote))
			name = dpipe_quoted(name);
		initStringInfo(&buf);
		appendStringInfo(&buf, "%s %s", name, field(env, column, "data_type"));
		constraints = jinja_dict_get(env, column, "constraints");
		if (!dpipe_is_nothing(constraints))
		{
			constraints = jinja_to_list(env, constraints);
			for (int k = 0; k < jinja_length(constraints); k++)
			{
				char	   *text = column_constraint(env, jinja_list_get(constraints, k));

				if (text != NULL)
					appendStringInfo(&buf, " %s", text);
			}
		}
		jinja_list_append(env, list, jinja_string(env, buf.data));
	}
	return list;
}

/* A constraint of the table; NULL: of no known type. */
static char *
table_constraint(JinjaEnv *env, const JinjaValue *c)
{
	char	   *type = field(env, c, "type");
	char	   *name = field(env, c, "name");
	char	   *expression = field(env, c, "expression");
	char	   *columns = joined(env, c, "columns");
	char	   *prefix = *name ? psprintf("constraint %s ", name) : "";

	if (strcmp(type, "check") == 0 && *expression)
		return psprintf("%scheck (%s)", prefix, expression);
	if (strcmp(type, "unique") == 0 || strcmp(type, "primary_key") == 0)
		return psprintf("%s%s%s%s (%s)", prefix, strcmp(type, "unique") == 0 ? "unique" : "primary key",
						*expression ? " " : "", expression, columns);
	if (strcmp(type, "foreign_key") == 0)
	{
		char	   *to = field(env, c, "to");
		char	   *to_columns = joined(env, c, "to_columns");

		if (*to && *to_columns)
			return psprintf("%sforeign key (%s) references %s (%s)", prefix, columns, to,
							to_columns);
		if (*expression)
			return psprintf("%sforeign key (%s) references %s", prefix, columns, expression);
	}
	if (strcmp(type, "custom") == 0 && *expression)
		return psprintf("%s%s", prefix, expression);
	return NULL;
}

JinjaValue *
dpipe_host_table_constraints(JinjaEnv *env, void *host, const JinjaArgs *args)
{
	JinjaValue *given = dpipe_arg(env, args, 0, "raw_constraints", "render_raw_model_constraints");
	JinjaValue *list = jinja_list(env);

	if (dpipe_is_nothing(given))
		return list;
	given = jinja_to_list(env, given);
	for (int i = 0; i < jinja_length(given); i++)
	{
		char	   *text = table_constraint(env, jinja_list_get(given, i));

		if (text != NULL)
			jinja_list_append(env, list, jinja_string(env, text));
	}
	return list;
}
