/*
 * html.c
 *		Filters that make and read HTML: striptags, urlencode, urlize, xmlattr.
 *
 * What they give is a plain string, not markup, as where Jinja2 does not
 * escape by itself. striptags knows the entities of HTML 4.
 */
#include "base/compat.h"

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "jinja/markup.h"
#include "jinja/regex.h"

/* Longest name of an entity that is looked for. */
#define MAX_ENTITY 32

typedef struct Entity
{
	const char *name;
	uint32		c;
} Entity;

/* By name. Those below 256 are known without a semicolon, too. */
static const Entity entities[] = {
	{"AElig", 0xc6}, {"AMP", 0x26}, {"Aacute", 0xc1}, {"Acirc", 0xc2},
	{"Agrave", 0xc0}, {"Alpha", 0x391}, {"Aring", 0xc5}, {"Atilde", 0xc3},
	{"Auml", 0xc4}, {"Beta", 0x392}, {"COPY", 0xa9}, {"Ccedil", 0xc7},
	{"Chi", 0x3a7}, {"Dagger", 0x2021}, {"Delta", 0x394}, {"ETH", 0xd0},
	{"Eacute", 0xc9}, {"Ecirc", 0xca}, {"Egrave", 0xc8}, {"Epsilon", 0x395},
	{"Eta", 0x397}, {"Euml", 0xcb}, {"GT", 0x3e}, {"Gamma", 0x393},
	{"Iacute", 0xcd}, {"Icirc", 0xce}, {"Igrave", 0xcc}, {"Iota", 0x399},
	{"Iuml", 0xcf}, {"Kappa", 0x39a}, {"LT", 0x3c}, {"Lambda", 0x39b},
	{"Mu", 0x39c}, {"Ntilde", 0xd1}, {"Nu", 0x39d}, {"OElig", 0x152},
	{"Oacute", 0xd3}, {"Ocirc", 0xd4}, {"Ograve", 0xd2}, {"Omega", 0x3a9},
	{"Omicron", 0x39f}, {"Oslash", 0xd8}, {"Otilde", 0xd5}, {"Ouml", 0xd6},
	{"Phi", 0x3a6}, {"Pi", 0x3a0}, {"Prime", 0x2033}, {"Psi", 0x3a8},
	{"QUOT", 0x22}, {"REG", 0xae}, {"Rho", 0x3a1}, {"Scaron", 0x160},
	{"Sigma", 0x3a3}, {"THORN", 0xde}, {"Tau", 0x3a4}, {"Theta", 0x398},
	{"Uacute", 0xda}, {"Ucirc", 0xdb}, {"Ugrave", 0xd9}, {"Upsilon", 0x3a5},
	{"Uuml", 0xdc}, {"Xi", 0x39e}, {"Yacute", 0xdd}, {"Yuml", 0x178},
	{"Zeta", 0x396}, {"aacute", 0xe1}, {"acirc", 0xe2}, {"acute", 0xb4},
	{"aelig", 0xe6}, {"agrave", 0xe0}, {"alefsym", 0x2135}, {"alpha", 0x3b1},
	{"amp", 0x26}, {"and", 0x2227}, {"ang", 0x2220}, {"aring", 0xe5},
	{"asymp", 0x2248}, {"atilde", 0xe3}, {"auml", 0xe4}, {"bdquo", 0x201e},
	{"beta", 0x3b2}, {"brvbar", 0xa6}, {"bull", 0x2022}, {"cap", 0x2229},
	{"ccedil", 0xe7}, {"cedil", 0xb8}, {"cent", 0xa2}, {"chi", 0x3c7},
	{"circ", 0x2c6}, {"clubs", 0x2663}, {"cong", 0x2245}, {"copy", 0xa9},
	{"crarr", 0x21b5}, {"cup", 0x222a}, {"curren", 0xa4}, {"dArr", 0x21d3},
	{"dagger", 0x2020}, {"darr", 0x2193}, {"deg", 0xb0}, {"delta", 0x3b4},
	{"diams", 0x2666}, {"divide", 0xf7}, {"eacute", 0xe9}, {"ecirc", 0xea},
	{"egrave", 0xe8}, {"empty", 0x2205}, {"emsp", 0x2003}, {"ensp", 0x2002},
	{"epsilon", 0x3b5}, {"equiv", 0x2261}, {"eta", 0x3b7}, {"eth", 0xf0},
	{"euml", 0xeb}, {"euro", 0x20ac}, {"exist", 0x2203}, {"fnof", 0x192},
	{"forall", 0x2200}, {"frac12", 0xbd}, {"frac14", 0xbc}, {"frac34", 0xbe},
	{"frasl", 0x2044}, {"gamma", 0x3b3}, {"ge", 0x2265}, {"gt", 0x3e},
	{"hArr", 0x21d4}, {"harr", 0x2194}, {"hearts", 0x2665},
	{"hellip", 0x2026}, {"iacute", 0xed}, {"icirc", 0xee}, {"iexcl", 0xa1},
	{"igrave", 0xec}, {"image", 0x2111}, {"infin", 0x221e}, {"int", 0x222b},
	{"iota", 0x3b9}, {"iquest", 0xbf}, {"isin", 0x2208}, {"iuml", 0xef},
	{"kappa", 0x3ba}, {"lArr", 0x21d0}, {"lambda", 0x3bb}, {"lang", 0x27e8},
	{"laquo", 0xab}, {"larr", 0x2190}, {"lceil", 0x2308}, {"ldquo", 0x201c},
	{"le", 0x2264}, {"lfloor", 0x230a}, {"lowast", 0x2217}, {"loz", 0x25ca},
	{"lrm", 0x200e}, {"lsaquo", 0x2039}, {"lsquo", 0x2018}, {"lt", 0x3c},
	{"macr", 0xaf}, {"mdash", 0x2014}, {"micro", 0xb5}, {"middot", 0xb7},
	{"minus", 0x2212}, {"mu", 0x3bc}, {"nabla", 0x2207}, {"nbsp", 0xa0},
	{"ndash", 0x2013}, {"ne", 0x2260}, {"ni", 0x220b}, {"not", 0xac},
	{"notin", 0x2209}, {"nsub", 0x2284}, {"ntilde", 0xf1}, {"nu", 0x3bd},
	{"oacute", 0xf3}, {"ocirc", 0xf4}, {"oelig", 0x153}, {"ograve", 0xf2},
	{"oline", 0x203e}, {"omega", 0x3c9}, {"omicron", 0x3bf},
	{"oplus", 0x2295}, {"or", 0x2228}, {"ordf", 0xaa}, {"ordm", 0xba},
	{"oslash", 0xf8}, {"otilde", 0xf5}, {"otimes", 0x2297}, {"ouml", 0xf6},
	{"para", 0xb6}, {"part", 0x2202}, {"permil", 0x2030}, {"perp", 0x22a5},
	{"phi", 0x3c6}, {"pi", 0x3c0}, {"piv", 0x3d6}, {"plusmn", 0xb1},
	{"pound", 0xa3}, {"prime", 0x2032}, {"prod", 0x220f}, {"prop", 0x221d},
	{"psi", 0x3c8}, {"quot", 0x22}, {"rArr", 0x21d2}, {"radic", 0x221a},
	{"rang", 0x27e9}, {"raquo", 0xbb}, {"rarr", 0x2192}, {"rceil", 0x2309},
	{"rdquo", 0x201d}, {"real", 0x211c}, {"reg", 0xae}, {"rfloor", 0x230b},
	{"rho", 0x3c1}, {"rlm", 0x200f}, {"rsaquo", 0x203a}, {"rsquo", 0x2019},
	{"sbquo", 0x201a}, {"scaron", 0x161}, {"sdot", 0x22c5}, {"sect", 0xa7},
	{"shy", 0xad}, {"sigma", 0x3c3}, {"sigmaf", 0x3c2}, {"sim", 0x223c},
	{"spades", 0x2660}, {"sub", 0x2282}, {"sube", 0x2286}, {"sum", 0x2211},
	{"sup", 0x2283}, {"sup1", 0xb9}, {"sup2", 0xb2}, {"sup3", 0xb3},
	{"supe", 0x2287}, {"szlig", 0xdf}, {"tau", 0x3c4}, {"there4", 0x2234},
	{"theta", 0x3b8}, {"thetasym", 0x3d1}, {"thinsp", 0x2009},
	{"thorn", 0xfe}, {"tilde", 0x2dc}, {"times", 0xd7}, {"trade", 0x2122},
	{"uArr", 0x21d1}, {"uacute", 0xfa}, {"uarr", 0x2191}, {"ucirc", 0xfb},
	{"ugrave", 0xf9}, {"uml", 0xa8}, {"upsih", 0x3d2}, {"upsilon", 0x3c5},
	{"uuml", 0xfc}, {"weierp", 0x2118}, {"xi", 0x3be}, {"yacute", 0xfd},
	{"yen", 0xa5}, {"yuml", 0xff}, {"zeta", 0x3b6}, {"zwj", 0x200d},
	{"zwnj", 0x200c},
};

