/*
 * re_module.c
 *		modules.re: patterns, matches and the functions that make them.
 */
#include "base/compat.h"

#include <ctype.h>

#include "jinja/markup.h"
#include "jinja/modules.h"
#include "jinja/regex.h"

static const JinjaObjectOps pattern_ops;
static const JinjaObjectOps match_ops;

/* ---------- matches ---------- */

static JinjaValue *
match_value(JinjaEnv *env, JnReMatch *m)
{
	return m == NULL ? env->none : jinja_object(env, &match_ops, m);
}

/* The text of a group; NULL: it took no part. */
static JinjaValue *
group_text(JinjaEnv *env, const JnReMatch *m, int group)
{
	int			from = m->slots[group * 2];
	int			to = m->slots[group * 2 + 1];

	if (from < 0 || to < 0)
		return NULL;
	return jinja_string_len(env, m->text->u.string.data + from, to - from);
}

static JinjaValue *
group_or(JinjaEnv *env, const JnReMatch *m, int group, JinjaValue *dflt)
{
	JinjaValue *v = group_text(env, m, group);

	return v != NULL ? v : dflt;
}

/* A position in characters. */
static JinjaValue *
char_count(JinjaEnv *env, const JnReMatch *m, int pos)
{
	if (pos < 0)
		return jinja_int(env, -1);
	jn_work_bytes(env, pos);
	return jinja_int(env, jn_nchars(jinja_string_len(env,
													 m->text->u.string.data,
													 pos)));
}

static JinjaValue *
char_position(JinjaEnv *env, const JnReMatch *m, int slot)
{
	return char_count(env, m, m->slots[slot]);
}

static JinjaValue *
match_group(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnReMatch  *m = arg;
	JinjaValue *result;

	if (args->nargs == 0)
		return group_text(env, m, 0);
	if (args->nargs == 1)
		return group_or(env, m, jn_regex_group(env, m->regex, args->args[0]),
						env->none);
	result = jn_list_sized(env, JINJA_TUPLE, args->nargs);
	for (int i = 0; i < args->nargs; i++)
		jinja_list_append(env, result,
						  group_or(env, m, jn_regex_group(env, m->regex,
														  args->args[i]),
								   env->none));
	return result;
}

static JinjaValue *
groups(JinjaEnv *env, const JnReMatch *m, JinjaValue *dflt)
{
	JinjaValue *result = jn_list_sized(env, JINJA_TUPLE, m->regex->ngroups);

	for (int i = 1; i <= m->regex->ngroups; i++)
		jinja_list_append(env, result, group_or(env, m, i, dflt));
	return result;
}

static JinjaValue *
match_groups(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *dflt = jinja_arg(args, 0, "default");

	return groups(env, arg, dflt != NULL ? dflt : env->none);
}

static JinjaValue *
match_groupdict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JnReMatch  *m = arg;
	JinjaValue *dflt = jinja_arg(args, 0, "default");
	JinjaValue *dict = jinja_dict(env);

	for (int i = 1; i <= m->regex->ngroups; i++)
		if (m->regex->names[i] != NULL)
			jn_dict_put(env, dict->u.dict, m->regex->names[i],
						group_or(env, m, i, dflt != NULL ? dflt : env->none));
	return dict;
}

static int
group_arg(JinjaEnv *env, const JnReMatch *m, const JinjaArgs *args)
{
	JinjaValue *group = jinja_arg(args, 0, NULL);

	return group == NULL ? 0 : jn_regex_group(env, m->regex, group);
}

static JinjaValue *
match_start(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return char_position(env, arg, group_arg(env, arg, args) * 2);
}

static JinjaValue *
match_end(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return char_position(env, arg, group_arg(env, arg, args) * 2 + 1);
}

static JinjaValue *
match_span(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	int			group = group_arg(env, arg, args);
	JinjaValue *span[2] = {char_position(env, arg, group * 2),
	char_position(env, arg, group * 2 + 1)};

	return jinja_tuple(env, 2, span);
}

