{% test at_most(model, n, compare=none) %}
select count(*) as n from {{ model }} having count(*) > {{ n }}
{% endtest %}
