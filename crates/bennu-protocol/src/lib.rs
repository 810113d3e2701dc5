//! The wire protocol of Phoenix Channels, without any I/O.
//!
//! - [`Message`], [`Broadcast`], [`Payload`], [`Ref`], [`Topic`], [`Event`]: what travels.
//! - [`Serializer`]: versions 1.0.0 (JSON objects) and 2.0.0 (JSON arrays and binary frames).
//! - [`Encoding`]: what the bytes for one client depend on.
//! - [`websocket`]: RFC 6455 framing for both sides, with the compression of RFC 7692.
//! - [`ServerSession`]: every decision a server takes about joins, leaves, join
//!   refs, heartbeats and limits, as a state machine that is told the time.
//! - [`presence`]: who is there, as servers tell it and clients merge it.
//! - [`client::ClientSession`]: every decision a client takes about connecting, joining, pushing and doing so again, likewise.
//!
//! Nothing in this crate sleeps, spawns, or touches a socket or a clock.
//!
//! ```
//! use bennu_protocol::{Frame, Serializer};
//!
//! let frame = Frame::text(r#"["1","2","room:lobby","shout",{"body":"hi"}]"#);
//! let message = Serializer::V2.decode(frame)?;
//! assert_eq!(message.topic.as_text(), Some("room:lobby"));
//! assert_eq!(message.payload.as_json(), Some(&b"{\"body\":\"hi\"}"[..]));
//! # Ok::<(), bennu_protocol::DecodeError>(())
//! ```

mod broadcast;
mod encoding;
mod error;
mod event;
mod frame;
mod incoming;
mod json;
mod message;
mod payload;
pub mod presence;
mod refs;
mod serializer;
mod session;
mod topic;
pub mod websocket;

pub use broadcast::Broadcast;
pub use encoding::Encoding;
pub use error::{DecodeError, EncodeError, PayloadError, VersionError};
pub use event::Event;
pub use frame::{Frame, FrameKind};
pub use incoming::{Data, Incoming};
pub use json::{JsonError, MAX_DEPTH, validate};
pub use message::{Body, Message, Name, ServerMessage, Status, Text};
pub use payload::{IntoPayload, Payload};
pub use refs::Ref;
pub use serializer::Serializer;
pub use session::client;
pub use session::{
    ChannelId, JoinRefRule, Renewal, ServerSession, SessionConfig, SessionError, SessionEvent,
};
pub use topic::{Topic, TopicPattern, TopicPatternError};
