# ALTER EXTENSION dpipe UPDATE under load, to a version made here: its script
# changes the tables that every batch writes. Committed, rolled back, failing,
# refused; and a library that does not fit what is installed.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(log_path wait_until);

my ($path, $extensions) = Dpipe::Node->own_install('update');

sub script
{
    my ($versions, $sql) = @_;
    append_to_file("$extensions/dpipe--$versions.sql", $sql);
    return;
}

# Table by table in an order that is not a batch's, with a pause in which a
# batch could come between.
script('0.1--0.1.1', <<'SQL');
ALTER TABLE dpipe.ledger ADD COLUMN note text;
SELECT pg_catalog.pg_sleep(0.3);
ALTER TABLE dpipe.position ADD COLUMN note text NOT NULL DEFAULT 'new';
ALTER TABLE dpipe.source ADD COLUMN note text;
CREATE FUNCTION dpipe._note() RETURNS text LANGUAGE sql RETURN 'new';
SQL
script('0.1.1--0.1.2', "ALTER TABLE dpipe.position DROP COLUMN note;\nSELECT 1 / 0;\n");
script('0.1.1--0.2',   "ALTER TABLE dpipe.position DROP COLUMN note;\n");

script('0.2', "CREATE SCHEMA dpipe;\n");
append_to_file("$extensions/needs_dpipe.control", "default_version = '1'\nrequires = 'dpipe'\n");
append_to_file("$extensions/needs_dpipe--1.sql", "SELECT 1;\n");

my $mock = Dpipe::Mock->new('update', topics => { t => 4 });
my $node = Dpipe::Node->make('update', install_path => $path);
my $log  = log_path('update.tsv');
$node->create_server('broker', $mock);
$node->sql(<<'SQL');
CREATE ROLE nobody LOGIN;
CREATE TABLE got (_topic text, _partition int, _offset bigint, _payload text);
SELECT dpipe_create_kafka_source('src', server => 'broker', topic => 't', target => 'got',
    options => '{"workers": 2, "linger_ms": 10}');
SQL
# Records come by the thousand, where something is to be interrupted, and at
# the end the rest.
my $records  = 30000;
my $producer = $mock->start_produce(topic => 't', partitions => 4, records => $records, rate => 4000,
    credit => 1, log => $log);

sub loaded { return $node->sql('SELECT count(*) FROM got'); }

# Records go on coming and being loaded.
sub grows
{
    my ($what) = @_;
    my $before = loaded();
    $producer->say(2000);
    ok(wait_until(60, sub { loaded() > $before }, 0.05), $what);
    return;
}

my $processes = q{SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity
    WHERE datname = 'postgres' AND backend_type LIKE 'dpipe %'};
my $version = q{SELECT extversion FROM pg_extension WHERE extname = 'dpipe'};

grows('a source is being loaded');

# Nothing of dpipe's is in the database from the command to the end of its
# transaction, and everything is back after it.
foreach my $end (qw(ROLLBACK COMMIT))
{
    my $before  = $node->sql($processes);
    my $session = $node->background_psql('postgres');
    $producer->say(2000);
    $session->query_safe(q{BEGIN; ALTER EXTENSION dpipe UPDATE TO '0.1.1'});
    is($node->sql($processes), '', "$end: no process of the old version");
    $session->query_safe($end);
    $session->quit;
    grows("$end: the load goes on");
    my %old = map { $_ => 1 } split / /, $before;
    is(scalar(grep { $old{$_} } split / /, $node->sql($processes)), 0, "$end: in new processes");
    is($node->sql($version), $end eq 'COMMIT' ? '0.1.1' : '0.1', "$end: the version");
}
is($node->sql(q{SELECT dpipe._note(), bool_and(note = 'new') FROM dpipe.position}),
    'new|t', 'new catalogs, with the rows of the old');
is($node->sql(q{SELECT position('note' IN pg_get_functiondef('dpipe._note'::regproc)) > 0}),
    't', 'and new functions');

# A batch of dpipe_sync is waited for: it is nobody's to end.
$node->sql(q{SELECT dpipe_disable_source('src')});
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe worker'},
        expected => 0), 'disabled');
