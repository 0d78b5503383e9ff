{{ config(unique_key='id', tags=['daily'], post_hook=["analyze {{ this }}", {"sql": "select 1", "transaction": false}]) }}
-- depends_on: {{ source('outside', 'orders') }}
select 1 as id, cast('2024-01-01' as date) as ordered_at, 2.5 as amount, {{ as_text('1') }} as status
from {{ ref('stock', 'items') }} {{ stamp('x') if false }}
