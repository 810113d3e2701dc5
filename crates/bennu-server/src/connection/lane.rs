//! Broadcasts of one channel that wait for its client and may be dropped.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bennu_protocol::{Broadcast, ChannelId, Frame};
use bennu_pubsub::Delivery;

use crate::slow_reader::SlowReader;

/// The waiting broadcasts of a channel with a policy. There is none while none waits, unless the channel is lost.
///
/// What it holds is always a part of what was broadcast, in that order.
pub(super) struct Lane {
    pub(super) channel: ChannelId,
    /// Index of the channel's route in the mount.
    pub(super) route: u16,
    policy: Arc<SlowReader>,
    waiting: VecDeque<Queued>,
    bytes: usize,
    /// Whether a newer value makes the older one go, until the client has caught up.
    merges: bool,
    /// Whether the client has missed something that it has to be told of.
    lost: bool,
    dropped: Dropped,
    has_reported: bool,
}

/// A broadcast that waits.
pub(super) struct Queued {
    /// Its place among all that waits for the client.
    pub(super) place: u64,
    pub(super) frame: Frame,
    pub(super) delivery: Delivery,
    /// Whether the client would be wrong for ever without it, or its history have a hole.
    pub(super) is_vital: bool,
    /// The value that it carries; known while the lane merges.
    pub(super) key: Option<Box<str>>,
}

/// What a lane let go of, and what is new about that.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    /// The first of this client until it has caught up.
    pub(super) is_first: bool,
    /// The channel is lost by it.
    pub(super) ends: bool,
}

impl Lane {
    pub(super) fn new(channel: ChannelId, route: u16, policy: Arc<SlowReader>) -> Self {
        Lane {
            channel,
            route,
            policy,
            waiting: VecDeque::new(),
            bytes: 0,
            merges: false,
            lost: false,
            dropped: Dropped::default(),
            has_reported: false,
        }
    }

    /// Takes a broadcast in, and lets go of what is too much; false if the connection has to close for it.
    pub(super) fn push(&mut self, mut queued: Queued) -> bool {
        if self.lost {
            self.dropped.add(&queued.frame);
            return true;
        }
        if self.merges {
            queued.key = self.key(&queued);
            self.replace(queued.key.as_deref());
        }
        self.bytes += queued.frame.len();
        self.waiting.push_back(queued);
        if !self.is_exceeded() {
            return true;
        }
        if self.policy.disconnects() {
            return false;
        }
        self.merge();
        while self.is_exceeded() {
            if !self.drop_oldest() {
                self.lose();
            }
        }
        true
    }

    /// Drops the older values of each key; from now on as they come.
    pub(super) fn merge(&mut self) {
        if self.merges || !self.policy.keeps_latest() {
            return;
        }
        self.merges = true;
        let mut waiting = std::mem::take(&mut self.waiting);
        let keys: Vec<_> = waiting.iter().map(|queued| self.key(queued)).collect();
        let mut seen = HashSet::new();
        let mut is_latest: Vec<bool> =
            keys.iter().rev().map(|key| key.as_ref().is_none_or(|key| seen.insert(key))).collect();
        waiting.iter_mut().zip(keys.iter().cloned()).for_each(|(queued, key)| queued.key = key);
        // From the front, as the queue is walked.
        is_latest.reverse();
        let mut is_latest = is_latest.into_iter();
        waiting.retain(|queued| {
            let stays = is_latest.next().unwrap_or(true);
            if !stays {
                self.bytes -= queued.frame.len();
                self.dropped.add(&queued.frame);
            }
            stays
        });
        self.waiting = waiting;
    }

    /// Drops the broadcast that waits longest of those that the client need not hear of; false if there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let Some(index) = self.oldest_dispensable() else { return false };
        self.remove(index);
        true
    }

    /// The place of what [`drop_oldest`](Self::drop_oldest) would drop.
    pub(super) fn dispensable(&self) -> Option<u64> {
        self.oldest_dispensable().map(|index| self.waiting[index].place)
    }

    /// Drops everything: the client has to be told, and nothing may reach it before.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.dropped.ends = true;
        std::mem::take(&mut self.waiting).iter().for_each(|queued| self.dropped.add(&queued.frame));
        self.bytes = 0;
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let queued = self.waiting.pop_front()?;
        self.bytes -= queued.frame.len();
        Some(queued.frame)
    }

    /// What was dropped since this was last asked, if anything.
    pub(super) fn take_dropped(&mut self) -> Option<Dropped> {
        let mut dropped = std::mem::take(&mut self.dropped);
        if dropped == Dropped::default() {
            return None;
        }
        dropped.is_first = !std::mem::replace(&mut self.has_reported, true);
        Some(dropped)
    }

    /// The place of what leaves next.
    pub(super) fn front(&self) -> Option<u64> {
        self.waiting.front().map(|queued| queued.place)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the channel may end so that others have room.
    pub(super) fn can_be_lost(&self) -> bool {
        !self.waiting.is_empty() && !self.policy.disconnects()
    }

    /// Whether nothing is to be remembered of it.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && !self.lost
    }

    /// One message may be larger than the bound.
    fn is_exceeded(&self) -> bool {
        self.waiting.len() > 1 && self.policy.is_exceeded(self.bytes, self.waiting.len())
    }

    fn oldest_dispensable(&self) -> Option<usize> {
        let is_lossy = self.policy.is_lossy();
        self.waiting.iter().position(|queued| is_lossy && !queued.is_vital)
    }

    /// Drops the value of this key that waits, of which there is one at most.
    fn replace(&mut self, key: Option<&str>) {
        let Some(key) = key else { return };
        let older = self.waiting.iter().rposition(|queued| queued.key.as_deref() == Some(key));
        older.into_iter().for_each(|index| self.remove(index));
    }

    fn remove(&mut self, index: usize) {
        if let Some(queued) = self.waiting.remove(index) {
            self.bytes -= queued.frame.len();
            self.dropped.add(&queued.frame);
        }
    }

    fn key(&self, queued: &Queued) -> Option<Box<str>> {
        let broadcast = queued.delivery.get::<Broadcast>().filter(|_| !queued.is_vital)?;
        self.policy.key(broadcast)
    }
}

impl Dropped {
    fn add(&mut self, frame: &Frame) {
        self.frames += 1;
        self.bytes += frame.len();
    }
}
