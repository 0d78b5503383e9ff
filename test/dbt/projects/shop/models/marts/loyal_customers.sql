{{ config(materialized='table') }}
-- those who came again
with c as (
    select * from {{ ref('customers') }}
)
select c.* from c join {{ ref('loyal') }} l using (customer_id) join {{ ref('paying') }} p using (customer_id)
