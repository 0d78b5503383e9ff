#!/bin/sh
# packages.sh build|demo|check …: the Debian packages that a purpose needs.
#
# Installs only what is missing and says so first; does nothing, and asks for
# nothing, when all is there. Without root's rights it tells the command.
# dpipe is built for the server whose pg_config is found: another version's
# own pg_config (PG_CONFIG) keeps Debian's server from being installed.
set -eu

version=15
build="gcc make pkg-config librdkafka-dev libssl-dev"
server="postgresql-$version postgresql-server-dev-$version"
demo=""
check="libipc-run-perl python3-jinja2 kcat openjdk-17-jre-headless maven ca-certificates"

pg_config=${PG_CONFIG:-pg_config}
if command -v "$pg_config" > /dev/null 2>&1 &&
    [ -f "$("$pg_config" --pgxs)" ] && [ -x "$("$pg_config" --bindir)/initdb" ]; then
    server=
fi

wanted="$build $server"
for purpose in "$@"; do
    case $purpose in
        build) ;;
        demo) wanted="$wanted $demo" ;;
        check) wanted="$wanted $check" ;;
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
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "Debian packages are missing. Install them with:"
    echo "    sudo apt-get install -y$missing"
    exit 1
fi
echo "Installing Debian packages:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
fi
