#!/bin/sh
# temp_install.sh [PG_CONFIG]: a private copy of the server with dpipe in it.
#
# Debian's PostgreSQL finds its files relative to its own binary, so a copy of
# its three trees under tmp_install/ is a whole server of its own: tests never
# touch the installed one and need no right to write there. Prints the copy's
# pg_config.
#
#   DPIPE_VARIANT   devel (default): assertions and fault points, built in the
#                   tree. Any other name: built from a copy of the sources,
#                   all under tmp_install.NAME/; "release" is what ships.
#   DPIPE_MAKE      more arguments for make, for a variant of one's own
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
pg_config=${1:-${PG_CONFIG:-pg_config}}
real=$(cd "$("$pg_config" --bindir)" && pwd)/pg_config
variant=${DPIPE_VARIANT:-devel}

if [ "$variant" = devel ]; then
    root=$top/tmp_install
    tree=$top
else
    root=${DPIPE_VARIANT_DIR:-$top}/tmp_install.$variant
    tree=$root/build
fi
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
# Make goes by times, so only what differs is copied, and what is gone is removed.
if [ "$variant" != devel ]; then
    mkdir -p "$tree/src"
    (cd "$tree" && find src -name '*.[ch]' -o -name '*.sql' -o -name '*.jinja') | while read -r file; do
        [ -e "$top/$file" ] || rm "$tree/$file"
    done
    (cd "$top" && find Makefile dpipe.control src -name '*.[ch]' -o -name '*.sql' -o -name '*.jinja' -o -type f ! -path 'src/*') |
        while read -r file; do
            mkdir -p "$(dirname "$tree/$file")"
            cmp -s "$top/$file" "$tree/$file" || cp "$top/$file" "$tree/$file"
        done
fi
devel=DPIPE_DEVEL=1
[ "$variant" != release ] || devel=
# shellcheck disable=SC2086
make -s -C "$tree" -j2 PG_CONFIG="$copy" $devel ${DPIPE_MAKE:-} all install >&2
echo "$copy"
