/*
 * encode.c
 *		Values into the wire format of a column's type.
 *
 * What a value means follows the type's own input rules applied to its text
 * (a string's content, otherwise the JSON text), as json_populate_record has
 * it: "42" goes into an integer, 42 into text, an object into text as written.
 * json and jsonb take the value itself.
 *
 * The encoders here are those of everyday types. They refuse a bad value by a
 * verdict on the record instead of an error, so a batch full of bad values
 * costs no subtransactions; rare spellings that the input function takes too
 * (infinity, "yesterday", hexadecimal integers) are left to it. Every other
 * type goes through its input and send functions, which may raise.
 */
#include "base/compat.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/int.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/vformat.h"
#include "load/target.h"

/* As much of a bad value as a message shows. */
#define SHOWN_BYTES 80

/* The numeric type's wire signs and limits; they are not exported. */
#define NUMERIC_POS 0x0000
#define NUMERIC_NEG 0x4000
#define NUMERIC_NAN 0xC000
#define NUMERIC_PINF 0xD000
#define NUMERIC_NINF 0xF000
#define NUMERIC_DSCALE_MAX 0x3FFF
#define DEC_DIGITS 4

/* ---------- verdicts ---------- */

/*
 * The current record cannot be stored. Returns false, so that an encoder can
 * return it.
 */
bool
dpipe_refuse(DpipeRun *run, const char *stage, int sqlstate,
			 const char *fmt,...)
{
	MemoryContext old = MemoryContextSwitchTo(run->batch_cxt);
	DpipeVerdict *verdict = palloc_object(DpipeVerdict);
	va_list		args;

	Assert(run->current >= 0);
	verdict->stage = stage;
	verdict->sqlstate = sqlstate;
	va_start(args, fmt);
	verdict->message = dpipe_vformat(fmt, args);
	va_end(args);
	run->verdicts[run->current] = verdict;
	MemoryContextSwitchTo(old);
	return false;
}

/* The beginning of a value, for a message. */
static char *
shown(const DpipeValue *value)
{
	int			len = value->text_len;

	if (len <= SHOWN_BYTES)
		return pnstrdup(value->text, len);
	len = pg_mbcliplen(value->text, len, SHOWN_BYTES);
	return psprintf("%.*s...", len, value->text);
}

static bool
refuse_syntax(DpipeRun *run, DpipeColumn *col, const DpipeValue *value)
{
	return dpipe_refuse(run, "convert", ERRCODE_INVALID_TEXT_REPRESENTATION,
						"column \"%s\": invalid input syntax for type %s: \"%s\"",
						NameStr(col->name),
						format_type_be(col->base_type), shown(value));
}

static bool
refuse_range(DpipeRun *run, DpipeColumn *col, const DpipeValue *value)
{
	return dpipe_refuse(run, "convert", ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
						"column \"%s\": value \"%s\" is out of range for type %s",
						NameStr(col->name), shown(value),
						format_type_be(col->base_type));
}

/* What a JSON text may say and a text or jsonb of PostgreSQL may not. */
static bool
refuse_escapes(DpipeRun *run, DpipeColumn *col, const DpipeValue *value)
{
	if (value->flags & DPIPE_JSON_HAS_NUL)
		return dpipe_refuse(run, "convert", ERRCODE_UNTRANSLATABLE_CHARACTER,
							"column \"%s\": \\u0000 cannot be converted to text",
							NameStr(col->name));
	return dpipe_refuse(run, "convert", ERRCODE_INVALID_TEXT_REPRESENTATION,
						"column \"%s\": a Unicode surrogate stands without its other half",
						NameStr(col->name));
}

/* ---------- helpers ---------- */

/* Valid UTF-8 without NUL, that is: what text can hold. */
bool
dpipe_utf8_valid(const char *s, int len)
{
	return pg_encoding_verifymbstr(PG_UTF8, s, len) == len;
}

