# Templates against Jinja2 on generated templates, and damaged ones.
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

foreach my $i (0 .. int(($count - 1) / $batch))
{
    my $n = $count - $i * $batch < $batch ? $count - $i * $batch : $batch;
    my @command = (
        $python, '-W', 'ignore', top_dir() . '/test/fuzz/jinja_diff.py',
        '--count', $n, '--damage', $n, '--seed', $seed + $i, '--',
        '-d', $node->connstr('postgres'));
    my $output = '';
    my $ok = IPC::Run::run(\@command, '>', \$output, '2>&1');
    ok($ok, 'templates of seed ' . ($seed + $i)) or diag($output);
    like($output, qr/^$n templates .* 0 differ$/m, 'all were compared');
}

# Nothing brought a backend down.
unlike(slurp_file($node->logfile), qr/terminated by signal/, 'no backend crashed');
$node->stop;
done_testing();
