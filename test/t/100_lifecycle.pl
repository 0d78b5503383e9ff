# Commands on extensions and databases while sources run, and deaths of every
# kind of process.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Dpipe::Node;
use Dpipe::Slots;

# Far from what waiting in vain would take, and more than a machine stands still.
use constant SOON => 30;

my $node = Dpipe::Node->make('lifecycle', extension => 0, conf => "wal_level = replica\nmax_wal_senders = 4\n");

sub processes
{
    my ($database) = @_;
    return "SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND backend_type LIKE 'dpipe %'";
}

# Pid of the launcher or of a database's scheduler or worker.
sub pid_of
{
    my ($type, $database) = @_;
    my $where = $database ? "AND datname = '$database'" : '';
    return $node->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'dpipe $type' $where LIMIT 1");
}

# Rows grow in that database: its source is being loaded.
sub grows
{
    my ($database) = @_;
    my $n = $node->safe_psql($database, 'SELECT count(*) FROM ticks');
    return eval { $node->poll_query_until($database, "SELECT count(*) > $n + 1 FROM ticks") };
}

# Run it, tell how long it took; dies when it fails.
sub timed
{
    my ($sql) = @_;
    my $start = time();
    $node->safe_psql('template1', $sql);
    return time() - $start;
}

my $install = 'CREATE EXTENSION dpipe; ' . source_sql('load', workers => 2, json => '{"tick_ms": 20}');

# CREATE EXTENSION.
is($node->sql(processes('postgres')), 0, 'no process without the extension');
$node->sql('BEGIN; CREATE EXTENSION dpipe; ROLLBACK');
sleep 0.5;
is($node->sql(processes('postgres')), 0, 'nor after a rollback');
$node->sql($install);
ok($node->wait_sql(processes('postgres'), expected => 3), 'scheduler and workers come with the commit');

# DROP EXTENSION under load, rolled back and committed.
my $pid = pid_of('scheduler', 'postgres');
my $start = time();
$node->sql('BEGIN; DROP EXTENSION dpipe; ROLLBACK');
cmp_ok(time() - $start, '<', SOON, 'DROP EXTENSION does not wait for the load');
ok(grows('postgres'), 'after its rollback the load goes on');
isnt(pid_of('scheduler', 'postgres'), $pid, 'with a new scheduler');
$start = time();
$node->sql('DROP EXTENSION dpipe');
cmp_ok(time() - $start, '<', SOON, 'DROP EXTENSION under load');
is($node->sql(processes('postgres')), 0, 'nobody is left');
$node->sql("BEGIN; $install; DROP EXTENSION dpipe; $install; COMMIT");
ok($node->wait_sql(processes('postgres'), expected => 3), 'dropped and made in one transaction');

# Dropped on a way that no command tells.
$node->sql('DROP EXTENSION dpipe; CREATE SCHEMA x; CREATE EXTENSION dpipe SCHEMA x;' . source_sql('load'));
ok(grows('postgres'), 'in a schema of its own');
$node->sql('DROP SCHEMA x CASCADE');
ok($node->wait_sql(processes('postgres'), expected => 0), 'gone with its schema');
$node->sql('DROP TABLE ticks');

# DROP DATABASE.
$node->sql("CREATE DATABASE d$_") for 1 .. 3;
$node->safe_psql("d$_", $install) for 1 .. 3;
ok(grows("d$_"), "d$_ is being loaded") for 1 .. 3;
my $took = timed('DROP DATABASE d1');
cmp_ok($took, '<', SOON, sprintf('DROP DATABASE under load: %.2f s', $took));
ok(grows('d2'), 'other databases go on');

# A role that may not do it does not disturb the load.
$node->sql('CREATE ROLE nobody LOGIN');
$pid = pid_of('scheduler', 'd2');
my ($status) = $node->psql('postgres', 'SET ROLE nobody; DROP DATABASE d2');
isnt($status, 0, 'somebody else cannot drop it');
($status) = $node->psql('postgres', 'BEGIN; DROP DATABASE d2');
isnt($status, 0, 'nobody can in a transaction block');
is(pid_of('scheduler', 'd2'), $pid, 'and the scheduler stays');

# It fails because of another session: everything comes back.
my $session = $node->background_psql('d2');
$session->query('SELECT 1');
($status, undef, my $err) = $node->psql('postgres', 'DROP DATABASE d2');
like($err, qr/There is 1 other session using the database/, 'only the other session is in the way');
ok(grows('d2'), 'after the failure the load goes on');
$session->quit;

# RENAME, also in a block, both ways.
$took = timed('ALTER DATABASE d2 RENAME TO d4');
cmp_ok($took, '<', SOON, sprintf('RENAME under load: %.2f s', $took));
ok(grows('d4'), 'under its new name the load goes on');
timed('BEGIN; ALTER DATABASE d4 RENAME TO d5; ROLLBACK');
ok(grows('d4'), 'and after a rollback');

