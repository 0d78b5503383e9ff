/*
 * methods.c
 *		Methods of strings, lists, tuples, ranges and dicts.
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "mb/pg_wchar.h"

#include "jinja/bigint.h"
#include "jinja/markup.h"

#define METHOD_ARGS JinjaEnv *env, JinjaValue *v, JinjaValue **argv, \
	const JinjaArgs *args

/* An integer argument for which none means "not given". */
static int64
optional_int(JinjaEnv *env, JinjaValue *v, int64 dflt, const char *what)
{
	if (v != NULL && v->kind == JINJA_NONE)
		v = NULL;
	return jn_int_arg(env, v, dflt, what);
}

/* ---------- strings: case and padding ---------- */

static JinjaValue *
str_upper(METHOD_ARGS)
{
	return jn_upper(env, v);
}

static JinjaValue *
str_lower(METHOD_ARGS)
{
	return jn_lower(env, v);
}

static JinjaValue *
str_capitalize(METHOD_ARGS)
{
	return jn_capitalize(env, v);
}

static JinjaValue *
str_title(METHOD_ARGS)
{
	return jn_title(env, v, NULL);
}

/* Lower case, and the one common letter that folds to two. */
static JinjaValue *
str_casefold(METHOD_ARGS)
{
	return jn_replace_sharp_s(env, jn_lower(env, v), "ss");
}

static JinjaValue *
str_swapcase(METHOD_ARGS)
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	while (p < end)
	{
		int			len = jn_char_len(p, end);
		JinjaValue *c = jn_char(env, p, len);
		JinjaValue *upper = jn_upper(env, c);

		c = jinja_equal(env, c, upper) ? jn_lower(env, c) : upper;
		jn_append(env, &buf, c->u.string.data, c->u.string.len);
		p += len;
	}
	return jn_buffer_string(env, &buf);
}

static JinjaValue *
str_center(METHOD_ARGS)
{
	return jn_pad(env, v, jn_int_arg(env, argv[0], 0, "width"), argv[1], '^');
}

static JinjaValue *
str_ljust(METHOD_ARGS)
{
	return jn_pad(env, v, jn_int_arg(env, argv[0], 0, "width"), argv[1], '<');
}

static JinjaValue *
str_rjust(METHOD_ARGS)
{
	return jn_pad(env, v, jn_int_arg(env, argv[0], 0, "width"), argv[1], '>');
}

static JinjaValue *
str_zfill(METHOD_ARGS)
{
	int64		pad = jn_int_arg(env, argv[0], 0, "width") - jn_length(env, v);
	const char *p = v->u.string.data;
	int			sign = (*p == '-' || *p == '+');
	StringInfoData buf;

	if (pad <= 0)
		return v;
	jn_buffer_init(env, &buf);
	jn_append(env, &buf, p, sign);
	jn_append_fill(env, &buf, '0', pad);
	jn_append(env, &buf, p + sign, v->u.string.len - sign);
	return jn_buffer_string(env, &buf);
}

static JinjaValue *
str_strip(METHOD_ARGS)
{
	return jn_strip(env, v, argv[0], true, true);
}

static JinjaValue *
str_lstrip(METHOD_ARGS)
{
	return jn_strip(env, v, argv[0], true, false);
}

static JinjaValue *
str_rstrip(METHOD_ARGS)
{
	return jn_strip(env, v, argv[0], false, true);
}

/* ---------- strings: looking ---------- */

/* The bytes between character positions argv[0] and argv[1]. */
static bool
bounds(JinjaEnv *env, JinjaValue *v, JinjaValue **argv, const char **from,
	   const char **to)
{
	int64		n = jn_length(env, v);
	int64		start = optional_int(env, argv[0], 0, "start");
	int64		stop = optional_int(env, argv[1], PG_INT64_MAX, "end");

	if (start < 0)
		start = Max(start + n, 0);
	if (stop < 0)
		stop = Max(stop + n, 0);
	stop = Min(stop, n);
	jn_work_bytes(env, v->u.string.len);
	if (start > stop)
		return false;
	*from = jn_char_at(v, start);
	*to = jn_char_at(v, stop);
	return true;
}

static char *
reversed(JinjaEnv *env, const char *s, int len)
{
	char	   *r = jn_palloc(env, len + 1);

	for (int i = 0; i < len; i++)
		r[i] = s[len - 1 - i];
	return r;
}

/* Byte by byte backwards, which keeps it as linear as forwards. */
static const char *
find_last(JinjaEnv *env, const char *from, const char *to,
		  const JinjaValue *what)
{
	int			len = what->u.string.len;
	char	   *text = reversed(env, from, to - from);
	char	   *pattern = reversed(env, what->u.string.data, len);
	const char *hit = jn_find(text, to - from, pattern, len);

	if (hit != NULL)
		hit = to - (hit - text) - len;
	pfree(text);
	pfree(pattern);
	return hit;
}

