{# One of each family; those that the project has, too, are not used. #}
{% macro default__get_batch_size() %}{{ return(1) }}{% endmacro %}
{% macro default__can_clone_table() %}{{ return('of the package') }}{% endmacro %}
{% macro default__get_true_sql() %}{{ return('TRUE of the package') }}{% endmacro %}
{% macro default__get_function_language_specifier() %}of the package{% endmacro %}
{% macro default__get_binding_char() %}{{ return('never') }}{% endmacro %}
