#!/usr/bin/env bash
# Measures bennu and its peers, and writes docs/benchmarks.md, docs/capacity.md and docs/benchmarks/ from what it found.
#
#     ./benchmarks.sh            five rounds: about 45 minutes on two cores that do nothing else, after the builds
#     ./benchmarks.sh --quick    one round with short runs, to see that all works: six minutes
#     ./benchmarks.sh --runs 3   so many rounds
#     ./benchmarks.sh --built    with the programs as they were built before
#     ./benchmarks.sh --only echo   one mode of the bench anew, in place of its runs that are kept
#     ./benchmarks.sh --report   the documents anew from the runs that are kept
#
# Each round puts every load on every server, one after the other, so that servers are compared by runs that were made
# next to each other. What is a target, or stands beside one, is in every round; the rest in the first and every second one after
# it. The server has one core, the client another, but for the loads with two server cores. An interrupted series leaves its runs in
# target/benchmarks: moved to docs/benchmarks, --report makes the documents of them.
set -euo pipefail
cd "$(dirname "$0")"

rounds=5
seconds=2
long=5
connections=5000
# Node.js returns in the second second what its collector freed.
settle=1.5
measure=yes
quick=
built=
only=
while [ $# != 0 ]; do
    case "$1" in
    --quick) rounds=1 seconds=0.5 long=1 settle=0.3 quick=yes ;;
    --runs) rounds="${2:?--runs takes a number}" && shift ;;
    --built) built=yes ;;
    --only) only="${2:?--only takes a mode}" && shift ;;
    --report) measure= ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

peers="$PWD/tools/bench/peers"
rust="$PWD/target/peers/release"
work="$PWD/target/benchmarks"
bench="$PWD/target/release/bennu-bench"
server="$PWD/target/release/reference-server bench --listen 127.0.0.1:{port}"
# Of the programs that are measured, whatever is committed meanwhile.
commit="$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"
failures=0

missing() {
    echo "benchmarks.sh: $1" >&2
    exit 1
}

build() {
    if [ -n "$built" ]; then return; fi
    cargo build --release --locked -p bennu-bench -p reference-server
    if [ -z "$measure" ]; then return; fi
    command -v npm >/dev/null || missing "Node.js 20 or later with npm is missing"
    cargo build --release --locked --manifest-path "$peers/rust/Cargo.toml" --target-dir target/peers
    (cd "$peers/js" && npm ci --ignore-scripts)
}

# A certificate for the runs over TLS: ECDSA on P-256, as most have.
certificate() {
    command -v openssl >/dev/null || missing "openssl is missing: it makes the certificate of the runs over TLS"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
}

# run SERVER MODE OPTION...: one run, appended to the server's file. A run that fails is told and counted, and the others go on.
run() {
    local name="$1" mode="$2" protocol=plain url='ws://127.0.0.1:{port}' trust=() server_cpu=0 client_cpu=1 size=64 command
    shift 2
    if [ -n "$only" ] && [ "$mode" != "$only" ]; then return; fi
    begin "$mode" "$*"
    if [ -n "$counting" ]; then return; fi
    echo "$(progress)round $round: $name $mode $*"
    case "$name" in
    *-2-cores) server_cpu=0,1 client_cpu=0,1 ;;
    *-acks) set -- "$@" --delayed-acks ;;
    esac
    # As long as the frames of Phoenix are for the same payload. An echo's reply is longer than the message there: the mean of both.
    case "$name $mode" in
    "bun-padded fanout") size=99 ;;
    "bun-padded echo") size=118 ;;
    esac
    case "$name" in
    bennu | bennu-2-cores | bennu-acks) protocol=phoenix command="$server" ;;
    bennu-tls)
        protocol=phoenix url='wss://127.0.0.1:{port}' trust=(--insecure)
        command="$server --tls-cert $work/cert.pem --tls-key $work/key.pem"
        ;;
    bennu-state) protocol=phoenix url='ws://127.0.0.1:{port}/state' command="$server" ;;
    bun | bun-padded | bun-2-cores | bun-acks) command="$peers/js/bun $peers/js/bun.mjs --port {port}" ;;
    ws) command="node $peers/js/ws.mjs --port {port}" ;;
    axum) command="$rust/axum --port {port}" ;;
    socket.io) protocol=socketio command="node $peers/js/socketio.mjs --port {port}" ;;
    socketioxide) protocol=socketio command="$rust/socketioxide --port {port}" ;;
    actix-phoenix-channel) protocol=phoenix command="$rust/actix_phoenix --port {port}" ;;
    esac
    if ! "$bench" "$mode" "$@" --name "$name" --protocol "$protocol" --url "$url" "${trust[@]}" --spawn "$command" \
        --size "$size" --server-cpu "$server_cpu" --client-cpu "$client_cpu" --commit "$commit" --first-run "$round" --json "$work/$name.jsonl" >"$work/last.log" 2>&1; then
        tail -n 3 "$work/last.log" >&2
        echo "$name $mode $* failed" >&2
        echo "round $round: $name $mode $*: $(tail -n 1 "$work/last.log")" >>"$work/failures.txt"
        failures=$((failures + 1))
    fi
}

