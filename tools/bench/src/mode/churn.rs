//! Connections that come and go while others receive broadcasts.

use std::ops::Range;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::Load;
use crate::bench::Bench;
use crate::client::Workload;
use crate::fault::Fault;
use crate::figures::{Figures, Latency};
use crate::ledger::Ledger;
use crate::options::seconds;
use crate::phase::stray;
use crate::protocol::{Purpose, Received};
use crate::publishing::{Pace, Publishing};
use crate::sends::Sends;
use crate::topics::Topics;

/// How much coming and going, under how many broadcasts.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Churn {
    /// How many connections stay, and subscribe; the first of them publishes.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    subscribers: u32,
    /// How many further connections come and go, and subscribe in between.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    churners: u32,
    /// How many of these end and connect anew in a second.
    #[arg(long, default_value_t = 500.0, value_name = "PER SECOND")]
    churn_rate: f64,
    /// Messages a second.
    #[arg(long, default_value_t = 20.0, value_name = "PER SECOND")]
    rate: f64,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long to run before.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
}

impl Load for Churn {
    fn purpose(&self) -> Purpose {
        Purpose::Fanout
    }

    fn topics(&self) -> Topics {
        Topics::Shared
    }

    fn measure(&self, bench: &mut Bench) -> anyhow::Result<Figures> {
        let subscribers = self.subscribers as usize;
        bench.open_and_join(subscribers, 1)?;
        let first = bench.client.reserve(self.churners as usize);
        let mut work = Churning::new(self, first, bench);
        work.begin(seconds(self.warmup));
        bench.client.run(&mut work)?;

        let resident = bench.server.resident()?;
        let window = bench.window()?;
        let before = work.publishing.ledger.deliveries();
        work.begin(seconds(self.seconds));
        bench.client.run(&mut work)?;
        let measured = window.close(&bench.server)?;
        let mut figures = Figures::default();
        figures.costs("delivery", work.publishing.ledger.deliveries() - before, &measured);
        figures.load(&measured);
        figures.put("churn_count", work.latency.len() as f64);
        figures.put("churn_late_count", work.late as f64);
        figures.latency("connect_and_join", &work.latency);
        figures.latency("last", &work.publishing.last);
        if let Some((before, after)) = resident.zip(bench.server.resident()?) {
            figures.put("resident_bytes", after as f64);
            figures.put("resident_growth_bytes", after as f64 - before as f64);
        }
        // The last messages may be on their way to them still.
        bench.client.close(work.churners.clone());
        bench.silence(0..subscribers)?;
        Ok(figures)
    }
}

/// Broadcasts, and connections that end and begin at a steady rate.
#[derive(Debug)]
struct Churning {
    publishing: Publishing,
    has_joins: bool,
    churners: Range<usize>,
    states: Vec<State>,
    interval: Duration,
    next: Instant,
    turn: usize,
    /// From the connect to the answer to the join.
    latency: Latency,
    /// Connections whose turn came while they were still connecting.
    late: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Absent,
    Opening { begun: Instant },
    Joining { begun: Instant, reference: u32 },
    Subscribed,
}

impl Churning {
    fn new(churn: &Churn, first: usize, bench: &Bench) -> Self {
        let (subscribers, churners) = (churn.subscribers as usize, churn.churners as usize);
        let ledger = Ledger::new(subscribers + churners, 1, bench.size());
        Self {
            publishing: Publishing::new(ledger, subscribers, 1, Pace::every(churn.rate)),
            has_joins: bench.common.protocol.has_topics(),
            churners: first..first + churners,
            states: vec![State::Absent; churners],
            interval: seconds(1.0 / churn.churn_rate),
            next: Instant::now(),
            turn: 0,
            latency: Latency::new(),
            late: 0,
        }
    }

    fn begin(&mut self, period: Duration) {
        self.publishing.begin(period);
        (self.next, self.latency, self.late) = (Instant::now(), Latency::new(), 0);
    }

    /// Ends the next connection, and begins it anew.
    fn churn(&mut self, now: Instant, sends: &mut Sends) {
        let index = self.turn % self.states.len();
        self.turn += 1;
        if matches!(self.states[index], State::Opening { .. } | State::Joining { .. }) {
            self.late += 1;
            return;
        }
        self.states[index] = State::Opening { begun: now };
        sends.reopen.push(self.churners.start + index);
    }

    fn churner(&mut self, link: usize, received: &Received<'_>, sends: &mut Sends) -> Result<(), Fault> {
        let state = &mut self.states[link - self.churners.start];
        let begun = match (*state, received) {
            (State::Opening { begun }, Received::Opened) if self.has_joins => {
                *state = State::Joining { begun, reference: sends.join(link) };
                return Ok(());
            }
            (State::Opening { begun }, Received::Opened) => begun,
            (State::Joining { begun, reference: due }, Received::Joined { reference })
                if due == *reference =>
            {
                begun
            }
            (State::Subscribed, Received::Shout { topic, payload }) => {
                return self.publishing.ledger.receive(link, *topic, payload).map(drop);
            }
            (_, Received::Alive) => return Ok(()),
            (_, other) => return Err(stray(link, other)),
        };
        *state = State::Subscribed;
        self.publishing.ledger.begin_anew(link);
        self.latency.record(begun.elapsed());
        Ok(())
    }

    fn opening(&self) -> usize {
        let is_opening = |state: &&State| matches!(state, State::Opening { .. } | State::Joining { .. });
        self.states.iter().filter(is_opening).count()
    }
}

impl Workload for Churning {
    fn receive(&mut self, link: usize, received: Received<'_>, sends: &mut Sends) -> Result<(), Fault> {
        if self.churners.contains(&link) {
            return self.churner(link, &received, sends);
        }
        self.publishing.receive(link, received, sends)
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        let publish = self.publishing.tick(now, sends);
        if self.publishing.is_over(now) {
            return None;
        }
        while self.next <= now {
            self.churn(now, sends);
            self.next += self.interval;
        }
        Some(publish.map_or(self.next, |publish| publish.min(self.next)))
    }

    fn is_done(&self) -> bool {
        self.publishing.is_done() && self.opening() == 0
    }

    fn missing(&self) -> String {
        format!("{}, {} connections", self.publishing.missing(), self.opening())
    }
}
