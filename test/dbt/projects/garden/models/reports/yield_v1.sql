select p.id, p.name, 1 as n from {{ ref('bed_plants') }} p
