{{ config(quote_columns=true, column_types={'n': 'numeric(10,3)'}) }}
{% if execute %}
    {%- do run_query('drop table if exists ' ~ this) -%}
    {%- set rows = run_query("select 1 as id, 'a ''text''' as name, 2.5 as n, true as b, date '2024-02-29' as d union all select 2, null, 3, false, null order by 1") -%}
    {{ create_csv_table(model, rows).split() | join('') }}
    {{ load_csv_rows(model, rows) }}
    {{ columns_of(this) }}
    {{ told('select * from ' ~ this ~ ' order by 1') }}
    {{ reset_csv_table(model, false, this, rows) }}
    {{ told('select count(*) as n from ' ~ this) }}
    {{ reset_csv_table(model, true, this.incorporate(type='table'), rows).split() | join('') }}
    {{ told('select count(*) as n from ' ~ this) }}
    {{ get_csv_sql('create', 'insert') }}
    {{ get_batch_size() }} {{ get_binding_char() }} {{ get_seed_column_quoted_csv(model, ['a', 'B']) }}
{% endif %}
