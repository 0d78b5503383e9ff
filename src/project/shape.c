/*
 * shape.c
 *		Which fields a manifest has for each kind of node, and in what form.
 *
 * A shape is JSON: a dict of fields with their defaults. What is given takes
 * the place of a default as it is, but for these:
 *
 *		{"$opt": shape}		an object, or null
 *		{"$obj": shape}		an object; all its defaults when it is not given
 *		{"$keep": shape}	as $obj, with fields of its own
 *		{"$open": shape}	as $opt, with fields of its own
 *		{"$name": shape}	as $opt; a text is its name
 *		{"$each": shape}	a list of objects
 *		{"$by": shape}		objects by name; fields without a default are kept
 *		"$where"			a filter: a text or a list of texts, or null
 *		"$window"			"7 days", or null
 *		"$text"				a text, also of a number or of a boolean as Python prints it, or null
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/formatting.h"

#include "project/shape.h"

/* ---------- shapes ---------- */

#define HEAD \
	"\"name\":null,\"resource_type\":null,\"package_name\":null,\"path\":null," \
	"\"original_file_path\":null,\"unique_id\":null"
#define RELATION "\"database\":null,\"schema\":null,"
#define COLUMN \
	"{\"name\":null,\"description\":\"\",\"meta\":{},\"data_type\":null,\"constraints\":[],\"quote\":null," \
	"\"config\":{\"$obj\":{\"meta\":{},\"tags\":[]}},\"tags\":[],\"granularity\":null,\"doc_blocks\":[]}"
#define EXTERNAL \
	"{\"$open\":{\"location\":null,\"file_format\":null,\"row_format\":null," \
	"\"tbl_properties\":null,\"partitions\":null}}"
#define DOCS "\"docs\":{\"$obj\":{\"show\":true,\"node_color\":null}}"
#define PARSED \
	RELATION HEAD ",\"fqn\":[],\"alias\":null,\"checksum\":{\"name\":\"none\",\"checksum\":\"\"},\"config\":{}," \
	"\"tags\":[],\"description\":\"\",\"columns\":{\"$by\":" COLUMN "},\"meta\":{},\"group\":null," DOCS "," \
	"\"patch_path\":null,\"build_path\":null,\"unrendered_config\":{},\"created_at\":null," \
	"\"relation_name\":null,\"raw_code\":\"\",\"doc_blocks\":[]"
#define REF "{\"name\":null,\"package\":null,\"version\":null}"
#define DEPENDS "\"depends_on\":{\"$obj\":{\"macros\":[],\"nodes\":[]}}"
#define COMPILED \
	PARSED ",\"language\":\"sql\",\"refs\":{\"$each\":" REF "},\"sources\":[],\"metrics\":[]," \
	"\"functions\":[]," DEPENDS ",\"compiled_path\":null," \
	"\"contract\":{\"$obj\":{\"enforced\":false,\"alias_types\":true,\"checksum\":null}}"

#define MEASURE_INPUT \
	"{\"$name\":{\"name\":null,\"filter\":\"$where\",\"alias\":null,\"join_to_timespine\":false," \
	"\"fill_nulls_with\":null}}"
#define METRIC_INPUT \
	"{\"name\":null,\"filter\":\"$where\",\"alias\":null,\"offset_window\":\"$window\"," \
	"\"offset_to_grain\":null}"
#define TYPE_PARAMS \
	"{\"$obj\":{\"measure\":" MEASURE_INPUT ",\"input_measures\":[]," \
	"\"numerator\":{\"$name\":" METRIC_INPUT "},\"denominator\":{\"$name\":" METRIC_INPUT "}," \
	"\"expr\":\"$text\",\"window\":\"$window\",\"grain_to_date\":null,\"metrics\":{\"$each\":" METRIC_INPUT "}," \
	"\"conversion_type_params\":{\"$opt\":{\"base_measure\":" MEASURE_INPUT "," \
	"\"conversion_measure\":" MEASURE_INPUT ",\"entity\":null,\"calculation\":\"conversion_rate\"," \
	"\"window\":\"$window\",\"constant_properties\":null}}," \
	"\"cumulative_type_params\":{\"$opt\":{\"window\":\"$window\",\"grain_to_date\":null," \
	"\"period_agg\":\"first\",\"metric\":null}},\"metric_aggregation_params\":null}}"
