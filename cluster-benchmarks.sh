#!/usr/bin/env bash
# Measures one node against three over each engine, and writes docs/cluster-benchmarks.md from what it found.
#
#     ./cluster-benchmarks.sh            five rounds: ten minutes on two cores that do nothing else, after the build
#     ./cluster-benchmarks.sh --quick    one round with short runs, to see that all works: a minute
#     ./cluster-benchmarks.sh --runs 3   so many rounds
#     ./cluster-benchmarks.sh --built    with the programs as they were built before
#     ./cluster-benchmarks.sh --report   the page anew from the runs that are kept
#
# It needs nats-server and redis-server. The nodes share one core and the engine with them, the client has another: so what three nodes cost is seen,
# and not how much more they could do on three machines.
set -euo pipefail
cd "$(dirname "$0")"

rounds=5
seconds=2
measure=yes
built=
while [ $# != 0 ]; do
    case "$1" in
    --quick) rounds=1 seconds=0.5 ;;
    --runs) rounds="${2:?--runs takes a number}" && shift ;;
    --built) built=yes ;;
    --report) measure= ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

bench="$PWD/target/release/bennu-bench"
folder="$PWD/docs/benchmarks/cluster"
work="$(mktemp -d)"
engines=()
trap 'if [ ${#engines[@]} != 0 ]; then kill "${engines[@]}" 2>/dev/null; fi; rm -rf "$work"' EXIT

missing() {
    echo "cluster-benchmarks.sh: $1 is missing" >&2
    exit 1
}

# A port that was free a moment ago, and stays so: below those that the kernel gives away.
port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then echo "$candidate" && return; fi
    done
}

# Waits until somebody listens on a port.
listening() {
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "cluster-benchmarks.sh: $2 does not start; see $work" >&2
    exit 1
}

start_engines() {
    command -v nats-server >/dev/null || missing nats-server
    command -v redis-server >/dev/null || missing redis-server
    nats="$(port)" redis="$(port)"
    taskset -c 0 nats-server -a 127.0.0.1 -p "$nats" >"$work/nats.log" 2>&1 &
    engines+=($!)
    taskset -c 0 redis-server --bind 127.0.0.1 --port "$redis" --save '' --appendonly no >"$work/redis.log" 2>&1 &
    engines+=($!)
    listening "$nats" nats-server
    listening "$redis" redis-server
}

# run NAME OPTION...: one load on one node or three.
run() {
    local name="$1" also=() spawn
    shift
    case "$name" in
    one) spawn='target/release/reference-server bench --listen 127.0.0.1:{port}' ;;
    nats) spawn="tools/bench/cluster.sh nats://127.0.0.1:$nats {port} {port2} {port3}" ;;
    redis) spawn="tools/bench/cluster.sh redis://127.0.0.1:$redis {port} {port2} {port3}" ;;
    zenoh) spawn='tools/bench/cluster.sh zenoh://127.0.0.1:{port4} {port} {port2} {port3}' ;;
    esac
    if [ "$name" != one ]; then
        also=(--also 'ws://127.0.0.1:{port2}' --also 'ws://127.0.0.1:{port3}' --meet 3 --tree)
    fi
    echo "round $round: $name $*"
    "$bench" fanout "$@" --seconds "$seconds" --name "$name" --url 'ws://127.0.0.1:{port}' "${also[@]}" --spawn "$spawn" \
        --server-cpu 0 --client-cpu 1 --first-run "$round" --json "$work/runs.jsonl" >"$work/last.log" 2>&1 || {
        tail -n 5 "$work/last.log" >&2
        failures=$((failures + 1))
    }
}

failures=0
if [ -n "$measure" ]; then
    if [ -z "$built" ]; then cargo build --release --locked -p bennu-bench -p reference-server; fi
    ulimit -n "$(ulimit -Hn)" || true
    start_engines
    for round in $(seq "$rounds"); do
        for load in '--subscribers 3000 --outstanding 16' '--subscribers 3000 --publishers 64' '--subscribers 3 --rate 200'; do
            # Next to each other, since the ratio counts.
            for name in one nats redis zenoh; do
                # shellcheck disable=SC2086
                run "$name" $load
            done
        done
    done
    mkdir -p "$folder"
    mv "$work/runs.jsonl" "$folder/runs.jsonl"
fi
"$bench" report "$folder/runs.jsonl" --page docs/cluster-benchmarks.md
if [ "$failures" != 0 ]; then
    echo "$failures runs failed" >&2
    exit 1
fi
