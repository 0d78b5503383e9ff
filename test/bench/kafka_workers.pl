# Records a second of a source with two workers, divided by those with one.
# What the machine allows is measured in the same run: two sessions of COPY,
# each with the rows of half the partitions, against one session with all.
#
# BENCH_RECORDS (1000000), BENCH_ROUNDS (5)
use strict;
use warnings;

use IPC::Run;
use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(bench_kafka bench_node fill_topic load_source median report);

my $records = $ENV{BENCH_RECORDS} // 1000000;
my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
my $kafka   = bench_kafka();
my $node    = bench_node();
my @files   = map { "$PostgreSQL::Test::Utils::tmp_check/half$_" } 0, 1;
my (%load, %cpu, %copy);

# Seconds until the sessions have ended, each with the statements given.
sub copy_in_sessions
{
    my (@sessions) = @_;
    $node->sql('CREATE TABLE copied (LIKE raw INCLUDING ALL); CHECKPOINT');
    my $start = time();
    my @psql = map {
        IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @$_ ])
    } @sessions;
    foreach (@psql) { $_->finish or die 'COPY failed'; }
    my $seconds = time() - $start;
    $node->sql('DROP TABLE copied');
    return $seconds;
}

fill_topic($kafka, 'events', $records, payload => 'event');
$node->create_server('broker', $kafka);
foreach my $round (1 .. $rounds)
{
    foreach my $workers (1, 2)
    {
        my $source = "s${round}_$workers";
        my ($seconds, $cpu) = load_source($node, $source, 'events', $records,
            target => 'raw', workers => $workers);
        push @{ $load{$workers} }, $records / $seconds;
        push @{ $cpu{$workers} },  $cpu;
        $node->sql("SELECT dpipe_drop_source('$source')");
        $node->sql('DROP TABLE raw') if $workers == 1;
    }
    $node->sql("COPY (SELECT * FROM raw WHERE _partition % 2 = $_) TO '$files[$_]'") foreach 0, 1;
    my @copies = map { "COPY copied FROM '$_'" } @files;
    push @{ $copy{1} }, $records / copy_in_sessions(\@copies);
    push @{ $copy{2} }, $records / copy_in_sessions(map { [$_] } @copies);
    $node->sql('DROP TABLE raw');
    unlink @files;
    diag sprintf 'round %d: 1 worker %d records/s (%.2f CPU s), 2 workers %d (%.2f CPU s); COPY 1 session %d rows/s, 2 sessions %d',
        $round, map { $_->[-1] } $load{1}, $cpu{1}, $load{2}, $cpu{2}, $copy{1}, $copy{2};
}
$node->stop;
$kafka->stop;

report(
    bench                => 'kafka_workers',
    value                => sprintf('%.3f', median(@{ $load{2} }) / median(@{ $load{1} })),
    unit                 => 'of 1 worker',
    copy_sessions_2_to_1 => sprintf('%.3f', median(@{ $copy{2} }) / median(@{ $copy{1} })),
    workers_1_per_s      => int(median(@{ $load{1} })),
    workers_2_per_s      => int(median(@{ $load{2} })),
    copy_1_per_s         => int(median(@{ $copy{1} })),
    copy_2_per_s         => int(median(@{ $copy{2} })),
    workers_1_cpu_s      => sprintf('%.2f', median(@{ $cpu{1} })),
    workers_2_cpu_s      => sprintf('%.2f', median(@{ $cpu{2} })),
    cores                => int(`nproc`),
    records              => $records,
    rounds               => $rounds);
