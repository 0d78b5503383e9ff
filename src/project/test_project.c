/*
 * test_project.c
 *		Parts of this folder by themselves, for tests. Not in a release.
 */
#include "base/compat.h"

#ifdef DPIPE_FAULT_POINTS

#include "fmgr.h"
#include "utils/builtins.h"

#include "project/yaml.h"

PG_FUNCTION_INFO_V1(dpipe_test_yaml);

/* The document of a YAML text, as JSON. */
Datum
dpipe_test_yaml(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	PdDoc	   *doc = dpipe_yaml_parse("text", VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));

	PG_RETURN_TEXT_P(cstring_to_text(pd_to_json(doc)));
}

#endif							/* DPIPE_FAULT_POINTS */
