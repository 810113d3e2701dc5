//! Who listens to what.

use std::collections::HashMap;
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
    fn deliver(&self, id: SubscriberId, delivery: &Delivery);
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
    shards: [RwLock<HashMap<Arc<str>, Vec<Entry>>>; SHARDS],
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
    pub(crate) fn insert(&self, topic: &str, id: SubscriberId, subscriber: Arc<dyn Subscriber>) {
        let entry = Entry { id, subscriber };
        let mut topics = self.shard(topic).write();
        match topics.get_mut(topic) {
            Some(entries) => entries.push(entry),
            None => drop(topics.insert(topic.into(), vec![entry])),
        }
    }

    pub(crate) fn remove(&self, topic: &str, id: SubscriberId) {
        let mut topics = self.shard(topic).write();
        let Some(entries) = topics.get_mut(topic) else { return };
        entries.retain(|entry| entry.id != id);
        if entries.is_empty() {
            topics.remove(topic);
        }
    }

    pub(crate) fn dispatch(&self, topic: &str, from: Option<SubscriberId>, delivery: &Delivery) {
        let topics = self.shard(topic).read();
        for entry in topics.get(topic).into_iter().flatten() {
            if Some(entry.id) != from {
                entry.subscriber.deliver(entry.id, delivery);
            }
        }
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        self.shard(topic).read().get(topic).map_or(0, Vec::len)
    }

    /// The topic in shared memory: the subscribers' own copy if there are any.
    pub(crate) fn name(&self, topic: &str) -> Arc<str> {
        let topics = self.shard(topic).read();
        topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone())
    }

    fn shard(&self, topic: &str) -> &RwLock<HashMap<Arc<str>, Vec<Entry>>> {
        // The remainder is below SHARDS, so the cast keeps the value.
        &self.shards[(self.hasher.hash_one(topic) % SHARDS as u64) as usize]
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: usize = self.shards.iter().map(|shard| shard.read().len()).sum();
        write!(f, "Registry({topics} topics)")
    }
}