/* Position in characters, -1 if it is not there. */
static int64
position(JinjaEnv *env, JinjaValue *v, JinjaValue **argv, bool last)
{
	JinjaValue *what = jn_string_arg(env, argv[0], "argument");
	const char *from;
	const char *to;
	const char *hit;

	if (!bounds(env, v, argv + 1, &from, &to))
		return -1;
	if (what->u.string.len == 0)
		hit = last ? to : from;
	else if (last)
		hit = find_last(env, from, to, what);
	else
		hit = jn_find(from, to - from, what->u.string.data,
					  what->u.string.len);
	if (hit == NULL)
		return -1;
	return jn_count_chars(v->u.string.data, hit - v->u.string.data);
}

static JinjaValue *
must_be_found(JinjaEnv *env, int64 i)
{
	if (i < 0)
		jn_raise_type(env, "substring not found");
	return jinja_int(env, i);
}

static JinjaValue *
str_find(METHOD_ARGS)
{
	return jinja_int(env, position(env, v, argv, false));
}

static JinjaValue *
str_rfind(METHOD_ARGS)
{
	return jinja_int(env, position(env, v, argv, true));
}

static JinjaValue *
str_index(METHOD_ARGS)
{
	return must_be_found(env, position(env, v, argv, false));
}

static JinjaValue *
str_rindex(METHOD_ARGS)
{
	return must_be_found(env, position(env, v, argv, true));
}

static JinjaValue *
str_count(METHOD_ARGS)
{
	JinjaValue *what = jn_string_arg(env, argv[0], "argument");
	int			len = what->u.string.len;
	const char *p;
	const char *to;
	int64		n = 0;

	if (!bounds(env, v, argv + 1, &p, &to))
		return jinja_int(env, 0);
	if (len == 0)
		return jinja_int(env, jn_count_chars(p, to - p) + 1);
	while ((p = jn_find(p, to - p, what->u.string.data, len)) != NULL)
	{
		n++;
		p += len;
	}
	return jinja_int(env, n);
}

/* Does the text begin or end with argv[0], a string or a tuple of them? */
static JinjaValue *
has_affix(JinjaEnv *env, JinjaValue *v, JinjaValue **argv, bool at_end)
{
	JinjaValue *single[1] = {argv[0]};
	JinjaValue **affixes = single;
	int			n = 1;
	const char *from;
	const char *to;
	bool		in_bounds = bounds(env, v, argv + 1, &from, &to);

	if (argv[0]->kind == JINJA_TUPLE)
	{
		affixes = argv[0]->u.list.items;
		n = argv[0]->u.list.n;
	}
	for (int i = 0; i < n; i++)
	{
		JinjaValue *affix = jn_string_arg(env, affixes[i], "argument");
		int			len = affix->u.string.len;

		jn_work_bytes(env, len);
		if (in_bounds && to - from >= len &&
			memcmp(at_end ? to - len : from, affix->u.string.data, len) == 0)
			return env->yes;
	}
	return env->no;
}

static JinjaValue *
str_startswith(METHOD_ARGS)
{
	return has_affix(env, v, argv, false);
}

static JinjaValue *
str_endswith(METHOD_ARGS)
{
	return has_affix(env, v, argv, true);
}

static JinjaValue *
str_removeprefix(METHOD_ARGS)
{
	JinjaValue *affix = jn_string_arg(env, argv[0], "argument");
	int			len = affix->u.string.len;

	if (v->u.string.len < len ||
		memcmp(v->u.string.data, affix->u.string.data, len) != 0)
		return v;
	return jinja_string_len(env, v->u.string.data + len,
							v->u.string.len - len);
}

static JinjaValue *
str_removesuffix(METHOD_ARGS)
{
	JinjaValue *affix = jn_string_arg(env, argv[0], "argument");
	int			rest = v->u.string.len - affix->u.string.len;

	if (rest < 0 || memcmp(v->u.string.data + rest, affix->u.string.data,
						   affix->u.string.len) != 0)
		return v;
	return jinja_string_len(env, v->u.string.data, rest);
}

/* Are there characters, and do all belong to a class? */
static JinjaValue *
all_chars(JinjaEnv *env, JinjaValue *v, bool (*belongs) (const char *p,
														 const char *end))
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;

	jn_work_bytes(env, end - p);
	if (p >= end)
		return env->no;
	for (; p < end; p += jn_char_len(p, end))
		if (!belongs(p, end))
			return env->no;
	return env->yes;
}

static bool
is_digit(const char *p, const char *end)
{
	return jn_char_is(p, end, JN_CHAR_DIGIT);
}

static bool
is_space(const char *p, const char *end)
{
	return jn_space_len(p, end) > 0;
}

static bool
is_alpha(const char *p, const char *end)
{
	return jn_char_is(p, end, JN_CHAR_ALPHA);
}

static bool
is_alnum(const char *p, const char *end)
{
	return jn_char_is(p, end, JN_CHAR_ALNUM);
}

static bool
is_ascii(const char *p, const char *end)
{
	return !IS_HIGHBIT_SET(*p);
}

static bool
is_identifier_char(const char *p, const char *end)
{
	return jn_char_is(p, end, JN_CHAR_NAME);
}

static bool
is_printable(const char *p, const char *end)
{
	if (!IS_HIGHBIT_SET(*p))
		return isprint((unsigned char) *p) != 0;
	return GetDatabaseEncoding() != PG_UTF8 ||
		jn_is_printable(utf8_to_unicode((const unsigned char *) p));
}

