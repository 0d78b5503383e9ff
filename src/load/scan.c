/*
 * scan.c
 *		One pass over a JSON text: is it JSON, and where are its fields?
 *
 * Accepts exactly what PostgreSQL's json input accepts (RFC 8259: no BOM, no
 * comments, no trailing text), apart from depth, where that one depends on
 * the stack. Besides it notes what jsonb would refuse, so that a bad record
 * is found without an error being raised. No recursion: the kinds of the
 * open containers are a bitmap, so hostile depth costs no stack.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/compat.h"
#include "port/pg_bitutils.h"

#include "load/scan.h"

/* Limits of numeric: see NUMERIC_WEIGHT_MASK and NUMERIC_DSCALE_MAX. */
#define NUMERIC_MAX_INTEGER_DIGITS 131072
#define NUMERIC_MAX_FRACTION_DIGITS 16383

typedef struct Scanner
{
	const char *start;
	const char *p;
	const char *end;
	const char *key_end;		/* the closing quote of the last key */
	int			flags;			/* of the value being scanned */
	int			depth;
	DpipeJsonError error;
	uint8		is_object[DPIPE_SCAN_MAX_DEPTH / 8 + 1];
} Scanner;

/* 1: ordinary inside of a string; 0: quote, backslash, control character. */
static const uint8 plain[256] = {
	[0x20 ... 0x21] = 1,
	[0x23 ... 0x5B] = 1,
	[0x5D ... 0xFF] = 1,
};

/* The same byte eight times. */
#define REPEAT(c) (UINT64CONST(0x0101010101010101) * (c))

/*
 * Which bytes of a word are not ordinary: their highest bits. A borrow can
 * also mark bytes above the first such one, never below it.
 */
static inline uint64
special_bytes(uint64 word)
{
	uint64		quote = word ^ REPEAT('"');
	uint64		backslash = word ^ REPEAT('\\');

	return (((word - REPEAT(0x20)) & ~word) |
			((quote - REPEAT(1)) & ~quote) |
			((backslash - REPEAT(1)) & ~backslash)) & REPEAT(0x80);
}

/* The first byte from p on that is not ordinary, or the end. */
static inline const char *
skip_plain(const char *p, const char *end)
{
	for (; end - p >= sizeof(uint64); p += sizeof(uint64))
	{
		uint64		word;
		uint64		special;

		memcpy(&word, p, sizeof(word));
		special = special_bytes(word);
		if (special == 0)
			continue;
#ifdef WORDS_BIGENDIAN
		break;
#else
		return p + pg_rightmost_one_pos64(special) / 8;
#endif
	}
	while (p < end && plain[(uint8) *p])
		p++;
	return p;
}

static inline bool
fail(Scanner *s, DpipeJsonError error)
{
	s->error = s->p >= s->end ? DPIPE_JSON_UNEXPECTED_END : error;
	return false;
}

