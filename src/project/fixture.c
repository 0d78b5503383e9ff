/*
 * fixture.c
 *		The rows of unit tests: inline, in a file of fixtures or of a seed; CSV
 *		as Python reads it.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "project/loading.h"

/* ---------- CSV ---------- */

typedef struct Csv
{
	const char *p;
	const char *end;
} Csv;

/* A field, and what ends it: a comma, a newline, or '\0' at the end. */
static char *
read_field(Csv *csv, char *ended_by)
{
	StringInfoData buf;
	bool		quoted = false;

	initStringInfo(&buf);
	if (csv->p < csv->end && *csv->p == '"')
	{
		quoted = true;
		csv->p++;
	}
	for (; csv->p < csv->end; csv->p++)
	{
		char		c = *csv->p;

		if (quoted && c == '"')
		{
			/* A quote that is doubled is one; what follows another is text. */
			if (csv->p + 1 < csv->end && csv->p[1] == '"')
				csv->p++;
			else
			{
				quoted = false;
				continue;
			}
		}
		else if (!quoted && (c == ',' || c == '\n' || c == '\r'))
			break;
		appendStringInfoChar(&buf, c);
	}
	*ended_by = '\0';
	if (csv->p < csv->end)
	{
		*ended_by = *csv->p == ',' ? ',' : '\n';
		if (*csv->p == '\r' && csv->p + 1 < csv->end && csv->p[1] == '\n')
			csv->p++;
		csv->p++;
	}
	return buf.data;
}

/* NULL: there is no line any more; an empty line has no fields. */
static PdDoc *
read_line(Csv *csv)
{
	PdDoc	   *fields = pd_list();
	char		ended_by = ',';

	if (csv->p >= csv->end)
		return NULL;
	if (*csv->p == '\n' || *csv->p == '\r')
	{
		(void) read_field(csv, &ended_by);
		return fields;
	}
	while (ended_by == ',')
		pd_append(fields, pd_string(read_field(csv, &ended_by)));
	return fields;
}

/* Fields without a name are a list, as a manifest shows it; names without a field null. */
static PdDoc *
row_of(const PdDoc *names, const PdDoc *fields, bool empty_is_null)
{
	PdDoc	   *row = pd_dict();
	PdDoc	   *rest = pd_list();

	for (int i = 0; i < names->n; i++)
	{
		PdDoc	   *value = i < fields->n ? fields->u.items[i] : pd_null();

		if (empty_is_null && pd_equals(value, ""))
			value = pd_null();
		(void) pd_put_key(row, names->u.items[i], value);
	}
	for (int i = names->n; i < fields->n; i++)
		pd_append(rest, fields->u.items[i]);
	if (rest->n > 0)
		pd_put(row, "null", rest);
	return row;
}

