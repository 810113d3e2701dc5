//! Who is there: the payloads of `presence_state` and `presence_diff`, and how a client merges them.
//!
//! A server sends the state once after a join, and from then on what changes. [`PresenceList`] makes one list of it.
//!
//! ```
//! use bennu_protocol::Payload;
//! use bennu_protocol::presence::{PresenceChange, PresenceList};
//!
//! let mut list = PresenceList::new();
//! let state = Payload::Json(r#"{"ada":{"metas":[{"phx_ref":"1","device":"phone"}]}}"#.into());
//! list.handle_state(&state)?;
//! assert_eq!(list.presences().get("ada").unwrap().metas[0]["device"], "phone");
//!
//! let diff = Payload::Json(r#"{"joins":{},"leaves":{"ada":{"metas":[{"phx_ref":"1"}]}}}"#.into());
//! let changes = list.handle_diff(&diff)?;
//! assert!(matches!(&changes[..], [PresenceChange::Left { key, .. }, PresenceChange::Synced] if key == "ada"));
//! assert!(list.presences().is_empty());
//! # Ok::<(), bennu_protocol::presence::PresenceError>(())
//! ```

mod list;
#[cfg(test)]
mod tests;
mod view;

pub use list::{PresenceChange, PresenceError, PresenceLimits, PresenceList};
pub use view::{Diff, Entry, Meta, Presences};

/// The event of a state, unless an application says otherwise.
pub const STATE: &str = "presence_state";

/// The event of a diff, unless an application says otherwise.
pub const DIFF: &str = "presence_diff";
