//! What waits in a shard that does not get on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bennu_protocol::Payload;
use bennu_pubsub::PubSub;
use bennu_server::{
    AllowAnonymous, Channel, Channels, Context, DrainOptions, Endpoint, Handled, HandlerResult, History,
    JoinRefusal, JoinRequest, Joined, SlowReader, SocketOptions,
};
use bennu_server_axum::ServerLimits;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde_json::{Value, json};

use super::{Room, Stage};
use crate::peer::{PATIENCE, Peer};
use crate::running::Running;

/// Broadcasts that may wait in the shard.
const ROOM: u64 = 10;

/// `room:*`, `cursors:*` of which messages may be missed, and `kept:*` with a history.
async fn start() -> (Running, Arc<Stage>, Snapshotter) {
    let stage = Arc::new(Stage::default());
    let channels = Channels::new()
        .channel_with::<Room>("room:*", stage.clone())
        .channel_with::<Room>("cursors:*", stage.clone())
        .slow_reader(SlowReader::drop_oldest().lossy())
        .channel_with::<Room>("kept:*", stage.clone())
        .slow_reader(SlowReader::drop_oldest())
        .history(History::last(100))
        .channel_with::<Relay>("relayed:*", stage.clone())
        .slow_reader(SlowReader::drop_oldest())
        .history(History::last(100));
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let endpoint = metrics::with_local_recorder(&recorder, || {
        Endpoint::builder(PubSub::local())
            .socket("/socket", AllowAnonymous, channels, SocketOptions::default())
            .shards(1)
            .max_shard_backlog_broadcasts(ROOM as usize)
            .build()
            .unwrap()
    });
    let server = Running::serve(endpoint, ServerLimits::default(), DrainOptions::default()).await;
    (server, stage, snapshotter)
}

/// Handles what is broadcast itself.
struct Relay;

impl Channel for Relay {
    type Assigns = ();
    const INTERCEPT: &'static [&'static str] = &["said"];

    async fn join(_: JoinRequest<()>) -> Result<Joined<Self>, JoinRefusal> {
        Ok(Joined::new(Relay))
    }

    async fn handle_in(&mut self, _: &str, _: Payload, cx: &mut Context<()>) -> HandlerResult {
        let stage = cx.route_value::<Arc<Stage>>().unwrap().clone();
        std::future::poll_fn(|_| match stage.opened.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        Handled::no_reply()
    }

    async fn handle_out(&mut self, event: &str, payload: Payload, cx: &mut Context<()>) -> HandlerResult {
        cx.push(event, payload)?;
        Handled::no_reply()
    }
}

/// What a counter has counted since the last time.
fn counted(snapshotter: &Snapshotter, name: &str) -> u64 {
    let counters = snapshotter.snapshot().into_vec().into_iter().filter(|(key, ..)| key.key().name() == name);
    let count = |value| if let DebugValue::Counter(count) = value { count } else { 0 };
    counters.map(|(_, _, _, value)| count(value)).sum()
}

async fn recv(peer: &mut Peer) -> Value {
    tokio::time::timeout(PATIENCE, peer.recv()).await.expect("nothing came")
}

/// What was said on a topic with a history, until there is so much; whenever the channel ends, it is joined again with the last
/// position. How often that was, and the numbers.
async fn said_in_full(peer: &mut Peer, topic: &str, position: &mut Value, count: u64) -> (u64, Vec<u64>) {
    let (mut ended, mut numbers) = (0, Vec::new());
    while (numbers.len() as u64) < count {
        let message = recv(peer).await;
        match message[3].as_str().unwrap() {
            "said" => {
                numbers.push(message[4]["number"].as_u64().unwrap());
                position["offset"] = message[4]["phx_offset"].clone();
            }
            "phx_error" => {
                ended += 1;
                let params = json!({ "recover": position });
                peer.send(json!(["2", "2", topic, "phx_join", params])).await;
            }
            _ if message[1] == "2" && message[2] == topic && ended > 0 => {
                assert_eq!(message[4]["response"]["recovered"], true, "{message}");
            }
            _ => {}
        }
    }
    (ended, numbers)
}

