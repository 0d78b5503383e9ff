/*
 * context.c
 *		Rendering while a project is loaded: values of YAML files, what the
 *		text of a node says about itself, descriptions.
 *
 * A node's text is rendered with execute = false; ref(), source() and config()
 * note what they were called with. What a text has said is kept with its file
 * and not asked again while nothing has changed that it could depend on.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/macros.h"
#include "project/scope.h"

/* ---------- errors ---------- */

typedef struct Place
{
	const PjFile *file;
	const char *what;
	int			line;
} Place;

static void
place_context(void *arg)
{
	Place	   *place = arg;

	if (place->what != NULL)
		errcontext("%s", place->what);
	if (place->file != NULL && place->line > 0)
		errcontext("file \"%s\", line %d", place->file->path, place->line);
	else if (place->file != NULL)
		errcontext("file \"%s\"", place->file->path);
}

static void
push_place(ErrorContextCallback *callback, Place *place)
{
	callback->callback = place_context;
	callback->arg = place;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
pop_place(ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

/* ---------- YAML values ---------- */

static bool
has_template(const char *s, int len)
{
	const char *p = s;
	const char *end = s + len;

	while ((p = memchr(p, '{', end - p)) != NULL)
	{
		if (p + 1 < end && (p[1] == '{' || p[1] == '%' || p[1] == '#'))
			return true;
		p++;
	}
	return false;
}

/* A template loses one newline at its end, and so does a text without any. */
static PdDoc *
plain_text(const PdDoc *value)
{
	PdDoc	   *doc;

	if (value->n == 0 || value->u.text[value->n - 1] != '\n')
		return (PdDoc *) value;
	doc = pd_string_len(value->u.text, value->n - 1);
	doc->line = value->line;
	doc->column = value->column;
	return doc;
}

static PdDoc *
render_native(PjScope *scope, const PdDoc *value, const PjFile *file)
{
	Place		place = {file, NULL, value->line};
	ErrorContextCallback callback;
	JinjaTemplate *tmpl;
	PdDoc	   *doc;

	push_place(&callback, &place);
	tmpl = jinja_parse(jinja_env_context(scope->env), file != NULL ? file->path : "value",
					   value->u.text, value->n);
	doc = pj_value_doc(scope->env, jinja_render_native(scope->env, scope->context, tmpl));
	doc->line = value->line;
	doc->column = value->column;
	pop_place(&callback);
	return doc;
}

PdDoc *
pj_render_value(PjLoad *load, const PjProject *project, const PdDoc *value, const PjFile *file)
{
	PjScope		scope;
	PdDoc	   *doc;

	if (value->kind != PD_STRING)
		return (PdDoc *) value;
	if (!has_template(value->u.text, value->n))
		return plain_text(value);
	pj_scope_open(&scope, load, project, NULL);
	scope.yaml = true;
	doc = render_native(&scope, value, file);
	pj_scope_close(&scope);
	return doc;
}

/* A string of an argument that is a call, though it has no braces. */
static bool
is_call(const char *s)
{
	static const char *const names[] = {"env_var", "ref", "var", "source", "doc"};
	int			len = strlen(s);
	int			n;

	s = pj_strip(s, &len);
	if (len == 0 || s[len - 1] != ')' || memchr(s, '\n', len) != NULL)
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		n = strlen(names[i]);
		if (n >= len || strncmp(s, names[i], n) != 0)
			continue;
		n += strspn(s + n, " \t");
		if (s[n] == '(' && n + 2 < len)
			return true;
	}
	return false;
}

typedef struct Deep
{
	PjLoad	   *load;
	const PjProject *project;
	const PjFile *file;
	bool		(*wanted) (const List *keypath, const void *arg);
	const void *arg;
	PjScope    *scope;			/* of a node; else each value has its own */
} Deep;

/* Of a test; the name of its column is taken as it is. */
static PdDoc *
render_argument(const Deep *deep, const PdDoc *value, const List *keypath)
{
	PdDoc	   *call;

	if (list_length(keypath) == 1 && linitial(keypath) != NULL &&
		strcmp(linitial(keypath), "column_name") == 0)
		return (PdDoc *) value;
	if (is_call(value->u.text))
	{
		call = pd_string(psprintf("{{ %s }}", value->u.text));
		call->line = value->line;
		return render_native(deep->scope, call, deep->file);
	}
	return has_template(value->u.text, value->n)
		? render_native(deep->scope, value, deep->file) : plain_text(value);
}

static PdDoc *
render_deep(const Deep *deep, const PdDoc *value, List *keypath)
{
	PdDoc	   *copy;

	check_stack_depth();
	if (value->kind == PD_STRING)
	{
		if (deep->wanted != NULL && !deep->wanted(keypath, deep->arg))
			return (PdDoc *) value;
		if (deep->scope == NULL)
			return pj_render_value(deep->load, deep->project, value, deep->file);
		return render_argument(deep, value, keypath);
	}
	if (value->kind != PD_LIST && value->kind != PD_DICT)
		return (PdDoc *) value;
	copy = pd_copy_top(value);
	for (int i = 0; i < copy->n; i++)
	{
		bool		dict = copy->kind == PD_DICT;

		keypath = lappend(keypath, dict ? (void *) pd_text(copy->u.entries[i].key) : NULL);
		if (dict)
			copy->u.entries[i].value = render_deep(deep, copy->u.entries[i].value, keypath);
		else
			copy->u.items[i] = render_deep(deep, copy->u.items[i], keypath);
		keypath = list_delete_last(keypath);
	}
	return copy;
}

PdDoc *
pj_render_deep(PjLoad *load, const PjProject *project, const PdDoc *value, const PjFile *file,
			   bool (*wanted) (const List *keypath, const void *arg), const void *arg)
{
	Deep		deep = {load, project, file, wanted, arg, NULL};

	return render_deep(&deep, value, NIL);
}

/* ---------- descriptions ---------- */

static PjDoc *
find_doc(const PjLoad *load, const char *package, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->docs)
	{
		PjDoc	   *doc = lfirst(lc);

		if (strcmp(doc->name, name) == 0 &&
			(package == NULL || strcmp(doc->file->project->name, package) == 0))
			return doc;
	}
	return NULL;
}

