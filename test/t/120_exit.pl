# Processes that end while a library's threads are shaking hands: no crash,
# and none takes long.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(log_path);
use Dpipe::Slots;

# Speaks to whoever comes, but not TLS: every handshake is under way or failing.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server = Dpipe::Process->start(
    [ $^X, '-MIO::Socket::INET', '-e', <<'PERL', $port ], log => log_path('no_tls.log'));
    $SIG{PIPE} = 'IGNORE';
    my $listener = IO::Socket::INET->new(Listen => 64,
        LocalPort => $ARGV[0], ReuseAddr => 1) or die "listen: $!";
    while (my $client = $listener->accept)
    {
        sysread $client, my $hello, 1024;
        syswrite $client, "220 no TLS here\r\n";
    }
PERL

my $node = Dpipe::Node->make('exit', conf => "dpipe.restart_delay_min = '10ms'\ndpipe.max_workers = 8\n");
my $started = $node->sql('SELECT pg_postmaster_start_time()');

$node->sql(join '',
    map { source_sql("plain$_", json => '{"tick_ms": 5}')
        . source_sql("tls$_", json => qq({"do": "tls", "port": $port})) } 1 .. 3);
ok($node->wait_sql(q{SELECT count(*) FROM dpipe._slot_status() WHERE state = 'running'}, expected => 6), 'workers run');

# 200 ends, after 0 to 80 ms of life, or 0 to 10 ms of handshakes; how long the
# longest took.
my $result = $node->sql(<<'SQL');
CREATE TABLE ends (pid integer, source text, took interval);
DO $$
DECLARE
    victim record;
    began timestamptz;
BEGIN
    FOR i IN 1 .. 200 LOOP
        LOOP
            SELECT s.pid, s.source INTO victim FROM dpipe._slot_status() s
             WHERE s.pid IS NOT NULL AND s.rows > 0
               AND s.source LIKE CASE WHEN i % 2 = 0 THEN 'tls%' ELSE 'plain%' END
             ORDER BY s.state_since DESC LIMIT 1;
            EXIT WHEN FOUND;
            PERFORM pg_sleep(0.002);
        END LOOP;
        PERFORM pg_sleep(random() * CASE WHEN i % 2 = 0 THEN 0.01 ELSE 0.08 END);
        began := clock_timestamp();
        PERFORM pg_terminate_backend(victim.pid);
        WHILE EXISTS (SELECT 1 FROM dpipe._slot_status() s WHERE s.pid = victim.pid) LOOP
            PERFORM pg_sleep(0.002);
        END LOOP;
        INSERT INTO ends VALUES (victim.pid, victim.source, clock_timestamp() - began);
    END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE source LIKE 'tls%'), extract(epoch FROM max(took)) < 5 FROM ends;
SQL
is($result, '200|100|t', '200 workers ended, half of them in handshakes, each in seconds');
is(scalar(grep { kill 0, $_ } split /\n/, $node->sql('SELECT pid FROM ends')), 0, 'no process is left');
note('longest: ' . $node->sql('SELECT max(took) FROM ends'));
is($node->sql('SELECT pg_postmaster_start_time()'), $started, 'the server lives');
is(join("\n", $node->crash_lines), '', 'and no process crashed');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');

# The dangerous moment is that of the first handshake: closer than another
# process can aim.
$node->sql(join '',
    map { source_sql("own$_", json => qq({"do": "tls", "port": $port, "after": 1, "live_us": 2000})) } 1 .. 3);
ok($node->wait_sql(q{SELECT count(DISTINCT pid) >= 100 FROM ticks WHERE source LIKE 'own%'}),
    '100 workers ended in their first handshake');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
is($node->sql('SELECT pg_postmaster_start_time()'), $started, 'the server lives');
is(join("\n", $node->crash_lines), '', 'and no process crashed');

# Client backends that end with a live handle.
$node->sql(q{CREATE FUNCTION live_handle(port integer, armed boolean) RETURNS void
    LANGUAGE c STRICT AS '$libdir/dpipe', 'dpipe_test_live_handle'});
my $script = PostgreSQL::Test::Utils::tempdir() . '/script';
append_to_file($script, "SELECT live_handle($port, true);\n\\sleep :ms ms\n");
foreach my $ms (0, 10)
{
    command_ok([ 'pgbench', '-n', '-C', '-c', 2, '-t', 25, '-D', "ms=$ms", '-f', $script, $node->connstr('postgres') ],
        "50 client backends ended $ms ms into a handshake");
}
is($node->sql('SELECT pg_postmaster_start_time()'), $started, 'the server lives');
is(join("\n", $node->crash_lines), '', 'and no process crashed');

$node->stop;
$server->stop;
done_testing();
