/*
 * layout.c
 *		Filters that break text into lines: wordwrap and pprint.
 */
#include "base/compat.h"

#include "miscadmin.h"

#include "jinja/markup.h"
#include "jinja/regex.h"

/* ---------- wordwrap ---------- */

typedef struct Wrap
{
	int64		width;
	bool		break_words;	/* that are longer than a line */
	bool		at_hyphens;
	StringInfo	out;
	JinjaValue *newline;
	int			nlines;			/* of this paragraph */
} Wrap;

/* A piece of text that stays in one line: a word or the space between two. */
typedef struct Chunk
{
	const char *text;
	int			len;
	int			nchars;
} Chunk;

static bool
is_blank(const char *p, int len)
{
	const char *end = p + len;
	int			n;

	while (p < end && (n = jn_space_len(p, end)) > 0)
		p += n;
	return p >= end;
}

/*
 * Words end at spaces, at a hyphen between letters, and before a dash. This is
 * where Python's textwrap module breaks them.
 */
static JnRegex *
chunk_pattern(JinjaEnv *env, bool at_hyphens)
{
	static const char hyphens[] =
		"([\\t\\n\\v\\f\\r ]+"
		"|(?<=[\\w!\"'&.,?])-{2,}(?=\\w)"
		"|[^\\t\\n\\v\\f\\r ]+?"
		"(?:-(?:(?<=[^\\d\\W]{2}-)|(?<=[^\\d\\W]-[^\\d\\W]-))"
		"(?=[^\\d\\W]-?[^\\d\\W])"
		"|(?=[\\t\\n\\v\\f\\r ]|\\Z)"
		"|(?<=[\\w!\"'&.,?])(?=-{2,}\\w)))";

	return jn_regex_compile(env, jinja_string(env, at_hyphens ? hyphens :
											  "[\\t\\n\\v\\f\\r ]+"), 0);
}

static void
add_chunk(JinjaEnv *env, Chunk **chunks, int *n, int *cap, const char *text,
		  int len)
{
	if (len == 0)
		return;
	if (*n == *cap)
	{
		Chunk	   *more = jn_palloc(env, sizeof(Chunk) * 2 * *cap);

		memcpy(more, *chunks, sizeof(Chunk) * *n);
		pfree(*chunks);
		*chunks = more;
		*cap *= 2;
	}
	(*chunks)[*n].text = text;
	(*chunks)[*n].len = len;
	(*chunks)[(*n)++].nchars = jn_count_chars(text, len);
}

/* Returns how many there are. */
static int
split_chunks(JinjaEnv *env, const JnRegex *regex, JinjaValue *line,
			 Chunk **chunks)
{
	const char *text = line->u.string.data;
	int			len = line->u.string.len;
	int			cap = 16;
	int			n = 0;
	int			from = 0;
	JnReMatch  *m;

	*chunks = jn_palloc(env, sizeof(Chunk) * cap);
	while (from < len &&
		   (m = jn_regex_match(env, regex, line, from, len, true, false,
							   false)) != NULL)
	{
		add_chunk(env, chunks, &n, &cap, text + from, m->slots[0] - from);
		add_chunk(env, chunks, &n, &cap, text + m->slots[0],
				  m->slots[1] - m->slots[0]);
		/* Every alternative takes a character. */
		from = m->slots[1];
	}
	add_chunk(env, chunks, &n, &cap, text + from, len - from);
	return n;
}

/* How many characters of a chunk that fits into no line go into this one. */
static int64
part_of_word(const Wrap *w, const Chunk *chunk, int64 room)
{
	const char *p = chunk->text;
	const char *end = p + chunk->len;
	int64		after_hyphen = 0;
	bool		other = false;

	if (!w->at_hyphens || chunk->nchars <= room)
		return room;
	for (int64 i = 0; i < room && p < end; i++)
	{
		if (*p != '-')
			other = true;
		else if (other)
			after_hyphen = i + 1;
		p += jn_char_len(p, end);
	}
	return after_hyphen > 0 ? after_hyphen : room;
}

/* Between line breaks that are markup, text is escaped. */
static void
put_text(JinjaEnv *env, Wrap *w, const char *text, int len)
{
	if (jn_is_markup(w->newline))
		jn_append_escaped(env, w->out, text, len);
	else
		jn_append(env, w->out, text, len);
}

/*
 * The chunks from "first" to "end" as a line, without a blank at its end.
 * "part" of a word that does not fit may follow.
 */
