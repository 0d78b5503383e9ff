# The loader without a broker: the default raw table, and bad records in it.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use PostgreSQL::Test::Utils;
use LoadTest;
use Dpipe::Process qw(thin);
use Test::More;

my $node = load_node('load');
my $path = default_path();

# --- making the default table ---
is(sql("SELECT dpipe._test_prepare('raw.events')"), 'raw.events', 'table is made');
is( sql("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = 'raw.events'::regclass AND attnum > 0"),
    '_topic text, _partition integer, _offset bigint, _timestamp timestamp with time zone, '
      . '_key text, _headers jsonb, _payload jsonb, _extracted_at timestamp with time zone, _load_id bigint',
    'with the columns of the design');
like(sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'events'"),
    qr/USING brin \(_load_id\) WITH \(autosummarize='on', pages_per_range='32'\)/, 'and a BRIN index');
is(sql("SELECT dpipe._test_prepare('raw.events')"), 'raw.events', 'an existing table is taken');
is(sql("SET search_path = raw; SELECT dpipe._test_prepare('\"My Events\"', 'raw', 1)"),
    'raw."My Events"', 'quoted, in the current schema');
is( sql("SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = 'raw.\"My Events\"'::regclass AND attname IN ('_payload', '_key')"),
    'bytea,bytea', 'format raw and key_format bytea');

