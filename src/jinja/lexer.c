/*
 * lexer.c
 *		Template text to tokens.
 *
 * The rules are those of Jinja2's lexer with its default delimiters and
 * trim_blocks, lstrip_blocks and keep_trailing_newline off: newlines become
 * "\n" everywhere, one trailing newline is dropped, "-" in a tag strips all
 * white space beside it, "+" has no effect, and a closing "}}" or "%}" counts
 * only when no bracket is open.
 */
#include "base/compat.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/vformat.h"
#include "jinja/bigint.h"

void
jn_syntax_error(JnLexer *lex, int line, int col, const char *fmt,...)
{
	va_list		args;
	char	   *message;

	va_start(args, fmt);
	message = dpipe_vformat(fmt, args);
	va_end(args);
	lex->err_line = line;
	lex->err_col = col;
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("%s", message)));
}

/*
 * Length of the white space character at "p", 0 if there is none. What counts
 * is what Python's str.isspace() counts.
 */
int
jn_space_len(const char *p, const char *end)
{
	const unsigned char *s = (const unsigned char *) p;

	if (p >= end)
		return 0;
	if (s[0] < 0x80)
		return (s[0] == ' ' || (s[0] >= 0x09 && s[0] <= 0x0d) ||
				(s[0] >= 0x1c && s[0] <= 0x1f)) ? 1 : 0;
	if (GetDatabaseEncoding() != PG_UTF8)
		return 0;
	if (end - p >= 2 && s[0] == 0xc2 && (s[1] == 0x85 || s[1] == 0xa0))
		return 2;
	if (end - p < 3)
		return 0;
	if (s[0] == 0xe1 && s[1] == 0x9a && s[2] == 0x80)
		return 3;				/* U+1680 */
	if (s[0] == 0xe2 && s[1] == 0x80 &&
		(s[2] <= 0x8a || s[2] == 0xa8 || s[2] == 0xa9 || s[2] == 0xaf))
		return 3;				/* U+2000 .. U+200A, 2028, 2029, 202F */
	if (s[0] == 0xe2 && s[1] == 0x81 && s[2] == 0x9f)
		return 3;				/* U+205F */
	if (s[0] == 0xe3 && s[1] == 0x80 && s[2] == 0x80)
		return 3;				/* U+3000 */
	return 0;
}

/* The same for the character that ends before "p". */
int
jn_space_len_before(const char *start, const char *p)
{
	for (int n = 1; n <= 3 && p - start >= n; n++)
	{
		if (n > 1 && GetDatabaseEncoding() != PG_UTF8)
			break;
		if (jn_space_len(p - n, p) == n)
			return n;
	}
	return 0;
}

void
jn_lexer_init(JnLexer *lex, const char *name, const char *text, int len)
{
	char	   *out = palloc(len + 1);
	char	   *to = out;

	for (const char *p = text; p < text + len; p++)
	{
		if (*p == '\r')
		{
			*to++ = '\n';
			if (p + 1 < text + len && p[1] == '\n')
				p++;
		}
		else
			*to++ = *p;
	}
	if (to > out && to[-1] == '\n')
		to--;
	*to = '\0';

	memset(lex, 0, sizeof(*lex));
	lex->name = name;
	lex->start = out;
	lex->pos = out;
	lex->end = to;
	lex->line_start = out;
	lex->col_pos = out;
	lex->col = 1;
	lex->line = 1;
	lex->err_line = 1;
	lex->err_col = 1;
	lex->state = JN_LEX_DATA;
	initStringInfo(&lex->brackets);
}

/*
 * Column of "p". Counts on from the last place asked about, lest a long line
 * be counted from its start for each of its tokens.
 */
static int
column(JnLexer *lex, const char *p)
{
	if (lex->col_pos < lex->line_start || lex->col_pos > p)
	{
		lex->col_pos = lex->line_start;
		lex->col = 1;
	}
	lex->col += pg_mbstrlen_with_len(lex->col_pos, p - lex->col_pos);
	lex->col_pos = p;
	return lex->col;
}

