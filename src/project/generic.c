/*
 * generic.c
 *		Tests that a YAML file declares: not_null and the like.
 *
 * A test's name is made of what it tests and its arguments; its unique id has
 * a hash of them behind it. Both are dbt's to the letter, as selections, state
 * and other tools go by them.
 */
#include "base/compat.h"

#include "common/md5.h"
#include "utils/builtins.h"

#include "project/host.h"
#include "project/loading.h"

/* Keys of a test that are configuration and no arguments. */
static const char *const config_keys[] = {
	"severity", "tags", "enabled", "where", "limit", "warn_if", "error_if", "fail_calc",
	"store_failures", "store_failures_as", "meta", "database", "schema", "alias",
};

/* What is known of a test while its node is made. */
typedef struct Test
{
	PjLoad	   *load;
	PjFile	   *file;
	const char *key;			/* models, sources, ... */
	PdDoc	   *target;
	PdDoc	   *table;			/* of a source, else NULL */
	const PdDoc *version;
	const char *name;			/* not_null */
	const char *namespace;		/* dbt_utils, or NULL */
	PdDoc	   *args;
	PdDoc	   *config;
	const char *description;
	const char *full_name;		/* of the node */
	const char *short_name;		/* fits an identifier */
} Test;

static char *
md5_hex(const char *s)
{
	char	   *hex = palloc(33);
	const char *errstr = NULL;

	if (!pg_md5_hash(s, strlen(s), hex, &errstr))
		elog(ERROR, "could not compute MD5 hash: %s", errstr);
	return hex;
}

/* ---------- reading ---------- */

static void
split_name(Test *t, const char *name, const PdDoc *place)
{
	const char *dot = strchr(name, '.');
	const char *p;

	if (dot != NULL)
	{
		t->namespace = pnstrdup(name, dot - name);
		name = dot + 1;
	}
	for (p = name; isalnum((unsigned char) *p) || *p == '_'; p++)
		;
	t->name = pnstrdup(name, p - name);
	if (p == name || isdigit((unsigned char) *name))
		pj_raise(t->file, place, "'%s' is no name of a test", name);
}

/* {name: {arguments}}, or {test_name: name, arguments} */
static void
read_entry(Test *t, PdDoc *entry)
{
	PdDoc	   *name;
	PdDoc	   *args;

	if (entry->kind == PD_STRING)
	{
		split_name(t, entry->u.text, entry);
		t->args = pd_dict();
		return;
	}
	if (entry->kind != PD_DICT)
		pj_raise(t->file, entry, "a test must be a name or a mapping, not %s", pd_kind_name(entry));
	name = pd_get(entry, "test_name");
	args = pd_copy_top(entry);
	if (name != NULL)
		(void) pd_remove(args, "test_name");
	else
	{
		if (entry->n != 1)
			pj_raise(t->file, entry,
					 "a test must have one key, its name, but it has %d: indent its arguments below the name",
					 entry->n);
		name = entry->u.entries[0].key;
		args = entry->u.entries[0].value;
		if (args->kind != PD_DICT)
			pj_raise(t->file, args->line ? args : entry,
					 "the arguments of test \"%s\" must be a mapping, not %s", pd_text(name),
					 pd_kind_name(args));
		args = pd_copy_top(args);
	}
	if (pd_text(name) == NULL)
		pj_raise(t->file, entry, "the name of a test must be a string");
	split_name(t, pd_text(name), entry);
	t->args = args;
}

/* dbt wants arguments below "arguments"; the first test that has others is said. */
static void
note_flat(const Test *t)
{
	static const char *const known[] = {"config", "column_name", "description", "name"};
	PjLoad	   *load = t->load;

	if (!t->file->project->is_root)
		return;
	for (int i = 0; i < t->args->n; i++)
	{
		const char *key = pd_scalar_text(t->args->u.entries[i].key);
		bool		found = false;

		for (int k = 0; k < lengthof(known); k++)
			found |= strcmp(known[k], key) == 0;
		for (int k = 0; k < lengthof(config_keys); k++)
			found |= strcmp(config_keys[k], key) == 0;
		if (found)
			continue;
		if (load->nflat++ == 0)
			load->flat = psprintf("%s: Found top-level arguments to test `%s` defined on '%s'.",
								  t->file->path, t->name, pd_get_text(t->target, "name"));
		return;
	}
}

