//! Memory of connections and joins, at rest and after traffic.

use std::ops::Range;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::crowd::Call;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::ledger::Ledger;
use crate::options::seconds;
use crate::phase;
use crate::protocol::Purpose;
use crate::publishing::{Pace, Publishing};
use crate::topics::Topics;

/// The message that shows who keeps the buffers of large ones, in bytes.
const LARGE: usize = 16 * 1024;

/// Heartbeats of each connection before the figures that follow heartbeats.
const BEATS: usize = 3;

/// How many connections, and with what.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Conns {
    /// How many connections.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How many topics each joins.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    joins: u32,
    /// Whether they join the same topics.
    #[arg(long, value_enum, default_value_t = Sharing::Shared)]
    topics: Sharing,
    /// How many client processes share them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    processes: u32,
    /// Only at rest: without echoes, broadcast and large messages.
    #[arg(long)]
    idle: bool,
    /// How long to hold them at rest at the end, with a heartbeat every 30 seconds.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    hold: f64,
    /// How long the server may tidy up before its memory is read: at first, after heartbeats, joins, traffic and large
    /// messages, and at the end.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    settle: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Sharing {
    /// All join the same.
    Shared,
    /// Each joins its own.
    Own,
}

impl Load for Conns {
    fn purpose(&self) -> Purpose {
        Purpose::Mixed
    }

    fn topics(&self) -> Topics {
        match self.topics {
            Sharing::Shared => Topics::Shared,
            Sharing::Own => Topics::Own { process: 0 },
        }
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let mut memory = Memory::start(bench, self)?;
        let has_topics = bench.common.protocol.has_topics();
        anyhow::ensure!(
            has_topics || self.joins == 1,
            "without topics there is one subscription to each connection"
        );
        let call =
            Call { senders: 1, own_topics: self.topics == Sharing::Own, mixed: true, ..Call::default() };
        let own = bench.gather(self.connections as usize, self.processes, call)?;
        let links = bench.open(own)?;
        memory.per_connection(bench, "connected")?;
        if has_topics {
            bench.join(links.clone(), 1)?;
            memory.per_connection(bench, "joined")?;
        }
        self.beat(bench, links.clone())?;
        self.settle(bench)?;
        let before = memory.per_connection(bench, "after_heartbeats")?;
        if self.joins > 1 {
            bench.join(links.clone(), self.joins as usize - 1)?;
            self.beat(bench, links.clone())?;
            self.settle(bench)?;
            memory.per_further_join(bench, before)?;
        }
        if !self.idle {
            self.traffic(bench, links.clone(), &mut memory)?;
        }
        if self.hold > 0.0 {
            phase::rest(&mut bench.client, seconds(self.hold))?;
            memory.per_connection(bench, "after_hold")?;
        }
        bench.silence(links)?;
        bench.close()?;
        self.settle(bench)?;
        memory.total(bench, "resident_after_close_bytes")?;
        Ok(memory.figures)
    }
}

impl Conns {
    fn settle(&self, bench: &mut Bench) -> Result<(), Fault> {
        phase::rest(&mut bench.client, seconds(self.settle))
    }

    fn beat(&self, bench: &mut Bench, links: Range<usize>) -> anyhow::Result<()> {
        for _ in 0..BEATS {
            bench.beat(links.clone())?;
        }
        Ok(())
    }

    fn traffic(&self, bench: &mut Bench, links: Range<usize>, memory: &mut Memory<'_>) -> anyhow::Result<()> {
        bench.echo_once(links.clone(), bench.size())?;
        if self.topics == Sharing::Shared {
            self.broadcast(bench, links.clone())?;
        }
        self.settle(bench)?;
        memory.per_connection(bench, "after_traffic")?;
        bench.echo_once(links, LARGE)?;
        self.settle(bench)?;
        memory.per_connection(bench, "after_16k")?;
        Ok(())
    }

    /// One message to all.
    fn broadcast(&self, bench: &mut Bench, links: Range<usize>) -> anyhow::Result<()> {
        let ledger = Ledger::new(links.len(), 1, bench.size());
        let mut work = Publishing::new(ledger, links.len(), 1, Pace::Outstanding(1));
        work.begin(Duration::from_millis(1));
        bench.publish(&mut work)
    }
}

/// The server's memory, step by step.
#[derive(Debug)]
struct Memory<'a> {
    conns: &'a Conns,
    base: Option<u64>,
    figures: Figures,
}

impl<'a> Memory<'a> {
    fn start(bench: &mut Bench, conns: &'a Conns) -> anyhow::Result<Self> {
        conns.settle(bench)?;
        let mut memory = Self { conns, base: None, figures: Figures::default() };
        memory.base = memory.total(bench, "base_bytes")?;
        Ok(memory)
    }

    /// Notes what is resident.
    fn total(&mut self, bench: &Bench, name: &str) -> anyhow::Result<Option<u64>> {
        let resident = bench.server.resident()?;
        if let Some(bytes) = resident {
            self.figures.put(name, bytes as f64);
        }
        Ok(resident)
    }

    /// Notes by how much each connection made the server larger than it was at first.
    fn per_connection(&mut self, bench: &Bench, when: &str) -> anyhow::Result<Option<u64>> {
        let resident = self.total(bench, &format!("resident_{when}_bytes"))?;
        if let Some((base, bytes)) = self.base.zip(resident) {
            let each = share(base, bytes, u64::from(self.conns.connections));
            self.figures.put(&format!("per_connection_{when}_bytes"), each);
        }
        Ok(resident)
    }

    fn per_further_join(&mut self, bench: &Bench, before: Option<u64>) -> anyhow::Result<()> {
        let resident = self.total(bench, "resident_after_further_joins_bytes")?;
        if let Some((before, bytes)) = before.zip(resident) {
            let joins = u64::from(self.conns.connections) * u64::from(self.conns.joins - 1);
            self.figures.put("per_further_join_bytes", share(before, bytes, joins));
        }
        Ok(())
    }
}

/// How much each of `count` added; below zero if memory was given back.
fn share(before: u64, after: u64, count: u64) -> f64 {
    (after as f64 - before as f64) / count as f64
}
