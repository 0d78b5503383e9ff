/*
 * modules.h
 *		What the files of modules.datetime, .pytz, .re and .itertools share.
 */
#ifndef DPIPE_JINJA_MODULES_H
#define DPIPE_JINJA_MODULES_H

#include "jinja/jinja_internal.h"

/* A function of a module, or a method of an object; ends without a name. */
typedef struct JnModuleFunction
{
	const char *name;
	JinjaFunction fn;
} JnModuleFunction;

extern JinjaValue *jn_find_function(JinjaEnv *env,
									const JnModuleFunction *functions,
									const char *name, void *arg);
extern JinjaValue *jn_need_arg(JinjaEnv *env, const JinjaArgs *args, int pos,
							   const char *name);
extern int64 jn_optional_int(JinjaEnv *env, const JinjaArgs *args, int pos,
							 const char *name, int64 dflt);
extern void jn_check_args(JinjaEnv *env, const JinjaArgs *args, int max,
						  const char *const *names);

extern JinjaValue *jn_re_module(JinjaEnv *env);
extern JinjaValue *jn_itertools_module(JinjaEnv *env);
extern JinjaValue *jn_datetime_module(JinjaEnv *env);
extern JinjaValue *jn_pytz_module(JinjaEnv *env);

#endif							/* DPIPE_JINJA_MODULES_H */
