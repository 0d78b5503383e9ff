{% macro sharpen(x) %}upper({{ x }}){% endmacro %}

{% macro run_query(sql) %}{{ return(dbt.run_query(sql)) }}{% endmacro %}

{# Only a manifest says that this depends on what the project has. #}
{% macro hone(x) %}{{ return(adapter.dispatch('hone')(x)) }}{% endmacro %}

{% macro default__hone(x) %}{{ x }}{% endmacro %}
