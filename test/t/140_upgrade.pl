# pg_upgrade in mid-load, dpipe preloaded on both sides: the new server goes on
# by itself at the position. Needs an older server beside the one under test:
# make check-versions has one.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(log_path wait_until);

my $config = $ENV{DPIPE_OLD_PG_CONFIG}
    or plan skip_all => 'make check-versions has an older server beside the new one';
chomp(my $version = qx($config --version));
note "from $version";

my $records = 20000;
my $mock    = Dpipe::Mock->new('upgrade', topics => { t => 4 });
my $old     = Dpipe::Node->make(
    'old',
    install_path => dirname(dirname($config)),
    init         => [ extra => ['--data-checksums'] ],
    extension    => 0);
my $log     = log_path('upgrade.tsv');
my $brokers = $mock->brokers;

$old->sql('CREATE ROLE etl; CREATE DATABASE gone; CREATE DATABASE shop OWNER etl; DROP DATABASE gone');
$old->safe_psql('shop', <<SQL);
CREATE EXTENSION dpipe;
CREATE SERVER broker FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$brokers');
GRANT USAGE ON FOREIGN SERVER broker TO etl;
CREATE SCHEMA raw AUTHORIZATION etl;
SET ROLE etl;
SET search_path = raw, public;
CREATE TABLE got (_topic text, _partition int, _offset bigint, _payload text, _load_id bigint);
CREATE TABLE item (id integer, v integer);
SELECT dpipe_track('item');
INSERT INTO item VALUES (1, 1), (2, 1);
SELECT dpipe_create_kafka_source('src', server => 'broker', topic => 't', target => 'got',
    options => '{"workers": 2, "linger_ms": 10, "batch_rows": 500}');
SELECT dpipe_create_kafka_source('off', server => 'broker', topic => 't', target => 'off',
    options => '{"enabled": false}');
SELECT dpipe_create_model('seen', '{{ config(materialized="incremental") }}
    select _partition, _offset from {{ dpipe.new_rows(source("raw", "got")) }}');
SELECT dpipe_create_model('versions', '{{ config(materialized="incremental") }}
    select id, v from {{ dpipe.new_rows(source("raw", "item")) }}');
SQL
my $producer = $mock->start_produce(
    topic           => 't',
    partitions      => 4,
    records         => $records,
    rate            => 4000,
    malformed_every => 500,
    credit          => 1,
    log             => $log);

my $count = 'SELECT (SELECT count(*) FROM raw.got) + (SELECT count(*) FROM dpipe.dead_letter)';
$producer->say($records / 2);
ok(wait_until(60, sub { $old->safe_psql('shop', $count) > 1000 }, 0.05), 'a source is being loaded');
$old->safe_psql('shop', 'SET ROLE etl; SELECT dpipe_run(); INSERT INTO raw.item VALUES (3, 1); UPDATE raw.item SET v = 2 WHERE id = 2');
my $same = q{SELECT i.id, i.database_oid = d.oid, d.oid, s.name, s.enabled, s.owner, s.owner_oid = r.oid, s.version, s.epoch
    FROM dpipe.incarnation i, dpipe.source s, pg_database d, pg_roles r
    WHERE d.datname = current_database() AND r.rolname = s.owner ORDER BY s.name};
my $before = $old->safe_psql('shop', $same);
$old->stop;

# pg_upgrade writes into the current directory.
chdir $PostgreSQL::Test::Utils::tmp_check or die $!;
my $new = Dpipe::Node->make('new', init => [ extra => ['--data-checksums'] ], extension => 0);
$new->stop;
my @upgrade = (
    'pg_upgrade', '--no-sync',
    '--old-datadir', $old->data_dir, '--old-bindir', dirname($config),
    '--old-port', $old->port,
    '--new-datadir', $new->data_dir, '--new-bindir', dirname($ENV{DPIPE_PG_CONFIG}),
    '--new-port', $new->port,
    '--socketdir', $new->host);
my $output = '';
my $upgraded = IPC::Run::run(\@upgrade, '>', \$output, '2>&1');

# The old server's newest minor release may know what this new one does not yet.
my @dumps = glob $new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log';
if (!$upgraded && grep { slurp_file($_) =~ /unrecognized parameter "pg_/ } @dumps)
{
    note $output;
    $producer->stop('KILL');
    $mock->stop;
    SKIP: { skip 'the new server is of an older minor release than the old one', 1; }
    done_testing();
    exit;
}
ok($upgraded, 'pg_upgrade') or diag $output;
$new->start;
ok($new->wait_sql(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'dpipe worker'}),
    'the new server goes on by itself');
is($new->safe_psql('shop', $same), $before, 'for database, role and definitions are the same');
is($new->safe_psql('shop', q{SELECT state FROM dpipe.source_status WHERE source = 'off'}), 'disabled', 'what was off is off');

my $had = $new->safe_psql('shop', $count);
$producer->close_stdin;
is($producer->wait_end(300), 0, 'the rest is produced');
cmp_ok($had, '<', $records, "after $had records");
my @lines = sort split /\n/, slurp_file($log);
ok($new->poll_query_until('shop', $count, $records), 'all of it is loaded');
is_deeply(
    [ sort split /\n/, $new->safe_psql('shop', q{
        SELECT concat_ws(E'\t', _topic, _partition, _offset, md5(convert_to(_payload, 'UTF8'))) FROM raw.got
         UNION ALL SELECT concat_ws(E'\t', topic, partition, "offset", md5(payload)) FROM dpipe.dead_letter}) ],
    \@lines,
    'each record once');
$new->safe_psql('shop', 'SET ROLE etl; SELECT dpipe_run(); SELECT dpipe_run()');
is($new->safe_psql('shop', q{SELECT
        (SELECT count(*) FROM (SELECT _partition, _offset FROM raw.got EXCEPT ALL TABLE raw.seen) x),
        (SELECT count(*) FROM (TABLE raw.seen EXCEPT ALL SELECT _partition, _offset FROM raw.got) x)}),
    '0|0', 'models have read each row once');
is($new->safe_psql('shop', q{SELECT string_agg(id || ':' || v, ' ' ORDER BY id, v) FROM raw.versions}),
    '1:1 2:1 2:2 3:1', 'and each version of a tracked row');
is_deeply([ $new->crash_lines ], [], 'nothing crashed');
$new->stop;
$mock->stop;
done_testing();
