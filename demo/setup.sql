-- setup.sql
--     All that the demo defines: a connection, a source, a table of users and
--     three models. psql variables: brokers, and model texts read from files.
\set ON_ERROR_STOP on
\set QUIET on

CREATE EXTENSION dpipe;
CREATE ROLE analyst LOGIN;

-- The connection is a foreign server; USAGE is the right to read from it.
CREATE SERVER events FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" :'brokers');
GRANT USAGE ON FOREIGN SERVER events TO analyst;
CREATE SCHEMA raw AUTHORIZATION analyst;
CREATE SCHEMA shop AUTHORIZATION analyst;
ALTER ROLE analyst SET search_path = shop, public;

SET SESSION AUTHORIZATION analyst;
SET search_path = shop, public;

CREATE TABLE raw.users AS
SELECT id AS user_id,
       'user ' || id AS name,
       (ARRAY['free', 'free', 'free', 'team', 'business'])[1 + id % 5] AS tier,
       (ARRAY['emea', 'amer', 'apac'])[1 + id % 3] AS region,
       current_date - 30 - (id * 37 % 700)::integer AS signup_date
  FROM generate_series(1::bigint, 5000) AS id;

-- From here on a background worker loads every event exactly once.
SELECT dpipe_create_kafka_source('user_events', server => 'events',
    topic => 'user-events', target => 'raw.user_events') \g /dev/null

\set stg_user_events `cat models/stg_user_events.sql`
\set dim_users `cat models/dim_users.sql`
\set fct_user_daily_activity `cat models/fct_user_daily_activity.sql`
SELECT dpipe_create_model('stg_user_events', :'stg_user_events'),
       dpipe_create_model('dim_users', :'dim_users'),
       dpipe_create_model('fct_user_daily_activity', :'fct_user_daily_activity')
\g /dev/null
