/*
 * format.c
 *		Python's string formatting: "%s" % x and "{}".format(x).
 */
#include "base/compat.h"

#include <ctype.h>
#include <math.h>

#include "mb/pg_wchar.h"

#include "jinja/decimal.h"
#include "jinja/markup.h"

/* Beyond this no double has a digit that is not zero. */
#define MAX_PRECISION 1100

/* How a value is to be laid out. */
typedef struct FormatSpec
{
	JinjaValue *fill;			/* one character, NULL: a space */
	char		align;			/* '<', '>', '^', '=', '\0': by type */
	char		sign;			/* '+', '-', ' ' or 0: none is given */
	bool		no_minus_zero;	/* z */
	bool		alternate;		/* # */
	char		grouping;		/* ',', '_' or '\0' */
	int64		width;			/* 0: none */
	int64		precision;		/* -1: none */
	char		type;			/* '\0': none */
	bool		zero;			/* a 0 before the width */
	bool		aligned;		/* with an alignment of its own */
} FormatSpec;

static void
bad_format(JinjaEnv *env, char code, const char *type)
{
	jn_raise_type(env, "unknown format code \"%c\" for a value of type %s",
				  code, type);
}

/* "body" with fill around; sign and prefix stay in front of '=' fill. */
static void
put_padded(JinjaEnv *env, StringInfo out, const FormatSpec *spec,
		   const char *prefix, const char *body, int len, char align)
{
	int			plen = strlen(prefix);
	int64		pad = spec->width - plen - jn_count_chars(body, len);
	int64		left = align == '>' ? pad : align == '^' ? pad / 2 : 0;

	if (pad > 0)
		jn_append_repeated(env, out, spec->fill, left);
	jn_append(env, out, prefix, plen);
	if (pad > 0 && align == '=')
		jn_append_repeated(env, out, spec->fill, pad);
	jn_append(env, out, body, len);
	if (pad > 0 && align != '=')
		jn_append_repeated(env, out, spec->fill, pad - left);
}

static void
put_text(JinjaEnv *env, StringInfo out, const FormatSpec *spec, JinjaValue *s)
{
	if (spec->precision >= 0 && spec->precision < jn_length(env, s))
		s = jn_slice(env, s, NULL, jinja_int(env, spec->precision), NULL);
	put_padded(env, out, spec, "", s->u.string.data, s->u.string.len,
			   spec->align == '\0' ? '<' : spec->align);
}

/* ---------- numbers ---------- */

/* Digits with a separator after each "every" from the right. */
static char *
group_digits(const char *digits, int n, int every, char separator)
{
	char	   *result = palloc(2 * n + 1);
	char	   *to = result;

	for (int i = 0; i < n; i++)
	{
		if (i > 0 && (n - i) % every == 0)
			*to++ = separator;
		*to++ = digits[i];
	}
	*to = '\0';
	return result;
}

/*
 * A number whose text is "text" without its sign. With '=' and a zero to fill
 * with, grouping goes on through the zeros, as Python has it.
 */
static void
put_number(JinjaEnv *env, StringInfo out, const FormatSpec *spec,
		   bool negative, const char *base_prefix, const char *text,
		   int group_every)
{
	char		prefix[4] = "";
	char		align = spec->align == '\0' ? '>' : spec->align;
	bool		zeros = align == '=' && spec->fill != NULL &&
		jn_string_is(spec->fill, "0");
	int			whole = strspn(text, "0123456789abcdefABCDEF");
	StringInfoData body;

	snprintf(prefix, sizeof(prefix), "%s%s",
			 negative ? "-" : spec->sign == '+' ? "+" :
			 spec->sign == ' ' ? " " : "", base_prefix);
	if (spec->grouping == '\0' || whole == 0)
	{
		put_padded(env, out, spec, prefix, text, strlen(text), align);
		return;
	}
	/* "whole" must not run into an exponent. */
	if (group_every == 3)
		whole = strspn(text, "0123456789");

	jn_buffer_init(env, &body);
	if (zeros)
	{
		int64		room = spec->width - strlen(prefix) - strlen(text + whole);
		int64		n = whole;

		while (n + (n - 1) / group_every < room)
			n++;
		/* A separator cannot come first: one digit more. */
		if (n > whole && (n - whole) > 0)
		{
			StringInfoData padded;

			jn_buffer_init(env, &padded);
			jn_append_fill(env, &padded, '0', n - whole);
			jn_append(env, &padded, text, whole);
			jn_append_cstring(env, &body,
							  group_digits(padded.data, padded.len,
										   group_every, spec->grouping));
			jn_append_cstring(env, &body, text + whole);
			put_padded(env, out, spec, prefix, body.data, body.len, align);
			return;
		}
	}
	jn_append_cstring(env, &body, group_digits(text, whole, group_every,
											   spec->grouping));
	jn_append_cstring(env, &body, text + whole);
	put_padded(env, out, spec, prefix, body.data, body.len, align);
}

