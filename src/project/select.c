/*
 * select.c
 *		dbt's selections: on one line, and as selectors.yml has them.
 *
 *		selection	criterion set, separated by spaces: union
 *		set			criteria, separated by commas: intersection
 *		criterion	[@] [[n]+] [method:]value [+[n]]
 *
 * A selection is a tree of criteria and sets of them. Evaluating one gives
 * the nodes that it names and, apart from them, tests that it reaches only
 * through a part of what they test: with "cautious" and "buildable" they are
 * in when all of that turns out to be.
 */
#include "base/compat.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"

#include "project/method.h"
#include "project/project.h"

typedef enum SpecKind
{
	SPEC_CRITERION,
	SPEC_UNION,
	SPEC_INTERSECTION,
	SPEC_DIFFERENCE,
} SpecKind;

typedef struct Spec
{
	SpecKind	kind;
	const char *text;			/* as written, for messages */
	DpipeIndirect indirect;
	List	   *parts;			/* Spec * */
	bool		expected;		/* warn when it holds nothing */

	/* a criterion */
	bool		childrens_parents;	/* @ */
	bool		parents;
	bool		children;
	int			parents_depth;	/* -1: all */
	int			children_depth;
	const DpipeMethod *method;
	const char *argument;
	PdDoc	   *value;
} Spec;

/* What a spec holds; positions of nodes in the graph. */
typedef struct Held
{
	Bitmapset  *direct;
	Bitmapset  *indirect;
} Held;

/* A graph that is being selected from. */
typedef struct Evaluation
{
	const DpipeGraph *graph;
	const DpipeSelection *selection;
	DpipeNode **nodes;			/* by position */
	int			n;
} Evaluation;

/* ---------- parsing a line ---------- */

static void
pg_attribute_noreturn() raise_invalid(const char *text)
{
	ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid selection criterion \"%s\"", text),
			 errhint(
					 "It is [@][n+][method:]value[+n], such as +orders, tag:daily or 2+config.materialized:table+.")));
}

/* Digits at *p, or -1 when there are none. */
static int
parse_depth(const char *text, const char **p)
{
	int64		depth = 0;

	if (!isdigit((unsigned char) **p))
		return -1;
	for (; isdigit((unsigned char) **p); (*p)++)
	{
		depth = depth * 10 + (**p - '0');
		if (depth > INT_MAX)
			raise_invalid(text);
	}
	return (int) depth;
}

static void
parse_prefix(Spec *s, const char **p)
{
	const char *start;

	if (**p == '@')
	{
		s->childrens_parents = true;
		(*p)++;
	}
	start = *p;
	s->parents_depth = parse_depth(s->text, p);
	if (**p == '+')
	{
		s->parents = true;
		(*p)++;
	}
	else
		*p = start;				/* digits that belong to a name */
}

/* Cuts "+n" off the end of value. */
static void
parse_suffix(Spec *s, char *value)
{
	char	   *plus = strrchr(value, '+');
	const char *digits;

	if (plus == NULL)
		return;
	digits = plus + 1;
	s->children_depth = parse_depth(s->text, &digits);
	if (*digits != '\0')
		return;
	s->children = true;
	*plus = '\0';
}

static bool
ends_with(const char *s, const char *end)
{
	int			n = strlen(s) - strlen(end);

	return n >= 0 && pg_strcasecmp(s + n, end) == 0;
}

/* Without a method: what looks like a path or a file is one. */
static const char *
default_method(const char *value)
{
	if (strchr(value, '/') != NULL)
		return "path";
	if (ends_with(value, ".sql") || ends_with(value, ".py") || ends_with(value, ".csv"))
		return "file";
	return "fqn";
}

/* Where a method ends: a colon behind letters, digits, _ and dots alone. */
static const char *
method_end(const char *p)
{
	const char *start = p;

	while (isalnum((unsigned char) *p) || *p == '_' || *p == '.')
		p++;
	return *p == ':' && p > start ? p : NULL;
}

static Spec *
make_spec(SpecKind kind, const char *text, DpipeIndirect indirect)
{
	Spec	   *s = palloc0(sizeof(Spec));

	s->kind = kind;
	s->text = text;
	s->indirect = indirect;
	s->parents_depth = s->children_depth = -1;
	return s;
}

