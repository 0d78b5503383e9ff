# Whose code runs as whom: a role that owns tables, functions, types, models
# and schemas against superusers and monitors who use dpipe, and against the
# workers. What it plants notes who called it; nothing may ever be called by a
# role that it is not.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;

my $mock = Dpipe::Mock->new('objects', topics => { t => 1 });
my $node = Dpipe::Node->make('objects', conf => "dpipe.max_workers = 8\n");

# As which roles mallory's code ran since forget(), and what it gained.
sub loot
{
    return $node->sql(q{SELECT concat_ws(' ', string_agg(DISTINCT as_role, ' ' ORDER BY as_role),
        (SELECT 'and is a superuser' FROM pg_roles WHERE rolname = 'mallory' AND rolsuper)) FROM m.loot});
}

# Reading a table of mallory's may run her code as well: only she does it here.
sub rows_of { return as_role('mallory', $_[0]) }

sub forget { return $node->sql('TRUNCATE m.loot') }

# In a session of her own, since RESET SESSION AUTHORIZATION is among her tricks.
sub as_role
{
    my ($role, $sql) = @_;
    return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

sub as_mallory { return as_role('mallory', "SET search_path = m, public; $_[0]") }

# Text of the error that a superuser gets, or 'none'.
sub error_of
{
    my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]");
    return $rc == 0 ? 'none' : $err;
}

