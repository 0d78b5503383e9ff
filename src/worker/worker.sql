-- worker.sql
--     What the processes show of themselves. dpipe.source_status is for users;
--     these functions show the raw board and are for the extension's owner.

CREATE FUNCTION dpipe._slot_status(
        OUT source text, OUT slot integer, OUT state text, OUT pid integer,
        OUT state_since timestamptz, OUT restart_at timestamptz,
        OUT failures integer, OUT reason text, OUT last_error text,
        OUT last_error_at timestamptz, OUT rows bigint, OUT bytes bigint,
        OUT rows_per_second double precision,
        OUT bytes_per_second double precision, OUT lag_records bigint,
        OUT lag_seconds double precision, OUT memory_bytes bigint,
        OUT load_path text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'dpipe_slot_status';
REVOKE ALL ON FUNCTION dpipe._slot_status() FROM PUBLIC;
COMMENT ON FUNCTION dpipe._slot_status() IS 'internal: the status board''s entries of this database';

CREATE FUNCTION dpipe._slot_budget(OUT max integer, OUT used integer)
    RETURNS record
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'dpipe_slot_budget';
REVOKE ALL ON FUNCTION dpipe._slot_budget() FROM PUBLIC;
COMMENT ON FUNCTION dpipe._slot_budget() IS 'internal: workers that the cluster may have, and has';

CREATE FUNCTION dpipe._wake() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'dpipe_wake';
REVOKE ALL ON FUNCTION dpipe._wake() FROM PUBLIC;
COMMENT ON FUNCTION dpipe._wake() IS 'internal: lets the scheduler look at the definitions when the transaction commits';
