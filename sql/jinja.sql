-- Templates, through dpipe_render(). test/fuzz/jinja_diff.py compares many
-- more with Jinja2 itself.
\pset format unaligned
\pset tuples_only on
\pset null '(null)'

-- text, white space, comments, raw
SELECT '[' || dpipe_render('plain') || ']';
SELECT '[' || dpipe_render('') || ']';
SELECT '[' || dpipe_render(E'one\ntwo\n\n') || ']';
SELECT '[' || dpipe_render(E'a \n {%- if true -%} \n b \n {%- endif %} c') || ']';
SELECT '[' || dpipe_render(E'a\r\nb\rc{# gone {{ x }} #} d {#- and -#} e') || ']';
SELECT '[' || dpipe_render('{% raw %}{{ x }}{% if %}{% endraw %}|{%- raw -%} y {%- endraw +%} z') || ']';
SELECT '[' || dpipe_render('{ { } } %} }} {') || ']';
SELECT '[' || dpipe_render('{{- 1 -}} {{+ 2 }} {{-3}}') || ']';
SELECT dpipe_render(NULL), dpipe_render('x', NULL);

-- literals and how they print
SELECT dpipe_render('{{ 1 }} {{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }}');
SELECT dpipe_render($$ {{ 'a' "b" }} {{ 'it\'s \x41\t|\n' }} {{ "\q" }} {{ true }} {{ True }} {{ none }} {{ None }} $$);
SELECT dpipe_render($$ {{ [1, 'a', 2.0, none, true, "it's", 'q"q', "b'\"", [], {}] }} $$);
SELECT dpipe_render($$ {{ () }} {{ (1,) }} {{ 1, 2 }} {{ {'a': 1, 2: 'b', none: [()]} }} $$);
SELECT dpipe_render($$ {{ ['tab\t', 'nl\n', 'back\\', '\x01', '\x7f'] }} $$);
SELECT dpipe_render('{{ range(3) }} {{ range(1, 9, 2) }} {{ {"a": 1}.keys() }} {{ {"a": 1}.items() }} {{ {"a": 1}.values() }}');
SELECT dpipe_render('[{{ missing }}] [{{ x.y }}] [{{ x["z"] }}] {{ [missing] }}', '{"x": {}}');

-- what comes from jsonb
SELECT dpipe_render('{{ v }}', '{"v": [1, 1.0, 1.50, 1e2, -0.5, "s", null, true, {"b": 1, "a": {"c": []}}]}');
SELECT dpipe_render('{{ v is integer }} {{ w is integer }} {{ w }}', '{"v": 9223372036854775807, "w": 9223372036854775808}');
SELECT dpipe_render('{{ a.b[1].c }} {{ a["b"][0] }} {{ a.b.0 }} {{ a.b[-1]["c"] }}', '{"a": {"b": [7, {"c": "deep"}]}}');
SELECT dpipe_render('x', '[1]');
SELECT dpipe_render('x', '"s"');

-- operators
SELECT dpipe_render('{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 1 / 2 }} {{ 6 / 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}');
SELECT dpipe_render('{{ -2 ** 2 }} {{ -1|abs }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ true + 1 }} {{ "ab" * 2 }} {{ [1] * 2 + [2] }} {{ "a" ~ 1 ~ none }} {{ 1 ~ 2 * 3 }}');
SELECT dpipe_render('{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ "a" < "b" }} {{ [1, 2] < [1, 3] }} {{ "1" == 1 }} {{ (1, 2) == [1, 2] }} {{ none == none }}');
SELECT dpipe_render('{{ 1 in [1, 2] }} {{ 3 not in (1, 2) }} {{ "b" in "abc" }} {{ "k" in {"k": 1} }} {{ 4 in range(0, 10, 2) }} {{ not 1 in [2] }}');
SELECT dpipe_render('{{ 0 or "x" }} {{ 1 and "" }}| {{ not 1 }} {{ "" or [] or none }} {{ 1 if 0 else 2 }} [{{ 1 if 0 }}] {{ "a" if 1 else "b" if 1 else "c" }}');
SELECT dpipe_render('{{ 9007199254740993 == 9007199254740992.0 }} {{ 9007199254740993 > 9007199254740992.0 }} {{ 2.5e22 }} {{ 5e-324 }} {{ 1e22 * 2.5 }}');
SELECT dpipe_render($$ {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-2:] }} {{ [1, 2, 3, 4][::2] }} {{ (1, 2, 3)[:2] }} {{ range(10)[2:8:3] }} {{ 'aou'[1] }} {{ 'abc'[9:] }}| $$);

