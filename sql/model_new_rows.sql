-- dpipe.new_rows in one session: what is read, what is consumed, what is
-- tracked. Concurrency is in the isolation and TAP tests.
SET client_min_messages = warning;
CREATE ROLE regress_dpipe_alice;
CREATE SCHEMA raw;
CREATE SCHEMA mart;
CREATE FUNCTION public.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE FUNCTION public.run(nodes text, full_refresh boolean DEFAULT false) RETURNS text LANGUAGE sql
    AS $$SELECT string_agg(concat_ws(' ', r.node, r.status, r.rows, CASE WHEN r.status <> 'success' THEN r.message END), '; ')
           FROM dpipe_run(nodes, full_refresh => full_refresh) r$$;
-- A load as the loader does it: the xid first, then the id.
CREATE FUNCTION public.load(n integer, target text DEFAULT 'raw.events', keep boolean DEFAULT true)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM pg_current_xact_id();
    id := nextval('dpipe.load_id');
    IF NOT keep THEN
        RETURN;             -- as after a rollback: the id is gone
    END IF;
    EXECUTE format('INSERT INTO %s (v, _load_id) SELECT g, $1 FROM generate_series(1, $2) g', target) USING id, n;
    INSERT INTO dpipe.ledger VALUES (id, 's', 0, 'o', 0, target, n, 0, 0, '{}', now(), now());
END $$;
DELETE FROM dpipe.ledger;
SELECT FROM setval('dpipe.load_id', 1, false);
CREATE TABLE raw.events (id integer GENERATED ALWAYS AS IDENTITY, v integer, _load_id bigint);
CREATE INDEX ON raw.events USING brin (_load_id);
SET search_path = mart, public;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on

SELECT dpipe_create_model('a', $${{ config(materialized='incremental') }}
    select id, v from {{ dpipe.new_rows(source('raw', 'events')) }}$$);
SELECT dpipe_create_model('b', $${{ config(materialized='incremental', unique_key='id') }}
    select e.id, e.v from {{ dpipe.new_rows(source('raw', 'events')) }} as e$$);
-- Nothing stamps its rows yet.
SELECT public.run('a');
-- Rows that were there before the first load are part of the first reading.
INSERT INTO raw.events (v) VALUES (-1), (-2);
SELECT public.load(3);
SELECT public.run('a');
SELECT public.run('a');
SELECT public.load(4), public.load(5);
SELECT dpipe_compile('a');
SELECT public.run('a');
SELECT public.run('a b');
SELECT dpipe_compile('b');
SELECT dpipe_compile('b', full_refresh => true);
SELECT public.load(1), public.run('a b');
SELECT count(*), count(DISTINCT id) FROM a;
SELECT count(*), count(DISTINCT id) FROM b;
SELECT count(*) FROM raw.events;
SELECT consumer, relation, consumed, gaps, gap_xid FROM dpipe.consumer ORDER BY 1;

-- A failed node consumes nothing.
SELECT public.load(2);
ALTER TABLE a ADD CHECK (v <> 2) NOT VALID;
SELECT public.run('a b');
ALTER TABLE a DROP CONSTRAINT a_v_check;
SELECT public.run('a b');

-- A full refresh reads everything and goes on from there.
SELECT public.run('a', true);
SELECT public.load(1), public.run('a');
SELECT count(*), count(DISTINCT id) FROM a;
-- So does a relation that is gone.
DROP TABLE a;
SELECT public.run('a');
SELECT public.run('a');

