# The loader's suite once more, every batch by SQL. 201, 202 and 205 take both
# paths by themselves, 204 loads nothing.
use strict;
use warnings;

use IPC::Run;

use PostgreSQL::Test::Utils;
use Test::More;

$ENV{DPIPE_LOAD_PATH} = 'sql';
foreach my $variable (qw(TESTLOGDIR TESTDATADIR))
{
    $ENV{$variable} .= '/sql_path';
    mkdir $ENV{$variable};
}
foreach my $file (qw(200_load.pl 203_load_rules.pl 206_replay.pl))
{
    my $out;
    my $ok = IPC::Run::run [ $^X, (map { "-I$_" } @INC), "$ENV{DPIPE_TOP}/test/t/$file" ],
        '>&', \$out;
    ok($ok, "$file by SQL") or diag(join "\n", grep { !/^ok / } split /\n/, $out);
    cmp_ok(scalar(() = $out =~ /^ok /mg), '>', 5, 'and it did something');
}
done_testing();
