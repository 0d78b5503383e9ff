# Records a second of one worker into a table with a column for each of a
# record's six fields, and nothing else: JSON is taken apart and each value
# encoded for its type. Divided by the rows a second of COPY, which parses the
# same values from text. See compare_with_copy.
use strict;
use warnings;

use Dpipe::Bench qw(compare_with_copy);

compare_with_copy(
    bench   => 'kafka_columns',
    target  => '>= 0.8',
    payload => 'columns',
    table   => 'id bigint, name text, at timestamptz, amount numeric, active boolean, ref uuid');