/* Without a package: of the root project, of the node's own, of any. */
static PjDoc *
resolve_doc(const PjLoad *load, const PjProject *project, const char *package, const char *name)
{
	PjDoc	   *doc;

	if (package != NULL)
		return find_doc(load, package, name);
	doc = find_doc(load, load->root->name, name);
	if (doc == NULL)
		doc = find_doc(load, project->name, name);
	return doc != NULL ? doc : find_doc(load, NULL, name);
}

static JinjaValue *
fn_doc(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	PjScope    *scope = arg;
	const char *name;
	PjDoc	   *doc;

	if (args->nargs < 1 || args->nargs > 2)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "doc() takes at most two arguments");
	name = jinja_to_cstring(env, args->args[args->nargs - 1]);
	doc = resolve_doc(scope->load, scope->project,
					  args->nargs == 2 ? jinja_to_cstring(env, args->args[0]) : NULL, name);
	if (doc == NULL)
		jinja_raise(env, ERRCODE_UNDEFINED_OBJECT,
					"Documentation for '%s' depends on doc '%s' which was not found",
					scope->project->name, name);
	return jinja_string(env, doc->text);
}

typedef struct DocBlocks
{
	PjLoad	   *load;
	const PjProject *project;
	PdDoc	   *ids;
} DocBlocks;

static void
note_doc_block(const JinjaCallInfo *call, void *arg)
{
	DocBlocks  *blocks = arg;
	PjDoc	   *doc = NULL;

	if (call->object == NULL && strcmp(call->name, "doc") == 0 && call->nargs > 0 &&
		call->nargs <= 2 && call->args[call->nargs - 1] != NULL)
		doc = resolve_doc(blocks->load, blocks->project, call->nargs == 2 ? call->args[0] : NULL,
						  call->args[call->nargs - 1]);
	if (doc != NULL)
		pd_append(blocks->ids, pd_string(doc->unique_id));
}

PdDoc *
pj_doc_blocks(PjLoad *load, const PjProject *project, const char *text)
{
	DocBlocks	blocks = {load, project, pd_list()};

	if (strstr(text, "{{") != NULL)
		jinja_template_calls(jinja_parse(CurrentMemoryContext, "description", text, strlen(text)),
							 -1, note_doc_block, &blocks);
	return blocks.ids;
}

char *
pj_render_description(PjLoad *load, const PjProject *project, const char *text,
					  const PjFile *file)
{
	Place		place = {file, "a description", 0};
	ErrorContextCallback callback;
	PjScope		scope;
	JinjaTemplate *tmpl;
	char	   *result;

	if (!has_template(text, strlen(text)))
		return pstrdup(text);
	push_place(&callback, &place);
	pj_scope_open(&scope, load, project, NULL);
	scope.yaml = true;
	jinja_context_set(scope.env, scope.context, "doc",
					  jinja_function(scope.env, "doc", fn_doc, &scope));
	tmpl = jinja_parse(jinja_env_context(scope.env), file != NULL ? file->path : "description",
					   text, strlen(text));
	result = jinja_render_in(scope.env, scope.context, tmpl);
	pj_scope_close(&scope);
	pop_place(&callback);
	return result;
}

/* ---------- what a text says about itself ---------- */

static void
render_for_notes(PjScope *scope, PjNode *node, const char *text)
{
	JinjaTemplate *tmpl = jinja_parse_dialect(jinja_env_context(scope->env), node->original_path, text,
											  strlen(text), &dpipe_dialect);

	jinja_env_set_lenient(scope->env, true);
	(void) jinja_render_in(scope->env, scope->context, tmpl);
}

