# dbt projects of our own: from a directory, with links and limits; their nodes
# and what selections hold are those of dbt itself, where it can be had.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $top      = abs_path(top_dir());
my $projects = "$top/test/dbt/projects";
my $node     = Dpipe::Node->make('dbt');
my $dir      = PostgreSQL::Test::Utils::tempdir_short();

sub write_file
{
    my ($path, $text) = @_;
    my $folder = $path =~ s{/[^/]*$}{}r;
    system('mkdir', '-p', $folder) == 0 or die;
    open my $f, '>', $path or die "$path: $!";
    print $f $text;
    close $f;
}

sub load_dir
{
    my ($path) = @_;
    my (undef, $out, $err) = $node->psql('postgres',
        "SELECT string_agg(kind || ' ' || count, ', ' ORDER BY kind) FROM dpipe_load_project('$path')");
    return $out . $err;
}

# Another version of a project: files that differ, and a list of those that it lacks.
sub before
{
    my ($project, $copy) = @_;
    my $changes = "$projects/../before/" . basename($project);
    system('rm', '-rf', $copy);
    system('cp', '-r', $project, $copy) == 0 && system('cp', '-r', "$changes/.", $copy) == 0 or die;
    unlink "$copy/$_" or die "$_: $!" foreach split /\n/, slurp_file("$changes/absent");
    return $copy;
}

# A directory.
write_file("$dir/p/dbt_project.yml",  "name: p\nversion: '1.0'\n");
write_file("$dir/p/models/a.sql",     "select 1");
write_file("$dir/p/models/.hidden.sql", "select {{ nonsense");
write_file("$dir/p/models/notes.txt", "{{ nonsense");
write_file("$dir/p/other/b.sql",      "{{ nonsense");
is(load_dir("$dir/p"), 'model 1', 'what is in the paths of a project is read');
is($node->sql("SELECT content FROM dpipe.project_file WHERE path = 'models/a.sql'"), 'select 1', 'and kept');
like(load_dir("$dir/none"), qr/could not open directory/, 'a directory that is not there');
like(load_dir('p'),         qr/must be an absolute path/, 'a relative path');
like(load_dir($dir),        qr/there is no dbt_project\.yml/, 'a directory without a project');

# Links.
write_file("$dir/outside/secret.sql", "select 'secret'");
symlink "$dir/outside", "$dir/p/models/link" or die;
symlink "a.sql", "$dir/p/models/c.sql" or die;
symlink "loop", "$dir/p/models/loop" or die;
my $said = load_dir("$dir/p");
like($said, qr/model 2/, 'a link within the directory is followed');
like($said, qr/WARNING:  .*link" leads out of the project's directory/, 'one that leads out is not');
is($node->sql("SELECT count(*) FROM dpipe.project_file WHERE content LIKE '%secret%'"), 0, 'nothing of it is stored');
write_file("$dir/q/dbt_project.yml",   "name: q\nversion: '1.0'\n");
write_file("$dir/q/models/base.sql",   "select 1");
write_file("$dir/q/models/x.yml",      "models:\n  - name: base\n    description: d\n");
symlink "$dir/outside", "$dir/q/models/link" or die;
mkdir "$dir/p/dbt_packages" or die;
symlink "$dir/q", "$dir/p/dbt_packages/q" or die;
like(load_dir("$dir/p"), qr/^model 3/, 'a local package is a directory of its own');
is($node->sql("SELECT count(*) FROM dpipe.project_file WHERE content LIKE '%secret%'"), 0, 'with the same rules');

# Bytes that are no text.
write_file("$dir/p/models/bad.sql", "select '\xff'");
like(load_dir("$dir/p"), qr/file "models\/bad\.sql" is not UTF-8 text/, 'a file that is not UTF-8');
unlink "$dir/p/models/bad.sql";
write_file("$dir/p/models/bom.sql", "\xEF\xBB\xBFselect 2");
like(load_dir("$dir/p"), qr/model 4/, 'a byte order mark');
is($node->sql("SELECT definition ->> 'raw_code' FROM dpipe.node WHERE unique_id = 'model.p.bom'"), 'select 2', 'is none of the text');

# Files that are empty, of other systems, or large.
write_file("$dir/odd/dbt_project.yml",    "\xEF\xBB\xBFname: odd\r\nversion: '1.0'\r\n");
write_file("$dir/odd/models/empty.sql",   '');
write_file("$dir/odd/models/blank.sql",   "  \n");
write_file("$dir/odd/models/empty.yml",   '');
write_file("$dir/odd/models/comment.yml", "# nothing\n");
write_file("$dir/odd/models/none.md",     '');
write_file("$dir/odd/macros/none.sql",    '');
write_file("$dir/odd/models/crlf.sql",    "select 1 as a\r\n, 2 as b\r\n");
write_file("$dir/odd/models/crlf.yml",    "models:\r\n  - name: crlf\r\n    description: lines end twice\r\n");
write_file("$dir/odd/models/bom.yml",     "\xEF\xBB\xBFmodels:\n  - name: blank\n    description: marked\n");
write_file("$dir/odd/models/long.sql",    'select ' . '1+' x 600_000 . "1 as x");
write_file("$dir/odd/seeds/none.csv",     '');
write_file("$dir/odd/seeds/ragged.csv",   "id,,name\n1\n2,b,c,d\n\"unclosed");
write_file("$dir/odd/seeds/large.csv",    "id\n" . "12345678\n" x 150_000);
is(load_dir("$dir/odd"), 'model 4, seed 3', 'files that are empty, of other systems, or large');
is($node->sql("SELECT string_agg(definition ->> 'description', ', ' ORDER BY unique_id) FROM dpipe.node WHERE project = 'odd' AND definition ->> 'description' <> ''"),
    'marked, lines end twice', 'are what they say');

# dbt itself.
SKIP:
{
    my $python = $ENV{DPIPE_DBT_PYTHON};
    my @dirs = grep { -f "$_/dbt_project.yml" } glob("$projects/*");
    cmp_ok(scalar @dirs, '>', 0, 'there are projects');
    skip 'no dbt: ' . ($ENV{DPIPE_DBT_SKIP} // 'test/lib/dbt_fetch.sh was not run'), 3 * @dirs
        unless $python;
    foreach my $project (@dirs)
    {
        # dbt writes beside the project, and not all of the tree can be written.
        my $copy = "$dir/copy";
        system('rm', '-rf', $copy);
        system('cp', '-r', $project, $copy) == 0 or die;
        local $ENV{PGHOST} = $node->host;
        local $ENV{PGPORT} = $node->port;
        local $ENV{PGUSER} = 'postgres';
        my @selections = -f "$project.selections" ? ('--selections', "$project.selections") : ();
        push @selections, '--before', before($project, "$dir/before") if -d "$projects/../before/" . basename($project);
        foreach my $command (['compile'], ['manifest'], [ 'select', @selections ])
        {
            my ($script, @options) = @$command;
            my $output = '';
            my $ok = IPC::Run::run([ $python, "$top/test/dbt/$script", '--dbt', $python, '--make-profile', @options, $copy, '--', '-d', $node->connstr('postgres') ],
                '>', \$output, '2>&1');
            ok($ok, "$project is as dbt has it: $script") or diag($output);
            note($output);
        }
    }
}

$node->stop;
done_testing();
