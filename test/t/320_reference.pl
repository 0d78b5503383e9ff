# docs/reference.md names everything public, and nothing that is not there.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Node;
use Dpipe::Process qw(top_dir);

my $text = slurp_file(top_dir() . '/docs/reference.md');
my $node = Dpipe::Node->make('reference');
my $members = q{FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.deptype = 'e' AND e.extname = 'dpipe'};

sub names { return split /\n/, $node->sql($_[0]); }

# Functions of the extension's schema; those of the schema dpipe are internal.
my @functions = names("SELECT DISTINCT p.proname $members JOIN pg_proc p ON p.oid = d.objid
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname !~ '^_'");
my @views = names(q{SELECT 'dpipe.' || relname FROM pg_class WHERE relnamespace = 'dpipe'::regnamespace AND relkind = 'v'});
my @settings = grep { $_ ne 'dpipe.fault_point' } names(q{SELECT name FROM pg_settings WHERE name LIKE 'dpipe.%'});

cmp_ok(scalar @functions, '>', 10, 'there are functions');
like($text, qr/\b\Q$_\E\b/, "function $_") foreach @functions;
like($text, qr/^### .*\Q$_\E\b/m, "view $_") foreach @views;
like($text, qr/^\| `\Q$_\E` \|/m, "setting $_") foreach @settings;

# Columns of the views, each in the section of its view.
foreach my $view (@views)
{
    my ($section) = $text =~ /^### \Q$view\E\n(.*?)^##/ms;
    foreach my $column (names("SELECT attname FROM pg_attribute WHERE attrelid = '$view'::regclass AND attnum > 0"))
    {
        like($section // '', qr/`"?\Q$column\E"?`|`\Q$column\E /, "$view.$column")
            or last;
    }
}

# What the reference speaks of exists.
my %known = map { $_ => 1 } @functions, 'dpipe_kafka';
my @unknown = grep { !$known{$_} } $text =~ /\b(dpipe_[a-z_]+)\b/g;
is("@unknown", '', 'no function that is not there');
%known = map { $_ => 1 } @views, @settings, 'dpipe.new_rows', 'dpipe.orders';
@unknown = grep { !$known{$_} } $text =~ /`(dpipe\.[a-z_]+)`/g;
is("@unknown", '', 'no view or setting that is not there');

# Options of a source: the hint of an unknown one lists them all.
my (undef, undef, $err) = $node->psql('postgres',
    q{SELECT dpipe_create_kafka_source('s', 'k', 't', 't', options => '{"x": 1}')});
my ($options) = $err =~ /Options are: (.*)\./;
like($text, qr/^\| `\Q$_\E` \|/m, "option $_") foreach split /, /, $options // 'the hint';

$node->stop;
done_testing();