/* What the numbers 0x80 to 0x9f stand for: they are read as Windows-1252. */
static const uint16 windows_1252[] = {
	0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021,
	0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
};

/* ---------- xmlattr ---------- */

static void
append_escaped(JinjaEnv *env, StringInfo buf, JinjaValue *v)
{
	v = jn_escape(env, v);
	jn_append(env, buf, v->u.string.data, v->u.string.len);
}

JinjaValue *
jn_filter_xmlattr(JN_BUILTIN_ARGS)
{
	bool		space = argv[0] == NULL || jinja_truth(env, argv[0]);
	StringInfoData buf;
	JinjaValue *item;
	JnIter		it;

	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (v->kind != JINJA_DICT)
		jn_raise_type(env, "a mapping is required, not %s", jinja_type_name(v));
	jn_buffer_init(env, &buf);
	jn_iter_init(env, &it, jn_view(env, v, JN_VIEW_ITEMS));
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		JinjaValue *key = item->u.list.items[0];
		JinjaValue *value = item->u.list.items[1];

		if (value->kind == JINJA_NONE || value->kind == JINJA_UNDEFINED)
			continue;
		jn_string_arg(env, key, "name of an attribute");
		if (strpbrk(key->u.string.data, " \t\n\v\f\r/>=") != NULL)
			jn_raise_type(env, "invalid character in attribute name: %s",
						  jn_repr_cstring(env, key));
		if (buf.len > 0 || space)
			jn_append(env, &buf, " ", 1);
		append_escaped(env, &buf, key);
		jn_append(env, &buf, "=\"", 2);
		append_escaped(env, &buf, value);
		jn_append(env, &buf, "\"", 1);
	}
	return jn_buffer_string(env, &buf);
}

