//! An engine between nodes, in the test's process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_pubsub::{Adapter, Change, Link, Packet, Subject};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Carries packets between nodes in one process, and loses, delays and refuses them when told to. Cheap to clone.
///
/// ```
/// use bennu_pubsub::{ClusterOptions, PubSub};
/// use bennu_testkit::Hub;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// let hub = Hub::new();
/// let options = || ClusterOptions::new("a secret of the cluster");
/// let a = PubSub::cluster(hub.adapter(), options().node("a"))?;
/// let b = PubSub::cluster(hub.adapter(), options().node("b"))?;
/// let mut subscription = b.subscribe("room:1");
/// hub.up(&[&a, &b]).await;
/// b.settle("room:1").await;
/// a.broadcast("room:1", 7_u32);
/// assert_eq!(subscription.recv().await?.get(), Some(&7_u32));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    is_stopped: watch::Sender<bool>,
    published: AtomicU64,
    carried: Carried,
}

#[derive(Default)]
struct Carried {
    packets: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    next: u64,
    members: HashMap<u64, Member>,
    cut: HashSet<(String, String)>,
    lose: u64,
    delay: Duration,
    subscribe_delay: Duration,
    max_packet: Option<usize>,
}

struct Member {
    node: String,
    subjects: HashSet<Subject>,
    inbox: mpsc::UnboundedSender<(Instant, Subject, Bytes)>,
}

/// What the engine is taken to carry.
const MAX_PACKET: usize = 1 << 20;
/// How many packets a node hands over at once.
const BATCH: usize = 64;

impl Hub {
    /// A running engine without nodes.
    #[must_use]
    pub fn new() -> Self {
        Hub::default()
    }

    /// For one node.
    #[must_use]
    pub fn adapter(&self) -> HubAdapter {
        HubAdapter(self.clone())
    }

    /// Waits until these nodes are connected.
    pub async fn up(&self, nodes: &[&bennu_pubsub::PubSub]) {
        for node in nodes {
            if let Some(mut changes) = node.link_changes() {
                // The sender lives as long as the node.
                let _ = changes.wait_for(bennu_pubsub::LinkStatus::is_up).await;
            }
        }
    }

    /// From now on nothing crosses between a node of `left` and one of `right`, in both directions, and nobody is told.
    pub fn partition(&self, left: &[&str], right: &[&str]) {
        let mut state = self.0.state.lock();
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
            state.cut.insert((a.to_owned(), b.to_owned()));
            state.cut.insert((b.to_owned(), a.to_owned()));
        }
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.0.state.lock().cut.clear();
    }

    /// The next `packets` packets are lost for everyone.
    pub fn lose_next(&self, packets: u64) {
        self.0.state.lock().lose = packets;
    }

    /// How long a packet is on its way.
    pub fn delay(&self, delay: Duration) {
        self.0.state.lock().delay = delay;
    }

    /// How long it takes until a subscription holds that a connected node asks for, and is confirmed.
    pub fn subscribe_delay(&self, delay: Duration) {
        self.0.state.lock().subscribe_delay = delay;
    }

    /// Largest packet that is taken; 1 MiB unless set. Nodes hear of it when they connect.
    pub fn max_packet(&self, bytes: usize) {
        self.0.state.lock().max_packet = Some(bytes);
    }

    /// The engine is gone: nodes lose their connection, and all that was on its way.
    pub fn stop(&self) {
        self.0.is_stopped.send_replace(true);
        self.0.state.lock().members.clear();
    }

    /// The engine is back, and knows of nothing.
    pub fn start(&self) {
        self.0.is_stopped.send_replace(false);
    }

    /// How many packets were published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }

    /// How many packets were handed to subscribers so far: each counts once for each node.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.0.carried.packets.load(Ordering::Relaxed)
    }

    /// How many bytes these packets had.
    #[must_use]
    pub fn carried_bytes(&self) -> u64 {
        self.0.carried.bytes.load(Ordering::Relaxed)
    }

    /// Hands bytes of a stranger to every node, on a subject that they are subscribed to.
    pub fn inject(&self, subject: Subject, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.0.state.lock().carry("", subject, &bytes, &self.0.carried);
    }

    fn connect(&self, link: &Link) -> Option<Connection> {
        if *self.0.is_stopped.borrow() {
            return None;
        }
        let (inbox, packets) = mpsc::unbounded_channel();
        let mut state = self.0.state.lock();
        state.next += 1;
        let id = state.next;
        let wanted = link.wanted();
        let member =
            Member { node: link.node().to_string(), subjects: wanted.iter().copied().collect(), inbox };
        state.members.insert(id, member);
        let max_packet = state.max_packet.unwrap_or(MAX_PACKET);
        drop(state);
        link.subscribed(&wanted);
        link.up(max_packet);
        Some(Connection { id, packets })
    }

    fn publish(&self, node: &str, packets: Vec<Packet>) {
        let mut state = self.0.state.lock();
        for packet in packets {
            self.0.published.fetch_add(1, Ordering::Relaxed);
            if state.lose > 0 {
                state.lose -= 1;
                continue;
            }
            state.carry(node, packet.subject, &packet.bytes, &self.0.carried);
        }
    }

    fn change(&self, id: u64, changes: &[Change], link: &Link) {
        let mut state = self.0.state.lock();
        let Some(member) = state.members.get_mut(&id) else { return };
        let mut fresh = Vec::new();
        for change in changes {
            match change {
                Change::Subscribe(subject) => {
                    member.subjects.insert(*subject);
                    fresh.push(*subject);
                }
                Change::Unsubscribe(subject) => drop(member.subjects.remove(subject)),
            }
        }
        drop(state);
        link.subscribed(&fresh);
    }
}

