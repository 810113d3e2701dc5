//! Typed channels: events and payloads are Rust types, and the contract for clients comes from them.
//!
//! - [`TypedChannel`] is a channel whose events are enums; [`Typed`] mounts it.
//! - [`ClientEvents`] and [`ServerEvents`] are derived for the enums; [`Reply`] answers an event.
//! - [`Rejection`] is what a client is told when a payload is wrong, field by field.
//! - [`Contract`] writes TypeScript declarations and an AsyncAPI 3 document.
//!
//! Users find all of it in `bennu::typed`, which the derives speak of.
//!
//! ```
//! use bennu::prelude::*;
//! use bennu::typed::{Empty, Reply};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct NewMessage {
//!     body: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct MessageCreated {
//!     id: u64,
//! }
//!
//! #[derive(ClientEvents)]
//! enum RoomIn {
//!     #[event("message:new")]
//!     MessageNew(NewMessage, Reply<MessageCreated>),
//!     #[event("typing:start")]
//!     TypingStart,
//! }
//!
//! #[derive(ServerEvents)]
//! enum RoomOut {
//!     #[event("message:new")]
//!     Message { id: u64, body: String },
//!     #[event("typing:start")]
//!     Typing { name: String },
//! }
//!
//! struct RoomChannel {
//!     name: String,
//!     messages: u64,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct RoomParams {
//!     name: String,
//! }
//!
//! impl TypedChannel for RoomChannel {
//!     type Assigns = ();
//!     type Params = RoomParams;
//!     type Response = Empty;
//!     type In = RoomIn;
//!     type Out = RoomOut;
//!
//!     async fn join(_: JoinRequest<()>, params: RoomParams) -> Result<(Self, Empty), JoinRefusal> {
//!         Ok((RoomChannel { name: params.name, messages: 0 }, Empty))
//!     }
//!
//!     async fn handle_in(&mut self, event: RoomIn, cx: &mut TypedContext<'_, Self>) -> AnswerResult {
//!         match event {
//!             RoomIn::MessageNew(message, reply) => {
//!                 self.messages += 1;
//!                 cx.broadcast(RoomOut::Message { id: self.messages, body: message.body })?;
//!                 reply.ok(MessageCreated { id: self.messages })
//!             }
//!             RoomIn::TypingStart => {
//!                 cx.broadcast_from(RoomOut::Typing { name: self.name.clone() })?;
//!                 Answer::no_reply()
//!             }
//!         }
//!     }
//! }
//!
//! let channels = Channels::new().channel::<Typed<RoomChannel>>("room:*");
//! # let _: Channels<()> = channels;
//! ```

/// The examples of the guide are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/typed-channels.md")]
struct Guide;

mod asyncapi;
mod channel;
mod context;
mod contract;
mod event;
mod history;
mod payload;
mod presence;
mod rejection;
mod reply;
mod schemas;
mod typescript;

pub use bennu_macros::{ClientEvents, ServerEvents};
#[doc(no_inline)]
pub use {schemars, serde};

pub use channel::{Typed, TypedChannel};
pub use context::TypedContext;
pub use contract::{Contract, ContractError};
pub use event::{ClientEvents, EventEntry, Events, NoEvents, ServerEvents};
pub use payload::{Binary, Empty, FromMessage, IntoMessage, Shape};
pub use presence::{PresenceCount, PresenceDiff, PresenceState};
pub use rejection::{Rejection, parse};
pub use reply::{Answer, AnswerResult, LaterReply, Reply};
pub use schemas::Schemas;
