# dbt's own macros called with the same arguments here and by dbt: what they
# give is the same text, spaces aside, and what fails there fails here.
use strict;
use warnings;

use Cwd qw(abs_path);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $top  = abs_path(top_dir());
my $node = Dpipe::Node->make('macros');
my $dir  = PostgreSQL::Test::Utils::tempdir_short();

# Not the same, and why.
my %differs = map { $_ => 1 } (
    # Scripts of Python models, which PostgreSQL has not.
    qw(build_config_dict build_ref_function build_source_function py_script_comment),
    # The same rows, asked in other words.
    qw(get_show_indexes_sql postgres__get_show_indexes_sql));

sub write_file
{
    my ($path, $text) = @_;
    my $folder = $path =~ s{/[^/]*$}{}r;
    system('mkdir', '-p', $folder) == 0 or die;
    open my $f, '>', $path or die "$path: $!";
    print $f $text;
    close $f;
}

# Without the spaces that say nothing, and without the time of the call (names
# of temporary tables have it, and so have those of indexes, as a hash).
sub folded
{
    my ($text) = @_;
    return 'an error' unless defined $text;
    $text =~ s/\s+/ /g;
    $text =~ s/ ?([(),;|]) ?/$1/g;
    $text =~ s/"[0-9a-f]{32}"/"HASH"/g;
    $text =~ s/\d{12,20}/NOW/g;
    return $text =~ s/^ | $//gr;
}

write_file("$dir/p/dbt_project.yml", "name: p\nversion: '1.0'\nprofile: p\n");
write_file("$dir/p/profiles.yml",
    "p:\n  target: dev\n  outputs:\n    dev: {type: postgres, host: localhost, port: 1, user: u, password: x, dbname: postgres, schema: public, threads: 1}\n");
write_file("$dir/p/models/m.sql", "select 1 as a");
$node->sql("SELECT count(*) FROM dpipe_load_project('$dir/p')");
$node->sql(<<'SQL');
CREATE FUNCTION called(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN dpipe_compile(inline => '{{ ' || call || ' }}', options => '{"project": "p"}');
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$
SQL

SKIP:
{
    my $python = $ENV{DPIPE_DBT_PYTHON};
    skip 'no dbt: ' . ($ENV{DPIPE_DBT_SKIP} // 'test/lib/dbt_fetch.sh was not run'), 1 unless $python;
    system('cp', '-r', "$dir/p", "$dir/copy") == 0 or die;
    my ($out, $err);
    IPC::Run::run([ $python, "$top/test/dbt/calls.py", "$dir/copy" ], '>', \$out, '2>', \$err) or die "$out$err";
    my $calls = decode_json((split /\n/, $out)[-1])->{calls};
    cmp_ok(scalar @$calls, '>', 800, 'dbt was called');
    cmp_ok(scalar(grep { defined $_->[1] } @$calls), '>', 700, 'and gave values');
    my $asked = encode_json([ map { $_->[0] } @$calls ]);
    my $given = decode_json($node->sql("SELECT jsonb_agg(called(call) ORDER BY n) FROM jsonb_array_elements_text(\$call\$$asked\$call\$) WITH ORDINALITY AS c(call, n)"));
    my @wrong;
    foreach my $i (0 .. $#$calls)
    {
        my ($call, $value, $error) = @{ $calls->[$i] };
        my ($name) = $call =~ /^dbt\.(\w+)/;
        my ($got, $expected) = (folded($given->[$i]), folded($value));
        next if $got eq $expected || $differs{$name};
        push @wrong, "$call\n  here: $got\n  dbt:  $expected" . (defined $error ? " ($error)" : '');
    }
    is(join("\n", @wrong), '', 'macros give what dbt\'s give');
}

# An end tag that ends nothing is said and left out, as dbt does.
my (undef, undef, $said) = $node->psql('postgres', q[SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: y\nversion: \"1.0\"", "models/m.sql": "select {{ mm() }}",
  "macros/mm.sql": "{% macro mm() %}1{% endmacro %}\n\n{% endmacro %}\n{% https://example.com/1 see %}{% import x %}{% macro nn() %}2{% endmacro %}"}')]);
like($said, qr{WARNING:  macros/mm\.sql: Found unexpected 'endmacro' block tag\.\n.*DETAIL:  Line 3\.}s, 'a stray end tag');
like($said, qr{WARNING:  macros/mm\.sql: Found unexpected 'https' block tag\.\n.*DETAIL:  Line 4\.}s, 'a tag that nobody knows');
is($node->sql(q[SELECT dpipe_compile('m', options => '{"project": "y"}') || dpipe_compile(inline => '{{ nn() }}', options => '{"project": "y"}')]),
    'select 12', 'is left out');
(undef, undef, $said) = $node->psql('postgres', q[SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: z\nversion: \"1.0\"", "models/m.sql": "select 1 {% endmacro %}"}')]);
like($said, qr/ERROR:.*endmacro/, 'but not one in a model');

$node->stop;
done_testing();
