# Processes that tests start: brokers, producers. None outlives its test.
package Dpipe::Process;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Path qw(make_path);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(top_dir tool log_path prctl wait_until processes_in slow thin);

use constant {
    PR_SET_PDEATHSIG       => 1,
    PR_SET_CHILD_SUBREAPER => 36,
};

my %running;

# A postmaster is nobody's child once pg_ctl is gone. Where the init process
# does not reap, as in many containers, one that was killed would stay a zombie
# whose pid file looks alive; so this process adopts and reaps.
prctl(PR_SET_CHILD_SUBREAPER, 1);

sub top_dir
{
    return $ENV{DPIPE_TOP} // dirname(__FILE__) . '/../../..';
}

sub tool
{
    my ($name) = @_;
    my $path = top_dir() . "/test/tools/bin/$name";
    die "$path is not built: make -C test/tools" unless -x $path;
    return $path;
}

sub log_path
{
    my ($name) = @_;
    make_path($PostgreSQL::Test::Utils::log_path);
    return "$PostgreSQL::Test::Utils::log_path/$name";
}

# No module of Perl's own has prctl; the numbers are those of the kernel.
sub prctl
{
    my ($option, $value) = @_;
    my $number = { x86_64 => 157, aarch64 => 167 }->{ (POSIX::uname())[4] };
    syscall($number, $option, $value, 0, 0, 0) if defined $number;
    return;
}

# Start a program; returns an object. Options: log (file for stdout and
# stderr), stdin (true: a pipe, written by say()), dir.
sub start
{
    my ($class, $command, %options) = @_;
    my ($read, $write);

    if ($options{stdin})
    {
        pipe($read, $write) or die "pipe: $!";
        $write->autoflush(1);
    }
    my $pid = fork() // die "fork: $!";
    if ($pid == 0)
    {
        prctl(PR_SET_PDEATHSIG, 9);
        chdir $options{dir} if $options{dir};
        open STDIN, '<&', $read or POSIX::_exit(126) if $read;
        open STDIN, '<', '/dev/null' or POSIX::_exit(126) unless $read;
        my $log = $options{log} // '/dev/null';
        open STDOUT, '>>', $log     or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        close $write if $write;
        no warnings 'exec';
        exec { $command->[0] } @$command or POSIX::_exit(127);
    }
    close $read if $read;
    my $self = bless { pid => $pid, stdin => $write, log => $options{log} },
        $class;
    $running{$pid} = $self;
    return $self;
}

sub pid { return $_[0]->{pid}; }

sub say
{
    my ($self, $line) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{stdin} } "$line\n";
    return;
}

sub close_stdin
{
    my ($self) = @_;
    close $self->{stdin} if $self->{stdin};
    $self->{stdin} = undef;
    return;
}

sub alive
{
    my ($self) = @_;
    return 0 if defined $self->{status};
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;
    $self->{status} = $?;
    delete $running{ $self->{pid} };
    return 0;
}

# Wait for the end; returns the exit status, undef when it did not end.
sub wait_end
{
    my ($self, $seconds) = @_;
    wait_until($seconds, sub { !$self->alive });
    return $self->{status};
}

sub signal
{
    my ($self, $signal) = @_;
    kill $signal, $self->{pid} if $self->alive;
    return;
}

sub stop
{
    my ($self, $signal, $seconds) = @_;
    $self->close_stdin;
    $self->signal($signal // 'TERM');
    return if defined $self->wait_end($seconds // 30);
    $self->signal('KILL');
    $self->wait_end(10);
    return;
}

# How much slower than usual the server may be: see test/valgrind.
sub slow { return $ENV{DPIPE_SLOW} // 1; }

# How many of many cases that differ in numbers only stand for each other.
sub thin { return $ENV{DPIPE_THIN} // 1; }

# Poll until the function returns true; returns that, or undef at the end.
sub wait_until
{
    my ($seconds, $function, $interval) = @_;
    my $deadline = time() + $seconds * slow();

    while (1)
    {
        my $result = $function->();
        return $result if $result;
        return if time() > $deadline;
        sleep($interval // 0.02);
    }
}

# Pids of the processes whose working directory is $dir: a server's.
sub processes_in
{
    my ($dir) = @_;
    my @pids;
    foreach my $link (glob '/proc/[0-9]*/cwd')
    {
        my $cwd = readlink $link;
        push @pids, $link =~ m{/proc/(\d+)/} if defined $cwd && $cwd eq $dir;
    }
    return @pids;
}

END
{
    my $status = $?;
    kill 'KILL', $_ foreach keys %running;
    waitpid($_, 0) foreach keys %running;
    $? = $status;
}

1;
