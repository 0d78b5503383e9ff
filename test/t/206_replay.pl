# Dead letters are loaded again once the table can take them: each has exactly
# one row then, those that fail again stay, and nobody else's are touched.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;

my $mock = Dpipe::Mock->new('replay', topics => { t => 1 });
my $node = Dpipe::Node->make('replay');
$node->create_server('k', $mock);
$node->sql(q{
    CREATE ROLE loader LOGIN; CREATE ROLE other LOGIN;
    GRANT USAGE ON FOREIGN SERVER k TO loader;
    CREATE SCHEMA raw AUTHORIZATION loader;
    SET ROLE loader;
    CREATE TABLE raw.t (n int CHECK (n % 3 <> 0), k text, _partition int, _offset bigint,
        _key text, _headers jsonb, _timestamp timestamptz, _load_id bigint);
    SELECT dpipe_create_kafka_source('t', 'k', 't', 'raw.t', options => '{"enabled": false, "batch_rows": 40}')});

# 300 records, of which 100 violate the CHECK and three are not JSON.
$mock->send_records('t', map { [ 0, "key$_", qq({"n": $_, "k": "v"}) ] } 1 .. 300);
$mock->send_records('t', map { [ 0, undef, "broken $_" ] } 1 .. 3);
$node->sql(q{CALL dpipe_sync('t')});
is($node->sql('SELECT count(*) FROM raw.t'), 200, 'rows');
is($node->sql('SELECT count(*) FROM dpipe.dead_letter'), 103, 'dead letters');

sub replay
{
    my ($arguments, $role) = @_;
    my ($rc, $out, $err) = $node->psql('postgres',
        'SET ROLE ' . ($role // 'loader') . "; SELECT * FROM dpipe_replay($arguments)");
    return $rc == 0 ? $out : $err;
}

is(replay(q{'t'}), '0|103', 'nothing was mended: all fail again');
is($node->sql('SELECT count(*), count(replayed_at), max(id) < 104 FROM dpipe.dead_letter'),
    '103|0|t', 'and there are no more letters than before');
like(replay(q{'t'}, 'other'), qr/must be owner of source "t"/, 'another role may not');
like(replay(q{'none'}), qr/source "none" does not exist/, 'unknown source');

$node->sql('ALTER TABLE raw.t DROP CONSTRAINT t_n_check, ADD CONSTRAINT other_reason CHECK (n % 3 <> 0)');
is(replay(q{'t'}), '0|103', 'another constraint: all fail again');
is($node->sql(q{SELECT stage, sqlstate, message LIKE '%"other_reason"%', count(*) FROM dpipe.dead_letter
      GROUP BY 1, 2, 3 ORDER BY 1}),
    "decode|22P02|f|3\ninsert|23514|t|100", 'and say what is in the way now');
$node->sql('ALTER TABLE raw.t DROP CONSTRAINT other_reason');
my $two = $node->sql(q{SELECT array_agg(id) FROM (SELECT id FROM dpipe.dead_letter ORDER BY id LIMIT 2) x});
is(replay(qq{'t', '$two'}), '2|0', 'two by their ids');
is(replay(qq{'t', '$two'}), '0|0', 'not twice');
is($node->sql(q{BEGIN; SELECT * FROM dpipe_replay('t'); ROLLBACK;
    SELECT count(*) FROM raw.t}), "98|3\n202", 'a rollback takes it back');
is(replay(q{'t'}), '98|3', 'all the others');
is($node->sql('SELECT count(*), count(DISTINCT _offset), count(DISTINCT n) FROM raw.t'),
    '300|300|300', 'each has exactly one row');
is($node->sql(q{SELECT count(*) FROM raw.t WHERE _key = 'key' || n AND _timestamp IS NOT NULL
      AND _partition = 0}), 300, 'with its provenance');
is($node->sql(q{SELECT count(*), count(replayed_at), string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY id)
      FILTER (WHERE replayed_at IS NULL) FROM dpipe.dead_letter}),
    '103|100|broken 1 broken 2 broken 3', 'letters stay, with the time of the replay');
is($node->sql(q{SELECT bool_and(l.load_id IS NOT NULL) FROM raw.t r
      LEFT JOIN dpipe.load l ON l.load_id = r._load_id}),
    't', 'a replay is in the ledger');

# Letters outlive their source; who takes its name does not take them.
$node->sql(q{CREATE SCHEMA mine AUTHORIZATION other; GRANT USAGE ON FOREIGN SERVER k TO other;
    SET ROLE loader; CREATE TABLE raw.passing (n int CHECK (n % 3 <> 0));
    SELECT dpipe_create_kafka_source('passing', 'k', 't', 'raw.passing', options => '{"enabled": false}')});
$node->sql(q{CALL dpipe_sync('passing')});
$node->sql(q{SELECT dpipe_drop_source('passing'); SET ROLE other; CREATE TABLE mine.theirs (_payload bytea);
    SELECT dpipe_create_kafka_source('passing', 'k', 't', 'mine.theirs', 'raw', options => '{"enabled": false}')});
is(replay(q{'passing'}, 'other'), '0|0', "another role's letters are not replayed");
is(replay(q{'passing', ARRAY(SELECT generate_series(1, 1000))}, 'other'), '0|0', 'nor by their ids');
is($node->sql('SELECT count(*) FROM mine.theirs'), 0, 'their contents stay where they are');
$node->sql(q{SELECT dpipe_drop_source('passing'); SET ROLE loader;
    SELECT dpipe_create_kafka_source('passing', 'k', 't', 'raw.passing', options => '{"enabled": false}')});
is(replay(q{'passing'}), '0|103', 'a source of the same owner has them again');

# However small payloads are, keys and headers take room as well.
$node->sql(q{SET ROLE loader; CREATE TABLE raw.big (n int, _key text, _headers jsonb);
    SELECT dpipe_create_kafka_source('big', 'k', 't', 'raw.big', options => '{"enabled": false, "batch_bytes": 100000}')});
$node->sql(q{INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic, partition, "offset", key, payload, headers, stage, sqlstate, message)
    SELECT 'big', 'loader', 'loader'::regrole, 1, 't', 0, i, CASE WHEN i <= 10 THEN convert_to(repeat('k', 60000), 'UTF8') END, '{"n": 1}',
        CASE WHEN i > 10 THEN jsonb_build_array(jsonb_build_array('h', repeat('v', 60000))) END, 'insert', '23514', 'x'
      FROM generate_series(1, 20) i});
