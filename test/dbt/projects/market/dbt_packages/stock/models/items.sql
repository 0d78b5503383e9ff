{{ config(alias='stock_items', meta={'owner': 'ann'}) }}
select 1 as id, '{{ stock.unit() }}' as unit
