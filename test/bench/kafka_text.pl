# Records a second of one worker with format raw into a table like the default
# one, its payload text: nothing is parsed. Divided by the rows a second of
# COPY. See compare_with_copy.
use strict;
use warnings;

use Dpipe::Bench qw(compare_with_copy);

compare_with_copy(
    bench   => 'kafka_text',
    target  => '>= 0.9',
    payload => 'event',
    format  => 'raw',
    table   => '_topic text, _partition integer, _offset bigint, _timestamp timestamptz, _key text, '
        . '_headers jsonb, _payload text, _extracted_at timestamptz, _load_id bigint');
