select p.id, p.name, 2 as n from {{ ref('bed_plants') }} p join {{ ref('bed_heavy') }} h on h.plant_id = p.id
