/*
 * json_guided.c
 *		The JSON scanner against PostgreSQL's parser, guided by coverage.
 *
 * For clang's -fsanitize=fuzzer, with PostgreSQL's libpgcommon, whose parser
 * is the one that json and jsonb use. Both must take the same texts, find the
 * same fields at the top and agree about what jsonb refuses in strings.
 * (Numbers beyond numeric are json_scan.c's, which asks a server.) Texts that
 * are no UTF-8 are scanned only, for what the sanitizers say.
 *
 * test/t/209_json_guided.pl builds and runs it.
 */
#include "postgres_fe.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#undef printf
#include "load/scan.h"

/* Fields: where the value begins and ends, and the key's length. */
#define MAX_FIELDS 64

typedef struct Fields
{
	int			n;
	struct
	{
		int			start;
		int			end;
		int			key_len;
	}			field[MAX_FIELDS];
} Fields;

typedef struct Parse
{
	JsonLexContext *lex;
	const char *text;
	Fields		fields;
	int			open;			/* of the field that is being parsed, or -1 */
	int			key_len;
} Parse;

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static const char *scanned_text;

static void
on_field(void *arg, const char *key, int key_len, int key_flags,
		 const DpipeJsonValue *value)
{
	Fields	   *f = arg;
	char	   *out;

	if (f->n >= MAX_FIELDS)
		return;
	f->field[f->n].start = value->span - scanned_text;
	f->field[f->n].end = f->field[f->n].start + value->span_len;
	f->field[f->n].key_len = -1;
	if (!(key_flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE)))
	{
		out = malloc(Max(key_len, 1));
		f->field[f->n].key_len = dpipe_json_unescape(key, key_len, out);
		free(out);
	}
	f->n++;
}

static void
field_start(void *state, char *name, bool isnull)
{
	Parse	   *p = state;

	if (p->lex->lex_level != 1)
		return;
	p->open = p->lex->token_start - p->text;
	p->key_len = name != NULL ? (int) strlen(name) : -1;
}

static void
field_end(void *state, char *name, bool isnull)
{
	Parse	   *p = state;
	Fields	   *f = &p->fields;

	free(name);					/* the parser's copy, used no more */
	if (p->lex->lex_level != 1)
		return;
	if (f->n < MAX_FIELDS)
	{
		f->field[f->n].start = p->open;
		f->field[f->n].end = p->lex->prev_token_terminator - p->text;
		f->field[f->n].key_len = p->key_len;
	}
	f->n++;
}

static bool
parse(char *text, int len, bool escapes, Fields *fields)
{
	Parse		p = {0};
	JsonSemAction sem = {0};
	bool		ok;

	p.lex = makeJsonLexContextCstringLen(text, len, PG_UTF8, escapes);
	p.text = text;
	sem.semstate = &p;
	sem.object_field_start = field_start;
	sem.object_field_end = field_end;
	ok = pg_parse_json(p.lex, &sem) == JSON_SUCCESS;
	if (p.lex->strval != NULL)
	{
		pfree(p.lex->strval->data);
		pfree(p.lex->strval);
	}
	pfree(p.lex);
	*fields = p.fields;
	return ok;
}

static void
check(bool holds, const char *what)
{
	if (!holds)
	{
		fprintf(stderr, "differs: %s\n", what);
		abort();
	}
}

static bool
is_utf8(const uint8 *s, int len)
{
	for (int i = 0; i < len;)
	{
		int			n = pg_utf_mblen(s + i);

		if (s[i] == 0 || i + n > len || !pg_utf8_islegal(s + i, n))
			return false;
		i += n;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *exact = malloc(Max(size, 1));
	DpipeJsonDocument doc;
	Fields		ours = {0};
	Fields		theirs;
	bool		ok;

	memcpy(exact, data, size);
	scanned_text = exact;
	ok = dpipe_json_scan(exact, size, on_field, &ours, &doc);
	check(doc.error_at >= 0 && doc.error_at <= (int) size, "the place of the error");
	check(ok == (doc.error == DPIPE_JSON_OK), "the error");
	if (is_utf8(data, size))
	{
		bool		strings = !(doc.root.flags & (DPIPE_JSON_HAS_NUL | DPIPE_JSON_HAS_SURROGATE));

		check(ok == parse(exact, size, false, &theirs), "is it JSON");
		check((ok && strings) == parse(exact, size, true, &theirs), "can it be jsonb");
		if (ok && strings && doc.root.type == DPIPE_JSON_OBJECT)
		{
			check(ours.n == theirs.n || ours.n == MAX_FIELDS, "the number of fields");
			for (int i = 0; i < ours.n; i++)
				check(memcmp(&ours.field[i], &theirs.field[i], sizeof(ours.field[i])) == 0,
					  "a field");
		}
	}
	free(exact);
	return 0;
}
