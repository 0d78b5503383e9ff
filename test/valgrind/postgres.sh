#!/bin/sh
# postgres.sh: stands in for bin/postgres and starts the real one under
# valgrind. initdb's own runs and questions for the version go without: they
# are not ours and take long.
dir=$(dirname "$(readlink -f "$0")")
case ${1:-} in
    --boot | --single | --check | -V | --version | -C | --describe-config) exec "$dir/postgres.real" "$@" ;;
esac
exec valgrind --quiet --leak-check=no --gen-suppressions=all --num-callers=30 \
    --error-limit=no --time-stamp=yes \
    --suppressions="$dir/../valgrind.supp" --suppressions="$dir/../librdkafka.supp" \
    --log-file="${DPIPE_VALGRIND_LOGS:-/tmp}/%p.log" \
    "$dir/postgres.real" "$@"
