//! What other threads hand to a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Arrival;
use super::topics::{Key, Pending, TopicKey};

/// The one way into a shard, in order of arrival.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// How many broadcasts it was given; also the number of the next.
    delivered: AtomicU64,
    /// How many of them were taken out.
    taken: AtomicU64,
    /// How many connections the shard has, or will have when it looks.
    connections: AtomicUsize,
    waker: mio::Waker,
}

#[derive(Default)]
struct Waiting {
    /// Each with its topic's place.
    deliveries: Vec<(TopicKey, Pending)>,
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
    pub(super) fn new(waker: mio::Waker) -> Arc<Self> {
        Arc::new(Queue {
            waiting: Mutex::default(),
            delivered: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            waker,
        })
    }

    /// Queues a broadcast for the topic at this place.
    pub(super) fn deliver(&self, topic: TopicKey, pending: impl FnOnce(u64) -> Pending) {
        self.push(|waiting| {
            let number = self.delivered.fetch_add(1, Ordering::Relaxed);
            waiting.deliveries.push((topic, pending(number)));
        });
    }

    /// Has a connection polled.
    pub(super) fn wake(&self, key: Key) {
        self.push(|waiting| waiting.woken.push(key));
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
        let deliveries = std::mem::take(&mut self.waiting.lock().deliveries);
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
