# What benches share: a server and a broker, loads and COPY with their CPU
# seconds, figures, and the one JSON line at the end.
#
# A machine is seldom quiet: what is compared is measured in turns, in the same
# run, and medians are told with the CPU seconds beside them.
package Dpipe::Bench;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(floor);
use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;

our @EXPORT_OK = qw(median percentile process_cpu process_memory report
    bench_node bench_kafka bench_dbt fill_topic load_source copy_file backend_cpu
    backend_cpu_sql run_session run_command_timed compare_with_copy);

# ---------- figures ----------

sub percentile
{
    my ($share, @values) = @_;
    @values = sort { $a <=> $b } @values;
    my $index = floor($share * @values);
    return $values[ $index < @values ? $index : -1 ];
}

sub median { return percentile(0.5, @_); }

# CPU seconds that processes have used so far, user and system.
sub process_cpu
{
    my $ticks = 0;
    foreach my $pid (@_)
    {
        my ($after_name) = slurp_file("/proc/$pid/stat") =~ /\) (.*)/;
        my @fields = split / /, $after_name;
        $ticks += $fields[11] + $fields[12];
    }
    return $ticks / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# A line of /proc/PID/status (VmHWM, RssAnon, …) in MB.
sub process_memory
{
    my ($pid, $name) = @_;
    my ($kb) = slurp_file("/proc/$pid/status") =~ /^$name:\s+(\d+) kB/m;
    return defined $kb ? $kb / 1024 : undef;
}

# The result: one JSON object on one line. Members are [name, value] pairs;
# strings are quoted, numbers are not.
sub report
{
    my (@members) = @_;
    my @parts;
    while (my ($name, $value) = splice @members, 0, 2)
    {
        $value = qq("$value") unless $value =~ /^-?\d+(\.\d+)?$/;
        push @parts, qq("$name": $value);
    }
    open my $out, '>', $ENV{DPIPE_BENCH_OUT} or die "$ENV{DPIPE_BENCH_OUT}: $!";
    print $out '{' . join(', ', @parts) . "}\n";
    close $out;
    ok(1, 'done');
    done_testing();
    return;
}

# ---------- what is measured ----------

