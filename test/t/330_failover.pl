# Copies of a database that is being loaded, each taken in mid-load and each
# read on to the end: CREATE DATABASE ... TEMPLATE, pg_dump in parallel,
# pg_dumpall, a point-in-time restore, and a standby that is promoted after
# its primary was killed and has lost commits that it never received.
#
# In each of them the records in the target and the dead letters must in the
# end be those that were committed, as multisets of (topic, partition, offset,
# md5 of the payload); and consumers of new_rows must have read each row of the
# target, and each version of each row of a tracked table, once.
#
# All copies read one topic at the same time, for none of them knows of the
# others, and nothing of it is told to the broker.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;
use Dpipe::Process qw(log_path wait_until);

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

my $records = 60000;
my $kafka   = Dpipe::Kafka->new('failover', heap => '256m');
my $primary = Dpipe::Node->make(
    'primary',
    init => [ allows_streaming => 1, has_archiving => 1 ],
    conf => "max_connections = 30\nwal_sender_timeout = 0\ndpipe.max_workers = 8\n");
my %file = map { $_ => log_path("failover_$_") } qw(log aborted unknown);

$kafka->create_topic('events', 8);
$primary->create_server('broker', $kafka);
# Nothing unique about it: what comes twice is to be seen twice.
$primary->sql(<<'SQL');
CREATE TABLE events (_topic text, _partition int, _offset bigint, _payload text, _load_id bigint);
CREATE TABLE item (id integer PRIMARY KEY, v integer);
SELECT dpipe_track('item');
SELECT dpipe_create_model('seen', '{{ config(materialized="incremental") }}
    select _partition, _offset from {{ dpipe.new_rows(source("public", "events")) }}');
SELECT dpipe_create_model('versions', '{{ config(materialized="incremental") }}
    select id, v from {{ dpipe.new_rows(source("public", "item")) }}');
SELECT dpipe_create_kafka_source('ev', server => 'broker', topic => 'events', target => 'events',
    options => '{"workers": 2, "linger_ms": 20, "batch_rows": 300}');
INSERT INTO item SELECT g, 0 FROM generate_series(1, 100) g;
SELECT dpipe_run();
SQL

my $producer = $kafka->start_produce(
    topic           => 'events',
    partitions      => 8,
    records         => $records,
    producers       => 4,
    txn_producers   => 2,
    txn_records     => 40,
    malformed_every => 500,
    rate            => 4000,
    credit          => 1,
    %file);

# ---- what is asked of a database, by [node, name] ----

my $processes = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dpipe %'};
my $state     = q{SELECT state FROM dpipe.source_status};

sub ask
{
    my ($copy, $sql) = @_;
    return $copy->[0]->safe_psql($copy->[1], $sql);
}

sub stored
{
    my ($copy) = @_;
    return ask($copy, 'SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM dpipe.dead_letter)');
}

# Let $n more records come, and wait until some of them are stored: from here
# on for a second or more the database is in mid-load.
sub mid_load
{
    my ($copy, $n) = @_;
    my $before = stored($copy);
    $producer->say($n);
    return ok(wait_until(60, sub { stored($copy) > $before + 200 }, 0.02), "$copy->[0]{_name}: is being loaded");
}

# What is stored is what the ledger says, in a copy at rest.
sub in_itself
{
    my ($copy, $what) = @_;
    is(ask($copy, q{SELECT (SELECT sum(rows) FROM dpipe.load) = (SELECT count(*) FROM events)
            AND (SELECT sum(dead_letters) FROM dpipe.load) = (SELECT count(*) FROM dpipe.dead_letter)
            AND (SELECT sum(rows) FROM dpipe.position) = (SELECT count(*) FROM events)}),
        't', "$what: rows, ledger and positions are of one moment");
    return;
}

# It is a copy, has something and nothing runs in it; then it takes over.
sub adopt
{
    my ($copy, $what) = @_;
    cmp_ok(stored($copy), '>', 0, "$what: something was there");
    in_itself($copy, $what);
    is(ask($copy, $state), 'restored', "$what: waits to be adopted");
    is($copy->[0]->sql(qq{$processes AND datname = '$copy->[1]' AND backend_type = 'dpipe worker'}),
        0, "$what: nothing runs");
    my (undef, undef, $error) = $copy->[0]->psql($copy->[1], 'SELECT dpipe_run()');
    like($error, qr/came with a copy/, "$what: nor do its models");
    ask($copy, 'SELECT dpipe_adopt()');
    return;
}

# ---- a copy by TEMPLATE ----

mid_load([ $primary, 'postgres' ], 6000);
$primary->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
my $origin = [ $primary, 'postgres' ];
my $twin   = [ $primary, 'twin' ];
my $had    = stored($twin);
ok(wait_until(60, sub { stored($origin) > $had }), "the copy has $had records, the original goes on");

# ---- sessions that write a tracked table and run models, from here on ----

my $scripts = PostgreSQL::Test::Utils::tempdir();
append_to_file("$scripts/item.sql", <<'SQL');
\set id random(1, 2000)
INSERT INTO item VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET v = item.v + 1;
SQL
append_to_file("$scripts/run.sql", "SELECT count(*) FROM dpipe_run();\n");
my $bench = IPC::Run::start(
    [
        'pgbench', '-n', '-c', 3, '-j', 1, '-T', 600,
        '-f', "$scripts/item.sql\@20", '-f', "$scripts/run.sql\@1",
        $primary->connstr('postgres')
    ],
    '<', \'', '&>', \my $bench_out);
mid_load($origin, 3000);
$primary->backup('base');

# ---- a standby: nothing runs on it; replication may be synchronous ----

my $standby = Dpipe::Node->from_backup('standby', $primary, 'base', has_streaming => 1);
$standby->start;
is($standby->sql($processes), 0, 'no process on a standby');
is($standby->sql($state), 'waiting for slot', 'its source waits');
like($standby->sql('SELECT reason FROM dpipe.source_status'), qr/standby/, 'and says for what');
foreach my $call (q{CALL dpipe_sync('ev')}, 'SELECT dpipe_run()', q{SELECT dpipe_enable_source('ev')})
{
    my ($status, undef, $error) = $standby->psql('postgres', $call);
    like($error, qr/read-only transaction|recovery/, "$call does not work there");
}

sub synchronous
{
    my ($names) = @_;
    $primary->sql("ALTER SYSTEM SET synchronous_standby_names = '$names'");
    $primary->reload;
    return;
}
synchronous('standby');
ok($primary->wait_sql(q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}), 'synchronous replication');
mid_load($origin, 3000);
$standby->stop;
$producer->say(2000);
my $waits = q{FROM pg_stat_activity WHERE backend_type = 'dpipe worker' AND wait_event = 'SyncRep'};
ok($primary->wait_sql("SELECT count(*) > 0 $waits"), 'without the standby a worker waits in its commit');
my $pid = $primary->sql("SELECT pid $waits LIMIT 1");
$primary->sql("SELECT pg_terminate_backend($pid)");
ok(wait_until(30, sub { !kill 0, $pid }), 'and can be terminated there');
$standby->start;
mid_load($origin, 3000);
synchronous('');

# ---- a moment to go back to ----

mid_load($origin, 6000);
my ($load, $xid) = split /\|/,
    $primary->sql(q{SELECT load_id, xmin FROM dpipe.ledger WHERE source = 'ev' ORDER BY load_id DESC LIMIT 1});

# ---- dumps ----

# Each is made while the source goes on, and is of a moment within.
my $dump = "$scripts/dump";
mid_load($origin, 6000);
my @before = (stored($origin));
command_ok([ 'pg_dump', '--no-sync', '-Fd', '-j', 2, '-f', $dump, '-d', $primary->connstr('postgres') ],
    'pg_dump in parallel');
my @after = (stored($origin));
mid_load($origin, 6000);
push @before, stored($origin);
command_ok(
    [ 'pg_dumpall', '--no-sync', '-f', "$scripts/all.sql", '-d', $primary->connstr('postgres') ],
    'pg_dumpall');
push @after, stored($origin);

my $other = Dpipe::Node->make('restored', extension => 0, conf => "dpipe.max_workers = 8\n");
$other->sql('CREATE DATABASE dumped');
command_ok([ 'pg_restore', '--exit-on-error', '-j', 2, '-d', $other->connstr('dumped'), $dump ], 'pg_restore');
# The role "postgres" is there.
command_checks_all(
    [ 'psql', '-X', '-q', '-f', "$scripts/all.sql", '-d', $other->connstr('postgres') ],
    0, [], [qr/\A[^\n]*ERROR:  role "postgres" already exists\n\z/], 'the dump of the cluster restored');
my $dumped = [ $other, 'dumped' ];
my $all    = [ $other, 'postgres' ];
foreach my $i (0, 1)
{
    $had = stored(($dumped, $all)[$i]);
    ok($before[$i] <= $had && $had < $after[$i], "dumped in mid-load: $before[$i] <= $had < $after[$i]");
}
adopt($dumped, 'pg_dump');
adopt($all,    'pg_dumpall');

# ---- back to that moment, while the original goes on ----

my $segment = $primary->sql('SELECT pg_walfile_name(pg_current_wal_lsn())');
$primary->sql('SELECT pg_switch_wal()');
ok($primary->wait_sql("SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver"), 'the WAL is archived');
my $past = Dpipe::Node->from_backup(
    'past', $primary, 'base',
    has_restoring => 1,
    standby       => 0,
    conf          => <<CONF);
recovery_target_xid = '$xid'
recovery_target_action = 'promote'
synchronous_standby_names = ''
dpipe.enabled = off
CONF
$past->start;
ok($past->wait_sql('SELECT NOT pg_is_in_recovery()'), 'restored to a point in time');
my $pitr = [ $past, 'postgres' ];
is(ask($pitr, "SELECT count(*) FROM dpipe.load WHERE load_id = $load"), 1, 'the load that was its target is there');
$had = stored($pitr);
cmp_ok($had, '<', stored($origin), "what came later is not: $had records");
in_itself($pitr, 'restored');
is($past->worker_pids, 0, 'dpipe.enabled = off keeps it still');
is(ask($pitr, $state), 'waiting for slot', 'it is the same database, not a copy');
like(ask($pitr, 'SELECT reason FROM dpipe.source_status'), qr/dpipe\.enabled is off/, 'and would go on');
is(ask($pitr, 'SELECT id FROM dpipe.incarnation'), ask($origin, 'SELECT id FROM dpipe.incarnation'), 'by its incarnation');
$past->append_conf('postgresql.conf', 'dpipe.enabled = on');
$past->reload;

# ---- the primary dies, with commits that the standby never got ----

mid_load($origin, 3000);
$primary->wait_for_catchup($standby);
$standby->sql(q{ALTER SYSTEM SET primary_conninfo = ''});
$standby->reload;
ok($standby->wait_sql('SELECT count(*) = 0 FROM pg_stat_wal_receiver'), 'the standby is cut off');
mid_load($origin, 6000);
my $promised = $primary->sql('SELECT max(last_load_id) FROM dpipe.position');
$primary->kill_postmaster;
eval { $bench->finish };
unlike($bench_out, qr/ERROR: (?!.*terminating connection)/, 'nothing else went wrong with the sessions') or diag $bench_out;
my $heir = [ $standby, 'postgres' ];
is(ask($heir, "SELECT count(*) FROM dpipe.load WHERE load_id = $promised"), 0, 'a commit of the primary is lost');
$had = stored($heir);
cmp_ok($had, '>', 0, "what the standby has: $had records");
in_itself($heir, 'standby');
is($standby->sql($processes), 0, 'and nothing runs on it');
is($standby->sql('SELECT count(*) FROM dpipe.run') > 1, 1, 'models had run on the primary');
$standby->promote;
ok(wait_until(60, sub { stored($heir) > $had }), 'promoted, it goes on by itself');
$twin->[0] = $standby;
adopt($twin, 'template');

# ---- to the end ----

$producer->close_stdin;
is($producer->wait_end(120), 0, 'the producers have ended');
is(-s $file{unknown}, 0, 'and know of each record what became of it');
my $committed = slurp_file($file{log});
my $number    = () = $committed =~ /\n/g;
my $ends = join ',', map { $_->[1] } $kafka->watermarks('events');
cmp_ok($number, '>', $records / 2, "$number records were committed");
cmp_ok(-s $file{aborted}, '>', 0, 'and others aborted');

sub compare
{
    my ($copy, $what) = @_;

    ok($copy->[0]->poll_query_until(
            $copy->[1],
            q{SELECT string_agg(position::text, ',' ORDER BY partition) FROM dpipe.source_partition}, $ends),
        "$what: has come to the end");
    ask($copy, "CREATE TABLE committed (topic text, partition int, \"offset\" bigint, md5 text);
        COPY committed FROM STDIN;\n$committed\\.\n");
    ask($copy, <<'SQL');
CREATE TABLE got AS
SELECT _topic, _partition, _offset, md5(convert_to(_payload, 'UTF8')) FROM events
 UNION ALL
SELECT topic, partition, "offset", md5(payload) FROM dpipe.dead_letter;
INSERT INTO item SELECT g, 1 FROM generate_series(5001, 5100) g;
UPDATE item SET v = v + 1 WHERE id < 200;
SELECT dpipe_run();
SELECT dpipe_run();
SQL
    is(ask($copy, 'SELECT count(*) FROM (TABLE committed EXCEPT ALL TABLE got) x'), 0, "$what: nothing is lost");
    is(ask($copy, 'SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE committed) x'), 0, "$what: nothing is twice");
    in_itself($copy, $what);
    is(ask($copy, q{SELECT
            (SELECT count(*) FROM (SELECT _partition, _offset FROM events EXCEPT ALL TABLE seen) x),
            (SELECT count(*) FROM (TABLE seen EXCEPT ALL SELECT _partition, _offset FROM events) x)}),
        '0|0', "$what: a model has read each row of the target once");
    is(ask($copy, q{SELECT
            (SELECT count(*) FROM (SELECT id, v FROM item EXCEPT TABLE versions) x),
            (SELECT count(*) FROM (SELECT FROM versions GROUP BY id, v HAVING count(*) > 1) x)}),
        '0|0', "$what: and each version of each row that is tracked");
    return;
}

compare($heir,   'promoted');
compare($twin,   'template');
compare($pitr,   'restored to a point in time');
compare($dumped, 'pg_dump');
compare($all,    'pg_dumpall');
foreach my $node ($standby, $past, $other)
{
    is_deeply([ $node->crash_lines ], [], $node->name . ': nothing crashed');
    $node->stop;
}
$kafka->stop;
done_testing();
