-- catalog.sql
--     The rows that make it exact: definitions, positions, the ledger of
--     loads, dead letters, gaps and the incarnation.
--
-- Base tables are readable by the extension's owner only; views.sql shows
-- each role what is its own. Names, not OIDs, everywhere; only an owner's OID
-- stands beside its name, so that a role dropped and made again inherits
-- nothing. Primary keys begin with the source; no foreign keys between
-- catalogs, so that a table can be distributed or restored in any order.

CREATE SCHEMA dpipe;
GRANT USAGE ON SCHEMA dpipe TO PUBLIC;
COMMENT ON SCHEMA dpipe IS 'catalogs and views of the dpipe extension';

-- Not dumped: a restored dump and a copy by CREATE DATABASE … TEMPLATE are
-- told from the original by it, and start nothing until dpipe_adopt().
CREATE TABLE dpipe.incarnation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL,
    database_oid oid NOT NULL
);
INSERT INTO dpipe.incarnation (id, database_oid)
    SELECT pg_catalog.gen_random_uuid(), d.oid
    FROM pg_catalog.pg_database d
    WHERE d.datname = pg_catalog.current_database();
COMMENT ON TABLE dpipe.incarnation IS 'identity of this database; definitions of another one do not run here';

-- Each version of a definition, of any source, is another one: a source that
-- is dropped and made again under its name does not look like the one before
-- to a worker that has not heard of it yet.
CREATE SEQUENCE dpipe.source_version;
COMMENT ON SEQUENCE dpipe.source_version IS 'versions of the definitions of sources';

CREATE TABLE dpipe.source (
    name text PRIMARY KEY,
    kind text NOT NULL,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    server text NOT NULL,
    topics text[] NOT NULL,
    target_schema text NOT NULL,
    target_table text NOT NULL,
    format text NOT NULL,
    envelope text NOT NULL,
    key text[],
    start jsonb NOT NULL,
    options jsonb NOT NULL,
    workers integer NOT NULL,
    enabled boolean NOT NULL,
    version bigint NOT NULL DEFAULT pg_catalog.nextval('dpipe.source_version'::pg_catalog.regclass),
    epoch bigint NOT NULL DEFAULT 1,
    incarnation uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dpipe.source IS 'definitions of sources; version is another with each change of the definition, epoch counts changes of the positions';

-- One row a slot, arrays by partition: one HOT update a batch however many
-- partitions move. next_offset is what the compare-and-set compares.
CREATE TABLE dpipe.position (
    source text NOT NULL,
    slot integer NOT NULL,
    epoch bigint NOT NULL,
    started text[] NOT NULL DEFAULT '{}',
    topic text[] NOT NULL DEFAULT '{}',
    partition integer[] NOT NULL DEFAULT '{}',
    next_offset bigint[] NOT NULL DEFAULT '{}',
    end_offset bigint[] NOT NULL DEFAULT '{}',
    stop_offset bigint[] NOT NULL DEFAULT '{}',
    last_timestamp bigint[] NOT NULL DEFAULT '{}',
    print_offset bigint[] NOT NULL DEFAULT '{}',
    print_timestamp bigint[] NOT NULL DEFAULT '{}',
    print_crc bigint[] NOT NULL DEFAULT '{}',
    rows bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    last_load_id bigint,
    last_load_at timestamptz,
    PRIMARY KEY (source, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE dpipe.position IS 'where each slot of a source stands; started lists the topics whose start was settled, whose new partitions begin at 0; -1 in an array means: not known (end, stop, timestamp, fingerprint)';

-- What went wrong last, for dpipe.source_status after a restart. Not dumped.
CREATE TABLE dpipe.slot_state (
    source text NOT NULL,
    slot integer NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    last_error text,
    shown_error text,
    last_error_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (source, slot)
);
COMMENT ON TABLE dpipe.slot_state IS 'lasting states of slots: error, finished, the last error; shown_error stands for one that may quote records where others than the owner look';

CREATE SEQUENCE dpipe.load_id;
COMMENT ON SEQUENCE dpipe.load_id IS 'ids of loads; always drawn after the transaction has its xid';

CREATE TABLE dpipe.ledger (
    load_id bigint PRIMARY KEY,
    source text NOT NULL,
    slot integer NOT NULL,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    target text NOT NULL,
    rows bigint NOT NULL,
    dead_letters bigint NOT NULL,
    bytes bigint NOT NULL,
    positions jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL
);
CREATE INDEX ledger_target_idx ON dpipe.ledger (target, load_id);
COMMENT ON TABLE dpipe.ledger IS 'every committed load; positions is {topic: {partition: [from, to]}}';

CREATE TABLE dpipe.letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    load_id bigint NOT NULL,
    topic text,
    partition integer,
    "offset" bigint,
    "timestamp" timestamptz,
    key bytea,
    payload bytea,
    headers jsonb,
    stage text NOT NULL,
    sqlstate text NOT NULL,
    message text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    replayed_at timestamptz
);
CREATE INDEX letter_source_idx ON dpipe.letter (source, id);
COMMENT ON TABLE dpipe.letter IS 'dead letters: records that could not be stored, with their original bytes';

CREATE TABLE dpipe.gap_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    owner text NOT NULL,
    owner_oid oid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    action text NOT NULL
);
CREATE INDEX gap_log_source_idx ON dpipe.gap_log (source, id);
COMMENT ON TABLE dpipe.gap_log IS 'offsets that the broker no longer had when they were due';

-- Consumers of new_rows: which loads of which relation each has read.
CREATE TABLE dpipe.consumer (
    consumer text NOT NULL,
    relation text NOT NULL,
    consumed int8multirange NOT NULL DEFAULT '{}',
    gaps int8multirange NOT NULL DEFAULT '{}',
    gap_xid xid8,
    PRIMARY KEY (consumer, relation)
);
COMMENT ON TABLE dpipe.consumer IS 'load ids that each consumer of new_rows has read, and gaps that may still be filled';

-- One call a statement: two in one fail with "tuple already updated by self".
SELECT pg_catalog.pg_extension_config_dump('dpipe.source_version', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.source', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.position', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.load_id', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.ledger', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.letter', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.letter_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.gap_log', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.gap_log_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dpipe.consumer', '');
