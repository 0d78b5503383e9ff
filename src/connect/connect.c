/*
 * connect.c
 *		Kafka connections: a foreign server says where and how, a user mapping
 *		who, USAGE on the server may.
 *
 * Who decides about dangerous properties (those that read files, run code or
 * lend out the machine's identity): when they are written, the current user
 * must be a superuser. When they are used, they must still be a superuser's:
 * on a server its owner, in the role's own mapping and in the options of a
 * source the role itself, in a mapping for PUBLIC (which only the server's
 * owner can write) the server's owner. So what a superuser sets up on a server
 * of his may be used by everybody with USAGE.
 *
 * No error, detail or hint here contains a value of a secret property.
 */
#include "base/compat.h"

#include <ctype.h>
#include <librdkafka/rdkafka.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "connect/connect.h"
#include "connect/properties.h"

#define KAFKA_WRAPPER "dpipe_kafka"

typedef enum Place
{
	IN_SERVER,
	IN_MAPPING,
	IN_SOURCE,
} Place;

PG_FUNCTION_INFO_V1(dpipe_kafka_validator);

/* ---------- what may stand where ---------- */

static bool
allowed_in(const DpipePropertyInfo *info, Place place)
{
	switch (info->class)
	{
		case PK_TUNING:
			return place != IN_MAPPING;
		case PK_CONNECTION:
		case PK_PRODUCER:
			/* A superuser may override a file's path for one source. */
			return place == IN_SERVER ||
				(place == IN_SOURCE && info->danger != PD_NONE);
		case PK_CREDENTIAL:
			return place != IN_SOURCE || info->danger != PD_NONE;
		case PK_SECRET:
			return place == IN_MAPPING;
		case PK_CALLBACK:
		case PK_POSITION:
		case PK_RESET:
		case PK_SIZE:
		case PK_OWN:
			break;
	}
	return false;
}

static int
name_error_code(Place place)
{
	return place == IN_SOURCE ? ERRCODE_INVALID_PARAMETER_VALUE :
		ERRCODE_FDW_INVALID_OPTION_NAME;
}

static const char *
place_name(Place place)
{
	switch (place)
	{
		case IN_SERVER:
			return "a server";
		case IN_MAPPING:
			return "a user mapping";
		case IN_SOURCE:
			break;
	}
	return "the options of a source";
}

/* The listed name that is nearest to "name", or NULL if none is near. */
static const char *
closest_property(const char *name, Place place)
{
	int			len = strlen(name);
	int			best = len / 3 + 1;
	const char *found = NULL;

	/* The distance function raises beyond 255 bytes. */
	if (len == 0 || len > NAMEDATALEN)
		return NULL;
	for (int i = 0; i < dpipe_property_count; i++)
	{
		const DpipePropertyInfo *info = &dpipe_property_table[i];
		int			d;

		if (!allowed_in(info, place))
			continue;
		d = varstr_levenshtein_less_equal(name, len, info->name,
										  strlen(info->name), 1, 1, 1, best,
										  true);
		if (d < best)
		{
			best = d;
			found = info->name;
		}
	}
	return found;
}

static char *
list_of_properties(Place place)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < dpipe_property_count; i++)
		if (allowed_in(&dpipe_property_table[i], place))
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
							 dpipe_property_table[i].name);
	return buf.data;
}

static void pg_attribute_noreturn()
raise_unknown(const char *name, Place place)
{
	const char *closest = closest_property(name, place);

	ereport(ERROR,
			(errcode(name_error_code(place)),
			 errmsg("unknown Kafka property \"%s\"", name),
			 closest ?
			 errhint("Perhaps you meant \"%s\".", closest) :
			 errhint("Valid in %s are: %s.", place_name(place),
					 list_of_properties(place))));
}

/* A property that dpipe sets itself, or nobody can. */
static void pg_attribute_noreturn()
raise_reserved(const DpipePropertyInfo *info, Place place)
{
	const char *detail;
	const char *hint;

	switch (info->class)
	{
		case PK_CALLBACK:
			detail = "It is not set by configuration.";
			hint = "Leave it out.";
			break;
		case PK_POSITION:
			detail = "dpipe keeps the position in the database, in the transaction of the rows.";
			hint = "Leave it out.";
			break;
		case PK_RESET:
			detail = "A position that the broker no longer has is never skipped silently.";
			hint = "Use the source's argument \"start\" and its option \"on_gap\".";
			break;
		case PK_SIZE:
			detail = "It follows from the size of the largest record.";
			hint = "Use the source's option \"max_record_bytes\".";
			break;
		default:
			detail = "dpipe controls it.";
			hint = "Leave it out.";
			break;
	}
	ereport(ERROR,
			(errcode(name_error_code(place)),
			 errmsg("Kafka property \"%s\" cannot be set", info->name),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint)));
}

