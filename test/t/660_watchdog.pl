# A Kafka client that falls silent is replaced; one that has nothing to say is
# left alone.
use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until slow);
use Dpipe::Proxy;

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

# Clients are told to connect to the proxy, whatever they ask.
my $port  = PostgreSQL::Test::Cluster::get_free_port();
my $kafka = Dpipe::Kafka->new('watchdog',
    properties => { 'advertised.listeners' => "PLAINTEXT://127.0.0.1:$port" });
my $proxy = Dpipe::Proxy->new($port, $kafka->{port});
my $node  = Dpipe::Node->make('watchdog', conf => sprintf("dpipe.stall_timeout = %ds\n", 1 + slow() / 3));

$kafka->create_topic($_, 2) foreach 't', 'idle', 'open';
$node->create_server('k', $kafka);

# Without the watchdog the client would wait for its answer until the test is over.
sub define
{
    my ($name) = @_;
    $node->sql(qq{SELECT dpipe_create_kafka_source('$name', server => 'k', topic => '$name', target => 'r_$name',
        options => '{"librdkafka": {"socket.timeout.ms": "300000"}}')});
    return;
}

sub send_record { my ($topic, $n) = @_; return $kafka->send_records($topic, [ 0, undef, qq({"n": $n}) ]); }
sub rows        { my ($topic, $n) = @_; return $node->wait_sql("SELECT count(*) = $n FROM r_$topic"); }
sub pid         { return ($node->worker_pids(@_))[0]; }

# Times that the log has said something since the test began.
sub said { my ($regex) = @_; return scalar(() = slurp_file($node->logfile) =~ /$regex/g); }

send_record($_, 1) foreach 't', 'idle', 'open';
define($_) foreach 't', 'idle', 'open';
ok(rows($_, 1), "$_ loads") foreach 't', 'idle', 'open';

# A transaction that stays open: its records cannot be read yet.
my $producer = $kafka->start_produce(
    topic => 'open', partitions => 2, records => 100 * slow(), producers => 1,
    txn_producers => 1, txn_records => 100 * slow(), rate => 4);
ok( wait_until(30, sub { my @all = $kafka->dump_topic('open', 'uncommitted'); @all > 2; }),
    'a transaction is open');
is(scalar(my @committed = $kafka->dump_topic('open', 'committed')), 1, 'and not to be read');

my %pid = map { $_ => pid($_) } 't', 'idle', 'open';
$proxy->swallow('fetch');
send_record('t', 2);
ok(rows('t', 2), 'a client without answers to its fetches is replaced');
isnt(pid('t'), $pid{t}, 'by one of another worker');
like($node->sql(q{SELECT last_error FROM dpipe.source_status WHERE source = 't'}),
    qr/client of source "t" delivers nothing of topic "t" partition 0, which has records/, 'which is told');
is(said(qr/ERROR:  the Kafka client of source "t" delivers nothing/), 1, 'and logged once');

# Once more, and the others have been silent for twice as long as it takes.
$proxy->swallow('fetch');
send_record('t', 3);
ok(rows('t', 3), 'it is replaced again');
is(pid('idle'), $pid{idle}, 'a client without records to deliver is left alone');
is(pid('open'), $pid{open}, 'and so is one whose records are in an open transaction');
is(said(qr/ERROR:  the Kafka client/), 1, 'the same error is one line a minute');

# The broker answers nothing at all on the connections that are there.
$proxy->swallow('all');
send_record('t', 4);
ok(rows('t', 4), 'a client without any answers is replaced');
is(said(qr/ERROR:  the Kafka client of source "t" does not answer/), 1, 'which is logged');
send_record('idle', 2);
ok(rows('idle', 2), 'also one that was idle');
is($node->sql('SELECT count(*) - count(DISTINCT (_partition, _offset)) FROM r_t'), 0, 'nothing is there twice');

# A record that takes longer to come than a client may be silent.
$node->safe_psql('postgres', q{ALTER SYSTEM SET dpipe.stall_timeout = '3s'});
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
my $large = qq({"n": 5, "text": "${\ ('x' x 3_000_000)}"});
my ($t_pid, $silent) = (pid('t'), said(qr/ERROR:  the Kafka client of source "t"/));
$proxy->throttle(300_000);
$kafka->send_records('t', [ 0, undef, $large ]);
ok(rows('t', 5), 'a record that takes ten seconds to come over a slow link arrives');
is(pid('t'), $t_pid, 'by the worker that was there');
is(said(qr/ERROR:  the Kafka client of source "t"/), $silent, 'nobody took it for silent');
$kafka->send_records('t', [ 0, undef, $large ]);
$proxy->swallow('all');
$proxy->throttle(0);
ok(rows('t', 6), 'a connection that dies under such a record is found');
isnt(pid('t'), $t_pid, 'and another worker has another one');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET dpipe.stall_timeout');
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');

