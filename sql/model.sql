-- Models: definitions, materializations, what runs report, who may do what.
SET client_min_messages = warning;
CREATE ROLE regress_dpipe_team;
CREATE ROLE regress_dpipe_alice;
CREATE ROLE regress_dpipe_bob IN ROLE regress_dpipe_team;
CREATE ROLE regress_dpipe_mallory;
CREATE SCHEMA mart;
CREATE SCHEMA raw;
GRANT ALL ON SCHEMA mart, raw TO PUBLIC;
SET search_path = mart, public;
CREATE FUNCTION public.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce('accepted: ' || nullif(result, ''), 'accepted');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
-- What a run says, without what differs from one to the next.
CREATE FUNCTION public.run(nodes text DEFAULT NULL, exclude text DEFAULT NULL,
        full_refresh boolean DEFAULT false, vars jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
    RETURNS TABLE (node text, status text, rows bigint, message text) LANGUAGE sql
    AS 'SELECT node, status, rows, message FROM dpipe_run(nodes, exclude, full_refresh, vars, options)';
-- No database's or superuser's name.
CREATE FUNCTION public.plain(t text) RETURNS text LANGUAGE sql
    AS $$SELECT replace(t, format('"%s"', current_database()), '"db"')$$;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on

-- Definitions that cannot be.
SELECT public.try($$SELECT dpipe_create_model('', 'select 1')$$);
SELECT public.try($$SELECT dpipe_create_model(repeat('x', 64), 'select 1')$$);
SELECT public.try($$SELECT dpipe_create_model('a b', 'select 1')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '[]')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"materialized": "cube"}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"materialized": "ephemeral"}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"materialized": 1}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"tags": [1]}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"post_hook": "select 1"}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', '{{ config(incremental_strategy="insert_overwrite") }} select 1')$$);
SELECT public.try($$SELECT dpipe_create_model('a', '{{ config(incremental_strategy="microbatch") }} select 1')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1', '{"merge_update_columns": ["a"], "merge_exclude_columns": ["b"]}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', E'select\n{{ ref() }}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', '{{ source("raw") }}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', '{{ exceptions.raise_compiler_error("not today") }}')$$);
SELECT public.try($$SELECT dpipe_create_model('a', '{{ dpipe.new_rows("raw.t") }}')$$);
SELECT public.try($$SET search_path = nowhere; SELECT public.dpipe_create_model('a', 'select 1')$$);
SELECT public.try($$SELECT dpipe_drop_model('a')$$);
SELECT public.try($$SELECT dpipe_create_model('a', 'select * from {{ ref("a") }}')$$);
SELECT count(*) FROM dpipe.model;

-- View, table and references, in whatever order they are defined.
CREATE TABLE raw.orders (id integer, customer text, amount numeric);
INSERT INTO raw.orders VALUES (1, 'ann', 10), (2, 'ben', 20), (3, 'ann', 5);
SELECT dpipe_create_model('spending', $$
    {{ config(materialized='table', tags=['nightly']) }}
    select customer, sum(amount) as amount from {{ ref('stg_orders') }} group by customer
$$, '{"tags": "money"}');
SELECT * FROM public.run();
SELECT dpipe_create_model('stg_orders', $$select * from {{ source('raw', 'orders') }}$$);
SELECT * FROM public.run();
SELECT * FROM spending ORDER BY customer;
SELECT unique_id, resource_type, package_name, name, path, fqn, tags, config FROM dpipe_ls();

-- A table keeps its identity, and what hangs on it.
CREATE VIEW richest AS SELECT customer FROM spending ORDER BY amount DESC LIMIT 1;
GRANT SELECT ON spending TO regress_dpipe_team;
SELECT 'spending'::regclass::oid AS spending \gset
INSERT INTO raw.orders VALUES (4, 'ben', 1);
SELECT * FROM public.run('spending');
SELECT * FROM richest;
SELECT 'spending'::regclass::oid = :spending, has_table_privilege('regress_dpipe_team', 'spending', 'SELECT');
-- Its columns follow the query.
DROP VIEW richest;
SELECT dpipe_create_model('spending', $$
    {{ config(materialized='table', tags=['nightly']) }}
    select count(*) as orders, sum(amount)::integer as amount, customer
      from {{ ref('stg_orders') }} group by customer
$$);
SELECT * FROM public.run('spending');
SELECT * FROM spending ORDER BY customer;
SELECT dpipe_create_model('spending', $${{ config(materialized='table') }}
    select customer, sum(amount) as amount from {{ ref('stg_orders') }} group by customer$$);
SELECT * FROM public.run('spending');
SELECT * FROM spending ORDER BY customer;
SELECT 'spending'::regclass::oid = :spending;
-- A row that cannot be stored leaves the old contents.
ALTER TABLE spending ADD CHECK (amount < 1000);
INSERT INTO raw.orders VALUES (5, 'cid', 5000);
SELECT * FROM public.run('spending');
SELECT * FROM spending ORDER BY customer;
DELETE FROM raw.orders WHERE id = 5;

-- A view is replaced in place while it can be; else made anew, grants and all.
GRANT SELECT ON stg_orders TO regress_dpipe_team WITH GRANT OPTION;
COMMENT ON VIEW stg_orders IS 'orders as they came';
SELECT 'stg_orders'::regclass::oid AS stg \gset
SELECT dpipe_create_model('stg_orders', $$select *, 1 as one from {{ source('raw', 'orders') }}$$);
SELECT * FROM public.run('stg_orders');
SELECT 'stg_orders'::regclass::oid = :stg;
SELECT dpipe_create_model('stg_orders', $$select id, customer, amount from {{ source('raw', 'orders') }}$$);
SELECT * FROM public.run('stg_orders');
SELECT 'stg_orders'::regclass::oid = :stg;
SELECT has_table_privilege('regress_dpipe_team', 'stg_orders', 'SELECT WITH GRANT OPTION'), obj_description('stg_orders'::regclass);
CREATE VIEW watcher AS SELECT id FROM stg_orders;
SELECT dpipe_create_model('stg_orders', $$select customer, amount from {{ source('raw', 'orders') }}$$);
SELECT * FROM public.run('stg_orders');
DROP VIEW watcher;
SELECT dpipe_create_model('stg_orders', $$select * from {{ source('raw', 'orders') }}$$);
SELECT * FROM public.run('stg_orders');

-- What the model has not made is not its own.
CREATE TABLE precious (a integer);
INSERT INTO precious VALUES (1);
SELECT dpipe_create_model('precious', 'select 2 as a', '{"materialized": "table"}');
SELECT * FROM public.run('precious');
SELECT * FROM precious;
SELECT dpipe_create_model('precious', 'select 2 as a', '{"materialized": "table", "adopt": true}');
SELECT * FROM public.run('precious');
SELECT * FROM precious;
-- From table to view and back.
SELECT dpipe_create_model('precious', 'select 3 as a');
SELECT * FROM public.run('precious');
SELECT relkind FROM pg_class WHERE oid = 'precious'::regclass;
SELECT dpipe_create_model('precious', 'select 4 as a', '{"materialized": "table"}');
SELECT * FROM public.run('precious');
SELECT relkind FROM pg_class WHERE oid = 'precious'::regclass;
SELECT dpipe_drop_model('precious');
SELECT * FROM precious;
DROP TABLE precious;

-- Incremental: append.
SELECT dpipe_create_model('log', $$
    {{ config(materialized='incremental') }}
    select id, customer from {{ source('raw', 'orders') }}
    {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
$$);
SELECT * FROM public.run('log');
SELECT * FROM public.run('log');
INSERT INTO raw.orders VALUES (6, 'dee', 7);
SELECT * FROM public.run('log');
SELECT * FROM log ORDER BY id;
SELECT * FROM public.run('log', full_refresh => true);
SELECT dpipe_create_model('log', $$
    {{ config(materialized='incremental', full_refresh=false) }}
    select id, customer from {{ source('raw', 'orders') }}
    {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
$$);
SELECT * FROM public.run('log', full_refresh => true);

-- delete+insert is the default with a key; the key gets an index, once.
CREATE TABLE raw.price (item text, day date, price integer);
INSERT INTO raw.price VALUES ('a', '2024-01-01', 1), ('b', '2024-01-01', 2);
SELECT dpipe_create_model('price', $$
    {{ config(materialized='incremental', unique_key='item') }}
    select item, price from {{ source('raw', 'price') }}$$);
SELECT * FROM public.run('price');
TRUNCATE raw.price;
INSERT INTO raw.price VALUES ('b', '2024-01-02', 3), ('c', '2024-01-02', 4), (NULL, NULL, 5);
SELECT * FROM public.run('price');
SELECT * FROM public.run('price');
SELECT * FROM price ORDER BY item, price;
SELECT * FROM public.run('price', full_refresh => true);
SELECT * FROM price ORDER BY item, price;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'price'::regclass;

-- merge: several columns as the key, only what changed is written.
TRUNCATE raw.price;
INSERT INTO raw.price VALUES ('a', '2024-01-01', 1), ('a', '2024-01-02', 2), ('b', '2024-01-01', 3);
SELECT dpipe_create_model('daily_price', $$
    {{ config(materialized='incremental', incremental_strategy='merge', unique_key=['item', 'day']) }}
    select item, day, price, '{"some": "json"}'::json as note from {{ source('raw', 'price') }}$$);
SELECT * FROM public.run('daily_price');
SELECT * FROM public.run('daily_price');
UPDATE raw.price SET price = 20 WHERE day = '2024-01-02';
INSERT INTO raw.price VALUES ('c', '2024-01-02', 4);
SELECT * FROM public.run('daily_price');
SELECT item, day, price FROM daily_price ORDER BY item, day;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'daily_price'::regclass;
SELECT sql FROM dpipe.run_node WHERE name = 'daily_price' ORDER BY run_id DESC LIMIT 1;
INSERT INTO raw.price VALUES ('z', '2024-01-03', 1), ('z', '2024-01-03', 2);
SELECT * FROM public.run('daily_price');
DELETE FROM raw.price WHERE item = 'z';
-- Some columns only, and predicates.
SELECT dpipe_create_model('daily_price', $$
    {{ config(materialized='incremental', incremental_strategy='merge', unique_key=['ITEM', 'day'],
              merge_exclude_columns='note', incremental_predicates=["DBT_INTERNAL_DEST.day > '2024-01-01'"]) }}
    select item, day, price * 10 as price, 'null'::json as note from {{ source('raw', 'price') }}
    where day > '2024-01-01'$$);
SELECT * FROM public.run('daily_price');
SELECT item, day, price, note FROM daily_price ORDER BY item, day;
SELECT dpipe_create_model('daily_price', $$
    {{ config(materialized='incremental', incremental_strategy='merge', unique_key='item, day') }}
    select item, day, price from {{ source('raw', 'price') }}$$);
SELECT * FROM public.run('daily_price');

-- A batch that does not fit into memory.
SET work_mem = '64kB';
SELECT dpipe_create_model('big', $$
    {{ config(materialized='incremental', incremental_strategy=var('strategy', 'merge'), unique_key='id') }}
    select g as id, repeat('x', 20) || {{ var('n', 0) }} as filler from generate_series(1, 20000) g$$);
SELECT * FROM public.run('big');
SELECT * FROM public.run('big', vars => '{"n": 1}');
SELECT * FROM public.run('big', vars => '{"n": 2, "strategy": "delete+insert"}');
SELECT count(*), count(DISTINCT id), min(filler), max(filler) FROM big;
RESET work_mem;
SELECT dpipe_drop_model('big');
DROP TABLE big;

-- on_schema_change.
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id') }}
    select 1 as id, 'x' as a, 1 as b$$);
SELECT * FROM public.run('shape');
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id') }}
    select 2 as id, 'y' as a, 2 as c$$);
SELECT * FROM public.run('shape');
SELECT * FROM shape ORDER BY id;
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id', on_schema_change='fail') }}
    select 2 as id, 'y' as a, 2::bigint as b, 2 as c$$);
