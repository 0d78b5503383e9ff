select id, name from {{ ref('plants') }}
