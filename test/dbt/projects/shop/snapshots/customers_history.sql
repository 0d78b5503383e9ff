{% snapshot customers_history %}
{{ config(strategy='check', unique_key='customer_id', check_cols=['name'], target_schema='history') }}
select * from {{ ref('stg_customers') }}
{% endsnapshot %}
