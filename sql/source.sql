-- Definitions of sources: arguments, owners, replacement, positions, and who
-- sees what. No broker is asked: all sources here are disabled or point nowhere.
SET client_min_messages = warning;
CREATE ROLE regress_dpipe_team;
CREATE ROLE regress_dpipe_alice;
CREATE ROLE regress_dpipe_bob IN ROLE regress_dpipe_team;
CREATE ROLE regress_dpipe_mallory;
CREATE ROLE regress_dpipe_watch IN ROLE pg_monitor;
CREATE SERVER events FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '127.0.0.1:1');
GRANT USAGE ON FOREIGN SERVER events TO regress_dpipe_alice, regress_dpipe_team;
CREATE SCHEMA raw;
GRANT USAGE, CREATE ON SCHEMA raw TO PUBLIC;
SET search_path = raw, public;
RESET client_min_messages;

-- The wrong calls, each told what is wrong and what would be right.
CREATE FUNCTION public.try(
        name text DEFAULT 's1', server text DEFAULT 'events', topic text DEFAULT 't',
        target text DEFAULT 'raw.t', format text DEFAULT 'json', envelope text DEFAULT 'none',
        key text[] DEFAULT NULL, start text DEFAULT 'earliest', options jsonb DEFAULT '{}')
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    PERFORM dpipe_create_kafka_source(name, server, topic, target, format, envelope, key, start,
        options || '{"enabled": false}');
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE TABLE raw.t (_payload jsonb);
GRANT INSERT ON raw.t TO regress_dpipe_alice, regress_dpipe_team;
\pset format unaligned
\pset tuples_only on
SELECT public.try(name => NULL);
SELECT public.try(name => '');
SELECT public.try(name => repeat('x', 64));
SELECT public.try(topic => NULL);
SELECT public.try(topic => '');
SELECT public.try(topic => 'a,,b');
SELECT public.try(topic => 'a, b ,a');
SELECT public.try(topic => 'with space');
SELECT public.try(topic => '..');
SELECT public.try(topic => repeat('x', 250));
SELECT public.try(format => 'xml');
SELECT public.try(envelope => 'debezium');
SELECT public.try(envelope => 'paper');
SELECT public.try(key => '{id}');
SELECT public.try(start => 'yesterday');
SELECT public.try(start => '{"timestamp": "not a time"}');
SELECT public.try(start => '{"timestamp": "infinity"}');
SELECT public.try(start => '{"timestamp": "2024-05-01", "t": {"0": 1}}');
SELECT public.try(start => '{"t": {"0": -1}}');
SELECT public.try(start => '{"t": {"0": 1.5}}');
SELECT public.try(start => '{"t": {"zero": 1}}');
SELECT public.try(start => '{"other": {"0": 1}}');
SELECT public.try(start => '{"t": 5}');
SELECT public.try(start => '{}');
SELECT public.try(start => '[1]');
SELECT public.try(start => '{"t": ');
SELECT public.try(options => '{"batchrows": 5}');
SELECT public.try(options => '{"batch_rows": 0}');
SELECT public.try(options => '{"batch_rows": "10"}');
SELECT public.try(options => '{"batch_rows": 1.5}');
SELECT public.try(options => '{"batch_rows": 1e300}');
SELECT public.try(options => '{"workers": 0}');
SELECT public.try(options => '{"workers": 257}');
SELECT public.try(options => '{"on_gap": "jump"}');
SELECT public.try(options => '{"on_unknown_field": true}');
SELECT public.try(options => '{"key_format": "avro"}');
SELECT public.try(options => '{"max_record_bytes": 268435457}');
SELECT public.try(options => '{"librdkafka": "fast"}');
SELECT public.try(options => '{"stop_at": "never"}');
SELECT public.try(options => '{"stop_at": {"other": {"0": 5}}}');
SELECT public.try(start => '{"t": {"00": 5}}');
SELECT public.try(start => '{"t": {"0": 5.5}}');
SELECT public.try(start => '{"t": {"0": 1e30}}');
SELECT public.try(options => '[]');
SELECT count(*) FROM dpipe.source_status;
\pset format aligned
\pset tuples_only off