SELECT * FROM public.run('shape');
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
    select 3 as id, 'y' as a, 3 as c$$);
SELECT * FROM public.run('shape');
SELECT * FROM shape ORDER BY id;
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id', on_schema_change='sync_all_columns') }}
    select 4 as id, 4.5 as c, now() is not null as d$$);
SELECT * FROM public.run('shape');
SELECT * FROM shape ORDER BY id;
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='id', on_schema_change='whatever') }}
    select 5 as id$$);
SELECT * FROM public.run('shape');
SELECT dpipe_create_model('shape', $${{ config(materialized='incremental', unique_key='nope') }}
    select 5 as id$$);
SELECT * FROM public.run('shape');
SELECT dpipe_drop_model('shape');

-- Errors in a node are its own; what depends on it is skipped, also through
-- nodes that were not selected.
SELECT dpipe_create_model('bad', E'select 1 as a,\n  fro nothing');
SELECT dpipe_create_model('middle', $$select * from {{ ref('bad') }}$$);
SELECT dpipe_create_model('end', $$select * from {{ ref('middle') }}$$);
SELECT dpipe_create_model('other', $$select 1 as a$$);
SELECT * FROM public.run('bad+ other');
SELECT * FROM public.run('bad end');
SELECT * FROM public.run('bad other', options => '{"fail_fast": true}');
SELECT dpipe_create_model('bad', $$select * from {{ source('raw', 'no_such') }}$$);
SELECT node, status, split_part(message, E'\n', 2) FROM public.run('bad');
SELECT sqlstate FROM dpipe.run_node WHERE name = 'bad' ORDER BY run_id DESC LIMIT 1;
SELECT dpipe_create_model('bad', $$select {{ var('limit') }}$$);
SELECT * FROM public.run('bad');
SELECT * FROM public.run('bad', vars => '{"limit": 3}');
SELECT dpipe_create_model('bad', $$select 1 / {{ var('divisor', 0) }} as a$$, '{"materialized": "table"}');
SELECT * FROM public.run('bad');
SELECT * FROM public.run('bad', vars => '{"divisor": 2}');
SELECT dpipe_create_model('bad', $$insert into raw.orders default values returning *$$);
SELECT * FROM public.run('bad');
SELECT dpipe_create_model('bad', $$select 1; select 2$$);
SELECT * FROM public.run('bad');
SELECT dpipe_create_model('bad', $$-- nothing$$);
SELECT * FROM public.run('bad');
SELECT dpipe_create_model('bad', $$select * from {% if execute %}{{ ref('other') }}{% endif %}$$);
SELECT * FROM public.run('bad');
SELECT dpipe_create_model('bad', $$select {{ nonsense() }}$$);
SELECT dpipe_create_model('other', $$select 1 as a$$, '{"enabled": false}');
SELECT dpipe_create_model('bad', $$select * from {{ ref('other') }}$$);
SELECT * FROM public.run('bad other');
SELECT dpipe_create_model('other', $$select 1 as a$$);
-- Cycles.
SELECT public.try($$SELECT dpipe_create_model('other', 'select * from {{ ref("end") }}')$$);
SELECT public.try($$SELECT dpipe_create_model('bad', 'select * from {{ ref("end") }}')$$);
-- Two for one relation.
SELECT public.try($$SELECT dpipe_create_model('twin', 'select 1', '{"alias": "other"}')$$);
-- Cancel is not a node's failure.
SELECT dpipe_create_model('slow', 'select pg_sleep(60)::text as s', '{"materialized": "table"}');
SET statement_timeout = '100ms';
SELECT * FROM public.run('slow');
RESET statement_timeout;
SELECT count(*) FROM dpipe.run WHERE nodes = 'slow';

