{{ config(severity='warn', fail_calc='sum(id)') }}
select id from {{ ref('orders') }} where {{ dbt.date_trunc('day', 'ordered_at') }} is null
