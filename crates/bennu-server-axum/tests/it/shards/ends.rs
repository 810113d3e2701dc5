//! How shards end, and what ends on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    Channel, Channels, ConnectRequest, Connected, Context, DrainOptions, Endpoint, Handled, HandlerResult,
    JoinRefusal, JoinRequest, Joined, Refusal, Socket, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::peer::{PATIENCE, Peer};
use crate::running::Running;

use super::thread;

/// Panics when it is dropped, and counts that.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("asked to panic");
    }
}

/// Connections whose assigns panic in the end.
struct Mined(Arc<AtomicUsize>);

impl Socket for Mined {
    type Assigns = Bomb;

    async fn connect(&self, _: &ConnectRequest) -> Result<Connected<Bomb>, Refusal> {
        Ok(Connected::new(Bomb(self.0.clone())))
    }
}

struct Room {
    _bomb: Option<Bomb>,
}

impl Channel for Room {
    type Assigns = Bomb;

    async fn join(request: JoinRequest<Bomb>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Room { _bomb: Some(Bomb(request.assigns().0.clone())) }))
    }

    async fn handle_in(&mut self, event: &str, _: Payload, cx: &mut Context<Bomb>) -> HandlerResult {
        match event {
            "shard" => Handled::reply(json!({ "thread": thread() })),
            "forget" => {
                cx.handle().send(Bomb(cx.assigns().0.clone()));
                cx.handle().send(Bomb(cx.assigns().0.clone()));
                std::future::pending().await
            }
            _ => Handled::ok(),
        }
    }
}

/// Whose connections are mined, and how many mines went off.
fn mined(shards: usize) -> (Endpoint, Arc<AtomicUsize>) {
    let bombs = Arc::new(AtomicUsize::new(0));
    let channels = Channels::new().channel::<Room>("room:*");
    let builder = Endpoint::builder(PubSub::local()).shards(shards);
    let builder = builder.socket("/socket", Mined(bombs.clone()), channels, SocketOptions::default());
    (builder.build().unwrap(), bombs)
}

async fn serve(endpoint: Endpoint) -> Running {
    Running::serve(endpoint, ServerLimits::default(), DrainOptions::default()).await
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it never was so");
}

async fn task_of(peer: &mut Peer) -> PathBuf {
    let thread = peer.ask("room:a", "shard").await["thread"].as_u64().unwrap();
    PathBuf::from(format!("/proc/self/task/{thread}"))
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_runtime_that_ends_takes_its_shards_and_their_sockets_along() {
    let serving = runtime();
    let (endpoint, bombs) = mined(2);
    let server = serving.spawn(serve(endpoint)).await.unwrap();
    let address = server.address;
    let mut peers = Vec::new();
    for _ in 0..6 {
        peers.push(Peer::joined(address, "room:a").await);
    }
    let tasks = [task_of(&mut peers[0]).await, task_of(&mut peers[1]).await];
    assert_ne!(tasks[0], tasks[1]);
    assert!(tasks.iter().all(|task| task.exists()));
    serving.shutdown_background();
    for peer in &mut peers {
        peer.ended().await;
    }
    // One of the assigns and one of the channel, each.
    until(|| bombs.load(Ordering::SeqCst) == 12).await;
    until(|| !tasks.iter().any(|task| task.exists())).await;
    drop(server);
}

#[tokio::test]
async fn an_endpoint_serves_again_in_the_next_runtime() {
    let (endpoint, _) = mined(2);
    for _ in 0..3 {
        let serving = runtime();
        let server = serving.spawn(serve(endpoint.clone())).await.unwrap();
        let mut peer = Peer::joined(server.address, "room:a").await;
        peer.ask("room:a", "anything").await;
        serving.shutdown_background();
        peer.ended().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_dropped_takes_its_shards_along() {
    let (endpoint, _) = mined(2);
    let mut server = serve(endpoint).await;
    let mut peer = Peer::joined(server.address, "room:a").await;
    let task = task_of(&mut peer).await;
    server.stop();
    assert_eq!(peer.closed().await, 1012);
    drop(peer);
    server.ended().await;
    until(|| !task.exists()).await;
}

#[tokio::test]
async fn state_that_panics_when_it_is_dropped_ends_its_own_connection_alone() {
    let (endpoint, bombs) = mined(1);
    let pubsub = endpoint.pubsub().clone();
    let server = serve(endpoint).await;
    let mut witness = Peer::joined(server.address, "room:a").await;
    for _ in 0..5 {
        let mut mined = Peer::joined(server.address, "room:b").await;
        mined.tell("room:b", "forget").await;
        drop(mined);
    }
    until(|| pubsub.subscriber_count("room:b") == 0).await;
    // Two that were never handled, the channel, and the assigns.
    until(|| bombs.load(Ordering::SeqCst) == 20).await;
    witness.ask("room:a", "anything").await;
    // Nobody in their places gets what was for them.
    let mut next = Peer::joined(server.address, "room:c").await;
    server.endpoint.broadcast("room:b", "not for you", json!({})).unwrap();
    next.ask("room:c", "anything").await;
}