/* ---------- striptags ---------- */

static void
append_code_point(JinjaEnv *env, StringInfo buf, uint32 c)
{
	unsigned char text[MAX_UNICODE_EQUIVALENT_STRING + 1];

	pg_unicode_to_server(c, text);
	jn_append_cstring(env, buf, (char *) text);
}

/* A reference by number; "p" is behind "&#". Returns its end, NULL: none. */
static const char *
numeric_reference(JinjaEnv *env, StringInfo buf, const char *p)
{
	bool		hex = *p == 'x' || *p == 'X';
	const char *digits = hex ? p + 1 : p;
	uint32		c = 0;

	p = digits;
	for (; hex ? isxdigit((unsigned char) *p) : isdigit((unsigned char) *p); p++)
	{
		int			digit = isdigit((unsigned char) *p) ? *p - '0' :
			tolower((unsigned char) *p) - 'a' + 10;

		c = Min(c * (hex ? 16 : 10) + digit, 0x110000);
	}
	if (p == digits)
		return NULL;
	if (*p == ';')
		p++;
	if (c >= 0x80 && c <= 0x9f)
		append_code_point(env, buf, windows_1252[c - 0x80]);
	else if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		append_code_point(env, buf, 0xfffd);
	else if (c == '\r' || c == '\t' || c == '\n' || c == '\f' ||
			 (c >= 0x20 && c != 0x7f && (c & 0xfffe) != 0xfffe &&
			  (c < 0xfdd0 || c > 0xfdef)))
		append_code_point(env, buf, c);
	return p;
}

static int
compare_entity(const void *key, const void *entry)
{
	return strcmp((const char *) key, ((const Entity *) entry)->name);
}

static const Entity *
find_entity(const char *p, int len)
{
	char		name[MAX_ENTITY + 1];

	memcpy(name, p, len);
	name[len] = '\0';
	return bsearch(name, entities, lengthof(entities), sizeof(Entity),
				   compare_entity);
}

/*
 * A reference by name, or the longest start of it that needs no semicolon; "p"
 * is behind "&". Returns its end, NULL: none.
 */
static const char *
named_reference(JinjaEnv *env, StringInfo buf, const char *p)
{
	int			len = 0;
	const Entity *e;

	while (len < MAX_ENTITY && isalnum((unsigned char) p[len]))
		len++;
	if (p[len] == ';' && (e = find_entity(p, len)) != NULL)
	{
		append_code_point(env, buf, e->c);
		return p + len + 1;
	}
	for (; len > 1; len--)
	{
		e = find_entity(p, len);
		if (e != NULL && e->c < 256)
		{
			append_code_point(env, buf, e->c);
			return p + len;
		}
	}
	return NULL;
}

