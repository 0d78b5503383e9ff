/*
 * schema.c
 *		What dbt demands of YAML: which keys an entry may and must have, and of
 *		what type their values are. Errors, in dbt's words; keys that dbt lets
 *		pass are warned of in keys.c.
 *
 * A schema is a list of "key=type", and "key!=type" for one that must be
 * there; " *" at its end allows others. A type is one or more of these, with |
 * between them, and ? behind them for null:
 *
 *		s b i n m a			string, boolean, integer, number, mapping, anything
 *		@name				a mapping as the schema of that name says
 *		[type]				a list
 *		<a,b>				one of these words
 *		{a,b}				one of these words, in capitals or not
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/formatting.h"

#include "project/schema.h"

#define NODE \
	"name!=s description=s meta=m data_type=s? constraints=[m] docs=@docs config=m "
#define TESTED "data_tests=[m|s] tests=[m|s] "
#define NODE_CONFIG \
	"enabled=b alias=s? schema=s? database=s? tags=[s]|s meta=m group=s? static_analysis=s|b? materialized=s " \
	"incremental_strategy=s? persist_docs=m quoting=m column_types=m full_refresh=b? unique_key=s|[s]? " \
	"on_schema_change=s? on_configuration_change=<apply,continue,fail> grants=m packages=[s] docs=@docs " \
	"contract=@contract "
#define INPUT "name!=s filter=s|[s]? alias=s? "
#define AGGREGATION "{sum,min,max,count_distinct,sum_boolean,average,percentile,median,count}"
#define GRAIN "{nanosecond,microsecond,millisecond,second,minute,hour,day,week,month,quarter,year}"

static const struct
{
	const char *name;
	const char *keys;
}			schemas[] = {
	/* sections of YAML files */
	{"sources", "name!=s description=s meta=m database=s? schema=s? loader=s quoting=@quoting freshness=@freshness? loaded_at_field=s? loaded_at_query=s? tables=[@table] tags=[s] config=m unrendered_database=s? unrendered_schema=s? "},
	{"exposures", "name!=s type!=<dashboard,notebook,analysis,ml,application> owner!=@owner description=s label=s? maturity=<low,medium,high>? meta=m tags=[s] url=s? depends_on=[s] config=m "},
	{"groups", "name!=s owner!=@owner description=s? config=m "},
	{"metrics", "name!=s label!=s type!={simple,ratio,cumulative,derived,conversion} type_params!=@type_params description=s filter=s|[s]? time_granularity=s? meta=m tags=[s] config=m "},
	{"semantic_models", "name!=s model!=s config=m description=s? label=s? defaults=@defaults? entities=[@entity] measures=[@measure] dimensions=[@dimension] primary_entity=s? "},
	{"saved_queries", "name!=s query_params!=@query_params description=s? label=s? exports=[@export] config=m tags=s|[s] "},
	{"unit_tests", "name!=s model!=s given!=[@given] expect!=@expect description=s overrides=@overrides? config=m versions=@include? "},
	{"models", NODE TESTED "columns=[@column] quote_columns=b? access=s? latest_version=s|n? versions=[@version] deprecation_date=s? time_spine=@time_spine? *"},
	{"seeds", NODE TESTED "columns=[@column] quote_columns=b? access=s? *"},
	{"snapshots", NODE TESTED "columns=[@column] quote_columns=b? access=s? *"},
	{"analyses", NODE "columns=[@bare_column] access=s? *"},
	{"functions", NODE "access=s? arguments=[@argument] returns!=@returns *"},
	{"macros", NODE "arguments=[@macro_argument] *"},
	{"data_tests", NODE "*"},
	/* what they hold */
	{"table", NODE TESTED "columns=[@column] loaded_at_field=s? loaded_at_query=s? identifier=s? quoting=@quoting freshness=@freshness? external=@external? tags=[s] *"},
	{"source_patch", "name!=s overrides!=s config=m description=s? meta=m? database=s? schema=s? loader=s? quoting=@quoting? freshness=@freshness? loaded_at_field=s? loaded_at_query=s? tables=[@table_patch]? tags=[s]? unrendered_database=s? unrendered_schema=s? "},
	{"table_patch", "name!=s description=s? meta=m? data_type=s? docs=@docs? loaded_at_field=s? loaded_at_query=s? identifier=s? quoting=@quoting freshness=@freshness? external=@external? tags=[s]? data_tests=[m|s]? tests=[m|s]? columns=[@column]? "},
	{"column", NODE TESTED "quote=b? tags=[s] granularity=" GRAIN "? *"},
	{"bare_column", NODE "*"},
	{"version", "v!=s|n defined_in=s? description=s access=s? config=m constraints=[m] docs=@docs data_tests=[m|s]? tests=[m|s]? columns=[m] deprecation_date=s? "},
	{"docs", "show=b node_color=s? "},
	{"contract", "enforced=b alias_types=b "},
	{"quoting", "database=b? schema=b? identifier=b? column=b? "},
	{"freshness", "warn_after=@age? error_after=@age? filter=s? "},
	{"age", "count=i? period=<minute,hour,day>? "},
	{"external", "location=s? file_format=s? row_format=s? tbl_properties=s? partitions=[s|m]? *"},
	{"owner", "email=s|[s]? name=s? *"},
	{"time_spine", "standard_granularity_column!=s custom_granularities=[@granularity] "},
	{"granularity", "name!=s column_name=s? "},
	{"argument", "name!=s data_type!=s description=s? default_value=a "},
	{"macro_argument", "name!=s type=s? description=s "},
	{"returns", "data_type!=s description=s? "},
	{"type_params", "measure=@measure_input|s? numerator=@metric_input|s? denominator=@metric_input|s? expr=s|b? window=s? grain_to_date=" GRAIN "? metrics=[@metric_input|s]? conversion_type_params=@conversion? cumulative_type_params=@cumulative? "},
	{"measure_input", INPUT "join_to_timespine=b fill_nulls_with=i? "},
	{"metric_input", INPUT "offset_window=s? offset_to_grain=s? "},
	{"conversion", "base_measure!=@measure_input|s conversion_measure!=@measure_input|s entity!=s calculation={conversions,conversion_rate} window=s? constant_properties=[@constant]? "},
	{"constant", "base_property!=s conversion_property!=s "},
	{"cumulative", "window=s? grain_to_date=s? period_agg={first,last,average} "},
	{"defaults", "agg_time_dimension=s? "},
	{"entity", "name!=s type!={foreign,natural,primary,unique} description=s? label=s? role=s? expr=s? config=m "},
	{"measure", "name!=s agg!=" AGGREGATION " description=s? label=s? expr=s|b|i? agg_params=@agg_params? non_additive_dimension=@non_additive? agg_time_dimension=s? create_metric=b config=m "},
	{"agg_params", "percentile=n? use_discrete_percentile=b use_approximate_percentile=b "},
	{"non_additive", "name!=s window_choice!=" AGGREGATION " window_groupings=[s] "},
	{"dimension", "name!=s type!={categorical,time} description=s? label=s? is_partition=b type_params=@dimension_params? expr=s? config=m "},
	{"dimension_params", "time_granularity!=" GRAIN " validity_params=@validity? "},
	{"validity", "is_start=b is_end=b "},
	{"query_params", "metrics=[s] group_by=[s] where=s|[s]? order_by=[s] limit=i? "},
	{"export", "name!=s config=@export_config "},
	{"export_config", "export_as={table,view}? *"},
	{"given", "input!=s rows=s|[m]? format=<csv,dict,sql> fixture=s? "},
	{"expect", "rows=s|[m]? format=<csv,dict,sql> fixture=s? "},
	{"overrides", "macros=m vars=m env_vars=m "},
	{"include", "include=[s|n]? exclude=[s|n]? "},
	/* dbt_project.yml */
	{"project", "name!=s config-version=i? version=a project-root=s? source-paths=[s]? model-paths=[s]? macro-paths=[s]? data-paths=[s]? seed-paths=[s]? test-paths=[s]? analysis-paths=[s]? docs-paths=[s]? asset-paths=[s]? function-paths=[s]? target-path=s? snapshot-paths=[s]? clean-targets=[s]? profile=s? log-path=s? packages-install-path=s? quoting=@project_quoting? on-run-start=[s]|s? on-run-end=[s]|s? require-dbt-version=[s]|s? dispatch=[m] models=m? seeds=m? snapshots=m? analyses=m sources=m tests=m data_tests=m unit_tests=m metrics=m semantic-models=m saved-queries=m exposures=m functions=m vars=m? packages=[m] query-comment=@query_comment|s? restrict-access=b dbt-cloud=m? flags=m "},
	{"query_comment", "comment=s append=b? job-label=b "},
	{"project_quoting", "schema=b? database=b? project=b? identifier=b? snowflake_ignore_case=b? "},
	/* configuration of nodes, when it is complete */
	{"model_config", NODE_CONFIG "access=<private,protected,public> freshness=@model_freshness? *"},
	{"model_freshness", "build_after=@build_after *"},
	{"build_after", "count=i? period=<minute,hour,day>? updates_on=<all,any> *"},
	{"function_config", NODE_CONFIG "type=<scalar,aggregate,table> volatility=<deterministic,stable,non-deterministic>? runtime_version=s? entry_point=s? *"},
	{"seed_config", NODE_CONFIG "delimiter=s quote_columns=b? *"},
	{"snapshot_config", NODE_CONFIG "strategy=s? target_schema=s? target_database=s? updated_at=s? check_cols=s|[s]? snapshot_meta_column_names=@meta_columns dbt_valid_to_current=s? *"},
	{"meta_columns", "dbt_valid_to=s? dbt_valid_from=s? dbt_scd_id=s? dbt_updated_at=s? dbt_is_deleted=s? *"},
	{"test_config", "enabled=b alias=s? schema=s? database=s? tags=[s]|s meta=m group=s? materialized=s store_failures=b? store_failures_as=s? where=s? limit=i? fail_calc=s warn_if=s error_if=s *"},
	{"source_config", "enabled=b freshness=@freshness? loaded_at_field=s? loaded_at_query=s? meta=m tags=[s]|s *"},
	{"exposure_config", "enabled=b tags=[s]|s meta=m *"},
	{"metric_config", "enabled=b group=s? meta=m *"},
	{"semantic_model_config", "enabled=b group=s? meta=m *"},
	{"saved_query_config", "enabled=b group=s? meta=m export_as={table,view}? schema=s? *"},
	{"unit_test_config", "enabled=b tags=s|[s] meta=m *"},
};

