//! Tests against what a Phoenix server and other implementations of its formats made.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod conformance;
mod properties;
mod sessions;
mod terms;
mod transcript;
mod values;
