//! A node under observation.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_pubsub::{ClusterOptions, Codec, Delivery, Gap, LinkStatus, PubSub, Subscriber, SubscriberId};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::Engine;

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look.
const GLANCE: Duration = Duration::from_millis(10);

/// What all nodes share.
pub(super) fn options(node: &str) -> ClusterOptions {
    ClusterOptions::new("the secret of the suite's cluster").node(node).namespace("suite")
}

/// A node, and what it counts.
pub(super) struct TestNode {
    pubsub: PubSub,
    counts: Counts,
}

impl TestNode {
    pub(super) fn join(engine: &impl Engine, node: &str) -> Self {
        Self::join_with(engine, node, options(node))
    }

    pub(super) fn join_with(engine: &impl Engine, node: &str, options: ClusterOptions) -> Self {
        let counts = Counts::default();
        let pubsub = metrics::with_local_recorder(&counts, || engine.join(node, options));
        pubsub.register_codec(Codec {
            name: "suite.blob",
            encode: |blob: &Blob, out| {
                out.extend_from_slice(&blob.0);
                Ok(())
            },
            decode: |bytes| Ok(Blob(bytes.to_vec())),
        });
        TestNode { pubsub, counts }
    }

    /// Connected nodes, which all have heard of each other.
    pub(super) async fn join_all<const N: usize>(engine: &impl Engine, names: [&str; N]) -> [Self; N] {
        let nodes = names.map(|name| Self::join(engine, name));
        Self::acquaint(&nodes).await;
        nodes
    }

    /// Waits until all of them are connected and have heard of each other.
    pub(super) async fn acquaint(nodes: &[Self]) {
        for node in nodes {
            node.up().await;
            if matches!(node.link(), LinkStatus::Up { .. }) {
                eventually("all nodes are heard of", || node.nodes().len() + 1 >= nodes.len()).await;
            }
        }
    }

    pub(super) async fn up(&self) {
        eventually("the link is up", || !self.link().is_down()).await;
    }

    pub(super) async fn down(&self) {
        eventually("the link is down", || self.link().is_down()).await;
    }

    /// What it hears on a topic, once the engine knows of it.
    pub(super) async fn listen(&self, topic: &str) -> Listener {
        let listener = Listener::new(&self.pubsub, topic);
        self.settle(topic).await;
        listener
    }

    /// Broadcasts each in a packet of its own.
    pub(super) async fn broadcast_each(&self, topic: &str, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.broadcast(topic, number);
            self.flush().await;
        }
    }

    /// The value of a metric, added up over its labels.
    pub(super) fn count(&self, metric: &str) -> u64 {
        self.counts.sum(metric, "")
    }

    /// The value of a metric with this label.
    pub(super) fn count_of(&self, metric: &str, reason: &str) -> u64 {
        self.counts.sum(metric, reason)
    }

    pub(super) fn queue_bytes(&self) -> f64 {
        f64::from_bits(self.counts.sum("bennu_pubsub_queue_bytes", ""))
    }
}

impl Deref for TestNode {
    type Target = PubSub;

    fn deref(&self) -> &PubSub {
        &self.pubsub
    }
}

/// Waits for what must become true.
pub(super) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(GLANCE).await;
    }
}

/// Bytes that cross as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob(pub(super) Vec<u8>);

/// All that a subscriber was ever given, which has room for everything.
pub(super) struct Listener {
    pubsub: PubSub,
    topic: String,
    id: SubscriberId,
    ears: Arc<Ears>,
}

#[derive(Default)]
struct Ears(Mutex<Heard>);

/// What was heard so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    pub(super) numbers: Vec<u32>,
    pub(super) blobs: Vec<Blob>,
    pub(super) missed: u64,
}

impl Listener {
    pub(super) fn new(pubsub: &PubSub, topic: &str) -> Self {
        let (id, ears) = (SubscriberId::unique(), Arc::<Ears>::default());
        pubsub.add_subscriber(topic, id, ears.clone());
        Listener { pubsub: pubsub.clone(), topic: topic.to_owned(), id, ears }
    }

    pub(super) fn heard(&self) -> Heard {
        self.ears.0.lock().clone()
    }

    pub(super) async fn hears(&self, count: usize) -> Heard {
        eventually("everything was heard", || self.ears.0.lock().numbers.len() >= count).await;
        self.heard()
    }

    /// Waits until as many of `0..sent` as were not heard are counted as missed, and checks the order of the rest.
    pub(super) async fn accounts_for(&self, sent: u32) -> Heard {
        let accounted = |heard: &Heard| heard.numbers.len() as u64 + heard.missed;
        let deadline = Instant::now() + PATIENCE;
        while accounted(&self.heard()) < u64::from(sent) {
            let heard = self.heard();
            assert!(
                Instant::now() < deadline,
                "of {sent}, {} were heard and {} counted as missed",
                heard.numbers.len(),
                heard.missed
            );
            sleep(GLANCE).await;
        }
        let heard = self.heard();
        assert_eq!(accounted(&heard), u64::from(sent), "{} missed", heard.missed);
        assert!(heard.numbers.is_sorted_by(|left, right| left < right), "in order, and each once");
        heard
    }
}

impl Subscriber for Ears {
    fn deliver(&self, _: SubscriberId, delivery: &Delivery, _: Option<SubscriberId>) {
        let mut heard = self.0.lock();
        heard.numbers.extend(delivery.get::<u32>());
        heard.blobs.extend(delivery.get::<Blob>().cloned());
        heard.missed += delivery.get::<Gap>().map_or(0, |gap| gap.missed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.pubsub.remove_subscriber(&self.topic, self.id);
    }
}

/// The metrics of one node.
#[derive(Default)]
struct Counts(Mutex<HashMap<Key, Arc<AtomicU64>>>);

impl Counts {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        self.0.lock().entry(key.clone()).or_default().clone()
    }

    fn sum(&self, name: &str, label: &str) -> u64 {
        let cells = self.0.lock();
        let has_label = |key: &Key| label.is_empty() || key.labels().any(|known| known.value() == label);
        let wanted = cells.iter().filter(|(key, _)| key.name() == name && has_label(key));
        wanted.map(|(_, cell)| cell.load(Ordering::SeqCst)).sum()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
