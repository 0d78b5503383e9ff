/*
 * globals.c
 *		Functions of dbt's context that ask nothing of the database.
 */
#include "base/compat.h"

#include "common/cryptohash.h"
#include "common/md5.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/doc.h"
#include "project/host.h"
#include "project/loading.h"
#include "project/yaml.h"

static JinjaValue *
fn_return(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = jinja_arg(args, 0, "data");

	jinja_return(env, v != NULL ? v : jinja_none(env));
	return NULL;				/* not reached */
}

/* log(msg, info=False): a NOTICE if it is for the user, else DEBUG1 */
static JinjaValue *
fn_log(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *msg = dpipe_arg_text(env, args, 0, "msg", "log");
	bool		info = dpipe_arg_flag(env, args, 1, "info", false);

	if (host->execute)
		ereport(info ? NOTICE : DEBUG1, (errmsg("%s", msg)));
	return jinja_string(env, "");
}

static JinjaValue *
fn_print(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *msg = dpipe_arg_text(env, args, 0, "msg", "print");

	if (host->execute)
		ereport(NOTICE, (errmsg("%s", msg)));
	return jinja_string(env, "");
}

/* ---------- JSON and YAML ---------- */

/* Did what comes next raise? Only errors of the value itself count. */
static bool
attempt(JinjaEnv *env, JinjaValue *(*fn) (JinjaEnv *env, void *arg), void *arg,
		JinjaValue **result)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		*result = fn(env, arg);
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		if (jinja_returning(env) ||
			(ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_DATA_EXCEPTION &&
			 ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

typedef struct Dump
{
	JinjaValue *value;
	bool		sort_keys;
} Dump;

static JinjaValue *
dump_json(JinjaEnv *env, void *arg)
{
	Dump	   *dump = arg;

	return jinja_string(env, jinja_to_json(env, dump->value, dump->sort_keys));
}

static JinjaValue *
default_arg(JinjaEnv *env, const JinjaArgs *args)
{
	JinjaValue *v = jinja_arg(args, 1, "default");

	return v != NULL ? v : jinja_none(env);
}

/* tojson(value, default=None, sort_keys=False); what JSON cannot hold is an error */
static JinjaValue *
fn_tojson(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	Dump		dump = {dpipe_arg(env, args, 0, "value", "tojson")};

	dump.sort_keys = dpipe_arg_flag(env, args, 2, "sort_keys", false);
	return dump_json(env, &dump);
}

static JinjaValue *
load_json(JinjaEnv *env, void *arg)
{
	return jinja_from_json(env, arg, strlen(arg));
}

static JinjaValue *
fn_fromjson(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v;

	return attempt(env, load_json, dpipe_arg_text(env, args, 0, "string", "fromjson"), &v) ? v
		: default_arg(env, args);
}

static JinjaValue *
load_yaml(JinjaEnv *env, void *arg)
{
	return pj_doc_value(env, dpipe_yaml_parse("fromyaml()", arg, strlen(arg)));
}

static JinjaValue *
fn_fromyaml(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v;

	return attempt(env, load_yaml, dpipe_arg_text(env, args, 0, "value", "fromyaml"), &v) ? v
		: default_arg(env, args);
}

/* Would PyYAML leave this text without quotes, and read it back as a string? */
static bool
plain_scalar(const char *s)
{
	PdDoc	   *doc;

	if (*s == '\0' || isspace((unsigned char) *s) || strpbrk(s, "\n\t\"'#:{}[],&*!|>%@`\\") != NULL ||
		isspace((unsigned char) s[strlen(s) - 1]) || *s == '-' || *s == '?' || *s == '=' || *s == '<')
		return false;
	for (const char *p = s; *p; p++)
		if (IS_HIGHBIT_SET(*p))
			return false;
	doc = dpipe_yaml_parse("toyaml()", s, strlen(s));
	return pd_is(doc, PD_STRING);
}

static void
dump_yaml_text(StringInfo buf, const char *s)
{
	if (plain_scalar(s))
		appendStringInfoString(buf, s);
	else if (strpbrk(s, "\n\t\\") != NULL)
		pd_write_json(buf, pd_string(s));
	else
	{
		appendStringInfoChar(buf, '\'');
		for (; *s; s++)
		{
			if (*s == '\'')
				appendStringInfoChar(buf, '\'');
			appendStringInfoChar(buf, *s);
		}
		appendStringInfoChar(buf, '\'');
	}
}

/* Block style, as PyYAML's safe_dump writes it. */
static void
dump_yaml(JinjaEnv *env, StringInfo buf, JinjaValue *v, int indent, bool in_dict)
{
	JinjaKind	kind = jinja_kind(v);
	int			n;

	check_stack_depth();
	if (kind == JINJA_NONE)
		appendStringInfoString(buf, "null\n");
	else if (kind == JINJA_BOOL)
		appendStringInfoString(buf, jinja_truth(env, v) ? "true\n" : "false\n");
	else if (kind == JINJA_INT || kind == JINJA_FLOAT)
		appendStringInfo(buf, "%s\n", jinja_to_cstring(env, v));
	else if (kind == JINJA_LIST || kind == JINJA_TUPLE || kind == JINJA_DICT)
	{
		n = jinja_length(v);
		if (n == 0)
		{
			appendStringInfoString(buf, kind == JINJA_DICT ? "{}\n" : "[]\n");
			return;
		}
		if (in_dict)
			appendStringInfoChar(buf, '\n');
		/* A list in a dict is not indented. */
		if (in_dict && kind != JINJA_DICT)
			indent -= 2;
		for (int i = 0; i < n; i++)
		{
			JinjaValue *key = NULL;
			JinjaValue *item;

			if (i > 0 || in_dict)
				appendStringInfoSpaces(buf, indent);
			if (kind == JINJA_DICT)
			{
				jinja_dict_entry(v, i, &key, &item);
				dump_yaml_text(buf, jinja_to_cstring(env, key));
				appendStringInfoChar(buf, ':');
				if (jinja_kind(item) != JINJA_LIST && jinja_kind(item) != JINJA_TUPLE &&
					jinja_kind(item) != JINJA_DICT)
					appendStringInfoChar(buf, ' ');
				else if (jinja_length(item) == 0)
					appendStringInfoChar(buf, ' ');
			}
			else
			{
				item = jinja_list_get(v, i);
				appendStringInfoString(buf, "- ");
			}
			dump_yaml(env, buf, item, indent + 2, kind == JINJA_DICT);
		}
	}
	else
	{
		/* Texts and times; of others there is none. */
		if (kind != JINJA_STRING && kind != JINJA_SET && jinja_as_json(env, v) == v)
			jinja_raise(env, ERRCODE_DATATYPE_MISMATCH, "cannot represent an object: %s",
						jinja_type_name(v));
		dump_yaml_text(buf, jinja_to_cstring(env, v));
		appendStringInfoChar(buf, '\n');
	}
}

static JinjaValue *
dump_whole_yaml(JinjaEnv *env, void *arg)
{
	JinjaValue *v = arg;
	StringInfoData buf;

	initStringInfo(&buf);
	dump_yaml(env, &buf, v, 0, false);
	/* A lone scalar ends a document with a mark. */
	if (jinja_kind(v) != JINJA_LIST && jinja_kind(v) != JINJA_TUPLE && jinja_kind(v) != JINJA_DICT)
		appendStringInfoString(&buf, "...\n");
	return jinja_string(env, buf.data);
}

/* toyaml(value, default=None, sort_keys=False) */
static JinjaValue *
fn_toyaml(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = dpipe_arg(env, args, 0, "value", "toyaml");
	JinjaValue *text;

	if (dpipe_arg_flag(env, args, 2, "sort_keys", false))
	{
		char	   *sorted = jinja_to_json(env, v, true);

		v = jinja_from_json(env, sorted, strlen(sorted));
	}
	return attempt(env, dump_whole_yaml, v, &text) ? text : default_arg(env, args);
}

/* ---------- sets, zips ---------- */

static JinjaValue *
make_set(JinjaEnv *env, void *arg)
{
	JinjaValue *list = jinja_to_list(env, arg);
	JinjaValue *set = jinja_set(env);

	for (int i = 0; i < jinja_length(list); i++)
		jinja_set_add(env, set, jinja_list_get(list, i));
	return set;
}

static JinjaValue *
fn_set(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v;

	return attempt(env, make_set, dpipe_arg(env, args, 0, "value", "set"), &v) ? v
		: default_arg(env, args);
}

static JinjaValue *
fn_set_strict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return make_set(env, dpipe_arg(env, args, 0, "value", "set_strict"));
}

static JinjaValue *
make_zip(JinjaEnv *env, void *arg)
{
	const JinjaArgs *args = arg;
	JinjaValue *result = jinja_list(env);
	JinjaValue **lists = palloc(sizeof(JinjaValue *) * Max(args->nargs, 1));
	JinjaValue **items = palloc(sizeof(JinjaValue *) * Max(args->nargs, 1));
	int			n = args->nargs > 0 ? PG_INT32_MAX : 0;

	for (int i = 0; i < args->nargs; i++)
	{
		lists[i] = jinja_to_list(env, args->args[i]);
		n = Min(n, jinja_length(lists[i]));
	}
	for (int row = 0; row < n; row++)
	{
		for (int i = 0; i < args->nargs; i++)
			items[i] = jinja_list_get(lists[i], row);
		jinja_list_append(env, result, jinja_tuple(env, args->nargs, items));
	}
	return result;
}

static JinjaValue *
fn_zip(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v;

	if (attempt(env, make_zip, (void *) args, &v))
		return v;
	v = jinja_arg(args, -1, "default");
	return v != NULL ? v : jinja_none(env);
}

static JinjaValue *
fn_zip_strict(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return make_zip(env, (void *) args);
}

/* ---------- dicts, texts, calls ---------- */

static bool
has_text(JinjaEnv *env, const JinjaValue *list, const char *text)
{
	for (int i = 0; i < jinja_length(list); i++)
		if (pg_strcasecmp(jinja_to_cstring(env, jinja_list_get(list, i)), text) == 0)
			return true;
	return false;
}

/* The list of a key in any case, or NULL. */
static JinjaValue *
list_of_key(JinjaEnv *env, const JinjaValue *dict, const char *key)
{
	for (int i = 0; i < jinja_length(dict); i++)
	{
		JinjaValue *k;
		JinjaValue *v;

		jinja_dict_entry(dict, i, &k, &v);
		if (pg_strcasecmp(jinja_to_cstring(env, k), key) == 0)
			return jinja_to_list(env, v);
	}
	return NULL;
}

/* diff_of_two_dicts(dict_a, dict_b): what only the first has, in any case */
static JinjaValue *
fn_diff_of_two_dicts(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *a = dpipe_arg(env, args, 0, "dict_a", "diff_of_two_dicts");
	JinjaValue *b = dpipe_arg(env, args, 1, "dict_b", "diff_of_two_dicts");
	JinjaValue *diff = jinja_dict(env);

	if (jinja_kind(a) != JINJA_DICT || jinja_kind(b) != JINJA_DICT)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "diff_of_two_dicts() takes two dicts");
	for (int i = 0; i < jinja_length(a); i++)
	{
		JinjaValue *key;
		JinjaValue *values;
		JinjaValue *other;
		JinjaValue *left;

		jinja_dict_entry(a, i, &key, &values);
		other = list_of_key(env, b, jinja_to_cstring(env, key));
		left = other == NULL ? values : jinja_list(env);
		values = jinja_to_list(env, values);
		for (int k = 0; other != NULL && k < jinja_length(values); k++)
			if (!has_text(env, other, jinja_to_cstring(env, jinja_list_get(values, k))))
				jinja_list_append(env, left, jinja_list_get(values, k));
		if (other == NULL || jinja_length(left) > 0)
			jinja_dict_set_value(env, diff, key, left);
	}
	return diff;
}

