# A worker holds the threads of librdkafka, and a TLS handshake that is cut
# short at the wrong moment has crashed servers. 200 workers are told to go,
# half of them while they shake hands with something that does not answer or
# speaks no TLS, at any moment of that or when it is known to hang: each leaves
# within a second, and nothing crashes.
use strict;
use warnings;

use IO::Socket::INET;
use List::Util qw(max);
use Errno qw(EAGAIN);
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until slow);

my $rounds = 50;
my $seed   = $ENV{DPIPE_SEED} // int(time() * 1000) % 1000000007;
srand $seed;
diag "seed $seed";

my $mock = Dpipe::Mock->new('exit', topics => { t => 4 });
my $node = Dpipe::Node->make('exit', conf => "dpipe.restart_delay_min = '10ms'\n");

# Takes connections (the kernel does) and says nothing: handshakes hang in it.
my $hole = IO::Socket::INET->new(
    Listen    => 1000,
    LocalAddr => '127.0.0.1',
    Proto     => 'tcp',
    Blocking  => 0) or die "listen: $!";
my @held;    # its connections: [ socket, what has come ]

$mock->produce(topic => 't', partitions => 4, records => 2000);
$node->create_server('plain', $mock);
$node->create_server('tls_to_plain', $mock, 'security.protocol' => 'ssl');
$node->sql(sprintf
    q{CREATE SERVER tls_to_hole FOREIGN DATA WRAPPER dpipe_kafka
        OPTIONS ("bootstrap.servers" '127.0.0.1:%d', "security.protocol" 'ssl')},
    $hole->sockport);

my %sources = (
    a => 'plain',
    b => 'plain',
    c => 'tls_to_plain',
    d => 'tls_to_hole');
foreach my $source (sort keys %sources)
{
    $node->sql(
        "SELECT dpipe_create_kafka_source('$source', server => '$sources{$source}', topic => 't', target => '$source')"
    );
}
$node->wait_sql(
    q{SELECT count(*) = 2000 FROM a}) or die('the source does not load');

# Pid of each source's worker; all of them run at once (dpipe.max_workers is 4).
sub workers
{
    my $out = $node->sql(
        q{SELECT substring(application_name from '^dpipe: (.)/0$'), pid
            FROM pg_stat_activity WHERE backend_type = 'dpipe worker'});
    return map { split /\|/ } split /\n/, $out;
}

# Whether somebody has sent a ClientHello and waits for an answer.
sub in_handshake
{
    while (my $connection = $hole->accept)
    {
        $connection->blocking(0);
        push @held, [ $connection, '' ];
    }
    @held = grep { _is_open($_) } @held;
    return scalar grep { $_->[1] =~ /^\x16/ } @held;
}

sub _is_open
{
    my ($connection) = @_;
    my $n;
    do { $n = sysread $connection->[0], $connection->[1], 4096, length $connection->[1] } while $n;
    return !defined $n && $! == EAGAIN;
}

my (@seconds, %last, $exits);
my $in_handshake = 0;
foreach my $round (1 .. $rounds)
{
    my $workers = wait_until(
        60,
        sub {
            my %now = workers();
            my $new = grep { ($last{$_} // 0) != $now{$_} } keys %now;
            return $new == 4 ? \%now : undef;
        });
    last unless $workers;
    %last = %$workers;

    # At any moment of its young life, or in a handshake
    if ($round % 2)
    {
        sleep(rand 0.08);
    }
    elsif (wait_until(60, \&in_handshake))
    {
        $in_handshake++;
    }
    my @pids = values %$workers;
    my $told = time();
    kill 'TERM', @pids;
    my %left = map { $_ => 1 } @pids;
    wait_until(
        60,
        sub {
            foreach my $pid (keys %left)
            {
                next if kill 0, $pid;
                push @seconds, time() - $told;
                delete $left{$pid};
            }
            return !%left;
        },
        0.01);
    $exits += @pids;
}

is($exits, 4 * $rounds, 'each worker came and was told to go');
is(scalar @seconds, 4 * $rounds, 'and went');
my @sorted = sort { $a <=> $b } @seconds;
cmp_ok($sorted[ @sorted / 2 ], '<', slow(), 'within a second');
# A machine may stand still for a while; what hangs does for librdkafka's 30 s.
cmp_ok(max(@seconds), '<', 20 * slow(), 'none of them has waited for a broker');
note sprintf 'longest: %.3f s', max(@seconds);
is($in_handshake, $rounds / 2, 'half of them in a handshake that hangs');
is_deeply([ $node->crash_lines ], [], 'nothing crashed');
is(scalar(() = slurp_file($node->logfile) =~ /database system is ready/g),
    1, 'and the server never restarted');
is($node->sql('SELECT count(*), count(DISTINCT (_partition, _offset)) FROM a'),
    '2000|2000', 'what was loaded is still there once');

$node->stop;
$mock->stop;
done_testing();