-- if, for
SELECT dpipe_render('{% if a %}A{% elif b %}B{% else %}C{% endif %}', v) FROM unnest(ARRAY['{"a": 1}', '{"b": 1}', '{}']::jsonb[]) v;
SELECT dpipe_render('{% for x in l %}{{ loop.index }}/{{ loop.length }} {{ x }}{{ ", " if not loop.last }}{% else %}none{% endfor %}', v) FROM unnest(ARRAY['{"l": ["a", "b"]}', '{"l": []}']::jsonb[]) v;
SELECT dpipe_render('{% for k, v in d.items() if v > 1 %}{{ k }}={{ v }} {{ loop.index0 }} {{ loop.first }} {{ loop.revindex }} {{ loop.revindex0 }};{% endfor %}', '{"d": {"a": 1, "b": 2, "c": 3}}');
SELECT dpipe_render('{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}');
SELECT dpipe_render('{% for i in [1, 2, 2] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.cycle("x", "y") }} {{ loop.changed(i) }};{% endfor %}');
SELECT dpipe_render('{% for n in t recursive %}{{ n.n }}{% if n.c %}({{ loop(n.c) }}){% endif %}{{ loop.depth }}{% endfor %}', '{"t": [{"n": "a", "c": [{"n": "b", "c": []}]}, {"n": "c"}]}');
SELECT dpipe_render('{% set seen = [] %}{% for x in [1, 1, 2] if x not in seen %}{% do seen.append(x) %}{{ x }}{% endfor %}');
SELECT dpipe_render('{% for c in "anb" %}{{ c }}.{% endfor %}{% for x in missing %}{% else %}empty{% endfor %}');

-- set and scopes
SELECT dpipe_render('{% set a, b = 1, [2] %}{{ a }}{{ b }}{% set c %} x {{ a }} {% endset %}[{{ c }}]{% set d | upper | trim %} q {% endset %}[{{ d }}]');
SELECT dpipe_render('{% set x = 1 %}{% for i in [1] %}{{ x }}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}');
SELECT dpipe_render('{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% do ns.l.append(i) %}{% endfor %}{{ ns.n }} {{ ns.l }} {{ ns }}');
SELECT dpipe_render('{% with a = 1, b = x %}{{ a }}{{ b }}{% endwith %}[{{ a }}]', '{"x": 5}');
SELECT dpipe_render('{% set v %}[{{ v }}]{% endset %}{{ v }}', '{"v": "the context''s is hidden"}');
SELECT dpipe_render('{% filter upper | replace("A", "4") %}a{{ x }}{% endfilter %}', '{"x": "ba"}');
SELECT dpipe_render('{% print 1, "a", [2] %}');

-- macros
SELECT dpipe_render('{% macro m(a, b=2, c=b) %}[{{ a }} {{ b }} {{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(c=4, a=0) }}{{ m() }}{{ m(*[7, 8], **{"c": 9}) }}');
SELECT dpipe_render('{% macro m() %}{{ varargs }} {{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }} {{ m }} {{ m.name }}');
SELECT dpipe_render('{% macro box(t) %}<{{ t }}:{{ caller(1) }}>{% endmacro %}{% call(n) box("t") %}{{ n }}{{ x }}{% endcall %}', '{"x": "ctx"}');
SELECT dpipe_render('{% macro f(n) %}{{ n if n < 2 else n * f(n - 1)|int }}{% endmacro %}{{ f(10) }}');
SELECT dpipe_render('{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}');

