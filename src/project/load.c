/*
 * load.c
 *		dpipe_load_project and dpipe_load_files: a dbt project becomes nodes.
 *
 * Nothing is written before all of the project is known to be right, and all
 * of it is written in the caller's transaction; so an error leaves the project
 * in force that was there before.
 */
#include "base/compat.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "common/md5.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/identity.h"
#include "base/vformat.h"
#include "project/host.h"
#include "project/loading.h"
#include "project/open.h"
#include "project/project.h"
#include "project/yaml.h"

PG_FUNCTION_INFO_V1(dpipe_load_project);
PG_FUNCTION_INFO_V1(dpipe_load_files);

/* ---------- tables of pointers by text ---------- */

typedef struct TableEntry
{
	const char *key;			/* hash key: the pointer, compared as string */
	void	   *value;
} TableEntry;

static uint32
text_hash(const void *key, Size keysize)
{
	const char *s = *(const char *const *) key;

	return hash_bytes((const unsigned char *) s, strlen(s));
}

static int
text_match(const void *a, const void *b, Size keysize)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

HTAB *
pj_table(const char *name)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(char *);
	ctl.entrysize = sizeof(TableEntry);
	ctl.hash = text_hash;
	ctl.match = text_match;
	ctl.hcxt = CurrentMemoryContext;
	return hash_create(name, 256, &ctl, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

void *
pj_table_get(HTAB *table, const char *key)
{
	TableEntry *entry = table != NULL ? hash_search(table, &key, HASH_FIND, NULL) : NULL;

	return entry != NULL ? entry->value : NULL;
}

void
pj_table_put(HTAB *table, const char *key, void *value)
{
	bool		found;
	TableEntry *entry = hash_search(table, &key, HASH_ENTER, &found);

	entry->value = value;
}

int
pj_compare_text(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

void
pj_add_texts(List **list, const PdDoc *value)
{
	if (pd_text(value) != NULL)
		*list = lappend(*list, (void *) pd_text(value));
	for (int i = 0; pd_is(value, PD_LIST) && i < value->n; i++)
		if (pd_text(value->u.items[i]) != NULL)
			*list = lappend(*list, (void *) pd_text(value->u.items[i]));
}

PdDoc *
pj_sorted_texts(List *texts)
{
	List	   *unique = NIL;
	ListCell   *lc;

	list_sort(texts, pj_compare_text);
	foreach(lc, texts)
	{
		if (unique == NIL || strcmp(llast(unique), lfirst(lc)) != 0)
			unique = lappend(unique, lfirst(lc));
	}
	return pd_strings(unique);
}

/* ---------- messages ---------- */

void
pj_raise(const PjFile *file, const PdDoc *doc, const char *fmt,...)
{
	va_list		args;
	char	   *message;

	va_start(args, fmt);
	message = dpipe_vformat(fmt, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: %s", file->path, message),
			 doc != NULL && doc->line > 0
			 ? errdetail("Line %d, column %d.", doc->line, doc->column) : 0));
}

void
pj_warn(const PjFile *file, const PdDoc *doc, const char *fmt,...)
{
	va_list		args;
	char	   *message;

	va_start(args, fmt);
	message = dpipe_vformat(fmt, args);
	va_end(args);
	ereport(WARNING,
			(errmsg("%s: %s", file->path, message),
			 doc != NULL && doc->line > 0
			 ? errdetail("Line %d, column %d.", doc->line, doc->column) : 0));
}

/* ---------- options ---------- */

static const char *const known_options[] = {
	"project", "target", "schema", "threads", "vars", "env", "profiles",
};

static void
check_options(const PdDoc *options)
{
	for (int i = 0; i < options->n; i++)
	{
		const char *name = pd_text(options->u.entries[i].key);
		bool		found = false;

		for (int k = 0; k < lengthof(known_options); k++)
			found |= strcmp(known_options[k], name) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\" of a project", name),
					 errhint("Options are: project, target, schema, threads, vars, env, profiles.")));
	}
}

static const char *
text_option(const PdDoc *options, const char *name, const char *deflt)
{
	PdDoc	   *value = pd_get(options, name);

	if (pd_is_null(value))
		return deflt;
	if (value->kind != PD_STRING)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a string", name)));
	return value->u.text;
}

