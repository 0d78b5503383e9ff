# The tables of docs/dbt.md are true: each row has a case here by its first
# cell, and each case a row. A case loads a small project as a client sends it
# and asks for what the row says, or for the error that it promises.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $text = slurp_file(top_dir() . '/docs/dbt.md');
my $node = Dpipe::Node->make('table');

# ---------- projects ----------

sub said
{
    my ($sql) = @_;
    my (undef, $out, $err) = $node->psql('postgres', "SET search_path TO s, public; $sql");
    return join "\n", grep { $_ ne '' } $out, $err;
}

# A project "p" of these files, in place of the one before.
sub load_files
{
    my (%files) = @_;
    my $options = encode_json(delete $files{options} // {});
    my $json = JSON::PP->new->canonical->encode({ 'dbt_project.yml' => "name: p\nversion: '1.0'\n", %files });
    return said("SELECT public.try(\$q\$SELECT string_agg(kind || ' ' || count, ', ' ORDER BY kind COLLATE \"C\") FROM dpipe_load_files(\$f\$$json\$f\$, \$f\$$options\$f\$)\$q\$)");
}

# What a text is with execute, in the project that was loaded.
sub inline
{
    my ($template) = @_;
    return said("SELECT public.try(\$f\$SELECT dpipe_compile(inline => \$t\$$template\$t\$)\$f\$)");
}

sub compiled
{
    my ($name) = @_;
    return said("SELECT public.try(\$f\$SELECT dpipe_compile('$name')\$f\$)") =~ s/\s+/ /gr;
}

sub listed
{
    my ($call) = @_;
    return said("SELECT string_agg(unique_id, ' ' ORDER BY unique_id COLLATE \"C\") FROM dpipe_ls($call)");
}

sub manifest
{
    my ($path) = @_;
    return said("SELECT dpipe_manifest() #>> '{$path}'");
}

# Names in backticks, as they stand in a cell.
sub names_in
{
    my ($cell) = @_;
    return $cell =~ /`([^`]+)`/g;
}

# ---------- cases ----------

my %cases;

$cases{'What is understood'} = {
    '`dbt_project.yml`' => sub {
        my $yml = <<'Y';
name: p
version: '1.0'
require-dbt-version: [">=1.0.0", "<2.0.0"]
source-paths: [m]
data-paths: [d]
quoting: {schema: false}
dispatch: [{macro_namespace: q, search_order: [p, q]}]
flags: {send_anonymous_usage_stats: false}
vars: {of_all: "{{ 1 }}", p: {of_p: 2}, q: {of_q: 3}}
models:
  p:
    materialized: table
    sub: {+tags: [t], +materialized: "{{ 'vi' ~ 'ew' }}"}
Y
        load_files('dbt_project.yml' => $yml, 'm/a.sql' => "select 1 as id", 'd/c.csv' => "x\n1\n", 'm/sub/b.sql' => "select {{ var('of_p') }} {{ var('of_q', 'not') }}",
            'dbt_packages/q/dbt_project.yml' => "name: q\nversion: '1.0'\n", 'dbt_packages/q/models/o.sql' => "select {{ var('of_q') }}",
            'dbt_packages/q/macros/f.sql' => "{% macro f() %}{{ adapter.dispatch('f', 'q')() }}{% endmacro %}{% macro default__f() %}q{% endmacro %}",
            'macros/f.sql' => '{% macro default__f() %}p{% endmacro %}');
        is(listed('NULL'), 'model.p.a model.p.b model.q.o seed.p.c', 'old names of paths');
        is(listed("'config.materialized:table'"), 'model.p.a', 'configuration without +');
        is(listed("'tag:t,config.materialized:view'"), 'model.p.b', 'with +, rendered');
        is(inline("{{ ref('a') }}"), '"postgres".s."a"', 'quoting');
        is(compiled('o'), 'select 3', 'a var of a package');
        is(compiled('b'), 'select 2 not', 'and none of another');
        is(inline('{{ q.f() }}'), 'p', 'dispatch');
        like(load_files('dbt_project.yml' => "name: p\nversion: '1.0'\nrequire-dbt-version: '>=9.0.0'\n"), qr/version/, 'require-dbt-version refuses');
        like(load_files('dbt_project.yml' => "name: p\nversion: '1.0'\n", 'models/a.sql' => "{{ ref('o') }}",
                'dbt_packages/q/dbt_project.yml' => "name: q\nversion: '1.0'\nrestrict-access: true\n", 'dbt_packages/q/models/o.sql' => 'select 1',
                'dbt_packages/q/models/o.yml' => "models: [{name: o, access: protected}]\n"), qr/not allowed/, 'restrict-access refuses');
    },
    'YAML' => sub {
        like(load_files('models/a.sql' => 'select 1', 'models/a.yml' => <<'Y'), qr/[Dd]uplicate/, 'duplicate keys are warned of');
models:
  - name: a
    config:
      meta: &m {octal: 010, time: 1:30, jinja: "{{ '7' | as_number }}"}
    columns:
      - {name: id, config: {meta: {twice: 1, twice: 2, <<: *m}}}
Y
        like(manifest('nodes,model.p.a,config,meta'), qr/"time": 90\b/, 'sexagesimals');
        like(manifest('nodes,model.p.a,config,meta'), qr/"octal": 8\b/, 'octals');
        is(manifest('nodes,model.p.a,columns,id,config,meta'), '{"time": 90, "jinja": 7, "octal": 8, "twice": 2}', 'anchors and merge keys; the last of two counts');
    },
    'models, seeds, snapshots (blocks and YAML), singular tests, analyses, functions' => sub {
        load_files('models/a.sql' => 'select 1 as id', 'seeds/c.csv' => "x\n1\n", 'snapshots/s.sql' =>
                "{% snapshot s %}{{ config(unique_key='id', strategy='check', check_cols='all') }}select * from {{ ref('a') }}{% endsnapshot %}",
            'snapshots/y.yml' => "snapshots: [{name: y, relation: ref('a'), config: {unique_key: id, strategy: check, check_cols: all}}]\n",
            'tests/t.sql' => "select * from {{ ref('a') }} where id > 1", 'analyses/n.sql' => "select * from {{ ref('c') }}",
            'functions/f.sql' => 'select 1', 'functions/f.yml' => "functions: [{name: f, returns: {data_type: int}}]\n");
        is(listed("NULL, options => '{\"resource_type\": \"all\"}'"),
            'analysis.p.n function.p.f model.p.a seed.p.c snapshot.p.s snapshot.p.y test.p.t', 'nodes of all kinds');
        is(manifest('nodes,analysis.p.n,depends_on,nodes'), '["seed.p.c"]', 'references');
        is(manifest('nodes,snapshot.p.y,fqn'), '["p", "y"]', 'fqn');
    },
    'generic tests' => sub {
        load_files('models/a.sql' => 'select 1 as id', 'models/a.yml' => <<'Y');
models:
  - name: a
    columns:
      - name: id
        data_tests: [unique, {accepted_values: {values: [1]}}, {accepted_values: {arguments: {values: [2]}, name: named}}]
Y
        is(listed("'resource_type:test'"), 'test.p.accepted_values_a_id__1.db87b67e3e test.p.named.658262c4d3 test.p.unique_a_id.f6a5f640da', 'names and hashes');
    },
    'sources, exposures, groups, access, versions, docs blocks, metrics, semantic models, saved queries, unit tests' => sub {
        is(load_files('models/a.sql' => 'select 1 as id', 'models/v_v1.sql' => 'select 1', 'models/v_v2.sql' => 'select 2',
            'models/days.sql' => 'select 1 as day', 'models/d.md' => '{% docs d %}text{% enddocs %}', 'models/a.yml' => <<'Y'), 'doc 1, exposure 1, group 1, metric 2, model 4, saved_query 1, semantic_model 1, source 1, unit_test 1', 'loads');
groups: [{name: g, owner: {name: o}}]
sources: [{name: src, tables: [{name: t}]}]
exposures: [{name: e, type: dashboard, owner: {name: o}, depends_on: [ref('v')]}]
models:
  - {name: a, description: "{{ doc('d') }}", access: protected, config: {group: g}, columns: [{name: id}]}
  - {name: v, latest_version: 1, versions: [{v: 1}, {v: 2}]}
  - {name: days, time_spine: {standard_granularity_column: day}, columns: [{name: day, granularity: day}]}
semantic_models:
  - name: sm
    model: ref('a')
    defaults: {agg_time_dimension: d}
    entities: [{name: k, type: primary, expr: id}]
    dimensions: [{name: d, type: time, type_params: {time_granularity: day}}]
    measures: [{name: c, agg: count, expr: id}, {name: n, agg: max, expr: id, create_metric: true}]
metrics: [{name: m, label: m, type: simple, type_params: {measure: c}}]
saved_queries: [{name: q, query_params: {metrics: [m]}}]
unit_tests: [{name: u, model: v, versions: {include: [1]}, given: [], expect: {format: csv, rows: "a,b\n1,\n"}}]
Y
        is(listed('NULL'), 
            'exposure.p.e metric.p.m metric.p.n model.p.a model.p.days model.p.v.v1 model.p.v.v2 saved_query.p.q semantic_model.p.sm source.p.src.t unit_test.p.v.u_v1', 'all are nodes');
        is(manifest('unit_tests,unit_test.p.v.u_v1,expect,rows'), '[{"a": "1", "b": null}]', 'rows of a unit test');
        is(manifest('docs,doc.p.d,block_contents'), 'text', 'docs blocks');
        is(manifest('nodes,model.p.a,description'), 'text', 'in descriptions');
        is(manifest('group_map'), '{"g": ["model.p.a"]}', 'groups');
        is(inline("{{ ref('v') }} {{ ref('v', v=2) }}"), '"postgres"."s"."v_v1" "postgres"."s"."v_v2"', 'versions');
        like(load_files('models/e.yml' => "exposures: [{name: e, type: dashboard, depends_on: [ref('b')], owner: {name: o}}]\n"), qr/^42704 .*'b' which was not found/, 'what is wrong is refused');
    },
    'macros' => sub {
        load_files('models/a.sql' => 'select 1', 'models/b.sql' => "select * from {{ ref('a') }} {{ source('r', 't') }}", 'models/s.yml' => 'sources: [{name: r, tables: [{name: t}]}]',
            'dbt_packages/q/dbt_project.yml' => "name: q\nversion: '1.0'\n", 'dbt_packages/q/macros/f.sql' => '{% macro f() %}of q{% endmacro %}',
            'macros/m.sql' => <<'J');
{% macro f() %}{{ adapter.dispatch('g')() }}{% endmacro %}{% macro postgres__g() %}g{% endmacro %}
{% macro ref(name) %}{{ return('R_' ~ builtins.ref(name).identifier) }}{% endmacro %}
{% macro source(a, b) %}{{ return('S_' ~ b) }}{% endmacro %}
{% macro generate_schema_name(custom, node) %}own{% endmacro %}
{% macro generate_alias_name(custom, node) %}{{ node.name }}_x{% endmacro %}
{% macro generate_database_name(custom, node) %}other{% endmacro %}
J
        is(inline('{{ f() }} {{ p.f() }} {{ q.f() }}'), 'g g of q', 'macros, and dispatch');
        is(compiled('b'), 'select * from R_a_x S_t', 'overrides of ref and source');
        is(manifest('nodes,model.p.a,relation_name'), '"other"."own"."a_x"', 'and of names');
    },
    'packages' => sub {
        load_files('dbt_packages/q/dbt_project.yml' => "name: q\nversion: '1.0'\n", 'dbt_packages/q/models/o.sql' => 'select 1', 'models/a.sql' => "{{ ref('q', 'o') }}");
        is(listed("'package:q+'"), 'model.p.a model.q.o', 'models of a package');
    },
    'what dbt refuses' => sub {
        like(load_files('models/m.yml' => "sources:\n  - name: r\n    colour: red\n    tables: [{name: t}]\n"),
            qr/^22023 models\/m\.yml: Invalid sources config given @ sources\.r - at path \[\]: Additional properties are not allowed \('colour' was unexpected\)/, 'a key');
        like(said("SELECT count(*) FROM dpipe_load_files('" . encode_json({ 'dbt_project.yml' => 'name: p', 'models/m.yml' => "sources:\n  - name: r\n    colour: red\n" }) . "')"),
            qr/DETAIL:  Line 3, column 13\.\nHINT:  What may stand there: name, description, .*tables/s, 'where it is, and what may stand there');
        like(load_files('models/e.yml' => 'exposures: [{name: e, type: picture, owner: {name: o}}]'), qr/^22023 .*at path \['type'\]: 'picture' is not one of: dashboard,notebook/, 'a value');
        like(load_files('models/e.yml' => 'exposures: [{name: e, type: dashboard}]'), qr/^22023 .*'owner' is a required property/, 'what is missing');
        like(load_files('dbt_project.yml' => "name: p\ncolour: red\n"), qr/^22023 dbt_project\.yml: at path \[\]: Additional properties are not allowed \('colour' was unexpected\)/, 'dbt_project.yml');
        like(load_files('models/a.sql' => "{{ config(schema=1) }}select 1"), qr/^22023 models\/a\.sql: config of model\.p\.a - at path \['schema'\]: 1 is not valid/, 'configuration');
    },
    'two of one name' => sub {
        like(load_files('models/a.sql' => 'select 1', 'models/x/a.sql' => 'select 1'), qr/^42710 dbt found two models with the name "a"/, 'is an error');
        my @seed = ('models/a.sql' => 'select 1', 'seeds/a.csv' => "x\n1\n");
        like(load_files(@seed, 'dbt_project.yml' => "name: p\nseeds: {+schema: raw}\n"), qr/^model 1, seed 1\n.*WARNING:  Found resources with the same name 'a'/, 'or a warning');
        like(load_files(@seed, 'dbt_project.yml' => "name: p\nseeds: {+schema: raw}\nflags: {require_unique_project_resource_names: true}\n"), qr/^42710 dbt found two resources/, 'or not');
    },
    'what nothing reads' => sub {
        my $said = load_files('dbt_project.yml' => "name: p\nversion: '1.0'\nmodels: {p: {nowhere: {+tags: t}}}\n", 'models/a.sql' => 'select 1',
            'models/a.yml' => "models: [{name: a, colour: red}, {name: gone}]\nsources: [{name: r, tables: [{name: t, colour: red}]}]\n");
        like($said, qr/model 1/, 'loads');
        like($said, qr/colour/, 'unknown keys');
        like($said, qr/'gone'|"gone"/, 'patches of nothing');
        like($said, qr/models\.p\.nowhere/, 'configuration of nothing');
    },
    '`.dbtignore`' => sub {
        load_files('.dbtignore' => "drafts/\n*_old.sql\n", 'models/a.sql' => 'select 1', 'models/drafts/b.sql' => '{{ broken', 'models/c_old.sql' => 'select 1',
            'dbt_packages/q/dbt_project.yml' => "name: q\nversion: '1.0'\n", 'dbt_packages/q/.dbtignore' => "o.sql\n", 'dbt_packages/q/models/o.sql' => 'select 1');
        is(listed('NULL'), 'model.p.a', 'files that match are not read');
    },
    'selections' => sub {
        load_files('models/a.sql' => 'select 1 as id', 'models/b.sql' => "select * from {{ ref('a') }}", 'models/c.sql' => "select * from {{ ref('b') }} join {{ ref('a') }} using (id)",
            'models/t.yml' => 'models: [{name: a, data_tests: [{dbt_t: {}}]}]', 'macros/t.sql' => "{% test dbt_t(model) %}select 1 from {{ model }}, {{ ref('c') }}{% endtest %}",
            'selectors.yml' => "selectors: [{name: mine, definition: {method: fqn, value: b, parents: true}}]\n");
        is(listed("'1+b,resource_type:model c', 'a'"), 'model.p.b model.p.c', 'grammar');
        is(listed("options => '{\"selector\": \"mine\", \"resource_type\": \"model\"}'"), 'model.p.a model.p.b', 'selectors.yml');
        like(listed("'a'"), qr/test/, 'tests eagerly');
        unlike(listed("'a', options => '{\"indirect_selection\": \"cautious\"}'"), qr/test/, 'or not');
        said("CREATE TABLE public.then AS SELECT dpipe_manifest() AS m");
        load_files('models/a.sql' => 'select 1 as id', 'models/b.sql' => "select 1 from {{ ref('a') }}");
        is(said("SELECT string_agg(unique_id, ' ') FROM public.then, dpipe_ls('state:modified.body', options => jsonb_build_object('state', m))"), 'model.p.b', 'state');
    },
    '`manifest.json`, `catalog.json`' => sub {
        load_files('models/a.sql' => 'select 1 as id');
        said('CREATE VIEW a AS SELECT 1 AS id');
        is(manifest('metadata,dbt_schema_version'), 'https://schemas.getdbt.com/dbt/manifest/v12.json', 'manifest');
        is(said("SELECT dpipe_catalog() #>> '{nodes,model.p.a,columns,id,type}'"), 'integer', 'catalog');
        said('DROP VIEW a');
    },
    'compiled text' => sub {
        load_files('models/e.sql' => "{{ config(materialized='ephemeral') }}select 1 as id", 'models/a.sql' => "select * from {{ ref('e') }}",
            'models/a.yml' => 'models: [{name: a, columns: [{name: id, data_tests: [not_null]}]}]', 'tests/t.sql' => "select * from {{ ref('a') }}",
            'snapshots/s.sql' => "{% snapshot s %}{{ config(unique_key='id', strategy='check', check_cols='all') }}select * from {{ ref('a') }}{% endsnapshot %}",
            'analyses/n.sql' => "{% set q = run_query('select 40 + 2') %}{% if execute %}{{ q.rows[0][0] }}{% endif %}");
        is(compiled('a'), 'with __dbt__cte__e as ( select 1 as id ) select * from __dbt__cte__e', 'models, ephemeral ones in front');
        like(compiled('not_null_a_id'), qr/select id from "postgres"."s"."a" where id is null/, 'generic tests');
        is(compiled('t'), 'select * from "postgres"."s"."a"', 'singular tests');
        is(compiled('s'), 'select * from "postgres"."s"."a"', 'snapshots');
        is(compiled('n'), '42', 'analyses; queries run');
    },
};

my $plain = { 'models/a.sql' => 'select 1 as id', 'models/m.yml' => 'sources: [{name: r, schema: s, tables: [{name: t}]}]' };

$cases{'What templates find'} = {
    '`adapter`' => sub {
        my ($cell) = @_;
        load_files(%$plain);
        foreach my $name (grep { !/\*|^commit$/ } names_in($cell))
        {
            is(inline("{{ adapter.$name is defined }}"), 'True', $name);
        }
        is(inline("{% set r = api.Relation.create(schema='s', identifier='t') %}{% do adapter.cache_added(r) %}{% do adapter.commit() %}x"), 'x', 'cache_* and commit do nothing');
        like(inline("{{ adapter.nope() }}"), qr/^(42|22)/, 'another name');
        is(inline("{% set r = adapter.get_relation('postgres', 's', 't') %}{{ r }} {{ r.type }} {{ adapter.get_columns_in_relation(r) | map(attribute='name') | join(',') }}"),
            '"postgres"."s"."t" table id,Name', 'relations and columns');
    },
    '`api.Relation`, `api.Column`' => sub {
        load_files('dbt_project.yml' => "name: p\nversion: '1.0'\nquoting: {identifier: false}\n", 'models/a.sql' => 'select 1');
        is(inline("{{ ref('a') }} {{ ref('a').include(database=false) }} {{ api.Relation.create(schema='s', identifier='t').quote(identifier=false) }}"), '"postgres"."s".a "s".a "s".t', 'relations');
        is(inline("{{ api.Column('a', 'varchar', 5).data_type }} {{ api.Column.create('b', 'int').quoted }}"), 'character varying(5) "b"', 'columns');
    },
    '`run_query`, `statement`, `load_result`' => sub {
        load_files(%$plain);
        is(inline("{% set q = run_query('select 1 as a, 2.5 as b') %}{% if execute %}{{ q.rows[0][0] + 1 }} {{ q.rows[0]['b'] + 1 }} {{ q.columns[1].name }}{% endif %}"), '2 3.5 b', 'run_query');
        is(inline("{% call statement('x', fetch_result=true) %}select current_user::text{% endcall %}{% if execute %}{{ load_result('x').data[0][0] }}{% endif %}"), said('SELECT current_user'), 'statement');
        said("BEGIN; SELECT dpipe_compile(inline => \$t\$\{% do run_query('insert into s.t values (9)') %}\$t\$); ROLLBACK");
        is(said('SELECT count(*) FROM s.t WHERE id = 9'), 0, 'in the transaction of the caller');
        is(inline("{% if execute %}{% do adapter.add_query('create temp table b as select %s as i, %s as t, %s as n, %s as d, %s as m, %s as p', bindings=[-1, \"it's %s\", none, modules.datetime.date(2024, 2, 29), 1.5, true]) %}"
                . "{% for r in run_query('select i, t, n, d, m, p, pg_typeof(d)::text as x from b').rows %}{{ r.values() | list }}{% endfor %}{% endif %}"),
            q{[-1, "it's %s", None, datetime.date(2024, 2, 29), Decimal('1.5'), True, 'date']}, 'values in the place of %s');
        like(inline("{% do adapter.add_query('select %s', bindings=[1, 2]) %}"), qr/^22023 not all arguments converted/, 'as many as there are');
    },
    '`invocation_id`, `invocation_args_dict`, `selected_resources`, `dbt_metadata_envs`' => sub {
        my ($cell, $name) = @_;
        load_files(%$plain);
        is(inline("{{ $_ is defined }}"), 'True', $_) foreach names_in($name);
        is(said("SELECT count(DISTINCT dpipe_compile(inline => '{{ invocation_id }}')) FROM generate_series(1, 3)"), 1, 'of a statement');
    },
    '`graph`, `model`, `target`, `flags`, `exceptions`, `modules`, `builtins`, `context`, `tojson`, `toyaml`, `zip`, `set`, ...' => sub {
        my ($cell, $name) = @_;
        load_files(%$plain);
        is(inline("{{ $_ is defined }}"), 'True', $_) foreach names_in($name);
        is(inline("{% if execute %}{{ graph.nodes['model.p.a'].name }}{% endif %} {{ target.schema }} {{ tojson({'a': 1}) }} {{ modules.re.sub('a', 'b', 'xa') }}"), 'a s {"a": 1} xb', 'and say what dbt says');
    },
    '`dbt.*`' => sub {
        load_files(%$plain, 'macros/m.sql' => '{% macro type_string() %}mine{% endmacro %}');
        like(inline("{{ dbt.dateadd('day', 1, 'd') }}"), qr/\Qd + ((interval '1 day') * (1))\E/, 'cross-database macros');
        is(inline('{{ type_string() }} {{ dbt.type_int() }}'), 'mine integer', 'one of the project in its place');
        like(inline('{{ dbt.materialization_table_default() }}'), qr/^42/, 'no materializations');
    },
};

$cases{'Moving a project over'} = {
    '`profiles.yml`' => sub {
        my $profiles = 'p: {target: dev, outputs: {dev: {schema: d}, prod: {type: postgres, schema: mart, threads: 8, host: h, user: u, password: x}}}';
        load_files('models/a.sql' => '{{ target.schema }} {{ target.threads }} {{ target.user }}', options => { profiles => $profiles, target => 'prod' });
        is(compiled('a'), 'mart 8 ' . said('SELECT current_user'), 'the output of the target');
        load_files('models/a.sql' => '{{ target.schema }} {{ target.threads }}', options => { schema => 'other', threads => 3 });
        is(compiled('a'), 'other 3', 'or options');
    },
    '`--target`' => sub {
        load_files('models/a.sql' => '{{ target.name }}', options => { target => $_, project => $_ }) foreach qw(dev prod);
        is(said("SELECT dpipe_compile('a', options => '{\"project\": \"$_\"}')"), $_, $_) foreach qw(dev prod);
        said("SELECT dpipe_drop_project('$_')") foreach qw(dev prod);
    },
    'environment variables' => sub {
        load_files('models/a.sql' => "{{ env_var('V') }} {{ env_var('HOME', 'none') }}", options => { env => { V => 'given' } });
        is(compiled('a'), 'given none', 'those that are given');
    },
    '`--vars`' => sub {
        load_files('models/a.sql' => "{{ var('x') }}", options => { vars => { x => 1 } });
        is(compiled('a'), '1', 'of a load');
        is(said("SELECT dpipe_compile('a', vars => '{\"x\": 2}')"), '2', 'of a call');
    },
    '`dbt ls`, `dbt compile`, `dbt show`, `dbt run-operation`' => sub {
        load_files('models/a.sql' => 'select 1 as id', 'macros/m.sql' => "{% macro m(x) %}{{ return(x + 1) }}{% endmacro %}");
        is(listed('NULL'), 'model.p.a', 'ls');
        is(compiled('a'), 'select 1 as id', 'compile');
        is(said("SELECT * FROM dpipe_show('a')"), '{"id": 1}', 'show');
        is(said("SELECT dpipe_run_operation('m', '{\"x\": 1}')"), '2', 'run-operation');
    },
    '`dbt parse`, `dbt docs generate`' => sub {
        load_files(%$plain);
        is(manifest('nodes,model.p.a,name'), 'a', 'a manifest');
        is(said("SELECT dpipe_catalog() #>> '{sources,source.p.r.t,columns,id,type}'"), 'integer', 'a catalog');
    },
    '`log(…, info=true)`, `print()`, `exceptions.warn()`' => sub {
        load_files(%$plain);
        like(inline("{% do log('x', info=true) %}"), qr/NOTICE:  x/, 'log');
        like(inline("{% do print('x') %}"), qr/NOTICE:  x/, 'print');
        like(inline("{% do exceptions.warn('x') %}"), qr/WARNING:  x/, 'warn');
    },
};

$cases{'Differences that matter'} = {
    '`ref(\'x\')` of a model of one\'s own' => sub {
        said("SET search_path TO o, public; SELECT dpipe_create_model('x', 'select 1 as own')");
        load_files('models/x.sql' => 'select 2 as theirs', 'models/y.sql' => "{{ ref('x') }}");
        is(inline("{{ ref('x') }}"), '"postgres"."o"."x"', 'one of its own first');
        is(compiled('y'), '"postgres"."s"."x"', 'one of the project first');
        said("SELECT dpipe_drop_model('x')");
    },
    '`source()` of a model of one\'s own' => sub {
        load_files('models/m.yml' => 'sources: [{name: r, schema: s, tables: [{name: t}]}]');
        is(inline("{{ source('r', 't') }} {{ source('o', 'u') }}"), '"postgres"."s"."t" "postgres"."o"."u"', 'declared or not');
        like(load_files('models/a.sql' => "{{ source('o', 'u') }}"), qr/^42704 .*'o\.u' which was not found/, 'not so in a project');
    },
    'order of `set()`' => sub {
        load_files(%$plain);
        is(inline("{{ set(['b', 'a', 'c', 'a']) | list }}"), "['b', 'a', 'c']", 'as they came');
    },
    '`escape`, `safe` and `tojson`' => sub {
        is(inline("{{ '<'|e + '>' }} {{ ('<a'|safe).replace('<', '>') }} {{ [('<a'|safe).strip('<')] }}"), "&lt;&gt; &gt;a [Markup('a')]", 'what is added is escaped, what is looked for is not');
    },
    'case of names in `adapter.get_relation`' => sub {
        load_files(%$plain);
        is(inline("{{ adapter.get_relation('postgres', 's', 'T') }} {{ adapter.get_relation('postgres', 's', 't') }}"), 'None "postgres"."s"."t"', 'no approximate matches');
    },
    'keys that dbt does not know, where it lets them pass' => sub {
        my $said = load_files('models/a.sql' => "{{ config(colour='red') }}select 1", 'dbt_project.yml' => "name: p\nversion: '1.0'\nmodels: {p: {materialized: table, +colour: red}}\n",
            'models/m.yml' => 'models: [{name: a, materialized: table, columns: [{name: id, colour: red}]}]');
        like($said, qr/Found `materialized` as a top-level property of `models\.a`/, 'what belongs below config');
        like($said, qr/Custom key `colour` found at `models\.a\.columns\.id`/, 'what is not known');
        is(scalar(() = $said =~ /WARNING/g), 2, 'nothing of a missing + and of configuration');
    },
    'a package of `packages.yml` that is not installed' => sub {
        is(load_files('packages.yml' => 'packages: [{package: q/q, version: 1.0.0}]', 'models/a.sql' => '{{ q.f() }}'), 'model 1', 'loads');
        like(compiled('a'), qr/^42P02 .*"?q"? is undefined/, 'and is missed');
    },
    'warnings as errors (`--warn-error`)' => sub {
        like(load_files(%$plain, options => { warn_error => JSON::PP::true }), qr/^22023 .*warn_error/, 'no option');
    },
    'byte order mark of a seed' => sub {
        load_files('seeds/b.csv' => "\x{feff}id,n\n1,x\n");
        is(manifest('nodes,seed.p.b,checksum,checksum'), '38a494decaa81715b4f61911b300b2d4aa0efba2f9c9a51631e21912d4dbe305', 'the checksum is dbt\'s');
    },
    'checksum of a seed above 1 MiB' => sub {
        my $rows = "id,n\n" . join('', map { "$_,x\n" } 1 .. 200_000);
        load_files('seeds/large.csv' => $rows);
        my $before = manifest('nodes,seed.p.large,checksum,checksum');
        like($before, qr/^[0-9a-f]{64}$/, 'is that of its content');
        load_files('seeds/large.csv' => $rows . "0,x\n");
        isnt(manifest('nodes,seed.p.large,checksum,checksum'), $before, 'and changes with it');
        my $dbt_has = q({"name": "path", "checksum": "seeds/large.csv"});
        like(said("SELECT string_agg(unique_id, ' ') FROM dpipe_ls('state:modified', options => jsonb_build_object('state', jsonb_set(dpipe_manifest(), '{nodes,seed.p.large,checksum}', '$dbt_has')))"),
            qr/^(?!seed).*WARNING:.*>1MB in size at the same path/s, 'a manifest of dbt has its path, which is the same');
    },
    'an error of a query in a template' => sub {
        load_files(%$plain);
        like(inline("{% do run_query('insert into s.t values (9)') %}{% do run_query('select 1/0') %}"), qr/^22012 division by zero/, 'is the statement\'s');
        is(said('SELECT count(*) FROM s.t WHERE id = 9'), 0, 'nothing stays');
    },
    'limits of templates' => sub {
        load_files(%$plain);
        like(inline("{% for i in range(100000000) %}{% for j in range(100000000) %}{% endfor %}{% endfor %}"), qr/^54000/, 'steps');
        like(inline('{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'), qr/^54001/, 'depth');
    },
};