#define ELEMENT_CONFIG "\"config\":{\"$obj\":{\"meta\":{}}}"

static const struct
{
	const char *kind;
	const char *shape;
}			shapes[] = {
	{"model",
		"{" COMPILED ",\"access\":\"protected\",\"constraints\":[],\"version\":null,\"latest_version\":null,"
	"\"deprecation_date\":null,\"primary_key\":[],\"time_spine\":{\"$opt\":{"
	"\"standard_granularity_column\":null,\"custom_granularities\":{\"$each\":"
	"{\"name\":null,\"column_name\":null}}}}}"},
	{"analysis", "{" COMPILED "}"},
	{"snapshot", "{" COMPILED "}"},
	{"operation", "{" COMPILED ",\"index\":null}"},
	{"test", "{" COMPILED "}"},
	{"generic_test",
		"{" COMPILED ",\"column_name\":null,\"file_key_name\":null,\"attached_node\":null,"
	"\"test_metadata\":{}}"},
	{"seed", "{" PARSED ",\"root_path\":null,\"depends_on\":{\"$obj\":{\"macros\":[]}}}"},
	{"function",
		"{" COMPILED ",\"returns\":{\"$obj\":{\"data_type\":null,\"description\":null}},"
		"\"arguments\":{\"$each\":{\"name\":null,\"data_type\":null,\"description\":null,"
	"\"default_value\":null}}}"},
	{"source",
		"{" RELATION HEAD ",\"fqn\":[],\"source_name\":null,\"source_description\":\"\",\"loader\":\"\","
		"\"identifier\":null,\"quoting\":{},\"loaded_at_field\":null,\"loaded_at_query\":null,"
		"\"freshness\":null,\"external\":" EXTERNAL ",\"description\":\"\",\"columns\":{\"$by\":" COLUMN "},"
		"\"meta\":{},\"source_meta\":{},\"tags\":[],\"config\":{},\"patch_path\":null,"
		"\"unrendered_config\":{},\"relation_name\":null,\"created_at\":null,"
	"\"unrendered_database\":null,\"unrendered_schema\":null,\"doc_blocks\":[]}"},
	{"exposure",
		"{" HEAD ",\"fqn\":[],\"type\":null,\"owner\":{\"$keep\":{\"email\":null,\"name\":null}},\"description\":\"\",\"label\":null,"
		"\"maturity\":null,\"meta\":{},\"tags\":[],\"config\":{},\"unrendered_config\":{},\"url\":null,"
	DEPENDS ",\"refs\":{\"$each\":" REF "},\"sources\":[],\"metrics\":[],\"created_at\":null}"},
	{"metric",
		"{" HEAD ",\"fqn\":[],\"description\":\"\",\"label\":null,\"type\":null,"
		"\"type_params\":" TYPE_PARAMS ",\"filter\":\"$where\",\"metadata\":null,"
		"\"time_granularity\":null,\"meta\":{},\"tags\":[],\"config\":{},\"unrendered_config\":{},"
		"\"sources\":[]," DEPENDS ",\"refs\":{\"$each\":" REF "},\"metrics\":[],\"created_at\":null,"
	"\"group\":null}"},
	{"saved_query",
		"{" HEAD ",\"fqn\":[],\"query_params\":{\"$obj\":{\"metrics\":[],\"group_by\":[],"
		"\"where\":\"$where\",\"order_by\":[],\"limit\":null}},\"exports\":[],\"description\":null,"
		"\"label\":null,\"metadata\":null,\"config\":{},\"unrendered_config\":{},\"group\":null,"
	DEPENDS ",\"created_at\":null,\"refs\":{\"$each\":" REF "},\"tags\":[]}"},
	{"semantic_model",
		"{" HEAD ",\"fqn\":[],\"model\":null,\"node_relation\":null,\"description\":null,\"label\":null,"
		"\"defaults\":{\"$opt\":{\"agg_time_dimension\":null}},"
		"\"entities\":{\"$each\":{\"name\":null,\"type\":null,\"description\":null,\"label\":null,"
		"\"role\":null,\"expr\":null," ELEMENT_CONFIG "}},"
		"\"measures\":{\"$each\":{\"name\":null,\"agg\":null,\"description\":null,\"label\":null,"
		"\"create_metric\":false,\"expr\":\"$text\",\"agg_params\":{\"$opt\":{\"percentile\":null,"
		"\"use_discrete_percentile\":false,\"use_approximate_percentile\":false}},"
		"\"non_additive_dimension\":{\"$opt\":{\"name\":null,\"window_choice\":null,"
		"\"window_groupings\":[]}},\"agg_time_dimension\":null," ELEMENT_CONFIG "}},"
		"\"dimensions\":{\"$each\":{\"name\":null,\"type\":null,\"description\":null,\"label\":null,"
		"\"is_partition\":false,\"type_params\":{\"$opt\":{\"time_granularity\":null,"
		"\"validity_params\":{\"$opt\":{\"is_start\":false,\"is_end\":false}}}},\"expr\":null,"
		"\"metadata\":null," ELEMENT_CONFIG "}},\"metadata\":null," DEPENDS ","
		"\"refs\":{\"$each\":" REF "},\"created_at\":null,\"config\":{},\"unrendered_config\":{},"
	"\"primary_entity\":null,\"group\":null}"},
	{"unit_test",
		"{\"model\":null,\"given\":{\"$each\":{\"input\":null,\"rows\":null,\"format\":\"dict\","
		"\"fixture\":null}},\"expect\":{\"$obj\":{\"rows\":null,\"format\":\"dict\",\"fixture\":null}},"
		HEAD ",\"fqn\":[],\"description\":\"\",\"overrides\":{\"$opt\":{\"macros\":{},\"vars\":{},"
		"\"env_vars\":{}}}," DEPENDS ",\"config\":{},\"checksum\":null,\"schema\":null,"
		"\"created_at\":null,\"versions\":{\"$opt\":{\"include\":null,\"exclude\":null}},"
	"\"version\":null}"},
	{"group",
		"{" HEAD ",\"owner\":{\"$keep\":{\"email\":null,\"name\":null}},\"description\":null,"
	"\"config\":{\"$keep\":{\"meta\":{}}}}"},
	{"macro",
		"{" HEAD ",\"macro_sql\":\"\",\"depends_on\":{\"$obj\":{\"macros\":[]}},\"description\":\"\","
		"\"meta\":{}," DOCS ",\"config\":{\"$obj\":{\"meta\":{}," DOCS "}},\"patch_path\":null,"
		"\"arguments\":{\"$each\":{\"name\":null,\"type\":null,\"description\":\"\"}},"
	"\"created_at\":null,\"supported_languages\":null}"},
	{"doc", "{" HEAD ",\"block_contents\":\"\"}"},
};

