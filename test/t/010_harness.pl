# The tools that the other tests believe: a producer's log must be the truth,
# aborted records must be there for whoever reads uncommitted, a node must come
# back from a killed postmaster.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(log_path);

sub lines
{
    my ($file) = @_;
    return sort split /\n/, slurp_file($file);
}

subtest 'mock cluster' => sub {
    my $mock = Dpipe::Mock->new('h', topics => { a => 3 });
    my $log  = log_path('mock_committed');

    $mock->produce(
        topic      => 'a',
        partitions => 3,
        records    => 500,
        producers  => 2,
        log        => $log);
    my @log = lines($log);
    is(scalar @log, 500, 'each record is in the log');
    is_deeply([ $mock->dump_topic('a', 'committed') ],
        \@log, 'and the log is what the topic holds');

    $mock->create_topic('b', 1);
    my $producer = $mock->start_produce(
        topic      => 'b',
        partitions => 1,
        records    => 100,
        credit     => 1);
    $producer->say(40);
    my $high = sub { ($mock->watermarks('b'))[0][1] };
    Dpipe::Process::wait_until(10, sub { $high->() == 40 });
    is($high->(), 40, 'credit holds the producer');
    $producer->close_stdin;
    is($producer->wait_end(30), 0, 'and the end of input lets it run');
    is($high->(), 100, 'to its end');

    $mock->send_records('b', [ 0, 'k', '{"a": 1}' ], [ 0, undef, "two\nlines" ]);
    is($high->(), 102, 'single records');
    $mock->stop;
};

subtest 'real Kafka' => sub {
    if (my $reason = Dpipe::Kafka->skip_reason)
    {
        plan skip_all => $reason;
    }
    my $kafka   = Dpipe::Kafka->new('h');
    my %file    = map { $_ => log_path("kafka_$_") } qw(log aborted unknown);
    my %options = (
        topic           => 't',
        partitions      => 8,
        producers       => 4,
        txn_producers   => 2,
        txn_records     => 20,
        malformed_every => 100,
        %file);

    $kafka->create_topic('t', 8);
    my $producer = $kafka->start_produce(%options, records => 4000, credit => 1);
    $producer->say(2000);
    Dpipe::Process::wait_until(30,
        sub { (grep { $_->[1] > 100 } $kafka->watermarks('t')) == 8 });
    $kafka->kill9;
    $producer->close_stdin;
    $kafka->start;
    is($producer->wait_end(120), 0, 'producers survive a killed broker');

    my @committed = lines($file{log});
    my @aborted   = lines($file{aborted});
    my %read      = map { $_ => 1 } $kafka->dump_topic('t', 'uncommitted');
    my @read_committed = $kafka->dump_topic('t', 'committed');
    $kafka->correct_truth('t', \@read_committed, \@committed, \@aborted);
    is_deeply(\@read_committed, [ sort @committed ], 'the log is what the topic holds');
    is(-s $file{unknown}, 0, 'no record of unknown fate');
    cmp_ok(scalar @aborted, '>', 200, 'transactions were aborted');
    is(scalar(grep { !$read{$_} } @aborted),
        0, 'and their records are there for read_uncommitted');

    # What the broker's files say, without a client.
    my @fates = map { $kafka->fates('t', $_) } 0 .. 7;
    my $fate  = sub { my (undef, $partition, $offset) = split /\t/, $_[0]; return $fates[$partition]{$offset} // ''; };
    is(scalar(grep { $fate->($_) ne 'abort' } @aborted), 0, 'the files have them as aborted');
    my %found;
    $found{ $fate->($_) }++ foreach @committed;
    cmp_ok($found{commit}, '>', 200, 'others as committed');
    is_deeply([ sort keys %found ], [ '', 'commit' ], 'and nothing that was committed as aborted');
    my @wrong = @committed;
    my @lied  = ($aborted[0], splice(@wrong, 7, 1));
    is_deeply([ $kafka->correct_truth('t', [ @read_committed, $lied[0] ], \@wrong, \@aborted) ],
        [ $fate->($lied[1]) eq 'commit' ? 1 : 0, 0 ], 'nor is anything believed that they do not say');

    $kafka->ctl('partitions',     't', 9);
    $kafka->ctl('delete-records', 't', 0, 10);
    my @marks = $kafka->watermarks('t');
    is(scalar @marks,     9,  'partitions can be added');
    is($marks[0]->[0],    10, 'records can be deleted');
    $kafka->ctl('delete', 't');
    $kafka->stop;
};

subtest 'server' => sub {
    my $node = Dpipe::Node->make('h');
    my $pid  = $node->postmaster_pid;

    is($node->kill_postmaster, 0, 'no child outlives the postmaster');
    $node->start;
    isnt($node->postmaster_pid, $pid, 'the server starts again');
    is($node->sql('SELECT count(*) FROM dpipe.incarnation'), 1, 'as it was');
    is(scalar $node->crash_lines, 0, 'and nothing crashed');
    $node->stop;
};

done_testing();
