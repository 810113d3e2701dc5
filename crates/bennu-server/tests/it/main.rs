//! The public face of the server, spoken to over streams in memory and on a clock that the tests own.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod attacks;
mod backlog;
mod channels;
mod client;
mod cluster;
mod compression;
mod credentials;
mod drain;
mod handshake;
mod history;
mod infos;
mod lifecycle;
mod longpoll;
mod longpoll_nodes;
mod observability;
mod poller;
mod sessions;
mod slow_readers;
mod subscriptions;
mod versions;
