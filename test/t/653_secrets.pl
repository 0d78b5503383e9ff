# What may not be set, and what may not be seen: properties of librdkafka that
# read files, run code or move the position; secrets; contents of records.
use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(wait_until);

my $mock = Dpipe::Mock->new('secrets', topics => { t => 1 });
my $node = Dpipe::Node->make('secrets', conf => <<'CONF');
log_statement = none
log_min_error_statement = panic
log_min_messages = debug5
log_error_verbosity = verbose
dpipe.max_workers = 8
CONF
my $brokers = $mock->brokers;

$node->sql(<<"SQL");
CREATE ROLE etl LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE SCHEMA raw AUTHORIZATION etl;
GRANT USAGE ON FOREIGN DATA WRAPPER dpipe_kafka TO etl;
CREATE SERVER k FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$brokers');
GRANT USAGE ON FOREIGN SERVER k TO etl;
SET ROLE etl;
CREATE SERVER own FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$brokers');
CREATE USER MAPPING FOR etl SERVER own OPTIONS ("sasl.username" 'u');
SQL

sub as_role
{
    my ($role, $sql) = @_;
    my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
    return $err =~ /ERROR:\s+(.*)/s ? $1 : $out;
}

# What statements, given as label => text, say to a role: label => error, or
# "done". In one session, as there are many.
sub all_said
{
    my ($role, %statements) = @_;
    my $list = join ', ', map { my ($l, $t) = ($_, $statements{$_}); s/'/''/g foreach $l, $t; "('$l', '$t')" } sort keys %statements;
    my $out = as_role($role, <<'SQL' . "SELECT label || E'\\x01' || pg_temp.said(sql) || E'\\x02' FROM (VALUES $list) AS v (label, sql)");
CREATE FUNCTION pg_temp.said(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
    EXECUTE sql;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || E'\n' || d || E'\n' || h;
END $$;
SQL
    return map { split /\x01/, $_, 2 } split /\x02\n?/, $out;
}

# Options (name => value) as SQL has them.
sub options { my (%o) = @_; return join ', ', map { qq{"$_" '$o{$_}'} } sort keys %o; }

# ---- the list ----

# name → [class, danger], as the sources have it.
my %property;
foreach (split /\n/, slurp_file("$ENV{DPIPE_TOP}/src/connect/properties.c"))
{
    $property{$1} = [ $2, $3 // 'PD_NONE', $_ ] if /^\t\{"([^"]+)", (PK_\w+)(?:, (PD_\w+))?/;
}
foreach (qw(ssl.ca.location ssl.key.location ssl.keystore.location ssl.certificate.location ssl.crl.location https.ca.location
    sasl.kerberos.keytab plugin.library.paths sasl.kerberos.kinit.cmd sasl.kerberos.principal ssl.engine.location ssl.engine.id
    ssl.providers sasl.oauthbearer.assertion.file sasl.oauthbearer.metadata.authentication.type debug))
{
    isnt($property{$_}[1], 'PD_NONE', "$_ is listed as dangerous");
}
cmp_ok(scalar keys %property, '>', 150, 'the list was read');

# The running library's own list: what reads a file has a name that says so.
my $known = `kcat -X list 2>/dev/null`;
foreach my $name ($known =~ /^([a-z_][a-z0-9._]+)\s+\|/mg)
{
    next unless $name =~ /location|path|file|\.cmd$|plugin|engine|providers|keytab|keystore/ && $name !~ /password|_data$|offset\.store/;
    ok(!$property{$name} || $property{$name}[1] ne 'PD_NONE' || $property{$name}[0] eq 'PK_CALLBACK', "$name is refused or unknown");
}

# ---- refused everywhere, to whom it is refused ----

my $objects = q{SELECT count(*) FROM pg_foreign_server; SELECT array_agg(srvoptions) FROM pg_foreign_server; SELECT array_agg(umoptions) FROM pg_user_mapping;
    SELECT count(*) FROM dpipe.source};
my $before = $node->sql($objects);
my %try;
foreach my $name (sort keys %property)
{
    my ($class, $danger, $line) = @{ $property{$name} };
    my $value = $line =~ /PT_BOOLEAN/ ? 'true' : $line =~ /PT_(INTEGER|FLOAT)/ ? '1000' : $line =~ /"(\w+), \w+/ ? $1 : '/etc/passwd';
    my $option = options($name => $value);
    my $json = qq({"librdkafka": {"$name": "$value"}, "enabled": false});
    my @roles = $danger ne 'PD_NONE' ? ('etl') : $class =~ /CALLBACK|POSITION|RESET|SIZE|OWN/ ? ('etl', 'postgres') : ();

    foreach my $role (@roles)
    {
        $try{$role}{"$name: CREATE SERVER"} = qq{CREATE SERVER try FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" 'x:1', $option)};
        $try{$role}{"$name: ALTER SERVER"} = qq{ALTER SERVER own OPTIONS (ADD $option)};
        $try{$role}{"$name: CREATE USER MAPPING"} = qq{CREATE USER MAPPING FOR etl SERVER k OPTIONS ($option)};
        $try{$role}{"$name: ALTER USER MAPPING"} = qq{ALTER USER MAPPING FOR etl SERVER own OPTIONS (ADD $option)};
        $try{$role}{"$name: a source"} = qq{SELECT dpipe_create_kafka_source('s', 'k', 't', 'raw.t', options => '$json')};
    }
}
foreach my $role (sort keys %try)
{
    my %said = all_said($role, %{ $try{$role} });
    my @wrong;

    foreach my $label (sort keys %{ $try{$role} })
    {
        my ($name) = $label =~ /^(.*): /;
        my $wanted = $property{$name}[1] ne 'PD_NONE' ? qr/^42501: permission denied/ : qr/^(HV00D|22023): Kafka property .* cannot be set/;

        push @wrong, "$label by $role: " . ($said{$label} // 'nothing') unless ($said{$label} // '') =~ $wanted;
    }
    is(join("\n", @wrong), '', keys(%said) . " attempts of $role are refused");
}
is($node->sql($objects), $before, 'and nothing of it stays');

# Names that are nearly the same, values that are no values.
foreach my $name ('SSL.CA.LOCATION', ' ssl.ca.location', 'ssl.ca.location ', 'ssl_ca_location', 'test.mock.num.brokers', 'topic.ssl.ca.location')
{
    like(as_role('etl', qq{ALTER SERVER own OPTIONS (ADD "$name" '/etc/passwd')}), qr/^HV00D/, "no server has \"$name\"");
    like(as_role('postgres', qq{SELECT dpipe_create_kafka_source('s', 'k', 't', 'raw.t', options => '{"librdkafka": {"$name": "/etc/passwd"}}')}),
        qr/^22023/, 'nor a source');
}
like(as_role('etl', qq{SELECT dpipe_create_kafka_source('s', 'k', 't', 'raw.t', options => '{"librdkafka": $_}')}), qr/^22023/, "no properties: $_")
    foreach '[]', '"debug=all"', '{"client.id": null}', '{"client.id": {"debug": "all"}}', '{"client.id": ["a"]}', '1';

# Kerberos, which is meant when nothing is said, in all the ways to say it.
foreach my $mechanism (undef, 'GSSAPI', 'gssapi', ' GSSAPI', "\t\nGSSAPI", '', ' ')
{
    my $said = defined $mechanism ? qq{, "sasl.mechanism" '$mechanism'} : '';
    like(as_role('etl', qq{CREATE SERVER krb FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" 'x:1', "security.protocol" 'SASL_plaintext'$said)}),
        qr/^42501: permission denied to use Kerberos/, 'no Kerberos: ' . ($mechanism // 'default'));
}

# ---- set by a superuser, used by others ----

# Where a superuser may set it and who owns what decides later on. The error is
# asked for, which stays: the reason is there until the next try only.
$node->sql(<<"SQL");
CREATE SERVER su FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$brokers', "ssl.ca.location" '/etc/passwd');
GRANT USAGE ON FOREIGN SERVER su TO etl;
SQL
unlike(as_role('etl', q{SELECT dpipe_create_kafka_source('su', 'su', 't', 'raw.su')}), qr/^\w{5}:/, 'a server of a superuser may be used');
ok($node->wait_sql(q{SELECT state = 'running' FROM dpipe.source_status WHERE source = 'su'}), 'with all of its properties');
like(as_role('etl', q{ALTER SERVER su OPTIONS (SET "bootstrap.servers" 'evil:1')}), qr/^42501/, 'but not be changed');
like(as_role('etl', q{CREATE USER MAPPING FOR etl SERVER su OPTIONS ("bootstrap.servers" 'evil:1')}), qr/^HV00D/, 'nor led elsewhere by a mapping');
like(as_role('etl', q{SELECT dpipe_create_kafka_source('su', 'su', 't', 'raw.su', options => '{"librdkafka": {"bootstrap.servers": "evil:1"}}')}),
    qr/^22023/, 'or by a source');
$node->sql('ALTER SERVER su OWNER TO etl');
ok($node->wait_sql(q{SELECT last_error ~ 'permission denied to set Kafka property "ssl.ca.location"'
    FROM dpipe.source_status WHERE source = 'su'}), 'a server that is given away loses them')
    or diag $node->sql(q{SELECT * FROM dpipe.source_status});
like(as_role('etl', q{ALTER SERVER su OPTIONS (ADD "client.id" 'x')}), qr/^42501/, 'and can be altered only without them');
unlike(as_role('etl', q{ALTER SERVER su OPTIONS (DROP "ssl.ca.location")}), qr/^\w{5}:/, 'which helps');
ok($node->wait_sql(q{SELECT state = 'running' FROM dpipe.source_status WHERE source = 'su'}), 'at once');
$node->sql(q{ALTER SERVER su OPTIONS (ADD "ssl.keystore.location" '/etc/passwd')});
ok($node->wait_sql(q{SELECT last_error ~ '"ssl.keystore.location"' FROM dpipe.source_status WHERE source = 'su'}), 'set on the server of another it is not used');
$node->sql(q{ALTER SERVER su OPTIONS (DROP "ssl.keystore.location"); CREATE USER MAPPING FOR etl SERVER su OPTIONS ("ssl.key.location" '/etc/passwd')});
ok($node->wait_sql(q{SELECT last_error ~ '"ssl.key.location"' FROM dpipe.source_status WHERE source = 'su'}), 'nor in the mapping of another');
$node->sql(q{SELECT dpipe_drop_source('su'); CREATE ROLE boss SUPERUSER LOGIN});
as_role('boss', q{SELECT dpipe_create_kafka_source('boss', 'k', 't', 'raw.boss', options => '{"librdkafka": {"ssl.ca.location": "/etc/passwd"}}')});
ok($node->wait_sql(q{SELECT state = 'running' FROM dpipe.source_status WHERE source = 'boss'}), 'a superuser may set it on his source');
$node->sql('ALTER ROLE boss NOSUPERUSER; GRANT USAGE ON FOREIGN SERVER k TO boss');
ok($node->wait_sql(q{SELECT last_error ~ 'permission denied to set Kafka property "ssl.ca.location"' FROM dpipe.source_status WHERE source = 'boss'}),
    'while he is one');
$node->sql(q{SELECT dpipe_drop_source('boss')});

# ---- secrets ----

# Another one where statements of the user's own may be logged as context.
my $secret = "hunter2'4711-geheim";
my $quoted = 'tell-no-one-0815';
my @said;
foreach my $role ('etl', 'postgres')
{
    my %tell;
    foreach my $name (grep { $property{$_}[0] eq 'PK_SECRET' } sort keys %property)
    {
        $tell{"$name: server"} = qq{CREATE SERVER try FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" 'x:1', "$name" '$quoted')};
        $tell{"$name: source"} =
            qq{SELECT dpipe_create_kafka_source('s', 'k', 't', 'raw.t', options => '{"librdkafka": {"$name": "$quoted"}}')};
        $tell{"$name: mapping"} = qq{ALTER USER MAPPING FOR etl SERVER own OPTIONS (ADD "$name" '$quoted')};
    }
    my %said = all_said($role, %tell);
    is(join(' ', grep { $said{$_} !~ (/mapping$/ ? qr/^(done|42710)/ : qr/^(HV00D|22023): .*user mapping/is) } sort keys %tell), '',
        keys(%tell) . " secrets by $role are for user mappings only");
    push @said, values %said;
}
push @said, as_role('etl', qq{CREATE USER MAPPING FOR etl SERVER k OPTIONS ("sasl.pasword" '$quoted')}),
    as_role('etl', qq{CREATE USER MAPPING FOR etl SERVER k OPTIONS ("ssl.ca.pem" '$quoted')});
unlike(join("\n", @said), qr/$quoted/, 'no error repeats one');

# A broker that repeats the password to whoever asks.
sub rude_broker
{
    my ($listener, $text) = @_;
    while (my $client = $listener->accept)
    {
        while (read($client, my $length, 4) == 4)
        {
            read $client, my $request, unpack 'N', $length;
            my ($api, $version, $id) = unpack 'n n N', $request;
            my $reply =
                $api == 18 && $version > 0 ? pack('n N', 35, 0)
                : $api == 18 ? pack('n N (n n n)4', 0, 4, 3, 0, 2, 17, 0, 1, 18, 0, 0, 36, 0, 0)
                : $api == 17 ? pack('n N n/a*', 0, 1, 'PLAIN')
                : $api == 36 ? pack('n n/a* N', 58, $text, 0)
                :              last;
            print $client pack('N/a*', pack('N a*', $id, $reply));
            $client->flush;
        }
        close $client;
    }
    return;
}

my @children;
END { kill 'KILL', @children if @children; }

sub start_rude
{
    my ($text) = @_;
    my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid)
    {
        rude_broker($listener, $text);
        POSIX::_exit(0);
    }
    push @children, $pid;
    return '127.0.0.1:' . $listener->sockport;
}

# Long ones are masked; with one that is too short to be, no text is shown.
my %password = (long => $secret, short => 'qx7', one => 'z', none => '');
foreach my $kind (sort keys %password)
{
    my $rude = start_rude("wrong password <$password{$kind}>, dear client");
    (my $value = $password{$kind}) =~ s/'/''/g;
    $node->sql(<<"SQL");
CREATE SERVER $kind FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ("bootstrap.servers" '$rude',
    "security.protocol" 'sasl_plaintext', "sasl.mechanism" 'PLAIN', "debug" 'all');
GRANT USAGE ON FOREIGN SERVER $kind TO etl;
CREATE USER MAPPING FOR etl SERVER $kind OPTIONS ("sasl.username" 'etl', "sasl.password" '$value');
SET ROLE etl;
SELECT dpipe_create_kafka_source('$kind', '$kind', 't', 'raw.$kind');
SQL
    my $wanted = $kind eq 'long' ? q{reason ~ 'wrong password <[*]{3}>, dear client'}
        : $kind eq 'none' ? q{state = 'retrying' AND reason !~ 'withheld'}
        : q{reason ~ 'withheld: a secret' AND reason !~ 'dear client'};
    ok($node->wait_sql("SELECT $wanted FROM dpipe.source_status WHERE source = '$kind'"), "a $kind password")
        or diag $node->sql("SELECT reason FROM dpipe.source_status WHERE source = '$kind'");
}
my $all = join ' ', map { "SELECT * FROM $_;" } qw(dpipe.source_status dpipe.source_partition dpipe.load dpipe.dead_letter dpipe.gap dpipe.run
    dpipe.run_node pg_stat_activity pg_foreign_server pg_user_mappings pg_stat_progress_copy dpipe._slots());
foreach my $role (qw(watcher etl))
{
    my $sees = as_role($role, $all);
    # A role sees the options of its own mappings: that is PostgreSQL.
    $sees =~ s/^.*sasl\.password.*$//mg if $role eq 'etl';
    like($sees, qr/long/, "$role sees something");
    unlike($sees, qr/\Q$secret\E|qx7/, 'and no secret');
}
my @relations = split /\n/, $node->sql(q{SELECT c.oid::regclass FROM pg_class c
    WHERE relnamespace = 'dpipe'::regnamespace AND relkind IN ('r', 'v', 'S')});
my $catalogs = join "\n", map { $node->sql("SELECT * FROM $_") } @relations;
cmp_ok(scalar @relations, '>', 20, 'all catalogs are looked at');
unlike($catalogs, qr/\Q$secret\E|qx7|geheim/, 'no catalog of dpipe has one');
my $dump = `pg_dump -h ${\ $node->host } -p ${\ $node->port } postgres`;
(my $rest = $dump) =~ s/^CREATE USER MAPPING.*?^\);$//msg;
isnt($rest, $dump, 'a dump has the user mappings');
unlike($rest, qr/geheim|qx7/, 'and no secret elsewhere');
my $log = slurp_file($node->logfile);
like($log, qr/librdkafka \w+: /, 'all that the library says was logged');
is(join("\n", grep { /geheim|qx7|<z>/ } split /\n/, $log), '', 'without a secret');
$node->sql("SELECT dpipe_drop_source('$_')") foreach sort keys %password;

# ---- contents of records are for their owner ----

my $payload = 'patient-0815';
$node->sql(<<'SQL');
SET ROLE etl;
SET search_path = raw, public;
CREATE TABLE raw.told (v text, n int);
CREATE FUNCTION raw.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('raw.quiet', true) = 'on' THEN RETURN NEW; END IF;
    RAISE EXCEPTION 'not now: %', NEW.v USING ERRCODE = '55P03', DETAIL = NEW.v;
END $$;
CREATE TRIGGER tell BEFORE INSERT ON raw.told FOR EACH ROW EXECUTE FUNCTION raw.tell();
-- What the batch checks before it is through defers something once more.
CREATE TABLE raw.late (v text);
CREATE TABLE raw.later (v text);
CREATE FUNCTION raw.later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    IF TG_WHEN = 'BEFORE' THEN RETURN NEW; END IF;
    IF TG_TABLE_NAME = 'later' THEN RAISE EXCEPTION 'at commit: %', NEW.v; END IF;
    INSERT INTO raw.later VALUES (NEW.v);
    RETURN NULL;
END $$;
CREATE TRIGGER early BEFORE INSERT ON raw.late FOR EACH ROW EXECUTE FUNCTION raw.later();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON raw.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raw.later();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON raw.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raw.later();
SELECT dpipe_create_kafka_source('told', 'k', 't', 'raw.told'), dpipe_create_kafka_source('late', 'k', 't', 'raw.late'),
    dpipe_create_kafka_source('typed', 'k', 't', 'raw.typed');
DROP TABLE raw.typed; CREATE TABLE raw.typed (v int, n int UNIQUE);
SELECT dpipe_create_model('m', $m$ SELECT 'patient-0815'::int AS a $m$, '{"materialized": "table"}');
SQL
$mock->send_records('t', [ 0, $payload, qq({"v": "$payload", "n": 1}) ]);
ok($node->wait_sql(q{SELECT count(*) FILTER (WHERE source IN ('told', 'late') AND last_error ~ 'patient') = 2
    AND count(*) FILTER (WHERE source = 'typed' AND dead_letters = 1) = 1 FROM dpipe.source_status}), 'errors that quote what was refused')
    or diag $node->sql('SELECT source, state, last_error FROM dpipe.source_status');
as_role('etl', q{SELECT * FROM dpipe_run(vars => '{"who": "patient-0815"}')});
my $sight = q{SELECT source, last_error FROM dpipe.source_status WHERE source IN ('told', 'late') ORDER BY source};
my $reason = q{SELECT regexp_replace(reason, '; next try.*', '') FROM dpipe.source_status WHERE state = 'retrying' AND source =};
my %state  = (late => 'P0001', told => '55P03');
my $told   = 'its target did not take a batch (SQLSTATE';

foreach my $pass ('live', 'restarted')
{
    like(as_role('etl', $sight), qr/at commit: $payload.*not now: $payload/s, "$pass: the owner is told");
    is(as_role('watcher', $sight), join("\n", map { "$_|$told $state{$_})" } sort keys %state),
        "$pass: pg_monitor learns that it is so, not with what");
    # The reason is there until the next try only.
    foreach my $source ($pass eq 'live' ? sort keys %state : ())
    {
        my $seen;
        ok(wait_until(60, sub { ($seen = as_role('watcher', "$reason '$source'")) eq "$told $state{$source})" }), "nor by the reason of $source")
            or diag $seen;
    }
    my $seen = as_role('watcher', $all);
    like($seen, qr/SQLSTATE 55P03/, "$pass: sees the state");
    unlike($seen, qr/patient/, 'and no contents anywhere');
    next if $pass ne 'live';
    # What a restart leaves is in a table.
    $node->append_conf('postgresql.conf', 'dpipe.enabled = off');
    $node->restart;
}

is(scalar $node->crash_lines, 0, 'nothing crashed');
$node->stop;
$mock->stop;
done_testing();
