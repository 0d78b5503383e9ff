# Every fault that a record or its environment can have, through running Kafka
# sources and on both load paths: the right records are dead letters with a
# usable reason, the others wait with a visible one, nothing is lost or twice,
# and what was mended and replayed has exactly one row.
use strict;
use warnings;

use IPC::Run;
use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;

if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

my $cases = $ENV{DPIPE_CASES} // '.';

# In SQL, {T} is the target, {N} the source's name. Every target has columns
# n int, v text, _payload jsonb, _offset bigint beside those given.

# Faults of a record: "bad" is sent among good ones. "live" is done once the
# source runs and has rows. A letter is stage|SQLSTATE|message.
my $big = 20_000_000;
my @poison = (
    { name => 'not_json', bad => '{"n": 1', letter => qr/^decode\|22P02\|the payload is not JSON/ },
    {
        name => 'too_large', at => [15], options => '"max_record_bytes": 10000000',
        bad => '{"n": 1, "v": "' . 'x' x $big . '"}', letter => qr/^decode\|54000\|.*2000001\d bytes/,
        repair => q{SET ROLE loader; SELECT dpipe_create_kafka_source('{N}', 'k', '{N}', '{T}')},
    },
    {
        # 10,000 levels are stored; 50,000 are beyond max_stack_depth for jsonb
        name => 'deep', good => '{"n": %d, "a": ' . '[' x 10000 . ']' x 10000 . '}',
        bad => '{"n": 1, "a": ' . '[' x 50000 . ']' x 50000 . '}', letter => qr/^convert\|54001\|.*stack depth/,
        repair => 'ALTER TABLE {T} ALTER _payload TYPE text',
    },
    {
        name => 'foreign_key', before => 'CREATE TABLE {T}_ref (id int PRIMARY KEY); INSERT INTO {T}_ref SELECT generate_series(0, 100)',
        columns => 'FOREIGN KEY (n) REFERENCES {T}_ref', bad => '{"n": 1000}', letter => qr/^insert\|23503\|.*is not present in table/,
        repair => 'INSERT INTO {T}_ref VALUES (1000)',
    },
    {
        name => 'deferred_key', before => 'CREATE TABLE {T}_ref (id int PRIMARY KEY); INSERT INTO {T}_ref SELECT generate_series(0, 100)',
        columns => 'FOREIGN KEY (n) REFERENCES {T}_ref DEFERRABLE INITIALLY DEFERRED',
        bad => '{"n": 1000}', letter => qr/^insert\|23503\|.*is not present in table/, repair => 'INSERT INTO {T}_ref VALUES (1000)',
    },
    {
        name => 'deferred_unique', columns => 'u int UNIQUE DEFERRABLE INITIALLY DEFERRED', before => 'INSERT INTO {T} (u) VALUES (-1)',
        bad => '{"n": 1, "u": -1}', letter => qr/^insert\|23505\|.*unique constraint/,
        repair => 'ALTER TABLE {T} DROP CONSTRAINT {N}_u_key; DELETE FROM {T} WHERE _offset IS NULL',
    },
    {
        name => 'constraint_trigger',
        after => q{CREATE FUNCTION {T}_f() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.v = 'no' THEN RAISE EXCEPTION 'v is %', NEW.v; END IF; RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER c AFTER INSERT ON {T} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {T}_f()},
        bad => '{"n": 1, "v": "no"}', letter => qr/^insert\|P0001\|v is no/, repair => 'DROP TRIGGER c ON {T}',
    },
    {
        name => 'policy', after => q{ALTER TABLE {T} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {T} WITH CHECK (v IS NULL)},
        bad => '{"n": 1, "v": "no"}', letter => qr/^insert\|42501\|.*row-level security policy/, path => 'sql', repair => 'DROP POLICY p ON {T}; CREATE POLICY p ON {T} WITH CHECK (true)',
    },
    {
        name => 'policy_made_live', live => q{ALTER TABLE {T} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {T} WITH CHECK (v IS NULL)},
        bad => '{"n": 1, "v": "no"}', letter => qr/^insert\|42501\|.*row-level security policy/, path => 'sql', repair => 'ALTER TABLE {T} DISABLE ROW LEVEL SECURITY',
    },
    { name => 'not_null_added', live => 'ALTER TABLE {T} ALTER n SET NOT NULL', bad => '{"v": "x"}', letter => qr/^insert\|23502\|.*not-null/, repair => 'ALTER TABLE {T} ALTER n DROP NOT NULL' },
    { name => 'type_changed', live => 'ALTER TABLE {T} ALTER n TYPE smallint', bad => '{"n": 70000}', letter => qr/^convert\|22003\|.*"n"/, repair => 'ALTER TABLE {T} ALTER n TYPE int' },
    { name => 'type_made_number', live => 'ALTER TABLE {T} ALTER v TYPE int USING 1', bad => '{"n": 1, "v": "x"}', letter => qr/^convert\|22P02\|.*"v"/, repair => 'ALTER TABLE {T} ALTER v TYPE text' },
    {
        name => 'column_dropped', options => '"on_unknown_field": "dead_letter"', live => 'ALTER TABLE {T} DROP COLUMN v',
        bad => '{"n": 1, "v": "x"}', letter => qr/^convert\|42703\|.*"v"/, repair => 'ALTER TABLE {T} ADD COLUMN v text',
    },
    { name => 'check_added', live => 'ALTER TABLE {T} ADD CONSTRAINT c CHECK (n < 100) NOT VALID', bad => '{"n": 1000}', letter => qr/^insert\|23514\|.*constraint "c"/, repair => 'ALTER TABLE {T} DROP CONSTRAINT c' },
    {
        name => 'no_partition', partitioned => 1, bad => '{"n": 1000}', letter => qr/^insert\|23514\|no partition/,
        repair => 'CREATE TABLE {T}_more PARTITION OF {T} FOR VALUES FROM (1000) TO (2000)',
    },
    { name => 'view_check', view => 1, bad => '{"n": 1000}', letter => qr/^insert\|44000\|/, path => 'sql', repair => 'ALTER VIEW {T} RESET (check_option)' },
    (map {
            my ($state, $text) = @$_;
            {
                name => "unknown_\L$state",
                after => qq{CREATE FUNCTION {T}_f() RETURNS trigger LANGUAGE plpgsql AS
                    \$\$ BEGIN IF NEW.v = 'no' THEN RAISE EXCEPTION '$text' USING ERRCODE = '$state'; END IF; RETURN NEW; END \$\$;
                    CREATE TRIGGER t BEFORE INSERT ON {T} FOR EACH ROW EXECUTE FUNCTION {T}_f()},
                bad => '{"n": 1, "v": "no"}', letter => qr/^insert\|$state\|$text/, repair => 'DROP TRIGGER t ON {T}',
            }
        } [ '53200', 'out of memory' ], [ 'XX000', 'cache lookup failed' ], [ 'ZZ001', 'odd' ]),
);

