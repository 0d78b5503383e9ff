#!/bin/bash
# server.sh: a PostgreSQL to run under valgrind.
#
# Debian's source of the server is built with assertions and told about
# valgrind (-DUSE_VALGRIND), so that errors within palloc'd memory are seen,
# too. Kept in DPIPE_CACHE (200 MB, about 10 minutes); nothing is installed in
# the system but what building needs. Prints the path of its pg_config, which
# serves for PG_CONFIG of any test that wants a server with assertions.
set -euo pipefail
major=15
cache=${DPIPE_CACHE:-/var/cache/dpipe}
prefix=$cache/server-valgrind
packages="valgrind bison flex perl dpkg-dev libreadline-dev zlib1g-dev libssl-dev libicu-dev libxml2-dev"

# The marker is written last: a build cut off is done again.
if [ ! -e "$prefix/complete" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/server.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    echo "Building PostgreSQL $major for valgrind (about 10 minutes, kept in $prefix)" >&2
    {
        # shellcheck disable=SC2086
        apt-get install -y --no-install-recommends --no-upgrade $packages
        # Sources from where the packages come from, without touching the
        # system's lists. Not every mirror has the source of every update.
        mkdir -p parts lists/partial cache
        for file in /etc/apt/sources.list.d/*.sources; do
            sed 's/^Types:.*/Types: deb-src/' "$file" > "parts/$(basename "$file")"
        done
        if [ -s /etc/apt/sources.list ]; then
            sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > parts/all.list
        fi
        apt="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$work/parts
            -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
        # shellcheck disable=SC2086
        apt-get $apt update || true
        # shellcheck disable=SC2086
        for version in $(apt-cache $apt showsrc "postgresql-$major" | sed -n 's/^Version: //p' | sort -rV); do
            # shellcheck disable=SC2086
            if apt-get $apt --download-only source "postgresql-$major=$version"; then break; fi
        done
        tar xf postgresql-"$major"_*.orig.tar.*
        cd postgresql-"$major".*/
        rm -rf "$prefix"
        ./configure -q --prefix="$prefix" --enable-cassert --enable-debug --enable-tap-tests \
            --with-openssl --with-icu --with-libxml \
            CFLAGS="-O1 -g -fno-omit-frame-pointer -DUSE_VALGRIND"
        make -s -j"$(nproc)" install
        make -s -C src/test/isolation install
        cp src/tools/valgrind.supp "$prefix/"
    } > "$prefix.log" 2>&1 || { tail -n 20 "$prefix.log" >&2; exit 1; }
    touch "$prefix/complete"
fi
echo "$prefix/bin/pg_config"
