//! The client from outside.

// Clippy lets tests unwrap, but not what tests share.
#![allow(clippy::unwrap_used)]

mod connect;
mod fallback;
mod http_server;
mod longpoll;
mod peer;
mod seed_messages;
mod seed_telemetry;
mod websocket;
