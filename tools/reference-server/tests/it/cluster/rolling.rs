//! A rolling restart behind nginx, while clients stay.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bennu_client::{Backoff, Channel, Socket, SocketConfig};
use serde_json::{Value, json};

use super::engine::Kind;
use super::member::Member;
use super::nginx::Nginx;
use super::nodes::{Cluster, Node, quick};
use crate::rust_client::tally::Tally;
use crate::wire;

const CLIENTS: usize = 24;
const TOPIC: &str = "room:rolling";

/// A bound for what hangs, far from what anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_rolling_restart_behind_nginx_leaves_nobody_out_and_no_ghost() {
    let mut options = quick();
    options.extend(["--drain-window".to_owned(), "300".to_owned()]);
    let mut cluster = Cluster::start(Kind::Nats, "rolling", &options);
    let addresses: Vec<SocketAddr> = cluster.nodes.iter().map(|node| node.server.address).collect();
    let nginx = Nginx::start(&addresses);
    let runtime = cluster.engine.runtime.handle().clone();

    let users: Vec<String> = (10..10 + CLIENTS).map(|number| format!("user-{number}")).collect();
    let clients = users.iter().map(|user| runtime.block_on(join(nginx.address, user)));
    let clients: Vec<(Socket, Channel)> = clients.collect();
    let expected: Vec<&str> = users.iter().map(String::as_str).collect();
    expect_everyone(&cluster, &expected);
    let is_over = Arc::new(AtomicBool::new(false));
    let pushing: Vec<_> =
        clients.iter().map(|(_, channel)| runtime.spawn(push(channel.clone(), is_over.clone()))).collect();

    for number in 0..cluster.nodes.len() {
        cluster.nodes[number].server.signal("TERM");
        assert_eq!(cluster.nodes[number].server.ended(), "");
        cluster.relaunch(number);
        wait_until_it_is_part(&cluster.nodes[number]);
    }

    is_over.store(true, Ordering::Relaxed);
    let tallies = pushing.into_iter().map(|task| runtime.block_on(task).expect("it ends"));
    let tally: Tally = tallies.sum();
    assert_eq!(
        tally.replied + tally.unconfirmed,
        tally.total(),
        "answered, or under way at a close: {tally:?}"
    );
    assert!(tally.replied > CLIENTS as u64, "{tally:?}");
    for (socket, channel) in &clients {
        let echo = async { channel.push("echo", json!(1)).retry_unconfirmed().timeout(PATIENCE).await };
        assert!(runtime.block_on(echo).is_ok() && socket.is_connected(), "nobody is left out");
    }
    expect_everyone(&cluster, &expected);
    let connections: u64 = cluster.nodes.iter().map(|node| node.metric("bennu_connections")).sum();
    assert_eq!(connections, CLIENTS as u64, "one each, and none that nobody has");
    assert!(cluster.nodes.iter().all(|node| node.metric("bennu_connections") > 0), "on all nodes again");
}

async fn join(nginx: SocketAddr, user: &str) -> (Socket, Channel) {
    let soon = Backoff::constant(Duration::from_millis(100));
    let config = SocketConfig::new(format!("ws://{nginx}/socket"));
    let config = config.reconnect_backoff(soon.clone()).rejoin_backoff(soon).timeout(PATIENCE);
    let socket = Socket::start(config).expect("the configuration is right");
    let channel = socket.channel_join(TOPIC, json!({"user": user})).expect("the socket has started");
    channel.joined().await.expect("it may join");
    (socket, channel)
}

/// Pushes one message after the other until it is over.
async fn push(channel: Channel, is_over: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let reply = channel.push("echo", json!(number)).timeout(PATIENCE).await;
        tally.count(&reply);
        if let Ok(reply) = reply {
            assert_eq!(reply.parse::<Value>().ok(), Some(json!(number)), "the reply is to this push");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tally
}

/// What a rolling restart waits for before it goes on to the next node.
fn wait_until_it_is_part(node: &Node) {
    let deadline = Instant::now() + PATIENCE;
    while wire::get(node.server.address, "/health/ready").status != 200 || node.health().1["status"] != "ok" {
        assert!(Instant::now() < deadline, "{} is not ready: {:?}", node.name, node.health());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whoever joins at any node sees each user once, and nobody else.
fn expect_everyone(cluster: &Cluster, users: &[&str]) {
    for node in &cluster.nodes {
        let watcher = Member::join(node, TOPIC, "watcher");
        watcher.wait(&format!("everyone once at {}", node.name), |seen| {
            let keys: BTreeSet<&str> = seen.present.keys().map(String::as_str).collect();
            let is_everyone = keys.iter().copied().filter(|key| *key != "watcher").eq(users.iter().copied());
            let is_once = seen.present.iter().all(|(key, refs)| key == "watcher" || refs.len() == 1);
            (is_everyone && is_once).then_some(())
        });
        watcher.expect_no_fault();
    }
}
