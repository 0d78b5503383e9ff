# What the scheduler makes of definitions, failures and a small budget.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Dpipe::Node;
use Dpipe::Slots;

my $node = Dpipe::Node->make('scheduler');

sub workers
{
    my ($n) = @_;
    return $node->wait_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe worker'",
        expected => $n);
}

is($node->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe launcher'}),
    1, 'the launcher runs');
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'dpipe scheduler' AND datname = 'postgres'}, expected => 1),
    'the scheduler runs once the extension is there');

# Desired state: slots, enabled, changed, dropped.
$node->sql(source_sql('one', workers => 2));
ok($node->wait_sql(ticks('one', 3)), 'a source runs');
ok($node->wait_sql(q{SELECT string_agg(slot::text || state, ' ' ORDER BY slot) FROM dpipe._slot_status()},
        expected => '0running 1running'), 'in two slots');
ok($node->wait_sql(q{SELECT string_agg(application_name, ' ' ORDER BY application_name)
        FROM pg_stat_activity WHERE backend_type = 'dpipe worker'},
        expected => 'dpipe: one/0 dpipe: one/1'), 'and says so');
is($node->sql('SELECT used FROM dpipe._slot_budget()'), 2, 'two seats are taken');
ok($node->wait_sql(status('one', 'rows_per_second > 0')), 'the rate is told');

my $pid = $node->sql(status('one', 'pid'));
$node->sql(q{UPDATE dpipe.source SET version = version + 1; SELECT dpipe._wake()});
ok($node->wait_sql(status('one', "state = 'running' AND pid <> $pid")),
    'a changed definition gets a new worker');
unlike(slurp_file($node->logfile), qr/terminating background worker "dpipe worker"/, 'by a planned stop');
$node->sql(q{UPDATE dpipe.source SET workers = 1; SELECT dpipe._wake()});
ok(workers(1), 'a slot less');
$node->sql(q{BEGIN; UPDATE dpipe.source SET enabled = false; SELECT dpipe._wake(); ROLLBACK});
ok($node->wait_sql(status('one', 'rows > 5')), 'what was rolled back changes nothing');
$node->sql(q{UPDATE dpipe.source SET enabled = false; SELECT dpipe._wake()});
ok(workers(0), 'disabled: none');
is($node->sql('SELECT count(*) FROM dpipe._slot_status()'), 0, 'nothing on the board');
$node->sql('DELETE FROM dpipe.source');

# A worker that does not stop when asked to is terminated.
$node->sql(source_sql('deaf', json => '{"deaf": 1}'));
ok($node->wait_sql(ticks('deaf', 1)), 'a worker that does not listen');
my $start = time();
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
ok(workers(0), 'leaves all the same');
cmp_ok(time() - $start, '<', 20, 'soon');

# More slots than the board has room for, by one owner: the others keep theirs.
$node->sql('CREATE ROLE hog; CREATE ROLE late; ' . source_sql('zone'));
ok($node->wait_sql(ticks('zone', 1)), 'a source of another owner');
$node->sql('BEGIN; ' . join('', map { source_sql("hog$_", owner => 'hog', workers => 256, json => '{"do": "idle"}') } 1 .. 5) . 'COMMIT');
ok($node->wait_sql('SELECT count(*) = 1024 FROM dpipe._slot_status()'), 'the board is full');
is($node->sql(q{SELECT count(*) FROM dpipe._slot_status() WHERE source = 'zone'}), 1, 'and the other source on it');
like(slurp_file($node->logfile), qr/more than 1024 slots of sources are enabled/, 'as the log tells');
$node->sql(source_sql('zoo', owner => 'late'));
ok($node->wait_sql(q{SELECT count(*) = 1 FROM dpipe._slot_status() WHERE source = 'zoo'}), 'one that comes later has its place, too');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
ok(workers(0), 'all are gone');

# Lasting states keep a slot from running until they are cleared.
$node->sql(source_sql('end', json => '{"do": "finish", "after": 1}'));
ok($node->wait_sql(status('end', 'state'), expected => 'finished'), 'finished');
my $count = $node->sql("SELECT count(*) FROM ticks WHERE source = 'end'");
$node->sql(source_sql('stuck', json => '{"do": "error"}'));
ok($node->wait_sql(status('stuck', "state || ': ' || reason"), expected => 'error: as the test wants'),
    'a lasting error');
sleep 1.5;
is($node->sql("SELECT count(*) FROM ticks WHERE source = 'end'"), $count, 'it does not run again');
ok(workers(0), 'neither has a worker');
$node->sql(q{UPDATE dpipe.slot_state SET state = ''; SELECT dpipe._wake()});
ok($node->wait_sql("SELECT count(*) > $count FROM ticks WHERE source = 'end'"), 'cleared: it runs again');
$node->sql(q{UPDATE dpipe.source SET kind = 'nokind' WHERE name = 'stuck';
    UPDATE dpipe.slot_state SET state = ''; SELECT dpipe._wake()});
