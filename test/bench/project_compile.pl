# Milliseconds of SELECT dpipe_compile('model') in a project of 1000 models, a
# statement of its own for each, in a session that has compiled before (value)
# and as the first statement of a session (cold), which opens the project: reads
# its nodes and parses its macros. The median model, all models in turn.
#
# BENCH_MODELS (1000), BENCH_ROUNDS (5)
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(bench_node median percentile report run_session);
use Dpipe::DbtProject qw(write_project);

my $models = $ENV{BENCH_MODELS} // 1000;
my $rounds = $ENV{BENCH_ROUNDS} // 5;
my $node   = bench_node();
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my (@ms, @cpu_ms, @cold_ms, @cold_cpu_ms);

$models = write_project("$dir/project", models => $models);
$node->sql("SELECT count(*) FROM dpipe_load_project('$dir/project'); VACUUM ANALYZE dpipe.node");
my $cpu = "\\! cut -d ' ' -f 1 /proc/\$BACKEND/schedstat\n";
foreach my $round (1 .. $rounds)
{
    my (undef, undef, $out) = run_session($node, <<"SQL");
\\pset tuples_only on
$cpu\\timing on
SELECT length(dpipe_compile('fct_domain_2_1')) > 0;
\\timing off
$cpu\\timing on
SELECT format('SELECT length(dpipe_compile(%L)) > 0', definition ->> 'name')
  FROM dpipe.node WHERE resource_type = 'model' ORDER BY unique_id \\gexec
\\timing off
$cpu
SQL
    my @times = $out =~ /^Time: ([\d.]+) ms/mg;
    my @used  = $out =~ /^(\d+)$/mg;
    is(scalar @times, $models + 2, 'every model is compiled');
    push @cold_ms,     shift @times;
    push @cold_cpu_ms, ($used[1] - $used[0]) / 1e6;
    shift @times;               # of the list of models
    push @ms,     @times;
    push @cpu_ms, ($used[2] - $used[1]) / 1e6 / $models;
}
$node->stop;

report(
    bench          => 'project_compile',
    value          => sprintf('%.3f', median(@ms)),
    unit           => 'ms',
    target         => '< 2',
    p99_ms         => sprintf('%.3f', percentile(0.99, @ms)),
    cpu_ms         => sprintf('%.3f', median(@cpu_ms)),
    cold_ms        => sprintf('%.1f', median(@cold_ms)),
    cold_cpu_ms    => sprintf('%.1f', median(@cold_cpu_ms)),
    models         => $models,
    rounds         => $rounds);
