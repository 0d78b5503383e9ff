{% if execute %}
    {%- do anew('acts_functions') -%}
    {%- set f = api.Relation.create(database=target.database, schema='acts_functions', identifier='f', type='function') -%}
    {%- do function_execute_build_sql('create function acts_functions.f(x int) returns int language sql as $$ select 2 * x $$', none, f) %}
    {{ told('select acts_functions.f(21) as f') }}
    {{ scalar_function_body_sql() }} {{ scalar_function_volatility_sql() }} {{ get_function_language_specifier() }}
{% endif %}
