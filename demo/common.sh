# common.sh: what run.sh and stop.sh share. Sourced, with $top set.
#
#   DPIPE_DEMO_DIR      where the throw-away cluster lives (./demo_run)
#   DPIPE_DEMO_EVENTS   how many events (300000)
#   DPIPE_PG_CONFIG     a server that has dpipe installed already

demo=${DPIPE_DEMO_DIR:-$top/demo_run}

# No server runs as root; Debian's package made a user for it.
as_user=
if [ "$(id -u)" = 0 ]; then as_user="runuser -u postgres --"; fi

# End a process of ours by its pid file, and wait for it.
end_process() {
    local file=$demo/$1.pid pid
    [ -e "$file" ] || return 0
    pid=$(cat "$file")
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$1" ]; then
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.05
        done
    fi
    rm -f "$file"
}

demo_stop() {
    [ -d "$demo" ] || return 0
    end_process events
    if [ -e "$demo/server" ]; then
        # shellcheck disable=SC1091
        . "$demo/server"
        if [ -e "$demo/data/postmaster.pid" ]; then
            $as_user "$bindir/pg_ctl" -D "$demo/data" -m fast -w -s stop || true
        fi
        rm -rf "$socket"
    fi
    end_process mock
    rm -rf "$demo"
}
