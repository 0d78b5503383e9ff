{% test unique_rows(model) %}
select 1 from (select count(*) as n from {{ model }} r group by r) c where n > 1
{% endtest %}

{# Hides what the package's test is made of while tests of it are parsed: its config is not set. #}
{% test sharp(model, column_name, value=none) %}
select 1 from {{ model }} where {{ column_name }} is null -- {{ value }}
{% endtest %}
