# What a Kafka source does with what a real broker does: where it starts and
# stops, partitions that come, records that go, topics that are made again,
# transactions, brokers that are away.
use strict;
use warnings;

use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;
use Dpipe::Process qw(wait_until);

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

# Less than the 30 s that a CALL waits for a broker, and more than a machine
# stands still.
use constant SOON => 20;

my $kafka = Dpipe::Kafka->new('source');
my $node  = Dpipe::Node->make('source', conf => "dpipe.max_workers = 8\n");
$node->create_server('k', $kafka);

# Define a source (disabled unless said otherwise) into a table of its name.
sub define
{
    my ($name, $topic, %options) = @_;
    my $start = $options{start} // 'earliest';
    my $json  = $options{options} // '{"enabled": false}';
    $node->sql(qq{SELECT dpipe_create_kafka_source('$name', 'k', '$topic',
        'public.$name', start => '$start', options => '$json')});
    return;
}

sub count { return $node->sql("SELECT count(*) FROM $_[0]"); }

# CALL dpipe_sync; returns what it says on stderr, '' when it succeeded.
sub sync_error
{
    my ($name, $sql) = @_;
    my ($rc, $out, $err) =
        $node->psql('postgres', $sql // "CALL dpipe_sync('$name')",
        extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    return $rc == 0 ? '' : $err;
}

sub status
{
    my ($name, $column) = @_;
    return $node->sql(
        "SELECT $column FROM dpipe.source_status WHERE source = '$name'");
}

# ---- start ----

$kafka->create_topic('t', 2);
$kafka->send_records('t', map { [ 0, "k$_", qq({"n": $_}) ] } 1 .. 10);
$kafka->send_records('t', map { [ 1, "k$_", qq({"n": $_}) ] } 11 .. 15);
sleep 0.05;
my $between = $node->sql("SELECT clock_timestamp()");
sleep 0.05;
$kafka->send_records('t', map { [ 0, "k$_", qq({"n": $_}) ] } 16 .. 18);

define('earliest', 't');
define('latest', 't', start => 'latest');
define('since', 't', start => qq({"timestamp": "$between"}));
define('listed', 't', start => '{"t": {"0": 12}}');
is(sync_error($_), '', "sync $_") foreach qw(earliest latest since listed);
is(count('earliest'), 18, 'earliest: everything');
is(count('latest'), 0, 'latest: nothing that was there');
is(count('since'), 3, 'timestamp: what came after it');
is($node->sql(q{SELECT string_agg(_partition || ':' || _offset, ' '
          ORDER BY _partition, _offset) FROM listed}),
    '0:12 1:0 1:1 1:2 1:3 1:4', 'offsets: as listed, else from the beginning');

$kafka->send_records('t', [ 1, undef, '{"n": 19}' ]);
is(sync_error($_), '', "sync $_ again") foreach qw(earliest latest since);
is(count('earliest') . count('latest') . count('since'),
    '1914', 'each goes on from its position');
is($node->sql(q{SELECT _key, _payload->>'n', _headers IS NULL FROM latest}),
    '|19|t', 'the record, with a null key');
like($node->sql(q{SELECT positions FROM dpipe.load WHERE source = 'latest'}),
    qr/^\{"t": \{"1": \[5, 6\]\}\}$/, 'the ledger says what moved');

# ---- stop ----

define('bounded', 't', options => '{"stop_at": {"t": {"0": 4, "1": 2}}}');
ok( $node->wait_sql(
        q{SELECT state = 'finished' FROM dpipe.source_status WHERE source = 'bounded'}
    ), 'a bounded read finishes');
is(count('bounded'), 6, 'and has read up to its stop');
is($node->sql(q{SELECT string_agg(partition || ':' || position, ' ' ORDER BY partition)
      FROM dpipe.source_partition WHERE source = 'bounded'}), '0:4 1:2', 'where it stands');
# While a batch lingers the log's end is seen: that is no reason to stand there.
define('lingering', 't',
    options => '{"stop_at": {"t": {"0": 4, "1": 2}}, "linger_ms": 1000}');
ok( $node->wait_sql(
        q{SELECT state = 'finished' FROM dpipe.source_status WHERE source = 'lingering'}
    ), 'a bounded read finishes that has seen more');
define('lingering', 't');
ok($node->wait_sql('SELECT count(*) >= 19 FROM lingering'), 'its stop taken back');
is($node->sql('SELECT count(*), count(DISTINCT (_partition, _offset)) FROM lingering'),
    '19|19', 'it reads what was behind the stop');
define('until_now', 't', options => '{"stop_at": "latest"}');
ok( $node->wait_sql(
        q{SELECT state = 'finished' FROM dpipe.source_status WHERE source = 'until_now'}
    ), 'stop_at latest finishes');
is(count('until_now'), 19, 'with all there was');

# ---- transactions: control records move the position, aborted ones do not load ----

$kafka->create_topic('tx', 1);
$kafka->produce(
    topic => 'tx', partitions => 1, records => 300, producers => 1,
    txn_producers => 1, txn_records => 50, abort_every => 3);
define('tx', 'tx');
is(sync_error('tx'), '', 'sync of transactions');
is(count('tx'), 200, 'committed records only');
is($node->sql(q{SELECT position = end_offset AND position > 300 AND lag_records = 0
      FROM dpipe.source_partition WHERE source = 'tx'}),
    't', 'the position is behind the last control record');
is(sync_error('tx'), '', 'and again, where nothing is left');
is(count('tx'), 200, 'nothing twice');

# ---- partitions that are added ----

$node->append_conf('postgresql.conf', 'dpipe.discovery_interval = 500ms');
$node->reload;
define('growing', 't', start => 'latest', options => '{"workers": 2}');
ok( $node->wait_sql(q{SELECT count(*) = 2 FROM dpipe.source_partition
          WHERE source = 'growing' AND lag_records = 0}), 'two slots stand at the end');
$kafka->ctl('partitions', 't', 4);
$kafka->send_records('t', [ 2, 'a', '{"n": 20}' ], [ 3, 'b', '{"n": 21}' ]);
ok($node->wait_sql('SELECT count(*) = 2 FROM growing'),
    'records of new partitions are read from their beginning');
is($node->sql(q{SELECT string_agg(slot::text, '' ORDER BY partition)
      FROM dpipe.source_partition WHERE source = 'growing'}),
    '0101', 'partitions belong to slots in turn');

# ---- records that retention ate ----

$kafka->create_topic('gap', 1);
$kafka->send_records('gap', map { [ 0, undef, qq({"n": $_}) ] } 1 .. 5);
define('gap_stop', 'gap');
define('gap_earliest', 'gap', options => '{"enabled": false, "on_gap": "earliest"}');
define('gap_latest', 'gap', options => '{"enabled": false, "on_gap": "latest"}');
is(sync_error($_), '', "sync $_") foreach qw(gap_stop gap_earliest gap_latest);
$kafka->send_records('gap', map { [ 0, undef, qq({"n": $_}) ] } 6 .. 10);
$kafka->ctl('delete-records', 'gap', 0, 8);
like(sync_error('gap_stop'), qr/55000.*offsets 5 to 7 are gone/s, 'a gap stops by default');
is(status('gap_stop', 'state'), 'disabled', 'still disabled');
$node->sql(q{SELECT dpipe_enable_source('gap_stop')});
ok( $node->wait_sql(
        q{SELECT state = 'error' AND reason ~ 'dpipe_seek' FROM dpipe.source_status WHERE source = 'gap_stop'}
    ), 'a worker stops with a reason');
is(sync_error($_), '', "sync $_ over the gap") foreach qw(gap_earliest gap_latest);
is(count('gap_earliest'), 7, 'on_gap earliest: goes on at what is left');
is(count('gap_latest'), 5, 'on_gap latest: goes on at the end');
is($node->sql(q{SELECT string_agg(DISTINCT format('%s %s-%s %s', source, from_offset, to_offset, action), ', '
        ORDER BY format('%s %s-%s %s', source, from_offset, to_offset, action)) FROM dpipe.gap}),
    'gap_earliest 5-8 earliest, gap_latest 5-10 latest, gap_stop 5-8 stop',
    'every gap is recorded');
$node->sql(q{SELECT dpipe_seek('gap_stop', '{"gap": {"0": 8}}')});
ok($node->wait_sql('SELECT count(*) = 7 FROM gap_stop'),
    'after dpipe_seek it goes on');

# The fingerprint's record alone being gone is no gap.
$kafka->ctl('delete-records', 'gap', 0, 10);
$kafka->send_records('gap', [ 0, undef, '{"n": 11}' ]);
is(sync_error('gap_earliest'), '', 'sync without the fingerprint');
is(count('gap_earliest'), 8, 'goes on');

# ---- a topic that is made again ----

foreach my $records (3, 5, 7)
{
    my $topic = "again$records";
    $kafka->create_topic($topic, 1);
    $kafka->send_records($topic, map { [ 0, undef, qq({"n": $_}) ] } 1 .. 5);
    define($topic, $topic);
    is(sync_error($topic), '', "sync $topic");
    $kafka->ctl('delete', $topic);
    ok( wait_until(
            60, sub { $kafka->ctl_status('create', $topic, 1) == 0 }, 0.3),
        'made again');
    $kafka->send_records($topic, map { [ 0, undef, qq({"m": $_}) ] } 1 .. $records);
    like(sync_error($topic), qr/recreated or truncated/,
        "$records records in the new topic: found out");
    is(count($topic), 5, 'nothing of it is loaded');
}

# ---- who may not, and what cannot ----

define('nowhere', 'no_such_topic');
like(sync_error('nowhere'), qr/42704.*topic "no_such_topic"/s, 'unknown topic');
like(sync_error('', "CALL dpipe_sync('nobody')"), qr/42704/, 'unknown source');
like(sync_error('', "BEGIN; CALL dpipe_sync('t'); COMMIT"), qr/2D000/,
    'not in a transaction block');
like(sync_error('growing'), qr/55006/, 'not while a worker has it');

# ---- a broker that is away ----

$node->sql(q{SELECT dpipe_enable_source('earliest')});
ok( $node->wait_sql(
        q{SELECT state = 'running' FROM dpipe.source_status WHERE source = 'earliest'}),
    'running');
$kafka->kill9;
ok( $node->wait_sql(
        q{SELECT state = 'retrying' AND reason ~ 'broker' FROM dpipe.source_status WHERE source = 'earliest'}
    ), 'a dead broker is seen');
my $begun = time();
$node->sql(q{SELECT dpipe_disable_source('earliest')});
cmp_ok(time() - $begun, '<', SOON, 'disabling returns at once');
ok( $node->wait_sql(
        q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name ~ 'earliest'}
    ), 'and the worker goes');
$node->sql(q{SELECT dpipe_enable_source('earliest')});
ok( $node->wait_sql(
        q{SELECT state = 'retrying' AND reason ~ 'broker' FROM dpipe.source_status WHERE source = 'earliest'}
    ), 'enabled while the broker is away it waits');
$kafka->start;
$kafka->send_records('t', [ 0, undef, '{"n": 22}' ]);
ok( $node->wait_sql(
        q{SELECT count(*) = 1 FROM earliest WHERE _payload->>'n' = '22'}),
    'goes on when the broker is back');

# A cancelled CALL answers within a second, wherever it waits, and leaves
# nothing behind.
$kafka->kill9;
my $session = IPC::Run::start(
    [ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', "CALL dpipe_sync('tx')" ],
    '<', \undef, '>', \my $out, '2>', \my $err);
$node->wait_sql(
    q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^CALL dpipe_sync' AND wait_event_type = 'Extension'});
$begun = time();
$node->sql(
    q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^CALL dpipe_sync'});
$session->finish;
cmp_ok(time() - $begun, '<', SOON, 'cancel answers at once');
like($err, qr/canceling statement/, 'and says so');

is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop;
done_testing();
