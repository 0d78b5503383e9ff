-- Templates in a database whose encoding is UTF-8.
SELECT getdatabaseencoding() <> 'UTF8' AS skip_test \gset
\if :skip_test
\quit
\endif
SET client_encoding = 'UTF8';
\pset format unaligned
\pset tuples_only on
SELECT dpipe_render($$ {{ '\u00e9\U0001f600\xdf' }} {{ ['é', '\u200b', '\xa0', '\U000e0001', '中'] }} $$);
SELECT dpipe_render('{{ u }} {{ u|length }} {{ u[2] }} {{ u[::-1] }} {{ u[2:4] }} {{ u|list }} {{ u.find("ß") }} {{ u.rfind("ß") }} {{ u.upper()[3:] }}', '{"u": "Grüße"}');
SELECT dpipe_render($$ {% for c in 'añ中' %}{{ c }}.{% endfor %} {{ '%-4s|' % 'é' }} {{ '{:é>4}'.format('x') }} {{ 'é'.center(5, '中') }} {{ 'éaé'.strip('é') }} {{ '　x '|trim }}| {{ 'a　b c'.split() }} {{ 'a　b c'.rsplit(none, 1) }} $$);
SELECT dpipe_render($$ {{ {'é😀': 'ß'}|tojson }} {{ 'größe' in ['größe'] }} {{ 'é' < 'z' }} {{ 'é'.isalpha() }} {{ 'straße'.casefold() }} {{ naïve }} $$, '{"naïve": 1}');
SELECT dpipe_render('éé {{ 1 ? 2 }}');
SELECT dpipe_render(E'é\né {{ "中" + 1 }}');
SELECT dpipe_render('{{ 1 € 2 }}');
SELECT dpipe_render($$ {{ 'aé-b'.translate('x'.maketrans('éa', 'e中', '-')) }} {{ ''.maketrans({'é': 'e', 97: none}) }} {{ ''.maketrans('ab', 'cd') }} $$);
SELECT dpipe_render($$ {{ ''.maketrans('ab', 'c') }} $$);
SELECT dpipe_render($$ {{ ''.maketrans('ab') }} $$);
SELECT dpipe_render($$ {{ ''.maketrans({'ab': 1}) }} $$);
SELECT dpipe_render($$ {{ ''.maketrans({1.5: 1}) }} $$);
SELECT dpipe_render($$ {{ ''.maketrans(1, 'a') }} $$);