/* Of the magnitude of an int. */
static char *
int_digits(JinjaEnv *env, const JinjaValue *v, int base, bool upper)
{
	const JnBig *b = jn_big_of(env, v);

	return jn_big_digits(env, b, base, upper);
}

static bool
is_negative(const JinjaValue *v)
{
	return v->kind == JINJA_BIGINT ? v->u.big->negative :
		v->kind == JINJA_INT && v->u.integer < 0;
}

/*
 * C's "%#<type>", which the server's printf() does not know. Without a type it
 * is Python's: like "g", but a digit is left for behind the point.
 */
static char *
alternate_text(JinjaEnv *env, double d, char type, int precision)
{
	bool		general = type == '\0' || tolower((unsigned char) type) == 'g';
	char		format[8];
	char	   *text;
	int			whole;

	if (general)
	{
		int			exponent;

		precision = Max(precision, 1);
		text = psprintf("%.*e", precision - 1, d);
		exponent = atoi(strchr(text, 'e') + 1);
		if (exponent >= -4 && exponent < precision - (type == '\0'))
		{
			type = 'f';
			precision -= 1 + exponent;
		}
		else
		{
			type = type == 'G' ? 'E' : 'e';
			precision -= 1;
		}
	}
	snprintf(format, sizeof(format), "%%.*%c", type);
	text = psprintf(format, precision, d);
	whole = strspn(text, "0123456789");
	return text[whole] == '.' ? text :
		psprintf("%.*s.%s", whole, text, text + whole);
}

/* Text of |d| as C's "%<flags>.<precision><type>" has it. */
static char *
float_text(JinjaEnv *env, double d, char type, int64 precision,
		   bool alternate)
{
	char		format[8];

	if (precision > MAX_PRECISION)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"precision of a format is larger than %d", MAX_PRECISION);
	d = fabs(d);
	if (isnan(d))
		return pstrdup(isupper((unsigned char) type) ? "NAN" : "nan");
	if (isinf(d))
		return pstrdup(isupper((unsigned char) type) ? "INF" : "inf");
	/* printf() of the server knows no 'F', which differs for infinity only. */
	if (type == 'F')
		type = 'f';
	if (alternate)
		return alternate_text(env, d, type, precision);
	snprintf(format, sizeof(format), "%%.*%c", type);
	return psprintf(format, (int) precision, d);
}

/* No type but a precision: like "g", with a digit after the point. */
static char *
float_general(JinjaEnv *env, double d, int64 precision, bool alternate)
{
	char		repr[JN_FLOAT_REPR_LEN];
	char	   *text;

	if (precision < 0)
	{
		jn_float_repr(repr, fabs(d));
		return pstrdup(repr);
	}
	if (alternate)
		return float_text(env, d, '\0', precision, true);
	text = float_text(env, d, 'g', Max(precision, 1), false);
	if (strpbrk(text, ".en") != NULL)
		return text;
	/* An integer as long as the precision is written with an exponent. */
	if (strlen(text) >= Max(precision, 1) && d != 0)
	{
		char	   *exp = float_text(env, d, 'e', Max(precision, 1) - 1, false);
		char	   *e = strchr(exp, 'e');
		char	   *last = e - 1;

		if (strchr(exp, '.') != NULL)
			while (*last == '0' || *last == '.')
				if (*last-- == '.')
					break;
		return psprintf("%.*s%s", (int) (last - exp + 1), exp, e);
	}
	return psprintf("%s.0", text);
}

