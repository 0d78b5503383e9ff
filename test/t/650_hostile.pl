# What a source does with a world that is against it: definitions that are
# replaced under a running worker, corrupt batches, brokers that send rubbish,
# functions planted in the way of the views, secrets that libraries repeat.
use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run;
use POSIX ();
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;

my $mock = Dpipe::Mock->new('hostile', topics => { old => 1, new => 1, bad => 1 });
my $node = Dpipe::Node->make('hostile', extension => 0, conf => <<'CONF');
log_statement = none
log_min_error_statement = panic
log_min_messages = debug5
dpipe.max_workers = 8
CONF

sub status
{
    my ($name, $column) = @_;
    return $node->sql("SELECT $column FROM dpipe.source_status WHERE source = '$name'");
}

sub records
{
    my ($topic, $from, $to) = @_;
    $mock->send_records($topic, map { [ 0, "k$_", qq({"n": $_}) ] } $from .. $to);
    return;
}

# ---- functions that better fit the views' calls than the server's own ----

$node->sql(<<'SQL');
CREATE ROLE mallory LOGIN;
GRANT CREATE ON SCHEMA public TO mallory;
SET SESSION AUTHORIZATION mallory;
CREATE TABLE public.loot (what text, as_role text);
GRANT INSERT ON public.loot TO PUBLIC;
CREATE FUNCTION public.array_position(text[], text) RETURNS integer LANGUAGE sql AS
    $$ INSERT INTO public.loot VALUES ('array_position', current_user); SELECT 1 $$;
CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE sql AS
    $$ INSERT INTO public.loot VALUES ('format', current_user); SELECT 'x' $$;
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS
    $$ INSERT INTO public.loot VALUES ('format', current_user); SELECT 'x' $$;
CREATE FUNCTION public.concat_ws(text, text, text) RETURNS text LANGUAGE sql AS
    $$ INSERT INTO public.loot VALUES ('concat_ws', current_user); SELECT 'x' $$;
CREATE FUNCTION public.pg_has_role(text, text) RETURNS boolean LANGUAGE sql AS
    $$ INSERT INTO public.loot VALUES ('pg_has_role', current_user); SELECT true $$;
RESET SESSION AUTHORIZATION;
CREATE EXTENSION dpipe;
CREATE ROLE etl LOGIN;
CREATE SCHEMA raw;
GRANT USAGE, CREATE ON SCHEMA raw TO etl;
SQL
$node->create_server('k', $mock);
$node->sql('GRANT USAGE ON FOREIGN SERVER k TO etl');
$node->sql(q{SET ROLE etl; SELECT dpipe_create_kafka_source('s', 'k', 'old', 'raw.s')});
ok($node->wait_sql(q{SELECT state = 'running' FROM dpipe.source_status}), 'it runs');
$node->sql(q{SELECT dpipe_disable_source('s'); SELECT * FROM dpipe.source_status;
    SELECT * FROM dpipe.source_partition; SELECT * FROM dpipe.load; SELECT * FROM dpipe.dead_letter;
    SELECT * FROM dpipe.gap; SELECT * FROM dpipe.run; SELECT * FROM dpipe.run_node; SELECT dpipe_enable_source('s')});
is($node->sql('SELECT string_agg(DISTINCT what, \', \') FROM loot'), '', 'no planted function is called');

# ---- dropped and made again at once: another source, though it looks alike ----

ok($node->wait_sql(q{SELECT state = 'running' AND lag_records = 0 FROM dpipe.source_status}), 'it runs idle');
records('new', 1, 5);
$node->sql(q{BEGIN; SET ROLE etl; SELECT dpipe_drop_source('s');
    SELECT dpipe_create_kafka_source('s', 'k', 'new', 'raw.s2'); COMMIT});
ok($node->wait_sql('SELECT count(*) = 5 FROM raw.s2'), 'the new one is read');
records('old', 1, 5);
sleep 1;
is($node->sql('SELECT count(*) FROM raw.s'), 0, 'and the old one is not');

