{% macro weigh(column) %}{{ grams(column) }}{% endmacro %}

{% macro grams(column) %}({{ column }} * 1000){% endmacro %}

{% macro unused(x) %}{{ x }}{% endmacro %}
