#!/bin/bash
# run.sh: user events flow from a broker through a background worker into a
# raw table, exactly once, and from there through incremental models into a
# mart. Everything runs in ./demo_run: a throw-away cluster that opens no TCP
# port, and librdkafka's mock cluster as the broker. stop.sh cleans up.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/demo/common.sh"
events=${DPIPE_DEMO_EVENTS:-300000}
ahead=15000         # the mock broker keeps 5 MiB a partition, no more
began=$SECONDS

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

build() {
    if [ -n "${DPIPE_PG_CONFIG:-}" ]; then
        pg_config=$DPIPE_PG_CONFIG
        return
    fi
    bash "$top/test/lib/packages.sh" demo
    if [ -n "$as_user" ] && ! $as_user test -r "$top/Makefile"; then
        echo "The user postgres, who runs the server, cannot read $top." >&2
        echo "Put the tree elsewhere or run the demo as another user than root." >&2
        exit 1
    fi
    say "Building dpipe"
    pg_config=$(DPIPE_VARIANT=release sh "$top/test/lib/temp_install.sh")
    make -s -C "$top/test/tools"
}

# Start a program of test/tools in the background, under its own session, so
# that it outlives this script; its pid goes to a file. Stdin is the caller's:
# without saying so, bash would give a background process /dev/null.
start_tool() {
    local name=$1
    shift
    $as_user setsid bash -c 'echo $$ > "$1.pid"; shift; exec "$@"' - \
        "$demo/$name" "$top/test/tools/bin/$name" "$@" <&0 2>> "$demo/$name.log" &
}

start_broker() {
    start_tool mock --keep --out "$demo/brokers" user-events:8 < /dev/null > /dev/null
    for _ in $(seq 200); do
        [ -e "$demo/brokers" ] && return
        sleep 0.05
    done
    echo "The mock broker did not start, see $demo/mock.log" >&2
    exit 1
}

start_server() {
    # A socket's path must be short, and only its owner may use it.
    socket=$($as_user mktemp -d /tmp/dpipe-demo.XXXXXX)
    bindir=$("$pg_config" --bindir)
    printf 'bindir=%q\nsocket=%q\n' "$bindir" "$socket" > "$demo/server"
    $as_user "$bindir/initdb" -D "$demo/data" -U postgres -A trust -E UTF8 \
        --locale=C.UTF-8 --no-sync > "$demo/initdb.log"
    $as_user tee -a "$demo/data/postgresql.conf" > /dev/null << CONF
listen_addresses = ''
unix_socket_directories = '$socket'
shared_preload_libraries = 'dpipe'
max_worker_processes = 16
max_wal_size = '2GB'
CONF
    $as_user "$bindir/pg_ctl" -D "$demo/data" -l "$demo/server.log" -w -s start
    # Settings of this shell must not lead psql elsewhere.
    unset PGSERVICE PGHOSTADDR PGDATABASE PGOPTIONS PGUSER
    export PGHOST=$socket PGPORT=5432
    "$bindir/psql" -X -q -U postgres -d postgres -c 'CREATE DATABASE demo'
}

sql() { "$bindir/psql" -X -q -U analyst -d demo -v ON_ERROR_STOP=1 "$@"; }

# The models, while the worker goes on loading.
run_models() {
    say "$1"
    echo "demo=> SELECT node, kind, status, rows, round(seconds::numeric, 2) AS seconds FROM dpipe_run();"
    sql -c "SELECT node, kind, status, rows, round(seconds::numeric, 2) AS seconds FROM dpipe_run()"
}

progress() {
    local allowed=0 loaded=0 last=-1 stuck=0 more line next=1
    local -a at=($((events / 3)) $((events * 2 / 3)))

    mkfifo "$demo/credit"
    if [ -n "$as_user" ]; then chown postgres: "$demo/credit"; fi
    exec 3<> "$demo/credit"
    start_tool events -b "$(cat "$demo/brokers")" --topic user-events \
        --partitions 8 --records "$events" --credit < "$demo/credit" > /dev/null
    echo "      rows     rows/s       lag   dead letters   state"
    while [ "$loaded" -lt "$events" ]; do
        more=$((loaded + ahead - allowed))
        if [ $((allowed + more)) -gt "$events" ]; then more=$((events - allowed)); fi
        if [ "$more" -gt 0 ]; then
            echo "$more" >&3
            allowed=$((allowed + more))
        fi
        sleep 0.25
        line=$(sql -At -F ' ' -c "SELECT rows, dead_letters, round(rows_per_second),
            coalesce(lag_records::text, '-'), concat_ws(': ', state, nullif(reason, ''))
            FROM dpipe.source_status WHERE source = 'user_events'")
        read -r rows dead rate lag state <<< "$line"
        loaded=$((rows + dead))
        printf '%10s %10s %9s %14s   %s\n' "$rows" "$rate" "$lag" "$dead" "$state"
        if [ "$loaded" = "$last" ]; then stuck=$((stuck + 1)); else stuck=0; fi
        if [ "$stuck" -gt 200 ]; then
            echo "Nothing has moved for a minute, see $demo/server.log" >&2
            exit 1
        fi
        last=$loaded
        if [ "${#at[@]}" -ge "$next" ] && [ "$loaded" -ge "${at[$((next - 1))]}" ]; then
            run_models "Run $next of the models, while events flow: only what is new is read"
            next=$((next + 1))
        fi
    done
    exec 3>&-
}

show() {
    say "The mart: activity of each user and day"
    sql -c "SELECT user_id, activity_date, events, event_types AS types, purchases, revenue,
                   tier, region, days_since_signup AS days
              FROM shop.fct_user_daily_activity
             ORDER BY revenue DESC, user_id, activity_date LIMIT 8"
    say "Dead letters: records that are no rows, whole, with the reason"
    sql -c "SELECT id, partition AS part, \"offset\", stage, sqlstate, left(message, 60) AS message,
                   left(encode(payload, 'escape'), 24) AS payload
              FROM dpipe.dead_letter ORDER BY id LIMIT 8"
    say "Nothing lost, nothing twice"
    sql -c "SELECT count(*) AS raw_rows,
                   count(DISTINCT (_partition, _offset)) AS distinct_records,
                   (SELECT count(*) FROM dpipe.dead_letter) AS dead_letters,
                   (SELECT sum(position) FROM dpipe.source_partition) AS records_sent,
                   (SELECT count(*) FROM shop.stg_user_events) AS distinct_events
              FROM raw.user_events"
}

if [ -d "$demo" ]; then
    echo "Ending the demo that is still there."
    demo_stop
fi
build
trap 'status=$?; if [ $status != 0 ]; then tail -n 5 "$demo/server.log" >&2 || true; demo_stop; fi; exit $status' EXIT
trap 'exit 130' INT TERM
mkdir -p "$demo"
if [ -n "$as_user" ]; then chown postgres: "$demo"; fi

say "Starting a broker and a PostgreSQL server"
start_broker
start_server
(cd "$top/demo" && "$bindir/psql" -X -U postgres -d demo -v brokers="$(cat "$demo/brokers")" -f setup.sql)
say "$events user events on their way, from the broker into raw.user_events"
progress
run_models "Last run of the models"
show
say "Done in $((SECONDS - began)) s. Go on exploring:"
echo "    $bindir/psql -h $socket -U analyst demo"
echo "and end it with: make demo-stop"
