//! What stands between the cluster and an engine.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Cluster;
use super::interest::Change;
use super::metrics::Sums;
use super::node::NodeName;
use super::outbox::Packet;
use super::subject::Subject;

/// Carries packets between nodes over an engine such as NATS.
///
/// All that is not the engine's is done already: which subjects are wanted, queues and their bounds, packets, authentication,
/// what was lost. `bennu_testkit::adapter_suite` holds what every adapter must pass.
pub trait Adapter: Send + 'static {
    /// What the engine is called in `/health` and logs, such as `nats`.
    fn engine(&self) -> &'static str;

    /// Connects, and again whenever the connection is lost, until [`Link::closed`]; then sends what is left, as long as
    /// [`Link::take`] gives something, and returns.
    ///
    /// Packets of one subject must reach the engine in the order in which [`Link::outgoing`] gave them, and those of one
    /// node and subject must be handed to [`Link::received`] in the order in which the engine gave them.
    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// After an outage, how long what waited goes on waiting: others are connecting too, and what goes out before they have is lost for them.
const HOLD: Duration = Duration::from_millis(500);

/// What an adapter works with. Cheap to clone.
#[derive(Clone)]
pub struct Link(pub(crate) Arc<Cluster>);

/// Whether the engine between the nodes is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkStatus {
    /// This PubSub has one node.
    Local,
    /// The engine is connected.
    Up {
        /// Such as `nats`.
        engine: &'static str,
        /// Since when.
        since: Instant,
    },
    /// The engine is away: broadcasts reach this node's own subscribers, and others as far as the queue holds them.
    Down {
        /// Such as `nats`.
        engine: &'static str,
        /// Since when.
        since: Instant,
        /// Why, as the adapter said; without credentials.
        reason: Arc<str>,
    },
}

impl LinkStatus {
    /// Whether what is broadcast goes out at once.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, LinkStatus::Up { .. })
    }

    /// Whether an engine is configured and away.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, LinkStatus::Down { .. })
    }
}

