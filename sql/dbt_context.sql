-- dbt's context: macros of dbt's own, relations, columns, queries of templates.
SET client_min_messages = warning;
SET datestyle = 'ISO';
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA shop;
SET search_path = shop, public;
CREATE TABLE item (id integer, name varchar(10), price numeric(10, 2), at timestamptz, tags text[], doc jsonb);
INSERT INTO item VALUES (1, 'x', 1.50, '2024-01-01 00:00+00', '{a,b}', '{"k": [1, 2]}'), (2, NULL, NULL, NULL, NULL, NULL);
CREATE FUNCTION pg_temp.render(text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_catalog.btrim(pg_catalog.regexp_replace(
        pg_catalog.replace(dpipe_compile(inline => $1), pg_catalog.current_database(), 'db'), '\s+', ' ', 'g')) $$;

-- Macros of dbt's own, by their names and by their package.
SELECT pg_temp.render($$ {{ dbt.type_string() }} {{ type_int() }} {{ dbt.type_numeric() }} {{ dbt.hash('x') }} {{ dbt.concat(['a', 'b']) }} {{ dbt.any_value('x') }} $$);
SELECT pg_temp.render($$ {{ dbt.datediff('a', 'b', 'hour') }} {{ dbt.dateadd('day', 1, 'x') }} {{ dbt.last_day('x', 'quarter') }} $$);
SELECT pg_temp.render($$ {{ dbt.split_part('a', "','", -1) }} {{ dbt.listagg('a', limit_num=3) }} {{ dbt.date(2024, 1, 5) }} {{ dbt.array_construct([1, 2]) }} $$);
SELECT pg_temp.render($$ {{ dbt.datediff('a', 'b', 'eon') if execute }} $$);
SELECT pg_temp.render($$ {% if execute %}{{ adapter.dispatch('nope', 'dbt')() }}{% endif %} $$);

-- Rows of queries.
SELECT pg_temp.render($$ {% if execute %}{% set t = run_query('select id, name, price, at, tags, doc from shop.item order by id') %}
    {% for row in t %}{{ row.id }} {{ row['price'] }} {{ row[1] }}; {% endfor %}{{ t.columns[0].values() }} {{ t.column_names }} {{ t.rows[0]['at'] }} {{ t.rows[0].tags }}
    {{ t.rows[0].doc }} {{ t | length }} {{ t.columns['name'].values() | list }}{% endif %} $$);
SELECT pg_temp.render($$ {% call statement('s', fetch_result=true) %}select 1 as one{% endcall %}{% if execute %}{{ load_result('s').data }} {{ load_result('t') }}{% endif %} $$);
SELECT pg_temp.render($$ {% if execute %}{{ run_query('select 1/0') }}{% endif %} $$);
SELECT pg_temp.render($$ {% if execute %}{{ run_query('commit') }}{% endif %} $$);

-- Relations and columns.
SELECT pg_temp.render($$ {% set r = source('shop', 'item') %}{{ r }} {{ r.include(database=false) }} {{ r.quote(schema=false) }} {{ r.incorporate(limit=0) }} {{ r == source('shop', 'item') }}
    {{ r.information_schema('columns') }} {{ r.get('metadata') }} {{ api.Relation.create(schema='a', identifier='b', type='view').is_view }} $$);
SELECT pg_temp.render($$ {{ adapter.get_relation(this.database, 'shop', 'item').type }} {{ adapter.get_relation(this.database, 'shop', 'none') }} {{ adapter.check_schema_exists(this.database, 'shop') }}
    {% for c in adapter.get_columns_in_relation(source('shop', 'item')) %}{{ c.name }} {{ c.data_type }} {{ c.is_string() }}; {% endfor %} {{ api.Column.translate_type('string') }} $$);
SELECT pg_temp.render($$ {{ adapter.nope() }} $$);

-- The rest.
SELECT pg_temp.render($$ {{ tojson({'a': 1}) }} {{ fromjson('{bad', 5) }} {{ fromyaml('a: [1, yes]') }} {{ local_md5('a') }} {{ zip([1, 2], [3, 4]) | list }} {{ set([1, 1]) }}
    {{ diff_of_two_dicts({'a': ['x', 'Y']}, {'A': ['y']}) }} {{ dbt_version }} {{ toyaml({'a': [1, none], 'b': 'yes'}) }} $$);
SELECT pg_temp.render($$ {{ exceptions.raise_compiler_error('bad') if execute }} $$);
SELECT dpipe_show(inline => 'select id, name from {{ source(''shop'', ''item'') }} order by id', row_limit => 1);

DROP SCHEMA shop CASCADE;
