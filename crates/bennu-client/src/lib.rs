//! A client for Phoenix Channels.

pub mod transport;
