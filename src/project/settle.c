/*
 * settle.c
 *		dbt_project.yml: a project's name, paths, vars and configuration.
 *
 * Strings are rendered as they are read, but those that wait for a node or a
 * run: hooks, vars, the query comment. Of paths the old names are accepted.
 */
#include "base/compat.h"

#include "utils/builtins.h"

#include "project/loading.h"
#include "project/yaml.h"

/* The release of dbt whose meaning is followed. */
static const int dbt_version[3] = {1, 11, 16};

/* ---------- rendering ---------- */

static bool
is_hook_key(const char *key)
{
	while (*key == '+' || *key == ' ')
		key++;
	return strcmp(key, "pre-hook") == 0 || strcmp(key, "post-hook") == 0 ||
		strcmp(key, "pre_hook") == 0 || strcmp(key, "post_hook") == 0;
}

static bool
is_rendered(const List *keypath, const void *arg)
{
	static const char *const late[] = {"on-run-start", "on-run-end", "query-comment", "vars"};
	const char *first = keypath != NIL ? linitial(keypath) : NULL;
	ListCell   *lc;

	if (first == NULL)
		return true;
	for (int i = 0; i < lengthof(late); i++)
		if (strcmp(first, late[i]) == 0)
			return false;
	foreach(lc, keypath)
	{
		if (lfirst(lc) != NULL && is_hook_key(lfirst(lc)))
			return false;
	}
	return true;
}

/* ---------- versions ---------- */

static int
compare_version(const char *s)
{
	int			v[3] = {0, 0, 0};

	(void) sscanf(s, "%d.%d.%d", &v[0], &v[1], &v[2]);
	for (int i = 0; i < 3; i++)
		if (v[i] != dbt_version[i])
			return dbt_version[i] < v[i] ? -1 : 1;
	return 0;
}

/* One condition, such as >=1.3.0; without an operator it is equality. */
static bool
version_fits(const char *spec)
{
	int			order;
	const char *number = spec + strspn(spec, "<>=! v");

	if (*number == '\0')
		return true;
	order = compare_version(number);
	if (spec[0] == '>')
		return order > 0 || (order == 0 && spec[1] == '=');
	if (spec[0] == '<')
		return order < 0 || (order == 0 && spec[1] == '=');
	return order == 0;
}

static void
check_version_text(const PjProject *project, const char *text)
{
	char	   *copy = pstrdup(text);
	char	   *save = NULL;

	for (char *spec = strtok_r(copy, ", ", &save); spec != NULL; spec = strtok_r(NULL, ", ", &save))
		if (!version_fits(spec))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("This version of dbt is not supported with the '%s' package.", project->name),
					 errdetail("Its require-dbt-version is %s; dpipe follows %d.%d.%d.", text,
							   dbt_version[0], dbt_version[1], dbt_version[2])));
}

static void
check_required_version(const PjProject *project)
{
	PdDoc	   *required = pd_get(project->doc, "require-dbt-version");

	if (pd_text(required) != NULL)
		check_version_text(project, pd_text(required));
	else if (pd_is(required, PD_LIST))
		for (int i = 0; i < required->n; i++)
			if (pd_text(required->u.items[i]) != NULL)
				check_version_text(project, pd_text(required->u.items[i]));
}

/* ---------- paths ---------- */

/* A path as dbt keeps it: no "./" before and no "/" behind. */
static char *
tidy_path(const char *path)
{
	char	   *copy;
	int			len;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	copy = pstrdup(path);
	len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

static void
check_search_path(const PjProject *project, const char *path)
{
	if (path[0] == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
		strstr(path, "/../") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%sdbt_project.yml: path \"%s\" leads out of the project",
							   project->prefix, path)));
}

static List *
paths_of(const PjProject *project, const char *key, const char *old_key, const char *deflt)
{
	PdDoc	   *doc = pd_get(project->doc, key);
	List	   *paths = NIL;

	if (pd_is_null(doc) && old_key != NULL)
		doc = pd_get(project->doc, old_key);
	if (pd_is_null(doc))
		return deflt != NULL ? list_make1(pstrdup(deflt)) : NIL;
	if (doc->kind == PD_STRING)
	{
		check_search_path(project, doc->u.text);
		return list_make1(tidy_path(doc->u.text));
	}
	for (int i = 0; doc->kind == PD_LIST && i < doc->n; i++)
	{
		const char *path = pd_text(doc->u.items[i]);

		if (path == NULL)
			break;
		check_search_path(project, path);
		paths = lappend(paths, tidy_path(path));
	}
	if (doc->kind != PD_LIST || list_length(paths) != doc->n)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%sdbt_project.yml: \"%s\" must be a list of paths",
							   project->prefix, key)));
	return paths;
}