static JinjaValue *
str_isprintable(METHOD_ARGS)
{
	return v->u.string.len == 0 ? env->yes : all_chars(env, v, is_printable);
}

/* Is it what title() makes of it, with letters in it? */
static JinjaValue *
str_istitle(METHOD_ARGS)
{
	return jinja_bool(env, !jinja_equal(env, v, jn_lower(env, v)) &&
					  jinja_equal(env, v, str_title(env, v, argv, args)));
}

static JinjaValue *
str_isdigit(METHOD_ARGS)
{
	return all_chars(env, v, is_digit);
}

static JinjaValue *
str_isspace(METHOD_ARGS)
{
	return all_chars(env, v, is_space);
}

static JinjaValue *
str_isalpha(METHOD_ARGS)
{
	return all_chars(env, v, is_alpha);
}

static JinjaValue *
str_isalnum(METHOD_ARGS)
{
	return all_chars(env, v, is_alnum);
}

static JinjaValue *
str_isascii(METHOD_ARGS)
{
	return v->u.string.len == 0 ? env->yes : all_chars(env, v, is_ascii);
}

static JinjaValue *
str_isidentifier(METHOD_ARGS)
{
	const char *p = v->u.string.data;

	if (v->u.string.len == 0 ||
		!jn_char_is(p, p + v->u.string.len, JN_CHAR_NAME_START))
		return env->no;
	return all_chars(env, v, is_identifier_char);
}

static JinjaValue *
str_islower(METHOD_ARGS)
{
	return jinja_bool(env, jn_is_cased(env, v, false));
}

static JinjaValue *
str_isupper(METHOD_ARGS)
{
	return jinja_bool(env, jn_is_cased(env, v, true));
}

/* ---------- strings: taking apart and putting together ---------- */

static void
append_part(JinjaEnv *env, JinjaValue *list, const char *from, const char *to)
{
	jinja_list_append(env, list, jinja_string_len(env, from, to - from));
}

/* At runs of white space, from the left. */
static JinjaValue *
split_space(JinjaEnv *env, JinjaValue *v, int64 max)
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	JinjaValue *list = jinja_list(env);
	int			n;

	for (;;)
	{
		const char *from;

		while ((n = jn_space_len(p, end)) > 0)
			p += n;
		if (p >= end)
			return list;
		from = p;
		if (max-- == 0)
		{
			append_part(env, list, from, end);
			return list;
		}
		while (p < end && jn_space_len(p, end) == 0)
			p += jn_char_len(p, end);
		append_part(env, list, from, p);
	}
}

/* The same from the right. */
static JinjaValue *
rsplit_space(JinjaEnv *env, JinjaValue *v, int64 max)
{
	const char *start = v->u.string.data;
	const char *p = start + v->u.string.len;
	JinjaValue *list = jinja_list(env);
	int			n;

	for (;;)
	{
		const char *to;

		while ((n = jn_space_len_before(start, p)) > 0)
			p -= n;
		if (p <= start)
			break;
		to = p;
		if (max-- == 0)
		{
			append_part(env, list, start, to);
			break;
		}
		while (p > start && jn_space_len_before(start, p) == 0)
			p -= jn_char_len_before(env, start, p);
		append_part(env, list, p, to);
	}
	jn_list_reverse(list);
	return list;
}

static JinjaValue *
str_split(METHOD_ARGS)
{
	int64		max = jn_int_arg(env, argv[1], -1, "maxsplit");
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	const char *hit;
	JinjaValue *list;

	jn_work_bytes(env, v->u.string.len);
	if (argv[0] == NULL || argv[0]->kind == JINJA_NONE)
		return split_space(env, v, max);
	if (jn_string_arg(env, argv[0], "separator")->u.string.len == 0)
		jn_raise_type(env, "empty separator");
	list = jinja_list(env);
	while (max-- != 0 &&
		   (hit = jn_find(p, end - p, argv[0]->u.string.data,
						  argv[0]->u.string.len)) != NULL)
	{
		append_part(env, list, p, hit);
		p = hit + argv[0]->u.string.len;
	}
	append_part(env, list, p, end);
	return list;
}

static JinjaValue *
str_rsplit(METHOD_ARGS)
{
	int64		max = jn_int_arg(env, argv[1], -1, "maxsplit");
	const char *start = v->u.string.data;
	const char *end = start + v->u.string.len;
	JinjaValue *list;
	int			len;

	jn_work_bytes(env, v->u.string.len);
	if (argv[0] == NULL || argv[0]->kind == JINJA_NONE)
		return rsplit_space(env, v, max);
	len = jn_string_arg(env, argv[0], "separator")->u.string.len;
	if (len == 0)
		jn_raise_type(env, "empty separator");
	list = jinja_list(env);
	for (const char *p = end - len; max != 0 && p >= start;)
	{
		jn_work(env, 1 + len / 256);
		if (memcmp(p, argv[0]->u.string.data, len) != 0)
		{
			p--;
			continue;
		}
		append_part(env, list, p + len, end);
		end = p;
		p -= len;
		max--;
	}
	append_part(env, list, start, end);
	jn_list_reverse(list);
	return list;
}

