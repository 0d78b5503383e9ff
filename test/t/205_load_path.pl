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
sql(q{CREATE ROLE etl; GRANT USAGE ON SCHEMA raw TO etl;
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
    qr/42804.*another row type/s, 'dpipe.batch() from a trigger');

$node->stop;
done_testing();
