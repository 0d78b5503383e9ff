# The most memory that a worker takes while it loads a backlog of tiny, packed
# records, the case in which what librdkafka keeps beside each record outweighs
# the record. The cap is what docs/operations.md promises for default options; the
# bench fails above it. VmHWM counts the pages of shared_buffers that the
# worker has touched, so these are few here and told beside.
#
# BENCH_RECORDS (2000000; 10000000 with DPIPE_LONG=1)
use strict;
use warnings;

use List::Util qw(max);
use Time::HiRes qw(sleep);

use Test::More;

use Dpipe::Bench qw(bench_kafka bench_node fill_topic process_cpu process_memory report);

my $cap     = 256;
my $records = $ENV{BENCH_RECORDS} // ($ENV{DPIPE_LONG} ? 10000000 : 2000000);
my $kafka   = bench_kafka();
my $node    = bench_node(conf => "shared_buffers = '16MB'\n");

fill_topic($kafka, 'events', $records,
    payload    => 'tiny',
    properties => { 'compression.codec' => 'lz4' });
$node->create_server('broker', $kafka);
$node->sql("SELECT dpipe_create_kafka_source('s', server => 'broker', topic => 'events', target => 'raw')");
$node->wait_sql("SELECT state = 'running' FROM dpipe.source_status") or die 'the source does not run';

my ($pid)    = $node->worker_pids('s');
my $anon     = 0;
my $reported = 0;
my $rows     = 0;
while ($rows < $records)
{
    sleep 0.5;
    my $memory;
    $anon = max($anon, process_memory($pid, 'RssAnon') // die 'the worker is gone');
    ($rows, $memory) = split /\|/, $node->sql('SELECT rows, memory_bytes FROM dpipe.source_status');
    $reported = max($reported, $memory / 1024 / 1024);
}
my $peak = process_memory($pid, 'VmHWM');
my $seconds = $node->sql('SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM dpipe.load');
my $cpu = process_cpu($pid);
$node->stop;
$kafka->stop;

cmp_ok($peak, '<=', $cap, 'the worker stays under the cap');
report(
    bench             => 'memory',
    value             => int($peak),
    unit              => 'MB at most (VmHWM)',
    target            => "<= $cap",
    cap_mb            => $cap,
    private_mb        => int($anon),
    memory_bytes_mb   => int($reported),
    shared_buffers_mb => 16,
    records_per_s     => int($records / $seconds),
    cpu_s             => sprintf('%.2f', $cpu),
    records           => $records);
