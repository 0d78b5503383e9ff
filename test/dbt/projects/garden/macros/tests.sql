{% test unique_rows(model) %}
select 1 from (select count(*) as n from {{ model }} r group by r) c where n > 1
{% endtest %}
