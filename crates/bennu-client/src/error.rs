//! What can go wrong, an error for each thing that one can ask for, and how things end.

use std::fmt;

use bennu_protocol::client::{self, ChannelFault, JoinFailure};
use bennu_protocol::{EncodeError, Payload, Status};
use thiserror::Error;

use crate::channel::Channel;
use crate::registry::NameTaken;

/// Why no socket was started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The URL cannot be used.
    #[error("invalid URL: {0}")]
    Url(String),
    /// The version of the protocol is not known.
    #[error("the version {0:?} of the protocol is not known")]
    Version(String),
    /// A socket of this name lives already.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// There is no tokio runtime to run on.
    #[error("a socket starts within a tokio runtime")]
    NoRuntime,
}

/// Why a socket was not reconfigured; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The URL cannot be used.
    #[error("invalid URL: {0}")]
    Url(String),
    /// The version of the protocol is not known.
    #[error("the version {0:?} of the protocol is not known")]
    Version(String),
    /// The name is for life.
    #[error("the name of a socket cannot be changed")]
    Name,
    /// The socket has ended.
    #[error(transparent)]
    Ended(#[from] SocketEnded),
}

/// The socket has ended, and does nothing any more.
#[doc(alias = "no_socket_found")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the socket has ended: {0}")]
pub struct SocketEnded(pub SocketEnd);

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEnd {
    /// It was stopped.
    Stopped,
    /// The last handle was dropped.
    Dropped,
    /// Its task was aborted, or its runtime was shut down.
    Aborted,
    /// It panicked, which is an error of this library.
    Panicked,
}

impl fmt::Display for SocketEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocketEnd::Stopped => "stopped",
            SocketEnd::Dropped => "all handles were dropped",
            SocketEnd::Aborted => "its task was aborted",
            SocketEnd::Panicked => "its task panicked",
        })
    }
}

/// How a channel ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelEnd {
    /// It was left from this side.
    Left,
    /// Another channel was joined in its place.
    Replaced,
    /// The server ended it, with this payload.
    Closed(Payload),
    /// Its [type](crate::CustomChannel) panicked too often.
    Panicked,
    /// The socket has ended.
    SocketEnded(SocketEnd),
}

impl From<client::ChannelEnd> for ChannelEnd {
    fn from(end: client::ChannelEnd) -> Self {
        match end {
            client::ChannelEnd::Replaced => ChannelEnd::Replaced,
            client::ChannelEnd::ByServer(payload) => ChannelEnd::Closed(payload),
            _ => ChannelEnd::Left,
        }
    }
}

impl fmt::Display for ChannelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelEnd::Left => f.write_str("left"),
            ChannelEnd::Replaced => f.write_str("replaced by another join"),
            ChannelEnd::Closed(_) => f.write_str("closed by the server"),
            ChannelEnd::Panicked => f.write_str("its type panicked too often"),
            ChannelEnd::SocketEnded(end) => write!(f, "the socket has ended: {end}"),
        }
    }
}

/// Why a topic was not joined.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The topic is joined or joining, by this channel.
    #[doc(alias = "already_started")]
    #[error("the topic is joined already")]
    AlreadyJoined {
        /// The channel that has it.
        channel: Channel,
    },
    /// There is no connection, and none is being made.
    #[doc(alias = "socket_not_connected")]
    #[error("the socket is not connected")]
    NotConnected,
    /// No answer came in time.
    #[error("the join was not answered in time")]
    TimedOut,
    /// The server refused with the reason `unauthorized`.
    #[error("the server says that the join is unauthorized")]
    Unauthorized {
        /// All that it said.
        response: Payload,
    },
    /// The server refused.
    #[error("the server refused the join with {status:?}")]
    Refused {
        /// Its status, mostly `error`.
        status: Status,
        /// What it said.
        response: Payload,
    },
    /// The connection or the server's channel failed before an answer came.
    #[error("the join was interrupted: {0}")]
    Interrupted(String),
    /// The params could not be written, or not be had.
    #[error("the params are not to be had: {0}")]
    Params(String),
    /// The channel ended meanwhile.
    #[error("the channel ended: {0}")]
    Ended(ChannelEnd),
    /// The socket has ended.
    #[error(transparent)]
    SocketEnded(#[from] SocketEnded),
}

