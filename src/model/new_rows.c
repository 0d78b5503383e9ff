/*
 * new_rows.c
 *		dpipe.new_rows(relation): each committed row once per consumer.
 *
 * Rows carry the id of the load that stored them (_load_id); an id's row in
 * dpipe.ledger becomes visible with its rows. A transaction gets its xid
 * before it draws an id. Loads commit out of order, so a consumer remembers
 * the ids that it has consumed as a multirange.
 *
 * A run locks the consumer's row. Its next statement takes a new snapshot
 * (under READ COMMITTED) and adds to "consumed" every id whose ledger row is
 * visible in it, whatever its target: no row of this relation can come later
 * under the id of a load that has committed. What it added is what the model
 * reads; the model's own statement has a later snapshot, in which all of it
 * is visible too.
 *
 * Ids below the highest one seen that are not visible are holes: their
 * transactions run still, or have aborted. Holes are closed (consumed without
 * rows) when every transaction that could own one has ended. An owner has its
 * xid before it draws its id, and the id was drawn before a higher one was
 * seen; so owners' xids are below the next xid as read after the snapshot
 * that saw the hole. That is noted as gap_xid, and the noted holes are closed
 * by a snapshot in which they are still invisible and whose xmin is not below
 * gap_xid. The snapshot's xmax would not do in place of the next xid: it is
 * one past the last xid that has *ended*, and an owner that runs may be above
 * it.
 *
 * Under REPEATABLE READ the snapshot is the transaction's: a state that moved
 * since is a serialization failure (40001), one that did not is read with ids
 * and rows of the same snapshot.
 *
 * A gap_xid that lies in the future is of another cluster (a restored dump)
 * or of before a crash or promotion: owners of such holes cannot commit here,
 * nor can those of holes whose gap_xid happens to lie in the past.
 */
#include "base/compat.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/fault.h"
#include "base/spi.h"
#include "model/model.h"

#define LOAD_ID "_load_id"

/* State of a consumer, as datums for the statements below. */
typedef struct ConsumerState
{
	bool		exists;
	Datum		consumed;		/* int8multirange */
	Datum		gaps;			/* int8multirange */
	Datum		gap_xid;		/* xid8 */
	bool		gap_xid_null;
} ConsumerState;

/* ---------- what can be read ---------- */

static DpipeStatement select_loaded = {
	"SELECT 1 FROM dpipe.source s"
	" WHERE s.target_schema = $1 AND s.target_table = $2"
	" UNION ALL (SELECT 1 FROM dpipe.ledger l WHERE l.target = $3 LIMIT 1)",
	3,
{TEXTOID, TEXTOID, TEXTOID}};

static bool
is_loaded(const char *schema, const char *name, const char *relation)
{
	DpipeSpi	spi;
	bool		found;
	Datum		args[3] = {
		CStringGetTextDatum(schema),
		CStringGetTextDatum(name),
		CStringGetTextDatum(relation),
	};

	dpipe_spi_begin(&spi);
	found = dpipe_spi_run(&select_loaded, args, NULL, true, 1) > 0;
	dpipe_spi_end(&spi);
	return found;
}

/*
 * The relation must exist, have its rows stamped by dpipe (as the target of a
 * source, now or before, or by dpipe_track) and hold the stamp.
 */
static void
check_relation(const char *schema, const char *name, const char *relation)
{
	RangeVar   *rv = makeRangeVar(pstrdup(schema), pstrdup(name), -1);
	Oid			relid = RangeVarGetRelid(rv, NoLock, false);
	AttrNumber	attnum = get_attnum(relid, LOAD_ID);

	if (!dpipe_is_tracked(relid) && !is_loaded(schema, name, relation))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("new rows of %s are not tracked", relation),
						errdetail("It is not loaded by a source of dpipe."),
						errhint("Run SELECT dpipe_track(%s) as its owner.",
								quote_literal_cstr(relation))));
	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("%s has no column %s", relation, LOAD_ID),
				 errhint("Add it: ALTER TABLE %s ADD COLUMN %s bigint.", relation, LOAD_ID)));
	if (get_atttype(relid, attnum) != INT8OID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column %s of %s is not of type bigint", LOAD_ID, relation)));
}

/* ---------- the state ---------- */

