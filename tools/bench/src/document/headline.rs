//! The figures that the targets are about.

use super::trials::Load;

/// Names of servers, as the runs have them and as people read them, in the order of tables.
pub(crate) const SERVERS: &[(&str, &str)] = &[
    ("bennu", "bennu"),
    ("bun", "Bun"),
    ("ws", "ws"),
    ("axum", "axum, tuned"),
    ("socket.io", "socket.io"),
    ("socketioxide", "socketioxide, tuned"),
    ("actix-phoenix-channel", "actix-phoenix-channel"),
];

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headline {
    pub(crate) name: &'static str,
    pub(crate) load: Load<'static>,
    /// The first of these that a run has.
    pub(crate) figures: &'static [&'static str],
    pub(crate) unit: Unit,
    pub(crate) must: f64,
    pub(crate) stretch: f64,
    /// What the target was set against, where the ratio in the same series decides.
    pub(crate) bun: Option<f64>,
    /// What Phoenix was measured at when the targets were set.
    pub(crate) phoenix: &'static str,
    pub(crate) leaves_out: &'static str,
}

/// In what a figure is told. Runs have bytes and microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Megabytes,
    Microseconds,
    Milliseconds,
    PerSecond,
}

impl Unit {
    /// The figure of a run, in this unit and as text.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Unit::Bytes => format!("{} B", grouped(value)),
            Unit::Megabytes => format!("{:.1} MB", value / 1e6),
            Unit::Microseconds => format!("{} µs", significant(value)),
            Unit::Milliseconds => format!("{:.1} ms", value / 1e3),
            Unit::PerSecond => grouped(value),
        }
    }
}

/// A number with commas between its thousands, without decimals.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let sign = if value < 0.0 && text != "0" { "-" } else { "" };
    format!("{sign}{text}")
}

/// A number with as many decimals as its size deserves.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        100.0.. => grouped(value),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const CONNS: Load<'static> = Load { mode: "conns", parameters: &[("connections", 5000.0), ("joins", 1.0)] };
const DELIVERY: &[&str] = &["cpu_per_delivery_us"];

/// A fan-out to 1,000, with so many publishers and so much outstanding.
macro_rules! fanout {
    ($publishers:literal, $outstanding:literal) => {
        Load {
            mode: "fanout",
            parameters: &[
                ("subscribers", 1000.0),
                ("publishers", $publishers),
                ("outstanding", $outstanding),
            ],
        }
    };
}

/// The fan-out of which one message is on its way at a time.
pub(crate) const ONE_AT_A_TIME: Load<'static> = fanout!(1.0, 1.0);

/// The echo of connections with one channel each.
pub(crate) const ECHO: Load<'static> =
    Load { mode: "echo", parameters: &[("connections", 100.0), ("joins", 1.0)] };

