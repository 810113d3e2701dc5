//! A PubSub that crosses nodes. DESIGN.md, "How do nodes talk to each other?".

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::codec::Codecs;
use crate::delivery::{CrossingError, Delivery};
use crate::pubsub::PubSubMessage;
use crate::registry::Registry;
use beacon::Beacon;
use gaps::Gaps;
use metrics::Meters;
use node::Incarnation;
use outbox::Outbox;
use packet::{Frame, Key, Kind, Received};
use peers::Peers;

mod beacon;
mod gaps;
pub(crate) mod interest;
mod link;
mod metrics;
mod node;
mod options;
mod outbox;
mod packet;
mod peers;
mod subject;

pub use interest::Change;
pub use link::{Adapter, Link, LinkStatus};
pub use metrics::METRICS;
pub use node::{Node, NodeName};
pub use options::{ClusterOptions, ClusterOptionsError};
pub use outbox::Packet;
pub use subject::Subject;

use interest::Interest;

/// Messages of another node did not arrive. It is delivered, like any message, to the subscribers of every topic that may have
/// missed one: what was lost is counted for each bucket of topics, and says neither which topics nor which messages.
///
/// Whoever keeps state by what is broadcast reads it anew from where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The node that sent them; none when it was not heard of before.
    pub node: Option<NodeName>,
    /// How many messages of the topic's bucket.
    pub missed: u64,
}

/// How often a node tells how far it is, if anything changed.
const BEACON: Duration = Duration::from_secs(1);
/// ... and if nothing did.
const IDLE_BEACON: Duration = Duration::from_secs(5);
/// How often it tells all of it.
const COMPLETE_BEACON: Duration = Duration::from_secs(10);
/// How long what was announced may be on its way.
const GRACE: Duration = Duration::from_secs(3);
/// After how long a silent node is not listed.
const SILENCE: Duration = Duration::from_secs(16);
/// What an engine is taken to carry while it has not said.
const USUAL_MAX_PACKET: usize = 1 << 20;

/// Takes messages of other nodes in place of the subscribers.
pub(crate) type Hook = Arc<dyn Fn(Delivery) + Send + Sync>;

/// What a node knows of its cluster.
pub(crate) struct Cluster {
    me: Incarnation,
    name: NodeName,
    namespace: String,
    key: Key,
    engine: &'static str,
    registry: Arc<Registry>,
    interest: Arc<Interest>,
    codecs: Arc<Codecs>,
    outbox: Mutex<Outbox>,
    /// Something is in the outbox, or the end has come.
    waiting: Notify,
    /// Packets were taken, and the adapter has not come back for more.
    in_flight: AtomicBool,
    /// The outbox is empty and nothing is in flight.
    flushed: Notify,
    max_packet: AtomicUsize,
    /// Nothing goes out before; none until the first connect.
    hold_until: Mutex<Option<Instant>>,
    status: watch::Sender<LinkStatus>,
    peers: Mutex<Peers>,
    hooks: RwLock<HashMap<String, Hook>>,
    gaps: Mutex<Gaps>,
    meters: Meters,
    refused: AtomicU64,
    /// A complete beacon is due at once.
    beacon_due: Notify,
    closed: watch::Sender<bool>,
}

impl Cluster {
    pub(crate) fn new(
        options: &ClusterOptions,
        name: NodeName,
        engine: &'static str,
        registry: Arc<Registry>,
        interest: Arc<Interest>,
        codecs: Arc<Codecs>,
    ) -> Arc<Self> {
        let me = Incarnation::random();
        let reason: Arc<str> = "not connected yet".into();
        Arc::new(Cluster {
            me,
            name,
            namespace: options.namespace.clone(),
            key: Key::derive(&options.secret, &options.namespace),
            engine,
            registry,
            interest,
            codecs,
            outbox: Mutex::new(Outbox::new(me, options.queue)),
            waiting: Notify::new(),
            in_flight: AtomicBool::new(false),
            flushed: Notify::new(),
            max_packet: AtomicUsize::new(USUAL_MAX_PACKET),
            hold_until: Mutex::default(),
            status: watch::Sender::new(LinkStatus::Down { engine, since: Instant::now(), reason }),
            peers: Mutex::new(Peers::new(GRACE, SILENCE)),
            hooks: RwLock::default(),
            gaps: Mutex::default(),
            meters: Meters::new(),
            refused: AtomicU64::new(0),
            beacon_due: Notify::new(),
            closed: watch::Sender::new(false),
        })
    }

    pub(crate) fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    pub(crate) fn statuses(&self) -> watch::Receiver<LinkStatus> {
        self.status.subscribe()
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let mut nodes = self.peers.lock().nodes(Instant::now());
        nodes.retain(|node| node.name != self.name);
        nodes
    }

