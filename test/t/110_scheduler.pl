# What the scheduler makes of definitions, failures and a small budget.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Slots;

my $node = Dpipe::Node->make('scheduler');

is($node->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe launcher'}),
    1, 'the launcher runs');
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'dpipe scheduler' AND datname = 'postgres'}, expected => 1),
    'the scheduler runs once the extension is there');

$node->sql(source_sql('one', workers => 2));
ok($node->wait_sql(ticks('one', 3)), 'a source runs');
is($node->sql(q{SELECT string_agg(slot::text || state, ' ' ORDER BY slot) FROM dpipe._slot_status()}),
    '0running 1running', 'in two slots');
is($node->sql(q{SELECT string_agg(application_name, ' ' ORDER BY application_name) FROM pg_stat_activity
        WHERE backend_type = 'dpipe worker'}),
    'dpipe: one/0 dpipe: one/1', 'and says so');
$node->stop;
done_testing();