-- The right ones
SET TimeZone = 'Europe/Berlin';
SELECT public.try(topic => 'a, b', start => '{"timestamp": "2024-05-01 12:00"}',
    options => '{"workers": 2, "stop_at": {"timestamp": "2024-05-02"}, "on_gap": "earliest", "key_format": null}');
RESET TimeZone;
SELECT topics, start, options, workers, enabled, epoch, target_schema, target_table
  FROM dpipe.source;
SELECT source, slot, epoch, topic, partition FROM dpipe.position ORDER BY slot;
SELECT dpipe_drop_source('s1');
SELECT public.try(start => ' latest ');
SELECT start FROM dpipe.source;
SELECT public.try(start => '"earliest"');
SELECT public.try(start => '{"t": {"0": 5, "12": 0}}');
SELECT start, epoch FROM dpipe.source;
SELECT dpipe_drop_source('s1');
SELECT dpipe_drop_source('s1');
SELECT dpipe_enable_source('s1');
SELECT dpipe_disable_source('s1');

-- A version is never had twice, or a worker of the source that was dropped
-- would take the new one for its own.
SELECT public.try();
SELECT version AS had FROM dpipe.source \gset
SELECT public.try(topic => 'u');
SELECT max(version) > :had AS later, max(version) AS had FROM dpipe.source \gset
SELECT dpipe_drop_source('s1');
SELECT public.try();
SELECT version > :had AS later FROM dpipe.source;
SELECT dpipe_drop_source('s1');

-- Owner is who creates it; others get nowhere.
SET ROLE regress_dpipe_alice;
SELECT public.try();
RESET ROLE;
SELECT owner, owner_oid = 'regress_dpipe_alice'::regrole AS same FROM dpipe.source;
SET ROLE regress_dpipe_mallory;
SELECT public.try();
SELECT public.try(name => 's2');
SELECT dpipe_enable_source('s1');
SELECT dpipe_disable_source('s1');
SELECT dpipe_drop_source('s1');
SELECT dpipe_adopt();
SELECT count(*) FROM dpipe.source;
SELECT count(*) FROM dpipe.position;
SELECT count(*) FROM dpipe.letter;
RESET ROLE;

-- A member of the owning role may replace the definition; the owner stays.
SET ROLE regress_dpipe_team;
SELECT public.try(name => 's3');
SET ROLE regress_dpipe_bob;
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 3}');
RESET ROLE;
SELECT owner, topics, workers, epoch FROM dpipe.source WHERE name = 's3';
-- So may a superuser, but it is the owner's rights that count.
REVOKE USAGE ON FOREIGN SERVER events FROM regress_dpipe_team;
SELECT public.try(name => 's3');
GRANT USAGE ON FOREIGN SERVER events TO regress_dpipe_team;

-- Enabled or not is kept, whatever the definition says; positions as well.
SELECT dpipe_create_kafka_source('s3', 'events', 'a,b', 'raw.t', options => '{"workers": 3}');
SELECT enabled FROM dpipe.source WHERE name = 's3';

-- The target: made when it is missing, for the owner; refused when it cannot
-- be loaded. A bare name means the caller's current schema.
SET ROLE regress_dpipe_bob;
SELECT public.try(name => 's3', topic => 'a,b', target => 'made', options => '{"workers": 3}');
SELECT public.try(name => 's3', topic => 'a,b', target => '"Made too"', format => 'raw', options => '{"workers": 3, "key_format": "bytea"}');
RESET ROLE;
SELECT c.oid::regclass AS target, pg_get_userbyid(relowner) AS owner,
       string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS columns
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0
 WHERE relnamespace = 'raw'::regnamespace AND relkind = 'r' AND relname ILIKE 'made%'
 GROUP BY c.oid ORDER BY relname COLLATE "C" \gx
SELECT target_schema, target_table FROM dpipe.source WHERE name = 's3';
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 3}');
CREATE TABLE raw.closed (_payload jsonb);
CREATE UNLOGGED TABLE raw.fleeting (_payload jsonb);
GRANT INSERT ON raw.fleeting TO regress_dpipe_alice;
CREATE TEMP TABLE mine (_payload jsonb);
SET ROLE regress_dpipe_alice;
\pset format unaligned
\pset tuples_only on
SELECT public.try(name => 's4', target => 'raw.closed');
SELECT public.try(name => 's4', target => 'raw.fleeting');
SELECT regexp_replace(public.try(name => 's4', target => 'pg_temp.mine'), 'pg_temp_\d+', 'pg_temp');
SELECT public.try(name => 's4', target => 'pg_catalog.pg_class');
SELECT public.try(name => 's4', target => 'dpipe.source');
SELECT public.try(name => 's4', target => 'nowhere.t');
SELECT public.try(name => 's4', target => 'a.b.c.d');
SELECT public.try(name => 's4', target => NULL);
\pset format aligned
\pset tuples_only off
RESET ROLE;
SELECT name FROM dpipe.source ORDER BY name;

