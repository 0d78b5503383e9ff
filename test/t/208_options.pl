# Options, properties and positions made up at random: taken and then within
# their limits, or refused as the user's mistake. Also the values of records:
# the loader's encoders against the input functions of the types.
# DPIPE_FUZZ_COUNT and DPIPE_FUZZ_SEED change how many and which.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use PostgreSQL::Test::Utils;
use LoadTest;
use Test::More;

my $long  = $ENV{DPIPE_LONG} // 0;
my $count = $ENV{DPIPE_FUZZ_COUNT} // ($long ? 10_000_000 : 30_000);
my $seed  = $ENV{DPIPE_FUZZ_SEED} // 1;
my $node  = load_node('options');
my $quiet = 'SET client_min_messages = error; SET log_min_messages = panic; SET statement_timeout = 0;';

sql(q{CREATE FUNCTION dpipe._test_options(count bigint, seed bigint, OUT taken bigint, OUT refused bigint)
    LANGUAGE c AS '$libdir/dpipe', 'dpipe_test_options';
    CREATE ROLE nobody});
foreach my $role ('postgres', 'nobody')
{
    my $result = sql(qq{$quiet SET ROLE $role; SELECT taken, refused FROM dpipe._test_options($count / 2, $seed)});
    my ($taken, $refused) = split /\|/, $result;

    note "seed $seed as $role: $taken taken, $refused refused";
    ok($taken > $count / 100 && $refused > $count / 100, "options as $role are taken and refused");
}

# ---- values ----

