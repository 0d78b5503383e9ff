{{ config(materialized='ephemeral', tags='fleeting') }} select *  from {{ ref('bed_harvests') }}
