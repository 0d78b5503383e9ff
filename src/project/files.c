/*
 * files.c
 *		Which files a dbt project has: from a directory of the server, or as
 *		a client has sent them.
 *
 * Only what a project's paths name is read, and only files with the endings
 * that dbt knows. A symbolic link is followed as long as it leads to a place
 * under the directory; an entry of the packages' directory may lead elsewhere,
 * as dbt deps makes it for a local package, and is then a directory of its
 * own. Number and size of files are limited by settings, depth by MAX_DEPTH.
 */
#include "base/compat.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cryptohash.h"
#include "common/file_utils.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "base/settings.h"
#include "project/glob.h"
#include "project/loading.h"
#include "project/yaml.h"

#define MAX_DEPTH 50

/* Where files come from: a directory of the server, or a jsonb object. */
typedef struct Origin
{
	PjLoad	   *load;
	const char *root;			/* resolved path of the directory, or NULL */
	List	   *paths;			/* without a directory: char *, sorted */
	HTAB	   *texts;			/* by path */
	HTAB	   *folders;		/* names in directories: List of FolderEntry */
	int64		bytes;
	int			nfiles;
	List	   *warned;			/* links that lead out: char * */
} Origin;

/* ---------- text ---------- */

const char *
pj_sha256(const char *text, int len)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	char	   *hex = palloc(PG_SHA256_DIGEST_LENGTH * 2 + 1);

	if (pg_cryptohash_init(ctx) < 0 || pg_cryptohash_update(ctx, (const uint8 *) text, len) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a checksum");
	pg_cryptohash_free(ctx);
	hex_encode((char *) digest, sizeof(digest), hex);
	hex[PG_SHA256_DIGEST_LENGTH * 2] = '\0';
	return hex;
}

const char *
pj_strip(const char *text, int *len)
{
	while (*len > 0 && strchr(" \t\r\n\f\v", text[*len - 1]) != NULL)
		(*len)--;
	while (*len > 0 && strchr(" \t\r\n\f\v", *text) != NULL)
	{
		text++;
		(*len)--;
	}
	return text;
}

static bool
ends_with(const char *s, const char *end)
{
	int			n = strlen(s) - strlen(end);

	return n >= 0 && pg_strcasecmp(s + n, end) == 0;
}

static char *
to_server_text(const char *path, char *bytes, int len)
{
	char	   *text;

	/* A byte order mark is none of the text; dbt's checksum of a seed has it. */
	if (!ends_with(path, ".csv") && len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
		memmove(bytes, bytes + 3, len -= 3);
	bytes[len] = '\0';
	if (pg_encoding_verifymbstr(PG_UTF8, bytes, len) != len || memchr(bytes, '\0', len) != NULL)
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("file \"%s\" is not UTF-8 text", path)));
	text = pg_any_to_server(bytes, len, PG_UTF8);
	return text;
}

/* ---------- limits ---------- */

static void
count_file(Origin *o, const char *path, int64 size)
{
	if (size > (int64) dpipe_project_max_file_kb * 1024)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("file \"%s\" is too large", path),
						errdetail("The limit is dpipe.project_max_file_size (%d kB).",
								  dpipe_project_max_file_kb)));
	o->bytes += size;
	if (++o->nfiles > dpipe_project_max_files)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the project has too many files"),
						errdetail("The limit is dpipe.project_max_files (%d).",
								  dpipe_project_max_files)));
	if (o->bytes > (int64) dpipe_project_max_size_kb * 1024)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the project's files are too large"),
						errdetail("The limit is dpipe.project_max_size (%d kB).",
								  dpipe_project_max_size_kb)));
}

/* ---------- the directory ---------- */