static Spec *
parse_criterion(const char *text, DpipeIndirect indirect)
{
	Spec	   *s = make_spec(SPEC_CRITERION, text, indirect);
	const char *p = text;
	const char *colon;
	char	   *value;

	parse_prefix(s, &p);
	colon = method_end(p);
	value = pstrdup(colon != NULL ? colon + 1 : p);
	parse_suffix(s, value);
	if (value[0] == '\0' || (s->childrens_parents && s->children))
		raise_invalid(text);
	s->method = dpipe_method_find(colon != NULL ? pnstrdup(p, colon - p) : default_method(value),
								  &s->argument, text);
	s->value = pd_string(value);
	return s;
}

static Spec *
parse_set(const char *text, DpipeIndirect indirect)
{
	Spec	   *s = make_spec(SPEC_INTERSECTION, text, indirect);
	char	   *copy = pstrdup(text);

	s->expected = true;
	for (char *rest = copy; rest != NULL;)
	{
		char	   *part = rest;

		rest = strchr(rest, ',');
		if (rest != NULL)
			*rest++ = '\0';
		s->parts = lappend(s->parts, parse_criterion(part, indirect));
	}
	return s;
}

static Spec *
parse_line(const char *text, DpipeIndirect indirect)
{
	Spec	   *s = make_spec(SPEC_UNION, text, indirect);
	char	   *copy = pstrdup(text);
	char	   *save = NULL;

	for (char *set = strtok_r(copy, " \t\r\n", &save); set != NULL;
		 set = strtok_r(NULL, " \t\r\n", &save))
		s->parts = lappend(s->parts, parse_set(set, indirect));
	return s;
}

/* ---------- selectors.yml ---------- */

static Spec *parse_definition(const DpipeGraph *graph, const PdDoc *doc, DpipeIndirect indirect,
							  int depth);

static void
pg_attribute_noreturn() raise_definition(const PdDoc *doc, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid selector in selectors.yml: %s", problem),
					errdetail("It is %s.", pd_to_json(doc))));
}

static DpipeIndirect
indirect_of(const char *name)
{
	static const char *const names[] = {"eager", "cautious", "buildable", "empty"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return (DpipeIndirect) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid indirect selection \"%s\"", name),
					errhint("It is eager, cautious, buildable or empty.")));
}

static const PdDoc *
find_selector(const DpipeGraph *graph, const char *name)
{
	PdDoc	   *list = pd_get(graph->selectors, "selectors");

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_equals(pd_get(list->u.items[i], "name"), name))
			return pd_get(list->u.items[i], "definition");
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("Could not find selector named %s", name)));
}

static int
depth_of(const PdDoc *doc, const char *key)
{
	PdDoc	   *value = pd_get(doc, key);

	if (pd_is_null(value))
		return -1;
	if ((value->kind != PD_INT && value->kind != PD_STRING) ||
		value->u.text[strspn(value->u.text, "0123456789")] != '\0')
		raise_definition(doc, "a depth must be a number");
	return atoi(value->u.text);
}

static Spec *
without(Spec *base, Spec *excluded)
{
	Spec	   *s;

	if (excluded == NULL)
		return base;
	s = make_spec(SPEC_DIFFERENCE, base->text, DPIPE_INDIRECT_EAGER);
	s->parts = list_make2(base, excluded);
	return s;
}

static Spec *
parse_exclusions(const DpipeGraph *graph, const PdDoc *list, DpipeIndirect indirect, int depth)
{
	Spec	   *s = make_spec(SPEC_UNION, "exclude", DPIPE_INDIRECT_EAGER);

	if (!pd_is(list, PD_LIST))
		raise_definition(list != NULL ? list : pd_null(), "\"exclude\" must be a list");
	for (int i = 0; i < list->n; i++)
		s->parts = lappend(s->parts, parse_definition(graph, list->u.items[i], indirect, depth));
	return s->parts == NIL ? NULL : s;
}

static Spec *
parse_group(const DpipeGraph *graph, SpecKind kind, const PdDoc *list, DpipeIndirect indirect,
			int depth)
{
	Spec	   *s = make_spec(kind, "selector", DPIPE_INDIRECT_EAGER);
	Spec	   *excluded = NULL;

	if (!pd_is(list, PD_LIST))
		raise_definition(list, "a union or intersection must be a list");
	for (int i = 0; i < list->n; i++)
	{
		PdDoc	   *part = list->u.items[i];

		/* As dbt has it, also when it says more than what it excludes. */
		if (pd_get(part, "exclude") != NULL)
		{
			if (excluded != NULL)
				raise_definition(list, "You cannot provide multiple exclude arguments to the same selector set operator");
			excluded = parse_exclusions(graph, pd_get(part, "exclude"), indirect, depth);
		}
		else
			s->parts = lappend(s->parts, parse_definition(graph, part, indirect, depth));
	}
	return without(s, excluded);
}

