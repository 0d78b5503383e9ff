/*
 * json_scan.c
 *		Makes JSON texts, whole and broken, and says what the scanner makes of
 *		them.
 *
 *	json_scan COUNT SEED
 *
 * Prints one line a text, tab-separated, ready for COPY: the text in hex;
 * t or f (is it JSON); t or f each for \u0000, lone surrogates, numbers beyond
 * numeric; the fields at the top, "key=value" each with a newline behind it,
 * in hex. test/t/204_json_scan.pl compares with PostgreSQL. Texts are valid
 * UTF-8 without NUL. Built with sanitizers; each text has a buffer of its
 * exact size, so that a read beyond it is seen.
 */
#include "postgres_fe.h"

#undef printf				/* no libpgport here */

#include "load/scan.h"

static uint64 state;

/* xorshift64*: the same texts everywhere for the same seed. */
static uint32
next_random(uint32 below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32) ((state * UINT64CONST(2685821657736338717)) >> 33) % below;
}

typedef struct Text
{
	char		data[8192];
	int			len;
} Text;

static void
put(Text *t, const char *s)
{
	int			len = strlen(s);

	if (t->len + len > (int) sizeof(t->data))
		len = 0;
	memcpy(t->data + t->len, s, len);
	t->len += len;
}

#define PICK(array) ((array)[next_random(lengthof(array))])

static void
put_space(Text *t)
{
	static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t ", "\r\n"};

	put(t, PICK(spaces));
}

static void
put_string(Text *t)
{
	static const char *const parts[] = {
		"a", "b", "key", "x y", "\\n", "\\\"", "\\\\", "\\/", "\\b\\f\\r\\t", "\\u0041", "\\u00e4", "\\u20AC", "\\ud83d\\ude00",
		"\\u0000", "\\ud800", "\\udc00", "\\udbff\\udfff", "\\ud83d\\n", "\\ud83dx", "ä", "€", "😀", "\x7f", "{", "]", ":", ",",
		"\\uD83D\\uD83D\\uDE00", "\\u000", "\\x", "true", "0123456789"
	};
	int			n = next_random(4);

	put(t, "\"");
	while (n-- > 0)
	{
		/* the later ones seldom, or hardly a text would be whole */
		int			i = next_random(4) ? next_random(13) : next_random(lengthof(parts));

		put(t, parts[i]);
	}
	put(t, "\"");
}

static void
put_number(Text *t)
{
	static const char *const numbers[] = {
		"0", "-0", "1", "12", "-3.5", "0.1", "1e5", "1E+5", "2.5e-3", "123456789012345678901234567890", "0e0",
		"1e131071", "1e131072", "12e131070", "12e131071", "0.1e131072", "0.1e131073", "0.01e131073", "0e999999", "0.0e999999",
		"1e-16383", "1e-16384", "0.1e-16382", "0.1e-16383", "0e-16384", "10e-16384", "1e1073741822", "1e1073741823", "0e1073741823",
		"1e99999999999999999999", "0e-99999999999999999999", "1e-1073741823", "1.5e131071", "15.0e131070",
		"01", "1.", ".5", "-", "+1", "1e", "1e+", "0x1", "--1", "1.e5", "00", "-01", "1.2.3", "NaN", "Infinity"
	};

	put(t, numbers[next_random(6) ? next_random(11) : next_random(lengthof(numbers))]);
}

static void put_value(Text *t, int depth);

static void
put_container(Text *t, int depth, bool object)
{
	int			n = next_random(4);

	put(t, object ? "{" : "[");
	put_space(t);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
		{
			put(t, ",");
			put_space(t);
		}
		if (object)
		{
			put_string(t);
			put_space(t);
			put(t, ":");
			put_space(t);
		}
		put_value(t, depth + 1);
		put_space(t);
	}
	put(t, object ? "}" : "]");
}

static void
put_value(Text *t, int depth)
{
	static const char *const words[] = {"true", "false", "null"};

	switch (next_random(depth > 6 ? 4 : depth == 0 ? 12 : 7))
	{
		case 0:
			put(t, PICK(words));
			break;
		case 1:
			put_number(t);
			break;
		case 2:
		case 3:
			put_string(t);
			break;
		case 4:
			put_container(t, depth, false);
			break;
		default:
			put_container(t, depth, true);
			break;
	}
}

