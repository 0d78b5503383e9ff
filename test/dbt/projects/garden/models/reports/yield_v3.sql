select 3 as id, 'x' as name, 3 as n from {{ ref('yield', v=1) }}
