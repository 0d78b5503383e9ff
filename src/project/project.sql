-- project.sql
--     Definitions of models, and dbt projects. A definition holds what its
--     text says about itself (config, refs, sources), found when it was
--     defined, so that a run does not have to look for it.

CREATE TABLE dpipe.model (
    name text PRIMARY KEY,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    schema text NOT NULL,
    search_path text NOT NULL,
    sql text NOT NULL,
    given jsonb NOT NULL,
    config jsonb NOT NULL,
    refs text[] NOT NULL,
    sources text[] NOT NULL,
    relation text,
    incarnation uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dpipe.model IS 'definitions of models; schema and search_path are those of whoever defined it; relation is what its runs have made';

SELECT pg_catalog.pg_extension_config_dump('dpipe.model', '');

-- A project is its files, with what parsing each has given, and the nodes that
-- all of them make. Documents are json, not jsonb: the order of keys counts.
-- No foreign keys: only a load writes these rows, all of a project's in one
-- transaction, and checking each would cost more than writing it.

CREATE TABLE dpipe.project (
    name text PRIMARY KEY,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    schema text NOT NULL,
    search_path text NOT NULL,
    options json NOT NULL,
    definition json NOT NULL,
    incarnation uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    loaded_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dpipe.project IS 'dbt projects; options are those of the last load, which may hold secrets of the environment';

CREATE TABLE dpipe.project_file (
    project text NOT NULL,
    path text NOT NULL,
    checksum text NOT NULL,
    content text NOT NULL,
    parsed_key text,
    parsed json,
    PRIMARY KEY (project, path)
);
COMMENT ON TABLE dpipe.project_file IS 'files of dbt projects; parsed is what a text has said about itself, and holds while parsed_key does';

CREATE TABLE dpipe.node (
    project text NOT NULL,
    unique_id text NOT NULL,
    resource_type text NOT NULL,
    enabled boolean NOT NULL,
    checksum text NOT NULL,
    definition json NOT NULL,
    PRIMARY KEY (project, unique_id)
);
COMMENT ON TABLE dpipe.node IS 'nodes of dbt projects, as a manifest shows them';

CREATE TABLE dpipe.edge (
    project text NOT NULL,
    child text NOT NULL,
    parent text NOT NULL,
    PRIMARY KEY (project, child, parent)
);
CREATE INDEX edge_parent_idx ON dpipe.edge (project, parent);
COMMENT ON TABLE dpipe.edge IS 'which node of a dbt project reads which';

SELECT pg_catalog.pg_extension_config_dump('dpipe.project', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.project_file', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.node', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.edge', '');

CREATE FUNCTION dpipe_load_project(directory text, options jsonb DEFAULT '{}')
    RETURNS TABLE (kind text, count bigint)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_load_project';
COMMENT ON FUNCTION dpipe_load_project(text, jsonb) IS 'loads a dbt project from a directory of the server, or loads it again';

CREATE FUNCTION dpipe_load_files(files jsonb, options jsonb DEFAULT '{}')
    RETURNS TABLE (kind text, count bigint)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_load_files';
COMMENT ON FUNCTION dpipe_load_files(jsonb, jsonb) IS 'loads a dbt project from texts by path, or loads it again';

CREATE FUNCTION dpipe_drop_project(name text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_drop_project';
COMMENT ON FUNCTION dpipe_drop_project(text) IS 'removes a dbt project; what its models have made stays';

CREATE FUNCTION dpipe_manifest(options jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_manifest';
COMMENT ON FUNCTION dpipe_manifest(jsonb) IS 'a dbt project as the manifest.json that dbt would write, version 12';

CREATE FUNCTION dpipe_catalog(options jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_catalog';
COMMENT ON FUNCTION dpipe_catalog(jsonb) IS 'what is there of a dbt project, as the catalog.json that dbt would write, version 1';
