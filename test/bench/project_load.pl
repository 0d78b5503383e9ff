# What dbt parse takes, divided by what dpipe_load_project takes, for the same
# generated project of 1000 models: cold (nothing is known of it) and with one
# model changed (dbt's partial parse). Seconds on the clock and of CPU, medians.
#
# Both are measured as their user has them: dbt from the start of Python to its
# end, dpipe from the start of psql to its end, a connection and a session of
# its own included. Some 1.5 s of dbt's are imports; what is left without them,
# dbtRunner in a process that has parsed before, is told beside
# (dbt_warm_…, ratio_…_without_imports), against the same figures of dpipe.
#
# Then dpipe loads 5 times as many models: growth is how much more a model of
# those takes than one of the others; 1 is linear.
#
# BENCH_MODELS (1000), BENCH_ROUNDS (5)
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(bench_dbt bench_node median report run_command_timed run_session);
use Dpipe::DbtProject qw(change_model write_file write_project);

my $models = $ENV{BENCH_MODELS} // 1000;
my $rounds = $ENV{BENCH_ROUNDS} // 5;
my $python = bench_dbt();
my $node   = bench_node();
my $dir    = PostgreSQL::Test::Utils::tempdir_short();
my (%seconds, %cpu);

sub note_figures
{
    my ($what, $seconds, $cpu) = @_;
    push @{ $seconds{$what} }, $seconds;
    push @{ $cpu{$what} },     $cpu;
    return;
}

# ---------- dbt ----------

write_file("$dir/work/profiles.yml", <<'Y');
warehouse:
  target: default
  outputs:
    default: {type: postgres, host: localhost, port: 5432, user: postgres, password: '', dbname: postgres, schema: public, threads: 1}
Y

sub parse_arguments
{
    my ($target) = @_;
    return ('parse', '--project-dir', "$dir/project", '--profiles-dir', "$dir/work",
        '--target-path', "$dir/work/$target", '--log-path', "$dir/work/logs");
}

sub dbt_parse
{
    my ($what, @options) = @_;
    note_figures("dbt_$what",
        run_command_timed($python, '-W', 'ignore', '-m', 'dbt.cli.main', '--quiet', parse_arguments('target'), @options));
    return;
}

# A process that has dbt imported and parses when it is told to.
write_file("$dir/work/warm.py", <<'P');
import sys, time
from dbt.cli.main import dbtRunner
common = sys.argv[1:]
for line in sys.stdin:
    start, cpu = time.perf_counter(), time.process_time()
    result = dbtRunner().invoke(["--quiet"] + common + line.split())
    if not result.success:
        sys.exit("dbt parse failed: %s" % (result.exception or result.result))
    print(time.perf_counter() - start, time.process_time() - cpu, flush=True)
P
my ($warm_in, $warm_out, $warm_err) = ('', '', '');
my $warm = IPC::Run::start(
    [ $python, '-W', 'ignore', "$dir/work/warm.py", parse_arguments('warm') ],
    \$warm_in, \$warm_out, \$warm_err);

sub dbt_warm
{
    my ($what, @options) = @_;
    $warm_out = '';
    $warm_in  = "@options\n";
    IPC::Run::pump($warm) or die "dbt: $warm_err" until $warm_out =~ /\n/;
    note_figures("warm_$what", split ' ', $warm_out) if $what;
    return;
}

# ---------- dpipe ----------

sub load
{
    my ($what, $path) = @_;
    my ($seconds, $cpu, $out) =
        run_session($node, "SELECT count FROM dpipe_load_project('$path') WHERE kind = 'model';");
    note_figures("dpipe_$what", $seconds, $cpu);
    return $out;
}

sub forget
{
    $node->sql("SELECT dpipe_drop_project('warehouse')");
    $node->sql("VACUUM dpipe.$_") foreach qw(project project_file node edge);
    return;
}

# ---------- in turns ----------

$models = write_project("$dir/project", models => $models);
is(load('first', "$dir/project"), $models, 'all models are loaded');
forget();
dbt_warm('', '--no-partial-parse');
dbt_parse('first');

foreach my $round (1 .. $rounds)
{
    load('cold', "$dir/project");
    dbt_parse('cold', '--no-partial-parse');
    dbt_warm('cold', '--no-partial-parse');

    change_model("$dir/project", $round);
    load('changed', "$dir/project");
    dbt_parse('changed');
    dbt_warm('changed');
    load('unchanged', "$dir/project");
    forget() if $round < $rounds;
    diag sprintf 'round %d: CPU s cold %.2f and %.3f, changed %.2f and %.3f', $round,
        map { $cpu{$_}[-1] } qw(dbt_cold dpipe_cold dbt_changed dpipe_changed);
}
$warm_in = '';
IPC::Run::finish($warm) or die "dbt: $warm_err";
forget();

my $more = write_project("$dir/large", models => 5 * $models);
foreach my $round (1 .. $rounds)
{
    is(load('large_cold', "$dir/large"), $more, 'all models are loaded') if $round == 1;
    load('large_cold', "$dir/large") if $round > 1;
    change_model("$dir/large", $round);
    load('large_changed', "$dir/large");
    forget();
}
$node->stop;

# ---------- figures ----------

sub ratio
{
    my ($of, $by, $figures) = @_;
    return sprintf '%.1f', median(@{ $figures->{$of} }) / median(@{ $figures->{$by} });
}

sub growth
{
    my ($what) = @_;
    return sprintf '%.2f',
        median(@{ $cpu{"dpipe_large_$what"} }) / median(@{ $cpu{"dpipe_$what"} }) * $models / $more;
}

my @figures;
foreach my $what (qw(dbt_cold warm_cold dpipe_cold dbt_changed warm_changed dpipe_changed dpipe_unchanged
    dpipe_large_cold dpipe_large_changed))
{
    my $format = $what =~ /^dpipe/ ? '%.4f' : '%.2f';
    (my $name = $what) =~ s/^warm/dbt_warm/;
    push @figures, "${name}_s" => sprintf($format, median(@{ $seconds{$what} })),
        "${name}_cpu_s" => sprintf($format, median(@{ $cpu{$what} }));
}
report(
    bench                                 => 'project_load',
    value                                 => ratio('dbt_cold', 'dpipe_cold', \%seconds),
    unit                                  => 'times dbt parse, cold',
    target                                => '>= 20 cold, >= 100 changed',
    changed_ratio                         => ratio('dbt_changed', 'dpipe_changed', \%seconds),
    ratio_per_cpu_s                       => ratio('dbt_cold', 'dpipe_cold', \%cpu),
    changed_ratio_per_cpu_s               => ratio('dbt_changed', 'dpipe_changed', \%cpu),
    ratio_per_cpu_s_without_imports       => ratio('warm_cold', 'dpipe_cold', \%cpu),
    changed_ratio_per_cpu_s_without_imports => ratio('warm_changed', 'dpipe_changed', \%cpu),
    growth_cold                           => growth('cold'),
    growth_changed                        => growth('changed'),
    @figures,
    models                                => $models,
    large_models                          => $more,
    rounds                                => $rounds);