static List *
paths_below(const List *paths, const char *folder)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, paths)
		result = lappend(result, psprintf("%s/%s", (char *) lfirst(lc), folder));
	return result;
}

void
pj_settle_paths(PjProject *project)
{
	static const struct
	{
		PjKind		kind;
		const char *key;
		const char *old_key;
		const char *deflt;
	}			known[] = {
		{PJ_MODEL, "model-paths", "source-paths", "models"},
		{PJ_SEED, "seed-paths", "data-paths", "seeds"},
		{PJ_SNAPSHOT, "snapshot-paths", NULL, "snapshots"},
		{PJ_ANALYSIS, "analysis-paths", NULL, "analyses"},
		{PJ_MACRO, "macro-paths", NULL, "macros"},
		{PJ_TEST, "test-paths", NULL, "tests"},
		{PJ_FUNCTION, "function-paths", NULL, "functions"},
	};
	List	   *all = NIL;

	for (int i = 0; i < lengthof(known); i++)
	{
		List	   *paths = paths_of(project, known[i].key, known[i].old_key, known[i].deflt);

		project->paths[known[i].kind] = paths;
		all = list_concat_copy(all, paths);
	}
	project->paths[PJ_GENERIC_TEST] = paths_below(project->paths[PJ_TEST], "generic");
	project->paths[PJ_FIXTURE] = paths_below(project->paths[PJ_TEST], "fixtures");
	project->paths[PJ_PROPERTIES] = all;
	project->paths[PJ_DOCS] = paths_of(project, "docs-paths", NULL, NULL);
	if (pd_is_null(pd_get(project->doc, "docs-paths")))
		project->paths[PJ_DOCS] = all;
}

/* ---------- the project ---------- */

static bool
is_name(const char *name)
{
	if (name == NULL || isdigit((unsigned char) name[0]) || name[0] == '\0')
		return false;
	/* Letters are those of any language. */
	for (; *name; name++)
		if (!isalnum((unsigned char) *name) && *name != '_' && (unsigned char) *name < 128)
			return false;
	return true;
}

static void
check_unique(const PjLoad *load, const PjProject *project)
{
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		PjProject  *other = lfirst(lc);

		if (strcmp(other->name, project->name) == 0)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
							errmsg("dbt found more than one package with the name \"%s\" included in this project",
								   project->name)));
	}
	if (load->root != NULL && strcmp(load->root->name, project->name) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("package \"%s\" has the name of the project that uses it",
							   project->name)));
}

PjProject *
pj_settle(PjLoad *load, const char *prefix, const char *text, int len)
{
	PjProject  *project = palloc0(sizeof(PjProject));
	PjFile	   *file = palloc0(sizeof(PjFile));

	file->kind = PJ_OTHER;
	file->project = project;
	file->relative = file->original = "dbt_project.yml";
	file->path = psprintf("%sdbt_project.yml", prefix);
	project->prefix = prefix;
	project->is_root = *prefix == '\0';
	project->raw = dpipe_yaml_parse(file->path, text, len);
	if (!pd_is(project->raw, PD_DICT))
		pj_raise(file, NULL, "is not a mapping of keys to values");
	project->name = pd_get_text(project->raw, "name");
	if (!is_name(project->name))
		pj_raise(file, pd_get(project->raw, "name"),
				 "\"name\" must be made of letters, digits and underscores, and not begin with a digit");
	check_unique(load, project);
	project->doc = pj_render_deep(load, project, project->raw, file, is_rendered, NULL);
	pj_check_project(file, project->doc);
	project->vars = pd_get(project->doc, "vars");
	if (!pd_is(project->vars, PD_DICT))
		project->vars = pd_dict();
	/* That of the project which uses a package is in force in it. */
	project->quoting = load->root != NULL ? load->root->quoting : pd_get(project->doc, "quoting");
	if (!pd_is(project->quoting, PD_DICT))
		project->quoting = pd_dict();
	check_required_version(project);
	pj_settle_paths(project);
	load->projects = lappend(load->projects, project);
	return project;
}
