//! The replicated set of presences as a pure state machine: no sockets, no tasks, no clock of its own.
//!
//! A [`Machine`] holds what one node knows of one shard: its own presences and those of the other nodes ("replicas"). It is at the same time the
//! index that lists are read from, so everything is held once. Who drives it tells it what happened and when, and asks afterwards what there is
//! to tell:
//!
//! ```text
//! join, update, leave, leave_owner      an owner on this node changes what it tracks
//! receive, handle_gap                   something came from another node, or was lost on the way
//! handle_timeout                        the time that poll_timeout asked for has come
//!     poll_change                       what observers and clients have to hear, in order
//!     poll_message                      what other nodes have to hear
//!     poll_timeout                      when to call again
//! ```
//!
//! Times are what a monotonic clock has counted from any moment on, the same for all calls. Nothing in here fails or waits; messages
//! may be lost, repeated and reordered.

use std::fmt;
use std::sync::Arc;

/// One life of one node: a restarted node has the same name and a higher version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "vsn")]
pub struct ReplicaRef {
    /// The node, as the PubSub names it.
    pub name: Arc<str>,
    /// Microseconds of the wall clock at its start, so that of two lives the later is known by it.
    pub version: u64,
}

/// Whoever tracks something on this node; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u64);

/// A meta as the JSON object that clients get, `phx_ref` included. The machine only passes it on. Clones share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedMeta(Arc<str>);

/// What changed on a topic at one moment.
///
/// Joins come first: who applies them before the leaves, as clients do, never sees the key of an update vanish. A meta that leaves was always
/// reported as joined, and no meta is both joined and left in one diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDiff {
    /// The topic.
    pub topic: Arc<str>,
    /// Keys and the metas that they have from now on beside those which they had.
    pub joins: Vec<(Arc<str>, EncodedMeta)>,
    /// Keys and the metas that they have no more.
    pub leaves: Vec<(Arc<str>, EncodedMeta)>,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All other nodes.
    All,
    /// One node, by its name.
    Node(Arc<str>),
}

// The seam, which the following commits fill:
//
// impl Machine {
//     /// `first_tick`: when to speak for the first time (the shell picks a random moment in the first quarter of the period).
//     pub fn new(me: ReplicaRef, options: ReplicaOptions, first_tick: Duration) -> Machine;
//     /// One that has no peers and keeps nothing for any: poll_message and poll_timeout are always None.
//     pub fn alone(me: ReplicaRef) -> Machine;
//
//     pub fn join(&mut self, owner: OwnerId, topic: &str, key: &str, meta: EncodedMeta) -> Result<(), AlreadyJoined>;
//     pub fn update(&mut self, owner: OwnerId, topic: &str, key: &str, meta: EncodedMeta) -> Result<(), NotJoined>;
//     pub fn meta(&self, owner: OwnerId, topic: &str, key: &str) -> Option<&EncodedMeta>;       // what this owner tracks now
//     pub fn leave(&mut self, owner: OwnerId, topic: &str, key: &str) -> bool;                  // false: it was not there
//     pub fn leave_owner(&mut self, owner: OwnerId);             // everything of it; so an Owner need not remember what it tracks
//     pub fn poll_change(&mut self) -> Option<TopicDiff>;        // local and remote changes in one order
//
//     // Reading: without down replicas, O(1) to the count and to the first key, oldest first.
//     pub fn topic(&self, topic: &str) -> Option<Topic<'_>>;     // None: nobody is there
//     pub fn topics(&self) -> usize;
//
//     pub fn receive(&mut self, message: Message, now: Duration);
//     pub fn handle_gap(&mut self, node: &str, now: Duration);
//     pub fn handle_timeout(&mut self, now: Duration);
//     pub fn shut_down(&mut self);                               // flushes, and says farewell with permdown_on_shutdown
//     pub fn poll_timeout(&self) -> Option<Duration>;
//     pub fn poll_message(&mut self) -> Option<(Target, Message)>;
// }
// impl Topic<'_> {
//     pub fn count(&self) -> usize;                              // keys; O(1)
//     pub fn count_metas(&self) -> usize;                        // metas of all keys; O(1)
//     pub fn keys(&self) -> impl Iterator<Item = Key<'_>>;       // oldest first: take(n) is the first n
//     pub fn key(&self, key: &str) -> Option<Key<'_>>;           // O(1)
// }
// impl Key<'_> { pub fn name(&self) -> &Arc<str>; pub fn metas(&self) -> impl Iterator<Item = &EncodedMeta>; /* oldest first */ }
//
// Options: ReplicaOptions::default() with setters broadcast_period, max_silent_periods, down_period, permdown_period, clock_sample_periods,
// max_delta_sizes, permdown_on_shutdown; `check() -> Result<(), OptionsError>`. pool_size belongs to the shell.

impl EncodedMeta {
    /// Takes a JSON object as it is.
    #[must_use]
    pub fn new(json: impl Into<Arc<str>>) -> Self {
        EncodedMeta(json.into())
    }

    /// The JSON object.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Metas may hold what nobody should read in a log.
impl fmt::Debug for EncodedMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedMeta({} bytes)", self.0.len())
    }
}

impl fmt::Debug for ReplicaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}