    pub(crate) fn hook(&self, type_name: &str, hook: Hook) {
        self.hooks.write().insert(type_name.to_owned(), hook);
    }

    /// Hands a message for the other nodes to the link.
    pub(crate) fn send<M: PubSubMessage>(
        &self,
        subject: Subject,
        topic: &str,
        message: &M,
    ) -> Result<(), CrossingError> {
        let encode = |out: &mut Vec<u8>| self.codecs.encode(message, out);
        let frame = match packet::encode_frame(Kind::Message, topic, self.codecs.name::<M>(), encode) {
            Ok(frame) => frame,
            Err(error) => {
                self.meters.not_encodable.increment(1);
                let error = CrossingError::from(error);
                tracing::error!(topic, %error, "a broadcast");
                return Err(error);
            }
        };
        let limit = self.max_packet.load(Ordering::Relaxed).saturating_sub(packet::OVERHEAD);
        if frame.len() > limit {
            self.meters.too_large.increment(1);
            let error = CrossingError::TooLarge { size: frame.len(), limit };
            tracing::error!(topic, %error, "a broadcast");
            return Err(error);
        }
        self.enqueue(subject, frame);
        Ok(())
    }

    /// The subject on which other nodes hear of a topic.
    pub(crate) fn subject(&self, topic: &str) -> Subject {
        self.interest.subject(topic)
    }

    fn enqueue(&self, subject: Subject, frame: Vec<u8>) {
        let mut outbox = self.outbox.lock();
        let dropped = outbox.push(subject, frame);
        self.meters.queue_bytes.set(outbox.bytes() as f64);
        drop(outbox);
        self.note_dropped(dropped);
        self.waiting.notify_one();
    }

    fn note_dropped(&self, dropped: u64) {
        if dropped > 0 {
            self.meters.queue_full.increment(dropped);
        }
    }

    /// Waits until all that was broadcast so far has been handed to the engine, or the link is down.
    pub(crate) async fn flush(&self) {
        let mut statuses = self.status.subscribe();
        loop {
            let flushed = self.flushed.notified();
            tokio::pin!(flushed);
            flushed.as_mut().enable();
            let is_done = self.outbox.lock().is_empty() && !self.in_flight.load(Ordering::SeqCst);
            if is_done || !statuses.borrow_and_update().is_up() {
                return;
            }
            tokio::select! {
                () = flushed => {}
                _ = statuses.changed() => {}
            }
        }
    }

    pub(crate) fn is_settled(&self, topic: &str) -> bool {
        self.interest.is_settled(topic) || !self.status.borrow().is_up()
    }

    pub(crate) async fn settle(&self, topic: &str) {
        self.interest.settle(topic, || self.status.borrow().is_up()).await;
    }

    fn receive(&self, subject: Subject, bytes: Bytes) {
        let is_stale = matches!(subject, Subject::Bucket(bucket) if !self.interest.is_wanted(bucket));
        if is_stale || packet::sender(&bytes) == Some(self.me) {
            return;
        }
        let size = bytes.len() as u64;
        let received = match Received::open(bytes, &self.key, &subject.name(&self.namespace, '.')) {
            Ok(received) => received,
            Err(refused) => return self.refuse(refused),
        };
        self.meters.received_packets.increment(1);
        self.meters.received_bytes.increment(size);
        let sender = received.sender;
        let verdict =
            self.peers.lock().packet(sender, subject, received.first, received.frames, Instant::now());
        if verdict.missed > 0 {
            self.missed(sender, subject, verdict.missed);
        }
        for frame in received.skip(verdict.repeated) {
            match frame {
                Ok(frame) => self.take(sender, frame),
                Err(refused) => self.refuse(refused),
            }
        }
    }

    fn take(&self, sender: Incarnation, frame: Frame) {
        match frame.kind {
            Kind::Message => {
                if self.deliver(frame).is_none() {
                    self.refuse(packet::Refused::Malformed);
                }
            }
            Kind::Beacon => match Beacon::decode(&frame.body) {
                Some(beacon) => self.hear(sender, &beacon),
                None => self.refuse(packet::Refused::Malformed),
            },
        }
    }

    /// Hands a message to its subscribers. `None` when it is no text where it has to be.
    fn deliver(&self, frame: Frame) -> Option<()> {
        let topic = std::str::from_utf8(&frame.topic).ok()?;
        let type_name = std::str::from_utf8(&frame.type_name).ok()?;
        let name = self.registry.name(topic);
        if !name.is_known {
            return Some(());
        }
        self.meters.received_messages.increment(1);
        let delivery = Delivery::remote(name.topic.clone(), type_name, frame.body, self.codecs.clone());
        let hook = self.hooks.read().get(type_name).cloned();
        match hook {
            Some(hook) => hook(delivery),
            None => self.registry.dispatch(&name, None, &delivery),
        }
        Some(())
    }