static JinjaValue *
partition(JinjaEnv *env, JinjaValue *v, JinjaValue *sep, bool last)
{
	const char *start = v->u.string.data;
	const char *end = start + v->u.string.len;
	JinjaValue *parts[3] = {env->empty_string, env->empty_string,
	env->empty_string};
	const char *hit;
	int			len = jn_string_arg(env, sep, "separator")->u.string.len;

	if (len == 0)
		jn_raise_type(env, "empty separator");
	jn_work_bytes(env, end - start);
	hit = last ? find_last(env, start, end, sep) :
		jn_find(start, end - start, sep->u.string.data, len);
	if (hit == NULL)
		parts[last ? 2 : 0] = v;
	else
	{
		parts[0] = jinja_string_len(env, start, hit - start);
		parts[1] = sep;
		parts[2] = jinja_string_len(env, hit + len, end - hit - len);
	}
	return jinja_tuple(env, 3, parts);
}

static JinjaValue *
str_partition(METHOD_ARGS)
{
	return partition(env, v, argv[0], false);
}

static JinjaValue *
str_rpartition(METHOD_ARGS)
{
	return partition(env, v, argv[0], true);
}

static JinjaValue *
str_splitlines(METHOD_ARGS)
{
	return jn_splitlines(env, v, jn_truth_arg(env, argv[0]));
}

static JinjaValue *
str_replace(METHOD_ARGS)
{
	return jn_replace(env, v, jn_string_arg(env, argv[0], "old text"),
					  jn_string_arg(env, argv[1], "new text"),
					  jn_int_arg(env, argv[2], -1, "count"));
}

static JinjaValue *
str_join(METHOD_ARGS)
{
	JinjaValue *items = argv[0];

	if (jn_is_markup(v))
	{
		items = jinja_to_list(env, items);
		for (int i = 0; i < items->u.list.n; i++)
			items->u.list.items[i] = jn_escape(env, items->u.list.items[i]);
	}
	return jn_join(env, v, items, true);
}

static JinjaValue *
str_format(METHOD_ARGS)
{
	return jn_format_braces(env, v, args);
}

static JinjaValue *
str_format_map(METHOD_ARGS)
{
	JinjaArgs	names = {0};
	JnDict	   *d;

	if (argv[0]->kind != JINJA_DICT)
		jn_raise_type(env, "format_map takes a mapping, not %s",
					  jinja_type_name(argv[0]));
	d = argv[0]->u.dict;
	names.kwnames = jn_alloc(env, (d->n + 1) * sizeof(char *));
	names.kwvalues = jn_alloc(env, (d->n + 1) * sizeof(JinjaValue *));
	for (int i = 0; i < d->n; i++)
	{
		if (d->entries[i].key->kind != JINJA_STRING)
			continue;
		names.kwnames[names.nkwargs] = d->entries[i].key->u.string.data;
		names.kwvalues[names.nkwargs++] = d->entries[i].value;
	}
	return jn_format_braces(env, v, &names);
}

static JinjaValue *
str_expandtabs(METHOD_ARGS)
{
	int64		size = jn_int_arg(env, argv[0], 8, "tabsize");
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	int64		column = 0;
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	for (int len; p < end; p += len)
	{
		len = jn_char_len(p, end);
		if (*p == '\t')
		{
			int64		fill = size > 0 ? size - column % size : 0;

			jn_append_fill(env, &buf, ' ', fill);
			column += fill;
			continue;
		}
		jn_append(env, &buf, p, len);
		column = *p == '\n' || *p == '\r' ? 0 : column + 1;
	}
	return jn_buffer_string(env, &buf);
}

static void
need_utf8(const char *method)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s() needs a database in UTF-8", method)));
}

/* What a code point becomes: itself, nothing, a text or a code point. */
static void
append_translated(JinjaEnv *env, StringInfo buf, JinjaValue *table,
				  const char *p, int len)
{
	JinjaValue *to = jn_getitem(env, table,
								jinja_int(env, utf8_to_unicode((const unsigned char *) p)));
	int64		c;

	if (to->kind == JINJA_UNDEFINED)
		jn_append(env, buf, p, len);
	else if (to->kind == JINJA_STRING)
		jn_append(env, buf, to->u.string.data, to->u.string.len);
	else if (jn_is_int(to, &c) && c > 0 && is_valid_unicode_codepoint(c))
	{
		unsigned char text[MAX_UNICODE_EQUIVALENT_STRING + 1];

		pg_unicode_to_server(c, text);
		jn_append_cstring(env, buf, (char *) text);
	}
	else if (to->kind != JINJA_NONE)
		jn_raise_type(env, "character mapping must be an integer, none or a string");
}

static JinjaValue *
str_translate(METHOD_ARGS)
{
	const char *p = v->u.string.data;
	const char *end = p + v->u.string.len;
	StringInfoData buf;

	need_utf8("translate");
	jn_buffer_init(env, &buf);
	for (int len; p < end; p += len)
	{
		len = jn_char_len(p, end);
		append_translated(env, &buf, argv[0], p, len);
	}
	return jn_buffer_string(env, &buf);
}

/* The code point that stands at p, which goes behind it. */
static JinjaValue *
next_code_point(JinjaEnv *env, const char **p, const char *end)
{
	const char *start = *p;

	*p += jn_char_len(start, end);
	return jinja_int(env, utf8_to_unicode((const unsigned char *) start));
}

