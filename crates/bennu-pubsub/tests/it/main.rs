//! Nodes of a cluster, over the test kit's engine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod faults;