# Faults of the environment: nothing is stored while "break" holds, the state
# and the reason say why, and "mend" is all it needs.
my $flag = PostgreSQL::Test::Utils::tempdir() . '/full';
my $raise = q{CREATE FUNCTION {T}_f() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'for all' USING ERRCODE = '%s'; END $$;
    CREATE TRIGGER t BEFORE INSERT ON {T} FOR EACH ROW EXECUTE FUNCTION {T}_f()};
my @environment = (
    {
        name => 'dropped', break => 'ALTER TABLE {T} RENAME TO {N}_saved; CREATE TABLE {T} (); DROP TABLE {T}', state => 'error', reason => 'does not exist',
        mend => 'CREATE TABLE {T} (LIKE {T}_saved); GRANT INSERT ON {T} TO loader; INSERT INTO {T} SELECT * FROM {T}_saved',
    },
    { name => 'renamed', break => 'ALTER TABLE {T} RENAME TO {N}_else', state => 'error', reason => 'does not exist', mend => 'ALTER TABLE {T}_else RENAME TO {N}' },
    { name => 'no_insert', break => 'REVOKE INSERT ON {T} FROM loader', reason => 'permission denied for table {N}', mend => 'GRANT INSERT ON {T} TO loader' },
    { name => 'payload_type', break => 'ALTER TABLE {T} ALTER _payload TYPE int USING 1', reason => '_payload.*integer', mend => 'ALTER TABLE {T} ALTER _payload TYPE jsonb USING NULL' },
    { name => 'unlogged', break => 'ALTER TABLE {T} SET UNLOGGED', reason => 'is unlogged', mend => 'ALTER TABLE {T} SET LOGGED' },
    { name => 'locked', lock => 1, reason => 'lock timeout' },
    { name => 'disk_full', space => 1, reason => 'could not extend file.*No space left on device' },
    { name => 'memory', break => sprintf($raise, '53200'), reason => 'for all', mend => 'DROP TRIGGER t ON {T}' },
    { name => 'internal', break => sprintf($raise, 'XX000'), reason => 'for all', mend => 'DROP TRIGGER t ON {T}' },
    { name => 'serialization', break => sprintf($raise, '40001'), reason => 'for all', mend => 'DROP TRIGGER t ON {T}' },
    {
        name => 'broken_trigger', break => q{CREATE FUNCTION {T}_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {T}_gone VALUES (1); RETURN NEW; END $$;
            CREATE TRIGGER t BEFORE INSERT ON {T} FOR EACH ROW EXECUTE FUNCTION {T}_f()},
        reason => '{N}_gone.*does not exist', mend => 'CREATE TABLE {T}_gone (a int); GRANT INSERT ON {T}_gone TO loader',
    },
    {
        name => 'sequence', columns => 'id smallserial', break => q{SELECT setval('{T}_id_seq', 32767)}, reason => 'reached maximum value of sequence',
        mend => q{SELECT setval('{T}_id_seq', 1000)},
    },
);