/* Between pieces of a long text a cancel is seen. */
#define MD5_PIECE (1024 * 1024)

static bool
md5_pieces(pg_cryptohash_ctx *ctx, const char *s, size_t len, uint8 *digest)
{
	if (pg_cryptohash_init(ctx) < 0)
		return false;
	while (len > 0)
	{
		size_t		n = Min(len, MD5_PIECE);

		CHECK_FOR_INTERRUPTS();
		if (pg_cryptohash_update(ctx, (const uint8 *) s, n) < 0)
			return false;
		s += n;
		len -= n;
	}
	return pg_cryptohash_final(ctx, digest, MD5_DIGEST_LENGTH) == 0;
}

static void
md5(const char *s, size_t len, uint8 *digest)
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_MD5);

	PG_TRY();
	{
		if (!md5_pieces(ctx, s, len, digest))
			elog(ERROR, "could not compute MD5 hash: %s",
				 pg_cryptohash_error(ctx));
	}
	PG_FINALLY();
	{
		pg_cryptohash_free(ctx);
	}
	PG_END_TRY();
}

static JinjaValue *
fn_local_md5(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *s = dpipe_arg_text(env, args, 0, "value", "local_md5");
	uint8		digest[MD5_DIGEST_LENGTH];
	char		hex[2 * MD5_DIGEST_LENGTH + 1];

	md5(s, strlen(s), digest);
	hex[hex_encode((const char *) digest, sizeof(digest), hex)] = '\0';
	return jinja_string(env, hex);
}