static PdDoc *
csv_rows(const char *text, int len, bool empty_is_null)
{
	Csv			csv = {text, text + len};
	PdDoc	   *rows = pd_list();
	PdDoc	   *names = read_line(&csv);
	PdDoc	   *fields;

	while (names != NULL && (fields = read_line(&csv)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (fields->n > 0)
			pd_append(rows, row_of(names, fields, empty_is_null));
	}
	return rows;
}

/* ---------- files ---------- */

const char *
pj_fixture_name(const PjFile *file)
{
	const char *slash = strrchr(file->relative, '/');
	const char *name = slash != NULL ? slash + 1 : file->relative;

	return pnstrdup(name, strrchr(name, '.') - name);
}

static const PjFile *
find_fixture(const PjLoad *load, const PjNode *test, const char *name)
{
	ListCell   *lc;

	foreach(lc, load->files)
	{
		const PjFile *file = lfirst(lc);

		if (file->kind == PJ_FIXTURE && file->project == test->project &&
			strcmp(pj_fixture_name(file), name) == 0)
			return file;
	}
	pj_raise(test->file, NULL, "File not found for fixture '%s' in unit tests in %s", name,
			 test->original_path);
}

/* An input of no rows has those of the seed that it names. */
static PdDoc *
seed_rows(PjLoad *load, const PjNode *test, const PdDoc *fixture)
{
	PjNode		reader = *test;
	const char *name;
	const char *package;
	PjNode	   *seed;
	bool		disabled;

	reader.refs = pd_list();
	reader.sources = pd_list();
	reader.macros = NIL;
	reader.raw_code = psprintf("{{ %s }}", pd_get_text(fixture, "input"));
	if (!pd_equals(pd_get(fixture, "input"), "this"))
		pj_parse_reference(load, &reader);
	if (reader.refs->n != 1)
		pj_raise(test->file, fixture, "input %s of unit test %s has no rows and is no seed",
				 pd_get_text(fixture, "input"), test->name);
	name = pd_get_text(reader.refs->u.items[0], "name");
	package = pd_get_text(reader.refs->u.items[0], "package");
	if (package == NULL)
		package = test->project->name;
	seed = pj_find_ref(load, name, package, NULL, test->project, &disabled);
	if (seed == NULL || strcmp(seed->resource_type, "seed") != 0)
		pj_raise(test->file, fixture, "Unable to find seed '%s.%s' for unit tests of '%s'", package,
				 name, test->project->name);
	return csv_rows(seed->file->text, seed->file->len, false);
}

/* ---------- rows ---------- */

static bool
has_null(const PdDoc *row)
{
	for (int i = 0; row->kind == PD_DICT && i < row->n; i++)
		if (pd_is_null(row->u.entries[i].value))
			return true;
	return false;
}

/* Types of columns are taken from the first row, so one without nulls goes there. */
static PdDoc *
with_whole_row_first(const PdDoc *rows)
{
	PdDoc	   *result = pd_copy_top(rows);

	for (int i = 0; i < rows->n; i++)
		if (!has_null(rows->u.items[i]))
		{
			result->u.items[0] = rows->u.items[i];
			result->u.items[i] = rows->u.items[0];
			break;
		}
	return result;
}

static PdDoc *
rows_of(PjLoad *load, const PjNode *test, const PdDoc *fixture, const char *kind)
{
	const char *format = pd_get_text(fixture, "format");
	PdDoc	   *rows = pd_get(fixture, "rows");
	const char *name = pd_get_text(fixture, "fixture");
	const PjFile *file;

	if (format == NULL || strcmp(format, "dict") == 0)
	{
		if (pd_is_null(rows) && name == NULL && pd_get_text(fixture, "input") != NULL)
			rows = seed_rows(load, test, fixture);
		if (!pd_is(rows, PD_LIST))
			pj_raise(test->file, fixture, "Unit test %s has %s rows which do not match format dict",
					 test->name, kind);
		return with_whole_row_first(rows);
	}
	if (name != NULL && *name != '\0')
	{
		file = find_fixture(load, test, name);
		if (strcmp(format, "csv") == 0 && strcmp(file->path + strlen(file->path) - 4, ".csv") != 0)
			pj_raise(test->file, fixture, "fixture '%s' of unit test %s is no file of CSV: %s", name,
					 test->name, file->path);
		rows = pd_string_len(file->text, file->len);
	}
	else if (name != NULL && pd_is_null(rows))
		rows = pd_string("");	/* a fixture without a name has none */
	if (!pd_is(rows, PD_STRING))
		pj_raise(test->file, fixture,
				 "Unit test %s has %s rows or fixtures which do not match format %s.  Expected string.",
				 test->name, kind, format);
	if (strcmp(format, "sql") == 0)
		return rows;
	return with_whole_row_first(csv_rows(rows->u.text, rows->n, true));
}

static PdDoc *
filled(PjLoad *load, const PjNode *test, const PdDoc *fixture, const char *kind)
{
	PdDoc	   *result = pd_copy_top(fixture);

	pd_put(result, "rows", rows_of(load, test, fixture, kind));
	return result;
}

void
pj_fill_fixtures(PjLoad *load, PjNode *test)
{
	const PdDoc *given = pd_get(test->more, "given");
	PdDoc	   *inputs = pd_list();

	for (int i = 0; i < given->n; i++)
		pd_append(inputs, filled(load, test, given->u.items[i], "input"));
	pd_put(test->more, "given", inputs);
	pd_put(test->more, "expect", filled(load, test, pd_get(test->more, "expect"), "expected"));
}