# Durable as in production; memory for the tables, so that disks do not decide.
sub bench_node
{
    my (%options) = @_;
    return Dpipe::Node->make('bench', conf => <<'CONF' . ($options{conf} // ''));
fsync = on
shared_buffers = '1GB'
max_wal_size = '16GB'
checkpoint_timeout = '1h'
autovacuum = off
CONF
}

# A broker; ends the bench where there can be none.
sub bench_kafka
{
    my (%options) = @_;
    if (my $reason = Dpipe::Kafka->skip_reason) { plan skip_all => $reason; }
    return Dpipe::Kafka->new('bench', heap => '512m', %options);
}

# A Python that has dbt; ends the bench where there can be none.
sub bench_dbt
{
    plan skip_all => $ENV{DPIPE_DBT_SKIP} // 'DPIPE_DBT_PYTHON is not set, see test/lib/dbt_fetch.sh'
        unless $ENV{DPIPE_DBT_PYTHON};
    $ENV{$_} = 0 foreach qw(DBT_SEND_ANONYMOUS_USAGE_STATS DBT_VERSION_CHECK);
    $ENV{DO_NOT_TRACK} = 1;
    return $ENV{DPIPE_DBT_PYTHON};
}

# A topic of 8 partitions (or "partitions") and so many records, before any
# clock starts. Other options as test/tools/produce has them.
sub fill_topic
{
    my ($kafka, $topic, $records, %options) = @_;
    $options{partitions} //= 8;
    $kafka->create_topic($topic, $options{partitions});
    $kafka->produce(
        topic     => $topic,
        records   => $records,
        producers => 2,
        %options);
    diag "$records records are in Kafka";
    return;
}

# Load a topic to its end; [ seconds, CPU seconds of the workers ]. The clock
# runs from enabling the source to the last load, start and connection
# included. Options: target, format, workers, options (more, as JSON members).
sub load_source
{
    my ($node, $source, $topic, $records, %options) = @_;
    my $format  = $options{format}  // 'json';
    my $workers = $options{workers} // 1;
    my $more    = $options{options} ? ", $options{options}" : '';
    $node->sql(<<SQL);
SELECT dpipe_create_kafka_source('$source', server => 'broker', topic => '$topic', target => '$options{target}',
    format => '$format', options => '{"enabled": false, "workers": $workers$more}');
CHECKPOINT;
SQL
    my $start = time();
    $node->sql("SELECT dpipe_enable_source('$source')");
    $node->wait_sql("SELECT sum(rows + dead_letters) = $records FROM dpipe.load WHERE source = '$source'",
        seconds => 900) or die 'the load does not end';
    my $cpu = process_cpu($node->worker_pids($source));
    my $end = $node->sql(
        "SELECT extract(epoch FROM max(finished_at)) FROM dpipe.load WHERE source = '$source'");
    return ($end - $start, $cpu);
}

# An expression: ticks of user and system time that this backend has used.
sub backend_cpu_sql
{
    return q{(SELECT f[12]::int + f[13]::int FROM string_to_array(substring(pg_read_file('/proc/self/stat', 0, 4096) from '\) (.*)'), ' ') AS f)};
}

# Run a statement in a session of its own; [ seconds, CPU seconds ].
sub backend_cpu
{
    my ($node, $before, $sql, $after) = @_;
    my $now = 'SELECT extract(epoch FROM clock_timestamp()), ' . backend_cpu_sql();
    my @lines = split /\n/,
        $node->sql("$before;\n$now;\n$sql;\n$now;\n" . ($after // ''));
    my @from = split /\|/, $lines[0];
    my @to   = split /\|/, $lines[1];
    return ($to[0] - $from[0],
        ($to[1] - $from[1]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK));
}

# Run a command; [ seconds, CPU seconds of it and its children ].
sub run_command_timed
{
    my (@command) = @_;
    my $start = time();
    my @used  = POSIX::times();
    my ($out, $err) = ('', '');
    IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err) or die "@command: $out$err";
    my @now = POSIX::times();
    my $ticks = $now[3] + $now[4] - $used[3] - $used[4];
    return (time() - $start, $ticks / POSIX::sysconf(&POSIX::_SC_CLK_TCK), $out);
}

# Run a script in a session of its own, psql and connecting included; [ seconds,
# CPU seconds of psql and its backend, what it printed ]. The kernel counts the
# time of each process in nanoseconds; an idle one's is up to date.
sub run_session
{
    my ($node, $sql) = @_;
    my $script = "$PostgreSQL::Test::Utils::tmp_check/session.sql";
    my $out    = '';
    open my $f, '>', $script or die "$script: $!";
    print $f <<"SQL";
SELECT pg_backend_pid() AS pid \\gset
\\setenv BACKEND :pid
$sql
\\! cut -d ' ' -f 1 /proc/\$BACKEND/schedstat /proc/\$PPID/schedstat
SQL
    close $f;
    my $start = time();
    IPC::Run::run([
        'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ],
        '>', \$out) or die "psql failed: $out";
    my $seconds = time() - $start;
    my @lines = split /\n/, $out;
    my $cpu   = (pop(@lines) + pop(@lines)) / 1e9;
    return ($seconds, $cpu, join "\n", @lines);
}

# COPY FROM the file that COPY TO of the table gives, into its like.
sub copy_file
{
    my ($node, $table) = @_;
    my $file = "$PostgreSQL::Test::Utils::tmp_check/$table.copy";
    my @used = backend_cpu($node, <<SQL, "COPY copied FROM '$file'", 'DROP TABLE copied');
COPY $table TO '$file';
CREATE TABLE copied (LIKE $table INCLUDING ALL);
CHECKPOINT
SQL
    unlink $file;
    return @used;
}

# The whole bench of a worker against COPY: rows a second of one worker into a
# table, divided by those of COPY FROM the file that COPY TO of the same table
# gives. Takes bench, target, payload (of test/tools/produce), table (columns
# in SQL; default: the table that the source makes) and format.
#
# BENCH_RECORDS (1000000), BENCH_ROUNDS (5)
sub compare_with_copy
{
    my (%options) = @_;
    my $records = $ENV{BENCH_RECORDS} // 1000000;
    my $rounds  = $ENV{BENCH_ROUNDS}  // 5;
    my $kafka   = bench_kafka();
    my $node    = bench_node();
    my (@load, @load_cpu, @copy, @copy_cpu);

    fill_topic($kafka, 'events', $records, payload => $options{payload});
    $node->create_server('broker', $kafka);
    foreach my $round (1 .. $rounds)
    {
        $node->sql("CREATE TABLE raw ($options{table})") if $options{table};
        my ($seconds, $cpu) = load_source($node, "s$round", 'events', $records,
            target => 'raw', format => $options{format});
        push @load, $records / $seconds;
        push @load_cpu, $cpu;
        ($seconds, $cpu) = copy_file($node, 'raw');
        push @copy, $records / $seconds;
        push @copy_cpu, $cpu;
        $node->sql("SELECT dpipe_drop_source('s$round'); DROP TABLE raw");
        diag sprintf 'round %d: worker %d records/s (%.2f CPU s), COPY %d rows/s (%.2f CPU s)',
            $round, $load[-1], $load_cpu[-1], $copy[-1], $copy_cpu[-1];
    }
    $node->stop;
    $kafka->stop;

    report(
        bench                => $options{bench},
        value                => sprintf('%.3f', median(@load) / median(@copy)),
        unit                 => 'of COPY',
        target               => $options{target},
        worker_records_per_s => int(median(@load)),
        copy_rows_per_s      => int(median(@copy)),
        worker_cpu_s         => sprintf('%.2f', median(@load_cpu)),
        copy_cpu_s           => sprintf('%.2f', median(@copy_cpu)),
        ratio_per_cpu_s      => sprintf('%.3f', median(@copy_cpu) / median(@load_cpu)),
        records              => $records,
        rounds               => $rounds);
    return;
}

1;
