-- project.sql
--     Definitions of models. A definition holds what its text says about
--     itself (config, refs, sources), found when it was defined, so that a
--     run does not have to look for it.

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
