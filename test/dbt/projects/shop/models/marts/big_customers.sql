{{ config(enabled=true) }}
{%- set levels = [100, 1000] %}
select customer_id
{%- for level in levels %},
    amount > {{ level }} as above_{{ level }}
{%- endfor %}
from {{ ref('customers') }}
