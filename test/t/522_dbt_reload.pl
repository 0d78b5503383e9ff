# A load of a project that is known already gives what a load from nothing
# gives: the same rows, counts, warnings and errors, after any edits of its
# files. Files are changed, added, copied, renamed, removed and brought back at
# random, options too; an edit may well break the project.
#
# DPIPE_EDITS (20 a project; 300 with DPIPE_LONG), DPIPE_SEED
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Find;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::DbtProject qw(write_file write_project);
use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $edits = $ENV{DPIPE_EDITS} // ($ENV{DPIPE_LONG} ? 300 : 20);
my $seed  = $ENV{DPIPE_SEED}  // int(rand(1 << 30));
my $top   = abs_path(top_dir());
my $node  = Dpipe::Node->make('reload');
my $dir   = PostgreSQL::Test::Utils::tempdir_short();
note "DPIPE_SEED=$seed";
srand($seed);

sub any { my (@list) = @_; return $list[ int(rand(@list)) ]; }

# ---------- loads ----------

# What a load says, and what psql prints of the statements after it.
sub run_sql
{
    my ($sql) = @_;
    my (undef, $out, $err) = $node->psql('postgres', $sql);
    $err =~ s/^psql:[^:]*:\d+: //mg;
    my @said = $err =~ /^((?:WARNING|ERROR|DETAIL|HINT): .*)$/mg;
    return ($out, join "\n", @said);
}

# Of the project that was loaded last: an edit may rename it, and the other stays.
my $last = '(SELECT name FROM dpipe.project ORDER BY loaded_at DESC LIMIT 1)';
my $rows = <<"SQL";
SELECT 'node', unique_id, resource_type, enabled::text, checksum, definition::text FROM dpipe.node WHERE project = $last
UNION ALL SELECT 'edge', child, parent, '', '', '' FROM dpipe.edge WHERE project = $last
UNION ALL SELECT 'file', path, checksum, content, parsed_key, parsed::text FROM dpipe.project_file WHERE project = $last
UNION ALL SELECT 'project', name, schema, search_path, options::text, definition::text FROM dpipe.project WHERE name = $last
SQL

sub load_sql
{
    my ($project, $options) = @_;
    return "SELECT kind, count FROM dpipe_load_project('$dir/$project', '$options');\n";
}

sub is_as_cold
{
    my ($project, $options, $edit) = @_;
    my ($counts, $said) = run_sql(load_sql($project, $options));
    my ($cold_counts, $cold_said) = run_sql(<<"SQL" . load_sql($project, $options) . <<"SQL2");
BEGIN;
CREATE TEMP TABLE warm ON COMMIT DROP AS $rows;
DO \$\$BEGIN PERFORM dpipe_drop_project($last); END\$\$;
SQL
SELECT 'differs', d.* FROM ((TABLE warm EXCEPT ALL ($rows)) UNION ALL (($rows) EXCEPT ALL TABLE warm)) d;
ROLLBACK;
SQL2
    $cold_said =~ s/^ERROR:  current transaction is aborted.*\n?//mg;
    my $same = $said eq $cold_said && ($said =~ /^ERROR/m || $counts eq $cold_counts);
    ok($same, "$project: $edit") or diag("seed $seed\nwarm: $said\n$counts\ncold: $cold_said\n"
        . substr($cold_counts, 0, 3000));
    return $said !~ /^ERROR/m;
}

# ---------- edits ----------

sub files_of
{
    my ($project) = @_;
    my @files;
    find({ no_chdir => 1, wanted => sub { push @files, substr($_, length("$dir/$project/")) if -f } },
        "$dir/$project");
    return sort @files;
}

my %comment = (sql => "-- more\n", yml => "# more\n", md => "More.\n", csv => "");

# Another word, where both are words of the project's.
sub other_words
{
    my ($text) = @_;
    my @pairs = (
        [ 'table', 'view' ], [ 'view', 'ephemeral' ], [ 'customer_id', 'status' ], [ 'true', 'false' ],
        [ 'not_null', 'unique' ], [ 'EUR', 'USD' ], [ 'name: ', 'name: x' ], [ '1', '2' ], [ 'warn', 'error' ],
        [ 'tags', 'meta' ], [ 'select', 'select distinct' ], [ 'description', 'remark' ]);
    my @found = grep { index($text, $_->[0]) >= 0 } @pairs;
    return $text unless @found;
    my ($from, $to) = @{ any(@found) };
    my @places;
    push @places, $-[0] while $text =~ /\Q$from\E/g;
    substr $text, any(@places), length($from), $to;
    return $text;
}

