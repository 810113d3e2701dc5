//! Nodes on a real Redis.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod clusters;
mod credentials;
mod faults;
mod nodes;
mod sharded;
mod suite;
mod tls;
