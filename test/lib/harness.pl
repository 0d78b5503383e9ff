# harness.pl RESULTS FILE…: run TAP files one after another.
#
# Appends "passed failed skipped" to the file RESULTS. A file that dies or
# breaks off its plan counts as one failure more; a file or test that skips is
# counted as skipped, and its reason is shown.
use strict;
use warnings;

use TAP::Harness;

my ($results, @files) = @ARGV;
my $harness = TAP::Harness->new({ verbosity => 0, timer => 1, failures => 1,
        merge => 0, exec => undef });
my %skipped;

$harness->callback(
    made_parser => sub {
        my ($parser, $test) = @_;
        $parser->callback(
            test => sub {
                my ($result) = @_;
                push @{ $skipped{ $test->[1] } },
                    join ': ', grep { length } $result->description, $result->explanation
                    if $result->has_skip;
            });
    });

my $aggregate = $harness->runtests(@files);
my ($passed, $failed, $skipped) = (0, 0, 0);

foreach my $parser ($aggregate->parsers)
{
    if (defined $parser->skip_all && length $parser->skip_all)
    {
        $skipped++;
        next;
    }
    my $skips = () = $parser->skipped;
    $skipped += $skips;
    $failed  += () = $parser->failed;
    $passed  += ($parser->passed) - $skips;
    $failed++ if $parser->exit && !$parser->failed;
    $failed++ if !$parser->exit && $parser->parse_errors;
}
foreach my $file (sort keys %skipped)
{
    print "skipped in $file: $_\n" foreach @{ $skipped{$file} };
}
open my $out, '>>', $results or die "$results: $!";
print $out "$passed $failed $skipped\n";
exit($failed > 0);