static Spec *
parse_method(const DpipeGraph *graph, const PdDoc *doc, DpipeIndirect indirect, int depth)
{
	Spec	   *s = make_spec(SPEC_CRITERION, pd_to_json(doc), indirect);
	const char *method = pd_get_text(doc, "method");

	s->value = pd_get(doc, "value");
	if (doc->n == 1)
	{
		method = pd_text(doc->u.entries[0].key);
		s->value = doc->u.entries[0].value;
	}
	if (method == NULL || s->value == NULL)
		raise_definition(doc, "expected either 1 key or else \"method\" and \"value\"");
	if (strcmp(method, "selector") == 0 && pd_text(s->value) != NULL)
		return parse_definition(graph, find_selector(graph, pd_text(s->value)), indirect, depth);
	s->method = dpipe_method_find(method, &s->argument, s->text);
	s->childrens_parents = pd_truth(pd_get(doc, "childrens_parents"));
	s->parents = pd_truth(pd_get(doc, "parents"));
	s->children = pd_truth(pd_get(doc, "children"));
	if (s->childrens_parents && s->children)
		raise_definition(doc, "\"childrens_parents\" and \"children\" are incompatible");
	s->parents_depth = depth_of(doc, "parents_depth");
	s->children_depth = depth_of(doc, "children_depth");
	if (pd_get_text(doc, "indirect_selection") != NULL)
		s->indirect = indirect_of(pd_get_text(doc, "indirect_selection"));
	if (pd_get(doc, "exclude") == NULL)
		return s;
	return without(s, parse_exclusions(graph, pd_get(doc, "exclude"), indirect, depth));
}

static Spec *
parse_definition(const DpipeGraph *graph, const PdDoc *doc, DpipeIndirect indirect, int depth)
{
	check_stack_depth();
	if (depth > 100)
		raise_definition(doc, "selectors are nested too deeply");
	if (pd_text(doc) != NULL)
		return parse_criterion(pd_text(doc), indirect);
	if (!pd_is(doc, PD_DICT))
		raise_definition(doc != NULL ? doc : pd_null(), "expected a string or a mapping");
	if (pd_get(doc, "union") != NULL && pd_get(doc, "intersection") != NULL)
		raise_definition(doc, "only one of \"union\" and \"intersection\" is allowed in a definition");
	if (pd_get(doc, "union") != NULL)
		return parse_group(graph, SPEC_UNION, pd_get(doc, "union"), indirect, depth + 1);
	if (pd_get(doc, "intersection") != NULL)
		return parse_group(graph, SPEC_INTERSECTION, pd_get(doc, "intersection"), indirect,
						   depth + 1);
	return parse_method(graph, doc, indirect, depth + 1);
}

/* One selector refers to those before it. */
void
dpipe_check_selectors(const PdDoc *file)
{
	PdDoc	   *list = pd_get(file, "selectors");
	PdDoc	   *known = pd_list();
	DpipeGraph	graph = {.selectors = pd_dict()};
	const char *chosen = NULL;

	if (!pd_is_null(file) && !pd_is(list, PD_LIST))
		raise_definition(file, "it must have a key \"selectors\" with a list");
	pd_put(graph.selectors, "selectors", known);
	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
	{
		PdDoc	   *selector = list->u.items[i];
		PdDoc	   *deflt = pd_get(selector, "default");

		CHECK_FOR_INTERRUPTS();
		if (pd_get_text(selector, "name") == NULL)
			raise_definition(selector, "a selector must have a name");
		for (int k = 0; k < selector->n; k++)
			if (!pd_equals(selector->u.entries[k].key, "name") &&
				!pd_equals(selector->u.entries[k].key, "definition") &&
				!pd_equals(selector->u.entries[k].key, "description") &&
				!pd_equals(selector->u.entries[k].key, "default"))
				raise_definition(selector, psprintf("unknown key \"%s\"",
													pd_scalar_text(selector->u.entries[k].key)));
		if (deflt != NULL && deflt->kind != PD_BOOL)
			raise_definition(selector, "\"default\" must be true or false");
		if (pd_truth(deflt) && chosen != NULL)
			raise_definition(selector,
							 psprintf("Found multiple selectors with `default: true`: %s and %s",
									  chosen, pd_get_text(selector, "name")));
		if (pd_truth(deflt))
			chosen = pd_get_text(selector, "name");
		(void) parse_definition(&graph, pd_get(selector, "definition"), DPIPE_INDIRECT_EAGER, 0);
		pd_append(known, selector);
	}
}

