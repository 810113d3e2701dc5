//! The kit as its users meet it, its failure messages included.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod adapter_suite;
mod connecting;
mod conversations;
mod failures;
mod listening;
mod room;
mod scripted;
