//! A bennu node beside an application, behind a real nginx with the configuration of the guide, met by the
//! official client in Node.
//!
//! The Phoenix application's place behind nginx is taken by another bennu node, with the tutorial's sockets: there
//! is no Erlang here. What is Phoenix's own are bytes: a token, and what is in a session and its page.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod behind_nginx;
mod broadcasts;
mod guide;
mod nginx;
mod page;
mod site;
