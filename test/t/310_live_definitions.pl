# Definitions that change while workers run: number of workers, topics,
# positions, rights, secrets. The mock cluster does for this.
use strict;
use warnings;

use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;

my $mock = Dpipe::Mock->new('live', topics => { orders => 4, more => 2, late => 4 });
my $node = Dpipe::Node->make('live', conf => <<'CONF');
log_statement = none
log_min_error_statement = panic
log_min_messages = debug1
dpipe.max_workers = 8
CONF

$node->sql(<<'SQL');
CREATE ROLE etl LOGIN;
CREATE ROLE nologin;
CREATE SCHEMA raw;
GRANT USAGE, CREATE ON SCHEMA raw TO etl, nologin;
SQL
$node->create_server('k', $mock);
$node->sql('GRANT USAGE ON FOREIGN SERVER k TO etl, nologin');

sub as_etl { return $node->sql("SET ROLE etl; $_[0]"); }

sub define
{
    my ($name, $topics, $options, $start) = @_;
    $start //= 'earliest';
    as_etl(qq{SELECT dpipe_create_kafka_source('$name', 'k', '$topics', 'raw.$name',
        start => '$start', options => '$options')});
    return;
}

sub records
{
    my ($topic, $from, $to) = @_;
    $mock->send_records($topic, map { [ $_ % 2, "k$_", qq({"n": $_}) ] } $from .. $to);
    return;
}

sub status
{
    my ($name, $column) = @_;
    return $node->sql("SELECT $column FROM dpipe.source_status WHERE source = '$name'");
}

sub all_there_by
{
    my ($name, $key, $n, $what) = @_;
    ok($node->wait_sql("SELECT count(*) = $n AND count(DISTINCT ($key)) = $n FROM raw.$name"), $what);
    return;
}

sub all_there
{
    my ($name, $n, $what) = @_;
    all_there_by($name, '_topic, _partition, _offset', $n, $what);
    return;
}

# ---- workers come and go under load ----

define('orders', 'orders', '{"workers": 1, "linger_ms": 10, "batch_rows": 50}');
my $producer = $mock->start_produce(
    topic => 'orders', partitions => 4, records => 6000, rate => 1500, payload => 'small');
foreach my $workers (3, 2, 4, 1)
{
    my $before = $node->sql('SELECT count(*) FROM raw.orders');
    ok($node->wait_sql("SELECT count(*) > $before FROM raw.orders"), 'it loads');
    define('orders', 'orders', qq({"workers": $workers, "linger_ms": 10, "batch_rows": 50}));
}
is($producer->wait_end(60), 0, 'everything was produced');
all_there('orders', 6000, 'every record once while the number of workers changed');
is($node->sql(q{SELECT string_agg(format('%s:%s', partition, position), ' ' ORDER BY partition)
        FROM dpipe.source_partition WHERE source = 'orders'}),
    join(' ', map { "$_:" . ($mock->watermarks('orders'))[$_][1] } 0 .. 3),
    'positions are at the ends');
ok($node->wait_sql(q{SELECT rows = 6000 FROM dpipe.source_status WHERE source = 'orders'}), 'the counts are kept');
ok($node->wait_sql(q{SELECT lag_records = 0 AND lag_seconds = 0 AND state = 'running' AND reason IS NOT NULL
        FROM dpipe.source_status}), 'no lag, and it runs');
ok($node->wait_sql(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name LIKE 'dpipe: orders/%'}),
    'one worker is left');

# ---- settings and definitions that change where there is never time to wait ----

# A batch takes 50 ms, and there are two thousand in the log.
$mock->create_topic('busy', 1);
$mock->produce(topic => 'busy', partitions => 1, records => 20000, payload => 'tiny');
as_etl(q{CREATE TABLE raw.busy (_offset bigint, mark text DEFAULT current_setting('test.mark', true), pid integer DEFAULT pg_backend_pid());
    CREATE FUNCTION raw.take_time() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
    CREATE TRIGGER t AFTER INSERT ON raw.busy FOR EACH STATEMENT EXECUTE FUNCTION raw.take_time()});
define('busy', 'busy', '{"batch_rows": 10}');
ok($node->wait_sql('SELECT count(*) > 50 FROM raw.busy'), 'a source under full load');
my $busy = $node->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'dpipe: busy/0'});
$node->append_conf('postgresql.conf', "test.mark = 'changed'");
$node->reload;
ok($node->wait_sql(q{SELECT count(*) > 0 FROM raw.busy WHERE mark = 'changed'}), 'a setting is taken over');
is($node->sql(q{SELECT string_agg(DISTINCT pid::text, ' ') FROM raw.busy}), $busy, 'by the worker that was there');
define('busy', 'busy', '{"batch_rows": 20}');
ok($node->wait_sql(q{SELECT count(*) > 0 FROM dpipe.load WHERE source = 'busy' AND rows = 20}), 'a definition is taken over');
unlike(slurp_file($node->logfile), qr/terminating background worker "dpipe worker"/, 'between two batches, not by force');
ok($node->wait_sql(q{SELECT lag_records > 0 FROM dpipe.source_status WHERE source = 'busy'}), 'and there was always more to load');
as_etl(q{DROP TRIGGER t ON raw.busy});
all_there_by('busy', '_offset', 20000, 'each record once');
as_etl(q{SELECT dpipe_drop_source('busy')});

