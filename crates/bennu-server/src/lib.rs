//! Phoenix Channels on the server: sockets, channels, and the transports WebSocket and long polling.
//!
//! - [`Socket`] decides who may connect; [`Channel`] what happens on a topic.
//! - [`Endpoint`] holds both together, at the paths where they are mounted.
//! - [`Context`] is a channel's way to its client and to everyone on its topic.
//!
//! ```
//! use bennu_protocol::Payload;
//! use bennu_pubsub::PubSub;
//! use bennu_server::{
//!     AllowAnonymous, Channel, Channels, Context, Endpoint, Handled, HandlerResult, JoinRefusal, JoinRequest, Joined,
//!     SocketOptions,
//! };
//!
//! struct Counter(u64);
//!
//! impl Channel for Counter {
//!     type Assigns = ();
//!
//!     async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
//!         Ok(Joined::new(Counter(0)))
//!     }
//!
//!     async fn handle_in(&mut self, event: &str, _: Payload, _: &mut Context<()>) -> HandlerResult {
//!         match event {
//!             "count" => {
//!                 self.0 += 1;
//!                 Handled::reply(self.0)
//!             }
//!             _ => Handled::unknown_event(event),
//!         }
//!     }
//! }
//!
//! let endpoint = Endpoint::builder(PubSub::local())
//!     .socket("/socket", AllowAnonymous, Channels::new().channel::<Counter>("counter"), SocketOptions::default())
//!     .build()?;
//! assert!(endpoint.route("/socket/websocket").is_some());
//! # Ok::<(), bennu_server::BuildError>(())
//! ```
//!
//! This crate knows no web framework: it takes the head of an HTTP request
//! ([`Endpoint::route`], [`Handshake::accept`]) and then any stream of bytes
//! ([`Upgrade::run`]), or for long polling any body ([`LongPoll::answer`]). `bennu-server-axum` mounts it in axum and tower; the crate
//! `bennu` holds all of it for users.

mod admission;
mod broadcast;
mod channel;
mod clock;
mod compression;
mod config;
mod connection;
mod context;
mod credentials;
mod drain;
mod endpoint;
mod few;
mod history;
mod info;
mod joined;
mod large_broadcast;
mod mailbox;
mod metrics;
mod mount;
mod origin;
mod params;
mod redact;
mod revocations;
mod router;
mod session;
mod slow_reader;
mod socket;

mod transport;
mod turn;

pub use broadcast::BroadcastError;
pub use channel::{
    Channel, ChannelError, Handled, HandlerResult, JoinRefusal, JoinRequest, Joined, Reply, StopReason,
    TerminateReason, UnknownEvent,
};
pub use compression::Compression;
pub use config::SocketOptions;
pub use context::{ChannelRef, Context, SocketRef};
pub use credentials::{AtExpiry, RenewRequest, Renewed};
pub use drain::{DrainOptions, DrainReport, Unready};
pub use endpoint::{BuildError, Endpoint, EndpointBuilder};
pub use history::{History, Recovery};
pub use info::Info;
pub use metrics::{METRICS, Metric, MetricKind};
pub use origin::{CheckOrigin, Origin, OriginPattern, OriginPatternError};
pub use params::{Param, Params, QueryError};
pub use revocations::Revocation;
pub use router::Channels;
pub use slow_reader::SlowReader;
pub use socket::{AllowAnonymous, ConnectRequest, Connected, Refusal, Socket, TransportKind};
pub use transport::handshake::{Handshake, Upgrade};
pub use transport::longpoll::{LongPoll, LongPollOptions};
pub use transport::{Stall, Transport};
