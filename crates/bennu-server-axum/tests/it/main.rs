//! The server over real sockets: limits, hostile peers, and the end.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod attacks;
mod drain;
mod ending;
mod peer;
mod running;
mod shards;
#[cfg(feature = "tls")]
mod tls;