static void
put_float(JinjaEnv *env, StringInfo out, const FormatSpec *spec, double d)
{
	int64		precision = spec->precision < 0 ? 6 : spec->precision;
	char	   *text;

	switch (spec->type)
	{
		case 'e':
		case 'E':
		case 'f':
		case 'F':
			text = float_text(env, d, spec->type, precision, spec->alternate);
			break;
		case 'g':
		case 'G':
		case 'n':
			text = float_text(env, d, spec->type == 'G' ? 'G' : 'g',
							  Max(precision, 1), spec->alternate);
			break;
		case '%':
			text = psprintf("%s%%", float_text(env, d * 100, 'f', precision,
											   spec->alternate));
			break;
		case '\0':
			text = float_general(env, d, spec->precision, spec->alternate);
			break;
		default:
			bad_format(env, spec->type, "float");
			return;
	}
	/* -0.0 keeps its sign unless "z" says otherwise. */
	if (spec->no_minus_zero && strpbrk(text, "123456789i") == NULL)
		d = 0.0;
	put_number(env, out, spec, signbit(d) && !isnan(d), "", text, 3);
}

/* A Decimal as its format has it, and its text without a sign. */
static const JnDecimal *
decimal_text(JinjaEnv *env, const FormatSpec *spec, const JnDecimal *d,
			 char **text)
{
	char		type = spec->type == '\0' ? 'G' : spec->type;
	bool		upper = isupper((unsigned char) type) != 0;
	char		style = type == '%' ? 'f' : type == 'n' || type == 'N' ? 'g' :
		tolower((unsigned char) type);
	int			point = 1;

	if (type == '%')
		d = jn_decimal_shift(env, d, 2);
	if (spec->precision >= 0 && style == 'f')
		d = jn_decimal_rescale(env, d, -spec->precision);
	else if (spec->precision >= 0 && style == 'e' && jn_decimal_is_zero(d))
		point = 1 - spec->precision;
	else if (spec->precision >= 0 &&
			 (style == 'e' ||
			  jn_decimal_digits(env, d) > Max(spec->precision, 1)))
		d = jn_decimal_significant(env, d, style == 'e' ?
								   spec->precision + 1 :
								   Max(spec->precision, 1));
	if (style == 'f' && jn_decimal_is_zero(d) && d->exponent > 0)
		d = jn_decimal_rescale(env, d, 0);
	*text = jn_decimal_layout(env, d, style, point, upper);
	if (type == '%')
		*text = psprintf("%s%%", *text);
	return d;
}

/* A Decimal is rounded itself, half to even, not as a float. */
static void
put_decimal(JinjaEnv *env, StringInfo out, const FormatSpec *spec,
			JinjaValue *v)
{
	const JnDecimal *d;
	char	   *text;

	/* Python's decimal module reads formats its own way. */
	if ((spec->zero && spec->aligned) || spec->grouping == '_' ||
		spec->alternate || spec->precision > MAX_PRECISION ||
		(spec->type != '\0' && strchr("eEfFgG%nN", spec->type) == NULL) ||
		(spec->grouping != '\0' && (spec->type == 'n' || spec->type == 'N')))
		jn_raise_type(env, "invalid format string");
	d = decimal_text(env, spec, v->u.decimal, &text);
	put_number(env, out, spec,
			   d->negative && !(spec->no_minus_zero && jn_decimal_is_zero(d)),
			   "", text, 3);
}

/* The character that an int is the number of. */
static JinjaValue *
char_of(JinjaEnv *env, JinjaValue *v)
{
	unsigned char text[MAX_UNICODE_EQUIVALENT_STRING + 1];
	int64		i;

	if (!jn_is_int(v, &i))
		jn_raise_type(env, "%%c requires an integer or a character");
	if (i == 0)
		jn_raise_type(env, "text cannot contain character 0");
	if (i < 0 || i > 0x10ffff || !is_valid_unicode_codepoint(i) ||
		(i >= 0xd800 && i <= 0xdfff))
		jn_raise_type(env, "%%c: " INT64_FORMAT " is not a character", i);
	pg_unicode_to_server(i, text);
	return jinja_string(env, (char *) text);
}

