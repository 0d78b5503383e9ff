# A disk that is full and memory that is at an end, by the kernel's own word:
# a table's disk, WAL's disk, and a limit of address space. t/670 has the same
# and all other faults made up.
#
# The disks are file systems in memory that this test mounts for itself and its
# servers, in namespaces of its own; where that is not allowed it skips.
use strict;
use warnings;

use lib "$ENV{DPIPE_TOP}/test/lib";
use POSIX ();

use PostgreSQL::Test::Utils;
use Test::More;

# Linux on x86_64 and aarch64.
use constant SYS_MOUNT => { x86_64 => 165, aarch64 => 40 };

my $can;

BEGIN
{
    my @inside = qw(unshare --map-current-user --mount --keep-caps);
    if (!$ENV{DPIPE_INSIDE} && system("@inside true > /dev/null 2>&1") == 0)
    {
        $ENV{DPIPE_INSIDE} = 1;
        exec @inside, $^X, (map { "-I$_" } @INC), $0 or die "exec: $!";
    }
    $can = $ENV{DPIPE_INSIDE};
}

use Dpipe::Mock;
use Dpipe::Node;
use LoadTest;

plan skip_all => 'namespaces of users are not allowed here' unless $can;

sub mount_small
{
    my ($megabytes) = @_;
    my $dir  = PostgreSQL::Test::Utils::tempdir('small');
    my $call = SYS_MOUNT->{ (POSIX::uname())[4] } // return;
    my @text = ('tmpfs', $dir, 'tmpfs', "size=${megabytes}m,mode=700");
    return syscall($call, @text[ 0 .. 2 ], 0, $text[3]) == 0 ? $dir : undef;
}

# Until nothing goes in any more; to be removed.
sub fill
{
    my ($dir) = @_;
    open my $file, '>:raw', "$dir/filler" or die "could not open $dir/filler: $!";
    foreach my $bytes (65536, 1)
    {
        1 while defined syswrite $file, 'x' x $bytes;
        die "$dir: $!" unless $!{ENOSPC};
    }
    close $file;
    return "$dir/filler";
}

my $table_disk = mount_small(16);
my $wal_disk   = mount_small(256);
plan skip_all => 'file systems cannot be mounted here' unless $table_disk && $wal_disk;

my $mock = Dpipe::Mock->new('limits', topics => { t => 1, w => 1 });

sub send_records
{
    my ($topic, $from, $to) = @_;
    my $text = 'x' x 1500;
    $mock->send_records($topic, map { [ 0, undef, qq({"n": $_, "v": "$text"}) ] } $from .. $to);
    return;
}

sub is_once
{
    my ($node, $table, $n) = @_;
    ok($node->wait_sql("SELECT count(*) >= $n FROM $table"), "$table: goes on by itself");
    is($node->sql("SELECT count(*), count(DISTINCT n), count(DISTINCT _offset) FROM $table"), "$n|$n|$n", 'each record has one row');
    is($node->sql('SELECT count(*) FROM dpipe.dead_letter'), 0, 'none is a dead letter');
    return;
}

# ---- a table's disk ----

my $node = Dpipe::Node->make('limits', conf => "max_wal_size = '32MB'\nmin_wal_size = '32MB'\nrestart_after_crash = off\n");
$node->create_server('k', $mock);
$node->sql("CREATE TABLESPACE small LOCATION '$table_disk'");
$node->sql(q{CREATE TABLE t (n int, v text, _offset bigint) TABLESPACE small; ALTER TABLE t ALTER v SET STORAGE PLAIN;
    SELECT dpipe_create_kafka_source('t', 'k', 't', 'public.t')});
send_records('t', 0, 9);
ok($node->wait_sql('SELECT count(*) = 10 FROM t'), 'a table on a small disk is loaded');
my $filler = fill($table_disk);
send_records('t', 10, 99);
ok($node->wait_sql(q{SELECT state = 'retrying' AND reason ~ 'could not (extend|write).*No space left on device' FROM dpipe.source_status}),
    'no space left: it is told') or diag $node->sql('SELECT state, reason FROM dpipe.source_status');
is($node->sql('SELECT count(*) FROM t'), 10, 'and nothing of the batch is stored');
unlink $filler;
is_once($node, 't', 100);
$node->sql(q{SELECT dpipe_drop_source('t')});

# ---- WAL's disk: the server goes down, as PostgreSQL does ----

$node->stop;
my $wal = $node->data_dir . '/pg_wal';
system_or_bail('cp', '-r', "$wal/.", $wal_disk);
system_or_bail('rm', '-r', $wal);
symlink $wal_disk, $wal or die "symlink: $!";
$node->start;
$node->sql(q{CREATE TABLE w (n int, v text, _offset bigint);
    SELECT dpipe_create_kafka_source('w', 'k', 'w', 'public.w', options => '{"enabled": false}')});
send_records('w', 0, 2999);
# 4 MB, where 1 MB is left of the only file of WAL that there is.
$node->sql(q{SELECT pg_logical_emit_message(false, '', repeat('x',
    (15 * 1048576 - (pg_current_wal_insert_lsn() - '0/0') % 16777216)::int))});
$filler = fill($wal_disk);
$node->sql(q{SELECT dpipe_enable_source('w')});
$node->await_stop;
like(slurp_file($node->logfile), qr/PANIC: .*"pg_wal.*No space left on device/, 'no space left for WAL: PostgreSQL gives up');
unlink $filler;
$node->start;
is_once($node, 'w', 3000);
$node->stop;

# ---- memory ----

load_node('memory');
sql(<<'SQL');
CREATE TABLE raw.m (_payload jsonb, _offset int);
SELECT dpipe._test_source('m', 'raw.m');
-- Documents of 10 MB that take 200 MB to become a value.
CREATE TABLE records AS SELECT n, convert_to(CASE WHEN n = 5 THEN '[' || repeat('0,', 5000000) || '0]' ELSE '[' || n || ']' END, 'UTF8') AS p
    FROM generate_series(0, 9) AS n;
-- From here on 100 MB more may be had than there are.
CREATE FUNCTION limited(first bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    COPY (SELECT 1) TO PROGRAM
        'cat > /dev/null; prlimit --pid $PPID --as=$((1024 * (100000 + $(sed -n "s/^VmSize:[^0-9]*\([0-9]*\) kB$/\1/p" /proc/$PPID/status))))';
    RETURN first;
END $$;
SQL
my $load = q{SELECT rows, dead_letters, settled FROM dpipe._test_load('m', (SELECT array_agg(p ORDER BY n) FROM records WHERE %s), NULL, limited(0))};
is(sql(sprintf $load, 'true'), '9|1|10', 'a record that memory does not suffice for, among others');
like(sql('SELECT "offset", stage, sqlstate, message, length(payload) FROM dpipe.letter'),
    qr/^5\|convert\|53200\|.*out of memory.*\|10000003$/, 'is a dead letter, whole');
like(sql_error(sprintf $load, 'n = 5'), qr/53200.*out of memory/s, 'alone it is no fault of the record');
is(sql(q{SELECT count(*) FROM raw.m; SELECT replayed FROM dpipe_replay('m'); SELECT count(*), count(DISTINCT _offset), max(jsonb_array_length(_payload)) FROM raw.m}),
    "9\n1\n10|10|5000001", 'where there is more memory it is loaded');
$mock->stop;
done_testing();
