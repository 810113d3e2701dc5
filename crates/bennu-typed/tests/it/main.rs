//! Typed channels as users write them, over streams in memory, and the documents of their contract.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

#[path = "../../examples/contract/channels.rs"]
mod channels;
mod contract;
mod conversations;
mod documents;
mod handlers;
mod npm;
