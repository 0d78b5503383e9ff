# What befalls a server that loads: processes that die or stand still, servers
# and brokers that stop, definitions that change.
#
#   my $faults = Dpipe::Faults->new(node => $node, kafka => $kafka, producer => $producer,
#       source => 'ev', topic => 'events', target => 'events');
#   foreach my $kind (Dpipe::Faults->plan(100)) { $faults->strike($kind, $aimed); }
#
# A fault that is aimed comes right after a commit of the source. Every one is
# seen to have happened, or strike() dies.
package Dpipe::Faults;

use strict;
use warnings;

use List::Util qw(shuffle);
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Test::More import => ["note"];

use Dpipe::Process qw(wait_until);

# As near to a commit as this is aimed at, and records in a spoonful.
use constant { AIMED_MS => 20, FEED => 200 };

# Kinds of faults: how many among a hundred; what psql is told to bring it
# about; what is done and seen afterwards. The functions are methods.
my %kinds = (
    'worker SIGKILL' =>
        { share => 8, how => \&kill_worker, after => \&worker_was_killed },
    'worker SIGSTOP' =>
        { share => 8, how => \&stop_worker, after => \&worker_goes_on },
    'worker SIGSTOP, workers changed' =>
        { share => 6, how => \&stop_worker, after => \&worker_goes_on_in_other_slots },
    'worker terminated' =>
        { share => 8, how => \&terminate_worker, after => \&worker_is_gone },
    'postmaster SIGKILL' =>
        { share => 8, how => \&kill_postmaster, after => \&start_after_kill },
    'server stopped immediately' =>
        { share => 6, how => \&quit_server, after => \&start_after_stop },
    'server restarted' =>
        { share => 6, how => \&end_server, after => \&start_after_stop },
    'broker SIGTERM' =>
        { share => 5, how => \&term_broker, after => \&start_broker },
    'broker SIGKILL' =>
        { share => 5, how => \&kill_broker, after => \&start_broker },
    'source disabled' =>
        { share => 6, how => \&disable, after => \&enable },
    'source disabled, broker down' =>
        { share => 4, how => \&disable_without_broker, after => \&enable_and_start_broker },
    'workers changed' =>
        { share => 6, how => \&change_workers, after => \&workers_are_as_many },
    'dpipe_sync cancelled' =>
        { share => 4, how => \&disable, after => \&sync_and_enable },
    # A worker dies by its own hand at a step of one of its transactions.
    map({ ("at $_" => { share => 2, point => $_ }) }
        qw(load_begin load_compared load-store load_stored load_moved
            load_before_commit load_after_commit)),
    'at position_moved'    => 
        { share => 2, point => 'position_moved', before => \&abort_transaction },
    'at partitions_stored' =>
        { share => 2, point => 'partitions_stored', before => \&terminate_now },
    'at slot_state' =>
        { share => 2, point => 'slot_state', before => \&make_bounded_source });

# These are as near to a commit as can be.
my %by_nature = map { $_ => 1 } 'at load_before_commit', 'at load_after_commit';

sub kinds { my @names = sort keys %kinds; return @names; }

# So many kinds in random order: each at least once, more by their shares.
sub plan
{
    my ($class, $n) = @_;
    my @names = kinds();
    my @more  = shuffle map { ($_) x ($kinds{$_}{share} - 1) } @names;
    my @plan  = @names;

    push @plan, $more[ (@plan - @names) % @more ] while @plan < $n;
    return shuffle @plan;
}

sub can_be_aimed { my ($class, $kind) = @_; return exists $kinds{$kind}{how}; }

# Options: node, kafka, producer (with credit), source, topic, target; workers (2).
sub new
{
    my ($class, %options) = @_;
    return bless { workers => 2, bounded => 0, swept => 0, aimed => 0, count => {}, %options },
        $class;
}

# SQL that defines the source as it is now.
sub definition
{
    my ($self) = @_;
    return <<SQL;
SELECT dpipe_create_kafka_source('$self->{source}', server => 'broker', topic => '$self->{topic}',
    target => '$self->{target}', options => '{"workers": $self->{workers}, "linger_ms": 50}');
SQL
}

sub strike
{
    my ($self, $kind, $aimed) = @_;
    my $k = $kinds{$kind};

    if ($k->{point})
    {
        $self->die_at($k);
        $self->{aimed}++ if $by_nature{$kind};
    }
    else
    {
        my $ms = $self->psql($k->{how}->($self), $aimed);
        note sprintf '    %.1f ms after a commit', $ms if $aimed;
        $self->{aimed}++ if $aimed && $ms <= AIMED_MS;
        $k->{after}->($self);
    }
    $self->{count}{$kind}++;
    return;
}

