#!/usr/bin/env bash
# Measures bennu-client and other Rust clients of Phoenix Channels, and writes docs/client-benchmarks.md from what it found.
#
#     ./client-benchmarks.sh                three rounds of 10,000 sockets: five minutes, after the builds
#     ./client-benchmarks.sh --rounds 1     so many rounds
#     ./client-benchmarks.sh --sockets 500  so many sockets
#     ./client-benchmarks.sh --built        with the programs as they were built before
#
# Each round runs each client once, one after the other, each against a reference-server of its own. The server has one core, the client
# another. It needs as many open files as there are sockets, and some.
set -euo pipefail
cd "$(dirname "$0")"

rounds=3
sockets=10000
built=
while [ $# != 0 ]; do
    case "$1" in
    --rounds) rounds="${2:?--rounds takes a number}" && shift ;;
    --sockets) sockets="${2:?--sockets takes a number}" && shift ;;
    --built) built=yes ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

ulimit -n "$(ulimit -Hn)" || true
clients="$PWD/target/clients/release"
results="$PWD/docs/benchmarks/clients.jsonl"
page="$PWD/docs/client-benchmarks.md"
if [ -z "$built" ]; then
    cargo build --release --locked -p reference-server
    cargo build --release --locked --manifest-path tools/bench/peers/clients/Cargo.toml --target-dir target/clients
fi

server=
log="$(mktemp)"
trap 'rm -f "$log" "$results.new" "$page.new"; if [ -n "$server" ]; then kill "$server" 2>/dev/null; fi' EXIT

# A server on a free port, which it tells.
start() {
    : >"$log"
    taskset -c 0 target/release/reference-server bench --listen 127.0.0.1:0 >"$log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        address="$(grep -om1 '127\.0\.0\.1:[0-9]\+' "$log" || true)"
        if [ -n "$address" ]; then return; fi
        sleep 0.1
    done
    echo "client-benchmarks.sh: reference-server does not start" >&2
    exit 1
}

stop() {
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
}

: >"$results.new"
for round in $(seq "$rounds"); do
    for client in bennu phoenix_channels_client phyllo; do
        echo "round $round: $client"
        start
        taskset -c 1 "$clients/$client" --url "ws://$address" --sockets "$sockets" | tee -a "$results.new"
        stop
    done
done
mv "$results.new" "$results"

commit="$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"
machine="$(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(uname -sr)"
table="$("$clients/report" <"$results")"
{
    sed '/^<!-- figures -->$/q' "$page"
    printf '\n%s. %s. Commit `%s`.\n\n%s\n\n' "$(date -u +%F)" "$machine" "$commit" "$table"
    sed -n '/^<!-- end -->$/,$p' "$page"
} >"$page.new"
mv "$page.new" "$page"
