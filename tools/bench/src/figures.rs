//! What a run found out, by name.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::proc::{self, Spent, Usage};
use crate::server::Server;

/// Names and numbers, in the order in which people read them. A name ends in its unit; a count has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Figures {
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The median and the tail of a latency, in microseconds.
    pub(crate) fn latency(&mut self, name: &str, latency: &Latency) {
        for (suffix, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            let nanoseconds = latency.0.value_at_quantile(quantile);
            self.put(&format!("{name}_{suffix}_us"), nanoseconds as f64 / 1e3);
        }
    }

    /// What `operations` cost in a window, each called `operation`.
    pub(crate) fn costs(&mut self, operation: &str, operations: u64, measured: &Measured) {
        let seconds = measured.client.wall.as_secs_f64();
        self.put(&format!("{operation}_count"), operations as f64);
        self.put(&format!("{operation}_per_second"), operations as f64 / seconds);
        if let Some(spent) = &measured.server {
            self.put(
                &format!("cpu_per_{operation}_us"),
                spent.cpu.as_secs_f64() * 1e6 / operations.max(1) as f64,
            );
        }
    }

    /// The bytes of each of `operations`, on the wire.
    pub(crate) fn bytes_per(&mut self, operation: &str, operations: u64, bytes: u64) {
        self.put(&format!("{operation}_bytes"), bytes as f64 / operations.max(1) as f64);
    }

    /// How busy the processes were in a window.
    pub(crate) fn load(&mut self, measured: &Measured) {
        if let Some(spent) = &measured.server {
            self.put("server_cpu_percent", percent(spent));
            if let Some(share) = spent.user_share {
                self.put("server_user_percent", share * 100.0);
            }
        }
        self.put("client_cpu_percent", percent(&measured.client));
    }
}

fn percent(spent: &Spent) -> f64 {
    100.0 * spent.cpu.as_secs_f64() / spent.wall.as_secs_f64()
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &round(value))?;
        }
        map.end()
    }
}

/// Six significant digits: more would claim what was not measured.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(5 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Times from one to three significant digits, 1 µs to an hour.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        const HOUR: u64 = 3_600_000_000_000;
        Self(Histogram::new_with_bounds(1000, HOUR, 3).expect("the bounds are in order"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

/// A window of time in which the processes are watched.
#[derive(Debug)]
pub(crate) struct Window {
    before: (Option<Usage>, Usage),
}

/// What was used in a window.
#[derive(Debug)]
pub(crate) struct Measured {
    /// By the server, if its process is known.
    pub(crate) server: Option<Spent>,
    /// By us.
    pub(crate) client: Spent,
}

impl Window {
    pub(crate) fn open(server: &Server) -> anyhow::Result<Self> {
        Ok(Self { before: (server.usage()?, own_usage()?) })
    }

    pub(crate) fn close(self, server: &Server) -> anyhow::Result<Measured> {
        let (server, client) = (server.usage()?, own_usage()?);
        let server = self.before.0.zip(server).map(|(before, after)| before.until(&after));
        Ok(Measured { server, client: self.before.1.until(&client) })
    }
}

fn own_usage() -> anyhow::Result<Usage> {
    proc::usage(std::process::id(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_what_they_are_worth() {
        for (value, rounded) in [
            (0.0, 0.0),
            (f64::NAN, 0.0),
            (1_234.567_89, 1_234.57),
            (0.123_456_789, 0.123_457),
            (-2.0, -2.0),
            (9_876_543.0, 9_876_540.0),
        ] {
            assert_eq!(round(value), rounded, "{value}");
        }
    }

    #[test]
    fn costs_are_shares_of_a_window() {
        let spent = |wall, cpu| Spent {
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
            user_share: None,
        };
        let measured = Measured { server: Some(spent(2000, 1000)), client: spent(2000, 500) };
        let mut figures = Figures::default();
        figures.costs("echo", 100_000, &measured);
        figures.load(&measured);
        let expected = [
            ("echo_count", 100_000.0),
            ("echo_per_second", 50_000.0),
            ("cpu_per_echo_us", 10.0),
            ("server_cpu_percent", 50.0),
            ("client_cpu_percent", 25.0),
        ];
        assert_eq!(figures.iter().collect::<Vec<_>>(), expected);
    }
}