void
pj_warn_flat_tests(const PjLoad *load)
{
	if (load->nflat > 0)
		ereport(WARNING,
				(errmsg("%s Arguments to generic tests should be nested under the `arguments` property.",
						load->flat),
				 errdetail_plural("%d test has such arguments.", "%d tests have such arguments.",
								  load->nflat, load->nflat)));
}

/* Arguments may stand below "arguments", apart from the configuration. */
static void
lift_arguments(Test *t)
{
	PdDoc	   *nested = pd_get(t->args, "arguments");

	if (!pd_truth(pd_get(t->load->flags, "require_generic_test_arguments_property")))
		return;
	if (!pd_truth(nested))
		note_flat(t);
	(void) pd_remove(t->args, "arguments");
	if (pd_is(nested, PD_DICT))
		pd_update(t->args, nested);
}

/* What is none, or becomes none when it is rendered, is not said. */
static void
put_config(Test *t, PdDoc *key, PdDoc *value)
{
	if (value != NULL && value->kind == PD_STRING)
		value = pj_render_value(t->load, t->file->project, value, t->file);
	if (!pd_is_null(value))
		(void) pd_put_key(t->config, key, value);
}

static void
read_config(Test *t)
{
	PdDoc	   *nested = pd_remove(t->args, "config");

	if (nested != NULL && !pd_is(nested, PD_DICT))
		pj_raise(t->file, nested, "\"config\" of test \"%s\" must be a mapping", t->name);
	nested = nested != NULL ? pd_copy_top(nested) : pd_dict();
	t->config = pd_dict();
	for (int i = 0; i < lengthof(config_keys); i++)
	{
		PdDoc	   *value = pd_remove(t->args, config_keys[i]);

		if (pd_truth(value) && pd_get(nested, config_keys[i]) != NULL)
			pj_raise(t->file, value, "test \"%s\" has \"%s\" both by itself and in \"config\"",
					 t->name, config_keys[i]);
		if (!pd_truth(value) && pd_get(nested, config_keys[i]) != NULL)
			value = pd_remove(nested, config_keys[i]);
		put_config(t, pd_string(config_keys[i]), value);
	}
	for (int i = 0; i < nested->n; i++)
		put_config(t, nested->u.entries[i].key, nested->u.entries[i].value);
}

/* ---------- names ---------- */

static int
compare_keys(const void *a, const void *b)
{
	return strcmp((*(const PdEntry *) a).key->u.text, (*(const PdEntry *) b).key->u.text);
}

/* Python's str(), what is no letter, digit or _ replaced. */
static void
append_clean(StringInfo buf, JinjaEnv *env, const PdDoc *value)
{
	const char *s = jinja_to_cstring(env, pj_doc_value(env, value));
	bool		replaced = false;

	for (; *s; s++)
	{
		bool		fine = isalnum((unsigned char) *s) || *s == '_';

		if (fine)
			appendStringInfoChar(buf, *s);
		else if (!replaced)
			appendStringInfoChar(buf, '_');
		replaced = !fine;
	}
}

static PdDoc *
sorted_keys(const PdDoc *dict)
{
	PdDoc	   *sorted = pd_copy_top(dict);

	for (int i = 0; i < sorted->n; i++)
		if (sorted->u.entries[i].key->kind != PD_STRING)
			sorted->u.entries[i].key = pd_string(pd_to_json(sorted->u.entries[i].key));
	qsort(sorted->u.entries, sorted->n, sizeof(PdEntry), compare_keys);
	return sorted;
}

