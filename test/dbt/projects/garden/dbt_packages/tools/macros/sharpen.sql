{% macro sharpen(x) %}upper({{ x }}){% endmacro %}

{% macro run_query(sql) %}{{ return(dbt.run_query(sql)) }}{% endmacro %}
