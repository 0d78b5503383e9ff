{% macro get_columns_in_relation(relation) %}
    {%- if relation.identifier == 'nowhere' -%}{{ return(['one', 'two']) }}{%- endif -%}
    {{ return(adapter.dispatch('get_columns_in_relation', 'dbt')(relation)) }}
{% endmacro %}
