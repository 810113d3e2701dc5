//! The face of presence.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_protocol::presence::{Entry, Meta, Presences};
use bennu_pubsub::PubSub;
use tokio::runtime::Handle;

use crate::change::Change;
use crate::crowd::{self, Crowd, CrowdOf};
use crate::limits::PresenceLimits;
use crate::owner::{Owner, TrackError, UpdateError};
use crate::reference::References;
use crate::replica::EncodedMeta;
use crate::replica::{Machine, OwnerId, ReplicaOptions, ReplicaOptionsError, Topic};
use crate::replication::Replica;
use crate::shard::{Shard, Voice};
use crate::state::State;
use crate::wire;
use crate::worker::Hooks;

/// Bytes that a key may have.
const MAX_KEY: usize = 1_024;

/// How long changes of a busy topic are gathered, unless told otherwise.
const DIFF_WINDOW: Duration = Duration::from_millis(100);

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

/// Who is online. Cheap to clone; clones are the same presence.
#[derive(Clone)]
#[doc(alias = "Phoenix.Presence")]
#[doc(alias = "Phoenix.Tracker")]
pub struct Presence(Arc<Inner>);

struct Inner {
    shards: Box<[Arc<Shard>]>,
    pubsub: PubSub,
    hooks: Hooks,
    crowd: CrowdOf,
    limits: PresenceLimits,
    references: References,
    next_owner: AtomicU64,
}

impl Presence {
    /// Presence that tells the topics of `pubsub`.
    #[must_use]
    pub fn new(pubsub: PubSub) -> Self {
        Presence::builder(pubsub).build()
    }

    /// Presence with `fetch`, an observer, limits, or topics for crowds.
    #[must_use]
    pub fn builder(pubsub: PubSub) -> PresenceBuilder {
        PresenceBuilder {
            pubsub,
            hooks: Hooks::default(),
            crowd: Arc::new(|_| Crowd::Full),
            limits: PresenceLimits::default(),
            diff_window: DIFF_WINDOW,
            name: "presence".to_owned(),
            pool_size: 1,
            replica: ReplicaOptions::default(),
        }
    }

    /// Someone who can track keys, until it is dropped. A channel keeps one in its state.
    #[must_use = "dropping the owner ends what it tracks"]
    pub fn owner(&self) -> Owner {
        Owner::new(self.clone())
    }

    /// Whether a key can be tracked: not empty, at most 1,024 bytes, and no name that
    /// JavaScript objects have by themselves. Ask at join when a client has a say in its key.
    #[must_use]
    pub fn accepts_key(key: &str) -> bool {
        !key.is_empty() && key.len() <= MAX_KEY && !HOSTILE_KEYS.contains(&key)
    }

    /// What a client that joins `topic` is to be told, ready to be pushed, after `fetch`. Pushed by the channel's `after_join`, it is followed by
    /// what it does not include, and nothing else.
    ///
    /// In a topic whose [mode](PresenceBuilder::crowd) is [`Crowd::Full`] it is the same as `presence_state` with [`list`](Self::list), and costs less, since
    /// without `fetch` it is written from stored text. In topics of other modes it is how a client learns where the counting begins.
    pub async fn state(&self, topic: impl AsRef<str>) -> State {
        let topic = topic.as_ref();
        let shard = self.shard(topic);
        let mode = (self.0.crowd)(topic);
        if mode == Crowd::Full && self.0.hooks.fetch.is_none() {
            return State::new(Some(shard.everyone_written(topic)), None);
        }
        let (keys, count) = match mode {
            Crowd::Full => (shard.everyone(topic), None),
            Crowd::Count | Crowd::First(_) => {
                let (keys, count) = shard.shown(topic);
                (keys, Some(count))
            }
        };
        let presences = match (mode, &self.0.hooks.fetch) {
            (Crowd::Count, _) => None,
            (_, None) => Some(wire::state(&keys)),
            (_, Some(_)) => {
                let fetched = self.0.hooks.fetch(topic, &keys).await;
                // What is fetched is made of JSON values; writing them cannot fail.
                Some(Payload::json(&fetched).unwrap_or_else(|_| wire::state(&keys)))
            }
        };
        State::new(presences, count)
    }

    /// Who is on `topic` now, after `fetch`.
    ///
    /// It is what clients know, and whoever came since: in a topic that changes faster than its clients are
    /// [told](PresenceBuilder::diff_window), those who left in the last moment are still in it, and an update of that time is not. So a client that is sent
    /// this list understands the diffs which follow it. [`count`](Self::count) and [`get_by_key`](Self::get_by_key) lag behind nothing.
    pub async fn list(&self, topic: impl AsRef<str>) -> Presences {
        let topic = topic.as_ref();
        let everyone = self.shard(topic).everyone(topic);
        self.0.hooks.fetch(topic, &everyone).await
    }

    /// What is known of one key, after `fetch`.
    pub async fn get_by_key(&self, topic: impl AsRef<str>, key: &str) -> Option<Entry> {
        let topic = topic.as_ref();
        let read = self.shard(topic).read(|machine| {
            let key = machine.topic(topic)?.key(key)?;
            Some((key.name().clone(), key.metas().cloned().collect()))
        })?;
        self.0.hooks.fetch(topic, &[read]).await.remove(key)
    }

