//! Joining, pushing, and everything that can come back.

use std::time::Duration;

use bennu::Payload;
use bennu_testkit::{
    assert_broadcast, assert_push, assert_reply, connect, refute_broadcast, refute_push, refute_reply,
};
use serde::Deserialize;
use serde_json::json;

use crate::room::{endpoint, joined};

#[tokio::test(start_paused = true)]
async fn a_join_gives_its_response_or_its_refusal() {
    let socket = connect(&endpoint(), "/socket", json!({"user": "ada"})).await.unwrap();
    let (response, room) = socket.join("room:1", json!({})).await.unwrap();
    assert_eq!(response, json!({}));
    assert_eq!(room.topic(), "room:1");
    let refused = socket.join("room:closed", json!({})).await.unwrap_err();
    assert_eq!(refused.response, json!({"reason": "closed", "until": 7}));
    let text = r#"the join of "room:closed" was refused: {"reason":"closed","until":7}"#;
    assert_eq!(refused.to_string(), text);
    // The second one is also the topic of heartbeats.
    for topic in ["lobby", "phoenix"] {
        let unmatched = socket.subscribe_and_join(topic, json!({})).await.unwrap_err();
        assert_eq!(unmatched.response["reason"], "unmatched topic");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_are_told_apart_by_their_refs() {
    let (_, room) = joined().await;
    let [first, second] = [1, 2].map(|n| room.push("echo", json!({ "n": n })));
    let refused = room.push("refuse", json!({}));
    assert_reply!(room, refused, "error", {"errors": {"body": ["is empty"]}});
    assert_reply!(room, second, "ok", {"n": 2});
    assert_reply!(room, first, "ok", {"n": 1});
    refute_reply!(room, first);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_is_seen_by_the_client_and_beside_it() {
    let (_, room) = joined().await;
    let reference = room.push("broadcast", json!({"body": "hello", "id": 1}));
    assert_reply!(room, reference, "ok");
    assert_broadcast!(room, "said", {"body": "hello"});
    assert_push!(room, "said", {"body": "hello"});
    refute_push!(room, "said");
    refute_broadcast!(room, "said");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_of_one_topic_and_ends_with_its_channel() {
    let (endpoint, room) = joined().await;
    let (_, other) = room.socket().subscribe_and_join("room:2", json!({})).await.unwrap();
    endpoint.broadcast("room:2", "said", json!({})).unwrap();
    refute_broadcast!(room, "said");
    assert_broadcast!(other, "said");
    drop((other.clone(), other));
    // The client itself is joined still.
    assert_eq!(endpoint.pubsub().subscriber_count("room:2"), 1);
    assert!(room.socket().subscribe_and_join("room:closed", json!({})).await.is_err());
    assert_eq!(endpoint.pubsub().subscriber_count("room:closed"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_intercepted_broadcast_is_seen_beside_the_client_alone() {
    let (_, room) = joined().await;
    room.push("broadcast secret", json!({"n": 1}));
    assert_broadcast!(room, "secret", {"n": 1});
    refute_push!(room, "secret");
}

#[tokio::test(start_paused = true)]
async fn what_one_client_says_to_the_others_it_does_not_hear() {
    let (endpoint, room) = joined().await;
    let other = connect(&endpoint, "/socket", json!({"user": "bob"})).await.unwrap();
    let (_, others_room) = other.join("room:1", json!({})).await.unwrap();
    room.push("broadcast_from", json!({"n": 1}));
    assert_push!(others_room, "said", {"n": 1});
    refute_push!(room, "said");
    assert_broadcast!(room, "said", {"n": 1});
}

#[tokio::test(start_paused = true)]
async fn the_test_broadcasts_as_another_client_or_from_anywhere() {
    let (endpoint, room) = joined().await;
    room.broadcast_from("said", json!({"n": 1}));
    assert_push!(room, "said", {"n": 1});
    refute_broadcast!(room, "said");
    endpoint.broadcast("room:1", "said", json!({"n": 2})).unwrap();
    assert_push!(room, "said", {"n": 2});
    assert_broadcast!(room, "said", {"n": 2});
}

#[tokio::test(start_paused = true)]
async fn bytes_travel_both_ways() {
    let (_, room) = joined().await;
    let reference = room.push("echo", Payload::binary(&b"\x00\xff"[..]));
    assert_eq!(&assert_reply!(room, reference, "ok", b"\x00\xff").bytes()[..], b"\x00\xff");
    room.push("push", Payload::binary("bytes"));
    assert_push!(room, "pushed", b"bytes");
    room.push("broadcast", Payload::binary("bytes"));
    assert_push!(room, "said", b"bytes");
    assert_broadcast!(room, "said", b"bytes");
    let large = vec![7; 300_000];
    let reference = room.push("echo", Payload::binary(large.clone()));
    assert_reply!(room, reference, "ok", large.as_slice());
}

#[derive(Deserialize)]
struct Said {
    id: u64,
}

#[tokio::test(start_paused = true)]
async fn assertions_take_the_first_that_matches_and_leave_the_rest() {
    let (_, room) = joined().await;
    for id in [1, 2, 3] {
        room.push("push", json!({ "id": id, "body": "hello" }));
    }
    let expected = json!({"id": 3});
    assert_push!(room, "pushed", expected);
    assert_push!(room, "pushed", |said: Said| said.id > 1);
    let said = assert_push!(room, "pushed");
    assert_eq!((said["id"].clone(), said.parse::<Said>().unwrap().id), (json!(1), 1));
    refute_push!(room, "pushed");
}

#[tokio::test(start_paused = true)]
async fn leaving_stopping_and_crashing_are_told_to_the_client() {
    let (_, room) = joined().await;
    let left = room.leave();
    assert_reply!(room, left, "ok");
    assert_push!(room, "phx_close", {});
    let (_, room) = room.socket().join("room:1", json!({})).await.unwrap();
    room.push("stop", json!({}));
    assert_push!(room, "phx_close");
    let (_, room) = room.socket().join("room:1", json!({})).await.unwrap();
    room.push("nobody-knows", json!({}));
    assert_push!(room, "phx_error");
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_an_earlier_join_is_not_the_new_ones() {
    let (_, room) = joined().await;
    room.push("push", json!({"n": 1}));
    let (_, again) = room.socket().join("room:1", json!({})).await.unwrap();
    refute_push!(again, "pushed");
    refute_push!(again, "phx_close");
    assert_push!(room, "pushed", {"n": 1});
    assert_push!(room, "phx_close");
}

#[tokio::test(start_paused = true)]
async fn assertions_wait_as_long_as_they_are_told() {
    let (_, room) = joined().await;
    let reference = room.push("slow", json!({}));
    refute_reply!(room, reference);
    assert_reply!(room.within(Duration::from_secs(4)), reference, "ok");
}
