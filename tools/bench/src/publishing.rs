//! Messages to all subscribers of one topic, and their arrival.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::Workload;
use crate::fault::Fault;
use crate::figures::Latency;
use crate::ledger::Ledger;
use crate::options::seconds;
use crate::payload::Stamp;
use crate::phase::stray;
use crate::protocol::Received;
use crate::sends::Sends;

/// When messages are sent.
#[derive(Debug)]
pub(crate) enum Pace {
    /// So many of each publisher are on their way.
    Outstanding(usize),
    /// One each interval, by the publishers in turn, at the moment that the interval says.
    Interval { interval: Duration, next: Instant },
}

impl Pace {
    pub(crate) fn every(per_second: f64) -> Self {
        Self::Interval { interval: seconds(1.0 / per_second), next: Instant::now() }
    }
}

/// Messages to all subscribers until a moment, then the rest of the deliveries.
///
/// The publishers are the first connections, and subscribe as all do.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) ledger: Ledger,
    subscribers: usize,
    publishers: Vec<Publisher>,
    pace: Pace,
    until: Instant,
    turn: usize,
    /// The index of the shared topic in the list of each connection.
    topic: usize,
    /// From the moment a message was sent, or should have been, to its first and its last arrival.
    pub(crate) first: Latency,
    pub(crate) last: Latency,
}

#[derive(Debug, Default)]
struct Publisher {
    /// Messages that have arrived everywhere.
    arrived: u64,
    /// Those on their way, in order.
    flights: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    sent: Instant,
    deliveries: usize,
}

impl Publishing {
    pub(crate) fn new(ledger: Ledger, subscribers: usize, publishers: usize, pace: Pace) -> Self {
        Self {
            ledger,
            subscribers,
            publishers: (0..publishers).map(|_| Publisher::default()).collect(),
            pace,
            until: Instant::now(),
            turn: 0,
            topic: 0,
            first: Latency::new(),
            last: Latency::new(),
        }
    }

    /// With the shared topic elsewhere in the list of each connection.
    pub(crate) fn on_topic(self, topic: usize) -> Self {
        Self { topic, ..self }
    }

    /// A new period, with latencies of its own.
    pub(crate) fn begin(&mut self, period: Duration) {
        let now = Instant::now();
        (self.first, self.last, self.until) = (Latency::new(), Latency::new(), now + period);
        if let Pace::Interval { next, .. } = &mut self.pace {
            *next = now;
        }
    }

    /// How many messages were sent, of all publishers and periods.
    pub(crate) fn messages(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.arrived + publisher.flights.len() as u64).sum()
    }

    /// Whether no more is to be sent in this period.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    fn publish(&mut self, number: usize, sent: Instant, sends: &mut Sends) {
        let publisher = &mut self.publishers[number];
        let sequence = publisher.arrived + publisher.flights.len() as u64;
        publisher.flights.push_back(Flight { sent, deliveries: 0 });
        let stamp = Stamp { sender: number as u32, sequence };
        sends.shout(number, self.topic, |out| self.ledger.write(out, stamp));
    }

    /// A delivery that the ledger found right.
    fn arrived(&mut self, stamp: Stamp, sends: &mut Sends) {
        let number = stamp.sender as usize;
        let publisher = &mut self.publishers[number];
        let index = (stamp.sequence - publisher.arrived) as usize;
        let flight = &mut publisher.flights[index];
        flight.deliveries += 1;
        if flight.deliveries == 1 {
            self.first.record(flight.sent.elapsed());
        }
        if flight.deliveries < self.subscribers {
            return;
        }
        // Subscribers get the messages of a publisher in order, so the first on its way is the first to arrive everywhere.
        let now = Instant::now();
        self.last.record(now - flight.sent);
        publisher.flights.pop_front();
        publisher.arrived += 1;
        if matches!(self.pace, Pace::Outstanding(_)) && now < self.until {
            self.publish(number, now, sends);
        }
    }

    fn fill(&mut self, outstanding: usize, now: Instant, sends: &mut Sends) {
        for number in 0..self.publishers.len() {
            while self.publishers[number].flights.len() < outstanding {
                self.publish(number, now, sends);
            }
        }
    }

    /// Takes in a message of any kind.
    pub(crate) fn take(
        &mut self,
        link: usize,
        received: &Received<'_>,
        sends: &mut Sends,
    ) -> Result<(), Fault> {
        match received {
            Received::Shout { topic, payload } => {
                let stamp = self.ledger.receive(link, *topic, payload)?;
                let publisher = &self.publishers[stamp.sender as usize];
                if stamp.sequence >= publisher.arrived + publisher.flights.len() as u64 {
                    return Err(stray(link, received));
                }
                self.arrived(stamp, sends);
                Ok(())
            }
            Received::Alive => Ok(()),
            other => Err(stray(link, other)),
        }
    }
}

impl Workload for Publishing {
    fn receive(&mut self, link: usize, received: Received<'_>, sends: &mut Sends) -> Result<(), Fault> {
        self.take(link, &received, sends)
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        if now >= self.until {
            return None;
        }
        match self.pace {
            Pace::Outstanding(outstanding) => {
                self.fill(outstanding, now, sends);
                None
            }
            Pace::Interval { interval, mut next } => {
                while next <= now && next < self.until {
                    self.turn = (self.turn + 1) % self.publishers.len();
                    self.publish(self.turn, next, sends);
                    next += interval;
                }
                self.pace = Pace::Interval { interval, next };
                Some(next.min(self.until))
            }
        }
    }

    fn is_done(&self) -> bool {
        Instant::now() >= self.until && self.publishers.iter().all(|publisher| publisher.flights.is_empty())
    }

    fn missing(&self) -> String {
        let flights = self.publishers.iter().flat_map(|publisher| &publisher.flights);
        let missing: usize = flights.map(|flight| self.subscribers - flight.deliveries).sum();
        format!("{missing} deliveries")
    }
}
