{% https://example.com/market/issues/143 %}

{% macro remember(key, value) %}{% do context.update({key: value}) %}{{ context[key] }} {{ market_note is defined }}{% endmacro %}

{% macro remembered() %}{{ market_note | default('nothing') }} {{ context.get('market_note') }}{% endmacro %}
