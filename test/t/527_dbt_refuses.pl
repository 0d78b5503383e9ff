# What dbt refuses is refused here, and nothing else is: thousands of entries of
# YAML files, made of dbt's own schemas, and small projects that are wrong in
# other ways, with dbt's own verdict of each, where dbt can be had.
use strict;
use warnings;

use Cwd qw(abs_path);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $top  = abs_path(top_dir());
my $node = Dpipe::Node->make('refuses');
my $json = JSON::PP->new->canonical->ascii;

$node->sql(<<'SQL');
CREATE FUNCTION tried(files jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(*) FROM dpipe_load_files(files);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$
SQL

sub dbt_says
{
    my ($script, $input) = @_;
    my ($out, $err);
    IPC::Run::run([ $ENV{DPIPE_DBT_PYTHON}, "$top/test/dbt/$script" ], '<', \$input, '>', \$out, '2>', \$err) or die "$out$err";
    return decode_json((split /\n/, $out)[-1]);
}

# What a load of each of these projects raises.
sub we_say
{
    my (@projects) = @_;
    my @said;
    while (my @some = splice @projects, 0, 500)
    {
        push @said, @{ decode_json($node->sql('SET client_min_messages = error; SELECT jsonb_agg(tried(f) ORDER BY n) FROM jsonb_array_elements($zz$'
                        . $json->encode(\@some) . '$zz$) WITH ORDINALITY AS p(f, n)')) };
    }
    return @said;
}

# ---------- entries ----------

my %more = (
    exposures  => { type  => 'dashboard', owner => { name => 'o' } },
    metrics    => { label => 'l', type => 'simple', type_params => { measure => 'm' } },
    unit_tests => { model => 'a', given => [], expect => { rows => [] } });

sub project_with
{
    my ($section, $entry) = @_;
    my %files = ('dbt_project.yml' => "name: p\n", 'models/a.sql' => 'select 1', 'seeds/a.csv' => "x\n1\n");
    if ($section eq 'dbt_project.yml')
    {
        $files{$section} = $json->encode($entry);
    }
    elsif ($section =~ /^(\w+)\.config$/)
    {
        $files{'models/x.yml'} = $json->encode({ $1 => [ { name => 'a', %{ $more{$1} // {} }, config => $entry } ] });
    }
    else
    {
        $files{'models/x.yml'} = $json->encode({ $section => [$entry] });
    }
    return \%files;
}

# ---------- projects ----------

my $yml = "name: p\nversion: '1.0'\nprofile: p\n";
my $unit = 'given: [], expect: {rows: [{id: 1}]}';

sub semantic
{
    my (%words) = (agg => 'sum', kind => 'primary', dimension => 'time', grain => 'day', window => 'max', split /: |, /, $_[0] // '');
    return "semantic_models: [{name: s, model: ref('a'), defaults: {agg_time_dimension: at}, entities: [{name: e, type: $words{kind}, expr: id}], "
        . "dimensions: [{name: at, type: $words{dimension}, expr: id, type_params: {time_granularity: $words{grain}}}], "
        . "measures: [{name: m, agg: $words{agg}, expr: id, non_additive_dimension: {name: at, window_choice: $words{window}}}]}]";
}

# What is wrong, and the files of a project that has it.
my @wrong = (
    [ 'a source'              => 'sources: [{name: r, colour: red, tables: [{name: t}]}]' ],
    [ 'a type of an exposure' => 'exposures: [{name: e, type: picture, owner: {name: o}}]' ],
    [ 'an owner of nothing'   => 'groups: [{name: g, owner: {}}]' ],
    [ 'a key of a group'      => 'groups: [{name: g, colour: red, owner: {name: o}}]' ],
    [ 'a unit test'           => "unit_tests: [{name: u, model: a, colour: red, $unit}]" ],
    [ 'tests twice'           => 'models: [{name: a, columns: [{name: id, tests: [unique], data_tests: [not_null]}]}]' ],
    [ 'a test of two names'   => 'models: [{name: a, columns: [{name: id, data_tests: [{unique: {}, not_null: {}}]}]}]' ],
    [ 'severity'              => 'models: [{name: a, columns: [{name: id, data_tests: [{unique: {config: {severity: loud}}}]}]}]' ],
    [ 'access'                => 'models: [{name: a, config: {access: secret}}]' ],
    [ 'meta'                  => 'models: [{name: a, config: {meta: [1]}}]' ],
    [ 'contract'              => 'models: [{name: a, config: {contract: true}}]' ],
    [ 'loaded at two places'  => 'sources: [{name: r, loaded_at_field: x, loaded_at_query: select 1, tables: [{name: t}]}]' ],
    ( map { [ "loaded at: $_" => "sources: [{name: r, $_}]" ] }
            'config: {loaded_at_field: x}, loaded_at_query: select 1, tables: [{name: t}]',
            'tables: [{name: t, loaded_at_field: null, config: {loaded_at_query: select 1}}]',
            'tables: [{name: t, config: {loaded_at_field: x}, loaded_at_query: select 1}]' ),
    [ 'a constraint'          => 'models: [{name: a, constraints: [{type: nope}]}]' ],
    [ 'the name of a metric'  => 'metrics: [{name: m m, label: l, type: simple, type_params: {measure: m}}]' ],
    [ 'no list'               => 'models: {name: a}' ],
    [ 'no name'               => 'models: [{description: a}]' ],
    [ 'version'               => { 'dbt_project.yml' => "name: p\nversion: '1'\n" } ],
    [ 'config-version'        => { 'dbt_project.yml' => "name: p\nconfig-version: 1\n" } ],
    [ 'names of a path'       => { 'dbt_project.yml' => "${yml}source-paths: [models]\nmodel-paths: [models]\n" } ],
    [ 'tests and data_tests'  => { 'dbt_project.yml' => "${yml}tests: {+severity: warn}\ndata_tests: {+severity: warn}\n" } ],
    [ 'dispatch'              => { 'dbt_project.yml' => "${yml}dispatch: [{macro_namespace: q}]\n" } ],
    [ 'a seed that is a table'  => 'seeds: [{name: s, config: {materialized: table}}]', { 'seeds/s.csv' => "x\n1\n" } ],
    [ 'a test that is a table'  => { 'dbt_project.yml' => "${yml}data_tests: {+materialized: table}\n", 'tests/t.sql' => 'select 1' } ],
    [ 'a hook of a seed'        => { 'seeds/s.csv' => "x\n1\n", 'dbt_project.yml' => "${yml}seeds: {+post-hook: \"select 1 from {{ ref('a') }}\"}\n" } ],
    ( map { [ "a snapshot: $_" => { 'snapshots/s.yml' => "snapshots: [{name: s, relation: ref('a'), config: {$_}}]" } ] }
            'unique_key: id',
            'unique_key: id, strategy: check',
            'unique_key: id, strategy: check, check_cols: some',
            'unique_key: id, strategy: timestamp',
            'unique_key: id, strategy: timestamp, updated_at: id, check_cols: [id]',
            'unique_key: id, strategy: timestamp, updated_at: id, materialized: table' ),
    ( map { [ "a model: $_" => "models: [{name: a, config: {$_}, columns: [{name: id, data_type: int}]}]" ] }
            'docs: {node_color: nocolor}', 'docs: {node_color: "#12345"}', 'docs: {node_color: "#12345g"}',
            'materialized: incremental, contract: {enforced: true}',
            'freshness: {build_after: {count: 1}}', 'freshness: {build_after: {period: day}}', 'freshness: {build_after: {count: 1, period: eon}}' ),
    ( map { [ "a word: $_" => semantic($_) ] }
            'agg: total', 'kind: prime', 'dimension: clock', 'grain: fortnight', 'window: total' ),
    [ 'a type of a metric'      => 'metrics: [{name: m, label: l, type: complicated, type_params: {}}]' ],
    [ 'a granularity'           => 'models: [{name: a, columns: [{name: id, granularity: eon}]}]' ],
    [ 'a dispatch to nothing' => { 'macros/m.sql' => "{% macro m() %}{{ adapter.dispatch('n', 'p')() }}{% endmacro %}" } ],
    [ 'hooks of two names'    => { 'models/a.sql' => "{{ config(pre_hook='a', **{'pre-hook': 'b'}) }}select 1" } ],
);

# What looks wrong and is not.
my @fine = (
    ( map { [ "a color: $_" => "models: [{name: a, config: {docs: {node_color: '$_'}}}]" ] } '', 'Red', '#aBc', '#aabbcc' ),
    [ 'words in capitals' => semantic('agg: COUNT_DISTINCT'), { 'models/z.yml' => semantic('kind: UNIQUE, dimension: Time') =~ s/name: s/name: z/r =~ s/name: m,/name: o,/r,
            'models/days.sql' => 'select now() as d', 'models/days.yml' => 'models: [{name: days, time_spine: {standard_granularity_column: d}, columns: [{name: d, granularity: Day}]}]' } ],
    [ 'a snapshot that is not enabled' => { 'snapshots/s.yml' => "snapshots: [{name: s, relation: ref('a'), config: {enabled: false, materialized: table}}]" } ],
    [ 'when a model is built: never' => 'models: [{name: a, config: {freshness: {x: 1}}}]' ],
    [ 'when a model is built' => 'models: [{name: a, config: {freshness: {build_after: {count: 1, period: day, updates_on: all}}}}]' ],
);

# What is only warned of: dbt's name of the warning, words of ours, and the files.
my @odd = (
    [ 'CustomKeyInObjectDeprecation', qr/Custom key `colour` found at `models\.a`/, 'models: [{name: a, colour: red}]' ],
    [ 'CustomTopLevelKeyDeprecation', qr/Unexpected top-level key things/, 'things: [{name: a}]' ],
    [ 'PropertyMovedToConfigDeprecation', qr/Found `materialized` as a top-level property of `models\.a`/, 'models: [{name: a, materialized: table}]' ],
    [ 'MissingArgumentsPropertyInGenericTestDeprecation', qr/Found top-level arguments to test `accepted_values` defined on 'a'/, 'models: [{name: a, columns: [{name: id, data_tests: [{accepted_values: {values: [1]}}]}]}]' ],
    [ 'ExposureNameDeprecation', qr/The 'name' of an exposure should contain only letters/, 'exposures: [{name: e f, type: dashboard, owner: {name: o}}]' ],
    [ 'DuplicateNameDistinctNodeTypesDeprecation', qr/Found resources with the same name 'a' in package 'p'/, { 'dbt_project.yml' => "${yml}seeds: {+schema: raw}\n", 'seeds/a.csv' => "x\n1\n" } ],
    [ 'DuplicateYAMLKeysDeprecation', qr/[Dd]uplicate/, 'models: [{name: a, description: x, description: y}]' ],
    [ undef, undef, 'models: [{name: a, columns: [{name: id, data_tests: [{accepted_values: {arguments: {values: [1]}}}]}]}]' ],
);

# Names that only one may have: what a load says of both files, and the files.
my $macro = '{% macro f() %}{% endmacro %}';
my $exposure = 'exposures: [{name: e, type: dashboard, owner: {name: o}}]';
my $source = 'sources: [{name: r, tables: [{name: t}]}]';
my $override = 'sources: [{name: r, overrides: q, tables: [{name: t}]}]';
my $unique = 'flags: {require_unique_project_resource_names: true}';
my @twice = (
    [ qr{database representation.*models/a\.sql.*seeds/a\.csv}s, { 'seeds/a.csv' => "x\n1\n" } ],
    [ qr{two resources with the name "a".*models/a\.sql.*seeds/a\.csv}s, { 'dbt_project.yml' => "$yml$unique\nseeds: {+schema: raw}\n", 'seeds/a.csv' => "x\n1\n" } ],
    [ qr{two models with the name "a".*models/a\.sql.*models/sub/a\.sql}s, { 'models/sub/a.sql' => "{{ config(alias='b') }}select 2" } ],
    [ qr{versioned and unversioned models with the name "a".*models/a_v1\.sql.*models/a\.sql}s, { 'models/a_v1.sql' => 'select 1', 'models/x.yml' => 'models: [{name: a, versions: [{v: 1}]}]' } ],
    [ qr{two macros named "f".*macros/m\.sql.*macros/n\.sql}s, { 'macros/m.sql' => $macro, 'macros/n.sql' => $macro } ],
    [ qr{two sources with the name "r_t".*models/x\.yml.*models/z\.yml}s, { 'models/x.yml' => $source, 'models/z.yml' => $source } ],
    [ qr{two exposures with the name "e".*models/x\.yml.*models/z\.yml}s, { 'models/x.yml' => $exposure, 'models/z.yml' => $exposure } ],
    [ qr{two groups with the name "g".*models/x\.yml}s, { 'models/x.yml' => 'groups: [{name: g, owner: {name: o}}]', 'models/z.yml' => 'groups: [{name: g, owner: {name: o}}]' } ],
    [ qr{two docs with the name "d".*models/d\.md.*models/e\.md}s, { map { ("models/$_.md" => '{% docs d %}x{% enddocs %}') } qw(d e) } ],
    [ qr{two fixtures with the name "f".*tests/fixtures/f\.csv.*tests/fixtures/sub/f\.csv}s, { map { ("tests/fixtures/$_" => "x\n1\n") } qw(f.csv sub/f.csv) } ],
    [ qr{two analyses with the name "n".*analyses/n\.sql.*analyses/sub/n\.sql}s, { map { ("analyses/$_.sql" => 'select 1') } qw(n sub/n) } ],
    [ qr{two unit_tests with the name "u".*models/x\.yml.*models/z\.yml}s, { map { ("models/$_.yml" => "unit_tests: [{name: u, model: a, $unit}]") } qw(x z) } ],
    [ qr{entries for the same macro in package p named f.*models/x\.yml}s, { 'macros/m.sql' => $macro, map { ("models/$_.yml" => 'macros: [{name: f}]') } qw(x z) } ],
    [ qr{entries for the same source named r in package q.*models/x\.yml}s, { 'models/x.yml' => $override, 'models/z.yml' => $override,
            'packages.yml' => 'packages: [{local: dbt_packages/q}]', 'dbt_packages/q/dbt_project.yml' => "name: q\n", 'dbt_packages/q/models/m.yml' => $source } ],
);

sub files_of
{
    my (@given) = @_;
    return { 'dbt_project.yml' => $yml, 'models/a.sql' => 'select 1 as id', map { ref ? %$_ : ('models/x.yml' => $_) } @given };
}

SKIP:
{
    skip 'no dbt: ' . ($ENV{DPIPE_DBT_SKIP} // 'test/lib/dbt_fetch.sh was not run'), 1 unless $ENV{DPIPE_DBT_PYTHON};

    my $entries = dbt_says('entries.py', '');
    my @ours    = we_say(map { project_with(@$_[ 0, 1 ]) } @$entries);
    cmp_ok(scalar(grep { defined $_->[2] } @$entries), '>', 2000, 'entries that dbt refuses');
    my @differ;
    foreach my $i (0 .. $#$entries)
    {
        my ($section, $entry, $theirs) = @{ $entries->[$i] };
        my $ours = $ours[$i];

        # What dbt takes may be wrong otherwise, as a metric of no measure is;
        # "none of" are words that its schemas leave to what comes after them.
        next if defined $theirs ? defined $ours : ($ours // '') !~ /at path/ || $ours =~ /is none of/;
        push @differ, "$section " . $json->encode($entry) . "\n  dbt:  " . ($theirs // 'fine') . "\n  here: " . ($ours // 'fine');
    }
    is(join("\n", @differ), '', 'are refused here, and no others');

    my @files    = ((map { files_of(@$_[ 1 .. $#$_ ]) } @wrong, @fine), map { files_of($_->[-1]) } @odd, @twice);
    my $verdicts = dbt_says('verdicts.py', $json->encode(\@files));
    foreach my $case (@wrong)
    {
        my $theirs = shift @$verdicts;
        my ($ours) = we_say(shift @files);
        ok(defined $theirs->{error} && defined $ours, "$case->[0]: " . ($ours // 'taken here') . ($theirs->{error} ? '' : ' (taken by dbt)'));
    }
    foreach my $case (@fine)
    {
        my $theirs = shift @$verdicts;
        is_deeply([ $theirs->{error}, we_say(shift @files) ], [ undef, undef ], "$case->[0]: taken by both");
    }
    foreach my $case (@odd)
    {
        my ($name, $words) = @$case;
        my $theirs = shift @$verdicts;
        my (undef, undef, $ours) = $node->psql('postgres', 'SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode(shift @files) . '$zz$)');
        is(join(' ', map { $_->[0] } @{ $theirs->{warnings} }), $name // '', 'dbt warns: ' . ($name // 'of nothing'));
        $name ? like($ours, qr/^[^\n]*WARNING:  [^\n]*$words/, 'and so it is here') : is($ours, '', 'and so it is here');
        unlike($ours, qr/ERROR/, 'which is no error');
    }
    foreach my $case (@twice)
    {
        my $theirs = shift @$verdicts;
        my (undef, undef, $ours) = $node->psql('postgres', 'SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode(shift @files) . '$zz$)');
        ok(defined $theirs->{error}, 'dbt refuses it, too');
        like($ours, qr/ERROR:.*$case->[0]/s, 'twice of a name: both are said');
    }
}

# A fixture without a name has no rows; rows that are no text are refused.
my @nameless = we_say(map { { 'dbt_project.yml' => "name: p\n", 'models/a.sql' => 'select 1', 'models/u.yml' => "unit_tests: [{name: u, model: a, given: [], expect: {format: $_->[0], fixture: ''$_->[1]}}]" } }
        [ 'csv', '' ], [ 'sql', '' ], [ 'csv', ', rows: null' ], [ 'csv', ', rows: [{id: 1}]' ], [ 'dict', '' ]);
is_deeply([ @nameless[ 0 .. 2 ] ], [ undef, undef, undef ], 'a fixture without a name');
like($_, qr/which do not match format/, 'with rows of another format') foreach @nameless[ 3, 4 ];

$node->stop;
done_testing();
