//! Tests of presence by its public face.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod clients;
mod cluster;
mod crowds;
mod diffs;
mod hooks;
mod joining;
mod limits;
mod replica;
