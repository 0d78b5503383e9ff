# YAML files of projects are read as PyYAML reads them; what is wrong in one
# is named by line and column, and no small file stands for a huge one.
# DPIPE_FUZZ_COUNT and DPIPE_FUZZ_SEED change how many texts and which.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $node = Dpipe::Node->make('yaml');
$node->sql(q{CREATE FUNCTION dpipe._test_yaml(text) RETURNS json
    LANGUAGE c STRICT AS '$libdir/dpipe', 'dpipe_test_yaml'});

sub read_yaml
{
    my ($text) = @_;
    my (undef, $out, $err) = $node->psql('postgres', "SELECT dpipe._test_yaml(\$y\$$text\$y\$)");
    return $out ne '' ? $out : $err;
}

is(read_yaml("a: 1\nb: [yes, 1:30, 2020-01-01, 010]\n"),
    '{"a":1,"b":[true,90,"2020-01-01",8]}', 'scalars');
is(read_yaml("x: &x {a: 1, b: 2}\ny:\n  c: 3\n  <<: *x\n  b: 4\n"),
    '{"x":{"a":1,"b":2},"y":{"a":1,"b":4,"c":3}}', 'merge keys');
is(read_yaml("\xEF\xBB\xBF - \n  - a\n"), '[["a"]]', 'a byte order mark is no column');
like(read_yaml("a: 1\nb: {{ var('x') }}\n"), qr/text: .*\n.*DETAIL:  Line 2, column/s, 'an error has a place');
like(read_yaml("models:\n  - name: a\n    name: b\n"),
    qr/"name":"b"/, 'of a duplicate key the last one counts');
my (undef, undef, $warning) = $node->psql('postgres', "SELECT dpipe._test_yaml(E'a: 1\\na: 2')");
like($warning, qr/WARNING:  text: duplicate key 'a'\nDETAIL:  Line 2, column 1/, 'and it is warned of');
like(read_yaml("a: &a [*a]\n"), qr/alias "a" is a part of what it stands for/, 'a value that holds itself');
like(read_yaml("a: 1\n---\nb: 2\n"), qr/a second document begins/, 'two documents');
like(read_yaml('[' x 10000), qr/nested too deeply/, 'depth is limited');

my $bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
$bomb .= sprintf "a%d: &a%d [%s]\n", $_, $_, join(', ', ('*a' . ($_ - 1)) x 10) foreach 1 .. 12;
like(read_yaml($bomb), qr/text: too many values\n.*dpipe\.yaml_max_values/s, 'aliases are counted as what they stand for');

is(read_yaml("1: a\n" . join('', map { "$_: x\n" } 2 .. 20) . "1.0: b\n-0.0: y\n0: z\n"),
    '{"1":"b",' . join(',', map { qq("$_":"x") } 2 .. 20) . ',"-0.0":"z"}', 'numbers that are equal are one key, in a large mapping, too');
is($node->sql(q{SELECT count(*) FROM json_each(dpipe._test_yaml((SELECT string_agg(i || ': x', E'\n') FROM generate_series(1, 200000) i)))}),
    200000, 'as many keys that are numbers');

SKIP:
{
    my ($python) = grep { system("$_ -c 'from yaml import CSafeLoader' 2>/dev/null") == 0 } '/usr/bin/python3', 'python3';
    skip 'no Python with PyYAML', 2 unless $python;
    my $count = $ENV{DPIPE_FUZZ_COUNT} // ($ENV{DPIPE_LONG} ? 500000 : 20000);
    my $seed  = $ENV{DPIPE_FUZZ_SEED} // 1;
    for (my $left = $count; $left > 0; $left -= 50000)
    {
        my $output = '';
        my $ok = IPC::Run::run(
            [ $python, top_dir() . '/test/fuzz/yaml_diff.py', '--count', $left < 50000 ? $left : 50000,
                '--seed', $seed, '--', '-d', $node->connstr('postgres') ],
            '>', \$output, '2>&1');
        ok($ok, "texts of seed $seed") or diag($output);
        like($output, qr/ 0 differ$/m, 'all were compared');
        $seed++;
    }
}
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no backend crashed');
$node->stop;
done_testing();