static void
put_int(JinjaEnv *env, StringInfo out, const FormatSpec *spec, JinjaValue *v)
{
	const char *prefix = "";
	char	   *text;
	int			group_every = 3;

	if (spec->type != '\0' && strchr("eEfFgG%", spec->type) != NULL)
	{
		put_float(env, out, spec, jn_to_double(env, v));
		return;
	}
	if (spec->precision >= 0 || spec->no_minus_zero)
		jn_raise_type(env, "precision and \"z\" are not allowed in an integer format");
	switch (spec->type)
	{
		case '\0':
		case 'd':
		case 'n':
			text = int_digits(env, v, 10, false);
			break;
		case 'b':
			prefix = "0b";
			text = int_digits(env, v, 2, false);
			break;
		case 'o':
			prefix = "0o";
			text = int_digits(env, v, 8, false);
			break;
		case 'x':
		case 'X':
			prefix = spec->type == 'x' ? "0x" : "0X";
			text = int_digits(env, v, 16, spec->type == 'X');
			break;
		case 'c':
			if (spec->sign != '\0' || spec->alternate || spec->grouping != '\0')
				jn_raise_type(env, "a format of a character takes no sign, # or grouping");
			text = (char *) char_of(env, v)->u.string.data;
			put_padded(env, out, spec, "", text, strlen(text),
					   spec->align == '\0' ? '>' : spec->align);
			return;
		default:
			bad_format(env, spec->type, "int");
			return;
	}
	if (spec->grouping != '\0' && *prefix != '\0')
	{
		if (spec->grouping == ',')
			jn_raise_type(env, "cannot specify \",\" with \"%c\"", spec->type);
		group_every = 4;
	}
	put_number(env, out, spec, is_negative(v), spec->alternate ? prefix : "", text,
			   group_every);
}

/* ---------- "{}".format() ---------- */

typedef struct BraceState
{
	const JinjaArgs *args;
	bool		escape;			/* the format is markup */
	int			next;			/* automatic numbering */
	bool		automatic;
	bool		manual;
} BraceState;

static void format_braces(JinjaEnv *env, StringInfo out, BraceState *state,
						  const char *p, const char *end, int level);

static bool
is_align(char c)
{
	return c == '<' || c == '>' || c == '^' || c == '=';
}

static int64
parse_number(JinjaEnv *env, const char **p, const char *end)
{
	int64		n = 0;

	while (*p < end && isdigit((unsigned char) **p))
	{
		n = n * 10 + (**p - '0');
		if (n > PG_INT32_MAX)
			jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
						"too large a number in a format");
		(*p)++;
	}
	return n;
}

/* [[fill]align][sign][z][#][0][width][grouping][.precision][type] */
static void
parse_spec(JinjaEnv *env, FormatSpec *spec, const char *p, const char *end)
{
	int			len = p < end ? jn_char_len(p, end) : 0;

	memset(spec, 0, sizeof(*spec));
	spec->precision = -1;
	if (len > 0 && p + len < end && is_align(p[len]))
	{
		spec->fill = jn_char(env, p, len);
		spec->align = p[len];
		p += len + 1;
	}
	else if (p < end && is_align(*p))
		spec->align = *p++;
	if (p < end && (*p == '+' || *p == '-' || *p == ' '))
		spec->sign = *p++;
	if (p < end && *p == 'z')
	{
		spec->no_minus_zero = true;
		p++;
	}
	if (p < end && *p == '#')
	{
		spec->alternate = true;
		p++;
	}
	spec->aligned = spec->align != '\0';
	if (p < end && *p == '0')
	{
		spec->zero = true;
		if (spec->fill == NULL)
			spec->fill = jn_char(env, "0", 1);
		if (spec->align == '\0')
			spec->align = '=';
		p++;
	}
	spec->width = parse_number(env, &p, end);
	if (p < end && (*p == ',' || *p == '_'))
		spec->grouping = *p++;
	if (p < end && *p == '.')
	{
		p++;
		if (p >= end || !isdigit((unsigned char) *p))
			jn_raise_type(env, "format specifier misses its precision");
		spec->precision = parse_number(env, &p, end);
	}
	if (p < end)
		spec->type = *p++;
	if (p < end || (spec->type == 'n' && spec->grouping != '\0'))
		jn_raise_type(env, "invalid format specifier");
}

static void
put_value(JinjaEnv *env, StringInfo out, const char *spec_text, int spec_len,
		  JinjaValue *v)
{
	FormatSpec	spec;

	if (spec_len == 0)
	{
		jn_str(env, out, v);
		return;
	}
	if (v->kind == JINJA_OBJECT && v->u.object.ops->format != NULL)
	{
		jn_append_cstring(env, out,
						  v->u.object.ops->format(env, v->u.object.object,
												  pnstrdup(spec_text,
														   spec_len)));
		return;
	}
	if (jn_is_numeric(v))
	{
		parse_spec(env, &spec, spec_text, spec_text + spec_len);
		if (v->kind == JINJA_FLOAT)
			put_float(env, out, &spec, v->u.real);
		else if (v->kind == JINJA_DECIMAL)
			put_decimal(env, out, &spec, v);
		else
			put_int(env, out, &spec, v);
		return;
	}
	if (v->kind != JINJA_STRING && v->kind != JINJA_UNDEFINED)
		jn_raise_type(env, "unsupported format string for %s",
					  jinja_type_name(v));
	if (v->kind == JINJA_UNDEFINED)
		jn_raise_type(env, "unsupported format string for Undefined");
	parse_spec(env, &spec, spec_text, spec_text + spec_len);
	if (spec.type != '\0' && spec.type != 's')
		bad_format(env, spec.type, "str");
	if (spec.align == '=' && !jn_string_is(spec.fill == NULL ?
										   env->empty_string : spec.fill, "0"))
		jn_raise_type(env, "\"=\" alignment is not allowed in a string format");
	if (spec.align == '=')
		spec.align = '<';
	if (spec.sign != '\0' || spec.alternate || spec.no_minus_zero ||
		spec.grouping != '\0')
		jn_raise_type(env, "a string format takes no sign, z, # or grouping");
	put_text(env, out, &spec, v);
}

