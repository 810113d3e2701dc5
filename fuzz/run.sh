#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (10 by default) on top of the corpus that is kept here.
# `run.sh 600 keep` also merges what was found into the corpus.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-10}"
mode="${2:-}"

# The sanitizer and the coverage flags are unstable; a stable compiler takes them when it is told to.
export RUSTC_BOOTSTRAP=1
found="$PWD/../target/fuzz/corpus"
log="$PWD/../target/fuzz/last.log"

cargo fuzz build --target-dir ../target/fuzz
for target in $(cargo fuzz list); do
    mkdir -p "$found/$target"
    if ! cargo fuzz run --target-dir ../target/fuzz "$target" "$found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "fuzzing $target failed" >&2
        exit 1
    fi
    echo "fuzzing $target: $(grep -a "^Done" "$log")"
    if [ "$mode" = keep ]; then
        cargo fuzz run --target-dir ../target/fuzz "$target" "corpus/$target" "$found/$target" -- -merge=1 -max_len=4096
    fi
done
