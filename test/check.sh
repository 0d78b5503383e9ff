#!/bin/bash
# check.sh [sql] [isolation] [FILE…]: everything that proves dpipe, on servers
# and brokers of its own.
#
# Installs what is missing, builds with assertions and fault points into a
# private copy of the server, then runs pg_regress ("sql"), the isolation
# tests and TAP tests: those named, else all. The last line is
# "N passed, N failed, N skipped".
#
#   DPIPE_LONG=1      also what takes longer (make check-long)
#   DPIPE_DBT_SKIP    why to do without dbt itself
#   DPIPE_KAFKA_SKIP  why to do without a real Kafka, and so without Java
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

purposes="check kafka"
[ -z "${DPIPE_KAFKA_SKIP:-}" ] || purposes=check
bash test/lib/packages.sh $purposes

# As root, servers run as the user "postgres", who must be able to read this
# tree: where a directory above is closed, work on a copy.
if [ "$(id -u)" = 0 ] && ! runuser -u postgres -- test -r "$top/Makefile"; then
    copy=$(mktemp -d /tmp/dpipe-check.XXXXXX)
    trap 'rm -rf "$copy"' EXIT
    echo "The user postgres cannot read $top: testing a copy in $copy"
    tar -C "$top" -c --exclude='./tmp_*' --exclude=./.git . |
        tar -C "$copy" -x
    # After the copying, which brings the closed mode of "." along.
    chmod 755 "$copy"
    runuser -u postgres -- test -r "$copy/Makefile" ||
        { echo "check.sh: the user postgres cannot read $copy either" >&2; exit 1; }
    bash "$copy/test/check.sh" "$@"
    exit
fi

echo "== build"
pg_config=$(sh test/lib/temp_install.sh)
make -s -C test/tools
# Tests that take the template engine outside of a server skip without it.
make -s -C test/fuzz PG_CONFIG="$pg_config" ||
    echo "The template engine does not build outside of this version's server"
# Asked once here: what cannot be fetched now will not be there in a minute.
if [ -n "${DPIPE_KAFKA_SKIP:-}" ]; then
    :
elif answer=$(sh test/lib/kafka_fetch.sh); then
    export DPIPE_KAFKA_LIB="$answer"
    # A test that finds it missing skips.
    [ -z "${DPIPE_LONG:-}" ] || sh test/lib/kafka_fetch.sh 4.4.0 > /dev/null || true
else
    export DPIPE_KAFKA_SKIP="$(tail -n 1 <<< "$answer")"
fi
if [ -n "${DPIPE_DBT_SKIP:-}" ]; then
    :
elif answer=$(sh test/lib/dbt_fetch.sh); then
    export DPIPE_DBT_PYTHON="$answer"
else
    export DPIPE_DBT_SKIP="$(tail -n 1 <<< "$answer")"
fi
bindir=$(dirname "$pg_config")
pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
results=$top/tmp_check/results
failed=0

run() {
    sh test/lib/as_tester.sh "$pg_config" "$@"
}

# Counts of a pg_regress run, in the format of any version from 15 to 18.
count_regress() {
    local passed failed
    passed=$(grep -cE '^(test .* \.\.\. ok|[ +]*[^ ]+ +\.\.\. ok|ok [0-9]+)' "$1" || true)
    failed=$(grep -cE '^(test .* \.\.\. (FAILED|failed)|[ +]*[^ ]+ +\.\.\. (FAILED|failed)|not ok [0-9]+)' "$1" || true)
    if [ "$2" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
    echo "$passed $failed 0" >> "$results"
}

regress() {
    local program=$1 dir=$2 output=$3 names
    shift 3
    names=$*
    [ -n "$names" ] || return 0
    local status=0
    run "$program" --temp-instance="$output/instance" --bindir="$bindir" \
        --inputdir="$dir" --outputdir="$output" \
        --temp-config=test/regress.conf --load-extension=dpipe \
        --dlpath="$("$pg_config" --pkglibdir)" \
        $names > "$output.log" 2>&1 || status=$?
    cat "$output.log"
    count_regress "$output.log" "$status"
    if [ "$status" != 0 ]; then
        failed=1
        cat "$output/regression.diffs" 2> /dev/null || true
    fi
}

export KEEP_TMP_CHECK=
run true
export KEEP_TMP_CHECK=1
: > "$results"
for output in regress isolation; do
    mkdir -p "tmp_check/$output"
    if [ "$(id -u)" = 0 ]; then chown postgres: "tmp_check/$output"; fi
done
if [ "$(id -u)" = 0 ]; then chown postgres: "$results"; fi

[ $# != 0 ] || set -- sql isolation test/t/*.pl
files=()
for what in "$@"; do
    case $what in
        sql)
            echo "== pg_regress"
            regress "$pgxs/src/test/regress/pg_regress" . tmp_check/regress \
                $(ls sql 2> /dev/null | sed -n 's/\.sql$//p')
            ;;
        isolation)
            echo "== isolation"
            regress "$pgxs/src/test/isolation/pg_isolation_regress" test/isolation tmp_check/isolation \
                $(ls test/isolation/specs 2> /dev/null | sed -n 's/\.spec$//p')
            ;;
        *) files+=("$what") ;;
    esac
done
if [ ${#files[@]} != 0 ]; then
    echo "== TAP"
    run perl test/lib/harness.pl "$results" "${files[@]}" || failed=1
fi

read -r passed bad skipped < <(awk '{p += $1; f += $2; s += $3} END {print p+0, f+0, s+0}' "$results")
if [ "$failed" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
if [ "$passed" = 0 ]; then bad=$((bad + 1)); fi
echo "$passed passed, $bad failed, $skipped skipped"
[ "$bad" = 0 ]