static void pg_attribute_noreturn()
raise_misplaced(const DpipePropertyInfo *info, Place place)
{
	const char *hint;

	if (info->class == PK_SECRET)
		hint = "It is a secret: set it by CREATE USER MAPPING or ALTER USER MAPPING.";
	else if (info->class == PK_CREDENTIAL)
		hint = "Set it by ALTER SERVER or ALTER USER MAPPING.";
	else if (info->class == PK_TUNING)
		hint = "Set it by ALTER SERVER, or in the options of a source.";
	else if (info->class == PK_PRODUCER && place == IN_SOURCE)
		hint = "It is for producers; a source only reads.";
	else
		hint = "Set it by ALTER SERVER.";
	ereport(ERROR,
			(errcode(name_error_code(place)),
			 errmsg("Kafka property \"%s\" cannot be set in %s", info->name,
					place_name(place)),
			 errhint("%s", hint)));
}

static void pg_attribute_noreturn()
raise_dangerous(const DpipePropertyInfo *info)
{
	const char *detail = NULL;
	int			len = strlen(info->name) - strlen(".location");
	char	   *inline_name = NULL;

	switch (info->danger)
	{
		case PD_FILE:
			detail = "It makes the server read a file as its operating-system user.";
			break;
		case PD_CODE:
			detail = "It makes the server run a program or load a library.";
			break;
		case PD_MACHINE:
			detail = "It uses the identity of the server's machine.";
			break;
		case PD_LOG:
			detail = "It can fill the server's log.";
			break;
		case PD_NONE:
			Assert(false);
			break;
	}

	/* ssl.ca.location: the certificate itself can be given in ssl.ca.pem. */
	if (len > 0 && strcmp(info->name + len, ".location") == 0)
	{
		inline_name = psprintf("%.*s.pem", len, info->name);
		if (dpipe_property_find(inline_name) == NULL)
			inline_name = NULL;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to set Kafka property \"%s\"",
					info->name),
			 errdetail_internal("%s", detail),
			 inline_name ?
			 errhint("Give the text itself in \"%s\", or have a superuser own the server and set the property on it.",
					 inline_name) :
			 errhint("A superuser can set it on a server of his own.")));
}

/* ---------- values ---------- */

static bool
is_boolean(const char *value)
{
	static const char *const words[] = {"true", "false", "t", "f", "1", "0"};

	for (int i = 0; i < lengthof(words); i++)
		if (pg_strcasecmp(value, words[i]) == 0)
			return true;
	return false;
}

static bool
is_one_of(const char *value, const char *list)
{
	size_t		len = strlen(value);

	while (*list)
	{
		size_t		n = strcspn(list, ",");

		if (n == len && pg_strncasecmp(list, value, n) == 0)
			return true;
		list += n;
		list += strspn(list, ", ");
	}
	return false;
}

static bool
in_range(const char *value, const DpipePropertyInfo *info)
{
	char	   *end;
	double		d;

	errno = 0;
	d = strtod(value, &end);
	if (end == value || *end != '\0' || errno != 0)
		return false;
	if (info->type == PT_INTEGER && strspn(value, "-0123456789") != strlen(value))
		return false;
	return d >= info->min && d <= info->max;
}

static void
check_value(const DpipePropertyInfo *info, const char *value)
{
	switch (info->type)
	{
		case PT_STRING:
			break;
		case PT_BOOLEAN:
			if (!is_boolean(value))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("Kafka property \"%s\" must be true or false, not \"%s\"",
								info->name, value)));
			break;
		case PT_INTEGER:
		case PT_FLOAT:
			if (!in_range(value, info))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("Kafka property \"%s\" must be a number from %lld to %lld, not \"%s\"",
								info->name, (long long) info->min,
								(long long) info->max, value)));
			break;
		case PT_ENUM:
			if (!is_one_of(value, info->values))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("Kafka property \"%s\" must be one of %s, not \"%s\"",
								info->name, info->values, value)));
			break;
	}

	/* The one property with which the client itself fetches a URL. */
	if (strcmp(info->name, "sasl.oauthbearer.token.endpoint.url") == 0 &&
		pg_strncasecmp(value, "https://", 8) != 0 &&
		pg_strncasecmp(value, "http://", 7) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("Kafka property \"%s\" must be an http or https URL",
						info->name)));
}