/* A table by code points of one whose keys are texts, too. */
static JinjaValue *
table_of_dict(JinjaEnv *env, JinjaValue *given)
{
	JinjaValue *table = jinja_dict(env);

	if (given->kind != JINJA_DICT)
		jn_raise_type(env, "if you give only one argument to maketrans it must be a dict");
	for (int i = 0; i < jinja_length(given); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(given, i, &key, &value);
		if (key->kind == JINJA_STRING)
		{
			const char *p = key->u.string.data;
			const char *end = p + key->u.string.len;

			if (jn_count_chars(p, end - p) != 1)
				jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
							"string keys in translate table must be of length 1");
			key = next_code_point(env, &p, end);
		}
		else if (key->kind != JINJA_INT && key->kind != JINJA_BOOL)
			jn_raise_type(env, "keys in translate table must be strings or integers");
		jinja_dict_set_value(env, table, key, value);
	}
	return table;
}

static JinjaValue *
maketrans_text(JinjaEnv *env, JinjaValue **argv, int i)
{
	if (argv[i]->kind != JINJA_STRING)
		jn_raise_type(env, "maketrans() argument %d must be str, not %s", i + 1,
					  jinja_type_name(argv[i]));
	return argv[i];
}

/* What translate() takes: a character for each of another text, or none. */
static JinjaValue *
str_maketrans(METHOD_ARGS)
{
	JinjaValue *from;
	JinjaValue *to;
	JinjaValue *table;
	const char *p;
	const char *end;
	const char *q;
	const char *q_end;

	need_utf8("maketrans");
	if (argv[1] == NULL)
		return table_of_dict(env, argv[0]);
	if (argv[0]->kind != JINJA_STRING)
		jn_raise_type(env, "first maketrans argument must be a string if there is a second argument");
	from = argv[0];
	to = maketrans_text(env, argv, 1);
	if (jn_length(env, from) != jn_length(env, to))
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"the first two maketrans arguments must have equal length");
	table = jinja_dict(env);
	p = from->u.string.data;
	end = p + from->u.string.len;
	q = to->u.string.data;
	q_end = q + to->u.string.len;
	while (p < end)
	{
		JinjaValue *key = next_code_point(env, &p, end);

		jinja_dict_set_value(env, table, key, next_code_point(env, &q, q_end));
	}
	if (argv[2] == NULL)
		return table;
	from = maketrans_text(env, argv, 2);
	p = from->u.string.data;
	end = p + from->u.string.len;
	while (p < end)
	{
		JinjaValue *key = next_code_point(env, &p, end);

		jinja_dict_set_value(env, table, key, env->none);
	}
	return table;
}

/* ---------- lists ---------- */

static JinjaValue *
list_append(METHOD_ARGS)
{
	jinja_list_append(env, v, argv[0]);
	return env->none;
}

static JinjaValue *
list_extend(METHOD_ARGS)
{
	JinjaValue *more = jinja_to_list(env, argv[0]);

	for (int i = 0; i < more->u.list.n; i++)
		jinja_list_append(env, v, more->u.list.items[i]);
	return env->none;
}

static JinjaValue *
list_insert(METHOD_ARGS)
{
	JnList	   *l = &v->u.list;
	int64		at = jn_int_arg(env, argv[0], 0, "index");

	if (at < 0)
		at = Max(at + l->n, 0);
	at = Min(at, l->n);
	jn_work(env, (l->n - at) / 16);
	jinja_list_append(env, v, argv[1]);
	memmove(l->items + at + 1, l->items + at,
			(l->n - 1 - at) * sizeof(JinjaValue *));
	l->items[at] = argv[1];
	return env->none;
}

static void
delete_item(JinjaEnv *env, JnList *l, int64 at)
{
	jn_work(env, (l->n - at) / 16);
	memmove(l->items + at, l->items + at + 1,
			(l->n - 1 - at) * sizeof(JinjaValue *));
	l->n--;
}

static JinjaValue *
list_pop(METHOD_ARGS)
{
	int64		at = jn_int_arg(env, argv[0], -1, "index");
	JinjaValue *item;

	if (v->u.list.n == 0)
		jn_raise_type(env, "pop from empty list");
	if (!jn_index(at, v->u.list.n, &at))
		jn_raise_type(env, "pop index out of range");
	item = v->u.list.items[at];
	delete_item(env, &v->u.list, at);
	return item;
}

/* First item equal to "what" from "start" to before "stop", or -1. */
static int64
find_item(JinjaEnv *env, JinjaValue *v, JinjaValue *what, int64 start,
		  int64 stop)
{
	for (int64 i = start; i < stop && i < v->u.list.n; i++)
		if (v->u.list.items[i] == what ||
			jinja_equal(env, v->u.list.items[i], what))
			return i;
	return -1;
}

static JinjaValue *
list_remove(METHOD_ARGS)
{
	int64		at = find_item(env, v, argv[0], 0, v->u.list.n);

	if (at < 0)
		jn_raise_type(env, "list.remove(x): x not in list");
	delete_item(env, &v->u.list, at);
	return env->none;
}

