//! One node beside three, over each engine.

use super::headline::Unit;
use super::tables::{NONE, Other, header, row, text};
use super::trials::{Load, Trials};

/// Names of runs, and how people read them.
const CLUSTERS: &[(&str, &str)] =
    &[("one", "one node"), ("nats", "three, NATS"), ("redis", "three, Redis"), ("zenoh", "three, zenoh")];

const FANOUT: Load<'static> = Load {
    mode: "fanout",
    parameters: &[("outstanding", 16.0), ("publishers", 1.0), ("subscribers", 3_000.0)],
};
const MANY: Load<'static> = Load {
    mode: "fanout",
    parameters: &[("outstanding", 1.0), ("publishers", 64.0), ("subscribers", 3_000.0)],
};
const LATENCY: Load<'static> = Load { mode: "fanout", parameters: &[("rate", 200.0), ("subscribers", 3.0)] };

const ROWS: &[Other] = &[
    ("fan-out to 3,000, one publisher: deliveries a second", FANOUT, "delivery_per_second", Unit::PerSecond),
    ("… CPU of all nodes per delivery", FANOUT, "cpu_per_delivery_us", Unit::Microseconds),
    (
        "fan-out to 3,000, 64 publishers on all nodes: deliveries a second",
        MANY,
        "delivery_per_second",
        Unit::PerSecond,
    ),
    ("… CPU of all nodes per delivery", MANY, "cpu_per_delivery_us", Unit::Microseconds),
    (
        "200 messages a second to one client at each node: last arrival, p50",
        LATENCY,
        "last_p50_us",
        Unit::Milliseconds,
    ),
    ("… p99", LATENCY, "last_p99_us", Unit::Milliseconds),
];

/// Each figure of one node and of three.
pub(crate) fn table(trials: &Trials) -> String {
    let mut table = header([""].into_iter().chain(CLUSTERS.iter().map(|(_, name)| *name)));
    for (name, load, figure, unit) in ROWS {
        let cells =
            CLUSTERS.iter().map(|(cluster, _)| text(*unit, trials.median(cluster, *load, &[*figure])));
        let cells: Vec<String> = [(*name).to_owned()].into_iter().chain(cells).collect();
        if cells[1..].iter().any(|cell| cell != NONE) {
            row(&mut table, cells.iter().map(String::as_str));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tables::tests::line_of;
    use super::super::trials::tests::{trial, trials};
    use super::*;

    #[test]
    fn one_node_stands_beside_three() {
        let parameters = json!({"subscribers": 3_000, "publishers": 1, "outstanding": 16, "rate": null});
        let run = |name, run, rate| {
            trial(name, "fanout", run, parameters.clone(), json!({"delivery_per_second": rate}))
        };
        let trials = trials([run("one", 1, 9e5), run("nats", 1, 5e5), run("nats", 2, 7e5)]);
        let table = table(&trials);
        let line = line_of(&table, "fan-out to 3,000, one publisher: deliveries a second");
        assert_eq!(
            line,
            "| fan-out to 3,000, one publisher: deliveries a second | 900,000 | 600,000 | – | – |"
        );
        assert_eq!(table.lines().count(), 3, "only what was measured: {table}");
    }
}
