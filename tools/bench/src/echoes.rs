//! Messages that come back, in order, each by its reference.

use std::collections::VecDeque;
use std::time::Instant;

use crate::fault::Fault;
use crate::figures::Latency;
use crate::payload::{Payloads, Stamp};
use crate::phase::stray;
use crate::protocol::Received;
use crate::sends::Sends;

/// The echoes of many connections that are on their way.
#[derive(Debug)]
pub(crate) struct Echoes {
    payloads: Payloads,
    flights: Vec<Flights>,
    waiting: usize,
    /// From sending, or from when it should have been, to the reply.
    pub(crate) latency: Latency,
}

/// The echoes of one connection.
#[derive(Clone, Debug, Default)]
struct Flights {
    /// Those that have come back.
    arrived: u64,
    /// When each was sent, and by which reference it is answered.
    sent: VecDeque<(Instant, u32)>,
}

impl Echoes {
    pub(crate) fn new(links: usize, size: usize) -> Self {
        Self {
            payloads: Payloads::new(size),
            flights: vec![Flights::default(); links],
            waiting: 0,
            latency: Latency::new(),
        }
    }

    /// Sends the next of a connection, on one of its first `topics` topics, in turn.
    pub(crate) fn send(&mut self, link: usize, topics: usize, now: Instant, sends: &mut Sends) {
        let flights = &mut self.flights[link];
        let sequence = flights.arrived + flights.sent.len() as u64;
        let stamp = Stamp { sender: link as u32, sequence };
        let topic = sequence as usize % topics;
        let reference = sends.echo(link, topic, |out| self.payloads.write(out, stamp));
        flights.sent.push_back((now, reference));
        self.waiting += 1;
    }

    /// Takes in a reply, which must be the one that is due; when that was.
    pub(crate) fn receive(&mut self, link: usize, received: &Received<'_>) -> Result<Instant, Fault> {
        let Received::Echo { reference, payload } = received else { return Err(stray(link, received)) };
        let flights = &mut self.flights[link];
        let Some((sent, due)) = flights.sent.pop_front() else { return Err(stray(link, received)) };
        let stamp = self.payloads.read(payload).map_err(|cause| Fault::Corrupted { link, cause })?;
        let expected = Stamp { sender: link as u32, sequence: flights.arrived };
        if stamp != expected || reference.is_some_and(|reference| reference != due) {
            let what = format!("reply {reference:?} with {stamp:?} where {due} with {expected:?} was due");
            return Err(Fault::Stray { link, what });
        }
        flights.arrived += 1;
        self.waiting -= 1;
        let now = Instant::now();
        self.latency.record(now - sent);
        Ok(now)
    }

    /// How many are on their way.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }
}