sub without_a_line { my @lines = split /^/, $_[0]; splice @lines, int(rand(@lines)), 1; return join '', @lines; }
sub with_a_line_twice { my @lines = split /^/, $_[0]; my $i = int(rand(@lines)); splice @lines, $i, 0, $lines[$i] // ''; return join '', @lines; }

# Change something; what was done, and how it was before: [path, text or undef].
sub edit
{
    my ($project) = @_;
    my @files = files_of($project);
    my $path  = any(@files);
    my $full  = "$dir/$project/$path";
    my $text  = slurp_file($full);
    my ($ending) = $path =~ /\.(\w+)$/;
    my $kind = any(qw(comment comment comment word word word line twice copy rename remove reference reference nothing));

    if ($kind eq 'copy' || $kind eq 'rename')
    {
        my $to = $path =~ s/(\.\w+)$/_$kind$1/r;
        return () if -e "$dir/$project/$to";
        write_file("$dir/$project/$to", $text);
        unlink $full if $kind eq 'rename';
        return ("$kind $path", [ $to, undef ], $kind eq 'rename' ? [ $path, $text ] : ());
    }
    if ($kind eq 'remove')
    {
        unlink $full;
        return ("$kind $path", [ $path, $text ]);
    }
    if ($kind eq 'reference')
    {
        my @models = map { m{([^/]+)\.sql$} } grep { /models.*\.sql$/ } @files;
        return () unless $path =~ /(models|tests|analyses).*\.sql$/;
        write_file($full, "$text\n-- {{ ref('" . any(@models) . "') }}\n");
    }
    else
    {
        write_file($full,
              $kind eq 'comment' ? $text . ($comment{ $ending // '' } // '')
            : $kind eq 'word'    ? other_words($text)
            : $kind eq 'line'    ? without_a_line($text)
            : $kind eq 'twice'   ? with_a_line_twice($text)
            :                      $text);
    }
    return ("$kind $path", [ $path, $text ]);
}

sub undo
{
    my ($project, @before) = @_;
    foreach my $old (@before)
    {
        my ($path, $text) = @$old;
        if   (defined $text) { write_file("$dir/$project/$path", $text); }
        else                 { unlink "$dir/$project/$path"; }
    }
    return;
}

# ---------- projects ----------

write_project("$dir/warehouse", models => 50);
my @projects = ('warehouse');
foreach my $project (glob "$top/test/dbt/projects/*/")
{
    my ($name) = $project =~ m{([^/]+)/$};
    system('cp', '-r', $project, "$dir/$name") == 0 or die;
    push @projects, $name;
}
foreach my $project (@projects)
{
    my $options = '{}';
    ok(is_as_cold($project, $options, 'first'), "$project is right");
    ok(is_as_cold($project, $options, 'again'), "$project is right");
    foreach my $i (1 .. $edits)
    {
        my ($what, @before);
        ($what, @before) = edit($project) while !defined $what;
        if (rand() < 0.1)
        {
            $options = any('{}', '{"vars": {"currency": "USD"}}', '{"schema": "other"}', '{"target": "prod"}');
            $what .= " with $options";
        }
        my $right = is_as_cold($project, $options, $what);
        # A mistake is mended at once, or some edits later.
        next if $right || rand() < 0.2;
        undo($project, @before);
        next if is_as_cold($project, $options, 'undone');
        system('rm', '-rf', "$dir/$project");
        if ($project eq 'warehouse') { write_project("$dir/$project", models => 50); }
        else { system('cp', '-r', "$top/test/dbt/projects/$project", "$dir/$project") == 0 or die; }
        is_as_cold($project, $options, 'as it was');
    }
    $node->sql('SELECT dpipe_drop_project(name) FROM dpipe.project');
}
is($node->sql('SELECT count(*) FROM dpipe.node') . $node->sql('SELECT count(*) FROM dpipe.edge')
    . $node->sql('SELECT count(*) FROM dpipe.project_file'), '000', 'a project that is dropped leaves nothing');

$node->stop;
done_testing();