# ---- the servers ----

my $library = PostgreSQL::Test::Utils::tempdir() . '/full_disk.so';
command_ok(
    [ 'cc', '-fPIC', '-shared', '-Wall', '-o', $library, "$ENV{DPIPE_TOP}/test/modules/full_disk.c", '-ldl' ],
    'the full disk builds');
# With buffers of its own a busy broker takes minutes for 20 MB.
my $kafka = Dpipe::Kafka->new('matrix', heap => '384m', properties => { 'socket.receive.buffer.bytes' => -1, 'socket.send.buffer.bytes' => -1 });
my $node  = do
{
    local $ENV{LD_PRELOAD}      = $library;
    local $ENV{DPIPE_FULL_DISK} = $flag;
    Dpipe::Node->make('matrix', conf => "dpipe.max_workers = 40\nmax_worker_processes = 60\nmax_connections = 120\n");
};
my $space = $flag =~ s{/full$}{}r;
$node->create_server('k', $kafka);
$node->sql("CREATE ROLE loader LOGIN; GRANT USAGE ON FOREIGN SERVER k TO loader; CREATE SCHEMA raw; GRANT USAGE ON SCHEMA raw TO loader;");
$node->sql("CREATE TABLESPACE small LOCATION '$space'");

sub fill_in
{
    my ($text, $source) = @_;
    return $text =~ s/\{T\}/raw.$source/gr =~ s/\{N\}/$source/gr;
}

