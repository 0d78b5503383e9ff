# librdkafka's mock cluster: a broker without Java, for what it can do (see
# test/tools/mock.c for what it cannot).
#
#   my $mock = Dpipe::Mock->new('name', topics => { t => 4 });
package Dpipe::Mock;

use strict;
use warnings;

use parent -norequire, 'Dpipe::Broker';

use PostgreSQL::Test::Utils;

use Dpipe::Broker;
use Dpipe::Process qw(tool log_path wait_until);

# Options: topics (name => partitions), nodes (1).
sub new
{
    my ($class, $name, %options) = @_;
    my $topics = $options{topics} // {};
    my $out    = PostgreSQL::Test::Utils::tempdir("mock_$name") . '/brokers';
    my $self   = bless { name => $name }, $class;

    $self->{process} = Dpipe::Process->start(
        [
            tool('mock'), '--brokers', $options{nodes} // 1, '--out', $out,
            map { "$_:$topics->{$_}" } sort keys %$topics
        ],
        stdin => 1,
        log   => log_path("mock_$name.log"));
    wait_until(30, sub { -e $out || !$self->{process}->alive });
    die "the mock cluster did not start" unless -e $out;
    chomp($self->{brokers} = slurp_file($out));
    return $self;
}

sub create_topic
{
    my ($self, $topic, $partitions) = @_;
    $self->{process}->say("topic $topic $partitions");
    wait_until(10,
        sub { ($self->ctl_status('watermarks', $topic) == 0) });
    return;
}

# A node of the mock goes down and comes up; the process stays.
sub node_down { my ($self, $node) = @_; return $self->{process}->say("down $node"); }
sub node_up   { my ($self, $node) = @_; return $self->{process}->say("up $node"); }

# -1: the partition is without a leader.
sub set_leader
{
    my ($self, $topic, $partition, $node) = @_;
    return $self->{process}->say("leader $topic $partition $node");
}

sub stop { my ($self) = @_; return $self->{process}->stop; }

1;
