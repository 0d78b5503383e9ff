select 1 as id, 'rake' as name
