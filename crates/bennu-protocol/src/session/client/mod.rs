//! One connection after another: the client's side of a socket, as the official JavaScript client behaves.
//!
//! ```text
//!         connect             handle_open            disconnect, heartbeat timeout
//! Closed ─────────▶ Connecting ─────────▶ Open ─────────────────────────────▶ Closing
//!   ▲ ▲              ▲      │ handle_close │ handle_close                       │ handle_close,
//!   │ │   time is up │      ▼              ▼                                    │ or 1.5 s
//!   │ └────────────── Reconnecting ◀───────┴────────────────────────────────────┤
//!   └───────────────────────────────────────────────────────────────────────────┘
//!
//!       join            send_join, reply ok        phx_error, or the connection ends
//! (none) ────▶ Joining ────────────────────▶ Joined ────────────────────────────────▶ Errored
//!                │  ▲                                                                   ▲  │
//!                └──┼───────── reply error, no reply in time, the connection ends ──────┘  │
//!                   └───────────────── time is up, or the socket opens ────────────────────┘
//! ```
//!
//! `leave` and `phx_close` end a channel in any state, and for good. A push is held until its channel is joined, queued until the
//! transport takes it, and then waits for its reply; it ends once, and the session says how.
//!
//! The caller owns the transport, and at most one at a time. It hands in what happened, with the time since a start of its
//! choice, and after each call takes out what [`ClientSession::poll_event`] and [`ClientSession::poll_transmit`] have, until both are
//! empty; [`ClientSession::poll_timeout`] says when to come back at the latest. Frames are to be taken out no faster than the transport
//! takes them: what is not taken can still be sent on the next connection.
//!
//! ```
//! use std::time::Duration;
//!
//! use bennu_protocol::client::{ClientConfig, ClientEvent, ClientSession, Push};
//! use bennu_protocol::{Frame, Payload};
//!
//! let now = Duration::ZERO;
//! let mut session = ClientSession::new(ClientConfig::default());
//! session.connect(now);
//! let room = session.join("room:1", None, now).unwrap();
//! let hello = session.push(room, Push::new("hello", Payload::empty()), now).unwrap();
//! session.handle_open(now);
//! while let Some(event) = session.poll_event() {
//!     if let ClientEvent::JoinDue { channel, .. } = event {
//!         session.send_join(channel, Payload::empty(), now).unwrap();
//!     }
//! }
//! let join = session.poll_transmit().unwrap();
//! assert_eq!(join.payload(), r#"["2","2","room:1","phx_join",{}]"#);
//!
//! let reply = r#"["2","2","room:1","phx_reply",{"response":{},"status":"ok"}]"#;
//! session.handle_frame(Frame::text(reply), now).unwrap();
//! assert_eq!(session.poll_transmit().unwrap().payload(), r#"["2","1","room:1","hello",{}]"#);
//!
//! let reply = r#"["2","1","room:1","phx_reply",{"response":{},"status":"ok"}]"#;
//! session.handle_frame(Frame::text(reply), now).unwrap();
//! let ended = std::iter::from_fn(|| session.poll_event()).last().unwrap();
//! assert!(matches!(ended, ClientEvent::PushEnded { push, .. } if push == hello));
//! ```

mod backoff;
mod buffer;
mod channels;
mod config;
mod event;
mod link;
mod pushes;
mod snapshot;
mod status;
mod timers;
mod transport;

use std::collections::VecDeque;
use std::time::Duration;

pub use backoff::Backoff;
pub use channels::{ChannelId, JoinError, SendJoinError};
pub use config::{ClientConfig, ReconnectRule, SendBuffer};
pub use event::{ChannelEnd, ChannelFault, ClientEvent, ConnectionEnd, Heartbeat, JoinFailure, PushOutcome};
pub use link::CLOSE_PATIENCE;
pub use pushes::{Push, PushError, PushId};
pub use status::{ChannelSnapshot, ChannelStatus, PushSnapshot, SocketSnapshot, SocketStatus};
pub use transport::{Connection, ConnectionEvent, OpenError, OpenRequest, Opening, Transport};

use backoff::Random;
use buffer::{Outbox, Outgoing};
use channels::Channels;
use link::Link;
use pushes::Pushes;
use timers::{Timer, Timers};

use crate::error::DecodeError;
use crate::frame::Frame;
use crate::incoming::Incoming;
use crate::message::{Body, ServerMessage};
use crate::refs::Ref;
use crate::serializer::Serializer;
use crate::topic::Topic;

