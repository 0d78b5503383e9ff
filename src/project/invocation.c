/*
 * invocation.c
 *		What templates are told about the call that renders them: its id, its
 *		flags and arguments, its target.
 *
 * A call stands for one invocation of dbt's command line; what that would
 * have been asked for and has no meaning here has dbt's default.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/uuid.h"

#include "project/host.h"

/*
 * All that a statement does is one invocation.
 */
const char *
dpipe_invocation_id(void)
{
	static char id[37];
	static TimestampTz statement = 0;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (id[0] == '\0' || statement != now)
	{
		Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

		strlcpy(id, DatumGetCString(DirectFunctionCall1(uuid_out, uuid)), sizeof(id));
		statement = now;
	}
	return id;
}

static PdDoc *
no_warn_error_options(void)
{
	PdDoc	   *doc = pd_dict();

	pd_put(doc, "error", pd_list());
	pd_put(doc, "warn", pd_list());
	pd_put(doc, "silence", pd_list());
	return doc;
}

void
dpipe_invocation_flags(PdDoc *flags, const char *command, bool full_refresh, bool empty)
{
	static const char *const off[] = {"CACHE_SELECTED_ONLY", "DEBUG", "FAIL_FAST",
		"LOG_CACHE_EVENTS", "QUIET", "SEND_ANONYMOUS_USAGE_STATS", "STORE_FAILURES", "USE_COLORS",
	"USE_EXPERIMENTAL_PARSER"};
	static const char *const on[] = {"INTROSPECT", "PARTIAL_PARSE", "STATIC_PARSER",
	"VERSION_CHECK", "WRITE_JSON"};
	static const char *const none[] = {"NO_PRINT", "TARGET_PATH", "WARN_ERROR"};

	for (int i = 0; i < lengthof(off); i++)
		pd_put(flags, off[i], pd_bool(false));
	for (int i = 0; i < lengthof(on); i++)
		pd_put(flags, on[i], pd_bool(true));
	for (int i = 0; i < lengthof(none); i++)
		pd_put(flags, none[i], pd_null());
	pd_put(flags, "EMPTY", pd_bool(empty));
	pd_put(flags, "FULL_REFRESH", pd_bool(full_refresh));
	pd_put(flags, "INDIRECT_SELECTION", pd_string("eager"));
	pd_put(flags, "INVOCATION_COMMAND", pd_string(psprintf("dbt %s", command)));
	pd_put(flags, "LOG_FORMAT", pd_string("default"));
	pd_put(flags, "LOG_PATH", pd_string("logs"));
	pd_put(flags, "PRINTER_WIDTH", pd_int(80));
	pd_put(flags, "PROFILES_DIR", pd_string("."));
	pd_put(flags, "WARN_ERROR_OPTIONS", no_warn_error_options());
	pd_put(flags, "WHICH", pd_string(command));
}

/* The flags in lower case, and what else was asked for. */
PdDoc *
dpipe_invocation_args(const PdDoc *flags, PdDoc *vars)
{
	PdDoc	   *args = pd_dict();

	for (int i = 0; i < flags->n; i++)
	{
		const char *name = pd_text(flags->u.entries[i].key);

		if (!pd_is_null(flags->u.entries[i].value))
			pd_put(args, asc_tolower(name, strlen(name)), flags->u.entries[i].value);
	}
	pd_put(args, "select", pd_list());
	pd_put(args, "exclude", pd_list());
	pd_put(args, "vars", vars != NULL ? vars : pd_dict());
	return args;
}

/*
 * The connection that dbt would have. There is none, so what would make one
 * has dbt's defaults.
 */
