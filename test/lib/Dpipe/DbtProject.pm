# A dbt project of any size, as teams have them: domains with staging,
# intermediate and mart models, YAML beside them, a package of macros.
package Dpipe::DbtProject;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Path qw(make_path);

our @EXPORT_OK = qw(write_file write_project change_model);

# Models of a domain by layer.
my %layers = (staging => 15, intermediate => 20, marts => 15);

sub write_file
{
    my ($path, $text) = @_;
    make_path(dirname($path));
    open my $f, '>', $path or die "$path: $!";
    print $f $text;
    close $f or die "$path: $!";
    return;
}

# ---------- the package ----------

my %macros = (
    'cents.sql' => <<'J',
{% macro cents_to_dollars(column, scale=2) -%}
    round(({{ column }} / 100.0)::numeric, {{ scale }})
{%- endmacro %}

{% macro safe_divide(a, b) -%}
    case when {{ b }} = 0 then null else {{ a }}::numeric / {{ b }} end
{%- endmacro %}
J
    'keys.sql' => <<'J',
{% macro surrogate_key(fields) -%}
    {{ return(adapter.dispatch('surrogate_key', 'helpers')(fields)) }}
{%- endmacro %}

{% macro default__surrogate_key(fields) -%}
{%- set parts = [] -%}
{%- for field in fields -%}
    {%- do parts.append("coalesce(cast(" ~ field ~ " as text), '_null_')") -%}
    {%- if not loop.last %}{% do parts.append("'-'") %}{% endif -%}
{%- endfor -%}
md5({{ parts | join(' || ') }})
{%- endmacro %}
J
    'pivot.sql' => <<'J',
{% macro pivot(column, values, agg='sum', then_value=1, else_value=0, prefix='', suffix='') %}
  {%- for value in values %}
    {{ agg }}(case when {{ column }} = '{{ value }}' then {{ then_value }} else {{ else_value }} end)
      as {{ helpers.column_alias(prefix ~ value ~ suffix) }}
    {%- if not loop.last %},{% endif -%}
  {% endfor %}
{% endmacro %}

{% macro column_alias(name) -%}
    "{{ name | lower | replace(' ', '_') | replace('-', '_') }}"
{%- endmacro %}
J
    'union.sql' => <<'J',
{% macro union_models(models, columns) %}
  {%- for model in models %}
    select
      '{{ model }}' as source_model,
      {%- for column in columns %}
      cast({{ column }} as text) as {{ column }}{% if not loop.last %},{% endif %}
      {%- endfor %}
    from {{ ref(model) }}
    {% if not loop.last %}union all{% endif %}
  {%- endfor %}
{% endmacro %}
J
    'tests/accepted_range.sql' => <<'J',
{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
select * from {{ model }}
where false
{%- if min_value is not none %}
   or not {{ column_name }} >{{ "=" if inclusive }} {{ min_value }}
{%- endif %}
{%- if max_value is not none %}
   or not {{ column_name }} <{{ "=" if inclusive }} {{ max_value }}
{%- endif %}
{% endtest %}
J
);

sub write_package
{
    my ($dir) = @_;
    write_file("$dir/dbt_project.yml", <<'Y');
name: helpers
version: '1.0'
config-version: 2
macro-paths: [macros]
Y
    write_file("$dir/macros/$_", $macros{$_}) foreach sort keys %macros;
    # What a package has and nobody calls.
    foreach my $i (1 .. 40)
    {
        write_file("$dir/macros/more/tool_$i.sql", <<"J");
{% macro tool_$i(a, b=none, kind='number') -%}
    {%- if kind == 'number' -%}
        coalesce({{ a }}, {{ b if b is not none else 0 }})
    {%- elif kind in ['text', 'string'] -%}
        coalesce({{ a }}, '{{ b or "" }}')
    {%- else -%}
        {{ exceptions.raise_compiler_error("tool_$i knows no " ~ kind) }}
    {%- endif -%}
{%- endmacro %}
J
    }
    return;
}

# ---------- models ----------

sub source_table { my ($domain, $i) = @_; return "table_$i"; }
sub staging      { my ($domain, $i) = @_; return "stg_${domain}__table_$i"; }
sub intermediate { my ($domain, $i) = @_; return "int_${domain}__step_$i"; }
sub mart         { my ($domain, $i) = @_; return ($i % 3 ? 'fct' : 'dim') . "_${domain}_$i"; }

sub staging_text
{
    my ($domain, $i) = @_;
    my $config = $i % 5 ? '' : "{{ config(tags=['raw', 'hourly'], meta={'owner': 'team_$domain'}) }}\n\n";
    return <<"J";
${config}with source as (

    select * from {{ source('$domain', '@{[source_table($domain, $i)]}') }}

),

renamed as (

    select
        id as ${domain}_$i\_id,
        customer_id,
        status,
        -- amounts come in cents
        amount_cents,
        amount_cents / 100.0 as amount,
        created_at,
        updated_at
    from source

)

select * from renamed
J
}

sub intermediate_text
{
    my ($domain, $i) = @_;
    my $parent = $i > 4 ? intermediate($domain, $i - 4) : staging($domain, $i);
    my $other  = staging($domain, $i % 15 + 1);
    return <<"J" if $i % 2;
select
    a.*,
    b.status as other_status
from {{ ref('$parent') }} a
left join {{ ref('$other') }} b using (customer_id)
where a.created_at >= '{{ var("start_date") }}'
J
    return <<"J";
{{ config(materialized='table', tags=['nightly']) }}

{%- set statuses = ['new', 'paid', 'shipped', 'returned', 'lost'] -%}

with base as (
    select * from {{ ref('$parent') }}
    union all
    select * from {{ ref('$other') }}
)

select
    {{ helpers.surrogate_key(['customer_id', 'status', 'created_at']) }} as row_key,
    customer_id,
    {% for status in statuses %}
    sum(case when status = '{{ status }}' then amount end) as {{ status }}_amount,
    {% endfor %}
    {{ helpers.cents_to_dollars('sum(amount_cents)') }} as total
from base
group by 1, 2
J
}

sub mart_text
{
    my ($domain, $i) = @_;
    my $a = intermediate($domain, $i);
    my $b = intermediate($domain, $i + 5);
    return <<"J" if $i % 3;
with a as (select * from {{ ref('$a') }}),
b as (select * from {{ ref('$b') }})
select a.customer_id, count(*) as n, max(b.created_at) as last_at
from a join b using (customer_id)
group by 1
J
    return <<"J";
{{ config(
    materialized='incremental',
    unique_key='customer_id',
    post_hook="analyze {{ this }}"
) }}

select
    customer_id,
    {{ helpers.pivot('status', ['new', 'paid', 'shipped'], then_value='amount') }},
    {{ helpers.safe_divide('sum(amount)', 'count(*)') }} as average
from {{ ref('$a') }}
{% if is_incremental() %}
where created_at > (select max(created_at) from {{ this }})
{% endif %}
group by 1
J
}

my %text_of = (staging => \&staging_text, intermediate => \&intermediate_text, marts => \&mart_text);
my %name_of = (staging => \&staging, intermediate => \&intermediate, marts => \&mart);

# ---------- YAML ----------

sub tests_of_key
{
    my ($layer, $domain, $i) = @_;
    return '' if $i % 5;
    my $tests = "        data_tests:\n          - unique\n          - not_null\n";
    $tests .= <<"Y" if $layer eq 'intermediate' && $i % 10 == 0;
          - relationships:
              arguments:
                to: ref('@{[staging($domain, 1)]}')
                field: customer_id
Y
    return $tests;
}

sub model_yaml
{
    my ($layer, $domain, $i) = @_;
    my $name = $name_of{$layer}->($domain, $i);
    my $yaml = <<"Y";
  - name: $name
    description: >
      Rows of $domain as step $i of $layer makes them,
      one for each customer and day.
    config:
      meta: {owner: "team_$domain", contains_pii: false}
    columns:
      - name: customer_id
        description: "{{ doc('customer_id') }}"
Y
    $yaml .= tests_of_key($layer, $domain, $i) . <<"Y";
      - name: status
        description: Where the order stands.
Y
    $yaml .= <<'Y' if $layer eq 'staging' && $i % 5 == 0;
        data_tests:
          - accepted_values:
              arguments:
                values: ['new', 'paid', 'shipped', 'returned', 'lost']
              config:
                severity: warn
Y
    $yaml .= "      - name: amount\n        description: In the currency of the account.\n";
    $yaml .= <<'Y' if $i % 10 == 3;
        data_tests:
          - helpers.accepted_range:
              arguments: {min_value: 0}
Y
    return $yaml . <<'Y';
      - name: created_at
        description: When it was made, in UTC.
        data_type: timestamptz
Y
}

sub sources_yaml
{
    my ($domain) = @_;
    my $yaml = <<"Y";
version: 2
sources:
  - name: $domain
    schema: raw_$domain
    loader: kafka
    loaded_at_field: loaded_at
    freshness:
      warn_after: {count: 12, period: hour}
      error_after: {count: 1, period: day}
    tables:
Y
    foreach my $i (1 .. $layers{staging})
    {
        $yaml .= <<"Y";
      - name: @{[source_table($domain, $i)]}
        description: Table $i of $domain as it comes.
        columns:
          - name: id
            description: Key.
@{[$i % 5 ? '' : '            data_tests: [unique, not_null]']}
          - name: customer_id
            description: Who bought it.
Y
    }
    return $yaml;
}

sub write_domain
{
    my ($dir, $domain) = @_;
    foreach my $layer (sort keys %layers)
    {
        my $yaml = "version: 2\n\nmodels:\n";
        foreach my $i (1 .. $layers{$layer})
        {
            write_file("$dir/models/$domain/$layer/" . $name_of{$layer}->($domain, $i) . '.sql',
                $text_of{$layer}->($domain, $i));
            $yaml .= model_yaml($layer, $domain, $i);
        }
        write_file("$dir/models/$domain/$layer/_models.yml", $yaml);
    }
    write_file("$dir/models/$domain/staging/_sources.yml", sources_yaml($domain));
    write_file("$dir/models/$domain/docs.md",
        "{% docs ${domain}_about %}\nAll about $domain.\n{% enddocs %}\n");
    write_file("$dir/tests/${domain}_has_rows.sql",
        "select 1 from {{ ref('@{[mart($domain, 1)]}') }} having count(*) = 0\n");
    write_file("$dir/models/$domain/exposures.yml", <<"Y");
version: 2
exposures:
  - name: ${domain}_dashboard
    type: dashboard
    owner: {name: Team $domain, email: $domain\@example.com}
    description: "{{ doc('${domain}_about') }}"
    depends_on:
      - ref('@{[mart($domain, 1)]}')
      - ref('@{[mart($domain, 3)]}')
Y
    return;
}

# ---------- the project ----------

# Returns how many models it has: those asked for, in whole domains.
sub write_project
{
    my ($dir, %options) = @_;
    my $per_domain = 0;
    $per_domain += $_ foreach values %layers;
    my $domains = int((($options{models} // 1000) + $per_domain - 1) / $per_domain);

    write_file("$dir/dbt_project.yml", <<'Y');
name: warehouse
version: '1.0'
config-version: 2
profile: warehouse
vars:
  start_date: '2020-01-01'
  currency: EUR
models:
  warehouse:
    +materialized: view
    +persist_docs: {relation: true, columns: true}
Y
    foreach my $d (1 .. $domains)
    {
        append_to("$dir/dbt_project.yml", <<"Y");
    domain_$d:
      staging: {+schema: staging, +tags: [staging, domain_$d]}
      intermediate: {+schema: intermediate, +tags: domain_$d}
      marts: {+materialized: table, +schema: marts, +tags: [mart, domain_$d]}
Y
        write_domain($dir, "domain_$d");
    }
    append_to("$dir/dbt_project.yml", "data_tests:\n  +severity: warn\n");
    write_file("$dir/models/docs.md", <<'M');
{% docs customer_id %}
Who bought it. One **customer** may have several accounts.
{% enddocs %}
M
    write_file("$dir/macros/project.sql", <<'J');
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- else -%}
        {{ target.schema }}_{{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
J
    write_package("$dir/dbt_packages/helpers");
    return $domains * $per_domain;
}

sub append_to
{
    my ($path, $text) = @_;
    open my $f, '>>', $path or die "$path: $!";
    print $f $text;
    close $f or die "$path: $!";
    return;
}

# Another text in the i-th staging model of domain 1.
sub change_model
{
    my ($dir, $round) = @_;
    my $name = staging('domain_1', 3);
    write_file("$dir/models/domain_1/staging/$name.sql",
        staging_text('domain_1', 3) . "-- change $round\n");
    return $name;
}

1;