static bool
is_under(const char *path, const char *root)
{
	int			len = strlen(root);

	return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool
has_path(const List *paths, const char *path)
{
	ListCell   *lc;

	foreach(lc, paths)
	{
		if (strcmp(lfirst(lc), path) == 0)
			return true;
	}
	return false;
}

/* The resolved path, or NULL if there is nothing there or it leads out. */
static char *
resolve(Origin *o, const char *root, const char *path)
{
	char		buf[PATH_MAX];
	const char *full = psprintf("%s/%s", root, path);

	if (realpath(full, buf) == NULL)
	{
		if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
			return NULL;
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not resolve \"%s\": %m", full)));
	}
	if (!is_under(buf, root))
	{
		if (!has_path(o->warned, full))
			ereport(WARNING, (errmsg("\"%s\" leads out of the project's directory and is left out",
									 full)));
		o->warned = lappend(o->warned, (void *) full);
		return NULL;
	}
	return pstrdup(buf);
}

static char *
read_text(Origin *o, const char *full, const char *path, int *len)
{
	struct stat st;
	int			fd = OpenTransientFile(full, O_RDONLY | PG_BINARY);
	char	   *bytes;
	ssize_t		got;
	size_t		n = 0;

	if (fd < 0 || fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", full)));
	count_file(o, path, st.st_size);
	bytes = palloc(st.st_size + 1);
	while ((got = read(fd, bytes + n, st.st_size - n)) > 0)
		n += got;
	if (got < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", full)));
	CloseTransientFile(fd);
	bytes = to_server_text(path, bytes, n);
	*len = strlen(bytes);
	return bytes;
}

/* NULL: there is no such file. */
static char *
origin_text(Origin *o, const char *root, const char *prefix, const char *path, int *len)
{
	char	   *full_path = psprintf("%s%s", prefix, path);
	char	   *text;
	struct stat st;

	if (o->root == NULL)
	{
		text = pj_table_get(o->texts, full_path);
		*len = text != NULL ? strlen(text) : 0;
		return text;
	}
	text = resolve(o, root, path);
	if (text == NULL || stat(text, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	return read_text(o, text, full_path, len);
}

static int
compare_text(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

typedef struct FolderEntry
{
	const char *name;
	PGFileType	type;			/* of a link: that it is one */
} FolderEntry;

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(((FolderEntry *) lfirst(a))->name, ((FolderEntry *) lfirst(b))->name);
}

/*
 * Names in a directory, sorted, so that loads do not differ by file system.
 * Each is read once, though several kinds of files are looked for in it.
 */
static List *
names_in(Origin *o, const char *full)
{
	List	   *names = pj_table_get(o->folders, full);
	DIR		   *dir;
	struct dirent *de;

	if (names != NIL)
		return names;
	dir = AllocateDir(full);
	while ((de = ReadDir(dir, full)) != NULL)
	{
		FolderEntry *entry;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		entry = palloc(sizeof(FolderEntry));
		entry->name = pstrdup(de->d_name);
		entry->type = get_dirent_type(psprintf("%s/%s", full, de->d_name), de, false, WARNING);
		names = lappend(names, entry);
	}
	FreeDir(dir);
	list_sort(names, compare_names);
	pj_table_put(o->folders, full, names);
	return names;
}

/* ---------- which files ---------- */

/* dbt looks for "[!.#~]*.sql" and the like. */
static bool
has_ending(PjKind kind, const char *name)
{
	if (strchr(".#~", name[0]) != NULL)
		return false;
	switch (kind)
	{
		case PJ_SEED:
			return ends_with(name, ".csv");
		case PJ_DOCS:
			return ends_with(name, ".md");
		case PJ_PROPERTIES:
			return ends_with(name, ".yml") || ends_with(name, ".yaml");
		case PJ_FIXTURE:
			return ends_with(name, ".csv") || ends_with(name, ".sql");
		case PJ_MODEL:
		case PJ_FUNCTION:
			return ends_with(name, ".sql") || ends_with(name, ".py");
		default:
			return ends_with(name, ".sql");
	}
}

/* The path in the project of one in a search path. */
static const char *
in_project(const char *searched, const char *relative)
{
	if (strcmp(searched, ".") == 0 || *searched == '\0')
		return relative;
	return psprintf("%s/%s", searched, relative);
}

static void
add_file(Origin *o, PjProject *project, PjKind kind, const char *searched, const char *relative,
		 const char *text, int len)
{
	PjFile	   *file = palloc0(sizeof(PjFile));

	file->kind = kind;
	file->project = project;
	file->relative = relative;
	file->original = in_project(searched, relative);
	file->path = psprintf("%s%s", project->prefix, file->original);
	if (ends_with(relative, ".py"))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s: models in Python are not supported", file->path)));
	file->len = len;
	file->text = pj_strip(text, &file->len);
	file->text = pnstrdup(file->text, file->len);
	file->checksum = pj_sha256(file->text, file->len);
	project->files = lappend(project->files, file);
	o->load->files = lappend(o->load->files, file);
}

static void walk(Origin *o, PjProject *project, PjKind kind, const char *root,
				 const char *searched, const char *relative, int depth);

/* What a directory holds under a name; "full" is the directory, resolved. */
static void
visit(Origin *o, PjProject *project, PjKind kind, const char *root, const char *searched,
	  const char *below, const char *full, const FolderEntry *name, int depth)
{
	bool		folder = name->type == PGFILETYPE_DIR;
	bool		wanted = has_ending(kind, name->name) &&
		!pj_is_ignored(project->ignored, in_project(searched, below));
	const char *path = full;

	if (name->type == PGFILETYPE_REG && wanted)
		path = psprintf("%s/%s", full, name->name);
	else if (name->type != PGFILETYPE_REG && !folder)
	{
		/* A link leads somewhere else. */
		struct stat st;

		path = resolve(o, root, psprintf("%s/%s", searched, below));
		if (path == NULL || stat(path, &st) != 0)
			return;
		folder = S_ISDIR(st.st_mode);
		wanted &= S_ISREG(st.st_mode);
	}
	if (folder)
		walk(o, project, kind, root, searched, below, depth + 1);
	else if (wanted)
	{
		int			len;
		char	   *text = read_text(o, path, psprintf("%s%s/%s", project->prefix, searched, below),
									 &len);

		add_file(o, project, kind, searched, below, text, len);
	}
}

static void
walk(Origin *o, PjProject *project, PjKind kind, const char *root, const char *searched,
	 const char *relative, int depth)
{
	const char *place = *relative ? psprintf("%s/%s", searched, relative) : searched;
	char	   *full = resolve(o, root, place);
	ListCell   *lc;

	CHECK_FOR_INTERRUPTS();
	if (depth > MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("directory \"%s\" is nested too deeply", place)));
	if (full == NULL)
		return;
	foreach(lc, names_in(o, full))
	{
		const FolderEntry *name = lfirst(lc);

		visit(o, project, kind, root, searched,
			  *relative ? psprintf("%s/%s", relative, name->name) : name->name, full, name, depth);
	}
}

static void
search_texts(Origin *o, PjProject *project, PjKind kind, const char *searched)
{
	const char *start = psprintf("%s%s/", project->prefix, searched);
	ListCell   *lc;

	if (strcmp(searched, ".") == 0)
		start = project->prefix;
	foreach(lc, o->paths)
	{
		const char *path = lfirst(lc);
		const char *name = strrchr(path, '/');
		const char *text;

		if (strncmp(path, start, strlen(start)) != 0 || !has_ending(kind, name ? name + 1 : path) ||
			pj_is_ignored(project->ignored, path + strlen(project->prefix)))
			continue;
		text = pj_table_get(o->texts, path);
		add_file(o, project, kind, searched, path + strlen(start), text, strlen(text));
	}
}

/*
 * Singular tests are what is in the tests' paths and no generic test or
 * fixture; macros likewise are not looked for in a folder of generic tests.
 */
static bool
is_others(const PjProject *project, const PjFile *file)
{
	ListCell   *lc;
	static const PjKind others[] = {PJ_GENERIC_TEST, PJ_FIXTURE};

	if (file->kind != PJ_TEST)
		return false;
	for (int i = 0; i < lengthof(others); i++)
		foreach(lc, project->paths[others[i]])
		{
			const char *path = lfirst(lc);

			if (is_under(file->original, path))
				return true;
		}
	return false;
}

static void
drop_others_files(PjLoad *load, PjProject *project)
{
	List	   *kept = NIL;
	ListCell   *lc;

	foreach(lc, project->files)
	{
		if (is_others(project, lfirst(lc)))
			load->files = list_delete_ptr(load->files, lfirst(lc));
		else
			kept = lappend(kept, lfirst(lc));
	}
	project->files = kept;
}

static void
search_project(Origin *o, PjProject *project, const char *root)
{
	for (int kind = 0; kind < PJ_OTHER; kind++)
	{
		ListCell   *lc;
		List	   *seen = NIL;

		foreach(lc, project->paths[kind])
		{
			const char *searched = lfirst(lc);

			if (has_path(seen, searched))
				continue;
			seen = lappend(seen, (void *) searched);
			if (o->root != NULL)
				walk(o, project, kind, root, searched, "", 0);
			else
				search_texts(o, project, kind, searched);
		}
	}
	drop_others_files(o->load, project);
}

/* ---------- projects and packages ---------- */

static PjProject *
read_project(Origin *o, const char *root, const char *prefix)
{
	int			len;
	char	   *text = origin_text(o, root, prefix, "dbt_project.yml", &len);
	PjProject  *project;

	if (text == NULL)
		return NULL;
	project = pj_settle(o->load, prefix, text, len);
	text = (char *) pj_strip(text, &len);
	project->checksum = pj_sha256(text, len);
	text = origin_text(o, root, prefix, ".dbtignore", &len);
	if (text != NULL)
		project->ignored = pj_ignore_patterns(psprintf("%s.dbtignore", prefix), text);
	search_project(o, project, root);
	return project;
}

static List *
package_names(Origin *o, const char *folder)
{
	List	   *names = NIL;
	ListCell   *lc;
	const char *start = psprintf("%s/", folder);

	if (o->root != NULL)
	{
		char	   *full = resolve(o, o->root, folder);
		struct stat st;

		if (full == NULL || stat(full, &st) != 0 || !S_ISDIR(st.st_mode))
			return NIL;
		foreach(lc, names_in(o, full))
			names = lappend(names, (void *) ((FolderEntry *) lfirst(lc))->name);
		return names;
	}
	foreach(lc, o->paths)
	{
		const char *path = lfirst(lc);
		const char *slash;
		char	   *name;

		if (strncmp(path, start, strlen(start)) != 0)
			continue;
		slash = strchr(path + strlen(start), '/');
		if (slash == NULL)
			continue;
		name = pnstrdup(path + strlen(start), slash - path - strlen(start));
		if (!has_path(names, name))
			names = lappend(names, name);
	}
	return names;
}

/* The directory of a package: a link of dbt deps may lead anywhere. */
static char *
package_root(const Origin *o, const char *folder, const char *name)
{
	char		buf[PATH_MAX];
	struct stat st;
	const char *full = psprintf("%s/%s/%s", o->root, folder, name);

	if (realpath(full, buf) == NULL || stat(buf, &st) != 0 || !S_ISDIR(st.st_mode))
		return NULL;
	return pstrdup(buf);
}

static void
read_packages(Origin *o, PjProject *root)
{
	const char *folder = pd_get_text(root->doc, "packages-install-path");
	ListCell   *lc;

	if (folder == NULL)
		folder = "dbt_packages";
	foreach(lc, package_names(o, folder))
	{
		const char *name = lfirst(lc);
		const char *dir = NULL;

		if (name[0] == '.')
			continue;
		if (o->root != NULL && (dir = package_root(o, folder, name)) == NULL)
			continue;
		(void) read_project(o, dir, psprintf("%s/%s/", folder, name));
	}
}

static PdDoc *
yaml_of(Origin *o, const char *name)
{
	int			len;
	char	   *text = origin_text(o, o->root, "", name, &len);

	return text != NULL ? dpipe_yaml_parse(name, text, len) : NULL;
}

/* What "dbt deps" would not take, either. */
static void
check_packages(Origin *o)
{
	PjFile		files[] = {{.path = "packages.yml"}, {.path = "dependencies.yml"}};
	PdDoc	   *packages = yaml_of(o, files[0].path);
	PdDoc	   *dependencies = yaml_of(o, files[1].path);

	if (pd_get(packages, "packages") != NULL && pd_get(dependencies, "packages") != NULL)
		pj_raise(&files[0], pd_get(packages, "packages"),
				 "The 'packages' key cannot be specified in both packages.yml and dependencies.yml");
	if (pd_get(packages, "projects") != NULL)
		pj_raise(&files[0], pd_get(packages, "projects"),
				 "The 'projects' key cannot be specified in packages.yml");
	if (pd_get(dependencies, "packages") != NULL)
		pj_check_packages(&files[1], pd_get(dependencies, "packages"));
	else
		for (int i = 0; pd_is(packages, PD_DICT) && i < packages->n; i++)
		{
			if (!pd_equals(packages->u.entries[i].key, "packages"))
				pj_raise(&files[0], packages->u.entries[i].value,
						 "Additional properties are not allowed ('%s' was unexpected)",
						 pd_scalar_text(packages->u.entries[i].key));
			pj_check_packages(&files[0], packages->u.entries[i].value);
		}
}

static void
read_all(Origin *o)
{
	PjLoad	   *load = o->load;

	load->root = read_project(o, o->root, "");
	if (load->root == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FILE),
						errmsg("there is no dbt_project.yml"),
						errhint("Name the directory that holds it, or send the project's files under paths relative to it.")));
	load->projects = NIL;
	read_packages(o, load->root);
	load->projects = lappend(load->projects, load->root);
	load->selectors = yaml_of(o, "selectors.yml");
	check_packages(o);
}

void
pj_read_directory(PjLoad *load, const char *directory)
{
	Origin		o = {load};
	char		buf[PATH_MAX];
	struct stat st;

	if (!is_absolute_path(directory))
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("the directory of a project must be an absolute path")));
	if (realpath(directory, buf) == NULL || stat(buf, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open directory \"%s\": %m", directory)));
	if (!S_ISDIR(st.st_mode))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a directory", directory)));
	o.root = pstrdup(buf);
	o.folders = pj_table("dpipe folders");
	read_all(&o);
}

