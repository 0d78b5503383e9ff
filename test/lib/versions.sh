#!/bin/bash
# versions.sh [sql] [isolation] [FILE…]: the tests on the PostgreSQL versions
# that this machine's Debian does not have.
#
# A whole Debian of another release is put into a folder of the cache, once
# (debootstrap), and there, in namespaces that end with the run, dpipe is built
# and tested by the same check.sh that `make check` is, from a copy of this
# tree in tmp_versions/. 17 is trixie's, 18 sid's. No Debian has 16: a build of
# it that PyPI has, headers and all, runs in trixie.
#
# A version that cannot be had here is skipped, with the reason. The last line
# is "N passed, N failed, N skipped". To have a newer sid, remove its folder.
#
#   DPIPE_VERSIONS  those to test (default: 16 17 18)
#   DPIPE_CACHE     where the folders are kept: see kafka_fetch.sh
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"

cache=${DPIPE_CACHE:-/var/cache/dpipe}
pip_version=0.1.4               # of "pgserver": PostgreSQL 16.2
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
passed=0
failed=0
skipped=0

# All but what looks at the sources only or needs a real Kafka to say anything.
if [ $# = 0 ]; then
    set -- sql isolation
    for file in test/t/*.pl; do
        grep -q 'Dpipe::Kafka' "$file" || [ "$file" = test/t/001_style.pl ] || set -- "$@" "$file"
    done
fi

# enter ROOT TREE MODE COMMAND…: run a command in the Debian at ROOT, with TREE
# at /src. MODE is ro or rw, for all but /src and /tmp. What it started ends
# with it, and what it mounted is seen by nobody else.
enter() {
    # shellcheck disable=SC2016
    unshare --mount --pid --ipc --fork --kill-child bash -ec '
        root=$1 tree=$2 mode=$3
        shift 3
        mount --bind "$root" "$root"
        mount --bind "$tree" "$root/src"
        mount --bind "$tree/opt" "$root/opt"
        mount -o remount,bind,"$mode" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        exec chroot "$root" "$@"' enter "$1" "$2" "$3" \
        env -i PATH=$path HOME=/root LANG=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} "${@:4}"
}

# make_root SUITE: the Debian in $cache/debian-SUITE. On failure the reason is
# in the variable "reason".
make_root() {
    local root=$cache/debian-$1 work log=$cache/debian-$1.log

    if [ ! -e "$root" ]; then
        echo "Installing Debian $1 into $root (about 2 GB)"
        work=$root.new
        rm -rf --one-file-system "$work"
        # It mounts, and when it is killed it does not unmount.
        if ! unshare --mount debootstrap --variant=minbase --include=netbase,ca-certificates \
            "$1" "$work" > "$log" 2>&1; then
            reason="debootstrap: $(grep '^E:' "$log" | tail -n 1)"
            rm -rf --one-file-system "$work"
            return 1
        fi
        # No services, no clusters but the tests' own.
        printf '#!/bin/sh\nexit 101\n' > "$work/usr/sbin/policy-rc.d"
        chmod 755 "$work/usr/sbin/policy-rc.d"
        mkdir -p "$work/etc/postgresql-common" "$work/src"
        echo 'create_main_cluster = false' > "$work/etc/postgresql-common/createcluster.conf"
        # A mirror may lag behind sid, whose lists are valid for a week only.
        # Signatures are checked all the same.
        echo 'Acquire::Check-Valid-Until "false";' > "$work/etc/apt/apt.conf.d/90dpipe"
        printf '127.0.0.1 localhost %s\n' "$(hostname)" > "$work/etc/hosts"
        mv "$work" "$root"
    fi
    if ! enter "$root" "$tree" rw sh /src/test/lib/packages.sh check > "$log" 2>&1; then
        reason="packages of Debian $1: $(tail -n 1 "$log")"
        return 1
    fi
}

# The build of 16 is for any Linux; the tests' Perl modules, which it lacks,
# are those of the newer server beside it: they know older ones.
fetch_16() {
    local dir=$cache/pgserver-$pip_version

    if [ ! -e "$dir" ]; then
        echo "Downloading PostgreSQL 16 from PyPI (11 MB)"
        rm -rf "$dir".new
        mkdir -p "$dir".new
        if ! python3 -m pip download -q --no-deps --only-binary=:all: \
            --python-version 3.11 --platform manylinux2014_x86_64 \
            --dest "$dir".new "pgserver==$pip_version" > "$dir.log" 2>&1 ||
            ! python3 -m zipfile -e "$dir".new/*.whl "$dir".new >> "$dir.log" 2>&1; then
            reason="pip: $(grep -i error "$dir.log" | tail -n 1)"
            return 1
        fi
        chmod -R a+rX "$dir".new
        chmod a+x "$dir".new/pgserver/pginstall/bin/* \
            "$dir".new/pgserver/pginstall/lib/postgresql/pgxs/src/test/*/*
        mv "$dir".new "$dir"
    fi
    mkdir -p "$tree/opt"
    cp -au "$dir/pgserver" "$dir/pgserver.libs" "$tree/opt/"
    mkdir -p "$tree/opt/pgserver/pginstall/lib/postgresql/pgxs/src/test/perl"
    cp -r "$cache/debian-trixie/usr/lib/postgresql/17/lib/pgxs/src/test/perl/." \
        "$tree/opt/pgserver/pginstall/lib/postgresql/pgxs/src/test/perl/"
}