/* ---------- templates of replacements ---------- */

/* \g<name>; "p" is behind the "<". Returns what follows the ">". */
static const char *
named_reference(JinjaEnv *env, const JnReMatch *m, const char *p,
				const char *end, StringInfo out)
{
	const char *close = memchr(p, '>', end - p);
	JinjaValue *name;
	JinjaValue *text;
	int64		number;
	int			group;

	if (close == NULL || close == p)
		jn_raise_type(env, "missing group name in a replacement");
	name = jinja_string_len(env, p, close - p);
	if (strspn(name->u.string.data, "0123456789") == name->u.string.len &&
		jn_parse_int(env, name->u.string.data, name->u.string.len, 10, &number))
		group = jn_regex_group(env, m->regex, jinja_int(env, number));
	else
		group = jn_regex_group(env, m->regex, name);
	text = group_text(env, m, group);
	if (text != NULL)
		jn_append(env, out, text->u.string.data, text->u.string.len);
	return close + 1;
}

/* \1, \12, \0 and other octal numbers; "p" is at the first digit. */
static const char *
number_reference(JinjaEnv *env, const JnReMatch *m, const char *p,
				 const char *end, StringInfo out)
{
	int			number = *p++ - '0';
	JinjaValue *text;
	char		c;

	if (number == 0 ||
		(end - p >= 2 && number <= 3 && p[0] >= '0' && p[0] <= '7' &&
		 p[1] >= '0' && p[1] <= '7'))
	{
		for (int i = 0; i < 2 && p < end && *p >= '0' && *p <= '7'; i++)
			number = number * 8 + (*p++ - '0');
		if (number == 0 || number > 127)
			jn_raise_type(env, "bad octal escape in a replacement");
		c = number;
		jn_append(env, out, &c, 1);
		return p;
	}
	if (p < end && isdigit((unsigned char) *p))
		number = number * 10 + (*p++ - '0');
	text = group_text(env, m, jn_regex_group(env, m->regex,
											 jinja_int(env, number)));
	if (text != NULL)
		jn_append(env, out, text->u.string.data, text->u.string.len);
	return p;
}

static void
expand(JinjaEnv *env, const JnReMatch *m, JinjaValue *template,
	   StringInfo out)
{
	static const char from[] = "abfnrtv\\";
	static const char to[] = "\a\b\f\n\r\t\v\\";
	const char *p = template->u.string.data;
	const char *end = p + template->u.string.len;

	while (p < end)
	{
		const char *slash = memchr(p, '\\', end - p);
		const char *f;

		jn_append(env, out, p, (slash == NULL ? end : slash) - p);
		if (slash == NULL)
			return;
		p = slash + 1;
		if (p >= end)
			jn_raise_type(env, "bad escape (end of pattern) in a replacement");
		if (*p == 'g')
		{
			if (p + 1 >= end || p[1] != '<')
				jn_raise_type(env, "missing < in a replacement");
			p = named_reference(env, m, p + 2, end, out);
		}
		else if (isdigit((unsigned char) *p))
			p = number_reference(env, m, p, end, out);
		else if ((f = strchr(from, *p)) != NULL && *p != '\0')
		{
			jn_append(env, out, &to[f - from], 1);
			p++;
		}
		else if (isalpha((unsigned char) *p))
			jn_raise_type(env, "bad escape \\%c in a replacement", *p);
		else
			jn_append(env, out, "\\", 1);
	}
}

/* An error in a template shows even if nothing matches. */
static void
check_template(JinjaEnv *env, const JnRegex *regex, JinjaValue *template)
{
	JnReMatch	none = {regex, env->empty_string, 0, 0, -1, NULL};
	StringInfoData out;

	none.slots = jn_palloc(env, regex->nslots * sizeof(int));
	memset(none.slots, -1, regex->nslots * sizeof(int));
	jn_buffer_init(env, &out);
	expand(env, &none, template, &out);
	jn_buffer_free(env, &out);
	pfree(none.slots);
}

