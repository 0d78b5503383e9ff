# Hostile templates: an error within the limits, cancel that reaches them, and
# memory that is given back. Patterns of modules.re, which dpipe_render() does
# not have, run in the engine by itself.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $node = Dpipe::Node->make('hostile');

# An error, of a limit or of what is not there, or a harmless text.
my @hostile = (
    [ '54000', '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}' ],
    [ '54000', '{% set l = [1] %}{% for x in l %}{% do l.append(x) %}{% endfor %}' ],
    [ '54000', '{{ "x" * 10 ** 9 }}' ],
    [ '22023', '{{ "x" * 10 ** 30 }}' ],
    [ '54000', '{{ [none] * 10 ** 9 }}' ],
    [ 'text',  '{{ [] * 10 ** 9 }}' ],
    [ '54000', '{{ range(10 ** 12) }}' ],
    [ '54000', '{% for i in range(100000) %}{{ "x" * 10000 }}{% endfor %}' ],
    [ '54000', '{{ 10 ** (10 ** 10) }}' ],
    [ '54000', '{{ (10 ** 9999) | string }}' ],
    [ '54000', '{{ ("9" * 100000) | int }}' ],
    [ '54001', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}' ],
    [ '54001', '{{ ' . '(' x 5000 . '1' . ')' x 5000 . ' }}' ],
    [ '54001', '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}' ],
    [ '54000', '{{ "%999999999d" % 1 }}' ],
    [ '54000', '{{ "{:999999999}".format(1) }}' ],
    [ '54000', '{{ "a" | center(2000000000) }}' ],
    [ 'text',  '{% set l = [] %}{% do l.append(l) %}{{ l }}' ],
    [ 'text',  '{{ "".__class__ }}{{ [].__class__ is defined }}{{ ""["__class__"] }}' ],
    [ '42P02', '{{ "".__class__.__mro__[1].__subclasses__() }}' ],
    [ '42P02', '{{ "{0.__class__.__init__}".format(1) }}' ],
    [ '42P02', '{{ range.__globals__["os"] }}' ],
    [ '42P02', '{{ (x | attr("__class__")).y }}' ]);

