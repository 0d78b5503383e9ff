{{ config(materialized='incremental', incremental_strategy='merge',
          unique_key=['user_id', 'activity_date']) }}
-- Events arrive late by up to two days, so the last days are counted anew.
select
    e.user_id,
    (e.occurred_at at time zone 'UTC')::date as activity_date,
    count(*) as events,
    count(distinct e.event_type) as event_types,
    count(*) filter (where e.event_type = 'purchase') as purchases,
    coalesce(sum((e.properties ->> 'amount')::numeric)
             filter (where e.event_type = 'purchase'), 0) as revenue,
    u.tier,
    u.region,
    (e.occurred_at at time zone 'UTC')::date - u.signup_date as days_since_signup
from {{ ref('stg_user_events') }} as e
left join {{ ref('dim_users') }} as u on u.user_id = e.user_id
{% if is_incremental() %}
where e.occurred_at >= (
    select (max(activity_date) - {{ var('lookback_days', 3) }})::timestamp at time zone 'UTC'
    from {{ this }})
{% endif %}
group by e.user_id, (e.occurred_at at time zone 'UTC')::date, u.tier, u.region, u.signup_date
