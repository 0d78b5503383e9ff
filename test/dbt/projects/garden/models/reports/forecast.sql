{{ config(alias='outlook', contract={'enforced': true}) }} select cast(1 as integer) as id, {{ tools.sharpen("'x'") }} as label from {{ ref('yield', v=3) }} -- {{ ref('bed_rain') }}
