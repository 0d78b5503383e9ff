{{ config(materialized='table') }}
select user_id, name, tier, region, signup_date
from {{ source('raw', 'users') }}