# ---- a batch that is damaged: nothing behind it may be read as if it were not there ----

# A Produce request (v7) by hand, for what no producer would send.
sub send_batch
{
    my ($topic, $n, %options) = @_;
    my $records = '';
    foreach my $i (0 .. $n - 1)
    {
        my $value = qq({"n": $i});
        my $body  = pack('C', 0) . varint(0) . varint($i) . varint(-1) . varint(length $value) . $value . varint(0);
        $records .= varint(length $body) . $body;
    }
    my $ms = int(time * 1000);
    my $signed = pack('n N q> q> q> n N N a*', 0, $n - 1, $ms, $ms, -1, 0xffff, 0xffffffff, $n, $records);
    my $crc = crc32c($signed) ^ ($options{damage} ? 1 : 0);
    my $batch = pack('q> N N C N a*', 0, 4 + 1 + 4 + length $signed, 0, 2, $crc, $signed);
    my $request = pack('n n N n/a* n n N N n/a* N N N/a*', 0, 7, 1, 'test', 0xffff, 1, 10000, 1, $topic, 1, 0, $batch);
    my $socket = IO::Socket::INET->new(PeerAddr => (split /,/, $mock->brokers)[0]) or die "no broker: $@";
    print $socket pack('N/a*', $request);
    $socket->flush;
    read $socket, my $length, 4;
    read $socket, my $reply, unpack 'N', $length;
    is(unpack('x4 x4 n/x x4 x4 n', $reply), 0, 'the batch was taken');
    return;
}

sub varint
{
    my ($n) = @_;
    $n = $n < 0 ? -2 * $n - 1 : 2 * $n;
    my $out = '';
    while ($n > 127) { $out .= chr(($n & 127) | 128); $n >>= 7; }
    return $out . chr $n;
}

sub crc32c
{
    my $crc = 0xffffffff;
    foreach my $byte (unpack 'C*', $_[0])
    {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 foreach 1 .. 8;
    }
    return $crc ^ 0xffffffff;
}

send_batch('bad', 3);
send_batch('bad', 3, damage => 1);
send_batch('bad', 3);
$node->sql(q{SET ROLE etl; SELECT dpipe_create_kafka_source('bad', 'k', 'bad', 'raw.bad')});
ok($node->wait_sql(q{SELECT last_error ~ 'damaged at or after offset 3' FROM dpipe.source_status
        WHERE source = 'bad'}), 'a damaged batch stops the source') or diag status('bad', "state || ': ' || last_error");
is($node->sql(q{SELECT string_agg(_offset::text, ' ' ORDER BY _offset) FROM raw.bad}), '0 1 2', 'what stands before it is loaded');
is($node->sql(q{SELECT position FROM dpipe.source_partition WHERE source = 'bad'}), 3, 'the position stays before it');
$node->sql(q{SELECT dpipe_seek('bad', '{"bad": {"0": 6}}')});
ok($node->wait_sql(q{SELECT array_agg(_offset ORDER BY _offset) = '{0,1,2,6,7,8}' FROM raw.bad}), 'dpipe_seek gives it up');
$node->sql(q{SELECT dpipe_drop_source('bad')});

# ---- more headers than a row or a dead letter can have ----

$mock->create_topic('headed', 1);
$mock->ctl('headers', 'headed', 20_000);
records('headed', 1, 1);
$mock->ctl('headers', 'headed', 100_001);
records('headed', 2, 2);
$node->sql(q{SELECT dpipe_create_kafka_source('headed', server => 'k', topic => 'headed', target => 'headed')});
ok($node->wait_sql(q{SELECT state = 'error' FROM dpipe.source_status WHERE source = 'headed'}), 'a record of more headers than the client tells stops its source');
is(status('headed', 'reason'),
    'topic "headed" partition 0: the record at offset 2 has more than 100,000 headers, 64 MiB of them, or damaged ones; dpipe_seek() past it', 'by name');
