{#- Nodes of the graph have fields that are not given, too: nothing is in them. -#}
{%- if execute %}
-- no time spine: {{ graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | selectattr('time_spine', 'none') | map(attribute='name') | sort | join(' ') }}
-- {{ graph.keys() | list | sort | join(' ') }}
{%- endif %}
select '{{ modules.re.sub("(?i)(?#both)(?s)A.b", "-", "xa\nBx") }}' as folded
