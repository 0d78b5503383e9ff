select * from {{ ref('forecast') }}
-- {{ api.Relation.create(database='d', schema='S', identifier='I') }}, {{ api.Relation.create(schema='S', identifier='I', quote_policy={'schema': true}) }}
