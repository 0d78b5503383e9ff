# The examples in the documentation work: each file's blocks marked "sql" are
# run in their order in a database of their own. "sql skip" marks the few that
# need what is not there. k1:9092 stands for the broker, which has the topics
# that the texts speak of.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Mock;
use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $top  = top_dir();
my %topics;
my @docs = grep { -e } ("$top/README.md", glob "$top/docs/*.md");
my %blocks;

foreach my $file (@docs)
{
    my $text = slurp_file($file);
    while ($text =~ /^```sql *\n(.*?)^```/msg)
    {
        my $line = 1 + (substr($text, 0, $-[1]) =~ tr/\n//);
        push @{ $blocks{$file} }, [ $line, $1 ];
    }
    $topics{$_} = 4 foreach map { split /,/ } $text =~ /topic => '([\w.,-]+)'/g;
}

# What a file takes for granted, where that is more than the extension.
my %prelude = (
    'README.md'         => '',
    'docs/reference.md' =>
        'CREATE EXTENSION dpipe; CREATE ROLE etl; CREATE SCHEMA raw');

my $mock = Dpipe::Mock->new('docs', topics => \%topics);
my $node = Dpipe::Node->make('docs', extension => 0, conf => "dpipe.max_workers = 8\n");

foreach my $topic (sort keys %topics)
{
    $mock->produce(
        topic      => $topic,
        partitions => 4,
        records    => 500,
        payload    => 'event');
}
foreach my $file (sort keys %blocks)
{
    (my $name = $file) =~ s{^\Q$top\E/}{};
    (my $database = lc $name) =~ s/\W/_/g;

    subtest $name => sub {
        $node->safe_psql('postgres', "CREATE DATABASE $database");
        $node->safe_psql($database, $prelude{$name} // 'CREATE EXTENSION dpipe');
        foreach (@{ $blocks{$file} })
        {
            my ($line, $sql) = @$_;
            my $brokers = $mock->brokers;
            $sql =~ s/k1:9092/$brokers/g;
            my ($status, $out, $err) = $node->psql($database, $sql, timeout => 120);
            ok(defined $status && $status == 0, "$name:$line") or diag "$sql\n$err";
            note $out;
        }
        # A run answers with rows, also when its models fail.
        is( $node->safe_psql($database,
                q{SELECT string_agg(node || ': ' || message, E'\n') FROM dpipe.run_node
                   WHERE status <> 'success'}),
            '',
            "$name: models work");
    };
}

$node->stop;
$mock->stop;
done_testing();