sub make_target
{
    my ($case, $source) = @_;
    my $columns = 'n int, v text, _payload jsonb, _offset bigint' . ($case->{columns} ? ", $case->{columns}" : '');
    my $sql = $case->{before} && $case->{before} !~ /^INSERT/ ? "$case->{before};" : '';
    if ($case->{view})
    {
        $sql .= "CREATE TABLE {T}_behind ($columns); CREATE VIEW {T} AS SELECT * FROM {T}_behind WHERE n < 100 OR n IS NULL WITH CHECK OPTION;";
    }
    else
    {
        $sql .= "CREATE TABLE {T} ($columns)" . ($case->{partitioned} ? ' PARTITION BY RANGE (n)' : '') . ($case->{space} ? ' TABLESPACE small;' : ';');
        $sql .= 'CREATE TABLE {T}_some PARTITION OF {T} FOR VALUES FROM (0) TO (1000);' if $case->{partitioned};
    }
    $sql .= "$case->{before};" if $case->{before} && $case->{before} =~ /^INSERT/;
    $sql .= ($case->{after} // '') . '; GRANT INSERT ON {T} TO loader; GRANT USAGE ON ALL SEQUENCES IN SCHEMA raw TO loader;';
    $node->sql(fill_in($sql, $source));
    return;
}

# The n-th record.
sub good
{
    my ($case, $n) = @_;
    return [ 0, undef, sprintf $case->{good} // '{"n": %d}', $n ];
}

# Offsets of the bad records.
sub bad_at
{
    my @at = @{ $_[0]->{at} // [ 10, 14, 15, 19 ] };
    return @at;
}

sub make_source
{
    my ($case, $source) = @_;
    $kafka->create_topic($source, 1);
    $kafka->send_records($source, map { good($case, $_) } 0 .. 9);
    make_target($case, $source);
    my $options = $case->{options} // '';
    $node->sql(qq{SET ROLE loader;
        SELECT dpipe_create_kafka_source('$source', 'k', '$source', 'raw.$source', options => '{$options}')});
    return;
}

sub counts
{
    my ($source, $case) = @_;
    my $table = $case->{view} ? "raw.${source}_behind" : "raw.$source";
    return $node->sql("SELECT count(*), count(DISTINCT _offset) FROM $table WHERE _offset IS NOT NULL");
}

# ---- records ----

sub run_poison
{
    my ($path, @cases) = @_;
    make_source($_, "$_->{name}_$path") foreach @cases;
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        $node->wait_sql("SELECT rows = 10 FROM dpipe.source_status WHERE source = '$source'")
          or diag $node->sql("SELECT state, reason, rows, dead_letters FROM dpipe.source_status WHERE source = '$source'");
        $node->sql(fill_in($case->{live}, $source)) if $case->{live};
        my %bad = map { $_ => 1 } bad_at($case);
        $kafka->send_records($source, map { $bad{$_} ? [ 0, undef, $case->{bad} ] : good($case, $_) } 10 .. 19);
    }
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        my $name = "$path: $case->{name}";
        $node->wait_sql("SELECT rows + dead_letters = 20 FROM dpipe.source_status WHERE source = '$source'")
          or diag $node->sql("SELECT state, reason, rows, dead_letters FROM dpipe.source_status WHERE source = '$source'");
        my $good = 20 - bad_at($case);
        is(counts($source, $case), "$good|$good", "$name: the good ones are rows");
        is($node->sql(qq{SELECT string_agg("offset"::text, ' ' ORDER BY "offset") FROM dpipe.dead_letter WHERE source = '$source'}),
            join(' ', bad_at($case)), "$name: the bad ones are dead letters");
        like($node->sql("SELECT DISTINCT stage || '|' || sqlstate || '|' || message FROM dpipe.dead_letter WHERE source = '$source' LIMIT 1"),
            $case->{letter}, "$name: with the reason");
        is($node->sql("SELECT bool_and(md5(payload) = '" . md5_of($case->{bad}) . "') FROM dpipe.dead_letter WHERE source = '$source'"),
            't', "$name: whole");
        is($node->sql("SELECT load_path FROM dpipe.source_status WHERE source = '$source'"),
            $case->{path} // $path, "$name: by the path");
    }
    replay($path, $_) foreach @cases;
    return;
}

sub md5_of { require Digest::MD5; return Digest::MD5::md5_hex(shift); }

# Mend, then replay twice at once while more records come.
sub replay
{
    my ($path, $case) = @_;
    my $source = "$case->{name}_$path";
    my $name = "$path: $case->{name}";
    my $call = "SELECT replayed FROM dpipe_replay('$source')";
    my (@out, @sessions);

    $node->sql(fill_in($case->{repair}, $source)) if $case->{repair};
    $kafka->send_records($source, map { good($case, $_) } 20 .. 29);
    foreach my $i (0, 1)
    {
        push @sessions, IPC::Run::start(
            [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SET ROLE loader', '-c', $call ],
            '<', \undef, '>', \$out[$i], '2>&1');
    }
    $_->finish foreach @sessions;
    my $bad    = bad_at($case);
    my $mended = $case->{repair} ? $bad : 0;
    is($out[0] + $out[1], $mended, "$name: two replays at once take each letter once") or diag @out;
    $node->wait_sql("SELECT rows + dead_letters = 30 FROM dpipe.source_status WHERE source = '$source'");
    is(counts($source, $case), join('|', (30 - $bad + $mended) x 2), "$name: each has exactly one row");
    is($node->sql("$call; SELECT count(replayed_at) FROM dpipe.dead_letter WHERE source = '$source'"),
        "0\n$mended", "$name: a third replay finds nothing");
    $node->sql("SELECT dpipe_drop_source('$source')");
    return;
}

# ---- the environment ----

sub status_is
{
    my ($case, $source) = @_;
    my $state = $case->{state} // 'retrying';
    my $reason = fill_in($case->{reason}, $source);
    return ok($node->wait_sql("SELECT state = '$state' AND reason ~ '$reason' AND last_error ~ '$reason' AND last_error_at IS NOT NULL
            FROM dpipe.source_status WHERE source = '$source'"), "$source: $state, with the reason")
      || diag $node->sql("SELECT state, reason, last_error FROM dpipe.source_status WHERE source = '$source'");
}

sub run_environment
{
    my ($path, @cases) = @_;
    my %lock;
    make_source($_, "$_->{name}_$path") foreach @cases;
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        $node->wait_sql("SELECT rows = 10 FROM dpipe.source_status WHERE source = '$source'");
        $node->sql(fill_in($case->{break}, $source)) if $case->{break};
        if ($case->{lock})
        {
            $lock{$source} = $node->background_psql('postgres');
            $lock{$source}->query_safe("BEGIN; LOCK TABLE raw.$source");
        }
        append_to_file($flag, '') if $case->{space};
        # more than the pages that the table has
        $kafka->send_records($source, map { [ 0, undef, qq({"n": $_, "v": ") . 'x' x 1500 . '"}' ] } 10 .. 29);
    }
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        status_is($case, $source);
        is($node->sql("SELECT rows, dead_letters FROM dpipe.source_status WHERE source = '$source'"),
            '10|0', "$source: nothing of the batch is settled");
    }
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        $node->sql(fill_in($case->{mend}, $source)) if $case->{mend};
        $lock{$source}->quit if $case->{lock};
        unlink $flag if $case->{space};
    }
    foreach my $case (@cases)
    {
        my $source = "$case->{name}_$path";
        ok($node->wait_sql("SELECT rows = 30 AND state = 'running' FROM dpipe.source_status WHERE source = '$source'"),
            "$source: goes on by itself");
        is(counts($source, $case), '30|30', "$source: each record has one row");
        is($node->sql("SELECT count(*) FROM dpipe.dead_letter WHERE source = '$source'"), '0', "$source: none is a dead letter");
        $node->sql("SELECT dpipe_drop_source('$source')");
    }
    return;
}

# Everything by COPY; by SQL too where it makes a difference, and with
# DPIPE_LONG all of it. DPIPE_CASES, a pattern, picks some.
sub on_path
{
    my ($path, $case) = @_;
    return if $case->{name} !~ /$cases/;
    return $path eq 'copy' || $ENV{DPIPE_LONG}
        || $case->{name} =~ /^(foreign_key|constraint_trigger|type_made_number|no_partition|unknown_zz001|no_insert|memory|disk_full)$/;
}

foreach my $path ('copy', 'sql')
{
    my $begun = time();
    $node->append_conf('postgresql.conf', 'dpipe.load_path = ' . ($path eq 'sql' ? 'sql' : 'auto'));
    $node->reload;
    run_poison($path, grep { on_path($path, $_) } @poison);
    run_environment($path, grep { on_path($path, $_) } @environment);
    note sprintf '%s: %.0f s', $path, time() - $begun;
}

is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop;
done_testing();
