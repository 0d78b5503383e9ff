{{ config(enabled=false) }} select 'cold' as heap
