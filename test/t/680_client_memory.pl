# The records that a Kafka client holds ahead stay below dpipe.max_queue_bytes,
# whatever server and source ask of librdkafka. The mock's topic keeps 5 MiB a
# partition.
use strict;
use warnings;

use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until);

my $mock = Dpipe::Mock->new('memory', topics => { t => 16, none => 1 });
my $node = Dpipe::Node->make('memory');
my $mb   = 1024 * 1024;
my $greedy = join ', ', '"queued.max.messages.kbytes": 2097151', '"queued.min.messages": 10000000',
    map { qq("$_": 100000000) } qw(fetch.max.bytes fetch.message.max.bytes message.max.bytes);

$node->create_server('k', $mock, 'queued.max.messages.kbytes' => 2000000);
$mock->produce(topic => 't', partitions => 16, records => 200_000, payload => 'event');
# Nothing is ever taken from the queue but the first batch.
$node->sql(q{CREATE TABLE held (_payload jsonb);
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$;
    CREATE TRIGGER t BEFORE INSERT ON held FOR EACH STATEMENT EXECUTE FUNCTION hold()});

# Private memory of a source's worker in bytes.
sub memory
{
    my ($source) = @_;
    my ($pid) = $node->worker_pids($source);
    return 0 unless $pid;
    my (undef, $resident, $shared) = split / /, slurp_file("/proc/$pid/statm");
    return ($resident - $shared) * 4096;
}

sub define
{
    my ($source, $topic, $options) = @_;
    $node->sql(qq{SELECT dpipe_create_kafka_source('$source', 'k', '$topic', 'held', options => '{"batch_rows": 1000, "librdkafka": {$options}}')});
    return;
}

define('idle', 'none', '');
$node->wait_sql(q{SELECT state = 'running' AND lag_records = 0 FROM dpipe.source_status WHERE source = 'idle'});
my $base = memory('idle');

my $begun = time();
define('lifted', 't', $greedy);
ok(wait_until(60, sub { memory('lifted') - $base > 60 * $mb }, 0.1), 'a client that may takes it all');
my $took = time() - $begun;

$node->append_conf('postgresql.conf', "dpipe.max_queue_bytes = '16MB'");
$node->reload;
define('capped', 't', $greedy);
ok($node->wait_sql(q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dpipe: capped/0' AND wait_event = 'PgSleep'}),
    'a client under a cap has got records');
my $most = 0;
wait_until(3 + 2 * $took, sub { my $now = memory('capped'); $most = $now if $now > $most; return; }, 0.1);
note sprintf 'idle %.0f MB, lifted %.0f MB, capped %.0f MB', map { $_ / $mb } $base, memory('lifted'), $most;
cmp_ok($most - $base, '<', 40 * $mb, 'and takes no more, with all that a batch needs');
is($node->sql(q{SHOW dpipe.max_queue_bytes}), '16MB', 'a setting');
is($node->sql(q{SELECT context FROM pg_settings WHERE name = 'dpipe.max_queue_bytes'}), 'sighup', 'of the administrator');

is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop('immediate');
done_testing();
