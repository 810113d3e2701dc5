#!/usr/bin/env bash
# Checks that take too long for every change: the everyday tests at their full size. Give names to run those alone.
set -euo pipefail
cd "$(dirname "$0")"

# Checks hold many sockets at once.
ulimit -n "$(ulimit -Hn)" || true

# A drain while 5,000 sockets push: needs 10,100 open files.
drain() {
    BENNU_DRAIN_SOCKETS=5000 cargo test --locked -p bennu-server-axum --test it drain::
}

# Ten minutes of each fuzz target; what they found joins the corpus.
fuzz() {
    ./fuzz/run.sh 600 keep
}

# Two million random and hostile streams of frames, and as many compressed messages, read by us and by others.
codec() {
    BENNU_CODEC_CASES="${BENNU_CODEC_CASES:-2000000}" \
        cargo test --locked --release -p bennu-protocol --test it agreement::
}

# Clients of each kind over links that break, against servers that are killed: every push is accounted for. Ten minutes, or
# `BENNU_SOAK_SECONDS`; `BENNU_SOAK_SEED` runs the same faults again.
soak() {
    BENNU_SOAK_SECONDS="${BENNU_SOAK_SECONDS:-600}" \
        cargo test --locked -p reference-server --test it rust_client::soak:: -- --nocapture
}

# Fifty thousand random schedules of what goes wrong between nodes that share their presences.
presence() {
    BENNU_PRESENCE_SCHEDULES="${BENNU_PRESENCE_SCHEDULES:-50000}" \
        cargo test --locked --release -p bennu-presence --test it simulation::
}

# A hundred thousand clients that come back at once, on streams in memory, and as many over sockets as a process has files for.
herd() {
    BENNU_HERD_CLIENTS="${BENNU_HERD_CLIENTS:-100000}" cargo test --locked -p bennu-server --test memory
    BENNU_HERD_CLIENTS="${BENNU_HERD_SOCKETS:-8000}" \
        cargo test --locked -p bennu-server-axum --test it attack_047 -- --nocapture
}

# The suite of all adapters on engines of three servers.
engines() {
    BENNU_TEST_CLUSTERS=1 cargo test --locked -p bennu-pubsub-nats -p bennu-pubsub-redis --test it suite::
}

# The client in a page of a browser; needs rustup, for the target wasm32-unknown-unknown, and Chromium.
web() {
    ./web/run.sh
}

if [ $# = 0 ]; then
    set -- drain fuzz codec soak presence herd engines web
fi
for check in "$@"; do
    echo "long-checks.sh: $check"
    "$check"
done
