//! What one million and ten million connections would take, on paper.

use std::fmt::Write as _;

use super::headline::{Unit, grouped, significant};
use super::trials::{Load, Trials};

/// A machine to reckon with: what is rented everywhere.
const CORES: f64 = 16.0;
const MEMORY: f64 = 64e9;

/// The share of a machine's memory that connections may take; the rest is the system's and the application's.
const MEMORY_SHARE: f64 = 0.75;

/// The share of its time that a core may be busy on an ordinary day, so that a bad one finds room.
const BUSY: f64 = 0.5;

/// Seconds between the heartbeats of a client.
const HEARTBEAT: f64 = 30.0;

/// Seconds between two messages to a client, one at a time: a chat that is alive.
const BETWEEN_MESSAGES: f64 = 10.0;

/// Seconds over which the clients of a node that died come back to the others.
const RECONNECT: f64 = 60.0;

/// What Linux lets a process open unless it is told otherwise (`fs.nr_open`).
const NR_OPEN: f64 = 1_048_576.0;

/// What a connection costs. Bytes and microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Costs {
    base: f64,
    user: f64,
    user_tls: f64,
    user_state: f64,
    kernel: f64,
    delivery: f64,
    echo: f64,
    connect: f64,
}

/// What so many connections take.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Need {
    memory: f64,
    cores: f64,
}

/// The text of the page that depends on figures.
pub(crate) fn page(trials: &Trials) -> String {
    match Costs::measured(trials) {
        Ok(costs) => costs.page(),
        Err(missing) => format!("Not reckoned: the series has no {missing}."),
    }
}