# ---- whose process it is ----

is($node->sql(q{SELECT usename || ' ' || application_name FROM pg_stat_activity
        WHERE backend_type = 'dpipe worker'}), 'etl dpipe: orders/0', 'a worker is its owner');
is(status('orders', 'pids'),
    $node->sql(q{SELECT array_agg(pid) FROM pg_stat_activity WHERE backend_type = 'dpipe worker'}),
    'and its pid is shown');

# ---- topics come and go ----

records('more', 1, 20);
define('orders', 'orders, more', '{}');
all_there('orders', 6020, 'a topic that was added');
define('orders', 'more', '{}');
records('orders', 1, 10);
records('more', 21, 30);
all_there('orders', 6030, 'a topic that was taken out is not read');
is($node->sql(q{SELECT DISTINCT topic FROM dpipe.source_partition WHERE source = 'orders'}), 'more', 'nor shown');

# ---- seek ----

my ($low) = map { $_->[0] } ($mock->watermarks('more'))[0];
my $again = ($mock->watermarks('more'))[1][1] - 5;
as_etl(qq(SELECT dpipe_seek('orders', '{"more": {"1": $again}}')));
ok($node->wait_sql('SELECT count(*) = 6035 FROM raw.orders'), 'five records are read again');
is($node->sql(q{SELECT max(n) FROM (SELECT count(*) AS n FROM raw.orders GROUP BY _topic, _partition, _offset) x}),
    2, 'those and no others');
as_etl(q(SELECT dpipe_seek('orders', '"earliest"')));
ok($node->wait_sql('SELECT count(*) = 6065 FROM raw.orders'), 'all of the topic is read again');

# A position for some partitions of a topic that nobody has read yet: for the
# others the argument start still counts.
$mock->send_records('late', map { my $p = $_ % 4; [ $p, "k$_", '{}' ] } 0 .. 39);
define('late', 'late', '{"enabled": false, "workers": 2}', 'latest');
as_etl(q(SELECT dpipe_seek('late', '{"late": {"1": 7}}')));
as_etl(q(SELECT dpipe_enable_source('late')));
ok($node->wait_sql(q{SELECT count(*) FILTER (WHERE lag_records = 0) = 4 FROM dpipe.source_partition WHERE source = 'late'}),
    'it stands at the end of four partitions');
is($node->sql(q{SELECT string_agg(_partition || ':' || _offset, ' ' ORDER BY _offset) FROM raw.late}), '1:7 1:8 1:9',
    'and has read what was sought alone');

# ---- an owner who cannot log in ----

$node->sql(q{SET ROLE nologin; SELECT dpipe_create_kafka_source('anon', 'k', 'more', 'raw.anon')});
ok($node->wait_sql('SELECT count(*) = 30 FROM raw.anon'), 'an owner without LOGIN');
is($node->sql(q{SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'raw.anon'::regclass}), 'nologin',
    'owns the target');
$node->sql(q{SELECT dpipe_drop_source('anon')});

# ---- rights that were lost ----

$node->sql('REVOKE USAGE ON FOREIGN SERVER k FROM etl');
$node->sql(q{SELECT dpipe_disable_source('late')});
# Enabled again before its worker has looked, it would just go on.
$node->wait_sql(q{SELECT pids = '{}' FROM dpipe.source_status WHERE source = 'late'});
$node->sql(q{SELECT dpipe_enable_source('late')});
ok($node->wait_sql(q{SELECT last_error ~ 'permission denied for foreign server k' FROM dpipe.source_status
        WHERE source = 'late'}), 'without USAGE it says so') or diag status('late', "state || ': ' || reason");
$node->sql('GRANT USAGE ON FOREIGN SERVER k TO etl');
ok($node->wait_sql(q{SELECT state = 'running' FROM dpipe.source_status WHERE source = 'late'}), 'and runs when it is back');
as_etl(q{SELECT dpipe_drop_source('late')});
is($node->sql(q{SELECT count(*) FROM dpipe.source_status WHERE source = 'late'}), 0, 'dropped while it ran');
ok($node->wait_sql(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'dpipe: late/%'}), 'its workers leave');
isnt($node->sql(q{SELECT count(*) FROM dpipe.load WHERE source = 'late'}), 0, 'its loads stay');

