{{ config(materialized='incremental', unique_key='event_id') }}
-- One row an event. Producers send some events twice: the latest one counts.
with arrived as (
    select
        (_payload ->> 'event_id')::uuid as event_id,
        (_payload ->> 'user_id')::bigint as user_id,
        _payload ->> 'event_type' as event_type,
        (_payload ->> 'occurred_at')::timestamptz as occurred_at,
        _payload -> 'properties' as properties,
        _extracted_at, _timestamp, _partition, _offset
    from {{ dpipe.new_rows(source('raw', 'user_events')) }} as r
),
ranked as (
    select *,
        row_number() over (
            partition by event_id
            order by _extracted_at desc, _timestamp desc, _partition desc, _offset desc
        ) as rank
    from arrived
)
select event_id, user_id, event_type, occurred_at, properties,
    _extracted_at, _timestamp, _partition, _offset
from ranked
where rank = 1
