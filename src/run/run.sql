-- run.sql
--     Runs of models and what became of each node. The logs are history and
--     are not dumped; the sequence is, so that run ids go on.

CREATE SEQUENCE dpipe.run_id;
COMMENT ON SEQUENCE dpipe.run_id IS 'ids of runs';

CREATE TABLE dpipe.run_log (
    run_id bigint PRIMARY KEY,
    command text NOT NULL,
    invocation_id uuid NOT NULL,
    caller text NOT NULL,
    caller_oid oid NOT NULL,
    status text NOT NULL,
    nodes text,
    exclude text,
    full_refresh boolean NOT NULL,
    vars jsonb NOT NULL,
    options jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    pid integer NOT NULL
);
COMMENT ON TABLE dpipe.run_log IS 'every committed run';

CREATE TABLE dpipe.run_node_log (
    run_id bigint NOT NULL,
    position integer NOT NULL,
    node text NOT NULL,
    name text NOT NULL,
    resource_type text NOT NULL,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    schema text NOT NULL,
    alias text NOT NULL,
    relation_name text NOT NULL,
    status text NOT NULL,
    rows bigint,
    failures bigint,
    message text,
    sqlstate text,
    started_at timestamptz,
    ended_at timestamptz,
    pid integer NOT NULL,
    adapter_response jsonb NOT NULL,
    sql text,
    PRIMARY KEY (run_id, position)
);
CREATE INDEX run_node_log_node_idx ON dpipe.run_node_log (node, run_id);
COMMENT ON TABLE dpipe.run_node_log IS 'what became of each node of each run, in the order of execution';

SELECT pg_catalog.pg_extension_config_dump('dpipe.run_id', '');

-- As in views.sql: nothing of the extension's schema on the path.
SET LOCAL search_path TO pg_catalog, pg_temp;

-- A message quotes values, and the text is its owner's: as with records,
-- pg_monitor sees what happened and not with what.
CREATE VIEW dpipe.run_node WITH (security_barrier) AS
SELECT n.run_id, n.position, n.node, n.name, n.resource_type, n.owner,
       n.schema, n.alias, n.relation_name, n.status, n.rows, n.failures,
       extract(epoch FROM n.ended_at - n.started_at)::double precision AS seconds,
       CASE WHEN dpipe._is_mine(n.owner, n.owner_oid) THEN n.message END AS message,
       n.sqlstate, n.started_at, n.ended_at, n.pid,
       CASE WHEN dpipe._is_mine(n.owner, n.owner_oid) THEN n.adapter_response END AS adapter_response,
       CASE WHEN dpipe._is_mine(n.owner, n.owner_oid) THEN n.sql END AS sql
  FROM dpipe.run_node_log n
 WHERE dpipe._is_mine(n.owner, n.owner_oid)
    OR (SELECT pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.run_node IS 'what became of each node of each run';

CREATE VIEW dpipe.run WITH (security_barrier) AS
SELECT r.run_id, r.command, r.status, r.caller, r.nodes, r.exclude,
       r.full_refresh,
       CASE WHEN dpipe._is_mine(r.caller, r.caller_oid) THEN r.vars END AS vars,
       r.options, r.started_at, r.ended_at,
       extract(epoch FROM r.ended_at - r.started_at)::double precision AS seconds,
       r.pid, r.invocation_id, c.success, c.error, c.skipped
  FROM dpipe.run_log r
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE n.status = 'success') AS success,
              count(*) FILTER (WHERE n.status = 'error') AS error,
              count(*) FILTER (WHERE n.status = 'skipped') AS skipped
         FROM dpipe.run_node_log n WHERE n.run_id = r.run_id) c
 WHERE dpipe._is_mine(r.caller, r.caller_oid)
    OR (SELECT pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW dpipe.run IS 'runs that the caller, or a role it is a member of, has started';

GRANT SELECT ON dpipe.run, dpipe.run_node TO PUBLIC;

SET LOCAL search_path TO @extschema@, pg_temp;

CREATE FUNCTION dpipe_run(
        nodes text DEFAULT NULL, exclude text DEFAULT NULL,
        full_refresh boolean DEFAULT false, vars jsonb DEFAULT '{}',
        options jsonb DEFAULT '{}')
    RETURNS TABLE (run_id bigint, node text, kind text, status text,
        rows bigint, failures bigint, seconds double precision, message text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_run';
COMMENT ON FUNCTION dpipe_run(text, text, boolean, jsonb, jsonb) IS 'runs models in the order of their dependencies, in the caller''s transaction';

CREATE FUNCTION dpipe_compile(
        node text DEFAULT NULL, inline text DEFAULT NULL,
        vars jsonb DEFAULT '{}', full_refresh boolean DEFAULT false,
        options jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_compile';
COMMENT ON FUNCTION dpipe_compile(text, text, jsonb, boolean, jsonb) IS 'the SQL that a node, or a text given inline, would run now';

CREATE FUNCTION dpipe_show(
        node text DEFAULT NULL, inline text DEFAULT NULL,
        row_limit integer DEFAULT 5, vars jsonb DEFAULT '{}',
        options jsonb DEFAULT '{}')
    RETURNS SETOF jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_show';
COMMENT ON FUNCTION dpipe_show(text, text, integer, jsonb, jsonb) IS 'the rows that a node, or a text given inline, gives now';

CREATE FUNCTION dpipe_run_operation(
        macro text, args jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
    RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_run_operation';
COMMENT ON FUNCTION dpipe_run_operation(text, jsonb, jsonb) IS 'calls a macro of a project and gives its value';

CREATE FUNCTION dpipe_ls(
        nodes text DEFAULT NULL, exclude text DEFAULT NULL,
        options jsonb DEFAULT '{}')
    RETURNS TABLE (unique_id text, resource_type text, package_name text,
        name text, path text, fqn text[], tags text[], config jsonb)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_ls';
COMMENT ON FUNCTION dpipe_ls(text, text, jsonb) IS 'the nodes that a selection holds';
