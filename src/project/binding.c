/*
 * binding.c
 *		Values in the place of the %s of a statement, as dbt's driver writes them.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/host.h"

/* Dates and times say what they are, so that they are no texts. */
static const char *
type_of(const JinjaValue *value, const char *text)
{
	static const char *const types[][2] = {
		{"datetime.date", "::date"}, {"datetime.time", "::time"},
		{"datetime.timedelta", "::interval"}, {"datetime.datetime", "::timestamp"},
	};
	const char *name = jinja_type_name(value);

	if (strcmp(name, "datetime.datetime") == 0 && strlen(text) > 10 &&
		strpbrk(text + 10, "+-") != NULL)
		return "::timestamptz";
	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(name, types[i][0]) == 0)
			return types[i][1];
	return "";
}

static void
append_value(StringInfo buf, JinjaEnv *env, JinjaValue *value)
{
	char	   *text;

	switch (jinja_kind(value))
	{
		case JINJA_NONE:
			appendStringInfoString(buf, "NULL");
			return;
		case JINJA_BOOL:
			appendStringInfoString(buf, jinja_truth(env, value) ? "true" : "false");
			return;
		case JINJA_INT:
		case JINJA_FLOAT:
		case JINJA_DECIMAL:
			text = jinja_to_cstring(env, value);
			if (isdigit((unsigned char) text[strlen(text) - 1]))
			{
				/* Behind another minus, one of its own would begin a comment. */
				appendStringInfo(buf, "%s%s", *text == '-' ? " " : "", text);
				return;
			}
			appendStringInfo(buf, "'%s'::%s", text,
							 jinja_kind(value) == JINJA_FLOAT ? "float" : "numeric");
			return;
		default:
			text = jinja_to_cstring(env, value);
			appendStringInfo(buf, "%s%s", quote_literal_cstr(text), type_of(value, text));
	}
}

char *
dpipe_bound_sql(JinjaEnv *env, const char *sql, JinjaValue *bindings)
{
	JinjaValue *values = jinja_to_list(env, bindings);
	int			n = jinja_length(values);
	int			used = 0;
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *sql != '\0'; sql++)
	{
		if (*sql != '%')
		{
			appendStringInfoChar(&buf, *sql);
			continue;
		}
		sql++;
		if (*sql == '%')
			appendStringInfoChar(&buf, '%');
		else if (*sql != 's')
			jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
						"unsupported format character in a statement with bindings: %%s and %%%% are known");
		else if (used >= n)
			jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
						"not enough arguments for format string");
		else
		{
			CHECK_FOR_INTERRUPTS();
			append_value(&buf, env, jinja_list_get(values, used++));
		}
	}
	if (used < n)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"not all arguments converted during string formatting");
	return buf.data;
}
