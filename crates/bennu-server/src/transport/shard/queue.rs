//! What other threads hand to a shard.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bennu_pubsub::{Delivery, SubscriberId};
use metrics::Counter;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Arrival;
use super::topics::{Key, Pending, TopicKey};

/// The one way into a shard, in order of arrival.
///
/// Broadcasts are bounded, and are so until all subscribers got them. What finds no room is lost: in its place
/// each topic gets one [`Missed`], and nothing more until the shard has taken that out.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bounds: ShardBounds,
    /// Bytes of broadcasts that not all subscribers got.
    bytes: AtomicUsize,
    /// How many broadcasts all subscribers got, or had no subscriber any more.
    landed: AtomicU64,
    /// How many broadcasts found no room.
    lost: AtomicU64,
    lost_total: Counter,
    /// How many broadcasts it was given; also the number of the next.
    delivered: AtomicU64,
    /// How many of them were taken out.
    taken: AtomicU64,
    /// How many connections the shard has, or will have when it looks.
    connections: AtomicUsize,
    waker: mio::Waker,
}

/// What may wait in one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShardBounds {
    pub(crate) bytes: usize,
    pub(crate) broadcasts: usize,
}

/// Takes the place of broadcasts that were lost: subscribers missed something here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Missed;

#[derive(Default)]
struct Waiting {
    /// Each with its topic's place.
    deliveries: Vec<(TopicKey, Pending)>,
    /// Topics of which something was lost, and so nothing more is taken in until the shard looks.
    missed: HashSet<TopicKey>,
    woken: Vec<Key>,
    arrivals: Vec<Arrival>,
    stops: bool,
    /// Whether the shard will look here before it sleeps.
    is_awake: bool,
}

/// What a shard finds when it looks.
#[derive(Default)]
pub(super) struct Found {
    pub(super) woken: Vec<Key>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) stops: bool,
}

impl Queue {
    pub(super) fn new(waker: mio::Waker, bounds: ShardBounds, lost_total: Counter) -> Arc<Self> {
        Arc::new(Queue {
            waiting: Mutex::default(),
            bounds,
            bytes: AtomicUsize::new(0),
            landed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            lost_total,
            delivered: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            waker,
        })
    }

    /// Queues a broadcast for the topic at this place, if there is room.
    pub(super) fn deliver(&self, topic: TopicKey, delivery: &Delivery, from: Option<SubscriberId>) {
        let size = Pending::size_of(delivery);
        self.push(|waiting| {
            if waiting.stops {
                return;
            }
            let is_behind_hole = !waiting.missed.is_empty() && waiting.missed.contains(&topic);
            let fits = !is_behind_hole && self.has_room(size);
            if !fits {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.lost_total.increment(1);
            }
            if is_behind_hole {
                return;
            }
            let (delivery, from) = match fits {
                true => (delivery.clone(), from),
                false => {
                    waiting.missed.insert(topic);
                    (Missed::on(delivery.topic()), None)
                }
            };
            let number = self.delivered.fetch_add(1, Ordering::Relaxed);
            let pending = Pending { number, delivery, from };
            self.bytes.fetch_add(pending.size(), Ordering::Relaxed);
            waiting.deliveries.push((topic, pending));
        });
    }

    /// Whether a broadcast of so many bytes may wait too. One alone may be larger.
    fn has_room(&self, size: usize) -> bool {
        let (count, bytes) = self.backlog();
        count == 0 || count < self.bounds.broadcasts as u64 && bytes + size <= self.bounds.bytes
    }

    /// How many broadcasts not all subscribers got, and their bytes.
    pub(super) fn backlog(&self) -> (u64, usize) {
        let count = self.delivered() - self.landed.load(Ordering::Relaxed);
        (count, self.bytes.load(Ordering::Relaxed))
    }

    /// These broadcasts wait for nobody any more.
    pub(super) fn landed<'a>(&self, landed: impl IntoIterator<Item = &'a Pending>) {
        let (mut count, mut bytes) = (0, 0);
        for pending in landed {
            count += 1;
            bytes += pending.size();
        }
        self.landed.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many broadcasts were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Has a connection polled.
    pub(super) fn wake(&self, key: Key) {
        self.push(|waiting| waiting.woken.push(key));
    }

    /// Whether the shard has something to do, and so does not sleep.
    pub(super) fn is_awake(&self) -> bool {
        self.waiting.lock().is_awake
    }

    /// Lets a connection in; it is dropped if the shard has stopped.
    pub(super) fn arrive(&self, arrival: Arrival) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut too_late = None;
        self.push(|waiting| match waiting.stops {
            true => too_late = Some(arrival),
            false => waiting.arrivals.push(arrival),
        });
        drop(too_late);
    }

    /// Ends the shard: its connections are dropped.
    pub(super) fn stop(&self) {
        self.push(|waiting| waiting.stops = true);
    }

    pub(super) fn stops(&self) -> bool {
        self.waiting.lock().stops
    }

    fn push(&self, push: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        push(&mut waiting);
        let sleeps = !std::mem::replace(&mut waiting.is_awake, true);
        drop(waiting);
        if sleeps && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a shard cannot be woken");
        }
    }

    /// The number that the next broadcast gets.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Whether broadcasts wait to be taken out.
    pub(super) fn has_deliveries(&self) -> bool {
        self.taken.load(Ordering::Relaxed) != self.delivered()
    }

    pub(super) fn take_deliveries(&self) -> Vec<(TopicKey, Pending)> {
        if !self.has_deliveries() {
            return Vec::new();
        }
        let mut waiting = self.waiting.lock();
        let deliveries = std::mem::take(&mut waiting.deliveries);
        if !waiting.missed.is_empty() {
            waiting.missed = HashSet::new();
        }
        drop(waiting);
        self.taken.fetch_add(deliveries.len() as u64, Ordering::Relaxed);
        deliveries
    }

    /// Takes out all but the broadcasts.
    pub(super) fn take(&self) -> Found {
        let mut waiting = self.waiting.lock();
        Found {
            woken: std::mem::take(&mut waiting.woken),
            arrivals: std::mem::take(&mut waiting.arrivals),
            stops: waiting.stops,
        }
    }

    pub(super) fn take_woken(&self) -> Vec<Key> {
        std::mem::take(&mut self.waiting.lock().woken)
    }

    /// Whether the shard may sleep: from now on it is woken by what comes.
    pub(super) fn may_sleep(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let is_empty = waiting.deliveries.is_empty() && waiting.woken.is_empty();
        let is_empty = is_empty && waiting.arrivals.is_empty() && !waiting.stops;
        waiting.is_awake = !is_empty;
        is_empty
    }

    /// The shard is awake, for whatever reason: nobody need wake it.
    pub(super) fn woke(&self) {
        self.waiting.lock().is_awake = true;
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A connection has ended.
    pub(super) fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Missed {
    fn on(topic: &str) -> Delivery {
        Delivery::new(topic, Missed)
    }
}
