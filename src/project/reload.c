/*
 * reload.c
 *		The short way of a load, for when nothing but texts of models,
 *		analyses and singular tests has changed, and those say of themselves
 *		what they said before.
 *
 * Then all but the rows of those texts is as it is stored: a node is known to
 * others by its name and its config, and depends on others by what its text
 * refers to. Whatever else may have changed is in the load's key, which is
 * stored when a load has gone all the way without a message.
 */
#include "base/compat.h"

#include "common/md5.h"

#include "project/loading.h"

/* To be raised when what is stored of a project gets another meaning. */
#define FORMAT "2"

static bool
is_text(const PjFile *file)
{
	return file->kind == PJ_MODEL || file->kind == PJ_ANALYSIS || file->kind == PJ_TEST;
}

void
pj_make_load_key(PjLoad *load)
{
	StringInfoData buf;
	char	   *hex = palloc(33);
	const char *errstr = NULL;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s %s %s %s ", DPIPE_VERSION, FORMAT, load->parse_key,
					 load->profile_name);
	pd_write_json(&buf, load->options);
	pd_write_json(&buf, load->selectors);
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);

		appendStringInfo(&buf, "\n%d %s %s", file->kind, is_text(file) ? "" : file->checksum,
						 file->path);
	}
	if (!pg_md5_hash(buf.data, buf.len, hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	load->load_key = hex;
}

/* What a text says of itself, but for the macros that it calls. */
static bool
says_the_same(const PdDoc *a, const PdDoc *b)
{
	static const char *const keys[] = {"config", "refs", "sources", "metrics", "functions"};

	for (int i = 0; i < lengthof(keys); i++)
		if (strcmp(pd_to_json(pd_get(a, keys[i])), pd_to_json(pd_get(b, keys[i]))) != 0)
			return false;
	return true;
}

static bool
calls_is_incremental(const PdDoc *notes)
{
	const PdDoc *macros = pd_get(notes, "macros");

	for (int i = 0; pd_is(macros, PD_LIST) && i < macros->n; i++)
		if (pd_equals(macros->u.items[i], "macro.dbt.is_incremental"))
			return true;
	return false;
}

static bool
has_hooks(const PdDoc *config)
{
	return pd_truth(pd_get(config, "pre-hook")) || pd_truth(pd_get(config, "post-hook"));
}

/*
 * The stored document of the node of a text that has changed, with what is
 * new in it; NULL when more than that may be new.
 */
static PdDoc *
changed_node(PjLoad *load, PjFile *file)
{
	PjFile	   *old = pj_table_get(load->old_files, file->path);
	PjNode	   *node;
	PdDoc	   *doc;
	PdDoc	   *before;
	PdDoc	   *after;
	PdDoc	   *checksum;

	pj_read_parsed(load, file);
	if (old->parsed == NULL)
		return NULL;
	if (load->macros_by_name == NULL)
		pj_load_macros(load);
	node = pj_make_sql_node(load, file);
	before = pd_get(old->parsed, node->name);
	after = pd_get(file->parsed, node->name);
	doc = pj_stored_node(load, node->unique_id);
	if (before == NULL || doc == NULL || !says_the_same(before, after) ||
		!pd_equals(pd_get(doc, "original_file_path"), file->original))
		return NULL;
	if (!pd_equal(pd_get(before, "macros"), pd_get(after, "macros")))
	{
		/* Unit tests of a model ask whether it calls that. */
		if (calls_is_incremental(before) != calls_is_incremental(after))
			return NULL;
		/* Those that hooks call stand among them. */
		if (has_hooks(pd_get(doc, "config")))
			return NULL;
		pd_put(pd_get(doc, "depends_on"), "macros", pd_get(after, "macros"));
	}
	checksum = pd_get(doc, "checksum");
	pd_put(checksum, "checksum", pd_string(file->checksum));
	pd_put(doc, "raw_code", pd_string(file->text));
	return doc;
}

/* Load the short way; false: it takes the long one. */
bool
pj_reload(PjLoad *load)
{
	List	   *files = NIL;
	List	   *docs = NIL;
	ListCell   *lc;

	if (load->stored_key == NULL || strcmp(load->stored_key, load->load_key) != 0 ||
		load->counts == NULL)
		return false;
	foreach(lc, load->files)
	{
		PjFile	   *file = lfirst(lc);
		PjFile	   *old = pj_table_get(load->old_files, file->path);
		PdDoc	   *doc;

		if (old == NULL)
			return false;
		if (strcmp(old->checksum, file->checksum) == 0)
			continue;
		doc = is_text(file) ? changed_node(load, file) : NULL;
		if (doc == NULL)
			return false;
		files = lappend(files, file);
		docs = lappend(docs, doc);
	}
	pj_store_texts(load, files, docs);
	return true;
}