/* References to characters become them. */
static JinjaValue *
unescape(JinjaEnv *env, const char *p, const char *end)
{
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	while (p < end)
	{
		const char *amp = memchr(p, '&', end - p);
		const char *next;

		jn_append(env, &buf, p, (amp == NULL ? end : amp) - p);
		if (amp == NULL)
			break;
		p = amp + 1;
		next = *p == '#' ? numeric_reference(env, &buf, p + 1) :
			named_reference(env, &buf, p);
		if (next == NULL)
			jn_append(env, &buf, "&", 1);
		else
			p = next;
	}
	return jn_buffer_string(env, &buf);
}

JinjaValue *
jn_unescape(JinjaEnv *env, JinjaValue *s)
{
	return unescape(env, s->u.string.data, s->u.string.data + s->u.string.len);
}

/* Without tags and comments; one that does not end stays. */
static void
append_without_tags(JinjaEnv *env, StringInfo buf, const char *p,
					const char *end)
{
	const char *tag;

	while ((tag = memchr(p, '<', end - p)) != NULL)
	{
		bool		comment = strncmp(tag, "<!--", 4) == 0;
		const char *after = comment ?
			jn_find(tag + 4, end - tag - 4, "-->", 3) :
			memchr(tag, '>', end - tag);

		if (after == NULL)
			break;
		jn_append(env, buf, p, tag - p);
		p = after + (comment ? 3 : 1);
	}
	jn_append(env, buf, p, end - p);
}

JinjaValue *
jn_filter_striptags(JN_BUILTIN_ARGS)
{
	StringInfoData plain;
	StringInfoData folded;
	const char *p;
	const char *end;

	v = jn_str_value(env, v);
	jn_buffer_init(env, &plain);
	jn_buffer_init(env, &folded);
	append_without_tags(env, &plain, v->u.string.data,
						v->u.string.data + v->u.string.len);
	p = plain.data;
	end = p + plain.len;
	while (p < end)
	{
		const char *word;
		int			space;

		while ((space = jn_space_len(p, end)) > 0)
			p += space;
		word = p;
		while (p < end && jn_space_len(p, end) == 0)
			p += jn_char_len(p, end);
		if (p > word && folded.len > 0)
			jn_append(env, &folded, " ", 1);
		jn_append(env, &folded, word, p - word);
	}
	return unescape(env, folded.data, folded.data + folded.len);
}

/* ---------- urlencode ---------- */

/* In a query spaces become "+", and slashes are quoted, too. */
static void
append_quoted(JinjaEnv *env, StringInfo buf, JinjaValue *v, bool query)
{
	static const char hex[] = "0123456789ABCDEF";
	JinjaValue *text = jn_str_value(env, v);
	const unsigned char *p;

	p = (const unsigned char *) pg_server_to_any(text->u.string.data,
												 text->u.string.len, PG_UTF8);
	for (; *p != '\0'; p++)
	{
		char		quoted[3] = {'%', hex[*p >> 4], hex[*p & 15]};

		if ((*p < 0x80 && isalnum(*p)) || strchr("_.-~", *p) != NULL ||
			(*p == '/' && !query))
			jn_append(env, buf, (const char *) p, 1);
		else if (*p == ' ' && query)
			jn_append(env, buf, "+", 1);
		else
			jn_append(env, buf, quoted, 3);
	}
}

JinjaValue *
jn_filter_urlencode(JN_BUILTIN_ARGS)
{
	StringInfoData buf;
	JinjaValue *item;
	JnIter		it;

	jn_buffer_init(env, &buf);
	if (v->kind == JINJA_STRING || !jn_iterable(v))
	{
		append_quoted(env, &buf, v, false);
		return jn_buffer_string(env, &buf);
	}
	if (v->kind == JINJA_DICT)
		v = jn_view(env, v, JN_VIEW_ITEMS);
	jn_iter_init(env, &it, v);
	while ((item = jn_iter_next(env, &it)) != NULL)
	{
		JinjaValue *pair[2];

		jn_unpack(env, item, 2, pair);
		if (buf.len > 0)
			jn_append(env, &buf, "&", 1);
		append_quoted(env, &buf, pair[0], true);
		jn_append(env, &buf, "=", 1);
		append_quoted(env, &buf, pair[1], true);
	}
	return jn_buffer_string(env, &buf);
}

