# Exactly once, with real servers: while producers write, some of them in
# transactions of which every third is aborted, the worker, the postmaster and
# the broker are killed again and again, a third of the time within 20 ms of a
# commit. In the end the records in the target and the dead letters are
# compared with those that were committed: (topic, partition, offset, md5 of
# the payload), as multisets.
#
# The same is then done to a build that commits the position apart from the
# rows, and the comparison must find it out.
#
# DPIPE_SEED repeats a run; DPIPE_KILLS and DPIPE_RECORDS make it longer.
use strict;
use warnings;

use List::Util qw(shuffle);
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;
use Dpipe::Process qw(log_path wait_until top_dir);

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

my $long    = $ENV{DPIPE_LONG} // 0;
my $kills   = $ENV{DPIPE_KILLS}   // ($long ? 100     : 20);
my $records = $ENV{DPIPE_RECORDS} // ($long ? 2000000 : 200000);
my $seed    = $ENV{DPIPE_SEED}    // int(time() * 1000) % 1000000007;

note "DPIPE_SEED=$seed DPIPE_KILLS=$kills DPIPE_RECORDS=$records";
diag "seed $seed";

# What is killed, as shares of ten. A killed worker takes the whole server
# through crash recovery; one that is terminated does not.
my @victims = (
    ('worker KILL') x 3, ('worker TERM') x 2, ('postmaster KILL') x 3,
    'broker KILL', 'broker TERM');

# Steps of the exactness transaction at which a worker dies by its own hand.
my @steps =
    qw(load_compared load_stored load_before_commit load_after_commit);

# The file that the server's configuration includes for fault points.
sub set_fault
{
    my ($node, $fault) = @_;
    my $file = $node->data_dir . '/fault.conf';
    open my $out, '>', $file or die "$file: $!";
    print $out "dpipe.fault_point = '$fault'\n";
    close $out;
    kill 'HUP', $node->postmaster_pid;
    return;
}

# Wait until something new is loaded, then at once kill a process: one psql
# does both, for starting another would take longer than the 20 ms allowed.
sub kill_after_load
{
    my ($node, $signal, $pid) = @_;
    my $script = <<SQL;
DO \$\$
DECLARE
    before bigint := (SELECT max(last_load_id) FROM dpipe.position);
BEGIN
    FOR i IN 1..10000 LOOP
        EXIT WHEN (SELECT max(last_load_id) FROM dpipe.position) > before;
        PERFORM pg_sleep(0.002);
    END LOOP;
END \$\$;
SELECT round(extract(epoch FROM clock_timestamp() - max(last_load_at)) * 1000, 1) FROM dpipe.position;
\\! kill -$signal $pid
SQL
    my ($out, $err) = ('', '');
    IPC::Run::run [ 'psql', '-XqAt', '-d', $node->connstr('postgres') ],
        '<', \$script, '>', \$out, '2>', \$err;
    chomp $out;
    note "    $out ms after a commit";
    return;
}

sub a_worker
{
    my ($node) = @_;
    my $pids = wait_until(60, sub { my @pids = $node->worker_pids('ev'); @pids ? \@pids : undef; });
    die 'no worker' unless $pids;
    return $pids->[ rand @$pids ];
}

sub kill_worker
{
    my ($node, $signal, $aimed) = @_;

    if ($aimed && $signal eq 'KILL')
    {
        my $step   = $steps[ rand @steps ];
        my $before = -s $node->logfile;
        note "    at $step";
        set_fault($node, "$step:kill");
        wait_until(
            60,
            sub {
                slurp_file($node->logfile, $before) =~ /terminated by signal 9/;
            },
            0.005) or die 'the fault point was not met';
        set_fault($node, '');
    }
    elsif ($aimed)
    {
        kill_after_load($node, $signal, a_worker($node));
    }
    else
    {
        kill $signal, a_worker($node);
    }
    $node->wait_up;
    return;
}

