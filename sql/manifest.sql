-- A dbt project as dbt's manifest.json.
CREATE EXTENSION IF NOT EXISTS dpipe;
SET client_min_messages = warning;

SELECT * FROM dpipe_load_files($json${
  "dbt_project.yml": "name: m\nversion: '1.0'\non-run-start: \"select '{{ target.schema }}'\"\non-run-end:\n  - \"{{ note('b') }}\"\n  - \"select 1 from {{ ref('b') }}\"\nmodels:\n  +materialized: \"{{ 'ta' ~ 'ble' }}\"\nvars: {x: 1}\n",
  "models/a.sql": "select 1 as id",
  "models/b.sql": "{{ config(tags=['t'], materialized='view') }} select * from {{ ref('a') }}",
  "models/m.yml": "models:\n  - name: b\n    description: \"{{ doc('of_b') }} ...\"\n    columns:\n      - name: id\n        tests: [unique, not_null]\n  - name: gone\n    config: {enabled: false}\nmacros:\n  - name: note\n    description: notes\n    arguments:\n      - {name: what, type: string}\nselectors: []\n",
  "models/gone.sql": "select 2 as id",
  "models/d.md": "{% docs of_b %}All of b.{% enddocs %}",
  "macros/note.sql": "{% macro note(what) %}{{ adapter.dispatch('note')(what) }}{% endmacro %}\n{% macro default__note(what) %}select '{{ what }}'{% endmacro %}"
}$json$);

CREATE TEMP TABLE m AS SELECT dpipe_manifest() AS m;
SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") FROM m, jsonb_object_keys(m) k;
SELECT k, v ->> 'path' AS path, replace(v ->> 'relation_name', current_database(), 'db') AS relation, v -> 'depends_on' -> 'nodes' AS parents
  FROM m, jsonb_each(m -> 'nodes') e(k, v) ORDER BY k COLLATE "C";
SELECT (m -> 'nodes' -> 'operation.m.m-on-run-end-1') - '{config,created_at,checksum,database,schema,docs,contract}'::text[] FROM m;
SELECT m -> 'nodes' -> 'model.m.b' -> 'unrendered_config', m -> 'nodes' -> 'model.m.b' -> 'doc_blocks',
       m -> 'nodes' -> 'model.m.b' -> 'primary_key', m -> 'nodes' -> 'model.m.b' ->> 'description',
       m -> 'nodes' -> 'model.m.a' -> 'unrendered_config' FROM m;
SELECT k, v -> 'depends_on', v -> 'arguments', v ->> 'description', v ->> 'patch_path', v ->> 'macro_sql'
  FROM m, jsonb_each(m -> 'macros') e(k, v) WHERE k LIKE 'macro.m.%' ORDER BY k COLLATE "C";
SELECT jsonb_pretty(m -> 'child_map'), jsonb_pretty(m -> 'parent_map') FROM m;
SELECT k, jsonb_array_length(v) FROM m, jsonb_each(m -> 'disabled') e(k, v);
SELECT m -> 'docs' -> 'doc.m.of_b', m -> 'metadata' -> 'project_id', m -> 'metadata' -> 'dbt_schema_version' FROM m;

-- Hooks are nodes, and no selection holds them.
SELECT unique_id FROM dpipe_ls(options => '{"resource_type": "all"}') WHERE resource_type NOT IN ('test') ORDER BY 1;

-- What is there of it.
SELECT dpipe_catalog() -> 'nodes';
CREATE VIEW b AS SELECT 1 AS id, 'x'::varchar(3) AS "Name";
COMMENT ON COLUMN b.id IS 'key';
SELECT k, v #- '{metadata,owner}' #- '{metadata,database}' FROM jsonb_each(dpipe_catalog() -> 'nodes') e(k, v);
DROP VIEW b;

-- What is wrong with a call.
SELECT dpipe_manifest('{"select": "a"}');
SELECT dpipe_manifest('{"project": "other"}');
SELECT dpipe_drop_project('m');
SELECT dpipe_manifest() -> 'nodes', dpipe_manifest() -> 'metadata' -> 'project_name';
