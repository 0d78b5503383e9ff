# What a source does with a world that is against it: definitions that are
# replaced under a running worker, corrupt batches, brokers that send rubbish,
# functions planted in the way of the views, secrets that libraries repeat.
use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until);

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
ok($node->wait_sql('SELECT count(*) = 5 FROM raw.s2', seconds => 15), 'the new one is read');
records('old', 1, 5);
sleep 1;
is($node->sql('SELECT count(*) FROM raw.s'), 0, 'and the old one is not');

is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