# ---- dropped and made again in one moment ----

# Two slots and one partition: the second slot has nothing to read, so its
# position looks like that of a new source.
$mock->create_topic('lone', 1);
$mock->create_topic('pair', 2);
define('twin', 'lone', '{"workers": 2}');
ok($node->wait_sql(q{SELECT cardinality(pids) = 2 AND lag_records = 0 FROM dpipe.source_status WHERE source = 'twin'}),
    'a slot without partitions runs');
$mock->send_records('pair', map { [ $_ % 2, "k$_", '{}' ] } 1 .. 10);
as_etl(q{BEGIN; SELECT dpipe_drop_source('twin');
    SELECT dpipe_create_kafka_source('twin', 'k', 'pair', 'raw.twin2', options => '{"workers": 2}'); COMMIT});
all_there('twin2', 10, 'no worker takes the new source for its own');
is($node->sql(q{SELECT DISTINCT topic FROM dpipe.source_partition WHERE source = 'twin'}), 'pair',
    'nor writes into its position');
as_etl(q{SELECT dpipe_drop_source('twin')});

# ---- a name that goes to another role ----

# What went wrong before quotes records, and is nothing that the other may see.
$node->sql(q{CREATE ROLE heir LOGIN; GRANT USAGE, CREATE ON SCHEMA raw TO heir; GRANT USAGE ON FOREIGN SERVER k TO heir});
as_etl(q{CREATE TABLE raw.passed (n int);
    CREATE FUNCTION raw.not_now() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not now: 4711-etl' USING ERRCODE = '55000'; END$$;
    CREATE TRIGGER t BEFORE INSERT ON raw.passed FOR EACH ROW EXECUTE FUNCTION raw.not_now()});
define('passed', 'pair', '{"workers": 2}');
ok($node->wait_sql(q{SELECT last_error = 'not now: 4711-etl' FROM dpipe.source_status WHERE source = 'passed'}), 'a source that fails');
$node->sql(q{BEGIN; SELECT dpipe_drop_source('passed'); SET ROLE heir;
    SELECT dpipe_create_kafka_source('passed', 'k', 'pair', 'raw.inherited', options => '{"workers": 2}'); COMMIT});
sub seen_by_heir
{
    return $node->sql(q{SET ROLE heir; SELECT coalesce(last_error, 'nothing') || ' ' || reason FROM dpipe.source_status WHERE source = 'passed'});
}
unlike(seen_by_heir(), qr/4711/, 'another role makes one of its name, and sees no error of before');
all_there('inherited', 10, 'which runs');
like(seen_by_heir(), qr/^nothing /, 'nor does it later');
$node->sql(q{SELECT dpipe_drop_source('passed')});

# ---- secrets, and a broker that does not answer as it should ----

my $secret = 'hunter2-4711';
$node->sql(sprintf(<<'SQL', $mock->brokers, $secret));
CREATE SERVER secure FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" '%s', "security.protocol" 'sasl_plaintext', "sasl.mechanism" 'PLAIN');
GRANT USAGE ON FOREIGN SERVER secure TO etl;
CREATE USER MAPPING FOR etl SERVER secure OPTIONS ("sasl.username" 'etl', "sasl.password" '%s');
SQL
as_etl(q{SELECT dpipe_create_kafka_source('secure', 'secure', 'orders', 'raw.secure')});
ok($node->wait_sql(q{SELECT state = 'retrying' AND reason <> '' FROM dpipe.source_status WHERE source = 'secure'}),
    'a refused login is shown') or diag status('secure', "state || ': ' || reason");
note status('secure', 'reason');

# Disabling does not wait for any of it.
my $begun = time;
as_etl(q{SELECT dpipe_disable_source('secure')});
cmp_ok(time - $begun, '<', 20, 'disabled at once');
is(status('secure', 'state'), 'disabled', 'and it says so');
ok($node->wait_sql(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'dpipe: secure/%'}),
    'its worker leaves');

my $catalogs = join "\n", $node->sql(q{SELECT format('SELECT * FROM %s', c.oid::regclass)
    FROM pg_class c WHERE relnamespace = 'dpipe'::regnamespace AND relkind IN ('r', 'v', 'S') \gexec}),
    $node->sql('SELECT * FROM pg_stat_activity');
like($catalogs, qr/orders/, 'all catalogs were looked at');
unlike($catalogs, qr/\Q$secret\E/, 'no catalog has the secret');
unlike(slurp_file($node->logfile), qr/\Q$secret\E/, 'nor has the log');
is($node->sql(q{SET ROLE nologin; SELECT count(*) FROM pg_user_mappings WHERE umoptions::text LIKE '%hunter2%'}), 0,
    'nor do others see it');

is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
