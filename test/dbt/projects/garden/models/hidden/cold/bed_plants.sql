{{ config(enabled=false) }} select 'frozen' as name
