//! Presence: who is online on which topic.
//!
//! A channel keeps an [`Owner`] in its state: made in `join`, used in `after_join`, where
//! the state is pushed by hand, and dropped with the channel, which is the leave.
//!
//! ```text
//! async fn after_join(&mut self, cx: &mut Context<User>) -> Result<(), ChannelError> {
//!     self.presence.track(cx.topic(), &cx.assigns().name, json!({"online_at": now}))?;
//!     cx.push("presence_state", self.presence.list(cx.topic()).await)?;
//!     Ok(())
//! }
//! ```
//!
//! The presence must be made on the endpoint's own PubSub, or its diffs reach nobody.
//!
//! An [`Owner`] tracks keys on topics; when it is dropped, whatever it tracked
//! leaves. Every change is broadcast to the topic as `presence_diff`, in the
//! shape that official Phoenix clients merge into the `presence_state` they got
//! at join.
//!
//! ```
//! use bennu_presence::Presence;
//! use bennu_pubsub::PubSub;
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let presence = Presence::new(PubSub::local());
//! let mut alice = presence.owner();
//! alice.track("room:1", "alice", json!({"device": "web"}))?;
//! assert_eq!(presence.list("room:1").await.len(), 1);
//!
//! drop(alice);
//! assert!(presence.list("room:1").await.is_empty());
//! # Ok::<(), bennu_presence::TrackError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod owner;
mod reference;
pub mod replica;
mod tracker;
mod worker;

pub use bennu_protocol::presence::{Diff, Entry, Meta, Presences};
pub use owner::{Owner, TrackError, UpdateError};
pub use tracker::{Presence, PresenceBuilder};
pub use worker::Change;