$producer->say(2000);
my $table = $node->background_psql('postgres');
$table->query_safe('BEGIN; LOCK TABLE got IN ACCESS EXCLUSIVE MODE');
my $sync = $node->background_psql('postgres');
$sync->query_safe('SET client_min_messages = warning');
$sync->query_until(qr/go/, "\\echo go\nCALL dpipe_sync('src');\n");
my $blocked = q{SELECT count(*) FROM pg_locks WHERE NOT granted AND };
ok($node->wait_sql("$blocked relation = 'got'::regclass", expected => 1), 'dpipe_sync is in a batch');
my $update = $node->background_psql('postgres');
$update->query_safe('SET client_min_messages = warning');
$update->query_until(qr/go/, "\\echo go\nALTER EXTENSION dpipe UPDATE TO '0.1.1';\n");
ok($node->wait_sql("$blocked locktype = 'object' AND classid = 'pg_extension'::regclass", expected => 1),
    'and the update waits for it');
$table->query_safe('COMMIT');
$table->quit;
ok($update->query_safe('SELECT 1'), 'then it gets on');
ok($sync->query_safe('SELECT 1'),   'and so does dpipe_sync');
$update->quit;
$sync->quit;
$node->sql(q{SELECT dpipe_enable_source('src')});
grows('the source is on again');

# Updates that do not come to be.
my ($status, undef, $error) = $node->psql('postgres', q{ALTER EXTENSION dpipe UPDATE TO '0.1.2'});
like($error, qr/division by zero/, 'an update that fails');
is($node->sql($version), '0.1.1', 'leaves the old version');
grows('and the load');

# One worker is enough for the load to go on: wait for the other, too.
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe worker'},
        expected => 2), 'in both workers');
my $pids = $node->sql($processes);
($status, undef, $error) = $node->psql('postgres', q{SET ROLE nobody; ALTER EXTENSION dpipe UPDATE TO '0.1.2'});
like($error, qr/must be owner of extension/, 'not for everybody');
is($node->sql($processes), $pids, 'who may not do it disturbs nobody');
($status, undef, $error) = $node->psql('postgres', q{ALTER EXTENSION dpipe UPDATE TO '0.2'});
like(
    $error,
    qr/dpipe has version 0\.2 in this database, which the loaded library, 0\.1, does not fit.*HINT: .*restart the server/s,
    'a version of another library is refused');
is($node->sql($version), '0.1.1', 'as if nothing had happened');
grows('also to the load');

# Made anew, by a version that does not fit and by way of another extension.
$node->sql('CREATE DATABASE fresh');
($status, undef, $error) = $node->psql('fresh', q{CREATE EXTENSION dpipe VERSION '0.2'});
like($error, qr/does not fit/, 'an extension of another version is not made');
$node->safe_psql('fresh', q{SET client_min_messages = warning; CREATE EXTENSION needs_dpipe CASCADE});
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'fresh' AND backend_type = 'dpipe scheduler'},
        expected => 1), 'one that comes by CASCADE is noticed');
$node->sql('DROP DATABASE fresh');

# The library was exchanged and the update not made yet, or the other way
# round: nothing runs, everything says why, nothing crashes.
my $misfit = qr/dpipe has version 0\.2 in this database/;
$node->sql(q{UPDATE pg_extension SET extversion = '0.2' WHERE extname = 'dpipe'});
$node->restart;
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe scheduler'},
        expected => 1), 'a scheduler looks');
ok(wait_until(60, sub { slurp_file($node->logfile) =~ /WARNING: .*$misfit.*\n.*No source runs/ }),
    'the log tells');
is($node->sql(q{SELECT state FROM dpipe.source_status}), 'waiting for slot', 'no worker');
like($node->sql(q{SELECT reason FROM dpipe.source_status}), $misfit, 'the state says why');
foreach my $call (
    q{SELECT dpipe_disable_source('src')},
    q{CALL dpipe_sync('src')},
    q{SELECT dpipe_create_model('m', 'select 1')},
    q{SELECT dpipe_run()},
    q{SELECT dpipe_adopt()})
{
    ($status, undef, $error) = $node->psql('postgres', $call);
    like($error, $misfit, "$call says so");
}
is($node->worker_pids, 0, 'nothing runs');
$node->sql(q{UPDATE pg_extension SET extversion = '0.1.1' WHERE extname = 'dpipe'; SELECT dpipe._wake()});
grows('it goes on once they fit');

# All of it came, once.
$producer->close_stdin;
is($producer->wait_end(60), 0, 'the producer has ended');
my @lines = split /\n/, slurp_file($log);
is(scalar @lines, $records, 'records were produced');
ok($node->wait_sql('SELECT count(*) FROM got', expected => scalar @lines), 'and loaded');
is_deeply(
    [ sort split /\n/, $node->sql(q{SELECT concat_ws(E'\t', _topic, _partition, _offset,
        md5(convert_to(_payload, 'UTF8'))) FROM got}) ],
    [ sort @lines ],
    'each once');
is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