impl Costs {
    /// From the runs, or what is missing in them.
    fn measured(trials: &Trials) -> Result<Costs, &'static str> {
        let conns = Load { mode: "conns", parameters: &[("connections", 5000.0), ("joins", 1.0)] };
        let fanout = Load {
            mode: "fanout",
            parameters: &[("subscribers", 1000.0), ("publishers", 1.0), ("outstanding", 1.0)],
        };
        let echo = Load { mode: "echo", parameters: &[("connections", 100.0), ("joins", 1.0)] };
        let connect = Load { mode: "connect", parameters: &[("connections", 5000.0)] };
        let kernel = Load { mode: "kernel", parameters: &[] };
        let memory = "per_connection_after_heartbeats_bytes";
        let of = |server, load, figure, what| {
            trials.median(server, load, &[figure]).map(|median| median.value).ok_or(what)
        };
        Ok(Costs {
            base: of("bennu", conns, "base_bytes", "base memory")?,
            user: of("bennu", conns, memory, "memory per connection")?,
            user_tls: of("bennu-tls", conns, memory, "memory per connection with TLS")?,
            user_state: of("bennu-state", conns, memory, "memory per connection with state")?,
            kernel: of("bennu", kernel, "kernel_per_connection_bytes", "kernel memory per connection")?,
            delivery: of("bennu", fanout, "cpu_per_delivery_us", "cost of a delivery")?,
            echo: of("bennu", echo, "cpu_per_echo_us", "cost of an echo")?,
            connect: of("bennu", connect, "cpu_per_connect_and_join_us", "cost of a connect")?,
        })
    }

    /// What `connections` take when each has `user` bytes.
    fn need(&self, connections: f64, user: f64) -> Need {
        let memory = self.base + connections * (user + self.kernel);
        let busy = connections * self.busy_per_connection() / 1e6;
        Need { memory, cores: busy / BUSY }
    }

    /// Microseconds a second.
    fn busy_per_connection(&self) -> f64 {
        self.echo / HEARTBEAT + self.delivery / BETWEEN_MESSAGES
    }

    /// How many nodes hold `connections`, and one more that may be missing.
    fn nodes(&self, connections: f64, user: f64) -> f64 {
        let need = self.need(connections, user);
        let by_memory = need.memory / (MEMORY * MEMORY_SHARE);
        let by_cores = need.cores / CORES;
        by_memory.max(by_cores).ceil().max(1.0) + 1.0
    }

    fn page(&self) -> String {
        let mut text = String::new();
        self.costs(&mut text);
        for connections in [1e6, 1e7] {
            self.scale(&mut text, connections);
        }
        self.first_to_break(&mut text);
        text
    }

    fn costs(&self, text: &mut String) {
        let lines = [
            ("memory of a connection with one channel, in the process", Unit::Bytes.text(self.user)),
            ("the same with TLS in the process", Unit::Bytes.text(self.user_tls)),
            ("the same with 1 KB of state in the channel", Unit::Bytes.text(self.user_state)),
            ("memory of its socket, in the kernel", Unit::Bytes.text(self.kernel)),
            ("CPU for a delivery, one message at a time", Unit::Microseconds.text(self.delivery)),
            ("CPU for a heartbeat, taken to be an echo", Unit::Microseconds.text(self.echo)),
            ("CPU for connecting and joining", Unit::Microseconds.text(self.connect)),
        ];
        text.push_str("| measured | |\n| --- | --- |\n");
        for (name, value) in lines {
            put(text, format_args!("| {name} | {value} |"));
        }
        put(text, format_args!(""));
    }

    fn scale(&self, text: &mut String, connections: f64) {
        let millions = connections / 1e6;
        let (echo, delivery) = (significant(self.echo), significant(self.delivery));
        let busy = self.busy_per_connection();
        put(text, format_args!("### {} connections\n", grouped(connections)));
        for (name, user) in [
            ("Memory", self.user),
            ("Memory with TLS", self.user_tls),
            ("Memory with 1 KB of state", self.user_state),
        ] {
            let (each, kernel) = (grouped(user), grouped(self.kernel));
            let (total, nodes) = (self.need(connections, user).memory / 1e9, self.nodes(connections, user));
            put(
                text,
                format_args!(
                    "- {name}: {millions:.0} M × ({each} B + {kernel} B of the kernel) = **{total:.1} GB**; {nodes:.0} nodes, one of them to spare.",
                ),
            );
        }
        let need = self.need(connections, self.user);
        put(
            text,
            format_args!(
                "- Cores: {millions:.0} M × ({echo} µs / {HEARTBEAT} s + {delivery} µs / {BETWEEN_MESSAGES} s) = {:.1} busy cores; \
             **{:.0} cores** at {:.0} % load, as many shards.",
                connections * busy / 1e6,
                need.cores.ceil(),
                BUSY * 100.0,
            ),
        );
        let nodes = self.nodes(connections, self.user);
        let all = connections * self.delivery / 1e6;
        let shards = (nodes - 1.0) * CORES;
        put(
            text,
            format_args!(
                "- A message to everybody: {millions:.0} M × {delivery} µs = {all:.1} s of CPU; over {shards:.0} shards the last one has it after {}.",
                time(all / shards),
            ),
        );
        let each = connections / (nodes - 1.0);
        put(
            text,
            format_args!(
                "- Files: {} connections on each of {:.0} nodes that are left when one is missing: the limit of open files has to be {}{}.",
                grouped(each),
                nodes - 1.0,
                grouped(files(each)),
                if files(each) > NR_OPEN { ", above `fs.nr_open`, which has to be raised too" } else { "" },
            ),
        );
        let share = connections / nodes;
        put(
            text,
            format_args!(
                "- A node dies: its {} clients come back within {RECONNECT} s: {} × {} µs / {RECONNECT} s = {:.2} cores.",
                grouped(share),
                grouped(share),
                significant(self.connect),
                share * self.connect / 1e6 / RECONNECT,
            ),
        );
        put(text, format_args!(""));
    }

    /// How many connections a node holds by each of its limits, the narrowest first.
    fn limits(&self) -> Vec<(f64, &'static str)> {
        let memory = |user: f64| (MEMORY * MEMORY_SHARE - self.base) / (user + self.kernel);
        let mut limits = vec![
            (files_leave(1024.0), "open files where nobody raised the limit of 1,024 (`ulimit -n`)"),
            (files_leave(NR_OPEN), "open files at the kernel's own bound for a process (`fs.nr_open`)"),
            (memory(self.user), "memory"),
            (memory(self.user_tls), "memory with TLS in the process"),
            (memory(self.user_state), "memory with 1 KB of state in each channel"),
            (CORES * BUSY * 1e6 / self.busy_per_connection(), "CPU for heartbeats and messages"),
            (CORES * 1e6 / self.delivery, "CPU, if each gets one message of its own a second"),
        ];
        limits.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        limits
    }

    fn first_to_break(&self, text: &mut String) {
        put(text, format_args!("### What breaks first\n"));
        put(text, format_args!("| connections on one node | limit |\n| --- | --- |"));
        for (connections, limit) in self.limits() {
            put(text, format_args!("| {} | {limit} |", grouped(connections)));
        }
    }
}