/* The selector that counts when nothing is said; NULL: none. */
static const char *
default_selector(const DpipeGraph *graph)
{
	PdDoc	   *list = pd_get(graph->selectors, "selectors");

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		if (pd_truth(pd_get(list->u.items[i], "default")))
			return pd_get_text(list->u.items[i], "name");
	return NULL;
}

/* ---------- traversal ---------- */

/*
 * What is within "depth" edges of the nodes "from", and they. Breadth first,
 * so that each node is met at its least distance.
 */
static Bitmapset *
expand(Evaluation *e, Bitmapset *from, bool up, int depth)
{
	Bitmapset  *reached = bms_copy(from);
	Bitmapset  *level = bms_copy(from);

	for (int d = 0; !bms_is_empty(level) && (depth < 0 || d < depth); d++)
	{
		Bitmapset  *next = NULL;
		int			i = -1;

		CHECK_FOR_INTERRUPTS();
		while ((i = bms_next_member(level, i)) >= 0)
		{
			ListCell   *lc;

			foreach(lc, up ? e->nodes[i]->parents : e->nodes[i]->children)
			{
				int			other = ((DpipeNode *) lfirst(lc))->position;

				if (!bms_is_member(other, reached))
				{
					reached = bms_add_member(reached, other);
					next = bms_add_member(next, other);
				}
			}
		}
		level = next;
	}
	return reached;
}

static bool
is_test(const DpipeNode *node)
{
	return node->resource_type != NULL && (strcmp(node->resource_type, "test") == 0 ||
										   strcmp(node->resource_type, "unit_test") == 0);
}

static bool
parents_in(const DpipeNode *node, const Bitmapset *set)
{
	ListCell   *lc;

	foreach(lc, node->parents)
	{
		if (!bms_is_member(((DpipeNode *) lfirst(lc))->position, set))
			return false;
	}
	return true;
}

static Bitmapset *
with_what_it_is_made_of(Evaluation *e, Bitmapset *set, bool sources)
{
	Bitmapset  *result = expand(e, set, true, -1);

	for (int i = 0; sources && i < e->n; i++)
		if (e->nodes[i]->resource_type != NULL && strcmp(e->nodes[i]->resource_type, "source") == 0)
			result = bms_add_member(result, i);
	return result;
}

/* The tests of what is selected. */
static Held
add_tests(Evaluation *e, Bitmapset *selected, DpipeIndirect indirect)
{
	Held		held = {bms_copy(selected), NULL};
	Bitmapset  *built = NULL;
	int			i = -1;

	if (indirect == DPIPE_INDIRECT_EMPTY)
		return held;
	if (indirect == DPIPE_INDIRECT_BUILDABLE)
		built = with_what_it_is_made_of(e, selected, true);
	while ((i = bms_next_member(selected, i)) >= 0)
	{
		ListCell   *lc;

		foreach(lc, e->nodes[i]->children)
		{
			DpipeNode  *test = lfirst(lc);

			if (!is_test(test))
				continue;
			if (indirect == DPIPE_INDIRECT_EAGER || parents_in(test, selected) ||
				(indirect == DPIPE_INDIRECT_BUILDABLE && parents_in(test, built)))
				held.direct = bms_add_member(held.direct, test->position);
			else
				held.indirect = bms_add_member(held.indirect, test->position);
		}
	}
	return held;
}

/* ---------- evaluation ---------- */

static Held
evaluate_criterion(Evaluation *e, const Spec *s)
{
	DpipeSearch search = {e->graph, e->selection, s->method, s->argument, s->value};
	Bitmapset  *matched = NULL;
	Bitmapset  *selected;

	dpipe_search_begin(&search);
	for (int i = 0; i < e->n; i++)
		if (e->nodes[i]->resource_type != NULL &&
			(dpipe_is_member(e->nodes[i]) || e->nodes[i]->type == DPIPE_NODE_SOURCE) &&
			dpipe_search_match(&search, e->nodes[i]))
			matched = bms_add_member(matched, i);
	selected = bms_copy(matched);
	if (s->childrens_parents)
		selected = expand(e, expand(e, matched, false, -1), true, -1);
	if (s->parents)
		selected = bms_add_members(selected, expand(e, matched, true, s->parents_depth));
	if (s->children)
		selected = bms_add_members(selected, expand(e, matched, false, s->children_depth));
	return add_tests(e, selected, s->indirect);
}

