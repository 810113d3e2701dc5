//! The rooms as their users meet them: with the test kit, over HTTP, and with the official client in Node.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod notifications;
mod npm_client;
mod presence;
mod recovery;
mod room_channel;
mod site;
mod socket_options;
mod user_socket;
mod web;
