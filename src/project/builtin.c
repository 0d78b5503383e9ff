/*
 * builtin.c
 *		The macros that dbt has of its own: the files of macros/, as they are.
 *
 * Where each one stands is found once a session; the templates themselves are
 * those of the engine's cache.
 */
#include "base/compat.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "project/host.h"

const DpipeBuiltinFile dpipe_builtin_files[] = {
#include "project/builtin_macros.inc"
	{NULL, NULL}
};

#define NFILES (lengthof(dpipe_builtin_files) - 1)

static const JinjaTag tags[] = {
	{"test", JINJA_TAG_SIGNATURE},
	{"data_test", JINJA_TAG_SIGNATURE},
	{"materialization", JINJA_TAG_OPTIONS},
	{"docs", JINJA_TAG_NAME},
	{"snapshot", JINJA_TAG_NAME},
	{NULL}
};

const JinjaDialect dpipe_dialect = {tags, true};
const JinjaDialect dpipe_macro_dialect = {tags, true, .strays_skipped = true};

/* Where a macro stands. */
typedef struct Place
{
	char		name[NAMEDATALEN];	/* hash key */
	int			file;
	int			index;
} Place;

static HTAB *places = NULL;

static JinjaTemplate *
builtin_template(DpipeHost *host, int file)
{
	const DpipeBuiltinFile *f = &dpipe_builtin_files[file];

	if (host->builtin == NULL)
		host->builtin = MemoryContextAllocZero(jinja_env_context(host->env),
											   sizeof(JinjaTemplate *) * NFILES);
	if (host->builtin[file] == NULL)
		host->builtin[file] = jinja_cached_template(f->name, f->text, strlen(f->text),
													&dpipe_dialect);
	return host->builtin[file];
}

static void
note_places(HTAB *table, JinjaTemplate *tmpl, int file)
{
	for (int i = 0; i < jinja_template_macros(tmpl); i++)
	{
		const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);
		bool		test = strcmp(info->tag, "test") == 0;
		char	   *name = psprintf("%s%s", test ? "test_" : "", info->name);
		Place	   *place;
		bool		found;

		Assert(strlen(name) < NAMEDATALEN);
		place = hash_search(table, name, HASH_ENTER, &found);
		Assert(!found);
		place->file = file;
		place->index = i;
	}
}

static void
find_places(DpipeHost *host)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN,.entrysize = sizeof(Place)};
	HTAB	   *table;

	ctl.hcxt = AllocSetContextCreate(CurrentMemoryContext, "dpipe built-in macros",
									 ALLOCSET_DEFAULT_SIZES);
	table = hash_create("dpipe built-in macros", 512, &ctl,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (int file = 0; file < NFILES; file++)
		note_places(table, builtin_template(host, file), file);
	MemoryContextSetParent(ctl.hcxt, TopMemoryContext);
	places = table;
}

bool
dpipe_is_builtin_macro(const char *name)
{
	if (places == NULL)
	{
		DpipeHost	host = {.env = jinja_env_create(CurrentMemoryContext)};

		find_places(&host);
		jinja_env_destroy(host.env);
	}
	return hash_search(places, name, HASH_FIND, NULL) != NULL;
}

JinjaValue *
dpipe_builtin_macro(DpipeHost *host, const char *name)
{
	Place	   *place;

	if (places == NULL)
		find_places(host);
	place = hash_search(places, name, HASH_FIND, NULL);
	if (place == NULL)
		return NULL;
	return jinja_mark_macro(jinja_macro(host->env, host->context,
										builtin_template(host, place->file), place->index),
							place->name);
}

List *
dpipe_builtin_names(DpipeHost *host)
{
	HASH_SEQ_STATUS seq;
	Place	   *place;
	List	   *names = NIL;

	if (places == NULL)
		find_places(host);
	hash_seq_init(&seq, places);
	while ((place = hash_seq_search(&seq)) != NULL)
		names = lappend(names, place->name);
	return names;
}

static JinjaValue *
namespace_get(void *host, const char *name)
{
	return dpipe_builtin_macro(host, name);
}

static List *
namespace_list(void *host)
{
	return dpipe_builtin_names(host);
}

JinjaValue *
dpipe_builtin_namespace(DpipeHost *host)
{
	return dpipe_names_value(host->env, namespace_get, namespace_list, host);
}
