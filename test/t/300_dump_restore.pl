# Definitions, positions and history survive pg_dump and restore; the copy
# starts nothing until it is told to take over.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;

my $node = Dpipe::Node->make('dump');

$node->sql(<<'SQL');
CREATE ROLE etl LOGIN;
CREATE ROLE dba LOGIN;
CREATE SERVER events FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '127.0.0.1:1');
GRANT USAGE ON FOREIGN SERVER events TO etl;
CREATE USER MAPPING FOR etl SERVER events OPTIONS ("sasl.username" 'etl', "sasl.password" 'hunter2');
CREATE TABLE target (_payload jsonb);
GRANT INSERT ON target TO etl;
SET ROLE etl;
SELECT dpipe_create_kafka_source('orders', 'events', 'a,b', 'public.target',
    options => '{"workers": 2, "enabled": false}');
RESET ROLE;
UPDATE dpipe.position SET started = '{a,b}', topic = '{a,b}', partition = ARRAY[slot, slot],
    next_offset = ARRAY[10 + slot, 20], end_offset = '{30,40}', stop_offset = '{-1,-1}',
    last_timestamp = '{1,1}', print_offset = '{9,19}', print_timestamp = '{1,1}', print_crc = '{1,1}',
    rows = 7;
INSERT INTO dpipe.ledger SELECT nextval('dpipe.load_id'), 'orders', 0, 'etl', 'etl'::regrole,
    'public.target', 7, 1, 70, '{}', now(), now();
INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, payload, stage, sqlstate, message)
    VALUES ('orders', 'etl', 'etl'::regrole, 1, 'x', 'decode', '22P02', 'not JSON');
INSERT INTO dpipe.gap_log (source, owner, owner_oid, topic, partition, from_offset, to_offset, action)
    VALUES ('orders', 'etl', 'etl'::regrole, 'a', 0, 1, 2, 'latest');
-- As if it had been enabled: nothing of this may run in a copy.
UPDATE dpipe.source SET enabled = true;
SQL

my $everything = <<'SQL';
SELECT s.name, s.owner, s.topics, s.options, s.enabled, s.version, s.epoch FROM dpipe.source s;
SELECT * FROM dpipe.position ORDER BY slot;
SELECT load_id, source, rows FROM dpipe.ledger;
SELECT id, source, payload FROM dpipe.letter;
SELECT id, topic, from_offset FROM dpipe.gap_log;
SQL
my $before = $node->sql($everything);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');

# Another cluster, where the roles have other OIDs.
my $copy = Dpipe::Node->make('restore', extension => 0);
$copy->sql('CREATE ROLE somebody LOGIN; CREATE ROLE dba LOGIN; CREATE ROLE etl LOGIN;');
$copy->sql('CREATE DATABASE restored OWNER dba');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $copy->connstr('restored') ], 'restore');

sub restored
{
    return $copy->safe_psql('restored', shift);
}

is(restored($everything), $before, 'definitions, positions and history came along');
my $state = q{SELECT state FROM dpipe.source_status WHERE source = 'orders'};
is(restored($state), 'restored', 'the copy is restored');
like(restored(q{SELECT reason FROM dpipe.source_status}), qr/dpipe_adopt/, 'and says what to do');
is(restored(q{SELECT option_value FROM information_schema.user_mapping_options WHERE option_name = 'sasl.password'}),
    'hunter2', 'the user mapping came along');

# Sequences go on.
is(restored(q{SELECT nextval('dpipe.load_id')}), '2', 'the sequence of loads goes on');
restored(q{INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, stage, sqlstate, message)
    VALUES ('orders', 'etl', 0, 1, 'decode', '22P02', 'x')});
is(restored(q{SELECT max(id) FROM dpipe.letter}), '2', 'the sequence of dead letters goes on');

# Nobody but the superuser sees it: the owner's OID is somebody else's here.
is(restored('SET ROLE etl; SELECT count(*) FROM dpipe.source_status'), '0', 'invisible before it is adopted');
is(restored('SET ROLE somebody; SELECT count(*) FROM dpipe.dead_letter'), '0', 'dead letters as well');

# Defining it again does not adopt it.
restored(q{SELECT dpipe_create_kafka_source('orders', 'events', 'a,b', 'public.target', options => '{"workers": 2}')});
is(restored($state), 'restored', 'still restored after it was defined again');
is($copy->worker_pids, 0, 'no worker runs');

my ($status, undef, $err) = $copy->psql('restored', 'SET ROLE etl; SELECT dpipe_adopt()');
like($err, qr/permission denied to adopt/, 'adopting is not for everybody');
restored('SELECT dpipe_disable_source(name) FROM dpipe.source');
restored('SET ROLE dba; SELECT dpipe_adopt()');
is(restored($state), 'disabled', 'adopted by the owner of the database');
is(restored(q{SELECT owner_oid = 'etl'::regrole FROM dpipe.source}), 't', 'the owner is the role of that name here');
is(restored('SET ROLE etl; SELECT count(*) FROM dpipe.source_status'), '1', 'visible to its owner');
is(restored('SET ROLE etl; SELECT count(*) FROM dpipe.load'), '1', 'with its history');

# An owner that does not exist here stays behind, and is named.
restored(q{UPDATE dpipe.source SET owner = 'gone', owner_oid = 1, enabled = true});
is(restored(q{SELECT state || ': ' || reason FROM dpipe.source_status}),
    'error: role gone, its owner, does not exist', 'an unknown owner');
($status, undef, $err) = $copy->psql('restored', 'SELECT dpipe_adopt()');
is($status, 0, 'adopting goes on');
like($err, qr/source "orders" was not adopted/, 'and warns');
restored('DROP ROLE IF EXISTS gone; CREATE ROLE gone; SELECT dpipe_adopt()');
isnt(restored($state), 'error', 'adopted once the role is there');

$copy->stop;

# CREATE DATABASE ... TEMPLATE makes a copy, too; it carries the same
# incarnation, but not the same database.
$node->sql('SELECT dpipe_disable_source(name) FROM dpipe.source');
$node->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
is($node->safe_psql('twin', $state), 'restored', 'a twin is restored');
is($node->sql($state), 'disabled', 'its original is not');
$node->safe_psql('twin', 'SELECT dpipe_adopt()');
is($node->safe_psql('twin', $state), 'disabled', 'a twin can be adopted');
isnt($node->safe_psql('twin', 'SELECT id FROM dpipe.incarnation'),
    $node->sql('SELECT id FROM dpipe.incarnation'), 'and is another incarnation then');

$node->stop;
done_testing();
