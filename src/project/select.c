/*
 * select.c
 *		dbt's selection grammar.
 *
 *		selection	criterion set, separated by spaces: union
 *		set			criteria, separated by commas: intersection
 *		criterion	[@] [[n]+] [method:]value [+[n]]
 *
 * A traversal may pass through sources and names that are not defined; only
 * enabled models are ever selected.
 */
#include "base/compat.h"

#include <limits.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "project/project.h"

typedef struct Criterion
{
	const char *text;			/* as written, for messages */
	bool		childrens_parents;	/* @ */
	bool		parents;
	bool		children;
	int			parents_depth;	/* -1: all */
	int			children_depth;
	char	   *method;
	char	   *value;
} Criterion;

typedef bool (*MethodMatch) (const DpipeNode *node, const char *method, const char *value);

/* ---------- matching ---------- */

/* One [...] of a pattern; *p is behind the bracket. As Python's fnmatch. */
static bool
match_class(const char **p, char c)
{
	const char *s = *p;
	bool		negated = *s == '!';
	bool		hit = false;

	if (negated)
		s++;
	do
	{
		if (s[1] == '-' && s[2] != ']' && s[2] != '\0')
		{
			hit |= s[0] <= c && c <= s[2];
			s += 3;
		}
		else
			hit |= *s++ == c;
	} while (*s != ']' && *s != '\0');
	if (*s == ']')
		s++;
	*p = s;
	return hit != negated;
}

/* Is what follows a "[" closed? A "]" that comes first is one of the class. */
static bool
is_class(const char *p)
{
	if (*p == '!')
		p++;
	return *p != '\0' && strchr(p + 1, ']') != NULL;
}

/* Shell-style wildcards; linear, as only the last star is tried again. */
static bool
wildcard_match(const char *p, const char *s)
{
	const char *star = NULL;
	const char *resume = NULL;

	while (*s != '\0')
	{
		const char *next = p + 1;

		if (*p == '*')
		{
			star = next;
			resume = s;
			p = next;
			continue;
		}
		if (*p == '[' && is_class(next))
		{
			if (match_class(&next, *s))
			{
				p = next;
				s++;
				continue;
			}
		}
		else if (*p != '\0' && (*p == '?' || *p == *s))
		{
			p++;
			s++;
			continue;
		}
		if (star == NULL)
			return false;
		p = star;
		s = ++resume;
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

static bool
is_model(const DpipeNode *node)
{
	return node->type == DPIPE_NODE_MODEL && node->enabled;
}

static bool
match_fqn(const DpipeNode *node, const char *method, const char *value)
{
	const char *dot;

	if (!is_model(node))
		return false;
	if (wildcard_match(value, node->name))
		return true;

	/* dpipe, dpipe.x, dpipe.* */
	if (strcmp(value, DPIPE_PACKAGE) == 0)
		return true;
	dot = strchr(value, '.');
	return dot != NULL && wildcard_match(pnstrdup(value, dot - value), DPIPE_PACKAGE) &&
		wildcard_match(dot + 1, node->name);
}

static bool
match_tag(const DpipeNode *node, const char *method, const char *value)
{
	ListCell   *lc;

	if (!is_model(node))
		return false;
	foreach(lc, node->tags)
	{
		if (wildcard_match(value, lfirst(lc)))
			return true;
	}
	return false;
}

static bool
match_source(const DpipeNode *node, const char *method, const char *value)
{
	return node->type == DPIPE_NODE_SOURCE &&
		(wildcard_match(value, node->schema) ||
		 wildcard_match(value, psprintf("%s.%s", node->schema, node->name)) ||
		 wildcard_match(value, psprintf("%s.%s.%s", DPIPE_PACKAGE, node->schema, node->name)));
}

static bool
match_resource_type(const DpipeNode *node, const char *method, const char *value)
{
	return (is_model(node) && strcmp(value, "model") == 0) ||
		(node->type == DPIPE_NODE_SOURCE && strcmp(value, "source") == 0);
}

static bool
match_package(const DpipeNode *node, const char *method, const char *value)
{
	return is_model(node) && (strcmp(value, "this") == 0 || wildcard_match(value, DPIPE_PACKAGE));
}

/* Does a scalar print, as a person would write it, like the pattern? */
static bool
scalar_matches(const JsonbValue *v, const char *value)
{
	switch (v->type)
	{
		case jbvString:
			return wildcard_match(value, pnstrdup(v->val.string.val, v->val.string.len));
		case jbvBool:
			return pg_strcasecmp(value, v->val.boolean ? "true" : "false") == 0;
		case jbvNumeric:
			return strcmp(value, DatumGetCString(DirectFunctionCall1(
																	 numeric_out, NumericGetDatum(v->val.numeric)))) == 0;
		default:
			return false;
	}
}

/* config.a.b:value; a list matches by any element, an object by any key. */
static bool
match_config(const DpipeNode *node, const char *method, const char *value)
{
	const Jsonb *jb = node->config;
	const char *key = method;
	JsonbValue *v;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	e;
	const char *dot;

	if (!is_model(node))
		return false;
	if (strcmp(key, "materialized") == 0)
		return wildcard_match(value, node->materialized);
	while ((dot = strchr(key, '.')) != NULL)
	{
		v = dpipe_json_field(jb, pnstrdup(key, dot - key));
		if (v == NULL || v->type != jbvBinary)
			return false;
		jb = JsonbValueToJsonb(v);
		key = dot + 1;
	}
	v = dpipe_json_field(jb, key);
	if (v == NULL)
		return false;
	if (v->type != jbvBinary)
		return scalar_matches(v, value);
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &e, true)) != WJB_DONE)
		if ((token == WJB_ELEM || token == WJB_KEY) && scalar_matches(&e, value))
			return true;
	return false;
}

