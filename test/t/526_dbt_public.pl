# Any dbt projects are what dbt makes of them: the directories that
# DPIPE_DBT_PROJECTS names, packages installed. For public projects, which are
# not kept here. A project is built by dbt first, then texts, manifest and
# selections are compared.
use strict;
use warnings;

use Cwd qw(abs_path);
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my @projects = split /:/, $ENV{DPIPE_DBT_PROJECTS} // '';
plan skip_all => 'DPIPE_DBT_PROJECTS names no directories' unless @projects;
my $python = $ENV{DPIPE_DBT_PYTHON};
plan skip_all => 'no dbt: ' . ($ENV{DPIPE_DBT_SKIP} // 'test/lib/dbt_fetch.sh was not run') unless $python;

my $top  = abs_path(top_dir());
my $node = Dpipe::Node->make('public');
my $dir  = PostgreSQL::Test::Utils::tempdir_short();
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGUSER} = 'postgres';

foreach my $i (0 .. $#projects)
{
    # dbt writes beside the project; what one has built is not for the next.
    my ($project, $copy, $database) = ($projects[$i], "$dir/p$i", "p$i");
    system('cp', '-r', $project, $copy) == 0 or die "$project cannot be copied";
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, 'CREATE EXTENSION dpipe');
    foreach my $command ([ 'compile', '--build' ], ['manifest'], ['select'])
    {
        my ($script, @options) = @$command;
        my $output = '';
        my $ok = IPC::Run::run([ $python, "$top/test/dbt/$script", '--dbt', $python, '--make-profile', @options, $copy, '--', '-d', $node->connstr($database) ],
            '>', \$output, '2>&1');
        ok($ok, "$project is as dbt has it: $script") or diag($output);
        note($output);
    }
}

$node->stop;
done_testing();
