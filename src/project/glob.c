/*
 * glob.c
 *		Shell-style patterns: names in selections, files in .dbtignore.
 */
#include "base/compat.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "project/glob.h"

/* ---------- one text ---------- */

/* One character, moving behind it. */
static pg_wchar
next_char(const char **p)
{
	pg_wchar	c[2];
	int			len = Min(pg_mblen(*p), (int) strlen(*p));

	if (len == 1)
		return (unsigned char) *(*p)++;
	(void) pg_mb2wchar_with_len(*p, c, len);
	*p += len;
	return c[0];
}

/* What follows a "[", up to the bracket that closes it. */
static bool
match_class(const char **p, pg_wchar c, bool git)
{
	const char *s = *p;
	bool		negated = *s == '!' || (git && *s == '^');
	bool		hit = false;

	if (negated)
		s++;
	do
	{
		pg_wchar	low = next_char(&s);
		pg_wchar	high = low;

		if (s[0] == '-' && s[1] != ']' && s[1] != '\0')
		{
			s++;
			high = next_char(&s);
		}
		hit |= low <= c && c <= high;
	} while (*s != ']' && *s != '\0');
	*p = s + (*s == ']');
	return hit != negated;
}

/* Is what follows a "[" closed? A "]" that comes first is one of the class. */
static bool
is_class(const char *p, bool git)
{
	if (*p == '!' || (git && *p == '^'))
		p++;
	return *p != '\0' && strchr(p + 1, ']') != NULL;
}

/* One element of the pattern that is no star against one character. */
static bool
match_one(const char **pattern, const char **text, bool git)
{
	const char *p = *pattern;
	pg_wchar	c = next_char(text);
	bool		hit;

	if (*p == '\0')
		return false;
	if (*p == '[' && is_class(p + 1, git))
	{
		p++;
		hit = match_class(&p, c, git);
	}
	else if (*p == '?')
	{
		p++;
		hit = true;
	}
	else
	{
		if (git && *p == '\\' && p[1] != '\0')
			p++;
		hit = next_char(&p) == c;
	}
	*pattern = p;
	return hit;
}

/* In steps that are at most the product of lengths: only the last star is tried again. */
bool
pj_glob(const char *pattern, const char *text, bool git)
{
	const char *star = NULL;
	const char *resume = NULL;
	const char *p = pattern;
	const char *s = text;

	while (*s != '\0')
	{
		if (*p == '*')
		{
			star = ++p;
			resume = s;
			continue;
		}
		if (match_one(&p, &s, git))
			continue;
		if (star == NULL)
			return false;
		p = star;
		(void) next_char(&resume);
		s = resume;
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

/* ---------- .dbtignore ---------- */

/* A pattern of git's, cut at slashes. */
typedef struct IgnorePattern
{
	bool		negated;		/* what matches is not ignored after all */
	List	   *parts;			/* char * */
} IgnorePattern;

static List *
cut(const char *path)
{
	List	   *parts = NIL;

	for (;;)
	{
		int			n = strcspn(path, "/");

		parts = lappend(parts, pnstrdup(path, n));
		if (path[n] == '\0')
			return parts;
		path += n + 1;
	}
}

static bool
is_any(const List *parts, int i)
{
	return strcmp(list_nth(parts, i), "**") == 0;
}

/* Without a slash but at its end it may match in any directory. */
static List *
normalized(List *parts)
{
	/* All directories, but no file beside them. */
	if (list_length(parts) == 2 && is_any(parts, 0) && *(char *) lsecond(parts) == '\0')
		return list_make2("*", "**");
	if (*(char *) linitial(parts) == '\0')
		parts = list_delete_first(parts);
	else if ((list_length(parts) == 1 ||
			  (list_length(parts) == 2 && *(char *) lsecond(parts) == '\0')) && !is_any(parts, 0))
		parts = lcons("**", parts);
	for (int i = list_length(parts) - 1; i > 0; i--)
		if (is_any(parts, i) && is_any(parts, i - 1))
			parts = list_delete_nth_cell(parts, i);
	if (list_length(parts) > 1 && *(char *) llast(parts) == '\0')
		lfirst(list_tail(parts)) = "**";
	return parts;
}

static IgnorePattern *
parse_pattern(const char *path, char *line, int number)
{
	IgnorePattern *pattern;
	int			len;

	line += strspn(line, " \t\r\f\v");
	len = strlen(line);
	if (len < 2 || strcmp(line + len - 2, "\\ ") != 0)
		while (len > 0 && strchr(" \t\r\f\v", line[len - 1]) != NULL)
			line[--len] = '\0';
	if (*line == '\0' || *line == '#' || strcmp(line, "/") == 0)
		return NULL;
	pattern = palloc0(sizeof(IgnorePattern));
	pattern->negated = *line == '!';
	if (pattern->negated)
		line++;
	/* It holds nothing in the library that dbt has for this. */
	if (strcmp(line, "/**/") == 0)
		return NULL;
	len = strlen(line);
	if (len == 0 || (line[len - 1] == '\\' && (len == 1 || line[len - 2] != '\\')))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s: Invalid git pattern: '%s'", path, line),
						errdetail("Line %d.", number)));
	pattern->parts = normalized(cut(line));
	return pattern;
}

List *
pj_ignore_patterns(const char *path, const char *text)
{
	List	   *patterns = NIL;
	int			number = 0;

	for (;;)
	{
		int			n = strcspn(text, "\n");
		IgnorePattern *pattern = parse_pattern(path, pnstrdup(text, n), ++number);

		if (pattern != NULL)
			patterns = lappend(patterns, pattern);
		if (text[n] == '\0')
			return patterns;
		text += n + 1;
	}
}

/*
 * Part by part; ** is any number of them. A pattern that ends in a name also
 * matches what is below it, one that ends in ** only that. What is left of the
 * path does not matter, and so the first place where a ** can end is the best.
 */
static bool
match_parts(const List *pattern, const List *path)
{
	int			n = list_length(pattern);
	int			after = -1;		/* behind the last ** */
	int			mark = 0;
	int			i = 0;
	int			k = 0;

	while (i < n)
	{
		if (is_any(pattern, i))
		{
			if (i == n - 1)
				return k < list_length(path);
			after = ++i;
			mark = k;
		}
		else if (k < list_length(path) &&
				 (strcmp(list_nth(pattern, i), "*") != 0 || *(char *) list_nth(path, k) != '\0') &&
				 pj_glob(list_nth(pattern, i), list_nth(path, k), true))
		{
			i++;
			k++;
		}
		else if (after >= 0 && mark < list_length(path))
		{
			i = after;
			k = ++mark;
		}
		else
			return false;
	}
	return true;
}

/* The last pattern that matches decides. */
bool
pj_is_ignored(const List *patterns, const char *path)
{
	List	   *parts = patterns != NIL ? cut(path) : NIL;
	bool		ignored = false;
	ListCell   *lc;

	foreach(lc, patterns)
	{
		IgnorePattern *pattern = lfirst(lc);

		if (match_parts(pattern->parts, parts))
			ignored = !pattern->negated;
	}
	return ignored;
}