# What a run takes is known well enough to tell how long all of them will: tenths of seconds, by its mode and options.
begin() {
    local cost=30
    case "$quick $1 $2" in
    *" kernel "*) cost=90 ;;
    "yes conns "*) cost=35 ;;
    "yes "*) cost=15 ;;
    *" fanout --rate"*) cost=60 ;;
    *" conns "*--idle*) cost=70 ;;
    *" conns "*) cost=100 ;;
    esac
    runs=$((runs + 1))
    ahead=$((ahead + last_cost))
    last_cost=$cost
}

# How many runs are done, and how long the others will take.
progress() {
    local spent=$(($(date +%s) - started)) left=$((all_ahead - ahead))
    # What was spent tells more than what was expected, once it is much.
    if [ "$ahead" -gt 600 ]; then left=$((left * 10 * spent / ahead)); fi
    printf '[%d of %d, %d min left] ' "$runs" "$all_runs" $(((left + 599) / 600))
}

# on "SERVER..." MODE OPTION...: the same load on each, one after the other.
on() {
    local servers="$1" name
    shift
    for name in $servers; do run "$name" "$@"; done
}

# Next to each other, since the ratio of the two is what counts.
both="bennu bun"
variants="bennu-tls bennu-state"
plain="ws axum"
topics="socket.io socketioxide"
# It loses messages when more than ten are on their way: those loads are not for it.
lossy="actix-phoenix-channel"

headlines() {
    local timed=(--seconds "$seconds") all="$variants $plain $topics"
    resting "$both"
    on "$both $all $lossy" conns --connections "$connections" --settle "$settle"
    on "bennu $variants $topics $lossy" conns --connections 2000 --joins 11 --idle --settle "$settle"
    crowded "$both"
    on "$both bun-padded bennu-acks bun-acks $all $lossy" fanout "${timed[@]}"
    on "$both bun-padded bennu-acks bun-acks $all" fanout --outstanding 16 "${timed[@]}"
    on "$both bun-padded $all" fanout --outstanding 64 "${timed[@]}"
    on "$both bun-padded $all" fanout --publishers 64 "${timed[@]}"
    # Its figure is a tail: it takes more messages to have one.
    on "$both $all $lossy" fanout --rate 50 --seconds "$long"
    joined bennu
    on "$both bun-padded $all $lossy" echo "${timed[@]}"
    on "$both $all $lossy" connect
}

# Costs as work grows: the other sizes of three headlines, each next to its own.
resting() {
    local count
    for count in 15000 1000; do on "$1" conns --connections "$count" --idle --settle "$settle"; done
}

crowded() {
    local count
    for count in 15000 5000; do on "$1" fanout --subscribers "$count" --seconds "$seconds"; done
}

joined() {
    local count
    for count in 100 10; do on "$1" echo --joins "$count" --seconds "$seconds"; done
}

