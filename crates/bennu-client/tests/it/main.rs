//! The client as its users have it, against a scripted server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod blocking;
mod channels;
mod connect;
mod ends;
mod fallback;
mod http_server;
mod interrupted;
mod longpoll;
mod peer;
mod presence;
mod pushes;
mod readme;
mod scene;
mod seed_custom_channels;
mod seed_messages;
mod seed_options;
mod seed_telemetry;
mod socket;
mod websocket;