#[cfg(test)]
mod tests;

/// The client's side of a socket, through all its connections.
#[doc(alias = "Socket")]
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    /// That of the connection; a new configuration's holds from the next one on.
    serializer: Serializer,
    /// The latest time that was handed in.
    now: Duration,
    last_ref: u64,
    random: Random,
    link: Link,
    link_since: Duration,
    connect_started: Option<Duration>,
    /// Reconnects since the socket was last open.
    tries: u32,
    /// Connections that have opened.
    opened: u32,
    /// When the first join was sent of those since which nothing came but answers to heartbeats.
    unanswered_since: Option<Duration>,
    channels: Channels,
    pushes: Pushes,
    outbox: Outbox,
    timers: Timers,
    events: VecDeque<ClientEvent>,
}

impl ClientSession {
    /// A session that is not connected.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        ClientSession {
            serializer: config.serializer,
            random: Random::new(config.seed),
            config,
            now: Duration::ZERO,
            last_ref: 0,
            link: Link::Closed,
            link_since: Duration::ZERO,
            connect_started: None,
            tries: 0,
            opened: 0,
            unanswered_since: None,
            channels: Channels::default(),
            pushes: Pushes::default(),
            outbox: Outbox::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
        }
    }

    /// Takes other settings for all that begins from now on. A new version of the protocol holds from the next connection on; what runs
    /// keeps its time.
    pub fn reconfigure(&mut self, config: ClientConfig) {
        self.random = Random::new(config.seed);
        self.config = config;
    }

    /// Takes in one frame of the server. What comes while no connection is open is passed over.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no message. Nothing has happened then, and the session can go on.
    pub fn handle_frame<'a>(
        &mut self,
        frame: impl Into<Incoming<'a>>,
        now: Duration,
    ) -> Result<(), DecodeError> {
        self.advance(now);
        if !self.link.carries() {
            return Ok(());
        }
        let ServerMessage { join_ref, reference, topic, body } = self.serializer.decode_server(frame)?;
        if topic.as_str() != Topic::PHOENIX {
            self.unanswered_since = None;
        }
        match body {
            Body::Event { event, payload } => {
                self.dispatch_event(join_ref.as_ref(), topic.as_str(), event, payload);
            }
            Body::Reply { status, response } => {
                let counted = reference.as_ref().and_then(Ref::as_counted);
                let Some(number) = counted else { return Ok(()) };
                self.dispatch_reply(join_ref.as_ref(), number, topic.as_str(), status, response);
            }
        }
        Ok(())
    }

    /// Lets time pass; call it when [`poll_timeout`](Self::poll_timeout) said so. Sooner or later than that does no harm.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Link => self.link_is_due(),
                Timer::Heartbeat => self.heartbeat_is_due(),
                Timer::Channel(channel) => self.channel_is_due(channel),
                Timer::Push(push) => self.push_is_due(push),
            }
        }
    }

    /// The next frame to send, until there is none. A push counts as sent from here on: hand the frame to the transport.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        loop {
            match self.outbox.pop()? {
                Outgoing::Frame(frame) => return Some(frame),
                Outgoing::Join(channel, frame) => {
                    self.channels.join_was_sent(channel);
                    self.unanswered_since.get_or_insert(self.now);
                    return Some(frame);
                }
                Outgoing::Push(push) => {
                    if let Some(frame) = self.transmit_push(push) {
                        return Some(frame);
                    }
                }
            }
        }
    }

    /// The next thing that the caller should do or know, until there is none.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        let event = self.events.pop_front()?;
        if self.events.is_empty() {
            // A client has little to tell for most of its life.
            self.events = VecDeque::new();
        }
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The version of the protocol that the connection has; without one, that of the last.
    #[must_use]
    pub fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// Whether a frame waits for [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn wants_to_transmit(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Time does not go back, whatever the caller's clock does.
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    fn after(&self, delay: Duration) -> Duration {
        self.now.saturating_add(delay)
    }

    /// The next ref: there is one counter for all that is sent.
    #[doc(alias = "makeRef")]
    fn next_ref(&mut self) -> u64 {
        self.last_ref += 1;
        self.last_ref
    }
}

/// Whether a message with this `join_ref` belongs to the join; one without belongs to any.
fn belongs(join_ref: Option<&Ref>, join: u64) -> bool {
    join_ref.is_none_or(|join_ref| join_ref.as_counted() == Some(join))
}
