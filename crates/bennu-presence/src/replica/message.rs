//! What nodes tell each other.

use std::fmt;
use std::sync::Arc;

use super::{Clock, EncodedMeta, Ranges, ReplicaRef};

/// What one node's shard tells that of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A node is there, and what is new.
    Heartbeat(Heartbeat),
    /// A node knows less than another, and asks it.
    TransferRequest(TransferRequest),
    /// What the other knows more, or a part of it.
    TransferAck(TransferAck),
    /// A node stops in good order, and what it has leaves.
    #[doc(alias = "graceful permdown")]
    Farewell {
        /// The node.
        from: ReplicaRef,
    },
}

/// A node is there, and what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who speaks.
    pub from: ReplicaRef,
    /// What it knows of all that are up, itself included.
    pub clock: Clock,
    /// What it did since the last time, if anything.
    pub section: Option<Section>,
    /// Whether an answer is awaited.
    pub answer: Answer,
}

/// Whether who hears a heartbeat should send one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The sender needs to know at once who is there: it just started, or was stopped for a while.
    Wanted,
    /// Only the usual.
    Unneeded,
}

/// A node knows less than another, and asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// Who asks.
    pub from: ReplicaRef,
    /// Comes back with the answer.
    pub id: u64,
    /// What it knows. It is told of these replicas alone.
    pub clock: Clock,
    /// Where an answer in parts goes on.
    pub resume: Option<Resume>,
}

/// What the other knows more, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferAck {
    /// Who answers.
    pub from: ReplicaRef,
    /// Of the request.
    pub id: u64,
    /// At most one for each replica.
    pub sections: Vec<Section>,
    /// What to ask for next; nothing after the last part.
    pub resume: Option<Resume>,
}

/// Where an answer in parts goes on. Who answers remembers nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// With this replica.
    pub replica: ReplicaRef,
    /// In the middle of its whole state: after the first clock, up to the second, which is where it ended when the first part was made.
    pub within: Option<(u64, u64)>,
}

/// What one replica did: all its clocks from `after` (not included) to `upto` (included).
///
/// What it says holds for ever, and of each clock alone: a clock in here that has no presence, now or in what is kept, has left or never was
/// a presence. So sections may be applied in any order, and as often as they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Whose clocks these are.
    pub replica: ReplicaRef,
    /// What is told ends before its first clock.
    pub after: u64,
    /// The last clock that is told.
    pub upto: u64,
    /// What is told of earlier clocks.
    pub basis: Basis,
    /// The presences of these clocks, in their order, without those that are kept.
    pub presences: Vec<Presence>,
}

/// What a section tells of those whom the receiver may know already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// These, from before, have left.
    Delta {
        /// Their clocks.
        gone: Ranges,
    },
    /// Of those that the receiver knew when it asked, these stay. The rest of its presences between `after` and `upto` have left.
    State {
        /// Their clocks.
        kept: Ranges,
    },
}

/// One presence, without its replica.
#[derive(Clone, PartialEq, Eq)]
pub struct Presence {
    /// The number that its replica gave it.
    pub clock: u64,
    /// Where it is.
    pub topic: Arc<str>,
    /// Who it is.
    pub key: Arc<str>,
    /// What is known of it.
    pub meta: EncodedMeta,
}

impl Message {
    /// Who sent it.
    #[must_use]
    pub fn from(&self) -> &ReplicaRef {
        match self {
            Message::Heartbeat(heartbeat) => &heartbeat.from,
            Message::TransferRequest(request) => &request.from,
            Message::TransferAck(ack) => &ack.from,
            Message::Farewell { from } => from,
        }
    }
}

impl Message {
    /// What it tells of replicas, whatever kind it is.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        match self {
            Message::Heartbeat(heartbeat) => heartbeat.section.as_slice(),
            Message::TransferAck(ack) => &ack.sections,
            Message::TransferRequest(_) | Message::Farewell { .. } => &[],
        }
    }
}

impl Presence {
    /// About how many bytes it takes in a message.
    pub(super) fn size(&self) -> usize {
        self.topic.len() + self.key.len() + self.meta.as_str().len() + 8
    }
}

/// Keys may be names of people.
impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("clock", &self.clock).finish_non_exhaustive()
    }
}