/* render(text): a template of the caller's names, as hooks are */
static JinjaValue *
fn_render(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeHost  *host = arg;
	char	   *text = dpipe_arg_text(env, args, 0, "string", "render");
	JinjaTemplate *tmpl = jinja_parse(jinja_env_context(env), "render()", text, strlen(text));

	return jinja_string(env, jinja_render_in(env, host->context, tmpl));
}

/* try_or_compiler_error(message, function, …) */
static JinjaValue *
fn_try_or_compiler_error(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *message = dpipe_arg_text(env, args, 0, "message_if_exception",
										 "try_or_compiler_error");
	JinjaValue *fn = dpipe_arg(env, args, 1, "func", "try_or_compiler_error");
	JinjaArgs	call = *args;
	MemoryContext cxt = CurrentMemoryContext;
	JinjaValue *volatile result = NULL;

	call.nargs = Max(args->nargs - 2, 0);
	call.args = args->args + Min(args->nargs, 2);
	PG_TRY();
	{
		result = jinja_call(env, fn, &call);
	}
	PG_CATCH();
	{
		/* The transaction is over for errors of SQL; so it is for the template. */
		if (jinja_returning(env) || geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		jinja_raise(env, ERRCODE_RAISE_EXCEPTION, "%s", message);
	}
	PG_END_TRY();
	return result;
}

/* write(text) puts a file in dbt's target directory; there is none here. */
static JinjaValue *
fn_nothing(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, "");
}

