/*
 * compile.c
 *		The text of a project's node as it would run now; operations.
 *
 * A text is rendered with execute = true, as the project's owner. Ephemeral
 * models that it reads become common table expressions in front of it, theirs
 * before them.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/identity.h"
#include "project/host.h"
#include "project/loading.h"
#include "project/open.h"
#include "project/scope.h"

/* ---------- a load with what only this call says ---------- */

static void
adjust(PjLoad *load, const PjLoad *stored, const PjCompile *how)
{
	*load = *stored;
	load->cxt = CurrentMemoryContext;
	if (how->vars != NULL)
	{
		load->vars = pd_copy_top(stored->vars);
		pd_update(load->vars, how->vars);
	}
	load->flags = pd_copy_top(stored->flags);
	pd_put(load->flags, "FULL_REFRESH", pd_bool(how->full_refresh));
	pd_put(load->flags, "EMPTY", pd_bool(how->empty));
	pd_put(load->flags, "WHICH", pd_string(how->command));
	pd_put(load->flags, "INVOCATION_COMMAND", pd_string(psprintf("dbt %s", how->command)));
}

static PjNode *
find_node(const PjLoad *load, const char *name)
{
	PjNode	   *node = pj_table_get(load->by_id, name);
	ListCell   *lc;

	if (node != NULL)
		return pj_read_node(node);
	foreach(lc, (List *) pj_table_get(load->by_name, name))
	{
		PjNode	   *candidate = lfirst(lc);

		if (!candidate->enabled || strcmp(candidate->resource_type, "source") == 0)
			continue;
		if (node == NULL || candidate->project->is_root)
			node = candidate;
	}
	return node != NULL ? pj_read_node(node) : NULL;
}

/* ---------- arguments of generic tests ---------- */

/* "ref('x')" and the like, without braces. */
static bool
looks_like_call(const char *s)
{
	static const char *const names[] = {"env_var", "ref", "var", "source", "doc"};
	int			len = strlen(s);

	s = pj_strip(s, &len);
	if (len == 0 || s[len - 1] != ')')
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		int			n = strlen(names[i]);
		const char *p = s + n;

		if (len <= n || strncmp(s, names[i], n) != 0)
			continue;
		while (isspace((unsigned char) *p))
			p++;
		if (*p == '(' && p + 1 < s + len - 1)
			return true;
	}
	return false;
}

static JinjaValue *
argument_value(PjScope *scope, const PdDoc *doc, bool is_column)
{
	JinjaEnv   *env = scope->env;
	JinjaValue *v;

	check_stack_depth();
	if (doc->kind == PD_STRING && !is_column)
	{
		const char *text = looks_like_call(doc->u.text) ? psprintf("{{ %s }}", doc->u.text)
			: doc->u.text;

		return jinja_render_native(env, scope->context,
								   jinja_parse(jinja_env_context(env), "argument of a test", text,
											   strlen(text)));
	}
	if (doc->kind == PD_LIST)
	{
		v = jinja_list(env);
		for (int i = 0; i < doc->n; i++)
			jinja_list_append(env, v, argument_value(scope, doc->u.items[i], false));
		return v;
	}
	if (doc->kind == PD_DICT)
	{
		v = jinja_dict(env);
		for (int i = 0; i < doc->n; i++)
			jinja_dict_set_value(env, v, pj_doc_value(env, doc->u.entries[i].key),
								 argument_value(scope, doc->u.entries[i].value, false));
		return v;
	}
	return pj_doc_value(env, doc);
}

static void
set_test_arguments(PjScope *scope, const PjNode *node)
{
	PdDoc	   *kwargs = pd_get(node->test_metadata, "kwargs");
	JinjaValue *dict = jinja_dict(scope->env);

	for (int i = 0; pd_is(kwargs, PD_DICT) && i < kwargs->n; i++)
	{
		const char *name = pd_text(kwargs->u.entries[i].key);

		jinja_dict_set(scope->env, dict, name,
					   argument_value(scope, kwargs->u.entries[i].value,
									  strcmp(name, "column_name") == 0));
	}
	jinja_context_set(scope->env, scope->context, "_dbt_generic_test_kwargs", dict);
}

/* ---------- rendering ---------- */

static void
open_scope(PjScope *scope, PjLoad *load, const PjProject *project, PjNode *node,
		   const PjCompile *how)
{
	pj_scope_open(scope, load, project, node);
	scope->host.execute = true;
	scope->host.owner = load->owner;
	scope->host.search_path = load->search_path;
	scope->empty = how->empty;
	scope->selected = how->selected;
	scope->new_rows = how->new_rows;
}

