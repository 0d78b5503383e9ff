# Records a second of one worker into a default raw table (payload jsonb),
# divided by the rows a second of COPY FROM the file that COPY TO of the same
# table gives. Kafka is filled before the clock starts; the worker's clock runs
# from enabling the source to the last load, start and connection included.
#
# BENCH_RECORDS (1000000), BENCH_ROUNDS (5)
use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(median process_cpu report);
use Dpipe::Kafka;
use Dpipe::Node;

if (my $reason = Dpipe::Kafka->skip_reason) { plan skip_all => $reason; }

my $records = $ENV{BENCH_RECORDS} // 1000000;
my $rounds  = $ENV{BENCH_ROUNDS}  // 5;

# Durable as in production; memory for the table, so that disks do not decide.
my $node = Dpipe::Node->make('bench', conf => <<'CONF');
fsync = on
shared_buffers = '1GB'
max_wal_size = '16GB'
checkpoint_timeout = '1h'
autovacuum = off
CONF
my $kafka = Dpipe::Kafka->new('bench', heap => '512m');
$kafka->create_topic('events', 8);
$kafka->produce(
    topic      => 'events',
    partitions => 8,
    records    => $records,
    producers  => 2,
    payload    => 'event');
$node->create_server('broker', $kafka);
diag "$records records are in Kafka";

sub load_all
{
    my ($source) = @_;
    $node->sql(<<SQL);
SELECT dpipe_create_kafka_source('$source', server => 'broker', topic => 'events', target => 'raw',
    options => '{"enabled": false}');
CHECKPOINT;
SQL
    my $start = time();
    $node->sql("SELECT dpipe_enable_source('$source')");
    $node->wait_sql("SELECT sum(rows) = $records FROM dpipe.load WHERE source = '$source'",
        seconds => 600) or die 'the load does not end';
    my ($pid) = $node->worker_pids($source);
    my $cpu   = process_cpu($pid);
    my $end   = $node->sql(
        "SELECT extract(epoch FROM max(finished_at)) FROM dpipe.load WHERE source = '$source'");
    return ($end - $start, $cpu);
}

sub copy
{
    my $file = "$PostgreSQL::Test::Utils::tmp_check/raw.copy";
    my $stat = q{(SELECT (string_to_array(substring(pg_read_file('/proc/self/stat', 0, 4096) from '\) (.*)'), ' '))[12:13])};
    my $out  = $node->sql(<<SQL);
COPY raw TO '$file';
CREATE TABLE copied (LIKE raw INCLUDING ALL);
CHECKPOINT;
SELECT extract(epoch FROM clock_timestamp()), $stat;
COPY copied FROM '$file';
SELECT extract(epoch FROM clock_timestamp()), $stat;
DROP TABLE copied;
SQL
    unlink $file;
    my ($before, $after) = map {
        my ($time, $user, $system) = /^([\d.]+)\|\{(\d+),(\d+)\}$/;
        [ $time, ($user + $system) / 100 ]
    } split /\n/, $out;
    return ($after->[0] - $before->[0], $after->[1] - $before->[1]);
}

my (@load, @load_cpu, @copy, @copy_cpu);
foreach my $round (1 .. $rounds)
{
    my ($seconds, $cpu) = load_all("s$round");
    push @load, $records / $seconds;
    push @load_cpu, $cpu;
    ($seconds, $cpu) = copy();
    push @copy, $records / $seconds;
    push @copy_cpu, $cpu;
    $node->sql("SELECT dpipe_drop_source('s$round'); DROP TABLE raw");
    diag sprintf 'round %d: worker %d records/s (%.1f CPU s), COPY %d rows/s (%.1f CPU s)',
        $round, $load[-1], $load_cpu[-1], $copy[-1], $copy_cpu[-1];
}
$node->stop;
$kafka->stop;

report(
    bench                   => 'kafka_jsonb',
    value                   => sprintf('%.3f', median(@load) / median(@copy)),
    unit                    => 'of COPY',
    target                  => '>= 0.9',
    worker_records_per_s    => int(median(@load)),
    copy_rows_per_s         => int(median(@copy)),
    worker_cpu_s            => sprintf('%.2f', median(@load_cpu)),
    copy_cpu_s              => sprintf('%.2f', median(@copy_cpu)),
    ratio_per_cpu_s         => sprintf('%.3f', median(@copy_cpu) / median(@load_cpu)),
    records                 => $records,
    rounds                  => $rounds);
