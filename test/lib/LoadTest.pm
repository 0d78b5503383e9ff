# LoadTest: a server with the loader's test functions.
package LoadTest;
use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(load_node default_path sql sql_error load_all load_script load_path text_bytes);
my $node;

sub load_node
{
    my ($name) = @_;
    $node = PostgreSQL::Test::Cluster->new($name);
    $node->init;
    $node->append_conf('postgresql.conf', "shared_preload_libraries = 'dpipe'\n");
    $node->append_conf('postgresql.conf', "dpipe.load_path = '$ENV{DPIPE_LOAD_PATH}'") if $ENV{DPIPE_LOAD_PATH};
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION dpipe; CREATE SCHEMA raw');
    $node->safe_psql('postgres',
        PostgreSQL::Test::Utils::slurp_file("$ENV{DPIPE_TOP}/test/lib/load_functions.sql"));
    return $node;
}

# The path of a table that COPY may write.
sub default_path { return ($ENV{DPIPE_LOAD_PATH} // '') eq 'sql' ? 'sql' : 'copy'; }

# Loads of later sessions take this path: auto or sql.
sub load_path
{
    my ($path) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET dpipe.load_path = '$path'");
    $node->reload;
    $node->poll_query_until('postgres', "SELECT current_setting('dpipe.load_path') = '$path'")
      or die 'dpipe.load_path did not change';
    return;
}

sub sql { return $node->safe_psql('postgres', shift); }

# Error text, SQLSTATE included, of a statement that must fail.
sub sql_error
{
    my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . shift);
    return $rc == 0 ? 'no error' : $err;
}

sub text_bytes { return "convert_to('" . shift . "', 'UTF8')"; }

# SQL that loads table batch(n, bad, p) by as many calls as it takes, a
# transaction each, and then the test's own queries, all in one session.
sub load_all { return sql(load_script(@_)); }

sub load_script
{
    my ($source, $batch, $queries) = @_;
    return qq{
        CREATE TEMP TABLE batch AS $batch;
        CREATE TEMP TABLE calls (rows bigint, dead_letters bigint, settled int, path text);
        CREATE PROCEDURE pg_temp.load_all() LANGUAGE plpgsql AS \$\$
        DECLARE o bigint := 0; c record; i int := 0; total bigint := (SELECT count(*) FROM batch);
        BEGIN
            WHILE o < total LOOP
                INSERT INTO calls SELECT * FROM dpipe._test_load('$source',
                    (SELECT array_agg(p ORDER BY n) FROM batch WHERE n >= o), NULL, o)
                    RETURNING settled INTO c;
                o := o + c.settled; i := i + 1;
                COMMIT;
                ASSERT c.settled > 0 AND i < 100;
            END LOOP;
        END \$\$;
        CALL pg_temp.load_all();
        $queries;
        DROP PROCEDURE pg_temp.load_all; DROP TABLE batch, calls;
        };
}

1;