/* What a text gives, and which ephemeral models it reads. */
static char *
render(PjLoad *load, PjNode *node, const PjCompile *how, List **ephemeral)
{
	PjScope		scope;
	char	   *text;
	JinjaTemplate *tmpl;

	open_scope(&scope, load, node->project, node, how);
	if (pd_is(node->test_metadata, PD_DICT))
		set_test_arguments(&scope, node);
	tmpl = jinja_parse_dialect(jinja_env_context(scope.env),
							   node->path != NULL ? node->path : node->name, node->raw_code,
							   strlen(node->raw_code), &dpipe_dialect);
	text = jinja_render_in(scope.env, scope.context, tmpl);
	*ephemeral = scope.ephemeral;
	pj_scope_close(&scope);
	return text;
}

/* ---------- ephemeral models ---------- */

typedef struct Cte
{
	const PjNode *node;
	char	   *text;
} Cte;

static const char *
skip_space(const char *p)
{
	for (;;)
	{
		const char *end;

		while (isspace((unsigned char) *p))
			p++;
		if (strncmp(p, "--", 2) == 0)
			end = strchr(p, '\n');
		else if (strncmp(p, "/*", 2) == 0)
			end = strstr(p + 2, "*/");
		else
			return p;
		if (end == NULL)
			return p + strlen(p);
		p = *end == '\n' ? end + 1 : end + 2;
	}
}

/* Behind the word at p, or NULL: there is another one. */
static const char *
after_word(const char *p, const char *word)
{
	int			n = strlen(word);

	if (pg_strncasecmp(p, word, n) != 0 || isalnum((unsigned char) p[n]) || p[n] == '_')
		return NULL;
	return p + n;
}

static char *
with_ctes(const char *text, List *ctes)
{
	StringInfoData list;
	ListCell   *lc;
	const char *start = text;
	const char *with;
	const char *recursive;

	if (ctes == NIL)
		return pstrdup(text);
	initStringInfo(&list);
	foreach(lc, ctes)
	{
		Cte		   *cte = lfirst(lc);

		appendStringInfo(&list, "%s __dbt__cte__%s as (\n%s\n)", list.len > 0 ? "," : "",
						 cte->node->alias, cte->text);
	}
	with = after_word(skip_space(text), "with");
	if (with != NULL)
	{
		recursive = after_word(skip_space(with), "recursive");
		if (recursive != NULL)
			with = recursive;
		return psprintf("%s%s, %s", pnstrdup(text, with - text), list.data, with);
	}
	while (isspace((unsigned char) *start))
		start++;
	return psprintf("%swith%s %s", pnstrdup(text, start - text), list.data, start);
}

static char *compile(PjLoad *load, PjNode *node, const PjCompile *how, List **ctes);

/* The models and, before each, those that it reads; every one once. */
static void
add_ctes(PjLoad *load, List *ephemeral, const PjCompile *how, List **ctes)
{
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, ephemeral)
	{
		PjNode	   *node = lfirst(lc);
		ListCell   *known;
		bool		found = false;
		Cte		   *cte;

		foreach(known, *ctes)
			found |= ((Cte *) lfirst(known))->node == node;
		if (found)
			continue;
		cte = palloc(sizeof(Cte));
		cte->node = node;
		cte->text = compile(load, node, how, ctes);
		*ctes = lappend(*ctes, cte);
	}
}

/* The text of a node alone; what it reads is added to the list. */
static char *
compile(PjLoad *load, PjNode *node, const PjCompile *how, List **ctes)
{
	List	   *ephemeral;
	char	   *text = render(load, node, how, &ephemeral);

	add_ctes(load, ephemeral, how, ctes);
	return text;
}

static char *
compile_whole(PjLoad *load, PjNode *node, const PjCompile *how)
{
	DpipeIdentity id;
	List	   *ctes = NIL;
	char	   *text;

	dpipe_identity_owner(&id, load->owner, load->search_path);
	text = compile(load, node, how, &ctes);
	dpipe_identity_restore(&id);
	return with_ctes(text, ctes);
}

char *
pj_with_ephemeral(PjScope *scope, const char *text, bool full_refresh, const char *command)
{
	PjCompile	how = {.full_refresh = full_refresh,.command = command};
	PjLoad		load;
	List	   *ctes = NIL;

	if (scope->ephemeral == NIL)
		return pstrdup(text);
	adjust(&load, scope->load, &how);
	add_ctes(&load, scope->ephemeral, &how, &ctes);
	return with_ctes(text, ctes);
}

