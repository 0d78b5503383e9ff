# What a JSON value becomes in a column: the loader's own encoders against
# PostgreSQL's input functions, value by value and type by type.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use LoadTest;
use Dpipe::Process qw(thin);
use Test::More;

my $node = load_node('values');

# The same by PostgreSQL itself: the text a column would show, or the error.
sql(q{
    CREATE FUNCTION by_server(tab regclass, payload text) RETURNS text LANGUAGE plpgsql
        SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 AS $$
    DECLARE r text;
    BEGIN
        -- the loader keeps what was written, escapes and all
        IF format_type((SELECT atttypid FROM pg_attribute WHERE attrelid = tab AND attname = 'v'), NULL) = 'json' THEN
            PERFORM payload::json;
            RETURN coalesce(nullif(substr(payload, 7, length(payload) - 7), 'null'), 'NULL');
        END IF;
        EXECUTE format('SELECT coalesce((json_populate_record(NULL::%s, $1::json)).v::text, ''NULL'')', tab)
            INTO r USING payload;
        RETURN r;
    EXCEPTION WHEN OTHERS THEN RETURN 'error';
    END $$;
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN small_positive AS smallint CHECK (VALUE > 0);
    CREATE TABLE candidates (n int GENERATED ALWAYS AS IDENTITY, v text);
});

