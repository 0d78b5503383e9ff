{# What dbt's own generate_schema_name dispatches to. #}
{% macro default__generate_schema_name(custom_schema_name, node) %}
{{ target.schema }}{{ '' if custom_schema_name is none else '_of_' ~ custom_schema_name }}
{% endmacro %}
