# The demo does what the README says, and cleans up behind itself.
use strict;
use warnings;

use IPC::Run;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Process qw(top_dir processes_in);

my $top = top_dir();
my $dir = "$PostgreSQL::Test::Utils::tmp_check/demo_run";
my %env = (
    DPIPE_DEMO_DIR    => $dir,
    DPIPE_DEMO_EVENTS => $ENV{DPIPE_LONG} ? 300000 : 60000);
local @ENV{ keys %env } = values %env;

my ($out, $err) = ('', '');
my $ok = IPC::Run::run [ 'bash', "$top/demo/run.sh" ], '<', \undef, '>', \$out, '2>', \$err,
    IPC::Run::timeout(240);
ok($ok, 'the demo runs') or diag "$out\n$err";
note $out;
like($out, qr/fct_user_daily_activity \| +model \| success/, 'models are run');
like($out, qr/ 22\w{3} /, 'dead letters show why');

my ($psql, $socket) = $out =~ /^ +(\S+psql) -h (\S+) -U analyst demo$/m;
ok($socket, 'a psql line invites to go on') or die('no demo');

sub query
{
    my ($sql) = @_;
    my $result = '';
    local $ENV{PGPORT} = 5432;
    IPC::Run::run [ $psql, '-XAt', '-h', $socket, '-U', 'analyst', '-d', 'demo', '-c', $sql ],
        '>', \$result;
    chomp $result;
    return $result;
}

is(query(q{SELECT (SELECT count(*) FROM raw.user_events) + (SELECT count(*) FROM dpipe.dead_letter)}),
    $env{DPIPE_DEMO_EVENTS}, 'each event is a row or a dead letter');
is(query(q{SELECT count(*) FROM dpipe.dead_letter}), $env{DPIPE_DEMO_EVENTS} / 20000,
    'as many dead letters as malformed events');
is(query(q{SELECT count(*) - count(DISTINCT (_partition, _offset)) FROM raw.user_events}),
    0, 'nothing is there twice');
is(query(q{SELECT count(*) = count(DISTINCT event_id) AND
        count(*) = (SELECT count(DISTINCT _payload ->> 'event_id') FROM raw.user_events)
        FROM shop.stg_user_events}),
    't', 'staged once an event');
is(query(q{
        WITH direct AS (
            SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n,
                   coalesce(sum((properties ->> 'amount')::numeric)
                            FILTER (WHERE event_type = 'purchase'), 0) AS revenue
              FROM shop.stg_user_events GROUP BY 1, 2)
        SELECT count(*) FROM direct d
          FULL JOIN shop.fct_user_daily_activity f ON f.user_id = d.user_id AND f.activity_date = d.day
         WHERE d.n IS DISTINCT FROM f.events OR d.revenue IS DISTINCT FROM f.revenue}),
    0, 'the mart, made in steps, is what one query over everything gives');

my $stopped = '';
IPC::Run::run [ 'bash', "$top/demo/stop.sh" ], '>', \$stopped;
like($stopped, qr/gone/, 'make demo-stop');
ok(!-e $dir, 'removes its directory');
ok(!-e $socket, 'and its socket');
is(scalar processes_in("$dir/data"), 0, 'no server is left');
done_testing();
