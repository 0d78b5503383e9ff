# Sources of kind "test" (src/worker/testkind.c): workers without a broker.
package Dpipe::Slots;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(source_sql ticks status);

# SQL that defines a source whose workers insert into public.ticks. Options:
# owner, workers, enabled, database options as JSON text (see testkind.c).
sub source_sql
{
    my ($name, %options) = @_;
    my $owner   = $options{owner}   // 'postgres';
    my $workers = $options{workers} // 1;
    my $enabled = $options{enabled} // 'true';
    my $json    = $options{json}    // '{}';
    return <<"SQL";
CREATE TABLE IF NOT EXISTS public.ticks (source text, slot integer, pid integer, at timestamptz);
GRANT INSERT ON public.ticks TO PUBLIC;
INSERT INTO dpipe.source (name, kind, owner, owner_oid, server, topics, target_schema,
    target_table, format, envelope, start, options, workers, enabled, incarnation)
SELECT '$name', 'test', '$owner', '$owner'::regrole, '', '{}', 'public', 'ticks', 'json',
    'none', '{}', '$json', $workers, $enabled, i.id FROM dpipe.incarnation i;
SELECT dpipe._wake();
SQL
}

# A condition: the source has made at least so many ticks.
sub ticks
{
    my ($name, $n) = @_;
    return "SELECT count(*) >= $n FROM ticks WHERE source = '$name'";
}

# A query for an expression over the board's entry of slot 0.
sub status
{
    my ($name, $expression) = @_;
    return "SELECT $expression FROM dpipe._slot_status() WHERE source = '$name' AND slot = 0";
}

1;
