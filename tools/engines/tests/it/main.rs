//! The engines as tests use them.

#![allow(clippy::unwrap_used)]

mod engines;
mod proxy;