ok($node->wait_sql(status('stuck', q{state || ': ' || reason}),
    expected => 'error: the loaded library has no worker for sources of kind "nokind"'), 'an unknown kind');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');

# Failures: backoff, visible, logged once, and nobody else is hurt.
$node->sql(source_sql('good') . source_sql('bad', json => '{"do": "fail", "after": 1}'));
ok($node->wait_sql(status('bad', "state = 'retrying' AND failures >= 3 AND restart_at > now() AND reason ~ 'fails as'")),
    'failures are counted, with the reason and the next try');
ok($node->wait_sql(status('bad', 'failures >= 4')), 'and counted on');
cmp_ok($node->sql(q{SELECT 1000 * extract(epoch FROM max(d)) FROM
        (SELECT at - lag(at) OVER (ORDER BY at) AS d FROM ticks WHERE source = 'bad') x}),
    '>', 700, 'the delay grows');
is(scalar(() = slurp_file($node->logfile) =~ /ERROR:  source "bad" fails as/g), 1, 'logged once');
is($node->sql(q{SELECT state || ': ' || last_error FROM dpipe.slot_state WHERE source = 'bad'}),
    'retrying: source "bad" fails as the test wants', 'kept in the catalog');
is($node->sql(status('good', 'failures')), 0, 'the good source has not failed');
ok($node->wait_sql(ticks('good', $node->sql(q{SELECT count(*) + 5 FROM ticks WHERE source = 'good'}))),
    'and goes on');
$node->sql(q{UPDATE dpipe.source SET options = '{}', version = version + 1 WHERE name = 'bad'; SELECT dpipe._wake()});
ok($node->wait_sql(status('bad', "state = 'running' AND failures = 0")), 'mended: no backoff is waited for');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
ok(workers(0), 'all gone');

# A slot that another session holds.
$node->sql(q{CREATE FUNCTION slot_lock(text, integer) RETURNS boolean LANGUAGE c STRICT
    AS '$libdir/dpipe', 'dpipe_test_slot_lock'});
my $holder = $node->background_psql('postgres');
is($holder->query_safe(q{SELECT slot_lock('held', 0)}), 't', 'a session holds a slot');
$node->sql(source_sql('held'));
ok($node->wait_sql(status('held', q{state = 'retrying' AND reason ~ 'another session holds' AND failures = 0})),
    'its worker waits, which is no failure');
$holder->quit;
ok($node->wait_sql(ticks('held', 1)), 'until it is free');
is($node->sql(q{SELECT slot_lock('held', 0), slot_lock('held', 1)}), 'f|t', 'then the worker holds it');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');

# An error of the scheduler's own: it tries again, and workers go on.
$node->sql(source_sql('calm', json => '{"do": "idle", "after": 1}'));
ok($node->wait_sql(status('calm', "state = 'running'")), 'a worker that needs no catalog');
$pid = $node->sql(status('calm', 'pid'));
my $scheduler = $node->sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dpipe scheduler'});
$node->sql('ALTER TABLE dpipe.incarnation RENAME TO hidden; SELECT dpipe._wake()');
ok($node->wait_for_log(qr/ERROR:  relation "dpipe.incarnation" does not exist/), 'an error is logged');
$node->sql('SELECT dpipe._wake()') for 1 .. 5;
sleep 2.5;
is(scalar(() = slurp_file($node->logfile) =~ /ERROR:  relation "dpipe.incarnation" does not exist/g), 1, 'once');
$node->sql('ALTER TABLE dpipe.hidden RENAME TO incarnation');
$node->sql(source_sql('next'));
ok($node->wait_sql(ticks('next', 1)), 'mended: it goes on');
is($node->sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dpipe scheduler'}), $scheduler,
    'the scheduler is the same');
is($node->sql(status('calm', 'pid')), $pid, 'and so is the worker');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
ok(workers(0), 'all gone');

# The owner: NOLOGIN, not able to insert, gone, replaced.
$node->sql('CREATE ROLE quiet NOLOGIN; CREATE ROLE barred LOGIN; CREATE ROLE gone');
$node->sql(source_sql('quiet', owner => 'quiet'));
ok($node->wait_sql(ticks('quiet', 2)), 'a source of a role that cannot log in runs');
$node->sql('CREATE TABLE secret AS TABLE ticks WITH NO DATA');
$node->sql(q{UPDATE dpipe.source SET target_table = 'secret', version = version + 1; SELECT dpipe._wake()});
ok($node->wait_sql(status('quiet', q{last_error = 'permission denied for table secret'})),
    'with the rights of its owner only');
