# Models of dpipe_create_model and a dbt project in one graph: each reads the
# other, models use the project's macros, and what goes away is said.
use strict;
use warnings;

use Test::More;

use Dpipe::Node;

my $node = Dpipe::Node->make('own');

sub said
{
    my ($sql) = @_;
    my (undef, $out, $err) = $node->psql('postgres', "SET client_min_messages = warning; SET search_path TO s, public; $sql");
    return $out . $err;
}

sub load_files
{
    my ($options, %files) = @_;
    my $json = join ', ', map { sprintf '"%s": "%s"', $_, $files{$_} =~ s/\n/\\n/gr =~ s/"/\\"/gr } sort keys %files;
    return said("SELECT count(*) FROM dpipe_load_files(\$files\${$json}\$files\$, '$options')");
}

my %shop = (
    'dbt_project.yml'     => "name: shop\nversion: '1.0'\nvars: {g: 7, dpipe: {mine: 8}}\nseeds: {+enabled: true}\n",
    'models/orders.sql'   => 'select 1 as id',
    'models/eph.sql'      => "{{ config(materialized='ephemeral') }}select 5 as e",
    'models/ver_v1.sql'   => 'select 1 as v1',
    'models/ver_v2.sql'   => 'select 2 as v2',
    'models/secret.sql'   => 'select 3 as x',
    'seeds/colours.csv'   => "name\nred\n",
    'models/v.yml'        => "groups: [{name: g, owner: {name: o}}]\nmodels:\n  - {name: secret, access: private, config: {group: g}}\n  - name: ver\n    latest_version: 2\n    versions: [{v: 1}, {v: 2}]\n"
        . "sources:\n  - {name: src, schema: s, tables: [{name: t, identifier: raw}]}\n",
    'macros/a.sql'        => "{% macro cents(c) %}({{ c }} / 100){% endmacro %}{% macro who() %}{{ model.name }} {{ this }}{% endmacro %}",
    'dbt_packages/util/dbt_project.yml' => "name: util\nversion: '1.0'",
    'dbt_packages/util/macros/m.sql' =>
        "{% macro star() %}{{ return(adapter.dispatch('star', 'util')()) }}{% endmacro %}{% macro default__star() %}a, b{% endmacro %}",
);

$node->sql('CREATE SCHEMA s; CREATE TABLE s.raw AS SELECT 1 AS t; CREATE TABLE s.orders AS SELECT 1 AS id');
load_files('{}', %shop);

# Macros.
sub compiled
{
    my ($text, $vars) = @_;
    $vars //= '{}';
    return said("SELECT dpipe_compile(inline => \$text\$$text\$text\$, vars => '$vars')");
}
is(compiled("{{ cents('id') }} {{ shop.cents(1) }} {{ util.star() }} {{ adapter.dispatch('star', 'util')() }}"),
    '(id / 100) (1 / 100) a, b a, b', 'macros of the project and of its packages');
is(compiled('{{ who() }}'), 'inline_query "postgres"."s"."inline_query"', 'a macro sees the model that calls it');
is(compiled("{{ var('g') }} {{ var('mine') }} {{ var('g') }}"), '7 8 7', 'vars of the project');
is(compiled("{{ var('g') }}", '{"g": 9}'), '9', 'those of the call come first');

# References.
is(compiled("{{ ref('orders') }} {{ ref('shop', 'orders') }} {{ ref('colours') }} {{ ref('ver') }} {{ ref('ver', v=1) }} {{ source('src', 't') }} {{ source('s', 'raw') }}"),
    '"postgres"."s"."orders" "postgres"."s"."orders" "postgres"."s"."colours" "postgres"."s"."ver_v2" "postgres"."s"."ver_v1" "postgres"."s"."raw" "postgres"."s"."raw"',
    'nodes of the project');
is(compiled("select * from {{ ref('eph') }}") =~ s/\s+/ /gr, 'with __dbt__cte__eph as ( select 5 as e ) select * from __dbt__cte__eph', 'an ephemeral one');
like(compiled("{{ ref('secret') }}"), qr/attempted to reference node model\.shop\.secret, which is not allowed because the referenced node is private to the 'g' group/, 'a private one');
like(compiled("{{ ref('nothing') }}"), qr/depends on a node named 'nothing' which was not found/, 'nothing');

