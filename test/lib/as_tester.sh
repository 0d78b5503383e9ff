#!/bin/sh
# as_tester.sh PG_CONFIG COMMAND…: run a command in the environment of tests.
#
# PG_CONFIG is that of the server under test. Root becomes the user
# "postgres", since no server runs as root; it owns tmp_check/, which is made
# anew unless KEEP_TMP_CHECK is set.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
pg_config=$1
shift
bindir=$(dirname "$pg_config")
pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
testdir=${TESTDIR:-$top}
tmp=$testdir/tmp_check

[ -n "${KEEP_TMP_CHECK:-}" ] || rm -rf "$tmp"
mkdir -p "$tmp"
run=
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$tmp"
    run="runuser -u postgres --"
fi
# Asked once, as the user that may write the cache.
if [ -z "${DPIPE_KAFKA_LIB:-}${DPIPE_KAFKA_SKIP:-}" ]; then
    if answer=$(sh "$top/test/lib/kafka_fetch.sh"); then
        export DPIPE_KAFKA_LIB="$answer"
        [ -z "${DPIPE_LONG:-}" ] || sh "$top/test/lib/kafka_fetch.sh" 4.4.0 > /dev/null || true
    else
        export DPIPE_KAFKA_SKIP="$(echo "$answer" | tail -n 1)"
    fi
fi
cd "$testdir"
# dpipe wants UTF-8 databases, and initdb makes what the environment says.
exec $run env PATH="$bindir:$PATH" LANG=C.UTF-8 \
    PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
    PERL5LIB="$pgxs/src/test/perl:$top/test/lib" \
    TESTDIR="$testdir" TESTDATADIR="$tmp" TESTLOGDIR="$tmp/log" \
    DPIPE_TOP="$top" DPIPE_PG_CONFIG="$pg_config" \
    "$@"
