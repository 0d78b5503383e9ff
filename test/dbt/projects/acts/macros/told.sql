{# What a query gives, as text. #}
{% macro told(query) %}
    {%- set result = run_query(query) -%}
    {{ result.column_names | join(',') }}
    {%- for row in result.rows %} | {% for value in row %}{{ value }}{{ ',' if not loop.last }}{% endfor %}{% endfor %}
{% endmacro %}

{% macro columns_of(relation) %}
    {{- told("select attname, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = '" ~ relation ~ "'::regclass and attnum > 0 and not attisdropped order by attnum") -}}
{% endmacro %}

{% macro anew(name) %}
    {%- do run_query('drop schema if exists ' ~ name ~ ' cascade') -%}
    {%- do run_query('create schema ' ~ name) -%}
{% endmacro %}

{% macro made(relation, query) %}
    {%- do run_query('create table ' ~ relation ~ ' as ' ~ query) -%}
    {{ return(api.Relation.create(database=target.database, schema=relation.split('.')[0], identifier=relation.split('.')[1], type='table')) }}
{% endmacro %}