    fn hear(&self, sender: Incarnation, beacon: &Beacon) {
        let buckets = self.interest.buckets();
        let is_wanted = |bucket| self.interest.is_wanted(bucket);
        let introduction = self.peers.lock().beacon(sender, beacon, is_wanted, buckets, Instant::now());
        if introduction.is_double || (beacon.name == self.name && introduction.is_new && !beacon.leaving) {
            tracing::warn!(name = %beacon.name, "two nodes of the cluster have one name; each needs its own");
        }
        if introduction.is_new {
            tracing::info!(node = %beacon.name, "another node of the cluster is there");
            self.beacon_due.notify_one();
        }
    }

    fn missed(&self, sender: Incarnation, subject: Subject, missed: u64) {
        if subject == Subject::Everyone {
            // Whatever a beacon would have told, the next one tells.
            return;
        }
        self.meters.missed.increment(missed);
        if let Subject::Bucket(_) = subject {
            let due = self.gaps.lock().due(sender, subject, missed, Instant::now());
            due.into_iter().for_each(|missed| self.tell_gap(sender, subject, missed));
        }
    }

    fn tell_gap(&self, sender: Incarnation, subject: Subject, missed: u64) {
        let gap = Gap { node: self.peers.lock().name(sender), missed };
        tracing::warn!(node = ?gap.node, missed, "messages of another node did not arrive");
        for topic in self.registry.topics(|topic| self.interest.subject(topic) == subject) {
            let name = self.registry.name(&topic);
            self.registry.dispatch(&name, None, &Delivery::local(topic, gap.clone(), Ok(())));
        }
    }

    fn refuse(&self, refused: packet::Refused) {
        self.meters.refused(refused);
        let before = self.refused.fetch_add(1, Ordering::Relaxed);
        if (before + 1).is_power_of_two() {
            tracing::warn!(
                reason = refused.label(),
                so_far = before + 1,
                "a packet of the cluster is refused"
            );
        }
    }

    /// Tells the others from time to time how far this node is, and finds what they announced in vain.
    pub(crate) async fn beacons(self: Arc<Self>) {
        let mut told: HashMap<u16, u64> = HashMap::new();
        let mut ticks = tokio::time::interval(BEACON);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut last, mut last_complete, mut looked) = (None, None, Instant::now());
        let mut closed = self.closed.subscribe();
        loop {
            let asked = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => break,
                _ = ticks.tick() => false,
                () = self.beacon_due.notified() => true,
            };
            let now = Instant::now();
            self.report_overdue(now, now.duration_since(looked) > 2 * BEACON);
            looked = now;
            if !self.status.borrow().is_up() {
                continue;
            }
            let is_due = |last: Option<Instant>, every| last.is_none_or(|at| now.duration_since(at) >= every);
            let complete = asked || is_due(last_complete, COMPLETE_BEACON);
            let reached: Vec<(u16, u64)> = self.outbox.lock().sent().collect();
            let changed: Vec<(u16, u64)> =
                reached.iter().copied().filter(|(bucket, number)| told.get(bucket) != Some(number)).collect();
            if complete || !changed.is_empty() || is_due(last, IDLE_BEACON) {
                told.extend(changed.iter().copied());
                self.tell(if complete { reached } else { changed }, complete, false);
                last = Some(now);
                last_complete = if complete { Some(now) } else { last_complete };
            }
        }
    }

    fn report_overdue(&self, now: Instant, is_late: bool) {
        if is_late {
            // This process stood still. What it could not hear meanwhile may wait in its socket.
            return self.peers.lock().postpone(now);
        }
        let losses = self.peers.lock().overdue(now);
        for loss in losses {
            self.missed(loss.sender, loss.subject, loss.missed);
        }
        let untold = self.gaps.lock().take_untold(now);
        for ((sender, subject), missed) in untold {
            self.tell_gap(sender, subject, missed);
        }
    }

    fn tell(&self, reached: Vec<(u16, u64)>, complete: bool, leaving: bool) {
        let beacon = Beacon { name: self.name.clone(), reached, complete, leaving };
        let frame = packet::encode_frame(Kind::Beacon, "", "", |out| {
            beacon.encode(out);
            Ok(())
        });
        if let Ok(frame) = frame {
            self.enqueue(Subject::Everyone, frame);
        }
    }

    fn forget(&self, subjects: &HashSet<Subject>) {
        if !subjects.is_empty() {
            self.peers.lock().forget(subjects);
        }
    }

    /// The PubSub is gone: the adapter sends what is left, and ends.
    pub(crate) fn close(&self) {
        let reached = self.outbox.lock().sent().collect();
        self.tell(reached, true, true);
        self.closed.send_replace(true);
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.name.as_str())
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