-- Positions: partition p of a topic belongs to slot p % workers.
UPDATE dpipe.position SET started = '{a,b}', topic = '{a,b}', partition = ARRAY[slot, slot],
       next_offset = ARRAY[100 + slot, 200 + slot], end_offset = ARRAY[110, 210],
       stop_offset = '{500,-1}', last_timestamp = '{1,2}', print_offset = '{3,4}',
       print_timestamp = '{5,6}', print_crc = '{7,8}', rows = 10 * (slot + 1), bytes = 1000,
       dead_letters = slot, last_load_id = 40 + slot
 WHERE source = 's3';
CREATE VIEW positions AS
SELECT slot, epoch, started, topic, partition, next_offset, stop_offset, print_crc, rows, dead_letters, last_load_id
  FROM dpipe.position WHERE source = 's3';
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 3, "batch_rows": 5}');
SELECT * FROM positions ORDER BY slot;
-- Fewer workers: merged, the counts stay.
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 2}');
SELECT * FROM positions ORDER BY slot;
-- More workers: split.
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 4}');
SELECT * FROM positions ORDER BY slot;
-- A topic goes, another comes; the one that comes back starts anew.
SELECT public.try(name => 's3', topic => 'b,c', options => '{"workers": 1}');
SELECT * FROM positions ORDER BY slot;
SELECT public.try(name => 's3', topic => 'a,b', options => '{"workers": 1}');
SELECT * FROM positions ORDER BY slot;
-- Another stop_at has to be found again, the same has not.
UPDATE dpipe.position SET stop_offset = '{7,7,7}' WHERE source = 's3';
SELECT public.try(name => 's3', topic => 'a,b', options => '{"stop_at": "latest"}');
SELECT stop_offset FROM dpipe.position WHERE source = 's3';
UPDATE dpipe.position SET stop_offset = '{8,8,8}' WHERE source = 's3';
SELECT public.try(name => 's3', topic => 'a,b', options => '{"stop_at": "latest"}');
SELECT stop_offset FROM dpipe.position WHERE source = 's3';

-- Seeking: some partitions, or all of them; always a new epoch.
SELECT dpipe_seek('s3', '{"b": {"1": 77, "6": 5}}');
DROP VIEW positions;
CREATE VIEW positions AS
SELECT slot, epoch, started, topic, partition, next_offset, end_offset, stop_offset, last_timestamp, print_offset, rows
  FROM dpipe.position WHERE source = 's3';
SELECT * FROM positions ORDER BY slot;
BEGIN;
SELECT dpipe_seek('s3', '"latest"');
SELECT * FROM positions ORDER BY slot;
SELECT start, epoch FROM dpipe.source WHERE name = 's3';
ROLLBACK;
BEGIN;
SELECT dpipe_seek('s3', '{"timestamp": "2024-05-01 12:00+00"}');
SELECT * FROM positions ORDER BY slot;
SELECT start ->> 'timestamp' = to_jsonb('2024-05-01 12:00+00'::timestamptz) #>> '{}' AS moved FROM dpipe.source WHERE name = 's3';
ROLLBACK;
SELECT dpipe_seek('s3', '{"x": {"0": 1}}');
SELECT dpipe_seek('s3', '"middle"');
SELECT dpipe_seek('s3', '{"b": {"01": 5}}');
SELECT dpipe_seek('s3', '{"b": {"1": 9223372036854775808}}');
SELECT dpipe_seek('s3', '{"b": {"1": -1e30}}');
BEGIN;
SELECT dpipe_seek('s3', '{"b": {"1": 78.0}}');
SELECT topic, partition, next_offset FROM positions;
ROLLBACK;
SELECT dpipe_seek('s3', NULL);
SELECT dpipe_seek('s9', '"latest"');
SET ROLE regress_dpipe_mallory;
SELECT dpipe_seek('s3', '"latest"');
RESET ROLE;
SELECT dpipe_seek('s3', '{"b": {"1": 201}}');
UPDATE dpipe.position SET topic = topic[1:3], partition = partition[1:3], next_offset = next_offset[1:3],
       end_offset = end_offset[1:3], stop_offset = stop_offset[1:3], last_timestamp = '{2,2,2}',
       print_offset = print_offset[1:3], print_timestamp = print_timestamp[1:3], print_crc = print_crc[1:3]
 WHERE source = 's3';