-- The context of templates.
SELECT dpipe_create_model('context', $${{ config(schema='sub', alias='the_context', meta={'a': 1}, custom='kept') }}
    select '{{ this }}' as t, '{{ this.schema }}' as s, '{{ this.identifier }}' as i, '{{ this.name }}' as n,
    '{{ model.unique_id }}' as u, '{{ config.get("custom") }}' as c, '{{ config.get("none", "default") }}' as d,
    '{{ target.type }}/{{ target.schema }}/{{ target.name }}' as g,
    '{{ run_started_at.strftime("%Y-%m-%d") }}' as r, '{{ flags.FULL_REFRESH }}' as f,
    {{ invocation_id | length }} as l, '{{ this.include(database=false) }}' as h,
    '{{ env_var("HOME", "nowhere") }}' as e$$, '{"meta": {"b": 2}}');
SELECT * FROM public.run('context', options => '{"now": "2024-02-29 12:00+00"}');
SELECT plain(t), s, i, n, u, c, d, g, r, f, l, h, e FROM mart_sub.the_context;
SELECT config FROM dpipe.model WHERE name = 'context';
SELECT plain(dpipe_compile('end'));
SELECT plain(dpipe_compile(inline => $$select * from {{ ref('other') }} where a > {{ var('x') }}$$, vars => '{"x": 1}'));
SELECT plain(dpipe_compile('log', full_refresh => false));
SELECT public.try($$SELECT dpipe_compile()$$);
SELECT public.try($$SELECT dpipe_compile('nope')$$);
SELECT public.try($$SELECT dpipe_run(options => '{"thread": 1}')$$);
SELECT public.try($$SELECT dpipe_run(vars => '1')$$);