# The tree that a version is tested in. Make goes by times: what is built there
# stays, and what is gone here goes.
copy_tree() {
    local file

    mkdir -p "$tree/opt"
    tar -c --exclude-vcs --exclude='./tmp_*' --exclude='./demo_run' --exclude='*.o' --exclude='*.so' \
        --exclude=./src/.flags --exclude=./test/tools/bin --exclude='./dpipe--*.sql' . | tar -C "$tree" -x
    (cd "$tree" && find src test/t test/lib test/isolation sql expected demo docs -type f \
        ! -name '*.o' ! -path src/.flags) | while read -r file; do
        [ -e "$file" ] || rm "$tree/$file"
    done
}

skip() {
    echo "skipped: PostgreSQL $version: $1"
    skipped=$((skipped + 1))
}

# try VERSION FILE…: build and test there, and add up.
try() {
    local version=$1 suite=trixie server root tree reason log closing p f s
    shift
    local env=()

    case $version in
        16) suite=trixie server=/opt/pgserver/pginstall ;;
        17) suite=trixie server=/usr/lib/postgresql/17 ;;
        18) suite=sid server=/usr/lib/postgresql/18 ;;
        *) echo "versions.sh: there is no way to PostgreSQL $version" >&2; exit 2 ;;
    esac
    tree=$top/tmp_versions/$version
    root=$cache/debian-$suite
    log=$tree.log

    if [ "$(id -u)" != 0 ]; then skip "chroot is for root"; return; fi
    if ! unshare --mount --pid --ipc --fork true 2> /dev/null; then
        skip "no namespaces can be made here"
        return
    fi
    if ! command -v debootstrap > /dev/null 2>&1 && [ ! -e "$root" ]; then
        skip "debootstrap is missing"
        return
    fi
    echo "== PostgreSQL $version (Debian $suite)"
    copy_tree
    mkdir -p "$cache"
    exec 9> "$cache/versions.lock"
    flock 9
    make_root $suite || { skip "$reason"; return; }
    if [ "$version" = 16 ]; then
        [ "$(uname -m)" = x86_64 ] || { skip "PyPI has it for x86_64 only"; return; }
        fetch_16 || { skip "$reason"; return; }
        env+=(LD_LIBRARY_PATH=/opt/pgserver.libs)
    fi
    exec 9>&-
    # The server was installed anew: so must be the copy that tests use.
    [ ! "$root/var/lib/dpkg/status" -nt "$tree/tmp_install" ] || rm -rf "$tree/tmp_install"
    case $(enter "$root" "$tree" ro "$server/bin/pg_config" --version 2> /dev/null) in
        "PostgreSQL $version"[.a-z]*) ;;
        *) skip "Debian $suite has another version now"; return ;;
    esac
    enter "$root" "$tree" ro "${env[@]}" PG_CONFIG=$server/bin/pg_config \
        DPIPE_KAFKA_SKIP="a real Kafka runs with make check" \
        bash /src/test/check.sh "$@" 2>&1 | tee "$log" |
        sed "s/^\([0-9]* passed, .*\)/PostgreSQL $version: \1/" || true
    closing=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log" |
        tail -n 1)
    read -r p f s <<< "${closing:-0 1 0}"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

bash test/lib/packages.sh versions || true
for version in ${DPIPE_VERSIONS:-16 17 18}; do
    try "$version" "$@"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
