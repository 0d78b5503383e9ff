/*
 * options.c
 *		The options of a source: one table of what there is.
 *
 * Defaults stand in catalog.c, which reads what was checked here.
 */
#include "base/compat.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "catalog/define.h"

typedef enum OptionType
{
	OPTION_INTEGER,
	OPTION_BOOLEAN,
	OPTION_WORD,				/* one of a list */
	OPTION_OBJECT,
	OPTION_ANY,					/* checked by the kind of source */
} OptionType;

typedef struct SourceOption
{
	const char *name;
	OptionType	type;
	int64		min;
	int64		max;
	const char *words[4];
} SourceOption;

/* Sorted as they are listed in hints. */
static const SourceOption source_options[] = {
	{"batch_bytes", OPTION_INTEGER, 1024, INT64CONST(256) * 1024 * 1024},
	{"batch_rows", OPTION_INTEGER, 1, 1000000},
	{"enabled", OPTION_BOOLEAN},
	{"key_format", OPTION_WORD, 0, 0, {"text", "bytea", "json"}},
	{"librdkafka", OPTION_OBJECT},
	{"linger_ms", OPTION_INTEGER, 0, 60000},
	/* 256 MiB: what a bytea and its copies on the way can safely be. */
	{"max_record_bytes", OPTION_INTEGER, 1, INT64CONST(256) * 1024 * 1024},
	{"on_gap", OPTION_WORD, 0, 0, {"stop", "earliest", "latest"}},
	{"on_unknown_field", OPTION_WORD, 0, 0, {"ignore", "dead_letter"}},
	{"stop_at", OPTION_ANY},
	{"workers", OPTION_INTEGER, 1, DPIPE_MAX_SOURCE_WORKERS},
};

static void pg_attribute_noreturn()
raise_unknown(const char *name)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(source_options); i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 source_options[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\" of a source", name),
			 errhint("Options are: %s.", list.data)));
}

static void pg_attribute_noreturn()
raise_wrong(const SourceOption *option, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be %s", option->name, wanted)));
}

static bool
is_integer_in(const JsonbValue *v, int64 min, int64 max)
{
	Datum		n;

	if (v->type != jbvNumeric)
		return false;
	n = NumericGetDatum(v->val.numeric);

	/* Compared as numeric: no conversion that could overflow. */
	return DatumGetBool(DirectFunctionCall2(numeric_ge, n,
											NumericGetDatum(int64_to_numeric(min)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, n,
										 NumericGetDatum(int64_to_numeric(max)))) &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, n,
										 DirectFunctionCall2(numeric_trunc, n,
															 Int32GetDatum(0))));
}

static void
check_word(const SourceOption *option, const JsonbValue *v)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(option->words) && option->words[i]; i++)
	{
		const char *word = option->words[i];

		if (v->type == jbvString && v->val.string.len == strlen(word) &&
			memcmp(v->val.string.val, word, v->val.string.len) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", word);
	}
	raise_wrong(option, psprintf("one of %s", list.data));
}

static void
check_option(const SourceOption *option, const JsonbValue *v)
{
	/* null: as if it were not given */
	if (v->type == jbvNull)
		return;
	switch (option->type)
	{
		case OPTION_INTEGER:
			if (!is_integer_in(v, option->min, option->max))
				raise_wrong(option,
							psprintf("an integer from " INT64_FORMAT " to " INT64_FORMAT,
									 option->min, option->max));
			break;
		case OPTION_BOOLEAN:
			if (v->type != jbvBool)
				raise_wrong(option, "true or false");
			break;
		case OPTION_WORD:
			check_word(option, v);
			break;
		case OPTION_OBJECT:
			if (v->type != jbvBinary ||
				!JsonContainerIsObject(v->val.binary.data))
				raise_wrong(option, "an object");
			break;
		case OPTION_ANY:
			break;
	}
}

void
dpipe_source_options_check(const Jsonb *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options of a source must be a JSON object")));

	it = JsonbIteratorInit((JsonbContainer *) &options->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		const SourceOption *option = NULL;
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		(void) JsonbIteratorNext(&it, &v, true);
		for (int i = 0; i < lengthof(source_options); i++)
			if (strcmp(source_options[i].name, name) == 0)
				option = &source_options[i];
		if (option == NULL)
			raise_unknown(name);
		check_option(option, &v);
	}
}
