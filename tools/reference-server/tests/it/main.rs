//! `reference-server` from outside: the real binary over real sockets. The
//! tests `check_NNN_…` are the checks of the channels specification, section 18.

mod admin;
mod backlog;
mod bench;
mod binary;
mod browser;
mod certificate;
mod channel;
mod client;
mod cluster;
mod command_line;
mod credentials;
mod handshake;
mod history;
mod isolation;
mod join_refs;
mod longpoll;
mod npm_clients;
mod presence;
mod prometheus;
mod resident;
mod rust_client;
mod server;
mod socket;
mod transcripts;
mod v1;
mod wire;
mod work;
