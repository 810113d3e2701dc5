//! The cost of connecting and joining.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::figures::Figures;
use crate::phase;
use crate::protocol::Purpose;
use crate::topics::Topics;

/// How long the server has to notice that the connections of the warm-up are gone.
const SETTLE: Duration = Duration::from_millis(300);

/// How many connects.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Connect {
    /// How many connections.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How many connections are opened and closed before.
    #[arg(long, default_value_t = 500)]
    warmup_connections: u32,
}

impl Load for Connect {
    fn purpose(&self) -> Purpose {
        Purpose::Fanout
    }

    fn topics(&self) -> Topics {
        Topics::Shared
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        bench.open_and_join(self.warmup_connections as usize, 1)?;
        bench.client.close_all();
        phase::rest(&mut bench.client, SETTLE)?;
        let mut figures = Figures::default();
        let concurrency = bench.common.concurrency();
        let count = u64::from(self.connections);

        let window = bench.window()?;
        let (links, latency) = phase::open(&mut bench.client, self.connections as usize, concurrency)?;
        let connected = window.close(&bench.server)?;
        figures.costs("connect", count, &connected);
        figures.latency("connect", &latency);
        if !bench.common.protocol.has_topics() {
            return Ok(figures);
        }
        let window = bench.window()?;
        let latency = phase::join(&mut bench.client, links.clone(), concurrency)?;
        let joined = window.close(&bench.server)?;
        figures.costs("join", count, &joined);
        figures.latency("join", &latency);
        if let Some((connected, joined)) = connected.server.zip(joined.server) {
            let together = (connected.cpu + joined.cpu).as_secs_f64() * 1e6;
            figures.put("cpu_per_connect_and_join_us", together / count as f64);
        }
        bench.silence(links)?;
        Ok(figures)
    }
}
