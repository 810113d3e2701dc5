#!/usr/bin/env bash
# All checks and tests, as CI runs them. Installs what is missing and can be installed.
set -euo pipefail
cd "$(dirname "$0")"

missing() {
    echo "test.sh: $1" >&2
    exit 1
}

# A program, and the Debian package that has it; installed when we may, and without starting a service.
need() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        missing "$1 is missing: install $2"
    fi
    if [ -z "${updated:-}" ]; then
        apt-get update -qq
        updated=yes
    fi
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" || failed=yes
    if [ -n "$ours" ]; then rm "$policy"; fi
    if [ -n "${failed:-}" ]; then missing "$1 is missing, and $2 cannot be installed"; fi
}

# Its programs are in a folder for each version, and it makes a cluster of its own when it is installed, unless told not to.
need_postgresql() {
    local programs=(/usr/lib/postgresql/*/bin/postgres) config=/etc/postgresql-common/createcluster.conf
    if command -v postgres >/dev/null || [ -x "${programs[0]}" ]; then return; fi
    if [ "$(id -u)" = 0 ] && [ ! -e "$config" ]; then
        mkdir -p "${config%/*}"
        echo 'create_main_cluster = false' >"$config"
    fi
    need postgres postgresql-15
}

command -v cargo >/dev/null || missing "Rust is missing: install it with rustup"
need cc gcc
need c++ g++
command -v node >/dev/null || missing "Node.js 20 or later is missing"
command -v npm >/dev/null || missing "npm is missing; it comes with Node.js"

# Some tests put their servers behind a real nginx, which Debian keeps where only root looks.
export PATH="$PATH:/usr/sbin"
need nginx nginx

# Some run against engines and a database of their own; the packages start no service, and make no database cluster.
need nats-server nats-server
need redis-server redis-server
need faketime faketime
need_postgresql

# One counts the instructions and system calls of a server.
need valgrind valgrind
need taskset util-linux

# One is a page in a browser.
need chromium chromium

# Tests hold many sockets at once.
ulimit -n "$(ulimit -Hn)" || true

tools="$PWD/target/tools"
export PATH="$tools/bin:$PATH"
# Each is run once, so what counts is how quickly it is built.
if ! command -v cargo-deny >/dev/null; then
    cargo install cargo-deny --debug --locked --version 0.20.2 --root "$tools"
fi
if ! command -v cargo-fuzz >/dev/null; then
    cargo install cargo-fuzz --debug --locked --version 0.13.2 --root "$tools"
fi

cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path tools/bench/peers/rust/Cargo.toml --check
cargo fmt --manifest-path web/Cargo.toml --all --check
cargo fmt --manifest-path tools/bench/peers/clients/Cargo.toml --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
cargo deny --locked check licenses bans sources
./fuzz/run.sh 10
cargo test --workspace --locked