/* A path a client may use: relative, with no way out. */
static void
check_path(const char *path)
{
	char	   *copy = pstrdup(path);
	char	   *save = NULL;
	bool		bad = *path == '\0' || *path == '/' || strchr(path, '\\') != NULL;

	for (char *part = strtok_r(copy, "/", &save); part != NULL; part = strtok_r(NULL, "/", &save))
		bad |= strcmp(part, "..") == 0 || strcmp(part, ".") == 0;
	if (bad)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is no path in a project", path),
						errhint("Paths are relative to the project's directory, such as models/orders.sql.")));
}

void
pj_read_files(PjLoad *load, const Jsonb *files)
{
	Origin		o = {load};
	JsonbIterator *it = JsonbIteratorInit((JsonbContainer *) &files->root);
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_OBJECT(files))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("files must be a JSON object of texts by path")));
	o.texts = pj_table("dpipe files");
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *path;

		if (token != WJB_KEY)
			continue;
		path = pnstrdup(v.val.string.val, v.val.string.len);
		check_path(path);
		(void) JsonbIteratorNext(&it, &v, true);
		if (v.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("file \"%s\" must be a string", path)));
		count_file(&o, path, v.val.string.len);
		pj_table_put(o.texts, path, pnstrdup(v.val.string.val, v.val.string.len));
		o.paths = lappend(o.paths, path);
	}
	list_sort(o.paths, compare_text);
	read_all(&o);
}
