//! `bennu-client` against the real server, over good links and bad ones.

// Clippy lets tests unwrap, but not what tests share.
#![allow(clippy::unwrap_used)]

mod faults;
mod link;
mod soak;
pub(crate) mod tally;
mod transports;

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::time::Duration;

use bennu_client::{Backoff, Channel, Socket, SocketConfig};
use serde_json::{Value, json};

use crate::server::Server;

/// A bound for what hangs, far from what anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of a client that is back at once.
fn config(url: String) -> SocketConfig {
    let soon = Backoff::constant(Duration::from_millis(20));
    SocketConfig::new(url).reconnect_backoff(soon.clone()).rejoin_backoff(soon).timeout(PATIENCE)
}

/// Starts a `checklist` server of its own, which takes a moment.
async fn server(log: &str, options: &[&'static str]) -> Server {
    let (log, options) = (format!("rust-client-{log}"), options.to_vec());
    let started = tokio::task::spawn_blocking(move || Server::start_with_log("checklist", &options, &log));
    started.await.unwrap()
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("ws://{address}{path}")
}

async fn within_patience<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it does not take that long")
}

async fn joined(socket: &Socket, topic: &str) -> Channel {
    let (_, channel) = within_patience(socket.join(topic, json!({})).into_future()).await.unwrap();
    channel
}

/// Whether the channel answers, through as many connections as it takes.
async fn assert_echoes(channel: &Channel, value: &Value) {
    let reply = channel.push("echo", value).retry_unconfirmed().timeout(PATIENCE).await;
    assert_eq!(&reply.unwrap().parse::<Value>().unwrap(), value, "{}", channel.topic());
}
