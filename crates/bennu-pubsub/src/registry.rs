//! Who listens to what.

use std::collections::{HashMap, hash_map};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::delivery::Delivery;

/// Someone who takes deliveries of topics at once and on the broadcaster's thread.
///
/// Implementations put the delivery into a queue of theirs and return; they
/// must not call back into the PubSub.
pub trait Subscriber: Send + Sync {
    /// Takes a delivery for the subscription that was made with this id.
    ///
    /// `from` is whom a `broadcast_from` leaves out. A subscription with that very id is
    /// not asked at all; one that stands for several others leaves that one out itself.
    fn deliver(&self, id: SubscriberId, delivery: &Delivery, from: Option<SubscriberId>);

    /// For how many subscriptions this one stands.
    fn count(&self) -> usize {
        1
    }
}

/// Names one subscription: who, and a number that the subscriber may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriberId {
    /// Unique in this process.
    owner: u64,
    /// The subscriber's own mark, such as which of its channels this is for.
    pub token: u64,
}

impl SubscriberId {
    /// An id that nobody else has, with token 0.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        SubscriberId { owner: NEXT.fetch_add(1, Ordering::Relaxed), token: 0 }
    }

    /// Another id of the same subscriber.
    #[must_use]
    pub fn with_token(self, token: u64) -> Self {
        SubscriberId { token, ..self }
    }

    /// A number that names the subscriber, without its token.
    #[must_use]
    pub fn owner(self) -> u64 {
        self.owner
    }
}

/// How many locks the topics are spread over.
const SHARDS: usize = 32;

/// The table of topics. A lock is held while a topic's subscribers take a delivery,
/// which is why they may not call back.
pub(crate) struct Registry {
    hasher: RandomState,
    shards: [RwLock<Topics>; SHARDS],
}

type Topics = HashMap<Arc<str>, Entries>;

/// The subscribers of a topic. Very many topics have one alone, which takes no memory beside its place.
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

struct Entry {
    id: SubscriberId,
    subscriber: Arc<dyn Subscriber>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { hasher: RandomState::new(), shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl Registry {
    /// Adds a subscriber, and returns the topic as all its subscribers share it: `topic` itself if this is the first.
    pub(crate) fn insert(
        &self,
        topic: Arc<str>,
        id: SubscriberId,
        subscriber: Arc<dyn Subscriber>,
    ) -> Arc<str> {
        let entry = Entry { id, subscriber };
        match self.shard(&topic).write().entry(topic) {
            hash_map::Entry::Occupied(mut occupied) => {
                occupied.get_mut().push(entry);
                occupied.key().clone()
            }
            hash_map::Entry::Vacant(vacant) => {
                let shared = vacant.key().clone();
                vacant.insert(Entries::One(entry));
                shared
            }
        }
    }

    pub(crate) fn remove(&self, topic: &str, id: SubscriberId) {
        let mut topics = self.shard(topic).write();
        if topics.get_mut(topic).is_some_and(|entries| entries.remove(id)) {
            topics.remove(topic);
        }
    }

    pub(crate) fn dispatch(&self, topic: &str, from: Option<SubscriberId>, delivery: &Delivery) {
        let topics = self.shard(topic).read();
        for entry in topics.get(topic).into_iter().flat_map(Entries::as_slice) {
            if Some(entry.id) != from {
                entry.subscriber.deliver(entry.id, delivery, from);
            }
        }
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        let topics = self.shard(topic).read();
        let entries = topics.get(topic).into_iter().flat_map(Entries::as_slice);
        entries.map(|entry| entry.subscriber.count()).sum()
    }

    /// The topic in shared memory: the subscribers' own copy if there are any.
    pub(crate) fn name(&self, topic: &str) -> Arc<str> {
        let topics = self.shard(topic).read();
        topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone())
    }

    fn shard(&self, topic: &str) -> &RwLock<Topics> {
        // The remainder is below SHARDS, so the cast keeps the value.
        &self.shards[(self.hasher.hash_one(topic) % SHARDS as u64) as usize]
    }
}

impl Entries {
    fn push(&mut self, entry: Entry) {
        *self = match std::mem::replace(self, Entries::Many(Vec::new())) {
            Entries::One(first) => Entries::Many(vec![first, entry]),
            Entries::Many(mut entries) => {
                entries.push(entry);
                Entries::Many(entries)
            }
        };
    }

    /// True if nobody is left.
    fn remove(&mut self, id: SubscriberId) -> bool {
        match self {
            Entries::One(entry) => entry.id == id,
            Entries::Many(entries) => {
                entries.retain(|entry| entry.id != id);
                entries.is_empty()
            }
        }
    }

    fn as_slice(&self) -> &[Entry] {
        match self {
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(entries) => entries,
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: usize = self.shards.iter().map(|shard| shard.read().len()).sum();
        write!(f, "Registry({topics} topics)")
    }
}