/* Move to "to", counting lines. */
static void
advance(JnLexer *lex, const char *to)
{
	const char *nl;

	while ((nl = memchr(lex->pos, '\n', to - lex->pos)) != NULL)
	{
		lex->line++;
		lex->pos = nl + 1;
		lex->line_start = lex->pos;
	}
	lex->pos = to;
}

static void
skip_space(JnLexer *lex)
{
	const char *p = lex->pos;
	int			n;

	while ((n = jn_space_len(p, lex->end)) > 0)
		p += n;
	advance(lex, p);
}

static bool
looking_at(const char *p, const char *end, const char *s)
{
	size_t		n = strlen(s);

	return end - p >= n && memcmp(p, s, n) == 0;
}

static const char *
skip_space_from(const char *p, const char *end)
{
	int			n;

	while ((n = jn_space_len(p, end)) > 0)
		p += n;
	return p;
}

/*
 * Is there a "{% word %}" at "p"? Gives its end, and whether its signs strip
 * what stands before and after it.
 */
static const char *
match_word_tag(const char *p, const char *end, const char *word,
			   bool plus_end, bool *strip_before, bool *strip_after)
{
	if (!looking_at(p, end, "{%"))
		return NULL;
	p += 2;
	*strip_before = (p < end && *p == '-');
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	p = skip_space_from(p, end);
	if (!looking_at(p, end, word))
		return NULL;
	p = skip_space_from(p + strlen(word), end);
	*strip_after = (p < end && *p == '-');
	if (p < end && (*p == '-' || (plus_end && *p == '+')))
		p++;
	return looking_at(p, end, "%}") ? p + 2 : NULL;
}

static void
set_token(JnLexer *lex, JnToken *tok, JnTokenType type, const char *p)
{
	memset(tok, 0, sizeof(*tok));
	tok->type = type;
	tok->line = lex->line;
	tok->col = column(lex, p);
	tok->start = p;
}

/* Text up to "to"; white space at its end goes if "strip". */
static bool
data_token(JnLexer *lex, JnToken *tok, const char *to, bool strip)
{
	const char *from = lex->pos;
	const char *end = to;
	int			n;

	set_token(lex, tok, JN_TOK_DATA, from);
	if (strip)
		while ((n = jn_space_len_before(from, end)) > 0)
			end -= n;
	tok->len = end - from;
	tok->data = pnstrdup(from, tok->len);
	advance(lex, to);
	return tok->len > 0;
}

/* {% raw %} ... {% endraw %}; lex->pos is behind the opening tag. */
static bool
lex_raw(JnLexer *lex, JnToken *tok, int line, int col)
{
	for (const char *p = lex->pos; p < lex->end; p++)
	{
		bool		before;
		bool		after;
		const char *close;
		bool		some;

		p = memchr(p, '{', lex->end - p);
		if (p == NULL)
			break;
		close = match_word_tag(p, lex->end, "endraw", true, &before, &after);
		if (close == NULL)
			continue;
		some = data_token(lex, tok, p, before);
		advance(lex, close);
		if (after)
			skip_space(lex);
		return some;
	}
	jn_syntax_error(lex, line, col, "missing end of raw directive");
}

static void
skip_comment(JnLexer *lex, int line, int col)
{
	const char *p = lex->pos;

	if (p < lex->end && (*p == '-' || *p == '+'))
		p++;
	for (; p < lex->end; p++)
	{
		p = memchr(p, '#', lex->end - p);
		if (p == NULL)
			break;
		if (p + 1 < lex->end && p[1] == '}')
		{
			bool		strip = (p[-1] == '-' && p - 1 >= lex->pos &&
								 !(p - 1 == lex->pos));

			/* "{#-#}": its "-" belongs to the opening sign. */
			advance(lex, p + 2);
			if (strip)
				skip_space(lex);
			return;
		}
	}
	jn_syntax_error(lex, line, col, "missing end of comment tag");
}

/* Where the next tag begins, or "end". */
static const char *
find_tag(const char *p, const char *end)
{
	for (; p < end && (p = memchr(p, '{', end - p)) != NULL; p++)
		if (p + 1 < end && (p[1] == '%' || p[1] == '{' || p[1] == '#'))
			return p;
	return end;
}

