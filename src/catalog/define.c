/*
 * define.c
 *		Definition verbs: create or replace, enable, disable, drop, adopt.
 *
 * The row in dpipe.source is the lock of a definition: each verb locks it
 * first and changes position rows after that, never the other way round. A
 * worker locks only its position row, so enabling and disabling, which touch
 * no position row, wait for nobody; replacing and dropping wait at most for
 * the batches that are being committed.
 *
 * A worker notices a change by itself: its compare-and-set asks for the
 * version and epoch it started with. The notification only makes it quick.
 */
#include "base/compat.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/spi.h"
#include "catalog/catalog.h"
#include "catalog/define.h"
#include "catalog/notify.h"

PG_FUNCTION_INFO_V1(dpipe_enable_source);
PG_FUNCTION_INFO_V1(dpipe_disable_source);
PG_FUNCTION_INFO_V1(dpipe_drop_source);
PG_FUNCTION_INFO_V1(dpipe_adopt);

void		(*dpipe_definition_changed_hook) (void) = NULL;

void
dpipe_definition_changed(void)
{
	if (dpipe_definition_changed_hook)
		dpipe_definition_changed_hook();
}

void
dpipe_check_name(const char *name, const char *what)
{
	if (name[0] == '\0' || strlen(name) > DPIPE_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have 1 to %d bytes", what, DPIPE_MAX_NAME)));
}

/* ---------- the lock ---------- */

static DpipeStatement source_lock = {
	"SELECT s.owner, s.owner_oid,"
	"       NOT EXISTS (SELECT 1 FROM dpipe.incarnation i"
	"           JOIN pg_catalog.pg_database d ON d.oid = i.database_oid"
	"           JOIN pg_catalog.pg_roles r ON r.oid = s.owner_oid"
	"          WHERE i.id = s.incarnation AND r.rolname = s.owner"
	"            AND d.datname = pg_catalog.current_database())"
	"  FROM dpipe.source s WHERE s.name = $1 FOR UPDATE OF s",
	1, {TEXTOID}
};

typedef struct LockedSource
{
	char	   *owner_name;
	Oid			owner;
	bool		restored;		/* as dpipe_source_get tells it */
} LockedSource;

/* False when there is no such source. */
static bool
lock_source(const char *name, LockedSource *locked)
{
	MemoryContext cxt = CurrentMemoryContext;
	DpipeSpi	spi;
	DpipeSource source = {.name = (char *) name};
	Datum		args[1] = {CStringGetTextDatum(name)};
	bool		found;
	bool		isnull;

	dpipe_spi_begin(&spi);
	found = dpipe_spi_run(&source_lock, args, NULL, false, 0) == 1;
	if (found)
	{
		source.owner_name = dpipe_spi_text(0, 1, cxt);
		source.owner = DatumGetObjectId(dpipe_spi_datum(0, 2, &isnull));
		locked->owner_name = source.owner_name;
		locked->owner = source.owner;
		locked->restored = dpipe_spi_bool(0, 3);
	}
	dpipe_spi_end(&spi);

	if (found)
		dpipe_source_check_owner(&source);
	return found;
}

static void
lock_existing_source(const char *name, LockedSource *locked)
{
	if (!lock_source(name, locked))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist", name),
				 errhint("dpipe.source_status lists your sources.")));
}

static void
notice_if_restored(const char *name, const LockedSource *locked)
{
	if (locked->restored)
		ereport(NOTICE,
				(errmsg("source \"%s\" came with a copy of another database and does not run",
						name),
				 errhint("Run SELECT dpipe_adopt() when this database is to take over.")));
}

/*
 * The role that owns the source. In a copy that was not adopted yet the stored
 * OID is another database's: there it is whoever has the name.
 */
Oid
dpipe_source_lock(const char *name)
{
	LockedSource locked;

	if (!lock_source(name, &locked))
		return InvalidOid;
	notice_if_restored(name, &locked);
	return locked.restored ? get_role_oid(locked.owner_name, false) :
		locked.owner;
}

/* ---------- create or replace ---------- */

/* Never one that any source has had: see catalog.sql. */
#define NEXT_VERSION \
	"pg_catalog.nextval('dpipe.source_version'::pg_catalog.regclass)"

