# Records a second when every tenth is bad, divided by those of the same topic
# without: "decode" are no JSON, which the loader sees by itself, "insert" are
# refused by a CHECK, which only an attempt shows (at most 50 a transaction).
#
# BENCH_RECORDS (300000), BENCH_ROUNDS (3)
use strict;
use warnings;

use Test::More;

use Dpipe::Bench qw(bench_kafka bench_node fill_topic load_source median report);

my $records = $ENV{BENCH_RECORDS} // 300000;
my $rounds  = $ENV{BENCH_ROUNDS}  // 3;
my $kafka   = bench_kafka();
my $node    = bench_node();
my %topic   = (none => 'good', decode => 'tenth', insert => 'good');
my (%rate, %cpu);

fill_topic($kafka, 'good', $records, payload => 'event');
fill_topic($kafka, 'tenth', $records, payload => 'event', malformed_every => 10);
$node->create_server('broker', $kafka);
foreach my $round (1 .. $rounds)
{
    foreach my $kind ('none', 'decode', 'insert')
    {
        my $check = $kind eq 'insert' ? ' CHECK (_offset % 10 <> 3)' : '';
        $node->sql("CREATE TABLE raw (_partition int, _offset bigint$check, _payload jsonb)");
        my ($seconds, $cpu) = load_source($node, "$kind$round", $topic{$kind}, $records, target => 'raw');
        my $bad = $node->sql("SELECT dead_letters FROM dpipe.source_status WHERE source = '$kind$round'");
        die "$kind: $bad dead letters" if $kind ne 'none' && abs($bad - $records / 10) > $records / 100;
        push @{ $rate{$kind} }, $records / $seconds;
        push @{ $cpu{$kind} },  $cpu;
        $node->sql("SELECT dpipe_drop_source('$kind$round'); DROP TABLE raw");
        diag sprintf 'round %d: %s %d records/s (%.2f CPU s)', $round, $kind, $records / $seconds, $cpu;
    }
}
$node->stop;
$kafka->stop;

report(
    bench  => 'kafka_poison',
    value  => sprintf('%.3f', median(@{ $rate{insert} }) / median(@{ $rate{none} })),
    unit   => 'of the rate without bad records, 10 % refused by a CHECK',
    decode => sprintf('%.3f', median(@{ $rate{decode} }) / median(@{ $rate{none} })),
    (map { ("${_}_records_per_s" => int(median(@{ $rate{$_} })), "${_}_cpu_s" => sprintf('%.2f', median(@{ $cpu{$_} }))) }
            qw(none decode insert)),
    records => $records,
    rounds  => $rounds);
