/*
 * method.c
 *		What a criterion of a selection looks for: names, tags, paths, kinds,
 *		configuration and so on, as dbt has them.
 */
#include "base/compat.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "project/glob.h"
#include "project/method.h"

struct DpipeMethod
{
	const char *name;
	bool		(*match) (const DpipeSearch *search, const DpipeNode *node);
	const char *resource_type;	/* of methods that name nodes of one kind */
	void		(*begin) (DpipeSearch *search); /* or NULL */
};

/* ---------- nodes ---------- */

bool
dpipe_is_member(const DpipeNode *node)
{
	return (node->type == DPIPE_NODE_MODEL || node->type == DPIPE_NODE_PROJECT) && node->enabled;
}

static bool
is_kind(const DpipeNode *node, const char *resource_type)
{
	return node->resource_type != NULL && strcmp(node->resource_type, resource_type) == 0;
}

/* The value of the config at a path, a.b.c; NULL: none. */
static PdDoc *
config_of(const DpipeNode *node, const char *path)
{
	PdDoc	   *doc = node->doc != NULL ? pd_get(node->doc, "config")
		: node->config != NULL ? pd_from_jsonb(node->config) : NULL;
	const char *dot;

	while (doc != NULL && (dot = strchr(path, '.')) != NULL)
	{
		doc = pd_get(doc, pnstrdup(path, dot - path));
		path = dot + 1;
	}
	return pd_get(doc, path);
}

static const char *
version_of(const DpipeNode *node)
{
	PdDoc	   *v = pd_get(node->doc, "version");

	if (pd_is_null(v) || !is_kind(node, "model"))
		return NULL;
	return pd_scalar_text(v);
}

/* ---------- fqn ---------- */

static bool
has_wildcard(const char *s)
{
	return strpbrk(s, "*?[]") != NULL;
}

static int
count_parts(const char *s)
{
	int			n = 1;

	for (; *s; s++)
		n += *s == '.';
	return n;
}

/* The parts of an fqn behind "from", joined; dots in names are separators. */
static char *
joined(const PdDoc *fqn, int from, char separator)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = from; i < fqn->n; i++)
		appendStringInfo(&buf, "%s%s", i > from ? (char[]) {separator, '\0'} : "",
						 pd_text(fqn->u.items[i]));
	return buf.data;
}

/* "name_v2" and "name.v2" both mean version 2 of name. */
static bool
names_version(const char *value, const char *name, const char *version)
{
	const char *dot = strrchr(value, '.');
	const char *start = value;
	char	   *last;

	if (strcmp(value, name) == 0)
		return true;
	if (dot != NULL)
	{
		for (start = dot; start > value && start[-1] != '.'; start--)
			;
		if (start == dot)
			start = value;
	}
	last = pstrdup(start);
	for (char *p = last; *p; p++)
		if (*p == '.')
			*p = '_';
	return strcmp(last, psprintf("%s_%s", name, version)) == 0;
}

/* Component by component; from the first that has a wildcard on as a whole. */
static bool
match_parts(const char *flat, const char *value)
{
	while (*value)
	{
		int			a = strcspn(flat, ".");
		int			b = strcspn(value, ".");

		if (has_wildcard(pnstrdup(value, b)))
			return pj_glob(value, flat, false);
		if (a != b || strncmp(flat, value, a) != 0)
			return false;
		flat += a + (flat[a] == '.');
		value += b + (value[b] == '.');
	}
	return true;
}

static bool
match_fqn_from(const DpipeNode *node, int from, const char *value)
{
	const PdDoc *fqn = node->fqn;
	bool		versioned = version_of(node) != NULL && fqn->n >= 2;
	const char *leaf = pd_text(fqn->u.items[fqn->n - 1 - versioned]);
	char	   *flat;

	if (fqn->n <= from)
		return false;
	if (versioned)
	{
		if (names_version(value, leaf, pd_text(fqn->u.items[fqn->n - 1])))
			return true;
	}
	else if (strcmp(leaf, value) == 0)
		return true;
	flat = joined(fqn, from, '.');
	if (count_parts(flat) >= count_parts(value) && match_parts(flat, value))
		return true;
	return strchr(value, '.') == NULL && has_wildcard(value) && pj_glob(value, leaf, false);
}

