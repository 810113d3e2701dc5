//! What a client session tells.

use std::time::Duration;

use super::{ChannelId, ChannelStatus, PushId, SocketStatus};
use crate::error::EncodeError;
use crate::message::{Status, Text};
use crate::payload::Payload;
use crate::topic::Topic;

/// What the caller must act on, or may want to know.
///
/// [`Connect`](Self::Connect), [`Close`](Self::Close) and [`JoinDue`](Self::JoinDue) ask for something; all others tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Drop what is left of an earlier transport and open a new one, with params and token as they are now; answer with `handle_open`, or
    /// with `handle_close` when that fails.
    Connect {
        /// Which reconnect this is since the socket was last open; 0 when `connect` asked for it.
        attempt: u32,
    },
    /// Transmit what is left, close the transport with this code and reason, and tell of its end with `handle_close`. A transport that
    /// does not end within [`CLOSE_PATIENCE`](super::CLOSE_PATIENCE) is given up: then drop it.
    Close {
        /// The code for the close frame.
        code: u16,
        /// The reason for the close frame.
        reason: String,
    },
    /// A channel is about to be joined: answer with `send_join` and its params as they are now.
    JoinDue {
        /// The channel.
        channel: ChannelId,
        /// Its topic.
        topic: Topic,
    },
    /// The socket is open.
    #[doc(alias = "onOpen")]
    Opened,
    /// The connection has ended, or could not be made.
    #[doc(alias = "onClose")]
    Closed(ConnectionEnd),
    /// The transport reported an error; its close follows.
    #[doc(alias = "onError")]
    ConnectionError {
        /// What the transport says.
        reason: String,
        /// How many connections of this session had opened by then.
        opened_before: u32,
    },
    /// The status of the socket has changed.
    SocketStatus {
        /// What it was.
        old: SocketStatus,
        /// What it is.
        new: SocketStatus,
    },
    /// A heartbeat was sent, answered or missed.
    Heartbeat(Heartbeat),
    /// The server answered no join and said nothing but heartbeats for this long: the connection is closed with 1000, `joins unanswered`, and made anew.
    JoinsUnanswered(Duration),
    /// The status of a channel has changed. What happened was told just before.
    ChannelStatus {
        /// The channel.
        channel: ChannelId,
        /// What it was; `Closed` of a new one.
        old: ChannelStatus,
        /// What it is.
        new: ChannelStatus,
    },
    /// The server let the channel in.
    Joined {
        /// The channel.
        channel: ChannelId,
        /// Which of its attempts that was; the first is 1.
        attempt: u32,
        /// What the server replied.
        response: Payload,
        /// How long that took from when the join was due.
        took: Duration,
    },
    /// An attempt to join failed; the next one comes by itself.
    JoinFailed {
        /// The channel.
        channel: ChannelId,
        /// Which of its attempts that was; the first is 1.
        attempt: u32,
        /// Why.
        failure: JoinFailure,
    },
    /// A channel that was joined or joining failed; it is joined again by itself.
    ChannelErrored {
        /// The channel.
        channel: ChannelId,
        /// Which of its attempts had it joined, or was under way; the first is 1.
        attempt: u32,
        /// Why.
        fault: ChannelFault,
    },
    /// A channel has ended for good.
    ChannelClosed {
        /// The channel.
        channel: ChannelId,
        /// Why.
        reason: ChannelEnd,
    },
    /// The server sent a message on a channel.
    Message {
        /// The channel.
        channel: ChannelId,
        /// The event.
        event: Text,
        /// What it carries.
        payload: Payload,
    },
    /// The server has let go of a channel that was left.
    LeaveAnswered {
        /// Its topic.
        topic: Topic,
        /// How long that took from when it was left.
        took: Duration,
    },
    /// A push has ended; each one does, exactly once.
    PushEnded {
        /// The push.
        push: PushId,
        /// How.
        outcome: PushOutcome,
        /// How long it took from when it was asked for.
        took: Duration,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionEnd {
    /// The code of the server's close frame; 1005 if it had none, 1006 if there was no close frame.
    pub code: u16,
    /// The reason of the server's close frame.
    pub reason: String,
    /// Whether both sides closed as they should.
    pub was_clean: bool,
    /// How long the server asks to be left alone (`Retry-After`), if it does: no reconnect comes earlier.
    pub retry_after: Option<Duration>,
}

impl ConnectionEnd {
    /// The transport broke without a close frame, or could not be opened: 1006.
    #[must_use]
    pub fn lost() -> Self {
        ConnectionEnd { code: 1006, reason: String::new(), was_clean: false, retry_after: None }
    }

    /// The closing handshake was completed with this code and reason.
    #[must_use]
    pub fn clean(code: u16, reason: impl Into<String>) -> Self {
        ConnectionEnd { code, reason: reason.into(), was_clean: true, retry_after: None }
    }
}

/// A sign of life that the session asks for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heartbeat {
    /// One is on its way.
    Sent,
    /// Its reply came, so long after it was sent.
    Answered(Duration),
    /// No reply came in time: the connection is closed with 1000, `heartbeat timeout`, and made anew.
    TimedOut,
}

/// Why an attempt to join failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinFailure {
    /// The server refused.
    Refused {
        /// With this status, mostly `error`.
        status: Status,
        /// And this reason.
        response: Payload,
    },
    /// No answer came in time, or there was no connection.
    TimedOut,
    /// What it was sent on failed before an answer came.
    Interrupted(ChannelFault),
    /// The caller had no params for it, for this reason.
    NoParams(String),
}

/// Why a channel that was wanted is not joined any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelFault {
    /// The server's channel ended with `phx_error`.
    Crashed(Payload),
    /// The connection has ended.
    ConnectionClosed,
    /// The transport reported an error.
    ConnectionError,
    /// A heartbeat was not answered in time.
    HeartbeatTimeout,
    /// No join was answered in time.
    JoinsUnanswered,
    /// `rejoin` was asked for.
    Rejoined,
}

/// Why a channel has ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelEnd {
    /// It was left.
    Left,
    /// `join_replacing` put another one in its place.
    Replaced,
    /// The server ended it with `phx_close`.
    ByServer(Payload),
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushOutcome {
    /// The server replied.
    Reply {
        /// Whether it succeeded.
        status: Status,
        /// What the server says to it.
        response: Payload,
    },
    /// The transport has taken it, and it waits for no reply.
    Sent,
    /// No reply came in time. One that comes later is passed over.
    TimedOut {
        /// Whether the transport had taken it; if not, the server has never seen it. Only a leave is sent even then.
        was_sent: bool,
    },
    /// The transport had taken it, and its connection or channel ended before a reply came: the server may have seen it.
    Unconfirmed,
    /// Never sent: a newer push took its room in the buffer, or the buffer was emptied.
    Dropped,
    /// Never sent: its channel was closed, or, for a ping or a leave, its connection.
    Closed,
    /// Never sent: the version of the protocol has changed to one that cannot carry it.
    Unsendable(EncodeError),
}