-- States that last: a new try begins with each change of the definition.
BEGIN;
INSERT INTO dpipe.slot_state (source, slot, state, reason, last_error, last_error_at)
VALUES ('s3', 0, 'error', 'gap in topic a', 'offset 5 is gone', '2024-05-01 00:00:00+00');
UPDATE dpipe.source SET enabled = true WHERE name = 's3';
SELECT state, reason, last_error FROM dpipe.source_status WHERE source = 's3';
SAVEPOINT before;
SELECT dpipe_enable_source('s3');
SELECT state <> 'error' AS tried_again, last_error FROM dpipe.source_status WHERE source = 's3';
ROLLBACK TO before;
SELECT dpipe_create_kafka_source('s3', 'events', 'a,b', 'raw.t');
SELECT state <> 'error' AS tried_again FROM dpipe.source_status WHERE source = 's3';
ROLLBACK TO before;
SELECT dpipe_disable_source('s3');
SELECT state, reason, last_error FROM dpipe.source_status WHERE source = 's3';
ROLLBACK;

-- What is wrong with the world is said without a worker.
BEGIN;
UPDATE dpipe.source SET enabled = true WHERE name = 's3';
ALTER SERVER events RENAME TO happenings;
SELECT state, reason FROM dpipe.source_status WHERE source = 's3';
ALTER SERVER happenings RENAME TO events;
ALTER TABLE raw.t RENAME TO u;
SELECT state, reason FROM dpipe.source_status WHERE source = 's3';
ALTER TABLE raw.u RENAME TO t;
ALTER ROLE regress_dpipe_team RENAME TO regress_dpipe_crew;
SELECT state, reason FROM dpipe.source_status WHERE source = 's3';
SELECT dpipe_adopt();
SELECT owner, state = 'error' AS error FROM dpipe.source_status WHERE source = 's3';
ROLLBACK;
BEGIN;
UPDATE dpipe.source SET incarnation = gen_random_uuid() WHERE name = 's3';
SELECT state, reason FROM dpipe.source_status WHERE source = 's3';
SELECT public.try(name => 's3', topic => 'a,b');
SELECT state FROM dpipe.source_status WHERE source = 's3';
SELECT dpipe_adopt();
SELECT state FROM dpipe.source_status WHERE source = 's3';
ROLLBACK;
-- A role made anew under the old name inherits nothing.
BEGIN;
UPDATE dpipe.source SET owner_oid = 'regress_dpipe_mallory'::regrole WHERE name = 's3';
SELECT state, reason FROM dpipe.source_status WHERE source = 's3';
SET LOCAL ROLE regress_dpipe_bob;
SELECT source FROM dpipe.source_status;
SET LOCAL ROLE regress_dpipe_mallory;
SELECT source FROM dpipe.source_status;
SELECT dpipe_drop_source('s3');
ROLLBACK;

-- Lag: unknown until an end is known, then the sum over the partitions.
SELECT topic, partition, slot, position, end_offset, lag_records, lag_seconds > 0 AS lags
  FROM dpipe.source_partition WHERE source = 's3' ORDER BY topic, partition;
SELECT lag_records, lag_seconds > 0 AS lags FROM dpipe.source_status WHERE source = 's3';
UPDATE dpipe.position SET end_offset = '{-1,210,210}' WHERE source = 's3';
SELECT lag_records, lag_seconds FROM dpipe.source_status WHERE source = 's3';
UPDATE dpipe.position SET end_offset = next_offset WHERE source = 's3';
SELECT lag_records, lag_seconds FROM dpipe.source_status WHERE source = 's3';
SELECT source, lag_records, lag_seconds FROM dpipe.source_status WHERE source = 's1';