static bool
match_fqn(const DpipeSearch *search, const DpipeNode *node)
{
	if (is_kind(node, "source") || node->fqn == NULL)
		return false;
	return match_fqn_from(node, 0, search->value) || match_fqn_from(node, 1, search->value);
}

/* ---------- files ---------- */

/* A path and a pattern, component by component; ** is any number of them. */
static bool
match_path(const char *pattern, const char *path)
{
	for (;;)
	{
		int			a = strcspn(pattern, "/");
		int			b = strcspn(path, "/");

		if (*pattern == '\0')
			return *path == '\0';
		if (a == 2 && strncmp(pattern, "**", 2) == 0)
		{
			const char *rest = pattern + 2 + (pattern[2] == '/');

			for (;; path += b + 1)
			{
				if (match_path(rest, path))
					return true;
				b = strcspn(path, "/");
				if (path[b] == '\0')
					return *rest == '\0';
			}
		}
		if (*path == '\0' || !pj_glob(pnstrdup(pattern, a), pnstrdup(path, b), false))
			return false;
		pattern += a + (pattern[a] == '/');
		path += b + (path[b] == '/');
	}
}

static char *
tidy_pattern(const char *value)
{
	char	   *pattern;
	int			len;

	while (value[0] == '.' && value[1] == '/')
		value += 2;
	pattern = pstrdup(value);
	len = strlen(pattern);
	while (len > 1 && pattern[len - 1] == '/')
		pattern[--len] = '\0';
	return pattern;
}

/* The path and the directories that it is in: which of them the pattern names. */
static void
note_matches(PdDoc *matches, const char *pattern, const char *path)
{
	for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/'))
		if (match_path(pattern, pnstrdup(path, p - path)))
			pd_put(matches, pnstrdup(path, p - path), pd_null());
	if (match_path(pattern, path))
		pd_put(matches, path, pd_null());
}

/*
 * A pattern names files and directories of the root project. Those of other
 * packages match, as with dbt, if the root project has a file or a directory
 * of the same name.
 */
static void
begin_path(DpipeSearch *search)
{
	const char *pattern = tidy_pattern(search->value);
	PdDoc	   *matches = pd_dict();
	ListCell   *lc;

	foreach(lc, dpipe_graph_paths(search->graph))
		note_matches(matches, pattern, lfirst(lc));
	search->own = matches;
}

static bool
match_path_method(const DpipeSearch *search, const DpipeNode *node)
{
	const char *patch = pd_get_text(node->doc, "patch_path");

	if (node->path == NULL)
		return false;
	for (const char *p = strchr(node->path, '/'); p != NULL; p = strchr(p + 1, '/'))
		if (pd_get(search->own, pnstrdup(node->path, p - node->path)) != NULL)
			return true;
	patch = patch != NULL ? strstr(patch, "://") : NULL;
	return pd_get(search->own, node->path) != NULL ||
		(patch != NULL && pd_get(search->own, patch + 3) != NULL);
}

static bool
match_file(const DpipeSearch *search, const DpipeNode *node)
{
	const char *name;
	const char *dot;

	if (node->path == NULL)
		return false;
	name = strrchr(node->path, '/');
	name = name != NULL ? name + 1 : node->path;
	dot = strrchr(name, '.');
	return pj_glob(search->value, name, false) ||
		(dot != NULL && pj_glob(search->value, pnstrdup(name, dot - name), false));
}

/* ---------- what nodes say ---------- */

static bool
match_tag(const DpipeSearch *search, const DpipeNode *node)
{
	ListCell   *lc;

	foreach(lc, node->tags)
	{
		if (pj_glob(search->value, lfirst(lc), false))
			return true;
	}
	return false;
}

static bool
match_group(const DpipeSearch *search, const DpipeNode *node)
{
	PdDoc	   *group = config_of(node, "group");

	return pd_text(group) != NULL && pj_glob(search->value, pd_text(group), false);
}

static bool
match_access(const DpipeSearch *search, const DpipeNode *node)
{
	return is_kind(node, "model") && pd_equals(pd_get(node->doc, "access"), search->value);
}

