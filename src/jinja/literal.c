/*
 * literal.c
 *		Python's ast.literal_eval(): a text that is a literal, to its value.
 *
 * Strings (also with a prefix, also several in a row), numbers with a sign,
 * True, False and None, and tuples, lists, dicts and sets of them. Complex
 * numbers and bytes are no values of templates: what holds one is no literal.
 */
#include "base/compat.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "jinja/bigint.h"

typedef struct Reader
{
	JinjaEnv   *env;
	const char *p;
	const char *end;
	int			brackets;		/* open ones: newlines are space in them */
} Reader;

static JinjaValue *read_value(Reader *r);

static void
skip_space(Reader *r)
{
	while (r->p < r->end)
	{
		if (*r->p == ' ' || *r->p == '\t' || *r->p == '\f' ||
			(*r->p == '\n' && r->brackets > 0))
			r->p++;
		else if (*r->p == '\\' && r->p + 1 < r->end && r->p[1] == '\n')
			r->p += 2;
		else if (*r->p == '#')
			while (r->p < r->end && *r->p != '\n')
				r->p++;
		else
			break;
	}
}

static bool
skip_char(Reader *r, char c)
{
	skip_space(r);
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static bool
is_name_char(char c)
{
	return isalnum((unsigned char) c) || c == '_' || IS_HIGHBIT_SET(c);
}

static bool
skip_word(Reader *r, const char *word)
{
	size_t		n = strlen(word);

	if (r->end - r->p < n || memcmp(r->p, word, n) != 0 ||
		(r->p + n < r->end && is_name_char(r->p[n])))
		return false;
	r->p += n;
	return true;
}

/* ---------- strings ---------- */

static bool
append_code_point(StringInfo buf, uint32 c)
{
	unsigned char s[MAX_UNICODE_EQUIVALENT_STRING + 1];

	if (c == 0 || !is_valid_unicode_codepoint(c) || (c >= 0xd800 && c <= 0xdfff))
		return false;
	if (c < 0x80)
		appendStringInfoChar(buf, (char) c);
	else
	{
		pg_unicode_to_server(c, s);
		appendStringInfoString(buf, (char *) s);
	}
	return true;
}

static bool
read_hex(Reader *r, StringInfo buf, int digits)
{
	uint32		c = 0;

	for (int i = 0; i < digits; i++, r->p++)
	{
		if (r->p >= r->end || !isxdigit((unsigned char) *r->p))
			return false;
		c = c * 16 + (isdigit((unsigned char) *r->p) ? *r->p - '0' :
					  tolower((unsigned char) *r->p) - 'a' + 10);
	}
	return append_code_point(buf, c);
}

/* r->p is behind the backslash. */
static bool
read_escape(Reader *r, StringInfo buf)
{
	static const char from[] = "\\'\"abfnrtv";
	static const char to[] = "\\'\"\a\b\f\n\r\t\v";
	char		c = *r->p;
	const char *f = c == '\0' ? NULL : strchr(from, c);
	uint32		code = 0;

	if (f != NULL)
	{
		appendStringInfoChar(buf, to[f - from]);
		r->p++;
		return true;
	}
	if (c >= '0' && c <= '7')
	{
		for (int i = 0; i < 3 && r->p < r->end && *r->p >= '0' && *r->p <= '7';
			 i++, r->p++)
			code = code * 8 + (*r->p - '0');
		return append_code_point(buf, code);
	}
	if (c == 'x' || c == 'u' || c == 'U')
	{
		r->p++;
		return read_hex(r, buf, c == 'x' ? 2 : c == 'u' ? 4 : 8);
	}
	if (c == '\n')
	{
		r->p++;
		return true;
	}
	if (c == 'N')
		return false;
	appendStringInfoChar(buf, '\\');
	return true;
}

/* One string into "buf"; false: it is none. */
static bool
read_string(Reader *r, StringInfo buf)
{
	const char *p = r->p;
	bool		raw = false;
	char		quote;
	int			width = 1;

	if (p < r->end && strchr("rRuU", *p) != NULL)
		raw = tolower((unsigned char) *p++) == 'r';
	if (p >= r->end || (*p != '\'' && *p != '"'))
		return false;
	quote = *p;
	if (r->end - p >= 3 && p[1] == quote && p[2] == quote)
		width = 3;
	r->p = p + width;
	for (;;)
	{
		if (r->p >= r->end || (*r->p == '\n' && width == 1))
			return false;
		if (*r->p == quote && (width == 1 ||
							   (r->end - r->p >= 3 && r->p[1] == quote &&
								r->p[2] == quote)))
			break;
		if (*r->p == '\\' && r->p + 1 < r->end)
		{
			r->p++;
			if (raw)
			{
				appendStringInfoChar(buf, '\\');
				appendStringInfoChar(buf, *r->p++);
			}
			else if (!read_escape(r, buf))
				return false;
		}
		else
			appendStringInfoChar(buf, *r->p++);
	}
	r->p += width;
	return true;
}

static bool
at_string(const Reader *r)
{
	const char *p = r->p;

	if (p < r->end && strchr("rRuU", *p) != NULL)
		p++;
	return p < r->end && (*p == '\'' || *p == '"');
}

static JinjaValue *
read_strings(Reader *r)
{
	StringInfoData buf;

	initStringInfo(&buf);
	do
	{
		if (!read_string(r, &buf))
			return NULL;
		skip_space(r);
	} while (at_string(r));
	return jinja_string_len(r->env, buf.data, buf.len);
}

/* ---------- numbers ---------- */

static const char *
skip_digits(const char *p, const char *end, int base)
{
	const char *start = p;

	while (p < end)
	{
		int			d = isdigit((unsigned char) *p) ? *p - '0' :
			isalpha((unsigned char) *p) ? tolower((unsigned char) *p) - 'a' + 10 : 99;

		if (d < base)
			p++;
		else if (*p == '_' && p > start && p[-1] != '_' && p + 1 < end)
			p++;
		else
			break;
	}
	return p > start && p[-1] == '_' ? NULL : p;
}

static JinjaValue *
read_prefixed(Reader *r, int base)
{
	const char *digits = r->p + 2;
	const char *q;

	if (digits < r->end && *digits == '_')
		digits++;
	q = skip_digits(digits, r->end, base);
	if (q == NULL || q == digits || (q < r->end && is_name_char(*q)))
		return NULL;
	r->p = q;
	return jn_big_value(r->env, jn_big_parse(r->env, digits, q - digits, base));
}

/* Digits, a fraction, an exponent; "q" is behind the first digits. */
static JinjaValue *
read_decimal(Reader *r, const char *q)
{
	const char *start = r->p;
	bool		real = false;
	StringInfoData text;
	double		d;

	if (q < r->end && *q == '.')
	{
		real = true;
		q = skip_digits(q + 1, r->end, 10);
		if (q == NULL)
			return NULL;
	}
	if (q < r->end && (*q == 'e' || *q == 'E'))
	{
		const char *exponent = q + 1;

		real = true;
		if (exponent < r->end && (*exponent == '+' || *exponent == '-'))
			exponent++;
		q = skip_digits(exponent, r->end, 10);
		if (q == NULL || q == exponent)
			return NULL;
	}
	if (q < r->end && is_name_char(*q))
		return NULL;
	r->p = q;
	if (!real)
	{
		JnBig	   *b;

		b = jn_big_parse(r->env, start, q - start, 10);
		/* 012 is no number, 00 is. */
		return *start == '0' && b->n > 0 ? NULL : jn_big_value(r->env, b);
	}
	initStringInfo(&text);
	for (const char *c = start; c < q; c++)
		if (*c != '_')
			appendStringInfoChar(&text, *c);
	d = strtod(text.data, NULL);
	return jinja_float(r->env, d);
}

static JinjaValue *
read_number(Reader *r)
{
	const char *q = skip_digits(r->p, r->end, 10);
	char		c = r->p + 1 < r->end ? tolower((unsigned char) r->p[1]) : '\0';

	if (q == NULL)
		return NULL;
	if (*r->p == '0' && (c == 'x' || c == 'o' || c == 'b'))
		return read_prefixed(r, c == 'x' ? 16 : c == 'o' ? 8 : 2);
	return read_decimal(r, q);
}

/* ---------- containers ---------- */

/* Items up to "close"; *comma tells whether one stood behind the last. */
static JinjaValue *
read_items(Reader *r, char close, JinjaValue *list, bool *comma)
{
	*comma = false;
	while (!skip_char(r, close))
	{
		JinjaValue *item;

		if (list->u.list.n > 0 && !*comma)
			return NULL;
		item = read_value(r);
		if (item == NULL)
			return NULL;
		jinja_list_append(r->env, list, item);
		*comma = skip_char(r, ',');
	}
	return list;
}

static JinjaValue *
read_sequence(Reader *r, char close)
{
	JinjaValue *list = jinja_list(r->env);
	bool		comma;

	r->p++;
	r->brackets++;
	if (read_items(r, close, list, &comma) == NULL)
		return NULL;
	r->brackets--;
	if (close == ']')
		return list;
	if (list->u.list.n == 1 && !comma)
		return list->u.list.items[0];
	return jinja_tuple(r->env, list->u.list.n, list->u.list.items);
}

/* A dict or a set. */
static JinjaValue *
read_braces(Reader *r)
{
	JinjaValue *result = jinja_dict(r->env);
	bool		comma = true;

	r->p++;
	r->brackets++;
	while (!skip_char(r, '}'))
	{
		JinjaValue *key;
		JinjaValue *value = r->env->none;

		if (!comma || (key = read_value(r)) == NULL || !jn_hashable(key))
			return NULL;
		if (skip_char(r, ':'))
		{
			if (result->kind == JINJA_SET || (value = read_value(r)) == NULL)
				return NULL;
		}
		else if (result->kind == JINJA_DICT && result->u.dict->n > 0)
			return NULL;
		else
			result->kind = JINJA_SET;
		jn_dict_put(r->env, result->u.dict, key, value);
		comma = skip_char(r, ',');
	}
	r->brackets--;
	return result;
}

static JinjaValue *
read_signed(Reader *r)
{
	bool		negative = *r->p++ == '-';
	JinjaValue *v;

	skip_space(r);
	if (r->p < r->end && (isdigit((unsigned char) *r->p) || *r->p == '.'))
		v = read_number(r);
	else
		return NULL;
	return v == NULL || !negative ? v : jn_negate(r->env, v);
}

static JinjaValue *
read_one(Reader *r)
{
	skip_space(r);
	if (r->p >= r->end)
		return NULL;
	if (at_string(r))
		return read_strings(r);
	if (isdigit((unsigned char) *r->p) ||
		(*r->p == '.' && r->p + 1 < r->end && isdigit((unsigned char) r->p[1])))
		return read_number(r);
	switch (*r->p)
	{
		case '-':
		case '+':
			return read_signed(r);
		case '[':
			return read_sequence(r, ']');
		case '(':
			return read_sequence(r, ')');
		case '{':
			return read_braces(r);
		default:
			break;
	}
	if (skip_word(r, "True"))
		return r->env->yes;
	if (skip_word(r, "False"))
		return r->env->no;
	if (skip_word(r, "None"))
		return r->env->none;
	return NULL;
}

static JinjaValue *
read_value(Reader *r)
{
	JinjaValue *v;

	jn_enter(r->env);
	jn_step(r->env);
	v = read_one(r);
	jn_leave(r->env);
	return v;
}

/* The value, or NULL: the text is no literal. */
JinjaValue *
jn_literal(JinjaEnv *env, const char *text, int len)
{
	Reader		r = {env, text, text + len, 0};
	int			depth = env->depth;
	JinjaValue *v;
	bool		comma;

	/* Lines before and after are no matter, a space before the first is. */
	while (r.p < r.end && (*r.p == ' ' || *r.p == '\t'))
		r.p++;
	while (r.p < r.end && *r.p == '\n')
		r.p++;
	v = read_value(&r);
	if (v != NULL && skip_char(&r, ','))
	{
		JinjaValue *list = jinja_list(env);

		jinja_list_append(env, list, v);
		for (comma = true;; comma = skip_char(&r, ','))
		{
			skip_space(&r);
			if (r.p >= r.end || *r.p == '\n' || !comma)
				break;
			if ((v = read_value(&r)) == NULL)
				break;
			jinja_list_append(env, list, v);
		}
		if (v != NULL)
			v = jinja_tuple(env, list->u.list.n, list->u.list.items);
	}
	env->depth = depth;
	r.brackets = 1;
	skip_space(&r);
	return r.p < r.end ? NULL : v;
}
