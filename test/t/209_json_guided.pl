# The JSON scanner against the parser of PostgreSQL's json, on texts that a
# coverage-guided fuzzer makes. Takes clang; 204_json_scan.pl does without.
# DPIPE_FUZZ_COUNT and DPIPE_FUZZ_SEED change how many and which.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $top = $ENV{DPIPE_TOP};
my ($include, $lib) = map { my $d = `pg_config $_`; chomp $d; $d } '--includedir-server', '--libdir';
my $pkglib = `pg_config --pkglibdir`;
chomp $pkglib;

plan skip_all => 'clang is not installed' if system('clang --version > /dev/null 2>&1') != 0;
system("echo 'int LLVMFuzzerTestOneInput(const char *s, unsigned long n) { return 0; }' > $dir/probe.c");
plan skip_all => 'clang has no fuzzer here' if system("clang -fsanitize=fuzzer,address $dir/probe.c -o $dir/probe 2> /dev/null") != 0;
my ($common) = grep { -e "$_/libpgcommon.a" } "$pkglib/..", $pkglib, $lib, '/usr/lib/postgresql/15/lib';
plan skip_all => 'no libpgcommon' unless $common;
# The parser's interface is another one from 17 on.
plan skip_all => 'this parser is not known' if `pg_config --version` !~ /PostgreSQL 1[56]/;

my $long  = $ENV{DPIPE_LONG} // 0;
my $count = $ENV{DPIPE_FUZZ_COUNT} // ($long ? 10_000_000 : 100_000);
my $seed  = $ENV{DPIPE_FUZZ_SEED} // 1;
command_ok(
    [
        'clang', '-g', '-O1', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all', '-Wno-ignored-attributes',
        '-DFRONTEND', "-I$include", "-I$top/src", "$top/test/fuzz/json_guided.c", "$top/src/load/scan.c",
        "-L$common", '-lpgcommon', '-lpgport', '-o', "$dir/guided"
    ],
    'the fuzzer builds');

# Something to begin with, and what is seldom hit upon by chance.
my $n = 0;
mkdir "$dir/corpus";
foreach my $text (
    '{"a": 1, "b": [true, null, "x\u00e4\ud83d\ude00"], "c": {"d": -1.5e+3}}',
    '{"\u0000": "\ud800", "\udc00\ud83d": []}', '["', "\xc3\xa4", ' 0.10e-5 ', '{"a":{"a":{}},"a":"\\\\\\""}')
{
    append_to_file("$dir/corpus/" . ++$n, $text);
}
append_to_file("$dir/words", join "\n", '"\\\\u0000"', '"\\\\ud800"', '"\\\\udc00"', '"\\\\ud83d\\\\ude00"', '"true"', '"false"', '"null"',
    '"-0.5E+3"', '"{\"a\":"', '"\xc3\xa4"', '');

# The parser leaks what it had when it refuses a text, so not too many at a time.
local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
my $done = 0;
while ($done < $count)
{
    my $runs = $count - $done > 2_000_000 ? 2_000_000 : $count - $done;
    my $status = system("cd $dir && ./guided -runs=$runs -seed=$seed -max_len=1024 -dict=words -detect_leaks=0 -rss_limit_mb=4096 corpus > log 2>&1");

    is($status, 0, "seed $seed: $runs texts, no difference") or do
    {
        diag join "\n", grep { /differs|ERROR|SUMMARY|Base64/ } split /\n/, slurp_file("$dir/log");
        last;
    };
    note((slurp_file("$dir/log") =~ /.*(cov: \d+ ft: \d+ corp: \d+)/s)[0]);
    $done += $runs;
    $seed++;
}
done_testing();