is(replay(q{'big'}), '20|0', 'large keys and headers');
is($node->sql(q{SELECT count(*), max(rows) FROM dpipe.load WHERE source = 'big'}), '10|2', 'are not taken all at once');

# A name that is not UTF-8 is kept as base64, as a value is, and comes back.
$node->sql(q{INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic, partition, "offset", payload, headers, stage, sqlstate, message)
    VALUES ('big', 'loader', 'loader'::regrole, 1, 't', 0, 21, '{"n": 21}',
        '[[{"base64": "/0E="}, {"base64": "/kI="}], ["é", null], ["", "v"]]', 'insert', '23514', 'x')});
is(replay(q{'big'}), '1|0', 'headers that are not UTF-8');
is($node->sql('SELECT _headers FROM raw.big WHERE n = 21'),
    '[[{"base64": "/0E="}, {"base64": "/kI="}], ["é", null], ["", "v"]]', 'come back as they were');

# Those that were replayed are looked at once, not once for every thousand of them.
$node->sql(q{INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic, partition, "offset", payload, stage, sqlstate, message, replayed_at)
    SELECT 'big', 'loader', 'loader'::regrole, 1, 't', 0, i, '{}', 'insert', '23514', 'x', now() FROM generate_series(1, 20000) i});
cmp_ok($node->sql(q{BEGIN; DO 'BEGIN PERFORM dpipe_replay(''big''); END';
    SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'dpipe.letter'::regclass; ROLLBACK}),
    '<', 100_000, 'a replay with nothing to do');

