#!/usr/bin/env bash
# Measures what presence costs, and writes the table in docs/presence.md from what it found: memory of a presence, a join in small and large
# topics, and a node that joins others.
#
#     ./presence-benchmarks.sh      five rounds: two minutes, after the build
#     ./presence-benchmarks.sh 3    so many rounds
set -euo pipefail
cd "$(dirname "$0")"

rounds="${1:-5}"
page=docs/presence.md
table="$(mktemp)"
trap 'rm -f "$table" "$page.new"' EXIT
cargo build --release --locked -p bennu-presence --example presence-benchmarks
target/release/examples/presence-benchmarks "$rounds" | tee "$table"
awk -v table="$table" '
    /<!-- end of the figures -->/ { kept = 0 }
    !kept { print }
    /<!-- the figures of presence-benchmarks.sh -->/ {
        kept = 1
        while ((getline line < table) > 0) print line
    }' "$page" > "$page.new"
mv "$page.new" "$page"