-- filters
SELECT dpipe_render($$ {{ x|default('d') }} {{ ''|d('e', true) }} {{ 'aB'|upper }} {{ 'aB'|lower }} {{ 'hello wORLD-x'|title }} {{ 'ab CD'|capitalize }} {{ '  x '|trim }}| {{ 'xxaxx'|trim('x') }} {{ 'banana'|replace('a', 'o', 2) }} $$);
SELECT dpipe_render($$ {{ [1, 2]|join(', ') }} {{ ['b', 'A']|sort|join }} {{ 'abc'|length }} {{ [3, 1]|first }} {{ [3, 1]|last }} {{ [3, 1]|min }} {{ [3, 1]|max }} {{ [3, 1]|sum }} {{ [1, 2]|reverse|list }} {{ 'ab'|list }} $$);
SELECT dpipe_render($$ {{ r|map(attribute='n')|join(',') }} {{ r|map(attribute='m', default=0)|list }} {{ ['a']|map('upper')|list }} {{ r|selectattr('n', 'gt', 1)|list }} {{ r|rejectattr('n', 'equalto', 1)|list|length }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 0, 2]|reject|list }} $$, '{"r": [{"n": 1}, {"n": 2}]}');
SELECT dpipe_render($$ {{ r|sort(attribute='a,b')|map(attribute='b')|list }} {{ r|groupby('a')|list }} {{ [1, 2, 1]|unique|list }} {{ ['a', 'A']|unique|list }} {{ r|sum(attribute='a') }} $$, '{"r": [{"a": 2, "b": 1}, {"a": 1, "b": 3}, {"a": 1, "b": 2}]}');
SELECT dpipe_render($$ {{ '42'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ '3.9'|int }} {{ '1f'|int(0, 16) }} {{ 3.9|int }} {{ '2.5'|float }} {{ 'x'|float }} {{ 2.5|round }} {{ 3.5|round|int }} {{ 2.675|round(2) }} {{ 42.55|round(1, 'floor') }} {{ 1234|round(-2) }} {{ -3|abs }} {{ 5|string }} $$);
SELECT dpipe_render($$ {{ 'a\nb\n\nc'|indent(2) }}|{{ 'a'|indent(1, true) }}|{{ 'ab'|center(6) }}|{{ 'foo bar baz'|truncate(8) }}|{{ 'a b'|wordcount }}|{{ '<&>'|e }} $$);
SELECT dpipe_render($$ {{ {'b': 1, 'a': 2}|dictsort }} {{ {'b': 1, 'a': 2}|dictsort(by='value', reverse=true) }} {{ {'a': 1}|items|list }} {{ [1, 2, 3]|batch(2, 0)|list }} {{ [1, 2, 3]|slice(2)|list }} {{ '%s-%03d'|format('x', 7) }} $$);
SELECT dpipe_render($$ {{ {'b': [1, 2.0, none, true], 'a': '<"\n'}|tojson }} {{ [1, {'a': []}]|tojson(2) }} $$);
SELECT dpipe_render('{% set g = [1, 2]|map("string") %}{{ g|list }} {{ g|list }}');

-- tests
SELECT dpipe_render('{{ x is defined }} {{ x is undefined }} {{ none is none }} {{ 1 is number }} {{ "s" is string }} {{ {} is mapping }} {{ [] is sequence }} {{ 1 is iterable }} {{ true is boolean }} {{ 1.0 is float }} {{ true is integer }}');
SELECT dpipe_render('{{ 3 is odd }} {{ 3 is not even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 1 is in [1] }} {{ 1 is eq 1 }} {{ 1 is sameas true }} {{ "a" is lower }} {{ "upper" is filter }} {{ "odd" is test }} {{ range is callable }} {{ not x is defined and true }}');

-- methods and formats
SELECT dpipe_render($$ {{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.rsplit(none, 1) }} {{ 'k=v'.partition('=') }} {{ '-'.join(['x', 'y']) }} {{ 'abc'.find('c') }} {{ 'abc'.startswith(('x', 'a')) }} {{ '7'.zfill(3) }} {{ 'x'.ljust(3, '.') }} $$);
SELECT dpipe_render($$ {% set l = [3, 1] %}{{ l.append(2) }}{% do l.extend([9]) %}{% do l.insert(0, 'x') %}{{ l }} {{ l.pop() }} {{ l.pop(0) }} {{ l.index(1) }} {{ l.count(3) }}{% do l.sort() %} {{ l }} $$);
SELECT dpipe_render($$ {% set d = {'a': 1} %}{% do d.update({'b': 2}, c=3) %}{{ d }} {{ d.get('z') }} {{ d.get('z', 0) }} {{ d.pop('a') }} {{ d.setdefault('e', 5) }} {{ d.keys()|list }} {{ d.items is defined }} {{ d.copy() == d }} $$);
SELECT dpipe_render($$ {{ '%5.2f|%-4s|%+d|%x|%%|%r' % (3.14159, 'ab', 5, 255, 'q') }} {{ '%(a)s' % {'a': 1} }} {{ '{} {1} {0}' }} {{ '{} {}'.format(1, 'b') }} {{ '{0:>6,.1f}|{n:<4}|{0!r}'.format(1234.56, n='e') }} {{ '{0[k].z}'.format({'k': {'z': 1}}) }} $$);
SELECT dpipe_render($$ {% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }} {% set j = joiner('|') %}{{ j() }}x{{ j() }}y {{ dict(a=1, b=2) }} {{ dict([['k', 'v']]) }} $$);

