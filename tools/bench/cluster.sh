#!/usr/bin/env bash
# Serves the application `bench` on three nodes, until it is told to end.
#
#     cluster.sh PUBSUB PORT PORT PORT [PEER PEER PEER]
#
# PUBSUB is a URL, or `zenoh`, whose peers listen on the last three ports.
set -euo pipefail

pubsub="$1"
ports=("$2" "$3" "$4")
peers=("${@:5}")
nodes=()
trap 'kill "${nodes[@]}" 2>/dev/null; wait; exit 0' TERM INT

for number in 0 1 2; do
    url="$pubsub"
    if [ "$pubsub" = zenoh ]; then
        others=
        for other in 0 1 2; do
            if [ "$other" != "$number" ]; then others="$others${others:+,}127.0.0.1:${peers[$other]}"; fi
        done
        url="zenoh://$others?listen=127.0.0.1:${peers[$number]}"
    fi
    target/release/reference-server bench --listen "127.0.0.1:${ports[$number]}" --node "node-$number" \
        --pubsub "$url" --secret 'a secret of three benchmarked nodes' &
    nodes+=($!)
done
wait