static MethodMatch
find_method(Criterion *c)
{
	static const struct
	{
		const char *name;
		MethodMatch match;
	}			methods[] = {
		{"fqn", match_fqn},
		{"package", match_package},
		{"resource_type", match_resource_type},
		{"source", match_source},
		{"tag", match_tag},
	};

	if (strncmp(c->method, "config.", 7) == 0)
	{
		c->method += 7;
		return match_config;
	}
	for (int i = 0; i < lengthof(methods); i++)
		if (strcmp(c->method, methods[i].name) == 0)
			return methods[i].match;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("'%s' is not a valid method name", c->method),
			 errdetail("It stands in the selection criterion \"%s\".", c->text),
			 errhint("Methods are fqn, tag, source, package, resource_type and config.<name>.")));
}

/* ---------- parsing ---------- */

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
parse_prefix(Criterion *c, const char **p)
{
	const char *start;

	if (**p == '@')
	{
		c->childrens_parents = true;
		(*p)++;
	}
	start = *p;
	c->parents_depth = parse_depth(c->text, p);
	if (**p == '+')
	{
		c->parents = true;
		(*p)++;
	}
	else
		*p = start;				/* digits that belong to a name */
}

/* Cuts "+n" off the end of value. */
static void
parse_suffix(Criterion *c)
{
	char	   *plus = strrchr(c->value, '+');
	const char *digits;

	if (plus == NULL)
		return;
	digits = plus + 1;
	c->children_depth = parse_depth(c->text, &digits);
	if (*digits != '\0')
		return;
	c->children = true;
	*plus = '\0';
}

static Criterion *
parse_criterion(const char *text)
{
	Criterion  *c = palloc0(sizeof(Criterion));
	const char *p = text;
	const char *colon;

	c->text = text;

	c->parents_depth = c->children_depth = -1;
	parse_prefix(c, &p);
	colon = strchr(p, ':');
	c->method = colon != NULL ? pnstrdup(p, colon - p) : "fqn";
	c->value = pstrdup(colon != NULL ? colon + 1 : p);
	parse_suffix(c);
	if (c->value[0] == '\0' || (c->childrens_parents && c->children))
		raise_invalid(text);
	return c;
}