sub kill_one
{
    my ($node, $kafka, $victim, $signal, $aimed) = @_;

    if ($victim eq 'worker')
    {
        kill_worker($node, $signal, $aimed);
    }
    elsif ($victim eq 'postmaster')
    {
        kill_after_load($node, 'KILL', $node->postmaster_pid) if $aimed;
        my $left = $node->kill_postmaster;
        $node->start;
        return $left;
    }
    else
    {
        kill_after_load($node, $signal, $kafka->{process}->pid) if $aimed;
        $signal eq 'KILL' ? $kafka->kill9 : $kafka->stop;
        $kafka->start;
    }
    return 0;
}

sub loads { my ($node) = @_; return $node->try_sql('SELECT count(*) FROM dpipe.load') // -1; }

# Offsets read so far, those of aborted and control records among them.
sub position
{
    my ($node) = @_;
    return $node->try_sql(q{SELECT coalesce(sum(position), 0) FROM dpipe.source_partition})
        // -1;
}

# Every partition's position is at the end of its log.
sub at_end
{
    my ($node, $kafka) = @_;
    my @ends = map { $_->[1] } $kafka->watermarks('events');
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

# Torment a node; returns what was found.
sub torment
{
    my ($name, %options) = @_;
    my %file = map { $_ => log_path("${name}_$_") } qw(log aborted unknown);
    my $kafka = Dpipe::Kafka->new($name, heap => $long ? '768m' : '256m');
    my $node  = Dpipe::Node->make(
        $name,
        install_path => $options{install_path},
        conf         => "include_if_exists = 'fault.conf'\n");
    my $share = int($options{records} / $options{kills});
    my $rate  = $long ? 16000 : 8000;

    $kafka->create_topic('events', 8);
    $node->create_server('broker', $kafka);
    # Nothing unique about it: what comes twice is to be seen twice.
    $node->sql(<<'SQL');
CREATE TABLE events (_topic text, _partition int, _offset bigint, _payload text, _load_id bigint);
SELECT dpipe_create_kafka_source('ev', server => 'broker', topic => 'events', target => 'events',
    options => '{"workers": 2, "linger_ms": 50}');
CREATE TABLE committed (topic text, partition int, "offset" bigint, md5 text);
CREATE TABLE aborted (LIKE committed);
CREATE TABLE uncommitted (LIKE committed);
SQL
    my $producer = $kafka->start_produce(
        topic           => 'events',
        partitions      => 8,
        records         => $options{records},
        producers       => 4,
        txn_producers   => 2,
        txn_records     => 50,
        malformed_every => 1000,
        rate            => $rate,
        seed            => $seed,
        credit          => 1,
        %file);

    my @plan = map { $victims[ $_ % @victims ] } 0 .. $options{kills} - 1;
    @plan = shuffle @plan;
    @plan = ('worker KILL') x $options{kills} if $options{workers_only};
    my $swept = 0;
    my %count;
    foreach my $i (0 .. $#plan)
    {
        my ($victim, $signal) = split / /, $plan[$i];
        my $aimed  = $i % 3 == 0 || $options{workers_only};
        my $before = loads($node);

        $producer->say($share);
        # It works again, and has kept up: only then is there something to
        # interrupt, and the kills are spread over all the records.
        die "nothing is loaded before kill $i"
            unless wait_until(120,
                sub { loads($node) > $before && position($node) > 0.8 * $i * $share }, 0.05);
        sleep(rand(0.8 * $share / $rate)) unless $aimed;
        note sprintf('%d: %s%s', $i, $plan[$i], $aimed ? ', aimed' : '');
        $swept += kill_one($node, $kafka, $victim, $signal, $aimed);
        $count{$victim}++;
    }
    $producer->close_stdin;
    my $status = $producer->wait_end(600);
    die 'the producers failed' unless defined $status && $status == 0;
    die 'the end is never reached' unless at_end($node, $kafka);

    my @lines  = split /\n/, slurp_file($file{log});
    my @reread = $kafka->dump_topic('events', 'committed');
    if (-s $file{unknown})
    {
        # The broker died before it said what became of these. It knows now.
        my %unknown = map { (split /\t/)[2] => 1 } split /\n/, slurp_file($file{unknown});
        push @lines, grep { $unknown{ (split /\t/)[3] } } @reread;
    }
    copy_lines($node, 'committed',   \@lines);
    copy_lines($node, 'aborted',     [ split /\n/, slurp_file($file{aborted}) ]);
    copy_lines($node, 'uncommitted', [ $kafka->dump_topic('events', 'uncommitted') ]);
    $node->sql(<<'SQL');
CREATE TABLE got AS
SELECT _topic, _partition, _offset, md5(convert_to(_payload, 'UTF8')) FROM events
 UNION ALL
SELECT topic, partition, "offset", md5(payload) FROM dpipe.dead_letter WHERE source = 'ev';
SQL
    my %found = (
        count    => \%count,
        swept    => $swept,
        restarts => scalar(() = slurp_file($node->logfile) =~ /database system is ready/g),
        crashes  => [ $node->crash_lines ],
        reread   => join("\n", @reread) eq join("\n", sort @lines));
    my %query = (
        committed => 'SELECT count(*) FROM committed',
        dead      => 'SELECT count(*) FROM dpipe.dead_letter',
        lost      => 'SELECT count(*) FROM (TABLE committed EXCEPT ALL TABLE got) x',
        surplus   => 'SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE committed) x',
        aborted   => 'SELECT count(*) FROM aborted',
        hidden    => 'SELECT count(*) FROM (TABLE aborted EXCEPT ALL TABLE uncommitted) x',
        ledger    => q{SELECT sum(rows) = (SELECT count(*) FROM events) AND
            sum(dead_letters) = (SELECT count(*) FROM dpipe.dead_letter) FROM dpipe.load});
    $found{$_} = $node->sql($query{$_}) foreach sort keys %query;
    $node->stop;
    $kafka->stop;
    return \%found;
}

srand $seed;
my $found = torment('exact', kills => $kills, records => $records);
diag sprintf '%d committed records, %d aborted, %d dead letters; kills: %s; the server started %d times',
    $found->{committed}, $found->{aborted}, $found->{dead},
    join(', ', map { "$_ $found->{count}{$_}" } sort keys %{ $found->{count} }),
    $found->{restarts};

cmp_ok($found->{committed}, '>', $records / 2, 'records were committed');
cmp_ok($found->{aborted}, '>', $records / 20, 'and others were aborted');
is($found->{hidden}, 0, 'which are there for read_uncommitted');
ok($found->{reread}, 'the producers and a reader agree on what was committed');
is($found->{lost},    0, 'nothing is lost');
is($found->{surplus}, 0, 'nothing is there twice, and nothing that was aborted');
cmp_ok($found->{dead}, '>', 0, 'what is no JSON is a dead letter');
is($found->{ledger}, 't', 'the ledger counts what is there');
is($found->{swept},  0,   'no process outlives a killed postmaster');
is_deeply($found->{crashes}, [], 'nothing crashed but what was killed');

{
    my $copy = qx(DPIPE_VARIANT=split DPIPE_VARIANT_DIR='$PostgreSQL::Test::Utils::tmp_check' \\
        DPIPE_MAKE=DPIPE_CPPFLAGS=-DDPIPE_FAULT_SPLIT_COMMIT \\
        sh '@{[top_dir()]}/test/lib/temp_install.sh' '$ENV{DPIPE_PG_CONFIG}');
    die 'the faulty build failed' if $? != 0;
    chomp $copy;
    (my $path = $copy) =~ s{/bin/pg_config$}{};
    my $faulty = torment(
        'faulty',
        kills        => 6,
        records      => 30000,
        workers_only => 1,
        install_path => $path);

    note "the faulty build lost $faulty->{lost} records";
    cmp_ok($faulty->{lost} + $faulty->{surplus},
        '>', 0, 'a position committed apart from the rows is found out');
}

done_testing();