static DpipeStatement source_insert = {
	"INSERT INTO dpipe.source (name, kind, server, topics, target_schema,"
	"       target_table, format, envelope, key, start, options, workers,"
	"       enabled, owner, owner_oid, incarnation)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
	"        i.id FROM dpipe.incarnation i"
	" ON CONFLICT (name) DO NOTHING",
	15, {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTARRAYOID, JSONBOID, JSONBOID, INT4OID, BOOLOID, TEXTOID,
	OIDOID}
};

static DpipeStatement source_replace = {
	"UPDATE dpipe.source s SET server = $3, topics = $4, target_schema = $5,"
	"       target_table = $6, format = $7, envelope = $8, key = $9,"
	"       start = $10, options = $11, workers = $12,"
	"       version = " NEXT_VERSION ","
	"       epoch = s.epoch + CASE WHEN s.topics = $4 AND s.workers = $12"
	"                         THEN 0 ELSE 1 END,"
	"       changed_at = pg_catalog.now()"
	" WHERE s.name = $1 AND s.kind = $2",
	12, {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTARRAYOID, JSONBOID, JSONBOID, INT4OID}
};

/*
 * Lay out the position rows of a new epoch: entries of topics that are gone
 * are dropped, the others go to the slot of their partition. The counts of a
 * slot that is gone go to slot 0, so that the sums stay. A topic counts as
 * started when all slots had settled its start: a slot that never ran leaves
 * partitions to which the argument "start" still applies.
 *
 * For dpipe_seek: $2, an object {topic: {partition: offset}}, overrides
 * entries, whose fingerprints mean nothing then; $3 forgets them all.
 *
 * A worker that still holds the old epoch finds its row gone or of another
 * epoch.
 */
static DpipeStatement position_layout = {
	"WITH s AS (SELECT name, epoch, workers, topics FROM dpipe.source"
	"       WHERE name = $1),"
	" old AS (DELETE FROM dpipe.position p USING s WHERE p.source = s.name"
	"       RETURNING p.*),"
	" had AS (SELECT u.* FROM s, old,"
	"       ROWS FROM (pg_catalog.unnest(old.topic),"
	"           pg_catalog.unnest(old.partition),"
	"           pg_catalog.unnest(old.next_offset),"
	"           pg_catalog.unnest(old.end_offset),"
	"           pg_catalog.unnest(old.stop_offset),"
	"           pg_catalog.unnest(old.last_timestamp),"
	"           pg_catalog.unnest(old.print_offset),"
	"           pg_catalog.unnest(old.print_timestamp),"
	"           pg_catalog.unnest(old.print_crc))"
	"       AS u (topic, partition, next_offset, end_offset, stop_offset,"
	"             last_timestamp, print_offset, print_timestamp, print_crc)"
	"       WHERE u.topic = ANY (s.topics) AND NOT $3),"
	" sought AS (SELECT t.key AS topic,"
	"       o.key::pg_catalog.int4 AS partition,"
	"       o.value::pg_catalog.numeric::pg_catalog.int8 AS next_offset"
	"       FROM pg_catalog.jsonb_each($2) t,"
	"            pg_catalog.jsonb_each_text(t.value) o),"
	" entry AS (SELECT h.*, h.partition % s.workers AS slot FROM s, had h"
	"       WHERE NOT EXISTS (SELECT 1 FROM sought w"
	"           WHERE w.topic = h.topic AND w.partition = h.partition)"
	"       UNION ALL"
	"       SELECT w.topic, w.partition, w.next_offset,"
	"           COALESCE(h.end_offset, -1), COALESCE(h.stop_offset, -1),"
	"           -1, -1, -1, -1, w.partition % s.workers"
	"       FROM s CROSS JOIN sought w LEFT JOIN had h"
	"           ON h.topic = w.topic AND h.partition = w.partition),"
	" started AS (SELECT pg_catalog.array_agg(t.topic ORDER BY t.topic) AS topics"
	"       FROM s, pg_catalog.unnest(s.topics) AS t (topic)"
	"       WHERE NOT $3 AND EXISTS (SELECT 1 FROM old) AND NOT EXISTS"
	"           (SELECT 1 FROM old WHERE t.topic <> ALL (old.started))),"
	" part AS (SELECT slot,"
	"       pg_catalog.array_agg(topic ORDER BY topic, partition) AS topic,"
	"       pg_catalog.array_agg(partition ORDER BY topic, partition) AS partition,"
	"       pg_catalog.array_agg(next_offset ORDER BY topic, partition) AS next_offset,"
	"       pg_catalog.array_agg(end_offset ORDER BY topic, partition) AS end_offset,"
	"       pg_catalog.array_agg(stop_offset ORDER BY topic, partition) AS stop_offset,"
	"       pg_catalog.array_agg(last_timestamp ORDER BY topic, partition) AS last_timestamp,"
	"       pg_catalog.array_agg(print_offset ORDER BY topic, partition) AS print_offset,"
	"       pg_catalog.array_agg(print_timestamp ORDER BY topic, partition) AS print_timestamp,"
	"       pg_catalog.array_agg(print_crc ORDER BY topic, partition) AS print_crc"
	"       FROM entry GROUP BY slot),"
	" sums AS (SELECT CASE WHEN old.slot < s.workers THEN old.slot ELSE 0 END AS slot,"
	"       pg_catalog.sum(old.rows)::pg_catalog.int8 AS rows,"
	"       pg_catalog.sum(old.bytes)::pg_catalog.int8 AS bytes,"
	"       pg_catalog.sum(old.dead_letters)::pg_catalog.int8 AS dead_letters,"
	"       pg_catalog.max(old.last_load_id) AS last_load_id,"
	"       pg_catalog.max(old.last_load_at) AS last_load_at"
	"       FROM s, old GROUP BY 1)"
	" INSERT INTO dpipe.position (source, slot, epoch, started, topic, partition,"
	"       next_offset, end_offset, stop_offset, last_timestamp, print_offset,"
	"       print_timestamp, print_crc, rows, bytes, dead_letters,"
	"       last_load_id, last_load_at)"
	" SELECT s.name, n.slot, s.epoch, COALESCE(d.topics, '{}'),"
	"       COALESCE(p.topic, '{}'),"
	"       COALESCE(p.partition, '{}'), COALESCE(p.next_offset, '{}'),"
	"       COALESCE(p.end_offset, '{}'), COALESCE(p.stop_offset, '{}'),"
	"       COALESCE(p.last_timestamp, '{}'), COALESCE(p.print_offset, '{}'),"
	"       COALESCE(p.print_timestamp, '{}'), COALESCE(p.print_crc, '{}'),"
	"       COALESCE(c.rows, 0), COALESCE(c.bytes, 0),"
	"       COALESCE(c.dead_letters, 0), c.last_load_id, c.last_load_at"
	"  FROM s CROSS JOIN started d CROSS JOIN LATERAL"
	"       pg_catalog.generate_series(0, s.workers - 1) AS n (slot)"
	"  LEFT JOIN part p ON p.slot = n.slot"
	"  LEFT JOIN sums c ON c.slot = n.slot",
	3, {TEXTOID, JSONBOID, BOOLOID}
};

