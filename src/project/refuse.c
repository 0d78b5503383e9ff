/*
 * refuse.c
 *		What dbt refuses of a project's YAML and configuration: the schemas of
 *		schema.c, and what no schema says.
 */
#include "base/compat.h"

#include "utils/formatting.h"

#include "project/loading.h"
#include "project/schema.h"

/* ---------- errors ---------- */

static void
pg_attribute_noreturn() raise_misfit(const PjFile *file, const PjMisfit *misfit, const char *what)
{
	const PdDoc *doc = misfit->doc;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s: %sat path %s: %s", file->path, what, misfit->path, misfit->message),
			 doc != NULL && doc->line > 0
			 ? errdetail("Line %d, column %d.", doc->line, doc->column) : 0,
			 misfit->known != NULL ? errhint("What may stand there: %s.", misfit->known) : 0));
}

static void
pg_attribute_noreturn() refuse(const PjFile *file, const PdDoc *doc, const char *what,
							   const char *message)
{
	PjMisfit	misfit = {.doc = doc,.path = "[]",.message = message};

	raise_misfit(file, &misfit, what);
}

/* ---------- entries of YAML files ---------- */

static void
check_owner(const PjFile *file, const PdDoc *owner, const char *what, const char *kind)
{
	if (pd_is_null(pd_get(owner, "name")) && pd_is_null(pd_get(owner, "email")))
		refuse(file, owner, what,
			   psprintf("%s owner must have at least one of 'name' or 'email'.", kind));
}

/* One of them, beside "config" or in it; a table may say that it has no field. */
static void
check_loaded_at(const PjFile *file, const PdDoc *entry, bool table)
{
	const PdDoc *config = pd_get(entry, "config");
	bool		has_field = table ? pj_says_loaded_at_field(entry)
		: pd_truth(pd_get(entry, "loaded_at_field")) || pd_truth(pd_get(config, "loaded_at_field"));

	if (has_field &&
		(pd_truth(pd_get(entry, "loaded_at_query")) || pd_truth(pd_get(config, "loaded_at_query"))))
		pj_raise(file, entry,
				 "Cannot specify both loaded_at_field and loaded_at_query at %s level.",
				 table ? "table" : "source");
}

static void
check_place(const PjFile *file, const PdDoc *entry)
{
	const PdDoc *field = pd_get(entry, "loaded_at_field");
	const PdDoc *freshness = pd_get(pd_get(entry, "config"), "freshness");

	if (pd_equals(field, ""))
		pj_raise(file, field, "loaded_at_field cannot be an empty string.");
	if (!pd_is_null(freshness) && freshness->kind != PD_DICT)
		pj_raise(file, freshness, "\"freshness\" must be a mapping, not %s", pd_kind_name(freshness));
}

static void
check_source(const PjFile *file, const PdDoc *source)
{
	const PdDoc *tables = pd_get(source, "tables");
	const PdDoc *meta = pd_get(pd_get(source, "config"), "meta");

	check_place(file, source);
	if (meta != NULL && meta->kind != PD_DICT)
		pj_raise(file, meta, "\"meta\" must be a mapping, not %s", pd_kind_name(meta));
	for (int i = 0; pd_is(tables, PD_LIST) && i < tables->n; i++)
	{
		check_place(file, tables->u.items[i]);
		check_loaded_at(file, tables->u.items[i], true);
		check_loaded_at(file, source, false);
	}
}

static void
check_metric_name(const PjFile *file, const PdDoc *name, const char *what)
{
	const unsigned char *s = (const unsigned char *) pd_text(name);
	const char *wrong = NULL;

	if (!isalpha(*s))
		wrong = "must begin with a letter";
	for (; *s != '\0' && wrong == NULL; s++)
		if (!isalnum(*s) && *s != '_' && *s < 128)
			wrong = *s == ' ' ? "cannot contain spaces" : "must contain only letters, numbers and underscores";
	if (wrong == NULL && name->n > 250)
		wrong = "cannot contain more than 250 characters";
	if (wrong != NULL)
		refuse(file, name, what,
			   psprintf("The metric name '%s' is invalid.  It %s", pd_text(name), wrong));
}

