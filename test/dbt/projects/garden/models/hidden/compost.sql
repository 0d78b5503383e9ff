{{ config(enabled=false, post_hook="{{ weigh('kept') }}") }} select * from {{ ref('bed_plants') }} -- {{ var('cellar') }}