static void
lay_out_positions(const char *name, const Jsonb *offsets, bool forget)
{
	bool		nulls[3] = {false, offsets == NULL, false};
	Datum		args[3] = {
		CStringGetTextDatum(name),
		PointerGetDatum(offsets),
		BoolGetDatum(forget),
	};

	(void) dpipe_spi_run(&position_layout, args, nulls, false, 0);
}

/* Only when a new epoch asks for it: most replacements move no position. */
static DpipeStatement layout_is_current = {
	"SELECT 1 FROM dpipe.source s WHERE s.name = $1"
	"   AND s.workers = (SELECT pg_catalog.count(*) FROM dpipe.position p"
	"       WHERE p.source = s.name AND p.epoch = s.epoch)",
	1, {TEXTOID}
};

/*
 * Another stop_at: where it lies has to be found again. Compared as jsonb;
 * the old options are still those of the row when this runs.
 */
static DpipeStatement forget_stops = {
	"UPDATE dpipe.position p SET stop_offset ="
	"       pg_catalog.array_fill(-1::pg_catalog.int8,"
	"           ARRAY[pg_catalog.cardinality(p.stop_offset)])"
	"  FROM dpipe.source s"
	" WHERE s.name = $1 AND p.source = s.name"
	"   AND pg_catalog.cardinality(p.stop_offset) > 0"
	"   AND (s.options OPERATOR(pg_catalog.->) 'stop_at')"
	"       IS DISTINCT FROM ($2 OPERATOR(pg_catalog.->) 'stop_at')",
	2, {TEXTOID, JSONBOID}
};

