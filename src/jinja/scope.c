/*
 * scope.c
 *		Which names a scope hides from its beginning.
 *
 * Jinja2 compiles a scope's variables to Python's, so a name that a scope
 * assigns unconditionally, and does not read itself before, is a variable of
 * that scope from its first line on: inside the scopes nested in it, it is
 * undefined until it is assigned, even if the context has a value for it. A
 * name that is read first, or assigned in a branch only, starts with the value
 * from outside. This pass over the tree follows Jinja2's idtracking and leaves
 * with each body the names to be hidden when the body is entered.
 *
 * Only nested scopes can tell the difference, so a body without any hides
 * nothing.
 */
#include "base/compat.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "jinja/parser.h"

typedef struct Symbol
{
	const char *name;
	bool		hidden;			/* assigned before it was known at all */
	char		status;
} Symbol;

#define SH_PREFIX symbols
#define SH_ELEMENT_TYPE Symbol
#define SH_KEY_TYPE const char *
#define SH_KEY name
#define SH_HASH_KEY(tb, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Scope
{
	struct Scope *parent;
	symbols_hash *known;
	List	   *added;			/* names in the order they became known */
	List	   *nested;			/* nodes that have scopes of their own */
	MemoryContext keep;			/* of the template */
} Scope;

static void visit(Scope *scope, JnNode *node);
static void analyze_nested(Scope *scope, JnNode *node);

/* ---------- names ---------- */

static bool
is_known(Scope *scope, const char *name)
{
	for (; scope != NULL; scope = scope->parent)
		if (symbols_lookup(scope->known, name) != NULL)
			return true;
	return false;
}

static void
add_name(Scope *scope, JinjaValue *name, bool hidden)
{
	bool		found;
	Symbol	   *symbol = symbols_insert(scope->known, name->u.string.data,
										&found);

	if (found)
		return;
	symbol->hidden = hidden;
	scope->added = lappend(scope->added, name);
}

static void
load(Scope *scope, JinjaValue *name)
{
	if (!is_known(scope, name->u.string.data))
		add_name(scope, name, false);
}

static void
store(Scope *scope, JinjaValue *name)
{
	add_name(scope, name, !is_known(scope, name->u.string.data));
}

static void
add_target(Scope *scope, JnNode *target, bool as_parameter)
{
	switch (target->type)
	{
		case JN_NAME:
			if (as_parameter)
				add_name(scope, target->u.value, false);
			else
				store(scope, target->u.value);
			break;
		case JN_NSREF:
			load(scope, target->u.attr.object->u.value);
			break;
		default:
			for (int i = 0; i < target->u.list.n; i++)
				add_target(scope, target->u.list.items[i], as_parameter);
	}
}

/* ---------- the nodes of one scope ---------- */

static void
visit_list(Scope *scope, const JnNodeList *list)
{
	for (int i = 0; i < list->n; i++)
		visit(scope, list->items[i]);
}

static void
visit_args(Scope *scope, const JnCallArgs *args)
{
	visit_list(scope, &args->args);
	visit_list(scope, &args->kwvalues);
	if (args->star != NULL)
		visit(scope, args->star);
	if (args->starstar != NULL)
		visit(scope, args->starstar);
}

/* Take back what became known since "mark"; returns those names. */
static List *
take_back(Scope *scope, int mark)
{
	List	   *names = NIL;

	for (int i = mark; i < list_length(scope->added); i++)
	{
		JinjaValue *name = (JinjaValue *) list_nth(scope->added, i);

		symbols_delete(scope->known, name->u.string.data);
		names = lappend(names, name);
	}
	scope->added = list_truncate(scope->added, mark);
	return names;
}

