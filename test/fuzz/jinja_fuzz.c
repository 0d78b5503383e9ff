/*
 * jinja_fuzz.c
 *		libFuzzer over the template engine: make -C test/fuzz fuzz.
 *
 * An input is a template; its first byte chooses text, value or lenient
 * rendering. Limits are low, so that inputs take no longer than they must.
 * Run it with the dictionary jinja.dict and a corpus of templates.
 */
#include "base/compat.h"

#include <locale.h>

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "jinja/jinja.h"

#include "pg_shim.h"

extern int	dpipe_jinja_max_output_kb;
extern int	dpipe_jinja_max_steps;
extern int	dpipe_jinja_max_depth;
extern int	dpipe_jinja_max_memory_kb;

const char *__asan_default_options(void);
int			LLVMFuzzerInitialize(int *argc, char ***argv);
int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static const char context[] =
	"{\"i\": 7, \"n\": -3, \"f\": 2.5, \"big\": 123456789012345678901234567890,"
	"\"s\": \"Hello World\", \"u\": \"Gr\\u00fc\\u00dfe\", \"l\": [3, 1, 2],"
	"\"ls\": [\"b\", \"A\", \"c\"], \"d\": {\"a\": 1, \"b\": \"two\", \"c\": [1, 2]},"
	"\"rows\": [{\"id\": 2, \"name\": \"bob\"}, {\"id\": 1, \"name\": \"Al\"}],"
	"\"nil\": null, \"yes\": true}";

static MemoryContext cxt;

static const JinjaTag tags[] = {
	{"test", JINJA_TAG_SIGNATURE},
	{"docs", JINJA_TAG_NAME},
	{"materialization", JINJA_TAG_OPTIONS},
	{NULL},
};

static const JinjaDialect dialect = {tags, true, false};

/* An allocation's call stack costs more than what most inputs do. */
const char *
__asan_default_options(void)
{
	return "malloc_context_size=2:quarantine_size_mb=8";
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	shim_init();
	dpipe_jinja_max_output_kb = 64;
	dpipe_jinja_max_steps = 4000;
	dpipe_jinja_max_depth = 60;
	dpipe_jinja_max_memory_kb = 2 * 1024;
	cxt = AllocSetContextCreate(TopMemoryContext, "case",
								ALLOCSET_DEFAULT_SIZES);
	return 0;
}

static JinjaValue *
context_return(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_return(env, args->nargs > 0 ? args->args[0] : jinja_none(env));
}

static void
visit(const JinjaCallInfo *call, void *arg)
{
	*(int *) arg += call->nargs + call->nkwargs;
}

static void
run_macros(JinjaEnv *env, JinjaTemplate *tmpl)
{
	JinjaArgs	args = {0};
	int			n = 0;

	jinja_template_calls(tmpl, -1, visit, &n);
	for (int i = 0; i < jinja_template_macros(tmpl) && i < 3; i++)
	{
		const JinjaMacroInfo *info = jinja_template_macro(tmpl, i);

		if (info->text_len < info->body_len)
			abort();
		(void) jinja_macro_option(env, NULL, tmpl, i, "adapter");
		(void) jinja_call(env, jinja_macro(env, NULL, tmpl, i), &args);
	}
}

static void
run_one(char mode, const char *text, int len)
{
	JinjaEnv   *env = jinja_env_create(cxt);
	JinjaValue *names = jinja_from_json(env, context, strlen(context));
	JinjaTemplate *tmpl;

	for (int i = 0; i < jinja_length(names); i++)
	{
		JinjaValue *key;
		JinjaValue *value;

		jinja_dict_entry(names, i, &key, &value);
		jinja_env_set(env, jinja_to_cstring(env, key), value);
	}
	jinja_env_set(env, "dec", jinja_decimal(env, "1.50"));
	jinja_env_set(env, "modules", jinja_modules(env));
	jinja_env_set(env, "return",
				  jinja_function(env, "return", context_return, NULL));
	jinja_env_set_lenient(env, (mode & 1) != 0);
	tmpl = jinja_parse_dialect(cxt, "fuzz", text, len,
							   (mode & 4) != 0 ? &dialect : NULL);
	if ((mode & 2) != 0)
		(void) jinja_repr(env, jinja_render_native(env, NULL, tmpl));
	else
		(void) jinja_render(env, tmpl);
	if ((mode & 8) != 0)
		run_macros(env, tmpl);
}

/*
 * The server hands over only valid text: what is none becomes question marks,
 * so that every input is a template.
 */
static void
make_valid(char *text, int len)
{
	for (int i = 0; i < len;)
	{
		int			n = pg_encoding_verifymbchar(PG_UTF8, text + i, len - i);

		if (n > 0 && text[i] != '\0')
			i += n;
		else
			text[i++] = '?';
	}
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *copy;

	if (size < 1 || size > 4096)
		return -1;
	MemoryContextSwitchTo(cxt);
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	make_valid(copy, size - 1);
	PG_TRY();
	{
		run_one(data[0], copy, size - 1);
	}
	PG_CATCH();
	{
		/* An error of the engine's own is one that it should not make. */
		if (shim_error.sqlstate == ERRCODE_INTERNAL_ERROR)
		{
			fprintf(stderr, "internal error: %s\n", shim_error.message);
			abort();
		}
	}
	PG_END_TRY();
	free(copy);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(cxt);
	return 0;
}
