# Rows a second of the SQL path (INSERT … SELECT FROM dpipe.batch(), which
# targets with policies, rules or another engine need), divided by those of
# the fast path, COPY's code. The same records go into the same table by both.
#
# BENCH_RECORDS (500000), BENCH_ROUNDS (5)
use strict;
use warnings;

use Test::More;

use Dpipe::Bench qw(bench_kafka bench_node fill_topic load_source median report);

my $records = $ENV{BENCH_RECORDS} // 500000;
my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
my $kafka   = bench_kafka();
my $node    = bench_node();
my (%rate, %cpu);

fill_topic($kafka, 'events', $records, payload => 'event');
$node->create_server('broker', $kafka);
foreach my $round (1 .. $rounds)
{
    foreach my $path ('auto', 'sql')
    {
        $node->append_conf('postgresql.conf', "dpipe.load_path = $path");
        $node->reload;
        my ($seconds, $cpu) = load_source($node, "$path$round", 'events', $records, target => 'raw');
        my $taken = $node->sql("SELECT load_path FROM dpipe.source_status WHERE source = '$path$round'");
        die "path $taken was taken" if $taken ne ($path eq 'sql' ? 'sql' : 'copy');
        push @{ $rate{$path} }, $records / $seconds;
        push @{ $cpu{$path} },  $cpu;
        $node->sql("SELECT dpipe_drop_source('$path$round'); DROP TABLE raw");
        diag sprintf 'round %d: %s %d rows/s (%.2f CPU s)', $round, $path, $records / $seconds, $cpu;
    }
}
$node->stop;
$kafka->stop;

report(
    bench           => 'load_sql_path',
    value           => sprintf('%.3f', median(@{ $rate{sql} }) / median(@{ $rate{auto} })),
    unit            => 'of the fast path',
    sql_rows_per_s  => int(median(@{ $rate{sql} })),
    copy_rows_per_s => int(median(@{ $rate{auto} })),
    sql_cpu_s       => sprintf('%.2f', median(@{ $cpu{sql} })),
    copy_cpu_s      => sprintf('%.2f', median(@{ $cpu{auto} })),
    ratio_per_cpu_s => sprintf('%.3f', median(@{ $cpu{auto} }) / median(@{ $cpu{sql} })),
    records         => $records,
    rounds          => $rounds);
