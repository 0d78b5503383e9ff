#!/bin/sh
# run_tap.sh FILE…: run TAP tests against the temporary install.
#
# initdb refuses root, so root runs them as the user "postgres". Data and logs
# go to tmp_check/. Environment for tests: see test/README.md.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
copy=$("$top/test/lib/temp_install.sh")
bindir=$(dirname "$copy")
pgxs=$(dirname "$bindir")/lib/pgxs
tmp=${TESTDIR:-$top}/tmp_check
rm -rf "$tmp"
mkdir -p "$tmp"
run=
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$tmp"
    run="runuser -u postgres --"
fi
cd "${TESTDIR:-$top}"
exec $run env PATH="$bindir:$PATH" \
    PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
    PERL5LIB="$pgxs/src/test/perl:$top/test/lib" \
    TESTDIR="${TESTDIR:-$top}" TESTDATADIR="$tmp" TESTLOGDIR="$tmp/log" \
    DPIPE_TOP="$top" \
    prove --timer "$@"
