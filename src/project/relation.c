/*
 * relation.c
 *		Relations and times as values that templates see.
 *
 * What they know of the database (does it exist, is it a view) is looked up
 * when it is asked for, under the identity that renders.
 */
#include "base/compat.h"

#include <time.h>

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "project/project.h"
#include "project/relation.h"

/* ---------- relations ---------- */

/* In quotes, as dbt prints names, unless a project does without. */
static void
append_part(StringInfo buf, const char *name, bool plain)
{
	if (buf->len > 0)
		appendStringInfoChar(buf, '.');
	if (plain)
	{
		appendStringInfoString(buf, name);
		return;
	}
	appendStringInfoChar(buf, '"');
	for (; *name; name++)
	{
		if (*name == '"')
			appendStringInfoChar(buf, '"');
		appendStringInfoChar(buf, *name);
	}
	appendStringInfoChar(buf, '"');
}

static char *
render(const DpipeRelation *rel)
{
	StringInfoData buf;

	if (rel->text != NULL)
		return pstrdup(rel->text);
	initStringInfo(&buf);
	if (rel->with_database)
		append_part(&buf, rel->database != NULL ? rel->database : get_database_name(MyDatabaseId),
					rel->plain_database);
	if (rel->with_schema)
		append_part(&buf, rel->schema, rel->plain_schema);
	if (rel->with_name)
		append_part(&buf, rel->name, rel->plain_name);
	return buf.data;
}

char *
dpipe_relation_name(const char *schema, const char *name)
{
	DpipeRelation rel = {schema, name, true, true, true};

	return render(&rel);
}

static char *
relation_to_string(JinjaEnv *env, void *object)
{
	return render(object);
}

static JinjaValue *
relation_render(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, render(arg));
}

static bool
flag(JinjaEnv *env, const JinjaArgs *args, int pos, const char *name, bool deflt)
{
	JinjaValue *v = jinja_arg(args, pos, name);

	return v == NULL || jinja_kind(v) == JINJA_NONE ? deflt : jinja_truth(env, v);
}

/* relation.include(database=…, schema=…, identifier=…) */
static JinjaValue *
relation_include(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	DpipeRelation rel = *(DpipeRelation *) arg;

	rel.with_database = flag(env, args, 0, "database", rel.with_database);
	rel.with_schema = flag(env, args, 1, "schema", rel.with_schema);
	rel.with_name = flag(env, args, 2, "identifier", rel.with_name);
	return dpipe_relation_new(env, &rel);
}

/* Its relkind, or 0 when there is no such relation. */
static char
relation_kind(const DpipeRelation *rel)
{
	RangeVar   *rv = makeRangeVar(pstrdup(rel->schema), pstrdup(rel->name), -1);
	Oid			relid = RangeVarGetRelid(rv, NoLock, true);

	return OidIsValid(relid) ? get_rel_relkind(relid) : 0;
}

static JinjaValue *
relation_type(JinjaEnv *env, const DpipeRelation *rel)
{
	switch (relation_kind(rel))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			return jinja_string(env, "table");
		case RELKIND_FOREIGN_TABLE:
			return jinja_string(env, "external");
		case RELKIND_VIEW:
			return jinja_string(env, "view");
		case RELKIND_MATVIEW:
			return jinja_string(env, "materialized_view");
		default:
			return jinja_none(env);
	}
}

static JinjaValue *
relation_attribute(JinjaEnv *env, void *object, const char *name)
{
	DpipeRelation *rel = object;

	if (strcmp(name, "database") == 0)
		return jinja_string(env, get_database_name(MyDatabaseId));
	if (strcmp(name, "schema") == 0)
		return jinja_string(env, rel->schema);
	if (strcmp(name, "identifier") == 0 || strcmp(name, "name") == 0 || strcmp(name, "table") == 0)
		return jinja_string(env, rel->name);
	if (strcmp(name, "type") == 0)
		return relation_type(env, rel);
	if (strcmp(name, "is_table") == 0)
	{
		char		kind = relation_kind(rel);

		return jinja_bool(env, kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE);
	}
	if (strcmp(name, "is_view") == 0)
		return jinja_bool(env, relation_kind(rel) == RELKIND_VIEW);
	if (strcmp(name, "render") == 0)
		return jinja_function(env, "render", relation_render, rel);
	if (strcmp(name, "include") == 0)
		return jinja_function(env, "include", relation_include, rel);
	return NULL;
}

static const JinjaObjectOps relation_ops = {"Relation", relation_attribute, relation_to_string,
NULL};

JinjaValue *
dpipe_relation_new(JinjaEnv *env, const DpipeRelation *rel)
{
	DpipeRelation *copy = MemoryContextAlloc(jinja_env_context(env), sizeof(DpipeRelation));

	*copy = *rel;
	return jinja_object(env, &relation_ops, copy);
}

