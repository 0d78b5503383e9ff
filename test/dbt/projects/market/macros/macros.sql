{% macro stamp(what, at=none) %}select '{{ what }}'{% if at %} || '{{ at }}'{% endif %}{% endmacro %}

{% macro default__unit() %}{{ return('piece of ' ~ stock.default__unit()) }}{% endmacro %}

{% macro generate_schema_name(custom_schema_name, node) %}
  {%- if custom_schema_name %}{{ custom_schema_name | trim }}{% else %}{{ default__generate_schema_name(custom_schema_name, node) }}{% endif -%}
{% endmacro %}

{% materialization copy, adapter='postgres' %}
  {{ return({'relations': [this]}) }}
{% endmaterialization %}