-- Who sees what
INSERT INTO dpipe.ledger VALUES
    (1, 's1', 0, 'regress_dpipe_alice', 'regress_dpipe_alice'::regrole, 'raw.t', 5, 1, 99, '{"t": {"0": [0, 6]}}', 'epoch', 'epoch'),
    (2, 's3', 0, 'regress_dpipe_team', 'regress_dpipe_team'::regrole, 'raw.t', 6, 0, 99, '{}', 'epoch', 'epoch');
INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic, partition, "offset", key, payload, headers, stage, sqlstate, message) VALUES
    ('s1', 'regress_dpipe_alice', 'regress_dpipe_alice'::regrole, 1, 't', 0, 5, 'k1', 'secret of alice', '[["a", "b"]]', 'decode', '22P02', 'not JSON'),
    ('s3', 'regress_dpipe_team', 'regress_dpipe_team'::regrole, 2, 'a', 0, 5, 'k2', 'secret of the team', '[]', 'decode', '22P02', 'not JSON');
INSERT INTO dpipe.gap_log (source, owner, owner_oid, topic, partition, from_offset, to_offset, action) VALUES
    ('s1', 'regress_dpipe_alice', 'regress_dpipe_alice'::regrole, 't', 0, 1, 9, 'stop');
CREATE FUNCTION public.seen() RETURNS TABLE (what text, of text, payload text, key_and_message text, headers jsonb)
    LANGUAGE sql AS $$
    SELECT 'source_status', source, NULL, NULL, NULL::jsonb FROM dpipe.source_status
    UNION ALL SELECT DISTINCT 'source_partition', source, NULL, NULL, NULL::jsonb FROM dpipe.source_partition
    UNION ALL SELECT 'load', source, NULL, NULL, NULL FROM dpipe.load
    UNION ALL SELECT 'dead_letter', source, convert_from(payload, 'UTF8'), nullif(concat_ws(': ', convert_from(key, 'UTF8'), message), ''), headers FROM dpipe.dead_letter
    UNION ALL SELECT 'gap', source, NULL, NULL, NULL FROM dpipe.gap
    ORDER BY 1, 2 $$;
SET ROLE regress_dpipe_alice;
SELECT * FROM public.seen();
SET ROLE regress_dpipe_bob;
SELECT * FROM public.seen();
SET ROLE regress_dpipe_mallory;
SELECT * FROM public.seen();
-- The barrier holds against a function that tells.
CREATE FUNCTION raw.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN RAISE NOTICE 'told %', $1; RETURN true; END $$;
SELECT source FROM dpipe.dead_letter WHERE raw.tell(message);
SET ROLE regress_dpipe_watch;
SELECT * FROM public.seen();
RESET ROLE;
SELECT * FROM public.seen();
SELECT * FROM dpipe.load ORDER BY load_id;
SELECT source, topic, partition, from_offset, to_offset, action FROM dpipe.gap;

-- A dropped source leaves its history.
SET ROLE regress_dpipe_alice;
SELECT dpipe_drop_source('s1');
SELECT what, of FROM public.seen();
RESET ROLE;
SELECT count(*) FROM dpipe.position WHERE source = 's1';
SELECT count(*) FROM dpipe.slot_state WHERE source = 's1';

-- Columns are an interface.
SELECT table_name, string_agg(format('%s %s', column_name, data_type), ', ' ORDER BY ordinal_position) AS columns
  FROM information_schema.columns
 WHERE table_schema = 'dpipe' AND table_name IN ('source_status', 'source_partition', 'load', 'dead_letter', 'gap')
 GROUP BY table_name ORDER BY table_name COLLATE "C" \gx

SELECT dpipe_drop_source(name) FROM dpipe.source;
DELETE FROM dpipe.ledger;
DELETE FROM dpipe.letter;
DELETE FROM dpipe.gap_log;
DELETE FROM dpipe.slot_state;
SET client_min_messages = warning;
DROP VIEW positions;
DROP FUNCTION public.try, public.seen;
DROP SCHEMA raw CASCADE;
DROP SERVER events;
DROP ROLE regress_dpipe_alice, regress_dpipe_bob, regress_dpipe_team, regress_dpipe_mallory, regress_dpipe_watch;
