# What a commit costs: loads of one record each, by a source of 1, 100 and
# 1,000 partitions, whose position is one row of arrays. Alone, and while
# another session holds an old snapshot, under which dead versions of the row
# cannot be pruned.
#
# Milliseconds a load are medians of the distance between two loads. The
# disk's flush is not in them (synchronous_commit is off), vacuum is not
# running, so the table's size shows what pruning alone achieves.
#
# BENCH_LOADS (1000)
use strict;
use warnings;

use List::Util qw(max);

use Dpipe::Process;
use Test::More;

use Dpipe::Bench qw(bench_kafka bench_node fill_topic load_source median report);

my $loads = $ENV{BENCH_LOADS} // 1000;
my $kafka = bench_kafka();
my $node  = bench_node(conf => <<'CONF');
synchronous_commit = off
dpipe.restart_delay_min = '1s'
CONF
my @figures;
my %ms;

# A session with a snapshot that stays.
sub hold_snapshot
{
    my $session = Dpipe::Process->start([ 'psql', '-Xq', '-d', $node->connstr('postgres') ], stdin => 1);
    $session->say('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot();');
    $node->wait_sql(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL})
        or die 'no snapshot is held';
    return $session;
}

sub measure
{
    my ($partitions, $how) = @_;
    my $source  = "p${partitions}_$how";

    # the table as it is in a database of this source alone
    $node->sql('VACUUM FULL dpipe.position');
    $node->sql(q{SELECT pg_stat_reset_single_table_counters('dpipe.position'::regclass); CREATE TABLE raw (id bigint)});
    my $session = $how eq 'snapshot' ? hold_snapshot() : undef;
    my $lsn = $node->sql('SELECT pg_current_wal_insert_lsn()');
    my (undef, $cpu) = load_source($node, $source, "t$partitions", $loads,
        target => 'raw', options => '"batch_rows": 1');
    my $ms = $node->sql(<<SQL);
SELECT round(1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY gap)::numeric, 3)
  FROM (SELECT extract(epoch FROM finished_at - lag(finished_at) OVER (ORDER BY load_id)) AS gap
          FROM dpipe.load WHERE source = '$source') AS l
SQL
    my ($wal, $kb) = split /\|/, $node->sql(<<SQL);
SELECT pg_current_wal_insert_lsn() - '$lsn', pg_total_relation_size('dpipe.position') / 1024
SQL
    if ($session) { $session->close_stdin; $session->wait_end(30); }

    # a backend tells its counts when it ends, at the latest
    $node->sql("SELECT dpipe_drop_source('$source'); DROP TABLE raw");
    $node->wait_sql("SELECT n_tup_upd >= $loads FROM pg_stat_user_tables WHERE relid = 'dpipe.position'::regclass");
    my $hot = $node->sql(
        "SELECT round(100.0 * n_tup_hot_upd / n_tup_upd, 1) FROM pg_stat_user_tables WHERE relid = 'dpipe.position'::regclass");
    diag sprintf '%d partitions, %s: %.2f ms a load (%.2f CPU ms), %.1f kB of WAL, HOT %s %%, position %d kB',
        $partitions, $how, $ms, $cpu * 1000 / $loads, $wal / $loads / 1024, $hot, $kb;
    $ms{$source} = $ms;
    push @figures,
        "${source}_ms"      => sprintf('%.2f', $ms),
        "${source}_cpu_ms"  => sprintf('%.2f', $cpu * 1000 / $loads),
        "${source}_wal_kb"  => sprintf('%.1f', $wal / $loads / 1024),
        "${source}_hot"     => $hot,
        "${source}_size_kb" => int($kb);
    return;
}

$node->create_server('broker', $kafka);
foreach my $partitions (1, 100, 1000)
{
    fill_topic($kafka, "t$partitions", $loads, payload => 'tiny', partitions => $partitions);
}
foreach my $partitions (1, 100, 1000)
{
    measure($partitions, $_) foreach 'alone', 'snapshot';
}
$node->stop;
$kafka->stop;

report(
    bench  => 'kafka_position',
    value  => sprintf('%.2f', $ms{p100_alone} / $ms{p1_alone}),
    unit   => 'of 1 partition at 100',
    value_1000 => sprintf('%.2f', $ms{p1000_alone} / $ms{p1_alone}),
    @figures,
    loads  => $loads);