    /// How many keys are on `topic`. It costs the same however many they are.
    #[must_use]
    pub fn count(&self, topic: impl AsRef<str>) -> usize {
        let topic = topic.as_ref();
        self.shard(topic).count(topic)
    }

    /// Tells the other nodes what they do not know yet, or with
    /// [`permdown_on_shutdown`](ReplicaOptions::permdown_on_shutdown) that this node stops, and waits until it is on its way. For the end of a
    /// program, when its channels have ended; there is nothing to do without a cluster.
    pub async fn shut_down(&self) {
        self.0.shards.iter().for_each(Shard::shut_down);
        self.0.pubsub.flush().await;
    }

    /// The name of another owner; they end long before the numbers do.
    pub(crate) fn next_owner(&self) -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(self.0.next_owner.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn track(
        &self,
        owner: OwnerId,
        topic: &str,
        key: &str,
        object: &str,
    ) -> Result<String, TrackError> {
        let limits = &self.0.limits;
        check_size(object, limits).map_err(|(size, limit)| TrackError::MetaTooLarge { size, limit })?;
        self.shard(topic).change(|machine| {
            let already = || TrackError::AlreadyTracked { topic: topic.to_owned(), key: key.to_owned() };
            if machine.meta(owner, topic, key).is_some() {
                return Err(already());
            }
            let metas = machine.topic(topic).and_then(|topic| topic.key(key)).map(|key| key.count_metas());
            match metas {
                Some(metas) if metas >= limits.max_metas => {
                    return Err(TrackError::TooManyMetas(limits.max_metas));
                }
                None if count(machine, topic) >= limits.max_keys => {
                    return Err(TrackError::TooManyKeys(limits.max_keys));
                }
                Some(_) | None => {}
            }
            let reference = self.0.references.next();
            let meta = EncodedMeta::write(object, &reference, None);
            machine.join(owner, topic, key, meta).map_err(|_| already())?;
            Ok(reference)
        })
    }

    /// What an owner tracks now.
    pub(crate) fn tracked(&self, owner: OwnerId, topic: &str, key: &str) -> Option<Meta> {
        let meta = self.shard(topic).read(|machine| machine.meta(owner, topic, key).cloned());
        meta.map(|meta| meta.to_meta())
    }

    pub(crate) fn update(
        &self,
        owner: OwnerId,
        topic: &str,
        key: &str,
        object: &str,
    ) -> Result<String, UpdateError> {
        check_size(object, &self.0.limits)
            .map_err(|(size, limit)| UpdateError::MetaTooLarge { size, limit })?;
        self.shard(topic).change(|machine| {
            let old = machine.meta(owner, topic, key).ok_or(UpdateError::NotTracked)?;
            let reference = self.0.references.next();
            let meta = EncodedMeta::write(object, &reference, Some(old.reference()));
            machine.update(owner, topic, key, meta).map_err(|_| UpdateError::NotTracked)?;
            Ok(reference)
        })
    }

    pub(crate) fn untrack(&self, owner: OwnerId, topic: &str, key: &str) {
        self.shard(topic).change(|machine| machine.leave(owner, topic, key));
    }

    /// Ends whatever the owner tracks.
    pub(crate) fn untrack_all(&self, owner: OwnerId) {
        for shard in &self.0.shards {
            shard.change(|machine| machine.leave_owner(owner));
        }
    }

    /// The shard of a topic, which all nodes must agree about.
    fn shard(&self, topic: &str) -> &Arc<Shard> {
        let hash = fnv1a(topic.as_bytes());
        // The remainder is below the number of shards, so the cast keeps it.
        &self.0.shards[(hash % self.0.shards.len() as u64) as usize]
    }
}

/// FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn count(machine: &Machine, topic: &str) -> usize {
    machine.topic(topic).as_ref().map_or(0, Topic::count)
}

fn check_size(object: &str, limits: &PresenceLimits) -> Result<(), (usize, usize)> {
    let (size, limit) = (object.len(), limits.max_meta_bytes);
    if size > limit { Err((size, limit)) } else { Ok(()) }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: usize = self.0.shards.iter().map(|shard| shard.read(Machine::topics)).sum();
        write!(f, "Presence({topics} topics)")
    }
}

/// Puts a [`Presence`] together.
pub struct PresenceBuilder {
    pubsub: PubSub,
    hooks: Hooks,
    crowd: CrowdOf,
    limits: PresenceLimits,
    diff_window: Duration,
    name: String,
    pool_size: usize,
    replica: ReplicaOptions,
}