static void
append_arguments(StringInfo buf, JinjaEnv *env, const PdDoc *args)
{
	PdDoc	   *sorted = sorted_keys(args);
	bool		first = true;

	for (int i = 0; i < sorted->n; i++)
	{
		PdDoc	   *value = sorted->u.entries[i].value;
		bool		many = value->kind == PD_LIST || value->kind == PD_DICT;

		if (pd_equals(sorted->u.entries[i].key, "model"))
			continue;
		for (int j = 0; j < (many ? value->n : 1); j++)
		{
			if (!first)
				appendStringInfoString(buf, "__");
			first = false;
			append_clean(buf, env, !many ? value : value->kind == PD_LIST
						 ? value->u.items[j] : value->u.entries[j].value);
		}
	}
}

static const char *
target_name(const Test *t)
{
	if (t->table != NULL)
		return psprintf("%s_%s", pd_get_text(t->target, "name"), pd_get_text(t->table, "name"));
	if (!pd_is_null(t->version) && strcmp(t->key, "models") == 0)
		return psprintf("%s_v%s", pd_get_text(t->target, "name"), pd_scalar_text(t->version));
	return pd_get_text(t->target, "name");
}

/* Names by characters, as a name of 64 may have more bytes than that. */
static void
make_names(Test *t)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	StringInfoData buf;
	char	   *identifier;

	identifier = psprintf("%s%s%s%s_%s", t->namespace ? t->namespace : "", t->namespace ? "_" : "",
						  t->table != NULL ? "source_" : "", t->name, target_name(t));
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s_", identifier);
	append_arguments(&buf, env, t->args);
	jinja_env_destroy(env);
	t->full_name = t->short_name = buf.data;
	if (buf.len >= 64)
		t->short_name = psprintf("%.30s_%s", identifier, md5_hex(buf.data));
}

static void
check_text(const Test *t, const PdDoc *given, const char *key)
{
	if (given != NULL && pd_text(given) == NULL)
		pj_raise(t->file, given, "\"%s\" of test \"%s\" must be a string, not %s", key, t->name,
				 pd_kind_name(given));
}

static void
settle_name(Test *t)
{
	PdDoc	   *given;

	given = pd_remove(t->args, "description");
	check_text(t, given, "description");
	t->description = given != NULL ? pd_text(given) : "";
	given = pd_remove(t->args, "name");
	check_text(t, given, "name");
	if (given != NULL)
	{
		t->full_name = t->short_name = pd_text(given);
		return;
	}
	make_names(t);
	if (t->short_name != t->full_name && pd_get(t->config, "alias") == NULL)
		pd_put(t->config, "alias", pd_string(t->short_name));
}

/* ---------- the hash behind a test's id ---------- */

/* Keys sorted, scalars as Python's str(). */
static PdDoc *
hashable(JinjaEnv *env, const PdDoc *doc)
{
	PdDoc	   *copy;

	if (doc->kind == PD_LIST)
	{
		copy = pd_copy_top(doc);
		for (int i = 0; i < copy->n; i++)
			copy->u.items[i] = hashable(env, copy->u.items[i]);
		return copy;
	}
	if (doc->kind == PD_DICT)
	{
		copy = sorted_keys(doc);
		for (int i = 0; i < copy->n; i++)
			copy->u.entries[i].value = hashable(env, copy->u.entries[i].value);
		return copy;
	}
	return pd_string(jinja_to_cstring(env, pj_doc_value(env, doc)));
}

static char *
hash_of(const char *name, const PdDoc *metadata)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	char	   *text = psprintf("%s%s", name,
								jinja_repr(env, pj_doc_value(env, hashable(env, metadata))));

	jinja_env_destroy(env);
	return md5_hex(text) + 22;
}

/* ---------- the node ---------- */

