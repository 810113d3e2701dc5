//! Long polling where the nodes of one session fail.

use std::time::Duration;

use bennu_server::Endpoint;
use bennu_testkit::Hub;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SHORT, nodes};
use crate::poller::Poller;

fn shout(endpoint: &Endpoint, n: usize) {
    endpoint.broadcast("room:a", "msg", json!({ "n": n })).unwrap();
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message[4]["n"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_is_polled_and_posted_to_on_nodes_that_do_not_have_it() {
    let hub = Hub::new();
    let [a, b, c] = nodes(&hub, ["a", "b", "c"]).await;
    // The first request of all: nothing had to be subscribed to for it.
    hub.subscribe_delay(Duration::from_secs(5));
    let at_b = Poller::open(&a).await.at(&b);
    let at_c = at_b.at(&c);
    let started = Instant::now();
    assert_eq!(at_b.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 200);
    assert_eq!(at_c.poll().await.0, 200);
    assert!(started.elapsed() < Duration::from_secs(1));
    hub.subscribe_delay(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(6)).await;
    at_b.join("room:a").await;
    let mut received = Vec::new();
    for n in 0..60 {
        shout([&a, &b, &c][n % 3], n);
        tokio::time::sleep(SHORT).await;
        if n % 4 == 0 {
            received.extend(numbers(&[&at_b, &at_c][n / 4 % 2].poll().await.1));
        }
    }
    received.extend(numbers(&at_b.at(&a).poll().await.1));
    assert_eq!(received, (0..60).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_more_than_an_engine_carries_comes_with_the_next_polls() {
    let hub = Hub::new();
    hub.max_packet(400_000);
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let at_b = Poller::open(&a).await.at(&b);
    at_b.join("room:a").await;
    let text = "x".repeat(20_000);
    for n in 0..40 {
        a.broadcast("room:a", "msg", json!({ "n": n, "text": text })).unwrap();
    }
    let mut received = Vec::new();
    let mut polls = 0;
    while received.len() < 40 {
        let (status, messages) = at_b.poll().await;
        assert_eq!(status, 200);
        received.extend(numbers(&messages));
        polls += 1;
    }
    assert_eq!(received, (0..40).collect::<Vec<u64>>());
    assert!((4..=5).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn attack_049_a_message_or_post_that_no_engine_carries_ends_in_an_answer() {
    let hub = Hub::new();
    hub.max_packet(50_000);
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let at_b = Poller::open(&a).await.at(&b);
    at_b.join("room:a").await;
    let large = json!({ "text": "x".repeat(60_000) });
    assert_eq!(at_b.post([json!(["1", "2", "room:a", "echo", large])]).await, 408);
    a.broadcast("room:a", "msg", large).unwrap_err();
    let started = Instant::now();
    // The session ends, as nothing would ever get past the message; the client joins anew.
    while at_b.poll().await.0 != 410 {
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn attack_049_a_client_heals_when_the_node_that_has_its_session_is_cut_off() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let at_b = Poller::open(&a).await.at(&b);
    at_b.join("room:a").await;
    let polling = tokio::spawn({
        let at_b = at_b.clone();
        async move { at_b.poll().await }
    });
    tokio::time::sleep(SHORT).await;
    hub.partition(&["a"], &["b"]);
    // In the middle of a poll: nothing came for it. The next request tells.
    assert_eq!(polling.await.unwrap().0, 204);
    let started = Instant::now();
    assert_eq!(at_b.post([json!([null, "1", "phoenix", "heartbeat", {}])]).await, 410);
    assert_eq!(at_b.poll().await.0, 410);
    assert_eq!(started.elapsed().as_secs(), 4);
    let anew = Poller::open(&b).await;
    anew.join("room:a").await;
    shout(&b, 1);
    assert_eq!(numbers(&anew.poll().await.1), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_goes_on_when_the_node_that_it_polled_at_is_gone() {
    let hub = Hub::new();
    let [a, b, c] = nodes(&hub, ["a", "b", "c"]).await;
    let at_b = Poller::open(&a).await.at(&b);
    at_b.join("room:a").await;
    let polling = tokio::spawn({
        let at_b = at_b.clone();
        async move { at_b.poll().await }
    });
    tokio::time::sleep(SHORT).await;
    // Killed: it does not withdraw its poll.
    hub.partition(&["b"], &["a", "c"]);
    polling.abort();
    let at_c = at_b.at(&c);
    let waiting = tokio::spawn(async move { at_c.poll().await });
    tokio::time::sleep(SHORT).await;
    shout(&a, 1);
    let (status, messages) = waiting.await.unwrap();
    assert_eq!((status, numbers(&messages)), (200, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_costs_the_timeout_and_then_a_new_session_here() {
    let hub = Hub::new();
    let [a, b] = nodes(&hub, ["a", "b"]).await;
    let at_a = Poller::open(&a).await;
    at_a.join("room:a").await;
    hub.stop();
    tokio::time::sleep(SHORT).await;
    let started = Instant::now();
    assert_eq!(at_a.at(&b).poll().await.0, 410);
    assert_eq!(started.elapsed().as_secs(), 2);
    hub.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What waited in the engine's queue takes no messages with it: it was withdrawn.
    shout(&a, 1);
    assert_eq!(numbers(&at_a.poll().await.1), [1]);
}
