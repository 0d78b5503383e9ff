# The extension installs, and installs again after a drop.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('smoke');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dpipe'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dpipe');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dpipe.incarnation'),
    '1', 'extension is there');
$node->safe_psql('postgres', 'DROP EXTENSION dpipe; CREATE EXTENSION dpipe');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dpipe.source'),
    '0', 'and again');
$node->stop;
done_testing();
