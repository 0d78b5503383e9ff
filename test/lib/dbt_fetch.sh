#!/bin/sh
# dbt_fetch.sh: a Python that has dbt-core and dbt-postgres, printed as a path.
#
# From PyPI, into a virtual environment in DPIPE_CACHE (default
# ~/.cache/dpipe, for root /var/cache/dpipe), once. DPIPE_DBT_PYTHON names one
# that is there already. When there is none, and none can be fetched, the last
# line says why and the status is 1.
set -eu
core=1.11.16
postgres=1.11.0

has_dbt() {
    "$1" -c 'from dbt.version import __version__ as v; import dbt.adapters.postgres, sys; sys.exit(v != "'$core'")' 2> /dev/null
}

if [ -n "${DPIPE_DBT_PYTHON:-}" ]; then
    has_dbt "$DPIPE_DBT_PYTHON" || { echo "$DPIPE_DBT_PYTHON has no dbt-core $core with dbt-postgres"; exit 1; }
    echo "$DPIPE_DBT_PYTHON"
    exit
fi
if [ "$(id -u)" = 0 ]; then default=/var/cache/dpipe; else default=$HOME/.cache/dpipe; fi
venv=${DPIPE_CACHE:-$default}/dbt-$core
if has_dbt "$venv/bin/python"; then
    echo "$venv/bin/python"
    exit
fi
python=
for candidate in /usr/bin/python3 python3.12 python3.11 python3.10 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 14))' 2> /dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { echo "no Python from 3.9 to 3.13 with venv"; exit 1; }
mkdir -p "$(dirname "$venv")" 2> /dev/null || { echo "$(dirname "$venv") cannot be made"; exit 1; }
making=$venv.$$
log=$(mktemp)
trap 'rm -rf "$making" "$log"' EXIT
if ! "$python" -m venv "$making" > "$log" 2>&1 ||
    ! "$making/bin/python" -m pip install -q "dbt-core==$core" "dbt-postgres==$postgres" > "$log" 2>&1; then
    echo "dbt-core $core cannot be installed from PyPI: $(tail -n 1 "$log")"
    exit 1
fi
# Scripts in it name the folder that it was made in; only its Python is used.
mv "$making" "$venv" 2> /dev/null || has_dbt "$venv/bin/python" ||
    { echo "$venv cannot be made"; exit 1; }
chmod -R a+rX "$venv"
echo "$venv/bin/python"