static JinjaValue *
fn_debug(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED, "debug() is not supported");
}

static JinjaValue *
fn_adapter_macro(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	char	   *name = dpipe_arg_text(env, args, 0, "name", "adapter_macro");

	jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
				"The \"adapter_macro\" macro has been deprecated. Instead, use the `adapter.dispatch` method to find a macro and call the result.  For more information, see: https://docs.getdbt.com/reference/dbt-jinja-functions/dispatch) adapter_macro was called for: %s",
				name);
}

static JinjaValue *
fn_submit_python_job(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED, "Python models are not supported");
}

/* Seeds are not built by templates here. */
static JinjaValue *
fn_load_agate_table(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	const DpipeHost *host = arg;

	jinja_raise(env, ERRCODE_FEATURE_NOT_SUPPORTED,
				"can only load_agate_table for seeds (got a %s)",
				host->resource_type != NULL ? host->resource_type : "macro");
}

static const DpipeMember functions[] = {
	{"adapter_macro", fn_adapter_macro},
	{"debug", fn_debug},
	{"diff_of_two_dicts", fn_diff_of_two_dicts},
	{"fromjson", fn_fromjson},
	{"fromyaml", fn_fromyaml},
	{"load_agate_table", fn_load_agate_table},
	{"local_md5", fn_local_md5},
	{"log", fn_log},
	{"print", fn_print},
	{"render", fn_render},
	{"return", fn_return},
	{"set", fn_set},
	{"set_strict", fn_set_strict},
	{"submit_python_job", fn_submit_python_job},
	{"tojson", fn_tojson},
	{"toyaml", fn_toyaml},
	{"try_or_compiler_error", fn_try_or_compiler_error},
	{"write", fn_nothing},
	{"zip", fn_zip},
	{"zip_strict", fn_zip_strict},
	{NULL}
};

JinjaValue *
dpipe_host_function(DpipeHost *host, const char *name)
{
	return dpipe_member(host->env, functions, name, host);
}