# --- what cannot be a target ---
sql("CREATE UNLOGGED TABLE raw.unlogged (a int); CREATE TABLE raw.base (a int); CREATE VIEW raw.v AS SELECT * FROM raw.base;
     CREATE TABLE raw.part (a int) PARTITION BY LIST (a);
     CREATE UNLOGGED TABLE raw.part1 PARTITION OF raw.part FOR VALUES IN (1);
     CREATE SEQUENCE raw.s; CREATE TABLE raw.wrong (_payload int); CREATE TABLE raw.nopayload (a int);
     CREATE TABLE raw.ruled (a int); CREATE RULE r AS ON INSERT TO raw.ruled DO INSTEAD NOTHING;
     CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE raw.ft (a int) SERVER s;");
like(sql_error("SELECT dpipe._test_prepare('raw.unlogged')"), qr/0A000.*is unlogged/s, 'unlogged');
like(sql_error("SELECT dpipe._test_prepare('raw.part')"), qr/0A000.*raw\.part1.*is unlogged/s, 'unlogged partition');
like(sql_error("CREATE VIEW raw.one AS SELECT 1 AS a; SELECT dpipe._test_prepare('raw.one')"), qr/55000.*view that takes no INSERT/s, 'a view of no table');
like(sql_error("SELECT dpipe._test_prepare('raw.s')"), qr/42809.*not a table or view/s, 'sequence');
like(sql_error("SELECT dpipe._test_prepare('raw.ft')"), qr/0A000.*foreign table/s, 'foreign table');
like(sql_error("SELECT dpipe._test_prepare('pg_catalog.pg_class')"), qr/0A000.*system/s, 'catalog');
like(sql_error("SELECT dpipe._test_prepare('dpipe.source')"), qr/0A000.*system/s, 'own catalog');
like(sql_error("SELECT dpipe._test_prepare('raw.wrong')"), qr/42804.*type integer/s, 'payload of a wrong type');
like(sql_error("SELECT dpipe._test_prepare('raw.nopayload', 'raw')"), qr/42703.*_payload/s, 'raw without payload');
like(sql_error("SELECT dpipe._test_prepare('nowhere.t')"), qr/3F000.*nowhere/s, 'no such schema');
like(sql_error("SELECT dpipe._test_prepare('otherdb.raw.t')"), qr/0A000.*another database/s, 'other database');
like(sql_error("SELECT dpipe._test_prepare('a.b.c.d')"), qr/42601/, 'no name');
like(sql_error("CREATE TEMP TABLE tt (a int); SELECT dpipe._test_prepare('pg_temp.tt')"), qr/0A000.*temporary/s, 'temporary');

# --- the happy path ---
sql("SELECT dpipe._test_source('s', 'raw.events')");
is( sql(q{SELECT * FROM dpipe._test_load('s', dpipe._test_bytes('{"a": 1}', '[2]', '"x"', 'null'),
          dpipe._test_bytes('k1', NULL, 'k3'), 100, ARRAY['h', '1', 'h', NULL, 'bin', '\xff']::bytea[])}),
    "4|0|4|$path", 'four rows');
is( sql(q{SELECT _topic, _partition, _offset, extract(epoch from _timestamp), _key, _headers, _payload,
          _extracted_at > now() - interval '1 minute', _load_id > 0 FROM raw.events ORDER BY _offset}),
    join("\n",
        't|0|100|1700000000.123000|k1|[["h", "1"], ["h", null], ["bin", {"base64": "/w=="}]]|{"a": 1}|t|t',
        't|0|101|1700000000.124000||[["h", "1"], ["h", null], ["bin", {"base64": "/w=="}]]|[2]|t|t',
        't|0|102|1700000000.125000|k3|[["h", "1"], ["h", null], ["bin", {"base64": "/w=="}]]|"x"|t|t',
        't|0|103|1700000000.126000||[["h", "1"], ["h", null], ["bin", {"base64": "/w=="}]]|null|t|t'),
    'with their provenance');
is(sql(q{SELECT * FROM dpipe._test_load('s', ARRAY[NULL]::bytea[])}), "1|0|1|$path", 'a tombstone');
is(sql(q{SELECT _payload IS NULL, _key IS NULL, _headers IS NULL FROM raw.events ORDER BY _load_id DESC LIMIT 1}),
    't|t|t', 'is a row with NULLs');

# --- poison, of each kind and in each place ---
my $records = int(200 / thin());
my $last    = $records - 1;
sub broken_string { return text_bytes('{"a": "') . " || '" . shift . "'::bytea || " . text_bytes('"}'); }
my %poison = (
    'not JSON' => [ text_bytes('{"a":'), 'decode|22P02' ],
    'empty' => [ q!''::bytea!, 'decode|22P02' ],
    'invalid UTF-8' => [ broken_string('\xff'), 'decode|22021' ],
    'a NUL byte' => [ broken_string('\x00'), 'decode|22P02' ],
    '\u0000' => [ text_bytes('{"a": "\u0000"}'), 'convert|22P05' ],
    'half a surrogate' => [ text_bytes('{"a": "\ud800"}'), 'convert|22P02' ],
    'number out of range' => [ text_bytes('{"a": 1e1000000}'), 'convert|22003' ],
    'too deep' => [ q!convert_to(repeat('[', 50000) || repeat(']', 50000), 'UTF8')!, 'convert|54001' ],
);
my %places = (
    first => 'n = 0',
    last => "n = $last",
    middle => 'n = 27',
    'all' => 'true',
    '10 %' => 'n % 10 = 3',
);
foreach my $kind (sort keys %poison)
{
    foreach my $place (sort keys %places)
    {
        my ($bytes, $expected) = @{ $poison{$kind} };
        my $where = $places{$place};
        my $got = sql(qq{
            TRUNCATE raw.events; DELETE FROM dpipe.letter;
            CREATE TEMP TABLE batch AS SELECT n, $where AS bad,
                CASE WHEN $where THEN $bytes ELSE convert_to(format('{"n": %s}', n), 'UTF8') END AS p
                FROM generate_series(0, $last) n;
            DO \$\$
            DECLARE o bigint := 0; s int; i int := 0;
            BEGIN
                WHILE o < $records LOOP
                    SELECT settled INTO s FROM dpipe._test_load('s',
                        (SELECT array_agg(p ORDER BY n) FROM batch WHERE n >= o), NULL, o);
                    o := o + s; i := i + 1;
                    ASSERT s > 0 AND i < 10;
                END LOOP;
            END \$\$;
            SELECT count(*) = (SELECT count(*) FROM batch WHERE NOT bad) FROM raw.events;
            SELECT bool_and((_payload->>'n')::int = _offset) IS NOT FALSE, count(DISTINCT _offset) = count(*) FROM raw.events;
            SELECT count(*) = (SELECT count(*) FROM batch WHERE bad) FROM dpipe.letter;
            SELECT bool_and(l.payload = b.p AND b.bad AND l.owner = current_user AND l.topic = 't' AND l.partition = 0)
                FROM dpipe.letter l JOIN batch b ON b.n = l."offset";
            SELECT DISTINCT stage, sqlstate FROM dpipe.letter;});
        is($got, "t\nt|t\nt\nt\n$expected", "$kind, $place");
    }
}

$node->stop;
done_testing();
