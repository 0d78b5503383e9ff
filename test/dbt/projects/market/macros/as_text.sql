{% macro as_text(value) %}cast({{ value }} as {{ dbt.type_string() }}){% endmacro %}
