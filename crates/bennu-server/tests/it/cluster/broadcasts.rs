//! Broadcasts to clients, and gaps in them.

use bennu_protocol::Payload;
use bennu_pubsub::CrossingError;
use bennu_server::{BroadcastError, Endpoint};
use bennu_testkit::Hub;
use serde_json::{Value, json};

use super::{LONG, SHORT, builder, nodes, pubsub};
use crate::client::Client;

async fn joined(endpoint: &Endpoint, topic: &str) -> Client {
    let mut client = Client::connect(endpoint).await;
    client.join(topic).await;
    client
}

fn shout(endpoint: &Endpoint, topic: &str, n: u32) {
    endpoint.broadcast(topic, "msg", json!({ "n": n })).unwrap();
}

async fn number(client: &mut Client) -> Value {
    client.recv().await[4]["n"].clone()
}

#[tokio::test(start_paused = true)]
async fn clients_of_all_nodes_get_a_broadcast_once_and_in_order() {
    let hub = Hub::new();
    let [a, b, c] = nodes(&hub, ["a", "b", "c"]).await;
    let mut clients = Vec::new();
    for endpoint in [&a, &b, &b, &c] {
        clients.push(joined(endpoint, "room:1").await);
    }
    let carried = hub.carried();
    for n in 0..50 {
        shout(&a, "room:1", n);
    }
    tokio::time::sleep(SHORT).await;
    clients[1].send(json!(["1", "2", "room:1", "shout", {"n": 50}])).await;
    for (at, client) in clients.iter_mut().enumerate() {
        for n in 0..50 {
            assert_eq!(number(client).await, n, "client {at}");
        }
        let last = client.recv().await;
        assert_eq!(last[4]["n"], 50, "{last}");
    }
    assert_eq!(clients[1].recv_event().await, "phx_reply");
    let carried = hub.carried() - carried;
    assert!(
        carried <= 12,
        "{carried} packets crossed: one for each node, beacons aside, not one for each client"
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_and_intercepted_events_cross_and_the_sender_is_left_out_alone() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (mut here, mut there) = (joined(&a, "room:1").await, joined(&b, "room:1").await);
    a.broadcast("room:1", "bytes", Payload::binary(vec![0, 255, 7])).unwrap();
    a.broadcast("room:1", "secret", json!({"password": 1})).unwrap();
    let (_, local) = here.take_frame().await;
    let (_, remote) = there.take_frame().await;
    assert_eq!(local, remote);
    assert!(remote.ends_with(&[0, 255, 7]));
    for client in [&mut here, &mut there] {
        assert_eq!(client.recv().await[4], json!({"redacted": true}));
    }
}

#[tokio::test(start_paused = true)]
async fn attack_049_what_is_too_large_to_cross_is_the_broadcasters_error_and_reaches_its_own_node() {
    let hub = Hub::new();
    hub.max_packet(20_000);
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    for topic in ["room:1", "kept:1"] {
        let mut here = Client::connect(&a).await;
        let mut there = Client::connect(&b).await;
        for client in [&mut here, &mut there] {
            client.send(json!(["1", "1", topic, "phx_join", {}])).await;
            assert_eq!(client.recv().await[4]["status"], "ok");
        }
        let sent = a.broadcast(topic, "msg", json!({ "text": "x".repeat(20_000) }));
        let Err(BroadcastError::Crossing(CrossingError::TooLarge { size, limit })) = sent else {
            panic!("{sent:?}")
        };
        assert!(size > 20_000 && limit < 20_000, "{size} {limit}");
        assert_eq!(here.recv().await[3], "msg");
        there.hears_nothing().await;
        shout(&a, topic, 1);
        assert_eq!((number(&mut here).await, number(&mut there).await), (json!(1), json!(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_engine_holds_up_nobody_here_and_what_fits_follows() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (mut here, mut there) = (joined(&a, "room:1").await, joined(&b, "room:1").await);
    hub.stop();
    tokio::time::sleep(SHORT).await;
    shout(&a, "room:1", 1);
    assert_eq!(number(&mut here).await, 1);
    // Nobody waits for an engine that is away.
    let started = tokio::time::Instant::now();
    drop(joined(&b, "room:2").await);
    assert!(started.elapsed() < SHORT);
    hub.start();
    assert_eq!(there.recv_within(5).await[4]["n"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_gap_reaches_the_channels_that_handle_it_and_harms_no_others() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    for (topic, is_told) in [("room:1", true), ("lossy:1", true), ("silent:1", false)] {
        let mut client = joined(&b, topic).await;
        shout(&a, topic, 1);
        assert_eq!(number(&mut client).await, 1, "{topic}");
        hub.lose_next(1);
        shout(&a, topic, 2);
        tokio::time::sleep(SHORT).await;
        shout(&a, topic, 3);
        // What a handler pushes and what is broadcast have no order between them.
        let mut heard = vec![client.recv().await];
        if is_told {
            heard.push(client.recv().await);
        }
        assert!(heard.iter().any(|message| message[4]["n"] == 3), "{heard:?}");
        let gap = json!({"missed": 1, "topic": topic});
        assert_eq!(
            heard.iter().any(|message| message[3] == "gap" && message[4] == gap),
            is_told,
            "{heard:?}"
        );
        shout(&a, topic, 4);
        assert_eq!(number(&mut client).await, 4, "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_messages_before_a_silence_are_missed_too() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let mut client = joined(&b, "room:1").await;
    shout(&a, "room:1", 1);
    assert_eq!(number(&mut client).await, 1);
    hub.lose_next(1);
    shout(&a, "room:1", 2);
    tokio::time::sleep(LONG).await;
    assert_eq!(client.recv().await[3], "gap");
}

#[test]
fn an_endpoint_of_a_cluster_needs_a_runtime_and_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let node = runtime.block_on(async { pubsub(&Hub::new(), "a") });
    assert_eq!(builder(&node).build().unwrap_err(), bennu_server::BuildError::NoRuntime);
}
