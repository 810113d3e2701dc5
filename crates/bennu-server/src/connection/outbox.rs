//! What is to be sent to a client.

use std::cmp::Reverse;
use std::sync::Arc;

use bennu_protocol::{ChannelId, Frame};
use bennu_pubsub::Delivery;

use super::lane::{Dropped, Lane, Queued};
use crate::few::Few;
use crate::slow_reader::SlowReader;

/// Frames in the order in which they leave. Takes no memory while it is empty.
///
/// Broadcasts of channels with a policy for slow readers wait in lanes, from which they can be dropped; all else
/// waits in one queue. Each has its place in the order, so a lane that lets go of some moves nothing else.
#[derive(Default)]
pub(super) struct Outbox {
    frames: Few<(u64, Frame)>,
    lanes: Vec<Lane>,
    /// The place of the frame that comes next.
    next: u64,
    /// Bytes in `frames`.
    bytes: usize,
}

/// A broadcast of a channel that has a policy.
pub(super) struct Fastlaned<'a> {
    pub(super) channel: ChannelId,
    /// Index of the channel's route in the mount.
    pub(super) route: u16,
    pub(super) policy: &'a Arc<SlowReader>,
    pub(super) frame: Frame,
    pub(super) delivery: Delivery,
    /// Whether it is never dropped silently.
    pub(super) is_vital: bool,
}

/// What may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

/// Frames that left together.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    /// Of these, bytes that could have been dropped.
    pub(super) droppable: usize,
}

impl Outbox {
    /// Queues a frame that is never dropped.
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        let place = self.place();
        self.frames.push_back((place, frame));
    }

    /// Queues a broadcast, and drops what its channel's policy says; false if the connection has to close for it.
    pub(super) fn broadcast(&mut self, broadcast: Fastlaned<'_>) -> bool {
        let Fastlaned { channel, route, policy, frame, delivery, is_vital } = broadcast;
        let place = self.place();
        let lane = self.lane(channel, route, policy);
        lane.push(Queued { place, frame, delivery, is_vital, key: None })
    }

    /// A channel of this route has missed something of which the client has to be told.
    pub(super) fn lose(&mut self, channel: ChannelId, route: u16, policy: &Arc<SlowReader>) {
        self.lane(channel, route, policy).lose();
    }

    /// Drops what it must so that with `others`, bytes that wait elsewhere, no more waits than may; false if
    /// that is not enough.
    pub(super) fn make_room(&mut self, bounds: Bounds, others: usize) -> bool {
        let is_exceeded =
            |outbox: &Self| outbox.bytes() + others > bounds.bytes || outbox.len() > bounds.frames;
        if !is_exceeded(self) {
            return true;
        }
        self.lanes.iter_mut().for_each(Lane::merge);
        while is_exceeded(self) {
            let dispensable = self.lanes.iter_mut().filter_map(|lane| Some((lane.dispensable()?, lane)));
            if let Some((_, lane)) = dispensable.min_by_key(|(place, _)| *place) {
                lane.drop_oldest();
                continue;
            }
            let can_be_lost = self.lanes.iter_mut().filter(|lane| lane.can_be_lost());
            let Some(lane) = can_be_lost.max_by_key(|lane| (lane.bytes(), Reverse(lane.front()))) else {
                return false;
            };
            lane.lose();
        }
        true
    }

    /// Whether nothing waits, and no channel has missed anything.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.lanes.is_empty()
    }

    /// Gives out the next frames, `at_most` so many, until they have so many bytes.
    pub(super) fn take(&mut self, at_most: usize, bytes: usize, mut take: impl FnMut(Frame)) -> Taken {
        let mut taken = Taken::default();
        while taken.frames < at_most
            && taken.bytes < bytes
            && let Some(frame) = self.pop(&mut taken)
        {
            taken.frames += 1;
            taken.bytes += frame.len();
            take(frame);
        }
        self.forget_lanes(|lane| lane.is_over());
        taken
    }

    /// Drops everything, and tells how many frames that were.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.len();
        self.lanes = Vec::new();
        self.bytes = 0;
        self.frames = Few::default();
        count
    }

    /// Tells what was dropped since this was last called, each with its channel and the channel's route.
    pub(super) fn report(&mut self, mut tell: impl FnMut(ChannelId, u16, Dropped)) {
        for lane in &mut self.lanes {
            if let Some(dropped) = lane.take_dropped() {
                tell(lane.channel, lane.route, dropped);
            }
        }
    }

    /// The channels that have to end.
    pub(super) fn lost(&self) -> Vec<ChannelId> {
        self.lanes.iter().filter(|lane| lane.is_lost()).map(|lane| lane.channel).collect()
    }

    pub(super) fn has_lost(&self) -> bool {
        self.lanes.iter().any(Lane::is_lost)
    }

    /// A lost channel has ended.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.forget_lanes(|lane| lane.channel == channel && lane.is_lost());
    }

    pub(super) fn is_lost(&self, channel: ChannelId) -> bool {
        self.lanes.iter().any(|lane| lane.channel == channel && lane.is_lost())
    }

    /// Bytes that a policy may drop.
    pub(super) fn droppable(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    fn bytes(&self) -> usize {
        self.bytes + self.droppable()
    }

    fn len(&self) -> usize {
        self.frames.len() + self.lanes.iter().map(Lane::len).sum::<usize>()
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn lane(&mut self, channel: ChannelId, route: u16, policy: &Arc<SlowReader>) -> &mut Lane {
        let index = self.lanes.iter().position(|lane| lane.channel == channel).unwrap_or_else(|| {
            self.lanes.push(Lane::new(channel, route, policy.clone()));
            self.lanes.len() - 1
        });
        &mut self.lanes[index]
    }

    /// The frame with the first place of all.
    fn pop(&mut self, taken: &mut Taken) -> Option<Frame> {
        if self.lanes.is_empty() {
            let (_, frame) = self.frames.pop_front()?;
            self.bytes -= frame.len();
            return Some(frame);
        }
        let lanes = self.lanes.iter_mut().filter_map(|lane| Some((lane.front()?, lane)));
        let first_lane = lanes.min_by_key(|(place, _)| *place);
        let first = self.frames.front().map(|(place, _)| *place);
        if let Some((place, lane)) = first_lane
            && first.is_none_or(|first| place < first)
        {
            let frame = lane.pop()?;
            taken.droppable += frame.len();
            return Some(frame);
        }
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn forget_lanes(&mut self, is_over: impl Fn(&Lane) -> bool) {
        if self.lanes.is_empty() {
            return;
        }
        self.lanes.retain(|lane| !is_over(lane));
        if self.lanes.is_empty() {
            self.lanes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