/* Branches do not see each other's names; afterwards all are known. */
static void
visit_if(Scope *scope, JnNode *node)
{
	int			mark;
	List	   *names;
	ListCell   *lc;

	visit(scope, node->u.branch.tests.items[0]);
	mark = list_length(scope->added);
	visit_list(scope, &node->u.branch.bodies[0]);
	names = take_back(scope, mark);
	for (int i = 1; i < node->u.branch.tests.n; i++)
	{
		visit(scope, node->u.branch.tests.items[i]);
		visit_list(scope, &node->u.branch.bodies[i]);
	}
	names = list_concat(names, take_back(scope, mark));
	visit_list(scope, &node->u.branch.orelse);
	names = list_concat(names, take_back(scope, mark));
	foreach(lc, names)
		add_name(scope, (JinjaValue *) lfirst(lc), false);
	list_free(names);
}

static void
visit_statement(Scope *scope, JnNode *node)
{
	switch (node->type)
	{
		case JN_OUTPUT:
			visit_list(scope, &node->u.list);
			return;
		case JN_DO:
			visit(scope, node->u.operand);
			return;
		case JN_IF:
			visit_if(scope, node);
			return;
		case JN_SET:
			visit(scope, node->u.assign.value);
			add_target(scope, node->u.assign.target, false);
			return;
		case JN_SET_BLOCK:
			add_target(scope, node->u.assign.target, false);
			break;
		case JN_FOR:
			visit(scope, node->u.loop.iter);
			break;
		case JN_MACRO:
			store(scope, node->u.macro.name);
			break;
		case JN_BLOCK:
			break;
		case JN_CALL_BLOCK:
			visit(scope, node->u.callblock.call);
			break;
		case JN_FILTER_BLOCK:
			visit(scope, node->u.filterblock.filter);
			break;
		case JN_WITH:
			visit_list(scope, &node->u.with.values);
			break;
		default:
			return;				/* text, break, continue */
	}
	scope->nested = lappend(scope->nested, node);
}

static void
visit_optional(Scope *scope, JnNode *node)
{
	if (node != NULL)
		visit(scope, node);
}

static void
visit_three(Scope *scope, JnNode *a, JnNode *b, JnNode *c)
{
	visit_optional(scope, a);
	visit_optional(scope, b);
	visit_optional(scope, c);
}

static void
visit(Scope *scope, JnNode *node)
{
	check_stack_depth();
	switch (node->type)
	{
		case JN_CONST:
		case JN_NSREF:
			break;
		case JN_NAME:
			load(scope, node->u.value);
			break;
		case JN_TUPLE:
		case JN_LIST:
		case JN_CONCAT:
			visit_list(scope, &node->u.list);
			break;
		case JN_DICT:
			visit_list(scope, &node->u.dict.keys);
			visit_list(scope, &node->u.dict.values);
			break;
		case JN_GETATTR:
			visit(scope, node->u.attr.object);
			break;
		case JN_GETITEM:
			visit(scope, node->u.item.object);
			visit(scope, node->u.item.index);
			break;
		case JN_SLICE:
			visit_three(scope, node->u.slice.start, node->u.slice.stop,
						node->u.slice.step);
			break;
		case JN_CALL:
			visit(scope, node->u.call.callee);
			visit_args(scope, &node->u.call.args);
			break;
		case JN_FILTER:
		case JN_TEST:
			visit_optional(scope, node->u.apply.input);
			visit_args(scope, &node->u.apply.args);
			break;
		case JN_NOT:
		case JN_NEG:
		case JN_POS:
			visit(scope, node->u.operand);
			break;
		case JN_AND:
		case JN_OR:
		case JN_BINARY:
			visit(scope, node->u.binary.left);
			visit(scope, node->u.binary.right);
			break;
		case JN_COMPARE:
			visit(scope, node->u.compare.first);
			visit_list(scope, &node->u.compare.operands);
			break;
		case JN_COND:
			visit_three(scope, node->u.cond.test, node->u.cond.yes,
						node->u.cond.no);
			break;
		default:
			visit_statement(scope, node);
	}
}

/* ---------- scopes ---------- */

