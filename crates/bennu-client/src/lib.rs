//! A client for Phoenix Channels: it connects, joins and pushes, and does so again when the link fails.
//!
//! ```no_run
//! use bennu_client::{Socket, SocketConfig};
//! use serde_json::{Value, json};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let socket = Socket::start(SocketConfig::new("ws://localhost:4000/socket"))?;
//!     let (_, room) = socket.join("room:lobby", json!({})).await?;
//!     room.push("message:new", json!({"body": "hi"})).await?;
//!     while let Ok(message) = room.recv().await {    // until it is left, or messages were missed
//!         println!("{} {}", message.event, message.payload.parse::<Value>()?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! - [`Socket`] and [`SocketConfig`]: one connection after another; [`Channel`]: a joined topic, its pushes, messages, hooks and
//!   [`Presence`].
//! - [`CustomChannel`]: channel types of the application, which are restarted when they panic.
//! - [`transport`]: WebSockets, long polling, and how to write one's own.
//! - [`telemetry`]: what the sockets of a process do.
//! - [`blocking`]: for programs without async.

mod behaviour;
pub mod blocking;
mod channel;
mod config;
mod driver;
mod endpoint;
mod error;
mod hooks;
mod join;
mod mailbox;
mod message;
mod observer;
mod presence;
mod provider;
mod push;
mod registry;
mod shared;
mod socket;
mod state;
mod status;
pub mod telemetry;
pub mod transport;

pub use behaviour::{CustomChannel, Handled, MAX_RESTARTS, RESTART_PERIOD};
pub use bennu_protocol::client::{Backoff, ConnectionEnd, SendBuffer};
pub use bennu_protocol::presence::{Entry, Meta, PresenceChange, Presences};
pub use bennu_protocol::{
    DecodeError, EncodeError, Event, Frame, IntoPayload, Payload, Ref, Serializer, Status, Topic,
    VersionError,
};
pub use channel::{Channel, Messages};
pub use config::SocketConfig;
pub use driver::Driver;
pub use endpoint::{Endpoint, EndpointError, Params, ParamsError};
pub use error::{
    ChannelEnd, JoinError, PushError, ReconfigureError, RecvError, SocketEnd, SocketEnded, StartError,
};
pub use hooks::Hook;
pub use join::Join;
pub use message::Message;
pub use presence::{Presence, PresenceChanges};
pub use provider::{Provider, ProviderError};
pub use push::{Leave, Push, Sending};
pub use registry::NameTaken;
pub use socket::Socket;
pub use state::{ChannelState, PushState, Settings, SocketState};
pub use status::{ChannelStatus, SocketStatus, Statuses};

/// The guides, so that their code is compiled.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/from-phoenix-socket-client.md")]
    struct FromPhoenixSocketClient;
}