impl PresenceBuilder {
    /// Adds to what clients see: runs once for each list and for each side of a diff.
    /// It must keep the metas, and may add members to them and beside them.
    ///
    /// The diffs of a topic wait for it and go out in the order of the changes; what changes meanwhile becomes the topic's next diff. Other topics do not
    /// wait: it runs for up to 64 of a [shard](Self::pool_size) at a time. If it panics, or takes longer than [`fetch_timeout`](Self::fetch_timeout),
    /// the diff goes out without what it would have added.
    #[must_use]
    pub fn fetch<F, R>(mut self, fetch: F) -> Self
    where
        F: Fn(String, Presences) -> R + Send + Sync + 'static,
        R: Future<Output = Presences> + Send + 'static,
    {
        self.hooks.fetch = Some(Arc::new(move |topic, presences| Box::pin(fetch(topic, presences))));
        self
    }

    /// How long [`fetch`](Self::fetch) may take each time; 5 seconds by default. What takes longer is dropped, and clients, lists and the
    /// observer get the presences as they were tracked. The metric `bennu_presence_late_fetches_total` counts it, and a warning is logged: the first time,
    /// and then each time that the number has doubled.
    ///
    /// One that blocks its thread is not interrupted. The runtimes in which lists are awaited need their time enabled.
    #[must_use]
    pub fn fetch_timeout(mut self, fetch_timeout: Duration) -> Self {
        self.hooks.fetch_timeout = fetch_timeout;
        self
    }

    /// Hears of every change, after its diff was broadcast, and with the same grouping. The changes of a topic come in order; so do those of several, unless
    /// they wait for [`fetch`](Self::fetch). A panic in it is logged, and the next change comes as ever.
    #[must_use]
    #[doc(alias = "handle_metas")]
    pub fn observer(mut self, observer: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        self.hooks.observer = Some(Arc::new(observer));
        self
    }

    /// How long changes of a busy topic are gathered into one diff; 100 ms by default, zero for never.
    ///
    /// The first 16 diffs of a topic go out at once, and then one for each window. A topic gets one of the 16 back for each window in which it
    /// was quiet. Somebody who comes and leaves within a window may not be told at all.
    #[must_use]
    pub fn diff_window(mut self, diff_window: Duration) -> Self {
        self.diff_window = diff_window;
        self
    }

    /// What clients of a topic are told; everything by default. It must say the same of the same topic each time, and not use the presence, whose
    /// lock is held while it runs. Where it panics, an error is logged and the topic is told in full.
    ///
    /// ```
    /// # use bennu_presence::{Crowd, Presence};
    /// # let pubsub = bennu_pubsub::PubSub::local();
    /// let presence = Presence::builder(pubsub)
    ///     .crowd(|topic| match topic.split_once(':') {
    ///         Some(("stream", _)) => Crowd::Count,
    ///         Some(("hall", _)) => Crowd::First(20),
    ///         _ => Crowd::Full,
    ///     })
    ///     .build();
    /// ```
    #[must_use]
    pub fn crowd(mut self, crowd: impl Fn(&str) -> Crowd + Send + Sync + 'static) -> Self {
        self.crowd = crowd::guarded(crowd);
        self
    }

    /// How much can be tracked.
    #[must_use]
    pub fn limits(mut self, limits: PresenceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What this presence is called between nodes; `presence` by default. Two on one PubSub need two names, and all nodes the same ones.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Among how many locks and tasks topics are divided; 1 by default, and at least. All nodes need the same.
    #[must_use]
    #[doc(alias = "shards")]
    pub fn pool_size(mut self, pool_size: usize) -> Self {
        self.pool_size = pool_size.max(1);
        self
    }

    /// How presences come to other nodes, and how long those are waited for. It changes nothing on a PubSub without a cluster.
    ///
    /// # Errors
    ///
    /// [`ReplicaOptionsError`] for periods that cannot work.
    pub fn replication(self, replica: ReplicaOptions) -> Result<Self, ReplicaOptionsError> {
        replica.check()?;
        Ok(PresenceBuilder { replica, ..self })
    }

    /// Builds it. On a PubSub of a cluster it holds what is on all nodes, and speaks with them until the last clone is dropped.
    ///
    /// Diffs that have to wait do so in the tokio runtime in which this is called, whose time must be enabled; without one, in that of whoever
    /// tracks, or not at all.
    ///
    /// # Panics
    ///
    /// With `fetch`, an observer or a cluster, outside of a tokio runtime: they need tasks of their own.
    #[must_use]
    pub fn build(self) -> Presence {
        let voice = || Voice {
            pubsub: self.pubsub.clone(),
            window: self.diff_window,
            crowd: self.crowd.clone(),
            is_observed: self.hooks.observer.is_some(),
            runtime: Handle::try_current().ok(),
        };
        let shards = (0..self.pool_size).map(|shard| {
            let replica = Replica::of_shard(&self.pubsub, &self.name, shard, &self.replica);
            Shard::start(voice(), self.hooks.clone(), replica)
        });
        Presence(Arc::new(Inner {
            shards: shards.collect(),
            pubsub: self.pubsub.clone(),
            hooks: self.hooks,
            crowd: self.crowd,
            limits: self.limits,
            references: References::new(),
            next_owner: AtomicU64::new(0),
        }))
    }
}

impl fmt::Debug for PresenceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceBuilder").field("fetch", &self.hooks.fetch.is_some()).finish_non_exhaustive()
    }
}
