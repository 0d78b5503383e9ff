-- Connections: what may be written where, and by whom.
SET client_min_messages = warning;
CREATE ROLE regress_dpipe_boss SUPERUSER;
CREATE ROLE regress_dpipe_admin;
CREATE ROLE regress_dpipe_etl;
CREATE ROLE regress_dpipe_other;
GRANT USAGE ON FOREIGN DATA WRAPPER dpipe_kafka TO regress_dpipe_admin;
RESET client_min_messages;

-- The wrapper itself has no options, nor have foreign tables.
CREATE SERVER s FOREIGN DATA WRAPPER dpipe_kafka;
CREATE SERVER s FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("client.id" 'x');
CREATE SERVER s FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "socket.timeout.ms" '5000',
             "security.protocol" 'SASL_SSL', "sasl.mechanism" 'SCRAM-SHA-256',
             "ssl.ca.pem" '-----BEGIN CERTIFICATE-----', "linger.ms" '2.5');
CREATE FOREIGN TABLE ft (a integer) SERVER s OPTIONS (topic 'x');
ALTER FOREIGN DATA WRAPPER dpipe_kafka OPTIONS (ADD host 'x');

-- Unknown names: the nearest, or all of them.
ALTER SERVER s OPTIONS (ADD "socket.timout.ms" '1');
ALTER SERVER s OPTIONS (ADD "acks.all" '1');
CREATE USER MAPPING FOR regress_dpipe_etl SERVER s OPTIONS (password 'hunter2');
CREATE USER MAPPING FOR regress_dpipe_etl SERVER s OPTIONS ("sasl.pasword" 'hunter2');
ALTER SERVER s OPTIONS (ADD "test.mock.num.brokers" '3');

-- A property that this librdkafka may not know yet is accepted.
SET client_min_messages = error;
ALTER SERVER s OPTIONS (ADD "group.protocol" 'classic');
ALTER SERVER s OPTIONS (DROP "group.protocol");
RESET client_min_messages;

-- Values
ALTER SERVER s OPTIONS (SET "socket.timeout.ms" 'soon');
ALTER SERVER s OPTIONS (SET "socket.timeout.ms" '5');
ALTER SERVER s OPTIONS (SET "socket.timeout.ms" '5000.5');
ALTER SERVER s OPTIONS (SET "socket.timeout.ms" '99999999999999999999');
ALTER SERVER s OPTIONS (ADD "socket.keepalive.enable" 'yes');
ALTER SERVER s OPTIONS (ADD "isolation.level" 'serializable');
ALTER SERVER s OPTIONS (ADD "queue.buffering.max.ms" 'x');
ALTER SERVER s OPTIONS (ADD "sasl.oauthbearer.token.endpoint.url" 'file:///etc/passwd');
ALTER SERVER s OPTIONS (ADD "socket.keepalive.enable" 'True', "isolation.level" 'read_uncommitted');

-- Secrets go into user mappings and nowhere else.
ALTER SERVER s OPTIONS (ADD "sasl.password" 'hunter2');
ALTER SERVER s OPTIONS (ADD "ssl.key.pem" 'hunter2');
ALTER SERVER s OPTIONS (ADD "sasl.oauthbearer.client.secret" 'hunter2');
CREATE USER MAPPING FOR regress_dpipe_etl SERVER s
    OPTIONS ("sasl.username" 'etl', "sasl.password" 'hunter2', "ssl.key.pem" 'k', "ssl.key.password" 'p');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS ("bootstrap.servers" 'evil:9092');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS ("fetch.min.bytes" '1');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS ("sasl.username" 'all', "sasl.password" 'all');

-- What dpipe keeps for itself, and what nobody can set.
ALTER SERVER s OPTIONS (ADD "enable.auto.commit" 'true');
ALTER SERVER s OPTIONS (ADD "auto.offset.reset" 'latest');
ALTER SERVER s OPTIONS (ADD "receive.message.max.bytes" '1000');
ALTER SERVER s OPTIONS (ADD "enable.partition.eof" 'false');
ALTER SERVER s OPTIONS (ADD "offset.store.path" '/tmp/x');
ALTER SERVER s OPTIONS (ADD "log_cb" '0xdeadbeef');
ALTER SERVER s OPTIONS (ADD "opaque" '1');

-- A superuser may name files and programs.
SET ROLE regress_dpipe_boss;
CREATE SERVER boss FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "ssl.ca.location" '/etc/ssl/certs', debug 'broker');
CREATE SERVER kerberos FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "security.protocol" 'sasl_plaintext');
RESET ROLE;

