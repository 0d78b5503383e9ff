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

my $enforced = 'contract: {enforced: true}';
my $column = 'columns: [{name: id, data_type: int}]';
my $keyed = 'columns: [{name: id, constraints: [{type: primary_key}]}]';
my $key = 'constraints: [{type: primary_key, columns: [id]}]';
my $incremental = { 'models/a.sql' => 'select 1 as id {% if is_incremental() %}{% endif %}' };
my %versions = ('models/a.sql' => undef, 'models/a_v1.sql' => 'select 1', 'models/a_v2.sql' => 'select 1 as b');
my $two = { %versions, 'models/y.yml' => 'models: [{name: a, versions: [{v: 1}, {v: 2}]}]' };
my $off = { map { ("models/$_.sql" => '{{ config(enabled=false) }}select 1') } qw(a sub/a sup/a) };

sub versioned
{
    my ($versions, $more) = @_;
    return ('models: [{name: a, ' . ($more ? "$more, " : '') . "versions: [$versions]}]", \%versions);
}

sub to_a_key
{
    my ($to) = @_;
    return ("models: [{name: a, constraints: [{type: foreign_key, columns: [id], to: \"$to\", to_columns: [id]}]}]", { 'models/b.sql' => 'select 1 as id' });
}

sub microbatch
{
    my %config = (event_time => 'id', begin => '"2020-01-01"', batch_size => 'day', split /: |, /, $_[0] // '');
    return "models: [{name: a, config: {materialized: incremental, incremental_strategy: microbatch, " . join(', ', map { "$_: $config{$_}" } sort keys %config) . '}}]';
}

sub unit_test
{
    my ($more, $expect) = @_;
    return "unit_tests: [{name: u, " . ($more ? "$more, " : '') . ($more && $more =~ /model:/ ? '' : 'model: a, ') . ($more && $more =~ /given:/ ? '' : 'given: [], ') . 'expect: {' . ($expect // 'rows: [{id: 1}]') . '}}]';
}

sub metric
{
    my ($type, $params) = @_;
    return "metrics: [{name: m, label: l, type: $type, type_params: {$params}}]";
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
    [ 'a contract without columns'    => "models: [{name: a, config: {$enforced}}]" ],
    [ 'and disabled'                  => "models: [{name: a, config: {$enforced, enabled: false}}]" ],
    [ 'of a version'                  => versioned('{v: 1, columns: [{include: all, exclude: [id]}]}', "config: {$enforced}, $column") ],
    [ 'two primary keys of a model'   => "models: [{name: a, $keyed, $key}]" ],
    [ 'of columns'                    => 'models: [{name: a, columns: [{name: id, constraints: [{type: primary_key}]}, {name: b, constraints: [{type: primary_key}]}]}]' ],
    [ 'of a version'                  => versioned("{v: 1, $key}", $keyed) ],
    ( map { [ "a foreign key to $_" => to_a_key($_) ] } q{ref('zz')}, q{source('r', 't')}, 'b', q{ref('b'}, q{ref(var('x', 'b'))} ),
    [ 'a contract that a YAML file mends'      => "models: [{name: a, config: {on_schema_change: fail}, $column}]",
        { 'models/a.sql' => "{{ config(materialized='incremental', contract={'enforced': true}) }}select 1 as id" } ],
    [ 'a contract that a text mends'           => "models: [{name: a, config: {materialized: incremental, $enforced}, $column}]",
        { 'models/a.sql' => "{{ config(on_schema_change='fail') }}select 1 as id" } ],
    [ 'a color that a YAML file mends'         => 'models: [{name: a, config: {docs: {node_color: red}}}]', { 'dbt_project.yml' => "${yml}models: {+docs: {node_color: nocolor}}\n" } ],
    [ 'access that a text mends'               => 'models: [{name: a, config: {access: secret}}]', { 'models/a.sql' => "{{ config(access='public') }}select 1" } ],
    [ 'access that is mended for a project'    => { 'models/a.sql' => "{{ config(access='public') }}select 1", 'dbt_project.yml' => "${yml}models: {+access: secret}\n" } ],
    [ 'access of a seed'                       => 'seeds: [{name: s, access: secret}]', { 'seeds/s.csv' => "x\n1\n" } ],
    [ 'access that a version mends'            => versioned('{v: 1, access: public}', 'access: secret') ],
    [ 'which of those disabled'                => 'models: [{name: a, config: {enabled: true}}]', { %$off, 'dbt_project.yml' => "${yml}models: {+enabled: false}\n", map { ($_ => 'select 1') } keys %$off } ],
    [ 'which of versions'                      => 'models: [{name: b, config: {enabled: true}, versions: [{v: 1, defined_in: a}]}]', $off ],
    ( map { [ "microbatch: $_" => microbatch($_) ] } 'event_time: null', 'event_time: 3', 'begin: null', 'begin: 3', 'begin: yesterday', 'begin: "2020-13-01"', 'begin: "2020-1-1"',
            'batch_size: null', 'batch_size: Day', 'lookback: x', 'lookback: 1.5', 'concurrent_batches: 1' ),
    [ 'an event time of what it reads'  => microbatch() =~ s/models: \[/models: [{name: b, config: {event_time: 3}}, /r, { 'models/a.sql' => "select * from {{ ref('b') }}", 'models/b.sql' => 'select 1' } ],
    ( map { [ "versions: $_" => versioned($_) ] } '{v: 1}, {v: "1"}', map { "{v: 1, columns: [$_]}" } '{include: all}, {include: "*"}', '{include: some}', '{include: [id], exclude: [b]}', '{exclude: [id]}', '{include: all, colour: red}' ),
    [ 'no version is the latest'        => 'models: [{name: a, latest_version: 2}]' ],
    [ 'a day of a version'              => versioned('{v: 1, deprecation_date: x}') ],
    [ 'a day'                           => 'models: [{name: a, deprecation_date: "2030-13-01"}]' ],
    [ 'a spine without its column'      => 'models: [{name: a, time_spine: {standard_granularity_column: d}, columns: [{name: e}]}]' ],
    [ 'a spine without a grain'         => 'models: [{name: a, time_spine: {standard_granularity_column: d}, columns: [{name: d}]}]' ],
    [ 'a spine of another column'       => 'models: [{name: a, time_spine: {standard_granularity_column: d, custom_granularities: [{name: f}]}, columns: [{name: d, granularity: day}]}]' ],
    [ 'a spine of a version'            => versioned('{v: 1, columns: [{include: []}]}', 'latest_version: 1, time_spine: {standard_granularity_column: d}, columns: [{name: d, granularity: day}]') ],
    [ 'is_incremental in a unit test'   => unit_test(), $incremental ],
    [ 'which is no boolean'             => unit_test('overrides: {macros: {is_incremental: 1}}'), $incremental ],
    [ 'without what is there'           => unit_test('overrides: {macros: {is_incremental: true}}'), $incremental ],
    [ 'a unit test of no version'       => unit_test('versions: {exclude: [1]}') ],
    [ 'of no such version'              => unit_test('versions: {include: ["1"]}'), $two ],
    [ 'of none of them'                 => unit_test('versions: {}'), $two ],
    [ 'of a snapshot beside it'         => unit_test('model: s') . "\nsnapshots: [{name: s, relation: ref('a'), config: {unique_key: id, strategy: check, check_cols: all}}]" ],
    [ 'a fixture that is no CSV'        => unit_test(undef, 'format: csv, fixture: f'), { 'tests/fixtures/f.sql' => 'select 1' } ],
    [ 'a relation of a snapshot'        => "snapshots: [{name: s, relation: \"ref(var('x', 'a'))\", config: {unique_key: id, strategy: check, check_cols: all}}]" ],
    [ 'no measure'                      => metric('simple', '') ],
    [ 'no denominator'                  => semantic() . "\n" . metric('ratio', 'numerator: m') =~ s/name: m/name: n/r ],
    [ 'no conversion'                   => metric('conversion', '') ],
    ( map { [ "a window: $_" => semantic() . "\n" . metric('cumulative', "measure: m, window: $_") ] } 'seven days', '7 days ago', '7.5 days', '"7  days"' ),
    [ 'an export of nothing'            => semantic() . "\nsaved_queries: [{name: q, query_params: {metrics: []}, exports: [{name: x}]}]" ],
    [ 'the model of a semantic model'   => 'semantic_models: [{name: s, model: a}]' ],
    ( map { [ "a test: $_" => "models: [{name: a, columns: [{name: id, data_tests: [{unique: {$_}}]}]}]" ] } 'name: 3', 'description: 3', 'config: {severity: 3}' ),
    ( map { [ "a name: $_" => { $_ => 'select 1' } ] } 'models/a b.sql', 'tests/a b.sql', 'analyses/a b.sql', 'seeds/a b.csv' ),
    ( map { [ "selectors: $_" => { 'selectors.yml' => "selectors: [$_]" } ] } '{definition: a}', '{name: x}', '{name: x, default: true, definition: a}, {name: y, default: true, definition: a}',
            '{name: x, default: "yes", definition: a}', '{name: x, colour: red, definition: a}', map { "{name: x, definition: $_}" } '[a]', '3', '{union: a}', '{union: [a], intersection: [b]}',
            '{method: zz, value: a}', '{method: tag}', '{tag: a, path: b}', '{method: selector, value: y}', '{method: tag, value: a, parents_depth: x}', '{method: tag, value: a, childrens_parents: true, children: true}' ),
    [ 'selectors that are none'  => { 'selectors.yml' => 'selectors:' } ],
    ( map { [ "packages: $_" => { 'packages.yml' => $_ } ] } 'projects: []', 'zz: x', 'packages: x', map { "packages: [$_]" } '{package: ""}', '{package: a/b}', '{package: ab, version: 1.0.0}', '{zz: ab}' ),
    [ 'packages at two places'   => { map { ("$_.yml" => 'packages: []') } qw(packages dependencies) } ],
    ( map { [ "the project: $_" => { 'dbt_project.yml' => "$yml$_\n" } ] } 'require-dbt-version: ">=1.0"', 'require-dbt-version: ""', 'query-comment: {comment: x, append: y}', 'query-comment: {colour: x}',
            'models: {+pre-hook: [1]}' ),
    [ 'a project named as what templates have' => { 'dbt_project.yml' => "name: target\nprofile: p\n" } ],
    ( map { [ "a section: $_" => "$_:" ] } qw(models seeds sources exposures metrics unit_tests groups) ),
    [ 'a key that is no text'    => 'models: [{name: a, 3: 4}]' ],
    ( map { [ "a source: $_" => "sources: [{name: r, tables: [{name: t, $_}]}]" ] } 'loaded_at_field: null, loaded_at_query: y', 'loaded_at_field: x, config: {loaded_at_query: y}', 'config: {freshness: [1]}' ),
    [ 'meta of a source'         => 'sources: [{name: r, config: {meta: [1]}, tables: [{name: t}]}]' ],
    ( map { [ "an override: $_" => "sources: [{name: r, overrides: $_}]" ] } '3', 'q, colour: red', 'q, tables: [{name: t, colour: red}]' ),
    ( map { [ "a config: $_" => { 'models/a.sql' => "{{ config($_) }}select 1" } ] } 'pre_hook=3', q(pre_hook={'zz': 'x'}), q(pre_hook=[['x']]), 'static_analysis=3' ),
    ( map { [ "columns of a snapshot: $_" => "snapshots: [{name: s, relation: ref('a'), config: {unique_key: id, strategy: check, check_cols: all, snapshot_meta_column_names: $_}}]" ] } '[3]', '{dbt_valid_to: 3}' ),
    [ 'arguments of a function'  => 'functions: [{name: f, arguments: [{name: x, data_type: int, default_value: 1}, {name: y, data_type: int}], returns: {data_type: int}}]', { 'functions/f.sql' => 'x' } ],
    ( map { [ "a function: $_" => "functions: [{name: f, config: {$_}, arguments: [], returns: {data_type: int}}]", { 'functions/f.sql' => 'x' } ] } 'volatility: zz', 'type: zz' ),
    [ 'a dispatch to nothing' => { 'macros/m.sql' => "{% macro m() %}{{ adapter.dispatch('n', 'p')() }}{% endmacro %}" } ],
    [ 'hooks of two names'    => { 'models/a.sql' => "{{ config(pre_hook='a', **{'pre-hook': 'b'}) }}select 1" } ],
);

# What looks wrong and is not.
my @fine = (
    [ 'keys of a contract that dbt does not know' => 'models: [{name: a, config: {contract: {enforce: true}, docs: {colour: red}}}]', { 'dbt_project.yml' => "${yml}models: {+docs: {size: 1}}\n", 'models/b.sql' => "{{ config(contract={'enforce': true}) }}select 1" } ],
    ( map { [ "a color: $_" => "models: [{name: a, config: {docs: {node_color: '$_'}}}]" ] } '', 'Red', '#aBc', '#aabbcc' ),
    [ 'words in capitals' => semantic('agg: COUNT_DISTINCT'), { 'models/z.yml' => semantic('kind: UNIQUE, dimension: Time') =~ s/name: s/name: z/r =~ s/name: m,/name: o,/r,
            'models/days.sql' => 'select now() as d', 'models/days.yml' => 'models: [{name: days, time_spine: {standard_granularity_column: d}, columns: [{name: d, granularity: Day}]}]' } ],
    [ 'a snapshot that is not enabled' => { 'snapshots/s.yml' => "snapshots: [{name: s, relation: ref('a'), config: {enabled: false, materialized: table}}]" } ],
    [ 'a contract without a YAML file' => { 'dbt_project.yml' => "${yml}models: {+$enforced}\n" } ],
    [ 'a contract'                     => "models: [{name: a, config: {$enforced}, $keyed}]" ],
    [ 'a foreign key'                  => to_a_key(q{ref('p', 'b')}) ],
    [ 'several that are disabled'      => 'models: [{name: a, description: x}]', { %$off, 'models/y.yml' => 'models: [{name: a, description: y}]' } ],
    ( map { [ "microbatch: $_" => microbatch($_) ] } 'begin: 2020-01-01', 'begin: "2020-01-01T10:00:00.5+02:00"', 'lookback: null', 'concurrent_batches: true' ),
    [ 'batches of one\'s own'          => microbatch('begin: null'), { 'macros/m.sql' => '{% macro get_incremental_microbatch_sql(a) %}{% endmacro %}' } ],
    [ 'the group of an exposure'       => 'exposures: [{name: e, type: dashboard, owner: {name: o}, config: {group: g}}]' ],
    [ 'the latest version is 0'        => versioned('{v: 1}', 'latest_version: 0') ],
    [ 'versions of numbers and words'  => versioned('{v: 1}, {v: b}') ],
    [ 'versions twice'                 => versioned('{v: 1}'), { 'models/y.yml' => 'models: [{name: a, versions: [{v: 1}]}]' } ],
    [ 'a unit test of a version'       => unit_test('model: a 1'), $two ],
    [ 'is_incremental of a unit test'  => unit_test('overrides: {macros: {is_incremental: true}}, given: [{input: this, rows: []}]'), $incremental ],
    [ 'tests of a source'              => 'sources: [{name: r, tables: [{name: t, columns: [{name: id, tests: [unique], data_tests: []}]}]}]' ],
    [ 'a name with spaces'             => { 'models/a b.sql' => 'select 1', 'dbt_project.yml' => "${yml}flags: {require_resource_names_without_spaces: false}\n" } ],
    [ 'selectors'                      => { 'selectors.yml' => 'selectors: [{name: y, default: true, description: x, definition: a+}, {name: x, definition: {union: [{method: selector, value: y}, {tag: b}, {exclude: [c]}]}}]' } ],
    [ 'selectors that are rendered'    => { 'selectors.yml' => 'selectors: [{name: y, default: "{{ target.name == \'dev\' | as_bool }}", definition: a}]' } ],
    [ 'a name of another language'     => { 'dbt_project.yml' => "name: \x{e9}lan\nprofile: p\n" } ],
    [ 'the project: models'            => { 'dbt_project.yml' => "${yml}models:\nrequire-dbt-version: [\">=1.0.0\", \"<2.0.0\"]\n" } ],
    [ 'a source without tables'        => 'sources: [{name: r, loaded_at_field: x, loaded_at_query: y}]' ],
    [ 'a source of an empty field'     => 'sources: [{name: r, config: {loaded_at_field: ""}, tables: [{name: t}]}]' ],
    [ 'what is around docs blocks'     => { 'models/d.md' => "{{ nope( }} {# {% docs z %} #}\n{% docs d %}x{% enddocs %} }}" } ],
    ( map { [ "a section of tests: $_" => "data_tests: $_" ] } '{name: g}', '[{description: g}]', '[{name: g, description: 3}]' ),
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
    my %files = ('dbt_project.yml' => $yml, 'models/a.sql' => 'select 1 as id', map { ref ? %$_ : ('models/x.yml' => $_) } @given);
    return { map { ($_ => $files{$_}) } grep { defined $files{$_} } keys %files };
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

    # dbt takes half a second for each: of what is wrong it sees a part, another each time.
    my $seed = $ENV{DPIPE_SEED} // time;
    note "seed $seed";
    my @wrong_files = map { files_of(@$_[ 1 .. $#$_ ]) } @wrong;
    my @asked       = grep { $ENV{DPIPE_LONG} || ($_ + $seed) % 3 == 0 } 0 .. $#wrong;
    my @files       = ((map { files_of(@$_[ 1 .. $#$_ ]) } @fine), map { files_of($_->[-1]) } @odd, @twice);
    my $verdicts    = dbt_says('verdicts.py', $json->encode([ @wrong_files[@asked], @files ]));
    my %theirs;
    @theirs{@asked} = splice @$verdicts, 0, scalar @asked;
    foreach my $i (0 .. $#wrong)
    {
        my ($ours) = we_say($wrong_files[$i]);
        my $taken = $theirs{$i} && !defined $theirs{$i}{error};
        ok(defined $ours && !$taken, "$wrong[$i][0]: " . ($ours // 'taken here') . ($taken ? ' (taken by dbt)' : ''));
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

# Comments and raw texts that never end are looked through once.
foreach my $open ('{# ', '{% raw %} ')
{
    my ($ours) = we_say({ 'dbt_project.yml' => "name: p\n", 'models/a.sql' => 'select 1', 'models/d.md' => '{% docs d %}x{% enddocs %}' . $open x 200_000 });
    is($ours, undef, "200,000 of $open in a file of docs");
}

# A snapshot that stands in YAML takes nothing from what stands behind it.
$node->sql('SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode({ 'dbt_project.yml' => "name: behind\n", 'models/a.sql' => 'select 1',
        'models/x.yml' => "snapshots: [{name: s, relation: ref('a'), config: {unique_key: id, strategy: check, check_cols: all}}]\nsources: [{name: r, tables: [{name: t}]}]\n" . unit_test() }) . '$zz$)');
is($node->sql(q{SELECT string_agg(unique_id, ' ' ORDER BY unique_id) FROM dpipe.node WHERE project = 'behind'}),
    'model.behind.a snapshot.behind.s source.behind.r.t unit_test.behind.a.u', 'what stands behind a snapshot');

# A manifest has all that are disabled, also of one name, with what YAML says of them.
my $listed = q{SELECT string_agg(n ->> 'original_file_path' || coalesce(' ' || (n ->> 'patch_path'), ''), ', ' ORDER BY n ->> 'original_file_path')
    FROM jsonb_array_elements(dpipe_manifest('{"project": "several"}') -> 'disabled' -> 'model.several.a') n};
my %several = ('dbt_project.yml' => "name: several\n", 'models/x.yml' => 'models: [{name: a, description: x}]', %$off);
$node->sql('SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode(\%several) . '$zz$)');
is($node->sql($listed), 'models/a.sql several://models/x.yml, models/sub/a.sql several://models/x.yml, models/sup/a.sql several://models/x.yml', 'all that are disabled');
$node->sql('SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode({ %several, 'models/a.sql' => 'select 1' }) . '$zz$)');
is($node->sql($listed), 'models/sub/a.sql, models/sup/a.sql', 'and those beside one that is not');

# Foreign keys are references.
$node->sql('SELECT count(*) FROM dpipe_load_files($zz$' . $json->encode({ 'dbt_project.yml' => "name: keys\n", 'models/a.sql' => 'select 1', 'models/b.sql' => 'select {% if execute %}{{ model.constraints[0].to }}{% endif %}',
        'models/x.yml' => "models: [{name: b, constraints: [{type: foreign_key, columns: [x], to: ref('a'), to_columns: [y]}]}]" }) . '$zz$)');
is($node->sql(q{SELECT definition -> 'depends_on' ->> 'nodes' FROM dpipe.node WHERE unique_id = 'model.keys.b'}), '["model.keys.a"]', 'a model depends on what its foreign keys refer to');
like($node->sql(q{SELECT dpipe_compile('b', options => '{"project": "keys"}')}), qr/^select "postgres"\."public"\."a"$/, 'which has its name when it is compiled');

# A fixture without a name has no rows; rows that are no text are refused.
my @nameless = we_say(map { { 'dbt_project.yml' => "name: p\n", 'models/a.sql' => 'select 1', 'models/u.yml' => "unit_tests: [{name: u, model: a, given: [], expect: {format: $_->[0], fixture: ''$_->[1]}}]" } }
        [ 'csv', '' ], [ 'sql', '' ], [ 'csv', ', rows: null' ], [ 'csv', ', rows: [{id: 1}]' ], [ 'dict', '' ]);
is_deeply([ @nameless[ 0 .. 2 ] ], [ undef, undef, undef ], 'a fixture without a name');
like($_, qr/which do not match format/, 'with rows of another format') foreach @nameless[ 3, 4 ];

$node->stop;
done_testing();
