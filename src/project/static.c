/*
 * static.c
 *		ref() and source() as dbt reads them where it renders nothing: what a
 *		foreign key refers to.
 */
#include "base/compat.h"

#include "project/loading.h"

typedef struct Reader
{
	const char *p;
} Reader;

static void
skip_space(Reader *r)
{
	while (isspace((unsigned char) *r->p))
		r->p++;
}

static bool
skip_char(Reader *r, char c)
{
	skip_space(r);
	if (*r->p != c)
		return false;
	r->p++;
	return true;
}

static char *
read_word(Reader *r)
{
	const char *start;

	skip_space(r);
	start = r->p;
	while (isalnum((unsigned char) *r->p) || *r->p == '_')
		r->p++;
	return pnstrdup(start, r->p - start);
}

/* A string as it stands between its quotes, or a number; else NULL. */
static PdDoc *
read_value(Reader *r)
{
	const char *start;
	char	   *end;
	bool		is_int;

	skip_space(r);
	start = r->p;
	if (*start == '\'' || *start == '"')
	{
		for (r->p++; *r->p != '\0' && *r->p != *start; r->p++)
			if (r->p[0] == '\\' && r->p[1] != '\0')
				r->p++;
		if (*r->p == '\0')
			return NULL;
		r->p++;
		return pd_string_len(start + 1, r->p - start - 2);
	}
	if (*r->p == '-')
		r->p++;
	if (!isdigit((unsigned char) *r->p))
		return NULL;
	is_int = r->p[strspn(r->p, "0123456789")] != '.';
	r->p += strspn(r->p, "0123456789.");
	return is_int ? pd_int(strtol(start, &end, 10)) : pd_float(strtod(start, &end));
}

/* name(value, ..., key=value, ...): values by position, then by key. */
static bool
read_call(Reader *r, PdDoc *positional, PdDoc *named)
{
	if (!skip_char(r, '('))
		return false;
	while (!skip_char(r, ')'))
	{
		Reader		ahead = *r;
		char	   *key = read_word(&ahead);
		PdDoc	   *value;

		if (isalpha((unsigned char) *key) && skip_char(&ahead, '='))
			*r = ahead;
		else
			key = NULL;
		value = read_value(r);
		if (value == NULL || (key != NULL ? pd_get(named, key) != NULL : named->n > 0))
			return false;
		if (key != NULL)
			pd_put(named, key, value);
		else
			pd_append(positional, value);
		if (!skip_char(r, ',') && *r->p != ')')
			return false;
	}
	skip_space(r);
	return *r->p == '\0';
}

static bool
all_strings(const PdDoc *list)
{
	for (int i = 0; i < list->n; i++)
		if (!pd_is(list->u.items[i], PD_STRING))
			return false;
	return true;
}

static PdDoc *
ref_of(const PdDoc *positional, PdDoc *named)
{
	PdDoc	   *ref = pd_dict();
	PdDoc	   *version = pd_remove(named, "v");

	if (version == NULL)
		version = pd_remove(named, "version");
	if (positional->n < 1 || positional->n > 2 || named->n > 0)
		return NULL;
	pd_put(ref, "name", positional->u.items[positional->n - 1]);
	pd_put(ref, "package", positional->n == 2 ? positional->u.items[0] : pd_null());
	pd_put(ref, "version", version != NULL ? version : pd_null());
	return ref;
}

static PdDoc *
source_of(PdDoc *positional, PdDoc *named)
{
	static const char *const names[] = {"source_name", "table_name"};

	for (int i = positional->n; i < lengthof(names); i++)
	{
		PdDoc	   *value = pd_remove(named, names[i]);

		if (!pd_is(value, PD_STRING))
			return NULL;
		pd_append(positional, value);
	}
	return positional->n == 2 && named->n == 0 ? positional : NULL;
}

PdDoc *
pj_static_reference(const char *text, bool *is_source)
{
	Reader		r = {text};
	char	   *name = read_word(&r);
	PdDoc	   *positional = pd_list();
	PdDoc	   *named = pd_dict();

	*is_source = strcmp(name, "source") == 0;
	if ((!*is_source && strcmp(name, "ref") != 0) || !read_call(&r, positional, named) ||
		!all_strings(positional))
		return NULL;
	return *is_source ? source_of(positional, named) : ref_of(positional, named);
}