/* The argument that a field's first part names. */
static JinjaValue *
field_argument(JinjaEnv *env, BraceState *state, const char *p, int len)
{
	int64		i;

	if (len == 0 || strspn(p, "0123456789") >= len)
	{
		if (len == 0)
			state->automatic = true;
		else
			state->manual = true;
		if (state->automatic && state->manual)
			jn_raise_type(env, "cannot mix automatic and manual field numbering");
		if (len == 0)
			i = state->next++;
		else if (!jn_parse_int(env, p, len, 10, &i))
			i = -1;
		if (i < 0 || i >= state->args->nargs)
			jn_raise_type(env, "replacement index is out of range");
		return state->args->args[i];
	}
	for (int k = 0; k < state->args->nkwargs; k++)
		if (strncmp(state->args->kwnames[k], p, len) == 0 &&
			state->args->kwnames[k][len] == '\0')
			return state->args->kwvalues[k];
	jn_raise_type(env, "no argument named \"%s\" for the format",
				  pnstrdup(p, len));
}

/* name.attribute[item]... */
static JinjaValue *
field_value(JinjaEnv *env, BraceState *state, const char *p, const char *end)
{
	int			len = 0;
	JinjaValue *v;

	while (p + len < end && p[len] != '.' && p[len] != '[')
		len++;
	v = field_argument(env, state, p, len);
	p += len;
	while (p < end)
	{
		bool		item = *p++ == '[';
		int64		i;

		len = 0;
		while (p + len < end &&
			   (item ? p[len] != ']' : (p[len] != '.' && p[len] != '[')))
			len++;
		if (len == 0)
			jn_raise_type(env, "empty attribute in a format");
		if (item && p + len >= end)
			jn_raise_type(env, "\"]\" is missing in a format");
		if (!item)
			v = jn_getattr(env, v, jinja_string_len(env, p, len));
		else if (strspn(p, "0123456789") >= len &&
				 jn_parse_int(env, p, len, 10, &i))
			v = jn_getitem(env, v, jinja_int(env, i));
		else
			v = jn_getitem(env, v, jinja_string_len(env, p, len));
		p += len;
		if (item && ++p < end && *p != '.' && *p != '[')
			jn_raise_type(env, "only \".\" or \"[\" may follow \"]\" in a format");
	}
	return v;
}

/* What is not ASCII becomes an escape. */
static JinjaValue *
ascii(JinjaEnv *env, JinjaValue *s)
{
	const char *p = s->u.string.data;
	const char *end = p + s->u.string.len;
	StringInfoData buf;

	jn_buffer_init(env, &buf);
	while (p < end)
	{
		int			len = jn_char_len(p, end);
		char		escape[16];

		if (!IS_HIGHBIT_SET(*p) || GetDatabaseEncoding() != PG_UTF8)
			jn_append(env, &buf, p, len);
		else
		{
			jn_escape_char(escape, utf8_to_unicode((const unsigned char *) p));
			jn_append_cstring(env, &buf, escape);
		}
		p += len;
	}
	return jn_buffer_string(env, &buf);
}

static JinjaValue *
convert(JinjaEnv *env, JinjaValue *v, char how)
{
	StringInfoData buf;

	if (how == 's')
		return jn_plain(env, jn_str_value(env, v));
	if (how != 'r' && how != 'a')
		jn_raise_type(env, "unknown conversion specifier \"%c\"", how);
	jn_buffer_init(env, &buf);
	jn_repr(env, &buf, v);
	v = jn_buffer_string(env, &buf);
	return how == 'a' ? ascii(env, v) : v;
}

