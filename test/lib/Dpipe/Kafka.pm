# A real Apache Kafka, one node, and what tests ask of it.
#
#   plan skip_all => $reason if my $reason = Dpipe::Kafka->skip_reason;
#   my $kafka = Dpipe::Kafka->new('name');
#   $kafka->create_topic('t', 8);
#   $kafka->produce(topic => 't', partitions => 8, records => 1000, …);
package Dpipe::Kafka;

use strict;
use warnings;

use parent -norequire, 'Dpipe::Broker';

use File::Basename;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

use Dpipe::Broker;
use Dpipe::Process qw(top_dir log_path);

# Directories of jars by version; '' is the usual one.
my %lib;

# Why there can be no Kafka here, or undef. DPIPE_KAFKA_LIB, of the usual
# version, and DPIPE_KAFKA_SKIP come from "make check", which has asked already;
# other versions it keeps beside.
sub skip_reason
{
    my ($class, $version) = @_;
    my $fetched = $ENV{DPIPE_KAFKA_LIB};
    $version //= '';
    return $ENV{DPIPE_KAFKA_SKIP} if $ENV{DPIPE_KAFKA_SKIP};
    $lib{''} //= $fetched;
    return if $lib{$version};
    local $ENV{DPIPE_CACHE} = dirname(dirname($fetched)) if $fetched;
    chomp(my @lines = qx(sh '@{[top_dir()]}/test/lib/kafka_fetch.sh' $version));
    return $lines[-1] // 'no Kafka' if $? != 0;
    $lib{$version} = $lines[-1];
    return;
}

