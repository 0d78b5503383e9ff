# Which path a target takes: COPY's code only where it is known to be safe.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use PostgreSQL::Test::Utils;
use LoadTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $include = `pg_config --includedir-server`;
chomp $include;
command_ok(
    [   'cc', '-fPIC', '-shared', '-Wall', "-I$include", '-o', "$dir/other_engine.so",
        "$ENV{DPIPE_TOP}/test/modules/other_engine.c" ],
    'the other engine builds');

my $node = load_node('path');

# Load n = 0 … 9 into a table; returns "path|rows|dead letters|settled".
sub load_ten
{
    my ($table, $owner) = @_;
    $owner //= 'current_user';
    return sql(qq{SELECT dpipe._test_source('s', '$table', 'json', '{}', $owner);
        SELECT path, rows, dead_letters, settled FROM dpipe._test_load('s',
            (SELECT array_agg(convert_to(format('{"a": %s}', n), 'UTF8') ORDER BY n) FROM generate_series(0, 9) n))}) =~ s/^\n//r;
}

# --- heaps ---
sql(q{CREATE TABLE raw.heap (a int, _offset int); CREATE TABLE raw.parts (a int, _offset int) PARTITION BY LIST (a);
      CREATE TABLE raw.parts_rest PARTITION OF raw.parts DEFAULT;});
is(load_ten('raw.heap'), 'copy|10|0|10', 'a heap');
is(load_ten('raw.parts'), 'copy|10|0|10', 'a partitioned heap');

# --- another access method ---
sql(q{CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
      CREATE TABLE raw.other (a int, _offset int) USING other;
      TRUNCATE raw.parts; CREATE TABLE raw.parts5 PARTITION OF raw.parts FOR VALUES IN (5) USING other;});
is(load_ten('raw.other'), 'sql|10|0|10', 'another access method');
is(load_ten('raw.parts'), 'sql|10|0|10', 'a partition with another access method');

# --- rules ---
sql(q{CREATE TABLE raw.log (a int); CREATE TABLE raw.ruled (a int, _offset int);
      CREATE RULE also AS ON INSERT TO raw.ruled DO ALSO INSERT INTO raw.log VALUES (NEW.a)});
is(load_ten('raw.ruled'), 'sql|10|0|10', 'a rule that does more');
is(sql('SELECT (SELECT sum(a) FROM raw.ruled), (SELECT sum(a) FROM raw.log)'), '45|45', 'is applied');
sql('CREATE OR REPLACE RULE also AS ON INSERT TO raw.ruled WHERE NEW.a > 6 DO INSTEAD NOTHING; TRUNCATE raw.ruled');
is(load_ten('raw.ruled'), 'sql|7|0|10', 'a rule that takes rows away');

# --- row-level security ---
sql(q{CREATE ROLE etl; GRANT USAGE ON SCHEMA raw, dpipe TO etl;
      CREATE TABLE raw.secured (a int, _offset int); GRANT INSERT ON raw.secured TO etl;
      ALTER TABLE raw.secured ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON raw.secured WITH CHECK (a % 4 <> 1)});
is(load_ten('raw.secured'), 'copy|10|0|10', 'a policy does not bind the table\'s owner');
sql('TRUNCATE raw.secured');
is(load_ten('raw.secured', "'etl'"), 'sql|7|3|10', 'but another loader');
is( sql(q{SELECT string_agg(a::text, ',' ORDER BY a) FROM raw.secured;
          SELECT "offset", stage, sqlstate FROM dpipe.letter ORDER BY 1; DELETE FROM dpipe.letter}),
    "0,2,3,4,6,7,8\n1|insert|42501\n5|insert|42501\n9|insert|42501", 'whose refused rows are dead letters');

# --- a policy that comes while the target is open ---
is( sql(q{
        CREATE TABLE raw.later (a int, _offset int); GRANT INSERT ON raw.later TO etl;
        SELECT dpipe._test_source('later', 'raw.later', 'json', '{}', 'etl');
        SELECT path FROM dpipe._test_load('later', dpipe._test_bytes('{"a": 1}'));
        ALTER TABLE raw.later ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON raw.later WITH CHECK (a > 1);
        SELECT path, rows, dead_letters FROM dpipe._test_load('later', dpipe._test_bytes('{"a": 1}', '{"a": 2}'));
        DELETE FROM dpipe.letter;}),
    "\ncopy\nsql|1|1", 'a policy made between batches');