static bool
match_package(const DpipeSearch *search, const DpipeNode *node)
{
	const char *value = search->value;
	if (strcmp(value, "this") == 0)
		value = search->graph->root_package != NULL ? search->graph->root_package : DPIPE_PACKAGE;
	return pj_glob(value, node->package, false);
}

static bool
match_resource_type(const DpipeSearch *search, const DpipeNode *node)
{
	static const char *const known[] = {
		"model", "analysis", "test", "snapshot", "operation", "seed", "rpc", "sql operation", "doc",
		"source", "macro", "exposure", "metric", "group", "saved_query", "semantic_model",
		"unit_test", "fixture", "function",
	};

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(known[i], search->value) == 0)
			return is_kind(node, search->value);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("Invalid resource_type selector \"%s\"", search->value)));
}

static bool
match_test_name(const DpipeSearch *search, const DpipeNode *node)
{
	const char *name = pd_get_text(pd_get(node->doc, "test_metadata"), "name");

	if (is_kind(node, "unit_test"))
		return pj_glob(search->value, node->name, false);
	return name != NULL && pj_glob(search->value, name, false);
}

static bool
match_test_type(const DpipeSearch *search, const DpipeNode *node)
{
	bool		generic = pd_get(node->doc, "test_metadata") != NULL;

	if (strcmp(search->value, "generic") == 0 || strcmp(search->value, "schema") == 0)
		return is_kind(node, "test") && generic;
	if (strcmp(search->value, "singular") == 0)
		return is_kind(node, "test") && !generic;
	if (strcmp(search->value, "data") == 0)
		return is_kind(node, "test");
	if (strcmp(search->value, "unit") == 0)
		return is_kind(node, "unit_test");
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("Invalid test type selector %s: expected \"generic\", \"singular\", \"unit\", or \"data\"",
					search->value)));
}

/* ---------- names of one kind ---------- */

static bool
match_source(const DpipeSearch *search, const DpipeNode *node)
{
	const char *value = search->value;
	const char *source = node->doc != NULL ? pd_get_text(node->doc, "source_name") : node->schema;
	int			parts = count_parts(value);
	const char *dot = strchr(value, '.');

	if (parts > 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("Invalid source selector value \"%s\"", value),
				 errhint("It is source, source.table or package.source.table.")));
	if (!is_kind(node, "source"))
		return false;
	if (parts == 1)
		return pj_glob(value, source, false);
	if (parts == 3)
	{
		if (!pj_glob(pnstrdup(value, dot - value), node->package, false))
			return false;
		value = dot + 1;
		dot = strchr(value, '.');
	}
	return pj_glob(pnstrdup(value, dot - value), source, false) &&
		pj_glob(dot + 1, node->name, false);
}

/* name or package.name; "argument" is the kind here */
static bool
match_named(const DpipeSearch *search, const DpipeNode *node)
{
	const char *dot = strchr(search->value, '.');

	if (count_parts(search->value) > 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("Invalid %s selector value \"%s\"", search->argument, search->value),
						errhint("It is a name, or package.name.")));
	if (!is_kind(node, search->argument))
		return false;
	if (dot == NULL)
		return pj_glob(search->value, node->name, false);
	return pj_glob(pnstrdup(search->value, dot - search->value), node->package, false) &&
		pj_glob(dot + 1, node->name, false);
}

/* ---------- versions ---------- */

static int
compare_versions(const char *a, const char *b)
{
	char	   *end_a;
	char	   *end_b;
	double		x = strtod(a, &end_a);
	double		y = strtod(b, &end_b);

	if (*end_a == '\0' && *end_b == '\0')
		return x < y ? -1 : x > y;
	return strcmp(a, b);
}