-- Selection.
SELECT count(dpipe_drop_model(name)) FROM dpipe.model;
SELECT dpipe_create_model('a', $$select * from {{ source('raw', 'orders') }}$$, '{"tags": ["x", "y"]}');
SELECT dpipe_create_model('b', $$select * from {{ ref('a') }}$$, '{"tags": "x"}');
SELECT dpipe_create_model('c', $$select * from {{ ref('b') }}$$, '{"materialized": "table", "meta": {"team": {"name": "red"}}}');
SELECT dpipe_create_model('d', $$select c.* from {{ ref('c') }} c, {{ ref('side') }}$$);
SELECT dpipe_create_model('side', $$select 1 as one$$);
CREATE FUNCTION public.chosen(nodes text, exclude text DEFAULT NULL) RETURNS text LANGUAGE sql
    AS $$SELECT coalesce(string_agg(name, ' '), 'none') FROM dpipe_ls(nodes, exclude)$$;
SELECT s, public.chosen(s) FROM unnest('{b,+b,b+,1+c,c+1,+c+,@b,@a,"a side",tag:x,"tag:x,tag:y","tag:x,+c",*,[ab],s*e,dpipe.a,dpipe.*,dpipe,
    config.materialized:table,config.materialized:view,config.meta.team.name:red,config.tags:y,source:raw.orders+,source:raw+1,source:*,
    package:dpipe,resource_type:model,fqn:c,2+d}'::text[]) s;