# Tell psql what to do, at once or right after a commit: one psql does both,
# for to start another would take longer than the time allowed. Returns the
# milliseconds from the commit to the end of the deed.
sub psql
{
    my ($self, $deed, $aimed) = @_;
    my $script = $aimed ? <<SQL : '';
DO \$\$
DECLARE
    before bigint := (SELECT max(last_load_id) FROM dpipe.position);
BEGIN
    FOR i IN 1..10000 LOOP
        EXIT WHEN (SELECT max(last_load_id) FROM dpipe.position) > before;
        PERFORM pg_sleep(0.002);
    END LOOP;
END \$\$;
SELECT extract(epoch FROM max(last_load_at)) FROM dpipe.position;
SQL
    $script .= "$deed\n\\! date +%s.%N\n";
    my ($out, $err) = ('', '');
    IPC::Run::run [ 'psql', '-XqAt', '-d', $self->{node}->connstr('postgres') ],
        '<', \$script, '>', \$out, '2>', \$err;
    my @lines = grep { /^\d+\.\d+$/ } split /\n/, $out;
    die "psql: $out$err" if @lines != ($aimed ? 2 : 1);
    die "a fault did not come about: $err" if $err =~ /ERROR|No such process/;
    return $aimed ? 1000 * ($lines[1] - $lines[0]) : undef;
}

sub log_size { my ($self) = @_; return -s $self->{node}->logfile; }

# What the server's log says since a size of it matches. Meanwhile there is
# always something to load.
sub await_log
{
    my ($self, $size, $regex) = @_;
    my $fed = time();
    wait_until(
        60,
        sub {
            if (time() > $fed + 0.5)
            {
                $self->{producer}->say(FEED);
                $fed = time();
            }
            return slurp_file($self->{node}->logfile, $size) =~ $regex;
        },
        0.005) or die "the log does not say $regex";
    return;
}

sub pids { my ($self) = @_; return $self->{node}->worker_pids($self->{source}); }

# One worker of the source, which is to suffer.
sub victim
{
    my ($self) = @_;
    my $pids = wait_until(60, sub { my @pids = $self->pids; @pids ? \@pids : undef; });
    die 'no worker' unless $pids;
    return $self->{victim} = $pids->[ rand @$pids ];
}

# ---------- workers ----------

sub kill_worker
{
    my ($self) = @_;
    $self->{log} = $self->log_size;
    return '\! kill -KILL ' . $self->victim;
}

sub worker_was_killed
{
    my ($self) = @_;
    $self->await_log($self->{log}, qr/\(PID $self->{victim}\) was terminated by signal 9/);
    $self->{node}->wait_up;
    return;
}

sub stop_worker { my ($self) = @_; return '\! kill -STOP ' . $self->victim; }

sub is_stopped
{
    my ($pid) = @_;
    return slurp_file("/proc/$pid/status") =~ /^State:\s+T/m;
}

sub let_go
{
    my ($self, $seconds) = @_;
    wait_until(10, sub { is_stopped($self->{victim}); }) or die 'the worker does not stand still';
    sleep $seconds;
    kill 'CONT', $self->{victim} or die 'the worker that stood still is gone';
    return;
}

sub worker_goes_on { my ($self) = @_; return $self->let_go(0.1 + rand 1.5); }

# While it stands still its slot becomes another's, and it is told to leave. In
# the middle of a transaction it holds its position: the change waits for that.
sub worker_goes_on_in_other_slots
{
    my ($self) = @_;
    my $psql = Dpipe::Process->start(
        [ 'psql', '-Xq', '-d', $self->{node}->connstr('postgres'), '-c', $self->change_workers ]);
    $self->let_go(0.1 + rand 2);
    my $status = $psql->wait_end(60);
    die 'the definition could not be changed' unless defined $status && $status == 0;
    $self->workers_are_as_many;
    return;
}

sub terminate_worker
{
    my ($self) = @_;
    return 'SELECT pg_terminate_backend(' . $self->victim . ');';
}

sub worker_is_gone
{
    my ($self) = @_;
    wait_until(10, sub { !kill 0, $self->{victim} }) or die 'the worker does not go';
    return;
}

# ---------- the server ----------

sub kill_postmaster { my ($self) = @_; return '\! kill -KILL ' . $self->{node}->postmaster_pid; }
sub quit_server     { my ($self) = @_; return '\! kill -QUIT ' . $self->{node}->postmaster_pid; }
sub end_server      { my ($self) = @_; return '\! kill -INT ' . $self->{node}->postmaster_pid; }

