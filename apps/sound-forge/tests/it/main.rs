//! The studio as its users meet it: a real process on a free port, an empty data folder, and
//! clients that know nothing of its inside.

#![allow(clippy::unwrap_used, reason = "these are tests, down to their last helper")]

mod access;
mod audio_files;
mod client;
mod cluster;
mod hostile;
mod metrics;
mod nodes;
mod outages;
mod page;
mod pipeline;
mod recovery;
mod rest;
mod server;
mod socket_client_frames;
