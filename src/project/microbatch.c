/*
 * microbatch.c
 *		What dbt demands of models that are made batch by batch.
 */
#include "base/compat.h"

#include "project/loading.h"

static bool
is_microbatch(const PjNode *node)
{
	return node->enabled && pd_equals(pd_get(node->config, "materialized"), "incremental") &&
		pd_equals(pd_get(node->config, "incremental_strategy"), "microbatch");
}

static bool
one_of(const PdDoc *value, const char *const *words)
{
	for (; *words != NULL; words++)
		if (pd_equals(value, *words))
			return true;
	return false;
}

static void
check_times(const PjNode *node)
{
	const PdDoc *event_time = pd_get(node->config, "event_time");
	const PdDoc *begin = pd_get(node->config, "begin");

	if (pd_is_null(event_time))
		pj_raise(node->file, NULL,
				 "Microbatch model '%s' must provide an 'event_time' (string) config that indicates the name of the event time column.",
				 node->name);
	if (event_time->kind != PD_STRING)
		pj_raise(node->file, event_time,
				 "Microbatch model '%s' must provide an 'event_time' config of type string, but got: %s.",
				 node->name, pd_kind_name(event_time));
	if (pd_is_null(begin))
		pj_raise(node->file, NULL,
				 "Microbatch model '%s' must provide a 'begin' (datetime) config that indicates the earliest timestamp the microbatch model should be built from.",
				 node->name);
	if (begin->kind != PD_STRING)
		pj_raise(node->file, begin,
				 "Microbatch model '%s' must provide a 'begin' config of type datetime, but got: %s.",
				 node->name, pd_kind_name(begin));
	if (!jinja_is_iso_datetime(begin->u.text))
		pj_raise(node->file, begin,
				 "Microbatch model '%s' must provide a 'begin' config of valid datetime (ISO format), but got: %s.",
				 node->name, begin->u.text);
}

static void
check_batches(const PjNode *node)
{
	static const char *const sizes[] = {"hour", "day", "month", "year", NULL};
	const PdDoc *size = pd_get(node->config, "batch_size");
	const PdDoc *lookback = pd_get(node->config, "lookback");
	const PdDoc *concurrent = pd_get(node->config, "concurrent_batches");

	if (!one_of(size, sizes))
		pj_raise(node->file, size,
				 "Microbatch model '%s' must provide a 'batch_size' config that is one of hour, day, month and year, but got: %s.",
				 node->name, pd_is_null(size) ? "none" : pd_scalar_text(size));
	if (!pd_is_null(lookback) && lookback->kind != PD_INT && lookback->kind != PD_BOOL)
		pj_raise(node->file, lookback,
				 "Microbatch model '%s' must provide the optional 'lookback' config as type int, but got: %s.",
				 node->name, pd_kind_name(lookback));
	if (!pd_is_null(concurrent) && concurrent->kind != PD_BOOL)
		pj_raise(node->file, concurrent,
				 "Microbatch model '%s' optional 'concurrent_batches' config must be of type `bool` if specified, but got: %s.",
				 node->name, pd_kind_name(concurrent));
}

static void
check_inputs(const PjLoad *load, const PjNode *node)
{
	ListCell   *lc;

	foreach(lc, node->depends_on)
	{
		const PjNode *input = pj_table_get(load->by_id, lfirst(lc));
		const PdDoc *event_time = input != NULL ? pd_get(input->config, "event_time") : NULL;

		if (pd_truth(event_time) && event_time->kind != PD_STRING)
			pj_raise(node->file, NULL,
					 "Microbatch model '%s' depends on an input node '%s' with an 'event_time' config of invalid (non-string) type: %s.",
					 node->name, input->name, pd_kind_name(event_time));
	}
}

/* A project whose own macro makes the batches asks nothing of them. */
static bool
has_own_macro(const PjLoad *load)
{
	ListCell   *lc;

	foreach(lc, load->macros)
	{
		const PjMacro *macro = lfirst(lc);

		if (strcmp(macro->name, "get_incremental_microbatch_sql") == 0)
			return true;
	}
	return false;
}

void
pj_check_microbatch(const PjLoad *load)
{
	ListCell   *lc;

	if (!pd_truth(pd_get(load->flags, "require_batched_execution_for_custom_microbatch_strategy")) &&
		has_own_macro(load))
		return;
	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (!is_microbatch(node))
			continue;
		check_times(node);
		check_batches(node);
		check_inputs(load, node);
	}
}
