/*
 * dispatch.c
 *		adapter.dispatch: the macro of a name that is made for this database.
 *
 * In each package of the search order, postgres__x comes before default__x.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "project/host.h"

static const char *const prefixes[] = {"postgres", "default"};

static JinjaValue *
search(DpipeHost *host, const char *package, const char *name, StringInfo tried)
{
	for (int i = 0; i < lengthof(prefixes); i++)
	{
		const char *full = psprintf("%s__%s", prefixes[i], name);
		JinjaValue *macro = host->find_macro(host, package, full);

		if (macro != NULL)
			return macro;
		appendStringInfo(tried, "%s'%s%s%s'", tried->len > 0 ? ", " : "",
						 package != NULL ? package : "", package != NULL ? "." : "", full);
	}
	return NULL;
}

static void
check_name(JinjaEnv *env, const char *name)
{
	const char *dot = strchr(name, '.');

	if (dot != NULL)
		jinja_raise(env, ERRCODE_INVALID_NAME,
					"In adapter.dispatch, got a macro name of \"%s\", but \".\" is not a valid macro name component. Did you mean `adapter.dispatch(\"%s\", macro_namespace=\"%s\")`?",
					name, dot + 1, pnstrdup(name, dot - name));
}

JinjaValue *
dpipe_host_dispatch(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *name = dpipe_arg_text(env, args, 0, "macro_name", "adapter.dispatch");
	JinjaValue *given = dpipe_arg_given(args, 1, "macro_namespace");
	const char *macro_namespace = NULL;
	JinjaValue *macro = NULL;
	List	   *packages = NIL;
	StringInfoData tried;
	ListCell   *lc;

	check_name(env, name);
	if (dpipe_arg_given(args, 2, "packages") != NULL)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"The \"packages\" argument of adapter.dispatch() has been deprecated.\nUse the \"macro_namespace\" argument instead.\n\nRaised during dispatch for: %s",
					name);
	if (given != NULL && jinja_kind(given) != JINJA_STRING)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"In adapter.dispatch, got a %s macro_namespace argument (\"%s\"), but macro_namespace should be None or a string.",
					jinja_type_name(given), jinja_to_cstring(env, given));
	if (given != NULL)
	{
		macro_namespace = jinja_to_cstring(env, given);
		packages = host->search_order(host, macro_namespace);
	}

	initStringInfo(&tried);
	if (packages == NIL)
		macro = search(host, NULL, name, &tried);
	foreach(lc, packages)
	{
		macro = search(host, lfirst(lc), name, &tried);
		if (macro != NULL)
			break;
	}
	if (macro == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_FUNCTION,
					"In dispatch: No macro named '%s' found within namespace: '%s'\n    Searched for: %s",
					name, macro_namespace != NULL ? macro_namespace : "None", tried.data);
	return macro;
}
