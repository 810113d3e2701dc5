//! NATS between nodes, with real servers.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod suite;
