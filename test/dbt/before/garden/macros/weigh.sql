{% macro weigh(column) %}{{ grams(column) }}{% endmacro %}

{% macro grams(column) %}({{ column }} * 1001){% endmacro %}

{% macro unused(x) %}{{ x }}{% endmacro %}