static inline void
skip_space(Scanner *s)
{
	/* mostly there is none or one; the first comparison settles it */
	while (s->p < s->end && (uint8) *s->p <= ' ' &&
		   (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
}

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four hex digits at p, which the caller knows to be there; -1 if not. */
static inline int
hex4(const char *p)
{
	int			value = 0;

	for (int i = 0; i < 4; i++)
	{
		int			digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		value = (value << 4) | digit;
	}
	return value;
}

#define IS_HIGH_SURROGATE(u) ((u) >= 0xD800 && (u) <= 0xDBFF)
#define IS_LOW_SURROGATE(u) ((u) >= 0xDC00 && (u) <= 0xDFFF)

/*
 * After \u. "high" tells that the character before was the first half of a
 * pair; it is set for the next one.
 */
static bool
scan_unicode_escape(Scanner *s, bool *high)
{
	int			unit;
	bool		after_high = *high;

	for (int i = 0; i < 4; i++)
	{
		if (s->p + i >= s->end || hex_digit(s->p[i]) < 0)
		{
			s->p += i;
			return fail(s, DPIPE_JSON_BAD_ESCAPE);
		}
	}
	unit = hex4(s->p);
	s->p += 4;
	*high = IS_HIGH_SURROGATE(unit);
	if (after_high != IS_LOW_SURROGATE(unit))
		s->flags |= DPIPE_JSON_HAS_SURROGATE;
	if (unit == 0)
		s->flags |= DPIPE_JSON_HAS_NUL;
	return true;
}

/* At the opening quote; leaves p behind the closing one. */
static bool
scan_string(Scanner *s)
{
	bool		high = false;

	s->p++;
	for (;;)
	{
		const char *run = s->p;

		s->p = skip_plain(s->p, s->end);
		if (high && s->p > run)
		{
			s->flags |= DPIPE_JSON_HAS_SURROGATE;
			high = false;
		}
		if (s->p >= s->end)
			return fail(s, DPIPE_JSON_UNEXPECTED_END);
		if (*s->p == '"')
			break;
		if (*s->p != '\\')
			return fail(s, DPIPE_JSON_CONTROL_CHARACTER);

		s->flags |= DPIPE_JSON_HAS_ESCAPE;
		s->p++;
		if (s->p >= s->end)
			return fail(s, DPIPE_JSON_UNEXPECTED_END);
		switch (*s->p)
		{
			case 'u':
				s->p++;
				if (!scan_unicode_escape(s, &high))
					return false;
				break;
			case '"':
			case '\\':
			case '/':
			case 'b':
			case 'f':
			case 'n':
			case 'r':
			case 't':
				s->p++;
				if (high)
					s->flags |= DPIPE_JSON_HAS_SURROGATE;
				high = false;
				break;
			default:
				return fail(s, DPIPE_JSON_BAD_ESCAPE);
		}
	}
	if (high)
		s->flags |= DPIPE_JSON_HAS_SURROGATE;
	s->p++;
	return true;
}

static inline bool
scan_digits(Scanner *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from ? true : fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
}

/*
 * Can numeric hold it? The arithmetic of numeric's input function: "digits"
 * is what stands before the exponent, "nint" and "nfrac" count the digits
 * around its point.
 */
static bool
number_fits(const char *digits, int nint, int nfrac, const char *exp_text,
			const char *end)
{
	int64		exponent = 0;
	bool		negative = false;

	if (exp_text != NULL)
	{
		if (*exp_text == '+' || *exp_text == '-')
			negative = *exp_text++ == '-';
		for (; exp_text < end; exp_text++)
		{
			exponent = exponent * 10 + (*exp_text - '0');
			if (exponent > DPIPE_NUMERIC_MAX_EXPONENT)
				return false;
		}
		if (negative)
			exponent = -exponent;
	}
	if (nfrac - exponent > NUMERIC_MAX_FRACTION_DIGITS)
		return false;
	if (nint + exponent <= NUMERIC_MAX_INTEGER_DIGITS)
		return true;

	/* Leading zeros do not count, and a zero fits whatever its exponent. */
	for (int left = nint + nfrac; left > 0; digits++)
	{
		if (*digits == '.')
			continue;
		if (*digits != '0')
			return nint + exponent <= NUMERIC_MAX_INTEGER_DIGITS;
		nint--;
		left--;
	}
	return true;
}

static bool
scan_number(Scanner *s)
{
	const char *digits;
	const char *exp_text = NULL;
	int			nint;
	int			nfrac = 0;

	if (*s->p == '-')
		s->p++;
	digits = s->p;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	nint = s->p - digits;
	if (s->p < s->end && *s->p == '.')
	{
		s->p++;
		if (!scan_digits(s))
			return false;
		nfrac = s->p - digits - nint - 1;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E'))
	{
		s->p++;
		exp_text = s->p;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!scan_digits(s))
			return false;
	}
	if ((exp_text != NULL || nint > NUMERIC_MAX_INTEGER_DIGITS ||
		 nfrac > NUMERIC_MAX_FRACTION_DIGITS) &&
		!number_fits(digits, nint, nfrac, exp_text, s->p))
		s->flags |= DPIPE_JSON_HAS_HUGE_NUMBER;
	return true;
}

static bool
scan_word(Scanner *s, const char *word)
{
	for (; *word; word++, s->p++)
	{
		if (s->p >= s->end || *s->p != *word)
			return fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
	}
	return true;
}

static inline bool
push(Scanner *s, bool is_object)
{
	uint8		bit = 1 << (s->depth & 7);

	if (s->depth >= DPIPE_SCAN_MAX_DEPTH)
		return fail(s, DPIPE_JSON_TOO_DEEP);
	if (is_object)
		s->is_object[s->depth >> 3] |= bit;
	else
		s->is_object[s->depth >> 3] &= ~bit;
	s->depth++;
	s->p++;
	skip_space(s);
	return true;
}

static inline bool
in_object(Scanner *s)
{
	int			i = s->depth - 1;

	return (s->is_object[i >> 3] >> (i & 7)) & 1;
}

/* A key, its colon and the space around them. */
static inline bool
scan_key(Scanner *s)
{
	if (s->p >= s->end || *s->p != '"')
		return fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
	if (!scan_string(s))
		return false;
	s->key_end = s->p - 1;
	skip_space(s);
	if (s->p >= s->end || *s->p != ':')
		return fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
	s->p++;
	skip_space(s);
	return true;
}

typedef enum Step
{
	STEP_VALUE,					/* a value begins at p */
	STEP_KEY,					/* a key begins at p */
	STEP_AFTER,					/* a value ended before p */
	STEP_FAILED,
} Step;

/* Scan a scalar, or open a container. */
static inline Step
begin_value(Scanner *s, DpipeJsonType *type)
{
	bool		ok;

	if (s->p >= s->end)
	{
		fail(s, DPIPE_JSON_UNEXPECTED_END);
		return STEP_FAILED;
	}
	switch (*s->p)
	{
		case '{':
			*type = DPIPE_JSON_OBJECT;
			if (!push(s, true))
				return STEP_FAILED;
			if (s->p < s->end && *s->p == '}')
				break;
			return STEP_KEY;
		case '[':
			*type = DPIPE_JSON_ARRAY;
			if (!push(s, false))
				return STEP_FAILED;
			if (s->p < s->end && *s->p == ']')
				break;
			return STEP_VALUE;
		case '"':
			*type = DPIPE_JSON_STRING;
			return scan_string(s) ? STEP_AFTER : STEP_FAILED;
		case 't':
			*type = DPIPE_JSON_TRUE;
			return scan_word(s, "true") ? STEP_AFTER : STEP_FAILED;
		case 'f':
			*type = DPIPE_JSON_FALSE;
			return scan_word(s, "false") ? STEP_AFTER : STEP_FAILED;
		case 'n':
			*type = DPIPE_JSON_NULL;
			return scan_word(s, "null") ? STEP_AFTER : STEP_FAILED;
		default:
			*type = DPIPE_JSON_NUMBER;
			if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
				ok = scan_number(s);
			else
				ok = fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
			return ok ? STEP_AFTER : STEP_FAILED;
	}

	/* an empty container */
	s->depth--;
	s->p++;
	return STEP_AFTER;
}

/* Behind a value in a container: go on in it, or close it. */
static inline Step
after_value(Scanner *s)
{
	bool		object = in_object(s);

	if (s->p < s->end && *s->p == ',')
	{
		s->p++;
		skip_space(s);
		return object ? STEP_KEY : STEP_VALUE;
	}
	if (s->p < s->end && *s->p == (object ? '}' : ']'))
	{
		s->depth--;
		s->p++;
		return STEP_AFTER;
	}
	fail(s, DPIPE_JSON_UNEXPECTED_CHARACTER);
	return STEP_FAILED;
}

/* The fields of the object at the top, and who wants to hear of them. */
typedef struct Top
{
	DpipeJsonFieldCallback field;
	void	   *arg;
	bool		is_object;
	const char *key;			/* NULL: none so far */
	int			key_len;
	int			key_flags;
	DpipeJsonValue value;
	int			flags;			/* of what is behind us */
} Top;

/* What has been found in a key does not count for its value. */
static inline void
put_flags_by(Scanner *s, Top *top)
{
	top->flags |= s->flags;
	s->flags = 0;
}

static inline Step
scan_value(Scanner *s, Top *top, DpipeJsonValue *root)
{
	DpipeJsonType type = DPIPE_JSON_NULL;
	const char *from = s->p;
	int			depth = s->depth;
	Step		step = begin_value(s, &type);

	if (depth == 0)
	{
		root->type = type;
		top->is_object = type == DPIPE_JSON_OBJECT;
	}
	else if (depth == 1 && top->is_object)
	{
		top->value.type = type;
		top->value.span = from;
	}
	return step;
}

static inline bool
scan_top_key(Scanner *s, Top *top)
{
	top->key = s->p + 1;
	put_flags_by(s, top);
	if (!scan_key(s))
		return false;
	top->key_len = s->key_end - top->key;
	top->key_flags = s->flags;
	put_flags_by(s, top);
	return true;
}

static inline void
give_field(const Scanner *s, Top *top)
{
	top->value.span_len = s->p - top->value.span;
	top->value.flags = s->flags;
	top->field(top->arg, top->key, top->key_len, top->key_flags, &top->value);
}

bool
dpipe_json_scan(const char *text, int len, DpipeJsonFieldCallback field,
				void *arg, DpipeJsonDocument *document)
{
	Scanner		s;				/* large: its bitmap is not cleared */
	Top			top = {.field = field, .arg = arg};
	Step		step = STEP_VALUE;

	s.start = s.p = text;
	s.end = text + len;
	s.flags = 0;
	s.depth = 0;
	s.error = DPIPE_JSON_OK;

	skip_space(&s);
	document->root.span = s.p;
	for (;;)
	{
		if (step == STEP_VALUE)
			step = scan_value(&s, &top, &document->root);
		else if (step == STEP_KEY)
		{
			if (!(s.depth == 1 ? scan_top_key(&s, &top) : scan_key(&s)))
				break;
			step = STEP_VALUE;
		}
		else if (step == STEP_AFTER && s.depth > 0)
		{
			if (s.depth == 1 && top.is_object && top.field != NULL && top.key != NULL)
				give_field(&s, &top);
			skip_space(&s);
			step = after_value(&s);
		}
		else
			break;
	}

	document->root.span_len = s.p - document->root.span;
	skip_space(&s);
	if (s.error == DPIPE_JSON_OK && s.p < s.end)
		fail(&s, DPIPE_JSON_UNEXPECTED_CHARACTER);
	document->root.flags = top.flags | s.flags;
	document->error = s.error;
	document->error_at = s.p - s.start;
	return s.error == DPIPE_JSON_OK;
}

const char *
dpipe_json_error_text(DpipeJsonError error)
{
	switch (error)
	{
		case DPIPE_JSON_OK:
			return "no error";
		case DPIPE_JSON_UNEXPECTED_END:
			return "unexpected end";
		case DPIPE_JSON_UNEXPECTED_CHARACTER:
			return "unexpected character";
		case DPIPE_JSON_CONTROL_CHARACTER:
			return "control character in a string";
		case DPIPE_JSON_BAD_ESCAPE:
			return "invalid escape sequence";
		case DPIPE_JSON_TOO_DEEP:
			return "nested too deeply";
	}
	return "unknown error";
}

static int
put_utf8(uint32 c, char *out)
{
	if (c < 0x80)
	{
		out[0] = c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = 0xC0 | (c >> 6);
		out[1] = 0x80 | (c & 0x3F);
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = 0xE0 | (c >> 12);
		out[1] = 0x80 | ((c >> 6) & 0x3F);
		out[2] = 0x80 | (c & 0x3F);
		return 3;
	}
	out[0] = 0xF0 | (c >> 18);
	out[1] = 0x80 | ((c >> 12) & 0x3F);
	out[2] = 0x80 | ((c >> 6) & 0x3F);
	out[3] = 0x80 | (c & 0x3F);
	return 4;
}

int
dpipe_json_unescape(const char *s, int len, char *out)
{
	const char *end = s + len;
	char	   *to = out;

	while (s < end)
	{
		if (*s != '\\')
		{
			*to++ = *s++;
			continue;
		}
		s++;
		switch (*s++)
		{
			case 'b':
				*to++ = '\b';
				break;
			case 'f':
				*to++ = '\f';
				break;
			case 'n':
				*to++ = '\n';
				break;
			case 'r':
				*to++ = '\r';
				break;
			case 't':
				*to++ = '\t';
				break;
			case 'u':
				{
					uint32		c = hex4(s);

					s += 4;
					if (IS_HIGH_SURROGATE(c))
					{
						/* the scanner saw to it that the other half follows */
						c = 0x10000 + ((c & 0x3FF) << 10) +
							(hex4(s + 2) & 0x3FF);
						s += 6;
					}
					to += put_utf8(c, to);
					break;
				}
			default:
				*to++ = s[-1];	/* quote, backslash, slash */
				break;
		}
	}
	return to - out;
}