# A trigger of the target that replays on its own finds letters that are on their way.
$node->sql(q{SET ROLE loader; CREATE TABLE raw.nested (n int, _offset bigint);
    SELECT dpipe_create_kafka_source('nested', 'k', 't', 'raw.nested', options => '{"enabled": false, "stop_at": {"t": {"0": 5}}}');
    CREATE FUNCTION raw.again() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF pg_trigger_depth() = 1 THEN PERFORM dpipe_replay(TG_ARGV[0]); END IF; RETURN NULL; END $$;
    CREATE TRIGGER t AFTER INSERT ON raw.nested FOR EACH STATEMENT EXECUTE FUNCTION raw.again('nested')});
$node->sql(q{INSERT INTO dpipe.letter (source, owner, owner_oid, load_id, topic, partition, "offset", payload, stage, sqlstate, message)
    SELECT 'nested', 'loader', 'loader'::regrole, 1, 't', 0, i, '{"n": 1}', 'insert', '23514', 'x' FROM generate_series(1, 3) i});
like(replay(q{'nested'}), qr/letters of source "nested" are being replayed by this session already/, 'a replay within itself');
is($node->sql('SELECT count(*) FROM raw.nested'), 0, 'stores nothing twice');
is($node->sql(q{SET ROLE loader; DROP TRIGGER t ON raw.nested;
    CREATE TRIGGER t AFTER INSERT ON raw.nested FOR EACH STATEMENT EXECUTE FUNCTION raw.again('big');
    SELECT * FROM dpipe_replay('nested')}), '3|0', 'of another source is none of that');

# Nor may a trigger move the source under its own batch.
$node->sql(q{SET ROLE loader; CREATE FUNCTION raw.jump() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM dpipe_seek('nested', '"latest"'); RETURN NULL; END $$;
    CREATE TRIGGER u AFTER INSERT ON raw.nested FOR EACH STATEMENT EXECUTE FUNCTION raw.jump(); TRUNCATE raw.nested});
like(($node->psql('postgres', q{CALL dpipe_sync('nested')}))[2],
    qr/position of source "nested" slot 0 was changed by the batch that is to move it/, 'a trigger that seeks is told so');
$node->sql(q{DROP TRIGGER u ON raw.nested; CALL dpipe_sync('nested')});
is($node->sql('SELECT count(*), count(DISTINCT _offset) FROM raw.nested'), '5|5', 'and nothing is lost or read twice');

# In a copy that was not adopted the owner's OID may be anybody's.
like(($node->psql('postgres', q{UPDATE dpipe.source SET incarnation = gen_random_uuid() WHERE name = 'big'; SELECT dpipe_replay('big')}))[2],
    qr/source "big" was restored from another database/, 'a restored source is refused');
like(($node->psql('postgres', q{UPDATE dpipe.source SET owner = 'gone', owner_oid = 1 WHERE name = 'big'; SELECT dpipe_replay('big')}))[2],
    qr/the owner of source "big", role "gone", no longer exists/, 'and one whose owner is gone');

# A record that was read twice has two letters of the same coordinates.
$node->sql(q{SET ROLE loader;
    CREATE TABLE raw.twice (n int CHECK (n % 3 <> 0), _offset bigint);
    SELECT dpipe_create_kafka_source('twice', 'k', 't', 'raw.twice', options => '{"enabled": false}')});
$node->sql(q{CALL dpipe_sync('twice')});
$node->sql(q{SELECT dpipe_seek('twice', '"earliest"')});
$node->sql(q{CALL dpipe_sync('twice')});
is(replay(q{'twice'}), '0|206', 'read twice: each letter fails for itself');
$node->sql('ALTER TABLE raw.twice DROP CONSTRAINT twice_n_check');
is(replay(q{'twice'}), '200|6', 'and is stored for itself');
is($node->sql('SELECT count(*), min(c), max(c) FROM (SELECT count(*) AS c FROM raw.twice GROUP BY _offset) x'),
    '300|2|2', 'none is lost');

is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop;
done_testing();