impl Link {
    /// What this node is called.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.0.name
    }

    /// The subject as text: `bennu`, the namespace, and a last part, with the separator between them. These parts have
    /// letters, digits, `-` and `_` only.
    #[must_use]
    pub fn subject_name(&self, subject: &Subject, separator: char) -> String {
        subject.name(&self.0.namespace, separator)
    }

    /// The subject with this name, if it is one of this cluster.
    #[must_use]
    pub fn subject_of(&self, name: &str, separator: char) -> Option<Subject> {
        Subject::parse(name, &self.0.namespace, separator)
    }

    /// All subjects to be subscribed to now; after that, [`changed`](Self::changed) tells what is different.
    ///
    /// To be called for each new connection: what an earlier one had established counts no more.
    #[must_use]
    pub fn wanted(&self) -> Vec<Subject> {
        let (mut wanted, fresh) = self.0.interest.wanted();
        self.0.forget(&fresh);
        wanted.extend([Subject::Everyone, Subject::of_node(self.0.name.as_str())]);
        wanted
    }

    /// Waits for changes of what is wanted. Safe to drop while waiting.
    pub async fn changed(&self) -> Vec<Change> {
        let changes = self.0.interest.changed().await;
        // What was heard of a subject in an earlier time says nothing of this one.
        let changed = changes.iter().map(|change| match change {
            Change::Subscribe(subject) | Change::Unsubscribe(subject) => *subject,
        });
        self.0.forget(&changed.collect());
        changes
    }

    /// The engine has these subscriptions now: whatever is published from here on arrives. Whoever joins a
    /// topic waits for it.
    pub fn subscribed(&self, subjects: &[Subject]) {
        let fresh = self.0.interest.established(subjects);
        if !fresh.is_empty() {
            self.0.ask(&fresh);
        }
    }

    /// Waits for the next packets to publish, at most so many, in order. Safe to drop while waiting. To be called only while the engine is connected.
    ///
    /// Coming back for more says that those before were handed to the engine.
    pub async fn outgoing(&self, max_packets: usize) -> Vec<Packet> {
        loop {
            let waiting = self.0.waiting.notified();
            let hold = *self.0.hold_until.lock();
            if let Some(until) = hold.filter(|until| Instant::now() < *until) {
                tokio::time::sleep_until(until).await;
            }
            let packets = self.take(max_packets);
            if !packets.is_empty() {
                return packets;
            }
            waiting.await;
        }
    }

    /// The next packets, if any wait; for the end, when nothing more is waited for.
    #[must_use]
    pub fn take(&self, max_packets: usize) -> Vec<Packet> {
        let cluster = &self.0;
        let max = cluster.max_packet.load(Ordering::Relaxed);
        let mut outbox = cluster.outbox.lock();
        let (packets, too_large) = outbox.take(max_packets, max);
        cluster.meters.queue_bytes.set(outbox.bytes() as f64);
        drop(outbox);
        cluster.flushed.notify_waiters();
        cluster.meters.too_large.increment(too_large);
        let name = |subject: Subject| subject.name(&cluster.namespace, '.');
        let packets: Vec<Packet> =
            packets.into_iter().map(|packet| packet.seal(&cluster.key, name)).collect();
        cluster.meters.published(std::mem::replace(&mut cluster.taken.lock(), Sums::of(&packets)));
        packets
    }

    /// Waits until somebody wants to know that what was published has left, which [`confirm`](Self::confirm) answers with the number
    /// that this returns. For an engine whose client only queues what it is given, which a program that ends would lose;
    /// once an adapter has called it, each flush waits for its answer. Safe to drop while waiting.
    pub async fn flushing(&self) -> u64 {
        let cluster = &self.0;
        let mut asked = cluster.asked.subscribe();
        cluster.asked.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(0);
            is_first
        });
        let answered = *cluster.answered.borrow();
        let is_open = |asked: &Option<u64>| asked.is_some_and(|asked| asked > answered);
        let asked = asked.wait_for(is_open).await.map(|asked| *asked);
        // An error would say that the cluster is gone, which this very link keeps.
        asked.ok().flatten().unwrap_or(answered)
    }

    /// What was published before [`flushing`](Self::flushing) returned this number has left.
    pub fn confirm(&self, asked: u64) {
        self.0.answered.send_replace(asked);
    }

    /// Packets that were taken and not published go back in front, in this order.
    pub fn put_back(&self, packets: Vec<Packet>) {
        let cluster = &self.0;
        cluster.taken.lock().subtract(Sums::of(&packets));
        let mut outbox = cluster.outbox.lock();
        let dropped = outbox.put_back(packets);
        cluster.meters.queue_bytes.set(outbox.bytes() as f64);
        drop(outbox);
        cluster.note_dropped(dropped);
        cluster.waiting.notify_one();
    }

    /// Hands over a packet from the engine. One of this very node is recognised and dropped.
    pub fn received(&self, subject: &Subject, bytes: Bytes) {
        self.0.receive(*subject, bytes);
    }

    /// The engine is connected and has the subscriptions of [`wanted`](Self::wanted), for which [`subscribed`](Self::subscribed) was called. `max_packet` is how many bytes a packet may have.
    pub fn up(&self, max_packet: usize) {
        let cluster = &self.0;
        cluster.max_packet.store(max_packet, Ordering::Relaxed);
        let engine = cluster.engine;
        let came_up = cluster.status.send_if_modified(|status| {
            let is_new = !status.is_up();
            if is_new {
                *status = LinkStatus::Up { engine, since: Instant::now() };
            }
            is_new
        });
        if came_up {
            let mut hold_until = cluster.hold_until.lock();
            // None at the first connect: nobody is waited for.
            *hold_until = hold_until.map(|_| Instant::now() + HOLD).or_else(|| Some(Instant::now()));
            drop(hold_until);
            cluster.meters.link_up.set(1.0);
            tracing::info!(engine, node = %cluster.name, "the link to other nodes is up");
            cluster.beacon_due.notify_one();
            cluster.waiting.notify_one();
        }
    }

    /// The engine is not connected. The reason must hold no credentials; it is shown in `/health`.
    pub fn down(&self, reason: impl fmt::Display) {
        let cluster = &self.0;
        let engine = cluster.engine;
        let reason: Arc<str> = reason.to_string().into();
        let went_down = cluster.status.send_if_modified(|status| {
            let since = match status {
                LinkStatus::Down { since, reason: known, .. } if **known == *reason => *since,
                LinkStatus::Down { since, .. } => *since,
                LinkStatus::Up { .. } | LinkStatus::Local => Instant::now(),
            };
            let next = LinkStatus::Down { engine, since, reason: reason.clone() };
            let is_new = *status != next;
            *status = next;
            is_new
        });
        if went_down {
            cluster.meters.link_up.set(0.0);
            tracing::warn!(engine, %reason, "the link to other nodes is down");
            cluster.interest.link_went_down();
            cluster.flushed.notify_waiters();
        }
    }

    /// Resolves when the PubSub is gone.
    pub async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        // An error would say that the cluster is gone, which this very link keeps.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.0.name)
    }
}
