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

mod changes;
mod clock;
mod machine;
mod message;
mod network;
mod options;
mod origin;
mod pages;
mod peers;
mod ranges;
mod sequence;
mod table;
mod wire;

use std::fmt;
use std::sync::Arc;

pub use clock::Clock;
pub use machine::{AlreadyJoined, Machine, NotJoined};
pub use message::{
    Answer, Basis, Heartbeat, Message, Presence, Resume, Section, TransferAck, TransferRequest,
};
pub use options::{ReplicaOptions, ReplicaOptionsError};
pub use ranges::Ranges;
pub use table::{Key, Topic};
pub use wire::WireError;

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

/// Whether a node is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is, and its presences are listed.
    Up,
    /// It was silent for the down period. Its presences are kept, hidden, in case it comes back.
    Down,
}

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
