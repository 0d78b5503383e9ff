# What templates find, name by name: dbt's own contexts, where dbt can be had,
# hold nothing that is not here or named below with a reason.
use strict;
use warnings;

use Cwd qw(abs_path);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $top  = abs_path(top_dir());
my $node = Dpipe::Node->make('context');
my $dir  = PostgreSQL::Test::Utils::tempdir_short();

# Not here, and why.
my %missing = (
    'model.context_macro_stack' => 'dbt\'s own bookkeeping',
    'builtins.context_macro_stack' => 'dbt\'s own bookkeeping',
    'adapter.config'            => 'the command line\'s configuration',
    'adapter.run_sql_for_tests' => 'for dbt\'s own tests',
    'exceptions.raise_ambiguous_alias'         => 'takes objects that templates do not have',
    'exceptions.raise_ambiguous_catalog_match' => 'takes objects that templates do not have',
    'exceptions.raise_duplicate_patch_name'    => 'takes objects that templates do not have',
    'exceptions.raise_duplicate_resource_name' => 'takes objects that templates do not have',
    'var.get_missing_var'   => 'dbt\'s own bookkeeping',
    'var.get_rendered_var'  => 'dbt\'s own bookkeeping',
    'var.packages_for_node' => 'dbt\'s own bookkeeping',
);

# dbt's own macros that are not here: they write the scripts of Python models,
# which PostgreSQL has not.
my %unwritten = map { $_ => 1 }
    qw(build_config_dict build_ref_function build_source_function py_script_comment py_script_postfix);

sub write_file
{
    my ($path, $text) = @_;
    my $folder = $path =~ s{/[^/]*$}{}r;
    system('mkdir', '-p', $folder) == 0 or die;
    open my $f, '>', $path or die "$path: $!";
    print $f $text;
    close $f;
}

# Is each of these expressions defined? The others are given back.
sub undefined_of
{
    my ($options, %expressions) = @_;
    my $text = join "\n", map { "$_ {{ ($expressions{$_}) is defined }}" } sort keys %expressions;
    my $out  = $node->sql("SELECT dpipe_compile(inline => \$text\$$text\$text\$, options => '$options')");
    return sort map { /^(\S+) False$/ ? $1 : () } split /\n/, $out;
}

write_file("$dir/p/dbt_project.yml", "name: p\nversion: '1.0'\nprofile: p\n");
write_file("$dir/p/profiles.yml",
    "p:\n  target: dev\n  outputs:\n    dev: {type: postgres, host: localhost, port: 1, user: u, password: x, dbname: d, schema: s, threads: 1}\n");
write_file("$dir/p/models/m.sql", "select 1 as a");
write_file("$dir/p/macros/mm.sql", "{% macro mm() %}x{% endmacro %}");
$node->sql("SELECT count(*) FROM dpipe_load_project('$dir/p', '{\"env\": {\"DBT_ENV_CUSTOM_ENV_A\": \"b\", \"DBT_ENV_SECRET_S\": \"hush\"}}')");

