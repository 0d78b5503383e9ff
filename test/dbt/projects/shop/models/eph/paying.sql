{{ config(materialized='ephemeral') }}
-- {{ this }} {{ this.schema }} {{ this.is_cte }}
select customer_id from {{ ref('stg_orders') }} where amount > 0
