//! Who listens to what.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::cluster::interest::Interest;
use crate::delivery::Delivery;
use table::Topics;

mod table;

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

    /// For how many subscriptions the one that was made with this id stands.
    fn count(&self, _id: SubscriberId) -> usize {
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
#[derive(Default)]
pub(crate) struct Registry {
    hasher: RandomState,
    /// Hears of topics that come and go, in a cluster.
    interest: Option<Arc<Interest>>,
    shards: [RwLock<Topics>; SHARDS],
}

/// A topic's name as its subscribers share it, if there are any, and its hash.
pub(crate) struct Name {
    pub(crate) topic: Arc<str>,
    /// Whether there are any.
    pub(crate) is_known: bool,
    hash: u64,
}

struct Entry {
    id: SubscriberId,
    subscriber: Arc<dyn Subscriber>,
}

impl Registry {
    pub(crate) fn clustered(interest: Arc<Interest>) -> Self {
        Registry { interest: Some(interest), ..Registry::default() }
    }

    /// Adds a subscriber, and returns the topic as all its subscribers share it: `topic` itself if this is the first.
    pub(crate) fn insert(
        &self,
        topic: Arc<str>,
        id: SubscriberId,
        subscriber: Arc<dyn Subscriber>,
    ) -> Arc<str> {
        let hash = self.hash(&topic);
        let mut topics = self.shard(hash).write();
        let before = topics.len();
        let topic = topics.insert(&self.hasher, hash, topic, Entry { id, subscriber });
        if let Some(interest) = self.interest.as_ref().filter(|_| topics.len() > before) {
            interest.appeared(&topic);
        }
        topic
    }

    pub(crate) fn replace(&self, topic: &str, id: SubscriberId, mut subscriber: Arc<dyn Subscriber>) {
        let hash = self.hash(topic);
        let mut topics = self.shard(hash).write();
        if let Some(entry) = topics.entries_mut(hash, topic).iter_mut().find(|entry| entry.id == id) {
            std::mem::swap(&mut entry.subscriber, &mut subscriber);
        }
        // What is replaced may do something when it is dropped.
        drop(topics);
    }

    pub(crate) fn remove(&self, topic: &str, id: SubscriberId) {
        let hash = self.hash(topic);
        let mut topics = self.shard(hash).write();
        let before = topics.len();
        let removed = topics.remove(&self.hasher, hash, topic, id);
        if let Some(interest) = self.interest.as_ref().filter(|_| topics.len() < before) {
            interest.vanished(topic);
        }
        drop(topics);
        // What is removed may do something when it is dropped.
        drop(removed);
    }

    pub(crate) fn dispatch(&self, name: &Name, from: Option<SubscriberId>, delivery: &Delivery) {
        for entry in self.shard(name.hash).read().entries(name.hash, &name.topic) {
            if Some(entry.id) != from {
                entry.subscriber.deliver(entry.id, delivery, from);
            }
        }
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        let hash = self.hash(topic);
        let topics = self.shard(hash).read();
        topics.entries(hash, topic).iter().map(|entry| entry.subscriber.count(entry.id)).sum()
    }

    /// The topic in shared memory: the subscribers' own copy if there are any.
    pub(crate) fn name(&self, topic: &str) -> Name {
        let hash = self.hash(topic);
        let known = self.shard(hash).read().name(hash, topic);
        Name { is_known: known.is_some(), topic: known.unwrap_or_else(|| topic.into()), hash }
    }

    /// The topics with subscribers of which `is_meant` holds.
    pub(crate) fn topics(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let meant = |shard: &RwLock<Topics>| {
            shard.read().names().filter(|topic| is_meant(topic)).cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(meant).collect()
    }

    fn hash(&self, topic: &str) -> u64 {
        self.hasher.hash_one(topic)
    }

    fn shard(&self, hash: u64) -> &RwLock<Topics> {
        // The tables look at other bits. The remainder is below SHARDS, so the cast keeps the value.
        &self.shards[((hash >> 32) % SHARDS as u64) as usize]
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: usize = self.shards.iter().map(|shard| shard.read().len()).sum();
        write!(f, "Registry({topics} topics)")
    }
}
