//! Pages written in Rust, rendered on the server and kept up to date by the official LiveView client.

pub mod rendered;

#[doc(inline)]
pub use bennu_live_macros::html;

// What `html!` expands to names this crate.
extern crate self as bennu_live;