/* ---------- entries ---------- */

typedef struct Where
{
	const PjNode *node;
} Where;

/* dbt's words for the place of an error. */
static void
compile_context(void *arg)
{
	const PjNode *node = ((Where *) arg)->node;

	errcontext("Compilation Error in %s %s (%s)", node->resource_type, node->name,
			   node->original_path != NULL ? node->original_path : "");
}

char *
pj_compile_node(const PjCompile *called, const char *name)
{
	PjCompile	how = *called;
	PjLoad		load;
	PjNode	   *node;
	Where		where;
	ErrorContextCallback callback = {error_context_stack, compile_context, &where};
	char	   *text;

	adjust(&load, pj_open(called->project), &how);
	node = find_node(&load, name);
	if (node == NULL)
		return NULL;
	if (node->raw_code == NULL || strcmp(node->resource_type, "seed") == 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("%s has no text to compile", node->unique_id)));
	where.node = node;
	error_context_stack = &callback;
	how.selected = node->unique_id;
	text = compile_whole(&load, node, &how);
	error_context_stack = callback.previous;
	return text;
}

/* A node of the root project that may refer to everything. */
static PjNode *
operation_node(const PjLoad *load, const char *name, const char *text)
{
	PjNode	   *node = palloc0(sizeof(PjNode));

	node->resource_type = "sql_operation";
	node->name = name;
	node->unique_id = psprintf("sql_operation.%s.%s", load->root->name, name);
	node->project = load->root;
	node->original_path = node->path = psprintf("sql/%s", name);
	node->alias = name;
	node->schema = load->target_schema;
	node->database = pd_get_text(load->target, "database");
	node->raw_code = text;
	node->config = pd_dict();
	node->refs = pd_list();
	node->sources = pd_list();
	node->metrics = pd_list();
	node->functions = pd_list();
	node->enabled = true;
	return node;
}

char *
pj_compile_inline(const PjCompile *called, const char *text)
{
	PjCompile	how = *called;
	PjLoad		load;
	PjNode	   *node;

	adjust(&load, pj_open(how.project), &how);
	node = operation_node(&load, "inline_query", text);
	how.selected = node->unique_id;
	return compile_whole(&load, node, &how);
}

static PjMacro *
find_operation(const PjLoad *load, const char *name, const char **package)
{
	const char *dot = strchr(name, '.');

	*package = dot != NULL ? pnstrdup(name, dot - name) : NULL;
	if (dot != NULL)
		return pj_find_macro(load, *package, dot + 1);
	return pj_resolve_macro(load, load->root, name);
}

static JinjaArgs *
operation_args(JinjaEnv *env, const Jsonb *args)
{
	JinjaArgs  *call = palloc0(sizeof(JinjaArgs));
	PdDoc	   *doc = args != NULL ? pd_from_jsonb(args) : pd_dict();

	call->nkwargs = doc->n;
	call->kwnames = palloc(sizeof(char *) * Max(doc->n, 1));
	call->kwvalues = palloc(sizeof(JinjaValue *) * Max(doc->n, 1));
	for (int i = 0; i < doc->n; i++)
	{
		call->kwnames[i] = pd_text(doc->u.entries[i].key);
		call->kwvalues[i] = pj_doc_value(env, doc->u.entries[i].value);
	}
	return call;
}

Jsonb *
pj_call_operation(const PjCompile *how, const char *name, const Jsonb *args)
{
	PjLoad		load;
	PjScope		scope;
	PjMacro    *macro;
	const char *package;
	JinjaValue *callee = NULL;
	DpipeIdentity id;
	Jsonb	   *result;

	adjust(&load, pj_open(how->project), how);
	macro = find_operation(&load, name, &package);
	open_scope(&scope, &load, macro != NULL ? macro->project : load.root,
			   operation_node(&load, name, ""), how);
	if (macro != NULL)
		callee = pj_macro_value(&scope, macro);
	else if (package == NULL || strcmp(package, "dbt") == 0)
		callee = dpipe_builtin_macro(&scope.host, package != NULL ? name + 4 : name);
	if (callee == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("dbt could not find a macro with the name '%s' in any package", name)));
	dpipe_identity_owner(&id, load.owner, load.search_path);
	result = jinja_to_jsonb(scope.env,
							jinja_call(scope.env, callee, operation_args(scope.env, args)));
	dpipe_identity_restore(&id);
	pj_scope_close(&scope);
	return result;
}