-- errors of syntax name the place
SELECT dpipe_render(E'line one\n  {{ 1 + }}');
SELECT dpipe_render(E'ok\n{% if x %}\n  never closed');
SELECT dpipe_render('{% endif %}');
SELECT dpipe_render('{% for x in y %}{% endif %}');
SELECT dpipe_render('{{ "open }}');
SELECT dpipe_render('{# open');
SELECT dpipe_render('{% raw %} open');
SELECT dpipe_render('{{ (1, 2 ]');
SELECT dpipe_render('{{ 1 ? 2 }}');
SELECT dpipe_render('{{ a b }}');
SELECT dpipe_render('{% set 1 = 2 %}');
SELECT dpipe_render('{% nonsense %}');
SELECT dpipe_render('{% include "x" %}');
SELECT dpipe_render('{{ x|nonsense }}');
SELECT dpipe_render('{{ x is nonsense }}');
SELECT dpipe_render('{% if false %}{{ x|nonsense }}{% endif %}{{ x|nonsense if false else "as in Jinja2" }}');
SELECT dpipe_render('{% macro m(a=1, b) %}{% endmacro %}');
SELECT dpipe_render('{{ f(a=1, 2) }}');
SELECT dpipe_render('{% break %}');
SELECT dpipe_render('{{ 9223372036854775808 }}');
SELECT dpipe_render('{{ "\u0000" }}');
SELECT dpipe_render('{{ "\ud800" }}');

-- errors of evaluation do, too
SELECT dpipe_render(E'one\n two {{ 1 +\n "x" }}');
SELECT dpipe_render('{{ missing.attribute }}');
SELECT dpipe_render('{{ x.y.z }}', '{"x": {}}');
SELECT dpipe_render('{{ missing + 1 }}');
SELECT dpipe_render('{{ missing() }}');
SELECT dpipe_render('{{ 1 // 0 }}');
SELECT dpipe_render('{{ 9223372036854775807 + 1 }}');
SELECT dpipe_render('{{ 3 ** 60 }}');
SELECT dpipe_render('{{ 1 < "a" }}');
SELECT dpipe_render('{{ {[]: 1} }}');
SELECT dpipe_render('{% for a, b in [[1]] %}{% endfor %}');
SELECT dpipe_render('{% for a in 5 %}{% endfor %}');
SELECT dpipe_render('{{ "x".nope() }}');
SELECT dpipe_render('{{ "x".split(1, 2, 3) }}');
SELECT dpipe_render('{{ [1]|join(nope=1) }}');
SELECT dpipe_render('{{ "%d" % "x" }}');
SELECT dpipe_render('{{ "{".format() }}');
SELECT dpipe_render('{{ ["a"].pop(5) }}');
SELECT dpipe_render('{% set x.y = 1 %}', '{"x": {}}');
SELECT dpipe_render(E'{% macro outer(x) %}\n{{ inner(x) }}{% endmacro %}{% macro inner(x) %}{{ x.a.b }}{% endmacro %}\n{{ outer({}) }}');
SELECT dpipe_render('{% for k in d %}{% do d.pop(k) %}{% endfor %}', '{"d": {"a": 1, "b": 2}}');

-- nothing inside a value can be reached
SELECT dpipe_render('[{{ "".__class__ }}] [{{ x.__dict__ }}] [{{ ""["__class__"] }}]', '{"x": {}}');
SELECT dpipe_render('{{ "".__class__.__mro__ }}');
SELECT dpipe_render('{{ "{0.__class__.x}".format("") }}');

