{{ config(unique_key='id', strategy='timestamp', updated_at='at', check_cols=['name'], hard_deletes='invalidate') }}
{% if execute %}
    {%- do anew('acts_snapshots') -%}
    {%- set query = 'select id, name, at from acts_snapshots.t' -%}
    {%- do made('acts_snapshots.t', "select * from (values (1, 'a', timestamp '2024-01-01'), (2, 'b', '2024-01-01'), (3, 'c', '2024-01-01')) v (id, name, at)") -%}
    {%- set node = {'compiled_code': query, 'database': target.database, 'schema': 'acts_snapshots', 'alias': 's', 'config': {}} -%}
    {%- set first = strategy_dispatch('timestamp')(node, 'snapshotted_data', 'source_data', config, false) -%}
    {%- set table = made('acts_snapshots.s', build_snapshot_table(first, query)) %}
    {{ columns_of(table) }}
    {{ told('select * from acts_snapshots.s order by id') }}
    {%- do check_time_data_types(build_snapshot_table(first, query)) -%}
    {%- do run_query("update acts_snapshots.t set name = 'bb', at = '2024-02-02' where id = 2; delete from acts_snapshots.t where id = 3; insert into acts_snapshots.t values (4, 'd', '2024-03-03')") -%}
    {%- set second = snapshot_timestamp_strategy(node, 'snapshotted_data', 'source_data', config, true) -%}
    {%- set staging = build_snapshot_staging_table(second, query, table) %}
    {{ told('select dbt_change_type, id, name, dbt_unique_key from ' ~ staging ~ ' order by 1, 2') }}
    {%- do run_query(snapshot_merge_sql(table, staging, ['id', 'name', 'at', 'dbt_updated_at', 'dbt_valid_from', 'dbt_valid_to', 'dbt_scd_id'])) %}
    {{ told('select id, name, at, dbt_scd_id, dbt_valid_from, dbt_valid_to is null as open from acts_snapshots.s order by id, dbt_valid_from') }}
    {%- set checked = snapshot_check_strategy(node, 'snapshotted_data', 'source_data', config, true) %}
    {{ checked.row_changed.split() | join('') }} {{ checked.hard_deletes }}
    {{ snapshot_check_all_get_existing_columns(node, true, 'all') }} {{ get_true_sql() }}
    {{ get_updated_at_column_data_type(build_snapshot_table(first, query)) }} {{ post_snapshot('x') }}
{% endif %}
