# What benches share: figures, and the one JSON line at the end.
package Dpipe::Bench;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(floor);

use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(median percentile process_cpu report);

sub percentile
{
    my ($share, @values) = @_;
    @values = sort { $a <=> $b } @values;
    my $index = floor($share * @values);
    return $values[ $index < @values ? $index : -1 ];
}

sub median { return percentile(0.5, @_); }

# CPU seconds that a process has used so far, user and system.
sub process_cpu
{
    my ($pid) = @_;
    my ($after_name) = slurp_file("/proc/$pid/stat") =~ /\) (.*)/;
    my @fields = split / /, $after_name;
    return ($fields[11] + $fields[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
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

1;
