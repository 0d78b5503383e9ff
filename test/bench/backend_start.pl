# What preloading dpipe adds to the start of a connection: pgbench opens one
# connection after another over a Unix socket, in turns on a server with and on
# one without shared_preload_libraries. For comparison, the time that a session
# of a server without it spends on the first use of a function of dpipe.
#
# BENCH_CONNECTIONS (500 a round), BENCH_ROUNDS (7)
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(median report);
use Dpipe::Node;

my $connections = $ENV{BENCH_CONNECTIONS} // 500;
my $rounds      = $ENV{BENCH_ROUNDS}      // 7;
my %node = (
    plain     => Dpipe::Node->make('plain', preload => 0),
    preloaded => Dpipe::Node->make('preloaded'));
my (%us, %cpu_us, @load_us);
my $script = "$PostgreSQL::Test::Utils::tmp_check/select.sql";
append_to_file($script, "SELECT 1;\n");

# CPU seconds of a server and of all its processes that have ended.
sub server_cpu
{
    my ($node) = @_;
    my ($after_name) = slurp_file('/proc/' . $node->postmaster_pid . '/stat') =~ /\) (.*)/;
    my @fields = split / /, $after_name;
    my $ticks  = 0;
    $ticks += $_ foreach @fields[ 11 .. 14 ];
    return $ticks / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# Microseconds a connection: on the clock, of CPU.
sub connect_often
{
    my ($node) = @_;
    my $cpu = server_cpu($node);
    my ($out, $err) = run_command([
        'pgbench', '-n', '-C', '-c', 1, '-t', $connections, '-f', $script, '-h', $node->host,
        '-p', $node->port, 'postgres' ]);
    my ($ms) = $out =~ /average connection time = ([\d.]+) ms/;
    die "pgbench: $err" unless defined $ms;
    return ($ms * 1000, (server_cpu($node) - $cpu) / $connections * 1e6);
}

connect_often($_) foreach values %node;     # caches
foreach my $round (1 .. $rounds)
{
    foreach my $name (sort keys %node)
    {
        my ($us, $cpu_us) = connect_often($node{$name});
        push @{ $us{$name} },     $us;
        push @{ $cpu_us{$name} }, $cpu_us;
    }
    my ($first_use) = $node{plain}->sql("\\timing on\nLOAD 'dpipe'") =~ /Time: ([\d.]+) ms/;
    push @load_us, $first_use * 1000;
    diag sprintf 'round %d: plain %d us (%d CPU us), preloaded %d us (%d CPU us), first use %d us', $round,
        map({ $us{$_}->[-1], $cpu_us{$_}->[-1] } 'plain', 'preloaded'), $load_us[-1];
}
$_->stop foreach values %node;

report(
    bench            => 'backend_start',
    value            => sprintf('%.3f', median(@{ $us{preloaded} }) / median(@{ $us{plain} })),
    unit             => 'of a start without preloading',
    plain_us         => int(median(@{ $us{plain} })),
    preloaded_us     => int(median(@{ $us{preloaded} })),
    plain_cpu_us     => int(median(@{ $cpu_us{plain} })),
    preloaded_cpu_us => int(median(@{ $cpu_us{preloaded} })),
    first_use_us     => int(median(@load_us)),
    connections      => $connections,
    rounds           => $rounds);