-- SQLSTATEs
CREATE FUNCTION pg_temp.state(template text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dpipe_render(template);
  RETURN 'no error';
EXCEPTION WHEN OTHERS OR query_canceled THEN
  RETURN SQLSTATE;
END $$;
SELECT t, pg_temp.state(t) FROM unnest(ARRAY['{{', '{{ x|nope }}', '{% block b %}', '{{ 1 + "a" }}', '{{ x.y }}', '{{ 1 / 0 }}', '{{ 2 ** 64 }}', '{{ 99999999999999999999 }}', '{{ "\N{DIGIT ONE}" }}', '{{ "x" * 10 ** 9 }}', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}']) t;

-- limits
SELECT dpipe_render('{{ "x" * 10**9 }}');
SELECT dpipe_render('{{ [1] * 10**9 }}');
SELECT dpipe_render('{{ [] * 10**9 }}');
SELECT dpipe_render('{{ range(10**12) }}');
SELECT dpipe_render('{{ "%1000000000d" % 1 }}');
SELECT dpipe_render('{{ "x"|center(10**9) }}');
-- A server with assertions needs more memory for the same.
SET dpipe.template_max_memory = '1GB';
SELECT dpipe_render('{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}');
SELECT dpipe_render('{% set l = [1] %}{% for x in l %}{% do l.append(x) %}{% endfor %}');
RESET dpipe.template_max_memory;
SELECT dpipe_render('{% set l = [] %}{% do l.append(l) %}{{ l }} {{ l == [l] }}');
SELECT dpipe_render(repeat('{{ ', 1) || repeat('(', 300) || '1' || repeat(')', 300) || ' }}');
SELECT dpipe_render(repeat('{% if true %}', 300) || repeat('{% endif %}', 300));
SELECT length(dpipe_render('{{ ' || repeat('1 + ', 5000) || '1 }}'));
SET dpipe.template_max_output = '10kB';
SELECT dpipe_render('{% for i in range(100) %}{{ "x" * 200 }}{% endfor %}');
RESET dpipe.template_max_output;
SET dpipe.template_max_memory = '2MB';
SELECT pg_temp.state('{% set l = [] %}{% for i in range(100000) %}{% do l.append(["a", i]) %}{% endfor %}');
SELECT pg_temp.state(repeat('{{ a.b.c }}', 20000));
RESET dpipe.template_max_memory;
SET dpipe.template_max_depth = 20;
SELECT dpipe_render('{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}');
RESET dpipe.template_max_depth;

-- what needs no escaping any more escapes what is added to it
SELECT dpipe_render($$ {{ '<a>'|e + '<b>' }} {{ '<b>' + '<a>'|e }} {{ ['<a>'|e * 2, ('<a>'|e)[0], '<a>'|e|last, '<a>'|e|upper, '<a>'|e ~ '<', '<a>'|e|e] }} $$);
SELECT dpipe_render($$ {{ [('%s %d'|safe) % ('<', '7'), ('{}'|safe).format('<'), '{}'.format('<'|e), ('-'|safe).join(['<', 1]), ('aXb'|e).replace('X', '<'), ('a b'|e).split()] }} $$);
SELECT dpipe_render($$ {{ ['<'|tojson, '<'|e|forceescape, '<a>b'|safe|striptags, ('&lt;'|safe).unescape(), 'a\n<b'|indent('>'|e, true, true), '<a b c'|truncate(4, end='<'|e, leeway=0)] }} $$);
SELECT dpipe_render($$ {{ 'a'|e is escaped }} {{ 'a' is escaped }} {{ 'a'|e == 'a' }} {{ {'a': 1}['a'|e] }} $$);
SELECT dpipe_render('{{ ("%x"|safe) % 5 }}');
SELECT dpipe_render('{{ ("{:>5}"|safe).format("a"|e) }}');

-- characters in formats; what pprint leaves in one line, and cannot sort
SELECT dpipe_render($$ {{ '{:^5c}|{:c}|{:05c}'.format(97, 98, 99) }} $$);
SELECT dpipe_render('{{ "{:+c}".format(97) }}');
SELECT dpipe_render('{{ l|groupby("k")|list|pprint }}', '{"l": [{"k": "x", "b": "0123456789012345678901234567890123456789", "a": "01234567890123456789"}, {"k": "y"}]}');
SELECT dpipe_render('{{ {missing: 1, 2: 3}|pprint }}');
SELECT dpipe_render('{{ [missing]|random }}|{{ {missing: 1}|pprint }}');

-- it can be canceled, and leaves nothing behind
SET dpipe.template_max_steps = 2147483647;
SET statement_timeout = '100ms';
SELECT pg_temp.state('{% for i in range(100000) %}{% for j in range(100000) %}{{ "" }}{% endfor %}{% endfor %}');
SELECT pg_temp.state('{% set s = "a" * 8000000 %}{% for i in range(100000) %}{% if s.rfind("a" * 4000000 ~ "b") %}{% endif %}{% endfor %}');
RESET statement_timeout;
RESET dpipe.template_max_steps;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'dpipe template values';