static void
put_line(JinjaEnv *env, Wrap *w, const Chunk *chunks, int first, int end,
		 const char *part, int part_len)
{
	if (part == NULL && end > first &&
		is_blank(chunks[end - 1].text, chunks[end - 1].len))
		end--;
	if (part != NULL && is_blank(part, part_len))
		part_len = 0;
	if (end == first && (part == NULL || part_len == 0))
		return;
	if (w->nlines++ > 0)
		jn_append(env, w->out, w->newline->u.string.data,
				  w->newline->u.string.len);
	for (int i = first; i < end; i++)
		put_text(env, w, chunks[i].text, chunks[i].len);
	if (part != NULL)
		put_text(env, w, part, part_len);
}

static void
wrap_chunks(JinjaEnv *env, Wrap *w, Chunk *chunks, int n)
{
	int			i = 0;

	while (i < n)
	{
		int			first;
		int64		used = 0;

		jn_step(env);
		if (w->nlines > 0 && is_blank(chunks[i].text, chunks[i].len))
			i++;
		first = i;
		while (i < n && used + chunks[i].nchars <= w->width)
			used += chunks[i++].nchars;
		if (i < n && chunks[i].nchars > w->width && w->break_words)
		{
			Chunk	   *c = &chunks[i];
			int64		take = part_of_word(w, c, w->width - used);
			const char *p = c->text;
			const char *end = p + c->len;

			for (int64 k = 0; k < take; k++)
				p += jn_char_len(p, end);
			put_line(env, w, chunks, first, i, c->text, p - c->text);
			c->len -= p - c->text;
			c->nchars -= take;
			c->text = p;
			continue;
		}
		/* A word that may not be broken has a line of its own. */
		if (i < n && chunks[i].nchars > w->width && i == first)
			i++;
		put_line(env, w, chunks, first, i, NULL, 0);
	}
}

JinjaValue *
jn_filter_wordwrap(JN_BUILTIN_ARGS)
{
	StringInfoData out;
	Wrap		w = {.out = &out};
	JinjaValue *lines;
	JnRegex    *regex;

	jn_string_arg(env, v, "text to wrap");
	w.width = jn_int_arg(env, argv[0], 79, "width");
	w.break_words = argv[1] == NULL || jinja_truth(env, argv[1]);
	w.newline = argv[2] == NULL || argv[2]->kind == JINJA_NONE ?
		jinja_string(env, "\n") : jn_string_arg(env, argv[2], "wrapstring");
	w.at_hyphens = argv[3] == NULL || jinja_truth(env, argv[3]);
	lines = jn_splitlines(env, v, false);
	regex = chunk_pattern(env, w.at_hyphens);
	jn_buffer_init(env, &out);
	for (int i = 0; i < lines->u.list.n; i++)
	{
		Chunk	   *chunks;
		int			n = split_chunks(env, regex, lines->u.list.items[i],
									 &chunks);

		if (w.width <= 0)
			jn_raise_type(env, "width of wordwrap must be more than 0");
		if (i > 0)
			jn_append(env, &out, w.newline->u.string.data,
					  w.newline->u.string.len);
		w.nlines = 0;
		wrap_chunks(env, &w, chunks, n);
		pfree(chunks);
	}
	return jn_markup_like(env, w.newline, jn_buffer_string(env, &out));
}

/* ---------- pprint ---------- */

#define PPRINT_WIDTH 80

/* The containers being printed, to break cycles. */
typedef struct Printing
{
	struct Printing *outer;
	const JinjaValue *v;
} Printing;

static void pprint(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent,
				   int allowance, Printing *outer, int level);
static void plain(JinjaEnv *env, StringInfo buf, JinjaValue *v,
				  Printing *outer);

/*
 * Python orders what cannot be compared by the names of the types; but an
 * undefined value cannot be asked for anything.
 */
static bool
key_less(JinjaEnv *env, JinjaValue *a, JinjaValue *b)
{
	JinjaValue *less;

	if (a->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, a);
	if (b->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, b);
	if (jn_is_numeric(a) && jn_is_numeric(b))
		return jn_compare_numbers(env, a, b) < 0;
	if (a->kind == JINJA_STRING && b->kind == JINJA_STRING)
		return jn_compare_op(env, JINJA_OP_LT, a, b);
	if (a->kind == JINJA_TUPLE && b->kind == JINJA_TUPLE)
	{
		int			n = Min(a->u.list.n, b->u.list.n);

		check_stack_depth();
		for (int i = 0; i < n; i++)
			if (!jinja_equal(env, a->u.list.items[i], b->u.list.items[i]))
				return key_less(env, a->u.list.items[i], b->u.list.items[i]);
		return a->u.list.n < b->u.list.n;
	}
	if ((less = jn_object_binary(env, JINJA_OP_LT, a, b)) != NULL)
		return jinja_truth(env, less);
	return strcmp(jinja_type_name(a), jinja_type_name(b)) < 0;
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
	JinjaValue *x = *(JinjaValue *const *) a;
	JinjaValue *y = *(JinjaValue *const *) b;
	JinjaEnv   *env = arg;

	jn_work(env, 1);
	return key_less(env, x, y) ? -1 : key_less(env, y, x) ? 1 : 0;
}

