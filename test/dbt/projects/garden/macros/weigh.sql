{% macro weigh(column, factor=thousand()) %}{{ render("{{ unused('') }}") }}{{ grams(column) }}{% endmacro %}

{% macro thousand() %}1000{% endmacro %}

{% macro grams(column) %}({{ column }} * 1000){% endmacro %}

{% macro unused(x) %}{{ x }}{% endmacro %}

{# Only a manifest says that it depends on a package's macro: a call would not find it. #}
{% macro whet(x) %}{{ sharpen(x) }}{% endmacro %}

{% macro blunt() %}{{ dbt.run_query('select 1') }}{% endmacro %}

{% macro default__hone(x) %}lower({{ x }}){% endmacro %}
