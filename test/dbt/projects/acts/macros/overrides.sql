{% macro default__get_binding_char() %}{{ return('%s') }}{% endmacro %}
{% macro default__handle_existing_table(full_refresh, old_relation) %}kept: {{ old_relation.identifier }}{% endmacro %}
{% macro default__post_snapshot(staging_relation) %}after {{ staging_relation }}{% endmacro %}
{% macro default__scalar_function_volatility_sql() %}STABLE of the project{% endmacro %}
