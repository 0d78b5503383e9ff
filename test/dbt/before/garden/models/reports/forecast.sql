{{ config(alias='look', contract={'enforced': true}) }} select cast(1 as integer) as id, {{ tools.sharpen("'x'") }} as label from {{ ref('yield', v=2) }} -- {{ ref('bed_rain') }}