JinjaValue *
dpipe_relation_value(JinjaEnv *env, const char *schema, const char *name)
{
	DpipeRelation rel = {schema, name, true, true, true};

	return dpipe_relation_new(env, &rel);
}

const DpipeRelation *
dpipe_relation_of(JinjaValue *value)
{
	return jinja_object_get(value, &relation_ops);
}

/* ---------- moments ---------- */

static void
moment_tm(const TimestampTz *at, struct tm *tm, int *micros)
{
	/* Seconds since 1970, rounded down whatever the sign. */
	int64		us = *at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	time_t		seconds = us / USECS_PER_SEC;

	*micros = us % USECS_PER_SEC;
	if (*micros < 0)
	{
		*micros += USECS_PER_SEC;
		seconds--;
	}
	gmtime_r(&seconds, tm);
}

/* datetime.isoformat(sep); Python leaves a fraction of zero out. */
static char *
moment_iso(const TimestampTz *at, char separator)
{
	struct tm	tm;
	int			micros;
	char		fraction[8] = "";

	moment_tm(at, &tm, &micros);
	if (micros != 0)
		snprintf(fraction, sizeof(fraction), ".%06d", micros);
	return psprintf("%04d-%02d-%02d%c%02d:%02d:%02d%s+00:00", tm.tm_year + 1900, tm.tm_mon + 1,
					tm.tm_mday, separator, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

static char *
moment_to_string(JinjaEnv *env, void *object)
{
	return moment_iso(object, ' ');
}

static JinjaValue *
moment_isoformat(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	return jinja_string(env, moment_iso(arg, 'T'));
}

/* The directives that do not depend on a locale. */
static JinjaValue *
moment_strftime(JinjaEnv *env, void *arg, const JinjaArgs *args)
{
	JinjaValue *v = jinja_arg(args, 0, "format");
	StringInfoData buf;
	struct tm	tm;
	int			micros;
	char		piece[64];

	if (v == NULL || jinja_kind(v) != JINJA_STRING)
		jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE, "strftime() takes a format");
	moment_tm(arg, &tm, &micros);
	initStringInfo(&buf);
	for (const char *p = jinja_to_cstring(env, v); *p; p++)
	{
		if (*p != '%' || p[1] == '\0')
		{
			appendStringInfoChar(&buf, *p);
			continue;
		}
		p++;
		if (*p == 'f')
			appendStringInfo(&buf, "%06d", micros);
		else if (*p == 'z')
			appendStringInfoString(&buf, "+0000");
		else if (*p == 'Z')
			appendStringInfoString(&buf, "UTC");
		else if (strchr("aAbBdHIjmMpSUwWyY%", *p) != NULL)
		{
			char		directive[3] = {'%', *p, '\0'};

			/* lc_time of a server process is "C" but where libc is asked. */
			if (strftime(piece, sizeof(piece), directive, &tm) > 0)
				appendStringInfoString(&buf, piece);
		}
		else
			jinja_raise(env, ERRCODE_INVALID_PARAMETER_VALUE,
						"strftime() does not know the directive %%%c", *p);
	}
	return jinja_string(env, buf.data);
}

static JinjaValue *
moment_attribute(JinjaEnv *env, void *object, const char *name)
{
	struct tm	tm;
	int			micros;

	if (strcmp(name, "strftime") == 0)
		return jinja_function(env, "strftime", moment_strftime, object);
	if (strcmp(name, "isoformat") == 0)
		return jinja_function(env, "isoformat", moment_isoformat, object);

	moment_tm(object, &tm, &micros);
	if (strcmp(name, "year") == 0)
		return jinja_int(env, tm.tm_year + 1900);
	if (strcmp(name, "month") == 0)
		return jinja_int(env, tm.tm_mon + 1);
	if (strcmp(name, "day") == 0)
		return jinja_int(env, tm.tm_mday);
	if (strcmp(name, "hour") == 0)
		return jinja_int(env, tm.tm_hour);
	if (strcmp(name, "minute") == 0)
		return jinja_int(env, tm.tm_min);
	if (strcmp(name, "second") == 0)
		return jinja_int(env, tm.tm_sec);
	if (strcmp(name, "microsecond") == 0)
		return jinja_int(env, micros);
	return NULL;
}

static const JinjaObjectOps moment_ops = {"datetime", moment_attribute, moment_to_string, NULL};

JinjaValue *
dpipe_moment_value(JinjaEnv *env, TimestampTz at)
{
	TimestampTz *copy = MemoryContextAlloc(jinja_env_context(env), sizeof(TimestampTz));

	*copy = at;
	return jinja_object(env, &moment_ops, copy);
}