is($node->sql(q{SELECT (SELECT count(*) FROM headed), (SELECT count(*) FROM dpipe.dead_letter WHERE source = 'headed')}), '1|1', 'what stands before it is stored');
is($node->sql(q{SELECT message, jsonb_array_length(headers) FROM dpipe.dead_letter WHERE source = 'headed'}),
    'the record has 20000 headers, more than 10000|20000', 'one of 20,000 is a dead letter, whole');
$node->sql(q{SELECT dpipe_seek('headed', '{"headed": {"0": 3}}')});
ok($node->wait_sql(q{SELECT count(*) = 2 FROM headed}), 'and it goes on behind it');

# ---- a broker that says what it likes ----

my $password = 'hunter2-4711-geheim';

# Answers ApiVersions and SaslHandshake, then refuses with a message that
# quotes the password and is not UTF-8.
sub rude_broker
{
    my ($listener) = @_;
    while (my $client = $listener->accept)
    {
        while (read($client, my $length, 4) == 4)
        {
            read $client, my $request, unpack 'N', $length;
            my ($api, $version, $id) = unpack 'n n N', $request;
            my $reply =
                $api == 18 && $version > 0 ? pack('n N', 35, 0)
                : $api == 18 ? pack('n N (n n n)4', 0, 4, 3, 0, 2, 17, 0, 1, 18, 0, 0, 36, 0, 0)
                : $api == 17 ? pack('n N n/a*', 0, 1, 'PLAIN')
                : $api == 36 ? pack('n n/a* N', 58, "r\xffude \xe2\x82: $password\nnext line", 0)
                :              last;
            print $client pack('N/a*', pack('N a*', $id, $reply));
            $client->flush;
        }
        close $client;
    }
    return;
}

my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
my $rude     = fork // die "fork: $!";
if (!$rude)
{
    rude_broker($listener);
    POSIX::_exit(0);
}
my $rude_address = '127.0.0.1:' . $listener->sockport;
close $listener;
END { kill 'KILL', $rude if $rude; }

$node->sql(sprintf(<<'SQL', $rude_address, $password, $mock->brokers, "principal=admin scope=$password"));
CREATE SERVER rude FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" '%s', "security.protocol" 'sasl_plaintext', "sasl.mechanism" 'PLAIN', "debug" 'all');
CREATE USER MAPPING FOR etl SERVER rude OPTIONS ("sasl.username" 'etl', "sasl.password" '%s');
CREATE SERVER bearer FOREIGN DATA WRAPPER dpipe_kafka
    OPTIONS ("bootstrap.servers" '%s', "security.protocol" 'sasl_plaintext', "sasl.mechanism" 'OAUTHBEARER',
        "enable.sasl.oauthbearer.unsecure.jwt" 'true');
CREATE USER MAPPING FOR etl SERVER bearer OPTIONS ("sasl.oauthbearer.config" 'principal=admin lifeSeconds=%s');
GRANT USAGE ON FOREIGN SERVER rude, bearer TO etl;
SQL
foreach my $name (qw(rude bearer))
{
    $node->sql(qq{SET ROLE etl; SELECT dpipe_create_kafka_source('$name', '$name', 'new', 'raw.$name')});
    ok($node->wait_sql(qq{SELECT concat(reason, last_error) ~ '(r.ude|oauthbearer)' FROM dpipe.source_status WHERE source = '$name'}),
        "$name: it is shown") or diag status($name, "state || ': ' || reason");
    note status($name, 'reason, last_error');
}
ok($node->wait_sql(q{SELECT state = 'retrying' AND reason ~ 'r\?ude \?{1,2}: \*{3} next line' FROM dpipe.source_status WHERE source = 'rude'}),
    'in a form that is fit to be shown') or diag status('rude', 'reason');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT dpipe_disable_source('bearer');}) ;
($rc, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '8s'; CALL dpipe_sync('bearer')});
note $err;
my @relations = split /\n/, $node->sql(q{SELECT c.oid::regclass
    FROM pg_class c WHERE relnamespace = 'dpipe'::regnamespace AND relkind IN ('r', 'v', 'S')});
