# Renderings a second of a model full of macros, by dpipe_render() divided by
# Jinja2 with its template compiled before. Macros that call macros, loops over
# the columns of tables, strings taken apart and put together, as in packages
# of macros (star, pivot, union, surrogate keys). The same template and data,
# and the same text comes out. dpipe reads its data from jsonb at each call;
# Jinja2 has it as Python's values.
#
# BENCH_SECONDS (1 a round and side, roughly), BENCH_ROUNDS (7)
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Bench qw(bench_dbt bench_node median report run_session);
use Dpipe::DbtProject qw(write_file);

my $seconds = $ENV{BENCH_SECONDS} // 1;
my $rounds  = $ENV{BENCH_ROUNDS}  // 7;
my $python  = bench_dbt();
my $node    = bench_node();
my $dir     = $PostgreSQL::Test::Utils::tmp_check;
my (%rate, %rate_cpu);

write_file("$dir/model.jinja", <<'J');
{%- macro quoted(name) -%}
    "{{ name | replace('"', '""') }}"
{%- endmacro -%}
{%- macro alias(name, prefix='', suffix='') -%}
    {{ quoted((prefix ~ name ~ suffix) | lower | replace(' ', '_') | replace('-', '_')) }}
{%- endmacro -%}
{%- macro star(columns, relation_alias=none, except=[], prefix='') -%}
    {%- set excluded = except | map('lower') | list -%}
    {%- for column in columns if column.name | lower not in excluded %}
    {% if relation_alias %}{{ relation_alias }}.{% endif %}{{ quoted(column.name) }}
        {%- if prefix %} as {{ alias(column.name, prefix=prefix) }}{% endif %}
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro -%}
{%- macro surrogate_key(fields) -%}
    {%- set parts = [] -%}
    {%- for field in fields -%}
        {%- do parts.append("coalesce(cast(" ~ field ~ " as text), '_null_')") -%}
        {%- if not loop.last %}{% do parts.append("'-'") %}{% endif -%}
    {%- endfor -%}
    md5({{ parts | join(' || ') }})
{%- endmacro -%}
{%- macro pivot(column, values, agg='sum', then_value=1, else_value=0, prefix='') -%}
    {%- for value in values %}
    {{ agg }}(case when {{ column }} = '{{ value | replace("'", "''") }}' then {{ then_value }} else {{ else_value }} end)
        as {{ alias(value, prefix=prefix) }}{{ "," if not loop.last }}
    {%- endfor -%}
{%- endmacro -%}
{%- macro cast_to(column, type) -%}
    {%- if type in ('numeric', 'integer', 'bigint') -%}
        cast(nullif({{ quoted(column) }}, '') as {{ type }})
    {%- elif type.startswith('timestamp') -%}
        cast({{ quoted(column) }} as {{ type }}) at time zone '{{ zone }}'
    {%- else -%}
        trim({{ quoted(column) }})
    {%- endif -%}
{%- endmacro -%}
{%- macro union_tables(tables) -%}
    {%- set names = namespace(all=[]) -%}
    {%- for table in tables -%}
        {%- for column in table.columns if column.name not in names.all -%}
            {%- set names.all = names.all + [column.name] -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for table in tables %}
    select '{{ table.name }}' as source_table,
        {%- set own = table.columns | map(attribute='name') | list %}
        {%- for name in names.all %}
        {{ cast_to(name, types[name]) if name in own else 'null' }} as {{ alias(name) }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ "%s.%s" % (quoted(table.schema), quoted(table.name)) }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor -%}
{%- endmacro -%}
-- call {{ call }}
with everything as ({{ union_tables(tables) }}
)
{%- for table in tables %}
, {{ table.name }}_keyed as (
    select {{ surrogate_key(table.columns | map(attribute='name') | list) }} as row_key,
        {{- star(table.columns, relation_alias='t', except=['_loaded_at'], prefix=table.name.split('_')[0] ~ '_') }}
    from {{ table.schema }}.{{ table.name }} t
)
{%- endfor %}
select
    {% for i in range(1, 25) %}{{ i }} as n{{ '%02d' | format(i) }}, {% endfor -%}
    {{ pivot('status', statuses, then_value='amount', prefix='total_') }}
from everything
group by {% for i in range(1, 25) %}{{ i }}{{ ', ' if not loop.last }}{% endfor %}
J

