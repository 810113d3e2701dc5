//! Rendering: templates into a page, or into what changed since the client was last told.
//!
//! A view is rendered into a [`Slot`], which is a page or a message. With a message goes a print of what the client holds:
//! for each hole of each template a hash of the text, or the holes of what is nested in it. A hole that comes out equal is taken back from
//! the message, so only differences cross, and neither a tree nor strings are kept.

mod attribute;
mod diff;
mod escape;
mod list;
mod print;
mod slot;
mod stream;
mod template;
mod tracked;
mod tree;
mod view;

pub use attribute::AttributeValue;
pub use list::{Entry, Items};
pub use slot::{Holes, Slot};
pub use stream::{Insert, Stream};
pub use template::Template;
pub use tracked::{Assign, Input, Untracked};
pub use tree::Tree;
pub use view::{Raw, Rendered, View, rendered};

/// The key of an item as [`Entry::fill`] takes it, so that what it is made of may end.
#[doc(hidden)]
pub fn key(key: impl std::hash::Hash) -> u64 {
    print::hash(key)
}

/// Why a view cannot be rendered. The client would not survive a wrong message, so nothing of it is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A view is a text or nothing, where the client needs a template around it.
    #[error("a view must be a template: put an element around it")]
    NoTemplate,
    /// Two items of a loop have the same key.
    #[error("item {index} of the loop over {statics:?} has the key of one before it")]
    DuplicateKey {
        /// The literal strings of the loop's body.
        statics: &'static [&'static str],
        /// The second item's index.
        index: usize,
    },
}
