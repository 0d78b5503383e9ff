/*
 * macrodoc.c
 *		Macros as a manifest shows them: their text, what YAML says about
 *		them, and which macros they call.
 *
 * What a macro calls is read from its text, whether it would be run or not.
 * dbt's own macros are those that dpipe has of them, all in package "dbt".
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/macros.h"
#include "project/manifest.h"
#include "project/scope.h"

/* ---------- what a macro calls ---------- */

typedef struct Calls
{
	PjScope    *scope;
	const char *package;		/* of the macro */
	const char *name;
	PdDoc	   *ids;
	const PjFile *file;			/* to be refused if it dispatches to nothing; or NULL */
} Calls;

static PjProject *
project_named(const PjLoad *load, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->projects)
	{
		if (strcmp(((PjProject *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	return NULL;
}

static const char *
builtin_id(PjScope *scope, const char *name)
{
	return dpipe_builtin_macro(&scope->host, name) != NULL ? psprintf("macro.dbt.%s", name) : NULL;
}

/*
 * What dbt says that a macro of the package depends on; NULL: nothing. Unlike a
 * call, that asks all packages before dbt's own macros, the last one first, but
 * where it says "dbt.".
 */
static const char *
resolve(PjScope *scope, const char *package, const char *name)
{
	PjProject  *project = project_named(scope->load, package);
	PjMacro    *macro;

	if (strcmp(package, "dbt") == 0 && builtin_id(scope, name) != NULL)
		return builtin_id(scope, name);
	macro = pj_any_macro(scope->load, project != NULL ? project : scope->load->root, name);
	return macro != NULL ? macro->unique_id : builtin_id(scope, name);
}

static const char *
find_in(PjScope *scope, const char *package, const char *name)
{
	PjMacro    *macro = pj_find_macro(scope->load, package, name);

	if (macro != NULL)
		return macro->unique_id;
	return strcmp(package, "dbt") == 0 ? builtin_id(scope, name) : NULL;
}

static void
add_attempt(StringInfo tried, const char *package, const char *name)
{
	appendStringInfo(tried, "%s'%s%s%s'", tried->len > 0 ? ", " : "",
					 package != NULL ? package : "", package != NULL ? "." : "", name);
}

/* Without a namespace it is no matter whose macro it is that asks. */
static const char *
resolve_dispatch(const Calls *calls, const char *name, const char *macro_namespace)
{
	static const char *const prefixes[] = {"postgres", "default"};
	const PjLoad *load = calls->scope->load;
	List	   *packages = macro_namespace != NULL ? pj_dispatch_order(load, macro_namespace) : NIL;
	ListCell   *lc;
	StringInfoData tried;

	if (packages == NIL)
		packages = list_make1(NULL);
	initStringInfo(&tried);
	foreach(lc, packages)
	{
		const char *package = lfirst(lc);

		for (int i = 0; i < lengthof(prefixes); i++)
		{
			const char *full = psprintf("%s__%s", prefixes[i], name);
			const char *id = package != NULL ? find_in(calls->scope, package, full)
				: resolve(calls->scope, load->root->name, full);

			if (id != NULL)
				return id;
			add_attempt(&tried, package, full);
		}
	}
	if (calls->file != NULL)
		pj_raise(calls->file, NULL,
				 "In dispatch: No macro named '%s' found within namespace: '%s'\n    Searched for: %s",
				 name, macro_namespace != NULL ? macro_namespace : "None", tried.data);
	return NULL;
}

static void
note(Calls *calls, const char *id)
{
	for (int i = 0; id != NULL && i < calls->ids->n; i++)
		if (pd_equals(calls->ids->u.items[i], id))
			return;
	if (id != NULL)
		pd_append(calls->ids, pd_string(id));
}

static void
note_name(Calls *calls, const char *package, const char *name)
{
	if (strcmp(name, calls->name) != 0)
		note(calls, resolve(calls->scope, package, name));
}

static const char *
argument(const JinjaCallInfo *call, int pos, const char *name)
{
	if (pos < call->nargs)
		return call->args[pos];
	for (int i = 0; i < call->nkwargs; i++)
		if (strcmp(call->kwnames[i], name) == 0)
			return call->kwvalues[i];
	return NULL;
}

static void
note_call(const JinjaCallInfo *call, void *arg)
{
	Calls	   *calls = arg;
	const char *name;

	if (call->object == NULL)
	{
		if (strcmp(call->name, "ref") != 0 && strcmp(call->name, "source") != 0 &&
			strcmp(call->name, "config") != 0)
			note_name(calls, calls->package, call->name);
		return;
	}
	if (strcmp(call->object, "adapter") != 0)
	{
		note(calls, resolve(calls->scope, call->object, call->name));
		return;
	}
	name = strcmp(call->name, "dispatch") == 0 ? argument(call, 0, "macro_name") : NULL;
	if (name == NULL)
		return;
	note_name(calls, calls->package, name);
	note(calls, resolve_dispatch(calls, name, argument(call, 1, "macro_namespace")));
}

/* The template that dbt's own macro of the id stands in. */
static JinjaTemplate *
builtin_template(const char *id, int *index)
{
	static const char own[] = "macro.dbt.";
	const char *name = id + strlen(own);

	if (strncmp(id, own, strlen(own)) != 0)
		return NULL;
	for (const DpipeBuiltinFile *file = dpipe_builtin_files; file->name != NULL; file++)
	{
		JinjaTemplate *tmpl = jinja_cached_template(file->name, file->text, strlen(file->text),
													&dpipe_dialect);

		for (int i = 0; i < jinja_template_macros(tmpl); i++)
		{
			const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);

			bool		test = strcmp(info->tag, "test") == 0;

			if (test && strncmp(name, "test_", 5) != 0)
				continue;
			if (strcmp(name + (test ? 5 : 0), info->name) == 0)
			{
				*index = i;
				return tmpl;
			}
		}
	}
	return NULL;
}

/* A macro, and what it calls, and so on; what comes later hides a name before. */
static void
add_visible(PjScope *scope, PjVisible *visible, const char *id)
{
	char	   *package = pstrdup(id + strlen("macro."));
	char	   *dot = strchr(package, '.');
	Calls		calls = {scope, package, NULL, pd_list()};
	PjMacro    *macro;
	JinjaTemplate *tmpl;
	int			index;

	check_stack_depth();
	if (pj_table_get(visible->ids, id) != NULL)
		return;
	pj_table_put(visible->ids, id, (void *) id);
	*dot = '\0';
	calls.name = dot + 1;
	pj_table_put(visible->names, calls.name, (void *) id);
	pj_table_put(visible->packages, package, (void *) id);
	macro = pj_macro_of_id(scope->load, id);
	index = macro != NULL ? macro->index : 0;
	tmpl = macro != NULL ? pj_template(scope->load, macro->file) : builtin_template(id, &index);
	if (tmpl != NULL)
		jinja_template_calls(tmpl, index, note_call, &calls);
	for (int i = 0; i < calls.ids->n; i++)
		add_visible(scope, visible, pd_text(calls.ids->u.items[i]));
}

/*
 * What a generic test sees while it is parsed: what can be read of its macro
 * that this calls. The test is the first macro that its node depends on.
 */
PjVisible *
pj_visible_macros(PjScope *scope)
{
	PjLoad	   *load = scope->load;
	const char *test = scope->node->macros != NIL ? linitial(scope->node->macros) : NULL;
	const char *key = test != NULL ? test : "";
	MemoryContext old;
	PjVisible  *visible;

	if (load->visible == NULL)
	{
		old = MemoryContextSwitchTo(load->cxt);
		load->visible = pj_table("dpipe macros of tests");
		MemoryContextSwitchTo(old);
	}
	visible = pj_table_get(load->visible, key);
	if (visible != NULL)
		return visible;
	old = MemoryContextSwitchTo(load->cxt);
	visible = palloc(sizeof(PjVisible));
	visible->ids = pj_table("dpipe ids of macros");
	visible->names = pj_table("dpipe names of macros");
	visible->packages = pj_table("dpipe packages of macros");
	add_visible(scope, visible, resolve(scope, load->root->name, "get_where_subquery"));
	if (test != NULL)
		add_visible(scope, visible, test);
	pj_table_put(load->visible, key, visible);
	MemoryContextSwitchTo(old);
	return visible;
}

/* The id of the macro that a package's node is said to depend on, or NULL. */
const char *
pj_macro_dependency(PjLoad *load, const PjProject *project, const char *name)
{
	PjMacro    *macro = pj_any_macro(load, project, name);

	if (macro != NULL)
		return macro->unique_id;
	return dpipe_is_builtin_macro(name) ? psprintf("macro.dbt.%s", name) : NULL;
}

/* ---------- documents ---------- */

/* Behind "block" where it stands at p, else NULL; \r\n is a newline, too. */
static const char *
behind(const char *p, const char *block)
{
	for (; *block; p++, block++)
	{
		if (*block == '\n' && p[0] == '\r' && p[1] == '\n')
			p++;
		if (*p != *block)
			return NULL;
	}
	return p;
}

/*
 * A block with the white space around that {%- and -%} take away, which dbt
 * counts in.
 */
static PdDoc *
block_text(const char *text, const JinjaMacroInfo *info)
{
	char	   *block = pnstrdup(info->text, info->text_len);
	const char *mark = block + strspn(block, " \t\r\n");
	const char *start = text;
	const char *end = NULL;

	while (*start && (end = behind(start, mark)) == NULL)
		start++;
	if (end == NULL)
		return pd_string(block);
	if (strncmp(mark, "{%-", 3) == 0)
	{
		const char *space = start;

		while (space > text && isspace((unsigned char) space[-1]))
			space--;
		/* What ends with -%} has had it. */
		if (space - text < 3 || strncmp(space - 3, "-%}", 3) != 0)
			start = space;
	}
	if (end - start >= 3 && strncmp(end - 3, "-%}", 3) == 0)
		while (isspace((unsigned char) *end))
			end++;
	return pd_string_len(start, end - start);
}

static PdDoc *
base_doc(PjScope *scope, const char *package, const char *name, const char *path,
		 const char *file_text, const JinjaTemplate *tmpl, int i)
{
	const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);
	Calls		calls = {scope, package, name, pd_list()};
	PdDoc	   *doc = pd_dict();
	PdDoc	   *depends = pd_dict();

	CHECK_FOR_INTERRUPTS();
	jinja_template_calls(tmpl, i, note_call, &calls);
	pd_put(depends, "macros", calls.ids);
	pd_put(doc, "name", pd_string(name));
	pd_put(doc, "resource_type", pd_string("macro"));
	pd_put(doc, "package_name", pd_string(package));
	pd_put(doc, "path", pd_string(path));
	pd_put(doc, "original_file_path", pd_string(path));
	pd_put(doc, "unique_id", pd_string(psprintf("macro.%s.%s", package, name)));
	pd_put(doc, "macro_sql", block_text(file_text, info));
	pd_put(doc, "depends_on", depends);
	return doc;
}

/* Python, too, if a materialization says so. */
static PdDoc *
languages(JinjaEnv *env, PjMacro *macro)
{
	JinjaValue *given = jinja_macro_option(env, NULL, macro->file->tmpl, macro->index,
										   "supported_languages");
	PdDoc	   *list = given != NULL ? pj_value_doc(env, given) : NULL;

	if (pd_is(list, PD_LIST))
		return list;
	list = pd_list();
	pd_append(list, pd_string("sql"));
	return list;
}

static PdDoc *
overlaid(const PdDoc *a, const PdDoc *b)
{
	PdDoc	   *result = pd_is(a, PD_DICT) ? pd_copy_top(a) : pd_dict();

	if (pd_is(b, PD_DICT))
		pd_update(result, b);
	return result;
}

static PdDoc *
described(PjManifest *m, const PjMacro *macro, PdDoc *doc)
{
	const char *text = pd_get_text(doc, "description");

	doc = pd_copy_top(doc);
	if (text != NULL)
		pd_put(doc, "description",
			   pd_string(pj_render_description(m->load, macro->project, text, macro->file)));
	return doc;
}

static void
put_patch(PjManifest *m, const PjMacro *macro, PdDoc *doc)
{
	PdDoc	   *patch = pd_get(pd_get(m->definition, "macros"), macro->unique_id);
	PdDoc	   *config = pd_dict();
	PdDoc	   *arguments = pd_list();
	PdDoc	   *given = pd_get(patch, "arguments");
	PdDoc	   *docs;

	if (!pd_is(patch, PD_DICT))
		return;
	patch = described(m, macro, patch);
	pd_put(doc, "description", pd_get_text(patch, "description")
		   ? pd_get(patch, "description") : pd_string(""));
	pd_put(doc, "patch_path", pd_get(patch, "patch_path"));
	pd_put(config, "meta", overlaid(pd_get(patch, "meta"), pd_get(pd_get(patch, "config"), "meta")));
	docs = pd_get(pd_get(patch, "config"), "docs");
	if (!pd_truth(docs))
		docs = pd_get(patch, "docs");
	if (pd_is(docs, PD_DICT))
		pd_put(config, "docs", docs);
	pd_update(doc, config);
	pd_put(doc, "config", config);
	for (int i = 0; pd_is(given, PD_LIST) && i < given->n; i++)
		pd_append(arguments, described(m, macro, given->u.items[i]));
	if (arguments->n > 0)
		pd_put(doc, "arguments", arguments);
}

/* Where the signature counts: dbt reads it only if a flag says so. */
static PdDoc *
signature(const JinjaMacroInfo *info)
{
	List	   *names = NIL;
	PdDoc	   *list = pd_list();
	ListCell   *lc;

	for (int i = 0; i < info->nparams; i++)
		names = lappend(names, (void *) info->params[i]);
	if (strcmp(info->tag, "materialization") == 0)
		names = list_make1("supported_languages");
	foreach(lc, names)
	{
		PdDoc	   *argument = pd_dict();

		pd_put(argument, "name", pd_string(lfirst(lc)));
		pd_append(list, argument);
	}
	return list;
}

static PdDoc *
macro_doc(PjManifest *m, PjScope *scope, PjMacro *macro)
{
	const JinjaMacroInfo *info = jinja_template_macro(macro->file->tmpl, macro->index);
	PdDoc	   *doc = base_doc(scope, macro->project->name, macro->name, macro->file->original,
							   macro->file->text, macro->file->tmpl, macro->index);

	if (strcmp(macro->tag, "materialization") == 0)
		pd_put(doc, "supported_languages", languages(scope->env, macro));
	if (macro->file->kind == PJ_MACRO &&
		pd_truth(pd_get(m->load->flags, "validate_macro_args")))
		pd_put(doc, "arguments", signature(info));
	put_patch(m, macro, doc);
	return doc;
}

static void
put_builtin(PjManifest *m, PjScope *scope, PdDoc *macros)
{
	for (const DpipeBuiltinFile *file = dpipe_builtin_files; file->name != NULL; file++)
	{
		JinjaTemplate *tmpl = jinja_cached_template(file->name, file->text, strlen(file->text),
													&dpipe_dialect);

		for (int i = 0; i < jinja_template_macros(tmpl); i++)
		{
			const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);
			bool		test = strcmp(info->tag, "test") == 0;
			PdDoc	   *doc = base_doc(scope, "dbt", psprintf("%s%s", test ? "test_" : "", info->name),
									   file->name, file->text, tmpl, i);

			pd_put(macros, pd_get_text(doc, "unique_id"), pj_manifest_doc(m, "macro", doc));
		}
	}
}

/* What a macro dispatches to must be there, be it called or not. */
void
pj_check_dispatches(PjLoad *load)
{
	PjScope		scope;
	ListCell   *lc;

	pj_scope_open(&scope, load, load->root, NULL);
	foreach(lc, load->macros)
	{
		const PjMacro *macro = lfirst(lc);
		Calls		calls = {&scope, macro->project->name, macro->name, pd_list(), macro->file};

		CHECK_FOR_INTERRUPTS();
		jinja_template_calls(pj_template(load, macro->file), macro->index, note_call, &calls);
	}
	pj_scope_close(&scope);
}

void
pj_manifest_macros(PjManifest *m, PdDoc *macros)
{
	PjScope		scope;
	ListCell   *lc;

	pj_scope_open(&scope, m->load, m->load->root, NULL);
	foreach(lc, m->load->macros)
	{
		PjMacro    *macro = lfirst(lc);

		pd_put(macros, macro->unique_id, pj_manifest_doc(m, "macro", macro_doc(m, &scope, macro)));
	}
	put_builtin(m, &scope, macros);
	pj_scope_close(&scope);
}