static const char *
model_text(const Test *t)
{
	const char *name = pd_get_text(t->target, "name");

	if (t->table != NULL)
		return psprintf("{{ get_where_subquery(source('%s', '%s')) }}", name,
						pd_get_text(t->table, "name"));
	if (!pd_is_null(t->version) && strcmp(t->key, "models") == 0)
		return psprintf("{{ get_where_subquery(ref('%s', version='%s')) }}", name,
						pd_scalar_text(t->version));
	return psprintf("{{ get_where_subquery(ref('%s')) }}", name);
}

static char *
replace_quotes(const char *s)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *s; s++)
	{
		if (*s == '"')
			appendStringInfoChar(&buf, '\\');
		appendStringInfoChar(&buf, *s);
	}
	return buf.data;
}

static char *
raw_code(const Test *t)
{
	JinjaEnv   *env = jinja_env_create(CurrentMemoryContext);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{{ %s%stest_%s(**_dbt_generic_test_kwargs) }}",
					 t->namespace ? t->namespace : "", t->namespace ? "." : "", t->name);
	for (int i = 0; i < t->config->n; i++)
	{
		PdDoc	   *value = t->config->u.entries[i].value;

		appendStringInfo(&buf, "%s%s=", i == 0 ? "{{ config(" : ",",
						 pd_text(t->config->u.entries[i].key));
		if (value->kind == PD_STRING)
			appendStringInfo(&buf, "\"%s\"", replace_quotes(value->u.text));
		else
			appendStringInfoString(&buf, jinja_to_cstring(env, pj_doc_value(env, value)));
	}
	if (t->config->n > 0)
		appendStringInfoString(&buf, ") }}");
	jinja_env_destroy(env);
	return buf.data;
}

static PdDoc *
metadata_of(const Test *t)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "namespace", pd_string(t->namespace));
	pd_put(doc, "name", pd_string(t->name));
	pd_put(doc, "kwargs", t->args);
	return doc;
}

static PdDoc *
merged_tags(const Test *t, List *tags)
{
	PdDoc	   *own = pd_get(t->config, "tags");
	List	   *all = list_copy(tags);

	pj_add_texts(&all, own);
	return pj_sorted_texts(all);
}

/* What dbt's own tests of one relation refer to needs no rendering. */
static void
find_references(Test *t, PjNode *node)
{
	char	   *macro_name = psprintf("test_%s", t->name);
	const char *macro = pj_macro_dependency(t->load, node->project, macro_name);
	PdDoc	   *ref;

	/* What it is called with is not asked for the macro that it depends on. */
	if (macro != NULL)
		node->macros = lappend(node->macros, (void *) macro);
	if (macro == NULL || (strcmp(macro, "macro.dbt.test_not_null") != 0 &&
						  strcmp(macro, "macro.dbt.test_unique") != 0))
	{
		pj_parse_test_arguments(t->load, node, t->args);
		return;
	}
	if (t->table != NULL)
	{
		ref = pd_list();
		pd_append(ref, pd_get(t->target, "name"));
		pd_append(ref, pd_get(t->table, "name"));
		pd_append(node->sources, ref);
		return;
	}
	ref = pd_dict();
	pd_put(ref, "name", pd_get(t->target, "name"));
	pd_put(ref, "package", pd_null());
	pd_put(ref, "version", pd_is_null(t->version) ? pd_null() : (PdDoc *) t->version);
	pd_append(node->refs, ref);
}

/* What a test is for, be it disabled. */
static PjNode *
attached_node(const Test *t)
{
	const char *name = pd_get_text(t->target, "name");
	bool		disabled;
	PjNode	   *node;
	ListCell   *lc;

	if (t->table != NULL)
		return NULL;
	node = pj_find_ref(t->load, name, t->file->project->name, t->version, t->file->project,
					   &disabled);
	if (node != NULL)
		return node;
	foreach(lc, (List *) pj_table_get(t->load->by_name, name))
	{
		node = lfirst(lc);
		if (!node->enabled)
			return node;
	}
	return NULL;
}