/* A change of the definition is a new try: only the last error is kept. */
static DpipeStatement states_reset = {
	"UPDATE dpipe.slot_state t SET state = '', reason = '',"
	"       changed_at = pg_catalog.now()"
	" WHERE t.source = $1 AND t.state <> ''", 1, {TEXTOID}
};

static DpipeStatement states_prune = {
	"DELETE FROM dpipe.slot_state t WHERE t.source = $1 AND NOT EXISTS"
	" (SELECT 1 FROM dpipe.source s WHERE s.name = t.source"
	"     AND t.slot < s.workers)", 1, {TEXTOID}
};

static void
run_by_name(DpipeStatement *stmt, const char *name)
{
	Datum		args[1] = {CStringGetTextDatum(name)};

	(void) dpipe_spi_run(stmt, args, NULL, false, 0);
}

static void
replace_definition(const DpipeDefinition *def, Datum *args, bool *nulls)
{
	Datum		stop_args[2] = {args[0], args[10]};

	(void) dpipe_spi_run(&forget_stops, stop_args, NULL, false, 0);
	if (dpipe_spi_run(&source_replace, args, nulls, false, 0) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("source \"%s\" exists and is of another kind",
						def->name),
				 errhint("Drop it first, or choose another name.")));
}

void
dpipe_source_define(const DpipeDefinition *def)
{
	LockedSource locked;
	DpipeSpi	spi;
	bool		nulls[15] = {false};
	Datum		args[15] = {
		CStringGetTextDatum(def->name),
		CStringGetTextDatum(def->kind),
		CStringGetTextDatum(def->server),
		PointerGetDatum(def->topics),
		CStringGetTextDatum(def->target_schema),
		CStringGetTextDatum(def->target_table),
		CStringGetTextDatum(def->format),
		CStringGetTextDatum(def->envelope),
		PointerGetDatum(def->key),
		JsonbPGetDatum(def->start),
		JsonbPGetDatum(def->options),
		Int32GetDatum(def->workers),
		BoolGetDatum(def->enabled),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		ObjectIdGetDatum(GetUserId()),
	};

	nulls[8] = (def->key == NULL);

	dpipe_spi_begin(&spi);
	if (dpipe_spi_run(&source_insert, args, nulls, false, 0) == 0)
	{
		/* It may have been made since the caller looked: check again. */
		dpipe_spi_end(&spi);
		lock_existing_source(def->name, &locked);
		dpipe_spi_begin(&spi);
		replace_definition(def, args, nulls);
	}
	if (dpipe_spi_run(&layout_is_current, args, NULL, false, 0) == 0)
		lay_out_positions(def->name, NULL, false);
	run_by_name(&states_reset, def->name);
	run_by_name(&states_prune, def->name);
	dpipe_spi_end(&spi);

	dpipe_definition_changed();
}

/* ---------- enable, disable, drop ---------- */

static DpipeStatement set_enabled = {
	"UPDATE dpipe.source s SET enabled = $2, changed_at = pg_catalog.now()"
	" WHERE s.name = $1 AND s.enabled <> $2", 2, {TEXTOID, BOOLOID}
};

/*
 * Enabling what is enabled is not useless: it takes the slots out of the state
 * "error" for another try.
 */
Datum
dpipe_enable_source(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		args[2] = {PG_GETARG_DATUM(0), BoolGetDatum(true)};
	LockedSource locked;
	DpipeSpi	spi;

	lock_existing_source(name, &locked);
	notice_if_restored(name, &locked);
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&set_enabled, args, NULL, false, 0);
	run_by_name(&states_reset, name);
	dpipe_spi_end(&spi);
	dpipe_definition_changed();
	PG_RETURN_VOID();
}

Datum
dpipe_disable_source(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		args[2] = {PG_GETARG_DATUM(0), BoolGetDatum(false)};
	LockedSource locked;
	DpipeSpi	spi;

	lock_existing_source(name, &locked);
	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&set_enabled, args, NULL, false, 0);
	dpipe_spi_end(&spi);
	dpipe_definition_changed();
	PG_RETURN_VOID();
}

static DpipeStatement source_delete = {
	"DELETE FROM dpipe.source s WHERE s.name = $1", 1, {TEXTOID}
};
static DpipeStatement positions_delete = {
	"DELETE FROM dpipe.position p WHERE p.source = $1", 1, {TEXTOID}
};
static DpipeStatement states_delete = {
	"DELETE FROM dpipe.slot_state t WHERE t.source = $1", 1, {TEXTOID}
};