my @values = (
    # any JSON value
    'null', 'true', 'false', '{}', '[]', '{"a": [1, "x"]}', '[1, 2]', '[[1, 2], [3, 4]]', '["a\"b", null, "c,d"]',
    # numbers
    qw(0 -0 1 -1 42 1.0 1.5 -2.50 1e3 1E+3 1e-3 123456789012345678901234567890 0.1 0.10 32767 32768 -32768 -32769
      2147483647 2147483648 -2147483648 -2147483649 9223372036854775807 9223372036854775808 -9223372036854775808
      -9223372036854775809 3.4e38 3.5e38 1e-46 1.7e308 1.8e308 4.9e-324 1e-400 1e400 99.994 99.995 999.99 999.995
      1000 0.00001 10000 100000000 1e130000 1e131072 1e-16383 1e-16384 0e999999 123.4567e2 12345678.90123e-3
      0.000e-20 100e-2 20240229 1e2147483648),
    '1' . '0' x 200, '0.' . '0' x 200 . '1',
    # strings that are numbers, or nearly
    map({ "\"$_\"" } qw(0 42 -42 +42 4.2 .5 5. . - + 1e5 1e 1e+ 0x1A 1_000 NaN nan Infinity -Infinity inf -inf +inf
      infinity abc 1a 00012 1.5e3 --1 1-1 0x1p3 1e400 nan(1) 99999 12345678901234567890), ' 42 ', '\t42\n', '', ' ', '4 2', '1.5 x'),
    # booleans
    map({ "\"$_\"" } qw(true TRUE t T f false yes no on off o of y n 1 0 tr2ue), ' true '),
    # dates and times
    map({ "\"$_\"" } '2024-01-02', '2024-02-29', '2023-02-29', '2024-13-01', '2024-00-10', '2024-04-31', '0000-01-01',
      '0001-01-01', '9999-12-31', '10000-01-01', '2024-1-2', '01/02/2024', '20240102', 'Jan 2 2024', 'epoch', 'infinity',
      '2024-01-02T03:04:05Z', '2024-01-02t03:04:05z', '2024-01-02 03:04:05', '2024-01-02T03:04', '2024-01-02T03',
      '2024-01-02T03:04:05.123456Z', '2024-01-02T03:04:05.1234567Z', '2024-01-02T03:04:05.9999999Z', '2024-01-02T03:04:05.Z',
      '2024-01-02T03:04:05+02:00', '2024-01-02T03:04:05-0330', '2024-01-02T03:04:05+14', '2024-01-02T03:04:05+16:00',
      '2024-01-02T03:04:05+15:59', '2024-01-02T03:04:05-15:59:59', '2024-01-02T24:00:00Z', '2024-01-02T23:59:60Z',
      '2024-01-02T25:00:00Z', '2024-01-02T03:60:00Z', '2024-01-02T03:04:05 Europe/Berlin', '2024-01-02T03:04:05 +00:00',
      '2024-01-02T03:04:05ZZ', '2024-01-02 BC', '1969-12-31T23:59:59.999999Z', '0001-01-01T00:00:00+15:00', '2024-01-02T',
      '2024-07-01T00:00:00.5+00:00', '03:04:05', '03:04', '23:59:59.999999', '24:00:00', '03:04:05+02', '3:4:5', '030405',
      '03:04:05.5 PM', '1 day 2 hours', 'P1DT2H', '-1 2:03:04'),
    # uuids, bytes, the rest
    map({ "\"$_\"" } 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
      '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', 'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1-1', 'a0e-ebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      '\\\\x', '\\\\xdead', '\\\\xDE AD', '\\\\xd', '\\\\xzz', '\\\\x d e', 'abc\\\\000def', 'a\\\\\\\\b', 'a\\\\b',
      'sad', 'ok', 'glad', '{1,2}', '{"a","b"}', '10.0.0.1', '10.0.0.0/8', '(1,2)', '[1,5)', 'ab', 'abc ', 'abcd', 'abc  d',
      'abc    ', 'äöü', 'äöüß', '\u00e4\u20ac\ud83d\ude00', '\"\\\\\/\b\f\n\r\t', '\u0000', '\ud800', '\udc00\ud800', 'x\ud83dy',
      '$1.50', '00:11:22:33:44:55', '1010', '<a/>', '<a>', 'a b c', '1:2'),
);
my $list = join(',', map { my $v = $_; $v =~ s/'/''/g; "('$v')" } @values);
sql("INSERT INTO candidates (v) VALUES $list");

my @types = (
    qw(boolean smallint integer bigint real numeric text bytea json date interval uuid inet money mood
      small_positive text[] integer[] jsonb[] int4range point macaddr name tsvector), 'double precision',
    'numeric(5,2)', 'numeric(3,-2)', 'numeric(2,4)', 'varchar(3)', 'char(3)', 'varchar', 'bpchar', '"char"', 'timestamp',
    'timestamp(0)', 'timestamptz', 'timestamptz(3)', 'time', 'time(0)', 'timetz', 'bit(4)', 'varbit', 'jsonb',
    'varchar(2)[]', 'xid8', 'oid', 'pg_lsn',
);
push @types, 'xml'
    if sql(q{SELECT setting ~ 'with-libxml' FROM pg_config WHERE name = 'CONFIGURE'}) eq 't';
foreach my $path ('copy', 'sql')
{
load_path($path eq 'sql' ? 'sql' : 'auto');
foreach my $i (0 .. $#types)
{
    my $type = $types[$i];
    # All values; or one in so many, each with some type.
    my $some = sprintf 'n %% %d = %d %% %1$d', thin(), $path eq 'sql' ? $i + 2 : $i;
    # The table has no other column that could refuse a record.
    my $got = sql(qq{
        SET TimeZone = 'America/New_York'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard';
        SET client_encoding = 'LATIN1'; SET array_nulls = off;
        CREATE TABLE raw.one (v $type, _offset bigint);
        SELECT dpipe._test_source('one', 'raw.one');
        CREATE TEMP TABLE c AS SELECT row_number() OVER (ORDER BY n) AS n, v, '{"v": ' || v || '}' AS payload FROM candidates WHERE $some;
        DO \$\$
        DECLARE o bigint := 1; s int;
        BEGIN
            WHILE o <= (SELECT max(n) FROM c) LOOP
                SELECT settled INTO s FROM dpipe._test_load('one',
                    (SELECT array_agg(convert_to(payload, 'UTF8') ORDER BY n) FROM c WHERE n >= o), NULL, o);
                o := o + s;
            END LOOP;
        END \$\$;
        SET client_encoding = 'UTF8';
        SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET array_nulls = on;
        WITH both_ways AS MATERIALIZED (
            SELECT c.v, CASE WHEN l.id IS NOT NULL THEN 'error' WHEN t._offset IS NULL THEN 'lost' ELSE coalesce(t.v::text, 'NULL') END AS loaded,
                by_server('raw.one', c.payload) AS expected, l.message
            FROM c LEFT JOIN (SELECT v::text, _offset FROM raw.one) t ON t._offset = c.n LEFT JOIN dpipe.letter l ON l."offset" = c.n)
        SELECT * FROM both_ways WHERE loaded IS DISTINCT FROM expected;
        DROP TABLE raw.one; DELETE FROM dpipe.letter;});
    is($got, '', "$path: values in $type");
}
}

# A type without a binary format takes the SQL path by itself.
load_path('auto');
is( sql(q{CREATE TABLE raw.acl (v aclitem, d aclitem DEFAULT 'postgres=r/postgres', arr aclitem[], _offset int);
          SELECT dpipe._test_source('acl', 'raw.acl');
          SELECT * FROM dpipe._test_load('acl', dpipe._test_bytes('{"v": "postgres=w/postgres"}', '{"v": "x"}', '{"d": null, "arr": ["=r/postgres"]}'));
          SELECT v, d, arr FROM raw.acl ORDER BY _offset; SELECT "offset", stage, sqlstate FROM dpipe.letter}),
    "\n2|1|3|sql\npostgres=w/postgres|postgres=r/postgres|\n||{=r/postgres}\n1|convert|22P02", 'a type without a binary format');

$node->stop;
done_testing();