# A record a value, loaded into a column of each type; the same text through
# the type's input function. Both take it, with the same result, or neither.
my %type = (
    bool => q~ARRAY['true', 't', 'yes', 'on', '1', '0', 'of', 'off', 'TRUE', ' f ', 'y', 'null', '2', 'o', 'tr']~,
    int2 => q~ARRAY['1', '-1', '32767', '32768', '-32768', '-32769', ' 7 ', '+5', '1.0', '1e3', '0x1F', '', '-', '0', '00012', '1 2']~,
    int4 => q~ARRAY['1', '-0', '2147483647', '2147483648', '-2147483648', '-2147483649', E' 7\t', '+5', '1.0', '1e3', '99999999999999999999', '0b1', '1_0']~,
    int8 => q~ARRAY['9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809', '5', '1.', '+', ' +3']~,
    float4 => q~ARRAY['1', '1.5', '1e38', '3.5e38', '1e-45', '1e-50', 'nan', 'Infinity', '-inf', '0x10', '.5', '5.', '1e', '1e+', '16777217', '-0', 'infinit']~,
    float8 => q~ARRAY['1', '0.1', '1e308', '1.8e308', '5e-324', '1e-400', 'NaN', 'infinity', '0x1p3', '.5', '9007199254740993', '-0.0', ' 1 ', '1 x']~,
    numeric => q~ARRAY['1', '0.1', '-1.50', '1e10', '1e-10', '1e400', '1e131071', '1e131072', '1e-16383', '1e-16384', 'NaN', 'inf', '.5', '5.', '0000.5', '1e', '1e 5', '1e -5', '-', '123456789012345678901234567890.123456789']~,
    'numeric(6,2)' => q~ARRAY['1', '9999.994', '9999.995', '-9999.999', '0.005', '0.004', '1e4', '1e3', 'NaN', 'inf']~,
    text => q~ARRAY['', 'a', 'ä€😀', E'a\nb', '{"a": 1}', 'null', E'\\x41']~,
    'varchar(3)' => q~ARRAY['', 'abc', 'abcd', 'abc   ', 'ä€😀', 'ä€😀x']~,
    'char(3)' => q~ARRAY['', 'a', 'abc', 'abcd', 'abc ', 'ä€😀']~,
    bytea => q~ARRAY['', '\x', '\x4', '\x41', '\xZZ', 'abc', '\\', '\101', '\400', '\x 41 42', E'\\x4142\n']~,
    uuid => q~ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11', '{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}', 'a0eebc99', '', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']~,
    date => q~ARRAY['2024-02-29', '2023-02-29', '2024-2-9', '20240229', 'infinity', 'epoch', '0000-01-01', '0001-01-01', '5874897-12-31', '5874898-01-01', '2024-13-01', '01/02/2024', '2024-02-29T10:00:00', '4714-11-23 BC']~,
    time => q~ARRAY['10:00', '24:00:00', '24:00:01', '23:59:60', '10:00:00.1234567', '25:00', '10:00 PM', '10', 'allballs', '10:00:00+01']~,
    timestamp => q~ARRAY['2024-02-29T23:59:60', '2024-02-29 10:00', '2024-02-29T10:00:00.1234565', '2024-02-29T10:00:00Z', '2024-02-29T10:00:00+14:30', 'infinity', '-infinity', 'epoch', '294276-12-31 23:59:59.999999', '294277-01-01', '2024-02-30', '2024-02-29T24:00:00', '2024-02-29T25:00:00', '0000-01-01', '2024-02-29 10:00:00.5 BC']~,
    timestamptz => q~ARRAY['2024-02-29T23:59:60Z', '2024-02-29 10:00', '2024-02-29T10:00:00.1234565-08', '2024-02-29T10:00:00+15:59:59', '2024-02-29T10:00:00+16', '2024-02-29T10:00:00 Europe/Berlin', '2024-02-29T10:00:00 CET', 'infinity', '294276-12-31 23:59:59Z', '2024-02-29T10:00:00z', '2024-02-29t10:00:00Z', '1e5']~,
    interval => q~ARRAY['1 day', 'P1Y2M', '1:00', '-1 mon', '1 fortnight', '']~,
    'int4[]' => q~ARRAY['{1,2}', '{}', '{1,NULL}', '[0:1]={1,2}', '{1', '1']~,
    inet => q~ARRAY['1.2.3.4', '::1/64', '1.2.3.4/33', '']~,
);
# Strings made of pieces of those of all types, so that neighbours are met.
my $values = $ENV{DPIPE_FUZZ_VALUES} // ($long ? 20_000 : 300);
sql(q{
    CREATE FUNCTION same(t text, type text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE r text;
    BEGIN
        -- An INSERT, since a cast would cut off what is too long.
        EXECUTE format('INSERT INTO pg_temp.taken_%s VALUES (%L) RETURNING c::text', regexp_replace(type, '\W', '', 'g'), t) INTO r;
        RETURN r;
    EXCEPTION WHEN OTHERS THEN
        RETURN '(refused)';
    END $$;
    CREATE FUNCTION mutate(t text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE at int := 1 + floor(random() * (length(t) + 1))::int;
        piece text := (ARRAY['0', '1', '9', '-', '+', '.', 'e', 'E', ':', ' ', 'T', 'Z', '/', '\\', '"', '{', '}', ',', 'x', '_', 'ä'])[1 + floor(random() * 21)::int];
    BEGIN
        CASE floor(random() * 4)::int
            WHEN 0 THEN RETURN overlay(t PLACING piece FROM at FOR 0);
            WHEN 1 THEN RETURN overlay(t PLACING piece FROM at FOR 1);
            WHEN 2 THEN RETURN overlay(t PLACING '' FROM at FOR 1);
            ELSE RETURN left(t, at) || substr(t, at - 1);
        END CASE;
    END $$;
});
my $number = 0;
foreach my $type (sort keys %type)
{
    my $bare = join '', $type =~ /\w/g;
    my $name = 'v_' . ++$number;
    # What does not depend on the settings that a load pins.
    my $pinned = q{SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 1;};
    my $result = sql(qq{
        $quiet $pinned
        SELECT setseed(0.$seed) IS NULL;
        CREATE TABLE raw.$name (n int, c $type);
        SELECT dpipe._test_source('$name', 'raw.$name');
        CREATE TEMP TABLE taken_json (c json);
        CREATE TEMP TABLE taken_$bare (c $type);
        CREATE TEMP TABLE made (n int, t text, number boolean);
        INSERT INTO made SELECT row_number() OVER (), x, false FROM unnest($type{$type}) AS x;
        INSERT INTO made SELECT i + 1000, CASE WHEN i % 3 = 0 THEN mutate(mutate(t)) ELSE mutate(t) END, false
            FROM generate_series(1, $values) AS i
            CROSS JOIN LATERAL (SELECT ($type{$type})[1 + floor(random() * cardinality($type{$type}))::int] AS t WHERE i > 0) AS b;
        INSERT INTO made SELECT n + 1000000, t, true FROM made WHERE same(t, 'json') <> '(refused)' AND t ~ '^[-0-9]\\S*\$';
        CREATE TEMP TABLE batch AS SELECT row_number() OVER (ORDER BY n) - 1 AS n, n AS id, t,
            convert_to(format('{"n": %s, "c": %s}', n, CASE WHEN number AND same(t, 'json') = t THEN t ELSE to_json(t)::text END), 'UTF8') AS p
            FROM made;
        CREATE PROCEDURE pg_temp.load_all() LANGUAGE plpgsql AS \$\$
        DECLARE o bigint := 0; s int; total bigint := (SELECT count(*) FROM batch);
        BEGIN
            WHILE o < total LOOP
                SELECT settled INTO s FROM dpipe._test_load('$name', (SELECT array_agg(p ORDER BY n) FROM batch WHERE n >= o), NULL, o);
                o := o + s;
                COMMIT;
            END LOOP;
        END \$\$;
        CALL pg_temp.load_all();
        SELECT coalesce(string_agg(format('%s: loaded %s, the type says %s', to_json(b.t), left(coalesce(l.c::text, '(refused)'), 60),
            left(same(b.t, '$type'), 60)), E'\n'), '')
            FROM (SELECT * FROM batch ORDER BY n) AS b LEFT JOIN raw.$name AS l ON l.n = b.id
            WHERE coalesce(l.c::text, '(refused)') <> coalesce(same(b.t, '$type'), '(null)');
        SELECT count(*), count(l.n) FROM batch AS b LEFT JOIN raw.$name AS l ON l.n = b.id;
    });
    my @lines = split /\n/, $result;
    note "$type: $lines[-1] (values|loaded)";
    # First the results of set-up: setseed, _test_source.
    my @wrong = grep { /the type says/ } @lines;
    is(join("\n", @wrong[0 .. (@wrong > 5 ? 4 : $#wrong)]), '', "$type: the same values, and the same are refused");
}

$node->stop;
done_testing();
