{% test unique_combination_that_has_a_rather_long_name_of_its_own(model, columns) %}
select {{ columns | join(', ') }} from {{ model }} group by {{ columns | join(', ') }} having count(*) > 1
{% endtest %}