$cases{'What is not'} = {
    'running a project: `dbt run`, `build`, `test`, `seed`, `snapshot`, `source freshness`; materializations, hooks (`on-run-start`, `on-run-end`, `pre_hook`, `post_hook`)' => sub {
        load_files(%$plain, 'dbt_project.yml' => "name: p\nversion: '1.0'\non-run-start: select 1\nmodels: {+pre-hook: select 2}\n");
        like(said("SELECT count(*) FROM dpipe_run('a')"), qr/^0\n.*'a' does not match any enabled nodes/, 'a run has none of its nodes');
        is(said("SELECT to_regclass('s.a') IS NULL"), 't', 'nothing is built');
        is(manifest('nodes,operation.p.p-on-run-start-0,raw_code'), 'select 1', 'hooks of a run are nodes');
        is(manifest('nodes,model.p.a,config,pre-hook,0,sql'), 'select 2', 'hooks of a model are kept');
    },
    '`dpipe.new_rows` in models of projects' => sub {
        said('CREATE TABLE s.n (id int, _load_id bigint)');
        said("SELECT dpipe_track('s.n')");
        load_files('models/m.yml' => 'sources: [{name: r, schema: s, tables: [{name: n}]}]',
            'models/a.sql' => "{{ config(materialized='incremental') }}select id from {{ dpipe.new_rows(source('r', 'n')) }} n");
        unlike(compiled('a'), qr/^\w{5} /, 'compiles');
        is(compiled('a'), compiled('a'), 'does not move on');
    },
    'models in Python' => sub {
        like(load_files('models/a.py' => 'def model(dbt, session): pass'), qr/^0A000 models\/a\.py: models in Python are not supported/, 'refused');
        load_files(%$plain);
        like(inline("{{ submit_python_job({}, 'x') }}"), qr/^0A000 .*Python models are not supported/s, 'and so are their jobs');
    },
    '`function()`' => sub {
        load_files(%$plain);
        like(inline("{{ function('f') }}"), qr/^42P02 "function" is undefined/, 'is not there');
    },
    '`dbt deps`' => sub {
        load_files('packages.yml' => 'packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]', 'models/a.sql' => '{{ dbt_utils.star() }}');
        like(compiled('a'), qr/^42P02 .*"?dbt_utils"? is undefined/, 'a package that is not there');
    },
    '`run_results.json`, `sources.json`' => sub {
        load_files(%$plain);
        like(said("SELECT public.try('SELECT count(*) FROM dpipe_ls(''result:error'')')"), qr/^55000/, 'there is nothing to compare with');
        like(said("SELECT public.try('SELECT count(*) FROM dpipe_ls(''source_status:fresher'')')"), qr/^55000/, 'of sources');
    },
    '`debug()`, `adapter_macro()`' => sub {
        load_files(%$plain);
        like(inline('{{ debug() }}'), qr/^0A000 .*debug\(\) is not supported/s, 'debug');
        like(inline("{{ adapter_macro('x') }}"), qr/^0A000 .*"adapter_macro" macro has been deprecated/s, 'adapter_macro');
    },
    '`env_var(\'DBT_ENV_SECRET_…\')` outside of a `profiles.yml`' => sub {
        like(load_files('models/a.sql' => "{{ env_var('DBT_ENV_SECRET_X') }}", options => { env => { DBT_ENV_SECRET_X => 'x' } }), qr/^22023 Secret env vars are allowed only in profiles\.yml or packages\.yml/, 'refused');
    },
    '`load_agate_table()`' => sub {
        load_files(%$plain);
        like(inline('{{ load_agate_table() }}'), qr/^0A000 .*can only load_agate_table for seeds/s, 'refused');
    },
    '`adapter.commit()`, transactions in templates' => sub {
        load_files(%$plain);
        like(inline("{% do run_query('commit') %}"), qr/^2D000 a template cannot begin or end a transaction/, 'refused');
        said("BEGIN; SELECT dpipe_compile(inline => \$t\$\{% do run_query('insert into s.t values (9)') %}{% do adapter.commit() %}\$t\$); ROLLBACK");
        is(said('SELECT count(*) FROM s.t WHERE id = 9'), 0, 'commits nothing');
    },
    'approximate matches of `adapter.get_relation`' => sub {
        load_files(%$plain);
        is(inline("{{ adapter.get_relation('postgres', 's', 'T') }}"), 'None', 'is not found');
    },
};

said('CREATE SCHEMA s; CREATE SCHEMA o; CREATE TABLE o.u (id int); CREATE TABLE s.t (id int, "Name" text)');
said(<<'S');
CREATE FUNCTION public.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
S

# ---------- rows ----------

foreach my $section (sort keys %cases)
{
    my ($body) = $text =~ /^## \Q$section\E\n(.*?)(?=^## |\z)/ms;
    my ($table) = ($body // '') =~ /^\|---[^\n]*\n(.*)/ms;
    my %rows = map { /^\| (.*?) \| (.*) \|$/ ? ($1 => $2) : () } split /\n/, $table // '';

    ok(%rows, "$section is there");
    is_deeply([ grep { !$cases{$section}{$_} } sort keys %rows ], [], "$section: each row has a case");
    is_deeply([ grep { !exists $rows{$_} } sort keys %{ $cases{$section} } ], [], "$section: each case has a row");
    foreach my $name (sort keys %{ $cases{$section} })
    {
        subtest "$section: $name" => sub { $cases{$section}{$name}->($rows{$name}, $name) };
        said("SELECT dpipe_drop_project('p')");
    }
}

$node->stop;
done_testing();