/*
 * One property, where someone writes it. "trusted" tells whether that one is a
 * superuser.
 */
static void
check_property(const char *name, const char *value, Place place, bool trusted)
{
	const DpipePropertyInfo *info = dpipe_property_find(name);

	if (info == NULL)
		raise_unknown(name, place);
	if (info->class >= PK_CALLBACK)
		raise_reserved(info, place);
	if (info->danger != PD_NONE && !trusted)
		raise_dangerous(info);
	if (!allowed_in(info, place))
		raise_misplaced(info, place);
	check_value(info, value);
}

/* ---------- Kerberos ---------- */

/* As the library reads it: it skips spaces in front. */
static const char *
value_as_read(DefElem *def)
{
	const char *value = defGetString(def);

	while (isspace((unsigned char) *value))
		value++;
	return value;
}

/*
 * GSSAPI is what librdkafka takes when SASL is asked for and no mechanism is
 * named. It runs kinit and uses whatever tickets and keytab the server's
 * operating-system user has.
 */
static bool
uses_kerberos(List *options)
{
	const char *protocol = "plaintext";
	const char *mechanism = "GSSAPI";
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "security.protocol") == 0)
			protocol = value_as_read(def);
		else if (strcmp(def->defname, "sasl.mechanism") == 0 ||
				 strcmp(def->defname, "sasl.mechanisms") == 0)
			mechanism = value_as_read(def);
	}
	return pg_strncasecmp(protocol, "sasl_", 5) == 0 &&
		(*mechanism == '\0' || pg_strcasecmp(mechanism, "GSSAPI") == 0);
}

static void pg_attribute_noreturn()
raise_kerberos(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to use Kerberos (GSSAPI)"),
			 errdetail("%s It uses the tickets of the server's operating-system user and runs kinit.",
					   detail),
			 errhint("Name another mechanism in \"sasl.mechanism\", or have a superuser own the server.")));
}

/* ---------- the validator ---------- */

/*
 * The running library's own list, as text: each property at the start of a
 * line. There is no function that asks for one: "get" finds only those that
 * have a value, and "set" would load plugins.
 */
static char *
library_properties(void)
{
	char	   *text = NULL;
	size_t		size = 0;
	FILE	   *f = open_memstream(&text, &size);
	char	   *copy;

	if (f == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	rd_kafka_conf_properties_show(f);
	if (fclose(f) != 0)
		size = 0;
	copy = MemoryContextAllocExtended(CurrentMemoryContext, size + 1,
									  MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
	{
		memcpy(copy, text, size);
		copy[size] = '\0';
	}
	free(text);
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return copy;
}

static void
warn_unless_known(const char *name, const char *known)
{
	char	   *line = psprintf("\n%s ", name);

	if (strstr(known, line) == NULL)
		ereport(WARNING,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("Kafka property \"%s\" is not known to the installed librdkafka %s",
						name, rd_kafka_version_str()),
				 errdetail("Connections will fail until it is removed or librdkafka is upgraded.")));
	pfree(line);
}

static bool
has_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, name) == 0)
			return true;
	return false;
}

Datum
dpipe_kafka_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	Place		place;
	char	   *known;
	ListCell   *lc;

	if (catalog == ForeignServerRelationId)
		place = IN_SERVER;
	else if (catalog == UserMappingRelationId)
		place = IN_MAPPING;
	else if (options == NIL)
		PG_RETURN_VOID();
	else
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("foreign-data wrapper \"%s\" has options for servers and user mappings only",
						KAFKA_WRAPPER)));

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		check_property(def->defname, defGetString(def), place, superuser());
	}
	known = options ? library_properties() : NULL;
	foreach(lc, options)
		warn_unless_known(lfirst_node(DefElem, lc)->defname, known);
	if (place == IN_SERVER && !has_option(options, "bootstrap.servers") &&
		!has_option(options, "metadata.broker.list"))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"bootstrap.servers\" is missing"),
				 errhint("Give OPTIONS (\"bootstrap.servers\" 'host:port, ...').")));
	if (place == IN_SERVER && !superuser() && uses_kerberos(options))
		raise_kerberos("It is the SASL mechanism when none is named.");
	PG_RETURN_VOID();
}

/* ---------- pass-through options of a source ---------- */

static char *
scalar_text(const char *name, const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvString:
			return pnstrdup(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(v->val.numeric)));
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("Kafka property \"%s\" must be a string, a number or a boolean",
							name)));
	}
}