/*
 * Text outside tags. Sets "tok" and returns true, or, when nothing came of
 * it (an empty text, a comment), returns false: try again.
 */
static bool
lex_data(JnLexer *lex, JnToken *tok)
{
	const char *p = find_tag(lex->pos, lex->end);
	bool		before;
	bool		after;
	const char *close;

	if (lex->pos >= lex->end)
	{
		set_token(lex, tok, JN_TOK_EOF, lex->pos);
		return true;
	}
	/* The text first; the tag is found again at once. */
	if (p > lex->pos &&
		data_token(lex, tok, p, p + 2 < lex->end && p[2] == '-'))
		return true;
	if (p >= lex->end)
		return false;

	set_token(lex, tok, JN_TOK_BLOCK_BEGIN, p);
	if (p[1] == '%')
	{
		close = match_word_tag(p, lex->end, "raw", false, &before, &after);
		if (close != NULL)
		{
			int			line = tok->line;
			int			col = tok->col;

			advance(lex, close);
			if (after)
				skip_space(lex);
			return lex_raw(lex, tok, line, col);
		}
		lex->state = JN_LEX_BLOCK;
	}
	else if (p[1] == '{')
	{
		tok->type = JN_TOK_VARIABLE_BEGIN;
		lex->state = JN_LEX_VARIABLE;
	}
	else
	{
		advance(lex, p + 2);
		skip_comment(lex, tok->line, tok->col);
		return false;
	}
	p += 2;
	if (p < lex->end && (*p == '-' || *p == '+'))
		p++;
	advance(lex, p);
	return true;
}

/* "%}" or "}}" with its sign: false when the tag does not end here. */
static bool
lex_tag_end(JnLexer *lex, JnToken *tok)
{
	bool		block = (lex->state == JN_LEX_BLOCK);
	const char *p = lex->pos;
	bool		strip = false;

	if (lex->brackets.len > 0)
		return false;
	if (*p == '-' || (block && *p == '+'))
	{
		strip = (*p == '-');
		p++;
	}
	if (!looking_at(p, lex->end, block ? "%}" : "}}"))
		return false;
	set_token(lex, tok, block ? JN_TOK_BLOCK_END : JN_TOK_VARIABLE_END,
			  lex->pos);
	advance(lex, p + 2);
	tok->end = lex->pos;
	if (strip)
		skip_space(lex);
	lex->state = JN_LEX_DATA;
	return true;
}

/* Digits with single underscores between them; NULL when there are none. */
static const char *
skip_digits(const char *p, const char *end)
{
	if (p >= end || !isdigit((unsigned char) *p))
		return NULL;
	while (p < end)
	{
		if (isdigit((unsigned char) *p))
			p++;
		else if (*p == '_' && p + 1 < end && isdigit((unsigned char) p[1]))
			p++;
		else
			break;
	}
	return p;
}

/* End of a float at "p", NULL if it is none. */
static const char *
match_float(JnLexer *lex, const char *p)
{
	const char *end = lex->end;
	const char *q;
	const char *r;
	bool		fraction = false;

	if (p > lex->start && p[-1] == '.')
		return NULL;
	q = skip_digits(p, end);
	if (q == NULL)
		return NULL;
	if (q < end && *q == '.' && (r = skip_digits(q + 1, end)) != NULL)
	{
		q = r;
		fraction = true;
	}
	if (q < end && (*q == 'e' || *q == 'E'))
	{
		r = q + 1;
		if (r < end && (*r == '+' || *r == '-'))
			r++;
		r = skip_digits(r, end);
		if (r != NULL)
			return r;
	}
	return fraction ? q : NULL;
}

static bool
is_digit_of(char c, int base)
{
	if (base == 16)
		return isxdigit((unsigned char) c);
	return c >= '0' && c < '0' + base;
}