/* A value in a format that is markup. */
static void
put_escaped(JinjaEnv *env, StringInfo out, const char *spec_text, int spec_len,
			JinjaValue *v)
{
	StringInfoData text;

	if (!jn_is_markup(v))
	{
		jn_buffer_init(env, &text);
		put_value(env, &text, spec_text, spec_len, v);
		jn_append_escaped(env, out, text.data, text.len);
		jn_buffer_free(env, &text);
		return;
	}
	if (spec_len > 0)
		jn_raise_type(env, "unsupported format specification for markup");
	jn_append(env, out, v->u.string.data, v->u.string.len);
}

/* One field, without its braces. */
static void
put_field(JinjaEnv *env, StringInfo out, BraceState *state, const char *p,
		  const char *end, int level)
{
	const char *name_end = p;
	JinjaValue *v;
	StringInfoData spec;
	bool		in_brackets = false;

	while (name_end < end &&
		   (in_brackets || (*name_end != '!' && *name_end != ':')))
	{
		if (*name_end == '[')
			in_brackets = true;
		else if (*name_end == ']')
			in_brackets = false;
		name_end++;
	}
	v = field_value(env, state, p, name_end);
	p = name_end;
	if (p < end && *p == '!')
	{
		if (p + 1 >= end)
			jn_raise_type(env, "unmatched \"{\" in a format");
		v = convert(env, v, p[1]);
		p += 2;
		if (p < end && *p != ':')
			jn_raise_type(env, "expected \":\" after conversion specifier");
	}
	jn_buffer_init(env, &spec);
	if (p < end)
		format_braces(env, &spec, state, p + 1, end, level + 1);
	if (state->escape)
		put_escaped(env, out, spec.data, spec.len, v);
	else
		put_value(env, out, spec.data, spec.len, v);
}

static void
format_braces(JinjaEnv *env, StringInfo out, BraceState *state, const char *p,
			  const char *end, int level)
{
	if (level > 2)
		jn_raise_type(env, "format fields are nested too deeply");
	while (p < end)
	{
		const char *from = p;
		int			depth = 1;

		while (p < end && *p != '{' && *p != '}')
			p++;
		jn_append(env, out, from, p - from);
		if (p >= end)
			return;
		if (p + 1 < end && p[1] == *p && level == 0)
		{
			jn_append(env, out, p, 1);
			p += 2;
			continue;
		}
		if (*p == '}')
			jn_raise_type(env, "single \"}\" in a format");
		from = ++p;
		for (; p < end; p++)
		{
			if (*p == '{')
				depth++;
			else if (*p == '}' && --depth == 0)
				break;
		}
		if (p >= end)
			jn_raise_type(env, "single \"{\" in a format");
		put_field(env, out, state, from, p, level);
		p++;
	}
}

JinjaValue *
jn_format_braces(JinjaEnv *env, JinjaValue *format, const JinjaArgs *args)
{
	BraceState	state = {args, jn_is_markup(format)};
	StringInfoData out;

	jn_buffer_init(env, &out);
	format_braces(env, &out, &state, format->u.string.data,
				  format->u.string.data + format->u.string.len, 0);
	return jn_buffer_string(env, &out);
}

/* ---------- "%" ---------- */

typedef struct PercentState
{
	JinjaValue *args;
	bool		escape;			/* the format is markup */
	bool		mapping;		/* args can be asked for names */
	int			next;
	int			nargs;			/* -1: a single value, not used yet */
} PercentState;

static JinjaValue *
next_value(JinjaEnv *env, PercentState *state)
{
	if (state->args->kind == JINJA_TUPLE &&
		state->next < state->args->u.list.n)
		return state->args->u.list.items[state->next++];
	if (state->args->kind != JINJA_TUPLE && state->next == 0)
	{
		state->next = 1;
		return state->args;
	}
	jn_raise_type(env, "not enough arguments for format string");
}

/* (name), with parentheses nested. Returns what follows. */
static const char *
named_value(JinjaEnv *env, PercentState *state, const char *p,
			const char *end, JinjaValue **v)
{
	const char *from = p;
	int			depth = 1;
	JinjaValue *name;

	if (!state->mapping)
		jn_raise_type(env, "format requires a mapping");
	for (; p < end; p++)
	{
		if (*p == '(')
			depth++;
		else if (*p == ')' && --depth == 0)
			break;
	}
	if (p >= end)
		jn_raise_type(env, "incomplete format key");
	name = jinja_string_len(env, from, p - from);
	if (state->args->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, state->args);
	if (state->args->kind != JINJA_DICT)
		jn_raise_type(env, "format requires a mapping");
	*v = jn_dict_lookup(env, state->args->u.dict, name);
	if (*v == NULL)
		jn_raise_type(env, "format key %s is not given",
					  jn_repr_cstring(env, name));
	return p + 1;
}

