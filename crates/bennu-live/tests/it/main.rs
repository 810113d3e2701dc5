//! The engine through its public face.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod client;
mod macros;
mod random;
mod wire;