/// The limit of open files that lets so many clients in: an eighth is kept for everything else.
fn files(connections: f64) -> f64 {
    (connections * 8.0 / 7.0).ceil()
}

/// How many clients a limit of open files leaves room for.
fn files_leave(limit: f64) -> f64 {
    (limit * 7.0 / 8.0).floor()
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trials::tests::{trial, trials};
    use super::*;

    const COSTS: Costs = Costs {
        base: 8e6,
        user: 1000.0,
        user_tls: 9000.0,
        user_state: 2000.0,
        kernel: 4000.0,
        delivery: 5.0,
        echo: 6.0,
        connect: 45.0,
    };

    #[test]
    fn needs_are_sums_of_costs() {
        let need = COSTS.need(1e6, COSTS.user);
        // 8 MB + 1 M × 5 KB; 1 M × (6 / 30 + 5 / 10) µs a second, at half load.
        assert_eq!(need, Need { memory: 5.008e9, cores: 1.4 });
        for (connections, user, nodes) in [(1e6, 1000.0, 2.0), (1e7, 1000.0, 3.0), (1e7, 9000.0, 4.0)] {
            assert_eq!(COSTS.nodes(connections, user), nodes, "{connections} {user}");
        }
    }

    #[test]
    fn the_narrowest_limit_comes_first() {
        let limits = COSTS.limits();
        assert_eq!((limits[0].0, limits[1].0), (896.0, 917_504.0));
        assert!(limits.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{limits:?}");
    }

    #[test]
    fn the_page_shows_the_arithmetic() {
        let page = COSTS.page();
        for line in [
            "- Memory: 1 M × (1,000 B + 4,000 B of the kernel) = **5.0 GB**; 2 nodes, one of them to spare.",
            "- Memory with TLS: 10 M × (9,000 B + 4,000 B of the kernel) = **130.0 GB**; 4 nodes, one of them to spare.",
            "- Cores: 1 M × (6.00 µs / 30 s + 5.00 µs / 10 s) = 0.7 busy cores; **2 cores** at 50 % load, as many shards.",
            "- A message to everybody: 10 M × 5.00 µs = 50.0 s of CPU; over 32 shards the last one has it after 1.6 s.",
            "| 917,504 | open files at the kernel's own bound for a process (`fs.nr_open`) |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }

    #[test]
    fn files_are_those_that_the_server_asks_for() {
        for (connections, limit) in [(896.0, 1024.0), (1e6, 1_142_858.0)] {
            assert_eq!(files(connections), limit);
            assert!(files_leave(limit) >= connections);
        }
    }

    #[test]
    fn a_series_that_lacks_something_says_what() {
        assert_eq!(page(&Trials::default()), "Not reckoned: the series has no base memory.");
        let parameters = json!({"connections": 5000, "joins": 1});
        let figures = json!({"base_bytes": 8e6, "per_connection_after_heartbeats_bytes": 1000.0});
        let series = trials([trial("bennu", "conns", 1, parameters, figures)]);
        assert_eq!(page(&series), "Not reckoned: the series has no memory per connection with TLS.");
    }
}
