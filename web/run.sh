#!/usr/bin/env bash
# The client in a browser: built for WebAssembly, run in headless Chromium against the reference server.
set -euo pipefail
cd "$(dirname "$0")"

if ! rustc --print target-libdir --target wasm32-unknown-unknown | xargs test -d; then
    rustup target add wasm32-unknown-unknown || {
        echo "web/run.sh: the target wasm32-unknown-unknown is missing and rustup cannot add it" >&2
        exit 1
    }
fi
command -v chromium >/dev/null || {
    echo "web/run.sh: chromium is missing" >&2
    exit 1
}

target="$PWD/../target/web"
cargo build --locked --release --target wasm32-unknown-unknown -p bennu-client-web-test --target-dir "$target"
cargo run --locked --quiet --release -p bundle --target-dir "$target" -- \
    "$target/wasm32-unknown-unknown/release/bennu_client_web_test.wasm" "$target/page"
(cd .. && cargo build --locked --release -p reference-server)
node test/run.mjs ../target/release/reference-server "$target/page"
