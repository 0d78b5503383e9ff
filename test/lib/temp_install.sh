#!/bin/sh
# temp_install.sh [PG_CONFIG]: a private copy of the server with dpipe in it.
#
# Debian's PostgreSQL finds its files relative to its own binary, so a copy of
# its three trees under tmp_install/ is a whole server of its own: tests never
# touch the installed one and need no right to write there. Prints the copy's
# pg_config. Extra make arguments can be given in DPIPE_MAKE.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
pg_config=${1:-${PG_CONFIG:-pg_config}}
real=$(cd "$("$pg_config" --bindir)" && pwd)/pg_config
root=$top/tmp_install
copy=$root$real

if [ ! -x "$copy" ]; then
    for dir in --bindir --pkglibdir --sharedir --includedir-server; do
        from=$("$real" "$dir")
        case "$dir" in --bindir | --pkglibdir) from=$(dirname "$from") ;; esac
        mkdir -p "$root$(dirname "$from")"
        cp -a "$from" "$root$(dirname "$from")/"
    done
    internal=$("$real" --includedir)/internal
    if [ -d "$internal" ]; then
        mkdir -p "$root$(dirname "$internal")"
        cp -a "$internal" "$root$(dirname "$internal")/"
    fi
fi
# shellcheck disable=SC2086
make -s -C "$top" -j2 PG_CONFIG="$copy" DPIPE_DEVEL=1 ${DPIPE_MAKE:-} all install >&2
echo "$copy"