static const struct
{
	char		letter;
	const char *name;
}			types[] = {
	{'s', "string"}, {'b', "boolean"}, {'i', "integer"}, {'n', "number"}, {'m', "object"},
};

/* ---------- schemas ---------- */

static const char *
schema_named(const char *name, int len)
{
	for (int i = 0; i < lengthof(schemas); i++)
		if (strlen(schemas[i].name) == len && strncmp(schemas[i].name, name, len) == 0)
			return schemas[i].keys;
	return NULL;
}

typedef struct Key
{
	const char *name;
	int			len;
	bool		required;
	const char *type;
} Key;

/* The key at "*p", which is set behind it; false: no more. */
static bool
next_key(const char **p, Key *key)
{
	const char *equal = strchr(*p, '=');

	if (equal == NULL)
		return false;
	key->name = *p;
	key->required = equal[-1] == '!';
	key->len = equal - *p - (key->required ? 1 : 0);
	key->type = equal + 1;
	*p = equal + strcspn(equal, " ");
	*p += strspn(*p, " ");
	return true;
}

static bool
is_open(const char *keys)
{
	int			len = strlen(keys);

	return len > 0 && keys[len - 1] == '*';
}

/* Behind one alternative of a type. */
static const char *
skip_one(const char *type)
{
	if (*type == '[')
	{
		for (type++; *type != ']'; type++)
			;
		return type + 1;
	}
	if (*type == '<' || *type == '{')
		return type + strcspn(type, ">}") + 1;
	return type + strcspn(type, "|?] ");
}

