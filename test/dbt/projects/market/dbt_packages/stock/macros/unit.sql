{%- macro unit() -%}
  {{ return(adapter.dispatch('unit', 'stock')()) }}
{%- endmacro -%}

{%- macro default__unit() -%}
  {{ var('unit') }}
{%- endmacro %}

{% test positive(model, column_name, strict=false) %}
select * from {{ model }} where {{ column_name }} {{ '<=' if strict else '<' }} 0
{% endtest %}