PdDoc *
dpipe_target_doc(const char *profile, const char *target, const char *schema, const char *user,
				 int threads)
{
	static const char *const unset[] = {"role", "search_path", "sslcert", "sslkey", "sslmode",
	"sslrootcert"};
	PdDoc	   *t = pd_dict();
	char	   *database = get_database_name(MyDatabaseId);

	pd_put(t, "profile_name", pd_string(profile));
	pd_put(t, "target_name", pd_string(target));
	pd_put(t, "name", pd_string(target));
	pd_put(t, "type", pd_string("postgres"));
	pd_put(t, "schema", pd_string(schema));
	pd_put(t, "database", pd_string(database));
	pd_put(t, "dbname", pd_string(database));
	pd_put(t, "user", pd_string(user));
	pd_put(t, "host", pd_string("localhost"));
	pd_put(t, "port", pd_int(PostPortNumber));
	pd_put(t, "threads", pd_int(threads));
	pd_put(t, "application_name", pd_string("dbt"));
	pd_put(t, "autocommit", pd_bool(false));
	pd_put(t, "connect_timeout", pd_int(10));
	pd_put(t, "keepalives_idle", pd_int(0));
	pd_put(t, "retries", pd_int(1));
	for (int i = 0; i < lengthof(unset); i++)
		pd_put(t, unset[i], pd_null());
	return t;
}

/* ---------- what was not given ---------- */

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(pd_scalar_text(((const PdEntry *) a)->key),
				  pd_scalar_text(((const PdEntry *) b)->key));
}

/* Python's json.dumps(sort_keys=True, indent=4) */
static void
write_indented(StringInfo buf, const PdDoc *doc, int indent)
{
	bool		is_dict = doc->kind == PD_DICT;
	PdEntry    *entries = NULL;

	check_stack_depth();
	if ((!is_dict && doc->kind != PD_LIST) || doc->n == 0)
	{
		pd_write_json(buf, doc);
		return;
	}
	if (is_dict)
	{
		entries = palloc(sizeof(PdEntry) * doc->n);
		memcpy(entries, doc->u.entries, sizeof(PdEntry) * doc->n);
		qsort(entries, doc->n, sizeof(PdEntry), compare_entries);
	}
	appendStringInfoChar(buf, is_dict ? '{' : '[');
	for (int i = 0; i < doc->n; i++)
	{
		appendStringInfo(buf, "%s\n%*s", i > 0 ? "," : "", indent + 4, "");
		if (is_dict)
		{
			pd_write_json(buf, pd_string(pd_scalar_text(entries[i].key)));
			appendStringInfoString(buf, ": ");
		}
		write_indented(buf, is_dict ? entries[i].value : doc->u.items[i], indent + 4);
	}
	appendStringInfo(buf, "\n%*s%c", indent, "", is_dict ? '}' : ']');
}

/* A var that is named as a secret is shown by its name alone. */
static bool
is_secret(const char *name)
{
	return strncmp(name, "DBT_ENV_SECRET", strlen("DBT_ENV_SECRET")) == 0;
}

void
dpipe_raise_no_var(JinjaEnv *env, const char *name, const char *node, const PdDoc *vars)
{
	PdDoc	   *shown = pd_dict();
	StringInfoData buf;

	for (int i = 0; pd_is(vars, PD_DICT) && i < vars->n; i++)
	{
		const char *var = pd_scalar_text(vars->u.entries[i].key);

		if (var != NULL)
			pd_put(shown, var, is_secret(var) ? pd_string("*****") : vars->u.entries[i].value);
	}
	initStringInfo(&buf);
	write_indented(&buf, shown, 0);
	jinja_raise(env, ERRCODE_UNDEFINED_PARAMETER,
				"Required var '%s' not found in config:\nVars supplied to %s = %s", name, node,
				buf.data);
}

/*
 * Values of secrets are for connections, of which there are none: dbt's own
 * rule, that a template may not ask for one.
 */
void
dpipe_check_env_var(JinjaEnv *env, const char *name)
{
	if (is_secret(name))
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
					"Secret env vars are allowed only in profiles.yml or packages.yml. Found '%s' referenced elsewhere.",
					name);
}