static const char *
behind(const char *type)
{
	type = skip_one(type);
	while (*type == '|')
		type = skip_one(type + 1);
	return type;
}

/* ---------- values ---------- */

static bool mapping_fits(const char *keys, const PdDoc *doc, const char *path, PjMisfit *misfit);
static bool value_fits(const char *type, const PdDoc *doc, const char *path, PjMisfit *misfit);

static bool
misfits(PjMisfit *misfit, const PdDoc *doc, const char *path, char *message)
{
	misfit->doc = doc;
	misfit->path = path;
	misfit->message = message;
	misfit->known = NULL;
	return false;
}

static char *
shown(const PdDoc *doc)
{
	if (doc->kind == PD_STRING)
		return psprintf("'%s'", doc->u.text);
	return pd_to_json(doc);
}

static bool
is_of(char letter, const PdDoc *doc)
{
	switch (letter)
	{
		case 's':
			return doc->kind == PD_STRING;
		case 'b':
			return doc->kind == PD_BOOL;
		case 'i':
			return doc->kind == PD_INT;
		case 'n':
			return doc->kind == PD_INT || doc->kind == PD_FLOAT;
		case 'm':
			return doc->kind == PD_DICT;
		default:
			return true;
	}
}

static bool
word_fits(const char *words, const PdDoc *doc, const char *path, PjMisfit *misfit)
{
	int			n = strcspn(words, ">}");
	bool		any_case = words[n] == '}';
	const char *text = pd_text(doc);

	for (const char *word = words; text != NULL && word < words + n;)
	{
		int			len = strcspn(word, ",>}");

		if (strlen(text) == len &&
			(any_case ? pg_strncasecmp(text, word, len) : strncmp(text, word, len)) == 0)
			return true;
		word += len + 1;
	}
	return misfits(misfit, doc, path,
				   psprintf("%s is %s: %.*s", shown(doc), any_case ? "none of" : "not one of", n, words));
}

