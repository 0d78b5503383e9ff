select * from {{ ref('forecast') }}
-- {{ api.Relation.create(database='d', schema='S', identifier='I') }}, {{ api.Relation.create(schema='S', identifier='I', quote_policy={'schema': true}) }}
-- {{ weigh in [grams, weigh] }} {{ weigh in [grams] }} {{ {tools.sharpen: 'sharpened'}[tools.sharpen] }} {{ grams is sameas grams }} {{ ref == ref }} {{ ref in [source] }} {{ dbt.type_string == dbt.type_string }}
-- {{ adapter.get_columns_in_relation(ref('forecast').incorporate(path={'identifier': 'nowhere'})) }}
