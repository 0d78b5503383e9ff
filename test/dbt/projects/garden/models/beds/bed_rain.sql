select * from {{ source('weather', 'rain') }} where season = '{{ var('season') }}'
