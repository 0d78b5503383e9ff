# Exactly once, with real servers: while producers write, some of them in
# transactions of which every third is aborted, faults of every kind befall
# workers, the server, the broker and the definition (see Dpipe::Faults), a
# third of them within 20 ms of a commit. In the end the records in the target
# and the dead letters are compared with those that were committed: (topic,
# partition, offset, md5 of the payload), as multisets.
#
# The same is then done to a build that commits the position apart from the
# rows, and the comparison must find it out.
#
# DPIPE_SEED repeats a run; DPIPE_FAULTS, DPIPE_RECORDS and
# DPIPE_KAFKA_VERSIONS make it longer.
use strict;
use warnings;

use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Faults;
use Dpipe::Kafka;
use Dpipe::Node;
use Dpipe::Process qw(log_path wait_until top_dir);

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

my $long     = $ENV{DPIPE_LONG} // 0;
my $nfaults  = $ENV{DPIPE_FAULTS}  // ($long ? 120     : scalar Dpipe::Faults->kinds);
my $records  = $ENV{DPIPE_RECORDS} // ($long ? 2000000 : 200000);
my $seed     = $ENV{DPIPE_SEED}    // int(time() * 1000) % 1000000007;
my @versions = split ' ', $ENV{DPIPE_KAFKA_VERSIONS} // ($long ? '3.9.2 4.4.0' : '3.9.2');
my $rate     = $long ? 16000 : 8000;

note "DPIPE_SEED=$seed DPIPE_FAULTS=$nfaults DPIPE_RECORDS=$records";
diag "seed $seed";