static DpipeStatement make_state = {
	"INSERT INTO dpipe.consumer (consumer, relation) VALUES ($1, $2)"
	" ON CONFLICT DO NOTHING",
	2,
{TEXTOID, TEXTOID}};

static DpipeStatement lock_state = {"SELECT c.consumed, c.gaps, c.gap_xid FROM dpipe.consumer c"
	" WHERE c.consumer = $1 AND c.relation = $2 FOR UPDATE",
	2,
{TEXTOID, TEXTOID}};

static DpipeStatement read_state = {"SELECT c.consumed, c.gaps, c.gap_xid FROM dpipe.consumer c"
	" WHERE c.consumer = $1 AND c.relation = $2",
	2,
{TEXTOID, TEXTOID}};

static Datum
empty_multirange(void)
{
	static DpipeStatement empty = {"SELECT '{}'::pg_catalog.int8multirange", 0, {0}};
	bool		isnull;

	(void) dpipe_spi_run(&empty, NULL, NULL, true, 1);
	return dpipe_spi_datum(0, 1, &isnull);
}

/* Called inside dpipe_spi_begin; the datums live as long as that. */
static void
get_state(Datum *names, bool reset, bool advance, ConsumerState *state)
{
	bool		isnull;

	if (advance)
		(void) dpipe_spi_run(&make_state, names, NULL, false, 0);
	state->exists = dpipe_spi_run(advance ? &lock_state : &read_state, names, NULL, false, 1) > 0;
	state->gap_xid_null = true;
	state->gap_xid = (Datum) 0;
	if (!state->exists || reset)
	{
		state->consumed = state->gaps = empty_multirange();
		return;
	}
	state->consumed = dpipe_spi_datum(0, 1, &isnull);
	state->gaps = dpipe_spi_datum(0, 2, &isnull);
	state->gap_xid = dpipe_spi_datum(0, 3, &state->gap_xid_null);
	if (!state->gap_xid_null &&
		FullTransactionIdFollows(FullTransactionIdFromU64(DatumGetUInt64(state->gap_xid)),
								 ReadNextFullTransactionId()))
		state->gap_xid_null = true; /* its owners are no more */
}

/* ---------- one step ---------- */

/*
 * $1 consumed, $2 noted holes, $3 gap_xid. One statement, so one snapshot.
 * Ids below 1 are nobody's: the first step takes them, and NULLs, as rows
 * that were there before the table was loaded.
 *
 * The predicate of few ranges is spelled out for an index on _load_id, of
 * many it is bounds for the index and a search in the multirange.
 */
static DpipeStatement step = {
	"WITH at AS MATERIALIZED (SELECT"
	"  CASE WHEN $1 = '{}' THEN '{(,1)}'::pg_catalog.int8multirange"
	"       ELSE $1 END AS consumed,"
	"  $3 IS NULL OR pg_snapshot_xmin(pg_current_snapshot()) >= $3 AS settled),"
	" bottom AS MATERIALIZED (SELECT a.*,"
	"  coalesce(lower(int8multirange(int8range(NULL, upper(a.consumed)))"
	"                 - a.consumed), upper(a.consumed)) AS load_id FROM at a),"
	" seen AS MATERIALIZED ("
	"  SELECT coalesce(range_agg(int8range(l.load_id, l.load_id, '[]')), '{}') AS ids"
	"    FROM dpipe.ledger l"
	"   WHERE l.load_id >= (SELECT b.load_id FROM bottom b)),"
	" later AS MATERIALIZED (SELECT b.settled, b.consumed + s.ids"
	"    + CASE WHEN b.settled THEN $2 ELSE '{}' END AS consumed"
	"   FROM bottom b, seen s),"
	" found AS MATERIALIZED (SELECT l.settled, l.consumed, l.consumed - $1 AS fresh,"
	"  int8multirange(int8range(NULL, upper(l.consumed))) - l.consumed AS holes"
	"   FROM later l)"
	" SELECT f.consumed,"
	"  CASE WHEN f.settled OR f.holes * $2 = '{}' THEN f.holes"
	"       ELSE f.holes * $2 END,"
	"  f.settled OR f.holes * $2 = '{}',"
	"  f.holes = '{}',"
	"  CASE WHEN $1 = '{}' THEN '_load_id is null or ' ELSE '' END ||"
	"  CASE WHEN f.fresh = '{}' THEN 'false'"
	"       WHEN (SELECT count(*) FROM unnest(f.fresh)) <= 50 THEN"
	"         (SELECT string_agg(concat_ws(' and ', '_load_id >= ' || lower(r),"
	"                                      '_load_id < ' || upper(r)), ' or ' ORDER BY r)"
	"            FROM unnest(f.fresh) r)"
	"       ELSE concat_ws(' and ', '_load_id >= ' || lower(f.fresh),"
	"             '_load_id < ' || upper(f.fresh),"
	"             '_load_id operator(pg_catalog.<@) ' || quote_literal(f.fresh)"
	"             || '::pg_catalog.int8multirange') END"
	" FROM found f",
	3,
{INT8MULTIRANGEOID, INT8MULTIRANGEOID, XID8OID}};