/* ---------- values in a form of their own ---------- */

static PdDoc *
where_of(const PdDoc *value)
{
	PdDoc	   *result = pd_dict();
	PdDoc	   *filters = pd_list();
	bool		many = value->kind == PD_LIST;

	for (int i = 0; i < (many ? value->n : 1); i++)
	{
		PdDoc	   *filter = pd_dict();

		pd_put(filter, "where_sql_template", many ? value->u.items[i] : (PdDoc *) value);
		pd_append(filters, filter);
	}
	pd_put(result, "where_filters", filters);
	return result;
}

/* A standard unit loses its s: 7 days, but not 2 fiscals. */
static PdDoc *
window_of(const PdDoc *value)
{
	static const char *const units[] = {
		"nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week",
		"month", "quarter", "year",
	};
	const char *space = value->kind == PD_STRING ? strchr(value->u.text, ' ') : NULL;
	PdDoc	   *result = pd_dict();
	char	   *unit;

	if (space == NULL)
		return (PdDoc *) value;
	unit = asc_tolower(space + 1, strlen(space + 1));
	for (int i = 0; i < lengthof(units); i++)
		if (strlen(unit) == strlen(units[i]) + 1 && unit[strlen(units[i])] == 's' &&
			strncmp(unit, units[i], strlen(units[i])) == 0)
			unit[strlen(units[i])] = '\0';
	pd_put(result, "count", pd_int(atoi(value->u.text)));
	pd_put(result, "granularity", pd_string(unit));
	return result;
}