# One graph.
said(q[SELECT dpipe_create_model('mine', $$select * from {{ ref('orders') }}$$), dpipe_create_model('last', $$select * from {{ ref('mine') }}$$)]);
is(said("SELECT string_agg(unique_id, ' ' ORDER BY unique_id) FROM dpipe_ls('orders+')"), 'model.dpipe.last model.dpipe.mine model.shop.orders', 'downstream of a project');
is(said("SELECT string_agg(unique_id, ' ' ORDER BY unique_id) FROM dpipe_ls('+mine')"), 'model.dpipe.mine model.shop.orders', 'upstream of a model');
is(compiled("{{ graph.nodes.keys() | select('in', ['model.shop.orders', 'model.dpipe.mine']) | sort | join(' ') }}"), 'model.dpipe.mine model.shop.orders', 'graph');
is(said("SELECT string_agg(node || ' ' || status, ' ' ORDER BY node) FROM dpipe_run('orders+')"), 'model.dpipe.last success model.dpipe.mine success', 'a run builds the models');
is($node->sql('SELECT id FROM s.last'), 1, 'of what the project holds');

# Manifests and catalogs hold both.
sub value
{
    my ($call, $path) = @_;
    return said("SELECT $call #>> '{$path}'");
}
is(value('dpipe_manifest()', 'parent_map,model.dpipe.mine'), '["model.shop.orders"]', 'parents in a manifest');
is(value('dpipe_manifest()', 'child_map,model.shop.orders'), '["model.dpipe.mine"]', 'children');
is(value('dpipe_manifest()', 'nodes,model.dpipe.last,refs'), '[{"name": "mine", "package": null, "version": null}]', 'references');
is(value('dpipe_manifest()', 'nodes,model.dpipe.last,config,materialized'), 'view', 'configuration is whole: not that of dbt_project.yml');
is(value('dpipe_manifest()', 'nodes,model.dpipe.last,relation_name'), '"postgres"."s"."last"', 'its relation');
is(value('dpipe_catalog()', 'nodes,model.dpipe.last,columns,id,type'), 'integer', 'a catalog');
said('CREATE TABLE public.then AS SELECT dpipe_manifest() AS m');
is(said("SELECT count(*) FROM public.then, dpipe_ls('state:unmodified,package:dpipe', options => jsonb_build_object('state', m))"), 2, 'nothing has changed');
said(q[SELECT dpipe_create_model('last', $$select id from {{ ref('mine') }}$$)]);
is(said("SELECT string_agg(unique_id, ' ') FROM public.then, dpipe_ls('state:modified', options => jsonb_build_object('state', m))"), 'model.dpipe.last', 'a model has');

# The other way.
$shop{'models/reader.sql'} = "select * from {{ ref('mine') }}";
$shop{'models/two.sql'} = "select * from {{ ref('dpipe', 'mine') }}";
like(load_files('{}', %shop), qr/^\d$/, 'a project reads a model');
is(said("SELECT dpipe_compile('reader') || ' ' || dpipe_compile('two')"), 'select * from "postgres"."s"."mine" select * from "postgres"."s"."mine"', 'its relation');
is(said("SELECT string_agg(unique_id, ' ' ORDER BY unique_id) FROM dpipe_ls('orders+')"),
    'model.dpipe.last model.dpipe.mine model.shop.orders model.shop.reader model.shop.two', 'through both');
like(said(q[SELECT dpipe_create_model('mine', $$select * from {{ ref('reader') }}$$)]), qr/Found a cycle/, 'a cycle by a definition');
like(load_files('{}', %shop, 'models/orders.sql' => "select * from {{ ref('last') }}"), qr/Found a cycle/, 'a cycle by a load');

# Names.
like(said(q[SELECT dpipe_create_model('clash', 'select 1', '{"alias": "orders"}')]), qr/dbt found two resources with the database representation "postgres\.s\.orders"/, 'a model that makes a relation of the project');
like(load_files('{}', %shop, 'models/mine.sql' => 'select 1'), qr/dbt found two resources with the database representation "postgres\.s\.mine"/, 'and the reverse');

# Another text runs through the project while it is loaded again.
like(compiled(q[{% if execute %}{% set x = run_query("select count(*) from dpipe_load_files('{\"dbt_project.yml\": \"name: other\", \"macros/m.sql\": \"{% macro o() %}o{% endmacro %}\"}')") %}{% set y = run_query("select dpipe_compile(inline => '{{ o() }}', options => '{\"project\": \"other\"}')") %}{{ cents(2) }} {{ y.rows[0][0] }}{% endif %}]),
    qr/^\(2 \/ 100\) o$/, 'two projects at once');