# note() writes; see() is marked as what it is not, so that it may stand
# wherever only immutable functions may.
$node->sql(<<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE TABLE public.canary (who text);
CREATE SCHEMA m AUTHORIZATION mallory;
SET SESSION AUTHORIZATION mallory;
CREATE TABLE m.loot (what text, as_role text, path text);
GRANT USAGE ON SCHEMA m TO PUBLIC;
GRANT INSERT ON m.loot TO PUBLIC;
CREATE FUNCTION m.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO m.loot VALUES (what, current_user, current_setting('search_path'));
    BEGIN
        INSERT INTO public.canary VALUES (current_user);
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    BEGIN
        EXECUTE 'ALTER ROLE mallory SUPERUSER';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN true;
END $$;
CREATE FUNCTION m.see(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM m.note(what); RETURN true; END $$;
-- Leaves what it is called in, if it can.
CREATE TABLE m.bold (a int);
CREATE FUNCTION m.break_out() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE s text;
BEGIN
    PERFORM m.note('break out');
    IF EXISTS (SELECT 1 FROM m.bold) THEN
        SET CONSTRAINTS ALL DEFERRED;
    END IF;
    FOREACH s IN ARRAY ARRAY['SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION postgres',
        'RESET SESSION AUTHORIZATION', 'RESET ALL', 'DISCARD ALL',
        'DECLARE c CURSOR WITH HOLD FOR SELECT m.note(''held'')', 'PREPARE p AS SELECT m.note(''prepared'')',
        'LISTEN mallory', 'CREATE TEMP TABLE loot (a int)', 'SET search_path = m', 'SET work_mem = 64',
        'INSERT INTO m.deferred VALUES (1)'] LOOP
        BEGIN
            EXECUTE s;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    RETURN true;
END $$;
CREATE FUNCTION m.on_row() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM m.note(TG_NAME); PERFORM m.break_out(); RETURN NEW; END $$;
CREATE FUNCTION m.on_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM m.note(TG_NAME); RETURN NEW; END $$;
CREATE TABLE m.deferred (a int);
CREATE CONSTRAINT TRIGGER commit AFTER INSERT ON m.deferred DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION m.on_commit();
CREATE DOMAIN m.number AS integer CHECK (m.see('domain'));
CREATE FUNCTION m.trap(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE m.%I (n m.number CHECK (m.see(''check'') AND n <> 3),
        d boolean DEFAULT m.see(''default''), v boolean DEFAULT m.note(''volatile default''),
        g boolean GENERATED ALWAYS AS (m.see(''generated'' || n)) STORED, _offset bigint, _load_id bigint);
        CREATE INDEX ON m.%1$I ((m.see(''index'' || n))) WHERE m.see(''predicate'');
        CREATE TRIGGER before BEFORE INSERT ON m.%1$I FOR EACH ROW EXECUTE FUNCTION m.on_row();
        CREATE TRIGGER statement AFTER INSERT ON m.%1$I EXECUTE FUNCTION m.on_commit();
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON m.%1$I DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION m.on_row()', name);
END $$;
SELECT m.trap('copy'), m.trap('ruled'), m.trap('policed'), m.trap('mine'), m.trap('mine_ruled');
CREATE TABLE m.other (n int);
CREATE RULE also AS ON INSERT TO m.ruled WHERE m.see('rule') DO ALSO
    INSERT INTO m.other SELECT NEW.n WHERE m.note('rule action');
CREATE RULE also AS ON INSERT TO m.mine_ruled DO ALSO INSERT INTO m.other SELECT NEW.n WHERE m.note('rule action');
ALTER TABLE m.policed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON m.policed USING (m.see('policy')) WITH CHECK (m.note('policy'));
TRUNCATE m.loot;
SQL
$node->create_server('k', $mock);
$node->sql('GRANT USAGE ON FOREIGN SERVER k TO mallory');
$mock->send_records('t', map { [ 0, "k$_", qq({"n": $_}) ] } 1 .. 5);

# ---- a superuser's sources into mallory's tables ----

foreach my $table (qw(copy ruled policed))
{
    $node->sql(qq{SELECT dpipe_create_kafka_source('su_$table', 'k', 't', 'm.$table', options => '{"enabled": false}')});
    my $seen = loot();
    like($seen, qr/^(mallory)?$/, "$table: planning the load runs nothing as a superuser") or diag $seen;
    $node->sql(qq{SELECT dpipe_enable_source('su_$table')});
    ok($node->wait_sql(qq{SELECT rows = 4 AND dead_letters = 1 FROM dpipe.source_status WHERE source = 'su_$table'}),
        "$table: a worker loads what it can")
        or diag $node->sql(qq{SELECT * FROM dpipe.source_status WHERE source = 'su_$table'});
    is(rows_of("SELECT string_agg(n::text, ' ' ORDER BY n) FROM m.$table"), '1 2 4 5', "$table: these rows");
    $node->sql(qq{SELECT dpipe_disable_source('su_$table')});
    ok($node->wait_sql(qq{SELECT pids = '{}' FROM dpipe.source_status WHERE source = 'su_$table'}), 'it stops');
    is($node->sql(qq{SELECT dpipe_replay('su_$table')}), '(0,1)', "$table: replayed by a superuser");
    $node->sql(qq{SELECT dpipe_seek('su_$table', '"earliest"')});
    $node->sql(qq{CALL dpipe_sync('su_$table')});
    is(rows_of("SELECT count(*) FROM m.$table"), 8, "$table: read again in a superuser's session");
    is(loot(), 'mallory', "$table: all of mallory's code ran as mallory");
    forget();
}
is($node->sql('SELECT string_agg(n::text, \' \' ORDER BY n) FROM m.other'), '1 1 2 2 4 4 5 5', 'the rule took part');

# Her trigger defers what was made immediate: then nothing is loaded, and said so.
as_mallory('INSERT INTO m.bold VALUES (1)');
like(error_of(q{SELECT dpipe_seek('su_copy', '"earliest"'); CALL dpipe_sync('su_copy')}),
    qr/cannot fire deferred trigger within security-restricted operation.*LOCATION:  \w+, trigger\.c:/s, 'what is deferred again is refused');
is(loot(), '', 'and runs as nobody');
as_mallory('TRUNCATE m.bold');

# A superuser's own view, table or rule that passes rows on to her table.
$node->sql(<<'SQL');
CREATE VIEW public.over AS SELECT n, _offset FROM m.copy;
CREATE VIEW public.over_view AS SELECT * FROM public.over;
CREATE TABLE public.parted (n int, _offset bigint) PARTITION BY LIST (n);
CREATE TABLE public.part PARTITION OF public.parted DEFAULT;
ALTER TABLE public.part OWNER TO mallory;
CREATE TABLE public.ruled (n int, _offset bigint);
CREATE RULE r AS ON INSERT TO public.ruled DO ALSO INSERT INTO m.copy (n) VALUES (NEW.n);
SQL
forget();
foreach my $table (qw(over over_view parted ruled))
{
    like(error_of(qq{SELECT dpipe_create_kafka_source('x', 'k', 't', 'public.$table')}),
        qr/0A000.*behind it is owned by a role that is no superuser/s, "$table of a superuser's is no way to a table of mallory's");
}
is(loot(), '', 'nothing ran');

# ---- mallory's sources, used by a superuser ----

foreach my $table (qw(mine mine_ruled))
{
    as_mallory(qq{SELECT dpipe_create_kafka_source('$table', 'k', 't', 'm.$table', options => '{"enabled": false}')});
    forget();
    $node->sql(qq{CALL dpipe_sync('$table')});
    is(rows_of("SELECT string_agg(n::text, ' ' ORDER BY n) FROM m.$table"), '1 2 4 5', "$table: CALL dpipe_sync by a superuser");
    is($node->sql(qq{SET search_path = m; SELECT public.dpipe_replay('$table')}), '(0,1)', "$table: dpipe_replay");
    $node->sql(qq{BEGIN; INSERT INTO m.deferred VALUES (1); SELECT dpipe_replay('$table'); ROLLBACK});
    $node->sql(qq{SELECT dpipe_seek('$table', '{"t": {"0": 4}}'), dpipe_enable_source('$table')});
    ok($node->wait_sql("SET SESSION AUTHORIZATION mallory; SELECT count(*) = 5 FROM m.$table"), "$table: dpipe_seek and the worker");
    $node->sql(qq{SELECT dpipe_create_kafka_source('$table', 'k', 't', 'm.$table')});
    $node->sql(qq{SELECT dpipe_disable_source('$table'), dpipe_drop_source('$table')});
    is(loot(), 'mallory', "$table: all of it as mallory");
    forget();
}

# ---- dpipe.batch() out of turn: while it is being read, and from a trigger ----

as_mallory(<<'SQL');
CREATE FUNCTION m.peek(what text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    SELECT count(*) INTO n FROM dpipe.batch() AS b (c0 m.greedy, c1 bigint);
    INSERT INTO m.loot VALUES ('peeked ' || what || n, current_user);
    RETURN true;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RETURN true;
END $$;
CREATE DOMAIN m.greedy AS integer;
CREATE FUNCTION m.peek_domain(v integer) RETURNS boolean LANGUAGE sql AS $$ SELECT m.peek('domain') $$;
ALTER DOMAIN m.greedy ADD CHECK (m.peek_domain(VALUE));
CREATE FUNCTION m.on_peek() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM m.peek('trigger'); RETURN NEW; END $$;
CREATE TABLE m.peeked (n m.greedy, _offset bigint);
CREATE TRIGGER peek BEFORE INSERT ON m.peeked FOR EACH ROW EXECUTE FUNCTION m.on_peek();
CREATE RULE nothing AS ON INSERT TO m.peeked WHERE NEW.n = -1 DO ALSO NOTHING;
SELECT dpipe_create_kafka_source('peeked', 'k', 't', 'm.peeked');
SQL
ok($node->wait_sql('SELECT count(*) = 5 FROM m.peeked'), 'a table whose code reads dpipe.batch() is loaded')
    or diag $node->sql(q{SELECT reason FROM dpipe.source_status WHERE source = 'peeked'});
is($node->sql(q{SELECT load_path FROM dpipe.source_status WHERE source = 'peeked'}), 'sql', 'by the SQL path');
is($node->sql(q{SELECT string_agg(what, ', ') FROM m.loot WHERE what ~ '^peeked'}), '', 'and it finds no batch');
like(error_of('SELECT * FROM dpipe.batch() AS b (a int)'), qr/55000/, 'nor does anybody else');
$node->sql(q{SELECT dpipe_drop_source('peeked')});
forget();

# ---- mallory's models, run by a superuser ----

as_mallory(<<'SQL');
SELECT dpipe_create_model('plain', $m$ SELECT 1 AS a, m.note('query') AS b, m.break_out() AS c $m$,
    '{"materialized": "table"}');
SELECT dpipe_create_model('inc', $m$ SELECT DISTINCT n, m.note('query') AS b, m.see('folded') AS c FROM m.copy $m$,
    '{"materialized": "incremental", "unique_key": "n", "incremental_strategy": "merge"}');
SELECT dpipe_create_model('v', $m$ SELECT m.see('view') AS a $m$);
SQL
forget();
foreach my $pass (1, 2)
{
    is($node->sql(q{BEGIN; SET LOCAL work_mem = '8MB';
        SELECT string_agg(message, ', ' ORDER BY node) FROM dpipe_run();
        SELECT current_user, session_user, current_setting('work_mem'), current_setting('search_path');
        SELECT count(*) FROM pg_prepared_statements; SELECT count(*) FROM pg_cursors WHERE is_holdable; ROLLBACK}),
        ($pass == 1 ? 'SELECT 4, SELECT 1, CREATE VIEW' : 'MERGE 0, INSERT 0 1, CREATE VIEW')
        . qq{\npostgres|postgres|8MB|"\$user", public\n0\n0}, "pass $pass: a superuser runs mallory's models, and stays who he is");
    is($node->sql(q{SELECT count(*) FROM m.loot}), 0, 'rolled back');
    $node->sql('SELECT * FROM dpipe_run()');
    is(loot(), 'mallory', 'all of the code of the models ran as mallory');
    forget();
    forget();
}
is($node->sql('SELECT count(*) FROM m.inc'), 4, 'the models have their rows');
like($node->sql(q{SELECT dpipe_compile('plain')}), qr/break_out/, 'dpipe_compile runs nothing');
is(loot(), '', 'indeed');

# ---- a superuser's model in mallory's schema ----

$node->sql(q{SET search_path = m, public; SELECT dpipe_create_model('boss', 'SELECT 1 AS n', '{"materialized": "table"}')});
is($node->sql(q{SELECT status FROM dpipe_run('boss')}), 'success', 'a superuser makes a table in the schema of another');
as_mallory(q{DROP TABLE m.boss; SELECT m.trap('boss')});
forget();
like($node->sql(q{SELECT status, message FROM dpipe_run('boss')}), qr/^error\|.*belongs to role "mallory"/s,
    'what took its place is not written to');
is(loot(), '', 'and none of its code is run');
as_mallory(q{DROP TABLE m.boss; CREATE VIEW m.boss AS SELECT 1 AS n});
like($node->sql(q{SELECT status, message FROM dpipe_run('boss')}), qr/^error\|.*belongs to role "mallory"/s, 'nor is a view replaced');
as_mallory('DROP VIEW m.boss');
is($node->sql(q{SELECT status FROM dpipe_run('boss')}), 'success', 'then it is made again');
$node->sql(q{SELECT dpipe_drop_model('boss'), dpipe_drop_model('plain'), dpipe_drop_model('v')});

# ---- dpipe_track by a superuser ----

as_mallory(q{SELECT m.trap('tracked')});
forget();
$node->sql(q{SELECT dpipe_track('m.tracked')});
is(loot(), '', 'dpipe_track runs nothing of the table');
as_mallory(q{INSERT INTO m.tracked (n) VALUES (1)});
is(rows_of('SELECT _load_id > 0 FROM m.tracked'), 't', 'and works');
forget();

# ---- a hostile search_path ----

# Everything that dpipe's own statements call, nearer on the path than the
# server's own; operators and casts, too.
as_mallory(<<'SQL');
CREATE FUNCTION m.planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM m.note('planted trigger'); RETURN NEW; END $$;
DO $do$
DECLARE f record;
BEGIN
    FOR f IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
        AND p.proname IN ('now', 'nextval', 'format', 'concat_ws', 'array_position', 'cardinality', 'octet_length', 'jsonb_each',
            'clock_timestamp', 'current_database', 'gen_random_uuid', 'pg_has_role', 'to_char', 'jsonb_build_object', 'decode',
            'convert_to', 'floor', 'texteq', 'int8eq', 'quote_ident', 'array_fill', 'date_part', 'extract', 'jsonb_strip_nulls',
            'greatest', 'string_agg', 'upper', 'lower', 'text', 'int8', 'numeric', 'unnest', 'now')
        AND pg_get_function_result(p.oid) !~ 'any|internal' AND pg_get_function_identity_arguments(p.oid) !~ 'any|internal|VARIADIC|-'
    LOOP
        EXECUTE format('CREATE FUNCTION m.%I(%s) RETURNS %s LANGUAGE plpgsql AS
            $$ BEGIN PERFORM m.note(%L); RETURN NULL; END $$', f.proname, f.args, f.result, 'function ' || f.proname);
    END LOOP;
    FOR f IN SELECT o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result, o.oid
        FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
        AND o.oprleft IN ('text'::regtype, 'bigint'::regtype, 'integer'::regtype, 'oid'::regtype, 'jsonb'::regtype, 'boolean'::regtype,
            'timestamptz'::regtype, 'uuid'::regtype, 'name'::regtype, 'double precision'::regtype, 'numeric'::regtype)
        AND o.oprright IN (o.oprleft, 'text'::regtype, 'integer'::regtype)
    LOOP
        EXECUTE format('CREATE FUNCTION m.op_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS
            $$ BEGIN PERFORM m.note(%L); RETURN NULL; END $$', f.oid, f.l, f.r, f.result, 'operator ' || f.oprname);
        EXECUTE format('CREATE OPERATOR m.%s (FUNCTION = m.op_%s, LEFTARG = %s, RIGHTARG = %s)', f.oprname, f.oid, f.l, f.r);
    END LOOP;
END $do$;
CREATE TYPE m.evil AS (x text);
CREATE FUNCTION m.to_evil(text) RETURNS m.evil LANGUAGE plpgsql AS $$ BEGIN PERFORM m.note('cast'); RETURN ROW('x'); END $$;
CREATE FUNCTION m.of_evil(m.evil) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM m.note('cast'); RETURN 'x'; END $$;
CREATE CAST (text AS m.evil) WITH FUNCTION m.to_evil(text) AS IMPLICIT;
CREATE CAST (m.evil AS text) WITH FUNCTION m.of_evil(m.evil) AS IMPLICIT;
CREATE DOMAIN m.text AS pg_catalog.text CHECK (m.note('type'));
CREATE DOMAIN m.int8 AS pg_catalog.int8 CHECK (m.note('type'));
CREATE DOMAIN m.jsonb AS pg_catalog.jsonb CHECK (m.note('type'));
CREATE TABLE m.source (name pg_catalog.text); CREATE TABLE m.position (source pg_catalog.text); CREATE TABLE m.letter (id int);
CREATE TABLE m.pg_roles (oid oid, rolname name); CREATE TABLE m.pg_database (oid oid, datname name);
GRANT ALL ON m.source, m.position, m.letter, m.pg_roles, m.pg_database TO PUBLIC;
TRUNCATE m.loot;
SQL
my $views = join ' ', map { "SELECT * FROM dpipe.$_;" } qw(source_status source_partition load dead_letter gap run run_node);
my $hostile = q{SET search_path = m, pg_catalog, public; CREATE TEMP TABLE source (name text); CREATE TEMP TABLE pg_proc (oid oid);
    CREATE TEMP TABLE pg_roles (oid oid); CREATE TEMP TABLE letter (id int);};
$node->sql(<<"SQL");
$hostile
SELECT public.dpipe_create_kafka_source('walk', 'k', 't', 'raw_walk', start => 'earliest',
    options => '{"enabled": false, "stop_at": {"t": {"0": 5}}}');
CALL public.dpipe_sync('walk');
$views
SELECT public.dpipe_seek('walk', '{"t": {"0": 1}}');
CALL public.dpipe_sync('walk');
SELECT public.dpipe_seek('walk', '"latest"');
SELECT public.dpipe_replay('walk');
SELECT public.dpipe_enable_source('walk');
SELECT public.dpipe_create_model('walk_model', \$m\$ SELECT _offset FROM {{ source('m', 'raw_walk') }}
    WHERE _load_id IS NOT NULL \$m\$, '{"materialized": "table"}');
SELECT * FROM public.dpipe_run('walk_model');
SELECT public.dpipe_compile('walk_model');
SELECT * FROM public.dpipe_ls('walk_model');
SELECT public.dpipe_track('m.walk_model');
SELECT public.dpipe_drop_model('walk_model');
SELECT public.dpipe_adopt();
SELECT public.dpipe_drop_source('walk');
$views
SQL
is($node->sql('SELECT count(*), count(DISTINCT _offset) FROM m.raw_walk'), '9|5', 'every verb works on a hostile path');
is($node->sql(q{SELECT string_agg(DISTINCT what || ' as ' || as_role, ', ') FROM m.loot}), '', 'nothing on it is called');
as_role('watcher', "SET search_path = m, pg_catalog, public; $views");
is($node->sql(q{SELECT string_agg(DISTINCT what || ' as ' || as_role, ', ') FROM m.loot}), '', 'nor by pg_monitor');
like(as_role('watcher', 'SELECT count(*) FROM dpipe.load'), qr/^[1-9]/, 'who sees something');

# A condition in the monitor's own query does not see what he does not.
as_role('mallory', 'SELECT * FROM dpipe.dead_letter WHERE m.note(source); SELECT * FROM dpipe.load WHERE m.note(source)');
is($node->sql(q{SELECT count(*) FROM m.loot WHERE what ~ '^su_'}), 0, 'a condition is not asked about rows of others');
forget();

# ---- settings of a role that are against it ----

$node->sql(<<'SQL');
ALTER ROLE mallory SET exit_on_error = on;
ALTER ROLE mallory SET default_transaction_read_only = on;
ALTER ROLE mallory SET default_transaction_isolation = 'serializable';
ALTER ROLE mallory SET statement_timeout = 1;
ALTER ROLE mallory SET search_path = m, pg_catalog;
ALTER ROLE mallory SET quote_all_identifiers = on;
ALTER ROLE mallory SET DateStyle = 'German';
CREATE TABLE m.settings (n int CHECK (n > 1), _offset bigint);
ALTER TABLE m.settings OWNER TO mallory;
SET ROLE mallory;
SELECT dpipe_create_kafka_source('settings', 'k', 't', 'm.settings');
SQL
ok($node->wait_sql(q{SELECT rows = 4 AND dead_letters = 1 FROM dpipe.source_status WHERE source = 'settings'}),
    'settings of the role do not matter') or diag $node->sql(q{SELECT * FROM dpipe.source_status});

# ---- quote_all_identifiers: names that were stored are found again ----

$node->sql(q{RESET ALL; SET ROLE mallory; SET search_path = m; SELECT public.dpipe_create_kafka_source('q', 'k', 't', 'm.q');
    SELECT public.dpipe_create_model('reads', $m$ SELECT _offset FROM {{ dpipe.new_rows(source('m', 'q')) }} AS x $m$,
        '{"materialized": "incremental", "incremental_strategy": "append"}')});
ok($node->wait_sql('SELECT count(*) = 5 FROM m.q'), 'a table is loaded');
foreach my $setting (qw(off on off))
{
    is($node->sql("SET quote_all_identifiers = $setting; SELECT status FROM dpipe_run('reads')"), 'success',
        "a model runs with quote_all_identifiers = $setting");
    is($node->sql('SELECT count(*) FROM m.reads'), 5, 'and reads each row once');
}

# ---- event triggers of administrators take part, and may refuse ----

$node->sql(<<'SQL');
CREATE FUNCTION public.no_tables() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF current_setting('my.refuse', true) = 'on' THEN RAISE EXCEPTION 'no tables here'; END IF; END $$;
CREATE EVENT TRIGGER no_tables ON ddl_command_end EXECUTE FUNCTION public.no_tables();
SQL
like(error_of(q{SET my.refuse = on; SELECT dpipe_create_kafka_source('ev', 'k', 't', 'public.ev')}), qr/no tables here/, 'it refuses');
is($node->sql(q{SELECT count(*) FROM dpipe.source_status WHERE source = 'ev'}), 0, 'then there is no source');
$node->sql(q{SELECT dpipe_create_kafka_source('ev', 'k', 't', 'public.ev')});
ok($node->wait_sql('SELECT count(*) = 5 FROM public.ev'), 'else there is');

is($node->sql('SELECT count(*) FROM public.canary'), 0, 'the canary lives');
is($node->sql(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'mallory is who she was');
is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
