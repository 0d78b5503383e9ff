{{ config(enabled=false) }} select * from {{ ref('bed_plants') }}