SKIP:
{
    my $python = $ENV{DPIPE_DBT_PYTHON};
    skip 'no dbt: ' . ($ENV{DPIPE_DBT_SKIP} // 'test/lib/dbt_fetch.sh was not run'), 1 unless $python;
    system('cp', '-r', "$dir/p", "$dir/copy") == 0 or die;
    my ($out, $err);
    IPC::Run::run([ $python, "$top/test/dbt/context.py", "$dir/copy" ], '>', \$out, '2>', \$err) or die "$out$err";
    my $dbt = decode_json((split /\n/, $out)[-1]);
    my %expressions;
    foreach my $section (qw(model builtins adapter exceptions target flags config var api modules))
    {
        my $prefix = $section eq 'model' ? '' : "$section.";
        $expressions{"$section.$_"} = "$prefix$_" foreach @{ $dbt->{$section} };
    }
    $expressions{"macros.$_"} = "dbt.$_" foreach grep { !/^materialization_/ } @{ $dbt->{macros} };
    cmp_ok(scalar keys %expressions, '>', 500, 'dbt has names');
    foreach my $options ('{}', '{"project": "p"}')
    {
        my @got = grep { !$missing{$_} && !/^modules\./ && !($options eq '{}' && /^model\.p$|\.graph$|\.function$/) && !$unwritten{s/^macros\.//r} } undefined_of($options, %expressions);
        is("@got",
            '', "what dbt's templates find is here, with $options");
    }
}

# Values.
is($node->sql("SELECT dpipe_compile(inline => '{{ invocation_id }}') = dpipe_compile(inline => '{{ invocation_id }}', options => '{\"project\": \"p\"}')"),
    't', 'a statement is one invocation');
isnt($node->sql("SELECT dpipe_compile(inline => '{{ invocation_id }}')"),
    $node->sql("SELECT dpipe_compile(inline => '{{ invocation_id }}')"), 'another is another one');
is($node->sql("SELECT dpipe_compile('m', options => '{\"project\": \"p\"}')"), 'select 1 as a', 'a model');
is($node->sql(q[SELECT dpipe_compile(inline => '{{ dbt_metadata_envs }} {{ flags.WHICH }} {{ invocation_args_dict.vars }} {{ context.get("mm")() }} {{ selected_resources }} {{ "mm" in context.keys() }}', vars => '{"x": 1}', options => '{"project": "p"}')]),
    q({'A': 'b'} compile {'x': 1} x ['sql_operation.p.inline_query'] True), 'what was asked for');
my (undef, $out, $err) = $node->psql('postgres', q[SELECT dpipe_compile(inline => '{{ env_var("DBT_ENV_SECRET_S") }}', options => '{"project": "p"}')]);
like($err, qr/Secret env vars are allowed only in profiles\.yml or packages\.yml\. Found 'DBT_ENV_SECRET_S' referenced elsewhere/, 'secrets are for connections');
unlike("$out$err", qr/hush/, 'and are not shown');
(undef, $out, $err) = $node->psql('postgres', q[SELECT dpipe_compile(inline => '{{ var("y") }}', vars => '{"b": [1], "a": {"c": "d"}}', options => '{"project": "p"}')]);
like($err, qr/Required var 'y' not found in config:\nVars supplied to inline_query = \{\n    "a": \{\n        "c": "d"\n    \},\n    "b": \[\n        1\n    \]\n\}/, 'a var that was not given');

# The configuration of a model of one's own is asked in the same words.
$node->sql(q[SELECT dpipe_create_model('mine', $$select '{{ config.model.name }} {{ config.model.unique_id }} {{ config.meta_get("a") }} {{ config.get("no", "none") }}' as t, {{ config.persist_column_docs() }} as p
  {{ config(meta={"a": 1}) }}$$, '{"project": "p"}')]);
is($node->sql("SELECT dpipe_compile('mine')"), "select 'mine model.dpipe.mine 1 none' as t, False as p\n  ", 'config, and the model that it is of');
(undef, $out, $err) = $node->psql('postgres', q[SELECT dpipe_create_model('wrong', '{{ config() }}select 1')]);
like($err, qr/Invalid inline model config/, 'config() says something, as in dbt');
$node->sql("SELECT dpipe_drop_model('mine')");

# Columns of a result know agate's types.
is($node->sql(q[SELECT dpipe_compile(inline => $t$
{%- set t = run_query("select 1.50 as n, 2 as i, true as b, date '2024-01-02' as d, timestamp '2024-01-02 03:04:05' as s, 'x' as t, null::numeric as z") -%}
{% for c in (t.columns if execute else []) %}{{ [c.data_type.jsonify(c[0]), c.data_type.csvify(c[0])] | tojson }} {% endfor -%} $t$)]),
    '[1.5, "1.50"] [2, "2"] [true, "True"] ["2024-01-02", "2024-01-02"] ["2024-01-02T03:04:05", "2024-01-02T03:04:05"] ["x", "x"] [null, null] ', 'values as json and csv have them');

# YAML knows little.
$node->sql(q[SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: y\nversion: \"1.0\"", "models/m.sql": "select 1",
  "models/m.yml": "models:\n  - name: m\n    config: {meta: {a: \"{{ adapter is defined }}{{ run_query is defined }}{{ target.name }}\"}}"}')]);
is($node->sql("SELECT definition -> 'config' -> 'meta' ->> 'a' FROM dpipe.node WHERE unique_id = 'model.y.m'"), 'FalseFalsedefault', 'no adapter in YAML');

# function() is a reference as ref() is.
$node->sql(q[SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: f\nversion: \"1.0\"", "models/m.sql": "select {{ function(\'twice\') }}(1), {{ function(\'f\', \'twice\') }}(2)",
  "functions/twice.sql": "select 2 * x", "functions/f.yml": "functions:\n  - name: twice\n    arguments:\n      - {name: x, data_type: integer}\n    returns: {data_type: integer}"}')] =~ s/\\'/''/gr);
is($node->sql("SELECT dpipe_compile('m', options => '{\"project\": \"f\"}')"),
    'select "postgres"."public"."twice"(1), "postgres"."public"."twice"(2)', 'a function');
is($node->sql("SELECT (definition -> 'functions')::jsonb || (definition -> 'depends_on' -> 'nodes')::jsonb FROM dpipe.node WHERE unique_id = 'model.f.m'"),
    '[["twice"], ["f", "twice"], "function.f.twice"]', 'is depended on');
(undef, $out, $err) = $node->psql('postgres', q[SELECT count(*) FROM dpipe_load_files('{"dbt_project.yml": "name: g\nversion: \"1.0\"", "models/m.sql": "select {{ function(''none'') }}(1)"}')]);
like($err, qr/Model 'model\.g\.m' \(models\/m\.sql\) depends on a function named 'none' which was not found/, 'one that is not there');

$node->stop;
done_testing();