# --- views ---
sql(q{CREATE TABLE raw.behind (id int GENERATED ALWAYS AS IDENTITY, a int CHECK (a <> 3), b int DEFAULT 7, twice int GENERATED ALWAYS AS (a * 2) STORED,
          note text DEFAULT current_user, _offset int PRIMARY KEY);
      CREATE VIEW raw.inner_view AS SELECT id, a, b AS c, twice, note, _offset, a + 1 AS more FROM raw.behind;
      CREATE VIEW raw.simple AS SELECT _offset, more, c, a, id, twice, note FROM raw.inner_view WHERE a < 8 WITH CASCADED CHECK OPTION});
is(load_ten('raw.simple'), 'sql|7|3|10', 'a view of a view');
is( sql(q{SELECT string_agg(format('%s %s %s', a, b, twice), ',' ORDER BY a) FROM raw.behind; SELECT count(DISTINCT id), min(note) = current_user FROM raw.behind;
          SELECT "offset", stage, sqlstate FROM dpipe.letter ORDER BY 1; DELETE FROM dpipe.letter}),
    "0 7 0,1 7 2,2 7 4,4 7 8,5 7 10,6 7 12,7 7 14\n7|t\n3|insert|23514\n8|insert|44000\n9|insert|44000",
    'has the defaults of the table behind it, and its checks');
is( sql(q{ALTER VIEW raw.simple ALTER c SET DEFAULT 1; TRUNCATE raw.behind; SELECT rows FROM dpipe._test_load('s', dpipe._test_bytes('{"a": 0}', '{"a": 1, "c": 5}', '{"a": 2, "c": null, "more": 4}'));
          SELECT string_agg(coalesce(b::text, 'null'), ',' ORDER BY _offset) FROM raw.behind}), "3\n1,5,null", 'or its own');
sql(q{CREATE VIEW raw.joined AS SELECT b.a, l.a AS la, b._offset FROM raw.behind b JOIN raw.log l USING (a);
      CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
          IF NEW.a = 2 THEN RETURN NULL; END IF;
          INSERT INTO raw.log VALUES (100 / (NEW.a - 4)); RETURN NEW;
      END $$; TRUNCATE raw.log});
like(sql_error("SELECT dpipe._test_prepare('raw.joined')"), qr/55000.*takes no INSERT.*INSTEAD OF/s, 'a view that takes nothing');
sql('CREATE TRIGGER i INSTEAD OF INSERT ON raw.joined FOR EACH ROW EXECUTE FUNCTION instead()');
is(load_ten('raw.joined'), 'sql|8|1|10', 'a view with a trigger');
is(sql('SELECT count(*), min(a), max(a) FROM raw.log; SELECT "offset", sqlstate FROM dpipe.letter; DELETE FROM dpipe.letter'),
    "8|-100|100\n4|22012", 'which decides');