static PjNode *
make_node(Test *t, const char *column_name, List *tags)
{
	const char *relative = strchr(t->file->original, '/');
	PdDoc	   *metadata = metadata_of(t);
	PdDoc	   *fqn;
	PjNode	   *node;
	PjNode	   *attached;

	relative = relative != NULL ? relative + 1 : t->file->original;
	fqn = pj_fqn_prefix(t->file->project, relative);
	pd_append(fqn, pd_string(t->full_name));
	node = pj_make_node(t->load, "test", t->file, t->full_name,
						psprintf("%s.sql", t->short_name), fqn);
	node->unique_id = psprintf("%s.%s", node->unique_id, hash_of(t->full_name, metadata));
	node->raw_code = raw_code(t);
	node->test_metadata = metadata;
	node->column_name = column_name;
	node->description = t->description;
	node->tags = merged_tags(t, tags);
	pj_merge_calls(node->call_config, t->config);
	find_references(t, node);
	pj_update_config(t->load, node);
	attached = attached_node(t);
	if (attached != NULL)
	{
		node->attached = attached->unique_id;
		node->group = attached->group;
	}
	node->more = pd_dict();
	pd_put(node->more, "file_key_name",
		   pd_string(psprintf("%s.%s", t->key, pd_get_text(t->target, "name"))));
	return node;
}

/* ---------- columns ---------- */

static const char *
column_name_of(const PdDoc *column, const PdDoc *quote_columns)
{
	const char *name = pd_get_text(column, "name");
	PdDoc	   *quote = pd_get(column, "quote");

	if (pd_truth(quote) || (pd_is_null(quote) && pd_truth(quote_columns)))
		return psprintf("\"%s\"", name);
	return name;
}

/* Of a source its tables' word goes before its own. */
static const PdDoc *
quotes_columns(const PdDoc *target, const PdDoc *table)
{
	const PdDoc *quote;

	if (table == NULL)
		return pd_get(target, "quote_columns");
	quote = pd_get(pd_get(table, "quoting"), "column");
	return pd_is_null(quote) ? pd_get(pd_get(target, "quoting"), "column") : quote;
}

/* "table" of a source, or NULL; "column", or NULL for a test of the whole. */
void
pj_add_test(PjLoad *load, PjFile *file, const char *key, PdDoc *target, PdDoc *table, PdDoc *entry,
			PdDoc *column, List *tags, const PdDoc *version)
{
	Test		t = {load, file, key, target, table, version};
	const char *column_name = NULL;
	PdDoc	   *args;

	tags = list_copy(tags);
	read_entry(&t, entry);
	if (column != NULL)
	{
		column_name = column_name_of(column, quotes_columns(target, table));
		pj_add_texts(&tags, pd_get(column, "tags"));
		pj_add_texts(&tags, pd_get(pd_get(column, "config"), "tags"));
		pd_put(t.args, "column_name", pd_string(column_name));
	}
	lift_arguments(&t);
	if (pd_get(t.args, "model") != NULL)
		pj_raise(file, entry, "test \"%s\" must not have an argument \"model\"", t.name);

	/* The relation is the last argument. */
	args = t.args;
	pd_put(args, "model", pd_string(model_text(&t)));
	read_config(&t);
	settle_name(&t);
	pj_add_node(load, make_node(&t, column_name, tags));
}

void
pj_add_tests(PjLoad *load, PjFile *file, const char *key, PdDoc *target, PdDoc *columns,
			 PdDoc *tests, const PdDoc *version)
{
	for (int i = 0; columns != NULL && i < columns->n; i++)
	{
		PdDoc	   *column = columns->u.items[i];
		PdDoc	   *own = pj_tests_of(file, column, true);

		for (int j = 0; own != NULL && j < own->n; j++)
			pj_add_test(load, file, key, target, NULL, own->u.items[j], column, NIL, version);
	}
	for (int i = 0; tests != NULL && i < tests->n; i++)
		pj_add_test(load, file, key, target, NULL, tests->u.items[i], NULL, NIL, version);
}
