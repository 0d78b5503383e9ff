select id, name from {{ ref('bed_plants') }} where id < 0
