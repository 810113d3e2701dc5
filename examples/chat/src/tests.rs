//! The room, with clients in this process.

use bennu_testkit::{TestSocket, assert_broadcast, assert_push, assert_reply, connect, refute_push};

use super::*;

async fn client(endpoint: &Endpoint, name: &str) -> TestSocket {
    connect(endpoint, "/socket", json!({ "name": name })).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_one_says_all_hear() {
    let endpoint = endpoint().unwrap();
    let (_, ada) = client(&endpoint, "ada").await.subscribe_and_join("room:lobby", json!({})).await.unwrap();
    let (_, bob) = client(&endpoint, "bob").await.join("room:lobby", json!({})).await.unwrap();
    let reference = ada.push("message:new", json!({"body": "hello"}));
    assert_reply!(ada, reference, "ok");
    assert_broadcast!(ada, "message:new", {"from": "ada", "body": "hello"});
    assert_push!(ada, "message:new", {"body": "hello"});
    assert_push!(bob, "message:new", {"body": "hello"});
    let reference = ada.push("message:new", json!({"text": "hello"}));
    assert_reply!(ada, reference, "error", {"reason": "invalid payload"});
    refute_push!(bob, "message:new");
}

#[tokio::test(start_paused = true)]
async fn who_is_here_is_told_and_who_left() {
    let endpoint = endpoint().unwrap();
    let (_, ada) = client(&endpoint, "ada").await.join("room:lobby", json!({})).await.unwrap();
    assert_push!(ada, "presence_state", {"ada": {"metas": [{}]}});
    let bob = client(&endpoint, "bob").await;
    bob.join("room:lobby", json!({})).await.unwrap();
    assert_push!(ada, "presence_diff", {"joins": {"bob": {"metas": [{}]}}, "leaves": {}});
    bob.cut().await;
    assert_push!(ada, "presence_diff", {"joins": {}, "leaves": {"bob": {"metas": [{}]}}});
}

#[tokio::test(start_paused = true)]
async fn some_may_not_come_in() {
    let endpoint = endpoint().unwrap();
    assert_eq!(connect(&endpoint, "/socket", json!({})).await.unwrap_err().status().unwrap(), 403);
    let refused = client(&endpoint, "ada").await.join("room:private", json!({})).await.unwrap_err();
    assert_eq!(refused.response, json!({"reason": "unauthorized"}));
}