static Bitmapset *
combine(SpecKind kind, Bitmapset *a, Bitmapset *b)
{
	switch (kind)
	{
		case SPEC_UNION:
			return bms_union(a, b);
		case SPEC_INTERSECTION:
			return bms_intersect(a, b);
		default:
			return bms_difference(a, b);
	}
}

/* Of tests that were reached through a part: those that are whole by now. */
static Bitmapset *
settle_tests(Evaluation *e, Bitmapset *direct, Bitmapset *reached, DpipeIndirect indirect)
{
	Bitmapset  *selected = bms_copy(direct);
	Bitmapset  *measure = direct;
	int			i = -1;

	if (indirect != DPIPE_INDIRECT_CAUTIOUS && indirect != DPIPE_INDIRECT_BUILDABLE)
		return direct;
	if (indirect == DPIPE_INDIRECT_BUILDABLE)
		measure = with_what_it_is_made_of(e, direct, false);
	while ((i = bms_next_member(reached, i)) >= 0)
		if (parents_in(e->nodes[i], indirect == DPIPE_INDIRECT_BUILDABLE ? measure : selected))
			selected = bms_add_member(selected, i);
	return selected;
}

static bool
holds_member(const Evaluation *e, const Bitmapset *set)
{
	int			i = -1;

	while ((i = bms_next_member(set, i)) >= 0)
		if (e->nodes[i]->resource_type != NULL)
			return true;
	return false;
}

static Held
evaluate(Evaluation *e, const Spec *s)
{
	Held		held = {NULL, NULL};
	bool		first = true;
	ListCell   *lc;

	check_stack_depth();
	if (s->kind == SPEC_CRITERION)
		return evaluate_criterion(e, s);
	foreach(lc, s->parts)
	{
		Held		part = evaluate(e, lfirst(lc));
		Bitmapset  *reached = bms_union(part.direct, part.indirect);

		held.direct = first ? part.direct : combine(s->kind, held.direct, part.direct);
		held.indirect = first ? reached : combine(s->kind, held.indirect, reached);
		first = false;
	}
	held.direct = settle_tests(e, held.direct, held.indirect, s->indirect);
	if (s->expected && !holds_member(e, held.direct))
		ereport(WARNING, (errmsg("The selection criterion '%s' does not match any enabled nodes",
								 s->text)));
	return held;
}

/* ---------- the doors ---------- */

static Spec *
everything(DpipeIndirect indirect)
{
	Spec	   *s = parse_line("fqn:* source:* exposure:* metric:* semantic_model:*", indirect);
	ListCell   *lc;

	foreach(lc, s->parts)
		((Spec *) lfirst(lc))->expected = false;
	return s;
}

static Spec *
spec_of(const DpipeGraph *graph, const DpipeSelection *selection)
{
	const char *selector = selection->selector;
	Spec	   *included;

	if (selector == NULL && selection->nodes == NULL && selection->exclude == NULL)
		selector = default_selector(graph);
	if (selector != NULL)
		return parse_definition(graph, find_selector(graph, selector), selection->indirect, 0);
	included = selection->nodes != NULL ? parse_line(selection->nodes, selection->indirect)
		: everything(selection->indirect);
	if (selection->exclude == NULL)
		return included;
	return without(included, parse_line(selection->exclude, selection->indirect));
}

static void
number_nodes(Evaluation *e)
{
	ListCell   *lc;

	e->nodes = palloc(sizeof(DpipeNode *) * Max(list_length(e->graph->nodes), 1));
	foreach(lc, e->graph->nodes)
	{
		DpipeNode  *node = lfirst(lc);

		node->position = e->n;
		e->nodes[e->n++] = node;
	}
}

List *
dpipe_select_nodes(const DpipeGraph *graph, const DpipeSelection *selection)
{
	Evaluation	e = {graph, selection};
	Held		held;
	List	   *result = NIL;
	int			i = -1;

	number_nodes(&e);
	held = evaluate(&e, spec_of(graph, selection));
	while ((i = bms_next_member(held.direct, i)) >= 0)
		if (dpipe_is_member(e.nodes[i]))
			result = lappend(result, e.nodes[i]);
	return result;
}

List *
dpipe_select(const DpipeGraph *graph, const char *nodes, const char *exclude)
{
	DpipeSelection selection = {nodes, exclude};
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, dpipe_select_nodes(graph, &selection))
	{
		if (((DpipeNode *) lfirst(lc))->type == DPIPE_NODE_MODEL)
			result = lappend(result, lfirst(lc));
	}
	return result;
}