static bool
match_version(const DpipeSearch *search, const DpipeNode *node)
{
	const char *version = version_of(node);
	PdDoc	   *doc = pd_get(node->doc, "latest_version");
	const char *latest = pd_is_null(doc) ? NULL : pd_scalar_text(doc);

	if (strcmp(search->value, "latest") != 0 && strcmp(search->value, "prerelease") != 0 &&
		strcmp(search->value, "old") != 0 && strcmp(search->value, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("Invalid version type selector %s: expected one of: \"latest\", \"prerelease\", \"old\", or \"none\"",
						search->value)));
	if (!is_kind(node, "model"))
		return false;
	if (strcmp(search->value, "none") == 0)
		return version == NULL;
	if (version == NULL || latest == NULL)
		return false;
	if (strcmp(search->value, "latest") == 0)
		return strcmp(version, latest) == 0;
	return strcmp(search->value, "old") == 0 ? compare_versions(version, latest) < 0
		: compare_versions(version, latest) > 0;
}

/* ---------- config ---------- */

static bool
equals_config(const PdDoc *config, const PdDoc *value, bool any_case)
{
	if (config->kind == PD_BOOL)
		return value->kind == PD_BOOL ? value->u.boolean == config->u.boolean
			: value->kind == PD_STRING &&
			pg_strcasecmp(value->u.text, config->u.boolean ? "true" : "false") == 0;
	if (any_case && config->kind == PD_STRING && value->kind == PD_STRING)
		return pg_strcasecmp(config->u.text, value->u.text) == 0;
	return pd_equal(config, value);
}

/* config.a.b:value; a list matches by any element. */
static bool
match_config(const DpipeSearch *search, const DpipeNode *node)
{
	PdDoc	   *config;
	bool		any_case = strcmp(search->argument, "severity") == 0;
	static const char *const without[] = {
		"exposure", "metric", "semantic_model", "saved_query", "unit_test", "function",
	};

	for (int i = 0; i < lengthof(without); i++)
		if (is_kind(node, without[i]))
			return false;
	if (search->argument[0] == '\0')
		return false;
	if (node->type == DPIPE_NODE_MODEL && strcmp(search->argument, "materialized") == 0)
		return pd_equals(search->doc, node->materialized);
	config = config_of(node, search->argument);
	if (config == NULL)
		return false;
	if (config->kind != PD_LIST)
		return equals_config(config, search->doc, any_case);
	for (int i = 0; i < config->n; i++)
		if (equals_config(config->u.items[i], search->doc, any_case))
			return true;
	return false;
}

/* ---------- the table ---------- */

static const DpipeMethod methods[] = {
	{"access", match_access},
	{"config", match_config},
	{"exposure", match_named, "exposure"},
	{"file", match_file},
	{"fqn", match_fqn},
	{"group", match_group},
	{"metric", match_named, "metric"},
	{"package", match_package},
	{"path", match_path_method, NULL, begin_path},
	{"resource_type", match_resource_type},
	{"result", dpipe_match_result, NULL, dpipe_begin_result},
	{"saved_query", match_named, "saved_query"},
	{"semantic_model", match_named, "semantic_model"},
	{"source", match_source},
	{"source_status", dpipe_match_source_status, NULL, dpipe_begin_source_status},
	{"state", dpipe_match_state, NULL, dpipe_begin_state},
	{"tag", match_tag},
	{"test_name", match_test_name},
	{"test_type", match_test_type},
	{"unit_test", match_named, "unit_test"},
	{"version", match_version},
};

const DpipeMethod *
dpipe_method_find(const char *name, const char **argument, const char *text)
{
	const char *dot = strchr(name, '.');
	char	   *first = dot != NULL ? pnstrdup(name, dot - name) : pstrdup(name);

	*argument = dot != NULL ? dot + 1 : "";
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(methods[i].name, first) != 0)
			continue;
		if (methods[i].resource_type != NULL)
			*argument = methods[i].resource_type;
		return &methods[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("'%s' is not a valid method name", name),
			 errdetail("It stands in the selection criterion \"%s\".", text),
			 errhint("Methods are access, config.<name>, exposure, file, fqn, group, metric, package, path, resource_type, result, saved_query, semantic_model, source, source_status, state, tag, test_name, test_type, unit_test and version.")));
}

void
dpipe_search_begin(DpipeSearch *search)
{
	search->value = pd_scalar_text(search->doc);
	if (search->method->begin != NULL)
		search->method->begin(search);
}

bool
dpipe_search_match(const DpipeSearch *search, const DpipeNode *node)
{
	return search->method->match(search, node);
}
