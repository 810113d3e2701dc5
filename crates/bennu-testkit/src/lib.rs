//! Tests of sockets and channels: connect a client, join, push, and assert what comes back.
//!
//! ```
//! use bennu_protocol::Payload;
//! use bennu_pubsub::PubSub;
//! use bennu_server::{
//!     AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest, Joined,
//!     SocketOptions,
//! };
//! use bennu_testkit::{assert_broadcast, assert_reply, connect};
//! use serde_json::json;
//!
//! struct RoomChannel;
//!
//! impl Channel for RoomChannel {
//!     type Assigns = ();
//!
//!     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
//!         Ok(Joined::new(RoomChannel))
//!     }
//!
//!     async fn handle_in(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
//!         cx.broadcast(event, payload)?;
//!         Handled::ok()
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! // In a test: #[tokio::test(start_paused = true)]
//! let channels = Channels::new().channel::<RoomChannel>("room:*");
//! let endpoint = Endpoint::builder(PubSub::local())
//!     .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
//!     .build()?;
//! let socket = connect(&endpoint, "/socket", json!({})).await?;
//! let (_, room) = socket.subscribe_and_join("room:1", json!({})).await?;
//! let reference = room.push("message:new", json!({"body": "hello", "draft": false}));
//! assert_reply!(room, reference, "ok");
//! assert_broadcast!(room, "message:new", {"body": "hello"});
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing is imitated: the request goes through the mount's checks and your `connect`, and what
//! follows is the server's own connection over a stream in memory. There are no sockets and no
//! threads, and with `#[tokio::test(start_paused = true)]` no time passes while a test waits. This
//! crate turns tokio's `test-util` on, which that attribute needs.
//!
//! - [`connect`] gives a [`TestSocket`], or the server's refusal.
//! - [`TestSocket::join`] and [`TestSocket::subscribe_and_join`] give a [`TestChannel`], or the refusal.
//! - [`assert_push!`], [`assert_reply!`], [`assert_broadcast!`], [`assert_closed!`], and `refute_…!` of each.
//! - [`Pattern`] says what payloads can be compared with.
//!
//! Programs that are clients are tested the other way round: against a [`ScriptedServer`], which says what the test tells it to; see [`scripted`].

pub mod adapter_suite;
mod allow_as;
mod arrivals;
mod assertions;
mod channel;
mod connect;
mod expectation;
mod hub;
mod link;
mod pattern;
mod received;
pub mod scripted;
mod socket;
mod wire;

pub use allow_as::AllowAs;
pub use channel::TestChannel;
pub use connect::{Connect, ConnectError, connect};
pub use expectation::Unmet;
pub use hub::{Hub, HubAdapter};
pub use pattern::{Compared, IntoPattern, Pattern, Typed};
pub use received::Received;
pub use scripted::{ScriptedConnection, ScriptedMessage, ScriptedServer, ScriptedTransport};
pub use socket::{JoinError, PushRef, TestSocket};

#[doc(hidden)]
pub use serde_json::json as __json;
