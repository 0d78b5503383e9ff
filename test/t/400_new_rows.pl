# dpipe.new_rows under concurrent loaders that abort, abort subtransactions,
# sleep between id and commit, take their xid long before their id, and one
# that stays prepared: each committed row once per consumer.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;

my $loads = $ENV{DPIPE_LONG} ? 400 : 60;
my $node  = Dpipe::Node->make('new_rows',
    conf => "max_prepared_transactions = 2\nautovacuum_naptime = 1\n");

$node->sql(<<'SQL');
CREATE SCHEMA raw;
CREATE TABLE raw.e (id bigint GENERATED ALWAYS AS IDENTITY, _load_id bigint);
CREATE INDEX ON raw.e USING brin (_load_id);
CREATE TABLE raw.other (_load_id bigint);
CREATE FUNCTION load(target text, n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM pg_current_xact_id();
    id := nextval('dpipe.load_id');
    EXECUTE format('INSERT INTO %s (_load_id) SELECT $1 FROM generate_series(1, $2)', target)
        USING id, n;
    INSERT INTO dpipe.ledger
        VALUES (id, 's', 0, 'o', 0, target, n, 0, 0, '{}', now(), now());
END $$;
SELECT load('raw.e', 1);
SELECT dpipe_create_model('a', '{{ config(materialized="incremental") }}
    select id from {{ dpipe.new_rows(source("raw", "e")) }}');
SELECT dpipe_create_model('b', '{{ config(materialized="incremental", unique_key="id") }}
    select id, count(*) as times from {{ dpipe.new_rows(source("raw", "e")) }} e group by id');
SELECT dpipe_run();
BEGIN;
SELECT load('raw.e', 7);
PREPARE TRANSACTION 'held';
SQL

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/load.sql", <<'SQL');
\set fate random(1, 100)
\set n random(1, 5)
\set early random(0, 3)
\set before random(0, 20)
\set after random(0, 40)
BEGIN;
\if :early = 0
SELECT pg_current_xact_id();
\sleep :before ms
\endif
\if :fate <= 15
SAVEPOINT s;
SELECT load('raw.e', :n);
ROLLBACK TO s;
\endif
\if :fate <= 5
SELECT load('raw.other', :n);
\else
SELECT load('raw.e', :n);
\endif
\sleep :after ms
\if :fate > 80
ROLLBACK;
\else
COMMIT;
\endif
SQL
# A run that is rolled back has read nothing.
append_to_file("$dir/consume.sql", <<'SQL');
\set fate random(1, 100)
\set pause random(0, 30)
\sleep :pause ms
BEGIN;
SELECT dpipe_run('a');
\if :fate > 80
ROLLBACK;
\else
COMMIT;
\endif
SQL
(my $other = slurp_file("$dir/consume.sql")) =~ s/'a'/'b'/;
append_to_file("$dir/other.sql", $other);

my @running;

sub start_bench
{
    my ($script, $clients, $times) = @_;
    my $out = '';
    my $run = IPC::Run::start(
        [
            'pgbench', '-n', '-f', "$dir/$script", '-c', $clients, '-j', 1,
            '-t', $times, $node->connstr('postgres')
        ],
        '<', \'',
        '&>', \$out);
    push @running, [ $script, $run, \$out ];
}

start_bench('load.sql', 6, $loads);
start_bench('consume.sql', 2, $loads);
start_bench('other.sql', 1, $loads);
foreach my $bench (@running)
{
    my ($script, $run, $out) = @$bench;
    ok($run->finish, "$script ran") or diag($$out);
}

$node->sql('SELECT dpipe_run()');
is($node->sql('SELECT cardinality(array(SELECT unnest(gaps))) > 0 FROM dpipe.consumer LIMIT 1'),
    't', 'holes stay open while one of their owners may commit');
$node->sql("COMMIT PREPARED 'held'");
is( $node->sql(q(SELECT string_agg(status || ' ' || rows, ', ' ORDER BY node) FROM dpipe_run())),
    'success 7, success 7', 'what was prepared is read when it commits');

my $rows = $node->sql('SELECT count(*) FROM raw.e');
cmp_ok($rows, '>', $loads, "there are rows: $rows");
is($node->sql('SELECT count(*), count(DISTINCT id) FROM a'),
    "$rows|$rows", 'consumer a: each row once');
is( $node->sql('SELECT count(*), count(DISTINCT id), max(times) FROM b'),
    "$rows|$rows|1", 'consumer b: each row once');
is( $node->sql('SELECT count(*) FROM (SELECT id FROM raw.e EXCEPT SELECT id FROM a) missing'),
    '0', 'none is missing');
# A hole stays while any transaction of its time runs, such as autovacuum's.
ok( $node->wait_sql(
        'DO $$ BEGIN PERFORM dpipe_run(); END $$;
         SELECT DISTINCT cardinality(array(SELECT unnest(consumed))), gaps FROM dpipe.consumer',
        expected => '1|{}'),
    'the states have closed to one range');

# The cost follows what is new: a table in which a key is looked up is not
# scanned.
$node->sql(<<'SQL');
CREATE TABLE raw.fact AS SELECT g AS id, 0 AS v FROM generate_series(1, 100000) g;
SELECT dpipe_create_model(s, format('{{ config(materialized="incremental",
    incremental_strategy="%s", unique_key="id") }} select id, v from {{ source("raw", "fact") }}
    {%% if is_incremental() %%} where id %% 20000 = 1 {%% endif %%}', s))
  FROM unnest('{merge,delete+insert}'::text[]) s WHERE s = 'merge';
SELECT dpipe_create_model('replace', '{{ config(materialized="incremental", unique_key="id") }}
    select id, v from {{ source("raw", "fact") }}
    {% if is_incremental() %} where id % 20000 = 1 {% endif %}');
SELECT dpipe_run('merge replace');
UPDATE raw.fact SET v = 1 WHERE id % 20000 = 1;
VACUUM ANALYZE merge, replace;
SELECT pg_stat_force_next_flush();
SQL
my $scans = q(SELECT string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname)
    FROM pg_stat_user_tables WHERE relname IN ('merge', 'replace'));
my $before = $node->sql($scans);
# A session's figures are there when it has asked for that, not when it ends.
is( $node->sql(q(SELECT string_agg(node || ' ' || rows, ', ' ORDER BY node) FROM dpipe_run('merge replace');
        DO 'BEGIN PERFORM pg_stat_force_next_flush(); END')),
    'model.dpipe.merge 5, model.dpipe.replace 5', 'increments of 5 rows');
is($node->sql($scans), $before, 'without a scan of their tables');

# A run that dies in the middle has neither written nor read anything.
$node->sql(q(SELECT load('raw.e', 3)));
my $count = $node->sql('SELECT count(*) FROM b');
foreach my $point (qw(new_rows_locked model_deleted))
{
    is( $node->sql(
            "SET dpipe.fault_point = '$point:error'; SELECT status FROM dpipe_run('b')"),
        'error', "$point: an error");
    $node->wait_crash(sub { $node->psql('postgres', "SET dpipe.fault_point = '$point:kill'; SELECT dpipe_run('b')") });
    is($node->sql('SELECT count(*) FROM b'), $count, "$point: a crash");
}
is($node->sql(q(SELECT status, rows FROM dpipe_run('b'))), 'success|3', 'the next one reads it');
is($node->sql(q(SELECT status, rows FROM dpipe_run('a'))), 'success|3', 'and so does the other model');

# Nothing of it is lost by a crash.
$node->stop('immediate');
$node->start;
is( $node->sql(q(SELECT string_agg(status || ' ' || rows, ', ' ORDER BY node) FROM dpipe_run('a b'))),
    'success 0, success 0', 'consumed is consumed after a crash');
$node->stop;
done_testing();
