#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (10 by default) on top of the corpus that is kept here, one on each core.
# `run.sh 600 keep` also merges what was found into the corpus.
set -euo pipefail
cd "$(dirname "$0")"
export seconds="${1:-10}"
export mode="${2:-}"

# The sanitizer and the coverage flags are unstable; a stable compiler takes them when it is told to.
export RUSTC_BOOTSTRAP=1
export target_dir="$PWD/../target/fuzz"

run() {
    local target="$1" found="$target_dir/corpus/$1" log="$target_dir/$1.log"
    mkdir -p "$found"
    if ! cargo fuzz run --target-dir "$target_dir" "$target" "$found" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "fuzzing $target failed" >&2
        return 1
    fi
    echo "fuzzing $target: $(grep -a "^Done" "$log")"
    if [ "$mode" = keep ]; then
        cargo fuzz run --target-dir "$target_dir" "$target" "corpus/$target" "$found" -- -merge=1 -max_len=4096
    fi
}
export -f run

cargo fuzz build --target-dir "$target_dir"
cargo fuzz list | xargs -P "$(nproc)" -I '{}' bash -euo pipefail -c 'run {}'
