-- dbt projects: what a load makes of files, what it refuses, what a reload does.
SET client_min_messages = warning;
CREATE ROLE regress_dpipe_loader;
CREATE ROLE regress_dpipe_other;
CREATE FUNCTION public.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
    context text;
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce('accepted: ' || nullif(result, ''), 'accepted');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws(' | ', SQLSTATE, replace(SQLERRM, format('"%s"', current_database()), '"db"'), nullif(detail, ''), nullif(hint, ''),
        nullif(split_part(regexp_replace(context, E'(SQL statement|PL/pgSQL).*', ''), E'\n', 1), ''));
END $$;
-- A project of these files besides a dbt_project.yml.
CREATE FUNCTION public.load(files jsonb, yml text DEFAULT '', options jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(kind || ' ' || count, ', ' ORDER BY kind)
      FROM dpipe_load_files(jsonb_build_object('dbt_project.yml', E'name: p\nversion: 1.0.0\n' || yml) || files, options) $$;
CREATE FUNCTION public.node(id text) RETURNS json LANGUAGE sql AS 'SELECT definition FROM dpipe.node WHERE unique_id = id';
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on

SELECT public.load('{"models/a.sql": "select 1 as id", "models/sub/b.sql": "{{ config(tags=''x'', meta={''k'': 1}) }} select * from {{ ref(''a'') }}"}',
    E'models:\n  p:\n    +tags: all\n    sub:\n      +materialized: table\n      +meta: {team: t}\n      +schema: s');
SELECT n->>'fqn', n->>'schema', n->>'alias', n->'config'->>'materialized', n->'config'->>'tags', n->>'meta', n->'depends_on'->>'nodes'
  FROM (SELECT public.node('model.p.b')) x(n);
SELECT child, parent FROM dpipe.edge;
SELECT unique_id, path FROM dpipe_ls('+b');

-- Whatever is wrong, its place is named, and the project stays as it was.
SELECT public.try($$SELECT public.load('{"models/a.sql": "select {{ ref(''nope'') }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1\n{{ ref(''a'' }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "{{ config(enabled=false) }}", "models/b.sql": "{{ ref(''a'') }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "{{ ref(''b'') }}", "models/b.sql": "{{ ref(''a'') }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/x/a.sql": "select 2"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/b.sql": "{{ config(alias=''a'') }} select 2"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select {{ source(''s'', ''t'') }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "{{ exceptions.raise_compiler_error(''not today'') }}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    columns:\n      - nam: x"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n   columns: []"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    data_tests:\n      - unique: x"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    data_tests:\n      - a: {}\n        b: {}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    config: {enabled: maybe}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    group: g"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models: {a: 1}"}')$$);
SELECT public.try($$SELECT public.load('{"macros/m.sql": "{% macro f() %}{% endmacro %}", "macros/n.sql": "{% macro f() %}{% endmacro %}"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.py": "x"}')$$);
SELECT public.try($$SELECT public.load('{"../a.sql": "x"}')$$);
SELECT public.try($$SELECT public.load('{"/a.sql": "x"}')$$);
SELECT public.try($$SELECT public.load('{"models/a.sql": 1}')$$);
SELECT public.try($$SELECT public.load('{}', 'model-paths: [../x]')$$);
SELECT public.try($$SELECT public.load('{}', 'require-dbt-version: ">=2.0.0"')$$);
SELECT public.try($$SELECT public.load('{}', options => '{"shema": "x"}')$$);
SELECT public.try($$SELECT public.load('{}', options => '{"vars": 1}')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_load_files('{"models/a.sql": "select 1"}')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: 1a"}')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_load_files('[]')$$);
SELECT unique_id FROM dpipe_ls() ORDER BY 1;

-- A reload parses what has changed, and writes no row that has not.
SELECT public.load('{"models/a.sql": "select 1 as id", "models/b.sql": "select * from {{ ref(''a'') }}", "models/c.sql": "select 3"}');
CREATE TABLE public.before AS SELECT unique_id, n.xmin::text AS x FROM dpipe.node n
    UNION ALL SELECT path, f.xmin::text FROM dpipe.project_file f;
SELECT public.load('{"models/a.sql": "select 1 as id", "models/b.sql": "select 2 from {{ ref(''a'') }}", "models/d.sql": "select 4"}');
SELECT coalesce(b.unique_id, n.id), CASE WHEN b.x IS NULL THEN 'new' WHEN n.x IS NULL THEN 'gone' ELSE 'written' END
  FROM public.before b FULL JOIN (SELECT unique_id AS id, xmin::text AS x FROM dpipe.node UNION ALL SELECT path, xmin::text FROM dpipe.project_file) n
    ON n.id = b.unique_id WHERE b.x IS DISTINCT FROM n.x ORDER BY 1;

-- Options: vars, env, target, profiles.
SELECT public.load('{"models/a.sql": "{{ config(tags=[var(''v''), var(''w''), env_var(''E''), env_var(''F'', ''f''), target.name, target.schema, target.threads ~ '''']) }} select 1"}',
    E'vars:\n  v: project\n  w: project\n  p: {w: package}\nprofile: prof',
    '{"vars": {"v": "given"}, "env": {"E": "e"}, "profiles": "prof:\n  target: dev\n  outputs:\n    dev: {type: postgres, password: x, schema: dev_schema, threads: 7}"}');
SELECT n->>'tags', n->>'schema' FROM (SELECT public.node('model.p.a')) x(n);
SELECT public.try($$SELECT public.load('{"models/a.sql": "{{ env_var(''PATH'') }}"}')$$);

-- Names: macros of the project have the last word.
SELECT public.load('{"models/a.sql": "{{ config(schema=''x'', alias=''y'') }} select 1",
    "macros/names.sql": "{% macro generate_schema_name(custom_schema_name, node) %}{{ node.resource_type }}_{{ custom_schema_name }}{% endmacro %}\n{% macro generate_alias_name(custom_alias_name=none, node=none) %} {{ node.name }}_{{ custom_alias_name }} {% endmacro %}"}');
SELECT n->>'schema', n->>'alias', n->>'relation_name' LIKE '%."model_x"."a_y"' FROM (SELECT public.node('model.p.a')) x(n);

-- Versions, access, groups.
SELECT public.load('{"models/m_v1.sql": "select 1", "models/m_v2.sql": "select 2", "models/old.sql": "select * from {{ ref(''m'', v=1) }}", "models/new.sql": "select * from {{ ref(''m'') }}",
    "models/m.yml": "models:\n  - name: m\n    latest_version: 2\n    columns: [{name: a}, {name: b}]\n    versions:\n      - v: 1\n        columns: [{include: all, exclude: [b]}]\n      - v: 2\n        config: {tags: two}"}');
SELECT unique_id, n.definition->>'fqn', n.definition->>'alias', n.definition->'depends_on'->>'nodes', (SELECT string_agg(k, ' ') FROM json_object_keys(n.definition->'columns') k)
  FROM dpipe.node n ORDER BY 1;
SELECT unique_id FROM dpipe_ls('version:latest');

-- What became of nodes in another run, and what is newer than it was.
SELECT unique_id FROM dpipe_ls('result:error+', options => '{"run_results": {"results": [
    {"unique_id": "model.p.m.v1", "status": "error"}, {"unique_id": "model.p.m.v2", "status": "success"}]}}');
SELECT dpipe_create_model('regress_result', 'select 1 as x');
SELECT status FROM dpipe_run('regress_result');
SELECT unique_id FROM dpipe_ls('result:success');
SELECT dpipe_drop_model('regress_result');
DROP VIEW regress_result;
SET ROLE regress_dpipe_loader;
SELECT public.try($$SELECT count(*) FROM dpipe_ls('result:success')$$);
RESET ROLE;
SELECT public.try($$SELECT count(*) FROM dpipe_ls('result:error', options => '{"run_results": {"nodes": []}}')$$);
SELECT public.load('{"models/a.sql": "select * from {{ source(''s'', ''t'') }}, {{ source(''s'', ''u'') }}, {{ source(''s'', ''v'') }}",
    "models/s.yml": "sources: [{name: s, tables: [{name: t}, {name: u}, {name: v}]}]"}');
SELECT unique_id FROM dpipe_ls('source_status:fresher', options => '{
    "sources": {"results": [{"unique_id": "source.p.s.t", "max_loaded_at": "2024-01-01T10:00:00Z"},
                            {"unique_id": "source.p.s.u", "max_loaded_at": "2024-01-01T10:00:00Z"}]},
    "sources_current": {"results": [{"unique_id": "source.p.s.t", "max_loaded_at": "2024-01-01T09:00:00-02:00"},
                                    {"unique_id": "source.p.s.u", "max_loaded_at": "2024-01-01T12:00:00+02:00"},
                                    {"unique_id": "source.p.s.v", "max_loaded_at": "2024-01-01T00:00:00Z"}]}}');
SELECT unique_id FROM dpipe_ls('source_status:staler', options => '{"sources": {"results": []}, "sources_current": {"results": []}}');
SELECT public.try($$SELECT count(*) FROM dpipe_ls('source_status:fresher')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_ls('source_status:fresher', options => '{"sources": {"results": []}}')$$);
SELECT count(*) FROM dpipe_ls(options => '{"resource_type": "default", "exclude_resource_type": ["model"]}');
SELECT public.try($$SELECT public.load('{"models/a.sql": "select 1", "models/b.sql": "select * from {{ ref(''a'') }}",
    "models/m.yml": "groups:\n  - name: g\n    owner: {name: x}\nmodels:\n  - name: a\n    config: {group: g, access: private}"}')$$);

-- What nothing reads: unknown keys, configuration of no node.
SELECT public.load('{"models/a.sql": "select 1", "models/m.yml": "models:\n  - name: a\n    desctiption: typo\n    columns:\n      - name: x\n        tipe: int\nsources:\n  - name: s\n    tables:\n      - name: t\n        colunms: []"}',
    E'models:\n  p:\n    +tags: x\n    nowhere: {+tags: y}\n  q: {+tags: z}\nseeds: {+tags: z}');

-- .dbtignore: git's patterns, of each package its own.
SELECT public.load(jsonb_build_object('.dbtignore', E'# of mine\n*_old.sql\n/models/drafts/\n!keep*.sql\nmodels/**/te[mn]p?.sql  \n\\#x.sql\n',
    'models/a.sql', 'select 1', 'models/b_old.sql', '{{ nonsense', 'models/drafts/c.sql', '{{ nonsense', 'models/drafts/keep_d.sql', 'select 2',
    'models/x/y/temp1.sql', '{{ nonsense', 'models/x/temp.sql', 'select 3', 'macros/drafts/m.sql', '{% macro m() %}{% endmacro %}',
    'dbt_packages/q/dbt_project.yml', 'name: q', 'dbt_packages/q/models/e_old.sql', 'select 4', 'dbt_packages/q/.dbtignore', 'models/f.sql',
    'dbt_packages/q/models/f.sql', '{{ nonsense'));
SELECT unique_id FROM dpipe_ls() ORDER BY 1;
SELECT public.try($$SELECT public.load('{".dbtignore": "a\nb\\"}')$$);

-- What has changed since another manifest; contracts that break their readers.
SELECT public.load('{"models/a.sql": "select 1 as x", "models/m.yml": "models:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns: [{name: x, data_type: int}, {name: y, data_type: text}]"}');
CREATE TEMP TABLE before AS SELECT dpipe_manifest() AS manifest;
SELECT public.load('{"models/a.sql": "select 1 as x", "models/b.sql": "select * from {{ ref(''a'') }}", "models/m.yml": "models:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns: [{name: x, data_type: bigint}]"}');
SELECT unique_id FROM before, dpipe_ls('state:new', options => jsonb_build_object('state', manifest));
SELECT unique_id FROM before, dpipe_ls('state:unmodified', options => jsonb_build_object('state', manifest));
SELECT unique_id FROM before, dpipe_ls('state:modified.contract', options => jsonb_build_object('state', manifest));
SELECT public.try($$SELECT count(*) FROM before, dpipe_ls('state:changed', options => jsonb_build_object('state', manifest))$$);
SELECT public.load('{"models/b.sql": "select 1"}');
SELECT unique_id FROM before, dpipe_ls('state:modified', options => jsonb_build_object('state', manifest));
SELECT public.load('{"seeds/s.csv": "a,b\n1,2", "seeds/t.csv": "a"}');
SELECT unique_id FROM dpipe_ls('state:modified', options => jsonb_build_object('state', jsonb_set(jsonb_set(dpipe_manifest(),
    '{nodes,seed.p.s,checksum}', '{"name": "path", "checksum": "seeds/s.csv"}'), '{nodes,seed.p.t,checksum}', '{"name": "path", "checksum": "data/t.csv"}')));
SELECT public.load('{"models/a_v1.sql": "select 1 as x", "models/m.yml": "models:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns: [{name: x, data_type: int}]\n    versions: [{v: 1}]"}');
UPDATE before SET manifest = dpipe_manifest();
SELECT public.load('{"models/a_v1.sql": "select 1 as x", "models/m.yml": "models: [{name: a, versions: [{v: 1}]}]"}');
SELECT public.try($$SELECT count(*) FROM before, dpipe_ls('state:modified', options => jsonb_build_object('state', manifest))$$);
SELECT public.load('{"models/b.sql": "select 1"}');
SELECT public.try($$SELECT count(*) FROM before, dpipe_ls('state:modified', options => jsonb_build_object('state', manifest))$$);
SELECT public.try($$SELECT count(*) FROM dpipe_ls('state:modified')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_ls('state:modified', options => '{"state": {"results": []}}')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_ls('state:modified', options => '{"state": {"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v20.json"}, "nodes": {}}}')$$);
DROP TABLE before;

-- Packages: their configuration, their macros, references across.
SELECT public.load('{"models/a.sql": "{{ config(tags=q.word()) }} select * from {{ ref(''q'', ''base'') }}",
    "dbt_packages/q/dbt_project.yml": "name: q\nmodels: {q: {+tags: own, +materialized: table}}\nvars: {q: {size: 1}}",
    "dbt_packages/q/models/base.sql": "{{ config(meta={''size'': var(''size'')}) }} select 1",
    "dbt_packages/q/macros/m.sql": "{% macro word() %}{{ return(adapter.dispatch(''word'', ''q'')()) }}{% endmacro %}{% macro default__word() %}q{% endmacro %}",
    "macros/m.sql": "{% macro postgres__word() %}root{% endmacro %}"}',
    E'models: {q: {+materialized: view}}\nvars: {q: {size: 2}}');
SELECT unique_id, n.definition->>'tags', n.definition->'config'->>'materialized', n.definition->>'meta' FROM dpipe.node n ORDER BY 1;

-- Several projects, and whose they are.
SET ROLE regress_dpipe_loader;
SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: mine", "models/a.sql": "select 1"}', '{"env": {"SECRET": "s"}}');
SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: mine", "models/b.sql": "select 1"}', '{"project": "second"}');
SELECT public.try($$SELECT count(*) FROM dpipe_ls()$$);
SELECT unique_id FROM dpipe_ls(options => '{"project": "second"}');
SELECT public.try($$SELECT count(*) FROM dpipe_ls(options => '{"project": "p"}')$$);
SELECT public.try($$SELECT count(*) FROM dpipe_load_project('/tmp')$$);
SELECT public.try($$SELECT options FROM dpipe.project$$);
SET ROLE regress_dpipe_other;
SELECT count(*) FROM dpipe_ls();
SELECT public.try($$SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: mine"}')$$);
SELECT public.try($$SELECT dpipe_drop_project('mine')$$);
RESET ROLE;
SELECT dpipe_drop_project(name) FROM dpipe.project ORDER BY name;
SELECT public.try($$SELECT dpipe_drop_project('mine')$$);
SELECT count(*) FROM dpipe.node;

-- Limits.
SET dpipe.project_max_files = 2;
SELECT public.try($$SELECT public.load('{"models/a.sql": "1", "models/b.sql": "2"}')$$);
RESET dpipe.project_max_files;
SET dpipe.project_max_file_size = '1kB';
SELECT public.try($$SELECT public.load(jsonb_build_object('models/a.sql', repeat('x', 2000)))$$);
RESET dpipe.project_max_file_size;

DROP FUNCTION public.load, public.try, public.node;
DROP TABLE public.before;
DROP ROLE regress_dpipe_loader, regress_dpipe_other;
