//! Histories, of which each node keeps its own.

use std::time::Duration;

use bennu_protocol::{Broadcast, Payload};
use bennu_server::Endpoint;
use bennu_testkit::Hub;
use serde_json::{Value, json};

use super::{LONG, SHORT, nodes};
use crate::client::Client;

fn shout(endpoint: &Endpoint, n: u32) {
    endpoint.broadcast("kept:1", "msg", json!({ "n": n })).unwrap();
}

async fn join(endpoint: &Endpoint, params: Value) -> (Client, Value) {
    let mut client = Client::connect(endpoint).await;
    client.send(json!(["1", "1", "kept:1", "phx_join", params])).await;
    let reply = client.recv_within(5).await;
    assert_eq!(reply[4]["status"], "ok", "{reply}");
    (client, reply[4]["response"].clone())
}

fn since(position: &Value, offset: u64) -> Value {
    json!({"recover": {"epoch": position["epoch"], "offset": offset}})
}

/// The next broadcast's number and offset.
async fn next(client: &mut Client) -> (u64, u64) {
    let message = client.recv().await;
    let number = |member: &str| message[4][member].as_u64().unwrap();
    (number("n"), number("phx_offset"))
}

#[tokio::test(start_paused = true)]
async fn each_node_numbers_by_itself_what_any_node_broadcasts() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (mut at_a, _) = join(&a, json!({})).await;
    for n in 1..=3 {
        shout(&a, n);
        assert_eq!(next(&mut at_a).await, (n.into(), n.into()));
    }
    let (mut at_b, position) = join(&b, json!({})).await;
    assert_eq!(position["offset"], 0);
    for n in 4..=5 {
        shout(&a, n);
        assert_eq!(next(&mut at_a).await, (n.into(), n.into()));
        assert_eq!(next(&mut at_b).await, (n.into(), u64::from(n) - 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_recovers_on_its_node_what_another_one_broadcast_while_nobody_was_joined() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (mut client, position) = join(&b, json!({})).await;
    shout(&a, 1);
    assert_eq!(next(&mut client).await, (1, 1));
    client.cut().await;
    assert_eq!(b.pubsub().subscriber_count("kept:1"), 0, "a history is nobody that is sent to");
    // Longer than a bucket is kept that nobody needs.
    tokio::time::sleep(Duration::from_secs(60)).await;
    shout(&a, 2);
    tokio::time::sleep(SHORT).await;
    let (mut client, told) = join(&b, since(&position, 1)).await;
    assert_eq!(told["recovered"], true);
    assert_eq!(next(&mut client).await, (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_to_another_node_is_told_that_it_has_not_recovered() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (_at_b, _) = join(&b, json!({})).await;
    let (client, position) = join(&a, json!({})).await;
    client.cut().await;
    let (_, told) = join(&b, since(&position, 0)).await;
    assert_eq!(told["recovered"], false);
}

#[tokio::test(start_paused = true)]
async fn attack_049_who_missed_something_between_nodes_is_never_told_that_it_recovered() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (_listener, _) = join(&b, json!({})).await;
    for (name, fault) in [("none", 0), ("lost", 1), ("outage", 2), ("during an outage", 3), ("partition", 4)]
    {
        let (mut client, position) = join(&b, json!({})).await;
        shout(&a, 1);
        let (_, offset) = next(&mut client).await;
        client.cut().await;
        match fault {
            0 => shout(&a, 2),
            1 => {
                hub.lose_next(1);
                shout(&a, 2);
                tokio::time::sleep(LONG).await;
            }
            2 => {
                hub.stop();
                tokio::time::sleep(SHORT).await;
                hub.start();
                hub.up(&[a.pubsub(), b.pubsub()]).await;
            }
            3 => {
                hub.stop();
                tokio::time::sleep(SHORT).await;
            }
            _ => {
                hub.partition(&["a"], &["b"]);
                shout(&a, 2);
                tokio::time::sleep(SHORT).await;
                hub.heal();
                tokio::time::sleep(LONG).await;
            }
        }
        tokio::time::sleep(SHORT).await;
        let (_client, told) = join(&b, since(&position, offset)).await;
        assert_eq!(told["recovered"], fault == 0, "{name}");
        if fault == 3 {
            hub.start();
            hub.up(&[a.pubsub(), b.pubsub()]).await;
            let (_client, later) = join(&b, since(&told, told["offset"].as_u64().unwrap())).await;
            assert_eq!(later["recovered"], false, "what was told in the outage is worth nothing after it");
        }
        tokio::time::sleep(LONG).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_told_before_the_engine_had_the_topic_is_worth_nothing() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    hub.subscribe_delay(Duration::from_secs(4));
    let (client, position) = join(&b, json!({})).await;
    shout(&a, 1);
    client.cut().await;
    tokio::time::sleep(LONG).await;
    let (_client, told) = join(&b, since(&position, 0)).await;
    assert_eq!(told["recovered"], false);
}

#[tokio::test(start_paused = true)]
async fn attack_049_a_payload_of_another_node_that_cannot_be_numbered_arrives_and_ends_the_epoch() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let (mut client, position) = join(&b, json!({})).await;
    for payload in [json!({"n": 1, "phx_offset": 1_000}), json!({"n": 2, "phx_offset": "x"})] {
        // As a node sends it that has no history there.
        a.pubsub().broadcast("kept:1", Broadcast::new("kept:1", "msg", Payload::json(&payload).unwrap()));
        assert_eq!(client.recv().await[4], payload);
    }
    shout(&a, 3);
    assert_eq!(next(&mut client).await, (3, 1));
    client.cut().await;
    let (_client, told) = join(&b, since(&position, 1)).await;
    assert_eq!(told["recovered"], false);
    // From then on it is whole again.
    shout(&a, 4);
    tokio::time::sleep(SHORT).await;
    let (_client, again) = join(&b, since(&told, told["offset"].as_u64().unwrap())).await;
    assert_eq!(again["recovered"], true);
}