/* "28 days": a count and a grain, with one space between */
static void
check_window(const PjFile *file, const PdDoc *dict, const char *key)
{
	const PdDoc *window = pd_get(dict, key);
	const char *text = pd_text(window);
	int			digits;

	if (text == NULL)
		return;
	digits = strspn(text, "0123456789");
	if (strchr(text, ' ') == NULL || strchr(text, ' ') != strrchr(text, ' '))
		pj_raise(file, window,
				 "Invalid window (%s) in cumulative/conversion metric. Should be of the form `<count> <granularity>`, e.g., `28 days`",
				 text);
	if (digits == 0 || text[digits] != ' ')
		pj_raise(file, window,
				 "Invalid count (%.*s) in cumulative/conversion metric window string: (%s)",
				 (int) strcspn(text, " "), text, text);
}

static void
check_windows(const PjFile *file, const PdDoc *metric)
{
	const PdDoc *params = pd_get(metric, "type_params");
	const PdDoc *inputs = pd_get(params, "metrics");

	check_window(file, params, "window");
	check_window(file, pd_get(params, "numerator"), "offset_window");
	check_window(file, pd_get(params, "denominator"), "offset_window");
	check_window(file, pd_get(params, "conversion_type_params"), "window");
	if (pg_strcasecmp(pd_get_text(metric, "type"), "cumulative") == 0)
		check_window(file, pd_get(params, "cumulative_type_params"), "window");
	for (int i = 0; pd_is(inputs, PD_LIST) && i < inputs->n; i++)
		check_window(file, inputs->u.items[i], "offset_window");
}

/* Letters of any language, digits, _ and -. */
static void
warn_exposure_name(const PjFile *file, const PdDoc *name)
{
	for (const unsigned char *s = (const unsigned char *) pd_text(name); *s != '\0'; s++)
		if (!isalnum(*s) && *s != '_' && *s != '-' && *s < 128)
		{
			pj_warn(file, name,
					"The 'name' of an exposure should contain only letters, numbers, and underscores. %s does not follow this pattern: use the 'label' property for a human-friendly title.",
					pd_text(name));
			return;
		}
}

void
pj_check_arguments(const PjFile *file, const PdDoc *function)
{
	const PdDoc *arguments = pd_get(function, "arguments");
	bool		defaulted = false;

	for (int i = 0; pd_is(arguments, PD_LIST) && i < arguments->n; i++)
	{
		const PdDoc *argument = arguments->u.items[i];
		bool		has = !pd_is_null(pd_get(argument, "default_value"));

		if (defaulted && !has)
			pj_raise(file, argument,
					 "Non-defaulted argument '%s' of function '%s' comes after a defaulted argument. Non-defaulted arguments cannot come after defaulted arguments.",
					 pd_get_text(argument, "name"), pd_get_text(function, "name"));
		defaulted |= has;
	}
}

void
pj_check_entry(const PjFile *file, const char *section, PdDoc *entry)
{
	const PdDoc *name = pd_get(entry, "name");
	const PdDoc *versions = pd_get(entry, "versions");
	char	   *what = psprintf("Invalid %s config given @ %s.%s - ", section, section,
								pd_scalar_text(name));
	PjMisfit	misfit;

	if (strcmp(section, "sources") == 0 && pd_get(entry, "overrides") != NULL)
	{
		if (!pj_schema_fits("source_patch", entry, &misfit))
			raise_misfit(file, &misfit, what);
		return;
	}
	if (!pj_schema_fits(section, entry, &misfit))
		raise_misfit(file, &misfit, what);
	pj_schema_settle(section, entry);
	if (strcmp(section, "models") == 0)
		pj_check_model_entry(file, entry);
	else if (strcmp(section, "sources") == 0)
		check_source(file, entry);
	else if (strcmp(section, "groups") == 0)
		check_owner(file, pd_get(entry, "owner"), what, "Group");
	else if (strcmp(section, "metrics") == 0)
	{
		check_metric_name(file, name, what);
		check_windows(file, entry);
	}
	else if (strcmp(section, "exposures") == 0)
	{
		check_owner(file, pd_get(entry, "owner"), what, "Exposure");
		warn_exposure_name(file, name);
	}
	else if (strcmp(section, "unit_tests") == 0 && pd_truth(pd_get(versions, "include")) &&
			 pd_truth(pd_get(versions, "exclude")))
		refuse(file, versions, what, "Unit tests can not both include and exclude versions.");
}

/* ---------- dbt_project.yml ---------- */