/* ---------- urlize ---------- */

/* What a text is searched for, and how links are written. */
typedef struct Linker
{
	JnRegex    *url;
	JnRegex    *email;
	JinjaValue *limit;			/* of the text shown; NULL: none */
	const char *attributes;		/* of links to pages */
	JinjaValue *schemes;		/* more of them: a list */
} Linker;

static bool
starts_with(JinjaValue *s, const char *prefix)
{
	return strncmp(s->u.string.data, prefix, strlen(prefix)) == 0;
}

static bool
matches(JinjaEnv *env, const JnRegex *regex, JinjaValue *s)
{
	return jn_regex_match(env, regex, s, 0, s->u.string.len, false, false,
						  false) != NULL;
}

static void
append_link(JinjaEnv *env, StringInfo buf, const char *prefix, JinjaValue *to,
			const char *attributes, JinjaValue *shown)
{
	jn_append_cstring(env, buf, "<a href=\"");
	jn_append_cstring(env, buf, prefix);
	jn_append(env, buf, to->u.string.data, to->u.string.len);
	jn_append_cstring(env, buf, "\"");
	jn_append_cstring(env, buf, attributes);
	jn_append_cstring(env, buf, ">");
	jn_append(env, buf, shown->u.string.data, shown->u.string.len);
	jn_append_cstring(env, buf, "</a>");
}

static JinjaValue *
shorten(JinjaEnv *env, const Linker *l, JinjaValue *s)
{
	int64		limit = l->limit == NULL ? 0 :
		jn_int_arg(env, l->limit, 0, "trim_url_limit");

	if (l->limit == NULL || jn_nchars(s) <= limit)
		return s;
	return jn_binary(env, JINJA_OP_ADD,
					 jn_slice(env, s, NULL, l->limit, NULL),
					 jinja_string(env, "..."));
}

static void
append_maybe_link(JinjaEnv *env, StringInfo buf, const Linker *l,
				  JinjaValue *s)
{
	const char *text = s->u.string.data;
	JinjaValue *rest = starts_with(s, "mailto:") ?
		jinja_string(env, text + strlen("mailto:")) : s;

	if (matches(env, l->url, s))
		append_link(env, buf, starts_with(s, "https://") ||
					starts_with(s, "http://") ? "" : "https://", s,
					l->attributes, shorten(env, l, s));
	else if (rest != s && matches(env, l->email, rest))
		append_link(env, buf, "", s, "", rest);
	else if (strchr(text, '@') != NULL && !starts_with(s, "www.") &&
			 *text != '@' && strchr(text, ':') == NULL &&
			 matches(env, l->email, s))
		append_link(env, buf, "mailto:", s, "", s);
	else
	{
		for (int i = 0; i < l->schemes->u.list.n; i++)
		{
			JinjaValue *scheme = l->schemes->u.list.items[i];

			if (starts_with(s, scheme->u.string.data) &&
				!jn_string_is(s, scheme->u.string.data))
			{
				append_link(env, buf, "", s, l->attributes, s);
				return;
			}
		}
		jn_append(env, buf, text, s->u.string.len);
	}
}

static int
count_of(const char *s, int len, const char *what)
{
	int			what_len = strlen(what);
	int			n = 0;
	const char *end = s + len;

	while ((s = jn_find(s, end - s, what, what_len)) != NULL)
	{
		s += what_len;
		n++;
	}
	return n;
}

/*
 * Brackets that are opened in the word proper, from "from" to "to", are to be
 * closed in it: what closes them may be taken from its tail.
 */