static PdDoc *
dict_option(const PdDoc *options, const char *name)
{
	PdDoc	   *value = pd_get(options, name);

	if (pd_is_null(value))
		return pd_dict();
	if (value->kind != PD_DICT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a JSON object", name)));
	return value;
}

/* The schema and threads that a profiles.yml has for the target. */
static void
read_profiles(PjLoad *load, const char *profile)
{
	const char *text = text_option(load->options, "profiles", NULL);
	PdDoc	   *doc;
	PdDoc	   *outputs;
	PdDoc	   *output;
	PjFile		file = {.path = "profiles.yml"};

	if (text == NULL)
		return;
	doc = dpipe_yaml_parse("profiles.yml", text, strlen(text));
	doc = pd_get(doc, profile);
	if (!pd_is(doc, PD_DICT))
		pj_raise(&file, NULL, "Could not find profile named '%s'", profile);
	if (pd_get(load->options, "target") == NULL && pd_get_text(doc, "target") != NULL)
		load->target_name = pd_text(pj_render_value(load, NULL, pd_get(doc, "target"), &file));
	outputs = pd_get(doc, "outputs");
	output = pd_get(outputs, load->target_name);
	if (!pd_is(output, PD_DICT))
		pj_raise(&file, outputs, "The profile '%s' does not have a target named '%s'", profile,
				 load->target_name);
	if (pd_get(load->options, "schema") == NULL && pd_get_text(output, "schema") != NULL)
		load->target_schema = pd_text(pj_render_value(load, NULL, pd_get(output, "schema"), &file));
	if (pd_get(load->options, "threads") == NULL && pd_is(pd_get(output, "threads"), PD_INT))
		load->threads = atoi(pd_get(output, "threads")->u.text);
}

static void
make_target(PjLoad *load)
{
	load->target = dpipe_target_doc(load->profile_name, load->target_name, load->target_schema,
									GetUserNameFromId(load->owner, false), load->threads);
}

/* Flags of the command line that a dbt_project.yml may set. */
static void
set_flag(PdDoc *flags, const char *name, PdDoc *value)
{
	char	   *upper = asc_toupper(name, strlen(name));

	pd_put(flags, name, value);
	if (pd_get(flags, upper) != NULL)
		pd_put(flags, upper, value);
}

/* Behaviour that dbt's flags choose, with its defaults. */
static void
make_flags(PjLoad *load)
{
	PdDoc	   *given = load->root != NULL ? pd_get(load->root->doc, "flags") : NULL;

	load->flags = pd_dict();
	pd_put(load->flags, "require_generic_test_arguments_property", pd_bool(true));
	dpipe_invocation_flags(load->flags, "parse", false, false);
	for (int i = 0; pd_is(given, PD_DICT) && i < given->n; i++)
		set_flag(load->flags, pd_text(given->u.entries[i].key), given->u.entries[i].value);
}

void
pj_read_options(PjLoad *load, PdDoc *options)
{
	PdDoc	   *threads = pd_get(options, "threads");

	check_options(options);
	load->options = options;
	load->target_name = text_option(options, "target", "default");
	load->target_schema = text_option(options, "schema", load->target_schema);
	load->threads = pd_is(threads, PD_INT) ? atoi(threads->u.text) : 1;
	load->vars = dict_option(options, "vars");
	load->env = dict_option(options, "env");
	load->profile_name = "default";
	make_target(load);
	make_flags(load);
}

/* What the root project says is known: its profile, its flags, its name. */
void
pj_read_root(PjLoad *load)
{
	const char *profile = pd_get_text(load->root->doc, "profile");

	load->profile_name = profile != NULL ? profile : load->root->name;
	read_profiles(load, load->profile_name);
	make_target(load);
	make_flags(load);
	load->name = text_option(load->options, "project", load->root->name);
}

/* ---------- what parsing a file depends on besides it ---------- */

static void
make_parse_key(PjLoad *load)
{
	StringInfoData buf;
	char		hex[33];
	const char *errstr = NULL;
	ListCell   *lc;

	initStringInfo(&buf);
	pd_write_json(&buf, load->target);
	pd_write_json(&buf, load->vars);
	pd_write_json(&buf, load->env);
	foreach(lc, load->projects)
		pd_write_json(&buf, ((PjProject *) lfirst(lc))->raw);
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		if (file->kind == PJ_MACRO || file->kind == PJ_GENERIC_TEST)
			appendStringInfoString(&buf, file->checksum);
	}
	if (!pg_md5_hash(buf.data, buf.len, hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	load->parse_key = pstrdup(hex);
}

/* What was stored of a file that has not changed, and still holds. */
static void
recall_files(PjLoad *load)
{
	ListCell   *lc;

	pj_read_parsed(load, NULL);
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);
		PjFile	   *old = pj_table_get(load->old_files, file->path);

		if (old == NULL || strcmp(old->checksum, file->checksum) != 0)
			continue;
		if (file->parsed != NULL || old->parsed_key == NULL ||
			strcmp(old->parsed_key, load->parse_key) != 0)
			continue;
		file->parsed = old->parsed;
		file->parsed_key = old->parsed_key;
	}
}

