{% test sharp(model, column_name) %}
{{ return(adapter.dispatch('test_sharp', 'tools')(model, column_name)) }}
{% endtest %}

{% macro default__test_sharp(model, column_name) %}
{{ config(fail_calc='max(1)') }}
select {{ tools.sharpen(column_name) }} from {{ model }}
{% endmacro %}

{% test keen(model, column_name) %}
{{ config(fail_calc='min(1)') }}
select 1 from {{ model }}
{% endtest %}
