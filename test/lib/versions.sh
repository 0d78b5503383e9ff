#!/bin/bash
# versions.sh [short] [sql] [isolation] [FILE…]: the tests on the PostgreSQL
# versions that this machine's Debian does not have.
#
# A whole Debian of another release is put into a folder of the cache, once
# (debootstrap), and there, in namespaces that end with the run, dpipe is built
# and tested by the same check.sh that `make check` is, from a copy of this
# tree in tmp_versions/. 17 is trixie's, 18 sid's. No Debian has 16: a build of
# it that PyPI has, headers and all, runs in trixie.
#
# A version that cannot be had here, or not in the time that there is, is
# skipped, with the reason. The last line is "N passed, N failed, N skipped".
# To have a newer sid, remove its folder.
#
#   short           without the files that say the same on every version
#   DPIPE_VERSIONS  those to test (default: 17 18 16)
#   DPIPE_SECONDS   how long it may take (default: as long as it takes)
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

# What "short" leaves out: it takes long, and what it looks at (records, texts,
# the demo, the docs) hardly knows the server's version.
long="201_load_faults 204_json_scan 320_reference 500_jinja 640_status 650_hostile 700_demo 720_docs"

short=
if [ "${1:-}" = short ]; then
    short=$long
    shift
fi
# All but what looks at the sources only or needs a real Kafka to say anything.
if [ $# = 0 ]; then
    set -- sql isolation
    for file in test/t/*.pl; do
        name=$(basename "$file" .pl)
        case " 001_style $short " in *" $name "*) continue ;; esac
        grep -q 'Dpipe::Kafka' "$file" || set -- "$@" "$file"
    done
    [ -z "$short" ] || echo "Left to the whole of make check-versions: $short"
fi

# Seconds that are left, never 0; without a limit a day.
end=$((SECONDS + ${DPIPE_SECONDS:-86400}))
left() {
    echo $((end > SECONDS ? end - SECONDS : 1))
}

# enter ROOT TREE MODE COMMAND…: run a command in the Debian at ROOT, with TREE
# at /src. MODE is ro or rw, for all but /src and /tmp. What it started ends
# with it, and what it mounted is seen by nobody else. Killed when the time is
# up.
enter() {
    # shellcheck disable=SC2016
    timeout -s KILL "$(left)" unshare --mount --pid --ipc --fork --kill-child bash -ec '
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

# make_root SUITE TREE: the Debian in $cache/debian-SUITE, with what TREE needs.
# On failure the reason is what it prints last.
make_root() {
    local root=$cache/debian-$1 tree=$2 work log=$cache/debian-$1.log

    exec 9> "$cache/debian-$1.lock"
    flock 9
    if [ ! -e "$root" ]; then
        work=$root.new
        rm -rf --one-file-system "$work"
        # It mounts, and when it is killed it does not unmount.
        if ! timeout -s KILL "$(left)" unshare --mount debootstrap --variant=minbase \
            --include=netbase,ca-certificates "$1" "$work" > "$log" 2>&1; then
            echo "debootstrap: $(grep '^E:' "$log" || echo "not done in time" | tail -n 1)"
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
        echo "packages of Debian $1: $(tail -n 1 "$log")"
        return 1
    fi
}

# The build of 16 is for any Linux; the tests' Perl modules, which it lacks,
# are those of the newer server beside it: they know older ones.
fetch_16() {
    local tree=$1 dir=$cache/pgserver-$pip_version

    if [ ! -e "$dir" ]; then
        echo "Downloading PostgreSQL 16 from PyPI (11 MB)" >&2
        rm -rf "$dir".new
        mkdir -p "$dir".new
        if ! timeout -s KILL "$(left)" python3 -m pip download -q --no-deps --only-binary=:all: \
            --python-version 3.11 --platform manylinux2014_x86_64 \
            --dest "$dir".new "pgserver==$pip_version" > "$dir.log" 2>&1 ||
            ! python3 -m zipfile -e "$dir".new/*.whl "$dir".new >> "$dir.log" 2>&1; then
            echo "pip: $(grep -i error "$dir.log" | tail -n 1)"
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

suite_of() {
    case $1 in
        16 | 17) echo trixie ;;
        18) echo sid ;;
        *) echo "versions.sh: there is no way to PostgreSQL $1" >&2; exit 2 ;;
    esac
}

# Why nothing can be tested here, or nothing.
obstacle() {
    if [ "$(id -u)" != 0 ]; then
        echo "chroot is for root"
    elif ! unshare --mount --pid --ipc --fork true 2> /dev/null; then
        echo "no namespaces can be made here"
    elif ! command -v debootstrap > /dev/null 2>&1; then
        echo "debootstrap is missing"
    fi
}

# The Debians that the versions need, made at the same time. What each has to
# say is in tmp_versions/SUITE.made, after "failed: " when it could not be made.
make_roots() {
    local version suite made=" "

    mkdir -p "$cache"
    for version in "$@"; do
        tree=$top/tmp_versions/$version
        copy_tree
        suite=$(suite_of "$version")
        case $made in *" $suite "*) continue ;; esac
        made="$made$suite "
        [ -e "$cache/debian-$suite" ] ||
            echo "Installing Debian $suite into $cache/debian-$suite (about 2 GB)"
        { reason=$(make_root "$suite" "$tree") && echo made || echo "failed: $reason"; } \
            > "$top/tmp_versions/$suite.made" &
    done
    wait
}

# What is there to be tested? True, or the reason on stdout.
prepare() {
    local version=$1 tree=$2 root=$3 server=$4 answer

    answer=$(cat "$top/tmp_versions/$(suite_of "$version").made")
    if [ "$answer" != made ]; then
        echo "${answer#failed: }"
        return 1
    fi
    if [ "$version" = 16 ]; then
        [ "$(uname -m)" = x86_64 ] || { echo "PyPI has it for x86_64 only"; return 1; }
        fetch_16 "$tree" || return 1
    fi
    # The server was installed anew: so must be the copy that tests use.
    [ ! "$root/var/lib/dpkg/status" -nt "$tree/tmp_install" ] || rm -rf "$tree/tmp_install"
    case $(enter "$root" "$tree" ro "$server/bin/pg_config" --version 2> /dev/null) in
        "PostgreSQL $version"[.a-z]*) ;;
        *) echo "it is not the version of Debian $(suite_of "$version") now"; return 1 ;;
    esac
}

# This machine's own server with dpipe, if it is older, as $tree/opt/old: what
# is upgraded from. Prints its pg_config there. Beside it are libraries that the other Debian has
# in other versions only.
copy_old() {
    local tree=$1 root=$2 version=$3 config there lib

    config=$(sh test/lib/temp_install.sh 2> /dev/null) || return 1
    there=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    [ "$there" -lt "$version" ] || return 1
    there=${config#"$top/tmp_install"}
    rm -rf "$tree/opt/old"
    mkdir -p "$tree/opt/old/lib"
    cp -a tmp_install/. "$tree/opt/old/"
    there=/opt/old$there
    ldd "$(dirname "$config")"/* "$("$config" --pkglibdir)/dpipe.so" 2> /dev/null |
        awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u | while read -r lib; do
        [ -e "$root$lib" ] || [ -e "$root/usr$lib" ] || cp -L "$lib" "$tree/opt/old/lib/"
    done
    echo "$there"
}

# try VERSION FILE…: build and test there, and add up.
try() {
    local version=$1 server root tree reason old log closing p f s
    shift
    local env=()

    server=/usr/lib/postgresql/$version
    if [ "$version" = 16 ]; then
        server=/opt/pgserver/pginstall
        env+=(LD_LIBRARY_PATH=/opt/pgserver.libs)
    fi
    tree=$top/tmp_versions/$version
    root=$cache/debian-$(suite_of "$version")
    log=$tree.log

    reason=$(prepare "$version" "$tree" "$root" "$server") || { skip "$reason"; return; }
    if [ "$version" != 16 ] && old=$(copy_old "$tree" "$root" "$version"); then
        env+=(DPIPE_OLD_PG_CONFIG="$old" LD_LIBRARY_PATH=/opt/old/lib)
    fi
    echo "== PostgreSQL $version"
    enter "$root" "$tree" ro "${env[@]}" PG_CONFIG=$server/bin/pg_config \
        DPIPE_KAFKA_SKIP="a real Kafka runs with make check" \
        bash /src/test/check.sh "$@" 2>&1 | tee "$log" |
        sed "s/^\([0-9]* passed, .*\)/PostgreSQL $version: \1/" || true
    closing=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log" |
        tail -n 1)
    # Cut off by the limit is no failure, if nothing had failed by then.
    if [ -z "$closing" ] && [ "$(left)" = 1 ] &&
        ! grep -qE '^not ok|^# +Failed test|^Dubious|\.\.\. FAILED' "$log"; then
        skip "not done in ${DPIPE_SECONDS} s"
        return
    fi
    read -r p f s <<< "${closing:-0 1 0}"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

bash test/lib/packages.sh versions || true
versions=${DPIPE_VERSIONS:-17 18 16}
reason=$(obstacle)
# shellcheck disable=SC2086
[ -n "$reason" ] || make_roots $versions
for version in $versions; do
    if [ -n "$reason" ]; then
        skip "$reason"
    else
        try "$version" "$@"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