static JinjaValue *
match_expand(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	StringInfoData out;

	jn_buffer_init(env, &out);
	expand(env, arg, jn_string_arg(env, jn_need_arg(env, args, 0, "template"),
								   "template"), &out);
	return jn_buffer_string(env, &out);
}

static const JnModuleFunction match_methods[] = {
	{"end", match_end},
	{"expand", match_expand},
	{"group", match_group},
	{"groupdict", match_groupdict},
	{"groups", match_groups},
	{"span", match_span},
	{"start", match_start},
	{NULL},
};

static JinjaValue *pattern_value(JinjaEnv *env, const JnRegex *regex);

static JinjaValue *
match_attribute(JinjaEnv *env, void *object, const char *name)
{
	JnReMatch  *m = object;

	if (strcmp(name, "string") == 0)
		return m->text;
	if (strcmp(name, "re") == 0)
		return pattern_value(env, m->regex);
	if (strcmp(name, "lastindex") == 0)
		return m->last_group < 0 ? env->none : jinja_int(env, m->last_group);
	if (strcmp(name, "lastgroup") == 0)
		return m->last_group < 0 || m->regex->names[m->last_group] == NULL ?
			env->none : m->regex->names[m->last_group];
	if (strcmp(name, "pos") == 0)
		return char_count(env, m, m->from);
	if (strcmp(name, "endpos") == 0)
		return char_count(env, m, m->to);
	return jn_find_function(env, match_methods, name, object);
}

static JinjaValue *
match_item(JinjaEnv *env, void *object, JinjaValue *index)
{
	JnReMatch  *m = object;
	int64		group;

	/* A group that there is not is undefined. */
	if (index->kind == JINJA_STRING)
	{
		for (group = m->regex->ngroups; group > 0; group--)
			if (m->regex->names[group] != NULL &&
				jinja_equal(env, m->regex->names[group], index))
				break;
		if (group == 0)
			return NULL;
	}
	else if (!jn_is_int(index, &group) || group < 0 ||
			 group > m->regex->ngroups)
		return NULL;
	return group_or(env, m, group, env->none);
}

/* At most 50 characters of the match are shown. */
static char *
match_to_string(JinjaEnv *env, void *object)
{
	JnReMatch  *m = object;
	JinjaValue *repr = jinja_string(env, jn_repr_cstring(env,
														 group_text(env, m,
																	0)));

	repr = jn_slice(env, repr, NULL, jinja_int(env, 50), NULL);
	return psprintf("<re.Match object; span=(%s, %s), match=%s>",
					jinja_to_cstring(env, char_position(env, m, 0)),
					jinja_to_cstring(env, char_position(env, m, 1)),
					repr->u.string.data);
}

static const JinjaObjectOps match_ops = {
	.type_name = "re.Match",
	.get_attribute = match_attribute,
	.get_item = match_item,
	.to_string = match_to_string,
};

/* ---------- patterns ---------- */

static JinjaValue *
pattern_value(JinjaEnv *env, const JnRegex *regex)
{
	return jinja_object(env, &pattern_ops, (void *) regex);
}

/* A pattern as it is given: compiled, or as text. */
static const JnRegex *
to_regex(JinjaEnv *env, JinjaValue *v, int64 flags)
{
	JnRegex    *regex = jinja_object_get(v, &pattern_ops);
	JinjaValue *key;
	JinjaValue *known;

	if (regex != NULL)
	{
		if (flags != 0)
			jn_raise_type(env,
						  "cannot process flags argument with a compiled pattern");
		return regex;
	}
	jn_string_arg(env, v, "pattern");
	if (flags < 0 || flags > 511 || (flags & JN_RE_LOCALE) != 0)
		jn_raise_type(env, "these flags are not supported");
	if (env->patterns == NULL)
		env->patterns = jinja_dict(env);
	key = jinja_string(env, psprintf(INT64_FORMAT ":%s", flags,
									 v->u.string.data));
	known = jn_dict_lookup(env, env->patterns->u.dict, key);
	if (known == NULL)
	{
		known = pattern_value(env, jn_regex_compile(env, v, flags));
		jn_dict_put(env, env->patterns->u.dict, key, known);
	}
	return known->u.object.object;
}