sub loads { my ($node) = @_; return $node->try_sql('SELECT count(*) FROM dpipe.load') // -1; }

# Offsets read so far, those of aborted and control records among them.
sub position
{
    my ($node) = @_;
    return $node->try_sql(q{SELECT coalesce(sum(position), 0) FROM dpipe.source_partition
        WHERE source = 'ev'}) // -1;
}

# Every partition's position is at the end of its log.
sub at_end
{
    my ($node, $kafka, $topic) = @_;
    my @ends = map { $_->[1] } $kafka->watermarks($topic);
    my $want = join ',', @ends;
    return $node->wait_sql(
        q{SELECT string_agg(position::text, ',' ORDER BY partition)
            FROM dpipe.source_partition WHERE source = 'ev'},
        expected => $want,
        seconds  => 120);
}

sub copy_lines
{
    my ($node, $table, $lines) = @_;
    my $in = "COPY $table FROM STDIN;\n" . join('', map { "$_\n" } @$lines) . "\\.\n";
    $node->safe_psql('postgres', $in);
    return;
}

# A node that is to read all of a topic, and those who write it. The name is
# the topic's, too.
sub make_node
{
    my ($name, $kafka, $install_path) = @_;
    my $node = Dpipe::Node->make(
        $name,
        install_path => $install_path,
        conf         => "include_if_exists = 'fault.conf'\ndpipe.max_workers = 8\n");

    $kafka->create_topic($name, 8);
    $node->create_server('broker', $kafka);
    # Nothing unique about it: what comes twice is to be seen twice.
    $node->sql(<<'SQL');
CREATE TABLE events (_topic text, _partition int, _offset bigint, _payload text, _load_id bigint);
CREATE TABLE bounded (_source text, _topic text, _partition int, _offset bigint, _payload text);
CREATE TABLE committed (topic text, partition int, "offset" bigint, md5 text);
CREATE TABLE aborted (LIKE committed);
CREATE TABLE uncommitted (LIKE committed);
SQL
    return $node;
}

sub files { my ($name) = @_; return map { $_ => log_path("${name}_$_") } qw(log aborted unknown); }

sub start_producer
{
    my ($name, $kafka, $n) = @_;
    return $kafka->start_produce(
        topic           => $name,
        partitions      => 8,
        records         => $n,
        producers       => 4,
        txn_producers   => 2,
        txn_records     => 50,
        malformed_every => 1000,
        rate            => $rate,
        seed            => $seed,
        credit          => 1,
        files($name));
}

# One fault after the other. Those at fault points of the transaction are near
# a commit by their nature; of the others as many are aimed as a third takes, and
# some more, as not each hits.
sub torment
{
    my ($node, $faults, $records, @plan) = @_;
    # Some are kept for moments in which there would be nothing to load.
    my $share = int(0.8 * $records / @plan);

    foreach my $i (0 .. $#plan)
    {
        my $aimed  = $faults->can_be_aimed($plan[$i]) && $faults->{aimed} < 1 + 0.4 * $i;
        my $before = loads($node);

        $faults->{producer}->say($share);
        # It works again, and has kept up: only then is there something to
        # interrupt, and the faults are spread over all the records.
        die "nothing is loaded before fault $i"
            unless wait_until(120,
                sub { loads($node) > $before && position($node) > 0.8 * $i * $share }, 0.05);
        sleep(rand(0.8 * $share / $rate)) if $faults->can_be_aimed($plan[$i]) && !$aimed;
        note sprintf('%d: %s%s', $i, $plan[$i], $aimed ? ', aimed' : '');
        $faults->strike($plan[$i], $aimed);
    }
    return;
}

# What the producers say was committed; true when a reader of the topic agrees.
sub take_truth
{
    my ($name, $node, $kafka) = @_;
    my %file   = files($name);
    my @lines  = split /\n/, slurp_file($file{log});
    my @reread = $kafka->dump_topic($name, 'committed');

    if (-s $file{unknown})
    {
        # The broker died before it said what became of these. It knows now.
        my %unknown = map { (split /\t/)[2] => 1 } split /\n/, slurp_file($file{unknown});
        push @lines, grep { $unknown{ (split /\t/)[3] } } @reread;
    }
    my @aborted = split /\n/, slurp_file($file{aborted});
    my @changed = $kafka->correct_truth($name, \@reread, \@lines, \@aborted);
    diag sprintf '%d records were committed that were to be aborted, %d the other way round', @changed
        if $changed[0] + $changed[1] > 0;
    copy_lines($node, 'committed',   \@lines);
    copy_lines($node, 'aborted',     \@aborted);
    copy_lines($node, 'uncommitted', [ $kafka->dump_topic($name, 'uncommitted') ]);
    return join("\n", @reread) eq join("\n", sort @lines);
}

# The records are all loaded; what is found?
sub compare
{
    my ($name, $node, $kafka) = @_;
    die 'the end is never reached' unless at_end($node, $kafka, $name);

    my %found = (
        reread   => take_truth($name, $node, $kafka),
        restarts => scalar(() = slurp_file($node->logfile) =~ /database system is ready/g),
        crashes  => join("\n", $node->crash_lines));
    $node->sql(<<'SQL');
CREATE TABLE got AS
SELECT _topic, _partition, _offset, md5(convert_to(_payload, 'UTF8')) FROM events
 UNION ALL
SELECT topic, partition, "offset", md5(payload) FROM dpipe.dead_letter WHERE source = 'ev';
SQL
    my %query = (
        committed => 'SELECT count(*) FROM committed',
        dead      => q{SELECT count(*) FROM dpipe.dead_letter WHERE source = 'ev'},
        lost      => 'SELECT count(*) FROM (TABLE committed EXCEPT ALL TABLE got) x',
        surplus   => 'SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE committed) x',
        aborted   => 'SELECT count(*) FROM aborted',
        hidden    => 'SELECT count(*) FROM (TABLE aborted EXCEPT ALL TABLE uncommitted) x',
        ledger    => q{SELECT sum(rows) = (SELECT count(*) FROM events) AND
            sum(dead_letters) = (SELECT count(*) FROM dpipe.dead_letter WHERE source = 'ev')
            FROM dpipe.load WHERE source = 'ev'});
    $found{$_} = $node->sql($query{$_}) foreach sort keys %query;
    return \%found;
}

# Sources beside, killed while they noted that they are at their end, or that
# there was nothing but aborted records.
sub check_others
{
    my ($name, $node, $kafka, $faults) = @_;
    my $end  = ($kafka->watermarks("$name-aborted"))[0][1];
    my $stop = Dpipe::Faults::BOUNDED_STOP;

    ok($node->wait_sql(q{SELECT count(*) FROM dpipe.source_status
            WHERE source ~ '^bounded' AND state = 'finished'}, expected => $faults->{bounded}),
        'bounded sources are finished');
    is($node->sql(<<SQL), 0, 'with each record before their end once');
WITH want AS (
    SELECT name, c.* FROM dpipe.source, committed c WHERE name ~ '^bounded' AND "offset" < $stop
), got AS (
    SELECT _source, _topic, _partition, _offset, md5(convert_to(_payload, 'UTF8')) FROM bounded
     UNION ALL
    SELECT source, topic, partition, "offset", md5(payload) FROM dpipe.dead_letter WHERE source ~ '^bounded'
)
SELECT (SELECT count(*) FROM (TABLE want EXCEPT ALL TABLE got) x) +
       (SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE want) x);
SQL
    ok($node->wait_sql(q{SELECT position FROM dpipe.source_partition WHERE source = 'aborted'},
            expected => $end),
        'a source with aborted records only is at the end');
    is($node->sql(q{SELECT count(*) FROM bounded WHERE _source = 'aborted'}), 0, 'without a row');
    return;
}

sub finish_producer
{
    my ($producer) = @_;
    $producer->close_stdin;
    my $status = $producer->wait_end($long ? 3600 : 600);
    die 'the producers failed' unless defined $status && $status == 0;
    return;
}

sub exactly_once
{
    my ($version, $kafka) = @_;
    (my $name = "exact-$version") =~ tr/./_/;
    my $node     = make_node($name, $kafka);
    my $producer = start_producer($name, $kafka, $records);
    my $faults   = Dpipe::Faults->new(
        node => $node, kafka => $kafka, producer => $producer, source => 'ev', topic => $name, target => 'events');
    my @plan = Dpipe::Faults->plan($nfaults);

    $node->sql($faults->definition);
    torment($node, $faults, $records, @plan);
    finish_producer($producer);
    my $found = compare($name, $node, $kafka);

    diag sprintf "Kafka %s: %d committed records, %d aborted, %d dead letters; the server started %d times;\n"
        . "  %d faults, %d within %d ms of a commit:\n%s",
        $version, @$found{qw(committed aborted dead restarts)}, scalar @plan,
        $faults->{aimed}, Dpipe::Faults::AIMED_MS,
        join '', map { sprintf "%6d %s\n", $faults->{count}{$_} // 0, $_ } Dpipe::Faults->kinds;

    is(join(', ', grep { !$faults->{count}{$_} } Dpipe::Faults->kinds), '', 'each kind of fault has happened');
  SKIP:
    {
        # There a commit alone takes longer than what counts as near to it.
        skip 'nothing is near to a commit under valgrind', 1 if ($ENV{DPIPE_SLOW} // 1) > 1;
        cmp_ok($faults->{aimed}, '>=', $long ? int(@plan / 3) : 3, 'some near to a commit');
    }
    cmp_ok($found->{committed}, '>', $records / 2, 'records were committed');
    cmp_ok($found->{aborted}, '>', $records / 20, 'and others were aborted');
    is($found->{hidden}, 0, 'which are there for read_uncommitted');
    ok($found->{reread}, 'the producers and a reader agree on what was committed');
    is($found->{lost},    0, 'nothing is lost');
    is($found->{surplus}, 0, 'nothing is there twice, and nothing that was aborted');
    cmp_ok($found->{dead}, '>', 0, 'what is no JSON is a dead letter');
    is($found->{ledger}, 't', 'the ledger counts what is there');
    check_others($name, $node, $kafka, $faults);
    is($faults->{swept},  0,   'no process outlives a killed postmaster');
    is($found->{crashes}, '', 'nothing crashed but what was killed');
    $node->stop;
    return;
}

# A build that commits the position apart from the rows.
sub find_out_faulty
{
    my ($kafka) = @_;
    my $copy = qx(DPIPE_VARIANT=split DPIPE_VARIANT_DIR='$PostgreSQL::Test::Utils::tmp_check' \\
        DPIPE_MAKE=DPIPE_CPPFLAGS=-DDPIPE_FAULT_SPLIT_COMMIT \\
        sh '@{[top_dir()]}/test/lib/temp_install.sh' '$ENV{DPIPE_PG_CONFIG}');
    die 'the faulty build failed' if $? != 0;
    chomp $copy;
    (my $path = $copy) =~ s{/bin/pg_config$}{};

    my $node     = make_node('faulty', $kafka, $path);
    my $producer = start_producer('faulty', $kafka, 30000);
    my $faults   = Dpipe::Faults->new(
        node => $node, kafka => $kafka, producer => $producer, source => 'ev', topic => 'faulty', target => 'events');
    $node->sql($faults->definition);
    torment($node, $faults, 30000,
        ('at load_compared', 'at load_stored', 'at load_before_commit') x 2);
    finish_producer($producer);
    my $found = compare('faulty', $node, $kafka);

    note "the faulty build lost $found->{lost} records";
    cmp_ok($found->{lost} + $found->{surplus},
        '>', 0, 'a position committed apart from the rows is found out');
    $node->stop;
    return;
}

srand $seed;
foreach my $version (@versions)
{
  SKIP:
    {
        my $reason = Dpipe::Kafka->skip_reason($version);
        skip "Kafka $version: $reason", 1 if $reason;

        my $kafka = Dpipe::Kafka->new("exact_$version", version => $version, heap => $long ? '768m' : '256m');
        subtest "Kafka $version" => sub { exactly_once($version, $kafka) };
        find_out_faulty($kafka) if $version eq $versions[0];
        $kafka->stop;
    }
}

done_testing();