# Options: version (of those that kafka_fetch.sh knows), heap (128m),
# properties (hash, added to server.properties).
sub new
{
    my ($class, $name, %options) = @_;
    my $reason = $class->skip_reason($options{version});
    die "no Kafka: $reason" if $reason;

    my $port = PostgreSQL::Test::Cluster::get_free_port();
    my $dir  = PostgreSQL::Test::Utils::tempdir("kafka_$name");
    my $self = bless {
        name    => $name,
        dir     => $dir,
        port    => $port,
        brokers => "127.0.0.1:$port",
        lib     => $lib{ $options{version} // '' },
        heap    => $options{heap} // '128m',
        log     => log_path("kafka_$name.log"),
    }, $class;
    $self->_write_config($options{properties} // {});
    $self->_format;
    $self->start;
    return $self;
}

sub _write_config
{
    my ($self, $extra) = @_;
    my $controller = PostgreSQL::Test::Cluster::get_free_port();
    my $here       = '127.0.0.1';
    my %properties = (
        'process.roles'                  => 'broker,controller',
        'node.id'                        => 1,
        'controller.quorum.voters'       => "1\@$here:$controller",
        'listeners'                      =>
            "PLAINTEXT://$here:$self->{port},CONTROLLER://$here:$controller",
        'advertised.listeners'           => "PLAINTEXT://$here:$self->{port}",
        'controller.listener.names'      => 'CONTROLLER',
        'listener.security.protocol.map' =>
            'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
        'log.dirs'                       => "$self->{dir}/data",
        'auto.create.topics.enable'      => 'false',
        'offsets.topic.replication.factor'         => 1,
        'offsets.topic.num.partitions'             => 1,
        'transaction.state.log.replication.factor' => 1,
        'transaction.state.log.min.isr'            => 1,
        'transaction.state.log.num.partitions'     => 4,
        'group.initial.rebalance.delay.ms'         => 0,
        # A killed broker comes back when its old registration has ended:
        # after 9 s by default.
        'broker.session.timeout.ms'      => 2000,
        'broker.heartbeat.interval.ms'   => 500,
        # The log cleaner would take 128 MB of heap at once.
        'log.cleaner.dedupe.buffer.size' => 4194304,
        'message.max.bytes'              => 33554432,
        'replica.fetch.max.bytes'        => 33554432,
        %$extra);

    append_to_file("$self->{dir}/server.properties",
        join('', map { "$_=$properties{$_}\n" } sort keys %properties));
    # Kafka 3 logs by log4j 1, Kafka 4 by log4j 2.
    append_to_file("$self->{dir}/log4j.properties", <<'LOG');
log4j.rootLogger=WARN, o
log4j.appender.o=org.apache.log4j.ConsoleAppender
log4j.appender.o.layout=org.apache.log4j.PatternLayout
log4j.appender.o.layout.ConversionPattern=%d %p %c{2} %m%n
LOG
    append_to_file("$self->{dir}/log4j2.properties", <<'LOG');
appender.o.type = Console
appender.o.name = o
appender.o.layout.type = PatternLayout
appender.o.layout.pattern = %d %p %c{2} %m%n
rootLogger.level = warn
rootLogger.appenderRef.o.ref = o
LOG
    return;
}

sub _java
{
    my ($self, @arguments) = @_;
    return [
        _find('java'), "-Xmx$self->{heap}", '-Xms64m', '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        "-Dlog4j.configuration=file:$self->{dir}/log4j.properties",
        "-Dlog4j2.configurationFile=$self->{dir}/log4j2.properties",
        '-cp', "$self->{lib}/*", @arguments
    ];
}

sub _find
{
    my ($program) = @_;
    foreach my $dir (split /:/, $ENV{PATH})
    {
        return "$dir/$program" if -x "$dir/$program";
    }
    die "$program is not in PATH";
}

sub _format
{
    my ($self) = @_;
    my $process = Dpipe::Process->start(
        $self->_java(
            'kafka.tools.StorageTool', 'format',
            '-t',                      'MkU3OEVBNTcwNTJENDM2Qg',
            '-c',                      "$self->{dir}/server.properties"),
        log => $self->{log});
    my $status = $process->wait_end(120);
    die "Kafka's storage could not be formatted:\n" . $self->_log_tail
        unless defined $status && $status == 0;
    return;
}

sub _log_tail
{
    my ($self) = @_;
    my @lines = split /^/, slurp_file($self->{log});
    splice @lines, 0, -20 if @lines > 20;
    return join '', @lines;
}

# Start and return when it answers. A machine with much else to do needs its
# time: 3 s alone, half a minute when busy.
sub start
{
    my ($self, %options) = @_;
    $self->{process} = Dpipe::Process->start(
        $self->_java('kafka.Kafka', "$self->{dir}/server.properties"),
        log => $self->{log});
    $self->wait_ready unless $options{no_wait};
    return;
}

sub wait_ready
{
    my ($self) = @_;
    for (1 .. 120)
    {
        return if $self->ctl_status('ready', 1) == 0;
        last unless $self->{process}->alive;
    }
    die "Kafka did not start:\n" . $self->_log_tail;
}

# What the log itself says of records of transactions: offset => 'commit' or
# 'abort', by the marker that ended the transaction in this partition. Offsets
# of other records, and of transactions still open, are not in the hash. Read
# from the broker's files, without any client: batches of records as in Kafka's
# documentation (message format, version 2).
sub fates
{
    my ($self, $topic, $partition) = @_;
    my (%open, %fate);
    foreach my $segment (sort glob "$self->{dir}/data/$topic-$partition/*.log")
    {
        open my $file, '<:raw', $segment or die "could not open $segment: $!";
        while ((read($file, my $head, 61) // 0) == 61)
        {
            my ($base, $length) = unpack 'q> N', $head;
            my ($flags, $delta, $producer) = unpack 'x21 n N x16 q>', $head;
            last if $length < 49;
            read $file, my $records, $length - 49;
            next unless $flags & 0x10;
            if (!($flags & 0x20))
            {
                push @{ $open{$producer} }, $base .. $base + $delta;
                next;
            }
            # A marker is one record: length, attributes, two deltas and the
            # key's length, a byte each, then the key: version and type.
            my $type = unpack 'x5 x2 n', $records =~ s/^[\x80-\xff]+//r;
            $fate{$_} = $type == 1 ? 'commit' : 'abort' foreach @{ delete $open{$producer} // [] };
        }
        close $file;
    }
    return \%fate;
}

# Set right what producers say was committed and aborted: lines of topic,
# partition, offset and md5, as dump_topic's. A broker that stops while it ends
# a transaction may forget some partitions (seen with 4.4.0, of an abort, at
# SIGTERM): the marker of the producer's next transaction then decides there,
# whatever the producer was told. Where readers see something else than the
# producers say, and only there, what the broker has written decides. Returns
# how many were committed after all, and how many were not.
sub correct_truth
{
    my ($self, $topic, $read, $committed, $aborted) = @_;
    my %odd = map { $_ => 'said' } @$committed;
    my (%fates, %come, %gone);

    foreach my $line (@$read) { delete $odd{$line} or $odd{$line} = 'read'; }
    foreach my $line (keys %odd)
    {
        my (undef, $partition, $offset) = split /\t/, $line;
        $fates{$partition} //= $self->fates($topic, $partition);
        my $fate = $fates{$partition}{$offset} // '';
        $come{$line} = 1 if $odd{$line} eq 'read' && $fate eq 'commit';
        $gone{$line} = 1 if $odd{$line} eq 'said' && $fate eq 'abort';
    }
    @$committed = ((grep { !$gone{$_} } @$committed), sort keys %come);
    @$aborted   = ((grep { !$come{$_} } @$aborted),   sort keys %gone);
    return (scalar keys %come, scalar keys %gone);
}

sub stop { my ($self) = @_; return $self->{process}->stop('TERM', 60); }
sub kill9 { my ($self) = @_; return $self->{process}->stop('KILL'); }

1;
