{% macro sharpen(x) %}upper({{ x }}){% endmacro %}
