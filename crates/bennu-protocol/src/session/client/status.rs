//! Where a session, its channels and its pushes stand, as values that can be shown.

use std::time::Duration;

use super::{ChannelId, PushId};
use crate::event::Event;
use crate::payload::Payload;
use crate::refs::Ref;
use crate::topic::Topic;

/// Where the socket stands. Times are those of the session's caller.
#[doc(alias = "connectionState")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketStatus {
    /// There is no connection, and none is being made.
    #[doc(alias = "disconnected")]
    Closed,
    /// A connection is being made.
    Connecting {
        /// Which reconnect this is since the socket was last open; 0 when `connect` asked for it.
        attempt: u32,
    },
    /// Messages can travel.
    #[doc(alias = "connected")]
    Open,
    /// The transport was asked to close.
    Closing,
    /// The next connection will be made by itself.
    Reconnecting {
        /// Which reconnect that will be.
        attempt: u32,
        /// When.
        at: Duration,
    },
}

/// Where a channel stands. Times are those of the session's caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelStatus {
    /// It is about to be joined, or waits for the answer.
    Joining,
    /// It is joined.
    Joined,
    /// It is not joined, and will be by itself.
    Errored {
        /// When the next attempt is; none while there is no connection, as it then follows the next one at once.
        retry_at: Option<Duration>,
    },
    /// It is being left.
    Leaving,
    /// It does not exist any more, or not yet.
    #[doc(alias = "left")]
    Closed,
}

/// A session at one moment.
#[doc(alias = "get_state")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketSnapshot {
    /// Where the socket stands.
    pub status: SocketStatus,
    /// Since when.
    pub since: Duration,
    /// When the last connect began, if ever.
    pub connect_started: Option<Duration>,
    /// How many reconnects have been tried since the socket was last open.
    pub reconnects: u32,
    /// How many connections have opened.
    pub opened: u32,
    /// The ref that was given out last; 0 if none was.
    pub last_ref: u64,
    /// The channels, in the order of their joins.
    pub channels: Vec<ChannelSnapshot>,
    /// Pushes of no channel, or of one that was left; leaves and pings among them.
    #[doc(alias = "to_send_r")]
    pub pushes: Vec<PushSnapshot>,
    /// How many pushes wait to be sent.
    pub buffered_pushes: usize,
    /// Bytes of topics, events and payloads that wait to be sent.
    pub buffered_bytes: usize,
}

/// A channel at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelSnapshot {
    /// The channel.
    pub channel: ChannelId,
    /// Its topic.
    pub topic: Topic,
    /// Where it stands.
    pub status: ChannelStatus,
    /// What was sent with the last join, if one was sent.
    pub params: Option<Payload>,
    /// Ref of the join that is joined or joining.
    pub join_ref: Option<Ref>,
    /// When the last attempt to join began.
    pub join_started: Duration,
    /// How many attempts have failed since it was last joined or the socket opened.
    pub rejoins: u32,
    /// Its pushes, in the order in which they were asked for.
    pub pushes: Vec<PushSnapshot>,
}

/// A push that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushSnapshot {
    /// The push.
    pub push: PushId,
    /// Its topic.
    pub topic: Topic,
    /// Its event.
    pub event: Event,
    /// When it was asked for.
    pub started: Duration,
    /// Whether the transport has taken it.
    pub was_sent: bool,
    /// When it ends by itself.
    pub times_out_at: Option<Duration>,
}
