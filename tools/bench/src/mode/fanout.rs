//! Broadcasts to many subscribers of one topic.

use clap::Args;
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::crowd::Call;
use crate::figures::Figures;
use crate::ledger::Ledger;
use crate::options::seconds;
use crate::protocol::Purpose;
use crate::publishing::{Pace, Publishing};
use crate::topics::Topics;

/// How much fan-out.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Fanout {
    /// How many connections subscribe.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    subscribers: u32,
    /// How many of them publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    publishers: u32,
    /// How many messages of each publisher may be on their way at a time: the next is sent when one has arrived everywhere.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: u32,
    /// Messages a second of all publishers together, whatever is on its way; as fast as they arrive when absent.
    #[arg(long, value_name = "PER SECOND", conflicts_with = "outstanding")]
    rate: Option<f64>,
    /// How many client processes share the subscribers. The publishers are in the first, and only its subscribers make them wait.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    processes: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How long to run before.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
}

impl Load for Fanout {
    fn purpose(&self) -> Purpose {
        Purpose::Fanout
    }

    fn topics(&self) -> Topics {
        Topics::Shared
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let (subscribers, publishers) = (self.subscribers as usize, self.publishers as usize);
        let call = Call { senders: publishers, ..Call::default() };
        let own = bench.gather(subscribers, self.processes, call)?;
        anyhow::ensure!(
            publishers <= own,
            "publishers are subscribers of the first process: there must be as many"
        );
        let links = bench.open_and_join(own, 1)?;
        let ledger = Ledger::new(own, publishers, bench.size());
        let pace = self.rate.map_or(Pace::Outstanding(self.outstanding as usize), Pace::every);
        let mut work = Publishing::new(ledger, own, publishers, pace);
        work.begin(seconds(self.warmup));
        bench.publish(&mut work)?;
        let window = bench.window()?;
        let (before, traffic) = (work.messages(), bench.client.traffic);
        work.begin(seconds(self.seconds));
        bench.publish(&mut work)?;
        let measured = window.close(&bench.server)?;
        let traffic = traffic.until(bench.client.traffic);
        bench.silence(links)?;
        let messages = work.messages() - before;
        let mut figures = Figures::default();
        figures.costs("delivery", messages * subscribers as u64, &measured);
        figures.bytes_per("received_per_delivery", messages * own as u64, traffic.received);
        figures.load(&measured);
        figures.put("message_count", messages as f64);
        figures.latency("first", &work.first);
        figures.latency("last", &work.last);
        bench.put_resident(&mut figures, "resident_bytes")?;
        Ok(figures)
    }
}
