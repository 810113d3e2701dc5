//! Users who each have a topic of their own and one that all share.

use std::ops::Range;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::client::Workload;
use crate::echoes::Echoes;
use crate::fault::Fault;
use crate::figures::{Figures, Latency};
use crate::ledger::Ledger;
use crate::options::seconds;
use crate::protocol::{Purpose, Received};
use crate::publishing::{Pace, Publishing};
use crate::sends::Sends;
use crate::topics::Topics;

/// How many users, and what they do.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Mixed {
    /// How many connections; each joins a topic of its own, and one that all share.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// How many of the users send to the shared topic, in turn.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    publishers: u32,
    /// Messages a second to the shared topic, of all publishers together.
    #[arg(long, default_value_t = 20.0, value_name = "PER SECOND")]
    rate: f64,
    /// Echoes a second on the users' own topics, of all users together, each in turn.
    #[arg(long, default_value_t = 5000.0, value_name = "PER SECOND")]
    echo_rate: f64,
    /// How long to measure.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long to run before.
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
}

impl Load for Mixed {
    fn purpose(&self) -> Purpose {
        Purpose::Mixed
    }

    fn topics(&self) -> Topics {
        Topics::OwnThenShared
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let (users, publishers) = (self.users as usize, self.publishers as usize);
        anyhow::ensure!(publishers <= users, "publishers are users too: there must be as many");
        let joins = if bench.common.protocol.has_topics() { 2 } else { 1 };
        let links = bench.open_and_join(users, joins)?;
        let ledger = Ledger::new(users, publishers, bench.size());
        let mut work = Mixing {
            publishing: Publishing::new(ledger, users, publishers, Pace::every(self.rate)).on_topic(1),
            echoes: Echoes::new(users, bench.size()),
            users: links.clone(),
            interval: seconds(1.0 / self.echo_rate),
            next: Instant::now(),
            turn: 0,
        };
        work.begin(seconds(self.warmup));
        bench.client.run(&mut work)?;

        let window = bench.window()?;
        let before = work.publishing.ledger.deliveries();
        work.begin(seconds(self.seconds));
        bench.client.run(&mut work)?;
        let measured = window.close(&bench.server)?;
        bench.silence(links)?;
        let deliveries = work.publishing.ledger.deliveries() - before;
        let echoes = work.echoes.latency.len();
        let mut figures = Figures::default();
        figures.costs("message", deliveries + echoes, &measured);
        figures.load(&measured);
        figures.put("delivery_count", deliveries as f64);
        figures.put("echo_count", echoes as f64);
        figures.latency("echo", &work.echoes.latency);
        figures.latency("last", &work.publishing.last);
        bench.put_resident(&mut figures, "resident_bytes")?;
        Ok(figures)
    }
}

/// Broadcasts and echoes, each at its rate.
#[derive(Debug)]
struct Mixing {
    publishing: Publishing,
    echoes: Echoes,
    users: Range<usize>,
    interval: Duration,
    next: Instant,
    turn: usize,
}

impl Mixing {
    fn begin(&mut self, period: Duration) {
        self.publishing.begin(period);
        (self.next, self.echoes.latency) = (Instant::now(), Latency::new());
    }
}

impl Workload for Mixing {
    fn receive(&mut self, link: usize, received: Received<'_>, sends: &mut Sends) -> Result<(), Fault> {
        if let Received::Echo { .. } = received {
            return self.echoes.receive(link, &received).map(drop);
        }
        self.publishing.receive(link, received, sends)
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        let publish = self.publishing.tick(now, sends);
        if self.publishing.is_over(now) {
            return None;
        }
        while self.next <= now {
            let user = self.users.start + self.turn % self.users.len();
            self.turn += 1;
            self.echoes.send(user, 1, self.next, sends);
            self.next += self.interval;
        }
        Some(publish.map_or(self.next, |publish| publish.min(self.next)))
    }

    fn is_done(&self) -> bool {
        self.publishing.is_done() && self.echoes.waiting() == 0
    }

    fn missing(&self) -> String {
        format!("{}, {} echoes", self.publishing.missing(), self.echoes.waiting())
    }
}
