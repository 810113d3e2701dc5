#!/usr/bin/env bash
# All checks and tests, as CI runs them. Installs what is missing and can be installed.
set -euo pipefail
cd "$(dirname "$0")"

missing() {
    echo "test.sh: $1" >&2
    exit 1
}

command -v cargo >/dev/null || missing "Rust is missing: install it with rustup"
command -v cc >/dev/null || missing "a C compiler is missing: install gcc or clang"
command -v node >/dev/null || missing "Node.js 20 or later is missing"
command -v npm >/dev/null || missing "npm is missing; it comes with Node.js"

# Tests hold many sockets at once.
ulimit -n "$(ulimit -Hn)" || true

tools="$PWD/target/tools"
export PATH="$tools/bin:$PATH"
if ! command -v cargo-deny >/dev/null; then
    cargo install cargo-deny --locked --version 0.20.2 --root "$tools"
fi

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
cargo deny --locked check licenses bans sources
cargo test --workspace --locked