/// All of them, in the order of the targets.
pub(crate) const HEADLINES: &[Headline] = &[
    Headline {
        name: "RSS per connection joined to one channel, after heartbeats",
        load: CONNS,
        figures: &["per_connection_after_heartbeats_bytes"],
        unit: Unit::Bytes,
        must: 1400.0,
        stretch: 400.0,
        bun: None,
        phoenix: "36.6 KB",
        leaves_out: "the kernel's memory for the socket, which is more; an application's state",
    },
    Headline {
        name: "same after 16 KB each way",
        load: CONNS,
        figures: &["per_connection_after_16k_bytes"],
        unit: Unit::Bytes,
        must: 1800.0,
        stretch: 600.0,
        bun: None,
        phoenix: "",
        leaves_out: "what is resident while the messages are under way, when thousands come at once",
    },
    Headline {
        name: "each further joined channel",
        load: Load { mode: "conns", parameters: &[("connections", 2000.0), ("joins", 11.0)] },
        figures: &["per_further_join_bytes"],
        unit: Unit::Bytes,
        must: 150.0,
        stretch: 64.0,
        bun: None,
        phoenix: "13–22 KB",
        leaves_out: "the topic itself: all join the same ten; an application's state",
    },
    Headline {
        name: "base RSS",
        load: CONNS,
        figures: &["base_bytes"],
        unit: Unit::Megabytes,
        must: 8e6,
        stretch: 5e6,
        bun: None,
        phoenix: "164 MB",
        leaves_out: "databases, templates and all else that an application brings",
    },
    Headline {
        name: "CPU per delivery, 1,000 subscribers, one message at a time",
        load: ONE_AT_A_TIME,
        figures: DELIVERY,
        unit: Unit::Microseconds,
        must: 5.0,
        stretch: 4.5,
        bun: Some(4.7),
        phoenix: "13–15 µs",
        leaves_out: "a network card; other topics and pushes between the broadcasts",
    },
    Headline {
        name: "16 outstanding",
        load: fanout!(1.0, 16.0),
        figures: DELIVERY,
        unit: Unit::Microseconds,
        must: 0.34,
        stretch: 0.30,
        bun: Some(0.34),
        phoenix: "9–13 µs",
        leaves_out: "the friendly case: one publisher, whose messages arrive in one read",
    },
    Headline {
        name: "64 outstanding",
        load: fanout!(1.0, 64.0),
        figures: DELIVERY,
        unit: Unit::Microseconds,
        must: 0.12,
        stretch: 0.08,
        bun: Some(0.17),
        phoenix: "9–13 µs",
        leaves_out: "the same, and receivers that read 64 messages at once",
    },
    Headline {
        name: "64 publishers, each one message at a time",
        load: fanout!(64.0, 1.0),
        figures: DELIVERY,
        unit: Unit::Microseconds,
        must: 1.5,
        stretch: 0.5,
        bun: None,
        phoenix: "",
        leaves_out: "publishers on other nodes",
    },
    Headline {
        name: "echo through a channel",
        load: ECHO,
        figures: &["cpu_per_echo_us"],
        unit: Unit::Microseconds,
        must: 6.0,
        stretch: 5.4,
        bun: Some(5.5),
        phoenix: "21–25 µs",
        leaves_out: "what a handler does; Bun and ws echo without a protocol above the frame",
    },
    Headline {
        name: "connect and join together",
        load: Load { mode: "connect", parameters: &[("connections", 5000.0)] },
        figures: &["cpu_per_connect_and_join_us", "cpu_per_connect_us"],
        unit: Unit::Microseconds,
        must: 45.0,
        stretch: 30.0,
        bun: None,
        phoenix: "196 µs",
        leaves_out: "checking a credential; servers of the plain protocol have no join",
    },
    Headline {
        name: "last of 1,000 subscribers at 50 messages a second, p99",
        load: Load { mode: "fanout", parameters: &[("subscribers", 1000.0), ("rate", 50.0)] },
        figures: &["last_p99_us"],
        unit: Unit::Milliseconds,
        must: 9e3,
        stretch: 7e3,
        bun: Some(9.4e3),
        phoenix: "12–20 ms",
        leaves_out: "a network; the client shares the machine and takes its half",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_their_unit() {
        for (unit, value, text) in [
            (Unit::Bytes, 1234.4, "1,234 B"),
            (Unit::Bytes, 1_234_567.0, "1,234,567 B"),
            (Unit::Bytes, 64.0, "64 B"),
            (Unit::Bytes, -0.2, "0 B"),
            (Unit::Bytes, -1500.0, "-1,500 B"),
            (Unit::Megabytes, 7_940_000.0, "7.9 MB"),
            (Unit::Microseconds, 4.7123, "4.71 µs"),
            (Unit::Microseconds, 0.07, "0.070 µs"),
            (Unit::Microseconds, 45.04, "45.0 µs"),
            (Unit::Milliseconds, 9_449.0, "9.4 ms"),
        ] {
            assert_eq!(unit.text(value), text, "{value}");
        }
    }
}