/* ---------- the verbs ---------- */

static int
compare_counts(const void *a, const void *b)
{
	return strcmp(pd_text(((const PdEntry *) a)->key), pd_text(((const PdEntry *) b)->key));
}

static void
count_kind(PdDoc *counts, const char *kind, int n)
{
	PdDoc	   *old = pd_get(counts, kind);

	pd_put(counts, kind, pd_int((old != NULL ? atoi(old->u.text) : 0) + n));
}

static void
make_counts(PjLoad *load)
{
	PdDoc	   *counts = load->counts = pd_dict();
	ListCell   *lc;

	foreach(lc, load->nodes)
	{
		const PjNode *node = lfirst(lc);

		if (node->enabled && node->unique_id != NULL)
			count_kind(counts, node->resource_type, 1);
	}
	if (load->macros != NIL)
		count_kind(counts, "macro", list_length(load->macros));
	if (load->docs != NIL)
		count_kind(counts, "doc", list_length(load->docs));
	if (load->groups->n > 0)
		count_kind(counts, "group", load->groups->n);
	qsort(counts->u.entries, counts->n, sizeof(PdEntry), compare_counts);
}

static void
return_counts(FunctionCallInfo fcinfo, const PdDoc *counts)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < counts->n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false};

		values[0] = CStringGetTextDatum(pd_text(counts->u.entries[i].key));
		values[1] = Int64GetDatum(atoi(counts->u.entries[i].value->u.text));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

static PjLoad *
begin_load(FunctionCallInfo fcinfo)
{
	PjLoad	   *load = palloc0(sizeof(PjLoad));

	load->cxt = CurrentMemoryContext;
	load->owner = GetUserId();
	load->target_schema = dpipe_creation_schema();
	if (load->target_schema == NULL)
		load->target_schema = pstrdup("public");
	load->search_path = dpipe_path_to_keep();
	load->by_name = pj_table("dpipe names");
	pj_read_options(load, PG_ARGISNULL(1) ? pd_dict() : pd_from_jsonb(PG_GETARG_JSONB_P(1)));
	return load;
}

static void
note_message(void *arg)
{
	((PjLoad *) arg)->spoke = true;
}

static void
read_selectors(PjLoad *load)
{
	PjFile		file = {.path = "selectors.yml"};

	if (load->selectors == NULL)
		return;
	load->selectors = pj_render_deep(load, load->root, load->selectors, &file, NULL, NULL);
	dpipe_check_selectors(load->selectors);
}

static void
load_all(PjLoad *load)
{
	ErrorContextCallback callback = {error_context_stack, note_message, load};

	error_context_stack = &callback;
	recall_files(load);
	read_selectors(load);
	if (load->macros_by_name == NULL)
		pj_load_macros(load);
	pj_warn_strays(load);
	pj_check_dispatches(load);
	pj_load_sql_files(load);
	pj_load_hooks(load);
	pj_load_properties(load);
	pj_resolve(load);
	pj_warn_flat_tests(load);
	pj_warn_unused_paths(load);
	error_context_stack = callback.previous;
	make_counts(load);
	pj_store(load);
	pj_check_own_cycles(load);
}

static void
finish_load(FunctionCallInfo fcinfo, PjLoad *load)
{
	pj_read_root(load);
	pj_read_stored(load);
	make_parse_key(load);
	pj_make_load_key(load);
	if (!pj_reload(load))
		load_all(load);
	return_counts(fcinfo, load->counts);
}

/* Run in a context of its own: a load leaves a lot behind. */
static MemoryContext
load_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "dpipe project", ALLOCSET_DEFAULT_SIZES);
}

Datum
dpipe_load_project(PG_FUNCTION_ARGS)
{
	MemoryContext cxt;
	MemoryContext old;
	PjLoad	   *load;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the directory must not be null")));
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to load a project from a directory of the server"),
				 errdetail("It takes the privileges of role pg_read_server_files."),
				 errhint("dpipe_load_files() takes the files from the client.")));
	InitMaterializedSRF(fcinfo, 0);
	cxt = load_context();
	old = MemoryContextSwitchTo(cxt);
	load = begin_load(fcinfo);
	pj_read_directory(load, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	finish_load(fcinfo, load);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return (Datum) 0;
}

Datum
dpipe_load_files(PG_FUNCTION_ARGS)
{
	MemoryContext cxt;
	MemoryContext old;
	PjLoad	   *load;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the files must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	cxt = load_context();
	old = MemoryContextSwitchTo(cxt);
	load = begin_load(fcinfo);
	pj_read_files(load, PG_GETARG_JSONB_P(0));
	finish_load(fcinfo, load);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return (Datum) 0;
}
