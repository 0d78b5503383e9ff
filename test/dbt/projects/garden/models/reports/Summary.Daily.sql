select * from {{ ref('forecast') }} join {{ ref('tool_counts') }} using (id)
