# dpipe.source_status tells the truth about a source at work: its rate is that
# of the producer, its lag that of the log, its words those of its state.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(thin);

my $rate = 2000 / thin();
my $mock = Dpipe::Mock->new('status', topics => { t => 4 });
my $node = Dpipe::Node->make('status');

$node->create_server('s', $mock);
$node->sql(
    q{SELECT dpipe_create_kafka_source('src', server => 's', topic => 't', target => 'target')});
ok($node->wait_sql(q{SELECT state = 'running' AND lag_records = 0 FROM dpipe.source_status}),
    'a source of an empty topic runs and has no lag');

my $producer = $mock->start_produce(
    topic      => 't',
    partitions => 4,
    records    => 60 * $rate,
    rate       => $rate);
# What a machine has that stands still and then makes up for it passes.
foreach my $when ('becomes', 'stays')
{
    ok( $node->wait_sql(
            sprintf(
                q{SELECT rows_per_second BETWEEN %d AND %d FROM dpipe.source_status},
                0.3 * $rate, 2 * $rate)),
        "the rate $when that of the producer");
    note $node->sql(q{SELECT rows, rows_per_second, bytes_per_second, lag_records FROM dpipe.source_status});
    my $rows = $node->sql('SELECT rows FROM dpipe.source_status');
    $node->wait_sql(sprintf q{SELECT rows > %d FROM dpipe.source_status}, $rows + 2 * $rate);
}
is( $node->sql(q{SELECT state, load_path, last_load_id = (SELECT max(load_id) FROM dpipe.load),
                        memory_bytes BETWEEN 1000000 AND 1000000000, bytes_per_second > rows_per_second
                   FROM dpipe.source_status}),
    'running|copy|t|t|t', 'with the rest');
is( $node->sql(
        q{SELECT array_agg(a.pid) = (SELECT pids FROM dpipe.source_status)
            FROM pg_stat_activity a WHERE a.application_name = 'dpipe: src/0'}),
    't', 'the pid is the one that pg_stat_activity shows');
$producer->stop;
my $produced = 0;
$produced += $_->[1] foreach $mock->watermarks('t');
ok( $node->wait_sql(
        sprintf q{SELECT lag_records = 0 AND lag_seconds = 0 AND rows = %d FROM dpipe.source_status},
        $produced),
    'in the end nothing is left');
ok( $node->wait_sql(sprintf('SELECT rows_per_second < %d FROM dpipe.source_status', 0.1 * $rate)),
    'and the rate fades');

$node->sql(q{SELECT dpipe_disable_source('src')});
$mock->produce(topic => 't', partitions => 4, records => 100);
ok($node->wait_sql(q{SELECT state = 'disabled' AND reason <> '' AND pids = '{}' FROM dpipe.source_status}),
    'a disabled source has no process, and says so');
$mock->stop;
$node->sql(q{SELECT dpipe_enable_source('src')});
ok( $node->wait_sql(q{SELECT reason ~* 'broker|connect' FROM dpipe.source_status}),
    'without a broker it says what it waits for');
note $node->sql('SELECT state, reason FROM dpipe.source_status');
$node->stop;
done_testing();
