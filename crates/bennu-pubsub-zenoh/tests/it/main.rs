//! Nodes that are each other's peers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod meeting;
mod reunion;
mod suite;
mod tls;