# Several projects: a model says which.
like(compiled('{{ cents(1) }}'), qr/"cents" is undefined/, 'of several projects none is meant');
said(q[SELECT dpipe_create_model('named', $$select {{ cents(1) }}$$, '{"project": "shop"}')]);
is(said("SELECT dpipe_compile('named')"), 'select (1 / 100)', 'but one that is named');
like(said(q[SELECT dpipe_create_model('bad', 'select 1', '{"project": "none"}')]), qr/project "none" does not exist/, 'which must be there');
said("SELECT dpipe_drop_project('other')");

# What another role owns is not seen.
$node->sql("CREATE ROLE stranger; GRANT CREATE, USAGE ON SCHEMA s TO stranger");
like(said("SET ROLE stranger; SELECT dpipe_compile(inline => '{{ cents(1) }}')"), qr/"cents" is undefined/, 'a stranger has no macros of the project');
said("SET ROLE stranger; SELECT dpipe_create_model('theirs', 'select 1')");

# What goes.
said("SELECT dpipe_drop_model('named'), dpipe_drop_project('shop')");
like(said("SELECT dpipe_compile('mine')"), qr/depends on a node named 'orders' which was not found/, 'a project that was dropped is missed');
like(said("SELECT message FROM dpipe_run('mine')"), qr/Compilation Error in model mine\n  Model 'model\.dpipe\.mine' depends on a node named 'orders' which was not found/, 'by a run, too');
like(load_files('{}', %shop), qr/^\d$/, 'it comes back');
is(said("SELECT dpipe_compile('mine')"), 'select * from "postgres"."s"."orders"', 'and is found');
said("SELECT dpipe_drop_model('mine')");
like(said("SELECT dpipe_compile('reader')"), qr/depends on a node named 'mine' which was not found/, 'a model that was dropped is missed');

# Without a project models stand alone, each with what it reads.
said("SELECT dpipe_drop_project('shop')");
said(q[SELECT dpipe_create_model('alone', $$select * from {{ source('s', 'raw') }}$$)]);
is(value('dpipe_manifest()', 'metadata,project_name'), 'dpipe', 'a manifest without a project');
is(value('dpipe_manifest()', 'parent_map,model.dpipe.alone'), '["source.dpipe.s.raw"]', 'a relation that is read');
is(value('dpipe_manifest()', 'sources,source.dpipe.s.raw,relation_name'), '"postgres"."s"."raw"', 'is a source');
is(value('dpipe_manifest()', 'parent_map,model.dpipe.mine') , '', 'what was dropped is not there');
is(value('dpipe_catalog()', 'sources,source.dpipe.s.raw,columns,t,type'), 'integer', 'a catalog without a project');
is(said("SET ROLE stranger; SELECT dpipe_manifest() -> 'nodes' ?| ARRAY['model.dpipe.alone', 'model.dpipe.last'], dpipe_manifest() -> 'nodes' ? 'model.dpipe.theirs', dpipe_manifest() -> 'sources'"), 'f|t|{}', 'a stranger has its own');
said("SELECT dpipe_drop_model('alone')");
said(q[SELECT dpipe_create_model('a.view', 'select 1 as x'), dpipe_create_model('of_a_view', $$select * from {{ ref('a.view') }}$$)]);
is(value('dpipe_manifest()', 'nodes,model.dpipe.of_a_view,refs'), '[{"name": "a.view", "package": null, "version": null}]', 'a name that looks like a version');
said("SELECT dpipe_drop_model('of_a_view'), dpipe_drop_model('a.view')");

# New rows.
delete @shop{qw(models/reader.sql models/two.sql)};
$node->sql("CREATE TABLE s.events (id int, _load_id bigint); SELECT dpipe_track('s.events'); INSERT INTO s.events VALUES (1)");
$shop{'models/inc.sql'} = "{{ config(materialized='incremental') }}select id from {{ dpipe.new_rows(source('src', 'events')) }} e";
$shop{'models/tab.sql'} = "{{ config(materialized='table') }}select id from {{ dpipe.new_rows(source('src', 'events')) }} e";
$shop{'models/v.yml'} =~ s/tables: \[/tables: [{name: events}, /;
load_files('{}', %shop);
said(q[SELECT dpipe_create_model('own_inc', $$] . $shop{'models/inc.sql'} =~ s/'src'/'s'/r . q[$$)]);
is(said("SELECT dpipe_compile('inc') = dpipe_compile('own_inc')"), 't', 'new_rows() is what it is in a model');
like(said("SELECT dpipe_compile('tab')"), qr/dpipe\.new_rows\(\) is for incremental models: model\.shop\.tab is a table/, 'which must be incremental');

$node->stop;
done_testing();
