//! The face of presence, and the table behind it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bennu_protocol::presence::{DIFF, Diff, Entry, Meta, Presences};
use bennu_protocol::{Broadcast, Payload};
use bennu_pubsub::PubSub;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value;

use crate::owner::{Owner, TrackError, UpdateError};
use crate::reference::References;
use crate::worker::{Change, Worker};

/// Bytes that a key may have.
const MAX_KEY: usize = 1_024;

/// Keys that official clients up to 1.7 look up on a plain JavaScript object and
/// find there although nobody tracked them (CVE-2026-56812).
const HOSTILE_KEYS: [&str; 12] = [
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

pub(crate) type Fetch = Arc<dyn Fn(String, Presences) -> BoxFuture<'static, Presences> + Send + Sync>;
pub(crate) type Observer = Arc<dyn Fn(&Change) + Send + Sync>;

/// Who is online. Cheap to clone; clones are the same presence.
#[derive(Clone)]
#[doc(alias = "Phoenix.Presence")]
#[doc(alias = "Phoenix.Tracker")]
pub struct Presence(Arc<Inner>);

struct Inner {
    table: Arc<Table>,
    pubsub: PubSub,
    references: References,
    fetch: Option<Fetch>,
    /// Takes changes over when `fetch` or an observer has to be run for them.
    worker: Option<Worker>,
    next_owner: AtomicU64,
}

/// All topics. Changes are broadcast, or handed to the worker, under the lock, so
/// that everyone hears of them in the order in which they happened.
#[derive(Default)]
pub(crate) struct Table {
    topics: Mutex<HashMap<String, Topic>>,
}

/// The metas of each key, oldest first.
type Topic = BTreeMap<String, Vec<Tracked>>;

struct Tracked {
    owner: u64,
    meta: Meta,
}

impl Presence {
    /// Presence that tells the topics of `pubsub`.
    #[must_use]
    pub fn new(pubsub: PubSub) -> Self {
        Presence::builder(pubsub).build()
    }

    /// Presence with `fetch` or an observer.
    #[must_use]
    pub fn builder(pubsub: PubSub) -> PresenceBuilder {
        PresenceBuilder { pubsub, fetch: None, observer: None }
    }

    /// Someone who can track keys, until it is dropped. A channel keeps one in its state.
    #[must_use = "dropping the owner ends what it tracks"]
    pub fn owner(&self) -> Owner {
        Owner::new(self.clone(), self.0.next_owner.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a key can be tracked: not empty, at most 1,024 bytes, and no name that
    /// JavaScript objects have by themselves. Ask at join when a client has a say in its key.
    #[must_use]
    pub fn accepts_key(key: &str) -> bool {
        !key.is_empty() && key.len() <= MAX_KEY && !HOSTILE_KEYS.contains(&key)
    }

    /// Who is on `topic` now, after `fetch`.
    pub async fn list(&self, topic: impl AsRef<str>) -> Presences {
        let topic = topic.as_ref();
        let presences = self.0.table.list(topic);
        match &self.0.fetch {
            Some(fetch) => fetch(topic.to_owned(), presences).await,
            None => presences,
        }
    }

    /// What is known of one key, after `fetch`.
    pub async fn get_by_key(&self, topic: impl AsRef<str>, key: &str) -> Option<Entry> {
        let topic = topic.as_ref();
        let metas = self.0.table.metas(topic, key)?;
        let entry = Entry { metas, ..Entry::default() };
        let presences = Presences::from_iter([(key.to_owned(), entry)]);
        let mut presences = match &self.0.fetch {
            Some(fetch) => fetch(topic.to_owned(), presences).await,
            None => presences,
        };
        presences.remove(key)
    }

    /// How many keys are on `topic`.
    #[must_use]
    pub fn count(&self, topic: impl AsRef<str>) -> usize {
        self.0.table.topics.lock().get(topic.as_ref()).map_or(0, BTreeMap::len)
    }

    pub(crate) fn track(
        &self,
        owner: u64,
        topic: &str,
        key: &str,
        mut meta: Meta,
    ) -> Result<String, TrackError> {
        let mut topics = self.0.table.topics.lock();
        let tracked = topics.entry(topic.to_owned()).or_default().entry(key.to_owned()).or_default();
        if tracked.iter().any(|tracked| tracked.owner == owner) {
            return Err(TrackError::AlreadyTracked { topic: topic.to_owned(), key: key.to_owned() });
        }
        let reference = self.0.references.next();
        meta.insert("phx_ref".to_owned(), Value::String(reference.clone()));
        tracked.push(Tracked { owner, meta: meta.clone() });
        let diff = Diff { joins: one(key, meta), leaves: Presences::default() };
        self.announce(topic, diff, &topics);
        Ok(reference)
    }

    pub(crate) fn update(
        &self,
        owner: u64,
        topic: &str,
        key: &str,
        change: impl FnOnce(&Meta) -> Result<Meta, UpdateError>,
    ) -> Result<String, UpdateError> {
        let mut topics = self.0.table.topics.lock();
        let tracked = topics.get_mut(topic).and_then(|topic| topic.get_mut(key));
        let tracked = tracked.and_then(|all| all.iter_mut().find(|tracked| tracked.owner == owner));
        let tracked = tracked.ok_or(UpdateError::NotTracked)?;
        let mut meta = change(&tracked.meta)?;
        let reference = self.0.references.next();
        let previous = tracked.meta.get("phx_ref").cloned().unwrap_or_default();
        meta.insert("phx_ref".to_owned(), Value::String(reference.clone()));
        meta.insert("phx_ref_prev".to_owned(), previous);
        let old = std::mem::replace(&mut tracked.meta, meta.clone());
        let diff = Diff { joins: one(key, meta), leaves: one(key, old) };
        self.announce(topic, diff, &topics);
        Ok(reference)
    }

    /// Ends the owner's metas of these keys, which are all on one topic.
    pub(crate) fn untrack(&self, owner: u64, topic: &str, keys: &[String]) {
        let mut topics = self.0.table.topics.lock();
        let Some(entries) = topics.get_mut(topic) else { return };
        let mut leaves = Presences::default();
        for key in keys {
            remove(entries, key, owner, &mut leaves);
        }
        if entries.is_empty() {
            topics.remove(topic);
        }
        if !leaves.is_empty() {
            self.announce(topic, Diff { joins: Presences::default(), leaves }, &topics);
        }
    }

    fn announce(&self, topic: &str, diff: Diff, topics: &HashMap<String, Topic>) {
        match &self.0.worker {
            Some(worker) => {
                let presences = topics.get(topic).map(present).unwrap_or_default();
                worker.send(Change { topic: topic.to_owned(), diff, presences });
            }
            None => broadcast(&self.0.pubsub, topic, &diff),
        }
    }
}

impl Table {
    fn list(&self, topic: &str) -> Presences {
        self.topics.lock().get(topic).map(present).unwrap_or_default()
    }

    fn metas(&self, topic: &str, key: &str) -> Option<Vec<Meta>> {
        let topics = self.topics.lock();
        let tracked = topics.get(topic)?.get(key)?;
        Some(tracked.iter().map(|tracked| tracked.meta.clone()).collect())
    }
}

fn one(key: &str, meta: Meta) -> Presences {
    Presences::from_iter([(key.to_owned(), Entry { metas: vec![meta], ..Entry::default() })])
}

fn present(topic: &Topic) -> Presences {
    let mut presences = Presences::default();
    for (key, tracked) in topic {
        for tracked in tracked {
            presences.push(key, tracked.meta.clone());
        }
    }
    presences
}

fn remove(entries: &mut Topic, key: &str, owner: u64, leaves: &mut Presences) {
    let Some(tracked) = entries.get_mut(key) else { return };
    if let Some(at) = tracked.iter().position(|tracked| tracked.owner == owner) {
        leaves.push(key, tracked.remove(at).meta);
    }
    if tracked.is_empty() {
        entries.remove(key);
    }
}

/// Tells everyone on the topic; metas are JSON objects, so writing them cannot fail.
pub(crate) fn broadcast(pubsub: &PubSub, topic: &str, diff: &Diff) {
    match Payload::json(diff) {
        Ok(payload) => drop(pubsub.broadcast(topic, Broadcast::new(topic, DIFF, payload))),
        Err(error) => tracing::error!(topic, %error, "a presence diff cannot be written"),
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presence({} topics)", self.0.table.topics.lock().len())
    }
}

/// Puts a [`Presence`] together.
pub struct PresenceBuilder {
    pubsub: PubSub,
    fetch: Option<Fetch>,
    observer: Option<Observer>,
}

impl PresenceBuilder {
    /// Adds to what clients see: runs once for each list and for each side of a diff.
    /// It must keep the metas, and may add members to them and beside them.
    ///
    /// Diffs wait for it and go out in the order of the changes.
    #[must_use]
    pub fn fetch<F, R>(mut self, fetch: F) -> Self
    where
        F: Fn(String, Presences) -> R + Send + Sync + 'static,
        R: Future<Output = Presences> + Send + 'static,
    {
        self.fetch = Some(Arc::new(move |topic, presences| Box::pin(fetch(topic, presences))));
        self
    }

    /// Hears of every change, in order, after its diff was broadcast.
    #[must_use]
    #[doc(alias = "handle_metas")]
    pub fn observer(mut self, observer: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Builds it.
    ///
    /// # Panics
    ///
    /// With `fetch` or an observer, outside of a tokio runtime: they run in a task of their own.
    #[must_use]
    pub fn build(self) -> Presence {
        let worker = (self.fetch.is_some() || self.observer.is_some())
            .then(|| Worker::start(self.pubsub.clone(), self.fetch.clone(), self.observer));
        Presence(Arc::new(Inner {
            table: Arc::default(),
            pubsub: self.pubsub,
            references: References::new(),
            fetch: self.fetch,
            worker,
            next_owner: AtomicU64::new(0),
        }))
    }
}

impl fmt::Debug for PresenceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceBuilder").field("fetch", &self.fetch.is_some()).finish_non_exhaustive()
    }
}
