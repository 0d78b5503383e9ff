select 1 as id, 'ann' as name, 10 as spent from {{ ref('orders') }}