SELECT public.chosen('a+', 'c'), public.chosen(NULL, 'tag:x side'), public.chosen('a+ side', 'c+');
SELECT public.chosen('nope');
SELECT public.try($$SELECT public.chosen('path:models')$$);
SELECT public.try($$SELECT public.chosen('@a+')$$);
SELECT public.try($$SELECT public.chosen('+')$$);
SELECT * FROM public.run('nope');

-- Who may do what. A model belongs to who defined it first.
SET ROLE regress_dpipe_bob;
SELECT public.try($$SELECT dpipe_create_model('a', 'select 1')$$);
SELECT public.try($$SELECT dpipe_drop_model('a')$$);
SELECT public.try($$SELECT dpipe_run('a')$$);
SELECT public.try($$SELECT dpipe_compile('a')$$);
SET ROLE regress_dpipe_team;
SELECT dpipe_create_model('teamwork', 'select current_user::text as who, session_user <> current_user as switched', '{"materialized": "table"}');
SET ROLE regress_dpipe_bob;
SELECT * FROM public.run();
SELECT dpipe_create_model('teamwork', 'select current_user::text as who', '{"materialized": "table"}');
RESET ROLE;
SELECT owner FROM dpipe.model WHERE name = 'teamwork';
SELECT * FROM public.run('teamwork');
SELECT who, (SELECT relowner::regrole FROM pg_class WHERE oid = 'teamwork'::regclass) FROM teamwork;
-- Their owner's rights, not the caller's.
CREATE TABLE raw.secret (a integer);
SET ROLE regress_dpipe_team;
SELECT dpipe_create_model('peek', $$select * from {{ source('raw', 'secret') }}$$, '{"materialized": "table"}');
RESET ROLE;
SELECT * FROM public.run('peek');
SET ROLE regress_dpipe_team;
SELECT dpipe_create_model('peek', $$select set_config('role', 'regress_dpipe_alice', false) as r$$, '{"materialized": "table"}');
RESET ROLE;
SELECT * FROM public.run('peek');
SELECT current_user = session_user;
SET ROLE regress_dpipe_mallory;
SELECT public.try($$SELECT dpipe_run('teamwork')$$);
SELECT * FROM public.run();
SELECT count(*) FROM dpipe.run;
SELECT count(*) FROM dpipe.run_node;
SELECT count(*) FROM dpipe_ls();
SELECT public.try('SELECT count(*) FROM dpipe.run_node_log');
SELECT public.try('SELECT count(*) FROM dpipe.model');
SELECT public.try($$SELECT dpipe_track('raw.secret')$$);
SELECT count(*) FROM dpipe_ls('[');
SELECT count(*) FROM dpipe_ls('teamwork[!');
-- What one does with vars is nobody else's error.
SELECT dpipe_create_model('trap', $${% if var('x', '') %}{{ exceptions.raise_compiler_error('sprung by ' ~ var('x')) }}{% endif %}select 1$$);
SET ROLE regress_dpipe_bob;
SELECT node, status FROM public.run(vars => '{"x": "a secret"}');
SELECT node, status, alias FROM dpipe.run_node ORDER BY run_id, position;
-- Nor a model that has lost its owner.
RESET ROLE;
CREATE ROLE regress_dpipe_gone;
GRANT ALL ON SCHEMA mart TO regress_dpipe_gone;
SET ROLE regress_dpipe_gone;
SELECT dpipe_create_model('lost', 'select 1');
RESET ROLE;
REVOKE ALL ON SCHEMA mart FROM regress_dpipe_gone;
DROP ROLE regress_dpipe_gone;
-- A role made anew under the name is another one.
CREATE ROLE regress_dpipe_gone;
SET ROLE regress_dpipe_gone;
SELECT public.try($$SELECT dpipe_create_model('lost', 'select 2')$$);
SELECT public.try($$SELECT dpipe_drop_model('lost')$$);
RESET ROLE;
DROP ROLE regress_dpipe_gone;
SET ROLE regress_dpipe_bob;
SELECT node, status FROM public.run();
RESET ROLE;
SELECT public.try('SELECT dpipe_run()');
SELECT dpipe_drop_model('lost');
-- A relation is named by who may make it: nobody keeps others' names from them.
CREATE SCHEMA closed;
GRANT USAGE ON SCHEMA closed TO PUBLIC;
SET ROLE regress_dpipe_mallory;
SET search_path = closed, public;
SELECT public.try($$SELECT dpipe_create_model('squat', 'select 1')$$);
SELECT replace(public.try($$SELECT dpipe_create_model('squat', 'select 1', '{"schema": "annex"}')$$), current_database(), 'db');
SET search_path = mart, public;
RESET ROLE;
-- What the owner has already needs no right to make it.
GRANT CREATE ON SCHEMA closed TO regress_dpipe_bob;
SET ROLE regress_dpipe_bob;
SET search_path = closed, public;
SELECT dpipe_create_model('kept', 'select 1 as a', '{"materialized": "table"}');
SELECT status FROM public.run('kept');
RESET ROLE;
REVOKE CREATE ON SCHEMA closed FROM regress_dpipe_bob;
SET ROLE regress_dpipe_bob;
SELECT dpipe_create_model('kept', 'select 2 as a', '{"materialized": "table"}');
SELECT status FROM public.run('kept');
SELECT a FROM kept;
SELECT dpipe_drop_model('kept');
SET search_path = mart, public;
RESET ROLE;
DROP SCHEMA closed CASCADE;
-- A monitor sees what happened and not with what.
CREATE ROLE regress_dpipe_watch IN ROLE pg_monitor;
SET ROLE regress_dpipe_watch;
SELECT node, status, message, adapter_response, sql FROM dpipe.run_node WHERE name = 'teamwork' ORDER BY run_id DESC LIMIT 1;
SELECT count(*) > 0, count(vars) FROM dpipe.run;
RESET ROLE;
DROP ROLE regress_dpipe_watch;
SELECT dpipe_drop_model('trap');
-- The path is that of the definition, temporary objects last.
CREATE SCHEMA lib;
CREATE FUNCTION lib.answer() RETURNS integer LANGUAGE sql AS 'SELECT 42';
SET search_path = mart, lib, public;
SELECT dpipe_create_model('path', 'select answer() as a, current_setting(''search_path'') as path', '{"materialized": "table"}');
SET search_path = public;
SELECT * FROM public.run('path');
SELECT * FROM mart.path;
SHOW search_path;
SET search_path = mart, public;

