# The JSON scanner against PostgreSQL's json and jsonb, on generated texts.
# DPIPE_FUZZ_COUNT and DPIPE_FUZZ_SEED change how many and which.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use PostgreSQL::Test::Utils;
use LoadTest;
use Test::More;

my $count = $ENV{DPIPE_FUZZ_COUNT} // 60000;
my $seed = $ENV{DPIPE_FUZZ_SEED} // 1;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $top = $ENV{DPIPE_TOP};
my $include = `pg_config --includedir-server`;
chomp $include;
my @compile = ('cc', '-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-Wall', '-DFRONTEND',
    "-I$include", "-I$top/src",
    "$top/test/fuzz/json_scan.c", "$top/src/load/scan.c", '-o', "$dir/json_scan");
command_ok(\@compile, 'the driver builds');
is(system("$dir/json_scan $count $seed > $dir/texts"), 0, 'and runs clean');

my $node = load_node('scan');
sql(q{
    CREATE FUNCTION is_json(t text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM t::json; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;
    CREATE FUNCTION is_jsonb(t text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM t::jsonb; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;
    CREATE TABLE texts (hex text, ok boolean, has_nul boolean, has_surrogate boolean, has_huge boolean, fields text);
});
is($node->psql('postgres', "\\copy texts FROM '$dir/texts' (NULL 'none')"), 0, 'loaded');
sql(q{CREATE TABLE checked AS SELECT *, is_json(t) AS by_json, is_jsonb(t) AS by_jsonb
    FROM (SELECT convert_from(decode(hex, 'hex'), 'UTF8') AS t, * FROM texts) AS x});
is(sql(q{SELECT count(*) FROM checked}), $count, 'all texts are checked');
is(sql(q{SELECT t FROM checked WHERE ok <> by_json LIMIT 5}), '', 'the same is JSON');
is(sql(q{SELECT t FROM checked WHERE by_jsonb <> (ok AND NOT has_nul AND NOT has_surrogate AND NOT has_huge) LIMIT 5}), '',
    'the same is jsonb');
is( sql(q{SELECT t FROM checked WHERE ok AND NOT has_nul AND NOT has_surrogate AND t ~ '^\s*\{' AND convert_from(decode(fields, 'hex'), 'UTF8') <>
        (SELECT coalesce(string_agg(key || '=' || value || E'\n', '' ORDER BY n), '') FROM json_each(t::json) WITH ORDINALITY AS e(key, value, n)) LIMIT 5}),
    '', 'with the same fields');
my $shares = sql(q{SELECT round(avg(ok::int), 2), round(avg((ok AND NOT by_jsonb)::int), 2), round(avg((fields <> '')::int), 2) FROM checked});
note("shares of JSON, JSON but no jsonb, with fields: $shares");
my ($ok, $no_jsonb, $fields) = split /\|/, $shares;
ok($ok > 0.3 && $ok < 0.9 && $no_jsonb > 0.01 && $fields > 0.1, 'and the texts are of all kinds');

$node->stop;
done_testing();
