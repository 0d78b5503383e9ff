/*
 * jinja_run.c
 *		Render templates that come on standard input, without a server.
 *
 * A request is a line: a JSON object with the members "template", "context",
 * "native" and "lenient" (booleans). The answer is a line: a JSON object with
 * "text" or "value" (its repr), or with "state", "error" and "context". In the
 * context of a request, {"$decimal": "1.50"} is a Decimal.
 */
#include "base/compat.h"

#include <locale.h>
#include <unistd.h>

#include "jinja/jinja.h"
#include "utils/memutils.h"

#include "pg_shim.h"

static JinjaValue *
special(JinjaEnv *env, JinjaValue *v)
{
	JinjaValue *d;

	if (jinja_kind(v) == JINJA_LIST)
	{
		JinjaValue *list = jinja_list(env);

		for (int i = 0; i < jinja_length(v); i++)
			jinja_list_append(env, list, special(env, jinja_list_get(v, i)));
		return list;
	}
	if (jinja_kind(v) != JINJA_DICT)
		return v;
	if ((d = jinja_dict_get(env, v, "$decimal")) != NULL)
		return jinja_decimal(env, jinja_to_cstring(env, d));
	d = jinja_dict(env);
	for (int i = 0; i < jinja_length(v); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(v, i, &key, &value);
		jinja_dict_set_value(env, d, key, special(env, value));
	}
	return d;
}

static void
set_context(JinjaEnv *env, JinjaValue *context)
{
	for (int i = 0; i < jinja_length(context); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(context, i, &key, &value);
		jinja_env_set(env, jinja_to_cstring(env, key), special(env, value));
	}
	jinja_env_set(env, "modules", jinja_modules(env));
}

static JinjaValue *
context_return(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_return(env, args->nargs > 0 ? args->args[0] : jinja_none(env));
}

static JinjaValue *
context_set_function(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *set = jinja_set(env);
	JinjaValue *list;

	if (args->nargs == 0)
		return set;
	list = jinja_to_list(env, args->args[0]);
	for (int i = 0; i < jinja_length(list); i++)
		jinja_set_add(env, set, jinja_list_get(list, i));
	return set;
}

static void
answer(JinjaEnv *env, JinjaValue *dict)
{
	printf("%s\n", jinja_to_json(env, dict, false));
	fflush(stdout);
}

static void
handle(const char *line, int len)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	JinjaValue *request = jinja_from_json(env, line, len);
	JinjaValue *out = jinja_dict(env);
	JinjaValue *text = jinja_dict_get(env, request, "template");
	JinjaValue *native = jinja_dict_get(env, request, "native");
	JinjaValue *lenient = jinja_dict_get(env, request, "lenient");
	char	   *source = jinja_to_cstring(env, text);
	JinjaTemplate *tmpl;

	set_context(env, jinja_dict_get(env, request, "context"));
	jinja_env_set(env, "return", jinja_function(env, "return", context_return, NULL));
	jinja_env_set(env, "set", jinja_function(env, "set", context_set_function, NULL));
	jinja_env_set_lenient(env, lenient != NULL && jinja_truth(env, lenient));
	tmpl = jinja_cached_template("t", source, strlen(source), NULL);
	if (native != NULL && jinja_truth(env, native))
	{
		JinjaValue *v = jinja_render_native(env, NULL, tmpl);

		jinja_dict_set(env, out, "value", jinja_string(env, jinja_repr(env, v)));
	}
	else
		jinja_dict_set(env, out, "text",
					   jinja_string(env, jinja_render(env, tmpl)));
	answer(env, out);
	jinja_env_destroy(env);
}

static void
report(void)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	JinjaValue *out = jinja_dict(env);

	jinja_dict_set(env, out, "state",
				   jinja_string(env, unpack_sql_state(shim_error.sqlstate)));
	jinja_dict_set(env, out, "error", jinja_string(env, shim_error.message));
	jinja_dict_set(env, out, "context", jinja_string(env, shim_error.context));
	answer(env, out);
	jinja_env_destroy(env);
}

int
main(void)
{
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;
	MemoryContext cxt;

	setlocale(LC_CTYPE, "C.UTF-8");
	shim_init();
	cxt = AllocSetContextCreate(TopMemoryContext, "request",
								ALLOCSET_DEFAULT_SIZES);
	while ((len = getline(&line, &size, stdin)) > 0)
	{
		MemoryContextSwitchTo(cxt);
		PG_TRY();
		{
			handle(line, len);
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(cxt);
			MemoryContextReset(cxt);
			report();
		}
		PG_END_TRY();
		MemoryContextReset(cxt);
	}
	free(line);
	return 0;
}
