//! `connect`, what it can say about the client, and how connections end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bennu_testkit::{ConnectError, assert_closed, assert_push, assert_reply, connect, refute_closed};
use serde_json::json;

use crate::room::{Ended, endpoint, endpoint_with};

#[tokio::test(start_paused = true)]
async fn a_refusal_is_what_the_server_would_answer() {
    for (params, status, body) in [(json!({}), 403, ""), (json!({"user": "late"}), 429, "too late")] {
        let refused = connect(&endpoint(), "/socket", params).await.unwrap_err();
        assert_eq!(refused.status().unwrap(), status);
        let ConnectError::Refused(response) = refused else { panic!("{refused}") };
        assert_eq!(response.body(), body);
    }
    let foreign =
        connect(&endpoint(), "/socket", json!({"user": "ada"})).header("origin", "https://other.example");
    assert_eq!(foreign.await.unwrap_err().to_string(), "the connection was refused with 403 Forbidden");
    let lost = connect(&endpoint(), "/sockets", json!({})).await.unwrap_err();
    assert_eq!(lost.to_string(), r#"no socket is mounted at "/sockets""#);
}

#[tokio::test(start_paused = true)]
async fn connect_sees_what_the_test_says_about_the_client() {
    let params = json!({"user": "ada & co", "tags": ["a", "b"], "at": {"x": 1, "y z": true}, "none": null});
    let socket = connect(&endpoint(), "/socket", params)
        .header("x-trace", "7")
        .header("user-agent", "kit")
        .cookie("a=1")
        .cookie("b=2")
        .peer(([192, 0, 2, 1], 51_000).into())
        .auth_token("t0k3n?")
        .await
        .unwrap();
    let (info, _) = socket.join("room:info", json!({})).await.unwrap();
    let params = json!([
        ["at", {"x": "1", "y z": "true"}],
        ["none", ""],
        ["tags", ["a", "b"]],
        ["user", "ada & co"],
        ["vsn", "2.0.0"]
    ]);
    assert_eq!(info["params"], params);
    assert_eq!(info["x"], json!([["x-trace", "7"]]));
    assert_eq!(info["cookies"], json!(["a=1", "b=2"]));
    assert_eq!((&info["user_agent"], &info["peer"]), (&json!("kit"), &json!("192.0.2.1:51000")));
    assert_eq!(info["auth_token"], "t0k3n?");
}

#[tokio::test(start_paused = true)]
async fn version_1_talks_as_version_2() {
    let socket = connect(&endpoint(), "/socket", json!({"user": "ada"})).version_1().await.unwrap();
    let (info, _) = socket.join("room:info", json!({})).await.unwrap();
    assert_eq!(info["vsn"], "1.0.0");
    let (_, room) = socket.subscribe_and_join("room:1", json!({})).await.unwrap();
    let reference = room.push("echo", json!([1, 2]));
    assert_eq!(assert_reply!(room, reference, "ok"), json!([1, 2]));
    room.push("push", json!({"n": 1}));
    assert_push!(room, "pushed", {"n": 1});
}

#[tokio::test(start_paused = true)]
async fn an_id_is_disconnected_and_no_other() {
    let endpoint = endpoint();
    let ada = connect(&endpoint, "/socket", json!({"user": "ada"})).await.unwrap();
    let bob = connect(&endpoint, "/socket", json!({"user": "bob"})).await.unwrap();
    endpoint.disconnect("user:ada");
    assert_closed!(ada, 1001);
    assert_closed!(ada);
    refute_closed!(bob);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_the_connection_and_silence_ends_it() {
    let endpoint = endpoint();
    let lively = connect(&endpoint, "/socket", json!({"user": "ada"})).await.unwrap();
    let silent = connect(&endpoint, "/socket", json!({"user": "bob"})).without_heartbeat().await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    refute_closed!(silent);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_closed!(silent, 1002);
    refute_closed!(lively);
}

#[tokio::test(start_paused = true)]
async fn closing_cutting_and_dropping_end_the_channels() {
    for how in ["close", "cut", "drop"] {
        let ended = Ended::default();
        let endpoint = endpoint_with(ended.clone());
        let socket = connect(&endpoint, "/socket", json!({"user": "ada"})).await.unwrap();
        let (_, room) = socket.subscribe_and_join("room:1", json!({})).await.unwrap();
        assert_eq!(endpoint.pubsub().subscriber_count("room:1"), 2);
        match how {
            "close" => socket.close().await,
            "cut" => socket.cut().await,
            _ => {
                drop((socket, room.clone()));
                let no_clone_is_left = room;
                drop(no_clone_is_left);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(ended.load(Ordering::Relaxed), "{how}");
        assert_eq!(endpoint.connection_count(), 0, "{how}");
    }
}