/* A character position of "text" in bytes. */
static int
byte_position(JinjaEnv *env, JinjaValue *text, int64 pos)
{
	pos = Max(0, Min(pos, jn_length(env, text)));
	jn_work_bytes(env, text->u.string.len);
	return text->u.string.len == 0 ? 0 :
		jn_char_at(text, pos) - text->u.string.data;
}

typedef enum How
{
	MATCH,
	FULLMATCH,
	SEARCH,
} How;

static JinjaValue *
do_match(JinjaEnv *env, const JnRegex *regex, JinjaValue *text, int64 from,
		 int64 to, How how)
{
	jn_string_arg(env, text, "string");
	if (from > to)
		return env->none;
	return match_value(env, jn_regex_match(env, regex, text,
										   byte_position(env, text, from),
										   byte_position(env, text, to),
										   how == SEARCH, how == FULLMATCH,
										   false));
}

/* pattern.match(string, pos, endpos) */
static JinjaValue *
pattern_do(JinjaEnv *env, const JnRegex *regex, const JinjaArgs *args, How how)
{
	return do_match(env, regex, jn_need_arg(env, args, 0, "string"),
					jn_optional_int(env, args, 1, "pos", 0),
					jn_optional_int(env, args, 2, "endpos", PG_INT64_MAX), how);
}

static JinjaValue *
pattern_match(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return pattern_do(env, arg, args, MATCH);
}

static JinjaValue *
pattern_fullmatch(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return pattern_do(env, arg, args, FULLMATCH);
}

static JinjaValue *
pattern_search(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return pattern_do(env, arg, args, SEARCH);
}

/* ---------- all matches of a text ---------- */

typedef struct Matches
{
	JinjaEnv   *env;
	const JnRegex *regex;
	JinjaValue *text;
	int			pos;
	int			end;
	bool		must_advance;
} Matches;

static void
start_matches(JinjaEnv *env, Matches *s, const JnRegex *regex,
			  JinjaValue *text)
{
	jn_string_arg(env, text, "string");
	s->env = env;
	s->regex = regex;
	s->text = text;
	s->pos = 0;
	s->end = text->u.string.len;
	s->must_advance = false;
}

static JnReMatch *
next_match(Matches *s)
{
	JnReMatch  *m;

	jn_step(s->env);
	if (s->pos > s->end)
		return NULL;
	m = jn_regex_match(s->env, s->regex, s->text, s->pos, s->end, true, false,
					   s->must_advance);
	if (m != NULL)
	{
		/* After an empty match the next must take a character. */
		s->must_advance = m->slots[0] == m->slots[1];
		s->pos = m->slots[1];
	}
	return m;
}

/* Only of the part of the text that "args" tell behind it; NULL: all of it. */
static void
start_matches_of(JinjaEnv *env, Matches *s, const JnRegex *regex,
				 JinjaValue *text, const JinjaArgs *args)
{
	start_matches(env, s, regex, text);
	if (args == NULL)
		return;
	s->pos = byte_position(env, text, jn_optional_int(env, args, 1, "pos", 0));
	s->end = byte_position(env, text, jn_optional_int(env, args, 2, "endpos",
													  PG_INT64_MAX));
}

static JinjaValue *
findall(JinjaEnv *env, const JnRegex *regex, JinjaValue *text,
		const JinjaArgs *args)
{
	JinjaValue *list = jinja_list(env);
	JnReMatch  *m;
	Matches		s;

	start_matches_of(env, &s, regex, text, args);
	while ((m = next_match(&s)) != NULL)
	{
		JinjaValue *item;

		if (regex->ngroups == 0)
			item = group_text(env, m, 0);
		else if (regex->ngroups == 1)
			item = group_or(env, m, 1, env->empty_string);
		else
			item = groups(env, m, env->empty_string);
		jinja_list_append(env, list, item);
	}
	return list;
}

