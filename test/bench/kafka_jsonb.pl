# Records a second of one worker into a default raw table (payload jsonb),
# divided by the rows a second of COPY. See compare_with_copy.
use strict;
use warnings;

use Dpipe::Bench qw(compare_with_copy);

compare_with_copy(
    bench   => 'kafka_jsonb',
    target  => '>= 0.9',
    payload => 'event');