/* Loads, dead letters and gaps stay: they are what happened. */
Datum
dpipe_drop_source(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	LockedSource locked;
	DpipeSpi	spi;

	lock_existing_source(name, &locked);
	dpipe_spi_begin(&spi);
	run_by_name(&source_delete, name);
	run_by_name(&positions_delete, name);
	run_by_name(&states_delete, name);
	dpipe_spi_end(&spi);
	dpipe_definition_changed();
	PG_RETURN_VOID();
}

/* ---------- seek ---------- */

static DpipeStatement next_epoch = {
	"UPDATE dpipe.source s SET epoch = s.epoch + 1, version = " NEXT_VERSION ","
	"       start = COALESCE($3, s.start), changed_at = pg_catalog.now()"
	" WHERE s.name = $1 AND s.kind = $2", 3, {TEXTOID, TEXTOID, JSONBOID}
};

static DpipeStatement foreign_topic = {
	"SELECT k.topic FROM dpipe.source s,"
	"       pg_catalog.jsonb_object_keys($2) AS k (topic)"
	" WHERE s.name = $1 AND k.topic <> ALL (s.topics)", 2, {TEXTOID, JSONBOID}
};

static void
check_topics_of_source(const char *name, const Jsonb *offsets)
{
	Datum		args[2] = {CStringGetTextDatum(name), JsonbPGetDatum(offsets)};

	if (dpipe_spi_run(&foreign_topic, args, NULL, false, 1) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a topic of source \"%s\"",
						dpipe_spi_text(0, 1, CurrentMemoryContext), name)));
}

void
dpipe_source_seek(const char *name, const char *kind, const Jsonb *offsets,
				  const Jsonb *start)
{
	LockedSource locked;
	DpipeSpi	spi;
	bool		nulls[3] = {false, false, start == NULL};
	Datum		args[3] = {
		CStringGetTextDatum(name),
		CStringGetTextDatum(kind),
		PointerGetDatum(start),
	};

	lock_existing_source(name, &locked);
	notice_if_restored(name, &locked);
	dpipe_spi_begin(&spi);
	if (offsets)
		check_topics_of_source(name, offsets);
	if (dpipe_spi_run(&next_epoch, args, nulls, false, 0) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("source \"%s\" is not of kind %s", name, kind)));
	lay_out_positions(name, offsets, start != NULL);
	run_by_name(&states_reset, name);
	dpipe_spi_end(&spi);
	dpipe_definition_changed();
}

/* ---------- adopt ---------- */

/*
 * A role of this database's own definitions has a new name. Its history is
 * found by the old pair of name and OID, so it goes first.
 */
#define RENAMED \
	"(SELECT DISTINCT s.owner, s.owner_oid, r.rolname::pg_catalog.text AS new_name" \
	"   FROM (SELECT owner, owner_oid, incarnation FROM dpipe.source" \
	"         UNION ALL" \
	"         SELECT owner, owner_oid, incarnation FROM dpipe.model" \
	"         UNION ALL" \
	"         SELECT owner, owner_oid, incarnation FROM dpipe.project) s" \
	"   JOIN dpipe.incarnation i ON i.id = s.incarnation" \
	"   JOIN pg_catalog.pg_roles r ON r.oid = s.owner_oid" \
	"  WHERE r.rolname <> s.owner AND NOT EXISTS" \
	"        (SELECT 1 FROM pg_catalog.pg_roles o WHERE o.rolname = s.owner)) n"