/* 1.0, 1.0.0, 1.0.0-rc.1+build: two numbers at least */
static bool
is_version(const char *s)
{
	int			numbers = 0;

	for (;;)
	{
		int			digits = strspn(s, "0123456789");

		if (digits == 0 || (digits > 1 && *s == '0'))
			return false;
		s += digits;
		if (++numbers == 3 || *s != '.')
			break;
		s++;
	}
	if (numbers == 3 && *s == '-')
		s += 1 + strspn(s + 1, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.");
	if (numbers > 1 && *s == '+')
		s += 1 + strspn(s + 1, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.");
	return numbers > 1 && *s == '\0';
}

static void
check_renamed(const PjFile *file, const PdDoc *doc, const char *old, const char *name)
{
	if (pd_get(doc, old) != NULL && pd_get(doc, name) != NULL)
		pj_raise(file, pd_get(doc, old),
				 "%s and %s cannot both be defined. The `%s` config has been deprecated in favor of `%s`. Please update your `dbt_project.yml` configuration to reflect this change.",
				 old, name, old, name);
}

static void
check_dispatch(const PjFile *file, const PdDoc *dispatch)
{
	for (int i = 0; pd_is(dispatch, PD_LIST) && i < dispatch->n; i++)
	{
		const PdDoc *entry = dispatch->u.items[i];

		if (pd_get(entry, "macro_namespace") == NULL ||
			!pd_is(pd_get(entry, "search_order"), PD_LIST))
			refuse(file, entry, "",
				   psprintf("Invalid project dispatch config: %s", pd_to_json(entry)));
	}
}

/* >=1.0.0, of all three numbers */
static bool
is_requirement(const char *s)
{
	s += *s == '>' || *s == '<' ? 1 : 0;
	s += *s == '=' ? 1 : 0;
	for (int i = 0; i < 3; i++)
	{
		int			digits = strspn(s, "0123456789");

		if (digits == 0 || (digits > 1 && *s == '0') || (i < 2 && s[digits] != '.'))
			return false;
		s += digits + (i < 2 ? 1 : 0);
	}
	return s[strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.+")] == '\0';
}

static void
check_requirement(const PjFile *file, const PdDoc *given, const char *text)
{
	if (!is_requirement(text))
		pj_raise(file, given,
				 "\"%s\" is not a valid semantic version: require-dbt-version must be as \">=1.0.0\", or several of that",
				 text);
}

static void
check_requirements(const PjFile *file, const PdDoc *given)
{
	for (int i = 0; pd_is(given, PD_LIST) && i < given->n; i++)
		check_requirement(file, given, pd_scalar_text(given->u.items[i]));
	for (const char *p = pd_text(given); p != NULL;)
	{
		int			len = strcspn(p, ",");

		check_requirement(file, given, pnstrdup(p, len));
		p = p[len] == ',' ? p + len + 1 : NULL;
	}
}

/* Names that templates have for something else. */
static void
check_project_name(const PjFile *file, const PdDoc *name)
{
	static const char reserved[] =
		" _sql_results adapter api column config context database dbt dbt_postgres env env_var "
		"exceptions execute flags fromjson fromyaml graph invocation_id load_agate_table load_result "
		"log model modules post_hooks pre_hooks ref render return run_started_at schema source sql "
		"sql_now store_result store_raw_result target this tojson toyaml try_or_compiler_error var write ";

	if (strstr(reserved, psprintf(" %s ", pd_text(name))) != NULL)
		pj_raise(file, name, "Invalid project name: %s is a reserved word", pd_text(name));
}

static bool
is_package(const PdDoc *package)
{
	static const char *const keys[] = {"package", "local", "git", "tarball", "private"};

	for (int i = 0; i < lengthof(keys); i++)
		if (pd_get(package, keys[i]) != NULL)
			return true;
	return false;
}

void
pj_check_packages(const PjFile *file, const PdDoc *list)
{
	static const char *const kinds[][2] = {{"package", "hub"}, {"local", "local"}, {"git", "git"}};

	if (!pd_is(list, PD_LIST))
		pj_raise(file, list, "\"packages\" must be a list");
	for (int i = 0; i < list->n; i++)
	{
		const PdDoc *package = list->u.items[i];
		const char *name = pd_get_text(package, "package");

		if (!is_package(package))
			pj_raise(file, package,
					 "%s is not valid under any of the given schemas: a package is one of package, git, local, tarball and private",
					 pd_to_json(package));
		for (int k = 0; k < lengthof(kinds); k++)
			if (pd_equals(pd_get(package, kinds[k][0]), ""))
				pj_raise(file, package, "A %s package is missing the value. It is a required property.",
						 kinds[k][1]);
		if (name == NULL || strchr(name, '{') != NULL)
			continue;
		if (!pd_truth(pd_get(package, "version")))
			pj_raise(file, package,
					 "%s is missing the version. When installing from the Hub package index, version is a required property",
					 name);
		if (strchr(name, '/') == NULL)
			pj_raise(file, package,
					 "%s was not found in the package index. Packages on the index require a namespace, e.g dbt-labs/dbt_utils",
					 name);
	}
}

void
pj_check_project(const PjFile *file, const PdDoc *doc)
{
	const PdDoc *version = pd_get(doc, "version");
	const PdDoc *config_version = pd_get(doc, "config-version");
	PjMisfit	misfit;

	check_renamed(file, doc, "source-paths", "model-paths");
	check_renamed(file, doc, "data-paths", "seed-paths");
	if (!pj_schema_fits("project", doc, &misfit))
		raise_misfit(file, &misfit, "");
	if (!pd_is_null(version) && !is_version(pd_scalar_text(version)))
		pj_raise(file, version,
				 "at path ['version']: '%s' is not valid under any of the given schemas: it must be two or three numbers with dots between them, as in '1.0'",
				 pd_scalar_text(version));
	if (!pd_is_null(config_version) && !pd_equal(config_version, pd_int(2)))
		pj_raise(file, config_version, "Got an unexpected project version=%s, expected 2",
				 pd_scalar_text(config_version));
	check_project_name(file, pd_get(doc, "name"));
	check_requirements(file, pd_get(doc, "require-dbt-version"));
	check_dispatch(file, pd_get(doc, "dispatch"));
	if (pd_truth(pd_get(doc, "tests")) && pd_truth(pd_get(doc, "data_tests")))
		refuse(file, pd_get(doc, "tests"), "",
			   "Invalid project config: cannot have both 'tests' and 'data_tests' defined");
}

/* ---------- configuration ---------- */

/* Where the value was written: only YAML has lines, and a text's own word wins. */
static const PjFile *
written_in(const PjNode *node, const PjMisfit *misfit, PjFile *patch)
{
	const char *path = node->patch_path != NULL ? strstr(node->patch_path, "://") : NULL;
	const PdDoc *given = node->patch_config;

	for (int i = 0; path != NULL && given != NULL && i < given->n; i++)
		if (given->u.entries[i].value == misfit->doc)
		{
			patch->path = psprintf("%s%s", node->project->prefix, path + 3);
			return patch;
		}
	return node->file;
}

/* #abc, #aabbcc or a name that HTML has for one */
static bool
is_color(const char *color)
{
	static const char names[] =
		" aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue "
		"blueviolet brown burlywood cadetblue chartreuse chocolate coral cornflowerblue cornsilk "
		"crimson cyan darkblue darkcyan darkgoldenrod darkgray darkgreen darkkhaki darkmagenta "
		"darkolivegreen darkorange darkorchid darkred darksalmon darkseagreen darkslateblue "
		"darkslategray darkturquoise darkviolet deeppink deepskyblue dimgray dodgerblue firebrick "
		"floralwhite forestgreen fuchsia gainsboro ghostwhite gold goldenrod gray green greenyellow "
		"honeydew hotpink indianred indigo ivory khaki lavender lavenderblush lawngreen lemonchiffon "
		"lightblue lightcoral lightcyan lightgoldenrodyellow lightgray lightgreen lightpink "
		"lightsalmon lightseagreen lightskyblue lightslategray lightsteelblue lightyellow lime "
		"limegreen linen magenta maroon mediumaquamarine mediumblue mediumorchid mediumpurple "
		"mediumseagreen mediumslateblue mediumspringgreen mediumturquoise mediumvioletred "
		"midnightblue mintcream mistyrose moccasin navajowhite navy oldlace olive olivedrab orange "
		"orangered orchid palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff "
		"peru pink plum powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon "
		"sandybrown seagreen seashell sienna silver skyblue slateblue slategray snow springgreen "
		"steelblue tan teal thistle tomato turquoise violet wheat white whitesmoke yellow yellowgreen ";
	int			len = strlen(color);

	if (*color == '#')
		return (len == 4 || len == 7) && strspn(color + 1, "0123456789abcdefABCDEF") == len - 1;
	return strchr(color, ' ') == NULL &&
		strstr(names, psprintf(" %s ", asc_tolower(color, len))) != NULL;
}

/* A configuration that makes no sense. */
static const char *
contradiction(const PjNode *node, const PdDoc *config)
{
	const char *color = pd_get_text(pd_get(config, "docs"), "node_color");
	const PdDoc *change = pd_get(config, "on_schema_change");
	const PdDoc *after = pd_get(pd_get(config, "freshness"), "build_after");

	if (color != NULL && *color != '\0' && !is_color(color))
		return psprintf("Invalid color name for docs.node_color: %s. It is neither a valid HTML color name nor a valid HEX code.",
						color);
	if (pd_equals(pd_get(config, "materialized"), "incremental") &&
		pd_truth(pd_get(pd_get(config, "contract"), "enforced")) &&
		!pd_equals(change, "append_new_columns") && !pd_equals(change, "fail"))
		return psprintf("Invalid value for on_schema_change: %s. Models materialized as incremental with contracts enabled must set on_schema_change to 'append_new_columns' or 'fail'",
						pd_scalar_text(change));
	if (strcmp(node->resource_type, "model") == 0 &&
		pd_is_null(pd_get(after, "count")) != pd_is_null(pd_get(after, "period")))
		return pd_is_null(pd_get(after, "count"))
			? "`freshness.build_after` must have a value for `count` when a `period` is provided"
			: "`freshness.build_after` must have a value for `period` when a `count` is provided";
	return NULL;
}

/*
 * Each level of dbt_project.yml, each entry of a YAML file and all config()
 * calls together must make sense with what was said before.
 */
void
pj_check_step(const PjNode *node, const PdDoc *config)
{
	const char *wrong = contradiction(node, config);

	if (wrong != NULL)
		pj_raise(node->file, NULL, "config of %s: %s", node->unique_id, wrong);
}

static const char *
contradiction_of_snapshot(const PdDoc *config)
{
	const char *strategy = pd_get_text(config, "strategy");
	const PdDoc *columns = pd_get(config, "check_cols");

	if (!pd_truth(pd_get(config, "strategy")) || !pd_truth(pd_get(config, "unique_key")))
		return "Snapshots must be configured with a 'strategy' and 'unique_key'.";
	if (strcmp(strategy, "check") == 0 && !pd_truth(columns))
		return "A snapshot configured with the check strategy must specify a check_cols configuration.";
	if (strcmp(strategy, "check") == 0 && pd_text(columns) != NULL && !pd_equals(columns, "all"))
		return psprintf("Invalid value for 'check_cols': %s. Expected 'all' or a list of strings.",
						pd_text(columns));
	if (strcmp(strategy, "timestamp") == 0 && !pd_truth(pd_get(config, "updated_at")))
		return "A snapshot configured with the timestamp strategy must specify an updated_at configuration.";
	if (strcmp(strategy, "timestamp") == 0 && pd_truth(columns))
		return "A 'timestamp' snapshot should not have 'check_cols'";
	if (pd_truth(pd_get(config, "materialized")) &&
		!pd_equals(pd_get(config, "materialized"), "snapshot"))
		return "A snapshot must have a materialized value of 'snapshot'";
	return NULL;
}

/* What is asked of a snapshot only once all of it is known. */
void
pj_check_snapshot(const PjNode *node)
{
	const char *wrong = contradiction_of_snapshot(node->config);

	if (wrong != NULL)
		pj_raise(node->file, NULL, "config of %s: %s", node->unique_id, wrong);
}

static bool
is_severity(const PdDoc *severity)
{
	const char *word = pd_text(severity);

	return !pd_truth(severity) ||
		(word != NULL && (pg_strcasecmp(word, "warn") == 0 || pg_strcasecmp(word, "error") == 0));
}

void
pj_check_config(const PjNode *node)
{
	const char *kind = psprintf("%s_config", node->resource_type);
	const PdDoc *severity = pd_get(node->config, "severity");
	const PdDoc *materialized = pd_get(node->config, "materialized");
	PjMisfit	misfit;
	PjFile		patch = {0};
	const PjFile *file;

	if (!pj_schema_fits(kind, node->config, &misfit))
	{
		PdDoc		place = *misfit.doc;

		file = written_in(node, &misfit, &patch);
		if (file != &patch)
			place.line = 0;
		misfit.doc = &place;
		raise_misfit(file, &misfit, psprintf("config of %s - ", node->unique_id));
	}
	if (strcmp(node->resource_type, "test") == 0 && !is_severity(severity))
		pj_raise(node->file, NULL, "config of %s: Severity must be either 'warn' or 'error'. Got '%s'",
				 node->unique_id, pd_scalar_text(severity));
	if ((strcmp(node->resource_type, "seed") == 0 || strcmp(node->resource_type, "test") == 0) &&
		pd_truth(materialized) && !pd_equals(materialized, node->resource_type))
		pj_raise(node->file, NULL, "config of %s: A %s must have a materialized value of '%s'",
				 node->unique_id, node->resource_type, node->resource_type);
	pj_schema_settle(kind, node->config);
}