write_file("$dir/render.py", <<'P');
import json, sys, time
from hashlib import md5
from jinja2 import Environment
data = {"zone": "UTC", "statuses": ["New", "Paid in part", "Paid", "Shipped", "Customer's", "Returned", "Lost-in-mail"] * 4}
kinds = ["numeric", "text", "timestamp", "integer", "varchar"]
data["types"] = {"col %d" % i: kinds[i % 5] for i in range(40)}
data["tables"] = [{"schema": "raw", "name": "%s_events" % t, "columns": [
    {"name": "col %d" % i, "type": kinds[i % 5]} for i in range(k, k + 30)] + [{"name": "col 0", "type": "numeric"}]}
    for k, t in enumerate(["web", "app", "shop", "mail", "call", "store"])]
if len(sys.argv) == 2:
    print(json.dumps(data))
    sys.exit()
with open(sys.argv[1]) as f:
    template = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]).from_string(f.read())
n = int(sys.argv[2])
template.render(call=0, **data)
start, cpu = time.perf_counter(), time.process_time()
for i in range(1, n + 1):
    text = template.render(call=i, **data)
print(time.perf_counter() - start, time.process_time() - cpu, md5(text.encode()).hexdigest(), len(text))
P

my ($data) = run_command([ $python, "$dir/render.py", "$dir/model.jinja" ]);
write_file("$dir/data.json", $data);

# [ seconds, CPU seconds, md5 of the last text, its length ] of n renderings
sub jinja2
{
    my ($n) = @_;
    my ($out, $err) = run_command([ $python, "$dir/render.py", "$dir/model.jinja", $n ]);
    die "Jinja2: $err" if $out eq '';
    return split ' ', $out;
}

sub dpipe
{
    my ($n) = @_;
    my $render = "dpipe_render(t, jsonb_set(d, '{call}', to_jsonb(i)))";
    my $now = "SELECT extract(epoch FROM clock_timestamp());\n\\! cut -d ' ' -f 1 /proc/\$BACKEND/schedstat\n";
    my (undef, undef, $out) = run_session($node, <<"SQL");
CREATE TEMP TABLE model AS SELECT pg_read_file('$dir/model.jinja') AS t, pg_read_file('$dir/data.json')::jsonb AS d;
SELECT length($render) FROM model, generate_series(0, 0) i;
${now}SELECT max(length($render)) FROM model, generate_series(1, $n) i;
${now}SELECT md5($render) FROM model, generate_series($n, $n) i;
SQL
    my (undef, $from, $cpu, $length, $to, $cpu_to, $md5) = split /\n/, $out;
    return ($to - $from, ($cpu_to - $cpu) / 1e9, $md5, $length);
}

my ($took) = jinja2(20);
my $n = int($seconds / $took * 20) + 1;
my $length;
foreach my $round (1 .. $rounds)
{
    my %result = (jinja2 => [ jinja2($n) ], dpipe => [ dpipe($n) ]);
    is($result{dpipe}[2], $result{jinja2}[2], 'the texts are the same');
    $length = $result{jinja2}[3];
    foreach my $side (sort keys %result)
    {
        push @{ $rate{$side} },     $n / $result{$side}[0];
        push @{ $rate_cpu{$side} }, $n / $result{$side}[1];
    }
    diag sprintf 'round %d: dpipe %.1f, Jinja2 %.1f renderings per CPU s', $round,
        $rate_cpu{dpipe}[-1], $rate_cpu{jinja2}[-1];
}
$node->stop;

report(
    bench               => 'jinja_render',
    value               => sprintf('%.2f', median(@{ $rate{dpipe} }) / median(@{ $rate{jinja2} })),
    unit                => 'times Jinja2',
    target              => '>= 3',
    ratio_per_cpu_s     => sprintf('%.2f', median(@{ $rate_cpu{dpipe} }) / median(@{ $rate_cpu{jinja2} })),
    dpipe_per_s         => sprintf('%.1f', median(@{ $rate{dpipe} })),
    jinja2_per_s        => sprintf('%.1f', median(@{ $rate{jinja2} })),
    dpipe_per_cpu_s     => sprintf('%.1f', median(@{ $rate_cpu{dpipe} })),
    jinja2_per_cpu_s    => sprintf('%.1f', median(@{ $rate_cpu{jinja2} })),
    text_bytes          => $length,
    renderings          => $n,
    rounds              => $rounds);