static JinjaValue *
list_index(METHOD_ARGS)
{
	int64		start = jn_int_arg(env, argv[1], 0, "start");
	int64		stop = jn_int_arg(env, argv[2], PG_INT64_MAX, "stop");
	int64		at;

	if (start < 0)
		start = Max(start + v->u.list.n, 0);
	if (stop < 0)
		stop = Max(stop + v->u.list.n, 0);
	at = find_item(env, v, argv[0], start, stop);
	if (at < 0)
		jn_raise_type(env, "%s is not in %s", jn_repr_cstring(env, argv[0]),
					  jinja_type_name(v));
	return jinja_int(env, at);
}

static JinjaValue *
list_count(METHOD_ARGS)
{
	int64		n = 0;

	for (int i = 0; i < v->u.list.n; i++)
		n += v->u.list.items[i] == argv[0] ||
			jinja_equal(env, v->u.list.items[i], argv[0]);
	return jinja_int(env, n);
}

static JinjaValue *
list_clear(METHOD_ARGS)
{
	v->u.list.n = 0;
	return env->none;
}

static JinjaValue *
list_copy(METHOD_ARGS)
{
	return jinja_to_list(env, v);
}

static JinjaValue *
list_reverse(METHOD_ARGS)
{
	jn_work(env, v->u.list.n / 16);
	jn_list_reverse(v);
	return env->none;
}

static JinjaValue *
list_sort(METHOD_ARGS)
{
	JinjaValue *reverse = jinja_arg(args, -1, "reverse");
	JinjaValue *key = jinja_arg(args, -1, "key");
	JinjaValue *copy = jinja_to_list(env, v);
	int			n = copy->u.list.n;
	JinjaValue **keys = jn_alloc(env, (n + 1) * sizeof(JinjaValue *));

	if (args->nargs > 0 ||
		args->nkwargs > (reverse != NULL) + (key != NULL))
		jn_raise_type(env, "sort takes only the arguments \"key\" and \"reverse\"");
	for (int i = 0; i < n; i++)
	{
		JinjaArgs	one = {.nargs = 1, .args = &copy->u.list.items[i]};

		keys[i] = key == NULL || key->kind == JINJA_NONE ?
			copy->u.list.items[i] : jinja_call(env, key, &one);
	}
	jn_sort(env, keys, copy->u.list.items, n, jn_truth_arg(env, reverse));
	/* The comparisons may have called for changes to the list itself. */
	v->u.list = copy->u.list;
	return env->none;
}

/* ---------- ranges ---------- */

static JinjaValue *
range_count(METHOD_ARGS)
{
	return jinja_int(env, jn_contains(env, v, argv[0]));
}

static JinjaValue *
range_index(METHOD_ARGS)
{
	int64		pos;

	if (!jn_range_position(env, &v->u.range, argv[0], &pos))
		jn_raise_type(env, "%s is not in range",
					  jn_repr_cstring(env, argv[0]));
	return jinja_int(env, pos);
}

/* ---------- dicts ---------- */

static JinjaValue *
dict_get(METHOD_ARGS)
{
	JinjaValue *found = jn_dict_lookup(env, v->u.dict, argv[0]);

	return found != NULL ? found : argv[1] != NULL ? argv[1] : env->none;
}

static JinjaValue *
dict_keys(METHOD_ARGS)
{
	return jn_view(env, v, JN_VIEW_KEYS);
}

static JinjaValue *
dict_values(METHOD_ARGS)
{
	return jn_view(env, v, JN_VIEW_VALUES);
}

static JinjaValue *
dict_items(METHOD_ARGS)
{
	return jn_view(env, v, JN_VIEW_ITEMS);
}

static JinjaValue *
dict_pop(METHOD_ARGS)
{
	JinjaValue *found = jn_dict_remove(env, v->u.dict, argv[0]);

	if (found == NULL)
		found = argv[1];
	if (found == NULL)
		jn_raise_type(env, "key %s is not in the dict",
					  jn_repr_cstring(env, argv[0]));
	return found;
}

static JinjaValue *
dict_popitem(METHOD_ARGS)
{
	JinjaValue *pair[2];
	JnEntry    *last;

	if (v->u.dict->n == 0)
		jn_raise_type(env, "popitem(): dictionary is empty");
	last = &v->u.dict->entries[v->u.dict->n - 1];
	pair[0] = last->key;
	pair[1] = last->value;
	(void) jn_dict_remove(env, v->u.dict, pair[0]);
	return jinja_tuple(env, 2, pair);
}

static JinjaValue *
dict_setdefault(METHOD_ARGS)
{
	JinjaValue *found = jn_dict_lookup(env, v->u.dict, argv[0]);

	if (found != NULL)
		return found;
	found = argv[1] != NULL ? argv[1] : env->none;
	jn_dict_put(env, v->u.dict, argv[0], found);
	return found;
}

static JinjaValue *
dict_fromkeys(METHOD_ARGS)
{
	JinjaValue *dict = jinja_dict(env);
	JinjaValue *key;
	JnIter		it;

	jn_iter_init(env, &it, argv[0]);
	while ((key = jn_iter_next(env, &it)) != NULL)
		jn_dict_put(env, dict->u.dict, key,
					argv[1] != NULL ? argv[1] : env->none);
	return dict;
}

