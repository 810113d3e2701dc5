//! NATS between nodes, with real servers.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod clusters;
mod faults;
mod identity;
mod logs;
mod nodes;
mod servers;
mod strangers;
mod suite;
mod tls;