static DpipeStatement store_state = {
	"UPDATE dpipe.consumer c SET consumed = $3, gaps = $4, gap_xid = $5"
	" WHERE c.consumer = $1 AND c.relation = $2",
	5,
{TEXTOID, TEXTOID, INT8MULTIRANGEOID, INT8MULTIRANGEOID, XID8OID}};

/* Returns the predicate, in "cxt". */
static char *
advance_state(Datum *names, bool advance, const ConsumerState *state, MemoryContext cxt)
{
	Datum		args[3] = {state->consumed, state->gaps, state->gap_xid};
	bool		nulls[3] = {false, false, state->gap_xid_null};
	Datum		update[5] = {names[0], names[1]};
	bool		update_nulls[5] = {false};
	bool		isnull;
	bool		note_anew;
	bool		no_holes;
	char	   *predicate;

	(void) dpipe_spi_run(&step, args, nulls, false, 1);
	predicate = dpipe_spi_text(0, 5, cxt);
	if (!advance)
		return predicate;

	update[2] = dpipe_spi_datum(0, 1, &isnull);
	update[3] = dpipe_spi_datum(0, 2, &isnull);
	note_anew = dpipe_spi_bool(0, 3);
	no_holes = dpipe_spi_bool(0, 4);

	/* After the snapshot that saw the holes; see above. */
	if (note_anew)
		update[4] = UInt64GetDatum(U64FromFullTransactionId(ReadNextFullTransactionId()));
	else
		update[4] = state->gap_xid;
	update_nulls[4] = no_holes;
	(void) dpipe_spi_run(&store_state, update, update_nulls, false, 0);
	return predicate;
}

/*
 * The expression is a join of the rows with a relation of one row and no
 * columns: as a plain subquery it would need an alias before PostgreSQL 16
 * and could not be given one if it brought its own.
 */
char *
dpipe_new_rows(const char *consumer, const char *schema, const char *name, bool reset, bool advance)
{
	MemoryContext cxt = CurrentMemoryContext;
	char	   *relation = dpipe_relation_key(schema, name);
	Datum		names[2];
	ConsumerState state;
	DpipeSpi	spi;
	char	   *predicate;

	check_relation(schema, name, relation);

	/* What this transaction goes on to store is not of what is read now. */
	if (advance)
		dpipe_track_new_ids();
	names[0] = CStringGetTextDatum(consumer);
	names[1] = CStringGetTextDatum(relation);

	dpipe_spi_begin(&spi);
	get_state(names, reset, advance, &state);
	DPIPE_FAULT_POINT("new_rows_locked");
	predicate = advance_state(names, advance, &state, cxt);
	dpipe_spi_end(&spi);

	return psprintf("((select * from %s where %s) as %s cross join (select) as dpipe_once)",
					relation, predicate, quote_identifier(name));
}

static DpipeStatement delete_states = {
"DELETE FROM dpipe.consumer WHERE consumer = $1", 1, {TEXTOID}};

void
dpipe_consumer_forget(const char *consumer)
{
	DpipeSpi	spi;
	Datum		args[1] = {CStringGetTextDatum(consumer)};

	dpipe_spi_begin(&spi);
	(void) dpipe_spi_run(&delete_states, args, NULL, false, 0);
	dpipe_spi_end(&spi);
}
