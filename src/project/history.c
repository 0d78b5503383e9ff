/*
 * history.c
 *		Selection by what became of nodes in another run: result:, and by
 *		what is newer than it was: source_status:.
 *
 * Results are those of a run_results.json that is given, else of the last run
 * that the caller may see as its own. A sources.json holds the freshness of
 * sources; both, of then and of now, have to be given.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "project/method.h"

/* The list "results" of an artifact. */
static const PdDoc *
results_of(const PdDoc *artifact, const char *option, const char *file)
{
	const PdDoc *results = pd_get(artifact, "results");

	if (!pd_is(results, PD_LIST))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" is no %s", option, file),
						errdetail("It must be a JSON object with a list \"results\".")));
	return results;
}

static void
pg_attribute_noreturn() raise_missing(const char *message, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("%s", message),
					errhint("%s", hint)));
}

/* ---------- result ---------- */

static DpipeStatement select_results = {
	"SELECT n.node, n.status FROM dpipe.run_node_log n"
	" WHERE n.run_id = (SELECT max(r.run_id) FROM dpipe.run_log r"
	"                    WHERE pg_catalog.pg_has_role($1, r.caller_oid, 'USAGE'))",
	1,
	{OIDOID}};

static DpipeStatement select_any_run = {
	"SELECT 1 FROM dpipe.run_log r WHERE pg_catalog.pg_has_role($1, r.caller_oid, 'USAGE') LIMIT 1",
	1,
	{OIDOID}};

/* The nodes of the last run that have the status. */
static PdDoc *
read_last_run(const char *status)
{
	MemoryContext cxt = CurrentMemoryContext;
	Datum		args[1] = {ObjectIdGetDatum(GetUserId())};
	PdDoc	   *matches = pd_dict();
	DpipeSpi	spi;
	uint64		n;

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&select_any_run, args, NULL, true, 1) == 0)
		raise_missing("No comparison run_results",
					  "There is no run yet; results of another one can be given as the option run_results.");
	n = dpipe_spi_run(&select_results, args, NULL, true, 0);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *node = dpipe_spi_text(row, 1, cxt);
		bool		hit = strcmp(dpipe_spi_text(row, 2, cxt), status) == 0;
		MemoryContext old = MemoryContextSwitchTo(cxt);

		if (hit)
			pd_put(matches, node, pd_null());
		MemoryContextSwitchTo(old);
	}
	dpipe_spi_end(&spi);
	return matches;
}

void
dpipe_begin_result(DpipeSearch *search)
{
	const PdDoc *results;
	PdDoc	   *matches;

	if (search->selection->run_results == NULL)
	{
		search->own = read_last_run(search->value);
		return;
	}
	results = results_of(search->selection->run_results, "run_results", "run_results.json");
	matches = pd_dict();
	for (int i = 0; i < results->n; i++)
	{
		const char *id = pd_get_text(results->u.items[i], "unique_id");

		if (id != NULL && pd_equals(pd_get(results->u.items[i], "status"), search->value))
			pd_put(matches, id, pd_null());
	}
	search->own = matches;
}

bool
dpipe_match_result(const DpipeSearch *search, const DpipeNode *node)
{
	return pd_get(search->own, node->unique_id) != NULL;
}

/* ---------- source_status ---------- */

static PdDoc *
find_result(const PdDoc *results, const char *id)
{
	for (int i = 0; i < results->n; i++)
		if (pd_equals(pd_get(results->u.items[i], "unique_id"), id))
			return results->u.items[i];
	return NULL;
}

static TimestampTz
time_of(const char *text)
{
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* Sources that have newer rows than they had, or that were not known. */
void
dpipe_begin_source_status(DpipeSearch *search)
{
	static const char *const hint = "Give sources.json as it was then as the option sources, and as it is now as the option sources_current.";
	const DpipeSelection *given = search->selection;
	const PdDoc *before;
	const PdDoc *now;
	PdDoc	   *matches = pd_dict();

	if (given->sources == NULL)
		raise_missing("No previous state comparison freshness results in sources.json", hint);
	if (given->sources_current == NULL)
		raise_missing("No current state comparison freshness results in sources.json", hint);
	before = results_of(given->sources, "sources", "sources.json");
	now = results_of(given->sources_current, "sources_current", "sources.json");
	for (int i = 0; i < now->n && strcmp(search->value, "fresher") == 0; i++)
	{
		const char *id = pd_get_text(now->u.items[i], "unique_id");
		const char *loaded = pd_get_text(now->u.items[i], "max_loaded_at");
		const char *old;

		if (id == NULL || loaded == NULL)
			continue;
		old = pd_get_text(find_result(before, id), "max_loaded_at");
		if (old == NULL || time_of(loaded) > time_of(old))
			pd_put(matches, id, pd_null());
	}
	search->own = matches;
}

bool
dpipe_match_source_status(const DpipeSearch *search, const DpipeNode *node)
{
	return pd_get(search->own, node->unique_id) != NULL;
}