-- What is recorded.
SELECT command, status, caller = current_user, nodes, exclude, full_refresh, vars, options, success, error, skipped,
       seconds >= 0, pid = pg_backend_pid(), started_at <= ended_at, length(invocation_id::text)
  FROM dpipe.run ORDER BY run_id DESC LIMIT 1;
SELECT node, name, resource_type, owner = current_user, schema, alias, plain(relation_name), status, rows, failures, seconds >= 0, message,
       sqlstate, started_at <= ended_at, pid = pg_backend_pid(), adapter_response, sql
  FROM dpipe.run_node ORDER BY run_id DESC LIMIT 1;
BEGIN;
SELECT * FROM public.run('path');
ROLLBACK;
SELECT count(*) FROM dpipe.run WHERE nodes = 'path';
BEGIN READ ONLY;
SELECT public.try($$SELECT dpipe_run('path')$$);
ROLLBACK;

SET client_min_messages = warning;
SELECT count(dpipe_drop_model(name)) FROM dpipe.model;
DROP SCHEMA mart, mart_sub, raw, lib CASCADE;
DROP FUNCTION public.try, public.run, public.plain, public.chosen;
DROP ROLE regress_dpipe_team, regress_dpipe_alice, regress_dpipe_bob, regress_dpipe_mallory;
