#!/bin/sh
# packages.sh build|demo|check|kafka|versions …: the Debian packages that a purpose needs.
#
# Installs only what is missing and says so first; does nothing, and asks for
# nothing, when all is there. Without root's rights it tells the command.
# dpipe is built for the server whose pg_config is found: another version's
# own pg_config (PG_CONFIG) keeps Debian's server from being installed. Else
# it is the newest of those that dpipe supports and this Debian has.
set -eu

build="gcc libc6-dev make pkg-config librdkafka-dev libssl-dev libyaml-dev"
demo=""
check="libipc-run-perl kcat python3-yaml python3-jinja2 python3-tz"
kafka="maven ca-certificates"
command -v java > /dev/null 2>&1 || kafka="$kafka default-jre-headless"
versions="debootstrap"
python3 -m pip --version > /dev/null 2>&1 || versions="$versions python3-pip"

has_server() {
    pg_config=${PG_CONFIG:-pg_config}
    command -v "$pg_config" > /dev/null 2>&1 &&
        # Debian's client package has pgxs.mk, but not the headers.
        [ -f "$("$pg_config" --pgxs 2> /dev/null)" ] &&
        [ -f "$("$pg_config" --includedir-server)/postgres.h" ] &&
        [ -x "$("$pg_config" --bindir)/initdb" ]
}

offered_server() {
    for version in 18 17 16 15; do
        if [ -n "$(apt-cache madison "postgresql-server-dev-$version" 2> /dev/null)" ]; then
            echo "postgresql-$version postgresql-server-dev-$version"
            return
        fi
    done
    echo "postgresql postgresql-server-dev-all"
}

wanted=$build
for purpose in "$@"; do
    case $purpose in
        build) ;;
        demo) wanted="$wanted $demo" ;;
        check) wanted="$wanted $check" ;;
        kafka) wanted="$wanted $kafka" ;;
        versions) wanted="$wanted $versions" ;;
        *) echo "packages.sh: unknown purpose \"$purpose\"" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query > /dev/null 2>&1; then
    echo "This is not a Debian system: needed are (by Debian's names) $wanted"
    exit 0
fi

is_installed() {
    case $(dpkg-query -W -f '${db:Status-Status} ' "$1" 2> /dev/null) in
        *"installed "*) return 0 ;;
    esac
    return 1
}

missing=
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done
if has_server; then server=no; else server=yes; fi
[ "$server" = yes ] || [ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    [ "$server" = no ] || missing="$missing $(offered_server)"
    echo "Debian packages are missing. Install them with:"
    echo "    sudo apt-get install -y$missing"
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
run() {
    "$@" > "$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
}
# A new machine has no lists: before them nobody knows which server there is.
run apt-get update -q
[ "$server" = no ] || missing="$missing $(offered_server)"
echo "Installing Debian packages:$missing"
# shellcheck disable=SC2086
run apt-get install -q -y --no-install-recommends $missing