static int
balance(JinjaEnv *env, const char *word, int from, int to, int len)
{
	static const char *const pairs[][2] = {
		{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"},
	};

	for (int i = 0; i < lengthof(pairs); i++)
	{
		const char *close = pairs[i][1];
		int			opened = count_of(word + from, to - from, pairs[i][0]);
		int			n;

		if (opened <= count_of(word + from, to - from, close))
			continue;
		n = Min(opened, count_of(word + to, len - to, close));
		jn_work(env, n);
		for (; n > 0; n--)
			to = jn_find(word + to, len - to, close, strlen(close)) - word +
				strlen(close);
	}
	return to;
}

static void
append_word(JinjaEnv *env, StringInfo buf, const Linker *l, const char *word,
			int len)
{
	int			from = 0;
	int			to = len;

	for (;;)
	{
		if (from < len && (word[from] == '(' || word[from] == '<'))
			from++;
		else if (len - from >= 4 && strncmp(word + from, "&lt;", 4) == 0)
			from += 4;
		else
			break;
	}
	for (;;)
	{
		if (to > from && strchr(")>.,", word[to - 1]) != NULL)
			to--;
		else if (to - from >= 4 && strncmp(word + to - 4, "&gt;", 4) == 0)
			to -= 4;
		else
			break;
	}
	to = balance(env, word, from, to, len);
	jn_append(env, buf, word, from);
	append_maybe_link(env, buf, l, jinja_string_len(env, word + from,
													to - from));
	jn_append(env, buf, word + to, len - to);
}

/* The attributes rel and target. */
static const char *
link_attributes(JinjaEnv *env, JinjaValue *nofollow, JinjaValue *target,
				JinjaValue *rel)
{
	JinjaValue *words = jinja_list(env);
	JinjaArgs	none = {0};
	StringInfoData buf;

	if (rel != NULL && jinja_truth(env, rel))
	{
		jn_string_arg(env, rel, "rel");
		words = jinja_call(env, jn_getattr(env, rel, jinja_string(env, "split")),
						   &none);
	}
	if (jn_truth_arg(env, nofollow))
		jinja_list_append(env, words, jinja_string(env, "nofollow"));
	jinja_list_append(env, words, jinja_string(env, "noopener"));
	words = jinja_to_list(env, jn_to_set(env, words));
	jn_sort(env, words->u.list.items, words->u.list.items, words->u.list.n,
			false);
	jn_buffer_init(env, &buf);
	jn_append_cstring(env, &buf, " rel=\"");
	append_escaped(env, &buf, jn_join(env, jinja_string(env, " "), words, true));
	jn_append_cstring(env, &buf, "\"");
	if (target != NULL && jinja_truth(env, target))
	{
		jn_append_cstring(env, &buf, " target=\"");
		append_escaped(env, &buf, target);
		jn_append_cstring(env, &buf, "\"");
	}
	return buf.data;
}

static JinjaValue *
scheme_list(JinjaEnv *env, JinjaValue *schemes)
{
	JnRegex    *regex;

	if (schemes == NULL || schemes->kind == JINJA_NONE)
		return jinja_list(env);
	regex = jn_regex_compile(env, jinja_string(env, "[\\w.+-]{2,}:/{0,2}\\Z"),
							 0);
	schemes = jinja_to_list(env, schemes);
	for (int i = 0; i < schemes->u.list.n; i++)
	{
		JinjaValue *scheme = jn_string_arg(env, schemes->u.list.items[i],
										   "scheme");

		if (!matches(env, regex, scheme))
			jn_raise_type(env, "%s is not a valid URI scheme prefix",
						  jn_repr_cstring(env, scheme));
	}
	return schemes;
}

JinjaValue *
jn_filter_urlize(JN_BUILTIN_ARGS)
{
	static const char url[] =
		"((https?://|www\\.)(([\\w%-]+\\.)+)?([a-z]{2,63}|xn--[\\w%]{2,59})"
		"|([\\w%-]{2,63}\\.)+(com|net|int|edu|gov|org|info|mil)"
		"|https?://(\\d{1,3}(\\.\\d{1,3}){3}"
		"|\\[([\\da-f]{0,4}:){2}([\\da-f]{0,4}:?){1,6}\\]))"
		"(:\\d{1,5})?([/?#]\\S*)?$";
	Linker		l;
	StringInfoData buf;
	const char *p;
	const char *end;

	l.url = jn_regex_compile(env, jinja_string(env, url), JN_RE_IGNORECASE);
	l.email = jn_regex_compile(env, jinja_string(env,
												 "\\S+@\\w[\\w.-]*\\.\\w+$"),
							   0);
	l.limit = argv[0] != NULL && argv[0]->kind == JINJA_NONE ? NULL : argv[0];
	l.attributes = link_attributes(env, argv[1], argv[2], argv[3]);
	l.schemes = scheme_list(env, argv[4]);
	v = jn_escape(env, v);
	jn_buffer_init(env, &buf);
	p = v->u.string.data;
	end = p + v->u.string.len;
	while (p < end)
	{
		const char *word = p;
		int			space;

		while ((space = jn_space_len(p, end)) > 0)
			p += space;
		jn_append(env, &buf, word, p - word);
		word = p;
		while (p < end && jn_space_len(p, end) == 0)
			p += jn_char_len(p, end);
		if (p > word)
			append_word(env, &buf, &l, word, p - word);
	}
	return jn_buffer_string(env, &buf);
}