-- Others may not, wherever they write it.
SET ROLE regress_dpipe_admin;
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "ssl.ca.location" '/etc/passwd');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "plugin.library.paths" '/tmp/evil.so');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "sasl.kerberos.kinit.cmd" 'touch /tmp/evil');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "sasl.kerberos.principal" '$(touch /tmp/evil)');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "ssl.providers" 'evil');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "sasl.oauthbearer.metadata.authentication.type" 'azure_imds');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', debug 'all');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "security.protocol" 'sasl_plaintext');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "security.protocol" 'sasl_ssl', "sasl.mechanism" 'gssapi');
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" 'k1:9092', "security.protocol" 'sasl_ssl', "sasl.mechanism" 'PLAIN');
CREATE USER MAPPING FOR regress_dpipe_admin SERVER own OPTIONS ("ssl.key.location" '/etc/shadow');
CREATE USER MAPPING FOR regress_dpipe_admin SERVER own OPTIONS ("sasl.kerberos.keytab" '/etc/krb5.keytab');
CREATE USER MAPPING FOR regress_dpipe_admin SERVER own OPTIONS ("sasl.username" 'a', "sasl.password" 'hunter2');
RESET ROLE;
-- Without USAGE on the wrapper nobody makes a server.
SET ROLE regress_dpipe_etl;
CREATE SERVER mine FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" 'k1:9092');
RESET ROLE;

-- Who may use a server: by the definition of a source. All are made disabled.
CREATE TABLE connect_target (_payload jsonb);
GRANT INSERT ON connect_target TO PUBLIC;
CREATE FUNCTION pg_temp.try(role name, server text, librdkafka jsonb DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    PERFORM dpipe_create_kafka_source('connect_test', server, 'topic', 'public.connect_target',
        options => jsonb_build_object('enabled', false, 'librdkafka', librdkafka));
    PERFORM dpipe_drop_source('connect_test');
    RESET ROLE;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset format unaligned
\pset tuples_only on
SELECT pg_temp.try('regress_dpipe_etl', 's');
GRANT USAGE ON FOREIGN SERVER s, boss, kerberos TO regress_dpipe_etl;
SELECT pg_temp.try('regress_dpipe_etl', 's');
SELECT pg_temp.try('regress_dpipe_other', 's');
SELECT pg_temp.try('regress_dpipe_etl', 'nowhere');
-- A superuser's server may be used, files, Kerberos and all.
SELECT pg_temp.try('regress_dpipe_etl', 'boss');
SELECT pg_temp.try('regress_dpipe_etl', 'kerberos');
-- Not any more when it is given to somebody else.
ALTER SERVER boss OWNER TO regress_dpipe_admin;
ALTER SERVER kerberos OWNER TO regress_dpipe_admin;
SELECT pg_temp.try('regress_dpipe_etl', 'boss');
SELECT pg_temp.try('regress_dpipe_etl', 'kerberos');
-- A superuser's file in a mapping does not serve a role that is none.
CREATE USER MAPPING FOR regress_dpipe_other SERVER s OPTIONS ("ssl.key.location" '/etc/ssl/key');
GRANT USAGE ON FOREIGN SERVER s TO regress_dpipe_other;
SELECT pg_temp.try('regress_dpipe_other', 's');
DROP USER MAPPING FOR regress_dpipe_other SERVER s;
SELECT pg_temp.try('regress_dpipe_other', 's');
-- Options of a source
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"fetch.wait.max.ms": "50", "check.crcs": true, "fetch.min.bytes": 10}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"fetch.wait.max.ms": [50]}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"fetch.wait.max.ms": null}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"fetch.wait.max": "50"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"bootstrap.servers": "evil:9092"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"security.protocol": "plaintext"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"sasl.password": "hunter2"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"sasl.username": "other"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"linger.ms": "5"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"auto.offset.reset": "latest"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"plugin.library.paths": "/tmp/evil.so"}');
SELECT pg_temp.try('regress_dpipe_etl', 's', '{"ssl.ca.location": "/etc/passwd"}');
SELECT pg_temp.try('regress_dpipe_boss', 's', '{"ssl.ca.location": "/etc/ssl/certs"}');
-- A server of another wrapper
CREATE FOREIGN DATA WRAPPER regress_dpipe_fdw;
CREATE SERVER foreigner FOREIGN DATA WRAPPER regress_dpipe_fdw;
SELECT pg_temp.try('regress_dpipe_boss', 'foreigner');
\pset format aligned
\pset tuples_only off

-- Secrets are shown by no view of dpipe's, and by PostgreSQL's to the role itself.
SET ROLE regress_dpipe_other;
SELECT usename, umoptions FROM pg_user_mappings WHERE srvname = 's' ORDER BY usename;
RESET ROLE;

DROP FOREIGN DATA WRAPPER regress_dpipe_fdw CASCADE;
DROP TABLE connect_target;
DROP SERVER s, own, boss, kerberos CASCADE;
REVOKE USAGE ON FOREIGN DATA WRAPPER dpipe_kafka FROM regress_dpipe_admin;
DROP ROLE regress_dpipe_boss, regress_dpipe_admin, regress_dpipe_etl, regress_dpipe_other;
