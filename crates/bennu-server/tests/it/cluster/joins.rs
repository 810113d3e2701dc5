//! A client that was answered hears what other nodes broadcast from then on.

use std::time::Duration;

use bennu_server::Endpoint;
use bennu_testkit::Hub;
use serde_json::json;
use tokio::time::Instant;

use super::nodes;
use crate::client::Client;

const SLOW: Duration = Duration::from_millis(500);

fn shout(endpoint: &Endpoint, topic: &str, n: u32) {
    endpoint.broadcast(topic, "msg", json!({ "n": n })).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_is_answered_once_other_nodes_reach_it_and_in_the_promised_order() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    hub.subscribe_delay(SLOW);
    let mut client = Client::connect(&b).await;
    let started = Instant::now();
    client.send(json!(["1", "1", "room:greets", "phx_join", {}])).await;
    // While it waits, this node's own broadcasts find it subscribed; they come behind the reply.
    tokio::time::sleep(SLOW / 5).await;
    shout(&b, "room:greets", 1);
    client.send(json!([null, "2", "phoenix", "heartbeat", {}])).await;
    assert_eq!(client.recv().await[2], "phoenix", "the rest of the connection goes on");
    assert!(started.elapsed() < SLOW);
    assert_eq!(client.recv().await[4], json!({"status": "ok", "response": {}}));
    assert!(started.elapsed() >= SLOW);
    shout(&a, "room:greets", 2);
    assert_eq!(client.recv().await[3], "state");
    assert_eq!(client.recv().await[4]["n"], 1);
    assert_eq!(client.recv().await[4]["n"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_whose_bucket_is_there_is_joined_at_once() {
    let hub = Hub::new();
    let [_, b] = nodes(&hub, ["a", "b"]).await;
    let mut first = Client::connect(&b).await;
    first.join("room:1").await;
    hub.subscribe_delay(SLOW);
    let started = Instant::now();
    let mut second = Client::connect(&b).await;
    second.join("room:1").await;
    assert!(started.elapsed() < SLOW / 5);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_answer_holds_a_join_up_for_two_seconds() {
    let hub = Hub::new();
    let [_, b] = nodes(&hub, ["a", "b"]).await;
    hub.subscribe_delay(Duration::from_secs(60));
    let mut client = Client::connect(&b).await;
    let started = Instant::now();
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    assert_eq!(client.recv_within(5).await[4]["status"], "ok");
    assert_eq!(started.elapsed().as_secs(), 2);
    shout(&b, "room:1", 1);
    assert_eq!(client.recv().await[4]["n"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_or_rejoins_while_it_waits_is_answered_once_for_each() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    hub.subscribe_delay(SLOW);
    let mut client = Client::connect(&b).await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    client.send(json!(["2", "2", "room:1", "phx_join", {}])).await;
    let mut replies = Vec::new();
    while replies.last() != Some(&json!(["2", "2", "room:1", "phx_reply", {"status": "ok", "response": {}}]))
    {
        replies.push(client.recv().await);
    }
    let accepted = |join_ref: &str| {
        replies.iter().filter(|reply| reply[0] == join_ref && reply[4]["status"] == "ok").count()
    };
    assert_eq!((accepted("1"), accepted("2")), (1, 1), "{replies:?}");
    assert_eq!(client.recv().await, json!(["1", "1", "room:1", "phx_close", {}]));
    shout(&a, "room:1", 1);
    assert_eq!(client.recv().await[4]["n"], 1, "once, for the channel that is there");
    client.hears_nothing().await;
    client.send(json!(["3", "3", "room:other", "phx_join", {}])).await;
    client.send(json!(["3", "4", "room:other", "phx_leave", {}])).await;
    let mut refs = Vec::new();
    while refs.last() != Some(&json!("phx_close")) {
        let message = client.recv().await;
        refs.push(if message[3] == "phx_reply" { message[1].clone() } else { message[3].clone() });
    }
    assert_eq!(refs, [json!("3"), json!("4"), json!("phx_close")]);
    assert_eq!(b.pubsub().subscriber_count("room:other"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_a_join_waits_leaves_nothing_behind() {
    let hub = Hub::new();
    let [_, b] = nodes(&hub, ["a", "b"]).await;
    hub.subscribe_delay(SLOW);
    let mut client = Client::connect(&b).await;
    client.send(json!(["1", "1", "room:1", "phx_join", {}])).await;
    tokio::time::sleep(SLOW / 5).await;
    assert_eq!(b.pubsub().subscriber_count("room:1"), 1);
    let started = Instant::now();
    client.cut().await;
    assert!(started.elapsed() < SLOW / 5, "nobody waits for the engine then");
    assert_eq!((b.pubsub().subscriber_count("room:1"), b.connection_count()), (0, 0));
}
