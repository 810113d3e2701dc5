//! What is told.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bennu_protocol::{Event, Payload, Topic};

/// Names one socket among all that this process has ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// An id that no socket of this process has.
    ///
    /// Sockets make their own; this is for programs that emit events of other things that are like sockets.
    #[must_use]
    pub fn generate() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        SocketId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {}", self.0)
    }
}

/// What an event is about, which is what handlers are attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Group {
    /// The life of sockets: `[:phoenix_socket_client, :socket]`.
    Socket,
    /// The life of channels: `[:phoenix_socket_client, :channel]`.
    Channel,
    /// Messages on channels: `[:phoenix_socket_client, :message]`.
    Message,
    /// Changes of status, of sockets and channels alike: `[:phoenix_socket_client, :state]`.
    State,
}

impl Group {
    /// All groups.
    pub const ALL: [Group; 4] = [Group::Socket, Group::Channel, Group::Message, Group::State];

    /// The group as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Socket => "socket",
            Group::Channel => "channel",
            Group::Message => "message",
            Group::State => "state",
        }
    }
}

/// One thing that has happened. Debug output shows no payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TelemetryEvent {
    /// To a socket.
    Socket(SocketTelemetry),
    /// To a channel.
    Channel(ChannelTelemetry),
    /// To a message.
    Message(MessageTelemetry),
    /// To the status of a socket or channel.
    State(StateTelemetry),
}

impl TelemetryEvent {
    /// What it is about.
    #[must_use]
    pub fn group(&self) -> Group {
        match self {
            TelemetryEvent::Socket(_) => Group::Socket,
            TelemetryEvent::Channel(_) => Group::Channel,
            TelemetryEvent::Message(_) => Group::Message,
            TelemetryEvent::State(_) => Group::State,
        }
    }

    /// What has happened, as text: `connected`, `joined`, `sent`; of a state, its type: `socket` or `channel`.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            TelemetryEvent::Socket(socket) => socket.action.as_str(),
            TelemetryEvent::Channel(channel) => channel.action.as_str(),
            TelemetryEvent::Message(message) => message.action.as_str(),
            TelemetryEvent::State(state) => state.of.as_str(),
        }
    }

    /// The socket that it happened on.
    #[doc(alias = "pid")]
    #[must_use]
    pub fn socket(&self) -> SocketId {
        match self {
            TelemetryEvent::Socket(socket) => socket.socket,
            TelemetryEvent::Channel(channel) => channel.socket,
            TelemetryEvent::Message(message) => message.socket,
            TelemetryEvent::State(state) => state.socket,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        match self {
            TelemetryEvent::Socket(socket) => socket.timestamp,
            TelemetryEvent::Channel(channel) => channel.timestamp,
            TelemetryEvent::Message(message) => message.timestamp,
            TelemetryEvent::State(state) => state.timestamp,
        }
    }
}

/// What happened to a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketTelemetry {
    /// The socket.
    pub socket: SocketId,
    /// Its URL, without the query and the user, which hold secrets.
    pub url: String,
    /// When.
    pub timestamp: SystemTime,
    /// What.
    pub action: SocketAction,
}

/// What can happen to a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketAction {
    /// `connecting`: a connection is being made.
    Connecting,
    /// `connected`: it is open.
    Connected,
    /// `disconnected`: it has ended.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// `connection_error`: it failed, or could not be made.
    ConnectionError {
        /// Why, for people.
        error: String,
    },
    /// `connection_duration`: how long it took to connect.
    ConnectionDuration {
        /// From `connecting` to `connected`.
        duration: Duration,
    },
    /// `reconnecting`: the next connection will be made by itself.
    Reconnecting {
        /// Which reconnect that is since the socket was last open, from 1.
        attempt: u32,
    },
    /// `heartbeat`: one was sent.
    Heartbeat,
    /// `status_changed`.
    StatusChanged {
        /// What the status was.
        old: &'static str,
        /// What it is.
        new: &'static str,
    },
}

impl SocketAction {
    /// The action's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            SocketAction::Connecting => "connecting",
            SocketAction::Connected => "connected",
            SocketAction::Disconnected { .. } => "disconnected",
            SocketAction::ConnectionError { .. } => "connection_error",
            SocketAction::ConnectionDuration { .. } => "connection_duration",
            SocketAction::Reconnecting { .. } => "reconnecting",
            SocketAction::Heartbeat => "heartbeat",
            SocketAction::StatusChanged { .. } => "status_changed",
        }
    }
}

/// What happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelTelemetry {
    /// The channel's socket.
    pub socket: SocketId,
    /// The channel's topic.
    pub topic: Topic,
    /// When.
    pub timestamp: SystemTime,
    /// What.
    pub action: ChannelAction,
}

/// What can happen to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelAction {
    /// `joined`: the server let it in.
    Joined {
        /// What the server replied.
        response: Payload,
    },
    /// `join_error`: an attempt to join failed.
    JoinError {
        /// Why, for people; a server's reasons are not in it.
        error: String,
    },
    /// `join_duration`: how long joining took.
    JoinDuration {
        /// From when the join was asked for to its reply.
        duration: Duration,
    },
    /// `left`: it has ended for good.
    Left {
        /// Why, as [`ChannelEnd`](crate::ChannelEnd) is shown: `left`, `replaced by another join`, `closed by the server`,
        /// `its type panicked too often`, or `the socket has ended: ` with how.
        reason: String,
    },
    /// `leave_duration`: how long leaving took.
    LeaveDuration {
        /// From when the leave was asked for to the server's answer.
        duration: Duration,
    },
    /// `status_changed`.
    StatusChanged {
        /// What the status was.
        old: &'static str,
        /// What it is.
        new: &'static str,
    },
}

impl ChannelAction {
    /// The action's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            ChannelAction::Joined { .. } => "joined",
            ChannelAction::JoinError { .. } => "join_error",
            ChannelAction::JoinDuration { .. } => "join_duration",
            ChannelAction::Left { .. } => "left",
            ChannelAction::LeaveDuration { .. } => "leave_duration",
            ChannelAction::StatusChanged { .. } => "status_changed",
        }
    }
}

/// What happened to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageTelemetry {
    /// The socket.
    pub socket: SocketId,
    /// The topic.
    pub topic: Topic,
    /// The event.
    pub event: Event,
    /// The payload.
    pub payload: Payload,
    /// When.
    pub timestamp: SystemTime,
    /// What.
    pub action: MessageAction,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageAction {
    /// `sent`: it was handed to the socket.
    Sent,
    /// `received`: it came from the server.
    Received,
}

impl MessageAction {
    /// The action's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MessageAction::Sent => "sent",
            MessageAction::Received => "received",
        }
    }
}

/// A change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateTelemetry {
    /// The socket.
    pub socket: SocketId,
    /// Of what, which the seed calls type and id.
    pub of: StateOf,
    /// What the status was.
    #[doc(alias = "old_status")]
    pub old: &'static str,
    /// What it is.
    #[doc(alias = "new_status")]
    pub new: &'static str,
    /// When.
    pub timestamp: SystemTime,
}

/// What has a status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateOf {
    /// The socket itself.
    Socket,
    /// Its channel on this topic.
    Channel(Topic),
}

impl StateOf {
    /// The type's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            StateOf::Socket => "socket",
            StateOf::Channel(_) => "channel",
        }
    }
}
