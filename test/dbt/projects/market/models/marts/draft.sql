{{ config(enabled=var('draft', false)) }}
select * from {{ ref('report') }}