sub start_after_kill
{
    my ($self) = @_;
    $self->{swept} += $self->{node}->kill_postmaster;
    $self->{node}->start;
    return;
}

sub start_after_stop
{
    my ($self) = @_;
    $self->{node}->await_stop;
    $self->{node}->start;
    return;
}

# ---------- the broker ----------

sub signal_broker
{
    my ($self, $signal) = @_;
    return "\\! kill -$signal " . $self->{kafka}{process}->pid;
}

sub term_broker { my ($self) = @_; return $self->signal_broker('TERM'); }
sub kill_broker { my ($self) = @_; return $self->signal_broker('KILL'); }

sub start_broker
{
    my ($self) = @_;
    defined $self->{kafka}{process}->wait_end(60) or die 'the broker does not end';
    $self->{kafka}->start;
    return;
}

# ---------- the definition ----------

sub disable { my ($self) = @_; return "SELECT dpipe_disable_source('$self->{source}');"; }

sub await_disabled
{
    my ($self) = @_;
    wait_until(10, sub { !$self->pids }) or die 'a disabled source has workers';
    return;
}

sub enable
{
    my ($self) = @_;
    $self->await_disabled if rand() < 0.5;
    $self->{node}->sql("SELECT dpipe_enable_source('$self->{source}')");
    return;
}

sub disable_without_broker
{
    my ($self) = @_;
    return join "\n", $self->signal_broker(rand() < 0.5 ? 'TERM' : 'KILL'), $self->disable;
}

sub enable_and_start_broker
{
    my ($self) = @_;
    my @steps = (sub { $self->enable }, sub { $self->start_broker });
    $self->await_disabled;
    $_->() foreach rand() < 0.5 ? @steps : reverse @steps;
    return;
}

sub change_workers
{
    my ($self) = @_;
    $self->{workers} = 1 + ($self->{workers} + int rand 3) % 4;
    return $self->definition;
}

sub workers_are_as_many
{
    my ($self) = @_;
    wait_until(60, sub { $self->pids == $self->{workers}; }) or die 'workers are not as many as asked for';
    return;
}

# A session loads for a moment and is interrupted, if it is not done before.
sub sync_and_enable
{
    my ($self) = @_;
    $self->await_disabled;
    my (undef, undef, $err) = $self->{node}->psql('postgres',
        sprintf q{SET statement_timeout = %d; CALL dpipe_sync('%s')},
        50 + rand 1500, $self->{source});
    die $err if $err =~ /ERROR/ && $err !~ /statement timeout/;
    $self->enable;
    return;
}

# ---------- fault points ----------

# The file that the server's configuration includes for fault points.
sub set_point
{
    my ($self, $value) = @_;
    my $file = $self->{node}->data_dir . '/fault.conf';
    open my $out, '>', $file or die "$file: $!";
    print $out "dpipe.fault_point = '$value'\n";
    close $out;
    kill 'HUP', $self->{node}->postmaster_pid;
    return;
}

sub die_at
{
    my ($self, $kind) = @_;
    my $size = $self->log_size;

    $self->set_point("$kind->{point}:kill");
    $kind->{before}->($self) if $kind->{before};
    $self->await_log($size, qr/"dpipe worker" \(PID \d+\) was terminated by signal 9/);
    $self->set_point('');
    $self->{node}->wait_up;
    return;
}

# A worker that starts stores its partitions.
sub terminate_now
{
    my ($self) = @_;
    $self->{node}->try_sql($self->terminate_worker);
    return;
}

# A source of which nothing but control records moves the position.
sub abort_transaction
{
    my ($self) = @_;
    my $topic = "$self->{topic}-aborted";

    $self->{kafka}->create_topic($topic, 1) unless $self->{aborted}++;
    $self->{node}->try_sql(<<SQL);
SELECT dpipe_create_kafka_source('aborted', server => 'broker', topic => '$topic', target => 'bounded')
SQL
    $self->{kafka}->produce(
        topic => $topic, partitions => 1, records => 50, producers => 1,
        txn_producers => 1, txn_records => 50, abort_every => 1);
    return;
}

use constant BOUNDED_STOP => 200;

# A source that reads the first records of each partition and is finished;
# the table "bounded" is the test's.
sub make_bounded_source
{
    my ($self) = @_;
    my $name = 'bounded_' . $self->{bounded}++;
    my $stop = join ', ', map { sprintf '"%d": %d', $_, BOUNDED_STOP } 0 .. 7;
    $self->{node}->try_sql(<<SQL);
SELECT dpipe_create_kafka_source('$name', server => 'broker', topic => '$self->{topic}', target => 'bounded',
    options => '{"stop_at": {"$self->{topic}": {$stop}}}');
SQL
    return;
}

1;