/* From a mapping, or from an iterable of pairs. */
void
jn_dict_update(JinjaEnv *env, JinjaValue *dict, JinjaValue *from)
{
	JinjaValue *pair[2];
	JinjaValue *item;
	JnIter		it;

	if (from->kind == JINJA_DICT)
	{
		for (int i = 0; i < from->u.dict->n; i++)
			jn_dict_put(env, dict->u.dict, from->u.dict->entries[i].key,
						from->u.dict->entries[i].value);
		return;
	}
	jn_iter_init(env, &it, from);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		jn_unpack(env, item, 2, pair);
		jn_dict_put(env, dict->u.dict, pair[0], pair[1]);
	}
}

void
jn_dict_update_args(JinjaEnv *env, JinjaValue *dict, const JinjaArgs *args)
{
	if (args->nargs > 1)
		jn_raise_type(env, "at most 1 argument is expected (%d given)",
					  args->nargs);
	if (args->nargs == 1)
		jn_dict_update(env, dict, args->args[0]);
	for (int i = 0; i < args->nkwargs; i++)
		jinja_dict_set(env, dict, args->kwnames[i], args->kwvalues[i]);
}

static JinjaValue *
dict_update(METHOD_ARGS)
{
	jn_dict_update_args(env, v, args);
	return env->none;
}

static JinjaValue *
dict_copy(METHOD_ARGS)
{
	JinjaValue *copy = jinja_dict(env);

	jn_dict_update(env, copy, v);
	return copy;
}

static JinjaValue *
dict_clear(METHOD_ARGS)
{
	jn_dict_clear(v->u.dict);
	return env->none;
}

/* ---------- numbers ---------- */

static JinjaValue *
number_conjugate(METHOD_ARGS)
{
	return jn_positive(env, v);
}

static JinjaValue *
int_bit_length(METHOD_ARGS)
{
	return jinja_int(env, jn_big_bits(jn_big_of(env, v)));
}

static JinjaValue *
float_is_integer(METHOD_ARGS)
{
	return jinja_bool(env, isfinite(v->u.real) &&
					  v->u.real == floor(v->u.real));
}

/* ---------- tables ---------- */