/* The same again when nothing has changed that it could depend on. */
static bool
recall(PjLoad *load, PjNode *node)
{
	PjFile	   *file = node->file;
	PdDoc	   *notes;
	PdDoc	   *macros;

	if (file == NULL || file->parsed == NULL || file->parsed_key == NULL ||
		strcmp(file->parsed_key, load->parse_key) != 0)
		return false;
	notes = pd_get(file->parsed, node->name);
	if (notes == NULL || pd_get(notes, "functions") == NULL)
		return false;
	node->call_config = pd_get(notes, "config");
	node->refs = pd_copy_top(pd_get(notes, "refs"));
	node->sources = pd_copy_top(pd_get(notes, "sources"));
	node->metrics = pd_copy_top(pd_get(notes, "metrics"));
	node->functions = pd_copy_top(pd_get(notes, "functions"));
	macros = pd_get(notes, "macros");
	for (int i = 0; i < macros->n; i++)
		node->macros = lappend(node->macros, (void *) pd_text(macros->u.items[i]));
	return true;
}

static void
remember(PjLoad *load, PjNode *node)
{
	PjFile	   *file = node->file;
	PdDoc	   *notes = pd_dict();

	if (file->parsed == NULL || file->parsed_key == NULL ||
		strcmp(file->parsed_key, load->parse_key) != 0)
	{
		file->parsed = pd_dict();
		file->parsed_key = load->parse_key;
		load->nreparsed++;
	}
	pd_put(notes, "config", pd_copy_top(node->call_config));
	pd_put(notes, "refs", pd_copy_top(node->refs));
	pd_put(notes, "sources", pd_copy_top(node->sources));
	pd_put(notes, "metrics", pd_copy_top(node->metrics));
	pd_put(notes, "functions", pd_copy_top(node->functions));
	pd_put(notes, "macros", pd_strings(node->macros));
	pd_put(file->parsed, node->name, notes);
}

void
pj_parse_node_sql(PjLoad *load, PjNode *node)
{
	Place		place = {node->file, psprintf("%s %s", node->resource_type, node->name), 0};
	ErrorContextCallback callback;
	PjScope		scope;

	if (recall(load, node))
		return;
	if (has_template(node->raw_code, strlen(node->raw_code)))
	{
		push_place(&callback, &place);
		pj_scope_open(&scope, load, node->project, node);
		render_for_notes(&scope, node, node->raw_code);
		pj_scope_close(&scope);
		pop_place(&callback);
	}
	remember(load, node);
}

/* Of something that stands in YAML: what it refers to. */
void
pj_parse_reference(PjLoad *load, PjNode *node)
{
	Place		place = {node->file, node->unique_id, 0};
	ErrorContextCallback callback;
	PjScope		scope;

	push_place(&callback, &place);
	pj_scope_open(&scope, load, node->project, node);
	render_for_notes(&scope, node, node->raw_code);
	pj_scope_close(&scope);
	pop_place(&callback);
}

static bool
refers(const PjNode *node)
{
	return pd_truth(node->refs) || pd_truth(node->sources) || pd_truth(node->metrics);
}

/* Hooks are rendered for what they refer to, once the config is known. */
void
pj_parse_hooks(PjLoad *load, PjNode *node)
{
	static const char *const keys[] = {"pre-hook", "post-hook"};
	PjScope		scope;

	for (int k = 0; k < lengthof(keys); k++)
	{
		PdDoc	   *hooks = pd_get(node->config, keys[k]);

		for (int i = 0; pd_is(hooks, PD_LIST) && i < hooks->n; i++)
		{
			const char *sql = pd_get_text(hooks->u.items[i], "sql");
			Place		place = {node->file, psprintf("%s of %s", keys[k], node->unique_id), 0};
			ErrorContextCallback callback;

			if (sql == NULL || !has_template(sql, strlen(sql)))
				continue;
			push_place(&callback, &place);
			pj_scope_open(&scope, load, node->project, node);
			render_for_notes(&scope, node, sql);
			pj_scope_close(&scope);
			if (strcmp(node->resource_type, "seed") == 0 && refers(node))
				pj_raise(node->file, NULL,
						 "Seeds cannot depend on other nodes. A hook of '%s' calls 'ref', 'source' or 'metric', itself or by a macro: %s",
						 node->unique_id, sql);
			pop_place(&callback);
		}
	}
}

/*
 * The arguments of a generic test are rendered for what they refer to; so is
 * the test itself. dbt's own four refer to nothing else.
 */
void
pj_parse_test_arguments(PjLoad *load, PjNode *node, const PdDoc *kwargs)
{
	Place		place = {node->file, psprintf("test %s", node->name), 0};
	ErrorContextCallback callback;
	PjScope		scope;
	Deep		deep = {load, node->project, node->file, NULL, NULL, &scope};
	PdDoc	   *rendered;

	push_place(&callback, &place);
	pj_scope_open(&scope, load, node->project, node);
	scope.visible = pj_visible_macros(&scope);
	jinja_env_set_lenient(scope.env, true);
	rendered = render_deep(&deep, kwargs, NIL);
	jinja_context_set(scope.env, scope.context, "_dbt_generic_test_kwargs",
					  pj_doc_value(scope.env, rendered));
	render_for_notes(&scope, node, node->raw_code);
	pj_scope_close(&scope);
	pop_place(&callback);
}
