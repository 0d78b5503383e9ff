# A proxy in front of a broker that can keep answers to itself.
#
#   my $proxy = Dpipe::Proxy->new($port, $port_of_the_broker);
#   $proxy->swallow('fetch');  # of the connections that there are now
#   $proxy->swallow('all');
#   $proxy->throttle(100_000); # answers of all connections, from now on; 0: not
#
# Requests go through, and connections that are made later are whole: what is
# connected has fallen silent, and nothing else has happened.
package Dpipe::Proxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

use Dpipe::Process qw(prctl);

use constant { FETCH => 1, READ_SIZE => 1 << 20, TICK => 0.05 };

sub new
{
    my ($class, $port, $target) = @_;
    pipe(my $read, my $write) or die "pipe: $!";
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1)
        or die "port $port: $!";

    $write->autoflush(1);
    my $pid = fork() // die "fork: $!";
    if ($pid == 0)
    {
        prctl(Dpipe::Process::PR_SET_PDEATHSIG, 9);
        close $write;
        eval { _serve($listener, $target, $read) };
        warn $@ if $@;
        POSIX::_exit(0);
    }
    close $read;
    return bless { pid => $pid, commands => $write }, $class;
}

sub swallow
{
    my ($self, $what) = @_;
    print { $self->{commands} } "$what\n";
    return;
}

# Bytes a second that each connection may answer.
sub throttle
{
    my ($self, $rate) = @_;
    print { $self->{commands} } "$rate\n";
    return;
}

sub stop
{
    my ($self) = @_;
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

# ---------- in the proxy ----------

# A connection: sockets "client" and "server", what was read of them and is no
# whole frame yet, what the requests on their way ask for, what is swallowed,
# what waits to be answered.
my %connection_of;    # by socket
my $rate        = 0;
my $answered_at = 0;

sub _serve
{
    my ($listener, $target, $commands) = @_;
    my $select = IO::Select->new($listener, $commands);

    for (;;)
    {
        foreach my $socket ($select->can_read($rate > 0 ? TICK : undef))
        {
            if ($socket == $commands)
            {
                sysread $commands, my $what, READ_SIZE or return;
                _command($_) foreach split /\n/, $what;
            }
            elsif ($socket == $listener)
            {
                $select->add(_accept($listener, $target));
            }
            elsif (my $connection = $connection_of{$socket})
            {
                _forward($connection, $socket) or $select->remove(_close($connection));
            }
        }
        _answer_slowly();
    }
}

sub _command
{
    my ($what) = @_;
    if ($what =~ /^\d+$/)
    {
        $rate        = $what;
        $answered_at = time;
        return;
    }
    foreach my $connection (values %connection_of)
    {
        $connection->{swallowed} = $what;
        $connection->{queue} = '' if $what eq 'all';
    }
    return;
}

# What the time since the last call allows, of each connection.
sub _answer_slowly
{
    my $now     = time;
    my $elapsed = $now - $answered_at;
    return if $rate > 0 && $elapsed < TICK;

    # Each is there twice, by both its sockets.
    my %connections = map { $_ => $_ } values %connection_of;
    foreach my $connection (grep { $_->{queue} ne '' } values %connections)
    {
        my $share = $rate > 0 ? int($rate * $elapsed) : length $connection->{queue};
        _write_all($connection->{client}, substr $connection->{queue}, 0, $share, '');
    }
    $answered_at = $now;
    return;
}

sub _accept
{
    my ($listener, $target) = @_;
    my $client = $listener->accept or return;
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $target)
        or return;
    my $connection = { client => $client, server => $server, asked => {}, swallowed => '', queue => '' };

    $connection_of{$_} = $connection foreach $client, $server;
    return ($client, $server);
}

sub _close
{
    my ($connection) = @_;
    my @sockets = @$connection{qw(client server)};
    delete @connection_of{@sockets};
    shutdown $_, 2 foreach @sockets;
    return @sockets;
}

# False when the connection is at its end.
sub _forward
{
    my ($connection, $from) = @_;
    my $is_request = $from == $connection->{client};
    my $to         = $connection->{ $is_request ? 'server' : 'client' };
    my $buffer     = \$connection->{"read $from"};

    sysread $from, $$buffer, READ_SIZE, length($$buffer // '') or return 0;
    while (length $$buffer >= 4 && length $$buffer >= 4 + unpack('N', $$buffer))
    {
        my $frame = substr $$buffer, 0, 4 + unpack('N', $$buffer), '';
        next unless $is_request ? _note_request($connection, $frame) : _is_wanted($connection, $frame);
        if ($is_request || $rate == 0 && $connection->{queue} eq '')
        {
            _write_all($to, $frame) or return 0;
        }
        else
        {
            $connection->{queue} .= $frame;
        }
    }
    return 1;
}

# Length, what is asked for, its version, number of the request.
sub _note_request
{
    my ($connection, $frame) = @_;
    my (undef, $key, undef, $number) = unpack 'NnnN', $frame;
    $connection->{asked}{$number} = $key;
    return 1;
}

sub _is_wanted
{
    my ($connection, $frame) = @_;
    my (undef, $number) = unpack 'NN', $frame;
    my $key = delete $connection->{asked}{$number} // -1;
    return $connection->{swallowed} eq '' || $connection->{swallowed} eq 'fetch' && $key != FETCH;
}

sub _write_all
{
    my ($to, $frame) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $frame)
    {
        my $n = syswrite $to, $frame or return 0;
        substr $frame, 0, $n, '';
    }
    return 1;
}

1;