/* Keys of a dict, or members of a set, sorted. */
static JinjaValue *
sorted_keys(JinjaEnv *env, JinjaValue *v)
{
	JinjaValue *list = jinja_to_list(env, v);

	qsort_arg(list->u.list.items, list->u.list.n, sizeof(JinjaValue *),
			  compare_keys, env);
	return list;
}

/* What is laid out by its parts; the pairs of groupby print themselves. */
static bool
is_container(const JinjaValue *v)
{
	return v->kind == JINJA_DICT || v->kind == JINJA_LIST ||
		(v->kind == JINJA_TUPLE && !v->u.list.group);
}

/* How a value that does not fit into a line begins and ends; NULL: as it is. */
static const char *
ends_of(const JinjaValue *v)
{
	if (v->kind == JINJA_STRING)
		return jn_is_markup(v) ? NULL : "";
	if (v->kind == JINJA_SET)
		return "{}";
	if (!is_container(v))
		return NULL;
	return v->kind == JINJA_DICT ? "{}" : v->kind == JINJA_LIST ? "[]" :
		v->u.list.n == 1 ? "(,)" : "()";
}

/* If "v" is inside of itself, say so. */
static bool
put_recursion(JinjaEnv *env, StringInfo buf, const JinjaValue *v,
			  const Printing *outer)
{
	for (; outer != NULL; outer = outer->outer)
	{
		if (outer->v != v)
			continue;
		jn_append_cstring(env, buf, psprintf("<Recursion on %s>",
											 jinja_type_name(v)));
		return true;
	}
	return false;
}

static void
plain_dict(JinjaEnv *env, StringInfo buf, JinjaValue *v, Printing *here)
{
	JinjaValue *keys = sorted_keys(env, v);

	jn_append(env, buf, "{", 1);
	for (int i = 0; i < keys->u.list.n; i++)
	{
		if (i > 0)
			jn_append(env, buf, ", ", 2);
		plain(env, buf, keys->u.list.items[i], here);
		jn_append(env, buf, ": ", 2);
		plain(env, buf, jn_dict_lookup(env, v->u.dict, keys->u.list.items[i]),
			  here);
	}
	jn_append(env, buf, "}", 1);
}

/* repr(), with dicts sorted */
static void
plain(JinjaEnv *env, StringInfo buf, JinjaValue *v, Printing *outer)
{
	Printing	here = {outer, v};
	bool		tuple = v->kind == JINJA_TUPLE;

	if (!is_container(v))
	{
		jn_repr(env, buf, v);
		return;
	}
	if (put_recursion(env, buf, v, outer))
		return;
	jn_enter(env);
	if (v->kind == JINJA_DICT)
		plain_dict(env, buf, v, &here);
	else
	{
		jn_append(env, buf, tuple ? "(" : "[", 1);
		for (int i = 0; i < v->u.list.n; i++)
		{
			if (i > 0)
				jn_append(env, buf, ", ", 2);
			plain(env, buf, v->u.list.items[i], &here);
		}
		jn_append_cstring(env, buf, !tuple ? "]" :
						  v->u.list.n == 1 ? ",)" : ")");
	}
	jn_leave(env);
}

static void
put_newline(JinjaEnv *env, StringInfo buf, const char *before, int indent)
{
	jn_append_cstring(env, buf, before);
	jn_append(env, buf, "\n", 1);
	jn_append_fill(env, buf, ' ', indent);
}