/* A width or a precision: digits, or "*". */
static int64
star_or_number(JinjaEnv *env, PercentState *state, const char **p,
			   const char *end)
{
	int64		i;

	if (*p >= end || **p != '*')
		return parse_number(env, p, end);
	(*p)++;
	if (state->escape)
		jn_raise_type(env, "a format that is markup takes no *");
	i = jn_int_arg(env, next_value(env, state), 0, "* of a format");
	if (i > PG_INT32_MAX || i < -PG_INT32_MAX)
		jinja_raise(env, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					"too large a number in a format");
	return i;
}

static const char *
parse_percent_flags(JinjaEnv *env, FormatSpec *spec, const char *p,
					const char *end)
{
	bool		zero = false;

	memset(spec, 0, sizeof(*spec));
	spec->sign = '-';
	spec->precision = -1;
	spec->align = '>';
	for (; p < end && strchr("-+ #0", *p) != NULL && *p != '\0'; p++)
	{
		if (*p == '-')
			spec->align = '<';
		else if (*p == '+' || (*p == ' ' && spec->sign != '+'))
			spec->sign = *p;
		else if (*p == '#')
			spec->alternate = true;
		else if (*p == '0')
			zero = true;
	}
	if (zero && spec->align == '>')
	{
		spec->align = '=';
		spec->fill = jn_char(env, "0", 1);
	}
	return p;
}

/* The int that %d and the like print. */
static JinjaValue *
percent_int(JinjaEnv *env, JinjaValue *v, char type)
{
	bool		decimal = strchr("diu", type) != NULL;

	if (v->kind == JINJA_INT || v->kind == JINJA_BIGINT)
		return v;
	if (v->kind == JINJA_BOOL)
		return jn_positive(env, v);
	if (decimal && v->kind == JINJA_DECIMAL)
		return jn_big_value(env, jn_decimal_to_big(env, v->u.decimal));
	if (!decimal || v->kind != JINJA_FLOAT)
		jn_raise_type(env, "%%%c format: a number is required, not %s", type,
					  jinja_type_name(v));
	if (isnan(v->u.real) || isinf(v->u.real))
		jinja_raise(env, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					"integer out of range");
	return jn_big_value(env, jn_big_from_double(env, v->u.real));
}

static void
put_percent_int(JinjaEnv *env, StringInfo out, FormatSpec *spec,
				JinjaValue *v)
{
	JinjaValue *i = percent_int(env, v, spec->type);
	int			base = spec->type == 'o' ? 8 :
		tolower((unsigned char) spec->type) == 'x' ? 16 : 10;
	char	   *text = int_digits(env, i, base, spec->type == 'X');
	const char *prefix = "";
	int			len = strlen(text);

	if (spec->alternate && base != 10)
		prefix = base == 8 ? "0o" : spec->type == 'x' ? "0x" : "0X";
	if (spec->precision > len)
	{
		StringInfoData digits;

		jn_buffer_init(env, &digits);
		jn_append_fill(env, &digits, '0', spec->precision - len);
		jn_append_cstring(env, &digits, text);
		text = digits.data;
	}
	put_number(env, out, spec, is_negative(i), prefix, text, 3);
}

static void
put_percent_float(JinjaEnv *env, StringInfo out, FormatSpec *spec,
				  JinjaValue *v)
{
	double		d;

	if (v->kind == JINJA_UNDEFINED)
		jn_fail_undefined(env, v);
	if (!jn_is_numeric(v))
		jn_raise_type(env, "a number is required, not %s", jinja_type_name(v));
	d = jn_to_double(env, v);
	if (spec->precision < 0)
		spec->precision = 6;
	put_number(env, out, spec, signbit(d) && !isnan(d), "",
			   float_text(env, d, spec->type, spec->precision,
						  spec->alternate), 3);
}

static void
put_percent_char(JinjaEnv *env, StringInfo out, FormatSpec *spec,
				 JinjaValue *v)
{
	if (v->kind != JINJA_STRING || jn_length(env, v) != 1)
		v = char_of(env, v);
	put_text(env, out, spec, v);
}