static bool
is_continuation(const Text *t, int at)
{
	return at < t->len && ((unsigned char) t->data[at] & 0xC0) == 0x80;
}

/* Break it a little, but leave it valid UTF-8. */
static void
mutate(Text *t)
{
	static const char alphabet[] = "{}[]:,\"\\/0123456789.eE+-tfnu \t\n\rabx\x01\x1f\x0b";
	int			at = next_random(t->len + 1);
	int			n;

	while (is_continuation(t, at))
		at--;
	switch (next_random(5))
	{
		case 0:					/* cut off */
			t->len = at;
			break;
		case 1:					/* remove some */
			n = next_random(3) + 1;
			n = Min(n, t->len - at);
			while (is_continuation(t, at + n))
				n++;
			memmove(t->data + at, t->data + at + n, t->len - at - n);
			t->len -= n;
			break;
		case 2:					/* replace a character of one byte */
			if (at < t->len && (t->data[at] & 0x80) == 0)
				t->data[at] = alphabet[next_random(sizeof(alphabet) - 1)];
			break;
		case 3:					/* insert */
			if (t->len < (int) sizeof(t->data))
			{
				memmove(t->data + at + 1, t->data + at, t->len - at);
				t->data[at] = alphabet[next_random(sizeof(alphabet) - 1)];
				t->len++;
			}
			break;
		case 4:					/* the front once more */
			if (t->len + at <= (int) sizeof(t->data))
			{
				memcpy(t->data + t->len, t->data, at);
				t->len += at;
			}
			break;
	}
}

static void
put_hex(const char *data, int len)
{
	for (int i = 0; i < len; i++)
		printf("%02x", (unsigned char) data[i]);
}

typedef struct Fields
{
	char	   *data;
	int			len;
	int			room;
} Fields;

static void
fields_append(Fields *f, const char *data, int len)
{
	if (len == 0)
		return;
	if (f->len + len > f->room)
	{
		f->room = (f->len + len) * 2;
		f->data = realloc(f->data, f->room);
	}
	memcpy(f->data + f->len, data, len);
	f->len += len;
}

static void
on_field(void *arg, const char *key, int key_len, int key_flags,
		 const DpipeJsonValue *value)
{
	Fields	   *f = arg;

	if (key_flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE))
		return;					/* no name; the test does not look then */
	if (key_flags & DPIPE_JSON_HAS_ESCAPE)
	{
		char	   *out = malloc(key_len);

		key_len = dpipe_json_unescape(key, key_len, out);
		fields_append(f, out, key_len);
		free(out);
	}
	else
		fields_append(f, key, key_len);
	fields_append(f, "=", 1);
	fields_append(f, value->span, value->span_len);
	fields_append(f, "\n", 1);
}

int
main(int argc, char **argv)
{
	int			count = argc > 1 ? atoi(argv[1]) : 1000;

	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	state = state * 2 + 1;
	for (int i = 0; i < count; i++)
	{
		static Text t;
		Fields		fields = {0};
		DpipeJsonDocument doc;
		char	   *exact;
		bool		ok;

		t.len = 0;
		put_space(&t);
		put_value(&t, 0);
		put_space(&t);
		for (int n = next_random(2) ? 0 : next_random(4); n > 0; n--)
			mutate(&t);

		exact = malloc(Max(t.len, 1));
		memcpy(exact, t.data, t.len);
		ok = dpipe_json_scan(exact, t.len, on_field, &fields, &doc);
		if (doc.error_at < 0 || doc.error_at > t.len)
			abort();
		put_hex(exact, t.len);
		printf("\t%c\t%c\t%c\t%c\t", ok ? 't' : 'f',
			   doc.root.flags & DPIPE_JSON_HAS_NUL ? 't' : 'f',
			   doc.root.flags & DPIPE_JSON_HAS_SURROGATE ? 't' : 'f',
			   doc.root.flags & DPIPE_JSON_HAS_HUGE_NUMBER ? 't' : 'f');
		if (ok && doc.root.type == DPIPE_JSON_OBJECT)
			put_hex(fields.data, fields.len);
		printf("\n");
		free(fields.data);
		free(exact);
	}
	return 0;
}