-- Ids that are drawn and never seen are holes, closed when their transactions
-- have ended. Loads into other tables are none.
CREATE TABLE raw.other (v integer, _load_id bigint);
SELECT public.load(1, 'raw.other');
SELECT public.load(1);
SELECT public.load(1, keep => false);
SELECT public.load(1);
SELECT public.run('a');
SELECT consumed, gaps, gap_xid IS NOT NULL FROM dpipe.consumer WHERE consumer LIKE '%.a';
SELECT public.run('a');
SELECT consumed, gaps, gap_xid IS NOT NULL FROM dpipe.consumer WHERE consumer LIKE '%.a';
-- Many holes at once: bounds for the index and a search in the multirange.
SELECT count(public.load(1, keep => g % 2 = 0)) FROM generate_series(1, 200) g;
SELECT length(dpipe_compile('a')) > 1000, dpipe_compile('a') ~ 'operator\(pg_catalog.<@\)';
SELECT public.run('a');
SELECT count(*), count(DISTINCT id) FROM a;
SELECT count(*) FROM raw.events;
SELECT public.run('a');
SELECT consumed, gaps FROM dpipe.consumer WHERE consumer LIKE '%.a';
-- A state of another cluster, in which such xids are far away.
SELECT public.load(1, keep => false), public.load(1);
SELECT public.run('a');
UPDATE dpipe.consumer SET gap_xid = '1000000000000' WHERE consumer LIKE '%.a';
SELECT public.run('a');
SELECT consumed, gaps FROM dpipe.consumer WHERE consumer LIKE '%.a';

-- What is read follows what is new: the index finds it.
SELECT public.load(1), public.load(1);
CREATE FUNCTION public.explain(q text) RETURNS SETOF text LANGUAGE plpgsql
    AS $$BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || q; END$$;
SET enable_seqscan = off;
SELECT bool_or(line ~ 'Bitmap Index Scan on events__load_id_idx')
  FROM (SELECT dpipe_compile('a') AS q) c, LATERAL (SELECT public.explain(q) AS line) e;
RESET enable_seqscan;

-- Asked twice in one model, it is the same set of rows.
SELECT public.run('a');
SELECT public.load(2);
SELECT dpipe_create_model('a', $${{ config(materialized='incremental') }}
    select id, v from {{ dpipe.new_rows(source('raw', 'events')) }}
    intersect all select id, v from {{ dpipe.new_rows(source('raw', 'events')) }}$$);
SELECT public.run('a');

-- Only incremental models have a state that moves with their rows.
SELECT dpipe_create_model('v', $$select * from {{ dpipe.new_rows(source('raw', 'events')) }}$$);
SELECT public.run('v');
SELECT dpipe_create_model('v', $$select * from {{ dpipe.new_rows(source('raw', 'events')) }}$$, '{"materialized": "table"}');
SELECT public.run('v');
SELECT dpipe_drop_model('v');
-- Wrong columns, no relation.
CREATE TABLE raw.wrong (v integer);
INSERT INTO dpipe.ledger SELECT nextval('dpipe.load_id'), 's', 0, 'o', 0, t, 1, 0, 0, '{}', now(), now()
    FROM unnest('{raw.wrong,raw.missing}'::text[]) t;
SELECT dpipe_create_model('w', $${{ config(materialized='incremental') }}
    select * from {{ dpipe.new_rows(source('raw', 'wrong')) }}$$);
SELECT public.run('w');
ALTER TABLE raw.wrong ADD COLUMN _load_id text;
SELECT public.run('w');
SELECT dpipe_create_model('w', $${{ config(materialized='incremental') }}
    select * from {{ dpipe.new_rows(source('raw', 'missing')) }}$$);
SELECT public.run('w');
SELECT dpipe_drop_model('w');

-- Tracked tables, a model's among them.
CREATE TABLE raw.users (id integer PRIMARY KEY, name text);
INSERT INTO raw.users VALUES (1, 'ann'), (2, 'ben');
SELECT dpipe_create_model('u', $${{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }}
    select id, name from {{ dpipe.new_rows(source('raw', 'users')) }}$$);
