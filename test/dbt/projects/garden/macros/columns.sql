{% macro postgres__get_columns_in_relation(relation) %}
    {{ return((dbt.postgres__get_columns_in_relation(relation) | list)[:1]) }}
{% endmacro %}
