-- kafka.sql
--     Kafka as a source.

CREATE FUNCTION dpipe_create_kafka_source(
        name text,
        server text,
        topic text,
        target text,
        format text DEFAULT 'json',
        envelope text DEFAULT 'none',
        key text[] DEFAULT NULL,
        start text DEFAULT 'earliest',
        options jsonb DEFAULT '{}')
    RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_create_kafka_source';
COMMENT ON FUNCTION dpipe_create_kafka_source(text, text, text, text, text, text, text[], text, jsonb) IS 'defines a source that loads Kafka topics into a table, or replaces its definition and keeps its position';

CREATE FUNCTION dpipe_seek(source text, "position" jsonb) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_seek';
COMMENT ON FUNCTION dpipe_seek(text, jsonb) IS 'moves a source to "earliest", "latest", {"timestamp": …} or {topic: {partition: offset}}';

-- Commits on its way, so it has no SET clause and cannot be SECURITY DEFINER.
CREATE PROCEDURE dpipe_sync(source text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_sync';
COMMENT ON PROCEDURE dpipe_sync(text) IS 'reads a source in this session up to its end as it is now, committing batch by batch';
