//! What has arrived at one client, in order, and waiting for more.

use std::fmt;
use std::time::Duration;

use bennu_protocol::{Broadcast, Payload};
use bennu_pubsub::{Delivery, Subscriber, SubscriberId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::received::shown;

/// Everything that arrived at one client, and on the topics that its channels subscribed to.
#[derive(Default)]
pub(crate) struct Arrivals {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    /// The event of each message that the test sent; its ref is its place, from 1.
    sent: Vec<String>,
}

struct Entry {
    arrival: Arrival,
    /// An assertion has taken it; it counts for no other.
    taken: bool,
}

/// One thing that arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// An event for the client: a channel's push, or a broadcast that was passed on to it.
    Push { join_ref: Option<String>, topic: String, event: String, payload: Payload },
    /// The answer to a message of the client.
    Reply { reference: String, topic: String, status: String, response: Payload },
    /// What was broadcast on a topic, seen beside the client.
    Broadcast { subscription: SubscriberId, topic: String, event: String, payload: Payload },
    /// The connection's end: with a close code, or cut.
    Closed { code: Option<u16> },
    /// A frame that no client could read.
    Unreadable(String),
}

/// What an assertion makes of one arrival.
pub(crate) enum Verdict<T> {
    /// Something else.
    Other,
    /// The right kind of thing, but it differs in this.
    Differs(String),
    /// What is looked for.
    Match(T),
}

impl Arrival {
    /// Event and payload of a push on a joined channel.
    pub(crate) fn as_push(&self, topic: &str, join_ref: u64) -> Option<(&str, &Payload)> {
        let Arrival::Push { join_ref: of, topic: on, event, payload } = self else { return None };
        // A broadcast has no join_ref.
        let is_own = of.as_ref().is_none_or(|of| *of == join_ref.to_string());
        (on == topic && is_own).then_some((event, payload))
    }
}

impl Arrivals {
    pub(crate) fn push(&self, arrival: Arrival) {
        self.log.lock().entries.push(Entry { arrival, taken: false });
        self.changed.notify_waiters();
    }

    /// Notes a message that the test sends, and gives it its ref.
    pub(crate) fn sending(&self, event: &str) -> u64 {
        let mut log = self.log.lock();
        log.sent.push(event.to_owned());
        log.sent.len() as u64
    }

    /// Takes the first arrival in which `judge` sees a match, waiting for it so long.
    pub(crate) async fn take<T>(
        &self,
        patience: Duration,
        judge: impl Fn(&Arrival) -> Verdict<T>,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            // Made before looking, so that what arrives in between wakes it.
            let changed = self.changed.notified();
            if let Some(taken) = self.try_take(&judge) {
                return Some(taken);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.try_take(&judge);
            }
        }
    }

    fn try_take<T>(&self, judge: impl Fn(&Arrival) -> Verdict<T>) -> Option<T> {
        let mut log = self.log.lock();
        log.entries.iter_mut().filter(|entry| !entry.taken).find_map(|entry| match judge(&entry.arrival) {
            Verdict::Match(found) => {
                // An end stays: everything that comes later comes after it.
                entry.taken = !matches!(entry.arrival, Arrival::Closed { .. });
                Some(found)
            }
            Verdict::Other | Verdict::Differs(_) => None,
        })
    }

    /// All that arrived, a line each, with what `judge` says of it.
    pub(crate) fn list<T>(&self, judge: impl Fn(&Arrival) -> Verdict<T>) -> String {
        let log = self.log.lock();
        if log.entries.is_empty() {
            return "nothing arrived".to_owned();
        }
        let mut list = "what arrived, in order:".to_owned();
        for entry in &log.entries {
            list.push_str(&format!("\n  {}", log.line(&entry.arrival)));
            match (entry.taken, judge(&entry.arrival)) {
                (true, _) => list.push_str("  (taken by an earlier assertion)"),
                (false, Verdict::Differs(why)) => list.push_str(&format!("  <- {why}")),
                (false, Verdict::Other | Verdict::Match(_)) => {}
            }
        }
        list
    }
}

impl Log {
    fn line(&self, arrival: &Arrival) -> String {
        match arrival {
            Arrival::Push { topic, event, payload, .. } => {
                format!("push       {topic}  {event}  {}", shown(payload))
            }
            Arrival::Broadcast { topic, event, payload, .. } => {
                format!("broadcast  {topic}  {event}  {}", shown(payload))
            }
            Arrival::Reply { reference, topic, status, response } => {
                let sent = reference.parse::<usize>().ok().and_then(|at| self.sent.get(at.checked_sub(1)?));
                let sent = sent.map_or("nothing that was sent", String::as_str);
                format!("reply      {topic}  {status} to {sent} (ref {reference})  {}", shown(response))
            }
            Arrival::Closed { code: Some(code) } => format!("closed     {code}"),
            Arrival::Closed { code: None } => "closed     without a close code".to_owned(),
            Arrival::Unreadable(error) => format!("unreadable {error}"),
        }
    }
}

/// Notes what is broadcast on a topic.
pub(crate) struct Listener(pub(crate) std::sync::Arc<Arrivals>);

impl Subscriber for Listener {
    fn deliver(&self, id: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        // Typed messages are for tasks; a test hears them with a subscription of its own.
        let Some(broadcast) = delivery.get::<Broadcast>() else { return };
        self.0.push(Arrival::Broadcast {
            subscription: id,
            topic: delivery.topic().to_owned(),
            event: broadcast.event().to_owned(),
            payload: broadcast.payload().clone(),
        });
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrivals({})", self.log.lock().entries.len())
    }
}