void
dpipe_append_json_string(StringInfo out, const char *s, int len)
{
	int			done = 0;

	/* Up to 64 MiB, which nobody can interrupt: runs of bytes at a time. */
	appendStringInfoChar(out, '"');
	for (int i = 0; i < len; i++)
	{
		unsigned char c = s[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(out, s + done, i - done);
		done = i + 1;
		enlargeStringInfo(out, 6);
		if (c < 0x20)
		{
			memcpy(out->data + out->len, "\\u00", 4);
			out->data[out->len + 4] = '0' + (c >> 4);
			out->data[out->len + 5] = "0123456789abcdef"[c & 0x0F];
			out->len += 6;
		}
		else
		{
			out->data[out->len++] = '\\';
			out->data[out->len++] = c;
		}
		out->data[out->len] = '\0';
	}
	appendBinaryStringInfo(out, s + done, len - done);
	appendStringInfoChar(out, '"');
}

static inline bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text without the white space that input functions skip. */
static inline const char *
trim(const DpipeValue *value, int *len)
{
	const char *s = value->text;
	int			n = value->text_len;

	while (n > 0 && is_space(*s))
	{
		s++;
		n--;
	}
	while (n > 0 && is_space(s[n - 1]))
		n--;
	*len = n;
	return s;
}

static bool
is_word(const char *s, int len, const char *word)
{
	return len == strlen(word) && pg_strncasecmp(s, word, len) == 0;
}

/* ---------- any type, by its own functions ---------- */

/*
 * A JSON array as an array literal: an array in it is another dimension, and
 * elements go in as text, strings without their quotes unless the elements are
 * JSON themselves.
 */
typedef struct ArrayLiteral
{
	StringInfoData out;
	bool		json_elements;
} ArrayLiteral;

static void
append_quoted_element(StringInfo out, const char *s, int len)
{
	appendStringInfoChar(out, '"');
	for (int i = 0; i < len; i++)
	{
		if (s[i] == '"' || s[i] == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, s[i]);
	}
	appendStringInfoChar(out, '"');
}

/* The end of the JSON value at p, which is known to be valid. */
static const char *
skip_json_value(const char *p)
{
	int			depth = 0;

	do
	{
		switch (*p)
		{
			case '{':
			case '[':
				depth++;
				p++;
				break;
			case '}':
			case ']':
				depth--;
				p++;
				break;
			case '"':
				for (p++; *p != '"'; p++)
				{
					if (*p == '\\')
						p++;
				}
				p++;
				break;
			case ',':
			case ':':
			case ' ':
			case '\t':
			case '\n':
			case '\r':
				p++;
				break;
			default:
				while (strchr(",:]} \t\n\r", *p) == NULL)
					p++;
				break;
		}
	} while (depth > 0);
	return p;
}

static void
append_element(ArrayLiteral *literal, const char *p, const char *end)
{
	if (*p == 'n')
		appendStringInfoString(&literal->out, "NULL");
	else if (*p == '"' && !literal->json_elements)
	{
		char	   *text = palloc(end - p);
		int			len = dpipe_json_unescape(p + 1, end - p - 2, text);

		append_quoted_element(&literal->out, text, len);
		pfree(text);
	}
	else
		append_quoted_element(&literal->out, p, end - p);
}

/*
 * "p" is at the opening bracket. The depth of arrays in arrays is bounded by
 * MAXDIM: what is deeper is taken as an element, which the input function
 * then refuses.
 */
static void
append_array(ArrayLiteral *literal, const char *p, int depth)
{
	bool		first = true;

	appendStringInfoChar(&literal->out, '{');
	for (p++;; p++)
	{
		const char *end;

		while (is_space(*p))
			p++;
		if (*p == ']')
			break;
		if (!first)
			appendStringInfoChar(&literal->out, ',');
		first = false;
		end = skip_json_value(p);
		if (*p == '[' && depth < MAXDIM)
			append_array(literal, p, depth + 1);
		else
			append_element(literal, p, end);
		for (p = end; is_space(*p); p++)
			;
		if (*p == ']')
			break;
		Assert(*p == ',');
	}
	appendStringInfoChar(&literal->out, '}');
}

static char *
array_literal(DpipeColumn *col, const DpipeValue *value)
{
	Oid			element = getBaseType(col->element_type);
	ArrayLiteral literal;

	literal.json_elements = element == JSONOID || element == JSONBOID;
	initStringInfo(&literal.out);
	append_array(&literal, value->span, 1);
	return literal.out.data;
}

/* The text that the type's input function is given. */
static char *
input_text(DpipeColumn *col, const DpipeValue *value)
{
	if (OidIsValid(col->element_type) && value->type == DPIPE_JSON_ARRAY)
		return array_literal(col, value);
	return pnstrdup(value->text, value->text_len);
}

static bool
encode_any(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
		   StringInfo out)
{
	char	   *text;
	Datum		datum;
	bytea	   *wire;

	if (value->flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		return refuse_escapes(run, col, value);
	if (OidIsValid(col->element_type) && value->type == DPIPE_JSON_OBJECT)
		return refuse_syntax(run, col, value);	/* {} would be an array */

	text = input_text(col, value);
	if (col->as_text)
	{
		/* the receiving side calls the input function */
		dpipe_put_bytes(out, text, strlen(text));
		return true;
	}
	run->column = NameStr(col->name);
	run->reads_value = col->own_input;
	datum = InputFunctionCall(&col->input, text, col->input_param,
							  col->base_typmod);
	run->reads_value = false;
	wire = SendFunctionCall(&col->send, datum);
	run->column = NULL;
	dpipe_put_bytes(out, VARDATA_ANY(wire), VARSIZE_ANY_EXHDR(wire));
	return true;
}

/* ---------- text, bytea, json, jsonb ---------- */

static bool
encode_text(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	int32		max = col->base_typmod - VARHDRSZ;

	if (value->type == DPIPE_JSON_STRING &&
		value->flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		return refuse_escapes(run, col, value);

	/* varchar(n), char(n): only spaces may be cut off */
	if (max > 0 && value->text_len > max && col->base_type != TEXTOID)
	{
		int			kept = pg_mbcharcliplen(value->text, value->text_len, max);

		for (int i = kept; i < value->text_len; i++)
		{
			if (value->text[i] != ' ')
				return dpipe_refuse(run, "convert",
									ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
									"column \"%s\": value too long for type %s",
									NameStr(col->name),
									format_type_with_typemod(col->base_type,
															 col->base_typmod));
		}
	}
	dpipe_put_bytes(out, value->text, value->text_len);
	return true;
}

static bool
encode_bytea(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			 StringInfo out)
{
	const char *s = value->text;
	const char *end = s + value->text_len;
	int			start;
	int			len;

	if (value->type == DPIPE_JSON_STRING &&
		value->flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		return refuse_escapes(run, col, value);
	if (value->text_len < 2 || s[0] != '\\' || s[1] != 'x')
	{
		if (memchr(s, '\\', value->text_len) != NULL)
			return encode_any(run, col, value, out);	/* escape format */
		dpipe_put_bytes(out, s, value->text_len);
		return true;
	}

	/* the hex format; white space between bytes is skipped */
	start = out->len;
	pq_sendint32(out, 0);
	for (s += 2; s < end;)
	{
		uint8		byte = 0;
		int			half;

		if (is_space(*s))
		{
			s++;
			continue;
		}
		for (half = 0; half < 2 && s < end && isxdigit((uint8) *s); half++, s++)
			byte = byte * 16 +
				(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
		if (half < 2)
			return dpipe_refuse(run, "convert",
								ERRCODE_INVALID_PARAMETER_VALUE,
								"column \"%s\": invalid hexadecimal data",
								NameStr(col->name));
		appendStringInfoChar(out, byte);
	}
	len = pg_hton32(out->len - start - sizeof(int32));
	memcpy(out->data + start, &len, sizeof(int32));
	return true;
}

static bool
encode_json(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	dpipe_put_bytes(out, value->span, value->span_len);
	return true;
}

static bool
encode_jsonb(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			 StringInfo out)
{
	if (value->flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		return refuse_escapes(run, col, value);
	if (value->flags & DPIPE_JSON_HAS_HUGE_NUMBER)
		return dpipe_refuse(run, "convert",
							ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
							"column \"%s\": a number overflows numeric format",
							NameStr(col->name));
	dpipe_put_length(out, value->span_len + 1);
	pq_writeint8(out, 1);		/* version of jsonb_send */
	appendBinaryStringInfo(out, value->span, value->span_len);
	return true;
}

/* ---------- boolean and numbers ---------- */

static bool
encode_bool(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	int			len;
	const char *s;
	bool		b = value->type == DPIPE_JSON_TRUE;

	if (!b && value->type != DPIPE_JSON_FALSE)
	{
		s = trim(value, &len);
		if (!parse_bool_with_len(s, len, &b))
			return refuse_syntax(run, col, value);
	}
	dpipe_put_length(out, 1);
	pq_writeint8(out, b);
	return true;
}

typedef enum Parsed
{
	PARSED_OK,
	PARSED_SYNTAX,
	PARSED_RANGE,
	PARSED_OTHER,				/* perhaps the input function knows it */
} Parsed;

static Parsed
parse_integer(const char *s, int len, int64 *result)
{
	int64		n = 0;
	bool		negative = false;
	bool		overflow = false;

	if (len > 0 && (*s == '-' || *s == '+'))
	{
		negative = *s == '-';
		s++;
		len--;
	}
	if (len == 0)
		return PARSED_SYNTAX;
	for (; len > 0; s++, len--)
	{
		/* 0x2A, 1_000 */
		if (*s == '_' || ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z'))
			return DPIPE_INTEGER_LITERALS ? PARSED_OTHER : PARSED_SYNTAX;
		if (*s < '0' || *s > '9')
			return PARSED_SYNTAX;
		/* downwards: the most negative number has no positive twin */
		overflow |= pg_mul_s64_overflow(n, 10, &n) ||
			pg_sub_s64_overflow(n, *s - '0', &n);
	}
	if (overflow || (!negative && n == PG_INT64_MIN))
		return PARSED_RANGE;
	*result = negative ? n : -n;
	return PARSED_OK;
}

static bool
encode_integer(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			   int size, int64 min, int64 max, StringInfo out)
{
	int			len;
	const char *s = trim(value, &len);
	int64		n;

	switch (parse_integer(s, len, &n))
	{
		case PARSED_OK:
			break;
		case PARSED_SYNTAX:
			return refuse_syntax(run, col, value);
		case PARSED_RANGE:
			return refuse_range(run, col, value);
		case PARSED_OTHER:
			return encode_any(run, col, value, out);
	}
	if (n < min || n > max)
		return refuse_range(run, col, value);
	dpipe_put_length(out, size);
	if (size == 2)
		pq_writeint16(out, n);
	else if (size == 4)
		pq_writeint32(out, n);
	else
		pq_writeint64(out, n);
	return true;
}

static bool
encode_int2(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	return encode_integer(run, col, value, 2, PG_INT16_MIN, PG_INT16_MAX, out);
}

static bool
encode_int4(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	return encode_integer(run, col, value, 4, PG_INT32_MIN, PG_INT32_MAX, out);
}

static bool
encode_int8(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	return encode_integer(run, col, value, 8, PG_INT64_MIN, PG_INT64_MAX, out);
}

/*
 * strtod and strtof as the float types' input functions use them: they take
 * NaN, Infinity and hexadecimal as well. "single" tells which.
 */
static Parsed
parse_float(const char *s, int len, bool single, double *result)
{
	char		buf[128];
	char	   *copy = buf;
	char	   *end;
	bool		huge;

	if (len == 0)
		return PARSED_SYNTAX;
	if (len >= sizeof(buf))
		copy = palloc(len + 1);
	memcpy(copy, s, len);
	copy[len] = '\0';

	errno = 0;
	if (single)
	{
		float		f = strtof(copy, &end);

		huge = f >= HUGE_VALF || f <= -HUGE_VALF;
		*result = f;
	}
	else
	{
		*result = strtod(copy, &end);
		huge = *result >= HUGE_VAL || *result <= -HUGE_VAL;
	}
	if (end != copy + len)
		return PARSED_SYNTAX;
	/* a denormal number sets ERANGE too, but is no error */
	if (errno == ERANGE && (*result == 0.0 || huge))
		return PARSED_RANGE;
	return PARSED_OK;
}

static bool
encode_float(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			 bool single, StringInfo out)
{
	int			len;
	const char *s = trim(value, &len);
	double		d;

	switch (parse_float(s, len, single, &d))
	{
		case PARSED_OK:
			break;
		case PARSED_RANGE:
			return refuse_range(run, col, value);
		default:
			return refuse_syntax(run, col, value);
	}
	pq_sendint32(out, single ? 4 : 8);
	if (single)
		pq_sendfloat4(out, (float4) d);
	else
		pq_sendfloat8(out, d);
	return true;
}

static bool
encode_float4(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			  StringInfo out)
{
	return encode_float(run, col, value, true, out);
}

static bool
encode_float8(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			  StringInfo out)
{
	return encode_float(run, col, value, false, out);
}

/* A decimal number taken apart: 0.ddd × 10^point, ddd without zeros around. */
typedef struct Decimal
{
	bool		negative;
	const char *digits;			/* the point may stand among them */
	int			ndigits;
	int64		point;
	int64		dscale;			/* digits behind the point as written */
} Decimal;

static Parsed
parse_exponent(const char *s, const char *end, int64 *exponent)
{
	bool		negative = false;
	int64		n = 0;

	if (s < end && (*s == '+' || *s == '-'))
		negative = *s++ == '-';
	if (s == end)
		return PARSED_SYNTAX;
	for (; s < end; s++)
	{
		if (*s < '0' || *s > '9')
			return PARSED_OTHER;
		if (n < PG_INT32_MAX)
			n = n * 10 + (*s - '0');
	}
	if (n > DPIPE_NUMERIC_MAX_EXPONENT)
		return PARSED_RANGE;
	*exponent = negative ? -n : n;
	return PARSED_OK;
}

static Parsed
parse_decimal(const char *s, int len, Decimal *d)
{
	const char *end = s + len;
	const char *p;
	int			before = 0;
	int			behind = 0;
	int64		exponent = 0;
	bool		seen_point = false;
	int			left;
	const char *last;

	d->negative = false;
	if (s < end && (*s == '+' || *s == '-'))
		d->negative = *s++ == '-';
	for (p = s; p < end; p++)
	{
		if (*p >= '0' && *p <= '9')
			seen_point ? behind++ : before++;
		else if (*p == '.' && !seen_point)
			seen_point = true;
		else
			break;
	}
	if (before + behind == 0)
		return PARSED_OTHER;
	last = p;
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		Parsed		parsed = parse_exponent(p + 1, end, &exponent);

		if (parsed != PARSED_OK)
			return parsed;
	}
	else if (p < end)
		return PARSED_OTHER;

	d->dscale = Max(behind - exponent, 0);
	d->point = before + exponent;
	left = before + behind;
	for (; left > 0 && (*s == '0' || *s == '.'); s++)
	{
		if (*s == '0')
		{
			d->point--;
			left--;
		}
	}
	while (left > 0 && (last[-1] == '0' || last[-1] == '.'))
	{
		if (*--last == '0')
			left--;
	}
	d->digits = s;
	d->ndigits = left;
	return PARSED_OK;
}

/* Leaves room for the groups, which the caller writes. */
static void
put_numeric_header(StringInfo out, int groups, int weight, int sign,
				   int dscale)
{
	dpipe_put_length(out, 8 + 2 * groups);
	pq_writeint16(out, groups);
	pq_writeint16(out, weight);
	pq_writeint16(out, sign);
	pq_writeint16(out, dscale);
}

/* Base 10000, aligned to the point; see numeric_send. */
static Parsed
put_decimal(const Decimal *d, StringInfo out)
{
	int64		weight;
	int			first;			/* decimal digits in the first group */
	int			groups;
	const char *p = d->digits;
	int			left = d->ndigits;

	if (d->dscale > NUMERIC_DSCALE_MAX)
		return PARSED_RANGE;
	if (d->ndigits == 0)
	{
		put_numeric_header(out, 0, 0, NUMERIC_POS, d->dscale);
		return PARSED_OK;
	}

	/* ceil(point / 4) - 1, for negative points too */
	weight = (d->point > 0 ? (d->point + DEC_DIGITS - 1) / DEC_DIGITS :
			  -((-d->point) / DEC_DIGITS)) - 1;
	if (weight > PG_INT16_MAX || weight < PG_INT16_MIN)
		return PARSED_RANGE;
	first = d->point - weight * DEC_DIGITS;
	groups = 1;
	if (d->ndigits > first)
		groups += (d->ndigits - first + DEC_DIGITS - 1) / DEC_DIGITS;
	put_numeric_header(out, groups, weight,
					   d->negative ? NUMERIC_NEG : NUMERIC_POS, d->dscale);
	for (int g = 0; g < groups; g++)
	{
		int			value = 0;

		for (int i = g == 0 ? DEC_DIGITS - first : 0; i < DEC_DIGITS; i++)
		{
			value *= 10;
			if (left > 0)
			{
				if (*p == '.')
					p++;
				value += *p++ - '0';
				left--;
			}
		}
		pq_writeint16(out, value);
	}
	return PARSED_OK;
}

static bool
encode_numeric_word(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
					const char *s, int len, StringInfo out)
{
	int			sign = 0;

	if (is_word(s, len, "NaN"))
		sign = NUMERIC_NAN;
	else if (is_word(s, len, "Infinity") || is_word(s, len, "+Infinity") ||
			 is_word(s, len, "inf") || is_word(s, len, "+inf"))
		sign = NUMERIC_PINF;
	else if (is_word(s, len, "-Infinity") || is_word(s, len, "-inf"))
		sign = NUMERIC_NINF;
	else if (DPIPE_INTEGER_LITERALS && len > 0 &&
			 (isdigit((uint8) s[len > 1 && (*s == '-' || *s == '+')])))
		return encode_any(run, col, value, out);	/* 0x2A, 1_000 */
	else
		return refuse_syntax(run, col, value);
	put_numeric_header(out, 0, 0, sign, 0);
	return true;
}

/* "1e 5": PostgreSQL 15 takes it, later ones do not. */
static bool
has_spaced_exponent(const char *s, int len)
{
	for (int i = 0; i + 1 < len; i++)
		if ((s[i] | 0x20) == 'e' && is_space(s[i + 1]))
			return true;
	return false;
}

static bool
encode_numeric(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			   StringInfo out)
{
	int			len;
	const char *s = trim(value, &len);
	Decimal		d;
	Parsed		parsed = parse_decimal(s, len, &d);

	if (parsed != PARSED_OK && has_spaced_exponent(s, len))
		return encode_any(run, col, value, out);
	if (parsed == PARSED_OTHER)
		return encode_numeric_word(run, col, value, s, len, out);
	if (parsed == PARSED_OK && col->base_typmod >= (int32) VARHDRSZ)
	{
		/* numeric(p, s): see numeric_typmod_scale; the scale has 11 bits */
		int			tmp = col->base_typmod - VARHDRSZ;
		int			precision = (tmp >> 16) & 0xFFFF;
		int			scale = ((tmp & 0x7FF) ^ 1024) - 1024;

		/* rounding up into one digit more is left to the type */
		if (d.ndigits > 0 && d.point > precision - scale)
			return dpipe_refuse(run, "convert",
								ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
								"column \"%s\": value \"%s\" overflows type %s",
								NameStr(col->name), shown(value),
								format_type_with_typemod(col->base_type,
														 col->base_typmod));
	}
	if (parsed == PARSED_OK)
	{
		parsed = put_decimal(&d, out);
		if (parsed == PARSED_RANGE && col->base_typmod >= (int32) VARHDRSZ)
			return encode_any(run, col, value, out);	/* rounding may save it */
	}
	if (parsed == PARSED_SYNTAX)
		return refuse_syntax(run, col, value);
	if (parsed == PARSED_RANGE)
		return refuse_range(run, col, value);
	return true;
}

/* ---------- date and time ---------- */

/* An ISO 8601 date, time of day and zone, as far as each is there. */
typedef struct Iso
{
	int			year;
	int			month;
	int			day;
	bool		has_time;
	int64		time;			/* microseconds of the day */
	bool		has_zone;
	int			zone;			/* seconds east of Greenwich */
} Iso;

static inline bool
two_digits(const char **s, const char *end, int max, int *value)
{
	if (end - *s < 2 || (*s)[0] < '0' || (*s)[0] > '9' ||
		(*s)[1] < '0' || (*s)[1] > '9')
		return false;
	*value = ((*s)[0] - '0') * 10 + ((*s)[1] - '0');
	*s += 2;
	return *value <= max;
}

static inline bool
one_char(const char **s, const char *end, char c)
{
	if (*s >= end || **s != c)
		return false;
	(*s)++;
	return true;
}

static bool
parse_iso_date(const char **s, const char *end, Iso *iso)
{
	int			century;
	int			year;

	if (!two_digits(s, end, 99, &century) || !two_digits(s, end, 99, &year) ||
		!one_char(s, end, '-') || !two_digits(s, end, 12, &iso->month) ||
		!one_char(s, end, '-') || !two_digits(s, end, 31, &iso->day))
		return false;
	iso->year = century * 100 + year;
	return iso->year > 0 && iso->month > 0 && iso->day > 0 &&
		iso->day <= day_tab[isleap(iso->year)][iso->month - 1];
}

/* hh:mm[:ss[.ffffff]], no leap second, no 24:00 */
static bool
parse_iso_time(const char **s, const char *end, Iso *iso)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			micros = 0;

	if (!two_digits(s, end, 23, &hour) || !one_char(s, end, ':') ||
		!two_digits(s, end, 59, &minute))
		return false;
	if (one_char(s, end, ':'))
	{
		if (!two_digits(s, end, 59, &second))
			return false;
		if (one_char(s, end, '.'))
		{
			int			unit = 100000;

			if (*s >= end || **s < '0' || **s > '9')
				return false;
			for (; *s < end && **s >= '0' && **s <= '9'; (*s)++)
			{
				if (unit == 0)
					return false;	/* would have to be rounded */
				micros += (**s - '0') * unit;
				unit /= 10;
			}
		}
	}
	iso->has_time = true;
	iso->time = ((int64) (hour * 60 + minute) * 60 + second) * USECS_PER_SEC +
		micros;
	return true;
}

/* Z, +hh, +hhmm or +hh:mm */
static bool
parse_iso_zone(const char **s, const char *end, Iso *iso)
{
	bool		west;
	int			hours;
	int			minutes = 0;

	iso->has_zone = true;
	iso->zone = 0;
	if (one_char(s, end, 'Z') || one_char(s, end, 'z'))
		return true;
	west = *s < end && **s == '-';
	if (!west && (*s >= end || **s != '+'))
		return false;
	(*s)++;
	if (!two_digits(s, end, MAX_TZDISP_HOUR, &hours))
		return false;
	if (*s < end)
	{
		(void) one_char(s, end, ':');
		if (!two_digits(s, end, 59, &minutes))
			return false;
	}
	iso->zone = (hours * 60 + minutes) * 60;
	if (west)
		iso->zone = -iso->zone;
	return true;
}

/* Everything else that PostgreSQL reads as a date is left to it. */
static bool
parse_iso(const DpipeValue *value, Iso *iso)
{
	const char *s = value->text;
	const char *end = s + value->text_len;

	iso->has_time = iso->has_zone = false;
	iso->time = 0;
	if (value->type != DPIPE_JSON_STRING || !parse_iso_date(&s, end, iso))
		return false;
	if (s == end)
		return true;
	if (!one_char(&s, end, 'T') && !one_char(&s, end, ' ') &&
		!one_char(&s, end, 't'))
		return false;
	if (!parse_iso_time(&s, end, iso))
		return false;
	return s == end || (parse_iso_zone(&s, end, iso) && s == end);
}

static bool
encode_date(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	Iso			iso;

	if (!parse_iso(value, &iso))
		return encode_any(run, col, value, out);
	dpipe_put_length(out, sizeof(DateADT));
	pq_writeint32(out, date2j(iso.year, iso.month, iso.day) -
				 POSTGRES_EPOCH_JDATE);
	return true;
}

static void
put_timestamp(const Iso *iso, int zone, StringInfo out)
{
	int64		days = date2j(iso->year, iso->month, iso->day) -
		POSTGRES_EPOCH_JDATE;

	dpipe_put_int64(out, days * USECS_PER_DAY + iso->time -
					zone * USECS_PER_SEC);
}

/* As in the server: a zone in the text of a timestamp without one is ignored. */
static bool
encode_timestamp(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
				 StringInfo out)
{
	Iso			iso;

	if (!parse_iso(value, &iso))
		return encode_any(run, col, value, out);
	put_timestamp(&iso, 0, out);
	return true;
}

/* Without a zone it is UTC, to which TimeZone is pinned. */
static bool
encode_timestamptz(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
				   StringInfo out)
{
	Iso			iso;

	if (!parse_iso(value, &iso))
		return encode_any(run, col, value, out);
	put_timestamp(&iso, iso.has_zone ? iso.zone : 0, out);
	return true;
}

static bool
encode_time(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	const char *s = value->text;
	const char *end = s + value->text_len;
	Iso			iso;

	if (value->type != DPIPE_JSON_STRING || !parse_iso_time(&s, end, &iso) ||
		s != end)
		return encode_any(run, col, value, out);
	dpipe_put_int64(out, iso.time);
	return true;
}

/* ---------- uuid ---------- */

/* A digit's value; 0xFF: not hexadecimal. */
static const uint8 hex_value[256] = {
	[0 ... '0' - 1] = 0xFF,
	['0'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
	['9' + 1 ... 'A' - 1] = 0xFF,
	['A'] = 10, 11, 12, 13, 14, 15,
	['F' + 1 ... 'a' - 1] = 0xFF,
	['a'] = 10, 11, 12, 13, 14, 15,
	['f' + 1 ... 255] = 0xFF,
};

/* The spellings of uuid_in: braces around, a hyphen after any 4 digits. */
static bool
parse_uuid(const char *s, int len, uint8 *uuid)
{
	const char *end = s + len;
	bool		braces = len > 0 && *s == '{';

	if (braces)
		s++;
	for (int i = 0; i < UUID_LEN; i++)
	{
		uint8		high;
		uint8		low;

		if (end - s < 2)
			return false;
		high = hex_value[(uint8) s[0]];
		low = hex_value[(uint8) s[1]];
		if ((high | low) & 0xF0)
			return false;
		uuid[i] = high << 4 | low;
		s += 2;
		if (s < end && *s == '-' && (i % 2) == 1 && i < UUID_LEN - 1)
			s++;
	}
	if (braces && (s >= end || *s++ != '}'))
		return false;
	return s == end;
}

static bool
encode_uuid(DpipeRun *run, DpipeColumn *col, const DpipeValue *value,
			StringInfo out)
{
	uint8		uuid[UUID_LEN];

	if (!parse_uuid(value->text, value->text_len, uuid))
		return refuse_syntax(run, col, value);
	dpipe_put_bytes(out, (char *) uuid, UUID_LEN);
	return true;
}

/* ---------- choice ---------- */

void
dpipe_encoder_choose(DpipeColumn *col)
{
	static const struct
	{
		Oid			type;
		DpipeEncoder encode;
	}			encoders[] = {
		{BOOLOID, encode_bool},
		{INT2OID, encode_int2},
		{INT4OID, encode_int4},
		{INT8OID, encode_int8},
		{FLOAT4OID, encode_float4},
		{FLOAT8OID, encode_float8},
		{NUMERICOID, encode_numeric},
		{TEXTOID, encode_text},
		{VARCHAROID, encode_text},
		{BPCHAROID, encode_text},
		{BYTEAOID, encode_bytea},
		{JSONOID, encode_json},
		{JSONBOID, encode_jsonb},
		{DATEOID, encode_date},
		{TIMEOID, encode_time},
		{TIMESTAMPOID, encode_timestamp},
		{TIMESTAMPTZOID, encode_timestamptz},
		{UUIDOID, encode_uuid},
	};

	col->encode = encode_any;
	for (int i = 0; i < lengthof(encoders); i++)
	{
		if (encoders[i].type == col->base_type)
			col->encode = encoders[i].encode;
	}
	col->typed_here = col->encode != encode_any;
}
