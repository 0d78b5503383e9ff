# Records of 100 MB and more, up to what can be kept and beyond. Takes 4 GB of
# memory and some minutes, so only with DPIPE_LONG (make check-long).
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Dpipe::Kafka;
use Dpipe::Node;

plan skip_all => 'records of 100 MB and more are for make check-long' unless $ENV{DPIPE_LONG};
if (my $reason = Dpipe::Kafka->skip_reason)
{
    plan skip_all => $reason;
}

my $limit = 256 * 1024 * 1024;
my $kafka = Dpipe::Kafka->new('huge', heap => '3g', properties => {
        'message.max.bytes' => 700_000_000, 'socket.request.max.bytes' => 800_000_000,
        'replica.fetch.max.bytes' => 700_000_000, 'log.segment.bytes' => 1_000_000_000 });
my $node = Dpipe::Node->make('huge', conf => "dpipe.stall_timeout = 0\n");
$node->create_server('k', $kafka);
my $dir = PostgreSQL::Test::Utils::tempdir();

# Send a record of so many bytes: "head", x, "tail". Returns its md5.
sub send_huge
{
    my ($topic, $bytes, $head, $tail) = @_;
    my $file = "$dir/record";
    open my $out, '>', $file or die "$file: $!";
    print $out $head;
    my $left = $bytes - length($head) - length($tail);
    my $piece = 'x' x 1_000_000;
    for (; $left > 0; $left -= length $piece)
    {
        print $out $left >= length $piece ? $piece : substr $piece, 0, $left;
    }
    print $out $tail;
    close $out;
    $kafka->send_file($topic, 0, $file);
    my ($md5) = split / /, qx(md5sum $file);
    unlink $file;
    return $md5;
}

sub define
{
    my ($source, $topic, $format, $options) = @_;
    $node->sql(qq{SELECT dpipe_create_kafka_source('$source', 'k', '$topic', '$source', format => '$format', options => '{$options}')});
    return;
}

sub settled
{
    my ($source, $rows, $letters) = @_;
    return ok($node->wait_sql("SELECT rows = $rows AND dead_letters = $letters FROM dpipe.source_status WHERE source = '$source'", seconds => 300),
        "$source: $rows rows, $letters dead letters")
      || diag $node->sql("SELECT state, reason, rows, dead_letters FROM dpipe.source_status WHERE source = '$source'");
}

# ---- as far as it goes ----

$kafka->create_topic('t', 1);
# jsonb holds nearly $limit in one object, padding included, but not all of it.
my $fits = $limit - 100;
my @md5 = map { send_huge('t', $_, '{"a": "', '"}') } 100_000_000, $fits, $limit;
$kafka->send_records('t', [ 0, undef, '{"n": 1}' ]);
define('small', 't', 'json', '');
settled('small', 1, 3);
is($node->sql(q{SELECT string_agg(format('%s %s %s %s', "offset", stage, sqlstate, md5(payload)), ', ' ORDER BY id) FROM dpipe.dead_letter}),
    "0 decode 54000 $md5[0], 1 decode 54000 $md5[1], 2 decode 54000 $md5[2]", 'above max_record_bytes: dead letters, whole');
define('small', 't', 'json', qq("max_record_bytes": $limit, "enabled": false));
is($node->sql(q{SELECT * FROM dpipe_replay('small')}), '2|1', 'raised: replayed, but for what jsonb cannot hold');
like($node->sql('SELECT message FROM dpipe.dead_letter WHERE replayed_at IS NULL'),
    qr/total size of jsonb object elements exceeds the maximum/, 'with its reason');
is($node->sql(q{SELECT string_agg(length(_payload ->> 'a')::text, ' ' ORDER BY _offset) FROM small WHERE _payload ? 'a'}),
    '99999991 ' . ($fits - 9), 'as rows of jsonb');
define('large', 't', 'raw', qq("max_record_bytes": $limit));
settled('large', 4, 0);
is($node->sql(q{SELECT string_agg(md5(_payload), ' ' ORDER BY _offset) FROM large WHERE _offset < 3}), "@md5", 'or at once, byte for byte');
$node->sql("SELECT dpipe_drop_source('small'); SELECT dpipe_drop_source('large'); DROP TABLE small, large");

# ---- what jsonb cannot hold, alone in its batch ----

$kafka->create_topic('j', 1);
{
    open my $out, '>', "$dir/record" or die;
    print $out '[1', ',1' x 20_000_000, ']';
    close $out;
    $kafka->send_file('j', 0, "$dir/record");
}
define('numbers', 'j', 'json', '');
settled('numbers', 0, 1);
like($node->sql(q{SELECT stage || ' ' || sqlstate || ' ' || message FROM dpipe.dead_letter WHERE source = 'numbers'}),
    qr/^(convert|insert) (XX000 .*invalid memory alloc|54000 )/, 'more elements than jsonb can have: a dead letter');
note $node->sql(q{SELECT message FROM dpipe.dead_letter WHERE source = 'numbers'});

# ---- beyond ----

foreach (
    [ 'beyond', 300_000_000, 'topic "beyond" partition 0: the record at or after offset 1 is larger than 256 MiB' ],
    [ 'unheard', 600_000_000, 'topic "unheard" partition 0: the record at or after offset 1 is larger than 256 MiB' ])
{
    my ($name, $bytes, $reason) = @$_;
    $kafka->create_topic($name, 1);
    $kafka->send_records($name, [ 0, undef, '{"n": 1}' ]);
    send_huge($name, $bytes, '{"a": "', '"}');
    $kafka->send_records($name, [ 0, undef, '{"n": 2}' ]);
    define($name, $name, 'json', '');
    ok($node->wait_sql("SELECT rows = 1 AND state = 'error' AND reason LIKE '$reason%' FROM dpipe.source_status WHERE source = '$name'", seconds => 300),
        "$name: an error that names the offset, and what is before it is stored")
      or diag $node->sql("SELECT state, reason, rows FROM dpipe.source_status WHERE source = '$name'");
    note $node->sql("SELECT reason FROM dpipe.source_status WHERE source = '$name'");
    $node->sql(qq{SELECT dpipe_seek('$name', '{"$name": {"0": 2}}')});
    settled($name, 2, 0);
}

is_deeply([ $node->crash_lines ], [], 'nothing crashed');
$node->stop;
done_testing();