/* The reprs of the parts that "s" is broken into, as a list. */
static JinjaValue *
string_parts(JinjaEnv *env, JinjaValue *s, int width, int last_width)
{
	JinjaValue *parts = jinja_list(env);
	JinjaValue *lines = jn_splitlines(env, s, true);

	for (int i = 0; i < lines->u.list.n; i++)
	{
		const char *from = lines->u.list.items[i]->u.string.data;
		const char *end = from + lines->u.list.items[i]->u.string.len;
		const char *p = from;
		bool		last = i == lines->u.list.n - 1;
		char	   *repr = jn_repr_cstring(env, lines->u.list.items[i]);

		if (jn_count_chars(repr, strlen(repr)) <= (last ? last_width : width))
			p = end;
		/* A word and the blanks behind it at a time. */
		while (p < end)
		{
			const char *part = p;
			int			n;

			jn_step(env);
			while (p < end && jn_space_len(p, end) == 0)
				p += jn_char_len(p, end);
			while ((n = jn_space_len(p, end)) > 0)
				p += n;
			repr = jn_repr_cstring(env, jinja_string_len(env, from, p - from));
			if (part > from && jn_count_chars(repr, strlen(repr)) >
				(last && p >= end ? last_width : width))
			{
				JinjaValue *done = jinja_string_len(env, from, part - from);

				jinja_list_append(env, parts,
								  jinja_string(env, jn_repr_cstring(env, done)));
				from = part;
			}
		}
		jinja_list_append(env, parts,
						  jinja_string(env, jn_repr_cstring(env,
															jinja_string_len(env, from,
																			 end - from))));
	}
	return parts;
}

/* In several literals, in parentheses unless something else is around. */
static void
pprint_string(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent,
			  int allowance, int level)
{
	bool		parens = level == 1;
	JinjaValue *parts;

	indent += parens;
	allowance += parens;
	parts = string_parts(env, v, PPRINT_WIDTH - indent,
						 PPRINT_WIDTH - indent - allowance);
	parens = parens && parts->u.list.n > 1;
	if (parens)
		jn_append(env, buf, "(", 1);
	for (int i = 0; i < parts->u.list.n; i++)
	{
		if (i > 0)
			put_newline(env, buf, "", indent);
		jn_append_cstring(env, buf, parts->u.list.items[i]->u.string.data);
	}
	if (parens)
		jn_append(env, buf, ")", 1);
}

static void
pprint_items(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent,
			 int allowance, Printing *outer, int level)
{
	for (int i = 0; i < v->u.list.n; i++)
	{
		if (i > 0)
			put_newline(env, buf, ",", indent);
		pprint(env, buf, v->u.list.items[i], indent,
			   i == v->u.list.n - 1 ? allowance : 1, outer, level);
	}
}

static void
pprint_dict(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent,
			int allowance, Printing *outer, int level)
{
	JinjaValue *keys = sorted_keys(env, v);

	for (int i = 0; i < keys->u.list.n; i++)
	{
		JinjaValue *key = keys->u.list.items[i];
		int			from;

		if (i > 0)
			put_newline(env, buf, ",", indent);
		from = buf->len;
		plain(env, buf, key, outer);
		jn_append(env, buf, ": ", 2);
		pprint(env, buf, jn_dict_lookup(env, v->u.dict, key),
			   indent + jn_count_chars(buf->data + from, buf->len - from),
			   i == keys->u.list.n - 1 ? allowance : 1, outer, level);
	}
}

/* What does not fit into the line is written one item a line. */
static void
pprint(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent,
	   int allowance, Printing *outer, int level)
{
	Printing	here = {outer, v};
	StringInfoData text;
	const char *ends;

	if (put_recursion(env, buf, v, is_container(v) ? outer : NULL))
		return;
	jn_buffer_init(env, &text);
	plain(env, &text, v, outer);
	ends = ends_of(v);
	if (jn_count_chars(text.data, text.len) <= PPRINT_WIDTH - indent - allowance ||
		ends == NULL || jn_length(env, v) == 0)
	{
		jn_append(env, buf, text.data, text.len);
		jn_buffer_free(env, &text);
		return;
	}
	jn_buffer_free(env, &text);
	if (v->kind == JINJA_STRING)
	{
		pprint_string(env, buf, v, indent, allowance, level + 1);
		return;
	}
	jn_enter(env);
	jn_append(env, buf, ends, 1);
	allowance += strlen(ends + 1);
	if (v->kind == JINJA_DICT)
		pprint_dict(env, buf, v, indent + 1, allowance, &here, level + 1);
	else
		pprint_items(env, buf, v->kind == JINJA_SET ? sorted_keys(env, v) : v,
					 indent + 1, allowance, &here, level + 1);
	jn_append_cstring(env, buf, ends + 1);
	jn_leave(env);
}

JinjaValue *
jn_filter_pprint(JN_BUILTIN_ARGS)
{
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	pprint(env, &buf, v, 0, 0, NULL, 0);
	return jn_buffer_string(env, &buf);
}
