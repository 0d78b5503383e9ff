# The template engine against Jinja2 on generated templates, and damaged ones:
# texts through SQL, texts and YAML values through the engine by itself, which
# has modules, sets and Decimals besides.
# DPIPE_FUZZ_COUNT and DPIPE_FUZZ_SEED change how many and which.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

# The first Python that has Jinja2: the system's, if there are several.
my ($python) =
    grep { system("$_ -c 'import jinja2' 2>/dev/null") == 0 } '/usr/bin/python3', 'python3';
plan skip_all => 'no Python with Jinja2' unless $python;

my $count = $ENV{DPIPE_FUZZ_COUNT} // ($ENV{DPIPE_LONG} ? 200000 : 5000);
my $seed  = $ENV{DPIPE_FUZZ_SEED} // 1;
my $batch = 5000;

my $node = Dpipe::Node->make('jinja');
my $run  = top_dir() . '/test/fuzz/bin/jinja_run';

# Compare $n templates, generated ones unless there is a file.
sub compare
{
    my ($name, $n, %o) = @_;
    my @command = (
        $python, '-W', 'ignore', top_dir() . '/test/fuzz/jinja_diff.py',
        '--damage', $o{damage}, ($o{file} ? ('--file', $o{file}) : ('--count', $n, '--seed', $o{seed})),
        ($o{run} ? ('--run', $o{run}) : ()), ($o{native} ? '--native' : ()),
        ($o{psql} ? ('--', @{ $o{psql} }) : ()));
    my $output = '';
    my $ok = IPC::Run::run(\@command, '>', \$output, '2>&1');

    ok($ok, $name) or diag($output);
    like($output, qr/^$n templates .* 0 differ$/m, "$name: all were compared");
}

# Of five templates two go through the server, and one is a value.
my @ways = (
    [ 'texts of the server', 2, sub { (damage => $_[0], psql => [ '-d', $node->connstr('postgres') ]) } ],
    [ 'texts',               2, sub { (damage => $_[0], run  => $run) } ],
    [ 'values',              1, sub { (damage => 0, run => $run, native => 1) } ]);

# What differed once.
my $found = top_dir() . '/test/fuzz/found.jinja';

foreach my $way (@ways)
{
    my ($name, $share, $options) = @$way;
    if ($name ne 'texts of the server' && !-x $run)
    {
        SKIP: { skip "$name: the engine was not built outside of a server", 1; }
        next;
    }
    my $left = int($count * $share / 5);

    compare("$name that differed once", slurp_file($found) =~ tr/\n//, $options->(0), file => $found);
    for (my $i = 0; $left > 0; $i++, $left -= $batch)
    {
        my $n = $left < $batch ? $left : $batch;
        compare("$name of seed " . ($seed + $i), $n, $options->($n), seed => $seed + $i);
    }
}

# Nothing brought a backend down.
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no backend crashed');
$node->stop;
done_testing();
