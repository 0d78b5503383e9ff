select * from {{ ref('tool_names') }}