/* The object's members, checked, as a list of DpipeProperty. */
static List *
source_properties(const Jsonb *extra, Oid role)
{
	List	   *result = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	bool		trusted = superuser_arg(role);

	if (extra == NULL)
		return NIL;
	if (!JB_ROOT_IS_OBJECT(extra))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"librdkafka\" must be an object"),
				 errhint("Write {\"librdkafka\": {\"fetch.wait.max.ms\": \"50\"}}.")));

	it = JsonbIteratorInit((JsonbContainer *) &extra->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		DpipeProperty *p;
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		(void) JsonbIteratorNext(&it, &v, true);
		p = palloc0(sizeof(DpipeProperty));
		p->name = name;
		p->value = scalar_text(name, &v);
		check_property(p->name, p->value, IN_SOURCE, trusted);
		result = lappend(result, p);
	}
	return result;
}

void
dpipe_kafka_check_extra(const Jsonb *extra, Oid role)
{
	List	   *properties = source_properties(extra, role);
	char	   *known = properties ? library_properties() : NULL;
	ListCell   *lc;

	foreach(lc, properties)
		warn_unless_known(((DpipeProperty *) lfirst(lc))->name, known);
}

/* ---------- what a connection is made of ---------- */

static ForeignServer *
usable_server(const char *name, Oid role)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	AclResult	acl;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 errhint("Make it by CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (\"bootstrap.servers\" 'host:port').",
						 quote_identifier(name), KAFKA_WRAPPER)));
	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname,
			   KAFKA_WRAPPER) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of foreign-data wrapper \"%s\"",
						name, KAFKA_WRAPPER)));
	acl = dpipe_foreign_server_aclcheck(server->serverid, role, ACL_USAGE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FOREIGN_SERVER, server->servername);
	return server;
}

/* Options of the mapping of "role", InvalidOid meaning PUBLIC; NULL: none. */
static bool
mapping_options(Oid role, Oid serverid, List **options)
{
	HeapTuple	tup = SearchSysCache2(USERMAPPINGUSERSERVER,
									  ObjectIdGetDatum(role),
									  ObjectIdGetDatum(serverid));
	Datum		d;
	bool		isnull;

	if (!HeapTupleIsValid(tup))
		return false;
	d = SysCacheGetAttr(USERMAPPINGUSERSERVER, tup,
						Anum_pg_user_mapping_umoptions, &isnull);
	*options = isnull ? NIL : untransformRelOptions(d);
	ReleaseSysCache(tup);
	return true;
}

static List *
add_options(List *result, List *options, bool trusted)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		const DpipePropertyInfo *info = dpipe_property_find(def->defname);
		DpipeProperty *p = palloc0(sizeof(DpipeProperty));

		if (info != NULL && info->danger != PD_NONE && !trusted)
			raise_dangerous(info);
		p->name = pstrdup(def->defname);
		p->value = pstrdup(defGetString(def));
		/* What is not in the list came from another version: be careful. */
		p->secret = (info == NULL || info->class == PK_SECRET);
		result = lappend(result, p);
	}
	return result;
}

List *
dpipe_kafka_properties(const char *server_name, Oid role, const Jsonb *extra)
{
	ForeignServer *server = usable_server(server_name, role);
	bool		owner_trusted = superuser_arg(server->owner);
	List	   *options = NIL;
	List	   *result;

	if (!owner_trusted && uses_kerberos(server->options))
		raise_kerberos("The owner of the server is not a superuser.");
	result = add_options(NIL, server->options, owner_trusted);

	if (mapping_options(role, server->serverid, &options))
		result = add_options(result, options, superuser_arg(role));
	else if (mapping_options(InvalidOid, server->serverid, &options))
		result = add_options(result, options, owner_trusted);

	return list_concat(result, source_properties(extra, role));
}

/* ---------- changes ---------- */

static uint64 connection_changes = 0;

static void
connection_may_have_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	connection_changes++;
}

uint64
dpipe_connection_changes(void)
{
	static bool registered = false;

	if (!registered)
	{
		static const int caches[] = {
			FOREIGNSERVEROID, USERMAPPINGOID, AUTHOID, AUTHMEMROLEMEM
		};

		for (int i = 0; i < lengthof(caches); i++)
			CacheRegisterSyscacheCallback(caches[i],
										  connection_may_have_changed,
										  (Datum) 0);
		registered = true;
	}
	return connection_changes;
}