static JinjaValue *
finditer(JinjaEnv *env, const JnRegex *regex, JinjaValue *text,
		 const JinjaArgs *args)
{
	JinjaValue *list = jinja_list(env);
	JnReMatch  *m;
	Matches		s;

	start_matches_of(env, &s, regex, text, args);
	while ((m = next_match(&s)) != NULL)
		jinja_list_append(env, list, match_value(env, m));
	return jn_iterator(env, list);
}

static JinjaValue *
split(JinjaEnv *env, const JnRegex *regex, JinjaValue *text, int64 max)
{
	JinjaValue *list = jinja_list(env);
	JnReMatch  *m;
	Matches		s;
	int			from = 0;

	start_matches(env, &s, regex, text);
	for (int64 n = 0; (max <= 0 || n < max) && (m = next_match(&s)) != NULL;
		 n++)
	{
		jinja_list_append(env, list,
						  jinja_string_len(env, text->u.string.data + from,
										   m->slots[0] - from));
		for (int i = 1; i <= regex->ngroups; i++)
			jinja_list_append(env, list, group_or(env, m, i, env->none));
		from = m->slots[1];
	}
	jinja_list_append(env, list,
					  jinja_string_len(env, text->u.string.data + from,
									   text->u.string.len - from));
	return list;
}

static void
replacement(JinjaEnv *env, JinjaValue *repl, JnReMatch *m, StringInfo out)
{
	JinjaValue *match;
	JinjaArgs	args = {.nargs = 1, .args = &match};

	if (repl->kind == JINJA_STRING)
	{
		expand(env, m, repl, out);
		return;
	}
	match = match_value(env, m);
	repl = jn_string_arg(env, jinja_call(env, repl, &args), "replacement");
	jn_append(env, out, repl->u.string.data, repl->u.string.len);
}

static JinjaValue *
substitute(JinjaEnv *env, const JnRegex *regex, JinjaValue *repl,
		   JinjaValue *text, int64 count, int64 *done)
{
	StringInfoData out;
	JnReMatch  *m;
	Matches		s;
	int			from = 0;

	start_matches(env, &s, regex, text);
	jn_buffer_init(env, &out);
	for (*done = 0; (count <= 0 || *done < count) &&
		 (m = next_match(&s)) != NULL; (*done)++)
	{
		jn_append(env, &out, text->u.string.data + from, m->slots[0] - from);
		replacement(env, repl, m, &out);
		from = m->slots[1];
	}
	jn_append(env, &out, text->u.string.data + from,
			  text->u.string.len - from);
	return jn_buffer_string(env, &out);
}

static JinjaValue *
substituted(JinjaEnv *env, const JnRegex *regex, JinjaValue *repl,
			JinjaValue *text, int64 count, bool with_number)
{
	JinjaValue *pair[2];
	int64		done;

	if (repl->kind != JINJA_MACRO && repl->kind != JINJA_FUNCTION &&
		repl->kind != JINJA_METHOD && repl->kind != JINJA_OBJECT)
	{
		jn_string_arg(env, repl, "replacement");
		if (memchr(repl->u.string.data, '\\', repl->u.string.len) != NULL)
			check_template(env, regex, repl);
	}
	pair[0] = substitute(env, regex, repl, text, count, &done);
	if (!with_number)
		return pair[0];
	pair[1] = jinja_int(env, done);
	return jinja_tuple(env, 2, pair);
}

static JinjaValue *
pattern_findall(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return findall(env, arg, jn_need_arg(env, args, 0, "string"), args);
}

static JinjaValue *
pattern_finditer(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return finditer(env, arg, jn_need_arg(env, args, 0, "string"), args);
}

static JinjaValue *
pattern_split(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return split(env, arg, jn_need_arg(env, args, 0, "string"),
				 jn_optional_int(env, args, 1, "maxsplit", 0));
}

