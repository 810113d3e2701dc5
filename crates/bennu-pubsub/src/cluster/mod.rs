//! A PubSub that crosses nodes. DESIGN.md, "How do nodes talk to each other?".

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
use metrics::{Meters, Sums};
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
/// The pause after the others were asked about new buckets: those that come meanwhile are asked about together.
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// How long what was announced may be on its way.
const GRACE: Duration = Duration::from_secs(3);
/// After how long a silent node is not listed.
const SILENCE: Duration = Duration::from_secs(16);
/// What an engine is taken to carry while it has not said.
const USUAL_MAX_PACKET: usize = 1 << 20;

/// What a beacon says, its sender's name apart.
#[derive(Default)]
struct Told {
    asks: Vec<u16>,
    reached: Vec<(u16, u64)>,
    complete: bool,
    leaving: bool,
}

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
    /// The adapter came back for more.
    flushed: Notify,
    /// How often it was asked whether what it took has left, once it answers that, and what it answered last.
    asked: watch::Sender<Option<u64>>,
    answered: watch::Sender<u64>,
    /// What the adapter took last.
    taken: Mutex<Sums>,
    max_packet: AtomicUsize,
    /// Nothing goes out before; none until the first connect.
    hold_until: Mutex<Option<Instant>>,
    status: watch::Sender<LinkStatus>,
    peers: Mutex<Peers>,
    hooks: RwLock<HashMap<String, Hook>>,
    gaps: Mutex<Gaps>,
    /// When beacons were looked after last.
    looked: Mutex<Instant>,
    meters: Meters,
    refused: AtomicU64,
    /// A complete beacon is due at once.
    beacon_due: Notify,
    /// Buckets to ask the others about, and that there are any.
    asks: Mutex<BTreeSet<u16>>,
    ask_due: Notify,
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
            flushed: Notify::new(),
            asked: watch::Sender::new(None),
            answered: watch::Sender::new(0),
            taken: Mutex::default(),
            max_packet: AtomicUsize::new(USUAL_MAX_PACKET),
            hold_until: Mutex::default(),
            status: watch::Sender::new(LinkStatus::Down { engine, since: Instant::now(), reason }),
            peers: Mutex::new(Peers::new(GRACE, SILENCE)),
            hooks: RwLock::default(),
            gaps: Mutex::default(),
            looked: Mutex::new(Instant::now()),
            meters: Meters::new(),
            refused: AtomicU64::new(0),
            beacon_due: Notify::new(),
            asks: Mutex::default(),
            ask_due: Notify::new(),
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
        // A process that stood still has heard nobody, which says nothing of the others.
        let now = Instant::now().min(*self.looked.lock() + 2 * BEACON);
        let mut nodes = self.peers.lock().nodes(now);
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
        let form = self.codecs.form::<M>();
        let frame =
            match packet::encode_frame(Kind::Message, topic, form.name(), |out| form.encode(message, out)) {
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
        let until = self.outbox.lock().pushed();
        loop {
            let flushed = self.flushed.notified();
            tokio::pin!(flushed);
            flushed.as_mut().enable();
            let is_up = statuses.borrow_and_update().is_up();
            if !is_up || self.outbox.lock().done() >= until {
                break;
            }
            tokio::select! {
                () = flushed => {}
                _ = statuses.changed() => {}
            }
        }
        self.confirmed().await;
    }

    /// Waits until what was handed to the engine has left, if the adapter tells that, or the link is down.
    async fn confirmed(&self) {
        let mut ticket = None;
        self.asked.send_if_modified(|asked| {
            *asked = asked.map(|number| number + 1);
            ticket = *asked;
            ticket.is_some()
        });
        let Some(ticket) = ticket else { return };
        let (mut answers, mut statuses) = (self.answered.subscribe(), self.status.subscribe());
        tokio::select! {
            _ = answers.wait_for(|answered| *answered >= ticket) => {}
            _ = statuses.wait_for(|status| !status.is_up()) => {}
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
            self.tell_gaps(Instant::now());
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
                // A bug in a subscriber or a hook must not end the link.
                match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.deliver(frame))) {
                    Ok(Some(())) => {}
                    Ok(None) => self.refuse(packet::Refused::Malformed),
                    Err(_) => tracing::error!("what takes messages of other nodes has panicked"),
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
        if !beacon.asks.is_empty() {
            let outbox = self.outbox.lock();
            let reached = beacon.asks.iter().map(|bucket| (*bucket, outbox.sent_to(*bucket))).collect();
            drop(outbox);
            self.tell(Subject::of_node(beacon.name.as_str()), Told { reached, ..Told::default() });
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
            self.gaps.lock().add(sender, subject, missed);
        }
    }

    /// Tells all gaps that are due, with one look at the topics.
    fn tell_gaps(&self, now: Instant) {
        let due = self.gaps.lock().take_due(now);
        let mut gaps: HashMap<Subject, Vec<Gap>> = HashMap::new();
        for ((sender, subject), missed) in due {
            let gap = Gap { node: self.peers.lock().name(sender), missed };
            tracing::warn!(node = ?gap.node, missed, ?subject, "messages of another node did not arrive");
            gaps.entry(subject).or_default().push(gap);
        }
        if gaps.is_empty() {
            return;
        }
        for topic in self.registry.topics(|topic| gaps.contains_key(&self.interest.subject(topic))) {
            let name = self.registry.name(&topic);
            for gap in gaps.get(&self.interest.subject(&topic)).into_iter().flatten() {
                self.registry.dispatch(
                    &name,
                    None,
                    &Delivery::local(topic.clone(), gap.clone(), Ok(()), None),
                );
            }
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

    /// These buckets are subscribed to from now on: the others are asked how far they are.
    fn ask(&self, buckets: &[u16]) {
        self.asks.lock().extend(buckets);
        self.ask_due.notify_one();
    }

    /// Tells the others from time to time how far this node is, and finds what they announced in vain.
    pub(crate) async fn beacons(self: Arc<Self>) {
        let mut told: HashMap<u16, u64> = HashMap::new();
        let mut ticks = tokio::time::interval(BEACON);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut last, mut last_complete) = (None, None);
        let mut closed = self.closed.subscribe();
        loop {
            let asked = tokio::select! {
                () = async { drop(closed.wait_for(|closed| *closed).await) } => break,
                _ = ticks.tick() => false,
                () = self.beacon_due.notified() => true,
                () = self.ask_due.notified() => {
                    self.tell_asks();
                    tokio::time::sleep(ASK_PAUSE).await;
                    continue;
                }
            };
            let now = Instant::now();
            let looked = std::mem::replace(&mut *self.looked.lock(), now);
            self.report_overdue(looked, now);
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
                let reached = if complete { reached } else { changed };
                self.tell(Subject::Everyone, Told { reached, complete, ..Told::default() });
                last = Some(now);
                last_complete = if complete { Some(now) } else { last_complete };
            }
        }
    }

    fn tell_asks(&self) {
        let asks: Vec<u16> = std::mem::take(&mut *self.asks.lock()).into_iter().collect();
        if !asks.is_empty() && self.status.borrow().is_up() {
            self.tell(Subject::Everyone, Told { asks, ..Told::default() });
        }
    }

    fn report_overdue(&self, looked: Instant, now: Instant) {
        if now.duration_since(looked) > 2 * BEACON {
            // This process stood still. What it could not hear meanwhile may wait in its socket.
            return self.peers.lock().postpone(looked, now);
        }
        let losses = self.peers.lock().overdue(now);
        for loss in losses {
            self.missed(loss.sender, loss.subject, loss.missed);
        }
        self.tell_gaps(now);
    }

    fn tell(&self, subject: Subject, told: Told) {
        let Told { asks, reached, complete, leaving } = told;
        let beacon = Beacon { name: self.name.clone(), asks, reached, complete, leaving };
        let frame = packet::encode_frame(Kind::Beacon, "", "", |out| {
            beacon.encode(out);
            Ok(())
        });
        if let Ok(frame) = frame {
            self.enqueue(subject, frame);
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
        self.tell(Subject::Everyone, Told { reached, complete: true, leaving: true, ..Told::default() });
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
