//! What owners of this node do, and what can be read.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::changes::Changes;
use super::network::Network;
use super::origin::Origin;
use super::table::{Table, Topic};
use super::{EncodedMeta, Message, OwnerId, ReplicaOptions, ReplicaRef, Status, Target, TopicDiff};

/// Room for changes that is kept while there are none.
const USUAL_CHANGES: usize = 64;

/// What one node knows of one shard.
pub struct Machine {
    pub(super) table: Table,
    /// What this node did.
    pub(super) own: Origin,
    /// `None` without other nodes: then nothing is kept for them.
    pub(super) network: Option<Network>,
    pub(super) changes: VecDeque<TopicDiff>,
}

/// The owner tracks the key on the topic already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the owner tracks the key on the topic already")]
pub struct AlreadyJoined;

/// The owner does not track the key on the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the owner does not track the key on the topic")]
pub struct NotJoined;

impl Machine {
    /// One of several nodes. It speaks for the first time at `first_tick`; nodes that start together should not all choose the same.
    #[must_use]
    pub fn new(me: ReplicaRef, options: ReplicaOptions, first_tick: Duration) -> Self {
        Machine { network: Some(Network::new(me, options, first_tick)), ..Machine::alone() }
    }

    /// The only node. It has no messages and no timeouts, and costs nothing for others.
    #[must_use]
    pub fn alone() -> Self {
        Machine { table: Table::default(), own: Origin::default(), network: None, changes: VecDeque::new() }
    }

    /// An owner of this node tracks a key on a topic.
    ///
    /// # Errors
    ///
    /// [`AlreadyJoined`], if it does so already.
    pub fn join(
        &mut self,
        owner: OwnerId,
        topic: &str,
        key: &str,
        meta: EncodedMeta,
    ) -> Result<(), AlreadyJoined> {
        if self.table.owned(owner, topic, key).is_some() {
            return Err(AlreadyJoined);
        }
        let mut changes = Changes::default();
        self.add(owner, topic, key, meta, &mut changes);
        changes.into_queue(&mut self.changes);
        Ok(())
    }

    /// An owner of this node replaces what it said about a key.
    ///
    /// # Errors
    ///
    /// [`NotJoined`], if it does not track the key.
    pub fn update(
        &mut self,
        owner: OwnerId,
        topic: &str,
        key: &str,
        meta: EncodedMeta,
    ) -> Result<(), NotJoined> {
        let old = self.table.owned(owner, topic, key).ok_or(NotJoined)?;
        let mut changes = Changes::default();
        // The old one goes first out of the index, where an owner has a key once, and last out of sight.
        self.table.disown(old);
        self.add(owner, topic, key, meta, &mut changes);
        self.drop_own(old, &mut changes);
        changes.into_queue(&mut self.changes);
        Ok(())
    }

    /// What an owner of this node says about a key.
    #[must_use]
    pub fn meta(&self, owner: OwnerId, topic: &str, key: &str) -> Option<&EncodedMeta> {
        let (_, _, meta) = self.table.describe(self.table.owned(owner, topic, key)?);
        Some(meta)
    }

    /// An owner of this node tracks a key no more. Says whether it did.
    pub fn leave(&mut self, owner: OwnerId, topic: &str, key: &str) -> bool {
        let Some(entry) = self.table.owned(owner, topic, key) else { return false };
        let mut changes = Changes::default();
        self.table.disown(entry);
        self.drop_own(entry, &mut changes);
        changes.into_queue(&mut self.changes);
        true
    }

    /// An owner of this node is gone, and all that it tracked.
    pub fn leave_owner(&mut self, owner: OwnerId) {
        let mut changes = Changes::default();
        while let Some(entry) = self.table.last_owned(owner) {
            self.table.disown(entry);
            self.drop_own(entry, &mut changes);
        }
        changes.into_queue(&mut self.changes);
    }

    /// What changed next, in the order in which it did: on this node at once, on others as it becomes known.
    pub fn poll_change(&mut self) -> Option<TopicDiff> {
        let next = self.changes.pop_front();
        if next.is_none() && self.changes.capacity() > USUAL_CHANGES {
            self.changes = VecDeque::new();
        }
        next
    }

    /// Who is on a topic; `None` if nobody is. Replicas that are down are left out.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<Topic<'_>> {
        self.table.topic(topic)
    }

    /// How many topics are held, at no cost; topics where only replicas that are down have someone count too.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.table.topics()
    }

    /// The next message to send, until there is none.
    pub fn poll_message(&mut self) -> Option<(Target, Message)> {
        self.network.as_mut()?.outgoing.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` without other nodes, and after a farewell.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.network.as_ref().filter(|network| !network.has_left).map(Network::timeout)
    }

    /// Whether another node is amid telling something that does not fit into one message. What has come of it is in here.
    #[must_use]
    pub fn awaits_parts(&self) -> bool {
        self.network.as_ref().is_some_and(Network::awaits_parts)
    }

    /// The other nodes that are known, and whether they are up.
    pub fn replicas(&self) -> impl Iterator<Item = (&ReplicaRef, Status)> {
        self.network.iter().flat_map(Network::replicas)
    }

    fn add(&mut self, owner: OwnerId, topic: &str, key: &str, meta: EncodedMeta, changes: &mut Changes) {
        let clock = self.own.bump();
        let entry = self.table.insert(topic, key, meta, clock);
        self.table.own(entry, owner);
        self.own.insert(clock, entry);
        changes.join(&mut self.table, entry);
    }

    /// Ends an entry that has no owner any more.
    fn drop_own(&mut self, entry: u32, changes: &mut Changes) {
        let clock = self.table.clock(entry);
        changes.leave(&mut self.table, entry);
        self.table.remove(entry);
        self.own.remove(clock);
        self.own.bump();
        if let Some(network) = &mut self.network {
            network.forget_own(clock);
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replicas: Vec<_> = self.replicas().collect();
        f.debug_struct("Machine")
            .field("topics", &self.topics())
            .field("clock", &self.own.clock)
            .field("replicas", &replicas)
            .finish_non_exhaustive()
    }
}