impl JoinError {
    pub(crate) fn new(failure: JoinFailure) -> Self {
        match failure {
            JoinFailure::Refused { status, response } => JoinError::refused(status, response),
            JoinFailure::NoParams(reason) => JoinError::Params(reason),
            JoinFailure::Interrupted(fault) => JoinError::Interrupted(
                match fault {
                    ChannelFault::Crashed(_) => "the server's channel crashed",
                    ChannelFault::ConnectionError => "the connection failed",
                    ChannelFault::HeartbeatTimeout => "a heartbeat was not answered",
                    ChannelFault::JoinsUnanswered => "the server answers no joins",
                    _ => "the connection was closed",
                }
                .to_owned(),
            ),
            _ => JoinError::TimedOut,
        }
    }

    pub(crate) fn refused(status: Status, response: Payload) -> Self {
        #[derive(serde::Deserialize)]
        struct Reason {
            reason: String,
        }
        match response.parse::<Reason>() {
            Ok(Reason { reason }) if reason == "unauthorized" => JoinError::Unauthorized { response },
            Ok(_) | Err(_) => JoinError::Refused { status, response },
        }
    }

    /// What the server said when it refused.
    #[must_use]
    pub fn response(&self) -> Option<&Payload> {
        match self {
            JoinError::Unauthorized { response } | JoinError::Refused { response, .. } => Some(response),
            _ => None,
        }
    }
}

/// Why a push has no reply that says `ok`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PushError {
    /// The server replied with another status than `ok`.
    #[error("the server replied with {status:?}")]
    Refused {
        /// Its status, mostly `error`.
        status: Status,
        /// What it said.
        response: Payload,
    },
    /// No reply came in time.
    #[error("the push was not answered in time")]
    TimedOut {
        /// Whether it was sent; if not, the server has never seen it.
        was_sent: bool,
    },
    /// It was sent, and its connection or channel ended before a reply came: the server may have seen it.
    #[error("the connection ended before the push was answered")]
    Unconfirmed,
    /// The channel is closed. It was never sent.
    #[error("the channel is closed")]
    ChannelClosed,
    /// No more may wait to be sent. It was never sent.
    #[error("the send buffer is full")]
    BufferFull,
    /// It was never sent: a newer push took its room in the buffer, or the buffer was emptied.
    #[error("the push was dropped from the send buffer")]
    Dropped,
    /// The event belongs to the protocol, as `phx_join` does.
    #[error("the event belongs to the protocol")]
    ReservedEvent,
    /// The payload cannot be written, or the version of the protocol cannot carry it.
    #[error("the push cannot be written")]
    Encode(#[from] EncodeError),
    /// There is no open connection, which a ping needs.
    #[error("the socket is not connected")]
    NotConnected,
    /// The socket has ended. It was never sent.
    #[error(transparent)]
    SocketEnded(#[from] SocketEnded),
}

impl From<client::PushError> for PushError {
    fn from(error: client::PushError) -> Self {
        match error {
            client::PushError::BufferFull => PushError::BufferFull,
            client::PushError::ReservedEvent => PushError::ReservedEvent,
            client::PushError::Encode(error) => PushError::Encode(error),
            _ => PushError::ChannelClosed,
        }
    }
}

/// Why there is no next message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// More came than may wait, and was not received in time. The next call goes on with what came then.
    #[error("{count} messages were missed")]
    Missed {
        /// How many messages there is a hole of.
        count: u64,
    },
    /// The channel has ended.
    #[error("the channel ended: {0}")]
    Ended(ChannelEnd),
}