$node->sql('DELETE FROM dpipe.source');
# Since 17, which connects as the owner, one that cannot log in needs it too.
$node->sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO gone');
$node->sql(source_sql('barred', owner => 'barred') . source_sql('gone', owner => 'gone'));
ok($node->wait_sql(ticks('gone', 1)), 'a source runs');
ok($node->wait_sql(status('barred', q{state = 'retrying' AND reason = 'permission denied for database "postgres"'})),
    'a worker that cannot connect tells why');
$node->sql('DROP OWNED BY gone; DROP ROLE gone; CREATE ROLE gone; SELECT dpipe._wake()');
ok($node->wait_sql(q{SELECT count(*) FROM dpipe._slot_status() WHERE source = 'gone'}, expected => 0),
    'a role dropped and made again inherits nothing');
$node->sql('DELETE FROM dpipe.source; SELECT dpipe._wake()');
ok(workers(0), 'all gone');

# A budget of one for three: each has its turn.
$node->append_conf('postgresql.conf', "dpipe.max_workers = 1\ndpipe.worker_quantum = '400ms'\n");
$node->reload;
$node->sql('TRUNCATE ticks');
$node->sql(source_sql('a') . source_sql('b') . source_sql('c', json => '{"do": "idle", "after": 1}'));
ok($node->wait_sql(q{SELECT count(*) = 3 AND bool_and(n >= 2) FROM
        (SELECT count(DISTINCT pid) AS n FROM ticks GROUP BY source) x}),
    'three sources take turns, two each');
is($node->sql(q{SELECT count(DISTINCT pid) FROM ticks t WHERE EXISTS
        (SELECT 1 FROM ticks u WHERE u.pid <> t.pid AND u.at > t.at
            AND EXISTS (SELECT 1 FROM ticks v WHERE v.pid = t.pid AND v.at > u.at))}),
    0, 'one at a time');
ok($node->wait_sql(q{SELECT count(*) = 2 AND bool_and(reason ~ 'dpipe.max_workers = 1') FROM dpipe._slot_status()
        WHERE state = 'waiting for slot'}),
    'waiting is told');
is(scalar(() = slurp_file($node->logfile) =~ /wait for a worker/g), 1, 'and logged once');

# A turn begins with the first batch: one that takes three times as long as a
# turn to come to work has all of its turn, of ten ticks, all the same.
$node->append_conf('postgresql.conf', "dpipe.worker_quantum = '1s'\n");
$node->reload;
$node->sql(source_sql('slow', json => '{"first_ms": 3000}'));
ok($node->wait_sql(ticks('slow', 1), seconds => 120), 'one that is slow to come to work has a turn');
ok($node->wait_sql(q{SELECT count(*) > 0 FROM (SELECT FROM ticks WHERE source = 'slow' GROUP BY pid HAVING count(*) >= 6) x}, seconds => 120),
    'a whole one');
$node->sql(q{DELETE FROM dpipe.source WHERE name = 'slow'; SELECT dpipe._wake()});

# The budget is the cluster's.
$node->sql('CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION dpipe');
$node->safe_psql('other', source_sql('o'));
ok(eval { $node->poll_query_until('other', ticks('o', 2)) }, 'a source of another database has its turn, too');
ok($node->wait_sql(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dpipe worker'}), 'in its seat');

# No worker at all, then all of them.
$node->append_conf('postgresql.conf', 'dpipe.max_workers = 0');
$node->reload;
ok(workers(0), 'a budget of none stops all');
$node->append_conf('postgresql.conf', 'dpipe.max_workers = 4');
$node->reload;
ok(workers(4), 'a greater budget is used at once');
$node->append_conf('postgresql.conf', 'dpipe.enabled = off');
$node->reload;
ok(workers(0), 'dpipe.enabled = off stops all');
$node->safe_psql('other', 'DROP EXTENSION dpipe CASCADE');

# Too few processes in the server.
$node->append_conf('postgresql.conf', "dpipe.enabled = on\nmax_worker_processes = 4\n");
$node->sql('DELETE FROM dpipe.source');
$node->restart;
ok($node->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dpipe scheduler'}, expected => 1),
    'restarted');
like(slurp_file($node->logfile), qr/max_worker_processes = 4 is too small for dpipe, which needs 6/, 'the figure is told');
# One each for logical replication, launcher and scheduler: one is left.
$node->sql(source_sql('x') . source_sql('y'));
ok($node->wait_sql(q{SELECT count(*) FROM dpipe._slot_status() WHERE state = 'waiting for slot'
        AND reason = 'no free background worker: max_worker_processes = 4'}, expected => 1),
    'a worker that finds no process waits and says why');
$node->sql(q{DELETE FROM dpipe.source WHERE name = (SELECT source FROM dpipe._slot_status() WHERE state = 'running');
    SELECT dpipe._wake()});
ok($node->wait_sql(q{SELECT count(*) = 1 AND bool_and(state = 'running') FROM dpipe._slot_status()}),
    'and runs when there is one');

is(join("\n", $node->crash_lines), '', 'nothing crashed');
$node->stop;
done_testing();
