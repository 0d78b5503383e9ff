# A PostgreSQL node with dpipe preloaded, and ways to be cruel to it.
package Dpipe::Node;

use strict;
use warnings;

use parent -norequire, 'PostgreSQL::Test::Cluster';

use File::Basename;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use Dpipe::Process qw(top_dir wait_until processes_in slow);

# A running node with the extension in database postgres. Options: conf (text
# for postgresql.conf), preload (true), extension (true), install_path, init
# (list of what init takes: allows_streaming, has_archiving).
sub make
{
    my ($class, $name, %options) = @_;
    my @path =
        $options{install_path} ? (install_path => $options{install_path}) : ();
    my $node = bless PostgreSQL::Test::Cluster->new($name, @path), $class;

    $node->init(@{ $options{init} // [] });
    # The test cluster's default is to stay down after a crash.
    $node->append_conf('postgresql.conf', <<'CONF');
restart_after_crash = on
log_line_prefix = '%m [%p] %q%a '
max_worker_processes = 16
dpipe.restart_delay_min = '200ms'
dpipe.restart_delay_max = '2s'
CONF
    $node->append_conf('postgresql.conf', "shared_preload_libraries = 'dpipe'")
        if $options{preload} // 1;
    $node->append_conf('postgresql.conf', "dpipe.load_path = '$ENV{DPIPE_LOAD_PATH}'")
        if $ENV{DPIPE_LOAD_PATH};
    $node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION dpipe')
        if $options{extension} // 1;
    return $node;
}

# A server like the one under test whose files can be changed: what it reads
# are links, its programs copies, for they find the rest beside themselves.
# Returns the install_path for make(), and the directory of extensions.
sub own_install
{
    my ($class, $name) = @_;
    my $root = PostgreSQL::Test::Utils::tempdir("install_$name");
    my $top = top_dir() . '/tmp_install';
    (my $path = $ENV{DPIPE_PG_CONFIG}) =~ s{^\Q$top\E(.*)/bin/pg_config$}{$root$1}
        or die "$ENV{DPIPE_PG_CONFIG} is not in $top";

    system_or_bail('cp', '-rs', "$top/.", $root);
    system_or_bail('rm', '-r', "$path/bin");
    system_or_bail('cp', '-r', dirname($ENV{DPIPE_PG_CONFIG}), $path);
    chomp(my $share = qx('$path/bin/pg_config' --sharedir));
    return ($path, "$share/extension");
}

# safe_psql on database postgres.
sub sql
{
    my ($self, $sql) = @_;
    return $self->safe_psql('postgres', $sql);
}

# As sql, but undef when the server is not there.
sub try_sql
{
    my ($self, $sql) = @_;
    # A psql that finds no server may be gone before it has been told what to do.
    my ($status, $out) = eval { $self->psql('postgres', $sql, timeout => 60 * slow()) };
    return defined $status && $status == 0 ? $out : undef;
}

# Poll a query until it returns 't' (or $expected); true when it did. Survives
# restarts of the server.
sub wait_sql
{
    my ($self, $sql, %options) = @_;
    my $expected = $options{expected} // 't';
    my $last;
    my $ok = wait_until(
        $options{seconds} // 60,
        sub { $last = $self->try_sql($sql); defined $last && $last eq $expected; },
        0.1);
    Test::More::diag("timed out: $sql\nlast result: " . ($last // 'none'))
        unless $ok;
    return $ok;
}

sub wait_up
{
    my ($self, $seconds) = @_;
    return $self->wait_sql('SELECT true', seconds => $seconds // 60);
}

# Do what makes a process of the server crash, and wait until all the others
# are gone and new ones there: the server may still answer before.
sub wait_crash
{
    my ($self, $function) = @_;
    my $offset = -s $self->logfile;
    $function->();
    return wait_until(60,
        sub { slurp_file($self->logfile, $offset) =~ /all server processes terminated/ })
        && $self->wait_up;
}

# A server for dpipe's sources.
sub create_server
{
    my ($self, $name, $broker, %options) = @_;
    $options{'bootstrap.servers'} = $broker->brokers;
    my $list = join ', ',
        map { sprintf q{"%s" '%s'}, $_, $options{$_} } sort keys %options;
    $self->sql(
        "CREATE SERVER $name FOREIGN DATA WRAPPER dpipe_kafka OPTIONS ($list)");
    return;
}

sub postmaster_pid
{
    my ($self) = @_;
    return (split /\n/, slurp_file($self->data_dir . '/postmaster.pid'))[0];
}

# SIGKILL for the postmaster. Its children notice and leave; what is still
# there after $seconds is returned as the number of those that had to be swept.
sub kill_postmaster
{
    my ($self, $seconds) = @_;
    my $pid = $self->postmaster_pid;
    my $dir = $self->data_dir;

    kill 'KILL', $pid;
    # Ours when init adopted it by way of us; else someone else reaps.
    wait_until(10, sub { waitpid($pid, WNOHANG) != 0 || !kill 0, $pid });
    $self->{_pid} = undef;

    wait_until($seconds // 10, sub { !grep { $_ != $pid } processes_in($dir) });
    my @left = processes_in($dir);
    kill 'KILL', @left if @left;
    wait_until(10, sub { _reap(@left); !processes_in($dir) }) if @left;
    return scalar @left;
}

# Wait for the end of a postmaster that was told to go.
sub await_stop
{
    my ($self) = @_;
    my $dir = $self->data_dir;
    wait_until(60, sub { _reap($self->{_pid}); !processes_in($dir) })
        or die 'the server does not stop';
    $self->{_pid} = undef;
    return;
}

sub _reap
{
    waitpid($_, WNOHANG) foreach @_;
    return;
}

# A server made from a backup of another one. Options: as init_from_backup, and
# conf. It is not started.
sub from_backup
{
    my ($class, $name, $origin, $backup, %options) = @_;
    my $conf = delete $options{conf};
    my $node = bless PostgreSQL::Test::Cluster->new($name), $class;

    $node->init_from_backup($origin, $backup, %options);
    # What it archived would land with the WAL of its origin.
    $node->append_conf('postgresql.conf', "archive_mode = off\n" . ($conf // ''));
    return $node;
}

# Pids of a source's workers.
sub worker_pids
{
    my ($self, $source) = @_;
    my $out = $self->try_sql(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dpipe worker'"
            . ($source ? " AND application_name LIKE 'dpipe: $source/%'" : ''));
    return split /\n/, $out // '';
}

sub crash_lines
{
    my ($self) = @_;
    return grep { /was terminated by signal (?!9\b)|PANIC|\bTRAP:/ }
        split /\n/, slurp_file($self->logfile);
}

1;
