select avg(amount) from {{ ref('customers') }}