sql('CREATE VIEW raw.grouped AS SELECT a, count(*) AS n FROM raw.log GROUP BY a; TRUNCATE raw.log;
     CREATE RULE r AS ON INSERT TO raw.grouped DO INSTEAD INSERT INTO raw.log VALUES (NEW.a + coalesce(NEW.n, 0))');
is(load_ten('raw.grouped'), 'sql|10|0|10', 'a view with a rule');
is(sql('SELECT sum(a) FROM raw.log'), '45', 'which is applied');

# --- rights: those of an INSERT into the view ---
sql(q{CREATE VIEW raw.theirs AS SELECT a, _offset FROM raw.heap; CREATE VIEW raw.own WITH (security_barrier) AS SELECT a, _offset FROM raw.heap; TRUNCATE raw.heap});
like(sql_error(q{SET ROLE etl; SELECT dpipe._test_prepare('raw.theirs')}), qr/42501.*permission denied for view theirs/s, 'no INSERT on the view');
sql('GRANT INSERT ON raw.theirs TO etl; GRANT INSERT ON raw.own TO etl');
is(load_ten('raw.theirs', "'etl'"), 'sql|10|0|10', 'the view\'s owner writes the table');
sql('ALTER VIEW raw.theirs SET (security_invoker)');
like(sql_error(q{SET ROLE etl; SELECT dpipe._test_prepare('raw.theirs')}), qr/42501.*permission denied for table heap/s, 'unless the view says otherwise');
like(sql_error(q{SELECT dpipe._test_load('s', dpipe._test_bytes('{"a": 1}'))}), qr/42501/, 'also when it says so later: raised');
is(sql('SELECT count(*) FROM raw.heap'), '10', 'and nothing is stored');

# --- what a view or a rule must not pass rows on to ---
sql(q{CREATE FOREIGN DATA WRAPPER w; CREATE SERVER fs FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE raw.ft (a int) SERVER fs;
      CREATE VIEW raw.over_foreign AS SELECT a FROM raw.ft; CREATE VIEW raw.over_over AS SELECT a FROM raw.over_foreign;
      CREATE TABLE raw.fparts (a int, _offset int) PARTITION BY LIST (a);
      CREATE FOREIGN TABLE raw.fpart PARTITION OF raw.fparts FOR VALUES IN (1) SERVER fs; CREATE VIEW raw.over_parts AS SELECT a FROM raw.fparts;
      CREATE UNLOGGED TABLE raw.volatile (a int); CREATE VIEW raw.over_unlogged AS SELECT a FROM raw.volatile;
      CREATE TABLE raw.copied (a int); CREATE RULE r AS ON INSERT TO raw.copied DO ALSO INSERT INTO raw.volatile VALUES (NEW.a);
      CREATE TABLE raw.hidden (a int); CREATE RULE r AS ON INSERT TO raw.hidden DO ALSO
          WITH w AS (INSERT INTO raw.volatile VALUES (1) RETURNING a) INSERT INTO raw.log SELECT a FROM w});
foreach (
    [ 'over_foreign', '"raw.ft" behind it is a foreign table' ], [ 'over_over', '"raw.ft" behind it is a foreign table' ],
    [ 'fparts', '"raw.fpart" behind it is a foreign table' ], [ 'over_parts', '"raw.fpart" behind it is a foreign table' ],
    [ 'over_unlogged', '"raw.volatile" behind it is unlogged' ], [ 'copied', '"raw.volatile" behind it is unlogged' ],
    [ 'hidden', '"raw.volatile" behind it is unlogged' ])
{
    my ($table, $why) = @$_;
    like(sql_error("SELECT dpipe._test_prepare('raw.$table')"), qr/0A000.*cannot load into "raw.$table": $why/s, "$table: refused");
}
sql(q{CREATE TABLE raw.keeps (a int); CREATE VIEW raw.over_keeps AS SELECT a FROM raw.keeps});
like(sql_error(q{SELECT dpipe._test_source('s', 'raw.over_keeps'); SELECT dpipe._test_load('s', dpipe._test_bytes('{"a": 1}'));
        ALTER TABLE raw.keeps SET UNLOGGED; SELECT dpipe._test_load('s', dpipe._test_bytes('{"a": 1}'))}),
    qr/0A000.*"raw.keeps" behind it is unlogged/s, 'a table behind a view that becomes unlogged');

# --- another engine's planner ---
sql('CREATE TABLE raw.shadow (a int CHECK (a <> 3), _offset int)');
is(load_ten('raw.shadow'), 'copy|9|1|10', 'a table before the other engine comes');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dpipe, $dir/other_engine'");
$node->restart;
sql('TRUNCATE raw.shadow; DELETE FROM dpipe.letter');
is(load_ten('raw.shadow'), 'sql|9|1|10', 'a table that another engine plans');
is(sql('SELECT count(*), sum(a) FROM raw.shadow'), '9|42', 'through that engine');
is(load_ten('raw.heap'), 'copy|10|0|10', 'others are not concerned');

# --- the setting ---
load_path('sql');
is(load_ten('raw.heap'), 'sql|10|0|10', 'dpipe.load_path = sql');

# --- the function behind it ---
like(sql_error('SELECT * FROM dpipe.batch() AS b(a int)'), qr/55000.*no batch is being loaded/s, 'dpipe.batch() without a batch');
sql(q{CREATE TABLE raw.nosy (a int, _offset int);
      CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM * FROM dpipe.batch() AS b(x text); RETURN NEW; END $$;
      CREATE TRIGGER t BEFORE INSERT ON raw.nosy FOR EACH ROW EXECUTE FUNCTION look()});
like(sql_error(q{SELECT dpipe._test_source('s', 'raw.nosy'); SELECT dpipe._test_load('s', dpipe._test_bytes('{"a": 1}'))}),
    qr/55000.*no batch is being loaded/s, 'dpipe.batch() from a trigger');

$node->stop;
done_testing();
