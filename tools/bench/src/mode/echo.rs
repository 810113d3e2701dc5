//! A message and its reply, one at a time on each connection.

use std::ops::Range;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::client::Workload;
use crate::echoes::Echoes;
use crate::fault::Fault;
use crate::figures::{Figures, Latency};
use crate::options::seconds;
use crate::protocol::{Purpose, Received};
use crate::sends::Sends;
use crate::topics::Topics;

/// How much echo.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Echo {
    /// How many connections.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How many topics of its own each connection joins, and uses in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    joins: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How long to run before.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
}

impl Load for Echo {
    fn purpose(&self) -> Purpose {
        Purpose::Echo
    }

    fn topics(&self) -> Topics {
        Topics::Own { process: 0 }
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let links = bench.open_and_join(self.connections as usize, self.joins as usize)?;
        let mut work = Echoing {
            topics: self.joins as usize,
            until: Instant::now() + seconds(self.warmup),
            echoes: Echoes::new(links.end, bench.size()),
            links: links.clone(),
        };
        bench.client.run(&mut work)?;
        let window = bench.window()?;
        let before = bench.client.traffic;
        (work.echoes.latency, work.until) = (Latency::new(), Instant::now() + seconds(self.seconds));
        bench.client.run(&mut work)?;
        let measured = window.close(&bench.server)?;
        let traffic = before.until(bench.client.traffic);
        bench.silence(links)?;
        let mut figures = Figures::default();
        let echoes = work.echoes.latency.len();
        figures.costs("echo", echoes, &measured);
        figures.bytes_per("sent_per_echo", echoes, traffic.sent);
        figures.bytes_per("received_per_echo", echoes, traffic.received);
        figures.load(&measured);
        figures.latency("echo", &work.echoes.latency);
        Ok(figures)
    }
}

/// One echo on its way on each connection until a moment, then the rest of the replies.
#[derive(Debug)]
struct Echoing {
    links: Range<usize>,
    topics: usize,
    until: Instant,
    echoes: Echoes,
}

impl Workload for Echoing {
    fn receive(&mut self, link: usize, received: Received<'_>, sends: &mut Sends) -> Result<(), Fault> {
        if received == Received::Alive {
            return Ok(());
        }
        let now = self.echoes.receive(link, &received)?;
        if now < self.until {
            self.echoes.send(link, self.topics, now, sends);
        }
        Ok(())
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        // None is waited for only at the start of a period.
        if self.echoes.waiting() == 0 && now < self.until {
            self.links.clone().for_each(|link| self.echoes.send(link, self.topics, now, sends));
        }
        None
    }

    fn is_done(&self) -> bool {
        self.echoes.waiting() == 0
    }

    fn missing(&self) -> String {
        format!("{} echoes", self.echoes.waiting())
    }
}
