# From the producer's clock to the moment when another session sees the row,
# at 1,000 records a second and with default options. A session looks every
# 2 ms, which is part of the figure.
#
# BENCH_SECONDS (30), of which the first three are not counted
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(percentile report);
use Dpipe::Kafka;
use Dpipe::Node;

if (my $reason = Dpipe::Kafka->skip_reason) { plan skip_all => $reason; }

my $rate    = 1000;
my $seconds = $ENV{BENCH_SECONDS} // 30;
my $records = $rate * $seconds;

my $node  = Dpipe::Node->make('bench', conf => "fsync = on\n");
my $kafka = Dpipe::Kafka->new('bench', heap => '256m');
$kafka->create_topic('events', 8);
$node->create_server('broker', $kafka);
$node->sql(<<'SQL');
SELECT dpipe_create_kafka_source('s', server => 'broker', topic => 'events', target => 'raw');
CREATE TABLE seen (load_id bigint, at timestamptz);
SQL

my $producer = $kafka->start_produce(
    topic      => 'events',
    partitions => 8,
    records    => $records,
    rate       => $rate);
$node->sql(<<SQL);
DO \$\$
DECLARE
    last bigint := 0;
    rows bigint := 0;
    load record;
BEGIN
    WHILE rows < $records LOOP
        FOR load IN SELECT l.load_id, l.rows, clock_timestamp() AS at FROM dpipe.load l WHERE l.load_id > last ORDER BY 1 LOOP
            INSERT INTO seen VALUES (load.load_id, load.at);
            last := load.load_id;
            rows := rows + load.rows;
        END LOOP;
        COMMIT;
        PERFORM pg_sleep(0.002);
    END LOOP;
END \$\$;
SQL
$producer->wait_end(60);

my @ms = split /\n/, $node->sql(<<'SQL');
SELECT round(extract(epoch FROM seen.at) * 1000 - (_payload ->> 'at')::bigint)
  FROM raw JOIN seen ON load_id = _load_id
 WHERE (_payload ->> 'at')::bigint > (SELECT min((_payload ->> 'at')::bigint) + 3000 FROM raw)
SQL
my $loads = $node->sql('SELECT count(*) FROM dpipe.load');
$node->stop;
$kafka->stop;

report(
    bench           => 'kafka_latency',
    value           => percentile(0.99, @ms),
    unit            => 'ms p99',
    target          => '<= 250',
    p50             => percentile(0.5, @ms),
    p99             => percentile(0.99, @ms),
    max             => percentile(1, @ms),
    records_per_s   => $rate,
    records         => scalar @ms,
    loads           => $loads);
