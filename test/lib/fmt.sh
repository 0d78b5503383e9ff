#!/bin/sh
# fmt.sh [FILE…]: format C sources as PostgreSQL's are, with its own pgindent.
#
# pgindent and pg_bsd_indent come with PostgreSQL's sources (src/tools); put
# both into PATH, or name them in PGINDENT and PG_BSD_INDENT, and the server's
# src/tools/pgindent/typedefs.list in PGTYPEDEFS. Look at what it did: it does
# not know foreach() without braces, nor conditional code inside a statement.
# .clang-format is an approximation for editors.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
typedefs=$(mktemp)
trap 'rm -f "$typedefs"' EXIT
[ $# != 0 ] || set -- $(git ls-files 'src/*.[ch]' 'test/tools/*.[ch]')
{
    [ -z "${PGTYPEDEFS:-}" ] || cat "$PGTYPEDEFS"
    grep -hoE '^\} [A-Z][A-Za-z_]+;' "$@" | sed 's/[} ;]//g'
    grep -hoE '^typedef .*[ *(][A-Z][A-Za-z_]+[);]' "$@" | sed -E 's/.*[ *(]([A-Za-z_]+)[);]$/\1/'
    grep -hoE '\brd_kafka_[a-z_]+_t\b' "$@"
} | sort -u > "$typedefs"
exec "${PGINDENT:-pgindent}" --typedefs="$typedefs" --indent="${PG_BSD_INDENT:-pg_bsd_indent}" "$@"
