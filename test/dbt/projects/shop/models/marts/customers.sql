{{ config(materialized='incremental', unique_key='customer_id', meta={'sla': 1}) }}
with totals as (
    select customer_id, sum(amount) as amount, count(*) as orders
    from {{ ref('stg_orders') }}
    where amount >= {{ var('minimum') }}
    group by 1
)
select c.customer_id, c.name, t.amount, t.orders, '{{ var("currency") }}' as currency
from {{ ref('stg_customers') }} c
left join totals t using (customer_id)
{% if is_incremental() %}
where t.orders > 0
{% endif %}
