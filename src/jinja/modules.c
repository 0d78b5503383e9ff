/*
 * modules.c
 *		The Python modules that templates may use, and how their functions get
 *		at arguments.
 */
#include "base/compat.h"

#include "jinja/modules.h"

/* The function "name" bound to "arg"; NULL: there is none. */
JinjaValue *
jn_find_function(JinjaEnv *env, const JnModuleFunction *functions,
				 const char *name, void *arg)
{
	for (; functions->name != NULL; functions++)
		if (strcmp(functions->name, name) == 0)
			return jinja_function(env, functions->name, functions->fn, arg);
	return NULL;
}

JinjaValue *
jn_need_arg(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	if (v == NULL)
		jn_raise_type(env, "missing argument \"%s\"", name);
	return v;
}

int64
jn_optional_int(JinjaEnv *env, const JinjaArgs *args, int pos,
				const char *name, int64 dflt)
{
	return jn_int_arg(env, jinja_arg(args, pos, name), dflt, name);
}

/*
 * At most "max" positional arguments, and keywords only of "names" (which ends
 * with NULL), none of them given twice.
 */
void
jn_check_args(JinjaEnv *env, const JinjaArgs *args, int max,
			  const char *const *names)
{
	if (args->nargs > max)
		jn_raise_type(env, "at most %d arguments are expected (%d given)", max,
					  args->nargs);
	for (int k = 0; k < args->nkwargs; k++)
	{
		int			i = 0;

		while (names[i] != NULL && strcmp(names[i], args->kwnames[k]) != 0)
			i++;
		if (names[i] == NULL)
			jn_raise_type(env, "unexpected keyword argument \"%s\"",
						  args->kwnames[k]);
		if (i < args->nargs)
			jn_raise_type(env, "multiple values for argument \"%s\"",
						  args->kwnames[k]);
	}
}

JinjaValue *
jinja_modules(JinjaEnv *env)
{
	JinjaValue *modules = jinja_dict(env);

	jinja_dict_set(env, modules, "pytz", jn_pytz_module(env));
	jinja_dict_set(env, modules, "datetime", jn_datetime_module(env));
	jinja_dict_set(env, modules, "re", jn_re_module(env));
	jinja_dict_set(env, modules, "itertools", jn_itertools_module(env));
	return modules;
}
