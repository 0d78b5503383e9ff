#!/bin/sh
# run_tap.sh FILE…: run TAP tests against the temporary install.
#
# initdb refuses root, so root runs them as the user "postgres". Data and logs
# go to tmp_check/. Environment for tests: see test/README.md.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
copy=$(sh "$top/test/lib/temp_install.sh")
make -s -C "$top/test/tools"
make -s -C "$top/test/fuzz" PG_CONFIG="$copy"
exec sh "$top/test/lib/as_tester.sh" "$copy" \
    prove --timer "$@"
