select cast(d as date) as day from generate_series('2024-01-01'::date, '2024-12-31'::date, '1 day') d
