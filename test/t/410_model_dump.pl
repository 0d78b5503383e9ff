# Models, what they have read and what is tracked survive pg_dump and restore;
# in the copy they wait for dpipe_adopt(). A renamed owner is followed.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;

my $node = Dpipe::Node->make('model_dump');
$node->sql(<<'SQL');
CREATE ROLE filler;
CREATE ROLE analyst LOGIN;
CREATE SCHEMA shop AUTHORIZATION analyst;
SET ROLE analyst;
SET search_path = shop, public;
CREATE TABLE item (id integer PRIMARY KEY, name text);
SELECT dpipe_track('item');
INSERT INTO item VALUES (1, 'one'), (2, 'two');
SELECT dpipe_create_model('stg', '{{ config(materialized="incremental", unique_key="id") }}
    select id, name from {{ dpipe.new_rows(source("shop", "item")) }}');
SELECT dpipe_create_model('mart', 'select count(*) as n from {{ ref("stg") }}', '{"tags": ["x"]}');
SELECT dpipe_run();
INSERT INTO item VALUES (3, 'three');
SQL

my $everything = <<'SQL';
SELECT name, owner, schema, search_path, sql, given, config, refs, sources, relation, version FROM dpipe.model ORDER BY name;
SELECT consumer, relation, consumed FROM dpipe.consumer;
SQL
my $before = $node->sql($everything);
my $dump   = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
command_ok([ 'pg_dump', '--no-sync', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');

my $copy = Dpipe::Node->make('model_copy', extension => 0);
$copy->sql('CREATE ROLE analyst LOGIN; CREATE DATABASE restored');
command_ok(
    [
        'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d',
        $copy->connstr('restored')
    ],
    'restore');

sub restored
{
    return $copy->safe_psql('restored', shift);
}

is(restored($everything), $before, 'definitions and states came along');
my ($status, $out, $error) = $copy->psql('restored', 'SELECT dpipe_run()');
like($error, qr/came with a copy.*dpipe_adopt/s, 'they do not run yet');
restored('SELECT dpipe_adopt()');
is( restored('SET ROLE analyst; SELECT node, status, rows FROM dpipe_run()'),
    "model.dpipe.stg|success|1\nmodel.dpipe.mart|success|",
    'then they go on where they were');
is(restored('SELECT n FROM shop.mart'), '3', 'and have missed nothing');
restored(q(INSERT INTO shop.item VALUES (4, 'four')));
is( restored(q(SELECT rows FROM dpipe_run('stg'))), '1',
    'tables are still tracked');
is(restored('SELECT max(run_id) FROM dpipe.run'), '3', 'run ids go on');

# A role by another name.
restored('ALTER ROLE analyst RENAME TO scientist');
($status, $out, $error) = $copy->psql('restored', q(SELECT dpipe_run('stg')));
like($error, qr/its owner was renamed or dropped/, 'a renamed owner is noticed');
restored('SELECT dpipe_adopt()');
is( restored(q(SET ROLE scientist; SELECT status FROM dpipe_run('stg'))),
    'success', 'and followed');
is(restored('SET ROLE scientist; SELECT count(*) > 2 FROM dpipe.run_node'),
    't', 'history as well');
restored('DROP OWNED BY scientist CASCADE; DROP ROLE scientist; CREATE ROLE scientist');
($status, $out, $error) = $copy->psql('restored', q(SELECT dpipe_run('stg')));
like($error, qr/its owner was renamed or dropped/,
    'a new role of the name inherits nothing');
$copy->stop;
$node->stop;
done_testing();