# SET TABLESPACE
my $space = PostgreSQL::Test::Utils::tempdir();
$node->sql("CREATE TABLESPACE space LOCATION '$space'");
$took = timed('ALTER DATABASE d4 SET TABLESPACE space');
cmp_ok($took, '<', SOON, 'SET TABLESPACE under load');
ok(grows('d4'), 'after it the load goes on');

# A copy: its definitions are restored, and start nothing until adopted.
$took = timed('CREATE DATABASE copy TEMPLATE d4');
cmp_ok($took, '<', SOON, 'CREATE DATABASE ... TEMPLATE under load');
ok(grows('d4'), 'the original goes on');
ok($node->wait_sql(processes('copy'), expected => 1), 'the copy has a scheduler');
my $n = $node->safe_psql('copy', 'SELECT count(*) FROM ticks');
sleep 0.7;
is($node->safe_psql('copy', 'SELECT count(*) FROM ticks'), $n, 'but no load');
is($node->sql(processes('copy')), 1, 'and no worker');
$node->safe_psql('copy', 'SELECT dpipe_adopt()');
ok(grows('copy'), 'until it is adopted');
is($node->safe_psql('copy', 'SELECT count(*) FROM dpipe.source s JOIN dpipe.incarnation i ON i.id = s.incarnation'),
    1, 'into an incarnation of its own');

# A database that is closed, and opened again.
$node->sql('ALTER DATABASE copy ALLOW_CONNECTIONS false');
ok($node->wait_sql(processes('copy'), expected => 0), 'a closed database is left');
$node->sql('ALTER DATABASE copy ALLOW_CONNECTIONS true');
ok(grows('copy'), 'and entered again');
$node->sql('ALTER DATABASE copy IS_TEMPLATE true');
ok($node->wait_sql(processes('copy'), expected => 0), 'a template is left, too');
$node->sql('ALTER DATABASE copy IS_TEMPLATE false');
timed('DROP DATABASE copy');
timed('DROP DATABASE d4');
$node->sql('DROP TABLESPACE space');

# SIGTERM is no failure.
$pid = pid_of('worker', 'd3');
$node->sql("SELECT pg_terminate_backend($pid)");
ok($node->wait_sql("SELECT count(*) = 2 AND bool_and(pid <> $pid) FROM pg_stat_activity
        WHERE backend_type = 'dpipe worker' AND datname = 'd3'"),
    'a terminated worker is started again');
is($node->safe_psql('d3', 'SELECT sum(failures) FROM dpipe._slot_status()'), 0, 'without counting as a failure');
my $worker = pid_of('worker', 'd3');
$pid = pid_of('scheduler', 'd3');
$node->sql("SELECT pg_terminate_backend($pid)");
ok($node->wait_sql("SELECT count(*) = 1 AND bool_and(pid <> $pid) FROM pg_stat_activity
        WHERE backend_type = 'dpipe scheduler' AND datname = 'd3'"),
    'a terminated scheduler, too');
is($node->sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"), 1, 'its workers went on meanwhile');
$pid = pid_of('launcher');
$node->sql("SELECT pg_terminate_backend($pid)");
ok($node->wait_sql("SELECT count(*) = 1 AND bool_and(pid <> $pid) FROM pg_stat_activity
        WHERE backend_type = 'dpipe launcher'"),
    'a terminated launcher, too');
ok($node->wait_sql(processes('d3'), expected => 3), 'and took over what was there');

# A worker crashes, and the server with it.
ok($node->wait_crash(sub { kill 'KILL', pid_of('worker', 'd3') }), 'a crash takes all down, and the server comes back');
ok($node->wait_sql(processes('d3'), expected => 3), 'and all processes');
ok(grows('d3'), 'and the load');

# A standby: nothing runs before its promotion.
$node->backup('base');
my $standby = Dpipe::Node->from_backup('standby', $node, 'base', has_streaming => 1);
$standby->start;
sleep 1;
is($standby->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dpipe %'}), 0, 'no process on a standby');
$node->wait_for_catchup($standby);
$standby->promote;
ok($standby->wait_sql(processes('d3'), expected => 3), 'all of them after the promotion');
$standby->stop;

# The postmaster is killed: no orphans, and a clean start.
is($node->kill_postmaster(SOON), 0, 'no process outlives the postmaster');
$node->start;
ok($node->wait_sql(processes('d3'), expected => 3), 'everything is back after the start');
ok(grows('d3'), 'with the load');

is(join("\n", $node->crash_lines), '', 'nothing crashed by itself');
$node->stop;
done_testing();
