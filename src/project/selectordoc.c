/*
 * selectordoc.c
 *		selectors.yml as a manifest shows it: what is written as on the
 *		command line is taken apart.
 */
#include "base/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "project/manifest.h"

/* ---------- one specification ---------- */

static bool
ends_with(const char *s, const char *end)
{
	int			n = strlen(s);
	int			m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static const char *
default_method(const char *value)
{
	if (strchr(value, '/') != NULL)
		return "path";
	return ends_with(value, ".sql") || ends_with(value, ".py") || ends_with(value, ".csv")
		? "file" : "fqn";
}

/* @, 2+, method:, value, +1 */
static PdDoc *
specification(const char *s)
{
	PdDoc	   *doc = pd_dict();
	int			n = strspn(s[0] == '@' ? s + 1 : s, "0123456789");
	const char *end;
	const char *p;

	if (*s == '@')
	{
		pd_put(doc, "childrens_parents", pd_bool(true));
		s++;
	}
	if (s[n] == '+')
	{
		pd_put(doc, "parents", pd_bool(true));
		if (n > 0)
			pd_put(doc, "parents_depth", pd_string_len(s, n));
		s += n + 1;
	}
	for (p = s; isalnum((unsigned char) *p) || *p == '_' || *p == '.'; p++)
		;
	if (*p == ':' && p > s)
		pd_put(doc, "method", pd_string_len(s, p - s));
	else
		p = s - 1;
	s = p + 1;
	for (end = s + strlen(s); end > s && isdigit((unsigned char) end[-1]); end--)
		;
	if (end > s && end[-1] == '+')
	{
		pd_put(doc, "children", pd_bool(true));
		if (*end)
			pd_put(doc, "children_depth", pd_string(end));
		end--;
	}
	else
		end = s + strlen(s);
	if (end > s)
		pd_put(doc, "value", pd_string_len(s, end - s));
	if (pd_get(doc, "method") == NULL)
		pd_put(doc, "method", pd_string(default_method(pnstrdup(s, end - s))));
	return doc;
}

/* ---------- definitions ---------- */

static PdDoc *definition(const PdDoc *known, PdDoc *given);

static PdDoc *
each_of(const PdDoc *known, const PdDoc *list)
{
	PdDoc	   *result = pd_list();

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
		pd_append(result, definition(known, list->u.items[i]));
	return result;
}

/* {tag: nightly}, {exclude: [...]}, {method: ..., value: ...} */
static PdDoc *
single(const PdDoc *known, PdDoc *given)
{
	const char *key = given->n > 0 ? pd_text(given->u.entries[0].key) : NULL;
	PdDoc	   *value = given->n > 0 ? given->u.entries[0].value : NULL;
	PdDoc	   *doc = pd_dict();

	if (key == NULL)
		return given;
	if (pd_is(value, PD_LIST))
		value = each_of(known, value);
	if (strcmp(key, "exclude") == 0)
	{
		pd_put(doc, key, value);
		return doc;
	}
	if (given->n == 1)
	{
		pd_put(doc, "method", pd_string(key));
		pd_put(doc, "value", value);
		return doc;
	}
	if (strcmp(key, "method") == 0 && pd_equals(value, "selector") &&
		pd_get_text(given, "value") != NULL)
	{
		PdDoc	   *other = pd_get(pd_get(known, pd_get_text(given, "value")), "definition");

		return other != NULL ? other : given;
	}
	return given;
}

static PdDoc *
definition(const PdDoc *known, PdDoc *given)
{
	static const char *const many[] = {"union", "intersection"};
	PdDoc	   *doc = pd_dict();

	check_stack_depth();
	if (given->kind == PD_STRING)
		return specification(given->u.text);
	if (given->kind != PD_DICT)
		return given;
	for (int i = 0; i < lengthof(many); i++)
	{
		if (pd_get(given, many[i]) == NULL)
			continue;
		pd_put(doc, many[i], each_of(known, pd_get(given, many[i])));
		return doc;
	}
	return single(known, given);
}

PdDoc *
pj_manifest_selectors(const PdDoc *file)
{
	PdDoc	   *list = pd_get(file, "selectors");
	PdDoc	   *all = pd_dict();

	for (int i = 0; pd_is(list, PD_LIST) && i < list->n; i++)
	{
		PdDoc	   *selector = list->u.items[i];
		const char *name = pd_get_text(selector, "name");

		if (name == NULL || pd_get(selector, "definition") == NULL)
			continue;
		selector = pd_copy_top(selector);
		pd_put(selector, "definition", definition(all, pd_get(selector, "definition")));
		pd_put(all, name, selector);
	}
	return all;
}