impl State {
    fn carry(&self, from: &str, subject: Subject, bytes: &Bytes, carried: &Carried) {
        let due = Instant::now() + self.delay;
        let is_cut = |node: &str| self.cut.contains(&(from.to_owned(), node.to_owned()));
        for member in self.members.values().filter(|member| member.subjects.contains(&subject)) {
            if !is_cut(&member.node) {
                carried.packets.fetch_add(1, Ordering::Relaxed);
                carried.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                // A node that ended just now takes nothing.
                let _ = member.inbox.send((due, subject, bytes.clone()));
            }
        }
    }
}

struct Connection {
    id: u64,
    packets: mpsc::UnboundedReceiver<(Instant, Subject, Bytes)>,
}

/// One node's way to a [`Hub`].
#[derive(Debug)]
pub struct HubAdapter(Hub);

impl Adapter for HubAdapter {
    fn engine(&self) -> &'static str {
        "hub"
    }

    fn run(self: Box<Self>, link: Link) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut is_stopped = self.0.0.is_stopped.subscribe();
            loop {
                tokio::select! {
                    () = link.closed() => return,
                    _ = is_stopped.wait_for(|stopped| !stopped) => {}
                }
                let Some(connection) = self.0.connect(&link) else { continue };
                if self.serve(&link, connection).await {
                    return;
                }
                link.down("the hub was stopped");
            }
        })
    }
}

impl HubAdapter {
    /// Until the connection is lost, or, which is true, the node ends.
    async fn serve(&self, link: &Link, mut connection: Connection) -> bool {
        let hub = &self.0;
        let mut on_the_way: VecDeque<(Instant, Subject, Bytes)> = VecDeque::new();
        let mut asked: VecDeque<(Instant, Vec<Change>)> = VecDeque::new();
        loop {
            let due = on_the_way.front().map(|(due, ..)| *due);
            let change_due = asked.front().map(|(due, _)| *due);
            tokio::select! {
                () = link.closed() => {
                    loop {
                        let packets = link.take(BATCH);
                        if packets.is_empty() {
                            break;
                        }
                        hub.publish(link.node().as_str(), packets);
                    }
                    hub.0.state.lock().members.remove(&connection.id);
                    return true;
                }
                packet = connection.packets.recv() => match packet {
                    Some(packet) => on_the_way.push_back(packet),
                    None => return false,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, subject, bytes)) = on_the_way.pop_front() {
                        link.received(&subject, bytes);
                    }
                }
                packets = link.outgoing(BATCH) => hub.publish(link.node().as_str(), packets),
                changes = link.changed() => {
                    asked.push_back((Instant::now() + hub.0.state.lock().subscribe_delay, changes));
                }
                () = tokio::time::sleep_until(change_due.unwrap_or_else(Instant::now)), if change_due.is_some() => {
                    if let Some((_, changes)) = asked.pop_front() {
                        hub.change(connection.id, &changes, link);
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({} nodes)", self.0.state.lock().members.len())
    }
}