#[tokio::test]
async fn a_blocked_shard_takes_what_has_room_and_tells_who_missed_the_rest() {
    let (server, stage, snapshotter) = start().await;
    let mut blocking = Peer::joined(server.address, "room:blocked").await;
    let mut missing = Peer::joined(server.address, "room:a").await;
    let mut lossy = Peer::joined(server.address, "cursors:a").await;
    lossy.join("room:b").await;
    let door = stage.door.lock().await;
    blocking.tell("room:blocked", "block").await;
    stage.blocking.notified().await;
    for number in 0..3 * ROOM {
        server.endpoint.broadcast("room:a", "said", json!({ "number": number })).unwrap();
        server.endpoint.broadcast("cursors:a", "moved", json!({ "number": number })).unwrap();
    }
    assert_eq!(counted(&snapshotter, "bennu_shard_lost_broadcasts_total"), 5 * ROOM);
    drop(door);
    // Nobody else hears of it.
    assert_eq!(recv(&mut blocking).await[4]["status"], "ok");
    blocking.expect_echo("room:blocked").await;
    // What had room arrives, and nothing that came after what had none.
    for number in 0..ROOM / 2 {
        assert_eq!(recv(&mut missing).await[4], json!({ "number": number }));
    }
    assert_eq!(missing.closed().await, 1013);
    // What waits of a channel that ends need not arrive.
    let mut moved = 0;
    let told = loop {
        let message = recv(&mut lossy).await;
        if message[3] != "moved" {
            break message;
        }
        assert_eq!(message[4], json!({ "number": moved }));
        moved += 1;
    };
    assert!(moved <= ROOM / 2, "{moved}");
    assert_eq!((&told[2], &told[3]), (&json!("cursors:a"), &json!("phx_error")));
    lossy.expect_echo("room:b").await;
    // And whoever joins again gets what comes then.
    lossy.join("cursors:a").await;
    server.endpoint.broadcast("cursors:a", "moved", json!({})).unwrap();
    assert_eq!(lossy.event().await, "moved");
    assert_eq!(counted(&snapshotter, "bennu_slow_readers_total"), 2);
}

#[tokio::test]
async fn a_channel_that_waits_and_has_missed_something_gets_nothing_that_came_after_it() {
    let (server, stage, _) = start().await;
    let mut blocking = Peer::joined(server.address, "room:blocked").await;
    let mut lossy = Peer::joined(server.address, "cursors:a").await;
    lossy.tell("cursors:a", "broadcast once polled").await;
    // Answered behind it, so it waits.
    lossy.join("cursors:b").await;
    let door = stage.door.lock().await;
    blocking.tell("room:blocked", "block").await;
    stage.blocking.notified().await;
    for number in 0..2 * ROOM {
        server.endpoint.broadcast("cursors:a", "moved", json!({ "number": number })).unwrap();
    }
    drop(door);
    assert_eq!(recv(&mut blocking).await[4]["status"], "ok");
    for number in 0..ROOM {
        assert_eq!(recv(&mut lossy).await[4], json!({ "number": number }));
    }
    server.endpoint.broadcast("cursors:a", "moved", json!({ "number": "too late" })).unwrap();
    lossy.expect_echo("cursors:b").await;
    stage.opened.store(true, Ordering::SeqCst);
    // The handler that waits has the rest of the connection run.
    lossy.tell("cursors:b", "echo").await;
    assert_eq!([lossy.event().await, lossy.event().await], ["phx_error", "phx_reply"]);
}

#[tokio::test]
async fn what_a_blocked_shard_lost_of_a_history_is_recovered() {
    let (server, stage, _) = start().await;
    let mut blocking = Peer::joined(server.address, "room:blocked").await;
    let mut peer = Peer::connect(server.address).await;
    let mut position = peer.join("kept:a").await;
    let door = stage.door.lock().await;
    blocking.tell("room:blocked", "block").await;
    stage.blocking.notified().await;
    for number in 0..3 * ROOM {
        server.endpoint.broadcast("kept:a", "said", json!({ "number": number })).unwrap();
    }
    drop(door);
    let (told, numbers) = said_in_full(&mut peer, "kept:a", &mut position, 3 * ROOM).await;
    assert_eq!((told, numbers), (1, (0..3 * ROOM).collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_channel_that_has_missed_something_handles_nothing_that_came_after_it() {
    let (server, stage, _) = start().await;
    let mut blocking = Peer::joined(server.address, "room:blocked").await;
    let mut peer = Peer::connect(server.address).await;
    let mut position = peer.join("relayed:a").await;
    peer.tell("relayed:a", "wait").await;
    // Answered behind it, so it waits.
    peer.join("room:b").await;
    let door = stage.door.lock().await;
    blocking.tell("room:blocked", "block").await;
    stage.blocking.notified().await;
    for number in 0..2 * ROOM {
        server.endpoint.broadcast("relayed:a", "said", json!({ "number": number })).unwrap();
    }
    drop(door);
    assert_eq!(recv(&mut blocking).await[4]["status"], "ok");
    peer.expect_echo("room:b").await;
    server.endpoint.broadcast("relayed:a", "said", json!({ "number": 2 * ROOM })).unwrap();
    peer.expect_echo("room:b").await;
    stage.opened.store(true, Ordering::SeqCst);
    // The handler that waits has the rest of the connection run.
    peer.tell("room:b", "echo").await;
    let (_, numbers) = said_in_full(&mut peer, "relayed:a", &mut position, 2 * ROOM + 1).await;
    assert_eq!(numbers, (0..=2 * ROOM).collect::<Vec<_>>());
}
