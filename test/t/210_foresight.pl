# Where constraints refuse many records of a batch, those ahead are looked at
# before they are tried. Whatever the constraints are: rows and dead letters,
# with each reason, are those of records that are loaded one by one.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use LoadTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = load_node('foresight');
my $last = 699;

sql(q{
    CREATE TABLE raw.known AS SELECT n FROM generate_series(0, 999) n WHERE n % 13 <> 0;
    ALTER TABLE raw.known ADD PRIMARY KEY (n);
    CREATE DOMAIN raw.small AS int CHECK (VALUE % 17 <> 5);
    CREATE FUNCTION raw.judge(n int) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF n % 70 = 3 THEN RAISE EXCEPTION 'no judgement on %', n; END IF;
        RETURN n % 10 <> 3;
    END $$;
    CREATE FUNCTION raw.repair() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.n % 20 = 3 THEN NEW.n = NEW.n + 1; END IF; RETURN NEW; END $$;
    CREATE FUNCTION raw.late() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.n % 30 = 7 THEN RAISE check_violation USING MESSAGE = 'late ' || NEW.n; END IF; RETURN NULL; END $$;
    CREATE TABLE raw.seen (a int);
    CREATE FUNCTION raw.trail() RETURNS boolean LANGUAGE sql AS $$ INSERT INTO raw.seen VALUES (1); SELECT true $$});

# Definition of raw.t, whose columns n and u come with the records, and more.
my %tables = (
    'a CHECK'           => '(n int CHECK (n % 10 <> 3), u int)',
    'NOT NULL'          => '(n int, u int NOT NULL)',
    'all at once'       => '(u int NOT NULL CHECK (u % 11 <> 4), n int CHECK (n % 10 <> 3), CONSTRAINT a CHECK (n % 20 <> 3))',
    'one that is unknown' => '(n int, u int, CHECK (u > 50))',
    'rare refusals'     => '(n int CHECK (n % 300 <> 290), u int)',
    'all refused'       => '(n int CHECK (n < 0), u int)',
    'an error in it'    => '(n int CHECK (100 / (n % 50) >= 0), u int CHECK (u % 10 <> 3))',
    'a function'        => '(n int CHECK (raw.judge(n)), u int)',
    'one that writes'   => '(n int CHECK (n % 10 <> 3 AND raw.trail()), u int)',
    'a generated column' => '(n int CHECK (n % 10 <> 3), u int, g int GENERATED ALWAYS AS (n * 2) STORED CHECK (g % 30 <> 8))',
    'a default'         => '(n int, u int, d int DEFAULT 7, CHECK (d + n <> 10 AND n % 10 <> 3))',
    'a dropped column'  => '(x int, n int CHECK (n % 10 <> 3), u int); ALTER TABLE raw.t DROP COLUMN x',
    'a whole row'       => '(n int CHECK (n % 10 <> 3), u int); ALTER TABLE raw.t ADD CHECK (t IS NOT NULL)',
    'its table'         => q{(n int, u int, CHECK (tableoid = 'raw.t'::regclass AND n % 10 <> 3))},
    'unique, too'       => '(n int CHECK (n % 10 <> 3), u int UNIQUE)',
    'a foreign key, too' => '(n int CHECK (n % 10 <> 3) REFERENCES raw.known, u int)',
    'a domain, too'     => '(n int CHECK (n % 10 <> 3), u raw.small)',
    'a trigger before'  => '(n int CHECK (n % 10 <> 3), u int); CREATE TRIGGER b BEFORE INSERT ON raw.t FOR EACH ROW EXECUTE FUNCTION raw.repair()',
    'a trigger behind'  => '(n int CHECK (n % 10 <> 3), u int); CREATE TRIGGER a AFTER INSERT ON raw.t FOR EACH ROW EXECUTE FUNCTION raw.late()',
    'partitions'        => '(n int CHECK (n % 10 <> 3), u int) PARTITION BY RANGE (n);
        CREATE TABLE raw.t1 PARTITION OF raw.t (CHECK (n % 10 <> 4)) FOR VALUES FROM (0) TO (300);
        CREATE TABLE raw.t2 PARTITION OF raw.t FOR VALUES FROM (300) TO (600)',
    'a partition'       => '(n int CHECK (n % 10 <> 3), u int); CREATE TABLE raw.parent (LIKE raw.t) PARTITION BY RANGE (n);
        ALTER TABLE raw.parent ATTACH PARTITION raw.t FOR VALUES FROM (0) TO (600)',
);

# Every ninth u is null, every seventh is there twice; some records are no JSON.
my $batch = qq~SELECT n, false AS bad, convert_to(CASE WHEN n % 101 = 100 THEN '{' ELSE
        format('{"n": %s, "u": %s}', n, CASE WHEN n % 9 = 8 THEN 'null' WHEN n % 7 = 6 THEN (n - 1)::text ELSE n::text END) END, 'UTF8') AS p
    FROM generate_series(0, $last) n~;
my $result = q{
    SELECT count(*), md5(string_agg(n || ':' || coalesce(u::text, '-'), ' ' ORDER BY n, u)) FROM raw.t;
    SELECT "offset", stage, sqlstate, message FROM dpipe.letter ORDER BY "offset"};
my $clear = 'DELETE FROM dpipe.letter; TRUNCATE raw.t';

foreach my $table (sort keys %tables)
{
    sql("DROP TABLE IF EXISTS raw.t, raw.parent; CREATE TABLE raw.t $tables{$table}; SELECT dpipe._test_source('s', 'raw.t')");
    my $single = sql("CREATE TEMP TABLE one AS $batch;
        SELECT count(dpipe._test_load('s', ARRAY[p], NULL, n)) FROM (SELECT * FROM one ORDER BY n) x; $result; $clear");
    my $whole = load_all('s', $batch, "SELECT sum(settled) FROM calls; $result; $clear");
    is($whole, $single, $table);
    note scalar(my @lines = split /\n/, $whole) - 2, ' dead letters';
}
is(sql('SELECT count(*) FROM raw.seen') > 0, 1, 'a constraint that writes has written') if default_path() eq 'copy';

# What is refused costs a trial of its own and none of its neighbours: a
# default is evaluated whenever a record is encoded.
sql(q{DROP TABLE raw.t; CREATE SEQUENCE raw.work;
    CREATE TABLE raw.t (n int CHECK (n % 10 <> 3), work bigint DEFAULT nextval('raw.work')); SELECT dpipe._test_source('s', 'raw.t')});
load_all('s', q{SELECT n, false AS bad, convert_to(format('{"n": %s}', n), 'UTF8') AS p FROM generate_series(0, 2999) n}, 'SELECT 1');
is(sql('SELECT count(*), count(*) FILTER (WHERE n % 10 = 3) FROM raw.t'), '2700|0', 'every tenth is refused');
cmp_ok(sql('SELECT last_value FROM raw.work'), '<', 3 * 3000 + 1500, 'each record is encoded three times, or hardly more') if default_path() eq 'copy';

unlike(slurp_file($node->logfile), qr/WARNING|leak/, 'no warning in the log');
$node->stop;
done_testing();