static JinjaValue *
pattern_sub(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return substituted(env, arg, jn_need_arg(env, args, 0, "repl"),
					   jn_need_arg(env, args, 1, "string"),
					   jn_optional_int(env, args, 2, "count", 0), false);
}

static JinjaValue *
pattern_subn(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return substituted(env, arg, jn_need_arg(env, args, 0, "repl"),
					   jn_need_arg(env, args, 1, "string"),
					   jn_optional_int(env, args, 2, "count", 0), true);
}

static const JnModuleFunction pattern_methods[] = {
	{"findall", pattern_findall},
	{"finditer", pattern_finditer},
	{"fullmatch", pattern_fullmatch},
	{"match", pattern_match},
	{"search", pattern_search},
	{"split", pattern_split},
	{"sub", pattern_sub},
	{"subn", pattern_subn},
	{NULL},
};

static JinjaValue *
pattern_attribute(JinjaEnv *env, void *object, const char *name)
{
	JnRegex    *regex = object;

	if (strcmp(name, "pattern") == 0)
		return regex->pattern;
	if (strcmp(name, "flags") == 0)
		return jinja_int(env, regex->flags);
	if (strcmp(name, "groups") == 0)
		return jinja_int(env, regex->ngroups);
	if (strcmp(name, "groupindex") == 0)
	{
		JinjaValue *dict = jinja_dict(env);

		for (int i = 1; i <= regex->ngroups; i++)
			if (regex->names[i] != NULL)
				jn_dict_put(env, dict->u.dict, regex->names[i],
							jinja_int(env, i));
		return dict;
	}
	return jn_find_function(env, pattern_methods, name, object);
}

