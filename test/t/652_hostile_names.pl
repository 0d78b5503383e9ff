# Names as nobody should choose them, everywhere that a name can stand: role,
# schema, table, column, source, server, database, model's relation. Each has
# to load rows and dead letters, to run a model, and to come through a dump.
use strict;
use warnings;
use utf8;

use Encode qw(encode_utf8);
use IPC::Run;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;

my @names = map { encode_utf8($_) } (
    q{it's "quoted"},
    '$$ $1 $dpipe$ $function$',
    "line\nfeed\ttab\rreturn",
    'back\\slash \\n \\\\ E\'',
    '%s %n %I %1$L %%',
    'dots.in.it.',
    "\x{1F418} \x{1F469}\x{200D}\x{1F680}",
    "\x{FC}" x 31 . '!',
    q{'; DROP TABLE public.canary; --},
    'select', 'NULL', ' ',
    '{{ 1/0 }}{% raw %}{# #}',
    '/* -- */ {"a": [1]}',
    ',{}"a"',
    'x' x 63);
# A name that a model cannot have is the alias of one.
my $mock = Dpipe::Mock->new('names', topics => { t => 1 });
my $node = Dpipe::Node->make('names', conf => <<'CONF');
dpipe.max_workers = 20
max_worker_processes = 40
log_statement = none
CONF

sub ident   { my ($s) = @_; $s =~ s/"/""/g; return qq{"$s"}; }
sub literal { my ($s) = @_; $s =~ s/'/''/g; return qq{'$s'}; }

sub json
{
    my ($s) = @_;
    $s =~ s/([\\"])/\\$1/g;
    $s =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
    return qq{"$s"};
}

# In a template's string.
sub jinja { my ($s) = @_; $s =~ s/([\\'])/\\$1/g; $s =~ s/\n/\\n/g; $s =~ s/\r/\\r/g; return qq{'$s'}; }

# One query on any database, its result as it is.
sub query
{
    my ($database, $sql) = @_;
    my ($in, $out, $err) = ($sql, '', '');
    IPC::Run::run [ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', $database, '-f', '-' ],
        '<', \$in, '>', \$out, '2>', \$err or die "$sql\n$err";
    chomp $out;
    return $out;
}

# ---- made ----

$node->sql('CREATE TABLE public.canary (a int)');
foreach my $i (0 .. $#names)
{
    my $name = $names[$i];
    my ($id, $lit) = (ident($name), literal($name));
    my $target = literal("$id.$id");
    my $refer = literal(sprintf q{SELECT {{ %s }}, '$$' AS dollars FROM {{ source(%s, %s) }}}, jinja($id), jinja($name), jinja($name));
    my $broker = $mock->brokers;

    $node->sql(<<"SQL");
CREATE ROLE $id;
CREATE SCHEMA $id AUTHORIZATION $id;
CREATE SERVER $id FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$broker', "client.id" $lit);
CREATE USER MAPPING FOR $id SERVER $id OPTIONS ("sasl.password" $lit);
GRANT USAGE ON FOREIGN SERVER $id TO $id;
SET ROLE $id;
SET search_path = $id, public;
CREATE TABLE $id.$id ($id integer, _source text, _load_id bigint, _offset bigint);
SELECT dpipe_create_kafka_source($lit, $lit, 't', $target, options => jsonb_build_object('librdkafka',
    jsonb_build_object('client.rack', $lit)));
SELECT dpipe_create_model('m$i', $refer, jsonb_build_object('materialized', 'table', 'alias', 'of ' || left($lit, 20),
    'tags', jsonb_build_array($lit)));
SQL
}
$mock->send_records('t', [ 0, 'k', '{' . join(', ', map { json($_) . ': 7' } @names) . '}' ]);
$mock->send_records('t', map { [ 0, 'k', '{' . json($_) . ': "a"}' ] } @names);

# ---- loaded, by workers and in a session ----

ok($node->wait_sql(sprintf(q{SELECT count(*) = %d FROM dpipe.source_status WHERE rows = %d AND dead_letters = 1 AND state = 'running'},
        scalar @names, scalar @names)), 'every source runs')
    or diag query('postgres', 'SELECT * FROM dpipe.source_status');
foreach my $name (@names)
{
    my ($id, $lit) = (ident($name), literal($name));

    is(query('postgres', "SELECT string_agg(DISTINCT _source, '|') || count($id) || sum($id) FROM $id.$id"), $name . '17', "$name: its row");
    is(query('postgres', "SELECT message FROM dpipe.dead_letter WHERE source = $lit"),
        qq{column "$name": invalid input syntax for type integer: "a"}, 'and its dead letter');
}
is($node->sql(q{SELECT string_agg(status, ',') FROM dpipe_run()}), join(',', ('success') x @names), 'every model runs')
    or diag query('postgres', 'SELECT node, message FROM dpipe.run_node');
is($node->sql(q{SELECT string_agg(status, ',') FROM dpipe_run()}), join(',', ('success') x @names), 'and once more');
foreach my $i (0 .. $#names)
{
    my ($id, $of) = (ident($names[$i]), literal($names[$i]));
    my $relation = query('postgres', "SELECT format('%I.%I', $of, 'of ' || left($of, 20))");
    is(query('postgres', "SELECT count(*) > 0 FROM (SELECT dollars FROM $relation) x"), 't', "model m$i has made it");
    is(query('postgres', "SELECT count(*) FROM dpipe_ls('m$i') WHERE tags = ARRAY[$of]"), 1, 'its tag is what it was');
}

# ---- verbs ----

foreach my $name (@names)
{
    my ($id, $lit) = (ident($name), literal($name));
    query('postgres', <<"SQL");
SET ROLE $id;
SELECT dpipe_disable_source($lit);
SQL
    $node->wait_sql(sprintf q{SELECT cardinality(pids) = 0 FROM dpipe.source_status WHERE source = %s}, $lit);
    query('postgres', <<"SQL");
SELECT dpipe_seek($lit, '{"t": {"0": 1}}');
CALL dpipe_sync($lit);
SELECT dpipe_replay($lit);
SELECT dpipe_track(${\ literal("$id.$id") }::regclass);
SQL
}
is($node->sql('SELECT count(DISTINCT source), count(*) FROM dpipe.dead_letter'), @names . '|' . 2 * @names, 'every verb took the name as it is');

# ---- dumped and restored into a database with such a name ----

my $copy = $names[0];
query('postgres', 'CREATE DATABASE ' . ident($copy) . ' TEMPLATE template0');
my ($dump, $err) = ('', '');
my $conninfo = sub { my ($db) = @_; $db =~ s/([\\'])/\\$1/g; return sprintf q{host='%s' port=%d dbname='%s'}, $node->host, $node->port, $db; };
ok(IPC::Run::run([ 'pg_dump', '-d', $conninfo->('postgres') ], '>', \$dump, '2>', \$err), 'dumped') or diag $err;
ok(IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $conninfo->($copy) ], '<', \$dump, '>', \my $out, '2>', \$err),
    'restored') or diag substr $err, 0, 1000;
my $definitions = q{SELECT string_agg(concat_ws('|', name, owner, server, topics, target_schema, target_table, options), E'\n' ORDER BY name COLLATE "C")
    FROM dpipe.source};
my $models = q{SELECT string_agg(concat_ws('|', name, owner, schema, search_path, sql, config, relation), E'\n' ORDER BY name COLLATE "C") FROM dpipe.model};
is(query($conninfo->($copy), $definitions), query('postgres', $definitions), 'the same sources');
is(query($conninfo->($copy), $models), query('postgres', $models), 'the same models');
query($conninfo->($copy), 'SELECT dpipe_adopt()');
$mock->send_records('t', [ 0, 'k', '{' . join(', ', map { json($_) . ': 8' } @names) . '}' ]);
foreach my $name (@names)
{
    my ($id, $lit) = (ident($name), literal($name));
    is(query($conninfo->($copy), "CALL dpipe_sync($lit); SELECT max($id) FROM $id.$id"), 8, "$name: goes on in the copy");
}
is(query($conninfo->($copy), q{SELECT string_agg(status, ',') FROM dpipe_run()}), join(',', ('success') x @names), 'so do the models');
is(query($conninfo->($copy), q{SELECT count(*) FROM dpipe.load WHERE target IS NOT NULL AND rows > 0}) >= @names ? 1 : 0, 1, 'in its ledger');

# ---- renamed and dropped ----

foreach my $name (@names)
{
    my ($id, $lit) = (ident($name), literal($name));
    query('postgres', qq{SELECT dpipe_enable_source($lit); ALTER SERVER $id RENAME TO "other server"});
    like(query('postgres', "SELECT reason FROM dpipe.source_status WHERE source = $lit"), qr/^server .* does not exist/s, 'a renamed server is said');
    query('postgres', qq{ALTER SERVER "other server" RENAME TO $id; ALTER TABLE $id.$id RENAME TO gone});
    like(query('postgres', "SELECT reason FROM dpipe.source_status WHERE source = $lit"), qr/^table .* does not exist/s, 'and a renamed table');
    query('postgres', "SELECT dpipe_drop_source($lit)");
}
is($node->sql('SELECT count(*) FROM dpipe.source_status'), 0, 'all are dropped');

# ---- what is no name ----

foreach my $bad ('', 'x' x 64, "\xF0\x9F\x90\x98" x 16)
{
    my ($rc, undef, $text) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT dpipe_create_kafka_source(" . literal($bad) . ", 's', 't', 'x')");
    like($text, qr/22023.*1 to 63 bytes/s, 'no name of a source');
}
foreach my $topic (@names, '.', '..', '', 't,', 't,t', 'x' x 250, "t\0"x 0 . 't/../x', 't t', '../../etc/passwd')
{
    next if $topic =~ /^[\w.-]{1,249}$/ && $topic !~ /^\.+$/;
    my ($rc, undef, $text) = $node->psql('postgres',
        "\\set VERBOSITY verbose\nSELECT dpipe_create_kafka_source('n', " . literal($names[0]) . ', ' . literal($topic) . ", 'x')");
    like($text, qr/22023/, 'no topic: ' . substr $topic, 0, 20);
}

# So many of them that comparing each with each would take minutes: can be cancelled.
my $begun = time;
like(($node->psql('postgres', q{SET statement_timeout = '1s'; SELECT dpipe_create_kafka_source('n', 'k',
        (SELECT string_agg('topic_number_' || i, ',') FROM generate_series(1, 300000) i), 'x')}))[2],
    qr/canceling statement due to statement timeout/, 'hundreds of thousands of topics');
cmp_ok(time - $begun, '<', 60 * Dpipe::Process::slow(), 'end when they are told to');

is($node->sql('SELECT count(*) FROM public.canary'), 0, 'the canary lives');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX000/, 'nothing that cannot happen happened');
is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
