-- load_functions.sql: the loader without a broker (builds with fault points).
CREATE FUNCTION dpipe._test_load(source text, payloads bytea[], keys bytea[] DEFAULT NULL,
        first_offset bigint DEFAULT 0, headers bytea[] DEFAULT NULL,
        OUT rows bigint, OUT dead_letters bigint, OUT settled integer, OUT path text)
    LANGUAGE c AS '$libdir/dpipe', 'dpipe_test_load';
CREATE FUNCTION dpipe._test_prepare(target text, format text DEFAULT 'json', key_format integer DEFAULT 0)
    RETURNS text LANGUAGE c AS '$libdir/dpipe', 'dpipe_test_prepare';
CREATE FUNCTION dpipe._test_fault(sqlstate text)
    RETURNS text LANGUAGE c AS '$libdir/dpipe', 'dpipe_test_fault';

-- Define a source as dpipe_create_kafka_source does, for "target".
CREATE FUNCTION dpipe._test_source(name text, target text, format text DEFAULT 'json',
        options jsonb DEFAULT '{}', owner text DEFAULT current_user)
    RETURNS void LANGUAGE sql AS $$
    DELETE FROM dpipe.source s WHERE s.name = $1;
    INSERT INTO dpipe.source (name, kind, owner, owner_oid, server, topics, target_schema, target_table,
            format, envelope, start, options, workers, enabled, incarnation)
        SELECT $1, 'kafka', $5, r.oid, 'none', '{t}', split_part($2, '.', 1), split_part($2, '.', 2),
            $3, 'none', '"earliest"', $4, 1, true, i.id
        FROM pg_roles r, dpipe.incarnation i WHERE r.rolname = $5;
$$;

-- JSON texts as payloads.
CREATE FUNCTION dpipe._test_bytes(VARIADIC t text[]) RETURNS bytea[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(convert_to(x, 'UTF8') ORDER BY n) FROM unnest(t) WITH ORDINALITY AS u(x, n);
$$;
