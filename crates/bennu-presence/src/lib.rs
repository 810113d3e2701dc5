//! Presence: who is online on which topic.
//!
//! A channel keeps an [`Owner`] in its state: made in `join`, used in `after_join`, where
//! the state is pushed by hand, and dropped with the channel, which is the leave.
//!
//! ```text
//! async fn after_join(&mut self, cx: &mut Context<User>) -> Result<(), ChannelError> {
//!     self.presence.track(cx.topic(), &cx.assigns().name, json!({"online_at": now}))?;
//!     for (event, payload) in self.presence.state(cx.topic()).await {
//!         cx.push(event, payload)?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The presence must be made on the endpoint's own PubSub, or its diffs reach nobody.
//!
//! An [`Owner`] tracks keys on topics; when it is dropped, whatever it tracked
//! leaves. Every change is broadcast to the topic as `presence_diff`, in the
//! shape that official Phoenix clients merge into the `presence_state` they got
//! at join. Many changes of a topic are one diff ([`diff_window`](PresenceBuilder::diff_window)), and
//! crowds can be told less ([`crowd`](PresenceBuilder::crowd)).
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

mod change;
mod crowd;
mod limits;
mod meta;
mod owner;
mod pace;
mod parts;
mod reference;
pub mod replica;
mod replication;
mod shard;
mod state;
mod telling;
mod tracker;
mod window;
mod wire;
mod worker;

pub use bennu_protocol::presence::{Diff, Entry, Meta, Presences};
pub use change::{After, Change};
pub use crowd::Crowd;
pub use limits::PresenceLimits;
pub use owner::{Owner, TrackError, UpdateError};
pub use state::State;
pub use tracker::{Presence, PresenceBuilder};
