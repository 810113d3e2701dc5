//! The steps that modes have in common: open, join, beat, echo once, be silent.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::client::{Client, Workload};
use crate::fault::Fault;
use crate::figures::Latency;
use crate::payload::{Payloads, Stamp};
use crate::protocol::Received;
use crate::sends::Sends;

/// Opens `count` connections, at most `concurrency` at a time; their numbers, and how long each took.
pub(crate) fn open(
    client: &mut Client,
    count: usize,
    concurrency: usize,
) -> Result<(Range<usize>, Latency), Fault> {
    let first = client.reserve(count);
    let links = first..first + count;
    let latency = step(client, links.clone(), concurrency, Kind::Open)?;
    Ok((links, latency))
}

/// Joins the next topic of each connection's list; how long each took.
pub(crate) fn join(client: &mut Client, links: Range<usize>, concurrency: usize) -> Result<Latency, Fault> {
    step(client, links, concurrency, Kind::Join)
}

/// One heartbeat on each connection.
pub(crate) fn beat(client: &mut Client, links: Range<usize>, concurrency: usize) -> Result<(), Fault> {
    step(client, links, concurrency, Kind::Beat).map(drop)
}

/// One echo on each connection, of `size` bytes.
pub(crate) fn echo(
    client: &mut Client,
    links: Range<usize>,
    concurrency: usize,
    size: usize,
) -> Result<(), Fault> {
    step(client, links, concurrency, Kind::Echo(Payloads::new(size))).map(drop)
}

/// Makes sure that nothing more comes: a ping on each connection, answered after all that was sent before.
pub(crate) fn silence(client: &mut Client, links: Range<usize>, concurrency: usize) -> Result<(), Fault> {
    step(client, links, concurrency, Kind::Ping).map(drop)
}

/// Nothing but heartbeats for a while.
pub(crate) fn rest(client: &mut Client, time: Duration) -> Result<(), Fault> {
    client.run(&mut Rest { until: Instant::now() + time })
}

fn step(client: &mut Client, links: Range<usize>, concurrency: usize, kind: Kind) -> Result<Latency, Fault> {
    let mut step = Step { kind, waiting: links, concurrency, begun: HashMap::new(), latency: Latency::new() };
    client.run(&mut step)?;
    Ok(step.latency)
}

#[derive(Debug)]
enum Kind {
    Open,
    Join,
    Beat,
    Echo(Payloads),
    Ping,
}

/// The same thing on many connections, a few at a time.
#[derive(Debug)]
struct Step {
    kind: Kind,
    /// Those that have not begun.
    waiting: Range<usize>,
    concurrency: usize,
    /// Those that have, with the reference of the answer.
    begun: HashMap<usize, (Instant, u32)>,
    latency: Latency,
}

impl Step {
    fn begin(&self, link: usize, sends: &mut Sends) -> u32 {
        match &self.kind {
            Kind::Open => sends.reopen.push(link),
            Kind::Join => return sends.join(link),
            Kind::Beat => sends.beat(link),
            Kind::Echo(payloads) => return sends.echo(link, 0, |out| payloads.write(out, stamp(link))),
            Kind::Ping => sends.ping(link),
        }
        0
    }

    fn is_answer(&self, link: usize, reference: u32, received: &Received<'_>) -> Result<bool, Fault> {
        Ok(match (&self.kind, received) {
            (Kind::Open, Received::Opened) | (Kind::Beat | Kind::Ping, Received::Alive) => true,
            (Kind::Join, Received::Joined { reference: answered }) => *answered == reference,
            (Kind::Echo(payloads), Received::Echo { reference: answered, payload }) => {
                let read = payloads.read(payload).map_err(|cause| Fault::Corrupted { link, cause })?;
                read == stamp(link) && answered.is_none_or(|answered| answered == reference)
            }
            _ => false,
        })
    }
}

fn stamp(link: usize) -> Stamp {
    Stamp { sender: link as u32, sequence: 0 }
}

impl Workload for Step {
    fn receive(&mut self, link: usize, received: Received<'_>, _: &mut Sends) -> Result<(), Fault> {
        let Some((begun, reference)) = self.begun.get(&link).copied() else {
            // The client's own heartbeats may fall into any step.
            return if received == Received::Alive { Ok(()) } else { Err(stray(link, &received)) };
        };
        if self.is_answer(link, reference, &received)? {
            self.latency.record(begun.elapsed());
            self.begun.remove(&link);
            return Ok(());
        }
        if received == Received::Alive { Ok(()) } else { Err(stray(link, &received)) }
    }

    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        while self.begun.len() < self.concurrency {
            let Some(link) = self.waiting.next() else { break };
            let reference = self.begin(link, sends);
            self.begun.insert(link, (now, reference));
        }
        None
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.begun.is_empty()
    }

    fn missing(&self) -> String {
        let kind = match self.kind {
            Kind::Open => "upgrades",
            Kind::Join => "joins",
            Kind::Beat => "heartbeats",
            Kind::Echo(_) => "echoes",
            Kind::Ping => "pongs",
        };
        format!("{} {kind}", self.begun.len() + self.waiting.len())
    }
}

/// Nothing but heartbeats until a moment.
#[derive(Debug)]
struct Rest {
    until: Instant,
}

impl Workload for Rest {
    fn receive(&mut self, link: usize, received: Received<'_>, _: &mut Sends) -> Result<(), Fault> {
        if received == Received::Alive { Ok(()) } else { Err(stray(link, &received)) }
    }

    fn tick(&mut self, _: Instant, _: &mut Sends) -> Option<Instant> {
        Some(self.until)
    }

    fn is_done(&self) -> bool {
        Instant::now() >= self.until
    }

    fn missing(&self) -> String {
        "the end of a rest".to_owned()
    }
}

/// Something that nobody sent or asked for.
pub(crate) fn stray(link: usize, received: &Received<'_>) -> Fault {
    let what = match received {
        Received::Opened => "it opened again".to_owned(),
        Received::Joined { reference } => format!("reply {reference} to a join, which was not due"),
        Received::Echo { payload, .. } => format!("an echo that was not due: {}", text(payload)),
        Received::Shout { topic, payload } => {
            format!("a delivery on {topic:?} that was not due: {}", text(payload))
        }
        Received::PresenceState { payload } => {
            format!("a presence state that was not due: {}", text(payload))
        }
        Received::PresenceDiff { payload } => format!("a presence diff that was not due: {}", text(payload)),
        Received::Alive => "an answer to a heartbeat, which was not due".to_owned(),
        Received::Ask { answer } => format!("a question to which the answer is {answer}"),
    };
    Fault::Stray { link, what }
}

fn text(payload: &[u8]) -> String {
    const SHOWN: usize = 200;
    String::from_utf8_lossy(&payload[..payload.len().min(SHOWN)]).into_owned()
}
