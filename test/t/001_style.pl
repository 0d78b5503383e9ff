# What needs no formatter to be seen in the sources: they are indented as
# PostgreSQL's are, begin with what they are for, and only one header knows of
# versions of PostgreSQL.
use strict;
use warnings;

use File::Basename;
use File::Find;
use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Process qw(top_dir);

my $top = top_dir();
my @files;
find(
    {
        no_chdir => 1,
        wanted   => sub { push @files, $_ if /\.([ch]|sql)$/ && -f }
    },
    "$top/src", "$top/test/tools");
cmp_ok(scalar @files, '>', 30, 'sources are found');

my %complaints;
foreach my $file (sort @files)
{
    my $text  = slurp_file($file);
    my $base  = basename($file);
    my $name  = substr $file, length($top) + 1;
    my @lines = split /\n/, $text, -1;
    my $say   = sub { push @{ $complaints{ $_[0] } }, $_[1]; };

    $say->('begins with its name and purpose', $name)
        unless $text =~ m{\A(/\*\n \* |-- )\Q$base\E\n};
    $say->('ends with a newline', $name) unless $text =~ /[^\n]\n\z/;
    foreach my $i (0 .. $#lines)
    {
        my $place = sprintf '%s:%d', $name, $i + 1;
        $say->('has no white space at the end of a line', $place)
            if $lines[$i] =~ /[ \t\r]$/;
        next if $file =~ /\.sql$/;
        $say->('indents with tabs', $place) if $lines[$i] =~ /^ {4,}\S/;
        $say->('leaves versions to base/compat.h', $place)
            if $lines[$i] =~ /PG_VERSION_NUM|PG_MAJORVERSION/ && $name ne 'src/base/compat.h';
    }
}
foreach my $rule (
    'begins with its name and purpose',        'ends with a newline',
    'has no white space at the end of a line', 'indents with tabs',
    'leaves versions to base/compat.h')
{
    is(join("\n", @{ $complaints{$rule} // [] }), '', "each source $rule");
}
done_testing();