static const JnBuiltin str_methods[] = {
	{"capitalize", str_capitalize, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"casefold", str_casefold, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"center", str_center, 1, 2, {NULL}, JN_MARKUP_ARGUMENT},
	{"count", str_count, 1, 3, {NULL}},
	{"endswith", str_endswith, 1, 3, {NULL}},
	{"expandtabs", str_expandtabs, 0, 1, {"tabsize"}, JN_MARKUP_RESULT},
	{"find", str_find, 1, 3, {NULL}},
	{"format", str_format, 0, JN_RAW, {NULL}, JN_MARKUP_RESULT},
	{"format_map", str_format_map, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{"index", str_index, 1, 3, {NULL}},
	{"isalnum", str_isalnum, 0, 0, {NULL}},
	{"isalpha", str_isalpha, 0, 0, {NULL}},
	{"isascii", str_isascii, 0, 0, {NULL}},
	{"isdecimal", str_isdigit, 0, 0, {NULL}},
	{"isdigit", str_isdigit, 0, 0, {NULL}},
	{"isidentifier", str_isidentifier, 0, 0, {NULL}},
	{"islower", str_islower, 0, 0, {NULL}},
	{"isnumeric", str_isdigit, 0, 0, {NULL}},
	{"isprintable", str_isprintable, 0, 0, {NULL}},
	{"isspace", str_isspace, 0, 0, {NULL}},
	{"istitle", str_istitle, 0, 0, {NULL}},
	{"isupper", str_isupper, 0, 0, {NULL}},
	{"join", str_join, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{"ljust", str_ljust, 1, 2, {NULL}, JN_MARKUP_ARGUMENT},
	{"lower", str_lower, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"lstrip", str_lstrip, 0, 1, {NULL}, JN_MARKUP_RESULT},
	{"partition", str_partition, 1, 1, {NULL}, JN_MARKUP_ITEMS},
	{"maketrans", str_maketrans, 1, 3, {NULL}},
	{"removeprefix", str_removeprefix, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{"removesuffix", str_removesuffix, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{"replace", str_replace, 2, 3, {NULL}, JN_MARKUP_ARGUMENT},
	{"rfind", str_rfind, 1, 3, {NULL}},
	{"rindex", str_rindex, 1, 3, {NULL}},
	{"rjust", str_rjust, 1, 2, {NULL}, JN_MARKUP_ARGUMENT},
	{"rpartition", str_rpartition, 1, 1, {NULL}, JN_MARKUP_ITEMS},
	{"rsplit", str_rsplit, 0, 2, {"sep", "maxsplit"}, JN_MARKUP_ITEMS},
	{"rstrip", str_rstrip, 0, 1, {NULL}, JN_MARKUP_RESULT},
	{"split", str_split, 0, 2, {"sep", "maxsplit"}, JN_MARKUP_ITEMS},
	{"splitlines", str_splitlines, 0, 1, {"keepends"}, JN_MARKUP_ITEMS},
	{"startswith", str_startswith, 1, 3, {NULL}},
	{"strip", str_strip, 0, 1, {NULL}, JN_MARKUP_RESULT},
	{"swapcase", str_swapcase, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"title", str_title, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"translate", str_translate, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{"upper", str_upper, 0, 0, {NULL}, JN_MARKUP_RESULT},
	{"zfill", str_zfill, 1, 1, {NULL}, JN_MARKUP_RESULT},
	{NULL},
};

static const JnBuiltin list_methods[] = {
	{"append", list_append, 1, 1, {NULL}},
	{"clear", list_clear, 0, 0, {NULL}},
	{"copy", list_copy, 0, 0, {NULL}},
	{"count", list_count, 1, 1, {NULL}},
	{"extend", list_extend, 1, 1, {NULL}},
	{"index", list_index, 1, 3, {NULL}},
	{"insert", list_insert, 2, 2, {NULL}},
	{"pop", list_pop, 0, 1, {NULL}},
	{"remove", list_remove, 1, 1, {NULL}},
	{"reverse", list_reverse, 0, 0, {NULL}},
	{"sort", list_sort, 0, JN_RAW, {NULL}},
	{NULL},
};

static const JnBuiltin tuple_methods[] = {
	{"count", list_count, 1, 1, {NULL}},
	{"index", list_index, 1, 3, {NULL}},
	{NULL},
};

static const JnBuiltin range_methods[] = {
	{"count", range_count, 1, 1, {NULL}},
	{"index", range_index, 1, 1, {NULL}},
	{NULL},
};

static const JnBuiltin dict_methods[] = {
	{"clear", dict_clear, 0, 0, {NULL}},
	{"copy", dict_copy, 0, 0, {NULL}},
	{"fromkeys", dict_fromkeys, 1, 2, {NULL}},
	{"get", dict_get, 1, 2, {NULL}},
	{"items", dict_items, 0, 0, {NULL}},
	{"keys", dict_keys, 0, 0, {NULL}},
	{"pop", dict_pop, 1, 2, {NULL}},
	{"popitem", dict_popitem, 0, 0, {NULL}},
	{"setdefault", dict_setdefault, 1, 2, {NULL}},
	{"update", dict_update, 0, JN_RAW, {NULL}},
	{"values", dict_values, 0, 0, {NULL}},
	{NULL},
};

static const JnBuiltin int_methods[] = {
	{"bit_length", int_bit_length, 0, 0, {NULL}},
	{"conjugate", number_conjugate, 0, 0, {NULL}},
	{NULL},
};

static const JnBuiltin float_methods[] = {
	{"conjugate", number_conjugate, 0, 0, {NULL}},
	{"is_integer", float_is_integer, 0, 0, {NULL}},
	{NULL},
};

static const JnBuiltin *
methods_of(const JinjaValue *object)
{
	switch (object->kind)
	{
		case JINJA_STRING:
			return str_methods;
		case JINJA_LIST:
			return list_methods;
		case JINJA_TUPLE:
			return tuple_methods;
		case JINJA_RANGE:
			return range_methods;
		case JINJA_SET:
			return jn_set_methods;
		case JINJA_DICT:
			return dict_methods;
		case JINJA_FLOAT:
			return float_methods;
		case JINJA_INT:
		case JINJA_BIGINT:
		case JINJA_BOOL:
			return int_methods;
		default:
			return NULL;
	}
}

/* All of them by the hash of the name; several kinds may have one. */
#define METHOD_SLOTS 512

typedef struct MethodSlot
{
	const JnBuiltin *kind;		/* the table it is in */
	const JnBuiltin *method;	/* NULL: free */
	uint32		hash;
} MethodSlot;

static MethodSlot method_slots[METHOD_SLOTS];
static bool methods_known = false;

static void
know_methods(void)
{
	static const JnBuiltin *const kinds[] = {str_methods, list_methods,
		tuple_methods, range_methods, dict_methods, int_methods,
		float_methods, jn_set_methods, jn_markup_methods};

	for (int k = 0; k < lengthof(kinds); k++)
		for (const JnBuiltin *m = kinds[k]; m->name != NULL; m++)
		{
			uint32		hash = jn_hash_text(m->name, strlen(m->name));
			uint32		i = hash % METHOD_SLOTS;

			while (method_slots[i].method != NULL)
				i = (i + 1) % METHOD_SLOTS;
			method_slots[i] = (MethodSlot) {kinds[k], m, hash};
		}
	methods_known = true;
}

static const JnBuiltin *
find_in(const JnBuiltin *kind, JinjaValue *name)
{
	uint32		hash = jn_string_hash(name);

	if (!methods_known)
		know_methods();
	for (uint32 i = hash % METHOD_SLOTS; method_slots[i].method != NULL;
		 i = (i + 1) % METHOD_SLOTS)
		if (method_slots[i].hash == hash && method_slots[i].kind == kind &&
			strcmp(method_slots[i].method->name, name->u.string.data) == 0)
			return method_slots[i].method;
	return NULL;
}

const JnBuiltin *
jn_find_method(const JinjaValue *object, JinjaValue *name)
{
	const JnBuiltin *kind = methods_of(object);
	const JnBuiltin *m;

	if (object->kind == JINJA_STRING && jn_is_markup(object) &&
		(m = find_in(jn_markup_methods, name)) != NULL)
		return m;
	return kind != NULL ? find_in(kind, name) : NULL;
}