SELECT public.run('u');
SELECT dpipe_track('raw.users'), dpipe_track('raw.users');
SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid = 'raw.users'::regclass;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'raw.users'::regclass ORDER BY 1;
SELECT public.run('u');
INSERT INTO raw.users VALUES (3, 'cid', 17);
INSERT INTO raw.users VALUES (4, 'dee');
UPDATE raw.users SET name = 'bob' WHERE id = 2;
DELETE FROM raw.users WHERE id = 1;
SELECT public.run('u');
SELECT * FROM u ORDER BY id;
SELECT public.run('u');
-- One id a transaction and table, another after a rollback to a savepoint,
-- another after a run has read the first.
BEGIN;
INSERT INTO raw.users VALUES (10, 'x');
INSERT INTO raw.users VALUES (11, 'x');
SAVEPOINT s;
INSERT INTO raw.users VALUES (12, 'x');
RELEASE s;
SELECT count(DISTINCT _load_id) FROM raw.users WHERE name = 'x';
SELECT public.run('u');
INSERT INTO raw.users VALUES (13, 'x');
SELECT count(DISTINCT _load_id) FROM raw.users WHERE name = 'x';
COMMIT;
SELECT public.run('u');
BEGIN;
SAVEPOINT s;
INSERT INTO raw.users VALUES (20, 'y');
ROLLBACK TO s;
INSERT INTO raw.users VALUES (21, 'y');
COMMIT;
SELECT count(*) FROM raw.users u LEFT JOIN dpipe.ledger l ON l.load_id = u._load_id AND l.target = 'raw.users'
    WHERE u.name IN ('x', 'y') AND l.load_id IS NULL;
SELECT public.run('u');
SELECT count(*) FROM u;
-- A model's table: what its merge did not change does not come again.
SELECT dpipe_track('u');
SELECT dpipe_create_model('downstream', $${{ config(materialized='incremental') }}
    select id, name from {{ dpipe.new_rows(ref('u')) }}$$);
SELECT public.run('downstream');
UPDATE raw.users SET name = name;
UPDATE raw.users SET name = 'changed' WHERE id = 21;
SELECT public.run('u+');
SELECT * FROM downstream WHERE name = 'changed';
SELECT target, count(*) > 0 FROM dpipe.load WHERE source = 'dpipe_track' GROUP BY 1 ORDER BY 1;
-- What cannot be tracked.
CREATE VIEW raw.view AS SELECT 1 AS a;
CREATE TEMP TABLE temporary (a integer);
CREATE TABLE raw.typed (_load_id text);
CREATE TABLE raw.parted (a integer) PARTITION BY RANGE (a);
CREATE TABLE raw.part PARTITION OF raw.parted FOR VALUES FROM (0) TO (10);
SELECT public.try($$SELECT dpipe_track('raw.view')$$);
SELECT public.try($$SELECT dpipe_track('temporary')$$);
SELECT public.try($$SELECT dpipe_track('raw.typed')$$);
SELECT public.try($$SELECT dpipe_track('raw.part')$$);
SELECT public.try($$SELECT dpipe_track('pg_class')$$);
SELECT dpipe_track('raw.parted');
INSERT INTO raw.parted VALUES (1), (2);
SELECT count(DISTINCT _load_id), count(*) FROM raw.parted;
SET ROLE regress_dpipe_alice;
SELECT public.try($$SELECT dpipe_track('mart.u')$$);
RESET ROLE;
SELECT public.try($$CREATE TRIGGER t AFTER INSERT ON raw.wrong FOR EACH ROW EXECUTE FUNCTION dpipe_track_stamp()$$);
INSERT INTO raw.wrong VALUES (1);

-- The state goes with the model.
SELECT dpipe_drop_model('a'), dpipe_drop_model('b');
SELECT consumer FROM dpipe.consumer ORDER BY 1;

SET client_min_messages = warning;
SELECT count(dpipe_drop_model(name)) FROM dpipe.model;
DELETE FROM dpipe.ledger;
DROP SCHEMA mart, raw CASCADE;
DROP FUNCTION public.try, public.run, public.load, public.explain;
DROP ROLE regress_dpipe_alice;