# Web servers under bootstrap addresses: their "HTTP" is no length of a record.
my $web = IO::Socket::INET->new(Listen => 50, LocalAddr => '0.0.0.0') or die "listen: $!";
my $web_pid = fork // die "fork: $!";
if ($web_pid == 0)
{
    while (my $client = $web->accept)
    {
        print $client "HTTP/1.1 400 Bad Request\r\n\r\n";
        close $client;
    }
    POSIX::_exit(0);
}
my $webs = join ',', map { "127.0.0.$_:" . $web->sockport } 2 .. 20;
$kafka->create_topic('web', 1);
send_record('web', 1);
$node->sql(qq{CREATE SERVER w FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$webs,${\ $kafka->brokers}');
    SELECT dpipe_create_kafka_source('web', server => 'w', topic => 'web', target => 'r_web')});
ok(rows('web', 1), 'a source with web servers among its brokers loads');
note said(qr/Invalid response size 1213486160/), ' lines of what the web servers answered';
send_record('web', 2);
ok(rows('web', 2), 'and goes on');
kill 'KILL', $web_pid;
waitpid $web_pid, 0;

# A partition without a leader: the others are read as ever. The time to wait is
# one that no busy machine takes away from a worker.
$node->safe_psql('postgres', sprintf("ALTER SYSTEM SET dpipe.stall_timeout = '%ds'", 4 + slow() / 3));
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
$node->sql("SELECT dpipe_drop_source('$_')") foreach 't', 'idle', 'open', 'web';    # no turns to take
my $mock = Dpipe::Mock->new('watchdog', nodes => 2, topics => { lead => 3 });
my $reason = q{SELECT state || ': ' || reason FROM dpipe.source_status WHERE source = 'lead'};
$node->create_server('m', $mock);
$mock->send_records('lead', map { [ $_, undef, qq({"n": $_}) ] } 0 .. 2);
$node->sql(q{SELECT dpipe_create_kafka_source('lead', server => 'm', topic => 'lead', target => 'r_lead')});
ok(rows('lead', 3), 'a source with three partitions loads');
my $lead_pid = pid('lead');
$node->sql(q{SELECT dpipe_create_kafka_source('called', server => 'm', topic => 'lead', target => 'r_called', options => '{"enabled": false}')});
$mock->set_leader('lead', 1, -1);
ok($node->wait_sql(qq{SELECT ($reason) = 'running: 1 of 3 partitions has no leader and cannot be read: topic "lead" partition 1'}),
    'the status names the partition that has lost its leader') or diag $node->sql($reason);
my $seconds = int(9 + slow());
foreach my $n (1 .. $seconds)
{
    # Longer than the watchdog waits, twice, in all.
    my $since = $node->sql('SELECT clock_timestamp()');
    ok($node->wait_sql("SELECT clock_timestamp() > '$since'::timestamptz + interval '1 s'"), 'a second passes');
    $mock->send_records('lead', map { [ $_, undef, qq({"n": $n}) ] } 0, 2);
    ok(rows('lead', 3 + 2 * $n), 'the other partitions are loaded');
}
is(pid('lead'), $lead_pid, 'by the same worker');
is(said(qr/ERROR:  the Kafka client of source "lead"/), 0, 'the watchdog has not acted');
my $missing = '1 of 3 partitions has no leader and cannot be read: topic "lead" partition 1';
my (undef, undef, $err) = $node->psql('postgres', q{CALL dpipe_sync('called')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/08001: source "called": $missing\nHINT:  Start the brokers/, 'a call that asks for its end says that it has none');
$node->sql(q{SELECT dpipe_enable_source('called')});
ok($node->wait_sql(qq{SELECT state = 'retrying' AND reason = '$missing' FROM dpipe.source_status WHERE source = 'called'}), 'and so does a worker that is to begin there');
$mock->set_leader('lead', 1, 2);
$mock->send_records('lead', [ 1, undef, '{"n": 6}' ]);
ok(rows('lead', 4 + 2 * $seconds), 'a partition that has a leader again is read');
ok(rows('called', 4 + 2 * $seconds), 'also by the one that had to wait');
ok($node->wait_sql(qq{SELECT ($reason) = 'running: '}), 'and the status has nothing to tell') or diag $node->sql($reason);
is(pid('lead'), $lead_pid, 'by the same worker');

$producer->stop('KILL');
$node->stop;
$kafka->stop;
$proxy->stop;
$mock->stop;

done_testing();