/* End of an integer at "p"; "base" and "digits" say how to read it. */
static const char *
match_integer(JnLexer *lex, const char *p, int *base, const char **digits)
{
	const char *end = lex->end;

	*base = 10;
	*digits = p;
	if (*p == '0')
	{
		const char *q = p + 1;
		int			b = 0;

		if (q < end)
		{
			char		c = tolower((unsigned char) *q);

			b = c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 0;
		}
		if (b != 0)
		{
			q++;
			if (q < end && *q == '_')
				q++;
			if (q < end && is_digit_of(*q, b))
			{
				*base = b;
				*digits = q;
				while (q < end &&
					   (is_digit_of(*q, b) ||
						(*q == '_' && q + 1 < end && is_digit_of(q[1], b))))
					q++;
				return q;
			}
		}
		/* zeros only: "012" is the two integers 0 and 12 */
		q = p + 1;
		while (q < end && (*q == '0' ||
						   (*q == '_' && q + 1 < end && q[1] == '0')))
			q++;
		return q;
	}
	return skip_digits(p, end);
}

static void
lex_number(JnLexer *lex, JnToken *tok)
{
	const char *p = lex->pos;
	const char *q = match_float(lex, p);
	StringInfoData digits;

	initStringInfo(&digits);
	set_token(lex, tok, JN_TOK_FLOAT, p);
	if (q != NULL)
	{
		for (const char *c = p; c < q; c++)
			if (*c != '_')
				appendStringInfoChar(&digits, *c);
		tok->real = strtod(digits.data, NULL);
	}
	else
	{
		int			base;

		tok->type = JN_TOK_INTEGER;
		lex->err_line = tok->line;
		lex->err_col = tok->col;
		q = match_integer(lex, p, &base, &p);
		tok->big = jn_big_parse(NULL, p, q - p, base);
		if (jn_big_to_int64(tok->big, &tok->integer))
			tok->big = NULL;
	}
	pfree(digits.data);
	advance(lex, q);
}

/* A code point in the server's encoding. */
static void
append_code_point(JnLexer *lex, StringInfo buf, uint32 c, int line, int col)
{
	unsigned char s[MAX_UNICODE_EQUIVALENT_STRING + 1];

	if (c == 0)
		jn_syntax_error(lex, line, col,
						"a string in a template cannot contain character 0");
	if (!is_valid_unicode_codepoint(c) || (c >= 0xd800 && c <= 0xdfff))
		jn_syntax_error(lex, line, col,
						"invalid Unicode escape in a string: %X", c);
	if (c < 0x80)
	{
		appendStringInfoChar(buf, (char) c);
		return;
	}
	lex->err_line = line;
	lex->err_col = col;
	pg_unicode_to_server(c, s);
	appendStringInfoString(buf, (char *) s);
}

/* \xHH, \uHHHH, \UHHHHHHHH; "p" is behind the letter. */
static const char *
hex_escape(JnLexer *lex, StringInfo buf, const char *p, const char *end,
		   char letter, int line, int col)
{
	int			digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
	uint32		c = 0;

	for (int i = 0; i < digits; i++, p++)
	{
		if (p >= end || !isxdigit((unsigned char) *p))
			jn_syntax_error(lex, line, col, "truncated \\%c escape in a string",
							letter);
		c = c * 16 + (isdigit((unsigned char) *p) ? *p - '0' :
					  tolower((unsigned char) *p) - 'a' + 10);
	}
	append_code_point(lex, buf, c, line, col);
	return p;
}

/* One escape; "p" is behind the backslash. Returns what follows it. */
static const char *
string_escape(JnLexer *lex, StringInfo buf, const char *p, const char *end,
			  int line, int col)
{
	static const char from[] = "\\'\"abfnrtv";
	static const char to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *f;

	if (*p == '\n')
		return p + 1;
	if (*p != '\0' && (f = strchr(from, *p)) != NULL)
	{
		appendStringInfoChar(buf, to[f - from]);
		return p + 1;
	}
	if (*p == 'x' || *p == 'u' || *p == 'U')
		return hex_escape(lex, buf, p + 1, end, *p, line, col);
	if (*p >= '0' && *p <= '7')
	{
		uint32		c = 0;

		for (int i = 0; i < 3 && p < end && *p >= '0' && *p <= '7'; i++, p++)
			c = c * 8 + (*p - '0');
		append_code_point(lex, buf, c, line, col);
		return p;
	}
	if (*p == 'N')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("named character escapes are not supported"),
				 errhint("Write \\uXXXX instead of \\N{...}.")));
	/* Python keeps an unknown escape as it is. */
	appendStringInfoChar(buf, '\\');
	return p;
}

