# A name server that does not answer holds a thread of librdkafka for as long
# as it likes. Nobody waits for that: workers and sessions go when they are
# told to, each within a second (five are allowed here).
use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(tool log_path wait_until);

use constant LIMIT => 5;

my $searches = PostgreSQL::Test::Utils::tempdir() . '/searches';
append_to_file($searches, '');
$ENV{SLOW_NAMES_LOG} = $searches;

my $node;
{
    # The server inherits it; what the test starts later does not.
    local $ENV{LD_PRELOAD} = tool('slow_names.so');
    $node = Dpipe::Node->make('names');
}

sub prepare
{
    my ($database) = @_;
    $node->safe_psql($database, <<'SQL');
CREATE EXTENSION IF NOT EXISTS dpipe;
CREATE SERVER s FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" 'nowhere.invalid:9092');
SELECT dpipe_create_kafka_source('src', server => 's', topic => 't', target => 'raw');
SQL
    return;
}

sub searches_for_name { my ($pid) = @_; return slurp_file($searches) =~ /^$pid$/m; }

# Pid of a worker that is held by the search for a name.
sub held_worker
{
    my ($database) = @_;
    return wait_until(
        60,
        sub {
            my $pid = $node->sql("SELECT max(pid) FROM pg_stat_activity
                WHERE backend_type = 'dpipe worker' AND datname = '$database'");
            return $pid && searches_for_name($pid) ? $pid : undef;
        }) // die 'no worker searches for the name';
}

# Call a function; true when the process is gone soon.
sub goes
{
    my ($pid, $what, $function) = @_;
    my $start = time();
    $function->();
    my $answered = time() - $start;
    my $gone = wait_until(60, sub { !kill 0, $pid }, 0.01) && time() - $start;

    cmp_ok($answered, '<', LIMIT, "$what: answered");
    cmp_ok($gone // 99, '<', LIMIT, 'and the process is gone');
    note sprintf '%s: %.2f s, gone after %.2f s', $what, $answered, $gone // -1;
    return;
}

prepare('postgres');
goes(held_worker('postgres'), 'pg_terminate_backend',
    sub { $node->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dpipe worker'") });
goes(held_worker('postgres'), 'dpipe_disable_source', sub { $node->sql(q{SELECT dpipe_disable_source('src')}) });

# A session of a user's.
sub start_sync
{
    my ($log) = @_;
    my $process = Dpipe::Process->start(
        [ 'psql', '-XAt', '-d', $node->connstr('postgres'), '-c', q{CALL dpipe_sync('src')}, '-c', q{SELECT 'still here'} ],
        log => log_path($log));
    my $pid = wait_until(
        60,
        sub {
            my $pid = $node->sql(q{SELECT pid FROM pg_stat_activity WHERE query ~ '^CALL dpipe_sync'});
            return $pid && searches_for_name($pid) ? $pid : undef;
        }) // die 'the session does not search for the name';
    return ($process, $pid);
}

my ($process, $pid) = start_sync('sync_cancelled');
goes($pid, 'cancelled dpipe_sync', sub { $node->sql("SELECT pg_cancel_backend($pid)") });
$process->wait_end(10);
like(slurp_file(log_path('sync_cancelled')), qr/canceling statement due to user request.*still here/s,
    'the session was told, and went on');
($process, $pid) = start_sync('sync_terminated');
goes($pid, 'terminated dpipe_sync', sub { $node->sql("SELECT pg_terminate_backend($pid)") });
$process->wait_end(10);

# Commands that need the workers out of the way.
$node->sql(q{SELECT dpipe_enable_source('src')});
goes(held_worker('postgres'), 'DROP EXTENSION',
    sub { $node->sql('SET client_min_messages = error; DROP EXTENSION dpipe CASCADE') });
$node->sql('CREATE DATABASE d');
prepare('d');
goes(held_worker('d'), 'ALTER DATABASE RENAME', sub { $node->sql('ALTER DATABASE d RENAME TO e') });
goes(held_worker('e'), 'DROP DATABASE', sub { $node->sql('DROP DATABASE e') });

$node->sql('CREATE DATABASE f');
prepare('f');
goes(held_worker('f'), 'fast shutdown', sub { $node->stop('fast') });

is(join("\n", $node->crash_lines), '', 'nothing crashed');
done_testing();
