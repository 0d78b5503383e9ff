-- connect.sql
--     Connections: foreign-data wrappers without a handler. A server says
--     where, a user mapping who, USAGE on the server who may.

CREATE FUNCTION dpipe_kafka_validator(options text[], catalog oid)
    RETURNS void
    LANGUAGE c STRICT
    AS 'MODULE_PATHNAME', 'dpipe_kafka_validator';
COMMENT ON FUNCTION dpipe_kafka_validator(text[], oid) IS 'checks the options of dpipe_kafka servers and their user mappings';

CREATE FOREIGN DATA WRAPPER dpipe_kafka VALIDATOR dpipe_kafka_validator;
COMMENT ON FOREIGN DATA WRAPPER dpipe_kafka IS 'Kafka clusters: options are the properties of librdkafka, secrets go into user mappings';
