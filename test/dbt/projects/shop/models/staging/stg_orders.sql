{{ config(tags=['orders']) }}
select
    id as order_id,
    customer_id,
    {{ to_money('amount') }} as amount,
    ordered_at
from {{ source('shop_raw', 'orders') }}