static void
keep_hidden(Scope *scope, JnNodeList *body)
{
	ListCell   *lc;

	foreach(lc, scope->added)
	{
		JinjaValue *name = (JinjaValue *) lfirst(lc);

		if (!symbols_lookup(scope->known, name->u.string.data)->hidden)
			continue;
		if (body->hidden == NULL)
			body->hidden = MemoryContextAlloc(scope->keep,
											  list_length(scope->added) *
											  sizeof(JinjaValue *));
		body->hidden[body->nhidden++] = name;
	}
}

static void
begin_scope(Scope *scope, Scope *parent)
{
	scope->parent = parent;
	scope->keep = parent->keep;
	scope->known = symbols_create(CurrentMemoryContext, 16, NULL);
	scope->added = NIL;
	scope->nested = NIL;
}

/* The names that come with the scope are known; now its body. */
static void
finish_scope(Scope *scope, JnNodeList *body)
{
	ListCell   *lc;

	visit_list(scope, body);
	if (scope->nested != NIL)
		keep_hidden(scope, body);
	foreach(lc, scope->nested)
		analyze_nested(scope, (JnNode *) lfirst(lc));
	symbols_destroy(scope->known);
	list_free(scope->added);
	list_free(scope->nested);
}

static void
analyze_body(Scope *parent, JnNodeList *body)
{
	Scope		scope;

	begin_scope(&scope, parent);
	finish_scope(&scope, body);
}

static void
analyze_loop(Scope *parent, JnNode *node)
{
	Scope		scope;

	begin_scope(&scope, parent);
	add_name(&scope, jn_string_static(CurrentMemoryContext, "loop", 4), false);
	add_target(&scope, node->u.loop.target, true);
	finish_scope(&scope, &node->u.loop.body);
	analyze_body(parent, &node->u.loop.orelse);
}

static void
analyze_macro(Scope *parent, JnMacroDef *def)
{
	static const char *const special[] = {"caller", "kwargs", "varargs"};
	bool		uses[] = {def->uses_caller, def->uses_kwargs,
	def->uses_varargs};
	Scope		scope;

	begin_scope(&scope, parent);
	for (int i = 0; i < def->nparams; i++)
		add_name(&scope, def->params[i], false);
	for (int i = 0; i < lengthof(special); i++)
		if (uses[i])
			add_name(&scope, jn_string_static(CurrentMemoryContext, special[i],
											  strlen(special[i])), false);
	visit_list(&scope, &def->defaults);
	finish_scope(&scope, &def->body);
}

static void
analyze_with(Scope *parent, JnNode *node)
{
	Scope		scope;

	begin_scope(&scope, parent);
	for (int i = 0; i < node->u.with.targets.n; i++)
		add_target(&scope, node->u.with.targets.items[i], true);
	finish_scope(&scope, &node->u.with.body);
}

static void
analyze_nested(Scope *scope, JnNode *node)
{
	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	switch (node->type)
	{
		case JN_FOR:
			analyze_loop(scope, node);
			break;
		case JN_MACRO:
		case JN_BLOCK:
			analyze_macro(scope, &node->u.macro);
			break;
		case JN_CALL_BLOCK:
			analyze_macro(scope, &node->u.callblock.caller);
			break;
		case JN_WITH:
			analyze_with(scope, node);
			break;
		case JN_SET_BLOCK:
			analyze_body(scope, &node->u.assign.body);
			break;
		case JN_FILTER_BLOCK:
			analyze_body(scope, &node->u.filterblock.body);
			break;
		default:
			elog(ERROR, "node type %d has no scope", node->type);
	}
}

/* Fill in what each body of a template hides. */
void
jn_analyze_scopes(JnNodeList *body)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "dpipe template scopes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Scope		outside = {.keep = old};

	/* It knows no names. */
	outside.known = symbols_create(CurrentMemoryContext, 2, NULL);
	analyze_body(&outside, body);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}