/* ---------- traversal ---------- */

/*
 * Add to "reached" whatever is within "depth" edges of its nodes. Breadth
 * first, so that each node is met at its least distance.
 */
static List *
expand(List *reached, bool up, int depth, int *mark)
{
	List	   *level = reached;
	ListCell   *lc;
	ListCell   *edge;

	(*mark)++;
	foreach(lc, reached)
		((DpipeNode *) lfirst(lc))->mark = *mark;
	reached = list_copy(reached);
	for (int d = 0; level != NIL && (depth < 0 || d < depth); d++)
	{
		List	   *next = NIL;

		foreach(lc, level)
		{
			DpipeNode  *node = lfirst(lc);

			foreach(edge, up ? node->parents : node->children)
			{
				DpipeNode  *other = lfirst(edge);

				if (other->mark == *mark)
					continue;
				other->mark = *mark;
				next = lappend(next, other);
			}
		}
		reached = list_concat(reached, next);
		level = next;
	}
	return reached;
}

static List *
evaluate_criterion(const DpipeGraph *graph, const char *text, int *mark)
{
	Criterion  *c = parse_criterion(text);
	MethodMatch match = find_method(c);
	List	   *matched = NIL;
	List	   *result;
	ListCell   *lc;

	foreach(lc, graph->nodes)
	{
		if (match(lfirst(lc), c->method, c->value))
			matched = lappend(matched, lfirst(lc));
	}
	if (matched == NIL)
		ereport(WARNING,
				(errmsg("The selection criterion '%s' does not match any enabled nodes", text)));
	result = matched;
	if (c->childrens_parents)
		return expand(expand(matched, false, -1, mark), true, -1, mark);
	if (c->parents)
		result = expand(matched, true, c->parents_depth, mark);
	if (c->children)
		result = list_concat_unique_ptr(list_copy(result),
										expand(matched, false, c->children_depth, mark));
	return result;
}

static List *
intersection(List *a, List *b)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, a)
	{
		if (list_member_ptr(b, lfirst(lc)))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

static List *
evaluate_set(const DpipeGraph *graph, char *text, int *mark)
{
	List	   *result = NIL;
	bool		first = true;
	char	   *part;

	for (char *rest = text; rest != NULL;)
	{
		List	   *nodes;

		part = rest;
		rest = strchr(rest, ',');
		if (rest != NULL)
			*rest++ = '\0';
		nodes = evaluate_criterion(graph, pstrdup(part), mark);
		result = first ? nodes : intersection(result, nodes);
		first = false;
	}
	return result;
}

/* Sets nodes' mark to *mark: those that the selection holds. */
static void
mark_selection(const DpipeGraph *graph, const char *selection, int *mark)
{
	List	   *selected = NIL;
	ListCell   *lc;
	char	   *copy = pstrdup(selection);
	char	   *save = NULL;

	for (char *set = strtok_r(copy, " \t\r\n", &save); set != NULL;
		 set = strtok_r(NULL, " \t\r\n", &save))
		selected = list_concat(selected, evaluate_set(graph, set, mark));
	(*mark)++;
	foreach(lc, selected)
		((DpipeNode *) lfirst(lc))->mark = *mark;
}

List *
dpipe_select(const DpipeGraph *graph, const char *nodes, const char *exclude)
{
	int			mark = 1000;	/* above those of the walk that orders */
	List	   *selected = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	if (nodes != NULL)
		mark_selection(graph, nodes, &mark);
	foreach(lc, graph->nodes)
	{
		DpipeNode  *node = lfirst(lc);

		if (is_model(node) && (nodes == NULL || node->mark == mark))
			selected = lappend(selected, node);
	}
	if (exclude == NULL)
		return selected;
	mark_selection(graph, exclude, &mark);
	foreach(lc, selected)
	{
		if (((DpipeNode *) lfirst(lc))->mark != mark)
			result = lappend(result, lfirst(lc));
	}
	return result;
}
