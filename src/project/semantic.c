/*
 * semantic.c
 *		Metrics, semantic models and saved queries as a manifest shows them.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/manifest.h"
#include "project/node.h"

/* ---------- metrics ---------- */

static bool
holds(const PdDoc *list, const PdDoc *value)
{
	for (int i = 0; i < list->n; i++)
		if (pd_equal(list->u.items[i], value))
			return true;
	return false;
}

static void
add_measure(PdDoc *measures, PdDoc *measure)
{
	if (!pd_is_null(measure) && !holds(measures, measure))
		pd_append(measures, measure);
}

static void add_measures(PjManifest *m, PdDoc *measures, const char *type, const PdDoc *params);

/* Those of the metric that is named there. */
static void
add_measures_of(PjManifest *m, PdDoc *measures, const PdDoc *input)
{
	const char *name = pd_get_text(input, "name");
	ListCell   *lc;

	foreach(lc, name != NULL ? (List *) pj_table_get(m->load->by_name, name) : NIL)
	{
		PjNode	   *node = lfirst(lc);
		PdDoc	   *doc;

		if (strcmp(node->resource_type, "metric") != 0 || !node->enabled)
			continue;
		doc = pj_manifest_doc(m, "metric", node->more);
		add_measures(m, measures, pd_get_text(doc, "type"), pd_get(doc, "type_params"));
		return;
	}
}

/* A metric of metrics is made of the measures that these are made of. */
static void
add_measures(PjManifest *m, PdDoc *measures, const char *type, const PdDoc *params)
{
	PdDoc	   *conversion = pd_get(params, "conversion_type_params");
	PdDoc	   *inputs = pd_get(params, "metrics");

	check_stack_depth();
	if (type == NULL)
		return;
	if (strcmp(type, "conversion") == 0)
	{
		add_measure(measures, pd_get(conversion, "base_measure"));
		add_measure(measures, pd_get(conversion, "conversion_measure"));
	}
	else if (strcmp(type, "ratio") == 0)
	{
		add_measures_of(m, measures, pd_get(params, "numerator"));
		add_measures_of(m, measures, pd_get(params, "denominator"));
	}
	else if (strcmp(type, "derived") == 0)
	{
		for (int i = 0; pd_is(inputs, PD_LIST) && i < inputs->n; i++)
			add_measures_of(m, measures, inputs->u.items[i]);
	}
	else
		add_measure(measures, pd_get(params, "measure"));
}

/* What a cumulative metric says at the old place holds at the new one. */
static void
settle_cumulative(const PjNode *node, PdDoc *params)
{
	static const char *const moved[] = {"window", "grain_to_date"};
	PdDoc	   *cumulative = pd_get(params, "cumulative_type_params");
	PdDoc	   *whole = pd_dict();

	pd_put(whole, "window", pd_null());
	pd_put(whole, "grain_to_date", pd_null());
	pd_put(whole, "period_agg", pd_string("first"));
	pd_put(whole, "metric", pd_null());
	if (pd_is(cumulative, PD_DICT))
		pd_update(whole, cumulative);
	for (int i = 0; i < lengthof(moved); i++)
		if (pd_is_null(pd_get(whole, moved[i])))
			pd_put(whole, moved[i], pd_get(params, moved[i]));
	pd_put(params, "cumulative_type_params", whole);
}

void
pj_manifest_metric(PjManifest *m, const PjNode *node, PdDoc *doc)
{
	PdDoc	   *params = pd_get(doc, "type_params");
	const char *type = pd_get_text(doc, "type");
	PdDoc	   *measures = pd_list();

	if (type != NULL && strcmp(type, "cumulative") == 0)
		settle_cumulative(node, params);
	if (node->enabled)
		add_measures(m, measures, type, params);
	pd_put(params, "input_measures", measures);
}

/* ---------- semantic models ---------- */

/* What has no description has null here. */
static void
describe(PdDoc *doc)
{
	if (pd_equals(pd_get(doc, "description"), ""))
		pd_put(doc, "description", pd_null());
}

static PdDoc *
relation_of(const PjNode *model)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "alias", pd_string(model->alias));
	pd_put(doc, "schema_name", pd_string(model->schema));
	pd_put(doc, "database", pd_string(model->database));
	pd_put(doc, "relation_name", pd_string(pj_relation_text(model)));
	return doc;
}

/* The metrics are there; dbt shows the wish for them as if there was none. */
static void
forget_create_metric(PdDoc *measures)
{
	for (int i = 0; pd_is(measures, PD_LIST) && i < measures->n; i++)
		pd_put(measures->u.items[i], "create_metric", pd_bool(false));
}

void
pj_manifest_semantic_model(PjManifest *m, const PjNode *node, PdDoc *doc)
{
	static const char *const parts[] = {"entities", "measures", "dimensions"};
	PdDoc	   *meta = pd_get(pd_get(doc, "config"), "meta");
	PjNode	   *model = node->depends_on != NIL
		? pj_table_get(m->load->by_id, linitial(node->depends_on)) : NULL;

	describe(doc);
	forget_create_metric(pd_get(doc, "measures"));
	if (model != NULL)
		pd_put(doc, "node_relation", relation_of(model));
	for (int p = 0; p < lengthof(parts) && pd_truth(meta); p++)
	{
		PdDoc	   *list = pd_get(doc, parts[p]);

		for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		{
			PdDoc	   *config = pd_get(list->u.items[i], "config");
			PdDoc	   *merged = pd_copy_top(meta);

			pd_update(merged, pd_get(config, "meta"));
			pd_put(config, "meta", merged);
		}
	}
}

/* ---------- saved queries ---------- */

static PdDoc *
first_of(const PdDoc *a, const char *key, const PdDoc *b, const char *other)
{
	PdDoc	   *value = pd_get(a, key);

	if (pd_is_null(value))
		value = pd_get(b, other);
	return pd_is_null(value) ? pd_null() : value;
}

static PdDoc *
export_of(const PjManifest *m, const PjNode *node, const PdDoc *given)
{
	PdDoc	   *own = pd_get(given, "config");
	PdDoc	   *doc = pd_dict();
	PdDoc	   *config = pd_dict();
	PdDoc	   *schema = first_of(own, "schema_name", own, "schema");
	PdDoc	   *name = pd_get(given, "name");

	if (pd_is_null(schema))
		schema = first_of(node->config, "schema", m->load->target, "schema");
	pd_put(config, "export_as", first_of(own, "export_as", node->config, "export_as"));
	pd_put(config, "schema_name", schema);
	pd_put(config, "alias", first_of(own, "alias", given, "name"));
	pd_put(config, "database", first_of(own, "database", m->load->target, "database"));
	pd_put(doc, "name", name != NULL ? name : pd_null());
	pd_put(doc, "config", config);
	pd_put(doc, "unrendered_config", pd_is(own, PD_DICT) ? own : pd_dict());
	return doc;
}

void
pj_manifest_saved_query(PjManifest *m, const PjNode *node, PdDoc *doc)
{
	PdDoc	   *given = pd_get(node->more, "exports");
	PdDoc	   *exports = pd_list();

	describe(doc);
	for (int i = 0; pd_is(given, PD_LIST) && i < given->n; i++)
		pd_append(exports, export_of(m, node, given->u.items[i]));
	pd_put(doc, "exports", exports);
}
