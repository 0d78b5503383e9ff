{#- What is put into the context is seen by what begins later, and not by this text. -#}
{% set before = remembered() -%}
select '{{ before }}, {{ remember('market_note', 'a note') }}, {{ remembered() }}, {{ market_note is defined }}' as noted,
    '{{ context.setdefault('market_note', 'another') }}, {{ 'market_note' in context }}, {{ context.pop('market_note') }}, {{ remembered() }}' as taken,
    '{{ remember('var', 'replaced') }}, {{ var('days') }}' as replaced,
    '{{ builtins.ref.config.project_name }}, {{ builtins.source.config.dependencies['stock'].version }}' as config,
    '{{ ref.config.vars.to_dict() | length }}, {{ ref.config.dependencies['stock'].model_paths }}, {{ ref.config.args.which }}' as more
from {{ source('outside', 'quoted') }} -- {{ this }}