/* ---------- filling ---------- */

static PdDoc *fill(const PdDoc *shape, const PdDoc *value, bool keep);

static PdDoc *
by_name(const PdDoc *value)
{
	PdDoc	   *dict;

	if (value->kind != PD_STRING)
		return (PdDoc *) value;
	dict = pd_dict();
	pd_put(dict, "name", (PdDoc *) value);
	return dict;
}

/* What stands at a place of a shape that is no plain default. */
static PdDoc *
fill_marked(const char *mark, const PdDoc *shape, const PdDoc *value)
{
	PdDoc	   *result;

	if (strcmp(mark, "$each") == 0)
	{
		result = pd_list();
		for (int i = 0; pd_is(value, PD_LIST) && i < value->n; i++)
			pd_append(result, fill(shape, by_name(value->u.items[i]), false));
		return result;
	}
	if (strcmp(mark, "$by") == 0)
	{
		result = pd_dict();
		for (int i = 0; pd_is(value, PD_DICT) && i < value->n; i++)
			(void) pd_put_key(result, value->u.entries[i].key,
							  fill(shape, value->u.entries[i].value, true));
		return result;
	}
	if (strcmp(mark, "$keep") == 0)
		return fill(shape, pd_is_null(value) ? pd_dict() : value, true);
	if (pd_is_null(value))
		return strcmp(mark, "$obj") == 0 ? fill(shape, pd_dict(), false) : pd_null();
	return fill(shape, strcmp(mark, "$name") == 0 ? by_name(value) : value,
				strcmp(mark, "$open") == 0);
}

static PdDoc *
field(const PdDoc *shape, PdDoc *value)
{
	const char *word = pd_text(shape);

	if (shape->kind == PD_DICT && shape->n == 1 && pd_text(shape->u.entries[0].key)[0] == '$')
		return fill_marked(pd_text(shape->u.entries[0].key), shape->u.entries[0].value, value);
	if (word == NULL || word[0] != '$')
		return value != NULL ? value : (PdDoc *) shape;
	if (pd_is_null(value))
		return pd_null();
	if (strcmp(word, "$where") == 0)
		return where_of(value);
	if (strcmp(word, "$window") == 0)
		return window_of(value);
	if (value->kind == PD_BOOL)
		return pd_string(value->u.boolean ? "True" : "False");
	return pd_string(pd_scalar_text(value));
}

/* "keep": fields that the shape does not know, too. */
static PdDoc *
fill(const PdDoc *shape, const PdDoc *value, bool keep)
{
	PdDoc	   *result = pd_dict();

	check_stack_depth();
	if (!pd_is(value, PD_DICT))
		return (PdDoc *) value;
	for (int i = 0; i < shape->n; i++)
	{
		const char *key = pd_text(shape->u.entries[i].key);

		pd_put(result, key, field(shape->u.entries[i].value, pd_get(value, key)));
	}
	for (int i = 0; keep && i < value->n; i++)
		if (pd_text(value->u.entries[i].key) != NULL &&
			pd_get(shape, pd_text(value->u.entries[i].key)) == NULL)
			(void) pd_put_key(result, value->u.entries[i].key, value->u.entries[i].value);
	return result;
}

PdDoc *
pj_shape(const char *kind)
{
	for (int i = 0; i < lengthof(shapes); i++)
		if (strcmp(shapes[i].kind, kind) == 0)
			return pd_from_json(shapes[i].shape, strlen(shapes[i].shape));
	elog(ERROR, "a manifest has no kind \"%s\"", kind);
}

PdDoc *
pj_shaped(const PdDoc *shape, const PdDoc *doc)
{
	return fill(shape, doc, false);
}
