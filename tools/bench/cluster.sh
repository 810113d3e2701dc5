#!/usr/bin/env bash
# Serves the application `bench` on three nodes, until it is told to end.
#
#     cluster.sh PUBSUB PORT PORT PORT
set -euo pipefail

pubsub="$1"
ports=("$2" "$3" "$4")
nodes=()
trap 'kill "${nodes[@]}" 2>/dev/null; wait; exit 0' TERM INT

for number in 0 1 2; do
    target/release/reference-server bench --listen "127.0.0.1:${ports[$number]}" --node "node-$number" \
        --pubsub "$pubsub" --secret 'a secret of three benchmarked nodes' &
    nodes+=($!)
done
wait