static bool
list_fits(const char *type, const PdDoc *doc, const char *path, PjMisfit *misfit)
{
	if (doc->kind != PD_LIST)
		return misfits(misfit, doc, path, psprintf("%s is not of type 'array'", shown(doc)));
	for (int i = 0; i < doc->n; i++)
		if (!value_fits(type, doc->u.items[i], psprintf("%s[%d]", path, i), misfit))
			return false;
	return true;
}

static bool
alternative_fits(const char *type, const PdDoc *doc, const char *path, PjMisfit *misfit)
{
	if (*type == '[')
		return list_fits(type + 1, doc, path, misfit);
	if (*type == '<' || *type == '{')
		return word_fits(type + 1, doc, path, misfit);
	if (*type == '@')
		return mapping_fits(schema_named(type + 1, strcspn(type + 1, "|?] ")), doc, path, misfit);
	if (is_of(*type, doc))
		return true;
	for (int i = 0; i < lengthof(types); i++)
		if (types[i].letter == *type)
			return misfits(misfit, doc, path,
						   psprintf("%s is not of type '%s'", shown(doc), types[i].name));
	return misfits(misfit, doc, path, psprintf("%s is not valid", shown(doc)));
}

/* With more than one alternative dbt only says that none fits; we say why. */
static bool
value_fits(const char *type, const PdDoc *doc, const char *path, PjMisfit *misfit)
{
	const char *end = behind(type);
	bool		many = *end == '?' || *skip_one(type) == '|';
	PjMisfit	why = {0};

	if (*end == '?' && doc->kind == PD_NULL)
		return true;
	for (const char *one = type; one < end; one = skip_one(one) + 1)
	{
		PjMisfit	reason;

		if (alternative_fits(one, doc, path, &reason))
			return true;
		if (why.message == NULL || (*one == '@' && doc->kind == PD_DICT))
			why = reason;
	}
	*misfit = why;
	if (!many)
		return false;
	misfit->path = path;
	misfit->message = psprintf("%s is not valid under any of the given schemas (%s)", shown(doc),
							   why.message);
	return false;
}

