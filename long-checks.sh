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

for check in "${@:-drain}"; do
    echo "long-checks.sh: $check"
    "$check"
done