static void
lex_string(JnLexer *lex, JnToken *tok)
{
	const char *p = lex->pos;
	char		quote = *p;
	StringInfoData buf;

	set_token(lex, tok, JN_TOK_STRING, p);
	initStringInfo(&buf);
	for (p++; p < lex->end && *p != quote;)
	{
		if (*p == '\\')
		{
			if (p + 1 >= lex->end)
				break;
			lex->err_line = tok->line;
			lex->err_col = tok->col;
			p = string_escape(lex, &buf, p + 1, lex->end, tok->line,
							  tok->col);
		}
		else
			appendStringInfoChar(&buf, *p++);
	}
	if (p >= lex->end)
		jn_syntax_error(lex, tok->line, tok->col, "unterminated string");
	tok->data = buf.data;
	tok->len = buf.len;
	advance(lex, p + 1);
}

static bool
is_name_start(char c)
{
	return c == '_' || isalpha((unsigned char) c) || IS_HIGHBIT_SET(c);
}

static void
lex_name(JnLexer *lex, JnToken *tok)
{
	const char *p = lex->pos;

	set_token(lex, tok, JN_TOK_NAME, p);
	while (p < lex->end &&
		   (is_name_start(*p) || isdigit((unsigned char) *p)))
	{
		if (jn_space_len(p, lex->end) > 0)
			break;
		p++;
	}
	tok->len = p - lex->pos;
	tok->data = pnstrdup(lex->pos, tok->len);
	advance(lex, p);
}

static void
match_bracket(JnLexer *lex, JnToken *tok, char c)
{
	StringInfo	b = &lex->brackets;

	if (c == '(' || c == '[' || c == '{')
		appendStringInfoChar(b, c == '(' ? ')' : c == '[' ? ']' : '}');
	else if (c == ')' || c == ']' || c == '}')
	{
		if (b->len == 0)
			jn_syntax_error(lex, tok->line, tok->col, "unexpected \"%c\"", c);
		if (b->data[b->len - 1] != c)
			jn_syntax_error(lex, tok->line, tok->col,
							"unexpected \"%c\", expected \"%c\"", c,
							b->data[b->len - 1]);
		b->len--;
	}
}

static void
lex_operator(JnLexer *lex, JnToken *tok)
{
	static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
	const char *p = lex->pos;

	set_token(lex, tok, JN_TOK_OPERATOR, p);
	tok->len = 1;
	for (int i = 0; i < lengthof(two); i++)
		if (looking_at(p, lex->end, two[i]))
			tok->len = 2;
	if (tok->len == 1 && strchr("+-/*%~[](){}><=.:|,;", *p) == NULL)
		jn_syntax_error(lex, tok->line, tok->col, "unexpected character \"%s\"",
						pnstrdup(p, jn_char_len(p, lex->end)));
	tok->data = pnstrdup(p, tok->len);
	match_bracket(lex, tok, *p);
	advance(lex, p + tok->len);
}

/* The next token. */
void
jn_lex(JnLexer *lex, JnToken *tok)
{
	CHECK_FOR_INTERRUPTS();
	while (lex->state == JN_LEX_DATA)
		if (lex_data(lex, tok))
			return;

	if (lex->pos < lex->end && lex_tag_end(lex, tok))
		return;
	skip_space(lex);
	if (lex->pos >= lex->end)
		set_token(lex, tok, JN_TOK_EOF, lex->pos);
	else if (lex_tag_end(lex, tok))
		 /* the tag is closed */ ;
	else if (isdigit((unsigned char) *lex->pos))
		lex_number(lex, tok);
	else if (is_name_start(*lex->pos))
		lex_name(lex, tok);
	else if (*lex->pos == '\'' || *lex->pos == '"')
		lex_string(lex, tok);
	else
		lex_operator(lex, tok);
}
