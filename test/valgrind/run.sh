#!/bin/bash
# run.sh [sql] [isolation] [FILE…]: tests on a server under valgrind.
#
# Without arguments: the SQL tests, and the suites of the loader and of Kafka;
# test/README.md says how long each takes, and which are not among them. Fails
# when a test fails or anything was reported; reports are in tmp_valgrind. The
# server is built once, see server.sh. DPIPE_SLOW is how much longer than usual
# tests wait, at most, for what they wait for; DPIPE_THIN makes batches smaller,
# DPIPE_RECORDS the test of exactness shorter.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"

PG_CONFIG=$(bash test/valgrind/server.sh)
export PG_CONFIG DPIPE_VARIANT=valgrind
export DPIPE_SLOW=${DPIPE_SLOW:-30}
export DPIPE_THIN=${DPIPE_THIN:-5}
export DPIPE_RECORDS=${DPIPE_RECORDS:-60000}
export PG_TEST_TIMEOUT_DEFAULT=$((180 * DPIPE_SLOW))
export PGCTLTIMEOUT=$PG_TEST_TIMEOUT_DEFAULT

copy=$(sh test/lib/temp_install.sh)
bin=$(dirname "$copy")
[ -e "$bin/postgres.real" ] || mv "$bin/postgres" "$bin/postgres.real"
install -m 755 test/valgrind/postgres.sh "$bin/postgres"
cp "$(dirname "$PG_CONFIG")/../valgrind.supp" test/valgrind/librdkafka.supp "$bin/.."

reports=$top/tmp_valgrind
rm -rf "$reports"
mkdir -p "$reports"
chmod 1777 "$reports"
export DPIPE_VALGRIND_LOGS=$reports

[ $# != 0 ] || set -- sql test/t/20[0356]_* test/t/630* test/t/640* test/t/651* test/t/653*
status=0
bash test/check.sh "$@" || status=$?

# Every process has a log; those without a report are empty.
found=$(find "$reports" -type f -size +0 | sort)
if [ -n "$found" ]; then
    echo "reported in:"
    echo "$found"
    status=1
else
    echo "nothing reported"
fi
exit "$status"
