# Twenty sources in three databases share four workers: in each round every
# one of them has its turn, and no one two.
use strict;
use warnings;

use List::Util qw(max);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until);

use constant { ROUNDS => 3, WORKERS => 4 };

my %sources = (one => 7, two => 7, three => 6);
my $mock    = Dpipe::Mock->new('fairness', topics => { t => 1 });
my $node    = Dpipe::Node->make('fairness', extension => 0, conf => <<CONF);
dpipe.max_workers = 0
dpipe.worker_quantum = 200ms
max_worker_processes = 20
CONF

# There is always something to read: no one yields because it has nothing to do.
my $producer = $mock->start_produce(topic => 't', partitions => 1, records => 10000000, rate => 400);

foreach my $database (sort keys %sources)
{
    my $brokers = $mock->brokers;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, <<SQL);
CREATE EXTENSION dpipe;
CREATE SERVER s FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$brokers');
-- Who loads, and when, is told by the columns' defaults.
CREATE TABLE raw (_source text, loader integer DEFAULT pg_backend_pid(), loaded_at timestamptz DEFAULT clock_timestamp());
SELECT dpipe_create_kafka_source('$database' || i, server => 's', topic => 't', target => 'raw',
    options => '{"linger_ms": 20, "on_gap": "earliest"}') FROM generate_series(1, $sources{$database}) i;
SQL
}

# Turns of each source in order: [first row, last row].
sub turns
{
    my %turns;
    foreach my $database (sort keys %sources)
    {
        my $out = $node->safe_psql($database, <<'SQL');
SELECT _source, extract(epoch FROM min(loaded_at)), extract(epoch FROM max(loaded_at)) FROM raw
 GROUP BY _source, loader ORDER BY 1, 2
SQL
        foreach (split /\n/, $out)
        {
            my ($source, $first, $last) = split /\|/;
            push @{ $turns{$source} }, [ $first, $last ];
        }
    }
    return \%turns;
}

$node->append_conf('postgresql.conf', 'dpipe.max_workers = ' . WORKERS);
$node->reload;

my ($turns, $workers, $waiting) = (undef, 0, 0);
my $done = wait_until(
    120,
    sub {
        $workers = max($workers, scalar $node->worker_pids);
        my $n = $node->safe_psql('one',
            q{SELECT count(*) FROM dpipe.source_status WHERE state = 'waiting for slot' AND reason ~ 'max_workers = 4'});
        $waiting = max($waiting, $n);
        $turns = turns();
        return 20 == grep { @$_ > ROUNDS } values %$turns;
    },
    0.2);

ok($done, 'every source had its turn again and again');
is($workers, WORKERS, 'never more workers than there may be');
cmp_ok($waiting, '>=', 3, 'and waiting is a state that is told');

# Between the beginnings of two turns of one source each other has had its own,
# or has it now. On a machine so busy that a worker brings nothing in the time
# that it has to begin, that turn is lost: within two rounds it is not.
my (@starved, @late);
foreach my $source (sort keys %$turns)
{
    my @own = @{ $turns->{$source} };
    foreach my $i (1 .. ROUNDS)
    {
        my ($before, $from, $to) = ($i > 1 ? $own[ $i - 2 ][0] : undef, $own[ $i - 1 ][0], $own[$i][1]);
        foreach my $other (sort keys %$turns)
        {
            my @until = grep { $_->[0] <= $to } @{ $turns->{$other} };
            next if grep { $_->[1] >= $from } @until;
            push @late, "$other while $source had turns $i and " . ($i + 1);
            push @starved, "$other while $source had turns " . ($i - 1) . ' to ' . ($i + 1)
                if defined $before && !grep { $_->[1] >= $before } @until;
        }
    }
}
note("waited for two turns: $_") foreach @late;
is(join("\n", @starved), '', 'no one has three turns while another waits');
cmp_ok(scalar @late, '<=', 4, 'and hardly ever two');
is(join("\n", $node->crash_lines), '', 'nothing crashed');

$node->stop;
$producer->stop('KILL');
$mock->stop;
done_testing();
