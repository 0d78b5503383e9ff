# What a real Kafka and the mock cluster have in common.
package Dpipe::Broker;

use strict;
use warnings;

use IPC::Run;

use PostgreSQL::Test::Utils;

use Dpipe::Process qw(tool log_path);

sub brokers { return $_[0]->{brokers}; }

sub _ctl
{
    my ($self, @arguments) = @_;
    my ($out, $err) = ('', '');
    IPC::Run::run [ tool('kafkactl'), '-b', $self->{brokers}, @arguments ],
        '<', \undef, '>', \$out, '2>', \$err;
    return ($?, $out, $err);
}

# Run kafkactl; returns its output, dies when it fails.
sub ctl
{
    my ($self, @arguments) = @_;
    my ($status, $out, $err) = $self->_ctl(@arguments);
    die "kafkactl @arguments: $err" if $status != 0;
    return $out;
}

sub ctl_status
{
    my ($self, @arguments) = @_;
    return ($self->_ctl(@arguments))[0];
}

sub create_topic
{
    my ($self, $topic, $partitions, %config) = @_;
    return $self->ctl('create', $topic, $partitions,
        map { "$_=$config{$_}" } sort keys %config);
}

# [low, high] by partition.
sub watermarks
{
    my ($self, $topic) = @_;
    my @marks;
    foreach (split /\n/, $self->ctl('watermarks', $topic))
    {
        my ($partition, $low, $high) = split /\t/;
        $marks[$partition] = [ $low, $high ];
    }
    return @marks;
}

# Records as lines "topic, partition, offset, md5", sorted.
sub dump_topic
{
    my ($self, $topic, $isolation) = @_;
    return sort split /\n/, $self->ctl('dump', $topic, $isolation);
}

# Start a producer: options as those of test/tools/produce, "_" for "-";
# properties => {…} are librdkafka's; credit => 1 gives a process that waits
# for $process->say(number).
sub start_produce
{
    my ($self, %options) = @_;
    my $credit     = delete $options{credit};
    my $properties = delete $options{properties} // {};
    my @command    = (tool('produce'), '-b', $self->{brokers},
        map { ('-X', "$_=$properties->{$_}") } sort keys %$properties);

    foreach my $name (sort keys %options)
    {
        (my $option = $name) =~ tr/_/-/;
        push @command, "--$option", $options{$name};
    }
    push @command, '--credit' if $credit;
    return Dpipe::Process->start(
        \@command,
        stdin => $credit,
        log   => log_path("produce_$options{topic}.log"));
}

sub produce
{
    my ($self, %options) = @_;
    my $status = $self->start_produce(%options)->wait_end(600);
    die "produce failed, see " . log_path("produce_$options{topic}.log")
        unless defined $status && $status == 0;
    return;
}

# Single records, as given: list of [partition, key, payload]; undef is null.
# Sent one after another, so their offsets follow the list.
sub send_records
{
    my ($self, $topic, @records) = @_;
    my %by_partition;
    push @{ $by_partition{ $_->[0] } }, $_ foreach @records;
    foreach my $partition (sort { $a <=> $b } keys %by_partition)
    {
        my $input = '';
        foreach (@{ $by_partition{$partition} })
        {
            my (undef, $key, $payload) = @$_;
            $input .= ($key // '') . "\x01" . ($payload // '') . "\x02";
        }
        # By a file: IPC::Run feeds a long string in steps that each copy it.
        my $file = PostgreSQL::Test::Utils::tempdir() . '/records';
        append_to_file($file, $input);
        my $err = '';
        IPC::Run::run [
            'kcat', '-P', '-b', $self->{brokers}, '-t', $topic, '-p',
            $partition, '-K', "\x01", '-D', "\x02", '-Z', '-X',
            'enable.idempotence=true', '-X', 'message.max.bytes=33000000'
        ], '<', $file, '2>', \$err or die "kcat: $err";
    }
    return;
}

# The contents of a file as one record, however large.
sub send_file
{
    my ($self, $topic, $partition, $file) = @_;
    my $err = '';
    IPC::Run::run [
        'kcat', '-P', '-b', $self->{brokers}, '-t', $topic, '-p', $partition,
        '-X', 'message.max.bytes=1000000000', '-X', 'queue.buffering.max.kbytes=2000000', $file
    ], '<', \undef, '2>', \$err or die "kcat: $err";
    return;
}

1;