# Two shards for the server and one that cannot have two, both with the client on the same two cores, since there are no others.
two_cores() {
    local timed=(--seconds "$seconds") servers="bennu-2-cores bun-2-cores"
    on "$servers" fanout "${timed[@]}"
    on "$servers" fanout --publishers 64 "${timed[@]}"
    on "$servers" echo "${timed[@]}"
}

outstanding() {
    local count
    for count in 2 4 8 32; do
        on "$both $plain" fanout --outstanding "$count" --seconds "$seconds"
    done
}

others() {
    on bennu presence
    on "$both $plain $topics" churn --seconds "$seconds"
    on "$both $plain $topics" mixed --seconds "$seconds"
}

# What the kernel keeps for the sockets of a server and of its client: half of it is the server's. Other programs make it
# larger or smaller too, so it is worth what the median is worth.
kernel() {
    local before after count=10000 load
    if [ -n "$only" ] && [ "$only" != kernel ]; then return; fi
    begin kernel ""
    if [ -n "$counting" ]; then return; fi
    echo "$(progress)round $round: kernel memory"
    before="$(slab)"
    "$bench" conns --connections "$count" --idle --settle 0 --hold 6 --url 'ws://127.0.0.1:{port}' --spawn "$server" >"$work/kernel.log" 2>&1 &
    load=$!
    after="$before"
    # It is largest while the connections are held.
    while kill -0 "$load" 2>/dev/null; do
        sleep 0.5
        local now
        now="$(slab)"
        if [ "$now" -gt "$after" ]; then after="$now"; fi
    done
    if ! wait "$load"; then
        tail -n 3 "$work/kernel.log" >&2
        echo "round $round: kernel memory: $(tail -n 1 "$work/kernel.log")" >>"$work/failures.txt"
        failures=$((failures + 1))
        return
    fi
    printf '{"bench":1,"mode":"kernel","server":"bennu","protocol":"phoenix","tls":false,"run":%d,"unix_time":%d,"parameters":{"connections":%d},"figures":{"kernel_per_connection_bytes":%d}}\n' \
        "$round" "$(date +%s)" "$count" "$(((after - before) * 1024 / (2 * count)))" >>"$work/kernel.jsonl"
}

slab() {
    awk '$1 == "Slab:" { print $2 }' /proc/meminfo
}

series() {
    for round in $(seq "$rounds"); do
        headlines
        two_cores
        if [ $((round % 2)) = 1 ]; then
            resting "$plain"
            crowded "$plain"
            joined "$lossy"
            outstanding
            others
            kernel
        fi
    done
}

report() {
    "$bench" report docs/benchmarks/*.jsonl --page docs/benchmarks.md --page docs/capacity.md --plots docs/benchmarks
}

build
if [ -n "$measure" ]; then
    ulimit -n "$(ulimit -Hn)" || true
    rm -rf "$work"
    mkdir -p "$work"
    certificate
    runs=0 ahead=0 last_cost=0 counting=yes
    series
    all_runs=$runs all_ahead=$((ahead + last_cost))
    echo "$all_runs runs, about $(((all_ahead + 599) / 600)) minutes on a machine that does nothing else"
    runs=0 ahead=0 last_cost=0 counting='' started="$(date +%s)"
    series
    if [ -n "$quick" ]; then echo "a quick series: the documents are written all the same, but do not quote it" >&2; fi
    mkdir -p docs/benchmarks
    if [ -n "$only" ]; then
        # The other modes' runs stay.
        for measured in "$work"/*.jsonl; do
            kept="docs/benchmarks/$(basename "$measured")"
            if [ -f "$kept" ]; then grep -v "\"mode\":\"$only\"" "$kept" >"$work/kept" || true; else : >"$work/kept"; fi
            cat "$work/kept" "$measured" >"$kept"
        done
    else
        rm -f docs/benchmarks/*.jsonl
        mv "$work"/*.jsonl docs/benchmarks/
    fi
fi
report
if [ "$failures" != 0 ]; then
    echo "$failures runs failed:" >&2
    cat "$work/failures.txt" >&2
    exit 1
fi