# A client that could not make its first token crashes after 10 seconds.
ok($node->wait_sql(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'dpipe: bearer/0'
    AND backend_start < now() - interval '5 seconds'}), 'a client without a token does not stay');
my $seen = join "\n", $err, $node->sql(join '', map { "TABLE $_;\n" } @relations),
    $node->sql('SELECT * FROM pg_stat_activity'), slurp_file($node->logfile);
like($seen, qr/librdkafka .*\n/, 'the log has what the library says at DEBUG1');
unlike($seen, qr/\Q$password\E/, 'no secret in errors, views, activity or the log');
unlike($seen, qr/\xff/, 'no rubbish either');

# ---- passwords and rights that change under a worker ----

# One that waits for brokers that do not let it in would wait for ever.
my $before = $node->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'dpipe: rude/0'});
$node->sql(sprintf(<<'SQL', $mock->brokers));
ALTER SERVER rude OPTIONS (SET "bootstrap.servers" '%s', SET "security.protocol" 'plaintext', DROP "debug");
SQL
ok($node->wait_sql('SELECT count(*) = 5 FROM raw.rude'), 'a changed server is used without more');
ok($node->wait_sql(q{SELECT state = 'running' AND lag_records = 0 FROM dpipe.source_status WHERE source = 'rude'}), 'it runs');
$before = $node->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'dpipe: rude/0'});
$node->sql('CREATE SERVER other FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" \'nowhere:1\')');
sleep 2.5;
is($node->sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'dpipe: rude/0'}), $before,
    'what is none of its business does not touch it');
$node->sql('REVOKE USAGE ON FOREIGN SERVER rude FROM etl');
ok($node->wait_sql(q{SELECT last_error ~ 'permission denied for foreign server' FROM dpipe.source_status
        WHERE source = 'rude'}), 'an idle worker that may not any more is gone');
$node->sql(q{SELECT dpipe_drop_source('rude'); SELECT dpipe_drop_source('bearer')});

# ---- a definition that changes while its worker is about to say "finished" ----

$node->append_conf('postgresql.conf', q{dpipe.fault_point = 'slot_state:sleep=700'});
$node->reload;
$node->sql(q{SET ROLE etl; SELECT dpipe_create_kafka_source('b', 'k', 'new', 'raw.b',
    options => '{"stop_at": {"new": {"0": 2}}}')});
ok($node->wait_sql('SELECT count(*) = 2 FROM raw.b'), 'a bounded read is at its stop');
$node->sql(q{SET ROLE etl; SELECT dpipe_create_kafka_source('b', 'k', 'new', 'raw.b',
    options => '{"stop_at": {"new": {"0": 4}}}')});
ok($node->wait_sql('SELECT count(*) = 4 FROM raw.b'), 'another stop is another read');
ok($node->wait_sql(q{SELECT state = 'finished' FROM dpipe.source_status WHERE source = 'b'}), 'which finishes');

# ---- a session that is told to stop while it waits for a broker that is silent ----

my $silent = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
$node->sql(sprintf q{ALTER SERVER other OPTIONS (SET "bootstrap.servers" '127.0.0.1:%d')}, $silent->sockport);
$node->sql(q{SELECT dpipe_create_kafka_source('lost', 'other', 'new', 'public.lost', options => '{"enabled": false}')});
my $session = IPC::Run::start(
    [ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', "CALL dpipe_sync('lost')" ],
    '<', \undef, '>', \my $sync_out, '2>', \my $sync_err);
$node->wait_sql(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^CALL dpipe_sync' AND wait_event_type = 'Extension'});
my $begun = time;
$node->sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^CALL dpipe_sync'});
$session->finish;
my $took = time - $begun;
note "cancelled in $took s";
# It would wait for 30 s.
cmp_ok($took, '<', 20, 'cancel answers at once');
like($sync_err, qr/canceling statement/, 'and says so');

is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
