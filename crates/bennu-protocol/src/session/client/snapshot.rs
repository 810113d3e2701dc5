//! A session at one moment, for those who look at it.

use super::ClientSession;
use super::channels::{Channel, ChannelId};
use super::pushes::{Pending, PushId};
use super::status::{ChannelSnapshot, PushSnapshot, SocketSnapshot};
use super::timers::Timer;
use crate::refs::Ref;

impl ClientSession {
    /// Where everything stands.
    #[doc(alias = "get_state")]
    #[must_use]
    pub fn snapshot(&self) -> SocketSnapshot {
        let of_channels = self.channels.iter().map(|(id, channel)| self.snapshot_of(id, channel));
        let (buffered_pushes, buffered_bytes) = self.pushes.buffered();
        SocketSnapshot {
            status: self.status(),
            since: self.link_since,
            connect_started: self.connect_started,
            reconnects: self.tries,
            opened: self.opened,
            last_ref: self.last_ref,
            channels: of_channels.collect(),
            pushes: self.unowned_pushes(),
            buffered_pushes,
            buffered_bytes,
        }
    }

    /// Where one channel stands; none once it has ended.
    #[must_use]
    pub fn channel_snapshot(&self, channel: ChannelId) -> Option<ChannelSnapshot> {
        self.channels.get(channel).map(|found| self.snapshot_of(channel, found))
    }

    fn snapshot_of(&self, id: ChannelId, channel: &Channel) -> ChannelSnapshot {
        let ids = self.pushes.of(Some(id)).into_iter();
        let pushes = ids.filter_map(|push| Some(self.push_snapshot(push, self.pushes.get(push)?)));
        ChannelSnapshot {
            channel: id,
            topic: channel.topic.clone(),
            status: self.channel_status(id),
            params: channel.params.clone(),
            join_ref: channel.state.join_ref().map(Ref::from_number),
            join_started: channel.started,
            rejoins: channel.tries,
            pushes: pushes.collect(),
        }
    }

    /// Those of no channel that there still is.
    fn unowned_pushes(&self) -> Vec<PushSnapshot> {
        let is_owned = |pending: &Pending| pending.channel.is_some_and(|id| self.channels.get(id).is_some());
        let unowned = self.pushes.iter().filter(|(_, pending)| !is_owned(pending));
        unowned.map(|(id, pending)| self.push_snapshot(id, pending)).collect()
    }

    fn push_snapshot(&self, id: PushId, pending: &Pending) -> PushSnapshot {
        PushSnapshot {
            push: id,
            topic: pending.topic.clone(),
            event: pending.push.event().clone(),
            started: pending.started,
            was_sent: pending.was_sent,
            times_out_at: self.timers.at(Timer::Push(id)),
        }
    }
}
