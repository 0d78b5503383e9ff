-- views.sql
--     What everybody may look at: each role sees what it owns or is a member
--     of, pg_monitor sees all but the contents of records.
--
-- The views belong to the extension's owner and are security barriers: a
-- function in the caller's WHERE never sees a row that the caller does not.
-- The functions they call run as the caller and filter by themselves.
--
-- Names in a view are resolved when it is made. Whoever may create in the
-- extension's schema could have planted a function there that fits the types
-- of a call better than the server's own, and it would run as everybody who
-- looks; so that schema is not on the path here.
SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE FUNCTION dpipe._is_mine(owner text, owner_oid oid) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dpipe_is_mine';
COMMENT ON FUNCTION dpipe._is_mine(text, oid) IS 'internal: may the caller act as this owner';

CREATE FUNCTION dpipe._background_problem() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'dpipe_background_problem';
COMMENT ON FUNCTION dpipe._background_problem() IS 'internal: why nothing runs in the background';

CREATE FUNCTION dpipe._slots(
        OUT source text, OUT slot integer, OUT state text, OUT reason text,
        OUT pid integer, OUT restart_at timestamptz, OUT last_error text,
        OUT last_error_at timestamptz, OUT rows_per_second double precision,
        OUT bytes_per_second double precision, OUT memory_bytes bigint,
        OUT load_path text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'dpipe_visible_slots';
COMMENT ON FUNCTION dpipe._slots() IS 'internal: what the slots of the caller''s sources are doing';

CREATE VIEW dpipe.source_partition WITH (security_barrier) AS
SELECT p.source, u.topic, u.partition, p.slot,
       u.next_offset AS position,
       CASE WHEN u.end_offset >= 0 THEN u.end_offset END AS end_offset,
       CASE WHEN u.end_offset >= 0
            THEN greatest(u.end_offset - u.next_offset, 0) END AS lag_records,
       CASE WHEN u.end_offset < 0 THEN NULL
            WHEN u.next_offset >= u.end_offset THEN 0
            WHEN u.last_timestamp >= 0 THEN greatest(0,
                extract(epoch FROM clock_timestamp())::double precision
                - u.last_timestamp / 1000.0::double precision)
       END AS lag_seconds
  FROM dpipe.position p
  JOIN dpipe.source s ON s.name = p.source
 CROSS JOIN LATERAL ROWS FROM (unnest(p.topic), unnest(p.partition),
           unnest(p.next_offset), unnest(p.end_offset),
           unnest(p.last_timestamp))
       AS u (topic, partition, next_offset, end_offset, last_timestamp)
 WHERE dpipe._is_mine(s.owner, s.owner_oid)
    OR (SELECT pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.source_partition IS 'where each source stands in each partition of its topics';

-- One row a slot: what the board in shared memory says, or else what was
-- noted to last, or else that it waits.
CREATE VIEW dpipe.source_status WITH (security_barrier) AS
WITH slot AS (
    SELECT p.source, p.slot,
           CASE WHEN t.state IN ('error', 'finished')
                     AND coalesce(b.state, 'waiting for slot') = 'waiting for slot'
                THEN t.state
                ELSE coalesce(b.state, 'waiting for slot') END AS state,
           CASE WHEN t.state IN ('error', 'finished')
                     AND coalesce(b.state, 'waiting for slot') = 'waiting for slot'
                THEN t.reason
                WHEN coalesce(b.state, 'waiting for slot') = 'waiting for slot'
                THEN coalesce(dpipe._background_problem(), b.reason,
                              'the scheduler has not come to it yet')
                WHEN b.state = 'retrying' AND b.restart_at IS NOT NULL
                THEN format('%s; next try at %s',
                            coalesce(b.reason, b.last_error, 'it failed'),
                            to_char(b.restart_at, 'HH24:MI:SS'))
                ELSE b.reason END AS reason,
           b.pid, b.rows_per_second, b.bytes_per_second, b.memory_bytes, b.load_path,
           CASE WHEN coalesce(b.last_error_at >= t.last_error_at, b.last_error_at IS NOT NULL)
                THEN b.last_error
                WHEN t.shown_error IS NULL OR dpipe._is_mine(s.owner, s.owner_oid)
                THEN t.last_error ELSE t.shown_error END AS last_error,
           greatest(b.last_error_at, t.last_error_at) AS last_error_at,
           p.rows, p.dead_letters, p.last_load_id, p.last_load_at,
           cardinality(p.partition) > 0 OR cardinality(p.started) > 0 AS known
      FROM dpipe.position p
      JOIN dpipe.source s ON s.name = p.source
      LEFT JOIN dpipe._slots() b ON b.source = p.source AND b.slot = p.slot
      LEFT JOIN dpipe.slot_state t ON t.source = p.source AND t.slot = p.slot
), first_state AS (
    -- The state of a source is that of the slot which needs attention most.
    SELECT DISTINCT ON (l.source) l.source, l.state
      FROM slot l
     ORDER BY l.source, array_position(ARRAY['error', 'retrying', 'running',
              'starting', 'waiting for slot', 'finished'], l.state)
), slots AS (
    SELECT l.source, f.state,
           concat_ws('; ',
               string_agg(DISTINCT nullif(l.reason, ''), '; ') FILTER (WHERE l.state = f.state),
               CASE WHEN f.state IN ('running', 'starting')
                         AND count(*) FILTER (WHERE l.state = 'waiting for slot') > 0
                    THEN format('%s of %s slots wait for a worker',
                                count(*) FILTER (WHERE l.state = 'waiting for slot'),
                                count(*)) END) AS reason,
           coalesce(array_agg(l.pid ORDER BY l.slot) FILTER (WHERE l.pid IS NOT NULL), '{}') AS pids,
           bool_and(l.known) AS known,
           sum(l.rows)::bigint AS rows,
           coalesce(sum(l.rows_per_second), 0) AS rows_per_second,
           coalesce(sum(l.bytes_per_second), 0) AS bytes_per_second,
           sum(l.dead_letters)::bigint AS dead_letters,
           max(l.last_load_id) AS last_load_id,
           max(l.last_load_at) AS last_load_at,
           (array_agg(l.last_error ORDER BY l.last_error_at DESC NULLS LAST))[1] AS last_error,
           max(l.last_error_at) AS last_error_at,
           string_agg(DISTINCT l.load_path, ', ') AS load_path,
           coalesce(sum(l.memory_bytes), 0)::bigint AS memory_bytes
      FROM slot l
      JOIN first_state f ON f.source = l.source
     GROUP BY l.source, f.state
), lag AS (
    SELECT x.source,
           CASE WHEN count(*) = count(x.lag_records)
                THEN sum(x.lag_records)::bigint END AS lag_records,
           CASE WHEN count(*) = count(x.lag_seconds)
                THEN max(x.lag_seconds) END AS lag_seconds
      FROM dpipe.source_partition x
     GROUP BY x.source
), problem AS (
    -- What can be told without a worker. An OID is a role only together with
    -- its name: see dpipe_adopt().
    SELECT s.name AS source,
           CASE WHEN i.id IS NULL
                THEN 'restored'
                WHEN named.oid <> s.owner_oid
                THEN 'restored'
                WHEN NOT s.enabled
                THEN 'disabled'
                WHEN named.oid IS NULL OR e.oid IS NULL OR c.oid IS NULL
                THEN 'error' END AS state,
           CASE WHEN i.id IS NULL
                THEN 'it came with a copy of another database; SELECT dpipe_adopt() makes it run here'
                WHEN named.oid <> s.owner_oid
                THEN format('role %I is not the role that owned it; SELECT dpipe_adopt() gives it to this one', s.owner)
                WHEN NOT s.enabled
                THEN format('disabled; SELECT dpipe_enable_source(%L) lets it run', s.name)
                WHEN named.oid IS NULL AND had.oid IS NOT NULL
                THEN format('role %I, its owner, is now called %I; SELECT dpipe_adopt() notes the new name', s.owner, had.rolname)
                WHEN named.oid IS NULL
                THEN format('role %I, its owner, does not exist', s.owner)
                WHEN e.oid IS NULL
                THEN format('server %I does not exist', s.server)
                WHEN c.oid IS NULL
                THEN format('table %I.%I does not exist', s.target_schema, s.target_table)
                END AS reason
      FROM dpipe.source s
      LEFT JOIN dpipe.incarnation i ON i.id = s.incarnation
       AND i.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      LEFT JOIN pg_roles named ON named.rolname = s.owner
      LEFT JOIN pg_roles had ON had.oid = s.owner_oid
      LEFT JOIN pg_foreign_server e ON e.srvname = s.server
      LEFT JOIN pg_namespace n ON n.nspname = s.target_schema
      LEFT JOIN pg_class c ON c.relname = s.target_table AND c.relnamespace = n.oid
)
SELECT s.name AS source, s.kind, s.owner, s.enabled,
       coalesce(p.state, l.state) AS state,
       coalesce(p.reason, l.reason, '') AS reason,
       s.workers, l.pids,
       CASE WHEN l.known THEN coalesce(g.lag_records, CASE WHEN g.source IS NULL THEN 0 END) END AS lag_records,
       CASE WHEN l.known THEN coalesce(g.lag_seconds, CASE WHEN g.source IS NULL THEN 0 END) END AS lag_seconds,
       l.rows, l.rows_per_second, l.bytes_per_second, l.dead_letters,
       l.last_load_id, l.last_load_at, l.last_error, l.last_error_at,
       l.load_path, l.memory_bytes
  FROM dpipe.source s
  JOIN slots l ON l.source = s.name
  JOIN problem p ON p.source = s.name
  LEFT JOIN lag g ON g.source = s.name
 WHERE dpipe._is_mine(s.owner, s.owner_oid)
    OR (SELECT pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.source_status IS 'what each source is doing, and why nothing happens when nothing does';

CREATE VIEW dpipe.load WITH (security_barrier) AS
SELECT l.load_id, l.source, l.slot, l.target, l.rows, l.dead_letters, l.bytes,
       l.positions, l.started_at, l.finished_at
  FROM dpipe.ledger l
 WHERE dpipe._is_mine(l.owner, l.owner_oid)
    OR (SELECT pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.load IS 'committed loads; positions is {topic: {partition: [from, to]}}';

-- A message quotes the value that was refused, so it is contents as well.
CREATE VIEW dpipe.dead_letter WITH (security_barrier) AS
SELECT l.id, l.source, l.owner, l.load_id, l.topic, l.partition, l."offset",
       l."timestamp",
       CASE WHEN dpipe._is_mine(l.owner, l.owner_oid) THEN l.key END AS key,
       CASE WHEN dpipe._is_mine(l.owner, l.owner_oid) THEN l.payload END AS payload,
       CASE WHEN dpipe._is_mine(l.owner, l.owner_oid) THEN l.headers END AS headers,
       l.stage, l.sqlstate,
       CASE WHEN dpipe._is_mine(l.owner, l.owner_oid) THEN l.message END AS message,
       l.created_at, l.replayed_at
  FROM dpipe.letter l
 WHERE dpipe._is_mine(l.owner, l.owner_oid)
    OR (SELECT pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.dead_letter IS 'records that could not be stored, whole, and why; contents are for their owner only';

CREATE VIEW dpipe.gap WITH (security_barrier) AS
SELECT g.source, g.topic, g.partition, g.from_offset, g.to_offset, g.found_at,
       g.action
  FROM dpipe.gap_log g
 WHERE dpipe._is_mine(g.owner, g.owner_oid)
    OR (SELECT pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.gap IS 'records that the broker no longer had when their turn came, and what was done about it';

GRANT SELECT ON dpipe.source_status, dpipe.source_partition, dpipe.load,
    dpipe.dead_letter, dpipe.gap TO PUBLIC;

SET LOCAL search_path TO @extschema@, pg_temp;