/* ---------- mappings ---------- */

static char *
known_keys(const char *keys)
{
	StringInfoData buf;
	Key			key;

	initStringInfo(&buf);
	while (next_key(&keys, &key))
		appendStringInfo(&buf, "%s%.*s", buf.len > 0 ? ", " : "", key.len, key.name);
	return buf.data;
}

static bool
find_key(const char *keys, const char *name, Key *key)
{
	while (next_key(&keys, key))
		if (strlen(name) == key->len && strncmp(name, key->name, key->len) == 0)
			return true;
	return false;
}

static bool
mapping_fits(const char *keys, const PdDoc *doc, const char *path, PjMisfit *misfit)
{
	const char *p = keys;
	Key			key;

	check_stack_depth();
	if (doc->kind != PD_DICT)
		return misfits(misfit, doc, path, psprintf("%s is not of type 'object'", shown(doc)));
	while (next_key(&p, &key))
		if (key.required && pd_get(doc, pnstrdup(key.name, key.len)) == NULL)
			return misfits(misfit, doc, path,
						   psprintf("'%.*s' is a required property", key.len, key.name));
	for (int i = 0; i < doc->n; i++)
	{
		const PdEntry *entry = &doc->u.entries[i];
		const char *name = pd_scalar_text(entry->key);

		if (find_key(keys, name, &key))
		{
			if (!value_fits(key.type, entry->value, psprintf("%s['%s']", path, name), misfit))
				return false;
		}
		else if (!is_open(keys))
		{
			(void) misfits(misfit, entry->value, path,
						   psprintf("Additional properties are not allowed ('%s' was unexpected)", name));
			misfit->known = known_keys(keys);
			return false;
		}
	}
	return true;
}

/* ---------- words in capitals ---------- */

static void settle_mapping(const char *keys, PdDoc *doc);

/* As it is to stand in place of "doc". */
static PdDoc *
settled(const char *type, PdDoc *doc)
{
	const char *end = behind(type);

	for (const char *one = type; one < end; one = skip_one(one) + 1)
	{
		if (*one == '{' && doc->kind == PD_STRING)
		{
			PdDoc	   *word = pd_string(asc_tolower(doc->u.text, doc->n));

			word->line = doc->line;
			word->column = doc->column;
			return word;
		}
		if (*one == '@' && doc->kind == PD_DICT)
			settle_mapping(schema_named(one + 1, strcspn(one + 1, "|?] ")), doc);
		if (*one == '[' && doc->kind == PD_LIST)
			for (int i = 0; i < doc->n; i++)
				doc->u.items[i] = settled(one + 1, doc->u.items[i]);
	}
	return doc;
}

static void
settle_mapping(const char *keys, PdDoc *doc)
{
	Key			key;

	check_stack_depth();
	for (int i = 0; i < doc->n; i++)
	{
		PdEntry    *entry = &doc->u.entries[i];

		if (find_key(keys, pd_scalar_text(entry->key), &key))
			entry->value = settled(key.type, entry->value);
	}
}

void
pj_schema_settle(const char *schema, PdDoc *doc)
{
	const char *keys = schema_named(schema, strlen(schema));

	if (keys != NULL)
		settle_mapping(keys, doc);
}

bool
pj_schema_has(const char *schema, const char *name)
{
	const char *keys = schema_named(schema, strlen(schema));
	Key			key;

	return keys != NULL && find_key(keys, name, &key);
}

bool
pj_schema_fits(const char *schema, const PdDoc *doc, PjMisfit *misfit)
{
	const char *keys = schema_named(schema, strlen(schema));
	bool		fits = keys == NULL || mapping_fits(keys, doc, "", misfit);

	if (!fits && misfit->path[0] == '\0')
		misfit->path = "[]";
	return fits;
}
