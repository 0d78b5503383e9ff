{{ config(indexes=[], on_configuration_change='apply') }}
{% if execute %}
    {%- do anew('acts_views') -%}
    {%- set table = made('acts_views.t', "select 1 as id, 'x' as name") -%}
    {%- set mv = api.Relation.create(database=target.database, schema='acts_views', identifier='mv', type='materialized_view') -%}
    {%- set spare = mv.incorporate(path={'identifier': 'spare'}) -%}
    {{ can_clone_table() }} {{ create_or_replace_clone(mv, table) }} {{ handle_existing_table(false, table) }}
    {%- do run_query('create materialized view acts_views.mv as select * from acts_views.t; create index gone on acts_views.mv (name)') -%}
    {%- set changes = get_materialized_view_configuration_changes(mv, config) -%}
    {% for change in changes.indexes %}{{ change.action }} {{ change.context.name }}{% endfor %} {{ changes.requires_full_refresh }}
    {%- do run_query(get_create_index_sql(mv, {'columns': ['id'], 'unique': true})) -%}
    {%- do materialized_view_setup(spare, spare, []) -%}
    {%- do materialized_view_execute_build_sql(get_alter_materialized_view_as_sql(mv, changes, 'select 1 as id', mv, spare, spare), mv, mv, []) -%}
    {%- do materialized_view_teardown(spare, spare, []) %}
    {{ told("select replace(indexdef, quote_ident(indexname), 'INDEX') as def from pg_indexes where schemaname = 'acts_views' order by 1") }}
    {{ get_materialized_view_configuration_changes(mv, config).indexes | length }}
    {{ postgres__describe_materialized_view(mv).indexes.rows | length }}
    {%- do run_query("insert into acts_views.t values (2, 'y')") -%}
    {%- do run_query(refresh_materialized_view(mv)) %}
    {{ told('select * from acts_views.mv order by 1') }}
    {%- do materialized_view_execute_no_op(mv) %}
    {{ load_result('main').response.message }}
    {{ modules.re.sub('[0-9a-f]{32}', 'INDEX', materialized_view_get_build_sql(mv, mv, spare, spare)) }}
{% endif %}