# The error of a template, or "text".
$node->sql(q{
CREATE FUNCTION attempt(template text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dpipe_render(template, '{"x": 1}');
  RETURN 'text';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$});
foreach my $case (@hostile)
{
    my ($state, $template) = @$case;
    is($node->sql("SELECT attempt(\$t\$$template\$t\$)"), $state,
        substr($template, 0, 70));
}

# One backend tries them all, over and over; its memory does not grow.
my $all = join("\n", map { "SELECT attempt(\$t\$$_->[1]\$t\$);" } grep { $_->[0] ne '54000' } @hostile);
my $held = q{SELECT sum(total_bytes) AS held FROM pg_backend_memory_contexts};
my $grown = $node->sql("$all\n$held \\gset before_\n" . ("$all\n" x 20) .
    "SELECT sum(total_bytes) - :before_held FROM pg_backend_memory_contexts");
cmp_ok((split /\n/, $grown)[-1], '<', 4 * 1024 * 1024, 'memory is given back');

# Cancel reaches everything that the limits would let run for long: each of
# these is an endless loop, or one operation on as much as there can be. They
# run as a model would, with modules; the limits are as high as they go.
$node->sql(q{SELECT dpipe_load_files('{"dbt_project.yml": "name: hostile\nversion: \"1.0\"\n"}')});
my @endless = split /\n/, <<'END';
{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}
{% for i in range(100000) %}{{ range(100000) | sum }}{% endfor %}
{% for i in range(100000) %}{{ (range(90000) | list | sort | unique | list | length) }}{% endfor %}
{% for i in range(100000) %}{% set x = 7 ** 90000 %}{% endfor %}
{% set ns = namespace(x=7) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}
{% set ns = namespace(x=7 ** 1000000) %}{{ ns.x // 3 ** 500000 }}
{{ 2 ** 10 ** 9 }}
{{ ('9' * 4000) | int }}{% for i in range(100000) %}{{ ('9' * 4000) | int | string | length }}{% endfor %}
{% set l = [1] %}{% for x in l %}{% do l.append(x) %}{% endfor %}
{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}
{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}
{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} | length }}
{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}
{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}
{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | pprint }}
{% set s = 'a' * 10 ** 8 %}{% for i in range(100000) %}{{ s.find('b') }}{% endfor %}
{% set s = 'a' * 10 ** 7 %}{{ s.count('a' * 10 ** 6 ~ 'b') }}{{ s.rfind('b' ~ 'a' * 10 ** 6) }}{{ ('a' * 10 ** 6 ~ 'b') in s }}
{% set s = 'a' * 10 ** 7 %}{% for i in range(100000) %}{% set x = s.replace('a', 'bb') %}{% endfor %}
{% set s = 'a,' * 10 ** 7 %}{% set x = s.split(',') %}{% for i in range(1000) %}{% set y = x | join('-') %}{% endfor %}
{% set s = 'a' * 10 ** 8 %}{% for i in range(1000) %}{% set y = s | upper %}{% endfor %}
{% set x = ('a ' * 10 ** 7) | wordwrap(3) %}{% set x = ('a' * 10 ** 7) | wordwrap(1) %}
{% set x = ('http://a.b/(((( ' * 10 ** 6) | urlize %}
{% set x = ('www.' ~ 'a.' * 10 ** 6) | urlize %}
{% set x = ('<' * 10 ** 8) | striptags %}{% set x = ('&' * 10 ** 8) | striptags %}
{{ lipsum(10 ** 9) | length }}
{{ [1] | batch(10 ** 12, 0) | list }}
{{ [1] | slice(10 ** 12) | list }}
{{ modules.itertools.count() | sum }}
{{ -1 in modules.itertools.count() }}
{{ modules.itertools.chain.from_iterable(modules.itertools.repeat([])) | list }}
{{ modules.itertools.compress(modules.itertools.count(), modules.itertools.repeat(0)) | list }}
{{ modules.itertools.product(range(99), repeat=9) | list | length }}
{{ modules.itertools.combinations(range(100), 50) | list | length }}
{{ modules.re.match('(a+)+$', 'a' * 40 ~ 'b') }}
{{ modules.re.match('(.*)*x', 'a' * 5000) }}
{{ modules.re.match('(a*)(\\1)*$', 'a' * 10 ** 4 ~ 'b') }}
{{ modules.re.findall('a*?b', 'a' * 10 ** 6) }}
{{ modules.re.sub('(?=(a+))a*b', '', 'a' * 10 ** 6) }}
{{ modules.re.search('[^b]*b', 'a' * 10 ** 6) }}
{{ modules.datetime.datetime.now().strftime('%c' * 10 ** 8) }}
{{ fromjson('[' * 10 ** 7) }}
{{ fromyaml('[' * 10 ** 6) }}
{{ fromyaml('- &a [1]\n' ~ '- *a\n' * 10 ** 6) | length }}
{% set s = 'a' * 10 ** 8 %}{% for i in range(100000) %}{{ local_md5(s) }}{% endfor %}
END
my $script = q{
    SET dpipe.template_max_steps = 2147483647;
    SET dpipe.template_max_memory = '1GB';
    SET dpipe.template_max_output = '1023MB';
    SELECT sum(total_bytes) AS held FROM pg_backend_memory_contexts \gset
};
foreach my $i (0 .. $#endless)
{
    $script .= qq{
        SELECT clock_timestamp() AS began \\gset
        SET statement_timeout = '200ms';
        SELECT length(dpipe_compile(inline => \$t\$$endless[$i]\$t\$)) AS length \\gset
        \\set state :SQLSTATE
        SET statement_timeout = 0;
        SELECT concat_ws(' ', $i, :'state', extract(epoch FROM clock_timestamp() - :'began'));
    };
}
$script .= q{SELECT 'grown ' || sum(total_bytes) - :held FROM pg_backend_memory_contexts};
my ($status, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0, timeout => 600);
foreach my $i (0 .. $#endless)
{
    my ($state, $took) = $out =~ /^$i (\w+) ([\d.]+)$/m ? ($1, $2) : ('none', 99);
    like($state, qr/^(57014|54|22|00000)/, 'ends: ' . substr($endless[$i], 0, 90));
    cmp_ok($took, '<', 20, 'and soon after it was canceled');
}
cmp_ok($out =~ /^grown (-?\d+)$/m ? $1 : 1e12, '<', 8 * 1024 * 1024, 'memory is given back after all of them');
$node->stop;

# Patterns that take exponential time, and endless iterators.
my @patterns = (
    [ '54000', q({{ modules.re.match('(a+)+$', 'a' * 40 ~ 'b') }}) ],
    [ '54000', q({{ modules.re.search('(a|aa)+$', 'a' * 100 ~ 'b') }}) ],
    [ '54000', q({{ modules.re.sub('(.*)(.*)(.*)(.*)[^x]y', '', 'x' * 2000) }}) ],
    [ '54000', q({{ modules.re.compile('((a{1000}){1000}){1000}') }}) ],
    [ '54001', q!{{ modules.re.compile('(' * 5000) }}! ],
    [ '54000', q({{ modules.itertools.count() | list }}) ],
    [ '54000', q({{ modules.itertools.product(range(99), repeat=9) | list }}) ],
    [ '54000', q({{ modules.itertools.permutations(range(20)) | list }}) ]);
my $run = top_dir() . '/test/fuzz/bin/jinja_run';
SKIP: {
skip 'the engine was not built outside of a server', scalar @patterns unless -x $run;
my $requests = join('',
    map { my $t = $_->[1]; $t =~ s/(["\\])/\\$1/g; qq({"template": "$t", "context": {}}\n) } @patterns);
my $answers = '';
IPC::Run::run([ $run ], '<', \$requests, '>', \$answers);
my @answers = split /\n/, $answers;
foreach my $i (0 .. $#patterns)
{
    like($answers[$i] // '', qr/"state": "$patterns[$i][0]"/, $patterns[$i][1]);
}
}
done_testing();
