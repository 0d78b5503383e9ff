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

# Cancel reaches loops that the limits would let run for long.
foreach my $template (
    '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
    '{% for i in range(100000) %}{{ range(100000) | sum }}{% endfor %}',
    '{% for i in range(100000) %}{{ (range(90000) | list | sort | unique | list | length) }}{% endfor %}',
    '{% for i in range(100000) %}{% set x = 7 ** 90000 %}{% endfor %}')
{
    my ($status, $out, $err) = $node->psql('postgres', qq{
        SET dpipe.template_max_steps = 2147483647;
        SET dpipe.template_max_memory = '1GB';
        SET statement_timeout = '500ms';
        \\set VERBOSITY sqlstate
        SELECT dpipe_render(\$t\$$template\$t\$)}, timeout => 60);
    like($err, qr/57014|54000/, 'canceled: ' . substr($template, 40, 40));
}
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
