{% macro to_money(column, digits=2) %}
    round({{ column }}::numeric / 100, {{ digits }})
{%- endmacro %}