static void
put_percent(JinjaEnv *env, StringInfo out, FormatSpec *spec, JinjaValue *v)
{
	if (spec->width < 0)
	{
		spec->width = -spec->width;
		spec->align = '<';
		spec->fill = NULL;
	}
	switch (spec->type)
	{
		case 's':
		case 'r':
		case 'a':
			spec->fill = NULL;
			if (spec->align == '=')
				spec->align = '>';
			put_text(env, out, spec, convert(env, v, spec->type));
			break;
		case 'c':
			spec->fill = NULL;
			spec->precision = -1;
			if (spec->align == '=')
				spec->align = '>';
			put_percent_char(env, out, spec, v);
			break;
		case 'd':
		case 'i':
		case 'u':
		case 'o':
		case 'x':
		case 'X':
			put_percent_int(env, out, spec, v);
			break;
		case 'e':
		case 'E':
		case 'f':
		case 'F':
		case 'g':
		case 'G':
			put_percent_float(env, out, spec, v);
			break;
		default:
			jn_raise_type(env, "unsupported format character \"%c\"",
						  IS_HIGHBIT_SET(spec->type) ? '?' : spec->type);
	}
}

/*
 * What a format that is markup prints for "v": a text escaped, a number, which
 * may be written as a text.
 */
static JinjaValue *
escaped_argument(JinjaEnv *env, JinjaValue *v, FormatSpec *spec)
{
	JinjaValue *number = NULL;
	double		d;

	if (spec->type == 's')
		return jn_escape(env, v);
	if (spec->type == 'r' || spec->type == 'a')
	{
		v = jn_escape(env, convert(env, v, 'r'));
		if (spec->type == 'a')
			v = ascii(env, v);
		spec->type = 's';
		return v;
	}
	if (strchr("coxX", spec->type) != NULL)
		jn_raise_type(env, "%%%c is not for a format that is markup",
					  spec->type);
	if (v->kind != JINJA_STRING)
		return v;
	if (strchr("diu", spec->type) != NULL)
		number = jn_parse_integer(env, v->u.string.data, v->u.string.len, 10);
	else if (jn_parse_float(v->u.string.data, v->u.string.len, &d))
		number = jinja_float(env, d);
	if (number == NULL)
		jn_raise_type(env, "%s is not a number", jn_repr_cstring(env, v));
	return number;
}

/* One conversion; "p" is behind the "%". Returns what follows it. */
static const char *
percent_conversion(JinjaEnv *env, StringInfo out, PercentState *state,
				   const char *p, const char *end)
{
	JinjaValue *v = NULL;
	FormatSpec	spec;

	if (p < end && *p == '(')
		p = named_value(env, state, p + 1, end, &v);
	p = parse_percent_flags(env, &spec, p, end);
	spec.width = star_or_number(env, state, &p, end);
	if (p < end && *p == '.')
	{
		p++;
		spec.precision = star_or_number(env, state, &p, end);
		spec.precision = Max(spec.precision, 0);
	}
	if (p < end && (*p == 'h' || *p == 'l' || *p == 'L'))
		p++;
	if (p >= end)
		jn_raise_type(env, "incomplete format");
	spec.type = *p++;
	if (spec.type == '%')
	{
		jn_append(env, out, "%", 1);
		return p;
	}
	if (v == NULL)
		v = next_value(env, state);
	if (state->escape)
		v = escaped_argument(env, v, &spec);
	put_percent(env, out, &spec, v);
	return p;
}

JinjaValue *
jn_format_percent(JinjaEnv *env, JinjaValue *format, JinjaValue *args)
{
	const char *p = format->u.string.data;
	const char *end = p + format->u.string.len;
	PercentState state = {args, jn_is_markup(format)};
	StringInfoData out;

	/* What has subscripts but is no string or tuple counts as a mapping. */
	state.mapping = args->kind == JINJA_DICT || args->kind == JINJA_LIST ||
		args->kind == JINJA_RANGE || args->kind == JINJA_UNDEFINED;
	jn_buffer_init(env, &out);
	while (p < end)
	{
		const char *percent = memchr(p, '%', end - p);

		jn_append(env, &out, p, (percent == NULL ? end : percent) - p);
		if (percent == NULL)
			break;
		p = percent_conversion(env, &out, &state, percent + 1, end);
	}
	if (!state.mapping && (args->kind == JINJA_TUPLE ?
						   state.next < args->u.list.n : state.next == 0))
		jn_raise_type(env, "not all arguments converted during string formatting");
	return jn_markup_like(env, format, jn_buffer_string(env, &out));
}