static char *
pattern_to_string(JinjaEnv *env, void *object)
{
	static const struct
	{
		int			flag;
		const char *name;
	}			flags[] =
	{
		{JN_RE_IGNORECASE, "re.IGNORECASE"},
		{JN_RE_MULTILINE, "re.MULTILINE"},
		{JN_RE_DOTALL, "re.DOTALL"},
		{JN_RE_VERBOSE, "re.VERBOSE"},
		{JN_RE_ASCII, "re.ASCII"},
	};
	JnRegex    *regex = object;
	StringInfoData buf;
	const char *separator = ", ";

	initStringInfo(&buf);
	appendStringInfo(&buf, "re.compile(%s",
					 jn_repr_cstring(env, regex->pattern));
	for (int i = 0; i < lengthof(flags); i++)
	{
		if ((regex->flags & flags[i].flag) == 0)
			continue;
		appendStringInfo(&buf, "%s%s", separator, flags[i].name);
		separator = "|";
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static JinjaValue *
pattern_binary(JinjaEnv *env, JinjaOp op, void *object, JinjaValue *other,
			   bool reflected)
{
	JnRegex    *a = object;
	JnRegex    *b = jinja_object_get(other, &pattern_ops);

	if (op != JINJA_OP_EQ || b == NULL)
		return NULL;
	return jinja_bool(env, a->flags == b->flags &&
					  jinja_equal(env, a->pattern, b->pattern));
}

static uint32
pattern_hash(JinjaEnv *env, void *object)
{
	return jn_hash(env, ((JnRegex *) object)->pattern);
}

static const JinjaObjectOps pattern_ops = {
	.type_name = "re.Pattern",
	.get_attribute = pattern_attribute,
	.to_string = pattern_to_string,
	.binary = pattern_binary,
	.hash = pattern_hash,
};

/* ---------- the module ---------- */

static const JnRegex *
regex_arg(JinjaEnv *env, const JinjaArgs *args, int flags_pos)
{
	return to_regex(env, jn_need_arg(env, args, 0, "pattern"),
					jn_optional_int(env, args, flags_pos, "flags", 0));
}

static JinjaValue *
module_do(JinjaEnv *env, const JinjaArgs *args, How how)
{
	return do_match(env, regex_arg(env, args, 2),
					jn_need_arg(env, args, 1, "string"), 0, PG_INT64_MAX, how);
}

static JinjaValue *
re_match(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return module_do(env, args, MATCH);
}

static JinjaValue *
re_fullmatch(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return module_do(env, args, FULLMATCH);
}

static JinjaValue *
re_search(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return module_do(env, args, SEARCH);
}

static JinjaValue *
re_compile(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return pattern_value(env, regex_arg(env, args, 1));
}

static JinjaValue *
re_findall(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return findall(env, regex_arg(env, args, 2),
				   jn_need_arg(env, args, 1, "string"), NULL);
}

static JinjaValue *
re_finditer(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return finditer(env, regex_arg(env, args, 2),
					jn_need_arg(env, args, 1, "string"), NULL);
}

static JinjaValue *
re_split(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return split(env, regex_arg(env, args, 3),
				 jn_need_arg(env, args, 1, "string"),
				 jn_optional_int(env, args, 2, "maxsplit", 0));
}

static JinjaValue *
re_sub(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return substituted(env, regex_arg(env, args, 4),
					   jn_need_arg(env, args, 1, "repl"),
					   jn_need_arg(env, args, 2, "string"),
					   jn_optional_int(env, args, 3, "count", 0), false);
}

static JinjaValue *
re_subn(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return substituted(env, regex_arg(env, args, 4),
					   jn_need_arg(env, args, 1, "repl"),
					   jn_need_arg(env, args, 2, "string"),
					   jn_optional_int(env, args, 3, "count", 0), true);
}

static JinjaValue *
re_escape(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *s = jn_string_arg(env, jn_need_arg(env, args, 0, "pattern"),
								  "pattern");
	StringInfoData out;

	jn_buffer_init(env, &out);
	for (int i = 0; i < s->u.string.len; i++)
	{
		char		c = s->u.string.data[i];

		if (c != '\0' && strchr("()[]{}?*+-|^$\\.&~# \t\n\r\v\f", c) != NULL)
			jn_append(env, &out, "\\", 1);
		jn_append(env, &out, &c, 1);
	}
	return jn_markup_like(env, s, jn_buffer_string(env, &out));
}

static JinjaValue *
re_purge(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	env->patterns = NULL;
	return env->none;
}

static const JnModuleFunction re_functions[] = {
	{"compile", re_compile},
	{"escape", re_escape},
	{"findall", re_findall},
	{"finditer", re_finditer},
	{"fullmatch", re_fullmatch},
	{"match", re_match},
	{"purge", re_purge},
	{"search", re_search},
	{"split", re_split},
	{"sub", re_sub},
	{"subn", re_subn},
	{NULL},
};

static JinjaValue *
re_attribute(JinjaEnv *env, void *object, const char *name)
{
	static const struct
	{
		const char *name;
		int			value;
	}			flags[] =
	{
		{"A", JN_RE_ASCII}, {"ASCII", JN_RE_ASCII},
		{"I", JN_RE_IGNORECASE}, {"IGNORECASE", JN_RE_IGNORECASE},
		{"M", JN_RE_MULTILINE}, {"MULTILINE", JN_RE_MULTILINE},
		{"NOFLAG", 0},
		{"S", JN_RE_DOTALL}, {"DOTALL", JN_RE_DOTALL},
		{"U", JN_RE_UNICODE}, {"UNICODE", JN_RE_UNICODE},
		{"X", JN_RE_VERBOSE}, {"VERBOSE", JN_RE_VERBOSE},
	};

	for (int i = 0; i < lengthof(flags); i++)
		if (strcmp(flags[i].name, name) == 0)
			return jinja_int(env, flags[i].value);
	return jn_find_function(env, re_functions, name, object);
}

static const JinjaObjectOps re_ops = {
	.type_name = "module",
	.get_attribute = re_attribute,
};

JinjaValue *
jn_re_module(JinjaEnv *env)
{
	return jinja_object(env, &re_ops, NULL);
}
