-- load.sql
--     The SQL path of the loader.

-- The batch that this process is loading, as rows. Only the loader's own
-- INSERT … SELECT finds one there; anybody else gets an error, also a server
-- to which another engine may have pushed the call.
CREATE FUNCTION dpipe.batch() RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10000
    AS 'MODULE_PATHNAME', 'dpipe_batch';
COMMENT ON FUNCTION dpipe.batch() IS 'rows of the batch being loaded; for the loader''s own statements';

CREATE FUNCTION dpipe_replay(source text, ids bigint[] DEFAULT NULL,
        OUT replayed bigint, OUT failed bigint)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_replay';
COMMENT ON FUNCTION dpipe_replay(text, bigint[]) IS 'loads dead letters of a source again, those with the ids or all; what is stored is marked with replayed_at';