static DpipeStatement follow_names[] = {
	{"UPDATE dpipe.ledger l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.letter l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.gap_log l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.run_log l SET caller = n.new_name FROM " RENAMED
	" WHERE l.caller = n.owner AND l.caller_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.run_node_log l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.source l SET owner = n.new_name,"
		"       version = " NEXT_VERSION ", changed_at = pg_catalog.now() FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.project l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
	{"UPDATE dpipe.model l SET owner = n.new_name FROM " RENAMED
	" WHERE l.owner = n.owner AND l.owner_oid = n.owner_oid", 0, {0}},
};

/* A copy made by CREATE DATABASE ... TEMPLATE carries its original's row. */
static DpipeStatement renew_incarnation = {
	"UPDATE dpipe.incarnation i SET id = pg_catalog.gen_random_uuid(),"
	"       database_oid = $1 WHERE i.database_oid <> $1", 1, {OIDOID}
};

/* In a restored dump only names are of any use; history follows them. */
static DpipeStatement follow_oids[] = {
	{"UPDATE dpipe.source s SET incarnation = i.id, owner_oid = r.oid,"
		"       version = " NEXT_VERSION ", changed_at = pg_catalog.now()"
		"  FROM dpipe.incarnation i, pg_catalog.pg_roles r"
		" WHERE r.rolname = s.owner"
	"   AND (s.incarnation <> i.id OR s.owner_oid <> r.oid)", 0, {0}},
	{"UPDATE dpipe.model m SET incarnation = i.id, owner_oid = r.oid"
		"  FROM dpipe.incarnation i, pg_catalog.pg_roles r"
		" WHERE r.rolname = m.owner"
	"   AND (m.incarnation <> i.id OR m.owner_oid <> r.oid)", 0, {0}},
	{"UPDATE dpipe.project p SET incarnation = i.id, owner_oid = r.oid"
		"  FROM dpipe.incarnation i, pg_catalog.pg_roles r"
		" WHERE r.rolname = p.owner"
	"   AND (p.incarnation <> i.id OR p.owner_oid <> r.oid)", 0, {0}},
	{"UPDATE dpipe.ledger l SET owner_oid = r.oid FROM pg_catalog.pg_roles r"
	" WHERE r.rolname = l.owner AND l.owner_oid <> r.oid", 0, {0}},
	{"UPDATE dpipe.letter l SET owner_oid = r.oid FROM pg_catalog.pg_roles r"
	" WHERE r.rolname = l.owner AND l.owner_oid <> r.oid", 0, {0}},
	{"UPDATE dpipe.gap_log g SET owner_oid = r.oid FROM pg_catalog.pg_roles r"
	" WHERE r.rolname = g.owner AND g.owner_oid <> r.oid", 0, {0}},
};

static DpipeStatement orphans = {
	"SELECT d.kind, d.name, d.owner FROM"
	" (SELECT 'source' AS kind, s.name, s.owner FROM dpipe.source s"
	"  UNION ALL SELECT 'model', m.name, m.owner FROM dpipe.model m"
	"  UNION ALL SELECT 'project', p.name, p.owner FROM dpipe.project p) d"
	" WHERE NOT EXISTS"
	" (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname = d.owner)"
	" ORDER BY d.kind DESC, d.name", 0, {0}
};

static void
check_may_adopt(void)
{
	HeapTuple	tup = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for database %u", MyDatabaseId);
	owner = ((Form_pg_database) GETSTRUCT(tup))->datdba;
	ReleaseSysCache(tup);

	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to adopt the definitions of a copied database"),
				 errhint("Only the owner of the database and superusers may.")));
}

/*
 * Make the definitions of a restored dump or copied database this database's
 * own. From now on they run here; the original must not run beside it unless
 * both are meant to read.
 */
Datum
dpipe_adopt(PG_FUNCTION_ARGS)
{
	DpipeSpi	spi;
	Datum		args[1] = {ObjectIdGetDatum(MyDatabaseId)};
	uint64		n;

	check_may_adopt();
	dpipe_spi_begin(&spi);
	for (int i = 0; i < lengthof(follow_names); i++)
		(void) dpipe_spi_run(&follow_names[i], NULL, NULL, false, 0);
	(void) dpipe_spi_run(&renew_incarnation, args, NULL, false, 0);
	for (int i = 0; i < lengthof(follow_oids); i++)
		(void) dpipe_spi_run(&follow_oids[i], NULL, NULL, false, 0);

	n = dpipe_spi_run(&orphans, NULL, NULL, false, 0);
	for (uint64 row = 0; row < n; row++)
		ereport(WARNING,
				(errmsg("%s \"%s\" was not adopted",
						dpipe_spi_text(row, 1, CurrentMemoryContext),
						dpipe_spi_text(row, 2, CurrentMemoryContext)),
				 errdetail("Its owner, role \"%s\", does not exist.",
						   dpipe_spi_text(row, 3, CurrentMemoryContext)),
				 errhint("Create the role and run SELECT dpipe_adopt() again.")));
	dpipe_spi_end(&spi);
	dpipe_definition_changed();
	PG_RETURN_VOID();
}
