{{ config(materialized='ephemeral') }}
with twice as (select customer_id from {{ ref('paying') }} group by 1 having count(*) > 1)
select * from twice
